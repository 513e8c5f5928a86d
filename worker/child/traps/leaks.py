"""Features that tell the label almost alone, and those that are the target itself."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier

from worker.child.dataset import Dataset, some_of
from worker.child.traps.copies import mixed
from worker.child.traps.trap import (
    MOST_ROWS,
    MOST_TOLD,
    Floats,
    Trap,
    rarer,
    roc_area,
    rounded_down,
    without_nan,
)

TELLING = 0.99  # ROC AUC from which on the label is told
_SCREEN_ROWS = 2_000  # that pairs of features are looked for in
_SCREENED, _SUSPECT = 0.9, 6  # ROC AUC of a pair that is looked at again, and of how many
_MOST_PAIRS = 300  # of features, that are tried


@dataclass(frozen=True)
class _Sample:
    """Some rows, half of each class where there are enough.

    ``is_fit`` are those that something may be fitted on: of half of the coins, or with few the earlier half.
    ``columns`` has one row a feature, without NaN.
    """

    columns: Floats
    labels: NDArray[np.bool_]
    states: NDArray[np.int8]
    is_fit: NDArray[np.bool_]


def tells_label(rows: Dataset, seed: int, targets: Floats | None) -> Iterator[Trap]:
    """Features, alone or two together, whose ROC AUC is 0.99 or more.

    Where the label is a level later, whoever knows the level now tells much of it, and nothing of the future:
    only what tells the rows in which the two differ is told of. Without a horizon what the target is made of
    tells the label, as it must.
    """
    sample = _draw(rows, seed)
    if sample is None:
        return
    alone = [_tell(column, sample) for column in sample.columns]
    told = 0
    for number, (name, (area, scores)) in enumerate(zip(rows.names, alone, strict=True)):
        if area < TELLING or _tells_the_state(scores, sample) or _makes_target([number], targets):
            continue
        told += 1
        if told > MOST_TOLD:
            return
        yield Trap(
            "feature_tells_label",
            "severe",
            f"the feature {name} tells the label almost alone: its ROC AUC is {rounded_down(area)}",
            feature=name,
            number=area,
        )
    areas = np.array([area for area, _ in alone])
    for first, second, area in _pairs(sample, areas, targets):
        a, b = rows.names[first], rows.names[second]
        yield Trap(
            "features_tell_label",
            "severe",
            f"the features {a} and {b} together tell the label almost alone: "
            f"their ROC AUC is {rounded_down(area)}",
            feature=a,
            other_feature=b,
            number=area,
        )


def _draw(rows: Dataset, seed: int) -> _Sample | None:
    classes = [np.flatnonzero(rows.labels == label) for label in (1, 0)]
    if min(map(len, classes)) < 10:
        return None
    most = [max(MOST_ROWS // 2, MOST_ROWS - len(other)) for other in reversed(classes)]
    chosen = np.sort(
        np.concatenate([some_of(of, number, seed) for of, number in zip(classes, most, strict=True)])
    )
    coins = rows.coins[chosen]
    labels = rows.labels[chosen] == 1
    is_fit = mixed(coins.astype(np.uint64)) & np.uint64(1) == 0
    if len(np.unique(coins)) < 10 or min(rarer(labels[is_fit]), rarer(labels[~is_fit])) < 5:
        is_fit = rows.times[chosen] < np.median(rows.times[chosen])
    if min(rarer(labels[is_fit]), rarer(labels[~is_fit])) < 5:
        is_fit = np.arange(len(chosen)) % 2 == 0
    columns = np.array([without_nan(column[chosen]) for column in rows.features.T])
    states = rows.states[chosen] if len(rows.states) else np.empty(0, np.int8)
    return _Sample(columns, labels, states, is_fit)


def _tell(values: Floats, sample: _Sample) -> tuple[float, Floats]:
    """How well one number tells the label, and the score that does so: by its order, or by bands of it.

    A score that was fitted is NaN in the rows that it was fitted on.
    """
    area = roc_area(values, sample.labels)
    by_order = (area, values) if area >= 0.5 else (1 - area, -values)
    if by_order[0] >= TELLING:
        return by_order
    edges = np.unique(np.quantile(values[sample.is_fit], np.linspace(0, 1, 201), method="lower"))
    by_band = _by_cell(np.searchsorted(edges, values, side="right"), sample)
    return max(by_order, by_band, key=lambda found: found[0])


def _by_cell(cells: NDArray[np.intp], sample: _Sample) -> tuple[float, Floats]:
    """By the share of positive rows in each cell."""
    fitted = cells[sample.is_fit]
    size = int(cells.max()) + 1
    numbers = np.bincount(fitted, minlength=size)
    positives = np.bincount(fitted[sample.labels[sample.is_fit]], minlength=size)
    mean = positives.sum() / max(numbers.sum(), 1)
    return _measured(((positives + mean) / (numbers + 1))[cells], sample)


def _measured(scores: Floats, sample: _Sample) -> tuple[float, Floats]:
    scores = np.where(sample.is_fit, np.nan, scores)
    measured = ~sample.is_fit
    return roc_area(scores[measured], sample.labels[measured]), scores


def _tells_the_state(scores: Floats, sample: _Sample) -> bool:
    """Whether a score tells what the target says now, and not what it will say."""
    if not len(sample.states):
        return False
    known = (sample.states >= 0) & ~np.isnan(scores)
    scores, labels, states = scores[known], sample.labels[known], sample.states[known] == 1
    differ = states != labels
    if rarer(labels[differ]) < 10:
        return roc_area(scores, states) >= TELLING
    return roc_area(scores[differ], labels[differ]) < _SCREENED


def _combined(a: Floats, b: Floats) -> list[Floats]:
    with np.errstate(all="ignore"):
        ratio = np.nan_to_num(a / b, nan=-1e300, posinf=1e300, neginf=-1e299)
    return [a - b, ratio, a + b, a * b]


def _pairs(
    sample: _Sample, areas: NDArray[np.float64], targets: Floats | None
) -> Iterator[tuple[int, int, float]]:
    """Two features that tell the label together, and neither alone; the most telling first."""
    # Numbers of more than 1e100, NULL among them, would overflow: they count as the least.
    columns = np.clip(sample.columns, -1e100, 1e100)
    few = _Sample(*(_thin(part) for part in (columns, sample.labels, sample.states, sample.is_fit)))
    if min(rarer(few.labels[few.is_fit]), rarer(few.labels[~few.is_fit])) < 5:
        return
    cells = np.array([_cells(column, few.is_fit, 16) for column in few.columns])
    suspects = []
    for first, second in _candidates(few.columns, areas):
        a, b = few.columns[first], few.columns[second]
        by_order = max(abs(roc_area(values, few.labels) - 0.5) + 0.5 for values in _combined(a, b))
        by_cell, _ = _by_cell(cells[first] * 17 + cells[second], few)
        if max(by_order, by_cell) >= _SCREENED:
            suspects.append((max(by_order, by_cell), first, second))
    whole = _Sample(columns, sample.labels, sample.states, sample.is_fit)
    for _, first, second in sorted(suspects, reverse=True)[:_SUSPECT]:
        area, scores = _tell_together(whole, first, second)
        if area >= TELLING and not (
            _tells_the_state(scores, whole) or _makes_target([first, second], targets)
        ):
            yield first, second, area


def _thin(part: NDArray[Any]) -> NDArray[Any]:
    step = -(-part.shape[-1] // _SCREEN_ROWS) if part.shape[-1] else 1
    return part[..., ::step]


def _cells(column: Floats, is_fit: NDArray[np.bool_], number: int) -> NDArray[np.intp]:
    edges = np.quantile(column[is_fit], np.arange(1, number + 1) / number, method="lower")
    return np.searchsorted(edges, column, side="right")


def _candidates(columns: Floats, areas: NDArray[np.float64]) -> Iterator[tuple[int, int]]:
    """Pairs to try: that go together, so that their difference may tell what neither does, or tell much."""
    useful = np.flatnonzero((areas < TELLING) & (columns.min(axis=1) < columns.max(axis=1)))
    first, second = np.triu_indices(len(useful), 1)
    if len(first) > _MOST_PAIRS:
        ranks = np.argsort(np.argsort(columns[useful], axis=1), axis=1)
        together = np.abs(np.corrcoef(ranks))[first, second]
        telling = areas[useful][first] + areas[useful][second]
        half = _MOST_PAIRS // 2
        chosen = np.union1d(np.argsort(-together)[:half], np.argsort(-telling, kind="stable")[:half])
        first, second = first[chosen], second[chosen]
    yield from zip(useful[first].tolist(), useful[second].tolist(), strict=True)


def _tell_together(sample: _Sample, first: int, second: int) -> tuple[float, Floats]:
    a, b = sample.columns[first], sample.columns[second]
    combined = _combined(a, b)
    found = [_tell(values, sample) for values in combined]
    cells = _cells(a, sample.is_fit, 32) * 33 + _cells(b, sample.is_fit, 32)
    found.append(_by_cell(cells, sample))
    if max(area for area, _ in found) < TELLING:
        largest = float(np.finfo(np.float32).max)
        inputs = np.clip(np.stack([a, b, *combined], axis=1), -largest, largest).astype(np.float32)
        tree = DecisionTreeClassifier(max_depth=6, min_samples_leaf=5, random_state=0)
        tree.fit(inputs[sample.is_fit], sample.labels[sample.is_fit])
        found.append(_measured(tree.predict_proba(inputs)[:, 1], sample))
    return max(found, key=lambda tried: tried[0])


def tells_target(names: Sequence[str], targets: Floats | None) -> Iterator[Trap]:
    """Features that are a monotone function of the target in the same row.

    That is: of rows in the order of the target, the feature never falls (or never rises), and is the same
    where the target is, but for the noise of single precision.
    """
    if targets is None:
        return
    target, *columns = targets
    told = 0
    for name, column in zip(names, columns, strict=True):
        known = ~(np.isnan(target) | np.isnan(column))
        values, own = target[known], column[known]
        if len(np.unique(own)) < 2 or len(np.unique(values)) < 3 or len(own) < 30 or told >= MOST_TOLD:
            continue
        if _goes_both_ways(_thin(values), _thin(own)):
            continue
        order = np.lexsort((own, values))
        values, own = values[order], own[order]
        noise = 1e-5 * np.maximum(np.abs(own[1:]), np.abs(own[:-1]))
        steps, is_tie = np.diff(own), np.diff(values) == 0
        if (is_tie & (steps > noise)).any():
            continue
        steps = steps[~is_tie]
        # Of ties the last has the largest, which the next step begins at; they are the same but for noise.
        noise = noise[~is_tie]
        rises, falls = bool((steps > noise).any()), bool((steps < -noise).any())
        rarest = min(np.count_nonzero(own != own[0]), np.count_nonzero(own != own[-1]))
        if rises == falls or rarest < 10:
            continue
        told += 1
        yield Trap(
            "feature_is_target",
            "severe",
            f"the feature {name} is a {'rising' if rises else 'falling'} function of the target in the same "
            "row, and the label is read in that row: there is nothing to forecast",
            feature=name,
            number=1.0 if rises else -1.0,
        )


def _goes_both_ways(values: Floats, own: Floats) -> bool:
    """Whether a few rows show that one rises and falls with the other, by more than any noise."""
    own = own[np.argsort(values)]
    steps, large = np.diff(own), 0.01 * np.maximum(np.abs(own[1:]), np.abs(own[:-1]))
    return bool((steps > large).any() and (steps < -large).any())


def _makes_target(numbers: Sequence[int], targets: Floats | None) -> bool:
    """Whether the target is made of these features, as far as ranks tell: in the same row it may be."""
    if targets is None:
        return False
    target, columns = targets[0], [targets[1 + number] for number in numbers]
    known = ~np.isnan(targets[[0, *(1 + number for number in numbers)]]).any(axis=0)
    if np.count_nonzero(known) < 30:
        return False
    target, columns = target[known], [np.clip(column[known], -1e100, 1e100) for column in columns]
    tried = columns + (
        _combined(columns[0], columns[1]) + _combined(columns[1], columns[0]) if columns[1:] else []
    )
    if columns[1:]:
        inputs = np.stack([*columns, np.ones(len(target))], axis=1)
        inputs = inputs / np.maximum(np.abs(inputs).max(axis=0), 1e-300)
        tried.append(inputs @ np.linalg.lstsq(inputs, target, rcond=None)[0])
    return any(_rank_correlation(values, target) >= TELLING for values in tried)


def _rank_correlation(a: Floats, b: Floats) -> float:
    """Spearman's, without its sign; 0 where one is constant."""
    ranks = []
    for values in (a, b):
        _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        ranks.append((np.cumsum(counts) - counts / 2)[inverse])
    if any(rank.min() == rank.max() for rank in ranks):
        return 0.0
    return abs(float(np.corrcoef(ranks[0], ranks[1])[0, 1]))
