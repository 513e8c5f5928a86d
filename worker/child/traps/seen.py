"""A measurement apart for coins that a model was fitted on and for others."""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from worker.child.dataset import Dataset, some_of
from worker.child.traps.trap import MOST_ROWS, Floats, Trap, rarer, roc_area

_FEWEST_COINS, _FEWEST_ROWS = 10, 50  # of either kind, and of the rarer class, that are compared
_EXACT_ROWS = 200_000  # up to which a ROC AUC is of the very probabilities
_PROBABILITY_BINS = 1 << 20
_SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")


def seen_and_unseen(
    rows: Dataset, fitted: frozenset[bytes] | None, probabilities: Floats, threshold: float = 0.5
) -> list[dict[str, Any]]:
    """The measurement apart for coins that were fitted and others: rows of ``ml_seen_unseen``.

    Nothing where it is not known which were fitted, or where the source has no key.
    """
    if fitted is None or rows.coin_names == (b"",):
        return []
    is_fitted = np.array([name in fitted for name in rows.coin_names])
    is_seen = is_fitted[rows.coins]
    found = []
    for seen in (True, False):
        own = is_seen == seen
        size = int(np.count_nonzero(own))
        if size == 0:
            continue
        chances, labels = (
            (probabilities, rows.labels) if size == len(own) else (probabilities[own], rows.labels[own])
        )
        positive, predicted = labels == 1, chances > threshold
        tp = int(np.count_nonzero(positive & predicted))
        fp, fn = int(np.count_nonzero(predicted)) - tp, int(np.count_nonzero(positive)) - tp
        area = _area_of_probabilities(chances, positive)
        found.append(
            {
                "is_seen": seen,
                "num_coins": len(np.unique(rows.coins[own])) if size < len(own) else len(rows.coin_names),
                **{"tp": tp, "tn": size - tp - fp - fn, "fp": fp, "fn": fn},
                "roc_auc": area,
            }
        )
    return found


def _area_of_probabilities(chances: Floats, positive: NDArray[np.bool_]) -> float | None:
    """ROC AUC; of many rows by a million bins, which takes no sorting."""
    if not 0 < np.count_nonzero(positive) < len(positive):
        return None
    if len(chances) <= _EXACT_ROWS:
        return roc_area(chances, positive)
    bins = (chances * (_PROBABILITY_BINS - 1)).astype(np.int32)
    positives = np.bincount(bins[positive], minlength=_PROBABILITY_BINS)
    negatives = np.bincount(bins[~positive], minlength=_PROBABILITY_BINS)
    below = np.cumsum(negatives) - negatives / 2
    return float((positives * below).sum() / (positives.sum() * negatives.sum()))


def better_on_seen(
    rows: Dataset, fitted: frozenset[bytes] | None, probabilities: Floats, seed: int
) -> Iterator[Trap]:
    """ROC AUC that is higher on coins that were fitted than on others, by 0.05 and by three standard errors.

    Rows of one coin resemble each other, so the error is that of coins: Obuchowski, Nonparametric analysis of
    clustered ROC curve data, Biometrics 53 (1997).
    """
    if fitted is None or rows.coin_names == (b"",):
        return
    is_fitted = np.array([name in fitted for name in rows.coin_names])
    areas, variances = [], []
    for seen in (True, False):
        own = some_of(np.flatnonzero(is_fitted[rows.coins] == seen), MOST_ROWS, seed)
        coins, positive = rows.coins[own], rows.labels[own] == 1
        if len(np.unique(coins)) < _FEWEST_COINS or rarer(positive) < _FEWEST_ROWS:
            return
        area, variance = _clustered(probabilities[own], positive, coins)
        areas.append(area)
        variances.append(variance)
    seen_area, other_area = areas
    if seen_area - other_area >= max(0.05, 3 * sum(variances) ** 0.5):
        yield Trap(
            "seen_coins",
            "warning",
            f"ROC AUC is {seen_area:.3f} on coins that the model was fitted on, "
            f"and {other_area:.3f} on others",
            number=seen_area - other_area,
        )


def _clustered(scores: Floats, positive: NDArray[np.bool_], coins: NDArray[np.int32]) -> tuple[float, float]:
    """ROC AUC, and its variance by coins."""
    by_score = np.argsort(scores)
    above, below = by_score[positive[by_score]], by_score[~positive[by_score]]
    placed = np.empty(len(scores))
    for these, others in ((above, below), (below, above)):
        low, high = (np.searchsorted(scores[others], scores[these], side=side) for side in _SIDES)
        placed[these] = (low + high) / 2 / len(others)
    placed[~positive] = 1 - placed[~positive]
    area = float(placed[positive].mean())
    _, of_coin = np.unique(coins, return_inverse=True)
    number = int(of_coin.max()) + 1
    sums = []
    for own in (positive, ~positive):
        size = np.count_nonzero(own)
        sums.append(np.bincount(of_coin[own], weights=placed[own] - area, minlength=number) / size)
    total = sums[0] + sums[1]
    return area, float(number / max(number - 1, 1) * np.sum(total**2))
