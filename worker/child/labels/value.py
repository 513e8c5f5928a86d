"""The target itself, in the same row, or in the coin's first row between one and two horizons later.

The server compares, exactly, and says so in each row.
"""

import numpy as np

from worker.child.labels._shared import UNLABELLED, Label, Rows, Says

COMPARED_BY_SERVER = True
PERSISTS = "state"
BYTES = 0
CERTAIN: frozenset[str] = frozenset()


def read(label: Label, rows: Rows) -> Says:
    """What the row says that the label is read in."""
    if label.future_minutes is None:
        return rows.says
    return np.where(rows.is_covered, rows.says[np.where(rows.is_covered, rows.later, 0)], UNLABELLED)
