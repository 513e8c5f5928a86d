"""A worker of pgqueuer whose task does nothing: ``python -m tests.benchmarks.noop_pgqueuer``.

The task prints when it started, on the clock that all processes of this machine share.
"""

import asyncio
import os
import time

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job


async def main() -> None:
    connection = await asyncpg.connect(os.environ["BENCHMARK_URL"])
    queue = PgQueuer(AsyncpgDriver(connection))

    @queue.entrypoint("noop")
    async def noop(_job: Job) -> None:
        print(time.monotonic(), flush=True)  # noqa: T201

    await queue.run()


if __name__ == "__main__":
    asyncio.run(main())
