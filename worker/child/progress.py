"""How a job says how far it is."""

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
