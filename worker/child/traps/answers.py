"""Rows without a label, few of a class, answers that are all the same, features that have moved."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.child import feature_stats
from worker.child.dataset import Dataset, some_of
from worker.child.feature_stats import LARGE_SHIFT
from worker.child.labels import Label
from worker.child.traps.trap import MOST_ROWS, MOST_TOLD, Floats, Trap, percent

FEW_POSITIVE = 50  # rows of a class, below which a fit is one of few
_MANY_APART, _SOME_APART = 0.2, 0.05  # shares of rows without a label


def without_label(rows: Dataset, label: Label, seed: int) -> Iterator[Trap]:
    """Many rows without a label or a covered window; or some, whose features differ from the others'."""
    total = len(rows) + rows.num_unlabelled
    share = rows.num_apart / max(total, 1)
    if share < _SOME_APART:
        return
    most = (0.0, "")
    for name, own, other in zip(
        rows.names, rows.apart.T, feature_stats.sample(rows.features, seed).T, strict=True
    ):
        bins = feature_stats.bin_by_deciles(other)
        index, chance = feature_stats.stability_index(bins.counts, feature_stats.count(own, bins.deciles))
        if index >= max(LARGE_SHIFT, chance):
            most = max(most, (index, name))
    if share < _MANY_APART and not most[1]:
        return
    is_uncovered = rows.num_uncovered > rows.num_apart / 2
    counted = is_uncovered and label.uncovered == "negative"
    sentence = (
        f"{rows.num_apart:,} rows, {percent(share)}, "
        + ("are of coins that stop before their window ends" if is_uncovered else "have no label")
        + (" and count as negative" if counted else " and were left out")
    )
    if most[1]:
        sentence += (
            f"; they differ from the others, most in {most[1]} (population stability index {most[0]:.2f})"
        )
    yield Trap(
        "rows_without_window" if is_uncovered else "rows_without_label",
        "warning",
        sentence,
        feature=most[1] or None,
        number=share,
    )


def few_positives(labels: NDArray[np.uint8]) -> Iterator[Trap]:
    """A fit on few rows of a class."""
    positive = int(labels.sum())
    number = min(positive, len(labels) - positive)
    if number < FEW_POSITIVE:
        which = "positive" if number == positive else "negative"
        yield Trap(
            "few_positives",
            "warning",
            f"of {len(labels):,} rows that were fitted only {number} are {which}",
            number=float(number),
        )


def constant(stats: Sequence[Mapping[str, Any]]) -> Iterator[Trap]:
    """Features with one value, of rows of ``ml_feature_stats``."""
    for row in [row for row in stats if row["minimum"] == row["maximum"] and not row["num_null"]][:MOST_TOLD]:
        yield Trap(
            "constant_feature",
            "info",
            f"the feature {row['feature']} is {row['minimum']:g} in all rows that were fitted",
            feature=row["feature"],
            number=row["minimum"],
        )


def one_class(labels: NDArray[np.uint8]) -> Iterator[Trap]:
    """Rows measured that are all of one class."""
    positive = int(labels.sum())
    if positive in (0, len(labels)):
        yield Trap(
            "one_class_measured",
            "warning",
            f"of {len(labels):,} rows measured {'none' if positive == 0 else 'all'} are positive: "
            f"{'F1 and ' if positive == 0 else ''}ROC AUC say nothing",
            number=float(positive),
        )


def degenerate(probabilities: Floats, threshold: float = 0.5) -> Iterator[Trap]:
    """Answers that are all the same."""
    size = len(probabilities)
    if size < 20:
        return
    least, most = float(probabilities.min()), float(probabilities.max())
    positive = int(np.count_nonzero(probabilities > threshold))
    if positive in (0, size):
        yield Trap(
            "one_answer",
            "warning",
            f"the model says {'no' if positive == 0 else 'yes'} to all of {size:,} rows: "
            f"its probabilities are {least:.3g} to {most:.3g}, the threshold {threshold:g}",
            number=float(positive),
        )
    some = some_of(probabilities, MOST_ROWS)
    mean = float(some.mean())
    if most - least < 1e-6 or float(some.std()) < 0.005 * max(mean * (1 - mean), 0) ** 0.5:
        same = "the same probability" if most - least < 1e-6 else "nearly the same probability"
        yield Trap(
            "constant_probability",
            "severe" if most - least < 1e-6 else "warning",
            f"the model gives all of {size:,} rows {same}, {mean:.4g}",
            number=mean,
        )


def shifted(found: Sequence[Mapping[str, Any]]) -> Iterator[Trap]:
    """Features whose population stability index is large, of rows of ``ml_feature_shifts``."""
    large = [row for row in found if row["psi"] >= max(LARGE_SHIFT, row["chance"])]
    for row in sorted(large, key=lambda row: -float(row["psi"]))[:MOST_TOLD]:
        yield Trap(
            "feature_shift",
            "warning",
            f"the feature {row['feature']} is distributed otherwise than in training: "
            f"its population stability index is {row['psi']:.2f}",
            feature=row["feature"],
            number=float(row["psi"]),
        )
