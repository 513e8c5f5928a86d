"""Held-out rows: whole coins, or the last part of the period."""

from dataclasses import replace

import numpy as np
import pytest

from worker.child.dataset import Dataset
from worker.child.holdout import Kind, set_aside, split

MINUTE = 60_000_000


def make(coins: np.ndarray, labels: np.ndarray, times: np.ndarray | None = None) -> Dataset:
    rows = len(coins)
    return Dataset(
        names=("a",),
        features=np.zeros((rows, 1), dtype=np.float32),
        labels=labels.astype(np.uint8),
        coins=coins.astype(np.int32),
        times=np.arange(rows, dtype=np.int64) * MINUTE if times is None else times,
        num_unlabelled=0,
        num_without_base=0,
        num_uncovered=0,
        fingerprint="",
        coin_names=(),
    )


def unequal(seed: int = 0, num_coins: int = 200) -> Dataset:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(5, 200, num_coins)
    coins = np.repeat(np.arange(num_coins), sizes)
    shares = rng.beta(0.5, 4, num_coins)
    return make(coins, rng.random(len(coins)) < shares[coins])


def test_no_coin_is_on_both_sides() -> None:
    data = unequal()
    parts = split(data, 0.2, 42, 0, 10)
    assert parts.kind == "coins"
    assert not set(data.coins[parts.fitted]) & set(data.coins[parts.held_out])
    assert len(parts.fitted) + len(parts.held_out) == len(data)


@pytest.mark.parametrize("test_size", [0.1, 0.2, 0.33, 0.5])
def test_the_held_out_part_has_the_size_and_the_share_of_positives_that_the_coins_allow(
    test_size: float,
) -> None:
    data = unequal()
    parts = split(data, test_size, 42, 0, 10)
    assert abs(len(parts.held_out) / len(data) - test_size) < 0.005
    assert abs(data.labels[parts.held_out].mean() - data.labels.mean()) < 0.005


def test_a_rare_class_is_on_both_sides_where_two_coins_have_it() -> None:
    coins = np.repeat(np.arange(50), 100)
    labels = np.zeros(5000)
    labels[[10, 4010]] = 1
    parts = split(make(coins, labels), 0.2, 0, 0, 10)
    assert labels[parts.fitted].sum() == labels[parts.held_out].sum() == 1


def test_the_draw_depends_on_random_state_alone() -> None:
    data = unequal()
    first, again, other = (split(data, 0.2, seed, 0, 10).held_out for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_nine_coins_are_split_by_time_and_ten_are_not() -> None:
    labels = np.arange(900) % 2
    assert split(make(np.arange(900) % 9, labels), 0.2, 42, 0, 10).kind == "time"
    assert split(make(np.arange(900) % 10, labels), 0.2, 42, 0, 10).kind == "coins"


def test_by_time_the_last_rows_are_held_out_and_no_label_reaches_into_them() -> None:
    times = np.tile(np.arange(1000), 3) * MINUTE
    data = make(np.repeat(np.arange(3), 1000), np.arange(3000) % 2, times)
    reach = 10 * MINUTE
    parts = split(data, 0.2, 42, reach, 10)
    assert len(parts.held_out) == 600
    first_held_out = times[parts.held_out].min()
    assert times[parts.fitted].max() + reach < first_held_out
    assert parts.num_gap == 3000 - len(parts.fitted) - len(parts.held_out) == 30


def test_rows_of_one_moment_are_on_one_side() -> None:
    times = np.repeat(np.arange(10), 100) * MINUTE
    parts = split(make(np.zeros(1000), np.arange(1000) % 2, times), 0.25, 42, 0, 10)
    assert not set(times[parts.fitted]) & set(times[parts.held_out])


def test_rows_set_aside_are_whole_coins_that_are_neither_fitted_nor_held_out() -> None:
    data = unequal()
    parts = split(data, 0.2, 42, 0, 10)
    more = set_aside(data, parts, 0.25, 42, 0)
    sides = [set(data.coins[rows]) for rows in (more.fitted, more.set_aside, more.held_out)]
    assert not sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2]
    assert np.array_equal(more.held_out, parts.held_out)
    assert sorted(more.order) == list(range(len(data)))
    assert abs(len(more.set_aside) / len(parts.fitted) - 0.25) < 0.005
    assert abs(data.labels[more.set_aside].mean() - data.labels.mean()) < 0.005


def test_by_time_the_last_rows_before_those_held_out_are_set_aside_with_a_gap_on_either_side() -> None:
    times = np.tile(np.arange(1000), 3) * MINUTE
    data = make(np.repeat(np.arange(3), 1000), np.arange(3000) % 2, times)
    reach = 10 * MINUTE
    more = set_aside(data, split(data, 0.2, 42, reach, 10), 0.2, 42, reach)
    assert times[more.fitted].max() + reach < times[more.set_aside].min()
    assert times[more.set_aside].max() + reach < times[more.held_out].min()
    assert more.num_gap == 3000 - len(more.fitted) - len(more.set_aside) - len(more.held_out) == 60
    assert sorted(more.order) == list(range(3000))


@pytest.mark.parametrize("num_coins", [1, 2, 12])
def test_where_few_coins_are_left_some_or_none_are_set_aside(num_coins: int) -> None:
    data = make(np.arange(1200) % 12, np.arange(1200) // 12 % 2)
    parts = split(data, 0.2, 42, 0, 10)
    few = replace(
        parts, order=parts.order[data.coins[parts.order] < num_coins], num_fitted=100 * num_coins, num_gap=0
    )
    more = set_aside(data, few, 0.2, 42, 0)
    assert (more.num_set_aside > 0) == (num_coins > 1)
    assert more.num_fitted >= 100


def grid(num_coins: int = 20, rows: int = 500) -> Dataset:
    """Coins that all have a row each minute."""
    coins = np.repeat(np.arange(num_coins), rows)
    labels = np.random.default_rng(1).random(len(coins)) < 0.3
    return make(coins, labels, np.tile(np.arange(rows), num_coins) * MINUTE)


def test_by_time_is_by_time_with_any_number_of_coins() -> None:
    data, reach = grid(), 10 * MINUTE
    parts = split(data, 0.2, 42, reach, 10, kind="time")
    assert (parts.kind, parts.num_coins) == ("time", 20)
    assert len(parts.held_out) == 0.2 * len(data)
    assert set(data.coins[parts.held_out]) == set(data.coins[parts.fitted])
    assert data.times[parts.fitted].max() + reach < data.times[parts.held_out].min()


@pytest.mark.parametrize("reach", [0, 10 * MINUTE])
def test_by_both_later_rows_of_coins_that_are_not_fitted_are_held_out(reach: int) -> None:
    data = grid()
    parts = split(data, 0.2, 42, reach, 10, kind="coins_and_time")
    by_time = split(data, 0.2, 42, reach, 10, kind="time")
    assert parts.kind == "coins_and_time"
    drawn = set(data.coins[parts.held_out])
    assert len(drawn) == 4
    assert not drawn & set(data.coins[parts.fitted])
    # All later rows of those, all earlier ones of the others, and nothing else.
    assert set(parts.held_out) == {row for row in by_time.held_out if data.coins[row] in drawn}
    assert set(parts.fitted) == {row for row in by_time.fitted if data.coins[row] not in drawn}
    assert parts.num_gap == len(data) - len(parts.fitted) - len(parts.held_out)
    assert sorted(parts.order) == list(range(len(data)))


def test_by_both_coins_that_are_new_by_then_are_held_out_and_those_that_are_gone_are_fitted() -> None:
    """No row is given away that a coin's life alone puts on one side."""
    coins = np.repeat(np.arange(30), 100)
    starts = np.repeat(np.repeat([0, 450, 900], 10), 100)  # 10 early, 10 across the cut at 500, 10 late
    data = make(coins, np.arange(3000) % 2, (np.tile(np.arange(100), 30) + starts) * MINUTE)
    parts = split(data, 0.5, 42, 0, 10, kind="coins_and_time")
    held_out, fitted = (set(data.coins[part]) for part in (parts.held_out, parts.fitted))
    assert set(range(20, 30)) < held_out
    assert set(range(10)) < fitted
    assert len(held_out & set(range(10, 20))) == len(fitted & set(range(10, 20))) == 5


@pytest.mark.parametrize("kind", ["coins", "coins_and_time"])
def test_few_coins_are_split_by_time_whatever_is_asked(kind: Kind) -> None:
    assert split(grid(num_coins=9), 0.2, 42, 0, 10, kind=kind).kind == "time"


@pytest.mark.parametrize("kind", ["coins", "time", "coins_and_time"])
def test_the_fitted_rows_can_be_split_once_more(kind: Kind) -> None:
    """In the order that they are fitted in, and by the same rule."""
    data, reach = grid(num_coins=40), 10 * MINUTE
    parts = split(data, 0.2, 42, reach, 10, kind=kind)
    data.reorder(parts.order)
    rows = slice(parts.num_fitted)
    part = replace(
        data,
        features=data.features[rows],
        labels=data.labels[rows],
        coins=data.coins[rows],
        times=data.times[rows],
    )
    again = split(part, 0.25, 42, reach, 10, kind=parts.kind)
    assert again.kind == kind
    if kind != "time":
        assert not set(part.coins[again.held_out]) & set(part.coins[again.fitted])
    if kind != "coins":
        assert part.times[again.fitted].max() + reach < part.times[again.held_out].min()
