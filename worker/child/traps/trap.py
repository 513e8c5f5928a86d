"""A warning, and what several traps need: ranks, shares and names in words."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

MOST_ROWS = 20_000  # of a sample
MOST_TOLD = 20  # warnings of one code

Severity = Literal["info", "warning", "severe"]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trap:
    """A warning: its code, how bad it is, a sentence, and what that speaks of."""

    code: str
    severity: Severity
    sentence: str
    feature: str | None = None
    other_feature: str | None = None
    key: str | None = None
    other_key: str | None = None
    number: float | None = None


def facts(traps: Sequence[Trap], model_id: int) -> list[dict[str, Any]]:
    """Rows of ``ml_warnings``."""
    return [{"model_id": model_id, **asdict(trap)} for trap in traps]


def text(traps: Sequence[Trap]) -> str | None:
    """The sentences in one, the severest first."""
    order = ("severe", "warning", "info")
    told = sorted(traps, key=lambda trap: order.index(trap.severity))
    return "; ".join(trap.sentence for trap in told) or None


def without_nan(column: NDArray[Any]) -> Floats:
    """As doubles, NaN as a value that is less than any."""
    values = column.astype(np.float64)
    values[np.isnan(values)] = -1e300
    return values


def rarer(labels: NDArray[np.bool_]) -> int:
    """Rows of the rarer class."""
    positive = int(np.count_nonzero(labels))
    return min(positive, len(labels) - positive)


def roc_area(values: NDArray[Any], labels: NDArray[np.bool_]) -> float:
    """Area under the ROC curve; 0.5 with one class only."""
    order = np.argsort(values)
    ends = np.flatnonzero(np.diff(values[order], append=np.inf))
    positives = np.cumsum(labels[order], dtype=np.int64)[ends]
    negatives = ends + 1 - positives
    if positives[-1] == 0 or negatives[-1] == 0:
        return 0.5
    below = np.trapezoid(np.append(0, positives), np.append(0, negatives))
    return float(1 - below / (positives[-1] * negatives[-1]))


def rounded_down(area: float) -> str:
    """A ROC AUC in words; 1 is said of 1 alone."""
    return f"{np.floor(area * 1000) / 1000:.3f}"


def percent(share: float) -> str:
    """A share in words."""
    return f"{100 * share:.0f} %" if share > 0.095 else f"{100 * share:.1f} %"


def clip(name: str) -> str:
    """A key, of which a sentence holds no more than a hundred characters."""
    return name if len(name) <= 100 else name[:99] + "\N{HORIZONTAL ELLIPSIS}"
