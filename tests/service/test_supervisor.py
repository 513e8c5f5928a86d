"""Parts of the supervisor that no ordinary run reaches."""

import errno
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.conftest import TRAIN, Connection, Database, claim, insert_job, job_row
from worker import model_folder
from worker.child import kinds, memory
from worker.database import queue
from worker.database.connection import Connection as WorkerConnection
from worker.model_folder import FolderError
from worker.protocol import Failed, Ready, Unable, read_order, to_line
from worker.service import lacks
from worker.service.children import kill
from worker.service.pauses import Pause
from worker.service.supervisor import MAX_BACKOFF_SECONDS, Options, Supervisor


def echo(channel: socket.socket, _supervisor: int, _url: str) -> None:
    """A child that says what it was told."""
    os.setsid()
    channel.sendall(to_line(Ready(["TRAIN"])))
    channel.sendall(channel.recv(1 << 16))
    channel.recv(1)


def end(supervisor: Supervisor) -> None:
    for child in [*supervisor.children.warm, *(running.child for running in supervisor.running.values())]:
        kill(child)
    supervisor._disconnect()


def warm_up(supervisor: Supervisor) -> None:
    """Have a child ready."""
    while not supervisor.children.has_ready:
        supervisor._warm_up()
        for key, _ in supervisor._selector.select(1):
            key.data()


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
    held = queue.held_jobs

    def cancelled_just_then(connection: WorkerConnection, worker_id: str) -> list[Any]:
        jobs = held(connection, worker_id)
        client.execute("CALL ml.cancel_job(%s)", [job_id])
        return jobs

    monkeypatch.setattr(queue, "held_jobs", cancelled_just_then)
    supervisor._connect()
    supervisor._give_back_unknown_jobs()
    assert supervisor.connection is not None
    assert job_row(client, job_id)["status"] == "CANCELLED"
    supervisor._disconnect()


def test_whoever_is_woken_claims_before_all_else(
    supervisor: Supervisor, client: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.child.process.run", echo)
    asked: list[str] = []

    def spy(name: str) -> None:
        original = getattr(queue, name)

        def called(*args: Any) -> Any:
            asked.append(name)
            return original(*args)

        monkeypatch.setattr(queue, name, called)

    for name in ("claim_job", "expire_leases", "lost_jobs", "record_sign", "record_progress"):
        spy(name)
    insert_job(client, **TRAIN)
    supervisor._connect()
    warm_up(supervisor)
    supervisor._step()
    assert asked[0] == "claim_job"
    assert sorted(asked) == ["claim_job", "expire_leases", "lost_jobs", "record_sign"]
    end(supervisor)


def test_a_child_is_told_if_its_supervisor_has_connected_anew_since_it_was_started(
    supervisor: Supervisor, client: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.child.process.run", echo)

    def has_changed() -> bool:
        warm_up(supervisor)
        insert_job(client, **TRAIN)
        supervisor._look = True
        supervisor._step()
        (running,) = supervisor.running.values()
        order = read_order(running.child.channel.recv(1 << 16))
        running.outcome = Failed("enough")
        supervisor._step()
        return order.has_changed

    supervisor._connect()
    supervisor._warm_up()
    assert not has_changed()
    supervisor._disconnect()
    supervisor._connect()
    assert has_changed()
    assert not has_changed()
    end(supervisor)


@pytest.mark.parametrize(
    ("files", "possible"), [(["model_1_attempt_1_x.pkl"], {"TEST", "COMPARE", "SCORE"}), ([], set())]
)
def test_without_room_in_the_folder_only_what_writes_nothing_is_claimed_and_nothing_where_it_is_empty(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, files: list[str], possible: set[str]
) -> None:
    def no_room(*_: object) -> None:
        raise FolderError(supervisor.options.model_dir, OSError(errno.ENOSPC, "No space left on device"))

    for name in files:
        (supervisor.options.model_dir / name).touch()
    supervisor._note_ready(Ready(["TRAIN"]))
    make = supervisor.lacks.trial.make
    monkeypatch.setattr(supervisor.lacks.trial, "make", no_room)
    assert supervisor.lacks.possible_kinds() == possible
    assert "claims no TRAIN jobs: no model file can be written in" in (supervisor.lacks.reason() or "")
    monkeypatch.setattr(supervisor.lacks.trial, "make", make)
    assert supervisor.lacks.possible_kinds() == possible  # before the next trial
    supervisor.lacks.pauses["folder"].until = 0
    assert supervisor.lacks.possible_kinds() == kinds.names()
    assert supervisor.lacks.reason() is None


def test_a_folder_that_does_not_answer_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()
    monkeypatch.setattr(model_folder, "check", lambda *_: answers.wait())
    trial = model_folder.Trial(tmp_path)
    for _ in range(2):
        with pytest.raises(FolderError, match="timed out"):
            trial.make(1, 0.01)
    answers.set()
    trial.make(1, 60)


GB = 10**9


@pytest.mark.parametrize(
    ("free", "later", "is_pending", "waited", "passed"),
    [
        (GB, 3 * GB, True, lacks.MEMORY_SECONDS, False),
        (GB, 3 * GB, True, 0, True),
        (GB, GB, True, lacks.MEMORY_SECONDS, True),
        (GB, 3 * GB, False, lacks.MEMORY_SECONDS, True),
    ],
    ids=["long", "not long", "would not fit alone", "tried by another worker"],
)
def test_a_job_that_waited_long_for_memory_is_passed_by_no_other(
    supervisor: Supervisor,
    client: Connection,
    worker: Connection,
    monkeypatch: pytest.MonkeyPatch,
    free: int,
    later: int,
    is_pending: bool,
    waited: float,
    passed: bool,
) -> None:
    monkeypatch.setattr("worker.child.process.run", echo)
    monkeypatch.setattr(memory, "free", lambda: free)
    monkeypatch.setattr(memory, "free_later", lambda: later)
    supervisor._connect()
    assert supervisor.connection
    warm_up(supervisor)
    large = insert_job(client, **TRAIN)
    if not is_pending:
        claim(worker)
    supervisor.lacks.leave(large, Unable("memory", "there is not enough", 2 * GB))
    supervisor.lacks.left[large].pause.until = 0
    supervisor.lacks.left[large].since -= waited
    small = insert_job(client, **TRAIN)
    supervisor._claim(supervisor.connection)
    assert list(supervisor.running) == ([small] if passed else [])
    assert (supervisor.lacks.reason() is None) == passed
    if not passed:
        monkeypatch.setattr(memory, "free", lambda: later)
        supervisor._claim(supervisor.connection)
        assert list(supervisor.running) == [large]
        assert supervisor.lacks.reason() is None
    end(supervisor)


def test_a_job_that_has_ended_elsewhere_is_forgotten_by_who_could_not_do_it(
    supervisor: Supervisor, client: Connection
) -> None:
    supervisor._connect()
    assert supervisor.connection
    ids = [insert_job(client, **TRAIN) for _ in range(2)]
    for job_id in ids:
        supervisor.lacks.leave(job_id, Unable("memory", "there is not enough", 10**18))
    client.execute("CALL ml.cancel_job(%s)", [ids[0]])
    for _ in range(2):
        supervisor._drain(supervisor.connection)
        supervisor._claim(supervisor.connection)
        assert list(supervisor.lacks.left) == ids[1:]
    assert job_row(client, ids[1])["attempt"] == 0
    end(supervisor)


def test_pauses_grow_up_to_a_bound_and_start_anew_after_a_success() -> None:
    pause = Pause(longest=15)
    lasted = []
    for _ in range(8):
        pause.lengthen()
        lasted.append(pause.until - time.monotonic())
    for seconds, longest in zip(lasted, [1, 2, 4, 8, 15, 15, 15, 15], strict=True):
        assert 0.7 * longest < seconds <= longest
    pause.end()
    assert pause.is_over
    pause.lengthen()
    assert pause.until - time.monotonic() <= 1
