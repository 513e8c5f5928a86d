"""A worker that lacks something gives jobs back unharmed, claims none it cannot do, and goes on by itself."""

import re
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier

from tests.commands.test_cli import ml_worker
from tests.conftest import (
    PASSWORD,
    TEMPLATE,
    TRAIN,
    Connection,
    Database,
    Worker,
    _make_template,
    insert_job,
    job_row,
    one,
    until,
    wait_for,
)
from tests.faults.descendants import startup
from tests.faults.test_artifacts import FOREST, assert_every_ready_model_has_its_file
from tests.sql.helpers import TEST_PERIOD
from worker.database.connection import connect, fetch_value
from worker.embedded import Server

StartWorker = Callable[..., Worker]
POLL = ("--poll", "0.5")


def state(client: Connection) -> tuple[str, str]:
    """State of the one worker, and its reason."""
    rows = client.execute("SELECT state, reason FROM ml_workers").fetchall()
    return (rows[0]["state"], rows[0]["reason"] or "") if rows else ("none", "")


def is_paused(client: Connection, words: str) -> bool:
    told, reason = state(client)
    return told == "PAUSED" and words in reason


def lost(client: Connection) -> int:
    return int(
        one(client, "SELECT count(*) AS n FROM ml_job_events WHERE event IN ('EXPIRED', 'FAILED')")["n"]
    )


@contextmanager
def harmed(db: Database, harm: str, cure: str) -> Iterator[None]:
    with db.connect("owner") as owner:
        owner.execute(harm.encode())
        try:
            yield
        finally:
            owner.execute(cure.encode())


# ── No connection ───────────────────────────────────────────────────────────────────────────────────

REFUSALS = {
    "another password": ("ALTER ROLE wanda PASSWORD 'another'", f"ALTER ROLE wanda PASSWORD '{PASSWORD}'"),
    "no login": ("ALTER ROLE wanda NOLOGIN", "ALTER ROLE wanda LOGIN"),
    "connection limit": ("ALTER ROLE wanda CONNECTION LIMIT 1", "ALTER ROLE wanda CONNECTION LIMIT -1"),
    "no role": ("REVOKE ml_worker FROM wanda", "GRANT ml_worker TO wanda"),
}


@dataclass
class Service:
    """A database and a worker that gets over what tests do to it."""

    db: Database
    worker: Worker


@pytest.fixture(scope="module")
def refused(make_database: Callable[[], Database], start_worker: StartWorker) -> Service:
    db = make_database()
    return Service(db, start_worker(db, *POLL))


@pytest.mark.parametrize("harm", REFUSALS)
def test_a_login_that_is_refused_while_its_worker_runs_costs_no_attempt(refused: Service, harm: str) -> None:
    db, worker = refused.db, refused.worker
    with db.connect("anna") as client:
        wait_for(client, insert_job(client, **TRAIN))
        pauses = worker.log.count("paused lack=connection")
        with harmed(db, *REFUSALS[harm]):
            jobs = [insert_job(client, **TRAIN, max_attempts=1) for _ in range(4)]
            until(lambda: is_paused(client, "a job cannot connect to the database: "), "the pause")
            until(lambda: worker.log.count("paused lack=connection") > pauses, "its line in the log")
            (waiting,) = {
                row["progress_msg"]
                for row in client.execute("SELECT progress_msg FROM ml_queue WHERE status = 'PENDING'")
            }
            assert "has paused: a job cannot connect to the database: " in waiting
            health = ml_worker("health", DATABASE_URL=db.login("rosa"))
            assert health.returncode == 1
            assert "but has paused: a job cannot connect to the database: " in health.stdout
            assert lost(client) == 0
        for job_id in jobs:
            job = wait_for(client, job_id)
            assert job["status"] == "COMPLETED", job["error_msg"]
        assert lost(client) == 0
        until(lambda: state(client)[0] == "IDLE", "the end of the pause")
        for words in ("paused", "resumed"):
            assert worker.log.count(f"{words} lack=connection") == pauses + 1


# ── No room ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_job_for_which_the_disk_has_no_room_is_given_back_and_others_are_done(
    make_database: Callable[[], Database], start_worker: StartWorker
) -> None:
    """The limit on the size of a file gives the error at the very place where a full disk does."""
    db = make_database()
    worker = start_worker(db, *POLL, **startup(TEST_FILE_SIZE=20_000))
    with db.connect("anna") as client:
        job_id = insert_job(client, **FOREST, max_attempts=1)
        small = wait_for(client, insert_job(client, **TRAIN))
        assert small["status"] == "COMPLETED", small["error_msg"]
        job = wait_for(client, job_id, "PENDING")
        assert "no model file can be written in" in job["progress_msg"]
        assert "File too large; make room there" in job["progress_msg"]
        assert lost(client) == 0
        assert worker.stop() == 0
        assert_every_ready_model_has_its_file(client, worker.model_dir, 1)
        start_worker(db, *POLL, model_dir=worker.model_dir)
        assert wait_for(client, job_id)["status"] == "COMPLETED"


def test_a_worker_without_its_folder_claims_nothing_that_needs_it_and_another_does(
    make_database: Callable[[], Database], start_worker: StartWorker
) -> None:
    db = make_database()
    worker = start_worker(db, *POLL)
    until(lambda: "listening" in worker.log, "the start")
    shutil.rmtree(worker.model_dir)
    worker.model_dir.write_text("in the way")
    with db.connect("anna") as client:
        jobs = [insert_job(client, **TRAIN, max_attempts=1) for _ in range(2)]
        words = f"no model file can be written in {worker.model_dir}/database_"
        until(lambda: is_paused(client, words), "the pause")
        assert [job_row(client, job_id)["attempt"] for job_id in jobs] == [0, 0]
        healthy = start_worker(db, *POLL)
        for job_id in jobs:
            assert wait_for(client, job_id)["status"] == "COMPLETED"
        assert healthy.stop() == 0
        worker.model_dir.unlink()
        job = wait_for(client, insert_job(client, **TRAIN))
        assert (job["status"], job["attempt"]) == ("COMPLETED", 1)
        assert worker.log.count("paused lack=folder") == worker.log.count("resumed lack=folder") == 1
        worker.stop()


# ── Timeouts ────────────────────────────────────────────────────────────────────────────────────────

TIMEOUTS = (
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "transaction_timeout",
)


@contextmanager
def short_timeouts(db: Database, whose: str, value: str) -> Iterator[list[str]]:
    """All timeouts that the server knows are so short for new sessions of a role or a database."""
    with psycopg.connect(db.url, autocommit=True) as admin:
        known = [
            name for name in TIMEOUTS if name != "transaction_timeout" or admin.info.server_version >= 170_000
        ]
        whose = whose.format(admin.info.dbname)
        for name in known:
            admin.execute(f"ALTER {whose} SET {name} TO '{value}'".encode())
        try:
            yield known
        finally:
            for name in known:
                admin.execute(f"ALTER {whose} RESET {name}".encode())


@pytest.mark.parametrize("whose", ["ROLE wanda", "DATABASE {}"])
def test_a_session_of_a_worker_has_no_timeout_whatever_its_login_or_database_says(
    make_database: Callable[[], Database], whose: str
) -> None:
    db = make_database()
    with short_timeouts(db, whose, "10s") as known:
        with db.connect("wanda") as session:
            assert [list(one(session, f"SHOW {name}").values()) for name in known] == [["10s"]] * len(known)
        with connect(db.login("wanda"), role="ml_worker") as session:
            assert [fetch_value(session, SQL("SHOW {}").format(Identifier(name))) for name in known] == [
                "0"
            ] * len(known)


def test_a_job_that_takes_longer_than_the_timeouts_of_its_login_is_done(
    make_database: Callable[[], Database], start_worker: StartWorker
) -> None:
    db = make_database()
    with db.connect("anna") as client, short_timeouts(db, "ROLE wanda", "100ms"):
        worker = start_worker(db, *POLL)
        until(lambda: "listening" in worker.log, "the start")
        for _ in range(2):
            job = wait_for(client, insert_job(client, **TRAIN, max_attempts=1))
            assert (job["status"], job["attempt"]) == ("COMPLETED", 1), job["error_msg"]
        assert "connection lost" not in worker.log
        assert "paused" not in worker.log
        worker.stop()


# ── Tables that cannot be written ───────────────────────────────────────────────────────────────────

BREAK = """
    CREATE OR REPLACE FUNCTION public.break_models() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'ml_models is broken' USING ERRCODE = '{}'; END $$;
    CREATE TRIGGER break_models BEFORE INSERT OR UPDATE ON public.ml_models
    FOR EACH STATEMENT EXECUTE FUNCTION public.break_models()
"""
MEND = "DROP FUNCTION public.break_models() CASCADE"


@pytest.fixture(scope="module")
def broken(make_database: Callable[[], Database], start_worker: StartWorker) -> Service:
    db = make_database()
    return Service(db, start_worker(db, "--lease", "3", *POLL))


@pytest.mark.parametrize("sqlstate", ["P0001", "42501", "XX001", "53100", "55P03"])
def test_an_attempt_ends_although_no_model_can_be_written(broken: Service, sqlstate: str) -> None:
    db = broken.db
    with db.connect("anna") as client, db.connect("owner") as owner:
        slow = TRAIN | {"train_model_type": "random_forest", "train_params_csv": "n_estimators=300"}
        job_id = insert_job(client, **slow, max_attempts=1)
        wait_for(client, job_id, "RUNNING")
        owner.execute(BREAK.format(sqlstate).encode())
        other = insert_job(client, **TRAIN)
        client.execute("UPDATE ml_jobs SET priority = 6 WHERE id = %s", [other])
        client.execute("CALL ml.cancel_job(%s)", [other])
        if sqlstate in ("P0001", "42501"):
            job = wait_for(client, job_id)
            assert (job["status"], job["attempt"]) == ("FAILED", 1)
            assert "ml_models is broken" in job["error_msg"]
        owner.execute(MEND.encode())
        job = wait_for(client, job_id)
        assert job["attempt"] == 1
        model = "SELECT status FROM ml_models WHERE train_job_id = %s"
        ended = {"COMPLETED": "READY", "FAILED": "FAILED"}[job["status"]]
        until(lambda: one(client, model, [job_id])["status"] == ended, "the model to end as its job")
        assert wait_for(client, insert_job(client, **TRAIN))["status"] == "COMPLETED"


def test_a_claim_that_the_tables_refuse_ends_the_job_and_holds_up_no_other(
    make_database: Callable[[], Database], start_worker: StartWorker
) -> None:
    db = make_database()
    with db.connect("anna") as client, db.connect("owner") as owner:
        worker = start_worker(db, *POLL)
        model = wait_for(client, insert_job(client, **TRAIN))["result_model_id"]
        owner.execute(BREAK.format("P0001").encode())
        refused = insert_job(client, **TRAIN)
        test = insert_job(client, job_type="TEST", test_model_id=model, **TEST_PERIOD)
        assert wait_for(client, test)["status"] == "COMPLETED"
        job = wait_for(client, refused)
        assert (job["status"], job["attempt"], job["error_msg"]) == ("FAILED", 0, "ml_models is broken")
        owner.execute(MEND.encode())
        owner.execute(BREAK.format("53100").encode())
        waiting = insert_job(client, **TRAIN)
        test = insert_job(client, job_type="TEST", test_model_id=model, **TEST_PERIOD)
        assert wait_for(client, test)["status"] == "COMPLETED"
        assert (job_row(client, waiting)["status"], job_row(client, waiting)["attempt"]) == ("PENDING", 0)
        owner.execute(MEND.encode())
        assert wait_for(client, waiting)["status"] == "COMPLETED"
        assert "connection lost" not in worker.log
        worker.stop()


# ── Memory ──────────────────────────────────────────────────────────────────────────────────────────


def test_of_two_jobs_that_fit_one_at_a_time_the_second_waits_and_says_so(
    make_database: Callable[[], Database], start_worker: StartWorker
) -> None:
    db = make_database()
    worker = start_worker(db, *POLL, "--concurrency", "2", **startup(TEST_MEMORY=1))
    with db.connect("anna") as client:
        slow = TRAIN | {"train_model_type": "random_forest", "train_params_csv": "n_estimators=400"}
        jobs = [insert_job(client, **slow, max_attempts=1) for _ in range(2)]

        def says() -> bool:
            rows = client.execute("SELECT progress_msg FROM ml_queue WHERE status = 'PENDING'").fetchall()
            return any("are free on the worker's machine now" in (row["progress_msg"] or "") for row in rows)

        until(says, "the second to say that it waits for memory")
        for job_id in jobs:
            job = wait_for(client, job_id)
            assert job["status"] == "COMPLETED", job["error_msg"]
        assert lost(client) == 0
        assert re.search(r"given back: this job needs about .* of memory", worker.log)
        worker.stop()


# ── A full queue of notifications ───────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def small_server() -> Iterator[Database]:
    """A server with hardly any room for notifications; one can be so made from PostgreSQL 17 on."""
    home = Path(tempfile.mkdtemp(prefix="ml-tests-"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Server(home, settings=(f"port = {port}", "fsync = off", "max_notify_queue_pages = 64"))
    try:
        server.start()
        _make_template(server.tcp_url("postgres"))
        yield Database(make_conninfo(server.tcp_url("postgres"), dbname=TEMPLATE))
    finally:
        server.stop()
        shutil.rmtree(home)


@contextmanager
def full_queue(db: Database) -> Iterator[None]:
    """A session of another database listens in an open transaction, and the queue is full behind it."""
    elsewhere = make_conninfo(db.url, dbname="postgres")
    with psycopg.connect(elsewhere, autocommit=True) as blocker, psycopg.connect(elsewhere) as filler:
        blocker.execute("LISTEN anything")
        with blocker.transaction():
            blocker.execute("SELECT")
            with suppress(psycopg.errors.ProgramLimitExceeded):
                while True:
                    filler.execute("SELECT pg_notify('anything', repeat('x', 7900))")
                    filler.commit()
            filler.rollback()
            yield


def test_jobs_are_done_while_the_queue_of_notifications_is_full_and_told_of_again_afterwards(
    small_server: Database, start_worker: StartWorker
) -> None:
    db = small_server
    with db.connect("anna") as client:
        worker = start_worker(db, *POLL)
        wait_for(client, insert_job(client, **TRAIN))
        with full_queue(db):
            for _ in range(2):
                job = wait_for(client, insert_job(client, **TRAIN, max_attempts=1))
                assert (job["status"], job["attempt"]) == ("COMPLETED", 1)
            cancelled = insert_job(client, **TRAIN)
            client.execute("UPDATE ml_jobs SET status = 'CANCELLED' WHERE id = %s", [cancelled])
            until(lambda: "of the server's queue" in worker.log, "a line in the log")
        list(client.notifies(timeout=0))
        job_id = insert_job(client, **TRAIN)
        told = [f"{job_id} RUNNING", f"{job_id} COMPLETED"]
        assert [n.payload for n in client.notifies(timeout=60, stop_after=2)] == told
        assert worker.log.count("of the server's queue") == 1
        assert "connection lost" not in worker.log
        worker.stop()


def test_claims_that_fail_at_their_commit_are_tried_ever_later_and_lose_nothing(
    small_server: Database, start_worker: StartWorker
) -> None:
    """Somebody's own trigger sends notifications whether there is room or not."""
    db = small_server
    with db.connect("anna") as client, db.connect("owner") as owner:
        worker = start_worker(db, *POLL)
        wait_for(client, insert_job(client, **TRAIN))
        owner.execute(
            """CREATE FUNCTION public.tell_all() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN PERFORM pg_notify('all', NEW.id::text); RETURN NULL; END $$;
            CREATE TRIGGER tell_all AFTER UPDATE ON ml_jobs FOR EACH ROW EXECUTE FUNCTION tell_all()"""
        )
        with full_queue(db):
            job_id = insert_job(client, **TRAIN, max_attempts=1)
            until(lambda: is_paused(client, "the server refuses claims: too many notifications"), "the pause")
            assert job_row(client, job_id)["attempt"] == 0
        job = wait_for(client, job_id)
        assert (job["status"], job["attempt"]) == ("COMPLETED", 1)
        until(lambda: state(client)[0] == "IDLE", "the end of the pause")
        assert worker.log.count("paused lack=server") == worker.log.count("resumed lack=server") == 1
        assert "connection lost" not in worker.log
        owner.execute("DROP FUNCTION public.tell_all() CASCADE")
        worker.stop()
