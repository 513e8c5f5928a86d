"""A larger program that runs a supervisor in one of its threads: ``python -m tests.faults.host MODEL_DIR``.

At a line on standard input it forks a process that lives on with every file descriptor of the program, the
pipes to the supervisor's children among them, and prints its process id.
"""

import logging
import os
import signal
import sys
import threading
from pathlib import Path

from worker.service.supervisor import Options, Supervisor

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    supervisor = Supervisor(Options(os.environ["DATABASE_URL"], Path(sys.argv[1]), poll=600, lease=600))
    threading.Thread(target=supervisor.run, daemon=True).start()
    sys.stdin.readline()
    if forked := os.fork():
        print(forked, flush=True)  # noqa: T201  # tells the test
    signal.pause()
