"""A cancel, whenever it comes: one terminal state, nothing left behind, and the worker goes on."""

import signal
import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.conftest import (
    TRAIN,
    Connection,
    Database,
    Worker,
    insert_job,
    is_stopped,
    job_row,
    one,
    until,
    wait_for,
)
from tests.faults.descendants import grandchild_of, startup, until_gone
from tests.sql.helpers import complete, refused, running_job

StartWorker = Callable[..., Worker]
FOREST = TRAIN | {"train_model_type": "random_forest", "train_params_csv": "n_estimators=300"}
STEPS = [
    (
        "before:claim_job",  # PENDING
        "hears:Loading",
        "hears:Training",
        "hears:Measuring",
        "hears:Writing",
    ),
    # Not above: the child of a job that is cancelled there may still be heard.
    ("after:claim_job", "before:record_progress", "before:record_result", "after:record_result"),
]


def assert_one_outcome(client: Connection, job_id: int, worker: Worker) -> str:
    """All tables and the folder agree on one terminal state; returns it."""
    status: str = job_row(client, job_id)["status"]
    found = one(
        client,
        """SELECT
            (SELECT array_agg(event) FROM ml_job_events
                WHERE job_id = j.id AND event IN ('COMPLETED', 'FAILED', 'CANCELLED')) AS ends,
            m.id AS model, m.status, r.artifact_path
        FROM ml_jobs j
        LEFT JOIN ml_models m ON m.train_job_id = j.id
        LEFT JOIN ml_training_runs r ON r.job_id = j.id
        WHERE j.id = %s""",
        [job_id],
    )
    files = [str(path) for path in worker.files if path.name.startswith(f"model_{found['model']}_")]
    assert found["ends"] == [status]
    if status == "COMPLETED":
        assert (found["status"], [found["artifact_path"]]) == ("READY", files)
    else:
        assert status == "CANCELLED"
        assert found["status"] in ("FAILED", None)  # None: it was never claimed
        assert (found["artifact_path"], files) == (None, [])
    return status


@pytest.mark.parametrize("steps", STEPS, ids=["until the result", "with the result"])
def test_a_cancel_at_any_step_has_one_outcome_and_leaves_no_process_and_no_file(
    make_database: Callable[[], Database], start_worker: StartWorker, tmp_path: Path, steps: tuple[str, ...]
) -> None:
    """The worker is stopped at each step in turn, a job is cancelled there, and the worker goes on."""
    db = make_database()
    options = ("--lease", "600", "--poll", "600", "--concurrency", "2")
    worker = start_worker(
        db, *options, saboteur=(",".join(steps), "stop"), **startup(TEST_GRANDCHILDREN=tmp_path)
    )
    done = 0
    try:
        with db.connect("anna") as client:
            for step in steps:
                waits = step == "before:claim_job"
                if waits:  # the worker looks at the empty queue
                    until(lambda: is_stopped(worker.process.pid), "the stop")
                job_id = insert_job(client, **FOREST)
                until(lambda: is_stopped(worker.process.pid), f"the stop at {step}")
                pids = []
                if job_row(client, job_id)["status"] != "PENDING" and step != "after:claim_job":
                    child = worker.child_of(job_id)
                    pids = [child, grandchild_of(child, tmp_path)]
                if step == "after:record_result":
                    with refused("ML002", "cannot go from COMPLETED to CANCELLED"):
                        client.execute("CALL ml.cancel_job(%s)", [job_id])
                    done += 1
                else:
                    client.execute("CALL ml.cancel_job(%s)", [job_id])
                worker.process.send_signal(signal.SIGCONT)
                until_gone(*pids)
                expected = "completed" if step == "after:record_result" else "discarded"
                if not waits:
                    words = f"job={job_id} attempt=1 {expected}"
                    until(lambda words=words: words in worker.log, words)  # type: ignore[misc]
                status = assert_one_outcome(client, job_id, worker)
                assert status == ("COMPLETED" if step == "after:record_result" else "CANCELLED"), step
            assert wait_for(client, insert_job(client, **TRAIN))["status"] == "COMPLETED"
        assert len(worker.files) == done + 1
    finally:
        worker.stop(signal.SIGKILL)  # it may be stopped


# ── A cancel that races the result ──────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def db(make_database: Callable[[], Database]) -> Database:
    """One database for all races: each leaves no job that waits."""
    return make_database()


def until_blocked(watcher: Connection, blocked: Connection) -> None:
    query = "SELECT cardinality(pg_blocking_pids(%s)) > 0 AS waits"
    until(lambda: bool(one(watcher, query, [blocked.info.backend_pid])["waits"]), "a lock to be waited for")


@pytest.mark.parametrize("job_type", ["TRAIN", "TEST", "COMPARE"])
@pytest.mark.parametrize("first", ["result", "cancel"])
def test_a_cancel_that_races_the_result_has_one_winner(
    db: Database, client: Connection, worker: Connection, job_type: str, first: str
) -> None:
    """The second of the two waits for the first to commit, and is refused."""
    job_id = running_job(client, worker, job_type)
    racers: dict[str, tuple[Connection, Callable[[], object]]] = {
        "result": (worker, lambda: complete(worker, job_id, job_type)),
        "cancel": (client, lambda: client.execute("CALL ml.cancel_job(%s)", [job_id])),
    }
    winner, win = racers.pop(first)
    ((_, (loser, lose)),) = racers.items()
    errors: list[psycopg.Error] = []

    def run() -> None:
        try:
            lose()
        except psycopg.Error as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    with db.connect("rosa") as watcher:
        with winner.transaction():
            win()
            thread.start()
            until_blocked(watcher, loser)
        thread.join(60)
        job = job_row(watcher, job_id)
        facts = ("ml_training_runs", "ml_test_results", "ml_comparisons")
        results = [
            row
            for fact in facts
            for row in watcher.execute(f"SELECT * FROM {fact} WHERE job_id = %s", [job_id])
        ]
        ends = watcher.execute(
            "SELECT event FROM ml_job_events WHERE job_id = %s AND event IN ('COMPLETED', 'CANCELLED')",
            [job_id],
        ).fetchall()
    assert [error.sqlstate for error in errors] == ["ML002" if first == "result" else "ML001"]
    assert job["status"] == ("COMPLETED" if first == "result" else "CANCELLED")
    assert [row["event"] for row in ends] == [job["status"]]
    assert len(results) == (first == "result")
