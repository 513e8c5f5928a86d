"""What several types of model share."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

_TELL_SECONDS = 0.1

Params = dict[str, Any]
Report = Callable[[float, str], None]
Features = NDArray[np.float32]
Labels = NDArray[np.uint8]

# What the pickles of several types refer to.
NAMES = frozenset(
    {
        "joblib.numpy_pickle.NumpyArrayWrapper",
        "numpy._core.multiarray.scalar",
        "numpy.dtype",
        "numpy.ndarray",
        "sklearn.pipeline.Pipeline",
    }
)
NAMES_OF_IMPUTED_AND_SCALED = frozenset(
    {"sklearn.impute._base.SimpleImputer", "sklearn.preprocessing._data.StandardScaler"}
)


class Trees(xgboost.callback.TrainingCallback):
    """Reports trees of xgboost, some times a second: to tell of each would take a small fit's own time."""

    def __init__(self, total: int, report: Report) -> None:
        super().__init__()
        self.total = total
        self.report = report
        self._tell_at = 0.0  # monotonic time

    def after_iteration(self, _model: Any, epoch: int, _evals_log: Any) -> bool:
        """Called by xgboost; False lets it go on."""
        if time.monotonic() >= self._tell_at or epoch + 1 == self.total:
            self.report((epoch + 1) / self.total, f"Training: {epoch + 1}/{self.total} trees")
            self._tell_at = time.monotonic() + _TELL_SECONDS
        return False


def use_threads(model: Any, threads: int) -> None:
    """Let trees of xgboost predict with so many threads."""
    model.set_params(n_jobs=threads)
    model.get_booster().set_param({"nthread": threads})


def imputed_and_scaled(model: Any) -> Pipeline:
    """For a model that needs all values, and features of one scale.

    Both by the rows of the fit: what is missing gets their median, and each feature their deviation.
    """
    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    return Pipeline([("impute", imputer), ("scale", StandardScaler()), ("model", model)])
