"""TEST: measures a model on all rows of a period."""

import time

import numpy as np

from worker.child import baselines, models, parts
from worker.child.concurrency import beside_main
from worker.child.found import of_answers, of_rows
from worker.child.measuring import measure, predict
from worker.child.resampling import blocks_of
from worker.child.task import LOADED, Result, Task, load_rows, read_models, read_trained


def run(task: Task) -> Result:
    """Measure the model; the result is a row of ``ml_test_results``."""
    (model,) = task.assignment.models
    (pipeline,), note = read_models(task)
    trained = read_trained(task)
    rows = load_rows(task, [model], "TO_PREDICT")
    seconds_loading, started = task.seconds, time.monotonic()
    task.report(LOADED, f"Scoring {len(rows)} rows")
    blocks = blocks_of(rows.times, model.label.reach)
    probabilities = predict(pipeline, rows.features)
    with beside_main(task.threads, len(rows)) as pool:
        answers = pool.submit(
            lambda: of_answers(rows, model, trained[model.id], probabilities, of_rows(rows, model))
        )
        beside = pool.submit(
            baselines.beside,
            rows,
            model.label,
            model.fitted,
            blocks,
            probabilities > model.ready_threshold,
            threshold=model.ready_threshold,
        )
        order = np.argsort(probabilities)  # once: of many rows it takes long
        by_part = pool.submit(parts.facts, rows, probabilities, order, model.ready_threshold)
        measured = measure(
            models.ranking(models.load(model.model_type), pipeline),
            rows.names,
            rows.features,
            rows.labels,
            model.random_state,
            probabilities=probabilities,
            blocks=blocks,
            pool=pool,
            threshold=model.ready_threshold,
            order=order,
        )
    return (
        measured
        | beside.result()
        | by_part.result()
        | answers.result()
        | {
            **rows.without_label,
            "data_fingerprint": rows.fingerprint,
            "note": note,
            "seconds_loading": seconds_loading,
            "seconds_scoring": round(time.monotonic() - started, 3),
        }
    )
