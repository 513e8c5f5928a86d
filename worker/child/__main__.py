"""The child process: does one job and exits. ``python -m worker.child SUPERVISOR``, a process id.

It gets ready: imports what jobs need, and connects to ``DATABASE_URL``. Then it reads one JSON line from
standard input (the job, the folder of the models) and writes JSON lines to what was its standard output:
progress, then one outcome. It never writes to the database. When it has said that, or its supervisor is gone,
it ends with all its descendants.
"""

import logging
import os
import queue
import select
import signal
import sys
import threading
from contextlib import suppress
from typing import IO

from worker.protocol import Message, Progress, read_order, to_line

WATCH_SECONDS = 0.5


def main() -> None:
    """Do the job that is named on standard input."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    orders: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_obey_supervisor, args=[orders, int(sys.argv[1])], daemon=True).start()
    # Whatever a library prints must not be taken for a message to the supervisor.
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    # Slow to import: done while no job is there, so that a job need not wait for it.
    from worker.child import attempt  # noqa: PLC0415

    url = os.environ["DATABASE_URL"]
    connection = attempt.get_ready(url) if orders.empty() else None
    order = read_order(orders.get())

    def report(progress: float, message: str) -> None:
        _say(channel, Progress(progress, message))

    with suppress(BrokenPipeError):  # the supervisor is gone, which the other thread may not have heard yet
        _say(channel, attempt.attempt(order, url, connection, report))
    _end_with_descendants()


def _say(channel: IO[bytes], message: Message) -> None:
    channel.write(to_line(message))
    channel.flush()


def _obey_supervisor(orders: queue.SimpleQueue[bytes], supervisor: int) -> None:
    """Pass the order on; at the end of the supervisor, end the process group.

    Standard input ends with the supervisor, unless another process has inherited the other end of the pipe.
    """
    order = b""
    while os.getppid() == supervisor:
        if select.select([0], [], [], WATCH_SECONDS)[0]:
            data = os.read(0, 1 << 16)
            if not data:
                break
            order += data
            if order.endswith(b"\n"):
                orders.put(order)
    _end_with_descendants()


def _end_with_descendants() -> None:
    """End the process group, which the supervisor made of this process."""
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
