"""The average uniqueness of labels, against its definition."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from worker.child import uniqueness as module
from worker.child.uniqueness import as_weights, uniqueness

MINUTE = 60_000_000


def by_definition(coins: list[int], times: list[int], horizon: int) -> list[float]:
    """For each row the mean over its span of 1 / (labels of the same coin that span that moment)."""
    found = []
    for coin, start in zip(coins, times, strict=True):
        others = [t for c, t in zip(coins, times, strict=True) if c == coin]
        edges = sorted({e for t in others for e in (t, t + horizon)} | {start, start + horizon})
        total = Fraction(0)
        for begin, end in pairwise(edges):
            if start <= begin and end <= start + horizon:
                total += Fraction(end - begin, sum(t <= begin and end <= t + horizon for t in others))
        found.append(float(total / horizon))
    return found


@pytest.mark.parametrize(
    ("times", "horizon", "expected"),
    [
        pytest.param([0, 10, 20], 10, [1, 1, 1], id="one_after_another"),
        pytest.param([0, 0], 10, [0.5, 0.5], id="at_one_moment"),
        pytest.param([0, 5], 10, [0.75, 0.75], id="half_of_each"),
        pytest.param([0, 5, 100], 10, [0.75, 0.75, 1], id="and_one_far_away"),
    ],
)
def test_it_is_what_can_be_seen(times: list[int], horizon: int, expected: list[float]) -> None:
    found = uniqueness(np.zeros(len(times), np.int32), np.array(times, np.int64), horizon)
    assert found.tolist() == expected


@pytest.mark.parametrize("part_rows", [1, 7, 1 << 16])
def test_it_is_that_of_the_definition_however_the_rows_are_parted(
    monkeypatch: pytest.MonkeyPatch, part_rows: int
) -> None:
    monkeypatch.setattr(module, "_PART_ROWS", part_rows)
    rng = np.random.default_rng(3)
    coins = np.sort(rng.integers(0, 6, 60)).astype(np.int32)
    times = rng.integers(-50, 50, 60)
    times = times[np.lexsort((times, coins))] * MINUTE
    for horizon in (MINUTE, 10 * MINUTE, 500 * MINUTE):
        expected = by_definition(coins.tolist(), times.tolist(), horizon)
        assert uniqueness(coins, times, horizon) == pytest.approx(expected, abs=1e-6)


def test_coins_do_not_overlap_each_other() -> None:
    coins = np.repeat(np.arange(5, dtype=np.int32), 3)
    times = np.tile(np.array([0, 10, 20], np.int64), 5)
    assert uniqueness(coins, times, 10).tolist() == [1.0] * 15


def test_without_a_horizon_each_row_stands_for_itself() -> None:
    coins, times = np.zeros(4, np.int32), np.zeros(4, np.int64)
    assert uniqueness(coins, times, 0).tolist() == [1.0] * 4


def test_many_coins_over_long_times_do_not_run_over() -> None:
    """A million coins, each behind the one before by some years, are more than a number of 64 bits holds."""
    coins = np.arange(1_000_000, dtype=np.int32)
    times = np.where(coins % 2, 0, 40 * 365 * 1440 * MINUTE).astype(np.int64)
    assert uniqueness(coins, times, 525_600 * MINUTE).tolist() == [1.0] * len(coins)


def test_weights_are_1_on_average_and_none_where_all_are_equal() -> None:
    weights = as_weights(np.array([0.1, 0.2, 0.3], np.float32))
    assert weights is not None
    assert weights.tolist() == pytest.approx([0.5, 1, 1.5])
    assert as_weights(np.full(1000, 0.3, np.float32)) is None
    assert as_weights(np.empty(0, np.float32)) is None
