"""A fourth kind of job, COUNT, is one file of SQL and one of Python: nothing else changes or forgets it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import (
    JOB_TYPES,
    TRAIN,
    Connection,
    Database,
    Worker,
    claim,
    insert_job,
    job_row,
    one,
    ready_model,
    record,
    wait_for,
)
from tests.sql.helpers import call, count, events, refused
from worker.child import kinds
from worker.commands import top
from worker.commands.install import install
from worker.database.connection import connect
from worker.database.reading import count_queue, fetch_overview
from worker.errors import JobError
from worker.service.prometheus import Metrics

COUNT_SQL = Path(__file__).with_name("count.sql")
PERIOD = {"count_start": "2024-01-01", "count_end": "2024-02-01"}


@pytest.fixture(scope="module")
def make_counting(make_database: Callable[[], Database]) -> Callable[[], Database]:
    def make() -> Database:
        db = make_database()
        with db.connect("owner") as owner:
            owner.execute(COUNT_SQL.read_bytes())
        return db

    return make


@pytest.fixture
def db(make_counting: Callable[[], Database]) -> Database:
    return make_counting()


@pytest.fixture
def model_id(client: Connection, worker: Connection) -> int:
    return ready_model(client, worker)


@pytest.fixture
def fields(model_id: int) -> dict[str, Any]:
    """A COUNT that is accepted."""
    return {"job_type": "COUNT", "count_model_id": model_id, **PERIOD}


def take(worker: Connection, *job_types: str) -> dict[str, Any] | None:
    query = "SELECT * FROM ml_internal.claim_job('w1', '1 minute', %s)"
    return worker.execute(query, [list(job_types)]).fetchone()


def taken(client: Connection, worker: Connection, fields: dict[str, Any]) -> int:
    """A COUNT that runs; returns its id."""
    job_id = insert_job(client, **fields)
    claimed = take(worker, "COUNT")
    assert claimed is not None
    assert claimed["id"] == job_id
    return job_id


# ── In the database ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("change", "sqlstate", "message"),
    [
        ({"count_end": None}, "23502", "a COUNT job needs count_end"),
        ({"count_model_id": None, "count_start": None}, "23502", "needs count_model_id, count_start"),
        ({"test_start": "2024-01-01"}, "23514", "a COUNT job has no use for test_start = 2024-01-01"),
        ({"count_end": "2023-01-01"}, "23514", "the period starts at"),
        ({"count_end": "infinity"}, "23514", "is not within the years 2 to 9998"),
        ({"count_model_id": 999}, "23503", "model 999 does not exist"),
        ({"result_count_id": 1}, "23514", "a new job cannot set result_count_id = 1"),
    ],
)
def test_a_wrong_count_is_refused(
    client: Connection, fields: dict[str, Any], change: dict[str, Any], sqlstate: str, message: str
) -> None:
    with refused(sqlstate, message):
        insert_job(client, **fields | change)
    with refused("23514", "a TRAIN job has no use for count_start ="):
        insert_job(client, **TRAIN, count_start="2024-01-01")
    with refused("23514", "job_type 'COUNTS' is unknown", "COMPARE, COUNT, SCORE, TEST, TRAIN"):
        insert_job(client, job_type="COUNTS")


def test_its_request_is_final_and_a_result_without_one_is_none(
    client: Connection, owner: Connection, fields: dict[str, Any]
) -> None:
    job_id = insert_job(client, **fields)
    with refused("ML002", "the request of job"):
        client.execute("UPDATE ml_jobs SET count_end = '2025-01-01' WHERE id = %s", [job_id])
    with refused("23514"), owner.transaction():
        owner.execute("ALTER TABLE ml_jobs DISABLE TRIGGER USER")
        owner.execute("UPDATE ml_jobs SET status = 'COMPLETED', completed_at = now()")


def test_a_worker_that_does_not_know_it_leaves_it_to_others(
    client: Connection, worker: Connection, fields: dict[str, Any]
) -> None:
    waiting = insert_job(client, **fields)
    assert take(worker, *JOB_TYPES) is None
    behind = insert_job(client, **TRAIN)
    assert claim(worker)["id"] == behind
    assert take(worker, *JOB_TYPES) is None
    claimed = take(worker, *JOB_TYPES, "COUNT")
    assert claimed is not None
    assert claimed["id"] == waiting


def test_jobs_of_other_kinds_cost_a_claim_nothing(
    client: Connection, worker: Connection, owner: Connection, fields: dict[str, Any]
) -> None:
    """The look behind many of them reads the head of each kind alone."""
    client.execute(
        """INSERT INTO ml_jobs (job_type, priority, count_model_id, count_start, count_end)
        SELECT 'COUNT', 1, %s, '2024-01-01', '2024-02-01' FROM generate_series(1, 5000)""",
        [fields["count_model_id"]],
    )
    job_id = insert_job(client, **TRAIN)
    owner.execute("ANALYZE ml_jobs")
    read = """
        SELECT sum(pg_stat_get_xact_tuples_returned(c.oid) + pg_stat_get_xact_tuples_fetched(c.oid))::int AS n
        FROM pg_class c WHERE c.relname ~ '^ml_jobs' AND c.relkind IN ('r', 'i')"""
    with worker.transaction():
        before = one(worker, read)["n"]
        assert claim(worker)["id"] == job_id
        assert one(worker, read)["n"] - before < 200


def test_a_model_deleted_meanwhile_fails_it(
    client: Connection, worker: Connection, fields: dict[str, Any]
) -> None:
    job_id = insert_job(client, **fields)
    client.execute("UPDATE ml_models SET is_deleted = true")
    assert take(worker, "COUNT") is None
    assert job_row(client, job_id)["status"] == "FAILED"
    with refused("23503", "was deleted on"):
        insert_job(client, **fields)


def test_its_result_is_fenced_and_a_repeated_call_gets_the_answer_again(
    client: Connection, worker: Connection, fields: dict[str, Any]
) -> None:
    job_id = taken(client, worker, fields)
    with refused("ML001", f"attempt 2 does not hold job {job_id}"):
        record(worker, job_id, 2, num_rows=7)
    for wrong in ({"num_rows": 7, "rows": 7}, {"num_rows": 7, "ml_curve_points": []}):
        with refused("42703", "the result of a COUNT job has no"):
            record(worker, job_id, 1, **wrong)
    for owned in ("id", "created_at"):
        with refused("428C9", f"the result of a COUNT job cannot set {owned}"):
            record(worker, job_id, 1, num_rows=7, **{owned: 1})
    with refused("23502", "the result of a COUNT job needs num_rows"):
        record(worker, job_id, 1)
    with refused("23514"):
        record(worker, job_id, 1, num_rows=-1)
    result_id = record(worker, job_id, 1, num_rows=7)
    assert record(worker, job_id, 1, num_rows=8) == result_id
    job = job_row(client, job_id)
    assert (job["status"], job["result_count_id"], job["progress_msg"]) == ("COMPLETED", result_id, "7 rows")
    assert one(client, "SELECT num_rows FROM ml_counts")["num_rows"] == 7


def test_a_lost_attempt_is_retried_and_a_cancelled_one_is_over(
    client: Connection, worker: Connection, fields: dict[str, Any]
) -> None:
    job_id = taken(client, worker, fields)
    assert call(worker, "record_loss", job_id, 1, "killed") == "PENDING"
    assert (take(worker, "COUNT") or {})["attempt"] == 2
    client.execute("CALL ml.cancel_job(%s)", [job_id])
    with refused("ML001"):
        record(worker, job_id, 2, num_rows=7)
    assert events(client, job_id) == [(1, "CLAIMED"), (1, "EXPIRED"), (2, "CLAIMED"), (2, "CANCELLED")]


def test_people_see_it_wherever_they_look(
    db: Database, client: Connection, worker: Connection, reader: Connection, fields: dict[str, Any]
) -> None:
    name = one(reader, "SELECT name FROM ml_models")["name"]
    insert_job(client, **fields)
    done = taken(client, worker, fields | {"priority": 1})
    record(worker, done, 1, num_rows=7)
    queued = one(reader, "SELECT * FROM ml_queue")
    assert (queued["job_type"], queued["model"], queued["status"]) == ("COUNT", name, "PENDING")
    told: list[str] = []
    client.add_notice_handler(lambda said: told.append(said.message_primary or ""))
    client.execute("CALL ml.wait(%s)", [done])
    assert told == [f"job {done} COMPLETED: 7 rows"]
    today = "day = (now() AT TIME ZONE 'UTC')::date AND job_type = 'COUNT'"
    daily = one(reader, f"SELECT * FROM ml_daily_jobs WHERE {today}")
    assert (daily["submitted"], daily["completed"]) == (2, 1)
    assert one(reader, f"SELECT * FROM ml_daily_durations WHERE {today}")["completed"] == 1
    fact = one(reader, "SELECT * FROM ml_fact_jobs WHERE job_id = %s", [done])
    assert (fact["model_id"], str(fact["period_end"])[:10]) == (fields["count_model_id"], "2024-02-01")
    page = [row["report"] for row in reader.execute("SELECT ml.report(%s)", [fields["count_model_id"]])]
    assert page[page.index("COUNT jobs: 1") + 1] == f"  job {done}, 2024-01-01 to 2024-02-01: 7 rows"
    previewed = {row["what"]: row["result"] for row in reader.execute("SELECT * FROM ml.preview(%s)", [done])}
    assert previewed["label"] == "market_cap_close > 50000"
    with connect(db.login("rosa")) as connection:
        overview, counts = fetch_overview(connection, top.LIMIT), count_queue(connection)
    shown = {(job["job_type"], job["status"]): job for job in overview["jobs"]}
    assert (shown["COUNT", "COMPLETED"]["progress_msg"], shown["COUNT", "PENDING"]["model"]) == (
        "7 rows",
        name,
    )
    metrics = Metrics()
    metrics.set_queue(counts)
    labels = {"type": "COUNT", "state": "PENDING"}
    assert metrics.registry.get_sample_value("ml_queue_jobs", labels) == 1


def test_teams_are_separated_and_old_jobs_pruned(
    owner: Connection, client: Connection, worker: Connection, fields: dict[str, Any]
) -> None:
    job_id = taken(client, worker, fields)
    record(worker, job_id, 1, num_rows=7)
    with refused("ML003", "ml_counts is append-only"):
        owner.execute("DELETE FROM ml_counts")
    owner.execute("CALL ml.separate_teams(true)")
    with owner.transaction(force_rollback=True):
        owner.execute("CREATE ROLE stranger NOLOGIN IN ROLE ml_client")
        owner.execute("GRANT stranger TO CURRENT_USER")
        owner.execute("SET LOCAL ROLE stranger")
        assert count(owner, "ml_counts") == 0
        with refused("23503", "does not exist"), owner.transaction():
            insert_job(owner, **fields)
    assert count(client, "ml_counts") == 1
    owner.execute("CALL ml.prune('0 seconds')")
    assert count(owner, "ml_counts") == 1  # a living model rests on it
    client.execute("UPDATE ml_models SET is_deleted = true")
    owner.execute("CALL ml.prune('0 seconds')")
    assert {table: count(owner, table) for table in ("ml_counts", "ml_jobs", "ml_models")} == {
        "ml_counts": 0,
        "ml_jobs": 0,
        "ml_models": 0,
    }


def test_the_file_can_be_run_again_and_so_can_the_installation(
    db: Database, owner: Connection, client: Connection, worker: Connection, fields: dict[str, Any]
) -> None:
    record(worker, taken(client, worker, fields), 1, num_rows=7)
    checks = "SELECT oid FROM pg_constraint WHERE contype = 'c' ORDER BY oid"
    before = owner.execute(checks).fetchall()
    owner.execute(COUNT_SQL.read_bytes())
    install(db.login("owner"))
    assert owner.execute(checks).fetchall() == before  # none was made anew: each reads the whole table
    record(worker, taken(client, worker, fields), 1, num_rows=8)
    assert count(client, "ml_counts") == 2


# ── In the worker ───────────────────────────────────────────────────────────────────────────────────


def test_the_kinds_that_come_with_the_worker_are_its_files() -> None:
    assert kinds.names() == set(JOB_TYPES)


def test_a_worker_does_it_and_one_without_it_does_not(
    db: Database,
    client: Connection,
    worker: Connection,
    fields: dict[str, Any],
    tmp_path: Path,
    provide: Callable[[str, str], None],
    start_worker: Callable[..., Worker],
) -> None:
    with pytest.raises(
        JobError, match="this worker does no jobs of type COUNT, only COMPARE, SCORE, TEST, TRAIN"
    ):
        kinds.load("COUNT")
    provide("ml_worker.kinds", "tests.kinds.count")
    assert kinds.names() == {*JOB_TYPES, "COUNT"}
    job_id = insert_job(client, **fields)
    start_worker(db, PYTHONPATH=str(tmp_path))
    job = wait_for(client, job_id)
    expected = count(client, "coin_metrics WHERE timestamp >= '2024-01-01' AND timestamp < '2024-02-01'")
    assert (job["status"], job["progress_msg"]) == ("COMPLETED", f"{expected} rows")
    assert expected > 0
