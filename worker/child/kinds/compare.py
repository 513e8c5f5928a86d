"""COMPARE: scores two models on the very same rows."""

import time
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from worker.child import baselines, intervals, measuring, resampling
from worker.child.assignment import Model
from worker.child.baselines import Baseline
from worker.child.concurrency import beside_main
from worker.child.dataset import Dataset
from worker.child.found import of_answers, of_rows
from worker.child.resampling import Blocks, Measured
from worker.child.task import LOADED, SCORED, Result, Task, load_rows, read_models, read_trained


def run(task: Task) -> Result:
    """Score each model on the features that it was fitted on, and resample both alike.

    The result is a row of ``ml_comparisons``.
    """
    models = task.assignment.models
    pipelines, note = read_models(task)
    trained = read_trained(task)
    rows = load_rows(task, models, "TO_PREDICT")
    seconds_loading, started = task.seconds, time.monotonic()
    shared = baselines.of_rows(rows, models[0].label)
    blocks = resampling.blocks_of(rows.times, models[0].label.reach)
    scored, beside, found = [], [], []
    with beside_main(task.threads, len(rows)) as pool:
        about_rows = pool.submit(of_rows, rows, models[0])
        for place, (model, pipeline) in enumerate(zip(models, pipelines, strict=True)):
            share = LOADED + (SCORED - LOADED) * place / len(models)
            task.report(share, f"Scoring {len(rows)} rows by model {model.id}")
            columns = [rows.names.index(feature) for feature in model.features]
            is_whole = columns == list(range(len(rows.names)))
            features = rows.features if is_whole else rows.features[:, columns]
            probabilities = measuring.predict(pipeline, features)
            scored.append(pool.submit(_score, rows, model, probabilities, blocks))
            beside.append(pool.submit(_beside, rows, model, place, probabilities, blocks, shared))
            about = about_rows.result()
            found.append(pool.submit(of_answers, rows, model, trained[model.id], probabilities, about))
    facts = [baseline.facts for baseline in shared]
    result: Result = {"num_samples": len(rows), "ml_baselines": facts}
    resampled = []
    for name, of_model, of_baselines in zip("ab", scored, beside, strict=True):
        told, measured = of_model.result()
        against, own = of_baselines.result()
        result |= {f"{name}_{column}": value for column, value in (told | against).items()}
        facts += [baseline.facts for baseline in own]
        resampled.append(measured)
    confidence = task.assignment.request.get("confidence")  # None: of a job of before version 8
    a, b = (each.result() for each in found)
    return (
        result
        | intervals.of_pair(blocks, resampled, confidence)
        | {table: a[table] + b[table] for table in a}
        | {
            **rows.without_label,
            "data_fingerprint": rows.fingerprint,
            "note": note,
            "seconds_loading": seconds_loading,
            "seconds_scoring": round(time.monotonic() - started, 3),
        }
    )


def _score(
    rows: Dataset, model: Model, probabilities: NDArray[np.float64], blocks: Blocks
) -> tuple[Result, Measured]:
    """What is told of one of the models, and its resampled answers."""
    scored = measuring.score(probabilities, rows.labels, model.ready_threshold)
    return asdict(scored), intervals.measure(blocks, rows.labels, measuring.side(probabilities, scored))


def _beside(  # noqa: PLR0917
    rows: Dataset,
    model: Model,
    place: int,
    probabilities: NDArray[np.float64],
    blocks: Blocks,
    shared: Sequence[Baseline],
) -> tuple[Result, list[Baseline]]:
    """How far it is above the best baseline, and the baselines of its own."""
    threshold = model.ready_threshold
    own = baselines.of_model(rows, model.fitted, place + 1, threshold=threshold)
    return baselines.against([*shared, *own], probabilities > threshold, rows.labels, blocks), own
