"""A worker of procrastinate whose task does nothing:
``python -m procrastinate --app=tests.benchmarks.noop_procrastinate.app worker``.

The task prints when it started, on the clock that all processes of this machine share.
"""

import os
import time

import procrastinate

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=os.environ["BENCHMARK_URL"]))


@app.task(name="noop")
async def noop() -> None:
    print(time.monotonic(), flush=True)  # noqa: T201
