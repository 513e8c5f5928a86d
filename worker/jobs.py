"""The three kinds of job: from rows to plain numbers, the arguments of ``ml.record_*``."""

import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import xgboost
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from worker import artifacts, estimators, evaluation, holdout
from worker.assignment import Assignment
from worker.datasets import Dataset
from worker.errors import JobError

MIN_ROWS = 20
MIN_ROWS_A_CLASS = 2

Report = Callable[[float, str], None]
Result = dict[str, Any]

# Shares of the progress bar.
LOADED, FITTED, SCORED = 0.3, 0.85, 0.95


def read_models(assignment: Assignment, model_dir: Path) -> list[Pipeline]:
    """Read the fitted models of a TEST or COMPARE; a TRAIN has none.

    Raises:
        JobError: a file is missing, unreadable or altered.
    """
    return [
        artifacts.read(model.artifact_path, model.artifact_sha256, model_dir)
        for model in assignment.models
        if model.artifact_path and model.artifact_sha256
    ]


def train(
    assignment: Assignment,
    params: Mapping[str, tuple[str, str]],
    dataset: Dataset,
    path: Path,
    *,
    threads: int,
    report: Report,
) -> Result:
    """Fit a model on one part of the rows, measure it on the other, and write its file to ``path``.

    Raises:
        JobError: there are too few rows, or one class only.
        OSError: the file cannot be written.
    """
    (model,) = assignment.models
    _require_both_classes(dataset)
    reach = 0 if model.future_minutes is None else 2 * model.future_minutes * 60_000_000
    parts = holdout.split(dataset, model.test_size, model.random_state, reach)
    dataset.reorder(parts.order)
    fitted, held_out = slice(parts.num_fitted), slice(parts.num_fitted + parts.num_gap, None)
    features, labels = dataset.features[fitted], dataset.labels[fitted]
    _require_both_classes_to_fit(labels, parts, dataset)
    _require_values_to_fit(features, parts, dataset)

    started = time.monotonic()
    values = estimators.parse_params(params)
    estimator = estimators.make_estimator(model.model_type, values, model.random_state, threads)
    warnings = estimators.fit(
        estimator,
        features,
        labels,
        lambda share, message: report(LOADED + (FITTED - LOADED) * share, message),
    )
    seconds_fitting = time.monotonic() - started

    report(FITTED, f"Measuring on {len(parts.held_out)} held-out rows")
    measured = _measure(
        estimator, dataset, dataset.features[held_out], dataset.labels[held_out], model.random_state
    )
    report(SCORED, "Writing the model file")
    artifact = artifacts.write(estimator, path)
    return measured | {
        "holdout": parts.kind,
        "num_coins": parts.num_coins,
        "num_fitted": len(labels),
        "num_fitted_positive": int(labels.sum()),
        "num_gap": parts.num_gap,
        "num_unlabelled": dataset.num_unlabelled,
        "artifact_path": str(artifact.path),
        "artifact_sha256": artifact.sha256,
        "artifact_bytes": artifact.num_bytes,
        "data_fingerprint": dataset.fingerprint,
        "library_versions_csv": _library_versions(),
        "engine": estimators.engine(estimator),
        "seconds_fitting": round(seconds_fitting, 3),
        "warnings": "; ".join(warnings) or None,
    }


def test(assignment: Assignment, estimator: Pipeline, dataset: Dataset, *, report: Report) -> Result:
    """Measure a model on all rows of the dataset."""
    started = time.monotonic()
    report(LOADED, f"Scoring {len(dataset)} rows")
    (model,) = assignment.models
    measured = _measure(estimator, dataset, dataset.features, dataset.labels, model.random_state)
    return measured | {
        "num_unlabelled": dataset.num_unlabelled,
        "data_fingerprint": dataset.fingerprint,
        "seconds_scoring": round(time.monotonic() - started, 3),
    }


def compare(assignment: Assignment, pipelines: list[Pipeline], dataset: Dataset, *, report: Report) -> Result:
    """Score two models on the very same rows, each on the features that it was fitted on."""
    started = time.monotonic()
    result: Result = {"num_samples": len(dataset)}
    for number, (side, model, pipeline) in enumerate(zip("ab", assignment.models, pipelines, strict=True)):
        report(LOADED + (SCORED - LOADED) * number / 2, f"Scoring {len(dataset)} rows by model {model.id}")
        columns = [dataset.names.index(feature) for feature in model.features]
        is_whole = columns == list(range(len(dataset.names)))
        features = dataset.features if is_whole else dataset.features[:, columns]
        probabilities = evaluation.predict(pipeline, features)
        score = evaluation.score(probabilities, dataset.labels)
        result |= {f"{side}_{name}": value for name, value in asdict(score).items()}
    return result | {
        "num_unlabelled": dataset.num_unlabelled,
        "data_fingerprint": dataset.fingerprint,
        "seconds_scoring": round(time.monotonic() - started, 3),
    }


def _measure(
    estimator: Pipeline,
    dataset: Dataset,
    features: NDArray[np.float32],
    labels: NDArray[np.uint8],
    random_state: int,
) -> Result:
    importance = evaluation.importance(estimator, dataset.names, features, labels, random_state)
    probabilities = evaluation.predict(estimator, features)
    return {
        "num_positive": int(labels.sum()),
        "num_negative": int(len(labels) - labels.sum()),
        **asdict(evaluation.score(probabilities, labels)),
        "feature_importance_csv": evaluation.to_csv(importance),
        "curve": evaluation.curve(probabilities, labels),
    }


def _require_both_classes(dataset: Dataset) -> None:
    total, positive = len(dataset), dataset.num_positive
    if total < MIN_ROWS or min(positive, total - positive) < MIN_ROWS_A_CLASS:
        raise JobError(
            f"too little to learn from: {total} labelled rows, {positive} positive and {total - positive} "
            f"negative; needed are {MIN_ROWS} rows and {MIN_ROWS_A_CLASS} of each class. "
            "Choose a longer period or another threshold"
        )


def _require_both_classes_to_fit(labels: NDArray[np.uint8], parts: holdout.Holdout, dataset: Dataset) -> None:
    positive = int(labels.sum())
    if not 0 < positive < len(labels):
        raise JobError(
            f"one class only is left to learn from: of {len(dataset)} labelled rows "
            f"({dataset.num_positive} positive), {len(parts.held_out)} are held out and {parts.num_gap} lie "
            f"in the gap before them; of the other {len(labels)}, {positive} are positive. "
            "Choose a longer period or another threshold"
        )


def _require_values_to_fit(features: NDArray[np.float32], parts: holdout.Holdout, dataset: Dataset) -> None:
    for name, column in zip(dataset.names, features.T, strict=True):
        if np.isnan(column).all():
            raise JobError(
                f"the feature {name} has no value in any of the {len(features)} rows to learn from; "
                f"all its values are in the {len(parts.held_out)} held-out rows. "
                "Leave it out, or choose another period"
            )


def _library_versions() -> str:
    versions = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
        "xgboost": xgboost.__version__,
    }
    return ";".join(f"{name}={version}" for name, version in versions.items())
