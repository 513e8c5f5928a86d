"""Intervals by a bootstrap of blocks of time."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import t
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score, roc_auc_score

from worker.child.resampling import (
    RESAMPLES,
    Blocks,
    Interval,
    blocks_of,
    counts,
    difference,
    effective_rows,
    intervals,
    measure,
    metrics,
    weights,
)

HOUR, MINUTE = 3_600_000_000, 60_000_000


def in_blocks(num: int, rows: int) -> Blocks:
    """So many blocks of so many rows."""
    return Blocks(np.repeat(np.arange(num, dtype=np.int32), rows), num, 3600)


def answers(
    num: int = 40, rows: int = 200, seed: int = 0
) -> tuple[Blocks, NDArray[np.bool_], NDArray[np.float64]]:
    """Blocks, labels and probabilities; what is likely differs from block to block."""
    rng = np.random.default_rng(seed)
    level = np.repeat(rng.normal(size=num), rows)
    score = level + rng.normal(size=num * rows)
    positive = score + rng.normal(size=num * rows) > 0.5
    return in_blocks(num, rows), positive, 1 / (1 + np.exp(-score))


# ── Blocks ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("reach", "hours"),
    [(0, 1), (1, 1), (2 * 5 * MINUTE, 1), (HOUR, 1), (HOUR + 1, 2), (48 * HOUR, 48)],
)
def test_a_block_is_as_long_as_a_label_reaches_and_at_least_an_hour(reach: int, hours: int) -> None:
    assert blocks_of(np.arange(0, 300 * HOUR, 10 * MINUTE), reach).seconds == 3600 * hours


def test_blocks_begin_at_fixed_moments_and_count_where_they_hold_rows() -> None:
    times = np.array([7, 3, 3.999, 10, 4]) * HOUR
    found = blocks_of(times.astype(np.int64), 0)
    assert found.block_of_row.tolist() == [2, 0, 0, 3, 1]
    assert found.num == 4
    assert blocks_of(np.array([-1, 0, 1, -HOUR - 1]), 0).block_of_row.tolist() == [1, 2, 2, 0]


def test_rows_of_one_moment_are_in_one_block_whatever_their_order() -> None:
    times = np.random.default_rng(0).integers(-(10**15), 10**15, 2_000)
    found = blocks_of(times, 0)
    expected: dict[int, int] = {}
    numbers = (times // (found.seconds * 1_000_000)).tolist()
    for time, block in zip(numbers, found.block_of_row.tolist(), strict=True):
        assert expected.setdefault(time, block) == block
    assert sorted(expected.values()) == list(range(found.num))
    assert [expected[time] for time in sorted(expected)] == list(range(found.num))


@pytest.mark.parametrize("hours", [1_000, 1_001, 8_760, 87_600])
def test_of_a_long_period_blocks_are_longer(hours: int) -> None:
    found = blocks_of(np.arange(hours) * HOUR, 0)
    assert found.num <= 1_000
    assert (found.seconds == 3600) == (hours <= 1_000)
    assert found.num > 400


def test_no_rows_have_no_block() -> None:
    found = blocks_of(np.empty(0, np.int64), 0)
    assert (found.num, found.seconds, len(found.block_of_row)) == (0, 3600, 0)


def test_counts_of_blocks_are_confusion_matrices() -> None:
    blocks = Blocks(np.array([0, 0, 0, 0, 1, 1, 2]), 3, 3600)
    positive = np.array([1, 0, 0, 1, 1, 1, 0], bool)
    predicted = np.array([1, 0, 1, 0, 1, 1, 0], bool)
    assert counts(blocks, positive, predicted).tolist() == [[1, 1, 1, 1], [2, 0, 0, 0], [0, 1, 0, 0]]


# ── Resamples ───────────────────────────────────────────────────────────────────────────────────────


def test_each_resample_has_a_half_of_the_blocks_at_random_and_always_the_same() -> None:
    drawn = weights(30)
    assert drawn.shape == (RESAMPLES, 30)
    assert set(np.unique(drawn)) == {0, 1}
    assert np.abs(drawn.mean(axis=0) - 0.5).max() < 0.06
    assert np.abs(np.corrcoef(drawn.T) - np.eye(30)).max() < 0.15
    assert (weights(30) == drawn).all()
    assert weights(0).shape == (RESAMPLES, 0)


def test_metrics_of_resamples_are_those_of_the_rows_drawn() -> None:
    blocks, positive, probabilities = answers(12, 50)
    predicted, drawn = probabilities > 0.5, weights(12)
    found = measure(blocks, drawn, positive, predicted)
    for number in range(20):
        times = drawn[number][blocks.block_of_row]
        assert found.resampled["f1"][number] == pytest.approx(
            f1_score(positive, predicted, sample_weight=times)
        )
        assert found.resampled["precision"][number] == pytest.approx(
            precision_score(positive, predicted, sample_weight=times)
        )
        assert found.resampled["recall"][number] == pytest.approx(
            recall_score(positive, predicted, sample_weight=times)
        )
    assert found.exact["f1"] == pytest.approx(f1_score(positive, predicted))


def test_binned_ranks_of_resamples_are_close_to_exact_ones() -> None:
    blocks, positive, probabilities = answers(30, 400)
    drawn = weights(30)
    exact = roc_auc_score(positive, probabilities), average_precision_score(positive, probabilities)
    found = measure(
        blocks,
        drawn,
        positive,
        probabilities > 0.5,
        probabilities=probabilities,
        roc_auc=exact[0],
        average_precision=exact[1],
    )
    for number in range(20):
        times = drawn[number][blocks.block_of_row]
        assert found.resampled["roc_auc"][number] == pytest.approx(
            roc_auc_score(positive, probabilities, sample_weight=times), abs=0.001
        )
        assert found.resampled["average_precision"][number] == pytest.approx(
            average_precision_score(positive, probabilities, sample_weight=times), abs=0.003
        )


def test_ranks_of_few_different_probabilities_are_exact() -> None:
    blocks, positive, probabilities = answers(30, 100)
    probabilities = probabilities.round(1)
    drawn = weights(30)
    exact = roc_auc_score(positive, probabilities), average_precision_score(positive, probabilities)
    found = measure(
        blocks,
        drawn,
        positive,
        probabilities > 0.5,
        probabilities=probabilities,
        roc_auc=exact[0],
        average_precision=exact[1],
    )
    times = drawn[0][blocks.block_of_row]
    assert found.resampled["roc_auc"][0] == pytest.approx(
        roc_auc_score(positive, probabilities, sample_weight=times)
    )
    assert found.resampled["average_precision"][0] == pytest.approx(
        average_precision_score(positive, probabilities, sample_weight=times)
    )


def test_what_is_undefined_is_nan_but_f1_is_none_at_all() -> None:
    found = metrics(np.array([[0, 5, 0, 0], [0, 4, 0, 1], [0, 0, 0, 0]]))
    assert found["f1"].tolist() == [0, 0, 0]
    assert np.isnan(found["precision"]).all()
    assert np.isnan(found["recall"]).tolist() == [True, False, True]
    assert np.isnan(found["accuracy"]).tolist() == [False, False, True]


# ── Intervals ───────────────────────────────────────────────────────────────────────────────────────


def by_metric(found: list[Interval]) -> dict[str, Interval]:
    return {interval.metric: interval for interval in found}


def test_an_interval_contains_its_estimate_and_lies_between_0_and_1() -> None:
    blocks, positive, probabilities = answers(8, 5)
    found = measure(
        blocks,
        weights(8),
        positive,
        probabilities > 0.5,
        probabilities=probabilities,
        roc_auc=0.999,
        average_precision=0.999,
    )
    told = intervals(blocks, found)
    assert [interval.metric for interval in told] == [
        "f1",
        "precision",
        "recall",
        "accuracy",
        "roc_auc",
        "average_precision",
    ]
    for interval in told:
        ends = (interval.lower, interval.estimate, interval.upper)
        assert None not in ends
        assert sorted((0, *ends, 1), key=float) == [0, *ends, 1]  # type: ignore[arg-type]


def test_with_few_blocks_there_is_no_interval_but_a_reason() -> None:
    blocks, positive, probabilities = answers(7, 50)
    found = measure(blocks, weights(7), positive, probabilities > 0.5)
    for interval in intervals(blocks, found):
        assert interval.estimate is not None
        assert (interval.lower, interval.upper) == (None, None)
        assert interval.reason == "7 blocks of 1 hour; 8 are needed"


def test_an_undefined_metric_has_no_interval_but_a_reason() -> None:
    blocks, positive, _ = answers(20, 50)
    found = by_metric(intervals(blocks, measure(blocks, weights(20), positive, np.zeros(1000, bool))))
    assert found["precision"] == Interval("precision", None, None, None, "undefined on these rows")
    assert (found["f1"].lower, found["f1"].upper) == (0, 0)


def test_a_metric_that_is_often_undefined_in_resamples_has_no_interval() -> None:
    blocks = in_blocks(20, 50)
    predicted = blocks.block_of_row == 0  # a third of the resamples has none of them
    positive = np.arange(1000) % 2 == 0
    found = by_metric(intervals(blocks, measure(blocks, weights(20), positive, predicted)))
    assert found["precision"].estimate == 0.5
    assert "of 1000 resamples" in str(found["precision"].reason)
    assert found["precision"].lower is None


def test_an_answer_right_or_wrong_by_block_counts_once_a_block() -> None:
    blocks = in_blocks(100, 1_000)
    right_in_block = np.random.default_rng(1).random(100) < 0.7
    positive = np.ones(100_000, bool)
    found = measure(blocks, weights(100), positive, right_in_block[blocks.block_of_row])
    assert effective_rows(found.counts) == pytest.approx(99)
    interval = by_metric(intervals(blocks, found))["accuracy"]
    share = right_in_block.mean()
    half = 2.12 * np.sqrt(share * (1 - share) / 100)
    assert interval.upper - interval.lower == pytest.approx(2 * half, rel=0.15)  # type: ignore[operator]


def test_independent_rows_count_each() -> None:
    rng = np.random.default_rng(0)
    blocks = in_blocks(500, 200)
    right = rng.random(100_000) < 0.8
    found = effective_rows(counts(blocks, np.ones(100_000, bool), right))
    assert found is not None
    assert 85_000 <= found <= 100_000


@pytest.mark.parametrize("right", [0, 1])
def test_answers_that_are_all_alike_have_no_effective_rows(right: int) -> None:
    assert effective_rows(np.array([[right, 0, 0, 1 - right]] * 10)) is None


@pytest.mark.parametrize(("num", "confidence"), [(8, 0.95), (24, 0.95), (200, 0.8)])
def test_of_a_mean_the_interval_is_about_student_s(num: int, confidence: float) -> None:
    """Of the confidence that it has with the allowance for the number of resamples."""
    rng = np.random.default_rng(3)
    blocks = in_blocks(num, 1_000)
    shares = rng.uniform(0.3, 0.7, num)
    right = rng.random(num * 1_000) < shares[blocks.block_of_row]
    measured = measure(blocks, weights(num), np.ones(num * 1_000, bool), right)
    found = by_metric(intervals(blocks, measured, confidence))["accuracy"]
    of_blocks = right.reshape(num, 1_000).mean(axis=1)
    tail = (1 - confidence) / 2
    tail -= 1.645 * np.sqrt(tail * (1 - tail) / RESAMPLES)
    half = t.ppf(1 - tail, num - 1) * of_blocks.std(ddof=1) / np.sqrt(num)
    assert found.upper - found.lower == pytest.approx(2 * half, rel=0.12)  # type: ignore[operator]


# ── Differences ─────────────────────────────────────────────────────────────────────────────────────


def test_what_is_luck_for_both_cancels_out() -> None:
    blocks, positive, probabilities = answers()
    drawn = weights(blocks.num)
    rng = np.random.default_rng(5)
    first = measure(blocks, drawn, positive, probabilities > 0.5)
    noisy = probabilities + rng.normal(0, 0.1, len(probabilities)) > 0.5
    second = measure(blocks, drawn, positive, noisy)
    single = by_metric(intervals(blocks, first))["f1"]
    found = by_metric(difference(blocks, first, second))["f1"]
    assert found.estimate == pytest.approx(first.exact["f1"] - second.exact["f1"])
    assert found.lower > 0  # type: ignore[operator]
    assert found.upper - found.lower < (single.upper - single.lower) / 2  # type: ignore[operator]


def test_turned_around_the_difference_is_its_opposite() -> None:
    blocks, positive, probabilities = answers()
    drawn = weights(blocks.num)
    a = measure(
        blocks,
        drawn,
        positive,
        probabilities > 0.5,
        probabilities=probabilities,
        roc_auc=0.8,
        average_precision=0.7,
    )
    b = measure(
        blocks,
        drawn,
        positive,
        probabilities > 0.6,
        probabilities=probabilities**2,
        roc_auc=0.8,
        average_precision=0.7,
    )
    for there, back in zip(difference(blocks, a, b), difference(blocks, b, a), strict=True):
        assert there.estimate == pytest.approx(-back.estimate)  # type: ignore[operator]
        assert there.lower == pytest.approx(-back.upper, abs=1e-9)  # type: ignore[operator]


@pytest.mark.parametrize(("num", "is_better"), [(0, False), (5, False), (7, True)])
def test_who_is_better_in_few_blocks_may_be_so_by_chance(num: int, is_better: bool) -> None:
    """Of five blocks, all have fallen to one side in one case of 16."""
    blocks, positive, probabilities = answers()
    drawn, first = weights(blocks.num), probabilities > 0.5
    second = np.where(blocks.block_of_row < num, positive, first)
    found = difference(
        blocks, measure(blocks, drawn, positive, second), measure(blocks, drawn, positive, first)
    )
    told = by_metric(found)["f1"]
    assert told.lower is not None
    assert (told.lower > 0) == is_better


@pytest.mark.parametrize("num", [8, 24, 120])
def test_of_equals_one_is_found_better_about_as_often_as_is_said(num: int) -> None:
    """Answers of two models exchanged at random, block by block: neither can be better."""
    rng = np.random.default_rng(11)
    found = 0
    for trial in range(300):
        blocks, positive, probabilities = answers(num, 40, seed=trial)
        drawn = weights(num)
        pair = probabilities > 0.5, probabilities + rng.normal(0, 0.2, len(probabilities)) > 0.55
        is_exchanged = (rng.random(num) < 0.5)[blocks.block_of_row]
        sides = [
            measure(blocks, drawn, positive, np.where(is_exchanged, pair[1 - n], pair[n])) for n in (0, 1)
        ]
        told = by_metric(difference(blocks, sides[0], sides[1]))["f1"]
        found += told.lower is not None and (told.lower > 0 or told.upper < 0)  # type: ignore[operator]
    assert 0.01 <= found / 300 <= 0.075
