"""Retention: old progress and ended jobs go, what a living model rests on stays, and nobody waits."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import TRAIN, Connection, Database, claim, insert_job, job_row
from tests.sql.helpers import (
    COMPARE_PERIOD,
    FACTS,
    TEST_PERIOD,
    call,
    complete,
    count,
    jobs_in_every_state,
    refused,
    running_job,
)

NOW = "CALL ml.prune('0 seconds')"


@pytest.fixture
def db(make_database: Callable[[], Database]) -> Database:
    """A database for this test alone: it looks at all that is there."""
    return make_database()


def ids(connection: Connection, table: str = "ml_jobs") -> set[int]:
    return {row["id"] for row in connection.execute(f"SELECT id FROM {table}")}


def done(client: Connection, worker: Connection, job_type: str, **fields: Any) -> int:
    """A COMPLETED job of this type; returns its id."""
    job_id = insert_job(client, job_type=job_type, **fields)
    assert claim(worker)["id"] == job_id
    complete(worker, job_id, job_type)
    return job_id


def delete(client: Connection, *models: int) -> None:
    client.execute("UPDATE ml_models SET is_deleted = true WHERE id = ANY (%s)", [list(models)])


@pytest.fixture
def pair(client: Connection, worker: Connection) -> dict[str, int]:
    """Models a and b, a test of each and a comparison: the ids of the models and of all five jobs."""
    made: dict[str, int] = {}
    for side in "ab":
        made[f"train_{side}"] = done(client, worker, **TRAIN)
        made[side] = job_row(client, made[f"train_{side}"])["result_model_id"]
        made[f"test_{side}"] = done(client, worker, "TEST", test_model_id=made[side], **TEST_PERIOD)
    models = {"compare_model_a_id": made["a"], "compare_model_b_id": made["b"]}
    made["compare"] = done(client, worker, "COMPARE", **models, **COMPARE_PERIOD)
    return made


def test_progress_goes_and_the_other_events_stay(
    owner: Connection, client: Connection, worker: Connection
) -> None:
    job_id = running_job(client, worker)
    for share in ("0.1", "0.2"):
        call(worker, "record_progress", job_id, 1, share)
    owner.execute("CALL ml.prune('1 hour')")
    assert count(owner, "ml_job_events WHERE event = 'PROGRESS'") == 2
    owner.execute(NOW)
    assert [row["event"] for row in owner.execute("SELECT event FROM ml_job_events")] == ["CLAIMED"]
    call(worker, "record_progress", job_id, 1, "0.3")
    complete(worker, job_id, "TRAIN")
    assert job_row(client, job_id)["status"] == "COMPLETED"


def test_jobs_that_ended_without_a_model_go_and_others_stay(
    owner: Connection, client: Connection, worker: Connection
) -> None:
    jobs = jobs_in_every_state(client, worker)
    owner.execute("CALL ml.prune('1 hour')")
    assert ids(client) == set(jobs.values())
    owner.execute(NOW)
    kept = {jobs[status] for status in ("PENDING", "RUNNING", "COMPLETED")}
    assert ids(client) == kept
    assert {row["train_job_id"] for row in client.execute("SELECT train_job_id FROM ml_models")} == kept - {
        jobs["PENDING"]
    }


def test_what_a_living_model_rests_on_stays(
    owner: Connection, client: Connection, pair: dict[str, int]
) -> None:
    before = {fact: client.execute(f"SELECT * FROM {fact} ORDER BY id").fetchall() for fact in FACTS}
    owner.execute(NOW)
    assert before == {fact: client.execute(f"SELECT * FROM {fact} ORDER BY id").fetchall() for fact in FACTS}


def test_a_deleted_model_stays_as_long_as_a_living_one_is_compared_with_it(
    owner: Connection, client: Connection, pair: dict[str, int]
) -> None:
    delete(client, pair["a"])
    owner.execute(NOW)
    assert ids(client) == {pair[name] for name in ("train_a", "train_b", "test_b", "compare")}
    delete(client, pair["b"])
    owner.execute(NOW)
    for table in ("ml_jobs", "ml_models", *FACTS):
        assert count(owner, table) == 0, table


def test_a_model_deleted_a_moment_ago_is_not_older_than_an_hour(
    owner: Connection, client: Connection, pair: dict[str, int]
) -> None:
    before = ids(client)
    delete(client, pair["a"], pair["b"])
    owner.execute("CALL ml.prune(older_than => '1 hour')")
    assert ids(client) == before


def test_a_waiting_test_keeps_its_model_and_the_training_of_it(
    owner: Connection, client: Connection, pair: dict[str, int]
) -> None:
    waiting = insert_job(client, job_type="TEST", test_model_id=pair["a"], **TEST_PERIOD)
    delete(client, pair["a"], pair["b"])
    owner.execute(NOW)
    assert ids(client) == {pair["train_a"], waiting}
    assert ids(client, "ml_models") == {pair["a"]}


def test_more_jobs_than_a_batch_holds_all_go(owner: Connection, client: Connection) -> None:
    fields = ", ".join(TRAIN)
    values = ", ".join(["%s"] * len(TRAIN))
    client.execute(
        f"INSERT INTO ml_jobs ({fields}) SELECT {values} FROM generate_series(1, 1203)".encode(),
        list(TRAIN.values()),
    )
    client.execute("UPDATE ml_jobs SET status = 'CANCELLED' WHERE id % 3 > 0")
    owner.execute(NOW)
    assert {row["status"] for row in client.execute("SELECT status FROM ml_jobs")} == {"PENDING"}
    assert count(client, "ml_jobs") == 401
    assert count(client, "ml_job_events") == 0


def test_pruning_waits_for_nobody_and_nobody_for_it(
    db: Database, owner: Connection, client: Connection, worker: Connection
) -> None:
    """A job that another session has locked is left for the next time."""
    cancelled = [insert_job(client, **TRAIN) for _ in range(2)]
    for job_id in cancelled:
        client.execute("CALL ml.cancel_job(%s)", [job_id])
    waiting = insert_job(client, **TRAIN)
    owner.execute("SET lock_timeout = '5s'")
    with db.connect("owner") as other, other.transaction():
        other.execute("SELECT FROM ml_jobs WHERE id = %s FOR UPDATE", [cancelled[0]])
        with client.transaction():
            client.execute("UPDATE ml_jobs SET priority = 1 WHERE id = %s", [waiting])
            owner.execute(NOW)
    assert ids(client) == {cancelled[0], waiting}
    with owner.transaction():
        assert call(owner, "prune_jobs", "infinity", 2**62, 500) is not None
        worker.execute("SET lock_timeout = '5s'")
        assert claim(worker)["id"] == waiting
        insert_job(client, **TRAIN)


def test_old_signs_of_life_go_and_those_of_the_living_stay(owner: Connection, worker: Connection) -> None:
    for worker_id, alive_for in (("h:1:a", "0"), ("h:2:b", "1 hour"), ("h:2:b", "1 hour")):
        call(worker, "record_sign", worker_id, 1, alive_for)
    owner.execute(NOW)
    assert [row["worker_id"] for row in owner.execute("SELECT worker_id FROM ml_worker_signs")] == [
        "h:2:b"
    ] * 2


@pytest.mark.parametrize("age", [None, "-1 day"])
def test_an_age_that_is_none_is_refused(owner: Connection, age: str | None) -> None:
    with refused("22023", f"older than {'NULL' if age is None else '-1 days'}", "CALL ml.prune('90 days')"):
        owner.execute("CALL ml.prune(%s)", [age])


def test_inside_a_transaction_it_is_refused_and_says_why(owner: Connection) -> None:
    with refused("25001", "cannot run inside a transaction", "autocommit"), owner.transaction():
        owner.execute("SELECT 1")
        owner.execute(NOW)


def test_inside_a_transaction_that_has_just_begun_it_is_refused_too(owner: Connection) -> None:
    with refused("25001", "cannot run inside a transaction", "autocommit"):
        owner.execute(f"BEGIN; {NOW}")


def test_the_age_may_be_a_parameter(owner: Connection, client: Connection) -> None:
    client.execute("CALL ml.cancel_job(%s)", [insert_job(client, **TRAIN)])
    owner.execute("CALL ml.prune(%s)", ["0 seconds"])
    assert ids(client) == set()


@pytest.mark.parametrize("login", ["anna", "rosa", "wanda"])
def test_only_the_owner_may_prune(db: Database, login: str) -> None:
    with db.connect(login) as connection, refused("42501", "permission denied"):
        connection.execute(NOW)


def test_pruning_leaves_facts_as_protected_as_they_were(
    owner: Connection, client: Connection, worker: Connection
) -> None:
    running_job(client, worker)
    with owner.transaction():
        call(owner, "prune_events", "infinity", 0, 100)
        with refused("ML003", "DELETE refused"), owner.transaction():
            owner.execute("DELETE FROM ml_job_events")


def test_a_client_that_says_it_prunes_may_delete_nothing(client: Connection) -> None:
    client.execute("SET ml.pruning = 'on'")
    with refused("42501", "permission denied"):
        client.execute("DELETE FROM ml_job_events")
