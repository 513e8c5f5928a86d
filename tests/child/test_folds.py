"""Walk-forward folds: fitted on what lies before, measured on what comes after."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline

from tests.child.test_holdout import MINUTE, make
from worker.child import fitting, folds, models
from worker.child.assignment import Period
from worker.child.dataset import Dataset
from worker.child.folds import Weights
from worker.child.progress import Report
from worker.errors import JobError

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
PERIOD = Period(EPOCH - timedelta(hours=1), EPOCH + timedelta(days=1))
REACH = 20 * MINUTE


def rows(num_coins: int = 5, num_rows: int = 600) -> Dataset:
    """Coins with a row each minute, in the order of a dataset; the feature tells something of the label."""
    data = make(
        np.repeat(np.arange(num_coins), num_rows),
        np.random.default_rng(1).random(num_coins * num_rows) < 0.3,
        np.tile(np.arange(num_rows), num_coins) * MINUTE,
    )
    data.features[:, 0] = data.labels + np.random.default_rng(2).normal(size=len(data))
    return data


def fit(
    features: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], weights: Weights, report: Report
) -> Pipeline:
    model_type = models.load("logistic_regression")
    pipeline = model_type.make({"max_iter": 100}, 42, 1)
    fitting.fit(model_type, pipeline, features, labels, report, weights=weights)
    return pipeline


def measured(
    data: Dataset, number: int = 5, horizon: int | None = None, threshold: float | None = 0.5, **options: Any
) -> list[dict[str, Any]]:
    data.reorder(folds.order(data))
    found = folds.cut(data.times, number, REACH)
    given: dict[str, Any] = {"fit": fit, "report": lambda _share, _words: None} | options
    return folds.measure(
        data,
        found,
        given["fit"],
        horizon=horizon,
        choosing=folds.Choosing(threshold, "f1", REACH),
        period=PERIOD,
        report=given["report"],
    )


@pytest.mark.parametrize("number", [2, 5, 20])
def test_each_is_fitted_on_all_before_and_measured_on_the_next_part(number: int) -> None:
    data = rows()
    data.reorder(folds.order(data))
    assert (np.diff(data.times) >= 0).all()
    found = folds.cut(data.times, number, REACH)
    embargo = (data.times[-1] - data.times[0]) // 100
    assert [fold.number for fold in found] == list(range(1, number + 1))
    assert [fold.measured for fold in found[1:]] == [fold.end for fold in found[:-1]]
    assert found[-1].end == len(data)
    for fold in found:
        before, part = data.times[: fold.num_fitted], data.times[fold.measured : fold.end]
        # A label of what is fitted ends an embargo before what is measured, and nothing more is left out.
        assert before.max() + REACH + embargo < part.min() == fold.cut
        assert data.times[fold.num_fitted] + REACH + embargo >= fold.cut
        assert len(part) == pytest.approx(len(data) / (number + 1), abs=5)


def test_rows_of_one_moment_are_in_one_part() -> None:
    times = np.repeat(np.arange(10), 100).astype(np.int64)
    for fold in folds.cut(times, 4, 0):
        assert times[fold.measured - 1] < times[fold.measured]


def test_the_numbers_are_those_of_a_fit_by_hand() -> None:
    data = rows()
    found = measured(data)
    for fold, told in zip(folds.cut(data.times, 5, REACH), found, strict=True):
        model = fit(
            data.features[: fold.num_fitted], data.labels[: fold.num_fitted], None, lambda _s, _w: None
        )
        part, labels = data.features[fold.measured : fold.end], data.labels[fold.measured : fold.end]
        answers = model.predict(part)
        assert told["tp"] == int((answers & labels).sum())
        assert told["fp"] + told["tp"] == int(answers.sum())
        assert told["num_positive"] == told["tp"] + told["fn"] == int(labels.sum())
        assert told["roc_auc"] == pytest.approx(roc_auc_score(labels, model.predict_proba(part)[:, 1]))
        assert told["num_purged"] == fold.measured - fold.num_fitted


def test_the_periods_begin_and_end_with_the_job_s_and_follow_each_other() -> None:
    found = measured(rows(), 3)
    assert {told["fitted_start"] for told in found} == {PERIOD.start.isoformat()}
    assert [told["measured_end"] for told in found] == [
        *(told["measured_start"] for told in found[1:]),
        PERIOD.end.isoformat(),
    ]
    for told in found:
        gap = datetime.fromisoformat(told["measured_start"]) - datetime.fromisoformat(told["fitted_end"])
        assert gap == timedelta(minutes=20) + timedelta(minutes=599) // 100


def test_what_reaches_back_beyond_the_first_year_begins_with_the_period() -> None:
    """A label of a year, in the first period that there may be: no moment lies so far back."""
    first = datetime(2, 1, 1, tzinfo=UTC)
    data = rows()
    data.times[:] += (first - EPOCH) // timedelta(microseconds=1)
    data.reorder(folds.order(data))
    found = folds.measure(
        data,
        folds.cut(data.times, 20, 2 * 525_600 * MINUTE),
        fit,
        horizon=None,
        choosing=folds.Choosing(0.5, "0.5", 2 * 525_600 * MINUTE),
        period=Period(first, first + timedelta(days=1)),
        report=lambda _share, _words: None,
    )
    assert {told["fitted_end"] for told in found} == {first.isoformat()}
    assert {told["reason"] for told in found} == {"no row is left to fit on"}


@pytest.mark.parametrize("num_rows", [1, 5, 20])
def test_few_rows_have_as_many_folds_as_were_asked_for(num_rows: int) -> None:
    found = measured(rows(num_coins=1, num_rows=num_rows), 20)
    assert [told["fold"] for told in found] == list(range(1, 21))
    for told, after in pairwise(found):
        assert told["measured_end"] == after["measured_start"]
        assert told["num_fitted"] <= after["num_fitted"]


def test_the_order_of_the_rows_before_changes_nothing() -> None:
    data, shuffled = rows(), rows()
    shuffled.reorder(np.random.default_rng(5).permutation(len(shuffled)))
    assert measured(data) == measured(shuffled)


@pytest.mark.parametrize(
    ("case", "reasons"),
    [
        pytest.param("one_class", ["one class only to fit on: 0 of"] * 2 + [None], id="one_class"),
        pytest.param("no_value", ["the feature a has no value"] * 2 + [None], id="no_value"),
        pytest.param("short", ["no row is left to fit on"] * 3, id="all_purged"),
        pytest.param("one_moment", ["no row is left to fit on"] * 3, id="one_moment"),
        pytest.param("refused", ["the model refuses"] * 3, id="the_model_refuses"),
    ],
)
def test_one_that_cannot_be_says_why(case: str, reasons: list[str | None]) -> None:
    data = rows()
    late = data.times >= 350 * MINUTE
    if case == "one_class":
        data.labels[~late] = 0
    if case == "no_value":
        data.features[~late] = np.nan
    if case == "short":
        data.times[:] = data.times // MINUTE
    if case == "one_moment":
        data.times[:] = 7

    def refuse(*_: Any) -> Pipeline:
        raise JobError("the model refuses")

    found = measured(data, 3, fit=refuse if case == "refused" else fit)
    for told, reason in zip(found, reasons, strict=True):
        assert told.get("reason", "").startswith(reason or "")
        assert ("tp" in told) == (reason is None)


def test_rows_are_weighted_by_what_is_known_by_then() -> None:
    """The weights of a fold are those of its own rows, as if there were no later ones."""
    given: list[Weights] = []

    def noting(
        features: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], weights: Weights, report: Report
    ) -> Pipeline:
        given.append(weights)
        return fit(features, labels, weights, report)

    data = rows()
    measured(data, 2, horizon=10 * MINUTE, fit=noting)
    for fold, weights in zip(folds.cut(data.times, 2, REACH), given, strict=True):
        assert weights is not None
        assert len(weights) == fold.num_fitted
        assert weights.mean() == pytest.approx(1)
        # The first and the last labels of a coin share their time with fewer others.
        assert weights[0] == pytest.approx(weights[-1], rel=1e-3)
        assert weights[0] > 2 * weights[len(weights) // 2]
    given.clear()
    measured(rows(), 2, fit=noting)
    assert given == [None, None]


def test_progress_names_the_fold_and_rises() -> None:
    told: list[tuple[float, str]] = []
    measured(rows(), 3, report=lambda share, words: told.append((share, words)))
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] <= 1
    for number in (1, 2, 3):
        assert any(words.startswith(f"Fold {number} of 3: ") for _, words in told)


def test_a_fold_chooses_its_threshold_on_the_last_rows_before_it_and_looks_at_none_behind() -> None:
    """Whatever comes later may change: neither the fit nor the threshold does."""
    data = rows()
    found = measured(data, threshold=None)
    assert all(fold["num_set_aside"] > 0.15 * fold["num_fitted"] for fold in found)
    assert len({fold["threshold"] for fold in found}) > 1
    changed = rows()
    changed.reorder(folds.order(changed))
    later = changed.times >= folds.cut(changed.times, 5, REACH)[2].cut
    changed.labels[later] = 1 - changed.labels[later]
    again = measured(changed, threshold=None)
    assert [fold["threshold"] for fold in again[:3]] == [fold["threshold"] for fold in found[:3]]
    assert again[2]["tp"] != found[2]["tp"]
