"""A comparison scores two models on the same rows, and the database decides the winner."""

from typing import Any

import pytest

from tests.conftest import Connection, job_row, one
from tests.sql.helpers import complete, count, refused, running_job, violates


def compared(client: Connection, worker: Connection, **values: Any) -> dict[str, Any]:
    result_id = complete(worker, running_job(client, worker, "COMPARE"), "COMPARE", **values)
    return one(client, "SELECT * FROM ml_comparisons WHERE id = %s", [result_id])


def matrices(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> dict[str, int]:
    """Arguments for the confusion matrices (tp, tn, fp, fn) of both models."""
    names = ("tp", "tn", "fp", "fn")
    sides = {
        f"{side}_{name}": n for side, m in (("a", a), ("b", b)) for name, n in zip(names, m, strict=True)
    }
    return {"num_samples": sum(a)} | sides


def swapped(sides: dict[str, int]) -> dict[str, int]:
    other = {"a_": "b_", "b_": "a_"}
    return {other.get(name[:2], name[:2]) + name[2:]: number for name, number in sides.items()}


def test_a_comparison_has_the_metrics_of_both(client: Connection, worker: Connection) -> None:
    result = compared(client, worker, **matrices((30, 140, 10, 20), (40, 140, 10, 10)))
    metrics = ("accuracy", "f1", "precision", "recall", "roc_auc")
    assert [str(result[f"a_{metric}"]) for metric in metrics] == [
        "0.8500",
        "0.6667",
        "0.7500",
        "0.6000",
        "0.9000",
    ]
    assert [str(result[f"b_{metric}"]) for metric in metrics] == [
        "0.9000",
        "0.8000",
        "0.8000",
        "0.8000",
        "0.8000",
    ]
    assert result["num_samples"] == 200


# Each is written so that the first model wins; the test turns it around as well.
WINS = [
    pytest.param(matrices((40, 140, 10, 10), (30, 140, 10, 20)), id="higher_f1"),
    # F1 0.6667 and 0.5714, accuracy 0.50 and 0.70
    pytest.param(matrices((50, 0, 50, 0), (20, 50, 0, 30)), id="higher_f1_at_lower_accuracy"),
    # F1 0.6667 each, accuracy 0.910 and 0.900
    pytest.param(
        matrices((900, 8200, 300, 600), (1000, 8000, 500, 500)), id="higher_accuracy_at_the_same_f1"
    ),
    # F1 0.666667 and 0.666669 are the same at four digits; accuracy 0.91 and 0.90
    pytest.param(
        matrices((90_000, 820_000, 30_000, 60_000), (100_001, 799_999, 50_001, 49_999)),
        id="f1_counts_at_the_stored_precision",
    ),
    # Accuracy 1.0 and F1 undefined, against accuracy 0.995 and F1 0
    pytest.param(matrices((0, 200, 0, 0), (0, 199, 1, 0)), id="undefined_f1_then_accuracy"),
    # F1 0.0198 against none of the positive rows found
    pytest.param(matrices((1, 100, 50, 49), (0, 150, 0, 50)), id="any_f1_against_zero"),
]


@pytest.mark.parametrize("sides", WINS)
def test_the_winner_has_the_higher_f1_then_the_higher_accuracy(
    client: Connection, worker: Connection, sides: dict[str, int]
) -> None:
    result = compared(client, worker, **sides)
    assert result["winner_id"] == result["model_a_id"]
    result = compared(client, worker, **swapped(sides))
    assert result["winner_id"] == result["model_b_id"]


@pytest.mark.parametrize(
    "sides",
    [
        pytest.param(matrices((40, 140, 10, 10), (40, 140, 10, 10)), id="equal"),
        pytest.param(matrices((0, 200, 0, 0), (0, 200, 0, 0)), id="both_undefined"),
        pytest.param(matrices((0, 0, 0, 0), (0, 0, 0, 0)), id="no_rows"),
        # F1 0.666669 and 0.666667, accuracy 0.9000000 and 0.9000001: the same at four digits
        pytest.param(
            matrices((100_001, 799_999, 50_001, 49_999), (100_000, 800_001, 49_999, 50_000)),
            id="equal_at_the_stored_precision",
        ),
    ],
)
def test_a_draw_has_no_winner(client: Connection, worker: Connection, sides: dict[str, int]) -> None:
    result = compared(client, worker, **sides)
    assert result["winner_id"] is None
    assert result["a_f1"] == result["b_f1"]
    assert result["a_accuracy"] == result["b_accuracy"]


def test_the_area_under_the_curve_decides_nothing(client: Connection, worker: Connection) -> None:
    equal = matrices((40, 140, 10, 10), (40, 140, 10, 10))
    assert compared(client, worker, **equal, a_roc_auc="0.9", b_roc_auc="0.5")["winner_id"] is None


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ({"b_tp": 31}, "ml_comparisons_same_rows"),
        ({"b_tn": 141}, "ml_comparisons_same_rows"),
        ({"num_samples": 201}, "ml_comparisons_same_rows"),
        # as many rows, but others: 51 positive ones for the second model
        ({"b_tp": 31, "b_tn": 139}, "ml_comparisons_same_rows"),
        ({"a_tp": -1, "a_fn": 51}, "ml_comparisons_counts_not_negative"),
        ({"num_unlabelled": -1}, "ml_comparisons_counts_not_negative"),
        ({"a_roc_auc": "1.1"}, "ml_comparisons_roc_auc_between_0_and_1"),
        ({"b_roc_auc": "-0.1"}, "ml_comparisons_roc_auc_between_0_and_1"),
    ],
)
def test_a_result_that_cannot_be_is_refused_whole(
    client: Connection, worker: Connection, values: dict[str, Any], constraint: str
) -> None:
    job_id = running_job(client, worker, "COMPARE")
    before = count(client, "ml_comparisons")
    with violates(constraint):
        complete(worker, job_id, "COMPARE", **values)
    assert count(client, "ml_comparisons") == before
    assert job_row(client, job_id)["status"] == "RUNNING"


@pytest.mark.parametrize("job_type", ["TRAIN", "TEST"])
def test_a_job_of_another_type_has_no_comparison(
    client: Connection, worker: Connection, job_type: str
) -> None:
    job_id = running_job(client, worker, job_type)
    with refused("42703", f"the result of a {job_type} job has no"):
        complete(worker, job_id, "COMPARE")
    assert job_row(client, job_id)["status"] == "RUNNING"


def test_the_owner_cannot_name_another_winner(client: Connection, owner: Connection) -> None:
    job_id = running_job(client, owner, "COMPARE")
    job = job_row(client, job_id)
    result = one(
        owner,
        "INSERT INTO ml_comparisons (job_id, attempt, model_a_id, model_b_id, test_start, test_end,"
        " winner_id, num_samples, a_tp, a_tn, a_fp, a_fn, b_tp, b_tn, b_fp, b_fn, num_unlabelled,"
        " data_fingerprint, seconds_loading, seconds_scoring)"
        " VALUES (%s, 1, %s, %s, %s, %s, %s, 4, 2, 2, 0, 0, 0, 2, 0, 2, 0, %s, 0, 0) RETURNING winner_id",
        [
            job_id,
            job["compare_model_a_id"],
            job["compare_model_b_id"],
            job["compare_start"],
            job["compare_end"],
            job["compare_model_b_id"],
            "b" * 64,
        ],
    )
    assert result["winner_id"] == job["compare_model_a_id"]
