"""A worker or a child that dies, at each step of the protocol: the job ends once, with one result."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

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
    one,
    until,
    wait_for,
)

StartWorker = Callable[..., Worker]
LEASE = ("--lease", "3", "--poll", "1")
FOREST = TRAIN | {"train_model_type": "random_forest", "train_params_csv": "n_estimators=60"}
STEPS = [
    "after:claim_job",
    "hears:Loading",
    "hears:Training",
    "hears:Measuring",
    "hears:Writing",
    "before:record_progress",
    "after:record_progress",
    "before:record_result",
    "after:record_result",
]


def assert_one_result(client: Connection, job_id: int) -> None:
    """Exactly one terminal event, one result, and a model with its file."""
    job = job_row(client, job_id)
    assert job["status"] == "COMPLETED", job["error_msg"]
    found = one(
        client,
        """SELECT
            (SELECT count(*) FROM ml_training_runs WHERE job_id = %(id)s) AS runs,
            (SELECT count(*) FROM ml_job_events WHERE job_id = %(id)s
                AND event IN ('COMPLETED', 'FAILED', 'CANCELLED')) AS ends,
            (SELECT array_agg(attempt ORDER BY id) FROM ml_job_events
                WHERE job_id = %(id)s AND event = 'CLAIMED') AS claims,
            (SELECT attempt FROM ml_training_runs WHERE job_id = %(id)s) AS winner""",
        {"id": job_id},
    )
    assert (found["runs"], found["ends"]) == (1, 1)
    assert found["claims"] == list(range(1, len(found["claims"]) + 1))
    assert found["winner"] == job["attempt"] == found["claims"][-1]


@dataclass
class Rescue:
    """A worker that sleeps, as if it were not there, until it is to take over."""

    db: Database
    worker: Worker

    @contextmanager
    def awake(self) -> Iterator[None]:
        self.worker.process.send_signal(signal.SIGCONT)
        try:
            yield
        finally:
            self.worker.process.send_signal(signal.SIGSTOP)
            until(lambda: is_stopped(self.worker.process.pid), "the other worker to sleep again")


@pytest.fixture(scope="module")
def rescue(make_database: Callable[[], Database], start_worker: StartWorker) -> Rescue:
    db = make_database()
    worker = start_worker(db, *LEASE)
    until(lambda: "listening" in worker.log, "the worker to listen")
    worker.process.send_signal(signal.SIGSTOP)
    return Rescue(db, worker)


@pytest.mark.parametrize("step", STEPS)
def test_a_job_ends_with_one_result_wherever_its_worker_is_killed(
    rescue: Rescue, start_worker: StartWorker, step: str
) -> None:
    with rescue.db.connect("anna") as client:
        folder = rescue.worker.model_dir
        victim = start_worker(rescue.db, *LEASE, model_dir=folder, saboteur=(step, "kill"))
        job_id = insert_job(client, **FOREST)
        assert victim.process.wait(60) == -9
        with rescue.awake():
            wait_for(client, job_id)
        assert_one_result(client, job_id)
        assert job_row(client, job_id)["attempt"] == (1 if step == "after:record_result" else 2)


@pytest.mark.parametrize(("fault", "name"), [("kill-child", "SIGKILL"), ("segfault-child", "SIGSEGV")])
def test_a_child_that_dies_costs_an_attempt_with_the_signal_named(
    make_database: Callable[[], Database], start_worker: StartWorker, fault: str, name: str
) -> None:
    db = make_database()
    with db.connect("anna") as client:
        start_worker(db, "--lease", "600", "--poll", "600", saboteur=("hears:Training", fault))
        job_id = insert_job(client, **FOREST)
        wait_for(client, job_id)
        assert_one_result(client, job_id)
        lost = one(client, "SELECT * FROM ml_job_events WHERE event = 'EXPIRED'")
        assert name in lost["message"]


def test_a_poison_job_fails_after_max_attempts_while_others_progress(
    make_database: Callable[[], Database], start_worker: StartWorker
) -> None:
    db = make_database()
    with db.connect("anna") as client:
        start_worker(db, "--lease", "600", saboteur=("hears:Training: 1/60 ", "always-kill-child"))
        poison, other = insert_job(client, **FOREST, max_attempts=3), insert_job(client, **TRAIN)
        assert wait_for(client, other)["status"] == "COMPLETED"
        job = wait_for(client, poison)
        assert (job["status"], job["attempt"]) == ("FAILED", 3)
        assert (
            job["error_msg"] == "Lost 3 of 3 attempts; the last: the process of the job was killed by SIGKILL"
        )


@pytest.mark.parametrize(
    "step", ["after:claim_job", "hears:Training", "hears:Writing", "before:record_result"]
)
def test_a_worker_that_was_stopped_past_its_lease_writes_nothing_when_it_wakes(
    rescue: Rescue, start_worker: StartWorker, step: str
) -> None:
    with rescue.db.connect("anna") as client:
        folder = rescue.worker.model_dir
        victim = start_worker(rescue.db, *LEASE, model_dir=folder, saboteur=(step, "stop"))
        job_id = insert_job(client, **FOREST)
        until(lambda: is_stopped(victim.process.pid), "the stop")
        with rescue.awake():
            wait_for(client, job_id)
            assert job_row(client, job_id)["attempt"] > 1
            events = "SELECT * FROM ml_job_events WHERE job_id = %s ORDER BY id"
            before = client.execute(events, [job_id]).fetchall()
            victim.process.send_signal(signal.SIGCONT)
            # It lives on, and works: the next job is done by whichever of the two is first.
            until(lambda: f"job={job_id} attempt=1 discarded" in victim.log, "the victim to give up")
            assert not is_alive(victim.child_of(job_id))
            following = insert_job(client, **TRAIN)
            assert wait_for(client, following)["status"] == "COMPLETED"
        assert_one_result(client, job_id)
        assert client.execute(events, [job_id]).fetchall() == before
        runs = client.execute(
            "SELECT model_id, artifact_path FROM ml_training_runs WHERE job_id = ANY (%s)",
            [[job_id, following]],
        ).fetchall()
        names = tuple(f"model_{run['model_id']}_" for run in runs)
        found = {str(path) for path in victim.files if path.name.startswith(names)}
        assert found == {run["artifact_path"] for run in runs}
