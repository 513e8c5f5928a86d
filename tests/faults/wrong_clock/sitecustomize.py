"""Makes the clock of a Python process wrong: a module of this name is imported at its start.

WRONG_CLOCK is the error in seconds; with WRONG_CLOCK_JUMPS its sign changes every second. The class datetime
is left alone: compiled modules have its layout built in.
"""

import os
import sys
import time

ERROR = int(os.environ["WRONG_CLOCK"])
JUMPS = "WRONG_CLOCK_JUMPS" in os.environ
_time, _time_ns, _clock_gettime = time.time, time.time_ns, time.clock_gettime


def error() -> int:
    return -ERROR if JUMPS and int(time.monotonic()) % 2 else ERROR


time.time = lambda: _time() + error()
time.time_ns = lambda: _time_ns() + error() * 10**9
time.clock_gettime = lambda clock: _clock_gettime(clock) + (error() if clock == time.CLOCK_REALTIME else 0)
print(f"wrong clock: {' '.join(sys.orig_argv)}", file=sys.stderr, flush=True)  # noqa: T201
