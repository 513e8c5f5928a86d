"""How much the labels of a coin overlap in time, and with it how much each row tells that others do not.

Two rows a minute apart whose labels look an hour ahead see mostly the same hour. The average uniqueness of a
label, M. López de Prado, Advances in Financial Machine Learning (2018), chapter 4, is the mean over its span
of 1 / (number of labels of the same coin that span that moment). The span is from the row to its horizon; it
counts by time, since rows need not come at equal distances. A label read in its row alone overlaps none.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_PART_ROWS = 1 << 16


def uniqueness(coins: NDArray[np.int32], times: NDArray[np.int64], horizon: int) -> NDArray[np.float32]:
    """Average uniqueness of each row's label, above 0 and at most 1.

    Args:
        coins: number of each row's coin, ascending.
        times: moments in microseconds, ascending within a coin.
        horizon: microseconds that a label looks ahead; 0: not at all.
    """
    found = np.ones(len(coins), np.float32)
    if horizon == 0 or len(coins) == 0:
        return found
    first = int(times.min())
    width = int(times.max()) - first + horizon + 1  # a coin's labels, put behind those of the coin before
    for start, end in _whole_coins(coins, (2**63 - 1) // width):
        own = np.concatenate([[0], np.cumsum(np.diff(coins[start:end]) != 0)])
        starts = times[start:end] - first + own * width
        found[start:end] = _of_part(starts, horizon)
    return found


def as_weights(found: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Weights of the rows for a fit, 1 on average; None where all are equal, which is no weighting."""
    if len(found) == 0 or found.min() == found.max():
        return None
    weights: NDArray[np.float32] = (found / found.mean(dtype=np.float64)).astype(np.float32)
    return weights


def _of_part(starts: NDArray[np.int64], horizon: int) -> NDArray[np.float64]:
    """Average uniqueness of labels that begin at these moments, ascending, and all last as long."""
    moments = np.concatenate([starts, starts + horizon])
    order = np.argsort(moments, kind="stable")
    spanning = np.cumsum(np.where(order < len(starts), 1, -1))[:-1]  # labels between two moments
    between = np.diff(moments[order])
    running = np.zeros(len(moments))
    running[order[1:]] = np.cumsum(between / np.maximum(spanning, 1) * (spanning > 0))
    return (running[len(starts) :] - running[: len(starts)]) / horizon


def _whole_coins(coins: NDArray[np.int32], most: int) -> Iterator[tuple[int, int]]:
    """Runs of rows of whole coins: about ``_PART_ROWS`` rows, and at most so many coins."""
    firsts = np.flatnonzero(np.diff(coins, prepend=coins[0] - 1))
    bounds = np.append(firsts, len(coins))
    at = 0
    while at < len(firsts):
        end = int(np.searchsorted(bounds, bounds[at] + _PART_ROWS, side="right")) - 1
        end = max(at + 1, min(end, at + most, len(firsts)))
        yield int(bounds[at]), int(bounds[end])
        at = end
