"""The threshold of a model: the best one by its rule, between two probabilities."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, matthews_corrcoef, precision_recall_curve

from worker.child.thresholds import choose


def scored(seed: int, rows: int = 3000, share: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities as models give them, many of them equal, and labels."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(rows) < share).astype(np.uint8)
    probabilities = np.round(1 / (1 + np.exp(-rng.normal(1.2 * labels - 1.5, 1))), 2 + seed % 4)
    return probabilities, labels


def every(probabilities: np.ndarray) -> np.ndarray:
    """A threshold for each way to part the rows into yes and no, with some yes: just below a probability."""
    values = np.unique(probabilities)
    return np.concatenate([[0.0], (values[1:] + values[:-1]) / 2]) if values[0] > 0 else values[:-1]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("rule", "metric"), [("f1", f1_score), ("mcc", matthews_corrcoef)])
def test_no_threshold_has_a_better_metric(seed: int, rule: str, metric: object) -> None:
    probabilities, labels = scored(seed)
    chosen = choose(rule, probabilities, labels).threshold
    best = max(metric(labels, probabilities > threshold) for threshold in every(probabilities))  # type: ignore[operator]
    assert metric(labels, probabilities > chosen) == pytest.approx(best, abs=1e-12)  # type: ignore[operator]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("floor", ["0.3", "0.5", "0.8"])
@pytest.mark.parametrize("rule", ["precision", "recall"])
def test_of_those_that_reach_the_floor_none_has_more_of_the_other(seed: int, rule: str, floor: str) -> None:
    """By the curve of scikit-learn, whose thresholds say yes to rows of at least such a probability."""
    probabilities, labels = scored(seed)
    precision, recall, _ = precision_recall_curve(labels, probabilities)
    ours, other = (precision, recall) if rule == "precision" else (recall, precision)
    reaches = ours[:-1] >= float(floor)
    found = choose(f"{rule}>={floor}", probabilities, labels)
    says = probabilities > found.threshold
    hits = np.count_nonzero(says & (labels == 1))
    got = {"precision": hits / says.sum(), "recall": hits / labels.sum()}
    assert got[rule] >= float(floor)
    assert got["recall" if rule == "precision" else "precision"] == other[:-1][reaches].max()
    assert found.warnings == []


def test_a_floor_that_none_reaches_takes_the_nearest_and_says_so() -> None:
    labels = np.array([0, 1, 0, 1] * 20, np.uint8)
    probabilities = np.array([0.9, 0.7, 0.3, 0.2] * 20)
    found = choose("precision>=0.8", probabilities, labels)
    assert found.threshold == 0.1  # a precision of 0.5 at 0.7 and at 0.2: the latter finds all
    assert found.warnings == [
        "no threshold has a precision of 0.8 on the 80 rows that it was chosen on; taken is that of the "
        "highest, 0.5000"
    ]


@pytest.mark.parametrize(
    ("probabilities", "labels", "rule", "threshold"),
    [
        pytest.param([0.1, 0.2, 0.6, 0.7], [0, 0, 1, 1], "f1", 0.4, id="midway, few digits"),
        pytest.param([0.29, 0.2901], [0, 1], "f1", 0.29005, id="as many digits as are needed"),
        pytest.param([0.2, 0.4, 0.6, 0.8], [1, 0, 0, 1], "f1", 0.7, id="of equal ones the highest"),
        pytest.param([0.0, 0.0, 0.5], [1, 0, 1], "recall>=1", 0.2, id="nothing is less than 0"),
        pytest.param([0.0, 0.0], [1, 0], "f1", 0.0, id="all are 0"),
        pytest.param([0.4, 0.4], [1, 0], "f1", 0.2, id="one value"),
        pytest.param([0.5, float(np.nextafter(0.5, 1))], [0, 1], "f1", 0.5, id="neighbours"),
        pytest.param([0.8, 0.6, 0.4], [1, 1, 0], "precision>=1", 0.5, id="all that is right"),
        pytest.param([0.8, 0.6, 0.4], [1, 0, 1], "precision>=0.6", 0.2, id="more found, at the floor"),
    ],
)
def test_a_threshold_parts_the_rows_as_meant(
    probabilities: list[float], labels: list[int], rule: str, threshold: float
) -> None:
    assert choose(rule, np.array(probabilities), np.array(labels, np.uint8)).threshold == threshold


def test_few_positive_rows_are_told_of() -> None:
    probabilities, labels = scored(1, rows=60, share=0.1)
    (said,) = choose("f1", probabilities, labels).warnings
    assert said == f"the threshold was chosen on {labels.sum()} positive rows: it is rough"


@pytest.mark.parametrize("rule", ["f1", "mcc", "precision>=0.5", "recall>=0.5"])
def test_no_row_changes_sides_by_the_last_digit_of_its_probability(rule: str) -> None:
    """As between the worker, which computes in single precision, and ``ml.predict``."""
    probabilities, labels = scored(3, share=0.4)
    threshold = choose(rule, probabilities, labels).threshold
    for moved in (probabilities * (1 - 1e-7), probabilities * (1 + 1e-7), probabilities.astype(np.float32)):
        assert np.array_equal(moved > threshold, probabilities > threshold)
