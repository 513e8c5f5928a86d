"""A type of model is one file, also of another distribution."""

from collections.abc import Callable

import pytest

from tests.child.models.test_all import TYPES, names_in, rows
from worker.child import fitting, memory, models
from worker.errors import JobError


def test_the_types_that_come_with_the_worker_are_its_files() -> None:
    assert models.names() == set(TYPES)


def test_a_type_that_another_distribution_provides_is_made_fitted_and_asked_for_its_memory(
    provide: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(JobError, match="this worker has no model type extra_trees, only gradient_boosting, "):
        models.load("extra_trees")
    provide("ml_worker.models", "tests.child.models.extra_trees")
    assert models.names() == {*TYPES, "extra_trees"}
    extra_trees = models.load("extra_trees")

    features, labels = rows(missing=0)
    pipeline = extra_trees.make({"n_estimators": 5}, 42, 1)
    told: list[tuple[float, str]] = []
    assert fitting.fit(extra_trees, pipeline, features, labels, lambda *said: told.append(said)) == []
    assert told[-1] == (1, "Training: 5/5 trees")
    assert len(told) == 5
    assert (pipeline.predict(features) == labels).mean() > 0.9
    assert extra_trees.engine(pipeline[-1]) == "scikit-learn"
    assert names_in(pipeline, monkeypatch) <= extra_trees.NAMES

    monkeypatch.setattr(memory, "available", lambda: 10**9)
    memory.require("TO_PREDICT", {"extra_trees"}, 1_000_000, 10)
    with pytest.raises(JobError, match=r"about 10\.2 GB .* or the model type xgboost \(0\.1 GB\)"):
        memory.require("TO_TRAIN", {"extra_trees", "xgboost"}, 1_000_000, 10)
