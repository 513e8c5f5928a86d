"""Logistic regression, by scikit-learn."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression, _logistic, _sag
from sklearn.pipeline import Pipeline

from worker.child.models import _shared
from worker.child.models._shared import (
    Features,
    Labels,
    Params,
    Weights,
    imputed_and_scaled,
    telling,
    wrapped,
)
from worker.child.numbers import Layers
from worker.child.numbers import imputed_and_scaled as layers
from worker.child.progress import Report, seldom, share_of_limit

TO_TRAIN = (25.0, 60.0)
TO_PREDICT = (9.5, 130.0)
NAMES = (
    _shared.NAMES
    | _shared.NAMES_OF_IMPUTED_AND_SCALED
    | {
        "sklearn.linear_model._logistic.LogisticRegression",
    }
)

# Passes over the rows that an iteration takes at least; sag and saga are told of each epoch.
_PASSES = {"lbfgs": 1, "newton-cholesky": 2}
# Arguments of scikit-learn's loop of epochs.
_WEIGHTS, _TOLERANCE, _EPOCHS, _SEEN = 1, 6, 7, 15


def make(params: Params, random_state: int, _threads: int) -> Pipeline:
    """Behind imputing and scaling."""
    return imputed_and_scaled(LogisticRegression(**params, random_state=random_state))


def fit(
    model: LogisticRegression, features: Features, labels: Labels, report: Report, weights: Weights = None
) -> None:
    """Fit in one go, told of each pass over the rows."""
    most = model.max_iter * _PASSES.get(model.solver, 1)
    report_seldom = seldom(report)
    done = 0

    def tell() -> None:
        nonlocal done
        done += 1
        report_seldom(share_of_limit(done, most), f"Training: pass {done} over the rows, at most {most}")

    report(0, f"Training: at most {most} passes over the rows")
    with ExitStack() as stack:
        # scikit-learn has no callback for all solvers; these are the calls that each makes in an iteration.
        for name in ("loss_gradient", "gradient_hessian"):
            stack.enter_context(wrapped(_logistic.LinearModelLoss, name, telling(tell)))
        for name in ("sag32", "sag64"):
            stack.enter_context(wrapped(_sag, name, lambda call: _by_epoch(call, tell)))
        model.fit(features, labels, sample_weight=weights)


def _by_epoch(loop: Callable[..., Any], tell: Callable[[], None]) -> Callable[..., Any]:
    """The loop of sag and saga, an epoch a call: all that it knows is in its arguments, but when to stop."""

    def wrapper(*args: Any) -> tuple[int, int]:
        weights, tolerance, seen = args[_WEIGHTS], args[_TOLERANCE], args[_SEEN]
        epochs = 0
        while epochs < args[_EPOCHS]:
            epochs += 1
            before = weights.copy()
            one = list(args)
            one[_TOLERANCE], one[_EPOCHS], one[_SEEN] = 0, 1, seen
            seen, _ = loop(*one)
            tell()
            change, largest = np.abs(weights - before).max(), np.abs(weights).max()
            if change <= tolerance * largest:
                break
        return seen, epochs

    return wrapper


def engine(_model: LogisticRegression) -> str:
    """Always scikit-learn."""
    return "scikit-learn"


def numbers(pipeline: Pipeline) -> Layers:
    """One layer of one unit."""
    return layers(pipeline, [pipeline[-1].coef_.T], [pipeline[-1].intercept_], "identity")
