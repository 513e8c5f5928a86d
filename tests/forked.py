"""Workers that are forked from a process which has imported all that they need.

The imports of a fork server take more of a processor than all that the worker of most tests does. Here
``python -m tests.forked`` does them once, and forks each worker, as well as the process that becomes its fork
server once the worker wants one: the processes, and who is whose child, are those of an operator's worker.
Tests of how a process starts, or of what it is called, start theirs as an operator does.
"""

import fcntl
import json
import os
import runpy
import select
import selectors
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import util
from pathlib import Path
from typing import Any

from worker.service.children import PRELOAD

_LONGEST = 1 << 17  # of an order: an environment
_HIGH = 200  # numbers of files from here on are free


@dataclass(eq=False)
class Forked:
    """A process that another one has started, used as a ``subprocess.Popen``."""

    pid: int
    program: str
    status: int  # is read for its exit code
    returncode: int | None = None

    def poll(self) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self.status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.program, timeout or 0)
            self.returncode = int(_line(self.status))
            os.close(self.status)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The process that has imported everything; it ends with the block, those that it forked do not."""

    def __init__(self, **environment: str) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.forked", str(theirs.fileno())],
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def __enter__(self) -> "Nursery":
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()
        self.process.wait(60)

    def start(
        self,
        program: str,
        args: Sequence[str],
        environment: dict[str, str],
        stderr: int,
        own_session: bool = False,
    ) -> Forked:
        """Start ``python -m PROGRAM ARG…`` with this environment, if need be in a session of its own."""
        read, write = os.pipe()
        order = [program, *args], environment, str(Path.cwd()), own_session
        socket.send_fds(self._channel, [json.dumps(order).encode()], [stderr, write])
        os.close(write)
        return Forked(int(_line(read)), program, read)


def _line(file: int) -> str:
    found = b""
    while not found.endswith(b"\n"):
        data = os.read(file, 1)
        if not data:
            raise EOFError("the process that starts others has ended")
        found += data
    return found.decode()


# ── In the process that has imported everything ─────────────────────────────────────────────────────


def serve(channel: socket.socket) -> list[str]:
    """Fork what is asked for; returns in each process that was forked, with what it is to run."""
    started: dict[int, tuple[int, int]] = {}  # by what tells of its end: its process id, and who asks
    selector = selectors.DefaultSelector()
    selector.register(channel, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fd in started:
                selector.unregister(key.fd)
                os.close(key.fd)
                pid, status = started.pop(key.fd)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                with suppress(BrokenPipeError):
                    os.write(status, f"{code}\n".encode())
                os.close(status)
                continue
            data, (*files,), _, _ = socket.recv_fds(channel, _LONGEST, 2)
            if not data:
                os._exit(0)
            stderr, status = files
            pid = os.fork()
            if not pid:
                selector.close()
                channel.close()
                for file in (status, *started, *(other for _, other in started.values())):
                    os.close(file)
                return _begin(json.loads(data), stderr)
            os.close(stderr)
            os.write(status, f"{pid}\n".encode())
            end = os.pidfd_open(pid)
            started[end] = pid, status
            selector.register(end, selectors.EVENT_READ)


def _begin(order: tuple[list[str], dict[str, str], str, bool], stderr: int) -> list[str]:
    command, environment, folder, own_session = order
    os.dup2(stderr, 2)
    os.close(stderr)
    if own_session:
        os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    _fork_a_fork_server()
    return command


def _fork_a_fork_server() -> None:
    """Have one wait; it takes the place of the first that would be started anew."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    waiting = [os.fork()]
    if not waiting[0]:
        ours.close()
        try:
            _become_fork_server(theirs)
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(0)
    theirs.close()
    start_anew = util.spawnv_passfds

    def start(path: Any, args: Sequence[str], files: Sequence[int]) -> int:
        if not waiting or "multiprocessing.forkserver" not in args[-1]:
            return start_anew(path, args, files)
        pid = waiting.pop()
        with ours:
            try:
                socket.send_fds(ours, [json.dumps([args[-1], list(files)]).encode()], files)
            except OSError:  # it was killed
                return start_anew(path, args, files)
        return pid

    util.spawnv_passfds = start  # type: ignore[assignment]


def _become_fork_server(channel: socket.socket) -> None:
    data, received, _, _ = socket.recv_fds(channel, _LONGEST, 2)
    channel.close()
    if not data:  # its worker has ended
        return
    code, numbers = json.loads(data)
    high = [fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, _HIGH) for file in received]
    for file in received:
        os.close(file)
    for file, number in zip(high, numbers, strict=True):
        os.dup2(file, number, inheritable=False)
        os.close(file)
    exec(code, {"__name__": "__main__"})


if __name__ == "__main__":
    for name in PRELOAD:
        import_module(name)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # at Ctrl-C, pytest goes on for a while
    program, *sys.argv[1:] = serve(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_module(program, run_name="__main__", alter_sys=True)
