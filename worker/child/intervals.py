"""What a result tells of intervals: rows of ``ml_intervals``, how far apart two models are beyond chance."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.child import resampling
from worker.child.resampling import CONFIDENCE, Blocks, Interval, Measured

_COMPARED = ("f1", "accuracy", "roc_auc")  # have their difference in ml_comparisons


@dataclass(frozen=True)
class Side:
    """One model's answers to rows.

    Attributes:
        probabilities: how likely each is to be positive.
        predicted: which are said to be.
        roc_auc, average_precision: None where they are undefined.
    """

    probabilities: NDArray[np.float64]
    predicted: NDArray[np.bool_]
    roc_auc: float | None
    average_precision: float | None


def of_model(blocks: Blocks, labels: NDArray[np.uint8], side: Side) -> list[dict[str, Any]]:
    """Rows of ``ml_intervals`` of a measurement of one model."""
    return _of_side("model", blocks, measure(blocks, labels, side))


def of_pair(blocks: Blocks, sides: Sequence[Measured], confidence: float | None) -> dict[str, Any]:
    """What a comparison tells of chance, by the names of its columns, and its rows of ``ml_intervals``.

    Args:
        blocks: blocks of the rows.
        sides: what :func:`measure` gave of the first and the second model.
        confidence: of the differences; 0 or None: as of everything else.
    """
    a, b = sides
    confidence = confidence or CONFIDENCE
    differences = resampling.difference(blocks, a, b, confidence)
    told: dict[str, Any] = {"num_blocks": blocks.num, "block_seconds": blocks.seconds}
    for found in differences:
        if found.metric in _COMPARED:
            told[f"{found.metric}_difference_lower"] = found.lower
            told[f"{found.metric}_difference_upper"] = found.upper
        if found.metric == "f1":
            told["undecided_reason"] = found.reason
    rows = _of_side("a", blocks, a) + _of_side("b", blocks, b)
    rows += _rows("difference", blocks, differences, confidence, None)
    return told | {"ml_intervals": rows}


def measure(blocks: Blocks, labels: NDArray[np.uint8], side: Side) -> Measured:
    """Resample one model's answers, those of two models to the same rows alike."""
    return resampling.measure(
        blocks,
        resampling.weights(blocks.num),
        labels == 1,
        side.predicted,
        probabilities=side.probabilities,
        roc_auc=side.roc_auc,
        average_precision=side.average_precision,
    )


def _of_side(name: str, blocks: Blocks, measured: Measured) -> list[dict[str, Any]]:
    found = resampling.intervals(blocks, measured)
    return _rows(name, blocks, found, CONFIDENCE, resampling.effective_rows(measured.counts))


def _rows(
    side: str, blocks: Blocks, found: Iterable[Interval], confidence: float, effective_rows: float | None
) -> list[dict[str, Any]]:
    return [
        {
            "side": side,
            "metric": interval.metric,
            "estimate": interval.estimate,
            "lower": interval.lower,
            "upper": interval.upper,
            "confidence": confidence,
            "num_blocks": blocks.num,
            "block_seconds": blocks.seconds,
            "effective_rows": effective_rows,
            "reason": interval.reason,
        }
        for interval in found
    ]
