"""``ml-worker`` that prints when it has claimed a job, and when the child's first word on it arrives.

``python -m tests.benchmarks.watched_worker run ARG…``. The clock is that of all processes of the machine;
nothing else differs.
"""

import sys
import time
from collections.abc import Collection
from datetime import timedelta

from worker.commands.cli import main
from worker.database import queue
from worker.database.connection import Connection
from worker.protocol import Job, Message
from worker.service.children import Child
from worker.service.supervisor import Supervisor

_claim_job, _hear = queue.claim_job, Supervisor._hear
_heard: set[int] = set()


def claim_job(
    connection: Connection,
    worker_id: str,
    lease: timedelta,
    kinds: Collection[str],
    but: Collection[int] = (),
) -> Job | None:
    job = _claim_job(connection, worker_id, lease, kinds, but)
    if job is not None:
        print(time.monotonic(), flush=True)  # noqa: T201
    return job


def hear(self: Supervisor, child: Child, message: Message) -> None:
    if child.pid not in _heard:
        _heard.add(child.pid)
        print(time.monotonic(), flush=True)  # noqa: T201
    _hear(self, child, message)


if __name__ == "__main__":
    queue.claim_job = claim_job
    Supervisor._hear = hear  # type: ignore[method-assign]
    main(sys.argv[1:])
