"""The child process: does one job and exits.

It gets ready, which is to connect to the database, and says so. Then it reads one JSON line from its channel
(the job, the folder of the models) and writes JSON lines to it: progress, then one outcome. To the database
it writes only what is too large to be handed over, such as a file or answers. When it has said that, or that
it cannot get ready, or its supervisor is gone, it ends with all its descendants.
"""

import logging
import os
import queue
import select
import signal
import socket
import threading
from contextlib import suppress

from worker.database.connection import Connection, is_open
from worker.protocol import Message, Progress, Ready, Unable, read_order, to_line

WATCH_SECONDS = 0.5


def run(channel: socket.socket, supervisor: int, url: str) -> None:
    """Do the job that is named on the channel.

    Args:
        channel: leads to the supervisor.
        supervisor: its process id.
        url: where the database is.
    """
    os.setsid()  # its process group is what it ends with
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    orders: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_obey_supervisor, args=[channel, supervisor, orders], daemon=True).start()

    # The fork server has imported it. The supervisor, which imports this module, must not.
    from worker.child import attempt, kinds  # noqa: PLC0415

    ahead = attempt.get_ready(url)
    if not isinstance(ahead, Unable):
        _say(channel, Ready(kinds.writing()))
    while not isinstance(ahead, Unable) and (line := _next_order(orders, ahead)) is None:
        ahead.close()  # it broke while it waited
        ahead = attempt.get_ready(url)
    if isinstance(ahead, Unable):
        with suppress(OSError):
            _say(channel, ahead)
        _end_with_descendants()
        return
    assert line is not None  # noqa: S101  # by the loop
    order, connection = read_order(line), ahead

    def report(progress: float, message: str) -> None:
        _say(channel, Progress(progress, message))

    with suppress(OSError):  # the supervisor is gone, which the other thread may not have heard yet
        _say(channel, attempt.attempt(order, url, connection, report))
    _end_with_descendants()


def _next_order(orders: queue.SimpleQueue[bytes], connection: Connection) -> bytes | None:
    """Wait for the order; None if the connection breaks first."""
    while True:
        with suppress(queue.Empty):
            return orders.get(timeout=WATCH_SECONDS)
        if not is_open(connection):
            return None


def _say(channel: socket.socket, message: Message) -> None:
    channel.sendall(to_line(message))


def _obey_supervisor(channel: socket.socket, supervisor: int, orders: queue.SimpleQueue[bytes]) -> None:
    """Pass the order on; at the end of the supervisor, end the process group.

    The channel ends with the supervisor, unless another process has inherited the other end.
    """
    order = b""
    with suppress(ConnectionError):  # it ended without having heard all that was said
        while _is_there(supervisor):
            if select.select([channel], [], [], WATCH_SECONDS)[0]:
                data = channel.recv(1 << 16)
                if not data:
                    break
                order += data
                if order.endswith(b"\n"):
                    orders.put(order)
    _end_with_descendants()


def _is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return True


def _end_with_descendants() -> None:
    """End the process group, which this process leads."""
    os.killpg(0, signal.SIGKILL)
