"""Whatever a client, a reader or a stranger locks costs others nothing."""

import threading
from collections.abc import Iterator

import psycopg
import pytest

from tests.conftest import PASSWORD, TRAIN, Connection, Database, claim, insert_job, job_row, one, ready_model
from tests.sql.helpers import TEST_PERIOD, call, complete, count, refused, running_job
from tests.sql.test_roles import TABLES
from worker.commands.install import install
from worker.database import schema
from worker.database.connection import UnsuitableDatabaseError

STRENGTHS = ("UPDATE", "NO KEY UPDATE", "SHARE", "KEY SHARE")
LOCK_NOT_AVAILABLE = "55P03"


@pytest.fixture
def mallory(db: Database, owner: Connection) -> Iterator[Connection]:
    """Another client, whose locks the tests are about."""
    owner.execute(f"CREATE ROLE mallory LOGIN PASSWORD '{PASSWORD}' IN ROLE ml_client")
    with db.connect("mallory") as connection:
        yield connection
    owner.execute("UPDATE ml_jobs SET status = 'CANCELLED' WHERE status IN ('PENDING', 'RUNNING')")
    owner.execute("DROP ROLE mallory")


@pytest.fixture(autouse=True)
def impatient(client: Connection, worker: Connection, owner: Connection) -> None:
    """Nobody here waits for a lock longer than this."""
    for connection in (client, worker, owner):
        connection.execute("SET lock_timeout = '2s'")


def lock_all(connection: Connection) -> None:
    """Lock every row that this login can, in every way, and change what it may."""
    for table in TABLES:
        for strength in STRENGTHS:
            try:
                with connection.transaction():
                    connection.execute(f"SELECT * FROM {table} FOR {strength}".encode())
            except psycopg.errors.InsufficientPrivilege:
                pass
    connection.execute("UPDATE ml_jobs SET priority = priority")
    connection.execute("UPDATE ml_models SET description = 'mine'")


def test_no_lock_of_a_client_holds_up_the_jobs_and_models_of_another(
    owner: Connection, client: Connection, worker: Connection, mallory: Connection
) -> None:
    mine, theirs = ready_model(client, worker), ready_model(mallory, worker)
    done, lost, running = (running_job(client, worker) for _ in range(3))
    waiting = insert_job(client, **TRAIN)
    doomed = insert_job(client, **TRAIN, priority=9)
    with mallory.transaction():
        lock_all(mallory)
        insert_job(mallory, **TRAIN, train_model_name="mallory's")
        insert_job(mallory, job_type="TEST", test_model_id=mine, **TEST_PERIOD)
        call(worker, "record_progress", done, 1, "0.5")
        complete(worker, done, "TRAIN")
        call(worker, "record_progress", lost, 1, "0.5", None, "0 seconds")
        assert call(worker, "expire_leases") == 1
        call(worker, "record_failure", running, 1, "no rows")
        client.execute("UPDATE ml_jobs SET priority = 1 WHERE id = %s", [waiting])
        assert claim(worker)["id"] == waiting
        client.execute("CALL ml.cancel_job(%s)", [waiting])
        client.execute("CALL ml.cancel_job(%s)", [doomed])
        client.execute("CALL ml.cancel_job(%s)", [lost])
        client.execute("UPDATE ml_models SET name = 'renamed', is_deleted = true WHERE id = %s", [mine])
        test_id = insert_job(client, job_type="TEST", test_model_id=theirs, **TEST_PERIOD)
        assert claim(worker)["id"] == test_id
        complete(worker, test_id, "TEST")
        owner.execute("CALL ml.prune('0 seconds')")
    assert one(owner, "SELECT description FROM ml_models WHERE id = %s", [theirs])["description"] == "mine"


def test_a_client_changes_only_what_is_its_own(
    client: Connection, worker: Connection, mallory: Connection
) -> None:
    model_id, job_id = ready_model(client, worker), insert_job(client, **TRAIN)
    assert count(mallory, f"ml_jobs WHERE id = {job_id}") == 1
    with refused("42501", f"job {job_id} belongs to anna", "Only members of that role"):
        mallory.execute("CALL ml.cancel_job(%s)", [job_id])
    for statement in (
        "UPDATE ml_jobs SET status = 'CANCELLED'",
        "UPDATE ml_jobs SET priority = 1",
        "UPDATE ml_models SET is_deleted = true",
    ):
        assert mallory.execute(statement).rowcount == 0
    assert job_row(client, job_id)["status"] == "PENDING"
    assert client.execute("UPDATE ml_models SET name = 'own' WHERE id = %s", [model_id]).rowcount == 1


@pytest.mark.parametrize("user", ["anna", "rosa", "wanda"])
def test_a_login_locks_no_row_but_those_of_its_own_jobs(
    db: Database, client: Connection, worker: Connection, mallory: Connection, user: str
) -> None:
    ready_model(mallory, worker)
    own = insert_job(client, **TRAIN)
    with db.connect(user) as connection:
        for table in TABLES:
            for strength in STRENGTHS:
                try:
                    found = connection.execute(f"SELECT * FROM {table} FOR {strength}".encode()).fetchall()
                except psycopg.errors.InsufficientPrivilege:
                    continue
                assert table in ("public.ml_jobs", "public.ml_models")
                assert {row["created_by"] for row in found} <= {user}
                assert table == "public.ml_jobs" or found == []
                assert table != "public.ml_jobs" or own in {row["id"] for row in found}


def test_a_name_that_another_is_about_to_take_is_refused_in_time_and_says_so(
    client: Connection, worker: Connection, mallory: Connection
) -> None:
    model_id = ready_model(client, worker)
    client.execute("SET lock_timeout = 0")
    taken = "is being taken by a transaction that has not ended"
    with mallory.transaction(force_rollback=True):
        insert_job(mallory, **TRAIN, train_model_name="wanted")
        with refused(LOCK_NOT_AVAILABLE, f'the model name "wanted" {taken}', "Choose another name"):
            insert_job(client, **TRAIN, train_model_name="wanted")
        with refused(LOCK_NOT_AVAILABLE, f'the model name "wanted" {taken}'):
            client.execute("UPDATE ml_models SET name = 'wanted' WHERE id = %s", [model_id])
        assert insert_job(client, **TRAIN, train_model_name="another")
    assert insert_job(client, **TRAIN, train_model_name="wanted")


def test_a_transaction_that_takes_very_many_names_holds_up_no_other_name(
    client: Connection, mallory: Connection
) -> None:
    with mallory.transaction(force_rollback=True):
        names = ", ".join(f"'{value}'" for value in TRAIN.values())
        mallory.execute(
            f"INSERT INTO ml_jobs ({', '.join(TRAIN)}, train_model_name)"
            f" SELECT {names}, 'name ' || n FROM generate_series(1, 3000) n".encode()
        )
        assert insert_job(client, **TRAIN, train_model_name="name 0")


def test_advisory_locks_of_a_stranger_hold_up_nothing(
    db: Database, owner: Connection, client: Connection, worker: Connection
) -> None:
    owner.execute(f"CREATE ROLE stranger LOGIN PASSWORD '{PASSWORD}'")
    try:
        with db.connect("stranger") as stranger:
            stranger.execute(f"SELECT pg_advisory_lock({0x6D6C})".encode())
            stranger.execute(
                "SELECT pg_advisory_lock(hashtext('ml_models.name'), k) FROM generate_series(-999, 999) AS k"
            )
            model_id = ready_model(client, worker, train_model_name="named")
            client.execute("UPDATE ml_models SET name = 'named anew' WHERE id = %s", [model_id])
            install(db.login("owner"))
    finally:
        owner.execute("DROP ROLE stranger")


def test_an_installation_says_whose_transaction_it_waits_for_and_gives_up(
    db: Database, reader: Connection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(schema, "SAY_AFTER_SECONDS", 0.1)
    monkeypatch.setattr(schema, "OPEN_SECONDS", 1.0)
    with reader.transaction():
        reader.execute("SELECT * FROM ml_jobs")
        with pytest.raises(UnsuitableDatabaseError, match=r"process \d+ of rosa.*install again"):
            install(db.login("owner"))
        assert f"waiting for open transactions: process {reader.info.backend_pid} of rosa" in caplog.text
    install(db.login("owner"))


def test_an_installation_goes_on_when_the_transaction_ends(db: Database, reader: Connection) -> None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            install(db.login("owner"))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    with reader.transaction():
        reader.execute("SELECT * FROM ml_queue")
        thread.start()
        thread.join(1)
    thread.join()
    assert errors == []
