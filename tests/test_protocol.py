"""What a supervisor and a child say arrives as it was said."""

import pytest

from worker.protocol import (
    Completed,
    Failed,
    Job,
    Lost,
    Message,
    Order,
    Progress,
    Ready,
    Released,
    Unable,
    read_message,
    read_order,
    to_line,
)


@pytest.mark.parametrize(
    "message",
    [
        Ready(["TRAIN"]),
        Progress(0.5, "Loading:\nabout 3 rows"),
        Completed({"curve": [[0.0, 1, 2]], "warnings": None}),
        Failed("é"),
        Lost("gone"),
        Released("stopped"),
        Unable("memory", "not now", 10**9),
    ],
    ids=lambda message: type(message).__name__,
)
def test_a_message_is_one_line(message: Message) -> None:
    line = to_line(message)
    assert line.count(b"\n") == 1
    assert read_message(line) == message


def test_an_order_is_one_line() -> None:
    order = Order(Job(1, 2, "TRAIN", 0.5), "/models", "token", 3, has_changed=True)
    assert to_line(order).endswith(b"}\n")
    assert read_order(to_line(order)) == order
