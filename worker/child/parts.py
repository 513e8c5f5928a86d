"""A test by parts: what a model got right on each day and for each coin."""

from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.child.dataset import Dataset

MOST_DAYS = 10_000
MOST_COINS = 10_000  # the others are told of together
_DAY = 86_400_000_000  # microseconds
_FIRST_DAY = date(2000, 1, 1)


def facts(
    rows: Dataset, probabilities: NDArray[np.float64], order: NDArray[np.int64], threshold: float
) -> dict[str, Any]:
    """Rows of ``ml_test_day_counts`` and ``ml_test_coin_counts``.

    Args:
        rows: labelled rows.
        probabilities: shape (rows,).
        order: the rising one of the probabilities.
        threshold: rows with a greater probability are predicted positive.
    """
    # 0 to 3: true negative, false negative, false positive, true positive.
    found = 2 * (probabilities > threshold).astype(np.uint8) + rows.labels
    return {
        "ml_test_day_counts": _by_day(rows, found, probabilities, order),
        "ml_test_coin_counts": _by_coin(rows, found),
    }


def _by_day(
    rows: Dataset, found: NDArray[np.uint8], probabilities: NDArray[np.float64], order: NDArray[np.int64]
) -> list[dict[str, Any]]:
    """Days (UTC) in their order; none where there are very many."""
    days = rows.times // _DAY
    first = int(days.min())
    days -= first
    if int(days.max()) >= MOST_DAYS:
        numbers, days = np.unique(days, return_inverse=True)
        if len(numbers) > MOST_DAYS:
            return []
    else:
        numbers = np.arange(int(days.max()) + 1)
    counts = _count(days, found, len(numbers))
    areas = _roc_auc(days, rows.labels, probabilities, order, counts)
    return [
        {
            "day": (_FIRST_DAY + timedelta(days=first + int(numbers[place]))).isoformat(),
            **_named(counts[place]),
            "roc_auc": None if np.isnan(areas[place]) else float(areas[place]),
        }
        for place in np.flatnonzero(counts.any(axis=1)).tolist()
    ]


def _by_coin(rows: Dataset, found: NDArray[np.uint8]) -> list[dict[str, Any]]:
    """Coins, those with the most rows first, and at last those beyond the most, together."""
    counts = _count(rows.coins, found, len(rows.coin_names))
    sizes = counts.sum(axis=1)
    order = np.argsort(-sizes, kind="stable")
    order = order[sizes[order] > 0]
    told = [
        {"place": place, "key": rows.coin_names[coin].decode(), "num_coins": 1, **_named(counts[coin])}
        for place, coin in enumerate(order[:MOST_COINS].tolist())
    ]
    others = order[MOST_COINS:]
    if len(others):
        together = _named(counts[others].sum(axis=0))
        told.append({"place": MOST_COINS, "key": None, "num_coins": len(others), **together})
    return told


def _count(parts: NDArray[Any], found: NDArray[np.uint8], number: int) -> NDArray[np.int64]:
    """How often each was found in each part, shape (parts, 4)."""
    return np.bincount(4 * parts.astype(np.int64) + found, minlength=4 * number).reshape(number, 4)


def _named(counts: NDArray[np.int64]) -> dict[str, int]:
    tn, fn, fp, tp = counts.tolist()
    return {"tp": tp, "fp": fp, "tn": tn, "fn": fn}


def _roc_auc(
    days: NDArray[np.int64],
    labels: NDArray[np.uint8],
    probabilities: NDArray[np.float64],
    order: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Of each day, the share of pairs of a positive and a negative row where the first is likelier.

    A tie is half of one; NaN where there is no pair.
    """
    order = order[np.argsort(days[order].astype(np.uint16), kind="stable")]  # which is quick for 16 bits
    day, probability = days[order], probabilities[order]
    starts = np.flatnonzero(np.append(True, (day[1:] != day[:-1]) | (probability[1:] != probability[:-1])))
    positive = np.add.reduceat(labels[order].astype(np.int64), starts)
    negative = np.diff(starts, append=len(order)) - positive
    of_day = counts[:, [0, 2]].sum(axis=1)
    before_day = np.cumsum(of_day) - of_day
    below = np.cumsum(negative) - negative - before_day[day[starts]]
    won = np.bincount(day[starts], weights=positive * (below + negative / 2), minlength=len(counts))
    pairs = of_day * counts[:, [1, 3]].sum(axis=1)
    areas: NDArray[np.float64] = np.divide(won, pairs, out=np.full(len(counts), np.nan), where=pairs > 0)
    return areas
