"""A notification says "look", no more: jobs end the same when it is lost, doubled, or one of thousands."""

import signal
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from tests.conftest import (
    TRAIN,
    Connection,
    Database,
    Worker,
    insert_job,
    is_alive,
    is_stopped,
    job_row,
    until,
    wait_for,
)
from tests.faults.test_death import assert_one_result

StartWorker = Callable[..., Worker]
NEVER = ("--lease", "600", "--poll", "3600")  # the timer finds nothing
ENDLESS = TRAIN | {"train_model_type": "random_forest", "train_params_csv": "n_estimators=10000"}


def measured(client: Connection, job_id: int) -> dict[str, Any]:
    """What a job's fit saw and gave, without what differs each time."""
    rows = client.execute("SELECT * FROM ml_training_runs WHERE job_id = %s", [job_id]).fetchall()
    differs = ("id", "job_id", "model_id", "created_at", "artifact", "seconds")
    return {name: value for row in rows for name, value in row.items() if not name.startswith(differs)}


def tell(client: Connection, times: int, together: int) -> None:
    """Say that there is something in the queue: so many times, so often in each transaction."""
    for _ in range(times):
        client.execute("SELECT pg_notify('ml_jobs', i::text) FROM generate_series(1, %s) i", [together])


def test_jobs_end_the_same_when_notifications_are_doubled_or_flooded(
    make_database: Callable[[], Database], start_worker: StartWorker
) -> None:
    db = make_database()
    with db.connect("anna") as client:
        start_worker(db, *NEVER, "--concurrency", "2")
        jobs = [insert_job(client, **TRAIN)]
        wait_for(client, jobs[0])
        for times, together in ((500, 1), (3, 20_000)):
            tell(client, times, together)
            jobs += [insert_job(client, **TRAIN), insert_job(client, **TRAIN)]
            for job_id in jobs[-2:]:
                wait_for(client, job_id, "RUNNING", "COMPLETED")
            tell(client, times, together)
            for job_id in jobs[-2:]:
                wait_for(client, job_id)
        for job_id in jobs:
            assert_one_result(client, job_id)
            assert job_row(client, job_id)["attempt"] == 1
            assert measured(client, job_id) == measured(client, jobs[0])


def test_a_worker_that_hears_nothing_finds_jobs_and_cancels_by_its_timer(
    make_database: Callable[[], Database], start_worker: StartWorker
) -> None:
    db = make_database()
    with db.connect("anna") as client:
        deaf = start_worker(db, "--lease", "600", "--poll", "1", saboteur=("before:listen", "skip"))
        until(lambda: "listening" in deaf.log, "the worker to start")
        job_id = insert_job(client, **ENDLESS)
        child = deaf.child_of(job_id)
        client.execute("CALL ml.cancel_job(%s)", [job_id])
        until(lambda: not is_alive(child), "the end of the child")
        assert job_row(client, job_id)["status"] == "CANCELLED"
        following = insert_job(client, **TRAIN)
        wait_for(client, following)
        assert_one_result(client, following)
        assert job_row(client, following)["attempt"] == 1


@pytest.mark.parametrize("step", ["before:listen", "after:listen"])
def test_a_job_that_is_inserted_around_the_listen_is_found_by_the_first_look(
    make_database: Callable[[], Database], start_worker: StartWorker, step: str
) -> None:
    db = make_database()
    with db.connect("anna") as client:
        worker = start_worker(db, *NEVER, saboteur=(step, "stop"))
        until(lambda: is_stopped(worker.process.pid), "the worker to come to the LISTEN")
        job_id = insert_job(client, **TRAIN)
        worker.process.send_signal(signal.SIGCONT)
        wait_for(client, job_id)
        assert_one_result(client, job_id)


def test_a_job_that_is_inserted_while_the_worker_has_no_session_is_found_by_the_first_look(
    make_database: Callable[[], Database], start_worker: StartWorker
) -> None:
    db = make_database()
    with db.connect("anna") as client, psycopg.connect(db.url, autocommit=True) as admin:
        worker = start_worker(db, *NEVER)
        until(lambda: "listening" in worker.log, "the worker to listen")
        worker.process.send_signal(signal.SIGSTOP)
        admin.execute(
            """SELECT pg_terminate_backend(a.pid, 60000) FROM pg_stat_activity a
            WHERE a.application_name = 'ml-worker' AND a.datname = current_database()"""
        )
        job_id = insert_job(client, **TRAIN)
        worker.process.send_signal(signal.SIGCONT)
        wait_for(client, job_id)
        assert_one_result(client, job_id)
