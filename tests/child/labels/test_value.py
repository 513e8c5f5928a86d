"""How a label is read, and how far it reaches. Against data: see test_dataset."""

import numpy as np

from worker.child.labels import value

MINUTE = 60_000_000


def after(minutes: int | None) -> value.Label:
    return value.Label("market_cap_close", ">", "50000", minutes)


def test_without_a_horizon_a_label_is_what_the_row_says() -> None:
    says = np.array([1, 0, -1], np.int8)
    assert value.read(np.arange(3), says, after(None)).tolist() == [1, 0, -1]


def test_with_a_horizon_it_is_what_the_first_row_in_time_says_whichever_its_phase() -> None:
    times = np.array([0, 5, 11, 40]) * MINUTE
    other = np.int8(value.OTHER_PHASE)
    says = np.array([0, 1 - other, 1, 1], np.int8)
    assert value.said(says).tolist() == [0, 1, 1, 1]
    assert value.is_chosen(says).tolist() == [True, False, True, True]
    assert value.read(times, says, after(5)).tolist() == [1, -1, -1, -1]


def test_a_label_reaches_as_far_as_the_latest_row_that_it_may_be_read_in() -> None:
    assert after(None).reach == 0
    assert after(5).reach == 10 * MINUTE
    says = np.array([0, 1], np.int8)
    for late, label in ((0, 1), (1, -1)):
        assert value.read(np.array([0, after(5).reach + late]), says, after(5))[0] == label
