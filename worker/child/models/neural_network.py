"""A neural network of dense layers, by scikit-learn."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
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

TO_TRAIN = (24.0, 60.0)
TO_PREDICT = (9.5, 130.0)
NAMES = (
    _shared.NAMES
    | _shared.NAMES_OF_IMPUTED_AND_SCALED
    | {
        "numpy.random._mt19937.MT19937",
        "numpy.random._pickle.__bit_generator_ctor",
        "numpy.random._pickle.__randomstate_ctor",
        "sklearn.neural_network._multilayer_perceptron.MLPClassifier",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.preprocessing._label.LabelBinarizer",
    }
)


def make(params: Params, random_state: int, _threads: int) -> Pipeline:
    """Behind imputing and scaling."""
    renamed = {
        "hidden_layer_sizes" if name == "hidden_layers" else name: value for name, value in params.items()
    }
    # A generator, not a seed: partial_fit would shuffle the rows in the same way in every epoch.
    return imputed_and_scaled(MLPClassifier(**renamed, random_state=np.random.RandomState(random_state)))


def fit(
    model: MLPClassifier, features: Features, labels: Labels, report: Report, weights: Weights = None
) -> None:
    """Fit an epoch at a time, until the loss no longer falls. Warns if it still does at the last."""
    best, stalled = np.inf, 0
    most = model.max_iter
    batch = min(200, len(labels)) if model.batch_size == "auto" else model.batch_size
    a_batch = min(1.0, batch / len(labels))
    epoch, share_of_epoch = 1, 0.0
    report_seldom = seldom(report)

    def tell() -> None:
        nonlocal share_of_epoch
        share_of_epoch = min(1.0, share_of_epoch + a_batch)
        report_seldom(share_of_limit(epoch - 1 + share_of_epoch, most), f"Training epoch {epoch}/{most}")

    for epoch in range(1, most + 1):
        share_of_epoch = 0.0
        with wrapped(MLPClassifier, "_backprop", telling(tell)):
            model.partial_fit(features, labels, sample_weight=weights, classes=[0, 1])
        report(share_of_limit(epoch, most), f"Training epoch {epoch}/{most}")
        stalled = stalled + 1 if model.loss_ > best - model.tol else 0
        best = min(best, model.loss_)
        if stalled > model.n_iter_no_change:
            return
    warnings.warn(
        f"The neural network has not converged after {model.max_iter} epochs; raise max_iter",
        ConvergenceWarning,
        stacklevel=2,
    )


def engine(_model: MLPClassifier) -> str:
    """Always scikit-learn."""
    return "scikit-learn"


def numbers(pipeline: Pipeline) -> Layers:
    """The layers."""
    model = pipeline[-1]
    return layers(pipeline, model.coefs_, model.intercepts_, model.activation)
