"""A test by parts: counts and areas of each day and coin are those of its rows alone."""

from datetime import date, timedelta

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from worker.child import parts
from worker.child.dataset import Dataset

DAY = 86_400_000_000
EPOCH = date(2000, 1, 1)


def scored(
    num_rows: int = 5000, num_coins: int = 40, num_days: int = 30, first_day: int = -3
) -> tuple[Dataset, np.ndarray]:
    """Rows of coins that differ in length, some of them in the last century, and probabilities with ties."""
    rng = np.random.default_rng(1)
    coins = np.sort(rng.integers(0, num_coins, num_rows) ** 2 // num_coins).astype(np.int32)
    labels = (rng.random(num_rows) < 0.3).astype(np.uint8)
    rows = Dataset(
        names=(),
        features=np.zeros((num_rows, 0), np.float32),
        labels=labels,
        coins=coins,
        times=first_day * DAY + rng.integers(0, num_days * DAY, num_rows),
        num_unlabelled=0,
        num_without_base=0,
        num_uncovered=0,
        fingerprint="",
        coin_names=tuple(f"coin \u00e9 {number}".encode() for number in range(num_coins)),
    )
    return rows, np.round(1 / (1 + np.exp(-rng.normal(labels - 1.0, 1))), 2)


def counts(labels: np.ndarray, says: np.ndarray) -> dict[str, int]:
    return {
        "tp": int((says & (labels == 1)).sum()),
        "fp": int((says & (labels == 0)).sum()),
        "tn": int((~says & (labels == 0)).sum()),
        "fn": int((~says & (labels == 1)).sum()),
    }


@pytest.mark.parametrize("threshold", [0.5, 0.29])
def test_each_day_has_the_counts_and_the_area_of_its_rows(threshold: float) -> None:
    rows, probabilities = scored()
    found = parts.facts(rows, probabilities, np.argsort(probabilities), threshold)["ml_test_day_counts"]
    days = rows.times // DAY
    assert [row["day"] for row in found] == [str(EPOCH + timedelta(days=int(day))) for day in np.unique(days)]
    for row, day in zip(found, np.unique(days), strict=True):
        own = days == day
        assert {name: row[name] for name in ("tp", "fp", "tn", "fn")} == counts(
            rows.labels[own], probabilities[own] > threshold
        )
        assert row["roc_auc"] == pytest.approx(roc_auc_score(rows.labels[own], probabilities[own]), abs=1e-12)


def test_each_coin_has_the_counts_of_its_rows_the_most_rows_first() -> None:
    rows, probabilities = scored()
    found = parts.facts(rows, probabilities, np.argsort(probabilities), 0.4)["ml_test_coin_counts"]
    assert [row["place"] for row in found] == list(range(len(np.unique(rows.coins))))
    sizes = [sum(row[name] for name in ("tp", "fp", "tn", "fn")) for row in found]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(sizes) == len(rows)
    for row in found:
        own = rows.coins == int(row["key"].split()[-1])
        assert {name: row[name] for name in ("tp", "fp", "tn", "fn")} == counts(
            rows.labels[own], probabilities[own] > 0.4
        )


def test_coins_beyond_the_most_are_told_of_together(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, probabilities = scored()
    whole = parts.facts(rows, probabilities, np.argsort(probabilities), 0.5)["ml_test_coin_counts"]
    monkeypatch.setattr(parts, "MOST_COINS", 5)
    found = parts.facts(rows, probabilities, np.argsort(probabilities), 0.5)["ml_test_coin_counts"]
    assert found[:5] == whole[:5]
    (others,) = found[5:]
    assert (others["place"], others["key"], others["num_coins"]) == (5, None, len(whole) - 5)
    for name in ("tp", "fp", "tn", "fn"):
        assert others[name] == sum(row[name] for row in whole[5:])


@pytest.mark.parametrize(("num_days", "told"), [(40_000, True), (40_000, False)])
def test_days_far_apart_are_told_of_unless_they_are_too_many(
    monkeypatch: pytest.MonkeyPatch, num_days: int, told: bool
) -> None:
    rows, probabilities = scored(num_rows=50, num_days=num_days)
    if not told:
        monkeypatch.setattr(parts, "MOST_DAYS", 10)
    found = parts.facts(rows, probabilities, np.argsort(probabilities), 0.5)["ml_test_day_counts"]
    assert len(found) == (len(np.unique(rows.times // DAY)) if told else 0)
    assert all(row["roc_auc"] is None for row in found if 0 in (row["tp"] + row["fn"], row["tn"] + row["fp"]))


def test_a_row_alone_is_a_day_and_a_coin() -> None:
    rows, probabilities = scored(num_rows=1)
    found = parts.facts(rows, probabilities, np.argsort(probabilities), 0.5)
    assert [len(table) for table in found.values()] == [1, 1]
    assert found["ml_test_day_counts"][0]["roc_auc"] is None
