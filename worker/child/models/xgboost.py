"""Gradient boosting by xgboost."""

from sklearn.pipeline import Pipeline
from xgboost import XGBClassifier

from worker.child.models import _shared
from worker.child.models._shared import Features, Labels, Params, Trees, Weights, use_threads
from worker.child.numbers import Trees as Sum
from worker.child.progress import Report

__all__ = ["NAMES", "TO_PREDICT", "TO_TRAIN", "engine", "fit", "make", "numbers", "use_threads"]

TO_TRAIN = (8.0, 70.0)
TO_PREDICT = (4.5, 135.0)
NAMES = _shared.NAMES | {
    "builtins.bytearray",
    "xgboost.core.Booster",
    "xgboost.sklearn.XGBClassifier",
}


def make(params: Params, random_state: int, threads: int) -> Pipeline:
    """Trees that use missing values."""
    model = XGBClassifier(**params, tree_method="hist", random_state=random_state, n_jobs=threads)
    return Pipeline([("model", model)])


def fit(
    model: XGBClassifier, features: Features, labels: Labels, report: Report, weights: Weights = None
) -> None:
    """Fit in one go, told of each tree."""
    model.set_params(callbacks=[Trees(int(model.n_estimators or 0), report)])
    model.fit(features, labels, sample_weight=weights)
    model.set_params(callbacks=None)  # the model file holds no callback


def engine(_model: XGBClassifier) -> str:
    """Always xgboost."""
    return "xgboost"


def numbers(pipeline: Pipeline) -> Sum:
    """The trees, whose sum in float32 is the logit."""
    return _shared.summed(pipeline[-1].get_booster(), "logistic")
