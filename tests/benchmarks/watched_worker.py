"""``ml-worker`` that prints when it has claimed a job, and when the child's first word on it arrives.

``python -m tests.benchmarks.watched_worker run ARG…``. The clock is that of all processes of the machine;
nothing else differs.
"""

import subprocess
import sys
import time
from datetime import timedelta
from typing import Any

from worker import database
from worker.assignment import Job
from worker.cli import main
from worker.supervisor import Supervisor

_claim_job, _hear = database.claim_job, Supervisor._hear
_heard: set[int] = set()


def claim_job(connection: database.Connection, worker_id: str, lease: timedelta) -> Job | None:
    job = _claim_job(connection, worker_id, lease)
    if job is not None:
        print(time.monotonic(), flush=True)  # noqa: T201
    return job


def hear(self: Supervisor, child: subprocess.Popen[bytes], message: dict[str, Any]) -> None:
    if child.pid not in _heard:
        _heard.add(child.pid)
        print(time.monotonic(), flush=True)  # noqa: T201
    _hear(self, child, message)


if __name__ == "__main__":
    database.claim_job = claim_job
    Supervisor._hear = hear  # type: ignore[method-assign]
    main(sys.argv[1:])
