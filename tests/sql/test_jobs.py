"""The life of a job as its clients see it: legal transitions, cancel, priority, and a request that stays."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.conftest import TRAIN, Connection, Database, insert_job, job_row, one, ready_model
from tests.sql.helpers import (
    COMPARE_PERIOD,
    STATES,
    TEST_PERIOD,
    VERDICT,
    call,
    complete,
    events,
    jobs_in_every_state,
    refused,
    running_job,
)

ILLEGAL = {
    "PENDING": ("RUNNING", "COMPLETED", "FAILED"),
    "RUNNING": ("PENDING", "COMPLETED", "FAILED"),
    "COMPLETED": ("PENDING", "RUNNING", "FAILED", "CANCELLED"),
    "FAILED": ("PENDING", "RUNNING", "COMPLETED", "CANCELLED"),
    "CANCELLED": ("PENDING", "RUNNING", "COMPLETED", "FAILED"),
}
TERMINAL = ("COMPLETED", "FAILED", "CANCELLED")
REQUEST_FIELDS: dict[str, Any] = {
    "job_type": "TEST",
    "created_at": "2020-01-01",
    "max_attempts": 7,
    "max_minutes": 9,
    "train_target_var": "price_close",
    "train_operator": "<",
    "train_value": 1,
    "train_start": "2023-01-01",
    "train_end": "2025-01-01",
    "train_features_csv": "volume_sol",
    "train_phases_csv": "1",
    "train_params_csv": "C=2",
    "train_model_type": "xgboost",
    "train_model_name": "another",
    "train_description": "another",
    "train_test_size": 0.5,
    "train_random_state": 7,
    "train_future_minutes": 5,
    "train_label": "change",
    "train_base_var": "price_open",
    "train_stop_value": -5,
    "train_uncovered": "negative",
    "train_source": "trades",
    "train_threshold": "f1",
    "train_split": "time",
    "train_folds": 5,
    "train_weights": "uniqueness",
    "test_model_id": 1,
    "test_start": "2024-03-01",
    "test_end": "2024-04-01",
    "compare_model_a_id": 1,
    "compare_model_b_id": 2,
    "compare_start": "2024-03-01",
    "compare_end": "2024-04-01",
    "compare_confidence": 0.9,
    "score_model_id": 1,
    "score_start": "2024-03-01",
    "score_end": "2024-04-01",
}
STATE_FIELDS = (
    "started_at",
    "completed_at",
    "progress",
    "progress_msg",
    "error_msg",
    "worker_id",
    "attempt",
    "lease_until",
    "result_model_id",
    "result_test_id",
    "result_comparison_id",
    "result_scoring_id",
)


@pytest.fixture(scope="module")
def common(make_database: Callable[[], Database]) -> Database:
    """A database for the tests of what is refused: they leave nothing."""
    return make_database()


@pytest.fixture(scope="module")
def jobs(common: Database) -> dict[str, int]:
    """A job in each state, in the common database."""
    with common.connect("anna") as anna, common.connect("wanda") as wanda:
        return jobs_in_every_state(anna, wanda)


def set_status(connection: Connection, job_id: int, status: str | None) -> None:
    connection.execute("UPDATE ml_jobs SET status = %s WHERE id = %s", [status, job_id])


def cancel_by_update(client: Connection, job_id: int) -> None:
    set_status(client, job_id, "CANCELLED")


def cancel_by_call(client: Connection, job_id: int) -> None:
    client.execute("CALL ml.cancel_job(%s)", [job_id])


CANCEL = pytest.mark.parametrize("cancel", [cancel_by_update, cancel_by_call], ids=["UPDATE", "CALL"])


# ── Transitions ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("login", ["anna", "owner"])
@pytest.mark.parametrize("old", ILLEGAL)
def test_an_illegal_transition_is_refused_for_everyone(
    common: Database, jobs: dict[str, int], subtests: pytest.Subtests, login: str, old: str
) -> None:
    with common.connect(login) as connection:
        before = job_row(connection, jobs[old])
        hint = "can only be set to CANCELLED" if old in ("PENDING", "RUNNING") else f"{old} is final"
        for new in (*ILLEGAL[old], "DONE", None):
            said = f"job {jobs[old]} cannot go from {old} to "
            with subtests.test(str(new)), refused("ML002", said, hint):
                set_status(connection, jobs[old], new)
        assert job_row(connection, jobs[old]) == before


@pytest.mark.parametrize("old", ["PENDING", "RUNNING"])
def test_the_owner_cannot_forge_a_result(common: Database, jobs: dict[str, int], old: str) -> None:
    with common.connect("owner") as owner:
        with refused("ML002", f"cannot go from {old} to COMPLETED"):
            owner.execute(
                "UPDATE ml_jobs SET status = 'COMPLETED', completed_at = now(), lease_until = NULL,"
                " result_model_id = 1 WHERE id = %s",
                [jobs[old]],
            )
        with refused("ML002", f"cannot go from {old} to FAILED"):
            owner.execute(
                "UPDATE ml_jobs SET status = 'FAILED', completed_at = now(), lease_until = NULL,"
                " error_msg = 'forged' WHERE id = %s",
                [jobs[old]],
            )


@pytest.mark.parametrize("field", STATE_FIELDS)
def test_a_client_cannot_forge_a_field_of_the_state(
    common: Database, jobs: dict[str, int], field: str
) -> None:
    forged = {"completed_at": "2024-01-01", "progress": 0.5, "error_msg": "none", "attempt": 7}
    value = forged.get(field, 1 if field.startswith("result") else None)
    job_id = jobs["RUNNING"]
    with common.connect("anna") as client, refused("42501", f"{field} of job {job_id} cannot be changed"):
        _set_field(client, job_id, field, value)


def test_a_client_cannot_delete_a_job(common: Database, jobs: dict[str, int]) -> None:
    with common.connect("anna") as client:
        for statement in ("DELETE FROM ml_jobs", "TRUNCATE ml_jobs CASCADE"):
            with refused("42501", "permission denied"):
                client.execute(statement)


def test_a_job_with_a_history_cannot_be_deleted_even_by_the_owner(
    common: Database, jobs: dict[str, int]
) -> None:
    with common.connect("owner") as owner:
        with refused("23503", "violates foreign key constraint"):
            owner.execute("DELETE FROM ml_jobs WHERE id = %s", [jobs["COMPLETED"]])
        with refused("ML003", "append-only"):
            owner.execute("TRUNCATE ml_jobs CASCADE")


@pytest.mark.parametrize("status", STATES)
def test_setting_the_state_that_a_job_has_changes_nothing(
    common: Database, jobs: dict[str, int], status: str
) -> None:
    with common.connect("anna") as client:
        before = job_row(client, jobs[status]), events(client, jobs[status])
        set_status(client, jobs[status], status)
        assert (job_row(client, jobs[status]), events(client, jobs[status])) == before


# ── Cancel ──────────────────────────────────────────────────────────────────────────────────────────


@CANCEL
def test_a_waiting_job_can_be_cancelled(client: Connection, cancel: Callable[..., None]) -> None:
    job_id = insert_job(client, **TRAIN)
    cancel(client, job_id)
    job = job_row(client, job_id)
    assert (job["status"], job["progress_msg"], job["error_msg"]) == ("CANCELLED", "Cancelled", None)
    assert job["completed_at"] is not None
    assert events(client, job_id) == [(0, "CANCELLED")]


@CANCEL
def test_a_running_job_can_be_cancelled(
    client: Connection, worker: Connection, cancel: Callable[..., None]
) -> None:
    job_id = running_job(client, worker)
    cancel(client, job_id)
    job = job_row(client, job_id)
    assert (job["status"], job["lease_until"], job["worker_id"]) == ("CANCELLED", None, "w1")
    assert job["completed_at"] >= job["started_at"]
    assert events(client, job_id) == [(1, "CLAIMED"), (1, "CANCELLED")]


def test_the_event_of_a_cancel_says_who_did_it(client: Connection, worker: Connection) -> None:
    job_id = running_job(client, worker)
    cancel_by_call(client, job_id)
    query = "SELECT created_by, worker_id FROM ml_job_events WHERE job_id = %s AND event = 'CANCELLED'"
    assert one(client, query, [job_id]) == {"created_by": "anna", "worker_id": "w1"}


def test_the_model_of_a_cancelled_job_is_failed_and_its_name_free(
    client: Connection, worker: Connection
) -> None:
    job_id = running_job(client, worker, train_model_name="mine")
    cancel_by_call(client, job_id)
    query = "SELECT status FROM ml_models WHERE train_job_id = %s"
    assert one(client, query, [job_id])["status"] == "FAILED"
    assert running_job(client, worker, train_model_name="mine") > job_id


@CANCEL
@pytest.mark.parametrize("status", ["COMPLETED", "FAILED"])
def test_a_job_that_has_ended_cannot_be_cancelled(
    common: Database, jobs: dict[str, int], status: str, cancel: Callable[..., None]
) -> None:
    with common.connect("anna") as client:
        with refused("ML002", f"cannot go from {status} to CANCELLED", f"{status} is final"):
            cancel(client, jobs[status])
        assert job_row(client, jobs[status])["status"] == status


@CANCEL
def test_a_cancelled_job_stays_as_it_is_when_cancelled_again(
    common: Database, jobs: dict[str, int], cancel: Callable[..., None]
) -> None:
    with common.connect("anna") as client:
        before = job_row(client, jobs["CANCELLED"])
        cancel(client, jobs["CANCELLED"])
        assert job_row(client, jobs["CANCELLED"]) == before
        assert events(client, jobs["CANCELLED"]) == [(1, "CLAIMED"), (1, "CANCELLED")]


def test_a_job_that_does_not_exist_cannot_be_cancelled(client: Connection) -> None:
    with refused("P0002", "job 999999 does not exist", "ml_queue"):
        cancel_by_call(client, 999_999)


def test_all_waiting_jobs_can_be_cancelled_by_one_statement(client: Connection) -> None:
    ids = [insert_job(client, **TRAIN) for _ in range(3)]
    client.execute("UPDATE ml_jobs SET status = 'CANCELLED' WHERE status = 'PENDING'")
    assert [events(client, job_id) for job_id in ids] == [[(0, "CANCELLED")]] * 3


def test_the_name_of_a_cancelled_waiting_job_is_free(client: Connection) -> None:
    first = insert_job(client, **TRAIN, train_model_name="mine")
    cancel_by_call(client, first)
    assert insert_job(client, **TRAIN, train_model_name="mine") > first


# ── Priority ────────────────────────────────────────────────────────────────────────────────────────


def test_the_priority_of_a_waiting_job_can_be_changed(client: Connection) -> None:
    job_id = insert_job(client, **TRAIN)
    client.execute("UPDATE ml_jobs SET priority = 1 WHERE id = %s", [job_id])
    assert job_row(client, job_id)["priority"] == 1


@pytest.mark.parametrize("login", ["anna", "owner"])
@pytest.mark.parametrize("status", [status for status in STATES if status != "PENDING"])
def test_the_priority_of_another_job_cannot_be_changed(
    common: Database, jobs: dict[str, int], login: str, status: str
) -> None:
    with common.connect(login) as connection:
        with refused("ML002", f"job {jobs[status]} is {status}", "Only a PENDING job"):
            connection.execute("UPDATE ml_jobs SET priority = 1 WHERE id = %s", [jobs[status]])
        assert job_row(connection, jobs[status])["priority"] == 5


@pytest.mark.parametrize("priority", [0, 11, -1, None])
def test_a_priority_outside_1_to_10_is_refused(
    common: Database, jobs: dict[str, int], priority: int | None
) -> None:
    with (
        common.connect("anna") as client,
        refused("23514", f"priority {'NULL' if priority is None else priority} ", "1 is the highest"),
    ):
        client.execute("UPDATE ml_jobs SET priority = %s WHERE id = %s", [priority, jobs["PENDING"]])


# ── The request ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("login", "status"),
    [("anna", "PENDING"), ("owner", "PENDING"), ("owner", "RUNNING"), ("owner", "COMPLETED")],
)
def test_what_a_job_asks_for_is_final_even_for_the_owner(
    common: Database, jobs: dict[str, int], subtests: pytest.Subtests, login: str, status: str
) -> None:
    with common.connect(login) as connection:
        before, said = (
            job_row(connection, jobs[status]),
            f"the request of job {jobs[status]} cannot be changed",
        )
        for field, value in REQUEST_FIELDS.items():
            with subtests.test(field), refused("ML002", said, "insert another job"):
                _set_field(connection, jobs[status], field, value)
        assert job_row(connection, jobs[status]) == before


def test_every_field_is_either_of_the_request_or_of_the_state(common: Database) -> None:
    with common.connect("rosa") as reader:
        columns = {column.name for column in reader.execute("SELECT * FROM ml_jobs").description or ()}
    assert columns == {"id", "status", "priority", "created_by", "team", *REQUEST_FIELDS, *STATE_FIELDS}


def _set_field(connection: Connection, job_id: int, field: str, value: Any) -> None:
    query = sql.SQL("UPDATE ml_jobs SET {} = %s WHERE id = %s").format(sql.Identifier(field))
    connection.execute(query, [value, job_id])


# ── The row of a job from its insert to its end ─────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("job_type", "result", "says"),
    [
        (
            "TRAIN",
            "result_model_id",
            f"model {{0}}, logistic_regression_job_{{1}}: {VERDICT} on held-out rows",
        ),
        ("TEST", "result_test_id", f"test {{0}} of model {{2}}: {VERDICT}"),
        (
            "COMPARE",
            "result_comparison_id",
            "no clear winner: F1 0.8000 of model {3} is 0.1333 higher than 0.6667 of model {4}, "
            "and the worker gave no interval; it is older than this database",
        ),
    ],
)
def test_a_completed_job_shows_when_it_ran_and_its_result(
    client: Connection, worker: Connection, job_type: str, result: str, says: str
) -> None:
    job_id = running_job(client, worker, job_type)
    running = job_row(client, job_id)
    assert (running["status"], running["worker_id"], running["attempt"]) == ("RUNNING", "w1", 1)
    complete(worker, job_id, job_type)
    job = job_row(client, job_id)
    assert (job["status"], job["progress"], job["error_msg"]) == ("COMPLETED", 1, None)
    ids = [job[name] for name in ("test_model_id", "compare_model_a_id", "compare_model_b_id")]
    assert job["progress_msg"] == says.format(job[result], job_id, *ids)
    assert job["created_at"] <= job["started_at"] <= job["completed_at"] <= datetime.now(UTC)
    assert job["lease_until"] is None
    results = ("result_model_id", "result_test_id", "result_comparison_id")
    assert [name for name in results if job[name] is not None] == [result]


def test_a_failed_job_says_why(client: Connection, worker: Connection) -> None:
    job_id = running_job(client, worker)
    call(worker, "record_failure", job_id, 1, "only 3 rows between 2024-01-01 and 2024-03-01")
    job = job_row(client, job_id)
    assert job["status"] == "FAILED"
    assert job["error_msg"] == "only 3 rows between 2024-01-01 and 2024-03-01"
    assert job["completed_at"] is not None
    assert job["result_model_id"] is None


# ── Notifications ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def heard(reader: Connection) -> Callable[[str], list[str]]:
    """Payloads that arrived on a channel since the fixture was made."""
    reader.execute("LISTEN ml_jobs")
    reader.execute("LISTEN ml_job_status")
    arrived: list[psycopg.Notify] = []

    def payloads(channel: str) -> list[str]:
        # A notification of a finished transaction comes with the next answer; no need to wait.
        reader.execute("SELECT 1")
        arrived.extend(reader.notifies(timeout=0))
        return [notify.payload for notify in arrived if notify.channel == channel]

    return payloads


def test_an_insert_notifies_once_with_an_empty_payload(
    client: Connection, heard: Callable[[str], list[str]]
) -> None:
    insert_job(client, **TRAIN)
    assert heard("ml_jobs") == [""]
    assert heard("ml_job_status") == []


def test_an_insert_of_many_rows_notifies_once(client: Connection, heard: Callable[[str], list[str]]) -> None:
    columns = ", ".join(TRAIN)
    places = ", ".join(["%s"] * len(TRAIN))
    client.execute(
        f"INSERT INTO ml_jobs ({columns}) SELECT {places} FROM generate_series(1, 50)", list(TRAIN.values())
    )
    assert heard("ml_jobs") == [""]


def test_each_insert_notifies(client: Connection, heard: Callable[[str], list[str]]) -> None:
    insert_job(client, **TRAIN)
    insert_job(client, **TRAIN)
    assert heard("ml_jobs") == ["", ""]


def test_nothing_is_notified_before_the_commit(client: Connection, heard: Callable[[str], list[str]]) -> None:
    with client.transaction():
        insert_job(client, **TRAIN)
        assert heard("ml_jobs") == []
    assert heard("ml_jobs") == [""]


def test_a_rollback_notifies_nobody(
    client: Connection, worker: Connection, heard: Callable[[str], list[str]]
) -> None:
    with client.transaction(force_rollback=True):
        insert_job(client, **TRAIN)
    job_id = insert_job(client, **TRAIN)
    with client.transaction(force_rollback=True):
        cancel_by_call(client, job_id)
    assert heard("ml_jobs") == [""]
    assert heard("ml_job_status") == []


def test_a_refused_insert_notifies_nobody(client: Connection, heard: Callable[[str], list[str]]) -> None:
    with refused("23514", "priority 11"):
        insert_job(client, **TRAIN, priority=11)
    assert heard("ml_jobs") == []


def test_each_state_is_told_to_clients(
    client: Connection, worker: Connection, heard: Callable[[str], list[str]]
) -> None:
    job_id = running_job(client, worker)
    complete(worker, job_id, "TRAIN")
    assert heard("ml_job_status") == [f"{job_id} RUNNING", f"{job_id} COMPLETED"]


def test_a_failure_is_told_to_clients(
    client: Connection, worker: Connection, heard: Callable[[str], list[str]]
) -> None:
    job_id = running_job(client, worker)
    call(worker, "record_failure", job_id, 1, "no rows")
    assert heard("ml_job_status") == [f"{job_id} RUNNING", f"{job_id} FAILED"]


@CANCEL
def test_a_cancel_is_told_to_clients_and_workers(
    client: Connection, worker: Connection, heard: Callable[[str], list[str]], cancel: Callable[..., None]
) -> None:
    job_id = running_job(client, worker)
    already = len(heard("ml_jobs"))
    cancel(client, job_id)
    assert heard("ml_jobs")[already:] == [""]
    assert heard("ml_job_status") == [f"{job_id} RUNNING", f"{job_id} CANCELLED"]


@pytest.mark.parametrize("routine", ["release_job", "record_loss"])
def test_a_job_that_waits_again_is_told_to_workers(
    client: Connection, worker: Connection, heard: Callable[[str], list[str]], routine: str
) -> None:
    job_id = running_job(client, worker)
    already = len(heard("ml_jobs"))
    call(worker, routine, job_id, 1, "worker stopped")
    assert heard("ml_jobs")[already:] == [""]
    assert heard("ml_job_status") == [f"{job_id} RUNNING", f"{job_id} PENDING"]


def test_progress_and_priority_notify_nobody(
    client: Connection, worker: Connection, heard: Callable[[str], list[str]]
) -> None:
    running = running_job(client, worker)
    waiting = insert_job(client, **TRAIN)
    already = len(heard("ml_jobs")), len(heard("ml_job_status"))
    call(worker, "record_progress", running, 1, Decimal("0.5"))
    client.execute("UPDATE ml_jobs SET priority = 1 WHERE id = %s", [waiting])
    assert (len(heard("ml_jobs")), len(heard("ml_job_status"))) == already


# ── Jobs and models ─────────────────────────────────────────────────────────────────────────────────


def test_a_test_job_leaves_its_model_as_it_is(client: Connection, worker: Connection) -> None:
    model_id = ready_model(client, worker)
    query = "SELECT * FROM ml_models WHERE id = %s"
    before = one(client, query, [model_id])
    complete(worker, _running_test(client, worker, model_id), "TEST")
    call(worker, "record_failure", _running_test(client, worker, model_id), 1, "no rows")
    cancel_by_call(client, _running_test(client, worker, model_id))
    assert one(client, query, [model_id]) == before


def _running_test(client: Connection, worker: Connection, model_id: int) -> int:
    job_id = insert_job(client, job_type="TEST", test_model_id=model_id, **TEST_PERIOD)
    assert (
        one(worker, "SELECT id FROM ml_internal.claim_job('w1', '30 seconds', '{TRAIN,TEST,COMPARE}')")["id"]
        == job_id
    )
    return job_id


def test_a_comparison_leaves_its_models_as_they_are(client: Connection, worker: Connection) -> None:
    pair = [ready_model(client, worker) for _ in range(2)]
    before = client.execute("SELECT * FROM ml_models ORDER BY id").fetchall()
    job_id = insert_job(
        client, job_type="COMPARE", compare_model_a_id=pair[0], compare_model_b_id=pair[1], **COMPARE_PERIOD
    )
    assert (
        one(worker, "SELECT id FROM ml_internal.claim_job('w1', '30 seconds', '{TRAIN,TEST,COMPARE}')")["id"]
        == job_id
    )
    complete(worker, job_id, "COMPARE")
    assert client.execute("SELECT * FROM ml_models ORDER BY id").fetchall() == before
