"""What several types of model share."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from worker.child import boosters, numbers
from worker.child.progress import Report, seldom

Params = dict[str, Any]
Features = NDArray[np.float32]
Labels = NDArray[np.uint8]
Weights = NDArray[np.float32] | None  # of the rows, 1 on average; None: all count the same

# What the pickles of all types refer to: arrays, the pipeline, and its first two steps (see model_file).
NAMES = frozenset(
    {
        "joblib.numpy_pickle.NumpyArrayWrapper",
        "numpy._core.multiarray.scalar",
        "numpy.dtype",
        "numpy.float32",
        "numpy.ndarray",
        "sklearn.pipeline.Pipeline",
        "sklearn.preprocessing._data.StandardScaler",
        "sklearn.preprocessing._function_transformer.FunctionTransformer",
    }
)
NAMES_OF_IMPUTED_AND_SCALED = frozenset({"sklearn.impute._base.SimpleImputer"})


class Trees(xgboost.callback.TrainingCallback):
    """Reports trees of xgboost: now and then, and the last."""

    def __init__(self, total: int, report: Report) -> None:
        super().__init__()
        self.total = total
        self.report = report
        self.report_seldom = seldom(report)

    def after_iteration(self, _model: Any, epoch: int, _evals_log: Any) -> bool:
        """Called by xgboost; False lets it go on."""
        report = self.report if epoch + 1 == self.total else self.report_seldom
        report((epoch + 1) / self.total, f"Training: {epoch + 1}/{self.total} trees")
        return False


@contextmanager
def wrapped(
    owner: Any, name: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> Iterator[None]:
    """Wrap a function of a library for a while, to be told of the steps of a fit that has no callback.

    The library does not promise it: in a version without it nothing is told, and the fit is the same.
    """
    original = getattr(owner, name, None)
    if original is None:
        yield
        return
    setattr(owner, name, wrap(original))
    try:
        yield
    finally:
        setattr(owner, name, original)


def telling(tell: Callable[[], None]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Lets a function tell of the end of each of its calls."""

    def wrap(call: Callable[..., Any]) -> Callable[..., Any]:
        def told(*args: Any, **options: Any) -> Any:
            found = call(*args, **options)
            tell()
            return found

        return told

    return wrap


def use_threads(model: Any, threads: int) -> None:
    """Let trees of xgboost predict with so many threads."""
    model.n_jobs = threads  # set_params would ask for what a model of an older version does not have
    model.get_booster().set_param({"nthread": threads})


def imputed_and_scaled(model: Any) -> Pipeline:
    """For a model that needs all values, and features of one scale.

    Both by the rows of the fit: what is missing gets their median, and each feature their deviation.
    """
    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    return Pipeline([("impute", imputer), ("scale", StandardScaler()), ("model", model)])


def summed(booster: xgboost.Booster, answer: numbers.Answer) -> numbers.Trees:
    """Trees of xgboost."""
    base, trees = boosters.trees_in(bytes(booster.save_raw("ubj")))
    sizes = [len(tree["left_children"]) for tree in trees]
    firsts = np.repeat(np.cumsum([0, *sizes[:-1]]), sizes)

    def whole(name: str) -> NDArray[Any]:
        return np.concatenate([tree[name] for tree in trees])

    left = whole("left_children").astype(np.int64)
    values = whole("split_conditions").astype(np.float32)
    share = np.float32(base)
    return numbers.Trees(
        answer=answer,
        base=0.0 if answer == "share" else float(-np.log(np.float32(1) / share - np.float32(1))),
        is_single=True,
        trees=np.repeat(np.arange(len(trees)), sizes),
        feature=np.where(left < 0, -1, whole("split_indices").astype(np.int64)),
        bound=values,
        less=firsts + left,
        more=firsts + whole("right_children").astype(np.int64),
        missing_less=whole("default_left") == 1,
        value=values,
        cover=whole("sum_hessian").astype(np.float32),
    )
