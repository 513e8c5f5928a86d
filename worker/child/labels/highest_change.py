"""The greatest value of the target on the way to the horizon, as a change in percent from the own value.

The goals are the own values changed by so many percent, so that it is read as ``highest`` is.
"""

from worker.child.labels.highest import BYTES, CERTAIN, COMPARED_BY_SERVER, PERSISTS, read

__all__ = ["BYTES", "CERTAIN", "COMPARED_BY_SERVER", "PERSISTS", "read"]
