"""A worker whose children answer at once: ``python -m tests.faults.quick_worker ARG…``.

Each job is a TEST, and each child reads the order and gives the same result.
"""

import os
import socket
import sys

from worker.child import process
from worker.protocol import Completed, Ready, to_line
from worker.service import children

READY = to_line(Ready([]))


def answer(channel: socket.socket, _supervisor: int, _url: str) -> None:
    os.setsid()
    channel.sendall(READY)
    if channel.recv(1 << 16):
        channel.sendall(os.environ["ANSWER"].encode())


if __name__ == "__main__":  # each child imports what stands above
    from tests.conftest import TEST_RESULT
    from worker.commands.cli import main

    os.environ["ANSWER"] = to_line(Completed(TEST_RESULT)).decode()
    children.PRELOAD[:] = ["tests.faults.quick_worker"]
    process.run = answer  # type: ignore[assignment]
    main(sys.argv[1:])
