"""What is done to the features before a model sees them."""

import numpy as np
import pytest
from sklearn.pipeline import Pipeline

from worker.child import fitting, models
from worker.child.models._shared import imputed_and_scaled


@pytest.mark.parametrize("num_rows", [20, 21, 1000])
def test_the_preparation_is_that_of_scikit_learn_to_the_last_bit(num_rows: int) -> None:
    rng = np.random.default_rng(num_rows)
    features = np.asfortranarray(rng.normal(size=(num_rows, 6)).astype(np.float32))
    features[rng.random(features.shape) < 0.2] = np.nan
    features[:, 2] = np.nan  # no value at all
    features[:, 4] = 7  # nothing but one value
    labels = (np.arange(num_rows) % 2).astype(np.uint8)
    model_type = models.load("logistic_regression")
    ours = model_type.make({"max_iter": 100}, 42, 1)
    fitting.fit(model_type, ours, features, labels, lambda _share, _message: None)
    stock = imputed_and_scaled(None)[:-1].fit(features)
    assert np.array_equal(ours["impute"].statistics_, stock["impute"].statistics_)
    assert np.array_equal(Pipeline(ours.steps[:-1]).transform(features), stock.transform(features))
