"""Children are forked from a server that has imported all they need, or spawned where there is none."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.conftest import TRAIN, Connection, Database, Worker, insert_job, is_alive, job_row, until, wait_for

StartWorker = Callable[..., Worker]
LONG = TRAIN | {"train_model_type": "random_forest", "train_params_csv": "n_estimators=10000;max_depth=none"}
SPAWNS = """
import multiprocessing
multiprocessing.get_all_start_methods = lambda: ["spawn"]
from worker.commands.cli import main
main()
"""


def fork_server(worker: Worker) -> int:
    """Process id of a worker's fork server."""
    pid = worker.process.pid
    found: list[int] = []

    def look() -> bool:
        children = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        found[:] = [
            child for child in children if b"forkserver" in Path(f"/proc/{child}/cmdline").read_bytes()
        ]
        return bool(found)

    until(look, "the fork server")
    return found[0]


def test_the_fork_server_runs_no_thread_that_a_child_would_lack(
    db: Database, client: Connection, start_worker: StartWorker
) -> None:
    worker = start_worker(db, is_forked=False)
    job_id = insert_job(client, **TRAIN)
    worker.child_of(job_id)  # it has imported everything
    server = fork_server(worker)
    assert len(list(Path(f"/proc/{server}/task").iterdir())) == 1
    assert "xgboost" in Path(f"/proc/{server}/maps").read_text()
    assert wait_for(client, job_id)["status"] == "COMPLETED"


def test_each_type_of_model_is_fitted_in_a_forked_child(
    db: Database, client: Connection, start_worker: StartWorker
) -> None:
    start_worker(db, "--concurrency", "2", is_forked=False)
    types = [row["name"] for row in client.execute("SELECT name FROM ref_model_types")]
    assert len(types) == 5
    jobs = [insert_job(client, **TRAIN | {"train_model_type": name}) for name in types * 2]
    for job_id in jobs:
        job = wait_for(client, job_id)
        assert job["status"] == "COMPLETED", job["error_msg"]


def test_a_fork_server_that_is_killed_costs_no_job_and_is_started_again(
    db: Database, client: Connection, start_worker: StartWorker
) -> None:
    worker = start_worker(db, is_forked=False)
    running = insert_job(client, **LONG)
    child = worker.child_of(running)
    until(lambda: "trees" in (job_row(client, running)["progress_msg"] or ""), "the training")
    first = fork_server(worker)
    os.kill(first, signal.SIGKILL)
    until(lambda: not is_alive(first), "its end")
    assert is_alive(child)
    assert job_row(client, running)["attempt"] == 1
    client.execute("CALL ml.cancel_job(%s)", [running])
    until(lambda: not is_alive(child), "the end of the cancelled child")
    job = wait_for(client, insert_job(client, **TRAIN))
    assert job["status"] == "COMPLETED", job["error_msg"]
    assert fork_server(worker) != first


def test_a_fork_server_that_is_killed_while_it_forks_costs_a_second(
    db: Database, client: Connection, start_worker: StartWorker
) -> None:
    worker = start_worker(db, is_forked=False)
    os.kill(fork_server(worker), signal.SIGKILL)  # it imports, and the supervisor waits for the first child
    job = wait_for(client, insert_job(client, **TRAIN))
    assert job["status"] == "COMPLETED", job["error_msg"]
    assert "no child could be started" in worker.log


def test_where_there_is_no_fork_a_child_is_spawned(db: Database, client: Connection, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as file:
        worker = subprocess.Popen(
            [sys.executable, "-c", SPAWNS, "run", "--model-dir", str(tmp_path / "models")],
            env=os.environ | {"DATABASE_URL": db.login("wanda")},
            stderr=file,
        )
    try:
        job_id = insert_job(client, **TRAIN)
        job = wait_for(client, job_id)
        assert job["status"] == "COMPLETED", job["error_msg"]
    finally:
        worker.terminate()
        assert worker.wait(60) == 0


UNHEARD = """
import os, queue, socket, time
from worker.child import process
ours, theirs = socket.socketpair()
child = os.fork()
if not child:
    os.setsid()
    ours.close()
    process._say(theirs, process.Progress(0.5, "Training"))
    process._obey_supervisor(theirs, os.getppid(), queue.SimpleQueue())
theirs.close()
time.sleep(0.2)
ours.close()  # without having read it
print(os.waitpid(child, 0)[1])
"""


def test_a_child_ends_whose_supervisor_has_not_heard_all_that_it_said() -> None:
    """The kernel says so by another error than to one who was heard."""
    ended = subprocess.run(
        [sys.executable, "-c", UNHEARD], check=True, capture_output=True, text=True, timeout=60
    )
    assert (int(ended.stdout), ended.stderr) == (signal.SIGKILL, "")
