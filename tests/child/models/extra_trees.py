"""A sixth type of model, as another distribution may provide it: one file."""

from sklearn.ensemble import ExtraTreesClassifier
from sklearn.pipeline import Pipeline

from worker.child.models import _shared
from worker.child.models._shared import Features, Labels, Params
from worker.child.progress import Report

TO_TRAIN = (1000.0, 150.0)
TO_PREDICT = (10.5, 90.0)
NAMES = _shared.NAMES | {
    "sklearn.ensemble._forest.ExtraTreesClassifier",
    "sklearn.tree._classes.ExtraTreeClassifier",
    "sklearn.tree._tree.Tree",
}


def make(params: Params, random_state: int, threads: int) -> Pipeline:
    model = ExtraTreesClassifier(**params, random_state=random_state, n_jobs=threads)
    return Pipeline([("model", model)])


def fit(model: ExtraTreesClassifier, features: Features, labels: Labels, report: Report) -> None:
    model.set_params(warm_start=True)
    total = model.n_estimators
    for trees in range(1, total + 1):
        model.set_params(n_estimators=trees).fit(features, labels)
        report(trees / total, f"Training: {trees}/{total} trees")


def engine(_model: ExtraTreesClassifier) -> str:
    return "scikit-learn"
