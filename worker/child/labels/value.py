"""The label of a value: whether the target variable is above, below or equal to a threshold.

The server compares, and says so in each row: 1, 0, or -1 where the target is NULL. Without a horizon that is
the row's label. With a horizon of N minutes it is what the coin's first row between N and 2 N minutes later
says, whichever its phase; rows of other phases come along for that, and what they say is less by
``OTHER_PHASE``.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

OTHER_PHASE = 4
UNLABELLED = np.int8(-1)
_MINUTE = 60_000_000


@dataclass(frozen=True)
class Label:
    """The label ``target operator value``, read ``future_minutes`` ahead.

    ``target`` is a column of ``coin_metrics``; ``value`` is exact, as text where it comes as JSON;
    ``future_minutes`` is None where the label is read in the same row.
    """

    target: str
    operator: str
    value: Decimal | str
    future_minutes: int | None

    @property
    def reach(self) -> int:
        """Microseconds from a row to the latest moment that its label may be read at."""
        return 0 if self.future_minutes is None else 2 * self.future_minutes * _MINUTE


def is_chosen(says: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether rows are of the chosen phases."""
    return says >= UNLABELLED


def said(says: NDArray[np.int8]) -> NDArray[np.int8]:
    """What the target says in each row, whichever its phase: 1, 0 or -1."""
    return np.where(is_chosen(says), says, says + np.int8(OTHER_PHASE))


def read(times: NDArray[np.int64], says: NDArray[np.int8], label: Label) -> NDArray[np.int8]:
    """Labels of rows: 1, 0, or -1 where there is none.

    Args:
        times: microseconds, ascending; one coin's are behind those of the coin before, farther than
            ``label.reach``.
        says: what the rows' targets say.
        label: the label.
    """
    if label.future_minutes is None:
        return says
    ahead = _look_ahead(times, says, label.future_minutes * _MINUTE)
    return np.where(is_chosen(says), ahead, UNLABELLED)


def _look_ahead(times: NDArray[np.int64], says: NDArray[np.int8], horizon: int) -> NDArray[np.int8]:
    """What a coin's first row between one and two horizons after each says; -1 where there is none."""
    first = np.searchsorted(times, times + horizon)
    is_late = first == len(times)
    first[is_late] = 0
    is_late |= times[first] > times + 2 * horizon
    return np.where(is_late, UNLABELLED, said(says)[first])
