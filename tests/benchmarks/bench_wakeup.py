"""How soon a job is begun and a small one is done: ``python -m tests.benchmarks.bench_wakeup``.

On one embedded server, in turn in one run, each thing after a rest; by the monotonic clock that all processes
of a machine share:

* an ``ml-worker run``, given a TEST of an ``xgboost`` model on 1,000 rows with ten features. RUNNING and
  COMPLETED count when the client hears them by ``LISTEN ml_job_status``; the child's first word ("Loading:
  about 1000 rows", said once it has read what is asked and the model's file) when its supervisor hears it;
* the least that a worker needs: a bare NOTIFY to a process that only waits on its socket and answers by
  NOTIFY, and one call of ``ml_internal.claim_job`` in another database of the server;
* the workers of pgqueuer and procrastinate, started as their documentation says, each with a task that does
  nothing and is enqueued by their own libraries. Here the start of the task counts, as the worker itself
  knows it: beside it stands the moment at which our supervisor has the answer to its claim.

Times begin when COMMIT is sent, except for INSERT to COMPLETED, which begins before the INSERT.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

import procrastinate
import psycopg
from pgqueuer.db import SyncPsycopgDriver
from pgqueuer.queries import SyncQueries
from psycopg.rows import dict_row

from tests import servers
from tests.benchmarks import measure
from tests.conftest import insert_job, ready_model, until, wait_for
from worker.commands import sample
from worker.commands.install import install
from worker.database import connection, queue
from worker.database.jobs import copy_metrics

FIRST_WORD_MS = 30
COMPLETED_MS = 150
QUIET_SECONDS = 0.5
FEATURES = (
    "price_open,price_high,price_low,price_close,volume_sol,buy_volume_sol,sell_volume_sol,num_buys,num_sells,"
    "volatility_pct"
)
TRAIN = {
    "job_type": "TRAIN",
    "train_target_var": "market_cap_close",
    "train_operator": ">",
    "train_value": 50000,
    "train_start": "2024-01-01",
    "train_end": "2024-03-01",
    "train_features_csv": FEATURES,
    "train_model_type": "xgboost",
}
ECHO = """
import select, sys, psycopg
with psycopg.connect(sys.argv[1], autocommit=True) as connection:
    connection.execute("LISTEN ping")
    print("ready", flush=True)
    while True:
        select.select([connection.fileno()], [], [])
        connection.pgconn.consume_input()
        while connection.pgconn.notifies():
            connection.execute("NOTIFY pong")
"""

# From COMMIT to RUNNING as the client hears it, claim and first word of the child; from INSERT to COMPLETED.
Times = tuple[float, float, float, float]
Client = psycopg.Connection[dict[str, Any]]


@contextmanager
def process(*words: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A process whose output is read; its log is shown if it ends before its time."""
    with tempfile.TemporaryFile("w+") as log:
        started = subprocess.Popen(
            [sys.executable, *words],
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            yield started
        finally:
            ended = started.poll() is not None
            started.terminate()
            started.wait()
            if ended:
                log.seek(0)
                sys.stderr.write(log.read())


def told(of: subprocess.Popen[str]) -> float:
    """The time that a process prints next."""
    assert of.stdout is not None
    return float(of.stdout.readline())


def used_cpu(pid: int) -> dict[str, int]:
    """Nanoseconds that a process and each of its children have run."""
    pids = [str(pid), *Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return {
        number: sum(
            int(task.read_text().split()[0]) for task in Path(f"/proc/{number}/task").glob("*/schedstat")
        )
        for number in pids
    }


def wait_until_idle(pid: int) -> None:
    """Wait until a worker and its warm child have nothing to do."""

    def is_quiet() -> bool:
        before = used_cpu(pid)
        time.sleep(QUIET_SECONDS)
        after = used_cpu(pid)
        return (
            after.keys() == before.keys() and sum(after.values()) - sum(before.values()) < QUIET_SECONDS * 1e7
        )

    until(is_quiet, "the worker to be idle")


def after_a_rest(measured: Callable[[], float]) -> float:
    """What is measured after as long a rest as :func:`wait_until_idle` is."""
    time.sleep(QUIET_SECONDS)
    return measured()


def hears(client: Client, words: str) -> float:
    """Wait for a notification with these words; when it came."""
    for notice in client.notifies(timeout=60):
        if notice.payload == words:
            return time.monotonic()
    raise AssertionError(f"nobody said {words!r}")


def connect(url: str) -> Client:
    return psycopg.connect(url, autocommit=True, row_factory=dict_row)


def commit(client: psycopg.Connection[Any]) -> float:
    """Commit; when that was sent."""
    began = time.monotonic()
    client.execute("COMMIT")
    return began


def ours(stack: ExitStack, url: str, folder: Path) -> tuple[Callable[[], Times], Client]:
    """Starts a worker and trains a model; gives what measures one TEST."""
    install(url)
    metrics = sample.make_metrics(20)
    with connection.connect(url) as owner:
        copy_metrics(owner, list(metrics.columns), sample.to_csv(metrics))
    client = stack.enter_context(connect(url))
    worker = stack.enter_context(
        process("-m", "tests.benchmarks.watched_worker", "run", "--model-dir", str(folder), DATABASE_URL=url)
    )
    trained = wait_for(client, insert_job(client, **TRAIN))
    assert trained["status"] == "COMPLETED", trained["error_msg"]
    told(worker), told(worker)
    (period,) = client.execute(
        """
        SELECT min(m.timestamp) AS test_start, max(m.timestamp) + interval '1 second' AS test_end
        FROM (SELECT timestamp FROM coin_metrics ORDER BY timestamp DESC LIMIT 1000) m
        """
    ).fetchall()
    test = {"job_type": "TEST", "test_model_id": trained["result_model_id"], **period}

    def run_test() -> Times:
        wait_until_idle(worker.pid)
        inserted = time.monotonic()
        client.execute("BEGIN")
        job_id = insert_job(client, **test)
        committed = commit(client)
        running = hears(client, f"{job_id} RUNNING")
        completed = hears(client, f"{job_id} COMPLETED")
        claimed, first_word = told(worker), told(worker)
        return running - committed, claimed - committed, first_word - committed, completed - inserted

    return run_test, client


def round_trip(stack: ExitStack, url: str) -> Callable[[], float]:
    """Starts a process that answers; gives what measures NOTIFY to NOTIFY."""
    client = stack.enter_context(connect(url))
    client.execute("LISTEN pong")
    echo = stack.enter_context(process("-c", ECHO, url))
    assert echo.stdout is not None
    echo.stdout.readline()

    def ping() -> float:
        began = time.monotonic()
        client.execute("NOTIFY ping")
        return hears(client, "") - began

    return ping


def one_claim(stack: ExitStack, url: str) -> Callable[[], float]:
    """Gives what measures one claim of the same TEST where no worker is."""
    install(url)
    client = stack.enter_context(connect(url))
    worker = stack.enter_context(connection.connect(url, role="ml_worker"))
    with connect(url) as recorder:
        model_id = ready_model(client, recorder, **(TRAIN | {"train_features_csv": "price_open,volume_sol"}))
    test = {"test_start": "2024-03-01", "test_end": "2024-04-01", "test_model_id": model_id}

    def claim() -> float:
        insert_job(client, job_type="TEST", **test)
        began = time.monotonic()
        job = queue.claim_job(worker, "w", timedelta(seconds=30), ["TEST"])
        seconds = time.monotonic() - began
        assert job is not None
        queue.record_failure(worker, job, "enough")
        return seconds

    return claim


def pgqueuer_wakeup(stack: ExitStack, url: str) -> Callable[[], float]:
    """Starts a worker of pgqueuer; gives what measures COMMIT to the start of a task."""
    subprocess.run([sys.executable, "-m", "pgqueuer", "--pg-dsn", url, "install"], check=True)
    worker = stack.enter_context(process("-m", "tests.benchmarks.noop_pgqueuer", BENCHMARK_URL=url))
    client = stack.enter_context(psycopg.connect(url, autocommit=True))
    queries = SyncQueries(SyncPsycopgDriver(client))

    def wake() -> float:
        client.execute("BEGIN")
        queries.enqueue("noop", None)
        committed = commit(client)
        return told(worker) - committed

    return wake


def procrastinate_wakeup(stack: ExitStack, url: str) -> Callable[[], float]:
    """Starts a worker of procrastinate; gives what measures COMMIT to the start of a task."""
    app = procrastinate.App(connector=procrastinate.SyncPsycopgConnector(conninfo=url))
    stack.enter_context(app.open())
    app.schema_manager.apply_schema()
    worker = stack.enter_context(
        process(
            "-m",
            "procrastinate",
            "--app=tests.benchmarks.noop_procrastinate.app",
            "worker",
            BENCHMARK_URL=url,
        )
    )
    client = stack.enter_context(connect(url))

    def wake() -> float:
        client.execute("BEGIN")
        app.configure_task("noop", connection=client).defer()
        committed = commit(client)
        return told(worker) - committed

    return wake


def main() -> None:
    parser = measure.parser(__doc__)
    parser.set_defaults(repeats=15)
    options = parser.parse_args()
    with ExitStack() as stack:
        server = stack.enter_context(servers.start(servers.Kind("embedded PostgreSQL 18", "programs")))
        urls = {}
        for name in ("ours", "bare", "pgqueuer", "procrastinate"):
            with psycopg.connect(server, autocommit=True) as admin:
                admin.execute(f"CREATE DATABASE {name}".encode())
            urls[name] = f"{server.rpartition('/')[0]}/{name}"  # a URI: not all take key and value
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        run_test, client = ours(stack, urls["ours"], folder)
        others = [
            round_trip(stack, urls["bare"]),
            one_claim(stack, urls["bare"]),
            pgqueuer_wakeup(stack, urls["pgqueuer"]),
            procrastinate_wakeup(stack, urls["procrastinate"]),
        ]
        (rows,) = client.execute("SELECT version() AS version").fetchall()
        tests: list[Times] = []
        found: list[list[float]] = [[] for _ in others]
        for number in range(options.repeats + 1):
            tested = run_test()
            given = [after_a_rest(other) for other in others]
            if number == 0:  # sessions and plans are new: nobody's first counts
                continue
            tests.append(tested)
            for values, value in zip(found, given, strict=True):
                values.append(value * 1000)
        running, claimed, first_word, completed = (
            median(values) * 1000 for values in zip(*tests, strict=True)
        )
        ping, claim, pgqueuer, procrastinates = map(median, found)
    table = measure.Table(
        "Wake-up", {"PostgreSQL": rows["version"].split()[1], "repeats": options.repeats, "features": 10}
    )
    least = f"NOTIFY round trip {ping:.2f} + claim {claim:.2f}"
    table.add(measure.Row("COMMIT to RUNNING", running, ping + claim, least, "ms", at_most=2))
    for name, reference in (("pgqueuer", pgqueuer), ("procrastinate", procrastinates)):
        table.add(
            measure.Row(
                f"COMMIT to the worker's claim, beside {name}",
                claimed,
                reference,
                "start of its no-op",
                "ms",
                at_least=1,
            )
        )
    limit = "the limit"
    table.add(
        measure.Row("COMMIT to the child's first word", first_word, FIRST_WORD_MS, limit, "ms", at_most=1)
    )
    table.add(
        measure.Row(
            "TEST of xgboost on 1,000 rows, INSERT to COMPLETED",
            completed,
            COMPLETED_MS,
            limit,
            "ms",
            at_most=1,
        )
    )
    table.show(options.json)


if __name__ == "__main__":
    main()
