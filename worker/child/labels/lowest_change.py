"""The least value of the target on the way to the horizon, as a change from the row's own value, in percent.

The goals are the own values changed by so many percent, so that it is read as ``lowest`` is.
"""

from worker.child.labels.lowest import BYTES, CERTAIN, COMPARED_BY_SERVER, PERSISTS, read

__all__ = ["BYTES", "CERTAIN", "COMPARED_BY_SERVER", "PERSISTS", "read"]
