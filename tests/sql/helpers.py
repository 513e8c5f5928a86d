"""What several tests of the database need."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from tests.conftest import (
    COMPARISON_RESULT,
    SCORING_RESULT,
    TEST_RESULT,
    TRAIN,
    TRAINING_RESULT,
    Connection,
    claim,
    insert_job,
    one,
    ready_model,
    record,
)

FACTS = ("ml_job_events", "ml_training_runs", "ml_test_results", "ml_comparisons", "ml_scorings")
STATES = ("PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED")
TEST_PERIOD = {"test_start": "2024-03-01", "test_end": "2024-04-01"}
COMPARE_PERIOD = {"compare_start": "2024-03-01", "compare_end": "2024-04-01"}
SCORE_PERIOD = {"score_start": "2024-03-01", "score_end": "2024-04-01"}
RESULTS: dict[str, dict[str, Any]] = {
    "TRAIN": TRAINING_RESULT,
    "TEST": TEST_RESULT,
    "COMPARE": COMPARISON_RESULT,
    "SCORE": SCORING_RESULT,
}
# Answers: coin, moment and probability.
ANSWERS = [
    ("A", "2024-03-01", 0.25),
    ("A", "2024-03-02", 0.75),
    ("B", "2024-03-01", 0.5),
    ("B", "2024-03-31", 1.0),
]


def point(threshold: float, tp: int, fp: int, sum_probability: float) -> dict[str, float]:
    """A row of ``ml_curve_points``, of 50 positive and 150 negative rows."""
    counts = {"tp": tp, "fp": fp, "tn": 150 - fp, "fn": 50 - tp}
    return {"threshold": threshold, **counts, "sum_probability": sum_probability}


# 40 of the positive rows and 10 of the negative ones are above 0.5.
CURVE = [
    point(0.0, 50, 140, 62.0),
    point(0.1, 50, 60, 58.0),
    point(0.2, 49, 40, 55.0),
    point(0.3, 47, 30, 52.0),
    point(0.4, 44, 20, 47.0),
    point(0.5, 40, 10, 41.0),
    point(0.6, 36, 8, 37.0),
    point(0.7, 30, 5, 30.0),
    point(0.8, 20, 2, 19.5),
    point(0.9, 10, 0, 9.5),
    point(1.0, 0, 0, 0.0),
]


def baseline(name: str, rule: str, tp: int, fp: int, **more: Any) -> dict[str, Any]:
    """A row of ``ml_baselines``, of 50 positive and 150 negative rows."""
    place = int(name in ("positive_share", "best_feature"))
    return {
        "place": place,
        "baseline": name,
        "rule": rule,
        "tp": tp,
        "fp": fp,
        "tn": 150 - fp,
        "fn": 50 - tp,
        **more,
    }


# Persistence is the best of them; their F1 are 0.4, 0, 0, 0.6 and 0.5185.
BASELINES = [
    baseline("always_positive", "always positive", 50, 150, roc_auc=0.5, average_precision=0.25),
    baseline("always_negative", "always negative", 0, 0, roc_auc=0.5, average_precision=0.25),
    baseline("positive_share", "0.3750 for every row", 0, 0, log_loss=0.6, brier_score=0.2),
    baseline("persistence", "market_cap_close > 50000 now", 30, 20, num_unknown=5, roc_auc=0.7333),
    baseline("best_feature", "price_open > 0.5", 35, 50, roc_auc=0.7, average_precision=0.4),
]
# What a result tells of them whose F1 is 0.8.
BEATEN: dict[str, Any] = {
    "best_baseline": "persistence",
    "baseline_f1": 0.6,
    "baseline_difference": 0.2,
    "baseline_lower": 0.05,
    "baseline_upper": 0.3,
}


def interval(metric: str, estimate: Any, lower: Any, upper: Any, **values: Any) -> dict[str, Any]:
    """A row of ``ml_intervals``."""
    ends = {"metric": metric, "estimate": estimate, "lower": lower, "upper": upper}
    blocks = {"confidence": 0.95, "num_blocks": 48, "block_seconds": 3600, "effective_rows": 61.5}
    return {"side": "model", **ends, **blocks, "reason": None} | values


# Those of RESULTS.
INTERVALS = [
    interval("f1", 0.8, 0.7102, 0.86),
    interval("precision", 0.8, 0.7, 0.9),
    interval("recall", 0.8, 0.7, 0.9),
    interval("accuracy", 0.9, 0.85, 0.95),
    interval("roc_auc", 0.9, 0.84, 0.95),
    interval("average_precision", 0.7, 0.6, 0.8),
]

# A test by day and by coin, which sum to the same.
PARTS: dict[str, Any] = {
    "ml_test_day_counts": [
        {"day": "2024-03-01", "tp": 30, "fp": 10, "tn": 100, "fn": 0, "roc_auc": "0.95"},
        {"day": "2024-03-02", "tp": 10, "fp": 0, "tn": 40, "fn": 10},
    ],
    "ml_test_coin_counts": [
        {"place": 0, "key": "A", "num_coins": 1, "tp": 40, "fp": 10, "tn": 140, "fn": 10}
    ],
}

# Numbers of a model of the features of TRAIN: a tree that asks price_open, then volume_sol; and a layer.
INPUTS = ("price_open", "price_high", "price_low", "volume_sol")
TREES: dict[str, Any] = {
    "ml_model_inputs": [{"place": place, "feature": name} for place, name in enumerate(INPUTS)],
    "ml_model_trees": [
        {
            "tree": 0,
            "chunk": 0,
            "feature": "{0,-1,3,-1,-1}",
            "bound": "{1.5,0,10,0,0}",
            "less": "{1,0,3,0,0}",
            "more": "{2,0,4,0,0}",
            "missing_less": "{t,f,f,f,f}",
            "value": "{0.5,0.125,0.75,0.5,1}",
        }
    ],
    "ml_model_samples": [{"place": 0, "inputs": "{1,NULL,NULL,NULL}", "probability": 0.125}],
    "ml_model_numbers": [
        {
            "answer": "share",
            "base": 0,
            "is_single": False,
            "num_trees": 1,
            "num_nodes": 5,
            "num_layers": 0,
            "num_weights": 0,
        }
    ],
}
LAYERS: dict[str, Any] = {
    "ml_model_inputs": [
        {"place": place, "feature": name, "fill": 2, "center": 1, "scale": 2}
        for place, name in enumerate(INPUTS)
    ],
    "ml_model_layers": [
        {"layer": 0, "unit": 0, "activation": "identity", "bias": 0.5, "weights": "{1,0,-1,2}"}
    ],
    "ml_model_numbers": [
        {
            "answer": "logistic",
            "base": 0,
            "is_single": False,
            "num_trees": 0,
            "num_nodes": 0,
            "num_layers": 1,
            "num_weights": 4,
        }
    ],
}


# How a feature of 100 rows was distributed, the numbers 0.1 to 10.
STATS: dict[str, Any] = {
    "feature": "price_open",
    "num_rows": 100,
    "num_null": 0,
    "minimum": 0.1,
    "maximum": 10,
    "mean": 5.05,
    **{f"d{place}": place for place in range(1, 10)},
    **{f"n{place}": 10 for place in range(10)},
    "n_null": 0,
}


def found_beside(connection: Connection, job_id: int, job_type: str) -> dict[str, Any]:
    """Warnings and what else a worker finds beside a result, for each kind of job."""
    rows = connection.execute("SELECT model_id FROM ml.job_models WHERE job_id = %s ORDER BY place", [job_id])
    models = [row["model_id"] for row in rows]
    found: dict[str, Any] = {
        "ml_warnings": [
            {"model_id": model, "code": "one_answer", "severity": "warning", "sentence": f"{model} says no"}
            for model in models
        ]
    }
    if job_type == "TRAIN":
        coins = {"num_coins": 2, "keys": ["A", 'B, or "C"']}
        return found | {"ml_feature_stats": [STATS], "ml_fitted_coins": [coins]}
    shift = {"feature": "price_open", "psi": 0.3, "chance": 0.01, "num_rows": 200, "null_share": 0, "mean": 6}
    found["ml_feature_shifts"] = [{"model_id": model} | shift for model in models]
    if job_type != "SCORE":
        counts = {"num_coins": 3, "tp": 20, "tn": 70, "fp": 5, "fn": 5, "roc_auc": 0.9}
        found["ml_seen_unseen"] = [
            {"model_id": model, "is_seen": seen} | counts for model in models for seen in (True, False)
        ]
    return found


# What is said of RESULTS.
VERDICT = "better than always saying negative: accuracy 0.9000 against 0.7500, F1 0.8000, ROC AUC 0.9000"


@contextmanager
def refused(sqlstate: str, message: str = "", hint: str = "") -> Iterator[None]:
    """The block is refused with this SQLSTATE, and message and HINT contain these words."""
    with pytest.raises(psycopg.Error) as caught:
        yield
    said = caught.value.diag
    assert said.sqlstate == sqlstate, caught.value
    assert message in (said.message_primary or ""), said.message_primary
    assert hint in (said.message_hint or ""), said.message_hint


@contextmanager
def violates(constraint: str) -> Iterator[None]:
    """The block is refused by the constraint of this name."""
    with pytest.raises(psycopg.IntegrityError) as caught:
        yield
    assert caught.value.diag.constraint_name == constraint, caught.value


def count(connection: Connection, relation: str) -> int:
    return int(one(connection, f"SELECT count(*) AS n FROM {relation}")["n"])


def events(connection: Connection, job_id: int) -> list[tuple[int, str]]:
    """What happened to a job: (attempt, event), in order."""
    rows = connection.execute(
        "SELECT attempt, event FROM ml_job_events WHERE job_id = %s ORDER BY id", [job_id]
    )
    return [(row["attempt"], row["event"]) for row in rows]


def request(client: Connection, worker: Connection, job_type: str) -> dict[str, Any]:
    """Fields of a job of this type that is accepted; makes the models that it needs."""
    if job_type == "TRAIN":
        return TRAIN
    if job_type == "TEST":
        return {"job_type": "TEST", "test_model_id": ready_model(client, worker), **TEST_PERIOD}
    if job_type == "SCORE":
        return {"job_type": "SCORE", "score_model_id": ready_model(client, worker), **SCORE_PERIOD}
    pair = {f"compare_model_{side}_id": ready_model(client, worker) for side in "ab"}
    return {"job_type": "COMPARE", **pair, **COMPARE_PERIOD}


def running_job(client: Connection, worker: Connection, job_type: str = "TRAIN", **fields: Any) -> int:
    """Insert a job and claim it, as attempt 1; returns its id. No other job may wait."""
    job_id = insert_job(client, **request(client, worker, job_type) | fields)
    assert claim(worker)["id"] == job_id
    return job_id


def complete(worker: Connection, job_id: int, job_type: str, attempt: int = 1, **values: Any) -> int:
    """Record a result of this type of job; returns the id of the fact."""
    with worker.transaction():
        if job_type == "SCORE":
            store(worker, job_id, attempt)
        return int(record(worker, job_id, attempt, **(RESULTS[job_type] | values)))


def store(
    worker: Connection, job_id: int, attempt: int = 1, answers: Sequence[tuple[str, str, float]] = ANSWERS
) -> int:
    """Store answers of a SCORE job, as a part of them."""
    names = sorted({name for name, _, _ in answers})
    return int(
        one(
            worker,
            "SELECT ml_internal.store_predictions(%s, %s, %s, %s, %s::timestamptz[], %s) AS n",
            [
                job_id,
                attempt,
                names,
                [names.index(name) + 1 for name, _, _ in answers],
                [moment for _, moment, _ in answers],
                [probability for _, _, probability in answers],
            ],
        )["n"]
    )


def call(worker: Connection, routine: str, *arguments: Any) -> Any:
    """Call a routine of a worker; returns what it returns. Progress may leave out its message and lease."""
    if routine == "record_progress":
        arguments = (*arguments, *(None, "30 seconds")[len(arguments) - 3 :])
    places = ", ".join(["%s"] * len(arguments))
    return one(worker, f"SELECT ml_internal.{routine}({places}) AS answer", arguments)["answer"]


def jobs_in_every_state(client: Connection, worker: Connection) -> dict[str, int]:
    """One TRAIN job in each of the five states, by state."""
    jobs = {}
    for status in ("COMPLETED", "FAILED", "CANCELLED", "RUNNING"):
        jobs[status] = running_job(client, worker)
    complete(worker, jobs["COMPLETED"], "TRAIN")
    call(worker, "record_failure", jobs["FAILED"], 1, "no rows")
    client.execute("CALL ml.cancel_job(%s)", [jobs["CANCELLED"]])
    jobs["PENDING"] = insert_job(client, **TRAIN)
    return jobs
