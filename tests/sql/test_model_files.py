"""The files of models in the database: brought by an attempt, or later by whoever has the file."""

import hashlib
from collections.abc import Callable

import psycopg
import pytest

from tests.conftest import TRAIN, TRAINING_RESULT, Connection, Database, claim, insert_job, one, record
from tests.sql.helpers import call, count, refused, running_job

FILE = b"the file of a model"
RESULT = TRAINING_RESULT | {"artifact_sha256": hashlib.sha256(FILE).hexdigest(), "artifact_bytes": len(FILE)}


def stored(connection: Connection, job_id: int) -> bytes | None:
    row = connection.execute("SELECT content FROM ml_model_files WHERE job_id = %s", [job_id]).fetchone()
    return None if row is None else bytes(row["content"])


def test_a_run_has_the_file_that_its_attempt_brought(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    job_id = running_job(client, worker)
    call(worker, "store_model_file", job_id, 1, FILE)
    record(worker, job_id, 1, **RESULT)
    found = one(reader, "SELECT * FROM ml_model_files WHERE job_id = %s", [job_id])
    assert (bytes(found["content"]), found["num_bytes"]) == (FILE, len(FILE))
    assert found["sha256"] == RESULT["artifact_sha256"]
    assert (
        one(reader, "SELECT warnings FROM ml_training_runs WHERE job_id = %s", [job_id])["warnings"] is None
    )


def test_a_result_of_another_file_is_refused(client: Connection, worker: Connection) -> None:
    job_id = running_job(client, worker)
    call(worker, "store_model_file", job_id, 1, FILE + b"!")
    with refused("ML002", "not the one of this result"):
        record(worker, job_id, 1, **RESULT)


def test_only_the_attempt_that_holds_the_job_brings_a_file(
    db: Database, client: Connection, worker: Connection
) -> None:
    job_id = running_job(client, worker)
    call(worker, "record_loss", job_id, 1, "died")
    for attempt in (1, 2):
        with refused("ML001"):
            call(worker, "store_model_file", job_id, attempt, FILE)
    assert claim(worker)["attempt"] == 2
    with refused("ML001"):
        call(worker, "store_model_file", job_id, 1, FILE)
    with db.connect("anna") as anna, refused("42501"):
        call(anna, "store_model_file", job_id, 2, FILE)
    call(worker, "store_model_file", job_id, 2, FILE)


@pytest.mark.parametrize("end", ["record_failure", "record_loss", "release_job", "cancel", "expire"])
def test_an_attempt_without_a_result_leaves_no_file(
    owner: Connection, client: Connection, worker: Connection, end: str
) -> None:
    job_id = running_job(client, worker)
    call(worker, "store_model_file", job_id, 1, FILE)
    if end == "cancel":
        client.execute("CALL ml.cancel_job(%s)", [job_id])
    elif end == "expire":
        call(worker, "record_progress", job_id, 1, "0.5", None, "0 seconds")
        assert call(worker, "expire_leases") >= 1
    else:
        call(worker, end, job_id, 1, "why")
    assert stored(owner, job_id) is None


def test_a_file_that_is_too_large_stays_in_its_folder_and_the_run_says_so(
    owner: Connection, client: Connection, worker: Connection
) -> None:
    job_id = running_job(client, worker)
    owner.execute("UPDATE ml_settings SET max_stored_model_bytes = %s", [len(FILE) - 1])
    try:
        with refused("53400", "19 bytes is larger than the 18", "UPDATE ml_settings"):
            call(worker, "store_model_file", job_id, 1, FILE)
        record(worker, job_id, 1, **RESULT)
    finally:
        owner.execute("UPDATE ml_settings SET max_stored_model_bytes = DEFAULT")
    said = one(client, "SELECT warnings FROM ml_training_runs WHERE job_id = %s", [job_id])["warnings"]
    assert "the model file has 19 bytes, more than the 18 that the database keeps" in said


def test_a_file_may_come_later_from_whoever_has_it(client: Connection, worker: Connection) -> None:
    job_id = running_job(client, worker)
    record(worker, job_id, 1, **RESULT)
    with refused("ML002", "this is not the file of model"):
        call(worker, "store_model_file", job_id, 1, b"another")
    for _ in range(2):
        call(worker, "store_model_file", job_id, 1, FILE)
    assert stored(client, job_id) == FILE


def test_files_are_append_only_and_the_settings_have_one_row(
    owner: Connection, client: Connection, worker: Connection
) -> None:
    job_id = running_job(client, worker)
    call(worker, "store_model_file", job_id, 1, FILE)
    for statement in ("UPDATE ml_model_files SET content = ''", "DELETE FROM ml_model_files"):
        with refused("ML003"):
            owner.execute(statement)
    with refused("23000", hint="UPDATE"):
        owner.execute("DELETE FROM ml_settings")
    with pytest.raises(psycopg.errors.IntegrityError):
        owner.execute("INSERT INTO ml_settings DEFAULT VALUES")
    for statement in ("UPDATE ml_settings SET max_stored_model_bytes = 0", "DELETE FROM ml_model_files"):
        with refused("42501"):
            client.execute(statement)


def test_deleted_models_lose_their_bytes_and_no_others(
    make_database: Callable[[], Database],
) -> None:
    """Also one with which something younger was done, which keeps the rest of it."""
    db = make_database()
    with db.connect("owner") as owner, db.connect("anna") as client, db.connect("wanda") as worker:
        jobs = []
        for _ in range(3):
            jobs.append(running_job(client, worker))
            call(worker, "store_model_file", jobs[-1], 1, FILE)
            record(worker, jobs[-1], 1, **RESULT)
        client.execute("UPDATE ml_models SET is_deleted = true WHERE train_job_id = %s", [jobs[1]])
        owner.execute("CALL ml.prune('1 hour')")
        assert count(owner, "ml_model_files") == 3
        owner.execute("CALL ml.prune('0 seconds')")
        assert [stored(owner, job_id) for job_id in jobs] == [FILE, None, FILE]


def test_a_team_reads_its_own_files_alone(make_database: Callable[[], Database]) -> None:
    db = make_database()
    with db.connect("owner") as owner, db.connect("anna") as client, db.connect("wanda") as worker:
        job_id = running_job(client, worker)
        call(worker, "store_model_file", job_id, 1, FILE)
        record(worker, job_id, 1, **RESULT)
        owner.execute("CALL ml.separate_teams(true)")
        with db.connect("rosa") as reader:
            assert stored(reader, job_id) is None
        assert stored(client, job_id) == stored(worker, job_id) == FILE
        assert insert_job(client, **TRAIN)
