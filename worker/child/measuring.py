"""How well a model does on rows that it has not seen, as plain numbers."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from worker.child import intervals
from worker.child.assignment import HALF
from worker.child.ranking import Ranking
from worker.child.resampling import Blocks

IMPORTANCE_ROWS = 5_000
IMPORTANCE_REPEATS = 5
CURVE_GRID = np.arange(101) / 100  # the thresholds that every curve has
CURVE_OWN = 100  # thresholds more, where the probabilities are


@dataclass(frozen=True)
class Score:
    """Confusion matrix at the threshold of the model, and how good the probabilities are.

    Attributes:
        threshold: rows with a greater probability are predicted positive.
        tp_at_half, fp_at_half: what ``tp`` and ``fp`` would be if the threshold were 0.5.
        roc_auc, average_precision: None with one class only.
        log_loss: in nats, as scikit-learn's; see Gneiting and Raftery, Strictly Proper Scoring Rules, JASA
            102 (2007).
        brier_score: mean square of probability minus label; Brier, Monthly Weather Review 78 (1950).
    """

    threshold: float
    tp: int
    tn: int
    fp: int
    fn: int
    tp_at_half: int
    fp_at_half: int
    roc_auc: float | None
    average_precision: float | None
    log_loss: float
    brier_score: float


def measure(
    model: Pipeline | Ranking,
    names: Sequence[str],
    features: NDArray[np.float32],
    labels: NDArray[np.uint8],
    random_state: int,
    *,
    probabilities: NDArray[np.float64],
    blocks: Blocks,
    pool: Executor,
    threshold: float = HALF,
    order: NDArray[np.int64] | None = None,
) -> dict[str, Any]:
    """Everything that is told of a model on some rows, by the names of the results' columns.

    What the model answers are the ``probabilities``; it is asked once more for importance alone.
    ``blocks`` are those of the rows; ``pool`` takes what can be done beside the rest; ``order`` is the rising
    one of the probabilities, where it is known already.
    """
    if order is None:
        order = np.argsort(probabilities)
    scored = score(probabilities, labels, threshold, order)
    around = pool.submit(intervals.of_model, blocks, labels, side(probabilities, scored))
    points = pool.submit(curve, probabilities, labels, threshold, order)
    found = importance(model, names, features, labels, random_state)
    num_positive = int(labels.sum())
    return {
        "num_positive": num_positive,
        "num_negative": len(labels) - num_positive,
        **asdict(scored),
        "feature_importance_csv": to_csv(found),
        "ml_curve_points": points.result(),
        "ml_intervals": around.result(),
    }


def side(probabilities: NDArray[np.float64], scored: Score) -> intervals.Side:
    """What intervals are made of."""
    return intervals.Side(
        probabilities, probabilities > scored.threshold, scored.roc_auc, scored.average_precision
    )


def predict(model: Pipeline | Ranking, features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probability of each row to be positive."""
    return np.asarray(model.predict_proba(features)[:, 1], dtype=np.float64).clip(0, 1)


def score(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.uint8],
    threshold: float = HALF,
    order: NDArray[np.int64] | None = None,
) -> Score:
    """Score predictions of labelled rows. Accuracy, precision, recall and F1 follow in the database.

    ``order`` is the rising one of the probabilities, where it is known.
    """
    positive = labels == 1
    tp, fp = _hits(probabilities, positive, threshold)
    tp_at_half, fp_at_half = (tp, fp) if threshold == HALF else _hits(probabilities, positive, HALF)
    fn = int(np.count_nonzero(positive)) - tp
    has_both, ranked = 0 < tp + fn < len(labels), _ranked(probabilities, labels, order)
    return Score(
        threshold=threshold,
        tp=tp,
        tn=len(labels) - tp - fp - fn,
        fp=fp,
        fn=fn,
        tp_at_half=tp_at_half,
        fp_at_half=fp_at_half,
        roc_auc=_roc_auc(*ranked) if has_both else None,
        average_precision=_average_precision(*ranked) if has_both else None,
        log_loss=_log_loss(probabilities, positive),
        brier_score=float(np.mean((probabilities - positive) ** 2)),
    )


def _hits(
    probabilities: NDArray[np.float64], positive: NDArray[np.bool_], threshold: float
) -> tuple[int, int]:
    """How many positive and negative rows are above a threshold."""
    predicted = probabilities > threshold
    tp = int(np.count_nonzero(positive & predicted))
    return tp, int(np.count_nonzero(predicted)) - tp


def _log_loss(probabilities: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """The number that ``log_loss`` gives: a probability of 0 or 1 counts as the nearest double."""
    of_label = np.where(positive, probabilities, 1 - probabilities)
    tiny = np.finfo(np.float64).eps
    return float(-np.mean(np.log(np.clip(of_label, tiny, 1 - tiny))))


def _ranked(
    probabilities: NDArray[np.float64], labels: NDArray[np.uint8], rising: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many positive and negative rows are at least as probable, for each probability, falling."""
    order = (np.argsort(probabilities) if rising is None else rising)[::-1]
    falling = probabilities[order]
    ends = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))  # of the rows of one probability
    positives = np.cumsum(labels[order], dtype=np.int64)[ends]
    return positives, ends + 1 - positives


def _roc_auc(positives: NDArray[np.int64], negatives: NDArray[np.int64]) -> float:
    """Of ranked rows, the number that ``roc_auc_score`` gives.

    It is the share of pairs of a positive and a negative row in which the positive one is the more probable;
    a tie is half of one. Scikit-learn's checks would take longer than this.
    """
    area = np.trapezoid(np.append(0, positives), np.append(0, negatives))
    return float(area / (positives[-1] * negatives[-1]))


def _average_precision(positives: NDArray[np.int64], negatives: NDArray[np.int64]) -> float:
    """Of ranked rows, the number that ``average_precision_score`` gives: the mean precision over recall."""
    precision = positives / (positives + negatives)
    return float(np.sum(np.diff(positives, prepend=0) * precision) / positives[-1])


def curve(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.uint8],
    threshold: float = HALF,
    order: NDArray[np.int64] | None = None,
) -> list[dict[str, float]]:
    """How predictions would come out at other thresholds than the model's: at most 202, exact at each.

    The thresholds are 0, 0.01 to 1, the model's own, and where there are at most 100 different probabilities
    each of these: then ROC and precision-recall curves are exact. Otherwise 50 quantiles of either class, so
    that between two thresholds at most 2% of a class pass, unless they have the same probability.
    ``order`` is the rising one of the probabilities, where it is known.

    Returns:
        Rows of ``ml_curve_points``, one for each threshold, rising.
    """
    order = np.argsort(probabilities) if order is None else order
    rising, of_rising = probabilities[order], labels[order]
    classes = [rising[of_rising == label] for label in (1, 0)]
    own = np.union1d(*(of_class[np.diff(of_class, prepend=-1) > 0] for of_class in classes))
    if len(own) > CURVE_OWN:
        own = np.concatenate([_spread(of_class, CURVE_OWN // 2) for of_class in classes])
    thresholds = np.union1d(np.append(CURVE_GRID, threshold), own)
    counts, sums = [], np.zeros(len(thresholds))
    for of_class in classes:
        below = np.searchsorted(of_class, thresholds, side="right")
        running = np.concatenate([[0.0], of_class.cumsum()])
        counts.append(len(of_class) - below)
        sums += running[-1] - running[below]
    (tp, fp), (positives, negatives) = counts, map(len, classes)
    return [
        {
            "threshold": float(at),
            "tp": int(tp[i]),
            "fp": int(fp[i]),
            "tn": int(negatives - fp[i]),
            "fn": int(positives - tp[i]),
            "sum_probability": float(sums[i]),
        }
        for i, at in enumerate(thresholds)
    ]


def _spread(values: NDArray[np.float64], number: int) -> NDArray[np.float64]:
    """So many of the sorted values, at equal distances."""
    if len(values) == 0:
        return values
    return values[np.linspace(0, len(values) - 1, number).round().astype(np.int64)]


def importance(
    model: Pipeline | Ranking,
    names: Sequence[str],
    features: NDArray[np.float32],
    labels: NDArray[np.uint8],
    random_state: int,
) -> dict[str, float] | None:
    """Permutation importance: how much ROC AUC falls when a feature's values are shuffled.

    Measured on at most 5,000 rows, half of each class where there are enough, with 5 shuffles a feature;
    falls below 0 count as 0, and the rest is normalised to sum to 1 at four decimals. See Breiman, Random
    Forests, Machine Learning 45 (2001).

    Returns:
        Importance by feature, the greatest first; None where it is undefined: one class only, or no
        feature whose shuffling costs anything.
    """
    rng = np.random.default_rng(random_state)
    positives, negatives = (rng.permutation(np.flatnonzero(labels == label)) for label in (1, 0))
    if len(positives) == 0 or len(negatives) == 0:
        return None
    num_positive = min(len(positives), max(IMPORTANCE_ROWS // 2, IMPORTANCE_ROWS - len(negatives)))
    rows = np.concatenate([positives[:num_positive], negatives[: IMPORTANCE_ROWS - num_positive]])
    sample, answers = features[rows], labels[rows]
    whole = _roc_auc(*_ranked(predict(model, sample), answers))
    # All shuffles of a feature are predicted at once: models take less time for many rows.
    repeated = np.tile(sample, (IMPORTANCE_REPEATS, 1))
    falls = np.empty(len(names))
    for number, column in enumerate(sample.T):
        repeated[:, number] = np.concatenate([rng.permutation(column) for _ in range(IMPORTANCE_REPEATS)])
        of_shuffles = predict(model, repeated).reshape(IMPORTANCE_REPEATS, -1)
        falls[number] = whole - np.mean([_roc_auc(*_ranked(shuffled, answers)) for shuffled in of_shuffles])
        repeated[:, number] = np.tile(column, IMPORTANCE_REPEATS)
    falls = np.clip(falls, 0, None)
    if falls.sum() == 0:
        return None
    shares = _round_to_one(falls / falls.sum())
    order = np.argsort(-shares, kind="stable")
    return {names[i]: float(shares[i]) for i in order}


def to_csv(values: dict[str, float] | None) -> str | None:
    """Write ``key=value;key=value`` with four decimals."""
    if values is None:
        return None
    return ";".join(f"{name}={value:.4f}" for name, value in values.items())


def _round_to_one(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round to four decimals so that the sum stays 1: the largest remainders are rounded up."""
    units = shares * 10_000
    rounded = np.floor(units)
    largest = np.argsort(rounded - units, kind="stable")[: round(10_000 - rounded.sum())]
    rounded[largest] += 1
    return rounded / 10_000
