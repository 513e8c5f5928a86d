"""Parts of the supervisor that no ordinary run reaches."""

import select
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.conftest import TRAIN, Connection, Database, claim, insert_job, job_row
from worker import database
from worker.supervisor import MAX_BACKOFF_SECONDS, Options, Supervisor


@pytest.fixture
def supervisor(db: Database, tmp_path: Path) -> Supervisor:
    return Supervisor(Options(db.login("wanda"), tmp_path))


@pytest.mark.parametrize("failures", [0, 5, 10_000])
def test_the_backoff_is_bounded_however_long_the_server_is_away(
    supervisor: Supervisor, failures: int
) -> None:
    supervisor._failures = failures
    supervisor._lost_connection(psycopg.OperationalError("gone"))
    assert 0 < supervisor._reconnect_at - time.monotonic() <= MAX_BACKOFF_SECONDS


def test_a_job_that_is_cancelled_while_it_is_given_back_does_no_harm(
    supervisor: Supervisor, client: Connection, worker: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = insert_job(client, **TRAIN)
    claim(worker, supervisor.worker_id)
    held = database.held_jobs

    def cancelled_just_then(connection: database.Connection, worker_id: str) -> list[Any]:
        jobs = held(connection, worker_id)
        client.execute("CALL ml.cancel_job(%s)", [job_id])
        return jobs

    monkeypatch.setattr(database, "held_jobs", cancelled_just_then)
    supervisor._connect()
    supervisor._give_back_unknown_jobs()
    assert supervisor.connection is not None
    assert job_row(client, job_id)["status"] == "CANCELLED"
    supervisor._disconnect()


def test_a_call_that_takes_too_long_fails_and_the_connection_is_closed(db: Database) -> None:
    with database.connect(db.login("wanda"), role="ml_worker") as connection:
        with pytest.raises(psycopg.OperationalError), database.deadline(connection, 0.2):
            connection.execute("SELECT pg_sleep(60)")
        assert connection.broken


def test_a_notification_that_was_read_behind_an_answer_is_found(db: Database, client: Connection) -> None:
    """The socket does not become readable for it any more."""
    with database.connect(db.login("wanda"), role="ml_worker") as connection:
        database.listen(connection, lambda: None)
        assert not database.was_notified(connection)
        insert_job(client, **TRAIN)
        assert select.select([connection.fileno()], [], [], 60)[0]
        connection.pgconn.consume_input()
        assert not select.select([connection.fileno()], [], [], 0)[0]
        assert database.was_notified(connection)
        assert not database.was_notified(connection)
