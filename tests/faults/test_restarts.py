"""Sessions are terminated, the server crashes or is away: every job ends once, with one result."""

import logging
import random
import re
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.conftest import (
    TEMPLATE,
    TRAIN,
    Database,
    Worker,
    _make_template,
    insert_job,
    is_stopped,
    job_row,
    until,
    wait_for,
)
from tests.faults.test_death import FOREST, assert_one_result
from worker.embedded import Server
from worker.service.supervisor import MAX_BACKOFF_SECONDS, Options, Supervisor

StartWorker = Callable[..., Worker]


def test_every_job_ends_with_one_result_while_sessions_are_terminated_at_random(
    make_database: Callable[[], Database], start_worker: StartWorker
) -> None:
    seed = random.randrange(2**32)
    logging.getLogger(__name__).warning("seed %s", seed)
    chance = random.Random(seed)
    db = make_database()
    with db.connect("anna") as client, psycopg.connect(db.url, autocommit=True) as admin:
        workers = [start_worker(db, "--lease", "40", "--poll", "0.5") for _ in range(2)]
        for worker in workers:
            until(lambda worker=worker: "listening" in worker.log, "the worker to listen")  # type: ignore[misc]
        jobs = [insert_job(client, **FOREST, max_attempts=100) for _ in range(4)]
        terminated = 0
        ends = time.monotonic() + 6
        while time.monotonic() < ends:
            sessions = admin.execute(
                """SELECT a.pid FROM pg_stat_activity a
                WHERE a.application_name = 'ml-worker' AND a.datname = current_database()"""
            ).fetchall()
            if sessions:
                admin.execute("SELECT pg_terminate_backend(%s)", chance.choice(sessions))
                terminated += 1
            time.sleep(chance.uniform(0.05, 0.5))
        for job_id in jobs:
            wait_for(client, job_id)
            assert_one_result(client, job_id)
        # At most one line for a session that was terminated, and one for the worker's return.
        logs = "".join(worker.log for worker in workers)
        assert 0 < logs.count("reconnected") <= logs.count("connection lost") <= terminated


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    """A server that a test may stop, on a port that no other is likely to take meanwhile."""
    home = Path(tempfile.mkdtemp(prefix="ml-tests-"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Server(home, settings=(f"port = {port}", "fsync = off"))  # the machine itself does not crash
    try:
        server.start()
        _make_template(server.tcp_url("postgres"))
        yield server
    finally:
        server.stop()
        shutil.rmtree(home)


@pytest.fixture(scope="module")
def on_own_server(own_server: Server) -> Database:
    return Database(make_conninfo(own_server.tcp_url("postgres"), dbname=TEMPLATE))


def crash(server: Server) -> None:
    server._run("pg_ctl", "-m", "immediate", "-w", "stop")


def test_a_job_survives_a_crash_of_the_server_in_each_phase(
    own_server: Server, on_own_server: Database, start_worker: StartWorker
) -> None:
    phases = {
        "before:claim_job": "PENDING",
        "before:record_progress": "RUNNING",
        "hears:Training": "RUNNING",
        "before:record_result": "RUNNING",
        "after:record_result": "COMPLETED",
    }
    db = on_own_server
    worker = start_worker(db, "--lease", "120", "--poll", "1", saboteur=(",".join(phases), "stop"))
    until(lambda: is_stopped(worker.process.pid), "the first look at the queue")
    with db.connect("anna") as client:
        job_id = insert_job(client, **FOREST | {"train_params_csv": "n_estimators=2000"})
    for phase, status in phases.items():
        until(lambda: is_stopped(worker.process.pid), phase)
        with db.connect("anna") as client:
            assert job_row(client, job_id)["status"] == status, phase
        crash(own_server)
        own_server.start()
        worker.process.send_signal(signal.SIGCONT)
    with db.connect("anna") as client:
        assert_one_result(client, job_id)
        wait_for(client, insert_job(client, **TRAIN), "COMPLETED")
    worker.stop()


def test_a_worker_whose_server_is_away_says_one_line_a_try_and_works_on_when_it_is_back(
    own_server: Server, on_own_server: Database, start_worker: StartWorker
) -> None:
    db = on_own_server
    worker = start_worker(db, "--poll", "1")
    until(lambda: "listening" in worker.log, "the worker to listen")
    before = len(worker.log.splitlines())
    own_server.stop()
    until(lambda: worker.log.count("connection lost") >= 3, "three tries")
    said = worker.log.splitlines()[before:]
    own_server.start()
    for tries, line in enumerate(said, start=1):
        delay = re.search(r" WARNING worker=\S+ connection lost, next try in ([\d.]+) s: \S", line)
        assert delay is not None, line
        assert 0.1 <= float(delay[1]) <= 0.5 * 2**tries
    with db.connect("anna") as client:
        job_id = insert_job(client, **TRAIN)
        wait_for(client, job_id)
        assert_one_result(client, job_id)
    worker.stop()


def test_tries_to_reconnect_come_ever_later_up_to_a_bound_and_not_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def delays(supervisor: Supervisor) -> list[float]:
        found = []
        for _ in range(10):
            supervisor._lost_connection(psycopg.OperationalError("gone"))
            found.append(supervisor._reconnect_at - time.monotonic())
        return found

    one, other = (delays(Supervisor(Options("", tmp_path))) for _ in range(2))
    assert one != pytest.approx(other, abs=0.01)
    monkeypatch.setattr(random, "uniform", lambda _shortest, longest: longest)
    longest = delays(Supervisor(Options("", tmp_path)))
    assert longest == pytest.approx([1, 2, 4, 8, *[MAX_BACKOFF_SECONDS] * 6], abs=0.5)
