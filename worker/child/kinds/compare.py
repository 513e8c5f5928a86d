"""COMPARE: scores two models on the very same rows."""

import time
from dataclasses import asdict

from worker.child import baselines, intervals, measuring, resampling
from worker.child.found import of_answers
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
    result: Result = {"num_samples": len(rows), "ml_baselines": [baseline.facts for baseline in shared]}
    blocks = resampling.blocks_of(rows.times, models[0].label.reach)
    sides, answers = [], {}
    for number, (side, model, pipeline) in enumerate(zip("ab", models, pipelines, strict=True)):
        share = LOADED + (SCORED - LOADED) * number / len(models)
        task.report(share, f"Scoring {len(rows)} rows by model {model.id}")
        columns = [rows.names.index(feature) for feature in model.features]
        is_whole = columns == list(range(len(rows.names)))
        features = rows.features if is_whole else rows.features[:, columns]
        answers[model.id] = probabilities = measuring.predict(pipeline, features)
        scored = measuring.score(probabilities, rows.labels, model.ready_threshold)
        sides.append(measuring.side(probabilities, scored))
        own = baselines.of_model(rows, model.fitted, number + 1, threshold=model.ready_threshold)
        result["ml_baselines"] += [baseline.facts for baseline in own]
        told = asdict(scored) | baselines.against(
            shared + own, probabilities > model.ready_threshold, rows.labels, blocks
        )
        result |= {f"{side}_{name}": value for name, value in told.items()}
    confidence = task.assignment.request.get("confidence")  # None: of a job of before version 8
    result |= intervals.of_pair(blocks, rows.labels, sides, confidence)
    return (
        result
        | of_answers(rows, models, trained, answers)
        | {
            **rows.without_label,
            "data_fingerprint": rows.fingerprint,
            "note": note,
            "seconds_loading": seconds_loading,
            "seconds_scoring": round(time.monotonic() - started, 3),
        }
    )
