"""The five model types as scikit-learn estimators, and how each is fitted with progress.

Every hyperparameter comes from ``ref_model_params``; see there for names, bounds and defaults.
"""

import threading
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, StandardScaler

from worker.errors import JobError
from worker.forest import HistogramForest

Params = dict[str, Any]
Report = Callable[[float, str], None]
Features = NDArray[np.float32]
Labels = NDArray[np.uint8]

_TREES_A_STEP = 10
_OF_XGBOOST = (HistogramForest, xgboost.XGBClassifier)


def parse_params(params: Mapping[str, tuple[str, str]]) -> Params:
    """Turn ``{name: (kind, text)}`` into values; ``none`` is None, other words stay words."""
    return {name: _parse(kind, text) for name, (kind, text) in params.items()}


def _parse(kind: str, text: str) -> Any:
    if text == "none":
        return None
    if kind == "boolean":
        return text == "true"
    if kind == "layers":
        return tuple(int(units) for units in text.split(","))
    if kind in ("integer", "number"):
        try:
            return int(text) if kind == "integer" else float(text)
        except ValueError:
            return text
    return text


def make_estimator(model_type: str, params: Params, random_state: int, threads: int) -> Pipeline:
    """Build the unfitted pipeline of a model type.

    Models that cannot use missing values get the medians of the rows they are fitted on; those that
    need features of one scale get them standardised, by the same rows.
    """
    make = {
        "random_forest": _random_forest,
        "xgboost": _xgboost,
        "gradient_boosting": _gradient_boosting,
        "logistic_regression": _logistic_regression,
        "neural_network": _neural_network,
    }
    return make[model_type](dict(params), random_state, threads)


def fit(pipeline: Pipeline, features: Features, labels: Labels, report: Report) -> list[str]:
    """Fit the pipeline in place, reporting progress as a share and in words.

    Returns:
        What the user should know of the fit, for example that it did not converge.

    Raises:
        JobError: the estimator refuses, for example because its weights grew without bound.
    """
    *preparation, (_, model) = pipeline.steps
    prepared = Pipeline(preparation).fit_transform(features, labels) if preparation else features
    fitters: dict[type, Callable[[Any, Any, Labels, Report], None]] = {
        HistogramForest: _fit_histogram_forest,
        RandomForestClassifier: _fit_forest,
        xgboost.XGBClassifier: _fit_xgboost,
        HistGradientBoostingClassifier: _fit_boosting,
        LogisticRegression: _fit_regression,
        MLPClassifier: _fit_network,
    }
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", ConvergenceWarning)
        try:
            fitters[type(model)](model, prepared, labels, report)
        except ValueError as error:
            raise JobError(f"the model cannot be fitted with these hyperparameters: {error}") from error
    return [str(warning.message).split("\n", maxsplit=1)[0].strip() for warning in caught]


def engine(pipeline: Pipeline) -> str:
    """The library that fits the model."""
    return "xgboost" if isinstance(pipeline[-1], _OF_XGBOOST) else "scikit-learn"


def use_threads(pipeline: Pipeline, threads: int) -> None:
    """Let a model that was fitted elsewhere predict with so many threads."""
    if isinstance(pipeline[-1], _OF_XGBOOST):
        pipeline[-1].set_params(n_jobs=threads)
        pipeline[-1].get_booster().set_param({"nthread": threads})


def _random_forest(params: Params, random_state: int, threads: int) -> Pipeline:
    if HistogramForest.suits(params):
        return Pipeline([("model", HistogramForest(**params, random_state=random_state, n_jobs=threads))])
    # scikit-learn's trees take values that differ by less than 1e-7 for equal, and a coin may cost 3e-8.
    # Trees see the order of the values alone, so each feature is stretched until no difference is that small.
    # What lies far outside the rows of the fit goes to the end of the range: for a tree it is there anyway.
    bound = FunctionTransformer(partial(np.clip, a_min=np.float32(-(2.0**27)), a_max=np.float32(2.0**27)))
    stretch = FunctionTransformer(partial(np.multiply, np.float32(2.0**100)))
    model = RandomForestClassifier(**params, random_state=random_state, n_jobs=threads)
    return Pipeline([("shrink", MaxAbsScaler()), ("bound", bound), ("stretch", stretch), ("model", model)])


def _fit_histogram_forest(model: HistogramForest, features: Features, labels: Labels, report: Report) -> None:
    model.fit(features, labels, callbacks=[_Trees(model.n_estimators, report)])


def _fit_forest(model: RandomForestClassifier, features: Features, labels: Labels, report: Report) -> None:
    total = model.n_estimators
    model.set_params(warm_start=True)  # trees are drawn from the seed as if they were fitted in one go
    step = max(_TREES_A_STEP, total // 50)
    for trees in [*range(step, total, step), total]:
        model.set_params(n_estimators=trees).fit(features, labels)
        report(trees / total, f"Training: {trees}/{total} trees")
    # Threads would add up the votes in the order in which they finish; predictions must not depend on that.
    model.set_params(warm_start=False, n_jobs=1)


class _Trees(xgboost.callback.TrainingCallback):
    def __init__(self, total: int, report: Report) -> None:
        super().__init__()
        self.total = total
        self.report = report

    def after_iteration(self, _model: Any, epoch: int, _evals_log: Any) -> bool:
        self.report((epoch + 1) / self.total, f"Training: {epoch + 1}/{self.total} trees")
        return False


def _xgboost(params: Params, random_state: int, threads: int) -> Pipeline:
    model = xgboost.XGBClassifier(**params, tree_method="hist", random_state=random_state, n_jobs=threads)
    return Pipeline([("model", model)])


def _fit_xgboost(model: xgboost.XGBClassifier, features: Features, labels: Labels, report: Report) -> None:
    model.set_params(callbacks=[_Trees(int(model.n_estimators or 0), report)]).fit(features, labels)
    model.set_params(callbacks=None)  # the model file holds no callback


def _gradient_boosting(params: Params, random_state: int, _threads: int) -> Pipeline:
    params["max_iter"] = params.pop("n_estimators")
    model = HistGradientBoostingClassifier(**params, early_stopping=False, random_state=random_state)
    return Pipeline([("model", model)])


def _fit_boosting(
    model: HistGradientBoostingClassifier, features: Features, labels: Labels, report: Report
) -> None:
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            try:
                trees = model.n_iter_
            except NotFittedError:
                continue
            report(trees / model.max_iter, f"Training: {trees}/{model.max_iter} trees")

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        model.fit(features, labels)
    finally:
        done.set()
        watcher.join()


def _scaled(model: Any) -> Pipeline:
    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    return Pipeline([("impute", imputer), ("scale", StandardScaler()), ("model", model)])


def _logistic_regression(params: Params, random_state: int, _threads: int) -> Pipeline:
    return _scaled(LogisticRegression(**params, random_state=random_state))


def _fit_regression(model: LogisticRegression, features: Features, labels: Labels, report: Report) -> None:
    report(0, f"Training: at most {model.max_iter} iterations")
    model.fit(features, labels)


def _neural_network(params: Params, random_state: int, _threads: int) -> Pipeline:
    params["hidden_layer_sizes"] = params.pop("hidden_layers")
    # A generator, not a seed: partial_fit would shuffle the rows in the same way in every epoch.
    return _scaled(MLPClassifier(**params, random_state=np.random.RandomState(random_state)))


def _fit_network(model: MLPClassifier, features: Features, labels: Labels, report: Report) -> None:
    best, stalled = np.inf, 0
    for epoch in range(1, model.max_iter + 1):
        model.partial_fit(features, labels, classes=[0, 1])
        report(epoch / model.max_iter, f"Training epoch {epoch}/{model.max_iter}")
        stalled = stalled + 1 if model.loss_ > best - model.tol else 0
        best = min(best, model.loss_)
        if stalled > model.n_iter_no_change:
            return
    warnings.warn(
        f"The neural network has not converged after {model.max_iter} epochs; raise max_iter",
        ConvergenceWarning,
        stacklevel=2,
    )
