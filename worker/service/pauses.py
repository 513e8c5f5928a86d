"""Growing pauses between trials of what failed."""

import random
import time
from dataclasses import dataclass

FIRST_SECONDS = 1.0


@dataclass
class Pause:
    """Until when nothing is tried; each failure makes it longer, up to a bound.

    Attributes:
        longest: seconds of the longest pause.
        failures: in a row.
        until: monotonic time of the next trial.
    """

    longest: float = 15.0
    failures: int = 0
    until: float = 0.0

    @property
    def is_over(self) -> bool:
        """Whether it is time for a trial."""
        return time.monotonic() >= self.until

    def lengthen(self) -> None:
        """Another trial has failed."""
        seconds = min(self.longest, FIRST_SECONDS * 2 ** min(self.failures, 10))
        self.until = time.monotonic() + random.uniform(0.75, 1) * seconds  # noqa: S311
        self.failures += 1

    def end(self) -> None:
        """A trial has succeeded."""
        self.failures, self.until = 0, 0.0
