"""The greatest value of the target on the way to the horizon."""

from worker.child.labels._shared import Label, Rows, Says, compare, greatest

COMPARED_BY_SERVER = False
PERSISTS = "label"
BYTES = 120
CERTAIN = frozenset([">", ">="])


def read(label: Label, rows: Rows) -> Says:
    """Whether the greatest target of the window is beyond the goal."""
    return compare(label, greatest(rows), rows.goals)
