"""Answers are there once and all together, or not at all, whatever happens while they are stored."""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from tests.conftest import (
    TRAIN,
    Connection,
    Database,
    Worker,
    insert_job,
    is_alive,
    job_row,
    one,
    until,
    wait_for,
)
from tests.sql.helpers import SCORE_PERIOD, call, running_job
from worker.child import assignment
from worker.child.dataset import Dataset
from worker.child.kinds import score
from worker.child.task import Task
from worker.database import predictions, queue
from worker.database.connection import connect
from worker.errors import JobError, LackError
from worker.protocol import Job

StartWorker = Callable[..., Worker]
STORING = """
    SELECT count(*) AS n FROM pg_stat_activity
    WHERE datname = current_database() AND query LIKE '%store_predictions%' AND pid <> pg_backend_pid()
"""


@pytest.fixture
def asked(db: Database, start_worker: StartWorker) -> Iterator[tuple[Worker, Connection, int]]:
    """A worker that has trained a model, a client, and the model."""
    worker = start_worker(db, "--poll", "1")
    with db.connect("anna") as client:
        job = wait_for(client, insert_job(client, **TRAIN))
        assert job["status"] == "COMPLETED", job["error_msg"]
        yield worker, client, job["result_model_id"]


def ask(client: Connection, model_id: int) -> int:
    return insert_job(client, job_type="SCORE", score_model_id=model_id, **SCORE_PERIOD)


def answers(client: Connection) -> dict[str, int]:
    """How many answers, jobs that have some, and scorings there are."""
    return one(
        client,
        """
        SELECT count(*) AS answers, count(DISTINCT job_id) AS jobs,
            (SELECT count(*) FROM ml_scorings) AS scorings
        FROM ml_predictions
        """,
    )


@contextmanager
def stuck(db: Database) -> Iterator[None]:
    """Whoever stores answers waits, until this ends."""
    with db.connect("owner") as holder, holder.transaction():
        holder.execute("LOCK TABLE ml_prediction_blocks IN SHARE MODE")
        yield


def is_storing(db: Database) -> bool:
    with psycopg.connect(db.url, autocommit=True) as admin:
        row = admin.execute(STORING.encode()).fetchone()
    return bool(row and row[0])


def test_a_cancel_while_answers_are_stored_ends_child_and_session_and_leaves_none(
    db: Database, asked: tuple[Worker, Connection, int]
) -> None:
    worker, client, model_id = asked
    with stuck(db):
        job_id = ask(client, model_id)
        until(lambda: is_storing(db), "answers to be stored")
        child = worker.child_of(job_id)
        client.execute("CALL ml.cancel_job(%s)", [job_id])
        assert job_row(client, job_id)["status"] == "CANCELLED"
        until(lambda: not is_alive(child), "the end of the child", timeout=2)
        until(lambda: not is_storing(db), "the end of its session", timeout=2)
    assert answers(client) == {"answers": 0, "jobs": 0, "scorings": 0}
    assert wait_for(client, ask(client, model_id))["status"] == "COMPLETED"
    assert answers(client)["jobs"] == 1


def test_a_child_that_is_killed_while_it_stores_leaves_nothing_and_the_next_attempt_one_set(
    db: Database, asked: tuple[Worker, Connection, int]
) -> None:
    worker, client, model_id = asked
    with stuck(db):
        job_id = ask(client, model_id)
        until(lambda: is_storing(db), "answers to be stored")
        os.kill(worker.child_of(job_id), signal.SIGKILL)
        worker.child_of(job_id, attempt=2)
    job = wait_for(client, job_id)
    assert (job["status"], job["attempt"]) == ("COMPLETED", 2)
    found = answers(client)
    assert (found["jobs"], found["scorings"]) == (1, 1)
    assert found["answers"] == one(client, "SELECT num_samples AS n FROM ml_scorings")["n"]


def test_a_session_that_is_ended_while_it_stores_stores_again(
    db: Database, asked: tuple[Worker, Connection, int]
) -> None:
    worker, client, model_id = asked
    with stuck(db):
        job_id = ask(client, model_id)
        until(lambda: is_storing(db), "answers to be stored")
        with psycopg.connect(db.url, autocommit=True) as admin:
            query = STORING.replace("count(*) AS n", "pg_terminate_backend(pid)")
            admin.execute(query.encode())
        until(lambda: not is_storing(db), "the end of the session")
        until(lambda: is_storing(db), "another")
    job = wait_for(client, job_id)
    assert (job["status"], job["attempt"]) == ("COMPLETED", 1)
    assert answers(client)["answers"] == one(client, "SELECT num_samples AS n FROM ml_scorings")["n"]
    assert "discarded" not in worker.log


def test_a_result_that_the_child_recorded_is_no_loss_when_it_dies_before_it_can_say_so(
    db: Database, owner: Connection, asked: tuple[Worker, Connection, int]
) -> None:
    """The supervisor sees that the job is COMPLETED, and by whom."""
    worker, client, model_id = asked
    # The child waits in its COMMIT; meanwhile it is stopped, so that it does not get to say a word.
    owner.execute(
        """
        CREATE FUNCTION wait_a_moment() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_advisory_xact_lock(77); RETURN NULL; END $$;
        CREATE TRIGGER wait_a_moment AFTER INSERT ON ml_scorings
        FOR EACH STATEMENT EXECUTE FUNCTION wait_a_moment();
        """
    )
    with db.connect("owner") as holder:
        holder.execute("SELECT pg_advisory_lock(77)")
        job_id = ask(client, model_id)
        query = "SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        until(lambda: one(owner, query)["n"] == 1, "the result to be recorded")
        child = worker.child_of(job_id)
        os.kill(child, signal.SIGSTOP)
        holder.execute("SELECT pg_advisory_unlock(77)")
    assert wait_for(client, job_id)["status"] == "COMPLETED"
    until(
        lambda: f"job={job_id} attempt=1 completed result=recorded" in worker.log, "the supervisor to see it"
    )
    assert not is_alive(child)
    assert "discarded" not in worker.log
    assert answers(client)["jobs"] == 1


# ── In this process ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def task(db: Database, client: Connection, worker: Connection) -> Iterator[Task]:
    """A SCORE job that is claimed by the login of the workers."""
    job_id = running_job(client, worker, "SCORE")
    connection = connect(db.login("wanda"), role="ml_worker")
    yield Task(
        assignment=assignment.read(queue.assignment(connection, Job(job_id, 1, "SCORE"))),
        job_id=job_id,
        attempt=1,
        model_dir=Path(),
        token="",
        threads=1,
        report=lambda _share, _words: None,
        connection=connection,
        connect=lambda: connect(db.login("wanda"), role="ml_worker"),
        started=0.0,
    )
    connection.close()


def known(rows: int = 5) -> score.Answers:
    """Answers of rows of two coins, in parts of two rows."""
    data = Dataset(
        names=(),
        features=np.empty((rows, 0), np.float32),
        labels=np.empty(0, np.uint8),
        coins=np.repeat(np.arange(2, dtype=np.int32), [rows - 2, 2]),
        times=np.arange(rows, dtype=np.int64),
        num_unlabelled=0,
        num_without_base=0,
        num_uncovered=0,
        fingerprint="b" * 64,
        coin_names=(b"A", "Ä".encode()),
    )
    futures = tuple(Future[None]() for _ in range(-(-rows // score.PART_ROWS)))
    for future in futures:
        future.set_result(None)
    return score.Answers(data, np.linspace(0, 1, rows), futures)


def result() -> dict[str, Any]:
    return {"data_fingerprint": "b" * 64, "seconds_loading": 1, "seconds_scoring": 2, "note": None}


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score, "PART_ROWS", 2)


def lost_before(commit: Any) -> Callable[..., int]:
    """The connection breaks once before the COMMIT."""
    calls: list[int] = []

    def broken(connection: Any, *values: Any) -> int:
        calls.append(1)
        if len(calls) == 1:
            connection.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return int(commit(connection, *values))

    return broken


def lost_after(commit: Any) -> Callable[..., int]:
    """And once after it, before its answer."""
    calls: list[int] = []

    def broken(connection: Any, *values: Any) -> int:
        calls.append(1)
        found = int(commit(connection, *values))
        if len(calls) == 1:
            connection.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return found

    return broken


@pytest.mark.parametrize("lose", [lost_before, lost_after])
def test_a_commit_whose_answer_is_lost_gives_one_set(
    client: Connection, task: Task, monkeypatch: pytest.MonkeyPatch, lose: Callable[[Any], Any]
) -> None:
    monkeypatch.setattr(predictions, "commit", lose(predictions.commit))
    found = score._store(task, known(), result)
    assert one(client, "SELECT id FROM ml_scorings")["id"] == found
    assert answers(client) == {"answers": 5, "jobs": 1, "scorings": 1}
    rows = client.execute("SELECT key, probability FROM ml_predictions ORDER BY probability").fetchall()
    assert [(row["key"], row["probability"]) for row in rows] == [
        ("A", 0.0),
        ("A", 0.25),
        ("A", 0.5),
        ("Ä", 0.75),
        ("Ä", 1.0),
    ]


def test_a_commit_that_was_still_under_way_when_it_was_looked_for_gives_one_set(
    client: Connection, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictions, "commit", lost_after(predictions.commit))
    find, looks = predictions.find_scoring, []

    def look(*values: Any) -> int | None:
        looks.append(1)
        # The second look is too early by a moment: it sees nothing, and all is stored again.
        return None if len(looks) < 3 else find(*values)

    monkeypatch.setattr(predictions, "find_scoring", look)
    assert score._store(task, known(), result) == one(client, "SELECT id FROM ml_scorings")["id"]
    assert answers(client) == {"answers": 5, "jobs": 1, "scorings": 1}


def test_a_job_that_was_lost_meanwhile_stores_nothing(
    client: Connection, worker: Connection, task: Task
) -> None:
    call(worker, "record_loss", task.job_id, 1, "gone")
    with pytest.raises(JobError, match="attempt 1 does not hold job"):
        score._store(task, known(), result)
    assert answers(client) == {"answers": 0, "jobs": 0, "scorings": 0}


def test_a_server_that_takes_no_answers_now_has_the_job_given_back(
    owner: Connection, client: Connection, task: Task
) -> None:
    """As where its disk is full."""
    owner.execute(
        """
        CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END $$;
        CREATE TRIGGER full_disk BEFORE INSERT ON ml_prediction_blocks
        FOR EACH STATEMENT EXECUTE FUNCTION full_disk();
        """
    )
    with pytest.raises(LackError) as caught:
        score._store(task, known(), result)
    assert caught.value.unable.lack == "machine"
    assert "No space left on device" in caught.value.unable.message
    assert answers(client) == {"answers": 0, "jobs": 0, "scorings": 0}
