"""The forest on histograms: as good as scikit-learn's, and when scikit-learn's own is taken instead."""

import hashlib
import pickle
import struct
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import xgboost
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline

from tests.child.models.test_all import rows
from worker.child import model_file
from worker.child.assignment import Fewest, Model
from worker.child.labels import Label
from worker.child.models.random_forest import (
    TREES_AT_ONCE,
    HistogramForest,
    _share_of_a_tree,
    engine,
    for_file,
    from_file,
    make,
)

DEFAULTS: dict[str, Any] = {
    "n_estimators": 50,
    "max_depth": 10,
    "min_samples_split": 2,
    "min_samples_leaf": 1,
    "max_features": "sqrt",
    "max_leaf_nodes": None,
    "criterion": "gini",
    "bootstrap": True,
    "class_weight": None,
}


@pytest.mark.parametrize("missing", [0.0, 0.1])
@pytest.mark.parametrize(
    "own",
    [
        {},
        {"max_depth": None, "min_samples_leaf": 5, "min_samples_split": 10},
        {"max_leaf_nodes": 40},
        {"class_weight": "balanced"},
        {"bootstrap": False},
        {"max_features": 0.9},
    ],
    ids=str,
)
def test_it_ranks_as_well_as_the_forest_of_scikit_learn(own: dict[str, Any], missing: float) -> None:
    params = DEFAULTS | own
    assert HistogramForest.suits(params)
    (features, labels), (others, expected) = rows(3000, 0, missing), rows(20_000, 1, missing)
    areas = [
        roc_auc_score(
            expected, forest(**params, random_state=42).fit(features, labels).predict_proba(others)[:, 1]
        )
        for forest in (HistogramForest, RandomForestClassifier)
    ]
    assert areas[0] > areas[1] - 0.005


@pytest.mark.parametrize("n_estimators", [1, TREES_AT_ONCE, 2 * TREES_AT_ONCE + 3])
def test_it_predicts_to_the_last_bit_what_all_trees_at_once_predict(n_estimators: int) -> None:
    (features, labels), (others, _) = rows(1000), rows(2000, 1)
    forest = HistogramForest(**DEFAULTS | {"n_estimators": n_estimators}, random_state=1).fit(
        features, labels
    )
    at_once = forest.booster_.inplace_predict(others, validate_features=False)
    assert forest.booster_.num_boosted_rounds() == n_estimators
    assert np.array_equal(forest.predict_proba(others)[:, 1], at_once.clip(0, 1))


def test_features_that_never_vary_are_not_tried() -> None:
    """Of nine that are constant and one that is not, a split would mostly find nothing."""
    features, labels = rows(2000, missing=0)
    features = np.hstack([features[:, :1], np.ones((len(features), 9), np.float32)])
    forest = HistogramForest(**DEFAULTS, random_state=1).fit(features, labels)
    trees = forest.booster_.trees_to_dataframe()
    assert set(trees["Feature"]) == {"f0", "Leaf"}
    assert (trees.groupby("Tree").size() > 1).all()


def test_a_leaf_keeps_its_fewest_rows_and_predicts_their_share_of_positives() -> None:
    features, labels = rows(1000, missing=0)
    forest = HistogramForest(
        **DEFAULTS | {"n_estimators": 1, "bootstrap": False, "min_samples_leaf": 30, "max_features": 1.0}
    ).fit(features, labels)
    leaves = forest.booster_.predict(xgboost.DMatrix(features), pred_leaf=True).ravel()
    chances = forest.predict_proba(features)[:, 1]
    for leaf in np.unique(leaves):
        assert (leaves == leaf).sum() >= 30
        assert np.allclose(chances[leaves == leaf], labels[leaves == leaf].mean(), atol=1e-5)


def test_its_file_holds_the_trees_in_a_format_that_later_versions_read() -> None:
    features, labels = rows(500)
    forest = HistogramForest(**DEFAULTS, random_state=1).fit(features, labels)
    assert isinstance(forest.__getstate__()["booster_"], bytes)
    again = pickle.loads(pickle.dumps(forest))
    assert np.array_equal(again.predict_proba(features), forest.predict_proba(features))
    assert np.array_equal(again.predict(features), forest.predict_proba(features)[:, 1] > 0.5)


@pytest.mark.parametrize("module", ["worker.forest", "worker.child.models.random_forest"])
def test_a_file_of_an_older_version_can_be_read(module: str, tmp_path: Path) -> None:
    """There the forest was our own, and at first in another module."""
    features, labels = rows(500)
    forest = HistogramForest(**DEFAULTS, random_state=1).fit(features, labels)
    file = tmp_path / "model.pkl"
    joblib.dump(Pipeline([("model", forest)]), file)
    own = b"\x8c\x21worker.child.models.random_forest\x94"
    content = file.read_bytes()
    assert content.count(own) == 1
    # The frame is shorter by as much.
    start = content.rindex(b"\x95", 0, content.index(own))
    (length,) = struct.unpack_from("<Q", content, start + 1)
    name = bytes([0x8C, len(module)]) + module.encode() + b"\x94"
    content = content[: start + 1] + struct.pack("<Q", length - len(own) + len(name)) + content[start + 9 :]
    file.write_bytes(content.replace(own, name))
    label, fewest = Label("market_cap_close", ">", "1", None), Fewest(20, 2, 10)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    known = Model(1, "random_forest", label, 0.2, 42, ("a", "b", "c", "d"), {}, fewest, str(file), sha256)
    read = model_file.read(known, tmp_path / "database_0123456789abcdef", lambda: None)
    again = from_file(read.pipeline[-1])
    assert np.array_equal(again.predict_proba(features), forest.predict_proba(features))


@pytest.mark.parametrize("n_estimators", [1, 10, 11, 100, 3000, 10_000])
def test_the_trees_never_add_up_to_more_than_certainty(n_estimators: int) -> None:
    """In float32, tree by tree, as xgboost does."""
    share = np.float32(_share_of_a_tree(n_estimators))
    total = np.full(n_estimators, share).cumsum(dtype=np.float32)[-1]
    assert 0.999 < total <= 1
    assert share == pytest.approx(1 / n_estimators, rel=1e-3)


def test_a_file_holds_a_forest_of_xgboost_that_predicts_the_same() -> None:
    features, labels = rows(1000)
    forest = HistogramForest(**DEFAULTS, random_state=1).fit(features, labels)
    public = for_file(forest)
    assert type(public) is xgboost.XGBRFClassifier
    assert np.array_equal(public.predict_proba(features), forest.predict_proba(features))
    assert np.array_equal(from_file(public).predict_proba(features), forest.predict_proba(features))


def test_an_old_forest_can_be_unpickled_by_whoever_has_this_package() -> None:
    features, labels = rows(500)
    forest = HistogramForest(**DEFAULTS, random_state=1).fit(features, labels)
    old = pickle.dumps(forest, protocol=2).replace(
        b"cworker.child.models.random_forest\nHistogramForest\n", b"cworker.forest\nHistogramForest\n"
    )
    assert b"worker.forest" in old
    assert b"random_forest" not in old
    again = pickle.loads(old)
    assert np.array_equal(again.predict_proba(features), forest.predict_proba(features))


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({}, "xgboost"),
        ({"min_samples_split": 10, "min_samples_leaf": 5}, "xgboost"),
        ({"class_weight": "balanced"}, "xgboost"),
        ({"min_samples_split": 3}, "scikit-learn"),
        ({"criterion": "entropy"}, "scikit-learn"),
        ({"class_weight": "balanced_subsample"}, "scikit-learn"),
        ({"class_weight": "balanced", "min_samples_leaf": 2}, "scikit-learn"),
    ],
    ids=str,
)
def test_hyperparameters_that_it_does_not_know_are_for_scikit_learn(
    own: dict[str, Any], expected: str
) -> None:
    assert engine(make(DEFAULTS | own, 42, 1)[-1]) == expected
