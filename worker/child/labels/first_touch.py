"""Whether the target reaches a goal on the way to the horizon before it reaches a stop on the other side.

The triple barrier of M. López de Prado, Advances in Financial Machine Learning (2018), chapter 3; a row that
touches neither in time is negative.
"""

import numpy as np

from worker.child.labels._shared import UNLABELLED, Label, Rows, Says, first_reaching

COMPARED_BY_SERVER = False
PERSISTS = "label"
BYTES = 400
CERTAIN = frozenset([">=", "<="])


def read(label: Label, rows: Rows) -> Says:
    """Whether the goal is reached first; what touches both at one moment counts as the stop."""
    _, end = rows.window
    reached = first_reaching(rows, rows.goals, label.direction)
    stopped = first_reaching(rows, rows.stops, -label.direction)
    last = len(rows.times) - 1
    is_first = (stopped == end) | (
        rows.times[np.minimum(reached, last)] < rows.times[np.minimum(stopped, last)]
    )
    return np.where(rows.has_value, (reached < end) & is_first, UNLABELLED)
