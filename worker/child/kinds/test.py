"""TEST: measures a model on all rows of a period."""

import time

from worker.child.measuring import measure
from worker.child.resampling import blocks_of
from worker.child.task import LOADED, Result, Task, load_rows, read_models


def run(task: Task) -> Result:
    """Measure the model; the result is a row of ``ml_test_results``."""
    (model,) = task.assignment.models
    (pipeline,), note = read_models(task)
    rows = load_rows(task, [model], "TO_PREDICT")
    seconds_loading, started = task.seconds, time.monotonic()
    task.report(LOADED, f"Scoring {len(rows)} rows")
    measured = measure(
        pipeline,
        rows.names,
        rows.features,
        rows.labels,
        model.random_state,
        blocks_of(rows.times, model.label.reach),
        threshold=model.ready_threshold,
    )
    return measured | {
        **rows.without_label,
        "data_fingerprint": rows.fingerprint,
        "note": note,
        "seconds_loading": seconds_loading,
        "seconds_scoring": round(time.monotonic() - started, 3),
    }
