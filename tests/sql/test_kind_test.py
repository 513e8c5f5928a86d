"""A test result: metrics from the confusion matrix, and how much of the test was training."""

from typing import Any

import pytest

from tests.conftest import Connection, job_row, one
from tests.sql.helpers import complete, count, refused, running_job, violates


def result_of(client: Connection, worker: Connection, **values: Any) -> dict[str, Any]:
    """Record a test; returns the result."""
    result_id = complete(worker, running_job(client, worker, "TEST"), "TEST", **values)
    return one(client, "SELECT * FROM ml_test_results WHERE id = %s", [result_id])


def result_in(client: Connection, worker: Connection, start: str, end: str) -> dict[str, Any]:
    """Record a test in this period of a model that was trained on [2024-01-01, 2024-03-01)."""
    for connection in (client, worker):
        connection.execute("SET TimeZone = 'UTC'")
    job_id = running_job(client, worker, "TEST", test_start=start, test_end=end)
    return one(client, "SELECT * FROM ml_test_results WHERE id = %s", [complete(worker, job_id, "TEST")])


def test_the_metrics_follow_from_the_confusion_matrix(client: Connection, worker: Connection) -> None:
    result = result_of(client, worker, tp=30, fn=20, tn=140, fp=10)
    assert [
        str(result[name]) for name in ("accuracy", "precision_score", "recall", "f1_score", "roc_auc")
    ] == [
        "0.8500",
        "0.7500",
        "0.6000",
        "0.6667",
        "0.9000",
    ]


def test_a_test_result_keeps_its_circumstances(client: Connection, worker: Connection) -> None:
    result = result_of(client, worker)
    assert result["feature_importance_csv"] == "price_open=1.0000"
    assert (result["num_unlabelled"], result["attempt"], result["data_fingerprint"]) == (5, 1, "b" * 64)


@pytest.mark.parametrize(
    ("matrix", "undefined"),
    [
        pytest.param((0, 150, 0, 50), {"precision_score"}, id="nothing_predicted"),
        pytest.param((0, 190, 10, 0), {"recall"}, id="nothing_positive"),
        pytest.param((0, 200, 0, 0), {"precision_score", "recall", "f1_score"}, id="neither"),
        pytest.param((0, 0, 0, 0), {"accuracy", "precision_score", "recall", "f1_score"}, id="no_rows"),
    ],
)
def test_an_undefined_metric_is_null_and_not_zero(
    client: Connection, worker: Connection, matrix: tuple[int, int, int, int], undefined: set[str]
) -> None:
    tp, tn, fp, fn = matrix
    numbers = {
        "tp": tp,
        "tn": tn,
        "fp": fp,
        "fn": fn,
        "num_positive": tp + fn,
        "num_negative": tn + fp,
    }
    result = result_of(client, worker, **numbers, roc_auc=None)
    metrics = ("accuracy", "f1_score", "precision_score", "recall")
    assert {name for name in metrics if result[name] is None} == undefined
    assert result["roc_auc"] is None


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ({"tp": 41}, "ml_test_results_confusion_matrix_adds_up"),
        ({"tn": 141}, "ml_test_results_confusion_matrix_adds_up"),
        ({"num_positive": 51}, "ml_test_results_confusion_matrix_adds_up"),
        ({"num_negative": 151}, "ml_test_results_confusion_matrix_adds_up"),
        ({"tp": -10, "fn": 60}, "ml_test_results_counts_not_negative"),
        ({"num_unlabelled": -1}, "ml_test_results_counts_not_negative"),
        ({"roc_auc": "-0.1"}, "ml_test_results_roc_auc_between_0_and_1"),
    ],
)
def test_a_result_that_cannot_be_is_refused_whole(
    client: Connection, worker: Connection, values: dict[str, Any], constraint: str
) -> None:
    job_id = running_job(client, worker, "TEST")
    before = count(client, "ml_test_results")
    with violates(constraint):
        complete(worker, job_id, "TEST", **values)
    assert count(client, "ml_test_results") == before
    assert job_row(client, job_id)["status"] == "RUNNING"


@pytest.mark.parametrize("job_type", ["TRAIN", "COMPARE"])
def test_a_job_of_another_type_has_no_test_result(
    client: Connection, worker: Connection, job_type: str
) -> None:
    job_id = running_job(client, worker, job_type)
    with refused("42703", f"the result of a {job_type} job has no"):
        complete(worker, job_id, "TEST")
    assert job_row(client, job_id)["status"] == "RUNNING"


@pytest.mark.parametrize(
    ("start", "end"),
    [
        pytest.param("2024-03-01", "2024-04-01", id="touches_the_end"),
        pytest.param("2023-12-01", "2024-01-01", id="touches_the_start"),
        pytest.param("2025-01-01", "2025-02-01", id="later"),
        pytest.param("2022-01-01", "2022-02-01", id="earlier"),
    ],
)
def test_a_test_apart_from_the_training_has_no_overlap(
    client: Connection, worker: Connection, start: str, end: str
) -> None:
    result = result_in(client, worker, start, end)
    assert (result["has_overlap"], result["overlap_note"]) == (False, None)


@pytest.mark.parametrize(
    ("start", "end", "percent"),
    [
        pytest.param("2024-01-01", "2024-03-01", 100, id="same_period"),
        pytest.param("2024-01-10", "2024-01-20", 100, id="inside"),
        pytest.param("2024-02-10", "2024-03-21", 50, id="end_of_training"),
        pytest.param("2024-02-15", "2024-05-25", 15, id="fifteen_percent"),
        pytest.param("2023-12-12", "2024-01-11", 33, id="start_of_training"),
        pytest.param("2023-11-01", "2024-04-30", 33, id="around_the_training"),
        pytest.param("2024-02-29 23:59", "2024-12-01", 1, id="one_minute_is_not_zero_percent"),
    ],
)
def test_an_overlap_is_noted_with_its_share_of_the_test(
    client: Connection, worker: Connection, start: str, end: str, percent: int
) -> None:
    result = result_in(client, worker, start, end)
    assert result["has_overlap"]
    assert result["overlap_note"].startswith(f"{percent}% overlap: ")


def test_the_note_names_the_common_period(client: Connection, worker: Connection) -> None:
    result = result_in(client, worker, "2024-02-15", "2024-05-25")
    assert "2024-02-15" in result["overlap_note"]
    assert "2024-03-01" in result["overlap_note"]
    assert "part of the training period" in result["overlap_note"]
