"""The clock of a worker is wrong: who holds a job is for the database's clock alone to say."""

import os
import re
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from tests.conftest import TRAIN, Connection, Database, Worker, insert_job, job_row, one, until, wait_for
from tests.faults.test_death import FOREST, assert_one_result

StartWorker = Callable[..., Worker]
HOUR = 3600
OFTEN = ("--lease", "20", "--poll", "0.2")  # looks for lost leases all the time
ENDLESS = FOREST | {"train_params_csv": "n_estimators=10000"}


def start_with_wrong_clock(start_worker: StartWorker, db: Database, error: int, **more: str) -> Worker:
    path = [str(Path(__file__).with_name("wrong_clock")), *filter(None, [os.environ.get("PYTHONPATH")])]
    worker = start_worker(db, *OFTEN, PYTHONPATH=os.pathsep.join(path), WRONG_CLOCK=str(error), **more)
    until(lambda: "listening" in worker.log, "the worker to listen")
    assert re.search(r"wrong clock: \S+ -m worker run", worker.log)
    until(
        lambda: re.search(r"wrong clock: .*multiprocessing\.forkserver", worker.log) is not None, "its child"
    )
    return worker


def assert_leases_by_the_database_clock(client: Connection) -> None:
    wrong = client.execute(
        """SELECT * FROM ml_job_events e
        WHERE e.lease_until NOT BETWEEN e.created_at + interval '19 s' AND e.created_at + interval '60 s'"""
    ).fetchall()
    assert wrong == []


def renewals(client: Connection, job_id: int) -> int:
    found = "SELECT count(*) AS n FROM ml_job_events WHERE job_id = %s AND event = 'PROGRESS'"
    return int(one(client, found, [job_id])["n"])


def test_workers_whose_clocks_are_an_hour_fast_and_slow_keep_their_jobs_and_take_no_others(
    make_database: Callable[[], Database], start_worker: StartWorker
) -> None:
    db = make_database()
    with db.connect("anna") as client:
        held = []
        workers = []
        for error in (HOUR, -HOUR):
            workers.append(start_with_wrong_clock(start_worker, db, error))
            logged = datetime.fromisoformat(re.findall(r"(?m)^([\d-]+ [\d:]+),\d+ INFO", workers[-1].log)[0])
            assert abs(logged.timestamp() - time.time() - error) < HOUR / 2
            held.append(insert_job(client, **ENDLESS))  # the other worker, if any, has its hands full
            workers[-1].child_of(held[-1])
        until(lambda: all(renewals(client, job_id) >= 4 for job_id in held), "both to renew their leases")
        assert_leases_by_the_database_clock(client)
        for job_id, worker in zip(held, workers, strict=True):
            assert (job_row(client, job_id)["status"], job_row(client, job_id)["attempt"]) == ("RUNNING", 1)
            client.execute("CALL ml.cancel_job(%s)", [job_id])
            following = insert_job(client, **TRAIN)
            wait_for(client, following)
            assert_one_result(client, following)
            assert job_row(client, following)["attempt"] == 1
            assert f"job={following} attempt=1 claimed" in worker.log
            worker.stop()
        assert one(client, "SELECT count(*) AS n FROM ml_job_events WHERE event = 'EXPIRED'")["n"] == 0


def test_a_worker_whose_clock_jumps_by_hours_keeps_its_job(
    make_database: Callable[[], Database], start_worker: StartWorker
) -> None:
    db = make_database()
    with db.connect("anna") as client:
        start_with_wrong_clock(start_worker, db, HOUR, WRONG_CLOCK_JUMPS="yes")
        job_id = insert_job(client, **FOREST | {"train_params_csv": "n_estimators=200"})
        wait_for(client, job_id)
        assert_one_result(client, job_id)
        assert job_row(client, job_id)["attempt"] == 1
        assert renewals(client, job_id) >= 1
        assert_leases_by_the_database_clock(client)
