"""A worker that is hit by a fault at a chosen step: ``python -m tests.faults.saboteur STEPS FAULT ARG…``.

STEPS are separated by commas: ``before:CALL`` or ``after:CALL``, a function of ``worker.database.queue``
before its statement is sent or after it is committed, or ``hears:WORDS``, when a child reports a progress
that begins with these words. FAULT is ``kill`` (SIGKILL), ``stop`` (SIGSTOP), ``cut`` (the connection breaks
and an answer is lost), ``skip`` (the call is never made), or one of these aimed at the child:
``kill-child``, ``segfault-child``. It strikes once at each step, and no child twice, with ``always-`` before
the fault each time; ARG… is for ``ml-worker``.
"""

import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg

from worker.commands.cli import main
from worker.database import queue
from worker.database.connection import Connection
from worker.protocol import Message, Progress
from worker.service.children import Child
from worker.service.supervisor import Supervisor

SIGNALS = {
    "kill": signal.SIGKILL,
    "stop": signal.SIGSTOP,
    "kill-child": signal.SIGKILL,
    "segfault-child": signal.SIGSEGV,
}
STRUCK: set[int] = set()  # children whose words were already struck at


def cut(connection: Connection) -> None:
    with socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
        duplicate.shutdown(socket.SHUT_RDWR)
    raise psycopg.OperationalError("cut by the saboteur")


def sabotage_call(when: str, name: str, fault: str) -> None:
    original: Callable[..., Any] = getattr(queue, name)
    if fault == "skip":
        setattr(queue, name, lambda *_: None)
        return
    strikes = [fault]

    def strike(connection: Connection) -> None:
        if strikes.pop() == "cut":
            cut(connection)
        os.kill(os.getpid(), SIGNALS[fault])

    def sabotaged(connection: Connection, *args: Any) -> Any:
        if when == "before" and strikes:
            strike(connection)
        result = original(connection, *args)
        # A claim that finds no job is not yet the one to strike at.
        if when == "after" and strikes and (result is not None or name != "claim_job"):
            strike(connection)
        return result

    setattr(queue, name, sabotaged)


def _says(message: Message) -> str:
    return message.message if isinstance(message, Progress) else ""


def sabotage_hearing(words: str, fault: str) -> None:
    original = Supervisor._hear
    always, fault = fault.startswith("always-"), fault.removeprefix("always-")
    strikes = [fault]

    def sabotaged(self: Supervisor, child: Child, message: Message) -> None:
        if strikes and child.pid not in STRUCK and _says(message).startswith(words):
            STRUCK.add(child.pid)
            if not always:
                strikes.clear()
            with suppress(ProcessLookupError):  # it has just ended by itself
                os.kill(child.pid if fault.endswith("child") else os.getpid(), SIGNALS[fault])
        original(self, child, message)

    Supervisor._hear = sabotaged  # type: ignore[method-assign]


if __name__ == "__main__":
    steps, fault, *args = sys.argv[1:]
    for step in steps.split(","):
        when, _, name = step.partition(":")
        if when == "hears":
            sabotage_hearing(name, fault)
        else:
            sabotage_call(when, name, fault)
    main(args)
