"""Gradient boosting on histograms, by scikit-learn."""

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.ensemble._hist_gradient_boosting import gradient_boosting
from sklearn.pipeline import Pipeline

from worker.child.models import _shared
from worker.child.models._shared import Features, Labels, Params, Weights, telling, wrapped
from worker.child.numbers import Trees, first_above
from worker.child.progress import Report, seldom
from worker.child.ranking import Ranking

TO_TRAIN = (22.0, 70.0)
TO_PREDICT = (11.5, 130.0)
NAMES = _shared.NAMES | {
    "_loss.CyHalfBinomialLoss",  # as scikit-learn up to 1.6 calls it, and cannot find it
    "numpy.random._pcg64.PCG64",
    "numpy.random._pickle.__bit_generator_ctor",
    "numpy.random._pickle.__generator_ctor",
    "numpy.random.bit_generator.SeedSequence",
    "numpy.random.bit_generator.__pyx_unpickle_SeedSequence",
    "sklearn._loss._loss.CyHalfBinomialLoss",
    "sklearn._loss.link.Interval",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingClassifier",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.preprocessing._label.LabelEncoder",
}

_MOST_NODES = 1_000_000  # that are written down once more


def make(params: Params, random_state: int, _threads: int) -> Pipeline:
    """Trees that use missing values."""
    renamed = {"max_iter" if name == "n_estimators" else name: value for name, value in params.items()}
    model = HistGradientBoostingClassifier(**renamed, early_stopping=False, random_state=random_state)
    return Pipeline([("model", model)])


def fit(
    model: HistGradientBoostingClassifier,
    features: Features,
    labels: Labels,
    report: Report,
    weights: Weights = None,
) -> None:
    """Fit in one go, told of each tree."""
    report_seldom = seldom(report)
    trees = 0

    def tell() -> None:
        nonlocal trees
        trees += 1
        tell_it = report if trees == model.max_iter else report_seldom
        tell_it(trees / model.max_iter, f"Training: {trees}/{model.max_iter} trees")

    with wrapped(gradient_boosting.TreeGrower, "grow", telling(tell)):
        model.fit(features, labels, sample_weight=weights)


def engine(_model: HistGradientBoostingClassifier) -> str:
    """Always scikit-learn."""
    return "scikit-learn"


def ranking(pipeline: Pipeline) -> Pipeline | Ranking:
    """The sum of the trees by xgboost, which takes half the time."""
    if sum(len(predictor.nodes) for (predictor,) in pipeline[-1]._predictors) > _MOST_NODES:
        return pipeline
    return Ranking(numbers(pipeline), pipeline.n_features_in_)


def numbers(pipeline: Pipeline) -> Trees:
    """The trees, whose sum is the logit."""
    model = pipeline[-1]
    parts = [predictor.nodes for (predictor,) in model._predictors]
    nodes, sizes = np.concatenate(parts), [len(part) for part in parts]
    firsts = np.repeat(np.cumsum([0, *sizes[:-1]]), sizes)
    is_leaf = nodes["is_leaf"] == 1
    return Trees(
        answer="logistic",
        base=float(np.ravel(model._baseline_prediction)[0]),
        is_single=False,
        trees=np.repeat(np.arange(len(parts)), sizes),
        feature=np.where(is_leaf, -1, nodes["feature_idx"]),
        bound=first_above(nodes["num_threshold"]),
        less=firsts + nodes["left"],
        more=firsts + nodes["right"],
        missing_less=nodes["missing_go_to_left"] == 1,
        value=nodes["value"],
        cover=nodes["count"],
    )
