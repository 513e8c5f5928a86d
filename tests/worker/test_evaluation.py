"""Scores and importances."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix, roc_auc_score
from sklearn.pipeline import Pipeline

from worker.evaluation import IMPORTANCE_ROWS, _round_to_one, importance, score, to_csv


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(20_000, 3)).astype(np.float32)
    chance = 1 / (1 + np.exp(-3 * features[:, 0] - features[:, 1]))
    return features, (rng.random(20_000) < chance).astype(np.uint8)


@pytest.fixture(scope="module")
def model(data: tuple[np.ndarray, np.ndarray]) -> Pipeline:
    return Pipeline([("model", LogisticRegression())]).fit(*data)


def test_the_confusion_matrix_and_roc_auc_are_those_of_scikit_learn(
    model: Pipeline, data: tuple[np.ndarray, np.ndarray]
) -> None:
    features, labels = data
    found = score(model, features, labels)
    assert [[found.tn, found.fp], [found.fn, found.tp]] == confusion_matrix(
        labels, model.predict(features)
    ).tolist()
    assert found.roc_auc == roc_auc_score(labels, model.predict_proba(features)[:, 1])


@pytest.mark.parametrize("label", [0, 1])
def test_roc_auc_and_importance_are_none_where_there_is_one_class(
    model: Pipeline, data: tuple[np.ndarray, np.ndarray], label: int
) -> None:
    features, labels = data
    rows = labels == label
    assert score(model, features[rows], labels[rows]).roc_auc is None
    assert importance(model, ["a", "b", "c"], features[rows], labels[rows], 42) is None


def test_importance_sums_to_one_and_finds_what_matters(
    model: Pipeline, data: tuple[np.ndarray, np.ndarray]
) -> None:
    found = importance(model, ["a", "b", "c"], *data, 42)
    assert found is not None
    assert list(found) == ["a", "b", "c"]
    assert round(sum(found.values()), 10) == 1
    assert found["a"] > 0.7 > 0.05 > found["c"]
    assert found == importance(model, ["a", "b", "c"], *data, 42)


def test_importance_is_none_where_no_feature_has_any(data: tuple[np.ndarray, np.ndarray]) -> None:
    features, labels = data
    blind = Pipeline([("model", LogisticRegression())]).fit(features, labels)
    blind[-1].coef_[:] = 0
    assert importance(blind, ["a", "b", "c"], features, labels, 42) is None


@pytest.mark.parametrize("positives", [3, 600, 19_000])
def test_importance_looks_at_a_bounded_number_of_rows_of_both_classes(
    model: Pipeline, data: tuple[np.ndarray, np.ndarray], positives: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = np.zeros(20_000, dtype=np.uint8)
    labels[:positives] = 1
    seen: list[np.ndarray] = []

    class Falls:
        importances_mean = np.ones(3)

    def spy(_model: object, _features: np.ndarray, rows: np.ndarray, **_: object) -> Falls:
        seen.append(rows)
        return Falls()

    monkeypatch.setattr("worker.evaluation.permutation_importance", spy)
    importance(model, ["a", "b", "c"], data[0], labels, 42)
    (rows,) = seen
    assert len(rows) == IMPORTANCE_ROWS
    assert 0 < rows.sum() < len(rows)
    assert rows.sum() >= min(positives, IMPORTANCE_ROWS // 2)


def test_the_text_of_thirds_sums_to_one() -> None:
    shares = _round_to_one(np.array([1 / 3, 1 / 3, 1 / 3]))
    text = to_csv(dict(zip("abc", shares.tolist(), strict=True)))
    assert text == "a=0.3334;b=0.3333;c=0.3333"
    assert to_csv(None) is None
