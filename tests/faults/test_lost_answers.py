"""The connection is cut at the COMMIT: asking again gives the same outcome, and one row."""

from collections.abc import Callable

import pytest

from tests.conftest import TRAIN, Database, Worker, insert_job, one, until, wait_for

StartWorker = Callable[..., Worker]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_job_has_one_result_wherever_the_connection_is_cut(
    make_database: Callable[[], Database], start_worker: StartWorker, when: str
) -> None:
    """It is cut once at each call of the same job."""
    db = make_database()
    with db.connect("anna") as client:
        steps = [f"{when}:{call}" for call in ("claim_job", "record_progress", "record_result")]
        worker = start_worker(db, "--lease", "6", "--poll", "1", saboteur=(",".join(steps), "cut"))
        params = {"train_model_type": "random_forest", "train_params_csv": "n_estimators=300"}
        job = wait_for(client, insert_job(client, **(TRAIN | params)))
        assert job["status"] == "COMPLETED", job["error_msg"]
        until(lambda: worker.log.count("cut by the saboteur") == len(steps), "each cut")
        counts = one(
            client,
            """SELECT (SELECT count(*) FROM ml_training_runs) AS runs,
                (SELECT count(*) FROM ml_job_events WHERE event = 'COMPLETED') AS completed,
                (SELECT count(*) FROM ml_job_events WHERE event IN ('FAILED', 'EXPIRED')) AS lost""",
        )
        assert counts == {"runs": 1, "completed": 1, "lost": 0}
