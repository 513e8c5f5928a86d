"""Traps in rows: what is none raises no alarm, and what is told fits the rows."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from worker.child import feature_stats, traps
from worker.child.dataset import Dataset
from worker.child.traps.copies import moments_told, same_series
from worker.child.traps.leaks import tells_label
from worker.child.traps.seen import better_on_seen, seen_and_unseen

MINUTE = 60_000_000


def make_rows(columns: NDArray[np.float32], labels: NDArray[np.uint8], coins: int) -> Dataset:
    """Rows of so many coins, a minute apart; columns has one row a feature."""
    size = len(labels) // coins
    return Dataset(
        names=tuple(f"f{number}" for number in range(len(columns))),
        features=columns.T,
        labels=labels,
        coins=np.repeat(np.arange(coins, dtype=np.int32), size),
        times=np.tile(np.arange(size, dtype=np.int64) * MINUTE, coins),
        num_unlabelled=0,
        num_without_base=0,
        num_uncovered=0,
        fingerprint="",
        coin_names=tuple(f"C{number:03d}".encode() for number in range(coins)),
    )


def noise(features: int, rows: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(features, rows)).astype(np.float32)


@pytest.mark.parametrize("share", [0.5, 0.02, 0.002])
def test_among_a_hundred_features_that_tell_nothing_none_is_told_of(share: float) -> None:
    labels = (np.random.default_rng(1).uniform(size=20_000) < share).astype(np.uint8)
    assert list(tells_label(make_rows(noise(100, 20_000), labels, 20), 42, None)) == []


def test_of_a_hundred_features_two_that_tell_the_label_by_their_difference_are_found() -> None:
    columns = noise(100, 20_000)
    labels = (np.random.default_rng(1).uniform(size=20_000) < 0.1).astype(np.uint8)
    columns[70] = columns[20] + np.where(labels, 0.01, -0.01).astype(np.float32)
    (found,) = tells_label(make_rows(columns, labels, 20), 42, None)
    assert (found.code, found.feature, found.other_feature) == ("features_tell_label", "f20", "f70")


def test_coins_that_are_dead_alike_or_share_small_counts_are_no_copies() -> None:
    rng = np.random.default_rng(2)
    dead = np.zeros((2, 20_000), np.float32)
    counts = rng.poisson(0.7, (1, 20_000)).astype(np.float32)
    for columns in (dead, counts, np.concatenate([dead, counts])):
        rows = make_rows(columns, np.zeros(20_000, np.uint8), 40)
        assert list(same_series(rows, moments_told(rows, 42))) == []


@pytest.mark.parametrize("coins", [20, 2_000])
def test_copies_are_found_among_many_rows(coins: int) -> None:
    """Of so many rows that some are drawn."""
    size = 1_000_000
    columns = noise(3, size)
    of_coin = size // coins
    columns[:, -of_coin:] = columns[:, :of_coin]
    rows = make_rows(columns, np.zeros(size, np.uint8), coins)
    (found,) = same_series(rows, moments_told(rows, 42))
    assert (found.key, found.other_key) == ("C000", f"C{coins - 1:03d}")
    assert found.number == 1


@pytest.mark.parametrize("size", [10_000, 600_000])
def test_measurements_apart_are_those_of_scikit_learn(size: int) -> None:
    rng = np.random.default_rng(3)
    labels = (rng.uniform(size=size) < 0.2).astype(np.uint8)
    chances = np.clip(rng.beta(1, 30, size) + 0.02 * labels, 0, 1)
    rows = make_rows(noise(1, size), labels, 20)
    fitted = frozenset(rows.coin_names[:8])
    seen, others = seen_and_unseen(rows, fitted, chances, threshold=0.05)
    for part, own in ((seen, rows.coins < 8), (others, rows.coins >= 8)):
        assert part["roc_auc"] == pytest.approx(roc_auc_score(labels[own], chances[own]), abs=2e-5)
        assert part["tp"] == np.count_nonzero(own & (labels == 1) & (chances > 0.05))
        assert part["tp"] + part["fp"] + part["tn"] + part["fn"] == own.sum()
    assert (seen["num_coins"], others["num_coins"]) == (8, 12)
    assert list(better_on_seen(rows, fitted, chances, 42)) == []
    assert seen_and_unseen(rows, None, chances) == []


def test_features_are_described_as_numpy_does() -> None:
    columns = noise(2, 5_000)
    columns[1, ::10] = np.nan
    plain, holey = feature_stats.describe(("a", "b"), columns.T, 42)
    assert (plain["num_null"], holey["num_null"]) == (0, 500)
    for found, column in ((plain, columns[0]), (holey, columns[1])):
        assert found["minimum"] == np.nanmin(column)
        assert found["maximum"] == np.nanmax(column)
        assert found["mean"] == pytest.approx(np.nanmean(column.astype(float)))
        assert found["d5"] == pytest.approx(np.nanmedian(column), abs=0.01)
        counts = [found[f"n{place}"] for place in range(10)]
        assert sum(counts) + found["n_null"] == 5_000
        assert max(counts) - min(counts) <= 1


def test_the_same_rows_have_no_shift_and_others_have_one() -> None:
    columns = noise(1, 5_000)
    bins = {"a": feature_stats.bin_by_deciles(columns[0])}
    (same,) = feature_stats.shifts(bins, ("a",), noise(1, 5_000, seed=9).T, 42)
    (other,) = feature_stats.shifts(bins, ("a",), columns.T + 1, 42)
    (empty,) = feature_stats.shifts(bins, ("a",), np.full((100, 1), np.nan, np.float32), 42)
    assert same["psi"] < same["chance"] < 0.02
    assert other["psi"] > 0.5
    assert empty["null_share"] == 1
    assert [trap.feature for trap in traps.shifted([same, other, empty])] == ["a", "a"]


@pytest.mark.parametrize(
    ("chances", "codes"),
    [
        (np.linspace(0.1, 0.9, 100), []),
        (np.linspace(0.001, 0.03, 100), ["one_answer"]),
        (np.full(100, 0.7), ["one_answer", "constant_probability"]),
        (np.linspace(0.1, 0.10001, 100), ["one_answer", "constant_probability"]),
        (np.full(10, 0.7), []),
    ],
)
def test_answers_that_are_all_the_same_are_told(chances: NDArray[np.float64], codes: list[str]) -> None:
    assert [trap.code for trap in traps.degenerate(chances)] == codes
