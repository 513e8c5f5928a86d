"""A job past its ``max_minutes`` ends, with all its processes, whatever it is doing."""

import signal
from collections.abc import Callable
from pathlib import Path

from tests.conftest import TRAIN, Database, Worker, insert_job, is_alive, until, wait_for
from tests.faults.descendants import grandchild_of, startup, until_gone

StartWorker = Callable[..., Worker]
SLOW = TRAIN | {
    "train_model_type": "neural_network",
    "train_params_csv": "hidden_layers=1024,1024,1024,1024,1024;max_iter=1000",
    "max_minutes": "0.05",
}
REASON = "it ran for longer than its max_minutes of 0.05; give it more"


def test_a_job_past_its_minutes_fails_at_once_and_leaves_no_process_and_no_file(
    make_database: Callable[[], Database], start_worker: StartWorker, tmp_path: Path
) -> None:
    """The worker looks at the queue and renews its leases once in ten minutes."""
    db = make_database()
    worker = start_worker(db, "--lease", "600", "--poll", "600", **startup(TEST_GRANDCHILDREN=tmp_path))
    with db.connect("anna") as client:
        job_id = insert_job(client, **SLOW)
        child = worker.child_of(job_id)
        pids = [child, grandchild_of(child, tmp_path)]
        job = wait_for(client, job_id, timeout=60)
        until_gone(*pids)
        assert (job["status"], job["attempt"]) == ("FAILED", 1)
        assert job["error_msg"].startswith(REASON)
        assert list(worker.model_dir.glob("model_*")) == []
        done = insert_job(client, **TRAIN, max_minutes=10)
        assert wait_for(client, done)["status"] == "COMPLETED"
        assert f"job={job_id} attempt=1 discarded: cancelled, out of time or taken over" in worker.log


def test_another_worker_ends_it_where_its_own_hangs(
    make_database: Callable[[], Database], start_worker: StartWorker
) -> None:
    db = make_database()
    worker = start_worker(db, "--lease", "600", "--poll", "600")
    with db.connect("anna") as client:
        job_id = insert_job(client, **SLOW)
        child = worker.child_of(job_id)
        worker.process.send_signal(signal.SIGSTOP)
        try:
            start_worker(db, "--poll", "0.2")
            job = wait_for(client, job_id, timeout=60)
            assert (job["status"], job["attempt"]) == ("FAILED", 1)
            assert job["error_msg"].startswith(REASON)
        finally:
            worker.process.send_signal(signal.SIGCONT)
        until(lambda: not is_alive(child), "the end of the child")
