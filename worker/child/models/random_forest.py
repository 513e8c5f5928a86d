"""A random forest: grown on histograms by xgboost where it can be, else by scikit-learn."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self

import numpy as np
import xgboost
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler
from sklearn.utils.class_weight import compute_sample_weight

from worker.child.models import _shared
from worker.child.models._shared import Features, Labels, Params, Trees, Weights
from worker.child.numbers import Trees as Sum
from worker.child.progress import Report

TO_TRAIN = (16.0, 150.0)  # of scikit-learn's forest where it takes more
TO_PREDICT = (10.5, 130.0)
NAMES = _shared.NAMES | {
    "builtins.bytearray",
    "functools.partial",
    "numpy.clip",
    "numpy.multiply",
    "sklearn.ensemble._forest.RandomForestClassifier",
    "sklearn.preprocessing._data.MaxAbsScaler",
    "sklearn.tree._classes.DecisionTreeClassifier",
    "sklearn.tree._tree.Tree",
    "worker.child.models.random_forest.HistogramForest",  # in files of versions before 6
    "worker.forest.HistogramForest",  # in files of the first version
    "xgboost.core.Booster",
    "xgboost.sklearn.XGBRFClassifier",
}

FEWEST_BINS, MOST_BINS = 32, 256
ROWS_A_BIN = 64
TREES_AT_ONCE = 25  # as many as a processor's cache holds: all rows see them before the next
BOOTSTRAP_SHARE = 0.632  # of the rows, which a bootstrap draws at least once
_TREES_A_STEP = 10  # of scikit-learn between two reports, where there are enough


def make(params: Params, random_state: int, threads: int) -> Pipeline:
    """The forest that knows these hyperparameters; both use missing values."""
    if HistogramForest.suits(params):
        return Pipeline([("model", HistogramForest(**params, random_state=random_state, n_jobs=threads))])
    # scikit-learn's trees take values that differ by less than 1e-7 for equal, and a coin may cost 3e-8.
    # Trees see the order of the values alone, so each feature is stretched until no difference is that small.
    # What lies far outside the rows of the fit goes to the end of the range: for a tree it is there anyway.
    bound = FunctionTransformer(partial(np.clip, a_min=np.float32(-(2.0**27)), a_max=np.float32(2.0**27)))
    stretch = FunctionTransformer(partial(np.multiply, np.float32(2.0**100)))
    model = RandomForestClassifier(**params, random_state=random_state, n_jobs=threads)
    return Pipeline([("shrink", MaxAbsScaler()), ("bound", bound), ("stretch", stretch), ("model", model)])


def fit(
    model: RandomForestClassifier,
    features: Features,
    labels: Labels,
    report: Report,
    weights: Weights = None,
) -> None:
    """Grow the trees, told of each or of some at a time."""
    total = model.n_estimators
    if isinstance(model, HistogramForest):
        model.fit(features, labels, weights, callbacks=[Trees(total, report)])
        return
    model.set_params(warm_start=True)  # trees are drawn from the seed as if they were fitted in one go
    step = max(1, min(_TREES_A_STEP, total // 10), total // 50)
    for trees in [*range(step, total, step), total]:
        model.set_params(n_estimators=trees).fit(features, labels, sample_weight=weights)
        report(trees / total, f"Training: {trees}/{total} trees")
    # Threads would add up the votes in the order in which they finish; predictions must not depend on that.
    model.set_params(warm_start=False, n_jobs=1)


def engine(model: RandomForestClassifier) -> str:
    """The library that grows the trees."""
    return "xgboost" if isinstance(model, HistogramForest) else "scikit-learn"


def use_threads(model: RandomForestClassifier, threads: int) -> None:
    """Let a forest that was fitted elsewhere predict with so many threads."""
    if isinstance(model, HistogramForest):
        _shared.use_threads(model, threads)


def for_file(model: RandomForestClassifier) -> RandomForestClassifier | xgboost.XGBRFClassifier:
    """A forest that any notebook can load: of the same trees, which xgboost predicts with."""
    if not isinstance(model, HistogramForest):
        return model
    public = xgboost.XGBRFClassifier(
        n_estimators=model.n_estimators,
        max_depth=model.max_depth,
        max_leaves=model.max_leaf_nodes,
        subsample=BOOTSTRAP_SHARE if model.bootstrap else 1,
        reg_lambda=0,
        tree_method="hist",
        random_state=model.random_state,
        n_jobs=model.n_jobs,
    )
    public.load_model(model.booster_.save_raw("ubj"))  # the squared error of 0 and 1: its sum is the share
    return public


def from_file(
    model: RandomForestClassifier | xgboost.XGBRFClassifier,
) -> RandomForestClassifier:
    """The forest that predicts as it did when it was trained."""
    if not isinstance(model, xgboost.XGBRFClassifier):
        return model
    booster = model.get_booster()
    forest = HistogramForest(n_estimators=booster.num_boosted_rounds())
    forest.classes_, forest.n_features_in_, forest.n_outputs_ = np.array([0, 1]), booster.num_features(), 1
    forest.booster_ = booster
    return forest


def numbers(pipeline: Pipeline) -> Sum:
    """The trees, whose sum is the probability."""
    model = pipeline[-1]
    if isinstance(model, HistogramForest):
        return _shared.summed(model.booster_, "share")
    shrink, bound, stretch, _ = (step for _, step in pipeline.steps)

    def transformed(values: NDArray[np.float32], feature: NDArray[Any]) -> NDArray[np.float32]:
        return stretch.func(bound.func(values / shrink.scale_[feature]))  # type: ignore[no-any-return]

    parts = [estimator.tree_ for estimator in model.estimators_]
    sizes = [part.node_count for part in parts]
    firsts = np.repeat(np.cumsum([0, *sizes[:-1]]), sizes)
    left = np.concatenate([part.children_left for part in parts])
    is_leaf = left < 0
    feature = np.where(is_leaf, -1, np.concatenate([part.feature for part in parts]))
    threshold = np.concatenate([part.threshold for part in parts])
    value = np.concatenate([part.value[:, 0, :] for part in parts])
    return Sum(
        answer="share",
        base=0.0,
        is_single=False,
        trees=np.repeat(np.arange(len(parts)), sizes),
        feature=feature,
        bound=_first_beyond(lambda values: transformed(values, feature), threshold),
        less=firsts + left,
        more=firsts + np.concatenate([part.children_right for part in parts]),
        missing_less=np.concatenate([part.missing_go_to_left for part in parts]) == 1,
        value=value[:, 1] / value.sum(axis=1) / len(parts),
        cover=np.concatenate([part.weighted_n_node_samples for part in parts]),
    )


def _first_beyond(
    change: Callable[[NDArray[np.float32]], NDArray[np.float32]], thresholds: NDArray[np.float64]
) -> NDArray[np.float32]:
    """For each threshold the smallest float32 that becomes greater when it is changed; infinite if none does.

    What never falls is searched by halves, among the float32 in their order.
    """
    low = np.full(len(thresholds), -(2**31 - 2**23), np.int64)  # the numbers of -inf and inf
    high = -low
    while (high - low > 1).any():
        middle = (low + high) // 2
        is_beyond = change(_numbered(middle)) > thresholds
        low, high = np.where(is_beyond, low, middle), np.where(is_beyond, middle, high)
    return _numbered(high)


def _numbered(number: NDArray[np.int64]) -> NDArray[np.float32]:
    """The float32 that has this number in their order; 0 has 0."""
    bits = np.where(number < 0, -number | 2**31, number).astype(np.uint32)
    return bits.view(np.float32)


class HistogramForest(RandomForestClassifier):  # type: ignore[misc]
    """A random forest for labels 0 and 1: scikit-learn's hyperparameters, xgboost's trees.

    A split is sought among 32 to 256 quantiles of a feature, of 64 rows each, instead of among all values,
    and missing values go to the side that suits them. Each tree sees a random 63.2% of the rows: as many as
    a bootstrap draws, but each of them once. Trees are those of xgboost on the squared error, for which the
    best split is that of the Gini impurity and a leaf predicts its share of positive rows. All are grown on
    the labels themselves, not on what other trees left over.

    The same rows give the same forest for any number of threads.

    See Breiman, Random Forests, Machine Learning 45 (2001), and Chen and Guestrin, XGBoost, KDD 2016.
    """

    @staticmethod
    def suits(params: dict[str, Any]) -> bool:
        """Whether it knows these hyperparameters; for others there is scikit-learn's own forest."""
        leaf, weight = params["min_samples_leaf"], params["class_weight"]
        return (
            params["criterion"] == "gini"
            and params["min_samples_split"] <= 2 * leaf  # no more than the two leaves need
            and (weight is None or (weight == "balanced" and leaf == 1))  # a leaf's rows count by weight
        )

    def fit(
        self,
        features: NDArray[np.float32],
        labels: NDArray[np.uint8],
        sample_weight: Weights = None,
        callbacks: Sequence[xgboost.callback.TrainingCallback] = (),
    ) -> Self:
        """Grow the trees, one a round; ``callbacks`` are told of each.

        Where rows have weights, a leaf that must keep more than one row counts them by weight.

        Raises:
            ValueError: a hyperparameter is out of its bounds.
        """
        self._validate_params()
        rows, num_features = features.shape
        weights = np.ones(rows) if self.class_weight is None else compute_sample_weight("balanced", labels)
        if sample_weight is not None:
            weights = weights * sample_weight
        counts_rows = self.class_weight is None and (sample_weight is None or self.min_samples_leaf > 1)
        # The gradient and hessian of the squared error where nothing is predicted yet.
        gradient, hessian = (-weights * labels).astype(np.float32), weights.astype(np.float32)
        varies = np.array([_varies(column) for column in features.T])
        bins = int(np.clip(rows // ROWS_A_BIN, FEWEST_BINS, MOST_BINS))
        data = xgboost.QuantileDMatrix(
            features,
            max_bin=bins,
            nthread=self.n_jobs,
            feature_weights=None if varies.all() else varies.astype(np.float32),
        )
        params = {
            "tree_method": "hist",
            "max_bin": bins,
            "base_score": 0,
            "learning_rate": _share_of_a_tree(self.n_estimators),  # the sum of the trees is their mean
            "subsample": BOOTSTRAP_SHARE if self.bootstrap else 1,
            "colsample_bynode": self._share_of_features(num_features, int(varies.sum())),
            "max_depth": self.max_depth or 0,
            "max_leaves": self.max_leaf_nodes or 0,
            "grow_policy": "lossguide" if self.max_leaf_nodes else "depthwise",
            "min_child_weight": self.min_samples_leaf if counts_rows else 0,
            "reg_lambda": 0,
            "seed": self.random_state,
            "nthread": self.n_jobs,
            "disable_default_eval_metric": True,
        }
        self.classes_ = np.array([0, 1])
        self.n_features_in_, self.n_outputs_ = num_features, 1
        self.booster_ = xgboost.train(
            params,
            data,
            self.n_estimators,
            obj=lambda _predicted, _data: (gradient, hessian),
            callbacks=list(callbacks),
        )
        return self

    def predict_proba(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Share of negative and of positive rows, shape (rows, 2)."""
        shares = np.zeros(len(features), np.float32)
        for first in range(0, self.n_estimators, TREES_AT_ONCE):
            shares = self.booster_.inplace_predict(
                features,
                iteration_range=(first, min(first + TREES_AT_ONCE, self.n_estimators)),
                base_margin=shares,  # the trees are summed in their order, as they would be all at once
                validate_features=False,
            )
        positive = np.clip(shares, 0, 1)
        return np.stack([1 - positive, positive], axis=1)

    def get_booster(self) -> xgboost.Booster:
        """The trees."""
        return self.booster_

    def __getstate__(self) -> dict[str, Any]:
        """A file holds the trees in the format that later versions of xgboost read, too."""
        state: dict[str, Any] = super().__getstate__()
        return state | ({"booster_": bytes(self.booster_.save_raw("ubj"))} if "booster_" in state else {})

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "booster_" in state:
            state = state | {"booster_": xgboost.Booster(model_file=bytearray(state["booster_"]))}
        super().__setstate__(state)

    def _share_of_features(self, num_features: int, num_varying: int) -> float:
        """Share to try at a split, which xgboost multiplies and rounds down."""
        tried = {"sqrt": np.sqrt(num_features), "log2": np.log2(num_features)}.get(self.max_features)
        if tried is None:
            tried = self.max_features * num_features
        number = min(max(1, int(tried)), max(1, num_varying))
        return min(1.0, (number + 0.01) / num_features)


def _share_of_a_tree(num_trees: int) -> float:
    """What a tree adds for a row that is surely positive; all together at most 1, in float32, too."""
    share = np.float32(1 / num_trees)
    while np.full(num_trees, share).cumsum(dtype=np.float32)[-1] > 1:
        share = np.nextafter(share, np.float32(0))
    return float(share)


def _varies(column: NDArray[np.float32]) -> bool:
    """Whether a split of this feature can part any rows."""
    smallest, largest = np.fmin.reduce(column), np.fmax.reduce(column)
    return bool(smallest < largest or np.isnan(column).any())
