"""How far a metric may be off by chance: a bootstrap of blocks of time over all coins together.

Rows of one moment resemble each other, whichever their coin, and so do rows of moments close by. What is
drawn are therefore whole blocks of time, with all rows of all coins in them; see Künsch, The Jackknife and
the Bootstrap for General Stationary Observations, Annals of Statistics 17 (1989), and Politis and Romano, The
Stationary Bootstrap, JASA 89 (1994). Blocks do not overlap, and begin at fixed moments: two measurements of a
period have the same ones. Two models are drawn together: what is luck for both cancels out.

A resample has each block with a chance of a half, once: the double-or-nothing bootstrap; Owen and Eckles,
Bootstrapping Data Arrays of Arbitrary Order, Annals of Applied Statistics 6 (2012). Its variance is that of
drawing as many blocks with replacement, but its percentiles hold with few blocks too, and where a few hours
have most of what happens: of independent blocks that err to either side alike, the values of random halves
are typical, so that each gap between two of them is as likely to contain the true one; Hartigan, Using
Subsample Values as Typical Values, JASA 64 (1969).

Rows are passed over to count them by block; all else is done with these counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1_000
FEWEST_BLOCKS = 8  # fewer have too few halves
CONFIDENCE = 0.95  # of what is told beside a metric

_HOUR = 3_600_000_000  # microseconds
_MOST_BLOCKS = 1_000  # those of a longer period are longer
_ALLOWANCE = 1.645  # standard errors: with 95% certainty, more resamples would give no wider interval
_MOST_UNDEFINED = 0.05  # share of the resamples
_QUANTILES = 100  # of the probabilities of either class: they bound the bins
_SAMPLED = 50_000  # rows of a class that its quantiles are taken from
_AT_ONCE = 50  # resamples whose histograms fit into a core's cache
_LONGEST_TABLE = 1 << 20  # of the hours of a period, where there are fewer rows than that

Counts = NDArray[np.int64]
Draws = NDArray[np.float32]
Metrics = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Blocks:
    """Rows by blocks of time.

    Attributes:
        block_of_row: int32, shape (rows,); the number of each row's block, from 0, in the order of time.
        num: blocks that hold rows.
        seconds: how long a block is.
    """

    block_of_row: NDArray[np.int32]
    num: int
    seconds: int


@dataclass(frozen=True)
class Measured:
    """One model's answers by their metrics.

    Attributes:
        counts: of each block, see :func:`counts`.
        exact: each metric on the rows as they are; NaN where it is undefined, but see :func:`metrics`.
        resampled: the same of each resample, shape (resamples,).
    """

    counts: Counts
    exact: Mapping[str, float]
    resampled: Metrics


@dataclass(frozen=True)
class Interval:
    """What is known of a metric, or of the difference between two models in it.

    Attributes:
        metric: its name.
        estimate: on the rows as they are; None where it is undefined.
        lower, upper: the ends; None where there is no interval.
        reason: why there is none, in words.
    """

    metric: str
    estimate: float | None
    lower: float | None
    upper: float | None
    reason: str | None


def blocks_of(times: NDArray[np.int64], label_reach: int) -> Blocks:
    """Divide rows into blocks of an hour, or of as many hours as a label reaches ahead.

    So the label of a row depends on its own block and the next at most. Blocks begin at multiples of their
    length since 2000-01-01 UTC; those without rows do not count. If more than 1,000 had rows, they are so
    many times longer that it is no more: with more time, dependence over a longer one can be seen to.

    Args:
        times: microseconds since 2000-01-01 UTC.
        label_reach: microseconds from a row to the latest moment that its label may depend on.
    """
    length = _HOUR * max(1, -(-label_reach // _HOUR))
    if len(times) == 0:
        return Blocks(np.empty(0, np.int32), 0, length // 1_000_000)
    shortest, of_row = _numbered(times // length)
    longer = 1
    numbers, of_shortest = shortest, np.arange(len(shortest))
    while len(numbers) > _MOST_BLOCKS:
        longer = max(longer + 1, longer * len(numbers) // _MOST_BLOCKS)
        numbers, of_shortest = np.unique(shortest // longer, return_inverse=True)
    return Blocks(of_shortest.astype(np.int32)[of_row], len(numbers), longer * length // 1_000_000)


def _numbered(values: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """The different values, rising, and which of them each one is: ``np.unique`` without its sort."""
    first = int(values.min())
    width = int(values.max()) - first + 1
    if width > max(_LONGEST_TABLE, len(values)):
        found, places = np.unique(values, return_inverse=True)
        return found, places
    values = values - first
    is_there = np.zeros(width, bool)
    is_there[values] = True
    return np.flatnonzero(is_there) + first, (np.cumsum(is_there) - 1)[values]


def counts(blocks: Blocks, positive: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> Counts:
    """Confusion matrix of each block: int64, shape (blocks, 4), columns tp, tn, fp, fn."""
    cells = _CELL[positive.astype(np.intp) * 2 + predicted] + 4 * blocks.block_of_row
    return np.bincount(cells, minlength=4 * blocks.num).reshape(blocks.num, 4)


_CELL = np.array([1, 2, 3, 0], np.intp)  # tn, fp, fn, tp, by twice the label and the answer


def weights(num: int, random_state: int = 0) -> Draws:
    """Which blocks each resample has: 0 or 1, shape (resamples, blocks). For as many, always the same."""
    return np.random.default_rng(random_state).integers(2, size=(RESAMPLES, num)).astype(np.float32)


def metrics(matrices: NDArray[np.float64] | Counts) -> dict[str, NDArray[np.float64]]:
    """F1, precision, recall and accuracy of confusion matrices, shape (…, 4): tp, tn, fp, fn.

    They are NaN where undefined; F1 is 0 there, as where two models are compared: nothing was found.
    """
    tp, tn, fp, fn = np.moveaxis(np.asarray(matrices, np.float64), -1, 0)
    with np.errstate(invalid="ignore"):
        return {
            "f1": 2 * tp / np.maximum(2 * tp + fp + fn, 1),
            "precision": tp / (tp + fp),
            "recall": tp / (tp + fn),
            "accuracy": (tp + tn) / (tp + tn + fp + fn),
        }


def measure(
    blocks: Blocks,
    drawn: Draws,
    positive: NDArray[np.bool_],
    predicted: NDArray[np.bool_],
    *,
    probabilities: NDArray[np.float64] | None = None,
    roc_auc: float | None = None,
    average_precision: float | None = None,
) -> Measured:
    """Resample one model's answers.

    Args:
        blocks: blocks of the rows.
        drawn: their :func:`weights`.
        positive: which rows are positive.
        predicted: which rows were said to be.
        probabilities: what was said of each row; with them ROC AUC and average precision are told.
        roc_auc: on the rows as they are; None where undefined.
        average_precision: the same.
    """
    of_blocks = counts(blocks, positive, predicted)
    exact = {name: float(value) for name, value in metrics(of_blocks.sum(axis=0)).items()}
    resampled = metrics(drawn.astype(np.float64) @ of_blocks)
    if probabilities is not None:
        table = _histograms(blocks, positive, probabilities)
        for name, told in (("roc_auc", roc_auc), ("average_precision", average_precision)):
            exact[name] = np.nan if told is None else told
        binned = _ranked(table.sum(axis=0, keepdims=True))
        parts = [_ranked(part @ table) for part in np.array_split(drawn, len(drawn) // _AT_ONCE)]
        for name, (of_all,) in binned.items():
            resampled[name] = np.concatenate([part[name] for part in parts]) + (exact[name] - of_all)
    return Measured(of_blocks, exact, resampled)


def _histograms(
    blocks: Blocks, positive: NDArray[np.bool_], probabilities: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Negative rows of each block by bins of their probability, then positive ones: (blocks, 2 * bins)."""
    edges = np.union1d(_quantiles(probabilities[positive]), _quantiles(probabilities[~positive]))
    num_bins = len(edges) + 1
    cells = np.searchsorted(edges, probabilities)
    cells += num_bins * (2 * blocks.block_of_row.astype(np.intp) + positive)
    table = np.bincount(cells, minlength=2 * num_bins * blocks.num)
    return table.reshape(blocks.num, 2 * num_bins).astype(np.float32)


def _quantiles(values: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(values) == 0:
        return values
    sample = np.sort(values[:: -(-len(values) // _SAMPLED)])
    return sample[np.linspace(0, len(sample) - 1, _QUANTILES).round().astype(np.intp)]


def _ranked(tables: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """ROC AUC and average precision of histograms as above, one a row; NaN with one class only."""
    # The most probable first, and with it the positive half.
    positive, negative = np.split(tables[:, ::-1].astype(np.float64), 2, axis=1)
    above, found = negative.cumsum(axis=1), positive.cumsum(axis=1)
    num_negative, num_positive = above[:, -1], found[:, -1]
    below = num_negative[:, None] - above + negative / 2
    precision = found / np.maximum(found + above, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "roc_auc": (positive * below).sum(axis=1) / (num_positive * num_negative),
            "average_precision": np.where(
                num_negative > 0, (positive * precision).sum(axis=1) / num_positive, np.nan
            ),
        }


def intervals(blocks: Blocks, measured: Measured, confidence: float = CONFIDENCE) -> list[Interval]:
    """Interval of each metric of one model; F1 is undefined where nothing was to be found or was."""
    exact = dict(measured.exact)
    if not measured.counts[:, (0, 2, 3)].any():
        exact["f1"] = np.nan
    return [
        _interval(blocks, name, exact[name], values, confidence, least=0.0)
        for name, values in measured.resampled.items()
    ]


def difference(
    blocks: Blocks, first: Measured, second: Measured, confidence: float = CONFIDENCE
) -> list[Interval]:
    """Interval of first minus second in each metric, both drawn by the same :func:`weights`."""
    return [
        _interval(
            blocks,
            name,
            first.exact[name] - second.exact[name],
            values - second.resampled[name],
            confidence,
            least=-1.0,
        )
        for name, values in first.resampled.items()
        if name in second.resampled
    ]


def _interval(
    blocks: Blocks,
    metric: str,
    exact: float,
    resampled: NDArray[np.float64],
    confidence: float,
    *,
    least: float,
) -> Interval:
    """Between two percentiles, farther out by what they may be off: resamples are a draw, too."""
    if np.isnan(exact):
        return Interval(metric, None, None, None, "undefined on these rows")
    if blocks.num < FEWEST_BLOCKS:
        return Interval(metric, exact, None, None, _too_few(blocks))
    defined = resampled[~np.isnan(resampled)]
    num_undefined = len(resampled) - len(defined)
    if num_undefined > _MOST_UNDEFINED * len(resampled):
        reason = f"undefined in {num_undefined} of {len(resampled)} resamples"
        return Interval(metric, exact, None, None, reason)
    tail = (1 - confidence) / 2
    tail = max(0.0, tail - _ALLOWANCE * (tail * (1 - tail) / len(defined)) ** 0.5)
    lower, upper = (float(end) for end in np.quantile(defined, (tail, 1 - tail)))
    return Interval(metric, exact, max(least, min(lower, exact)), min(1.0, max(upper, exact)), None)


def _too_few(blocks: Blocks) -> str:
    number = f"{blocks.num} {'block' if blocks.num == 1 else 'blocks'}"
    hours = blocks.seconds // 3600
    return f"{number} of {hours} {'hour' if hours == 1 else 'hours'}; {FEWEST_BLOCKS} are needed"


def effective_rows(of_blocks: Counts) -> float | None:
    """How many independent rows would tell the accuracy as well; None where all answers are right, or none.

    Rows over the design effect: the variance of the accuracy with blocks as they are (that of a ratio,
    linearised) over that of as many independent rows, p (1 - p) / n. See Kish, Survey Sampling (1965). Never
    more than there are rows.
    """
    num, sizes = len(of_blocks), of_blocks.sum(axis=1)
    rows, right = int(sizes.sum()), of_blocks[:, :2].sum(axis=1)
    if num < FEWEST_BLOCKS or not 0 < right.sum() < rows:
        return None
    share = right.sum() / rows
    variance = num / (num - 1) * float(np.sum((right - share * sizes) ** 2)) / rows**2
    return rows if variance == 0 else min(float(rows), share * (1 - share) / variance)
