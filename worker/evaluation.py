"""How well a model does on rows that it has not seen, as plain numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.inspection import permutation_importance
from sklearn.metrics import confusion_matrix, roc_auc_score
from sklearn.pipeline import Pipeline

IMPORTANCE_ROWS = 5_000
IMPORTANCE_REPEATS = 5


@dataclass(frozen=True)
class Score:
    """Confusion matrix at a probability of 0.5, and ROC AUC (None where there is only one class)."""

    tp: int
    tn: int
    fp: int
    fn: int
    roc_auc: float | None


def score(model: Pipeline, features: NDArray[np.float32], labels: NDArray[np.uint8]) -> Score:
    """Score a fitted model on labelled rows. Accuracy, precision, recall and F1 follow in the database."""
    probabilities = model.predict_proba(features)[:, 1]
    (tn, fp), (fn, tp) = confusion_matrix(labels, probabilities > 0.5, labels=[0, 1])
    both = 0 < labels.sum() < len(labels)
    return Score(
        tp=int(tp),
        tn=int(tn),
        fp=int(fp),
        fn=int(fn),
        roc_auc=float(roc_auc_score(labels, probabilities)) if both else None,
    )


def importance(
    model: Pipeline,
    names: Sequence[str],
    features: NDArray[np.float32],
    labels: NDArray[np.uint8],
    random_state: int,
) -> dict[str, float] | None:
    """Permutation importance: how much ROC AUC falls when a feature's values are shuffled.

    Measured on at most 5,000 rows, half of each class where there are enough, with 5 shuffles a feature;
    falls below 0 count as 0, and the rest is normalised to sum to 1 at four decimals.

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
    falls = permutation_importance(
        model,
        features[rows],
        labels[rows],
        scoring="roc_auc",
        n_repeats=IMPORTANCE_REPEATS,
        random_state=random_state,
    ).importances_mean
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
