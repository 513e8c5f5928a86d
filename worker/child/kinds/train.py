"""TRAIN: fits a model on one part of the rows, measures it on the other, and writes its file."""

import time
from concurrent.futures import Executor

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from worker.child import (
    baselines,
    feature_stats,
    fitting,
    folds,
    holdout,
    libraries,
    model_file,
    models,
    numbers,
    thresholds,
    traps,
)
from worker.child.assignment import Fewest, Fitted, Model
from worker.child.concurrency import beside_main
from worker.child.dataset import Dataset
from worker.child.measuring import measure, predict
from worker.child.models._shared import Weights
from worker.child.progress import Report
from worker.child.ranking import Ranking
from worker.child.resampling import blocks_of
from worker.child.task import LOADED, SCORED, Result, Task, load_rows, rows_with_target, store_file
from worker.child.thresholds import Chosen
from worker.child.uniqueness import as_weights, uniqueness
from worker.errors import JobError

FITTED = 0.85  # of the progress bar
WRITES = True


def run(task: Task) -> Result:  # noqa: PLR0915  # step by step
    """Fit, measure and write the model; the result is a row of ``ml_training_runs``.

    Raises:
        JobError: there are too few rows, or one class only.
        OSError: the file cannot be written.
    """
    (model,) = task.assignment.models
    asked = task.assignment.request
    num_folds: int = asked["folds"] or 0  # NULL: older than the field
    is_weighted = asked["weights"] == "uniqueness"
    params = fitting.parse_params(model.params)
    targets = rows_with_target(task, model)
    rows = load_rows(
        task,
        [model],
        "TO_TRAIN",
        stay_connected=True,
        more=folds.BYTES * ((num_folds > 0) + is_weighted),
        times=max(1.0, folds.share_fitted(num_folds) / (1 - model.test_size)),
    )
    seconds_loading = task.seconds
    _require_both_classes(rows, model.fewest)
    parts = _split(task, rows)
    with beside_main(task.threads, len(rows)) as pool:
        found = traps.of_training(rows, parts, model.label, model.random_state, targets, pool)
    rows.reorder(parts.order)
    fitted = slice(parts.num_fitted)
    set_aside = slice(parts.num_fitted, parts.num_fitted + parts.num_set_aside)
    held_out = slice(set_aside.stop + parts.num_gap, None)
    features, labels = rows.features[fitted], rows.labels[fitted]
    num_fitted_positive, num_set_aside_positive = int(labels.sum()), int(rows.labels[set_aside].sum())
    _require_both_classes_to_fit(labels, parts, rows)
    if model.threshold is None:
        _require_both_classes_set_aside(rows.labels[set_aside], parts, task)
    _require_values_to_fit(features, parts, rows)

    model_type = models.load(model.model_type)

    def fit(
        features: NDArray[np.float32], labels: NDArray[np.uint8], weights: Weights, report: Report
    ) -> tuple[Pipeline, list[str]]:
        pipeline = model_type.make(params, model.random_state, task.threads)
        return pipeline, fitting.fit(model_type, pipeline, features, labels, report, weights=weights)

    # Of the bar each fit has a part as long as its rows are many.
    fitted_at = LOADED + (FITTED - LOADED) / (1 + folds.share_of_all(num_folds) / (1 - model.test_size))
    started = time.monotonic()
    unique = uniqueness(rows.coins[fitted], rows.times[fitted], model.label.horizon)
    with beside_main(task.threads, len(rows)) as pool:
        best = pool.submit(baselines.choose, rows.names, features, labels, model.random_state)
        pipeline, warnings = fit(
            features,
            labels,
            as_weights(unique) if is_weighted else None,
            lambda share, message: task.report(LOADED + (fitted_at - LOADED) * share, message),
        )
    seconds_fitting = time.monotonic() - started
    rule = best.result()
    known = Fitted(num_fitted_positive / len(labels), rule)

    given = model.threshold
    chosen = (
        Chosen(given, []) if given is not None else _choose_threshold(task, pipeline, rows.part(set_aside))
    )
    warnings += chosen.warnings
    task.report(fitted_at, f"Measuring on {len(parts.held_out)} held-out rows")
    measured_on = rows.part(held_out)
    probabilities = predict(pipeline, measured_on.features)
    with beside_main(task.threads, len(rows)) as pool:
        stats = pool.submit(feature_stats.describe, rows.names, rows.features, model.random_state)
        ranking = models.ranking(model_type, pipeline)
        measured = _measure(model, ranking, measured_on, known, probabilities, chosen.threshold, pool)
    found += [traps.Trap("fit", "warning", warning[:2000]) for warning in warnings]
    found += [*traps.degenerate(probabilities, chosen.threshold), *traps.constant(stats.result())]
    task.report(SCORED if num_folds == 0 else fitted_at, "Writing the model file")
    facts, not_in_sql = _numbers(model_type, pipeline, measured_on)
    found += not_in_sql
    coins = [rows.coin_names[coin].decode() for coin in np.unique(rows.coins[: set_aside.stop])]
    file = model_file.write(models.for_file(model_type, pipeline), rows.names, task.path)
    store_file(task, file)
    engine = model_type.engine(pipeline[-1])
    if num_folds > 0:
        del pipeline  # that of a fold may need its room
        rows.reorder(folds.order(rows))
        measured["ml_folds"] = folds.measure(
            rows,
            folds.cut(rows.times, num_folds, model.label.reach),
            lambda *given: fit(*given)[0],
            horizon=model.label.horizon if is_weighted else None,
            choosing=folds.Choosing(model.threshold, asked["threshold"], model.label.reach),
            period=task.assignment.period,
            report=lambda share, message: task.report(fitted_at + (SCORED - fitted_at) * share, message),
        )
    return (
        measured
        | facts
        | {
            "ml_warnings": traps.facts(found, model.id),
            "ml_feature_stats": stats.result(),
            "ml_fitted_coins": [{"num_coins": len(coins), "keys": coins}],
            "holdout": parts.kind,
            "num_coins": parts.num_coins,
            "num_fitted": parts.num_fitted,
            "num_fitted_positive": num_fitted_positive,
            "num_gap": parts.num_gap,
            "num_set_aside": parts.num_set_aside,
            "num_set_aside_positive": num_set_aside_positive,
            "baseline_feature": rule and rule.feature,
            "baseline_direction": rule and rule.direction,
            "baseline_threshold": rule and rule.threshold,
            **rows.without_label,
            "artifact_path": str(file.path),
            "artifact_sha256": file.sha256,
            "artifact_bytes": file.num_bytes,
            "data_fingerprint": rows.fingerprint,
            "library_versions_csv": libraries.to_csv(),
            "engine": engine,
            "seconds_loading": seconds_loading,
            "seconds_fitting": round(seconds_fitting, 3),
            "mean_uniqueness": float(unique.mean(dtype=np.float64)),
            "warnings": traps.text(found),
        }
    )


def _split(task: Task, rows: Dataset) -> holdout.Holdout:
    """Which rows are fitted, held out, and set aside to choose the threshold on."""
    (model,) = task.assignment.models
    kind: holdout.Kind = task.assignment.request["split"] or "coins"  # NULL: older than the field
    reach = model.label.reach
    parts = holdout.split(rows, model.test_size, model.random_state, reach, model.fewest.coins, kind=kind)
    _require_coins(parts, kind, model.fewest)
    if model.threshold is None:
        parts = holdout.set_aside(rows, parts, thresholds.SHARE, model.random_state, reach)
    return parts


def _choose_threshold(task: Task, pipeline: Pipeline, rows: Dataset) -> Chosen:
    """Where the model says yes, by what the job asks for, on rows that were neither fitted nor measured."""
    return thresholds.choose(
        task.assignment.request["threshold"], predict(pipeline, rows.features), rows.labels
    )


def _measure(  # noqa: PLR0917
    model: Model,
    ranking: Pipeline | Ranking,
    rows: Dataset,
    fitted: Fitted,
    probabilities: NDArray[np.float64],
    threshold: float,
    pool: Executor,
) -> Result:
    """What is told of the model on held-out rows, and of its baselines beside it."""
    blocks = blocks_of(rows.times, model.label.reach)
    beside = pool.submit(
        baselines.beside, rows, model.label, fitted, blocks, probabilities > threshold, threshold=threshold
    )
    measured = measure(
        ranking,
        rows.names,
        rows.features,
        rows.labels,
        model.random_state,
        probabilities=probabilities,
        blocks=blocks,
        pool=pool,
        threshold=threshold,
    )
    return measured | beside.result()


def _numbers(
    model_type: models.ModelType, pipeline: Pipeline, rows: Dataset
) -> tuple[Result, list[traps.Trap]]:
    """The numbers by which the database answers for the model, and some answers of it on these rows.

    Returns:
        The facts, and why there are none.
    """
    told = models.numbers(model_type, pipeline)
    facts = None if told is None else numbers.facts(told, rows.names)
    if facts is None:
        why = "its type gives no numbers" if told is None else "it has too many numbers"
        return {}, [traps.Trap("not_in_sql", "info", f"ml.predict cannot be asked for this model: {why}")]
    some = rows.features[numbers.sampled(len(rows))]
    return facts | {"ml_model_samples": numbers.samples(some, predict(pipeline, some))}, []


def _require_both_classes(rows: Dataset, fewest: Fewest) -> None:
    total, positive = len(rows), rows.num_positive
    if total < fewest.rows or min(positive, total - positive) < fewest.of_a_class:
        raise JobError(
            f"too little to learn from: {total} labelled rows, {positive} positive and {total - positive} "
            f"negative; needed are {fewest.rows} rows and {fewest.of_a_class} of each class. "
            "Choose a longer period or another threshold"
        )


def _require_coins(parts: holdout.Holdout, asked: holdout.Kind, fewest: Fewest) -> None:
    if asked == "coins_and_time" and (parts.kind != asked or len(parts.held_out) == 0):
        raise JobError(
            "there are too few coins to hold out later rows of some that are not fitted, as train_split "
            f"coins_and_time asks: {parts.num_coins} have labelled rows, needed are {fewest.coins}, and one "
            "at least with later rows. Choose a longer period, or train_split time"
        )


def _require_both_classes_to_fit(labels: NDArray[np.uint8], parts: holdout.Holdout, rows: Dataset) -> None:
    positive = int(labels.sum())
    if not 0 < positive < len(labels):
        raise JobError(
            f"one class only is left to learn from: of {len(rows)} labelled rows "
            f"({rows.num_positive} positive), {len(parts.held_out)} are held out and {parts.num_gap} "
            f"are in neither part; {_said_of_set_aside(parts)}of the other {len(labels)}, {positive} are "
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
