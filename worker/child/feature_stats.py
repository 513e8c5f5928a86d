"""How the features of a fit were distributed, and how far those of later rows are from that.

The population stability index compares shares in the same bins: Siddiqi, Credit Risk Scorecards (2006). What
samples of one distribution give by chance: Yurdakul, Statistical Properties of Population Stability Index
(2018).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.child.dataset import some_of

MOST_ROWS = 20_000  # that deciles and bins are of
LARGE_SHIFT = 0.25
_NORMAL = 3.0902  # its 0.999 quantile


@dataclass(frozen=True)
class Bins:
    """How a feature was distributed: nine deciles, None where it had no value, and the rows of each bin.

    A bin goes from a decile on to below the next; the eleventh count is of NULL.
    """

    deciles: tuple[float, ...] | None
    counts: tuple[int, ...]


def sample(features: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """At most 20,000 rows, drawn by a seed."""
    if len(features) <= MOST_ROWS:
        return features
    some: NDArray[np.float32] = features[some_of(np.arange(len(features)), MOST_ROWS, seed)]
    return some


def describe(names: Sequence[str], features: NDArray[np.float32], seed: int) -> list[dict[str, Any]]:
    """Rows of ``ml_feature_stats``."""
    found = []
    for name, column, some in zip(names, features.T, sample(features, seed).T, strict=True):
        num_null, total = 0, float(column.sum(dtype=np.float64))
        if np.isnan(total):
            is_null = np.isnan(column)
            num_null = int(np.count_nonzero(is_null))
            total = float(np.where(is_null, 0, column).sum(dtype=np.float64))
        num_known = len(column) - num_null
        least, most = float(np.fmin.reduce(column)), float(np.fmax.reduce(column))
        bins = bin_by_deciles(some)
        found.append(
            {
                "feature": name,
                "num_rows": len(column),
                "num_null": num_null,
                "minimum": least if num_known else None,
                "maximum": most if num_known else None,
                # A sum of doubles is not exact.
                "mean": min(max(total / num_known, least), most) if num_known else None,
                **{f"d{place}": value for place, value in enumerate(bins.deciles or (), 1)},
                **{f"n{place}": number for place, number in enumerate(bins.counts[:10])},
                "n_null": bins.counts[10],
            }
        )
    return found


def bin_by_deciles(column: NDArray[np.float32]) -> Bins:
    """The deciles of a sample, and how many rows each bin has."""
    known = np.sort(column[~np.isnan(column)])
    if len(known) == 0:
        return Bins(None, (*[0] * 10, len(column)))
    deciles = known[(len(known) * np.arange(1, 10)) // 10]  # values that there are
    return Bins(tuple(map(float, deciles)), count(column, deciles))


def count(column: NDArray[np.float32], deciles: Sequence[float] | NDArray[Any] | None) -> tuple[int, ...]:
    """How many rows lie in each of the ten bins, and in NULL."""
    is_null = np.isnan(column)
    num_null = int(np.count_nonzero(is_null))
    if deciles is None:
        return (len(column) - num_null, *[0] * 9, num_null)
    places = np.searchsorted(np.asarray(deciles, np.float64), column[~is_null], side="right")
    return (*np.bincount(places, minlength=10).tolist(), num_null)


def stability_index(trained: Sequence[int], found: Sequence[int]) -> tuple[float, float]:
    """The index of two samples by the counts of their bins, and what chance exceeds once in a thousand.

    As ``ml_internal.stability_index``: half a row is added to each bin, so that an empty one is no infinity.
    """
    counts = np.array([trained, found], np.float64)
    counts = counts[:, counts.sum(axis=0) > 0]
    sizes = counts.sum(axis=1, keepdims=True)
    if counts.size == 0 or (sizes == 0).any():
        return 0.0, 0.0
    p, q = (counts + 0.5) / (sizes + 0.5 * counts.shape[1])
    freedom = max(counts.shape[1] - 1, 1)
    spread = 2 / (9 * freedom)
    quantile = freedom * (1 - spread + _NORMAL * spread**0.5) ** 3  # Wilson and Hilferty (1931)
    return float(np.sum((p - q) * np.log(p / q))), float((1 / sizes).sum() * quantile)


def shifts(
    trained: Mapping[str, Bins], names: Sequence[str], features: NDArray[np.float32], seed: int
) -> list[dict[str, Any]]:
    """How far features are from those of a fit: rows of ``ml_feature_shifts``, without their model.

    Args:
        trained: of the features of the model; without one nothing is told of it.
        names: of all features.
        features: shape (rows, features).
        seed: of the sample.
    """
    found = []
    some = sample(features, seed)
    for name, column in zip(names, some.T, strict=True):
        if name not in trained or len(column) == 0:
            continue
        bins = trained[name]
        counts = count(column, bins.deciles)
        index, chance = stability_index(bins.counts, counts)
        known = column[~np.isnan(column)]
        found.append(
            {
                "feature": name,
                "psi": index,
                "chance": chance,
                "num_rows": len(column),
                "null_share": counts[10] / len(column),
                "mean": float(known.mean(dtype=np.float64)) if len(known) else None,
            }
        )
    return found
