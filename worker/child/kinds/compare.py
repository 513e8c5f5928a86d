"""COMPARE: scores two models on the very same rows."""

import time
from dataclasses import asdict

from worker.child import measuring
from worker.child.task import LOADED, SCORED, Result, Task, load_rows, read_models


def run(task: Task) -> Result:
    """Score each model on the features that it was fitted on.

    The result is a row of ``ml_comparisons``.
    """
    models = task.assignment.models
    pipelines, note = read_models(task)
    rows = load_rows(task, models, "TO_PREDICT")
    seconds_loading, started = task.seconds, time.monotonic()
    result: Result = {"num_samples": len(rows)}
    for number, (side, model, pipeline) in enumerate(zip("ab", models, pipelines, strict=True)):
        share = LOADED + (SCORED - LOADED) * number / len(models)
        task.report(share, f"Scoring {len(rows)} rows by model {model.id}")
        columns = [rows.names.index(feature) for feature in model.features]
        is_whole = columns == list(range(len(rows.names)))
        features = rows.features if is_whole else rows.features[:, columns]
        score = measuring.score(measuring.predict(pipeline, features), rows.labels)
        result |= {f"{side}_{name}": value for name, value in asdict(score).items()}
    return result | {
        **rows.without_label,
        "data_fingerprint": rows.fingerprint,
        "note": note,
        "seconds_loading": seconds_loading,
        "seconds_scoring": round(time.monotonic() - started, 3),
    }
