"""Chooses the probability above which a model says yes, on rows that were neither fitted nor measured.

Scikit-learn's ``TunedThresholdClassifierCV`` does the same with one metric at a time, on thresholds at equal
distances; here every threshold that parts the rows is looked at. On why 0.5 is seldom the one of the best
F1, see Lipton, Elkan and Naryanaswamy, Optimal Thresholding of Classifiers to Maximize F1 Measure, ECML PKDD
2014.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SHARE = 0.2  # of the rows that are not held out is set aside
FEW_POSITIVES = 30  # with fewer, a threshold is rough


@dataclass(frozen=True)
class Chosen:
    """A threshold, and what the user should know of it."""

    threshold: float
    warnings: list[str]


def choose(rule: str, probabilities: NDArray[np.float64], labels: NDArray[np.uint8]) -> Chosen:
    """The threshold that is best by a rule; of equally good ones the highest, which says yes to fewer rows.

    With ``f1`` and ``mcc``, the one of the highest F1 or Matthews correlation. With ``precision>=0.8``, of
    those that have this precision the one of the highest recall; where none has, the one of the highest
    precision, with a warning. With ``recall>=0.8``, of those that have this recall the one of the highest
    precision.

    It lies midway between two probabilities, or near that, so that the last digit of none of them matters,
    and has as few digits as that allows.

    Args:
        rule: as ``ml_jobs.train_threshold``, not a number.
        probabilities: shape (rows,).
        labels: shape (rows,); both classes are there.
    """
    values, place = np.unique(probabilities, return_inverse=True)
    tp, fp = (np.bincount(place, labels == label)[::-1].cumsum() for label in (1, 0))
    values = values[::-1]
    if values[-1] <= 0 and len(values) > 1:  # nothing is less than 0: no threshold says yes to all rows
        tp, fp = tp[:-1], fp[:-1]
    precision, recall = tp / (tp + fp), tp / labels.sum()
    warnings = []
    metric, _, floor = rule.partition(">=")
    order: tuple[NDArray[np.float64], ...]
    if metric == "f1":
        order = (2 * tp / (tp + fp + labels.sum()),)
    elif metric == "mcc":
        order = (_mcc(tp, fp, labels),)
    else:
        ours, other = (precision, recall) if metric == "precision" else (recall, precision)
        reaches = ours >= float(floor)
        order = (np.where(reaches, other, -1), ours)
        if not reaches.any():
            order = (ours, other)
            warnings.append(
                f"no threshold has a {metric} of {floor} on the {len(labels)} rows that it was chosen on; "
                f"taken is that of the highest, {ours.max():.4f}"
            )
    best = int(np.lexsort((-np.arange(len(tp)), *order[::-1]))[-1])
    if (positive := int(labels.sum())) < FEW_POSITIVES:
        warnings.append(f"the threshold was chosen on {positive} positive rows: it is rough")
    lower = values[best + 1] if best + 1 < len(values) else 0.0
    return Chosen(_between(float(lower), float(values[best])), warnings)


def _mcc(tp: NDArray[np.float64], fp: NDArray[np.float64], labels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Matthews correlation; 0 where it is undefined."""
    positive = float(labels.sum())
    negative = len(labels) - positive
    said = tp + fp
    scale = np.sqrt(said * (len(labels) - said)) * np.sqrt(positive * negative)
    # tp * tn - fp * fn, of which most cancels out.
    covariance = tp * negative - fp * positive
    found: NDArray[np.float64] = np.divide(covariance, scale, out=np.zeros(len(tp)), where=scale > 0)
    return found


def _between(lower: float, upper: float) -> float:
    """The number of the fewest decimals in the middle half between two probabilities."""
    middle, quarter = (lower + upper) / 2, (upper - lower) / 4
    for decimals in range(1, 18):
        rounded = round(middle, decimals)
        if lower + quarter <= rounded <= upper - quarter:
            return rounded
    return middle if middle < upper else lower  # neighbouring doubles
