"""Baselines: each against a straightforward computation by pandas and scikit-learn."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, log_loss, roc_auc_score

from worker.child import baselines, resampling
from worker.child.assignment import Fitted, Rule
from worker.child.dataset import Dataset
from worker.child.labels import Label

HOUR = 3_600_000_000
LEVEL = Label("x", ">", "0.5", 5)
CHANGE = Label("x", ">=", "2", 5, "change", base="x")
SAME_ROW = Label("x", ">", "0.5", None)
NAN = float("nan")


def rows_of(labels: Any, features: Any = None, persistence: Any = (), hours: int = 20) -> Dataset:
    labels = np.array(labels, np.uint8)
    num = len(labels)
    values = np.zeros((num, 1)) if features is None else np.array(features, np.float32).reshape(num, -1)
    return Dataset(
        names=tuple(f"f{place}" for place in range(values.shape[1])),
        features=values.astype(np.float32),
        labels=labels,
        coins=np.zeros(num, np.int32),
        times=np.arange(num) * (hours * HOUR // num),
        num_unlabelled=0,
        num_without_base=0,
        num_uncovered=0,
        fingerprint="",
        coin_names=(),
        persistence=np.array(persistence, np.int8),
    )


def by_name(
    rows: Dataset, label: Label, fitted: Fitted, threshold: float = 0.5
) -> dict[str, baselines.Baseline]:
    found = baselines.of_rows(rows, label) + baselines.of_model(rows, fitted, threshold=threshold)
    assert [each.facts["baseline"] for each in found] == [
        "always_positive",
        "always_negative",
        "persistence",
        "positive_share",
        "best_feature",
    ]
    return {each.facts["baseline"]: each for each in found}


def beside(rows: Dataset, fitted: Fitted, predicted: Any) -> dict[str, Any]:
    return baselines.beside(rows, LEVEL, fitted, resampling.blocks_of(rows.times, LEVEL.reach), predicted)


def expect(found: baselines.Baseline, labels: pd.Series, answers: pd.Series, ranks: pd.Series) -> None:
    """Confusion matrix and ranking as pandas and scikit-learn have them."""
    matrix = pd.crosstab(labels, answers).reindex(index=[0, 1], columns=[0, 1], fill_value=0)
    facts = found.facts
    assert (facts["tn"], facts["fp"], facts["fn"], facts["tp"]) == tuple(matrix.to_numpy().ravel())
    assert found.answers.tolist() == (answers == 1).tolist()
    if labels.nunique() == 2:
        assert facts["roc_auc"] == pytest.approx(roc_auc_score(labels, ranks))
        assert facts["average_precision"] == pytest.approx(average_precision_score(labels, ranks))
    else:
        assert facts["roc_auc"] is facts["average_precision"] is None
    if (labels.sum() or answers.sum()) > 0:
        assert found.f1 == pytest.approx(f1_score(labels, answers, zero_division=0))
    else:
        assert found.f1 is None


values = st.sampled_from([NAN, -3.0, -0.1, 0.0, 0.1, 1 / 3, 1.0, 7.5, 1e30, -1e-30])
table = st.lists(
    st.tuples(st.booleans(), st.sampled_from([-1, 0, 1]), values, values), min_size=1, max_size=40
)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(table, st.sampled_from([0.0, 0.3, 0.6, 1.0]), st.sampled_from([0.29, 0.5]), st.booleans(), st.data())
def test_each_baseline_is_that_of_a_straightforward_computation(
    table: list[tuple[bool, int, float, float]],
    share: float,
    threshold: float,
    is_level: bool,
    data: st.DataObject,
) -> None:
    frame = pd.DataFrame(table, columns=["label", "before", "f0", "f1"]).astype({"label": int})
    frame[["f0", "f1"]] = frame[["f0", "f1"]].astype("float32")
    feature, direction = data.draw(st.sampled_from(["f0", "f1"])), data.draw(st.sampled_from("<>"))
    bound = data.draw(values.filter(lambda value: value == value))
    rows = rows_of(frame["label"], frame[["f0", "f1"]], frame["before"])
    rule = Rule(feature, direction, float(str(np.float32(bound))))
    found = by_name(rows, LEVEL if is_level else CHANGE, Fitted(share, rule), threshold)
    labels = frame["label"]

    for name, answer in (
        ("always_positive", 1),
        ("always_negative", 0),
        ("positive_share", int(share > threshold)),
    ):
        constant = pd.Series(answer, index=frame.index)
        expect(found[name], labels, constant, constant)
    probabilities = np.full(len(frame), share)
    facts = found["positive_share"].facts
    assert facts["log_loss"] == pytest.approx(log_loss(labels, probabilities, labels=[0, 1]))
    assert facts["brier_score"] == pytest.approx(brier_score_loss(labels, probabilities, labels=[0, 1]))

    persistence = found["persistence"]
    if (frame["before"] < 0).all():
        assert len(persistence.answers) == 0
        assert "known" in persistence.facts["reason"] or "NULL" in persistence.facts["reason"]
    else:
        answers = (frame["before"] == 1).astype(int)
        expect(persistence, labels, answers, answers)
        assert persistence.facts["num_unknown"] == (frame["before"] < 0).sum()
        assert persistence.facts["rule"] == ("x > 0.5 now" if is_level else "the same label 5 min ago")

    column, level = frame[feature], np.float32(bound)
    answers = (column > level if direction == ">" else column < level).astype(int)
    ranks = (column if direction == ">" else -column).astype(float).fillna(-np.inf).rank()
    expect(found["best_feature"], labels, answers, ranks)
    assert found["best_feature"].facts["num_unknown"] == column.isna().sum()


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.lists(st.tuples(st.booleans(), values, values), min_size=2, max_size=30))
def test_the_rule_has_the_best_f1_of_all_features_directions_and_thresholds(
    table: list[tuple[bool, float, float]],
) -> None:
    frame = pd.DataFrame(table, columns=["label", "f0", "f1"]).astype({"f0": "float32", "f1": "float32"})
    if not frame["label"].any():
        return
    rule = baselines.choose(
        ("f0", "f1"), frame[["f0", "f1"]].to_numpy(), frame["label"].to_numpy(np.uint8), 1
    )
    scores = {
        (name, direction, level): f1_score(
            frame["label"], column > level if direction == ">" else column < level, zero_division=0
        )
        for name, column in frame[["f0", "f1"]].items()
        for direction in "><"
        for level in column.dropna().unique()
        if (column > level if direction == ">" else column < level).any()
    }
    if not scores:
        assert rule is None
        return
    assert rule is not None
    column, level = frame[rule.feature], np.float32(rule.threshold)
    answers = column > level if rule.direction == ">" else column < level
    assert f1_score(frame["label"], answers, zero_division=0) == pytest.approx(max(scores.values()))
    assert (column == level).any()


@pytest.mark.parametrize("rare", [0.5, 0.01])
def test_a_rule_of_many_rows_is_nearly_that_of_all_of_them(
    monkeypatch: pytest.MonkeyPatch, rare: float
) -> None:
    rng = np.random.default_rng(2)
    labels = (rng.random(60_000) < rare).astype(np.uint8)
    features = (rng.normal(size=(60_000, 3)) + labels[:, None] * [0.1, -1.5, 0.5]).astype(np.float32)
    whole = baselines.choose(("a", "b", "c"), features, labels, 1)
    monkeypatch.setattr(baselines, "MOST_SAMPLED", 5_000)
    sampled = baselines.choose(("a", "b", "c"), features, labels, 1)
    assert whole is not None
    assert sampled is not None
    assert (whole.feature, whole.direction) == (sampled.feature, sampled.direction) == ("b", "<")
    assert baselines.choose(("a", "b", "c"), features, labels, 1) == sampled
    of_whole, of_sampled = (
        f1_score(labels, features[:, 1] < np.float32(r.threshold)) for r in (whole, sampled)
    )
    assert of_sampled > 0.97 * of_whole


@pytest.mark.parametrize(
    ("label", "persistence", "fitted", "name", "reason"),
    [
        (SAME_ROW, (), Fitted(0.5, None), "persistence", "there is no horizon"),
        (LEVEL, [-1, -1], Fitted(0.5, None), "persistence", "x is NULL in each of the 2 rows"),
        (
            CHANGE,
            [-1, -1],
            Fitted(0.5, None),
            "persistence",
            "of none of the 2 rows is the label 5 min ago known",
        ),
        (LEVEL, [0, 1], Fitted(0.5, None), "best_feature", "no feature has two values"),
        (LEVEL, [0, 1], Fitted(0.5, None, is_older=True), "best_feature", "before version 8"),
    ],
)
def test_a_baseline_that_does_not_exist_says_why(
    label: Label, persistence: Any, fitted: Fitted, name: str, reason: str
) -> None:
    found = by_name(rows_of([0, 1], persistence=persistence), label, fitted)[name]
    assert (len(found.answers), found.f1) == (0, None)
    assert reason in found.facts["reason"]
    assert set(found.facts) == {"baseline", "place", "reason"}


def test_a_kind_of_label_from_elsewhere_may_have_no_persistence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("worker.child.labels.value.PERSISTS")
    found = by_name(rows_of([0, 1]), LEVEL, Fitted(0.5, None))["persistence"]
    assert found.facts["reason"] == "labels of the kind value have none"


def test_a_rule_is_told_as_short_as_its_number_allows() -> None:
    rows = rows_of([0, 1], [[1.0], [2.0]], [0, 1])
    for threshold, said in ((1234.5, "1234.5"), (0.1, "0.1"), (3.0, "3"), (1e-20, "1e-20"), (0.0, "0")):
        rule = Rule("f0", ">", threshold)
        assert by_name(rows, LEVEL, Fitted(0.5, rule))["best_feature"].facts["rule"] == f"f0 > {said}"


def test_the_difference_is_from_the_best_baseline_drawn_with_the_model() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(4_000) < 0.3).astype(np.uint8)
    good, bad = (np.where(rng.random(4_000) < right, labels, 1 - labels) for right in (0.9, 0.7))
    rows = rows_of(labels, bad, bad, hours=50)
    fitted = Fitted(0.3, Rule("f0", ">", 0.0))
    better = beside(rows, fitted, good == 1)
    assert better["best_baseline"] == "persistence"  # the same answers as the feature: the first of both
    assert better["baseline_f1"] == pytest.approx(f1_score(labels, bad))
    assert better["baseline_difference"] == pytest.approx(f1_score(labels, good) - f1_score(labels, bad))
    assert 0 < better["baseline_lower"] < better["baseline_difference"] < better["baseline_upper"]
    assert better["baseline_note"] is None

    worse = beside(rows_of(labels, good, good, hours=50), fitted, bad == 1)
    assert worse["baseline_upper"] < 0
    same = beside(rows, fitted, bad == 1)
    assert (same["baseline_difference"], same["baseline_lower"] or 0) == (0, 0)
    few = beside(rows_of(labels, bad, bad, hours=5), fitted, good == 1)
    assert few["baseline_lower"] is None
    assert str(resampling.FEWEST_BLOCKS) in few["baseline_note"]


def test_where_nothing_is_positive_a_model_beats_nothing() -> None:
    rows = rows_of([0] * 400, persistence=[0] * 400)
    told = beside(rows, Fitted(0.1, None), np.zeros(400, bool))
    assert (told["best_baseline"], told["baseline_f1"]) == ("always_positive", 0)
    assert not (told["baseline_lower"] or 0) > 0
