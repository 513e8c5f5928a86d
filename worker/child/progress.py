"""How a job says how far it is."""

import math
import time
from collections.abc import Callable

Report = Callable[[float, str], None]  # takes a share and words

_SECONDS = 0.1


def seldom(report: Report) -> Report:
    """Passes on some reports a second and drops the others: each would take child and supervisor time."""
    next_at = 0.0  # monotonic time

    def tell(share: float, message: str) -> None:
        nonlocal next_at
        if time.monotonic() >= next_at:
            report(share, message)
            next_at = time.monotonic() + _SECONDS

    return tell


def share_of_limit(done: float, limit: int) -> float:
    """Share of the bar where a fit has a limit of rounds, but mostly converges long before.

    By the logarithm: the first rounds are seen, though the limit may be far away, and the limit is 1.
    """
    return min(1.0, math.log1p(done) / math.log1p(limit))
