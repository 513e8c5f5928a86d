"""No process outlives the one that it works for: no child its supervisor, no grandchild its child."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import TRAIN, Database, Worker, insert_job, is_alive, job_row, until, wait_for
from tests.faults.descendants import grandchild_of, startup, until_gone

StartWorker = Callable[..., Worker]
FOREST = TRAIN | {"train_model_type": "random_forest"}
LONG = FOREST | {"train_params_csv": "n_estimators=10000;max_depth=none"}


@pytest.mark.parametrize("late", ["", "2"])
def test_children_and_their_descendants_end_when_their_supervisor_is_killed(
    make_database: Callable[[], Database], start_worker: StartWorker, tmp_path: Path, late: str
) -> None:
    """One child works, another waits for its first job; they hear of it at once, or not before they speak."""
    db = make_database()
    settings = startup(TEST_GRANDCHILDREN=tmp_path, TEST_HEARS_LATE=late)
    worker = start_worker(db, "--concurrency", "2", **settings)
    with db.connect("anna") as client:
        job_id = insert_job(client, **LONG)
        until(lambda: "trees" in (job_row(client, job_id)["progress_msg"] or ""), "the training")
        busy = worker.child_of(job_id)
    until(lambda: len([path for path in tmp_path.iterdir() if not path.suffix]) == 2, "two children")
    children = [int(path.name) for path in tmp_path.iterdir()]
    assert busy in children
    pids = [*children, *(grandchild_of(child, tmp_path) for child in children)]
    assert all(is_alive(pid) for pid in pids)
    worker.stop(signal.SIGKILL)
    until_gone(*pids)


def test_children_end_with_a_larger_process_of_which_the_supervisor_was_one_thread(
    make_database: Callable[[], Database], tmp_path: Path
) -> None:
    """Another process holds the pipe to the child open, so that its standard input does not end."""
    db = make_database()
    models, log, grandchildren = tmp_path / "models", tmp_path / "log", tmp_path / "grandchildren"
    grandchildren.mkdir()
    environment = {"DATABASE_URL": db.login("wanda")} | startup(TEST_GRANDCHILDREN=grandchildren)
    with log.open("w") as stderr:
        host = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.host", str(models)],
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    forked = 0
    try:
        with db.connect("anna") as client:
            done = wait_for(client, insert_job(client, **TRAIN), timeout=60)
            assert done["status"] == "COMPLETED"
            job_id = insert_job(client, **LONG)
            child = Worker(host, models, log).child_of(job_id)
        grandchild = grandchild_of(child, grandchildren)
        assert is_alive(grandchild)
        assert host.stdin is not None
        assert host.stdout is not None
        host.stdin.write("fork\n")
        host.stdin.flush()
        forked = int(host.stdout.readline())
        host.kill()
        host.wait()
        assert is_alive(forked)
        until_gone(child, grandchild)
    finally:
        host.kill()
        if forked:
            os.kill(forked, signal.SIGKILL)
        host.communicate()


def test_the_descendants_of_a_child_end_with_it_however_it_ends(
    make_database: Callable[[], Database], start_worker: StartWorker, tmp_path: Path
) -> None:
    db = make_database()
    worker = start_worker(db, "--poll", "600", "--lease", "600", **startup(TEST_GRANDCHILDREN=tmp_path))
    with db.connect("anna") as client:
        killed = insert_job(client, **LONG, max_attempts=1)
        child = worker.child_of(killed)
        grandchild = grandchild_of(child, tmp_path)
        assert is_alive(grandchild)
        os.kill(child, signal.SIGKILL)
        assert wait_for(client, killed)["status"] == "FAILED"
        until_gone(grandchild)

        done = insert_job(client, **TRAIN)
        grandchild = grandchild_of(worker.child_of(done), tmp_path)
        assert wait_for(client, done)["status"] == "COMPLETED"
        until_gone(grandchild)
