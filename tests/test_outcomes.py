"""Was it right, end to end: what became of the answers of a SCORE is what a TEST of the same rows says."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import TRAIN, Connection, Database, Worker, insert_job, one, wait_for
from tests.one_server import server

__all__ = ["server"]

LABELS: dict[str, dict[str, Any]] = {
    "in the row": {},
    "horizon": {"train_future_minutes": 30, "train_phases_csv": "1,2"},
    "highest change": {
        "train_label": "highest_change",
        "train_target_var": "price_high",
        "train_base_var": "price_close",
        "train_operator": ">=",
        "train_value": 30,
        "train_future_minutes": 60,
    },
    "first touch": {
        "train_label": "first_touch",
        "train_target_var": "price_close",
        "train_operator": ">=",
        "train_value": 20,
        "train_stop_value": -20,
        "train_future_minutes": 60,
    },
}


@pytest.fixture(scope="module")
def database(make_database: Callable[[], Database]) -> Database:
    return make_database()


@pytest.fixture(scope="module")
def service(database: Database, start_worker: Callable[..., Worker]) -> Worker:
    return start_worker(database)


def done(client: Connection, **fields: Any) -> Any:
    job = wait_for(client, insert_job(client, **fields))
    assert job["status"] == "COMPLETED", job["error_msg"]
    return job


@pytest.mark.parametrize("name", LABELS)
def test_a_score_is_as_right_as_a_test_of_the_same_rows_says(
    database: Database, service: Worker, name: str
) -> None:
    """The period goes on beyond the data, and cuts no window off."""
    period = ("2024-03-01", "2024-06-01")
    with database.connect("anna") as anna:
        model_id = done(anna, **TRAIN | LABELS[name])["result_model_id"]
        for kind in ("score", "test"):
            done(
                anna,
                **{
                    "job_type": kind.upper(),
                    f"{kind}_model_id": model_id,
                    f"{kind}_start": period[0],
                    f"{kind}_end": period[1],
                },
            )
        test = one(anna, "SELECT * FROM ml_test_results WHERE model_id = %s", [model_id])
        found = one(
            anna,
            """
            SELECT
                sum(tp) AS tp, sum(fp) AS fp, sum(tn) AS tn, sum(fn) AS fn,
                sum(num_known) AS num_samples, sum(num_answers - num_known) AS num_unlabelled
            FROM ml_prediction_quality
            WHERE model_id = %s
            """,
            [model_id],
        )
        assert found == {column: test[column] for column in found}
        assert 0 < test["num_positive"] < test["num_samples"]
