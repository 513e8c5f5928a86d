"""The change, in percent, from a row's own value to the coin's first row one to two horizons later."""

import numpy as np

from worker.child.labels._shared import Label, Rows, Says, compare

COMPARED_BY_SERVER = False
PERSISTS = "label"
BYTES = 60
CERTAIN: frozenset[str] = frozenset()


def read(label: Label, rows: Rows) -> Says:
    """Whether that row's target is beyond the goal, which is the own value changed by so many percent."""
    later = np.where(rows.is_covered, rows.targets[np.where(rows.is_covered, rows.later, 0)], np.nan)
    return compare(label, later, rows.goals)
