"""TRAIN: fits a model on one part of the rows, measures it on the other, and writes its file."""

import time

import numpy as np
from numpy.typing import NDArray

from worker.child import fitting, holdout, libraries, model_file, models, numbers, thresholds
from worker.child.assignment import Fewest
from worker.child.dataset import Dataset
from worker.child.measuring import measure, predict
from worker.child.resampling import blocks_of
from worker.child.task import LOADED, SCORED, Result, Task, load_rows, store_file
from worker.errors import JobError

FITTED = 0.85  # of the progress bar
WRITES = True


def run(task: Task) -> Result:
    """Fit, measure and write the model; the result is a row of ``ml_training_runs``.

    Raises:
        JobError: there are too few rows, or one class only.
        OSError: the file cannot be written.
    """
    (model,) = task.assignment.models
    params = fitting.parse_params(model.params)
    rows = load_rows(task, [model], "TO_TRAIN", stay_connected=True)
    seconds_loading = task.seconds
    _require_both_classes(rows, model.fewest)
    parts = holdout.split(rows, model.test_size, model.random_state, model.label.reach, model.fewest.coins)
    if model.threshold is None:
        parts = holdout.set_aside(rows, parts, thresholds.SHARE, model.random_state, model.label.reach)
    rows.reorder(parts.order)
    fitted, aside = parts.num_fitted, parts.num_fitted + parts.num_set_aside
    set_aside, held_out = slice(fitted, aside), slice(aside + parts.num_gap, None)
    features, labels = rows.features[:fitted], rows.labels[:fitted]
    _require_both_classes_to_fit(labels, parts, rows)
    if model.threshold is None:
        _require_both_classes_set_aside(rows.labels[set_aside], parts, task)
    _require_values_to_fit(features, parts, rows)

    started = time.monotonic()
    model_type = models.load(model.model_type)
    pipeline = model_type.make(params, model.random_state, task.threads)
    warnings = fitting.fit(
        model_type,
        pipeline,
        features,
        labels,
        lambda share, message: task.report(LOADED + (FITTED - LOADED) * share, message),
    )
    seconds_fitting = time.monotonic() - started

    threshold = model.threshold
    if threshold is None:
        chosen = thresholds.choose(
            task.assignment.request["threshold"],
            predict(pipeline, rows.features[set_aside]),
            rows.labels[set_aside],
        )
        threshold = chosen.threshold
        warnings += chosen.warnings
    task.report(FITTED, f"Measuring on {len(parts.held_out)} held-out rows")
    measured = measure(
        pipeline,
        rows.names,
        rows.features[held_out],
        rows.labels[held_out],
        model.random_state,
        blocks_of(rows.times[held_out], model.label.reach),
        threshold=threshold,
    )
    task.report(SCORED, "Writing the model file")
    found = models.numbers(model_type, pipeline)
    facts = None if found is None else numbers.facts(found, rows.names)
    if facts is None:
        why = "its type gives no numbers" if found is None else "it has too many numbers"
        warnings.append(f"ml.predict cannot be asked for this model: {why}")
    else:
        some = rows.features[held_out][numbers.sampled(len(rows.features[held_out]))]
        facts["ml_model_samples"] = numbers.samples(some, predict(pipeline, some))
    file = model_file.write(models.for_file(model_type, pipeline), rows.names, task.path)
    store_file(task, file)
    return (
        measured
        | (facts or {})
        | {
            "holdout": parts.kind,
            "num_coins": parts.num_coins,
            "num_fitted": len(labels),
            "num_fitted_positive": int(labels.sum()),
            "num_gap": parts.num_gap,
            "num_set_aside": parts.num_set_aside,
            "num_set_aside_positive": int(rows.labels[set_aside].sum()),
            **rows.without_label,
            "artifact_path": str(file.path),
            "artifact_sha256": file.sha256,
            "artifact_bytes": file.num_bytes,
            "data_fingerprint": rows.fingerprint,
            "library_versions_csv": libraries.to_csv(),
            "engine": model_type.engine(pipeline[-1]),
            "seconds_loading": seconds_loading,
            "seconds_fitting": round(seconds_fitting, 3),
            "warnings": "; ".join(warnings) or None,
        }
    )


def _require_both_classes(rows: Dataset, fewest: Fewest) -> None:
    total, positive = len(rows), rows.num_positive
    if total < fewest.rows or min(positive, total - positive) < fewest.of_a_class:
        raise JobError(
            f"too little to learn from: {total} labelled rows, {positive} positive and {total - positive} "
            f"negative; needed are {fewest.rows} rows and {fewest.of_a_class} of each class. "
            "Choose a longer period or another threshold"
        )


def _require_both_classes_to_fit(labels: NDArray[np.uint8], parts: holdout.Holdout, rows: Dataset) -> None:
    positive = int(labels.sum())
    if not 0 < positive < len(labels):
        raise JobError(
            f"one class only is left to learn from: of {len(rows)} labelled rows "
            f"({rows.num_positive} positive), {len(parts.held_out)} are held out and {parts.num_gap} lie "
            f"in the gap before them; {_said_of_set_aside(parts)}of the other {len(labels)}, {positive} are "
            "positive. Choose a longer period or another threshold"
        )


def _said_of_set_aside(parts: holdout.Holdout) -> str:
    return f"{parts.num_set_aside} are set aside for train_threshold; " if parts.num_set_aside else ""


def _require_both_classes_set_aside(labels: NDArray[np.uint8], parts: holdout.Holdout, task: Task) -> None:
    (model,) = task.assignment.models
    positive, needed = int(labels.sum()), model.fewest.of_a_class
    if min(positive, len(labels) - positive) < needed:
        raise JobError(
            f"train_threshold {task.assignment.request['threshold']} cannot be chosen: of the "
            f"{parts.num_fitted + len(labels)} rows that are not held out, {len(labels)} are set aside, "
            f"{positive} of them positive and {len(labels) - positive} negative; needed are {needed} of each "
            "class. Choose a longer period, a smaller train_test_size, or give train_threshold as a number"
        )


def _require_values_to_fit(features: NDArray[np.float32], parts: holdout.Holdout, rows: Dataset) -> None:
    for name, column in zip(rows.names, features.T, strict=True):
        if np.isnan(column).all():
            raise JobError(
                f"the feature {name} has no value in any of the {len(features)} rows to learn from; "
                f"all its values are in the {len(parts.held_out)} held-out rows. "
                "Leave it out, or choose another period"
            )
