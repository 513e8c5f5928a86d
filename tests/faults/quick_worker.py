"""A worker whose children answer at once: ``python -c START ARG…``.

Each job is a TEST, and each child reads the order and gives the same result.
"""

import os
import socket
import sys

from worker.child import process
from worker.protocol import Completed, Ready, to_line
from worker.service import children

# No module of its own: each child would run that first.
START = "from tests.faults import quick_worker; quick_worker.main()"
READY = to_line(Ready([]))


def answer(channel: socket.socket, _supervisor: int, _url: str) -> None:
    os.setsid()
    channel.sendall(READY)
    if channel.recv(1 << 16):
        channel.sendall(os.environ["ANSWER"].encode())


def main() -> None:
    from tests.conftest import TEST_RESULT  # noqa: PLC0415  # not in each child
    from worker.commands import cli  # noqa: PLC0415

    os.environ["ANSWER"] = to_line(Completed(TEST_RESULT)).decode()
    children.PRELOAD[:] = ["tests.faults.quick_worker"]
    process.run = answer  # type: ignore[assignment]
    cli.main(sys.argv[1:])
