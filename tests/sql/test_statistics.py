"""Statistics a day and tidy dimensions and facts, against numbers counted by hand."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.conftest import (
    JOB_TYPES,
    TRAIN,
    Connection,
    Database,
    claim,
    insert_job,
    job_row,
    one,
    ready_model,
)
from tests.sql.helpers import TEST_PERIOD, call, complete, count, request, running_job

DAY = timedelta(days=1)


@pytest.fixture
def db(make_database: Callable[[], Database]) -> Database:
    """A database for this test alone: it counts all that is there."""
    return make_database()


@pytest.fixture
def today() -> datetime:
    """Noon of yesterday, UTC: no moment near it is in the future or on another day."""
    return datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - DAY


def move(owner: Connection, table: str, where: str, **times: datetime | None) -> None:
    """Set times of rows, which only the owner can, with the rules switched off."""
    changes = ", ".join(f"{name} = %s" for name in times)
    with owner.transaction():
        owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER".encode())
        changed = owner.execute(f"UPDATE {table} SET {changes} WHERE {where}".encode(), [*times.values()])
        assert changed.rowcount > 0, where
        owner.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER".encode())


def move_job(owner: Connection, job_id: int, start: datetime, waiting: float, running: float) -> None:
    """Let a job have come, started and ended at these times."""
    started = start + timedelta(seconds=waiting)
    ended = started + timedelta(seconds=running)
    move(owner, "ml_jobs", f"id = {job_id}", created_at=start, started_at=started, completed_at=ended)


def rows(reader: Connection, view: str, where: str = "true", order: str = "1, 2") -> list[dict[str, Any]]:
    return reader.execute(f"SELECT * FROM {view} WHERE {where} ORDER BY {order}".encode()).fetchall()


def test_a_series_has_thirty_days_of_each_type_also_where_there_is_nothing(reader: Connection) -> None:
    for view in ("ml_daily_jobs", "ml_daily_durations"):
        found = rows(reader, view)
        assert len(found) == 30 * len(JOB_TYPES)
        assert {row["job_type"] for row in found} == set(JOB_TYPES)
        today = one(reader, "SELECT (now() AT TIME ZONE 'UTC')::date AS day")["day"]
        assert {row["day"] for row in found} == {today - n * DAY for n in range(30)}
        assert {row.get("submitted", row.get("completed")) for row in found} == {0}


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati"])
def test_days_are_utc_wherever_the_reader_is(
    client: Connection, worker: Connection, owner: Connection, reader: Connection, today: datetime, zone: str
) -> None:
    job_id = running_job(client, worker)
    complete(worker, job_id, "TRAIN")
    move_job(owner, job_id, today.replace(hour=0), 0, 0)
    reader.execute(f"SET TimeZone = '{zone}'".encode())
    (row,) = rows(reader, "ml_daily_jobs", "submitted > 0 OR completed > 0")
    assert (row["day"], row["submitted"], row["completed"]) == (today.date(), 1, 1)


def test_jobs_are_counted_a_day_and_type(
    client: Connection, worker: Connection, owner: Connection, reader: Connection, today: datetime
) -> None:
    done, failed, cancelled, again = (running_job(client, worker) for _ in range(4))
    complete(worker, done, "TRAIN")
    call(worker, "record_failure", failed, 1, "no rows")
    client.execute("CALL ml.cancel_job(%s)", [cancelled])
    call(worker, "release_job", again, 1, "stopped")
    complete(worker, claim(worker)["id"], "TRAIN", attempt=2)
    model_id = job_row(client, done)["result_model_id"]
    test = insert_job(client, job_type="TEST", test_model_id=model_id, **TEST_PERIOD)
    complete(worker, claim(worker)["id"], "TEST")
    for job_id in (done, failed, cancelled, again):
        move_job(owner, job_id, today - DAY, 86400, 5)
    move_job(owner, test, today, 5, 5)
    found = {
        (row["job_type"], row["day"]): tuple(row.values())[2:]
        for row in rows(reader, "ml_daily_jobs", "submitted + completed + failed + cancelled > 0")
    }
    assert found == {
        ("TRAIN", (today - DAY).date()): (4, 0, 0, 0, 0),
        ("TRAIN", today.date()): (0, 2, 1, 1, 1),
        ("TEST", today.date()): (1, 1, 0, 0, 0),
    }


def test_durations_are_percentiles_of_the_completed_jobs(
    client: Connection, worker: Connection, owner: Connection, reader: Connection, today: datetime
) -> None:
    for number in range(1, 12):
        job_id = running_job(client, worker)
        complete(worker, job_id, "TRAIN")
        move_job(owner, job_id, today, 10 * number, number)
    failed = running_job(client, worker)
    call(worker, "record_failure", failed, 1, "no rows")
    move_job(owner, failed, today, 10_000, 10_000)
    (row,) = rows(reader, "ml_daily_durations", "completed > 0")
    assert list(row.values())[:3] == [today.date(), "TRAIN", 11]
    # Of 11 values the median is the 6th, the 90th percentile the 10th, the 99th at 0.9 between the last two.
    assert list(row.values())[3:] == pytest.approx([60, 100, 109, 6, 10, 10.9])


def test_losses_are_counted_a_day_and_type(
    client: Connection, worker: Connection, owner: Connection, reader: Connection, today: datetime
) -> None:
    job_id = running_job(client, worker)
    call(worker, "record_loss", job_id, 1, "killed")
    claim(worker)
    call(worker, "release_job", job_id, 2, "stopped")
    claim(worker)
    call(worker, "record_loss", job_id, 3, "killed")
    move(owner, "ml_job_events", "event IN ('EXPIRED', 'RELEASED')", created_at=today)
    (row,) = rows(reader, "ml_daily_losses")
    assert list(row.values()) == [today.date(), "TRAIN", 2, 1, 1]


def test_failures_of_one_kind_are_one_reason(
    client: Connection, worker: Connection, owner: Connection, reader: Connection
) -> None:
    said = [
        'the model name "a 1" is taken by model 17',
        'the model name "b" is taken by model 4',
        "too little to learn from: 12 labelled rows; needed are 20 rows",
        "too little to learn from: 7.5 labelled rows; needed are 20 rows",
        "no memory",
    ]
    jobs = [running_job(client, worker) for _ in said]
    for job_id, message in zip(jobs, said, strict=True):
        call(worker, "record_failure", job_id, 1, message)
    old = running_job(client, worker)
    call(worker, "record_failure", old, 1, "no memory")
    move_job(owner, old, datetime.now(UTC) - 40 * DAY, 1, 1)
    found = {row["reason"]: row for row in rows(reader, "ml_failures")}
    assert {reason: row["failures"] for reason, row in found.items()} == {
        "the model name ... is taken by model ...": 2,
        "too little to learn from: ... labelled rows; needed are ... rows": 2,
        "no memory": 1,
    }
    name = found["the model name ... is taken by model ..."]
    assert (name["job_type"], name["example_job_id"], name["example"]) == ("TRAIN", jobs[1], said[1])
    assert name["first_at"] == job_row(client, jobs[0])["completed_at"]
    assert name["last_at"] == job_row(client, jobs[1])["completed_at"]


def test_artifacts_are_summed_a_model_type(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    models = []
    for size in (1000, 3000, 200):
        job_id = running_job(client, worker, **TRAIN)
        complete(worker, job_id, "TRAIN", artifact_bytes=size)
        models.append(job_row(client, job_id)["result_model_id"])
    other = running_job(client, worker, **TRAIN | {"train_model_type": "xgboost"})
    complete(worker, other, "TRAIN", artifact_bytes=7)
    client.execute("UPDATE ml_models SET is_deleted = true WHERE id = %s", [models[0]])
    assert [list(row.values()) for row in rows(reader, "ml_artifact_sizes")] == [
        ["logistic_regression", 3, 1, 4200, 1400, 3000],
        ["xgboost", 1, 0, 7, 7, 7],
    ]


def test_quality_is_the_best_and_the_median_test_of_a_day(
    client: Connection, worker: Connection, owner: Connection, reader: Connection, today: datetime
) -> None:
    model_id = ready_model(client, worker)
    for auc, tp in (("0.7", 40), ("0.9", 20), ("0.6", 10)):
        insert_job(client, job_type="TEST", test_model_id=model_id, **TEST_PERIOD)
        complete(worker, claim(worker)["id"], "TEST", roc_auc=auc, tp=tp, fn=50 - tp)
    move(owner, "ml_test_results", "true", created_at=today)
    (row,) = rows(reader, "ml_daily_quality")
    # F1 is 2tp / (2tp + fp + fn): 80/100, 40/80, 20/70.
    assert [str(value) for value in row.values()] == [
        str(today.date()),
        "logistic_regression",
        "3",
        "0.8000",
        "0.5000",
        "0.9000",
        "0.7000",
    ]


# ── ml_worker_days ──────────────────────────────────────────────────────────────────────────────────


def worker_days(reader: Connection) -> dict[tuple[Any, str], tuple[Any, ...]]:
    return {
        (row["day"], row["worker_id"]): (row["attempts"], row["busy_seconds"])
        for row in rows(reader, "ml_worker_days")
    }


def attempt(
    client: Connection, worker: Connection, owner: Connection, name: str, start: datetime, seconds: float
) -> int:
    """A TRAIN job that a worker completed in so many seconds from a moment."""
    job_id = insert_job(client, **TRAIN)
    assert claim(worker, name)["id"] == job_id
    complete(worker, job_id, "TRAIN")
    move_job(owner, job_id, start, 0, seconds)
    return job_id


def test_a_worker_is_busy_as_long_as_its_attempts_took(
    client: Connection, worker: Connection, owner: Connection, reader: Connection, today: datetime
) -> None:
    attempt(client, worker, owner, "h1:1:a", today, 3600)
    attempt(client, worker, owner, "h1:1:a", today, 7200)
    attempt(client, worker, owner, "h2:1:a", today, 60)
    assert worker_days(reader) == {
        (today.date(), "h1:1:a"): (2, 10800),
        (today.date(), "h2:1:a"): (1, 60),
    }
    row = one(reader, "SELECT host, busy_share FROM ml_worker_days WHERE worker_id = 'h1:1:a'")
    assert row == {"host": "h1", "busy_share": 0.125}


def test_an_attempt_through_midnight_counts_for_each_of_its_days(
    client: Connection, worker: Connection, owner: Connection, reader: Connection, today: datetime
) -> None:
    attempt(client, worker, owner, "w", today - 2 * DAY, 2 * 86400)
    noon, half = today.date(), 12 * 3600
    assert worker_days(reader) == {
        (noon - 2 * DAY, "w"): (0, half),
        (noon - DAY, "w"): (0, 86400),
        (noon, "w"): (1, half),
    }


def test_a_lost_attempt_kept_its_worker_busy_too_and_only_once(
    client: Connection, worker: Connection, owner: Connection, reader: Connection, today: datetime
) -> None:
    """One job: lost by the first worker, given back by the second, and then it FAILED with the third."""
    job_id = insert_job(client, **TRAIN, max_attempts=2)
    claim(worker, "w1")
    call(worker, "record_loss", job_id, 1, "killed")
    claim(worker, "w2")
    call(worker, "release_job", job_id, 2, "stopped")
    claim(worker, "w3")
    call(worker, "record_loss", job_id, 3, "killed")
    assert job_row(client, job_id)["status"] == "FAILED"
    for number, seconds in ((1, 10), (2, 20), (3, 30)):
        where = f"attempt = {number} AND event"
        move(owner, "ml_job_events", f"{where} = 'CLAIMED'", created_at=today)
        ended = today + timedelta(seconds=seconds)
        move(owner, "ml_job_events", f"{where} <> 'CLAIMED'", created_at=ended)
    move_job(owner, job_id, today, 0, 30)
    assert worker_days(reader) == {(today.date(), f"w{number}"): (1, 10 * number) for number in (1, 2, 3)}


def test_a_job_cancelled_after_it_was_given_back_kept_nobody_busy(
    client: Connection, worker: Connection, owner: Connection, reader: Connection, today: datetime
) -> None:
    job_id = insert_job(client, **TRAIN)
    claim(worker, "w1")
    call(worker, "release_job", job_id, 1, "stopped")
    client.execute("CALL ml.cancel_job(%s)", [job_id])
    move(owner, "ml_job_events", "event = 'CLAIMED'", created_at=today)
    move(owner, "ml_job_events", "event = 'RELEASED'", created_at=today + timedelta(seconds=5))
    move_job(owner, job_id, today, 0, 3600)
    assert worker_days(reader) == {(today.date(), "w1"): (1, 5)}


def test_a_running_attempt_counts_until_now(
    client: Connection, worker: Connection, owner: Connection, reader: Connection
) -> None:
    job_id = running_job(client, worker)
    move(owner, "ml_jobs", f"id = {job_id}", started_at=datetime.now(UTC) - 3 * DAY)
    found = worker_days(reader)
    assert sum(attempts for attempts, _ in found.values()) == 1
    assert sum(seconds for _, seconds in found.values()) == pytest.approx(3 * 86400, abs=60)
    full = [row["busy_share"] for row in rows(reader, "ml_worker_days", order="day")][1:]
    assert full == pytest.approx([1, 1, 1], abs=0.01)


# ── Dimensions and facts ────────────────────────────────────────────────────────────────────────────


def test_there_is_one_row_a_thing(client: Connection, worker: Connection, reader: Connection) -> None:
    for job_type in ("TEST", "COMPARE"):
        complete(worker, running_job(client, worker, job_type), job_type)
    insert_job(client, **TRAIN)
    for view, table in (
        ("ml_dim_models", "ml_models"),
        ("ml_fact_jobs", "ml_jobs"),
        ("ml_fact_training_runs", "ml_training_runs"),
        ("ml_fact_tests", "ml_test_results"),
        ("ml_fact_comparisons", "ml_comparisons"),
        ("ml_dim_features", "ml_metric_columns WHERE is_numeric"),
    ):
        assert count(reader, view) == count(reader, table) > 0, view
    assert count(reader, "ml_measurements") == 3 + 1


def test_dimensions_and_facts_hold_no_text_list(reader: Connection) -> None:
    query = (
        "SELECT format('%s.%s', table_name, column_name) AS name FROM information_schema.columns"
        " WHERE table_name ~ '^ml_(dim|fact)_' AND column_name LIKE '%csv%'"
    )
    assert [row["name"] for row in reader.execute(query)] == []


def test_a_job_as_a_fact_names_its_models_and_its_seconds(
    client: Connection, worker: Connection, owner: Connection, reader: Connection, today: datetime
) -> None:
    fields = request(client, worker, "COMPARE")
    job_id = insert_job(client, **fields)
    complete(worker, claim(worker)["id"], "COMPARE")
    move_job(owner, job_id, today, 7, 11)
    row = one(reader, "SELECT * FROM ml_fact_jobs WHERE job_id = %s", [job_id])
    assert (row["model_id"], row["model_b_id"]) == (
        fields["compare_model_a_id"],
        fields["compare_model_b_id"],
    )
    assert (row["waiting_seconds"], row["running_seconds"], row["attempts"]) == (7, 11, 1)
    trained = one(
        reader, "SELECT * FROM ml_fact_jobs WHERE model_id = %s AND job_type = 'TRAIN'", [row["model_id"]]
    )
    assert (trained["status"], trained["model_b_id"]) == ("COMPLETED", None)


def test_importances_are_rows_of_the_training_and_of_each_test(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    complete(worker, running_job(client, worker, "TEST"), "TEST")
    found = rows(reader, "ml_fact_importances", order="source DESC, rank")
    assert [(row["source"], row["rank"], row["feature"], str(row["importance"])) for row in found] == [
        ("training", 1, "price_open", "0.7500"),
        ("training", 2, "volume_sol", "0.2500"),
        ("test", 1, "price_open", "1.0000"),
    ]
    features = {row["feature"] for row in rows(reader, "ml_dim_features")}
    assert {row["feature"] for row in found} <= features


def test_a_feature_has_the_description_of_its_column(reader: Connection) -> None:
    row = one(reader, "SELECT * FROM ml_dim_features WHERE feature = 'volume_sol'")
    assert row == {
        "feature": "volume_sol",
        "data_type": "numeric",
        "description": "Traded volume, SOL.",
        "source": "coin_metrics",
    }
