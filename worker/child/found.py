"""What a job that asks models finds out beside its result: warnings, shifts, coins that a model has seen."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.child import feature_stats, traps
from worker.child.assignment import Model
from worker.child.dataset import Dataset
from worker.child.task import Trained


def of_answers(
    rows: Dataset,
    models: Sequence[Model],
    trained: Mapping[int, Trained],
    answers: Mapping[int, NDArray[np.float64]],
) -> dict[str, list[dict[str, Any]]]:
    """Rows of ``ml_warnings``, ``ml_feature_shifts`` and, of labelled rows, ``ml_seen_unseen``.

    Args:
        rows: labelled, or all.
        models: that were asked.
        trained: what each was fitted on.
        answers: the probabilities that each gave.
    """
    warnings, shifts, seen = [], [], []
    is_labelled = len(rows.labels) == len(rows)
    about_rows = (
        list(traps.of_measurement(rows, models[0].label, models[0].random_state)) if is_labelled else []
    )
    for model in models:
        own, probabilities = trained[model.id], answers[model.id]
        found = [*about_rows, *traps.degenerate(probabilities, model.ready_threshold)]
        bins = {name: bins for name, bins in own.bins.items() if name in model.features}
        moved = feature_stats.shifts(bins, rows.names, rows.features, model.random_state)
        found += traps.shifted(moved)
        shifts += [{"model_id": model.id, **row} for row in moved]
        if is_labelled:
            apart = traps.seen_and_unseen(rows, own.coins, probabilities, model.ready_threshold)
            seen += [{"model_id": model.id, **row} for row in apart]
            found += traps.better_on_seen(rows, own.coins, probabilities, model.random_state)
        warnings += traps.facts(found, model.id)
    return {"ml_warnings": warnings, "ml_feature_shifts": shifts} | (
        {"ml_seen_unseen": seen} if is_labelled else {}
    )
