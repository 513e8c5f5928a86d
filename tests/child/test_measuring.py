"""Scores and importances."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    log_loss,
    roc_auc_score,
)
from sklearn.pipeline import Pipeline

from worker.child.measuring import IMPORTANCE_ROWS, _round_to_one, curve, importance, predict, score, to_csv


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
    found = score(predict(model, features), labels)
    assert [[found.tn, found.fp], [found.fn, found.tp]] == confusion_matrix(
        labels, model.predict(features)
    ).tolist()
    assert found.roc_auc == pytest.approx(
        roc_auc_score(labels, model.predict_proba(features)[:, 1]), rel=1e-14
    )
    assert found.average_precision == pytest.approx(
        average_precision_score(labels, model.predict_proba(features)[:, 1]), rel=1e-14
    )


@pytest.mark.parametrize("labels", [[1, 0, 1], [0, 1, 1], [1, 1, 1], [0, 0, 0]])
def test_log_loss_and_brier_score_are_those_of_scikit_learn(labels: list[int]) -> None:
    probabilities = np.array([0.0, 1.0, 0.3])
    found = score(probabilities, np.array(labels, np.uint8))
    assert found.log_loss == pytest.approx(log_loss(labels, probabilities, labels=[0, 1]))
    assert found.brier_score == pytest.approx(brier_score_loss(labels, probabilities, labels=[0, 1]))


def brute(probabilities: np.ndarray, labels: np.ndarray, threshold: float) -> dict[str, Any]:
    """The point of a curve as its definition says it."""
    above, positive = probabilities > threshold, labels == 1
    return {
        "threshold": threshold,
        "tp": (above & positive).sum(),
        "fp": (above & ~positive).sum(),
        "tn": (~above & ~positive).sum(),
        "fn": (~above & positive).sum(),
        "sum_probability": pytest.approx(probabilities[above].sum(), abs=1e-6),
    }


def area(points: list[dict[str, float]], labels: np.ndarray) -> float:
    """Area under the ROC curve that the points draw, from (0, 0) to (1, 1)."""
    positive = labels.sum()
    counts = np.array(
        [[positive, len(labels) - positive], *([point["tp"], point["fp"]] for point in points)]
    )[::-1]
    return float(np.trapezoid(counts[:, 0] / positive, counts[:, 1] / (len(labels) - positive)))


PREDICTIONS: dict[str, Callable[[np.random.Generator, np.ndarray], np.ndarray]] = {
    "as a regression gives them": lambda rng, labels: 1 / (1 + np.exp(-rng.normal(labels * 1.5 - 1, 1))),
    "as a forest gives them, many 0 and some 1": lambda rng, labels: (
        rng.binomial(10, 0.02 + labels * 0.5) / 10
    ),
    "all very small": lambda rng, labels: 1e-6 * rng.beta(1 + labels, 3),
    "nothing known": lambda rng, labels: rng.random(len(labels)),
    "one value": lambda rng, labels: np.full(len(labels), 0.5),
}


@pytest.mark.parametrize("share", [0.5, 0.01], ids=["even", "rare"])
@pytest.mark.parametrize("shape", PREDICTIONS)
@pytest.mark.parametrize("own", [0.5, 0.29, 0.123456])
def test_a_curve_has_at_most_202_points_exact_at_each_and_the_same_area(
    shape: str, share: float, own: float
) -> None:
    rng = np.random.default_rng(1)
    labels = (rng.random(20_000) < share).astype(np.uint8)
    probabilities = PREDICTIONS[shape](rng, labels)
    points = curve(probabilities, labels, own)
    thresholds = [point["threshold"] for point in points]
    assert len(points) <= 202
    assert thresholds == sorted(set(thresholds))
    assert {k / 100 for k in range(101)} <= set(thresholds)
    assert points == [brute(probabilities, labels, threshold) for threshold in thresholds]
    found = score(probabilities, labels, own)
    at_own = next(point for point in points if point["threshold"] == own)
    assert [at_own[name] for name in ("tp", "fp", "tn", "fn")] == [found.tp, found.fp, found.tn, found.fn]
    middle = next(point for point in points if point["threshold"] == 0.5)
    assert (middle["tp"], middle["fp"]) == (found.tp_at_half, found.fp_at_half)
    assert area(points, labels) == pytest.approx(found.roc_auc, abs=0.002)


def test_the_curve_of_few_different_probabilities_is_exact() -> None:
    rng = np.random.default_rng(2)
    labels = (rng.random(3_000) < 0.3).astype(np.uint8)
    probabilities = rng.choice(rng.random(100) ** 9, 3_000)
    assert area(curve(probabilities, labels), labels) == pytest.approx(
        roc_auc_score(labels, probabilities), abs=1e-12
    )


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_has_a_curve_too(label: int) -> None:
    probabilities, labels = np.linspace(0, 1, 301), np.full(301, label, dtype=np.uint8)
    points = curve(probabilities, labels)
    assert len(points) <= 201
    assert points == [brute(probabilities, labels, point["threshold"]) for point in points]


@pytest.mark.parametrize("label", [0, 1])
def test_roc_auc_and_importance_are_none_where_there_is_one_class(
    model: Pipeline, data: tuple[np.ndarray, np.ndarray], label: int
) -> None:
    features, labels = data
    rows = labels == label
    assert score(predict(model, features[rows]), labels[rows]).roc_auc is None
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


def test_importance_is_that_of_scikit_learn_but_for_chance(
    model: Pipeline, data: tuple[np.ndarray, np.ndarray]
) -> None:
    features, labels = data[0][:IMPORTANCE_ROWS], data[1][:IMPORTANCE_ROWS]
    falls = permutation_importance(model, features, labels, scoring="roc_auc", n_repeats=30, random_state=1)
    shares = falls.importances_mean.clip(0) / falls.importances_mean.clip(0).sum()
    before = features.copy()
    found = importance(model, ["a", "b", "c"], features, labels, 42)
    assert found is not None
    assert [found["a"], found["b"], found["c"]] == pytest.approx(shares, abs=0.01)
    assert np.array_equal(features, before)


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

    def spy(_probabilities: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        seen.append(rows)
        return np.array([1]), np.array([1])

    monkeypatch.setattr("worker.child.measuring._ranked", spy)
    importance(model, ["a", "b", "c"], data[0], labels, 42)
    rows = seen[0]
    assert all(other is rows for other in seen)
    assert len(rows) == IMPORTANCE_ROWS
    assert 0 < rows.sum() < len(rows)
    assert rows.sum() >= min(positives, IMPORTANCE_ROWS // 2)


def test_the_text_of_thirds_sums_to_one() -> None:
    shares = _round_to_one(np.array([1 / 3, 1 / 3, 1 / 3]))
    text = to_csv(dict(zip("abc", shares.tolist(), strict=True)))
    assert text == "a=0.3334;b=0.3333;c=0.3333"
    assert to_csv(None) is None
