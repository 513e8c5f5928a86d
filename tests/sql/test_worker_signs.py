"""Signs of life: who is alive, since when, and what it does."""

from collections.abc import Callable

import psycopg
import pytest

from tests.conftest import TRAIN, Connection, Database, claim, insert_job, one
from tests.sql.helpers import call, refused, running_job


@pytest.fixture
def db(make_database: Callable[[], Database]) -> Database:
    """A database for this test alone: it looks at all that is there."""
    return make_database()


def workers(reader: Connection) -> list[dict[str, object]]:
    return list(reader.execute("SELECT * FROM ml_workers"))


def test_a_worker_is_seen_with_what_it_runs(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    call(worker, "record_sign", "w1", 2, "1 minute")
    first = one(reader, "SELECT * FROM ml_workers")
    assert (first["state"], first["running"], first["job_ids"]) == ("IDLE", 0, None)
    jobs = [running_job(client, worker), insert_job(client, **TRAIN)]
    assert claim(worker)["id"] == jobs[1]
    call(worker, "record_sign", "w1", 2, "1 minute")
    second = one(reader, "SELECT * FROM ml_workers")
    assert (second["state"], second["running"]) == ("BUSY", 2)
    assert second["job_ids"] == ",".join(map(str, jobs))
    assert (second["concurrency"], second["login"]) == (2, "wanda")
    assert first["started_at"] == second["started_at"]
    assert first["last_sign_at"] < second["last_sign_at"]


def test_a_worker_that_lacks_something_is_seen_as_paused_and_those_who_wait_are_told(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    job_id = insert_job(client, **TRAIN)
    queue = "SELECT progress_msg FROM ml_queue WHERE status = 'PENDING'"
    call(worker, "record_sign", "w1", 1, "1 minute", "no room in /models")
    paused = one(reader, "SELECT * FROM ml_workers")
    assert (paused["state"], paused["reason"]) == ("PAUSED", "no room in /models")
    assert one(reader, queue)["progress_msg"] == "worker w1 has paused: no room in /models"
    with pytest.raises(psycopg.Error) as caught:
        reader.execute("CALL ml.wait(%s, '0.1 seconds'::interval)", [job_id])
    assert "worker w1 has paused: no room in /models" in str(caught.value)
    call(worker, "record_sign", "w2", 1, "1 minute")
    assert one(reader, queue)["progress_msg"] is None
    call(worker, "record_sign", "w1", 1, "1 minute")
    assert [row["state"] for row in workers(reader)] == ["IDLE", "IDLE"]


def test_a_worker_that_stopped_or_fell_silent_is_not_alive(worker: Connection, reader: Connection) -> None:
    call(worker, "record_sign", "silent", 1, "0")
    call(worker, "record_sign", "stopped", 1, "1 hour")
    call(worker, "record_sign", "stopped", 1, "0")
    call(worker, "record_sign", "host:1:abc", 1, "1 hour")
    assert [(row["worker_id"], row["host"]) for row in workers(reader)] == [("host:1:abc", "host")]


@pytest.mark.parametrize(
    ("arguments", "constraint"),
    [
        ((" ", 1, "1 minute"), "ml_worker_signs_worker_id_not_blank"),
        (("w1", 0, "1 minute"), "ml_worker_signs_concurrency_positive"),
        (("w1", 1, "2 days"), "ml_worker_signs_alive_for_a_day_at_most"),
        (("w1", 1, "-1 hour"), "ml_worker_signs_alive_for_a_day_at_most"),
    ],
)
def test_a_sign_that_makes_no_sense_is_refused(
    worker: Connection, arguments: tuple[object, ...], constraint: str
) -> None:
    with refused("23514", constraint):
        call(worker, "record_sign", *arguments)


@pytest.mark.parametrize("statement", ["UPDATE {} SET concurrency = 9", "DELETE FROM {}", "TRUNCATE {}"])
def test_a_sign_stays_as_it_is(owner: Connection, worker: Connection, statement: str) -> None:
    call(worker, "record_sign", "w1", 1, "1 minute")
    with refused("ML003", "refused"):
        owner.execute(statement.format("ml_worker_signs"))
