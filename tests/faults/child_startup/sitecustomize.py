"""What the child process of a job does first, where a test puts this folder on PYTHONPATH."""

import os
import resource
import select
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any


def start(set_session: Any = os.setsid) -> None:
    """Stands in for the first call of a child."""
    set_session()
    if folder := os.environ.get("TEST_GRANDCHILDREN"):
        sleeper = subprocess.Popen(
            ["sleep", "1000"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        unfinished = Path(folder) / f"{os.getpid()}.unfinished"
        unfinished.write_text(str(sleeper.pid))
        unfinished.rename(unfinished.with_suffix(""))
    if late := float(os.environ.get("TEST_HEARS_LATE") or 0):
        select_at_once = select.select

        def select_late(*args: Any) -> Any:
            """Hears the supervisor so many seconds later, as a thread does that waits for a processor."""
            found = select_at_once(*args)
            if found[0]:
                time.sleep(late)
            return found

        select.select = select_late
    if os.environ.get("TEST_MEMORY"):
        memory: Any = import_module("worker.child.memory")
        # Free is as much as half again of what one job will take, however little that is.
        memory._WORTH_A_NOTE = 0
        memory._resident = lambda _pid: 0
        memory._bytes = lambda *_: 2e9
        memory.available = lambda: 3_000_000_000
    if limit := os.environ.get("TEST_FILE_SIZE"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))


if any("multiprocessing.forkserver" in argument for argument in sys.orig_argv):
    os.setsid = start
