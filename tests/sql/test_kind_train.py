"""A training run makes its model READY and completes its job, in one commit."""

from typing import Any

import pytest

from tests.conftest import TRAINING_RESULT, Connection, claim, job_row, one
from tests.sql.helpers import FACTS, call, complete, count, refused, running_job, violates


def recorded(client: Connection, worker: Connection, **values: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Record a training run; returns it and its model."""
    run_id = complete(worker, running_job(client, worker), "TRAIN", **values)
    run = one(client, "SELECT * FROM ml_training_runs WHERE id = %s", [run_id])
    return run, one(client, "SELECT * FROM ml_models WHERE id = %s", [run["model_id"]])


def test_a_training_run_keeps_what_the_fit_saw_and_gave(client: Connection, worker: Connection) -> None:
    run, _ = recorded(client, worker, warnings="did not converge")
    stored = {name.removeprefix("p_"): value for name, value in TRAINING_RESULT.items()}
    numbers = {"roc_auc": "0.9000", "seconds_loading": "0.100", "seconds_fitting": "0.200"}
    for name, value in (stored | numbers | {"warnings": "did not converge"}).items():
        assert str(run[name]) == str(value), name
    assert run["num_samples"] == 200


def test_the_metrics_follow_from_the_confusion_matrix(client: Connection, worker: Connection) -> None:
    run, model = recorded(client, worker, tp=30, fn=20, tn=140, fp=10)
    # accuracy 170/200, precision 30/40, recall 30/50, f1 60/90
    assert [str(run[name]) for name in ("accuracy", "precision_score", "recall", "f1_score")] == [
        "0.8500",
        "0.7500",
        "0.6000",
        "0.6667",
    ]
    for metric in ("accuracy", "precision", "recall", "f1"):
        score = f"{metric}_score" if metric in ("precision", "f1") else metric
        assert model[f"training_{metric}"] == run[score]


def test_the_model_is_ready_with_its_file_and_importances(client: Connection, worker: Connection) -> None:
    run, model = recorded(client, worker)
    assert model["status"] == "READY"
    assert model["model_file_path"] == run["artifact_path"] == "/models/model_1_attempt_1.pkl"
    assert model["feature_importance_csv"] == "price_open=0.7500;volume_sol=0.2500"


@pytest.mark.parametrize(
    ("matrix", "undefined"),
    [
        pytest.param({"tp": 0, "fp": 0, "fn": 50, "tn": 150}, {"precision"}, id="nothing_predicted"),
        pytest.param({"tp": 0, "fp": 10, "fn": 0, "tn": 190}, {"recall"}, id="nothing_positive"),
        pytest.param({"tp": 0, "fp": 0, "fn": 0, "tn": 200}, {"precision", "recall", "f1"}, id="neither"),
        pytest.param({"tp": 0, "fp": 10, "fn": 40, "tn": 150}, set[str](), id="all_wrong"),
    ],
)
def test_an_undefined_metric_is_null_and_not_zero(
    client: Connection, worker: Connection, matrix: dict[str, int], undefined: set[str]
) -> None:
    _, model = recorded(
        client,
        worker,
        **matrix,
        num_positive=matrix["tp"] + matrix["fn"],
        num_negative=matrix["tn"] + matrix["fp"],
        roc_auc=None,
        feature_importance_csv=None,
    )
    metrics = ("accuracy", "precision", "recall", "f1")
    assert {metric for metric in metrics if model[f"training_{metric}"] is None} == undefined
    assert model["status"] == "READY"


def test_without_held_out_rows_there_is_no_metric(client: Connection, worker: Connection) -> None:
    nothing = dict.fromkeys(("num_positive", "num_negative", "tp", "tn", "fp", "fn"), 0)
    run, _ = recorded(client, worker, **nothing, roc_auc=None)
    assert (run["accuracy"], run["f1_score"], run["precision_score"], run["recall"]) == (None,) * 4


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ({"tp": 41}, "ml_training_runs_confusion_matrix_adds_up"),
        ({"num_negative": 151}, "ml_training_runs_confusion_matrix_adds_up"),
        ({"num_fitted_positive": 801}, "ml_training_runs_counts_not_negative"),
        ({"num_gap": -1}, "ml_training_runs_counts_not_negative"),
        ({"roc_auc": "1.1"}, "ml_training_runs_roc_auc_between_0_and_1"),
        ({"roc_auc": "NaN"}, "ml_training_runs_roc_auc_between_0_and_1"),
        ({"holdout": "rows"}, "ml_training_runs_holdout_known"),
        ({"artifact_sha256": "A" * 64}, "ml_training_runs_sha256_is_hexadecimal"),
        ({"data_fingerprint": "short"}, "ml_training_runs_sha256_is_hexadecimal"),
    ],
)
def test_a_result_that_cannot_be_is_refused_whole(
    client: Connection, worker: Connection, values: dict[str, Any], constraint: str
) -> None:
    job_id = running_job(client, worker)
    before = {fact: count(client, fact) for fact in FACTS}
    with violates(constraint):
        complete(worker, job_id, "TRAIN", **values)
    assert {fact: count(client, fact) for fact in FACTS} == before
    assert job_row(client, job_id)["status"] == "RUNNING"
    complete(worker, job_id, "TRAIN")
    assert job_row(client, job_id)["status"] == "COMPLETED"


@pytest.mark.parametrize("job_type", ["TEST", "COMPARE"])
def test_a_job_of_another_type_has_no_training_run(
    client: Connection, worker: Connection, job_type: str
) -> None:
    job_id = running_job(client, worker, job_type)
    with refused("42703", f"the result of a {job_type} job has no"):
        complete(worker, job_id, "TRAIN")
    assert job_row(client, job_id)["status"] == "RUNNING"


def test_result_and_completion_are_one_commit(client: Connection, worker: Connection) -> None:
    job_id = running_job(client, worker)
    with worker.transaction(force_rollback=True):
        complete(worker, job_id, "TRAIN")
    query = "SELECT status FROM ml_models WHERE train_job_id = %s"
    assert one(client, query, [job_id])["status"] == "TRAINING"
    assert job_row(client, job_id)["status"] == "RUNNING"
    assert client.execute("SELECT FROM ml_training_runs WHERE job_id = %s", [job_id]).fetchall() == []


def test_a_later_attempt_completes_the_same_model(client: Connection, worker: Connection) -> None:
    job_id = running_job(client, worker)
    call(worker, "record_loss", job_id, 1, "killed")
    claim(worker)
    complete(worker, job_id, "TRAIN", attempt=2, artifact_path="/models/model_1_attempt_2.pkl")
    query = "SELECT id, model_file_path AS path FROM ml_models WHERE train_job_id = %s"
    model = one(client, query, [job_id])
    assert model["path"] == "/models/model_1_attempt_2.pkl"
    assert job_row(client, job_id)["result_model_id"] == model["id"]


def test_the_owner_cannot_insert_a_result_past_the_fence(
    client: Connection, worker: Connection, owner: Connection
) -> None:
    job_id = running_job(client, worker)
    complete(worker, job_id, "TRAIN")
    columns = (
        "holdout, num_coins, num_fitted, num_fitted_positive, num_gap, num_unlabelled, num_samples,"
        " num_positive, num_negative, tp, tn, fp, fn, artifact_path, artifact_sha256, artifact_bytes,"
        " data_fingerprint, library_versions_csv, seconds_loading, seconds_fitting"
    )
    with refused("ML001", f"attempt 1 does not hold job {job_id}"):
        owner.execute(
            f"INSERT INTO ml_training_runs (job_id, attempt, model_id, {columns})"
            f" SELECT job_id, attempt, model_id, {columns} FROM ml_training_runs WHERE job_id = %s",
            [job_id],
        )
