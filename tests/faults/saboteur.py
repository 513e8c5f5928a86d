"""A worker that is hit by a fault at a chosen step: ``python -m tests.faults.saboteur CALL WHEN FAULT ARG…``.

CALL is a function of ``worker.database``, WHEN is ``before`` or ``after`` its statement commits, and FAULT is
``kill`` (SIGKILL), ``stop`` (SIGSTOP) or ``cut`` (the connection breaks and the answer is lost). It strikes
at the first call; what follows are the arguments of ``ml-worker``.
"""

import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

import psycopg

from worker import database
from worker.cli import main


def strike(fault: str, connection: database.Connection) -> None:
    if fault == "cut":
        with socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
            duplicate.shutdown(socket.SHUT_RDWR)
        raise psycopg.OperationalError("cut by the saboteur")
    os.kill(os.getpid(), {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}[fault])


def sabotage(call: str, when: str, fault: str) -> None:
    original: Callable[..., Any] = getattr(database, call)
    struck = False

    def sabotaged(connection: database.Connection, *args: Any) -> Any:
        nonlocal struck
        if when == "before" and not struck:
            struck = True
            strike(fault, connection)
        result = original(connection, *args)
        # A claim that finds no job is not yet the one to strike at.
        if when == "after" and not struck and result is not None:
            struck = True
            strike(fault, connection)
        return result

    setattr(database, call, sabotaged)


if __name__ == "__main__":
    sabotage(*sys.argv[1:4])
    main(sys.argv[4:])
