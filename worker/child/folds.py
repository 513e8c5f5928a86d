"""Walk-forward validation: what a recipe gave in one later period after another.

The rows are cut by time into one part more than there are folds. In each fold the recipe is fitted on all
rows before a part and measured on that part, as it would have been at the time. Of the earlier rows those are
left out whose label may reach into the part (purged), and those of an embargo before, a hundredth of the time
from the first row to the last, in which the features of both sides may still resemble each other: M. López de
Prado, Advances in Financial Machine Learning (2018), chapter 7.

Scikit-learn's TimeSeriesSplit counts rows: it would part the rows of one moment, of which there is one for
each coin, and its gap is a number of rows, where labels reach by time. Here the parts have about as many rows
each, and begin with whole moments.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from worker.child import measuring, thresholds
from worker.child.assignment import Period
from worker.child.dataset import Dataset
from worker.child.progress import Report
from worker.child.uniqueness import as_weights, uniqueness
from worker.errors import JobError

Weights = NDArray[np.float32] | None
Fit = Callable[[NDArray[np.float32], NDArray[np.uint8], Weights, Report], Pipeline]

EMBARGO = 100  # the part of the time that it is
BYTES = 24  # that a row takes besides, to put the rows into their order in time
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # of the rows' times


@dataclass(frozen=True)
class Fold:
    """Which rows, in the order of their times, are fitted and which measured.

    Attributes:
        number: from 1.
        num_fitted: the rows before this one are fitted.
        measured: the first row to measure on; those between are purged.
        end: the first behind them.
        cut: microseconds: where the measured part begins.
        gap: microseconds before it in which nothing is fitted.
    """

    number: int
    num_fitted: int
    measured: int
    end: int
    cut: int
    gap: int


@dataclass(frozen=True)
class Choosing:
    """The threshold of the model; None: each fold chooses its own by the rule, on the last of its rows.

    ``label_reach`` is as in :func:`cut`. One that was chosen on the whole period would look ahead.
    """

    threshold: float | None
    rule: str
    label_reach: int


def share_fitted(number: int) -> float:
    """Of the rows, about how many the last of so many folds is fitted on."""
    return number / (number + 1)


def share_of_all(number: int) -> float:
    """The same of all of them together: a row counts as often as it is fitted."""
    return number / 2


def order(rows: Dataset) -> NDArray[np.int64]:
    """The order of the rows by time, and at one moment by coin, however they are ordered now."""
    return np.lexsort((rows.coins, rows.times))


def cut(times: NDArray[np.int64], number: int, label_reach: int) -> list[Fold]:
    """So many folds of rows whose times ascend; ``label_reach`` as in :func:`worker.child.holdout.split`."""
    shares = np.arange(1, number + 1) / (number + 1)
    cuts = [int(at) for at in np.quantile(times, shares, method="higher")]
    starts = [int(start) for start in np.searchsorted(times, cuts)]
    gap = label_reach + (int(times[-1]) - int(times[0])) // EMBARGO
    return [
        Fold(place + 1, int(np.searchsorted(times, at - gap)), start, end, at, gap)
        for place, (at, start, end) in enumerate(zip(cuts, starts, [*starts[1:], len(times)], strict=True))
    ]


def measure(
    rows: Dataset,
    folds: list[Fold],
    fit: Fit,
    *,
    horizon: int | None,
    choosing: Choosing,
    period: Period,
    report: Report,
) -> list[dict[str, Any]]:
    """Fit and measure each fold.

    Args:
        rows: in the order of :func:`order`.
        folds: as :func:`cut` has them.
        fit: gives a fitted pipeline, and is told the weights of the rows.
        horizon: of the label, where rows are weighted by the uniqueness of their labels; else None.
        choosing: where the threshold comes from.
        period: of the job.
        report: is told of the share of all folds, and in words.

    Returns:
        Rows of ``ml_folds``. One that nothing could be fitted or measured in says why.
    """
    found = []
    total, done = max(1, sum(fold.num_fitted for fold in folds)), 0
    ends = [*(fold.cut for fold in folds[1:]), None]
    for fold, end in zip(folds, ends, strict=True):
        name = f"Fold {fold.number} of {len(folds)}"

        def tell(share: float, words: str, fold: Fold = fold, before: int = done, name: str = name) -> None:
            report((before + share * fold.num_fitted) / total, f"{name}: {words}")

        tell(0, f"{fold.num_fitted} rows to fit, {fold.end - fold.measured} to measure")
        found.append(_told(rows, fold, end, period) | _measured(rows, fold, fit, horizon, choosing, tell))
        done += fold.num_fitted
    return found


def _told(rows: Dataset, fold: Fold, end: int | None, period: Period) -> dict[str, Any]:
    """What a fold is made of, and when."""
    fitted, measured = rows.labels[: fold.num_fitted], rows.labels[fold.measured : fold.end]
    begins, first = _moment(fold.cut), (period.start - _EPOCH) // timedelta(microseconds=1)
    num_positive = int(measured.sum())
    return {
        "fold": fold.number,
        "fitted_start": period.start.isoformat(),
        "fitted_end": _moment(max(fold.cut - fold.gap, first)).isoformat(),
        "measured_start": begins.isoformat(),
        "measured_end": (period.end if end is None else _moment(end)).isoformat(),
        "num_fitted": len(fitted),
        "num_fitted_positive": int(fitted.sum()),
        "num_purged": fold.measured - fold.num_fitted,
        "num_samples": len(measured),
        "num_positive": num_positive,
        "num_negative": len(measured) - num_positive,
    }


def _measured(  # noqa: PLR0917
    rows: Dataset, fold: Fold, fit: Fit, horizon: int | None, choosing: Choosing, report: Report
) -> dict[str, Any]:
    reason, num_fitted, threshold, set_aside = (
        _reason(rows, fold),
        fold.num_fitted,
        choosing.threshold,
        slice(0),
    )
    if reason is None and threshold is None:
        set_aside = slice(int((1 - thresholds.SHARE) * fold.num_fitted), fold.num_fitted)
        first = rows.times[set_aside.start]
        set_aside = slice(int(np.searchsorted(rows.times, first)), fold.num_fitted)
        num_fitted = int(np.searchsorted(rows.times, first - choosing.label_reach))
        for part, what in ((slice(num_fitted), "to fit on"), (set_aside, "to choose the threshold on")):
            reason = reason or _one_class(rows.labels[part], what)
    if reason is None:
        features, labels = rows.features[:num_fitted], rows.labels[:num_fitted]
        try:
            pipeline = fit(features, labels, _weights(rows, num_fitted, horizon), report)
        except JobError as error:
            reason = str(error)
    if reason is not None:
        return {"reason": reason}
    if threshold is None:
        probabilities = measuring.predict(pipeline, rows.features[set_aside])
        threshold = thresholds.choose(choosing.rule, probabilities, rows.labels[set_aside]).threshold
    measured = slice(fold.measured, fold.end)
    score = measuring.score(
        measuring.predict(pipeline, rows.features[measured]), rows.labels[measured], threshold
    )
    told = {name: value for name, value in asdict(score).items() if not name.endswith("_at_half")}
    return told | {"num_set_aside": set_aside.stop - (set_aside.start or 0)}


def _one_class(labels: NDArray[np.uint8], what: str) -> str | None:
    positive = int(labels.sum())
    if 0 < positive < len(labels):
        return None
    return f"one class only {what}: {positive} of {len(labels)} rows are positive"


def _reason(rows: Dataset, fold: Fold) -> str | None:
    """Why nothing can be fitted or measured; None: something can."""
    if fold.num_fitted == 0:
        return "no row is left to fit on"
    if fold.measured == fold.end:
        return "there is no row to measure on"
    if reason := _one_class(rows.labels[: fold.num_fitted], "to fit on"):
        return reason
    for name, column in zip(rows.names, rows.features[: fold.num_fitted].T, strict=True):
        if np.isnan(column).all():
            return f"the feature {name} has no value in the {fold.num_fitted} rows to fit on"
    return None


def _weights(rows: Dataset, num_fitted: int, horizon: int | None) -> Weights:
    """Weights of the first rows, by what they alone know."""
    if horizon is None:
        return None
    by_coin = np.argsort(rows.coins[:num_fitted], kind="stable")
    found = np.empty(num_fitted, np.float32)
    found[by_coin] = uniqueness(rows.coins[by_coin], rows.times[by_coin], horizon)
    return as_weights(found)


def _moment(time: int) -> datetime:
    return _EPOCH + timedelta(microseconds=time)
