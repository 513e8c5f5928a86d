"""Thresholds end to end: chosen on rows neither fitted nor measured, and used by all that asks a model."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import TRAIN, Connection, Database, Worker, insert_job, one, wait_for
from tests.one_server import server

__all__ = ["server"]

RARE: dict[str, Any] = TRAIN | {
    "train_label": "highest_change",
    "train_target_var": "price_close",
    "train_operator": ">=",
    "train_value": 50,
    "train_future_minutes": 1,
    "train_features_csv": "price_close,volume_sol",
    "train_params_csv": "n_estimators=20;max_depth=3",
    "train_model_type": "xgboost",
}
PERIOD = {"start": "2024-03-01", "end": "2024-04-01"}


@pytest.fixture(scope="module")
def database(make_database: Callable[[], Database]) -> Database:
    return make_database()


@pytest.fixture(scope="module")
def anna(database: Database) -> Connection:
    return database.connect("anna")


@pytest.fixture(scope="module")
def service(database: Database, start_worker: Callable[..., Worker]) -> Worker:
    return start_worker(database)


def done(anna: Connection, kind: str, /, **fields: Any) -> Any:
    """A job of the period, COMPLETED."""
    period = {f"{kind.lower()}_{side}": moment for side, moment in PERIOD.items()}
    job = wait_for(anna, insert_job(anna, **{"job_type": kind} | period | fields))
    assert job["status"] == "COMPLETED", job["error_msg"]
    return job


def trained(anna: Connection, rule: str | None, **fields: Any) -> Any:
    """The training run of a model with this threshold."""
    job = done(anna, "TRAIN", **RARE | {"train_threshold": rule} | fields)
    return one(anna, "SELECT * FROM ml_training_runs WHERE job_id = %s", [job["id"]])


@pytest.fixture(scope="module")
def chosen(anna: Connection, service: Worker) -> Any:
    """A model with the threshold of the highest F1."""
    return trained(anna, "f1")


def test_the_rows_of_a_period_are_fitted_set_aside_held_out_or_in_a_gap(
    anna: Connection, service: Worker, chosen: Any
) -> None:
    plain = trained(anna, None)
    parts = ("num_fitted", "num_set_aside", "num_gap", "num_samples")
    assert sum(chosen[part] for part in parts) == sum(plain[part] for part in parts)
    # The same rows are held out, whatever is done with the others.
    assert [chosen[name] for name in ("num_samples", "num_positive")] == [
        plain[name] for name in ("num_samples", "num_positive")
    ]
    assert (plain["threshold"], plain["num_set_aside"], plain["f1_score"]) == (0.5, 0, plain["f1_at_half"])
    assert chosen["num_set_aside"] == pytest.approx(0.2 * plain["num_fitted"], rel=0.2)
    assert 0 < chosen["num_set_aside_positive"] < chosen["num_set_aside"]


def test_the_same_job_chooses_the_same_threshold(anna: Connection, service: Worker, chosen: Any) -> None:
    again = trained(anna, "f1")
    assert [again[name] for name in ("threshold", "tp", "fp")] == [
        chosen[name] for name in ("threshold", "tp", "fp")
    ]


def test_test_comparison_and_scoring_go_by_the_model_s_threshold(
    anna: Connection, service: Worker, chosen: Any
) -> None:
    other = trained(anna, "recall>=0.9")
    assert 0 < chosen["threshold"] < 1
    assert chosen["threshold"] != 0.5
    test_job = done(anna, "TEST", test_model_id=chosen["model_id"])
    test = one(anna, "SELECT * FROM ml_test_results WHERE job_id = %s", [test_job["id"]])
    a, b = chosen["model_id"], other["model_id"]
    compare_job = done(anna, "COMPARE", compare_model_a_id=a, compare_model_b_id=b)
    compared = one(anna, "SELECT * FROM ml_comparisons WHERE job_id = %s", [compare_job["id"]])
    assert (test["threshold"], test["note"], compared["note"]) == (chosen["threshold"], None, None)
    assert (compared["a_threshold"], compared["b_threshold"]) == (chosen["threshold"], other["threshold"])
    for name in ("tp", "fp", "tn", "fn", "tp_at_half", "fp_at_half"):
        assert compared[f"a_{name}"] == test[name], name
    curve = one(
        anna,
        "SELECT p.tp, p.fp FROM ml_curve_points p JOIN ml_test_results t USING (job_id)"
        " WHERE t.id = %s AND p.threshold = t.threshold",
        [test["id"]],
    )
    assert curve == {"tp": test["tp"], "fp": test["fp"]}
    for view, parts in (("ml_test_days", "day"), ("ml_test_coins", "key")):
        summed = one(
            anna,
            f"SELECT sum(tp) AS tp, sum(fp) AS fp, sum(num_samples) AS n, count(DISTINCT {parts}) > 1 AS many"
            f" FROM {view} WHERE test_id = %s",
            [test["id"]],
        )
        assert summed == {"tp": test["tp"], "fp": test["fp"], "n": test["num_samples"], "many": True}
    score_job = done(anna, "SCORE", score_model_id=a)
    scoring = one(anna, "SELECT * FROM ml_scorings WHERE job_id = %s", [score_job["id"]])
    decided = one(
        anna,
        "SELECT count(*) FILTER (WHERE ml.decide(%s::bigint, c)) AS yes,"
        " count(*) FILTER (WHERE ml.predict(%s::bigint, c) > 0.5) AS above_half FROM coin_metrics c"
        " WHERE timestamp >= '2024-03-01' AND timestamp < '2024-04-01'",
        [a, a],
    )
    assert scoring["num_positive"] == decided["yes"] != decided["above_half"]
    outcomes = one(
        anna,
        "SELECT count(*) FILTER (WHERE is_predicted) AS yes, count(*) FILTER (WHERE is_predicted AND outcome)"
        " AS right FROM ml_prediction_outcomes WHERE job_id = %s",
        [score_job["id"]],
    )
    quality = one(anna, "SELECT sum(tp) AS tp FROM ml.quality(%s::bigint)", [a])
    assert (outcomes["yes"], outcomes["right"]) == (scoring["num_positive"], quality["tp"])


def test_with_few_coins_the_last_part_of_the_time_is_set_aside(anna: Connection, service: Worker) -> None:
    seventh = "SELECT min(timestamp) AS at FROM coin_metrics GROUP BY mint ORDER BY 1 OFFSET 6 LIMIT 1"
    run = trained(anna, "mcc", train_end=one(anna, seventh)["at"])
    assert (run["holdout"], run["num_coins"]) == ("time", 6)
    assert run["num_set_aside"] > 0


def test_a_precision_that_none_has_costs_no_model(anna: Connection, service: Worker) -> None:
    run = trained(anna, "precision>=1", train_params_csv="n_estimators=2;max_depth=1")
    assert "no threshold has a precision of 1 on the" in run["warnings"]
    assert run["threshold"] > 0


def test_too_few_rows_to_choose_on_fail_with_what_to_do(anna: Connection, service: Worker) -> None:
    fields = RARE | {"train_threshold": "f1", "train_test_size": 0.97, "train_value": 900}
    job = wait_for(anna, insert_job(anna, **fields))
    assert job["status"] == "FAILED"
    assert "train_threshold f1 cannot be chosen: of the" in job["error_msg"]
    assert "give train_threshold as a number" in job["error_msg"]
