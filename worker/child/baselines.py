"""Answers that cost no model, which each figure of a model stands beside.

- always positive, and always negative;
- the share of positives among the fitted rows as the probability of every row: no other constant has so good
  a log loss and Brier score there (Gneiting and Raftery, Strictly Proper Scoring Rules, JASA 102, 2007);
- persistence: the future is like the past (naive, as Hyndman and Athanasopoulos call it, Forecasting:
  Principles and Practice, 2021, section 5.2);
- the best single feature with a threshold, chosen on the rows that the model was fitted on (Holte, Very
  Simple Classification Rules Perform Well on Most Commonly Used Datasets, Machine Learning 11, 1993).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.child import labels as kinds_of_label
from worker.child import resampling
from worker.child.assignment import HALF, Fitted, Rule
from worker.child.dataset import Dataset
from worker.child.labels import Label
from worker.child.resampling import Blocks

MOST_SAMPLED = 50_000  # rows of a class that a rule is chosen on

Answers = NDArray[np.bool_]


@dataclass(frozen=True)
class Baseline:
    """What one of them says of some rows.

    Attributes:
        facts: a row of ``ml_baselines``.
        answers: shape (rows,); empty where it does not exist.
        f1: None where it does not exist, or has none.
    """

    facts: dict[str, Any]
    answers: Answers
    f1: float | None


def choose(
    names: Sequence[str], features: NDArray[np.float32], labels: NDArray[np.uint8], random_state: int
) -> Rule | None:
    """The feature, direction and threshold with the best F1 on these rows, the first of several.

    On a sample: at most 50,000 rows of either class, which count for all of it. The threshold is a value
    that a row has, written as short as its float32 allows; a missing value is negative. At least one row that
    has a value is negative, too: what says always positive is another baseline.

    Returns:
        None where no feature has two values.
    """
    rng = np.random.default_rng(random_state)
    classes = [np.flatnonzero(labels == label) for label in (1, 0)]
    chosen = [
        rows if len(rows) <= MOST_SAMPLED else np.sort(rng.choice(rows, MOST_SAMPLED, replace=False))
        for rows in classes
    ]
    each = [len(rows) / max(1, len(some)) for rows, some in zip(classes, chosen, strict=True)]
    sample, is_positive = np.concatenate(chosen), np.repeat([1, 0], [len(some) for some in chosen])
    best, most = None, -1.0
    for name, column in zip(names, features.T, strict=True):
        values = column[sample]
        order = np.argsort(values)[: len(values) - int(np.count_nonzero(np.isnan(values)))]
        values = values[order]
        ends = np.flatnonzero(values[1:] != values[:-1])  # of the rows of one value, but for the last
        if not len(ends):
            continue
        found = np.cumsum(is_positive[order])
        below = found[ends], ends + 1 - found[ends]
        above = found[-1] - below[0], len(order) - found[-1] - below[1]
        for direction, thresholds, (tp, fp) in (
            (">", values[ends], above),
            ("<", values[ends + 1], below),
        ):
            f1 = 2 * each[0] * tp / (each[0] * tp + each[1] * fp + len(classes[0]))
            at = int(np.argmax(f1))
            if f1[at] > most:
                most, best = float(f1[at]), Rule(name, direction, float(str(thresholds[at])))
    return best


def beside(
    rows: Dataset,
    label: Label,
    fitted: Fitted,
    blocks: Blocks,
    predicted: Answers,
    *,
    threshold: float = HALF,
) -> dict[str, Any]:
    """What a result tells of a model's baselines, by the names of its columns and facts.

    Args:
        rows: labelled rows.
        label: what they are labelled by.
        fitted: what is known of the rows that the model was fitted on.
        blocks: blocks of the rows.
        predicted: the model's answers, shape (rows,).
        threshold: what a probability is above that is answered positive.
    """
    found = of_rows(rows, label) + of_model(rows, fitted, threshold=threshold)
    return {
        "ml_baselines": [baseline.facts for baseline in found],
        **against(found, predicted, rows.labels, blocks),
    }


def against(
    found: Sequence[Baseline], predicted: Answers, labels: NDArray[np.uint8], blocks: Blocks
) -> dict[str, Any]:
    """How far a model's F1 is above that of the best baseline, the first of several.

    Both are drawn together, see :mod:`worker.child.resampling`.
    """
    f1s = [-1.0 if baseline.f1 is None else baseline.f1 for baseline in found]
    best = found[int(np.argmax(f1s))]
    drawn = resampling.weights(blocks.num)
    model = resampling.measure(blocks, drawn, labels == 1, predicted)
    other = resampling.measure(blocks, drawn, labels == 1, best.answers)
    (f1,) = (each for each in resampling.difference(blocks, model, other) if each.metric == "f1")
    return {
        "best_baseline": best.facts["baseline"],
        "baseline_f1": best.f1,
        "baseline_difference": f1.estimate,
        "baseline_lower": f1.lower,
        "baseline_upper": f1.upper,
        "baseline_note": f1.reason,
    }


def of_rows(rows: Dataset, label: Label) -> list[Baseline]:
    """Those that need nothing but the rows."""
    return [
        *(
            _baseline(name, f"always {answer}", np.full(len(rows), says), rows.labels)
            for name, answer, says in (
                ("always_positive", "positive", True),
                ("always_negative", "negative", False),
            )
        ),
        _persistence(rows, label),
    ]


def of_model(rows: Dataset, fitted: Fitted, place: int = 1, *, threshold: float = HALF) -> list[Baseline]:
    """Those that know of the rows that a model was fitted on; ``place`` is that of the model in the job."""
    share, rule = fitted.share_positive, fitted.rule
    positives, total = rows.num_positive, len(rows)
    tiny = np.finfo(np.float64).eps
    certain = min(max(share, tiny), 1 - tiny)
    return [
        _baseline(
            "positive_share",
            f"{share:.4f} for every row, the share of positives among the fitted rows",
            np.full(total, share > threshold),
            rows.labels,
            place=place,
            log_loss=float(
                -(positives * np.log(certain) + (total - positives) * np.log(1 - certain)) / total
            ),
            brier_score=float((positives * (1 - share) ** 2 + (total - positives) * share**2) / total),
        ),
        _nothing(
            "best_feature",
            "the model was trained before version 8, when none was chosen"
            if fitted.is_older
            else "no feature has two values among the fitted rows",
            place=place,
        )
        if rule is None
        else _single_feature(rows, rule, place),
    ]


def _persistence(rows: Dataset, label: Label) -> Baseline:
    name, repeats = "persistence", kinds_of_label.persists(label)
    if label.future_minutes is None:
        return _nothing(name, "there is no horizon: what holds now is the label itself")
    if repeats is None:
        return _nothing(name, f"labels of the kind {label.kind} have none")
    num_unknown = int(np.count_nonzero(rows.persistence < 0))
    if repeats == "state":
        rule = f"{label.target} {label.operator} {label.value} now"
        why = f"{label.target} is NULL in each of the {len(rows)} rows"
    else:
        rule = f"the same label {label.future_minutes} min ago"
        why = f"of none of the {len(rows)} rows is the label {label.future_minutes} min ago known"
    if num_unknown == len(rows):
        return _nothing(name, why)
    return _baseline(name, rule, rows.persistence == 1, rows.labels, num_unknown=num_unknown)


def _single_feature(rows: Dataset, rule: Rule, place: int) -> Baseline:
    values = rows.features[:, rows.names.index(rule.feature)]
    threshold = np.float32(rule.threshold)
    answers = values > threshold if rule.direction == ">" else values < threshold
    return _baseline(
        "best_feature",
        f"{rule.feature} {rule.direction} {np.format_float_positional(threshold, trim='-')}"
        if 1e-12 <= abs(threshold) < 1e12 or threshold == 0
        else f"{rule.feature} {rule.direction} {threshold!s}",
        answers,
        rows.labels,
        place=place,
        num_unknown=int(np.count_nonzero(np.isnan(values))),
        **_ranking(values if rule.direction == ">" else -values, rows.labels),
    )


def _ranking(values: NDArray[np.float32], labels: NDArray[np.uint8]) -> dict[str, float | None]:
    """ROC AUC and average precision of values as they are, a missing one below all.

    Each class is sorted by itself: that takes a fraction of what it takes to sort places of rows.
    """
    positive, negative = (np.sort(_known_first(values[labels == label])) for label in (1, 0))
    if not len(positive) or not len(negative):
        return {"roc_auc": None, "average_precision": None}
    starts = np.flatnonzero(np.append(True, positive[1:] != positive[:-1]))
    same = np.diff(starts, append=len(positive))
    below = np.searchsorted(negative, positive[starts], side="left")
    not_above = below.copy()
    ties = np.flatnonzero(negative[np.minimum(below, len(negative) - 1)] == positive[starts])
    not_above[ties] = np.searchsorted(negative, positive[starts[ties]], side="right")
    pairs = float(np.sum(same * (below + not_above))) / 2
    found = len(positive) - starts  # positives at least as high
    precision = found / (found + len(negative) - below)
    return {
        "roc_auc": pairs / (len(positive) * len(negative)),
        "average_precision": float(np.sum(same * precision)) / len(positive),
    }


def _known_first(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.where(np.isnan(values), np.float32(-np.inf), values)


def _baseline(
    name: str,
    rule: str,
    answers: Answers,
    labels: NDArray[np.uint8],
    *,
    place: int = 0,
    **numbers: float | None,
) -> Baseline:
    """A baseline with its confusion matrix; where it gives answers alone, these are what ranks the rows."""
    positive = labels.view(np.bool_)
    positives, said = int(np.count_nonzero(positive)), int(np.count_nonzero(answers))
    tp = int(np.count_nonzero(positive & answers))
    fp, fn, tn = said - tp, positives - tp, len(labels) - positives - said + tp
    ranking: dict[str, float | None] = {"roc_auc": None, "average_precision": None}
    if positives and fp + tn:
        recall, share = tp / positives, positives / len(labels)
        ranking = {
            "roc_auc": (recall + tn / (fp + tn)) / 2,
            "average_precision": (recall * tp / said if said else 0) + (1 - recall) * share,
        }
    facts = {"baseline": name, "place": place, "rule": rule, "tp": tp, "tn": tn, "fp": fp, "fn": fn}
    return Baseline(
        facts | ranking | numbers, answers, 2 * tp / (2 * tp + fp + fn) if positives or said else None
    )


def _nothing(name: str, reason: str, place: int = 0) -> Baseline:
    """One that does not exist."""
    return Baseline({"baseline": name, "place": place, "reason": reason}, np.empty(0, np.bool_), None)
