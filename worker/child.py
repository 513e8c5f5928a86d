"""The child process: does one job and exits. ``python -m worker.child SUPERVISOR``, a process id.

It gets ready: imports what jobs need, and connects to ``DATABASE_URL``. Then it reads one JSON line from
standard input (the job, the folder of the models) and writes JSON lines to what was its standard output:
progress, then one outcome. It never writes to the database. When it has said that, or its supervisor is gone,
it ends with all its descendants.
"""

import json
import logging
import os
import queue
import select
import signal
import sys
import threading
from contextlib import suppress

WATCH_SECONDS = 0.5


def main() -> None:
    """Do the job that is named on standard input."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    orders: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_obey_supervisor, args=[orders, int(sys.argv[1])], daemon=True).start()
    # Whatever a library prints must not be taken for a message to the supervisor.
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    # Slow to import: done while no job is there, so that a job need not wait for it.
    from worker import work  # noqa: PLC0415
    from worker.assignment import Job, Order  # noqa: PLC0415

    url = os.environ["DATABASE_URL"]
    connection = work.get_ready(url) if orders.empty() else None
    fields = json.loads(orders.get())
    order = Order(**(fields | {"job": Job(**fields["job"])}))

    def report(progress: float, message: str) -> None:
        channel.write(json.dumps({"progress": progress, "message": message}) + "\n")

    with suppress(BrokenPipeError):  # the supervisor is gone, which the other thread may not have heard yet
        channel.write(json.dumps(work.attempt(order, url, connection, report)) + "\n")
    _end_with_descendants()


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
