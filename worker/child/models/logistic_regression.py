"""Logistic regression, by scikit-learn."""

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from worker.child.models import _shared
from worker.child.models._shared import Features, Labels, Params, imputed_and_scaled
from worker.child.progress import Report

TO_TRAIN = (25.0, 60.0)
TO_PREDICT = (9.5, 100.0)
NAMES = (
    _shared.NAMES
    | _shared.NAMES_OF_IMPUTED_AND_SCALED
    | {
        "sklearn.linear_model._logistic.LogisticRegression",
    }
)


def make(params: Params, random_state: int, _threads: int) -> Pipeline:
    """Behind imputing and scaling."""
    return imputed_and_scaled(LogisticRegression(**params, random_state=random_state))


def fit(model: LogisticRegression, features: Features, labels: Labels, report: Report) -> None:
    """Fit in one go; nothing tells how far it is."""
    report(0, f"Training: at most {model.max_iter} iterations")
    model.fit(features, labels)


def engine(_model: LogisticRegression) -> str:
    """Always scikit-learn."""
    return "scikit-learn"
