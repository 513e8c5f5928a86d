"""What a label is, and how kinds of label look ahead over the rows of many coins at once."""

from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Says = NDArray[np.int8]

UNLABELLED = np.int8(-1)
_MINUTE = 60_000_000
_COMPARE = {
    ">": np.greater,
    "<": np.less,
    ">=": np.greater_equal,
    "<=": np.less_equal,
    "=": np.equal,
    "!=": np.not_equal,
}


@dataclass(frozen=True)
class Label:
    """Which rows are positive, as ``ml_internal.describe_model`` tells it.

    ``target`` and ``base`` are columns of the source; ``value`` and ``stop_value`` are exact, as text
    where they come as JSON, and percents where there is a ``base`` to change from; ``future_minutes`` is the
    horizon, None where the label is read in the same row; ``uncovered`` says what becomes of rows whose coin
    stops: leave_out or negative.
    """

    target: str
    operator: str
    value: Decimal | str
    future_minutes: int | None
    kind: str = "value"
    base: str | None = None
    stop_value: Decimal | str | None = None
    uncovered: str | None = "leave_out"

    @property
    def horizon(self) -> int:
        """Microseconds to look ahead."""
        return (self.future_minutes or 0) * _MINUTE

    @property
    def reach(self) -> int:
        """Microseconds from a row to the latest moment that its label may depend on."""
        return 2 * self.horizon

    @property
    def has_state(self) -> bool:
        """Whether it compares a level later, which each row has now, too."""
        return self.future_minutes is not None and self.base is None

    @property
    def direction(self) -> int:
        """1 where the label is about rising, -1 where it is about falling."""
        return -1 if self.operator in ("<", "<=") else 1


@dataclass(frozen=True)
class Rows:
    """Rows of whole coins, by coin and time.

    Attributes:
        times: microseconds, ascending; a coin's are behind those of the coin before, farther than a label
            reaches.
        says: what the server says of each row's target: 1, 0, or -1 where that is NULL.
        targets: values of the target; NaN is NULL.
        goals: what the target is compared with for each row's label; NaN where there is no base for it.
        stops: what it must not reach before.
        horizon: microseconds to look ahead; 0: not at all.

    A kind of label has ``says``, or else the three others.
    """

    times: NDArray[np.int64]
    says: Says
    targets: NDArray[np.float64]
    goals: NDArray[np.float64]
    stops: NDArray[np.float64]
    horizon: int

    @cached_property
    def later(self) -> NDArray[np.intp]:
        """The first row at or after each one's horizon, of whichever coin; the number of rows: none."""
        return np.searchsorted(self.times, self.times + self.horizon)

    @cached_property
    def is_covered(self) -> NDArray[np.bool_]:
        """Whether a row's coin has a row between one and two horizons later."""
        if not self.horizon:
            return np.ones(len(self.times), bool)
        is_there = self.later < len(self.times)
        first = np.where(is_there, self.later, 0)
        return is_there & (self.times[first] <= self.times + 2 * self.horizon)

    @cached_property
    def window(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Where the rows later than each one, by at most the horizon, begin and end."""
        first = np.arange(1, len(self.times) + 1)
        if (self.times[1:] == self.times[:-1]).any():
            first = np.searchsorted(self.times, self.times, side="right")
        there = np.minimum(self.later, len(self.times) - 1)
        is_in_it = self.times[there] == self.times + self.horizon  # as are all rows of that moment
        return first, np.where(is_in_it, first[there], self.later)

    @cached_property
    def has_value(self) -> NDArray[np.bool_]:
        """Whether a row's window holds a value of the target."""
        first, end = self.window
        is_known = ~np.isnan(self.targets)
        if is_known.all():
            return end > first
        known = np.concatenate([[0], np.cumsum(is_known)])
        return known[end] > known[first]


def compare(label: Label, found: NDArray[np.float64], goals: NDArray[np.float64]) -> Says:
    """What ``found operator goal`` says: 1, 0, or -1 where nothing was found."""
    return np.where(np.isnan(found), UNLABELLED, _COMPARE[label.operator](found, goals))


def greatest(rows: Rows, sign: int = 1) -> NDArray[np.float64]:
    """The greatest target in each row's window, or with -1 the least; NaN where there is none."""
    first, end = rows.window
    levels = np.frexp((end - first).astype(np.float64))[1] - 1
    found = np.full(len(first), np.nan)
    table = _without_nan(sign * rows.targets)
    for level in range(int(levels.max(initial=-1)) + 1):
        size = 1 << level
        own = np.flatnonzero(levels == level)
        found[own] = np.maximum(table[first[own]], table[end[own] - size])
        table = np.maximum(table[:-size], table[size:])
    found[~rows.has_value] = np.nan
    return sign * found


def first_reaching(rows: Rows, goals: NDArray[np.float64], sign: int) -> NDArray[np.intp]:
    """The first row of each window whose target is at least the goal, or with -1 at most; its end: none is.

    Blocks of 2, 4, 8 … rows whose greatest does not reach it are passed over, the longest first.
    """
    first, end = rows.window
    goals = sign * goals
    tables = [_without_nan(sign * rows.targets)]
    longest = int((end - first).max(initial=0))
    while 2 << (len(tables) - 1) <= longest:
        size = 1 << (len(tables) - 1)
        tables.append(np.maximum(tables[-1][:-size], tables[-1][size:]))
    at = first.copy()
    for level in reversed(range(len(tables))):
        size = 1 << level
        own = np.flatnonzero(at + size <= end)
        own = own[tables[level][at[own]] < goals[own]]
        at[own] += size
    return at


def one_horizon_ago(rows: Rows, labels: Says) -> Says:
    """The label of each row's coin one horizon ago, as far as it is known now: 1, 0, or -1 where it is not.

    It is that of the last row at or before then, if its window is covered: by this row or one before it, so
    that nothing later is seen, and of the same coin: the rows of another lie farther away than it reaches.
    """
    # A row whose horizon ends at or before this row is one that was a horizon ago, or longer.
    ends = np.bincount(rows.later, minlength=len(rows.times) + 1)
    before = np.cumsum(ends)[:-1] - 1
    is_there = before >= 0
    before[~is_there] = 0
    return np.where(is_there & rows.is_covered[before], labels[before], UNLABELLED)


def _without_nan(values: NDArray[np.float64]) -> NDArray[Any]:
    return np.where(np.isnan(values), -np.inf, values)
