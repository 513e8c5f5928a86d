"""An attempt whose result does not count leaves no file, however it came to that."""

import signal
from collections.abc import Callable

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from tests.conftest import TRAIN, Database, Worker, insert_job, is_stopped, one, until, wait_for

StartWorker = Callable[..., Worker]


def test_a_worker_that_takes_over_its_own_lost_job_removes_the_file_of_the_lost_attempt(
    make_database: Callable[[], Database], start_worker: StartWorker
) -> None:
    db = make_database()
    options = ("--concurrency", "2", "--lease", "4", "--poll", "0.1")
    with db.connect("anna") as client, db.connect("owner") as locker:
        worker = start_worker(db, *options, saboteur=("before:record_result", "stop"))
        job_id = insert_job(client, **TRAIN)
        until(lambda: is_stopped(worker.process.pid), "a result that waits to be recorded", 120)
        with locker.transaction():
            locker.execute("SELECT FROM ml_jobs WHERE id = %s FOR UPDATE", [job_id])
            worker.process.send_signal(signal.SIGCONT)
            ended = "SELECT lease_until < clock_timestamp() AS has_ended FROM ml_jobs WHERE id = %s"
            until(lambda: bool(one(client, ended, [job_id])["has_ended"]), "the end of the lease")
        assert wait_for(client, job_id)["status"] == "COMPLETED"
        run = one(client, "SELECT artifact_path FROM ml_training_runs")
        assert {str(path) for path in worker.files} == {run["artifact_path"]}


def test_a_worker_that_stops_without_its_server_leaves_no_file_of_a_result_that_it_never_sent(
    make_database: Callable[[], Database], start_worker: StartWorker
) -> None:
    db = make_database()
    worker = start_worker(db, "--lease", "600", saboteur=("hears:Measuring", "stop"))
    with db.connect("anna") as client:
        insert_job(client, **TRAIN)
        until(lambda: is_stopped(worker.process.pid), "the last step before the file", 120)
    # The child writes the file; its supervisor wakes without a connection, and there is none to be had.
    until(lambda: any(path.suffix == ".pkl" for path in worker.files), "the file", 120)
    with psycopg.connect(db.url, dbname="postgres", autocommit=True) as admin:
        name = sql.Identifier(str(conninfo_to_dict(db.url)["dbname"]))
        admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
        ended = "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = %s"
        admin.execute(ended, [conninfo_to_dict(db.url)["dbname"]])
    worker.process.send_signal(signal.SIGCONT)
    until(lambda: "connection lost" in worker.log, "the worker to notice")
    assert worker.stop() == 0
    assert worker.files == []
