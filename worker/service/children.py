"""The child processes: starts them ahead of their jobs, reads what they say, and ends them.

A child is forked from a fork server, which has imported all that a job needs; where there is none, each child
imports that itself.
"""

import logging
import multiprocessing
import os
import selectors
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess

from worker.child import process
from worker.protocol import Message, Order, Ready, Unable, read_message, to_line
from worker.service.pauses import Pause

log = logging.getLogger("ml-worker")

# worker.commands.cli is for what a child runs as its main module.
PRELOAD = ["worker.child.ready", "worker.commands.cli"]
# For libraries that read them when they are loaded; whoever starts the worker may set others.
ENVIRONMENT = {
    # How long a thread of OpenMP keeps a core while it waits for another: by default so long that a fit takes
    # ten times as long where another process wants the core.
    "GOMP_SPINCOUNT": "1000",
    # Large arrays go back to the system as soon as they are let go of, instead of into a heap full of holes.
    "MALLOC_MMAP_THRESHOLD_": str(1 << 23),
    # But not the others, for each of which the system would have to clear the memory anew.
    "MALLOC_TRIM_THRESHOLD_": str(1 << 25),
    # No pool of threads is made at the import, which a fork would lose; jobs use one thread here anyway.
    "OPENBLAS_NUM_THREADS": "1",
    # Nor a thread for the memory of pyarrow, which pandas imports where it is installed.
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}


def _context() -> ForkServerContext | SpawnContext:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    return context


@dataclass(eq=False)
class Child:
    """A child process, and the channel to it; whether it waits for its order, or why it cannot."""

    process: BaseProcess
    channel: socket.socket
    is_ready: bool = False
    lacks: str | None = None

    @property
    def pid(self) -> int:
        """Its process id, and the number of its process group."""
        assert self.process.pid is not None  # noqa: S101  # it was started
        return self.process.pid


@dataclass
class Children:
    """Children that wait for a job, and the ears for all.

    Attributes:
        url: where the database is.
        worker_id: for the log.
        selector: calls back when a child has said something.
        hear: is told what a child says.
        ended: is told how a child ended that no longer waited.
        ready: is told what a child says that waits for its order from now on.
        warm: children that wait, or will once they are ready.
        trouble: why the last that was started is not ready; None if it is.
        pause: until the next is started after one that could not.
    """

    url: str
    worker_id: str
    selector: selectors.BaseSelector
    hear: Callable[[Child, Message], None]
    ended: Callable[[Child, str], None]
    ready: Callable[[Ready], None]
    warm: list[Child] = field(default_factory=list)
    trouble: str | None = None
    pause: Pause = field(default_factory=Pause)

    def __post_init__(self) -> None:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        self._context = _context()
        self._older: set[int] = set()  # process ids of children that are older than the connection

    def warm_up(self, number: int) -> None:
        """Start children until so many wait. The first waits for the imports of the fork server.

        After one that could not get ready it is one at a time, each a trial.
        """
        if not self.pause.is_over:
            return
        if self.trouble:
            number = min(number, 1 + sum(child.is_ready for child in self.warm))
        while len(self.warm) < number:
            ours, theirs = socket.socketpair()
            child = Child(
                self._context.Process(target=process.run, args=(theirs, os.getpid(), self.url), daemon=True),
                ours,
            )
            try:
                child.process.start()
            except (EOFError, OSError) as error:
                # The fork server ended meanwhile; the next start makes another.
                ours.close()
                log.error("worker=%s no child could be started: %r", self.worker_id, error)
                self._fail(f"no process could be started for a job: {error}")
                return
            finally:
                theirs.close()
            self.warm.append(child)
            self.selector.register(ours, selectors.EVENT_READ, self._reader(child))

    @property
    def has_ready(self) -> bool:
        """Whether a child waits for its order."""
        return any(child.is_ready for child in self.warm)

    def take(self) -> tuple[Child, bool]:
        """A child that is ready, and whether the connection has changed since it was started."""
        child = next(child for child in self.warm if child.is_ready)
        self.warm.remove(child)
        return child, child.pid in self._older

    def distrust(self, reason: str) -> None:
        """One has found, with its job, that none could get ready now: those that wait are of no use."""
        for child in self.warm:
            child.lacks, child.is_ready = reason, False
            kill(child)  # its end is read from its channel
        self._fail(reason)

    def note_new_connection(self) -> None:
        """What waits now is older than the supervisor's connection; what could not connect may now."""
        self._older = {child.pid for child in self.warm}
        self.trouble = None
        self.pause.end()

    def _reader(self, child: Child) -> Callable[[], None]:
        buffer = bytearray()

        def read() -> None:
            try:
                data = child.channel.recv(1 << 16)
            except ConnectionResetError:  # it ended without having read its order
                data = b""
            if not data:
                self.selector.unregister(child.channel)
                child.channel.close()
                self._note_end(child)
                return
            buffer.extend(data)
            if b"\n" not in data:  # a large model comes in thousands of parts
                return
            *lines, rest = buffer.split(b"\n")
            buffer[:] = rest
            for line in lines:
                self._hear(child, read_message(bytes(line)))

        return read

    def _hear(self, child: Child, message: Message) -> None:
        if isinstance(message, Ready):
            child.is_ready = True
            self.trouble = None
            self.pause.end()
            self.ready(message)
        elif isinstance(message, Unable) and child in self.warm:
            child.lacks, child.is_ready = message.message, False
        else:
            self.hear(child, message)

    def _fail(self, reason: str) -> None:
        self.trouble = reason
        self.pause.lengthen()

    def _note_end(self, child: Child) -> None:
        how = _in_words(kill(child))  # what it started ends with it, however it ended
        if child in self.warm:
            self.warm.remove(child)
            if child.lacks is None:
                log.error(
                    "worker=%s child pid=%s ended before it had a job: %s", self.worker_id, child.pid, how
                )
            if self.pause.is_over:  # not once for each that ends for the same reason
                self._fail(child.lacks or f"the process for a job {how} before it had one")
        else:
            self.ended(child, how)


def give(child: Child, order: Order) -> None:
    """Tell a child its job. If it has ended, that is read from its channel."""
    with suppress(ConnectionError):
        child.channel.sendall(to_line(order))


def kill(child: Child) -> int:
    """End a child and all its descendants: they share its process group. Returns the child's exit code."""
    if child.process.exitcode is None:
        child.process.kill()  # it may not have a process group yet
    # Also where it has ended: its descendants may not have.
    with suppress(ProcessLookupError, PermissionError):  # macOS forbids it for a group of zombies
        os.killpg(child.pid, signal.SIGKILL)
    child.process.join()
    assert child.process.exitcode is not None  # noqa: S101  # joined
    return child.process.exitcode


def _in_words(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
