"""A worker or a child that dies, at each step of the protocol: the job ends once, with one result."""

import signal
from collections.abc import Callable

import pytest

from tests.conftest import (
    TRAIN,
    Connection,
    Database,
    Worker,
    insert_job,
    is_alive,
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


@pytest.mark.parametrize("step", STEPS)
def test_a_job_ends_with_one_result_wherever_its_worker_is_killed(
    make_database: Callable[[], Database], start_worker: StartWorker, step: str
) -> None:
    db = make_database()
    with db.connect("anna") as client:
        victim = start_worker(db, *LEASE, saboteur=(step, "kill"))
        job_id = insert_job(client, **FOREST)
        assert victim.process.wait(60) == -9
        start_worker(db, *LEASE, model_dir=victim.model_dir)
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
    make_database: Callable[[], Database], start_worker: StartWorker, step: str
) -> None:
    db = make_database()
    with db.connect("anna") as client:
        victim = start_worker(db, *LEASE, saboteur=(step, "stop"))
        job_id = insert_job(client, **FOREST)
        wait_for(client, job_id, "RUNNING")
        start_worker(db, *LEASE, model_dir=victim.model_dir)
        wait_for(client, job_id)
        before = client.execute("SELECT * FROM ml_job_events ORDER BY id").fetchall()
        victim.process.send_signal(signal.SIGCONT)
        # It lives on, and works: the next job is done by whichever of the two is first.
        until(lambda: f"job={job_id} attempt=1 discarded" in victim.log, "the victim to give up")
        assert not is_alive(victim.child_of(job_id))
        assert wait_for(client, insert_job(client, **TRAIN))["status"] == "COMPLETED"
        assert_one_result(client, job_id)
        after = client.execute(
            "SELECT * FROM ml_job_events WHERE job_id = %s ORDER BY id", [job_id]
        ).fetchall()
        assert after == before
        recorded = client.execute("SELECT artifact_path FROM ml_training_runs").fetchall()
        found = {str(path) for path in victim.files}
        assert found == {row["artifact_path"] for row in recorded}
