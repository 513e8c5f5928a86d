"""Fits a model of any type: hyperparameters from text, preparation of the features, warnings.

Every hyperparameter comes from ``ref_model_params``; see there for names, bounds and defaults.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from worker.child.models import ModelType
from worker.child.models._shared import Features, Labels, Params, Weights
from worker.child.progress import Report
from worker.errors import JobError

_PREPARED = 0.1  # of the fit's part of the progress bar, where features are prepared


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


def fit(
    model_type: ModelType,
    pipeline: Pipeline,
    features: Features,
    labels: Labels,
    report: Report,
    *,
    weights: Weights = None,
) -> list[str]:
    """Fit the pipeline in place, reporting progress as a share and in words.

    Weights are those of the rows for the model; medians and deviations of the features are of all rows alike.

    Returns:
        What the user should know of the fit, for example that it did not converge.

    Raises:
        JobError: the model refuses, for example because its weights grew without bound.
    """
    *preparation, (_, model) = pipeline.steps
    prepared = _prepare(preparation, features, report)
    share_before = _PREPARED if preparation else 0.0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", ConvergenceWarning)
        try:
            model_type.fit(
                model,
                prepared,
                labels,
                lambda share, message: report(share_before + (1 - share_before) * share, message),
                *([] if weights is None else [weights]),
            )
        except ValueError as error:
            raise JobError(f"the model cannot be fitted with these hyperparameters: {error}") from error
    return [str(warning.message).split("\n", maxsplit=1)[0].strip() for warning in caught]


def _prepare(steps: Sequence[tuple[str, Any]], features: Features, report: Report) -> Features:
    """The features as the steps before the model change them; each step is fitted in place."""
    for number, (name, step) in enumerate(steps):
        report(_PREPARED * number / len(steps), f"Preparing the features: {name}")
        # Of few rows with the same medians, or means and deviations, they find the same in far less time.
        few = {SimpleImputer: _medians, StandardScaler: _deviations}.get(type(step))
        step.fit(few(features) if few else features)
        features = step.transform(features)
    return features


def _medians(features: Features) -> Features:
    """One row: the median of each column's values; NaN where it has none."""
    medians = np.full((1, features.shape[1]), np.nan, features.dtype)
    for number, column in enumerate(features.T):
        values = column[~np.isnan(column)]
        if len(values):
            medians[0, number] = np.median(values)
    return medians


def _deviations(features: Features) -> NDArray[np.float64]:
    """Two rows: each column's mean, less and plus its standard deviation. There is no missing value."""
    mean = features.mean(axis=0, dtype=np.float64)
    deviation = np.array(
        [np.std(column, dtype=np.float64) if np.ptp(column) > 0 else 0.0 for column in features.T]
    )
    return np.stack([mean - deviation, mean + deviation])
