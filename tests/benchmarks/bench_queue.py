"""What the queue costs: ``python -m tests.benchmarks.bench_queue [--pending N] [--finished N]``.

``flat``: a session claims a job and completes it, with many jobs that wait and that have ended, beside a
table without any. ``throughput``: eight sessions do that as fast as they can, beside pgqueuer and
procrastinate taking one job at a time: the SQL that these libraries send to fetch a job and to finish it, by
the same loop. ``bulk``: an INSERT of 10,000 jobs beside the same with all triggers off, foreign keys among
them; all undone.
``--only`` does one of these.

The jobs are TESTs: one small result and no model, so what is measured is the queue (bulk: TRAIN, too). The
results come without a curve, which is work of the job and not of the queue. The server is the embedded one as
``ml-worker`` makes it: fsync and synchronous_commit are on, and psycopg prepares the statements.
"""

import multiprocessing
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment, QueryQueueBuilder
from pgqueuer.domain.types import QueueEntrypoint, QueueManagerId
from procrastinate import schema
from procrastinate import sql as procrastinate_sql
from psycopg.conninfo import make_conninfo

from tests.benchmarks import measure
from worker.commands.install import install
from worker.embedded import Server

Connection = psycopg.Connection[tuple[Any, ...]]

ROWS = Path(__file__).with_suffix(".sql")
MODELS_JOBS = 1000  # so many jobs make 100 models to test
JOBS = 100  # jobs of one measurement of one session
SESSIONS = 8
SECONDS = 1.0  # of one measurement of all sessions
SWEEP = 10_000
# Checkpoints come at any moment, for whoever measures just then.
SETTINGS = ("max_wal_size = 8GB", "checkpoint_timeout = 1h", "autovacuum = off")

CLAIM: LiteralString = (
    "SELECT j.id, j.attempt FROM ml_internal.claim_job(%s, '30 seconds', '{TRAIN,TEST,COMPARE}') j"
)
RECORD: LiteralString = """
    SELECT ml_internal.record_result(%s, %s, jsonb_build_object(
        'num_unlabelled', 5, 'num_positive', 50, 'num_negative', 150, 'tp', 40, 'tn', 140, 'fp', 10, 'fn', 10,
        'roc_auc', 0.9, 'feature_importance_csv', 'price_open=1.0000', 'data_fingerprint', repeat('b', 64),
        'seconds_loading', 0.1, 'seconds_scoring', 0.2
    ))
"""
TEST: LiteralString = """
    INSERT INTO ml_jobs (job_type, test_model_id, test_start, test_end)
    SELECT 'TEST', m.id, '2024-03-01', '2024-04-01'
    FROM generate_series(1, {jobs}) i
    JOIN (SELECT id, row_number() OVER (ORDER BY id) AS place FROM ml_models ORDER BY id LIMIT 100) m
        ON m.place = 1 + i % 100
"""
TRAIN: LiteralString = """
    INSERT INTO ml_jobs (
        job_type, train_target_var, train_operator, train_value, train_start, train_end,
        train_features_csv, train_phases_csv, train_model_type, train_params_csv, train_model_name,
        train_test_size, train_random_state
    )
    SELECT
        'TRAIN', 'market_cap_close', '>', 50000, '2024-01-01', '2024-03-01',
        'price_open,price_high,price_low,volume_sol', '1,2,3', 'xgboost',
        format('n_estimators=%s;max_depth=%s;learning_rate=0.1', 10 * a, b), {name}, 0.2, 42
    FROM generate_series(1, 100) a, generate_series(1, {jobs} / 100) b
"""
NAMED: LiteralString = "format('sweep_%s_%s', a, b)"


def connect(url: str) -> Connection:
    """Everything is prepared at once."""
    connection = psycopg.connect(url, autocommit=True)
    connection.prepare_threshold = 0
    return connection


@contextmanager
def durable_server() -> Iterator[Callable[[str], str]]:
    """Start a server; gives what makes a database and returns its connection string."""
    with tempfile.TemporaryDirectory(prefix="ml-bench-") as folder:
        server = Server(Path(folder), settings=SETTINGS)
        server.start()

        def make(name: str) -> str:
            with connect(server.tcp_url("postgres")) as admin:
                admin.execute(f"CREATE DATABASE {name}".encode())
            return make_conninfo(server.tcp_url("postgres"), dbname=name)

        try:
            yield make
        finally:
            server.stop()


def fill(url: str, finished: int, pending: int) -> None:
    """Install, and make the rows; what is measured afterwards waits for no disk that they keep busy."""
    install(url)
    with connect(url) as admin:
        admin.execute("ALTER SYSTEM SET fsync = off")
        admin.execute("SELECT pg_reload_conf()")
        text = ROWS.read_text(encoding="utf-8")
        admin.execute(
            text.replace(":finished", str(finished)).replace(":pending", str(pending)).encode(), prepare=False
        )
        admin.execute("VACUUM (ANALYZE, PARALLEL 0)")
        admin.execute("ALTER SYSTEM RESET fsync")
        admin.execute("SELECT pg_reload_conf()")
        admin.execute("CHECKPOINT")


# ── One session ─────────────────────────────────────────────────────────────────────────────────────


def claim_and_complete(connection: Connection) -> float:
    """Median of the milliseconds that a job takes from the claim to the answer of its completion."""
    taken = []
    connection.execute(TEST.format(jobs=JOBS).encode())
    for _ in range(JOBS):
        began = time.perf_counter()
        job = connection.execute(CLAIM, ["bench"]).fetchone()
        assert job is not None
        connection.execute(RECORD, job)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1000


def measure_flat(table: measure.Table, options: Any) -> None:
    """The row of ``flat``."""
    with durable_server() as make, ExitStack() as stack:
        connections = []
        for name, finished, pending in (
            ("filled", options.finished, options.pending),
            ("empty", MODELS_JOBS, 0),
        ):
            fill(url := make(name), finished, pending)
            connections.append(stack.enter_context(connect(url)))
        for connection in connections:
            claim_and_complete(connection)  # plans are made, pages read
        ours, empty = measure.alternate(
            [lambda c=c: claim_and_complete(c) for c in connections],  # type: ignore[misc]
            options.repeats,
        )
    table.add(
        measure.Row(
            f"claim and completion with {options.pending:,} PENDING and {options.finished:,} finished jobs",
            ours,
            empty,
            "an empty table",
            "ms",
            at_most=1.3,
        )
    )


# ── Eight sessions ──────────────────────────────────────────────────────────────────────────────────

Loop = Callable[[Connection, float], int]


def loop_ours(connection: Connection, until: float) -> int:
    """As the supervisor does: claim a job, and record its result."""
    done = 0
    while time.monotonic() < until:
        job = connection.execute(CLAIM, ["bench"]).fetchone()
        assert job is not None
        connection.execute(RECORD, job)
        done += 1
    return done


def loop_pgqueuer(connection: Connection, until: float) -> int:
    """As ``Queries.dequeue`` and ``Queries.log_jobs`` of the library do with psycopg."""
    build = QueryQueueBuilder()
    manager = QueueManagerId(uuid.uuid4())
    finish = build.build_log_job_query()
    cursor = psycopg.RawCursor(connection)
    done = 0
    while time.monotonic() < until:
        query = build.build_dequeue_query(
            batch_size=1,
            entrypoints=[QueueEntrypoint("noop")],
            concurrency_limits=[0],
            queue_manager_id=manager,
            global_concurrency_limit=None,
            heartbeat_timeout=timedelta(seconds=30),
        )
        job = cursor.execute(query.sql.encode(), query.args).fetchone()
        assert job is not None
        cursor.execute(finish.encode(), [[job[0]], ["successful"], [None]])
        done += 1
    return done


def loop_procrastinate(connection: Connection, until: float) -> int:
    """As ``JobManager.fetch_job`` and ``JobManager.finish_job`` of the library do."""
    fetch = procrastinate_sql.queries["fetch_job"].encode()
    finish = procrastinate_sql.queries["finish_job"].encode()
    row = connection.execute("SELECT worker_id FROM procrastinate_register_worker_v1()").fetchone()
    assert row is not None
    done = 0
    while time.monotonic() < until:
        job = connection.execute(fetch, {"queues": None, "worker_id": row[0]}).fetchone()
        assert job is not None
        assert job[0] is not None  # it gives an empty row where none waits
        connection.execute(finish, {"job_id": job[0], "status": "succeeded", "delete_job": False})
        done += 1
    return done


@dataclass
class Contender:
    """A queue with its eight sessions, each a process."""

    url: str
    add_jobs: str
    pipes: Sequence[Pipe]

    def jobs_a_second(self, seconds: float) -> float:
        """Jobs that the sessions claim and complete in a second."""
        with connect(self.url) as admin:
            admin.execute(self.add_jobs.encode())
            admin.execute("VACUUM (ANALYZE, PARALLEL 0)")
        began = time.monotonic()
        for pipe in self.pipes:
            pipe.send(began + seconds)
        done: int = sum(pipe.recv() for pipe in self.pipes)
        return done / (time.monotonic() - began)


def _serve(url: str, loop: Loop, listen: str, pipe: Pipe) -> None:
    with connect(url) as connection:
        if listen:
            connection.add_notify_handler(lambda _notification: None)
            connection.execute(f'LISTEN "{listen}"'.encode())
        while (until := pipe.recv()) is not None:
            pipe.send(loop(connection, until))


def _contender(stack: ExitStack, url: str, loop: Loop, add_jobs: str, listen: str) -> Contender:
    context = multiprocessing.get_context("spawn")
    pipes = []
    for _ in range(SESSIONS):
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(url, loop, listen, theirs), daemon=True)
        process.start()
        stack.callback(process.join, 10)
        stack.callback(ours.send, None)
        pipes.append(ours)
    return Contender(url, add_jobs, pipes)


def measure_throughput(table: measure.Table, options: Any) -> None:
    """The rows of ``throughput``."""
    jobs = int(options.seconds * 5000)  # more than any of them can do
    with durable_server() as make, ExitStack() as stack:
        fill(url := make("ours"), MODELS_JOBS, 0)
        channel = {
            "ours": "ml_jobs",
            "pgqueuer": "ch_pgqueuer",
            "procrastinate": "procrastinate_any_queue_v1",
        }
        if not options.listen:
            channel = dict.fromkeys(channel, "")
        ours = _contender(stack, url, loop_ours, TEST.format(jobs=jobs), channel["ours"])
        with connect(url := make("pgqueuer")) as admin:
            admin.execute(QueryBuilderEnvironment().build_install_query().encode(), prepare=False)
        pgqueuer = _contender(
            stack,
            url,
            loop_pgqueuer,
            "INSERT INTO pgqueuer (priority, entrypoint, status) "
            f"SELECT 0, 'noop', 'queued' FROM generate_series(1, {jobs})",
            channel["pgqueuer"],
        )
        with connect(url := make("procrastinate")) as admin:
            admin.execute(schema.SchemaManager.get_schema().encode(), prepare=False)
        procrastinate = _contender(
            stack,
            url,
            loop_procrastinate,
            "INSERT INTO procrastinate_jobs (queue_name, task_name) "
            f"SELECT 'default', 'noop' FROM generate_series(1, {jobs})",
            channel["procrastinate"],
        )
        contenders = [ours, pgqueuer, procrastinate]
        for contender in contenders:
            contender.jobs_a_second(0.5)
        rates = measure.alternate(
            [lambda c=c: c.jobs_a_second(options.seconds) for c in contenders],  # type: ignore[misc]
            options.repeats,
        )
    for name, rate in zip(("pgqueuer", "procrastinate"), rates[1:], strict=True):
        what = f"jobs claimed and completed by {SESSIONS} sessions"
        table.add(measure.Row(what, rates[0], rate, name, "jobs/s", at_least=1))


# ── Many jobs at once ───────────────────────────────────────────────────────────────────────────────


def insert_ms(connection: Connection, query: str, role: str) -> float:
    """Milliseconds of a statement that is undone."""
    with connection.transaction(force_rollback=True):
        connection.execute(f"SET LOCAL session_replication_role = {role}".encode())
        began = time.perf_counter()
        connection.execute(query.encode())
        taken = time.perf_counter() - began
    connection.execute("VACUUM ml_jobs")
    return taken * 1000


def measure_bulk(table: measure.Table, options: Any) -> None:
    """The rows of ``bulk``."""
    with durable_server() as make:
        fill(url := make("bulk"), 10_000, 0)
        with connect(url) as admin:
            for what, query, reference in (
                ("TRAIN jobs with names", TRAIN.format(jobs=SWEEP, name=NAMED), None),
                (
                    "TRAIN jobs without names",
                    TRAIN.format(jobs=SWEEP, name="NULL"),
                    TRAIN.format(jobs=SWEEP, name=NAMED),
                ),
                ("TEST jobs", TEST.format(jobs=SWEEP), None),
            ):
                ours, bare = measure.alternate(
                    [
                        lambda q=query: insert_ms(admin, q, "origin"),  # type: ignore[misc]
                        lambda q=reference or query: insert_ms(admin, q, "replica"),  # type: ignore[misc]
                    ],
                    options.repeats,
                )
                table.add(
                    measure.Row(
                        f"INSERT of {SWEEP:,} {what}", ours, bare, "without triggers", "ms", at_most=10
                    )
                )


PARTS = {"flat": measure_flat, "throughput": measure_throughput, "bulk": measure_bulk}


def main() -> None:
    parser = measure.parser(__doc__)
    parser.add_argument("--pending", type=int, default=10_000, help="jobs that wait")
    parser.add_argument("--finished", type=int, default=100_000, help="jobs that have ended")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="length of a measurement of throughput"
    )
    parser.add_argument("--listen", action="store_true", help="every session listens, as workers do")
    parser.add_argument("--only", choices=PARTS)
    options = parser.parse_args()
    table = measure.Table("queue", {"server": "embedded PostgreSQL 18"})
    for name, part in PARTS.items():
        if options.only in (None, name):
            part(table, options)
    table.show(options.json)


if __name__ == "__main__":
    main()
