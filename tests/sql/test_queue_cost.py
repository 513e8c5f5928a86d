"""The queue stays flat: what a worker asks reads as many rows with many jobs as with few.

Counted are rows and index entries as PostgreSQL's executor counts them for EXPLAIN, by its statistics of the
transaction: they reach into routines and triggers.
"""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row, tuple_row

from tests.conftest import TRAIN, Connection, Database, claim, insert_job, one
from tests.sql.helpers import call, complete
from worker.database import queue
from worker.database.reading import count_queue
from worker.protocol import Job

FEW, MANY = 200, 20_000
AT_MOST = 1.3
ROWS = Path(__file__).parents[1] / "benchmarks" / "bench_queue.sql"

ROWS_READ = """
    SELECT sum(pg_stat_get_xact_tuples_returned(c.oid) + pg_stat_get_xact_tuples_fetched(c.oid))::integer AS n
    FROM pg_class c
    WHERE c.relnamespace IN ('public'::regnamespace, 'ml'::regnamespace) AND c.relkind IN ('r', 'i')
"""

Step = Callable[[Connection], object]


def _filled(make_database: Callable[[], Database], finished: int, pending: int) -> Database:
    made = make_database()
    rows = ROWS.read_text(encoding="utf-8")
    with psycopg.connect(made.url, autocommit=True) as admin:
        admin.execute(rows.replace(":finished", str(finished)).replace(":pending", str(pending)).encode())
        admin.execute("VACUUM (ANALYZE, PARALLEL 0)")
    return made


@pytest.fixture(scope="module")
def few(make_database: Callable[[], Database]) -> Database:
    return _filled(make_database, FEW, FEW)


@pytest.fixture(scope="module")
def many(make_database: Callable[[], Database]) -> Database:
    return _filled(make_database, MANY, MANY)


@pytest.fixture(scope="module")
def many_ended(make_database: Callable[[], Database]) -> Database:
    return _filled(make_database, MANY, FEW)


def rows_read(db: Database, prepare: Step, measured: Step) -> int:
    """Rows that a step of the worker reads after another; both are undone."""
    with db.connect("wanda") as worker, worker.transaction(force_rollback=True):
        prepare(worker)
        before = one(worker, ROWS_READ)["n"]
        measured(worker)
        return int(one(worker, ROWS_READ)["n"] - before)


def job_of(worker: Connection) -> Job:
    """The job that runs."""
    row = one(worker, "SELECT id, attempt, job_type FROM ml_jobs WHERE status = 'RUNNING'")
    return Job(**row)


def nothing(_worker: Connection) -> None:
    """Nothing has to come before."""


def progress(worker: Connection) -> None:
    worker.execute(
        "SELECT ml_internal.record_progress(%s, 1, 0.5, 'half', '30 seconds')", [job_of(worker).id]
    )


def finish(worker: Connection) -> None:
    job = job_of(worker)
    complete(worker, job.id, job.job_type)


def end(routine: str) -> Step:
    """Fail, lose or give back the job that runs."""
    return lambda worker: call(worker, routine, job_of(worker).id, 1, "because")


def claim_without_lease(worker: Connection) -> None:
    claim(worker, lease="0 seconds")


def look_for_lost_jobs(worker: Connection) -> None:
    job = job_of(worker)
    worker.row_factory = tuple_row  # type: ignore[assignment]
    assert queue.lost_jobs(worker, [job]) == set()  # type: ignore[arg-type]
    worker.row_factory = dict_row


STEPS: dict[str, tuple[Step, Step]] = {
    "claim": (nothing, claim),
    "progress": (claim, progress),
    "completion": (claim, finish),
    "failure": (claim, end("record_failure")),
    "loss": (claim, end("record_loss")),
    "release": (claim, end("release_job")),
    "expired leases": (claim_without_lease, lambda worker: call(worker, "expire_leases")),
    "lost jobs": (claim, look_for_lost_jobs),
    "held jobs": (claim, lambda worker: queue.held_jobs(worker, "w1")),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_of_the_worker_reads_as_many_rows_however_many_jobs_there_are(
    few: Database, many: Database, step: str
) -> None:
    in_few, in_many = (rows_read(db, *STEPS[step]) for db in (few, many))
    assert 0 < in_many <= AT_MOST * in_few, (in_few, in_many)


@pytest.mark.parametrize("step", ["claim", "completion"])
def test_a_training_reads_as_many_rows_however_many_jobs_there_are(
    few: Database, many: Database, step: str
) -> None:
    counts = []
    for db in (few, many):
        with db.connect("anna") as client:
            job_id = insert_job(client, **TRAIN, priority=1)
            counts.append(rows_read(db, *STEPS[step]))
            client.execute("CALL ml.cancel_job(%s)", [job_id])
    assert 0 < counts[1] <= AT_MOST * counts[0], counts


def test_the_worker_s_count_of_the_queue_reads_no_job_that_has_ended(
    few: Database, many_ended: Database
) -> None:
    def count(worker: Connection) -> None:
        count_queue(worker)  # type: ignore[arg-type]

    in_few, in_many = (rows_read(db, nothing, count) for db in (few, many_ended))
    assert 0 < in_many <= AT_MOST * in_few, (in_few, in_many)


def test_a_job_of_many_reads_no_more_than_one_of_few_even_where_the_queue_was_empty(
    make_database: Callable[[], Database],
) -> None:
    """After ANALYZE of an empty table the planner thinks that reading all of it costs nothing."""

    def read_by_each(jobs: int) -> float:
        db = make_database()
        with psycopg.connect(db.url, autocommit=True) as admin:
            admin.execute("VACUUM ANALYZE")
        with db.connect("owner") as client, client.transaction():
            before = one(client, ROWS_READ)["n"] or 0
            client.execute(
                """INSERT INTO ml_jobs (job_type, train_target_var, train_operator, train_value, train_start,
                    train_end, train_features_csv, train_model_type)
                SELECT 'TRAIN', 'volume_sol', '>', 5, '2024-01-01', '2024-03-01', 'price_open', 'xgboost'
                FROM generate_series(1, %s)""",
                [jobs],
            )
            return float(one(client, ROWS_READ)["n"] - before) / jobs

    assert read_by_each(1000) <= AT_MOST * read_by_each(50)
