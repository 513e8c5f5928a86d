"""The state of a model follows its job; a user renames, describes, deletes and takes back."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.conftest import TRAIN, Connection, insert_job, job_row, one, ready_model
from tests.sql.helpers import FACTS, TEST_PERIOD, call, complete, count, refused, running_job


def model_row(connection: Connection, model_id: int) -> dict[str, Any]:
    return one(connection, "SELECT * FROM ml_models WHERE id = %s", [model_id])


def model_of(connection: Connection, job_id: int) -> dict[str, Any]:
    return one(connection, "SELECT * FROM ml_models WHERE train_job_id = %s", [job_id])


def update(connection: Connection, model_id: int, changes: str) -> None:
    connection.execute(f"UPDATE ml_models SET {changes} WHERE id = {model_id}")


def name_of(model_id: int) -> str:
    return f"model number {model_id}"


# ── States ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_model_is_training_from_the_first_claim(client: Connection, worker: Connection) -> None:
    model = model_of(client, running_job(client, worker))
    assert (model["status"], model["model_file_path"], model["training_f1"]) == ("TRAINING", None, None)


def test_a_model_has_what_its_job_asked_for(client: Connection, worker: Connection) -> None:
    job_id = running_job(
        client,
        worker,
        train_model_type="random_forest",
        train_phases_csv="1,2",
        train_params_csv="max_depth=5;min_samples_leaf=3",
        train_test_size="0.3",
        train_random_state=7,
        train_future_minutes=5,
        train_value="0.00001",
        train_description="first try",
    )
    model = model_of(client, job_id)
    expected = {
        "model_type": "random_forest",
        "phases_csv": "1,2",
        "params_csv": "n_estimators=100;max_depth=5;min_samples_split=2;min_samples_leaf=3",
        "random_state": 7,
        "future_minutes": 5,
        "description": "first try",
    }
    assert {name: model[name] for name in expected} == expected
    assert (str(model["test_size"]), f"{model['target_value']:f}") == ("0.30", "0.00001")


@pytest.mark.parametrize("routine", ["release_job", "record_loss"])
def test_a_model_stays_in_training_while_its_job_waits_again(
    client: Connection, worker: Connection, routine: str
) -> None:
    job_id = running_job(client, worker)
    call(worker, routine, job_id, 1, "because")
    assert model_of(client, job_id)["status"] == "TRAINING"


def test_a_model_fails_with_its_job(client: Connection, worker: Connection) -> None:
    job_id = running_job(client, worker)
    call(worker, "record_failure", job_id, 1, "no rows")
    assert model_of(client, job_id)["status"] == "FAILED"


@pytest.mark.parametrize("status", ["TRAINING", "FAILED", "DONE"])
def test_ready_is_final_even_for_the_owner(
    client: Connection, worker: Connection, owner: Connection, status: str
) -> None:
    model_id = ready_model(client, worker)
    with refused("ML002", f"model {model_id} cannot go from READY to {status}", "new TRAIN job"):
        update(owner, model_id, f"status = '{status}'")


@pytest.mark.parametrize("status", ["TRAINING", "READY"])
def test_failed_is_final_even_for_the_owner(
    client: Connection, worker: Connection, owner: Connection, status: str
) -> None:
    job_id = running_job(client, worker)
    call(worker, "record_failure", job_id, 1, "no rows")
    model_id = model_of(client, job_id)["id"]
    with refused("ML002", f"model {model_id} cannot go from FAILED to {status}", "new TRAIN job"):
        update(owner, model_id, f"status = '{status}', model_file_path = 'forged.pkl'")


@pytest.mark.parametrize("status", ["READY", "FAILED"])
def test_a_training_ends_by_its_job_alone_even_for_the_owner(
    client: Connection, worker: Connection, owner: Connection, status: str
) -> None:
    model_id = model_of(client, running_job(client, worker))["id"]
    with (
        refused("ML002", f"model {model_id} cannot go from TRAINING to {status}"),
        owner.transaction(force_rollback=True),
    ):
        update(owner, model_id, f"status = '{status}', model_file_path = 'forged.pkl'")


# ── Names ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_model_can_be_renamed_and_described(client: Connection, worker: Connection) -> None:
    model_id = ready_model(client, worker)
    before = model_row(client, model_id)
    update(client, model_id, f"name = '{name_of(model_id)}', description = 'the best so far'")
    model = model_row(client, model_id)
    assert (model["name"], model["description"]) == (name_of(model_id), "the best so far")
    assert model["updated_at"] > before["updated_at"]
    assert model["created_at"] == before["created_at"]


def test_a_model_can_be_renamed_while_it_is_trained(client: Connection, worker: Connection) -> None:
    job_id = running_job(client, worker)
    model_id = model_of(client, job_id)["id"]
    update(client, model_id, f"name = '{name_of(model_id)}'")
    complete(worker, job_id, "TRAIN")
    assert model_row(client, model_id)["name"] == name_of(model_id)


def test_a_rename_to_the_same_name_is_accepted(client: Connection, worker: Connection) -> None:
    model_id = ready_model(client, worker)
    update(client, model_id, "name = name")
    assert model_row(client, model_id)["status"] == "READY"


@pytest.mark.parametrize("login", ["client", "owner"])
def test_a_rename_to_the_name_of_another_model_is_refused(
    request: pytest.FixtureRequest, client: Connection, worker: Connection, login: str
) -> None:
    connection: Connection = request.getfixturevalue(login)
    first, second = ready_model(client, worker), ready_model(client, worker)
    name = model_row(client, first)["name"]
    with refused("23505", f'"{name}" is taken by model {first}', "Choose another name"):
        update(connection, second, f"name = '{name}'")


def test_a_rename_to_the_name_of_a_model_in_training_is_refused(
    client: Connection, worker: Connection
) -> None:
    model_id = ready_model(client, worker)
    training = model_of(client, running_job(client, worker))
    with refused("23505", f'"{training["name"]}" is taken by model {training["id"]}', "Choose another name"):
        update(client, model_id, f"name = '{training['name']}'")


def test_a_rename_to_the_name_of_a_waiting_job_is_refused(client: Connection, worker: Connection) -> None:
    model_id = ready_model(client, worker)
    job_id = insert_job(client, **TRAIN)
    with refused("23505", f"is taken by job {job_id}", "cancel the job"):
        update(client, model_id, f"name = '{job_row(client, job_id)['train_model_name']}'")


def test_the_name_of_a_failed_model_is_free(client: Connection, worker: Connection) -> None:
    model_id = ready_model(client, worker)
    job_id = running_job(client, worker)
    failed = model_of(client, job_id)
    call(worker, "record_failure", job_id, 1, "no rows")
    update(client, model_id, f"name = '{failed['name']}'")
    assert model_row(client, model_id)["name"] == failed["name"]


@pytest.mark.parametrize("name", ["", "   "])
def test_a_blank_name_is_refused(client: Connection, worker: Connection, name: str) -> None:
    model_id = ready_model(client, worker)
    with refused("23514", "cannot be blank", "leave the old one"):
        update(client, model_id, f"name = '{name}'")


def test_an_old_name_is_free_after_a_rename(client: Connection, worker: Connection) -> None:
    model_id = ready_model(client, worker)
    old = model_row(client, model_id)["name"]
    update(client, model_id, f"name = '{name_of(model_id)}'")
    assert insert_job(client, **TRAIN, train_model_name=old) > 0


# ── Soft delete ─────────────────────────────────────────────────────────────────────────────────────


def test_a_deleted_model_has_its_time_of_deletion(client: Connection, worker: Connection) -> None:
    model_id = ready_model(client, worker)
    update(client, model_id, "is_deleted = true")
    model = model_row(client, model_id)
    assert model["is_deleted"]
    assert model["created_at"] < model["deleted_at"] <= datetime.now(UTC)


def test_a_second_delete_keeps_the_first_time(client: Connection, worker: Connection) -> None:
    model_id = ready_model(client, worker)
    update(client, model_id, "is_deleted = true")
    first = model_row(client, model_id)["deleted_at"]
    update(client, model_id, "is_deleted = true")
    assert model_row(client, model_id)["deleted_at"] == first


def test_the_owner_cannot_set_a_false_time_of_deletion(
    client: Connection, worker: Connection, owner: Connection
) -> None:
    model_id = ready_model(client, worker)
    update(owner, model_id, "is_deleted = true, deleted_at = '2020-01-01'")
    assert model_row(client, model_id)["deleted_at"].year != 2020


def test_the_name_of_a_deleted_model_becomes_free(client: Connection, worker: Connection) -> None:
    model_id = ready_model(client, worker)
    name = model_row(client, model_id)["name"]
    update(client, model_id, "is_deleted = true")
    assert ready_model(client, worker, train_model_name=name) > model_id


def test_the_facts_of_a_deleted_model_stay(client: Connection, worker: Connection) -> None:
    test_job = running_job(client, worker, "TEST")
    complete(worker, test_job, "TEST")
    complete(worker, running_job(client, worker, "COMPARE"), "COMPARE")
    before = {fact: count(client, fact) for fact in FACTS}
    client.execute("UPDATE ml_models SET is_deleted = true WHERE status = 'READY'")
    assert {fact: count(client, fact) for fact in FACTS} == before
    job = job_row(client, test_job)
    result = one(client, "SELECT model_id FROM ml_test_results WHERE id = %s", [job["result_test_id"]])
    assert result["model_id"] == job["test_model_id"]


def test_a_deleted_model_can_be_taken_back(client: Connection, worker: Connection) -> None:
    model_id = ready_model(client, worker)
    update(client, model_id, "is_deleted = true")
    update(client, model_id, "is_deleted = false")
    model = model_row(client, model_id)
    assert (model["is_deleted"], model["deleted_at"], model["status"]) == (False, None, "READY")
    assert insert_job(client, job_type="TEST", test_model_id=model_id, **TEST_PERIOD) > 0


def test_a_deleted_model_whose_name_is_taken_cannot_be_taken_back(
    client: Connection, worker: Connection
) -> None:
    first = ready_model(client, worker)
    name = model_row(client, first)["name"]
    update(client, first, "is_deleted = true")
    second = ready_model(client, worker, train_model_name=name)
    with refused("23505", f'"{name}" is taken by model {second}', "Choose another name"):
        update(client, first, "is_deleted = false")
    update(client, first, f"is_deleted = false, name = '{name_of(first)}'")
    assert model_row(client, first)["name"] == name_of(first)


@pytest.mark.parametrize("login", ["client", "owner"])
def test_a_model_in_training_cannot_be_deleted(
    request: pytest.FixtureRequest, client: Connection, worker: Connection, login: str
) -> None:
    connection: Connection = request.getfixturevalue(login)
    job_id = running_job(client, worker)
    model_id = model_of(client, job_id)["id"]
    with refused("ML002", f"model {model_id} is being trained", f"CALL ml.cancel_job({job_id})"):
        update(connection, model_id, "is_deleted = true")
    client.execute("CALL ml.cancel_job(%s)", [job_id])
    update(connection, model_id, "is_deleted = true")
    assert model_row(client, model_id)["is_deleted"]


def test_a_model_with_facts_cannot_be_deleted_for_good(
    client: Connection, worker: Connection, owner: Connection
) -> None:
    model_id = ready_model(client, worker)
    with refused("23503", "violates foreign key constraint"):
        owner.execute("DELETE FROM ml_models WHERE id = %s", [model_id])
