"""Traps: what makes the figures of a job look better, or worse, than they are, found in its rows.

Each is told as a :class:`Trap`, which becomes a row of ``ml_warnings``; ``ref_warnings`` explains the codes.
What is found by trying is found on samples drawn by a seed; copies are looked for in all rows.
"""

from concurrent.futures import Executor

from worker.child.dataset import Dataset
from worker.child.holdout import Holdout
from worker.child.labels import Label
from worker.child.traps.answers import constant, degenerate, few_positives, one_class, shifted, without_label
from worker.child.traps.copies import feature_of_moment, moments_told, same_series
from worker.child.traps.leaks import tells_label, tells_target
from worker.child.traps.seen import better_on_seen, seen_and_unseen
from worker.child.traps.trap import Floats, Trap, facts, text

__all__ = [
    "Trap",
    "better_on_seen",
    "constant",
    "degenerate",
    "facts",
    "of_measurement",
    "of_training",
    "seen_and_unseen",
    "shifted",
    "text",
]


def of_training(  # noqa: PLR0917
    rows: Dataset, parts: Holdout, label: Label, seed: int, targets: Floats | None, pool: Executor
) -> list[Trap]:
    """What is wrong with the rows of a training, before they are reordered.

    Args:
        rows: by coin and time.
        parts: which are fitted, and which held out.
        label: what is to be learned.
        seed: of the samples.
        targets: without a horizon, the target and the features of some rows, one row each.
        pool: takes what can be done beside the rest.
    """
    of_target = pool.submit(lambda: list(tells_target(rows.names, targets)))
    of_label = pool.submit(
        lambda: list(tells_label(rows, seed, targets if label.future_minutes is None else None))
    )
    of_moments = moments_told(rows, seed)
    found = list(same_series(rows, of_moments, parts))
    return [
        *of_target.result(),
        *of_label.result(),
        *found,
        *feature_of_moment(rows.names, of_moments, parts.kind),
        *without_label(rows, label, seed),
        *few_positives(rows.labels[parts.fitted]),
    ]


def of_measurement(rows: Dataset, label: Label, seed: int) -> list[Trap]:
    """What is wrong with the labelled rows of a measurement, whichever model is measured."""
    return [
        *same_series(rows, moments_told(rows, seed)),
        *without_label(rows, label, seed),
        *one_class(rows.labels),
    ]
