"""The child processes: starts them ahead of their jobs, reads what they say, and ends them."""

import logging
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO

from worker.protocol import Message, Order, read_message, to_line

log = logging.getLogger("ml-worker")

COMMAND = [sys.executable, "-m", "worker.child"]
# For libraries that read them when they are loaded; whoever starts the worker may set others.
ENVIRONMENT = {
    # How long a thread of OpenMP keeps a core while it waits for another: by default so long that a fit takes
    # ten times as long where another process wants the core.
    "GOMP_SPINCOUNT": "1000",
    # Arrays go back to the system as soon as they are let go of, instead of into a heap full of holes.
    "MALLOC_MMAP_THRESHOLD_": str(1 << 20),
}
RESTART_SECONDS = 1.0  # a child that cannot even start is not started in a busy loop

Child = subprocess.Popen[bytes]


@dataclass
class Children:
    """Children that wait for a job, and the ears for all.

    Attributes:
        url: where the database is.
        worker_id: for the log.
        selector: calls back when a child has said something.
        hear: is told what a child says.
        ended: is told how a child ended that no longer waited.
        warm: children that wait.
    """

    url: str
    worker_id: str
    selector: selectors.BaseSelector
    hear: Callable[[Child, Message], None]
    ended: Callable[[Child, str], None]
    warm: list[Child] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._not_before = 0.0  # monotonic time before which no child is started
        self._older: set[int] = set()  # process ids of children that are older than the connection

    def warm_up(self, number: int) -> None:
        """Start children until so many wait, imported and connected before a job comes."""
        if time.monotonic() < self._not_before:
            return
        while len(self.warm) < number:
            child = subprocess.Popen(
                [*COMMAND, str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=ENVIRONMENT | os.environ | {"DATABASE_URL": self.url},
                start_new_session=True,
            )
            self.warm.append(child)
            assert child.stdout is not None  # noqa: S101  # opened as a pipe
            self.selector.register(child.stdout, selectors.EVENT_READ, self._reader(child, child.stdout))

    def take(self) -> tuple[Child, bool]:
        """A child that waits, and whether the connection has changed since it was started."""
        child = self.warm.pop(0)
        return child, child.pid in self._older

    def note_new_connection(self) -> None:
        """What waits now is older than the supervisor's connection."""
        self._older = {child.pid for child in self.warm}

    def _reader(self, child: Child, stdout: IO[bytes]) -> Callable[[], None]:
        buffer = bytearray()

        def read() -> None:
            data = os.read(stdout.fileno(), 1 << 16)
            if not data:
                self.selector.unregister(stdout)
                stdout.close()
                self._note_end(child)
                return
            buffer.extend(data)
            *lines, rest = buffer.split(b"\n")
            buffer[:] = rest
            for line in lines:
                self.hear(child, read_message(bytes(line)))

        return read

    def _note_end(self, child: Child) -> None:
        how = _in_words(kill(child))  # what it started ends with it, however it ended
        if child in self.warm:
            self.warm.remove(child)
            log.error("worker=%s child pid=%s ended before it had a job: %s", self.worker_id, child.pid, how)
            self._not_before = time.monotonic() + RESTART_SECONDS
        else:
            self.ended(child, how)


def give(child: Child, order: Order) -> None:
    """Tell a child its job. If it has ended, that is read from its output."""
    assert child.stdin is not None  # noqa: S101  # opened as a pipe
    with suppress(BrokenPipeError):
        child.stdin.write(to_line(order))
        child.stdin.flush()


def kill(child: Child) -> int:
    """End a child and all its descendants: they share its process group. Returns the child's exit code."""
    if child.returncode is None:  # the number of a process that was waited for may be another's by now
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    return child.wait()


def _in_words(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
