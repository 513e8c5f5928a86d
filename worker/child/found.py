"""What a job that asks models finds out beside its result: warnings, shifts, coins that a model has seen."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.child import feature_stats, traps
from worker.child.assignment import Model
from worker.child.dataset import Dataset
from worker.child.task import Trained
from worker.child.traps import Trap


def of_rows(rows: Dataset, model: Model) -> list[Trap]:
    """What is wrong with labelled rows, whichever model is asked about them."""
    return traps.of_measurement(rows, model.label, model.random_state)


def of_answers(
    rows: Dataset,
    model: Model,
    trained: Trained,
    probabilities: NDArray[np.float64],
    about_rows: Sequence[Trap] = (),
) -> dict[str, list[dict[str, Any]]]:
    """Rows of ``ml_warnings``, ``ml_feature_shifts`` and, of labelled rows, ``ml_seen_unseen``.

    Args:
        rows: labelled, or all.
        model: that was asked.
        trained: what it was fitted on.
        probabilities: its answers.
        about_rows: what :func:`of_rows` has found.
    """
    bins = {name: bins for name, bins in trained.bins.items() if name in model.features}
    moved = feature_stats.shifts(bins, rows.names, rows.features, model.random_state)
    found = [*about_rows, *traps.degenerate(probabilities, model.ready_threshold), *traps.shifted(moved)]
    facts = {"ml_feature_shifts": [{"model_id": model.id, **row} for row in moved]}
    if len(rows.labels) == len(rows):
        apart = traps.seen_and_unseen(rows, trained.coins, probabilities, model.ready_threshold)
        facts["ml_seen_unseen"] = [{"model_id": model.id, **row} for row in apart]
        found += traps.better_on_seen(rows, trained.coins, probabilities, model.random_state)
    return facts | {"ml_warnings": traps.facts(found, model.id)}
