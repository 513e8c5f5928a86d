"""Traps: what makes the figures of a job look better, or worse, than they are, found in its rows.

Each is told as a :class:`Trap`, which becomes a row of ``ml_warnings``; ``ref_warnings`` explains the codes.
What is found by trying is found on samples drawn by a seed; copies are looked for in all rows.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier

from worker.child import feature_stats
from worker.child.dataset import Dataset, some_of
from worker.child.feature_stats import LARGE_SHIFT
from worker.child.holdout import Holdout
from worker.child.labels import Label

TELLING = 0.99  # ROC AUC from which on the label is told
FEW_POSITIVE = 50  # rows of a class, below which a fit is one of few
_MOST_ROWS = 20_000  # of a sample
_SCREEN_ROWS = 2_000  # that pairs of features are looked for in
_SCREENED, _SUSPECT = 0.9, 6  # ROC AUC of a pair that is looked at again, and of how many
_MOST_PAIRS = 300  # of features, that are tried
_MOST_TOLD = 20  # warnings of one code
_MANY_APART, _SOME_APART = 0.2, 0.05  # shares of rows without a label
_FEWEST_MOMENTS = 10  # that two coins have in common
_COPY_ROWS = 250_000  # that copies are looked for in, at most about so many
_COPY_BITS, _COPY_SHARE, _COPY_CONTENTS = 100.0, 0.3, 5
_EXACT_ROWS = 200_000  # up to which a ROC AUC is of the very probabilities
_PROBABILITY_BINS = 1 << 20
_PART_ROWS = 1 << 16
_SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")

Severity = Literal["info", "warning", "severe"]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trap:
    """A warning: its code, how bad it is, a sentence, and what that speaks of."""

    code: str
    severity: Severity
    sentence: str
    feature: str | None = None
    other_feature: str | None = None
    key: str | None = None
    other_key: str | None = None
    number: float | None = None


def facts(traps: Sequence[Trap], model_id: int) -> list[dict[str, Any]]:
    """Rows of ``ml_warnings``."""
    return [{"model_id": model_id, **asdict(trap)} for trap in traps]


def text(traps: Sequence[Trap]) -> str | None:
    """The sentences in one, the severest first."""
    order = ("severe", "warning", "info")
    told = sorted(traps, key=lambda trap: order.index(trap.severity))
    return "; ".join(trap.sentence for trap in told) or None


def of_training(rows: Dataset, parts: Holdout, label: Label, seed: int, targets: Floats | None) -> list[Trap]:
    """What is wrong with the rows of a training, before they are reordered.

    Args:
        rows: by coin and time.
        parts: which are fitted, and which held out.
        label: what is to be learned.
        seed: of the samples.
        targets: without a horizon, the target and the features of some rows, one row each.
    """
    of_moments = moments_told(rows, seed)
    return [
        *tells_target(rows.names, targets),
        *tells_label(rows, seed, targets if label.future_minutes is None else None),
        *same_series(rows, of_moments, parts),
        *_feature_of_moment(rows.names, of_moments, parts.kind),
        *without_label(rows, label, seed),
        *few_positives(rows.labels[parts.fitted]),
    ]


def of_measurement(rows: Dataset, label: Label, seed: int) -> list[Trap]:
    """What is wrong with the labelled rows of a measurement, whichever model is measured."""
    return [
        *same_series(rows, moments_told(rows, seed)),
        *without_label(rows, label, seed),
        *one_class(rows.labels),
    ]


# ── Features that tell the label ────────────────────────────────────────────────────────────────────


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
        if told > _MOST_TOLD:
            return
        yield Trap(
            "feature_tells_label",
            "severe",
            f"the feature {name} tells the label almost alone: its ROC AUC is {_share(area)}",
            feature=name,
            number=area,
        )
    areas = np.array([area for area, _ in alone])
    for first, second, area in _pairs(sample, areas, targets):
        a, b = rows.names[first], rows.names[second]
        yield Trap(
            "features_tell_label",
            "severe",
            f"the features {a} and {b} together tell the label almost alone: their ROC AUC is {_share(area)}",
            feature=a,
            other_feature=b,
            number=area,
        )


def _draw(rows: Dataset, seed: int) -> _Sample | None:
    classes = [np.flatnonzero(rows.labels == label) for label in (1, 0)]
    if min(map(len, classes)) < 10:
        return None
    most = [max(_MOST_ROWS // 2, _MOST_ROWS - len(other)) for other in reversed(classes)]
    chosen = np.sort(
        np.concatenate([some_of(of, number, seed) for of, number in zip(classes, most, strict=True)])
    )
    coins = rows.coins[chosen]
    labels = rows.labels[chosen] == 1
    is_fit = _hash(coins.astype(np.uint64)) & np.uint64(1) == 0
    if len(np.unique(coins)) < 10 or min(_rarer(labels[is_fit]), _rarer(labels[~is_fit])) < 5:
        is_fit = rows.times[chosen] < np.median(rows.times[chosen])
    if min(_rarer(labels[is_fit]), _rarer(labels[~is_fit])) < 5:
        is_fit = np.arange(len(chosen)) % 2 == 0
    columns = np.array([_known(column[chosen]) for column in rows.features.T])
    states = rows.states[chosen] if len(rows.states) else np.empty(0, np.int8)
    return _Sample(columns, labels, states, is_fit)


def _known(column: NDArray[Any]) -> Floats:
    """As doubles, NaN as a value that is less than any."""
    values = column.astype(np.float64)
    values[np.isnan(values)] = -1e300
    return values


def _rarer(labels: NDArray[np.bool_]) -> int:
    positive = int(np.count_nonzero(labels))
    return min(positive, len(labels) - positive)


def _area(values: NDArray[Any], labels: NDArray[np.bool_]) -> float:
    """Area under the ROC curve; 0.5 with one class only."""
    order = np.argsort(values)
    ends = np.flatnonzero(np.diff(values[order], append=np.inf))
    positives = np.cumsum(labels[order], dtype=np.int64)[ends]
    negatives = ends + 1 - positives
    if positives[-1] == 0 or negatives[-1] == 0:
        return 0.5
    below = np.trapezoid(np.append(0, positives), np.append(0, negatives))
    return float(1 - below / (positives[-1] * negatives[-1]))


def _tell(values: Floats, sample: _Sample) -> tuple[float, Floats]:
    """How well one number tells the label, and the score that does so: by its order, or by bands of it.

    A score that was fitted is NaN in the rows that it was fitted on.
    """
    area = _area(values, sample.labels)
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
    return _area(scores[measured], sample.labels[measured]), scores


def _tells_the_state(scores: Floats, sample: _Sample) -> bool:
    """Whether a score tells what the target says now, and not what it will say."""
    if not len(sample.states):
        return False
    known = (sample.states >= 0) & ~np.isnan(scores)
    scores, labels, states = scores[known], sample.labels[known], sample.states[known] == 1
    differ = states != labels
    if _rarer(labels[differ]) < 10:
        return _area(scores, states) >= TELLING
    return _area(scores[differ], labels[differ]) < _SCREENED


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
    if min(_rarer(few.labels[few.is_fit]), _rarer(few.labels[~few.is_fit])) < 5:
        return
    cells = np.array([_cells(column, few.is_fit, 16) for column in few.columns])
    suspects = []
    for first, second in _candidates(few.columns, areas):
        a, b = few.columns[first], few.columns[second]
        by_order = max(abs(_area(values, few.labels) - 0.5) + 0.5 for values in _combined(a, b))
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
    """Pairs to try: of features that go together, whose difference may tell what neither does, or that tell much."""
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


# ── Without a horizon: the target itself ────────────────────────────────────────────────────────────


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
        if len(np.unique(own)) < 2 or len(np.unique(values)) < 3 or len(own) < 30 or told >= _MOST_TOLD:
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
    if min(rank.min() == rank.max() for rank in ranks) or any(rank.min() == rank.max() for rank in ranks):
        return 0.0
    return abs(float(np.corrcoef(ranks)[0, 1]))


# ── The same for all coins, and the same series twice ───────────────────────────────────────────────


@dataclass(frozen=True)
class OfMoments:
    """Which features are the same for all coins at a moment, as some of the moments that coins share tell.

    Attributes:
        is_told: shape (features,).
        is_constant: shape (features,); whether it has one value at all these moments.
        num_values: shape (features,); how many different values the moments have.
        num_moments: moments that were looked at.
    """

    is_told: NDArray[np.bool_]
    is_constant: NDArray[np.bool_]
    num_values: NDArray[np.int64]
    num_moments: int


def moments_told(rows: Dataset, seed: int) -> OfMoments:
    """Look at moments at which several coins have rows."""
    nothing = np.zeros(len(rows.names), bool)
    none = OfMoments(nothing, nothing, np.zeros(len(rows.names), np.int64), 0)
    if rows.coins[0] == rows.coins[-1]:
        return none
    step = np.uint64(max(1, len(rows) // (4 * _MOST_ROWS)))
    chosen = np.arange(len(rows))
    if step > 1:
        chosen = _chosen(len(rows), step, lambda part: rows.times[part].view(np.uint64) + np.uint64(seed))
    chosen = chosen[np.argsort(rows.times[chosen], kind="stable")]
    times, coins = rows.times[chosen], rows.coins[chosen]
    starts = np.flatnonzero(np.diff(times, prepend=times[:1] - 1)) if len(times) else chosen
    ends = np.append(starts[1:], len(times)) - 1
    is_shared = coins[starts] != coins[ends]
    if np.count_nonzero(is_shared) < _FEWEST_MOMENTS:
        return none
    is_of_shared = np.repeat(is_shared, ends + 1 - starts)
    chosen, sizes = chosen[is_of_shared], (ends + 1 - starts)[is_shared]
    starts = np.cumsum(sizes) - sizes
    is_told, is_constant = nothing.copy(), nothing.copy()
    num_values = np.zeros(len(rows.names), np.int64)
    for number, column in enumerate(rows.features.T):
        values = _known(column[chosen])
        least, most = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
        if np.mean(least == most) < 0.99:
            continue
        found, counts = np.unique(least, return_counts=True)
        num_values[number] = len(found)
        is_constant[number] = len(found) == 1
        # One that hardly ever has another value is the same by chance.
        is_told[number] = len(found) >= _FEWEST_MOMENTS or (
            len(found) > 1 and len(starts) - counts.max() >= _FEWEST_MOMENTS
        )
    return OfMoments(is_told, is_constant, num_values, len(starts))


def _feature_of_moment(names: Sequence[str], found: OfMoments, holdout: str) -> Iterator[Trap]:
    for number in np.flatnonzero(found.is_told)[:_MOST_TOLD]:
        values = int(found.num_values[number])
        identifies = values >= found.num_moments / 2
        sentence = (
            f"the feature {names[number]} is the same for all coins at a moment "
            f"({values:,} values at {found.num_moments:,} moments)"
        )
        if identifies:
            sentence += ", so that it tells moments apart"
        if holdout == "coins":
            sentence += (
                "; the held-out coins have the moments of the fitted ones, so that their figures may flatter"
            )
        yield Trap(
            "feature_of_moment",
            "warning" if identifies and holdout == "coins" else "info",
            sentence,
            feature=names[number],
            number=float(values),
        )


def _hash(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mixes the bits of each number: Steele and others, SplitMix64, OOPSLA (2014)."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def _chosen(size: int, step: np.uint64, keys: Callable[[slice], NDArray[np.uint64]]) -> NDArray[np.intp]:
    """The rows whose keys fall to one in so many, whatever else there is; in parts, which take little room."""
    parts = (slice(start, start + _PART_ROWS) for start in range(0, size, _PART_ROWS))
    return np.concatenate([part.start + np.flatnonzero(_hash(keys(part)) % step == 0) for part in parts])


def _contents(columns: Sequence[NDArray[np.float32]]) -> NDArray[np.uint64]:
    """A hash of what each row holds."""
    found = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        found ^= (column + np.float32(0)).view(np.uint32)  # there is one zero
        found *= np.uint64(0x9E3779B97F4A7C15)
        found ^= found >> np.uint64(29)
    return found


def same_series(rows: Dataset, of_moments: OfMoments, parts: Holdout | None = None) -> Iterator[Trap]:
    """Two keys that share a large part of their rows, at the same moments or all moved by the same time.

    Rows are compared by hashes of their features, but for those that all coins share at a moment. What many
    rows hold says little: a content counts by its rarity, in bits, so that coins that are dead alike, or that
    share small counts by chance, are no copies.
    """
    useful = np.flatnonzero(~(of_moments.is_told | of_moments.is_constant))
    if len(useful) == 0 or rows.coins.min() == rows.coins.max():
        return
    columns = [rows.features[:, number] for number in useful]
    # The few that have the most values choose the rows that are looked at: copies are chosen alike.
    sample = some_of(np.arange(len(rows)), 1_000)
    variety = [len(np.unique(column[sample])) for column in columns]
    choosing = [columns[number] for number in np.argsort(variety, kind="stable")[-3:]]
    step = np.uint64(max(1, len(rows) // _COPY_ROWS))
    chosen = np.arange(len(rows))
    if step > 1:
        chosen = _chosen(len(rows), step, lambda part: _contents([column[part] for column in choosing]))
    if len(chosen) < 2 * _COPY_CONTENTS:
        return
    contents = _contents([column[chosen] for column in columns])
    coins, times = rows.coins[chosen].astype(np.int64), rows.times[chosen]
    _, kind_of, numbers = np.unique(contents, return_inverse=True, return_counts=True)
    bits = np.log2(len(chosen) / numbers)[kind_of]
    of_coin = np.bincount(coins, weights=bits)
    for by_time in (True, False):
        found = _copies(coins, times, contents, bits, by_time=by_time)
        told = 0
        for first, second, shared, num_rows, moved in found:
            share = shared / max(min(of_coin[first], of_coin[second]), 1e-9)
            if share < _COPY_SHARE:
                continue
            told += 1
            if told > _MOST_TOLD:
                break
            yield _copy_told(rows, (first, second), min(share, 1.0), num_rows * int(step), moved, parts)
        if told:
            return


def _copies(
    coins: NDArray[np.int64],
    times: NDArray[np.int64],
    contents: NDArray[np.uint64],
    bits: Floats,
    *,
    by_time: bool,
) -> Iterator[tuple[int, int, float, int, int]]:
    """Pairs of coins, the bits and the rows that they share, and by how much time these are moved."""
    keys = _hash(contents ^ _hash(times.view(np.uint64))) if by_time else contents
    order = np.argsort(keys, kind="stable")  # within a key by coin and time
    keys, coins, times, bits, contents = (part[order] for part in (keys, coins, times, bits, contents))
    is_same = keys[1:] == keys[:-1]
    is_next = is_same & (coins[1:] != coins[:-1])
    if not by_time:
        # What a coin holds twice does not tell by how much it was moved.
        is_twice = np.zeros(len(keys) + 1, bool)
        is_twice[1:-1] = is_same & (coins[1:] == coins[:-1])
        is_next &= ~(is_twice[:-2] | is_twice[1:-1] | is_twice[2:])
    here = np.flatnonzero(is_next)
    if len(here) == 0:
        return
    a, b = coins[here], coins[here + 1]
    moved = np.where(a < b, 1, -1) * (times[here + 1] - times[here])
    pairs = np.stack([np.minimum(a, b), np.maximum(a, b), moved], axis=1)
    found, pair_of, numbers = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    pair_of = pair_of.reshape(-1)
    shared = np.bincount(pair_of, weights=bits[here])
    # Different contents, not the same one again and again.
    by_content = np.lexsort((contents[here], pair_of))
    own, held = pair_of[by_content], contents[here][by_content]
    is_new = np.ones(len(own), bool)
    is_new[1:] = (own[1:] != own[:-1]) | (held[1:] != held[:-1])
    num_contents = np.bincount(own[is_new], minlength=len(found))
    good = np.flatnonzero((shared >= _COPY_BITS) & (num_contents >= _COPY_CONTENTS))
    for number in good[np.argsort(-shared[good], kind="stable")]:
        first, second, by = found[number].tolist()
        yield first, second, float(shared[number]), int(numbers[number]), by


def _copy_told(
    rows: Dataset, pair: tuple[int, int], share: float, num_rows: int, moved: int, parts: Holdout | None
) -> Trap:
    names = [_clip(rows.coin_names[coin].decode()) for coin in pair]
    sentence = (
        f"{names[0]} and {names[1]} are the same series: {_percent(share)} of the shorter, {num_rows:,} rows"
    )
    if moved:
        sentence += (
            f", {abs(moved) / 60_000_000:g} minutes {'later' if moved > 0 else 'earlier'} in the second"
        )
    severity: Severity = "warning"
    sentence_end = "; they count twice"
    if parts is not None:
        fitted, held = (
            [bool((rows.coins[part] == coin).any()) for coin in pair]
            for part in (parts.fitted, parts.held_out)
        )
        if (fitted[0] and held[1] and not fitted[1]) or (fitted[1] and held[0] and not fitted[0]):
            severity = "severe"
            sentence_end = "; one was fitted and the other is held out, so that the held-out figures flatter"
    return Trap(
        "same_series", severity, sentence + sentence_end, key=names[0], other_key=names[1], number=share
    )


# ── Rows and answers ────────────────────────────────────────────────────────────────────────────────


def without_label(rows: Dataset, label: Label, seed: int) -> Iterator[Trap]:
    """Many rows without a label or a covered window; or some, whose features differ from the others'."""
    total = len(rows) + rows.num_unlabelled
    share = rows.num_apart / max(total, 1)
    if share < _SOME_APART:
        return
    most = (0.0, "")
    for name, own, other in zip(
        rows.names, rows.apart.T, feature_stats.sample(rows.features, seed).T, strict=True
    ):
        bins = feature_stats.bin_by_deciles(other)
        index, chance = feature_stats.stability_index(bins.counts, feature_stats.count(own, bins.deciles))
        if index >= max(LARGE_SHIFT, chance):
            most = max(most, (index, name))
    if share < _MANY_APART and not most[1]:
        return
    is_uncovered = rows.num_uncovered > rows.num_apart / 2
    counted = is_uncovered and label.uncovered == "negative"
    sentence = (
        f"{rows.num_apart:,} rows, {_percent(share)}, "
        + ("are of coins that stop before their window ends" if is_uncovered else "have no label")
        + (" and count as negative" if counted else " and were left out")
    )
    if most[1]:
        sentence += (
            f"; they differ from the others, most in {most[1]} (population stability index {most[0]:.2f})"
        )
    yield Trap(
        "rows_without_window" if is_uncovered else "rows_without_label",
        "warning",
        sentence,
        feature=most[1] or None,
        number=share,
    )


def few_positives(labels: NDArray[np.uint8]) -> Iterator[Trap]:
    """A fit on few rows of a class."""
    positive = int(labels.sum())
    number = min(positive, len(labels) - positive)
    if number < FEW_POSITIVE:
        which = "positive" if number == positive else "negative"
        yield Trap(
            "few_positives",
            "warning",
            f"of {len(labels):,} rows that were fitted only {number} are {which}",
            number=float(number),
        )


def constant(stats: Sequence[Mapping[str, Any]]) -> Iterator[Trap]:
    """Features with one value, of rows of ``ml_feature_stats``."""
    for row in [row for row in stats if row["minimum"] == row["maximum"] and not row["num_null"]][
        :_MOST_TOLD
    ]:
        yield Trap(
            "constant_feature",
            "info",
            f"the feature {row['feature']} is {row['minimum']:g} in all rows that were fitted",
            feature=row["feature"],
            number=row["minimum"],
        )


def one_class(labels: NDArray[np.uint8]) -> Iterator[Trap]:
    """Rows measured that are all of one class."""
    positive = int(labels.sum())
    if positive in (0, len(labels)):
        yield Trap(
            "one_class_measured",
            "warning",
            f"of {len(labels):,} rows measured {'none' if positive == 0 else 'all'} are positive: "
            f"{'F1 and ' if positive == 0 else ''}ROC AUC say nothing",
            number=float(positive),
        )


def degenerate(probabilities: Floats, threshold: float = 0.5) -> Iterator[Trap]:
    """Answers that are all the same."""
    size = len(probabilities)
    if size < 20:
        return
    least, most = float(probabilities.min()), float(probabilities.max())
    positive = int(np.count_nonzero(probabilities > threshold))
    if positive in (0, size):
        yield Trap(
            "one_answer",
            "warning",
            f"the model says {'no' if positive == 0 else 'yes'} to all of {size:,} rows: "
            f"its probabilities are {least:.3g} to {most:.3g}, the threshold {threshold:g}",
            number=float(positive),
        )
    some = some_of(probabilities, _MOST_ROWS)
    mean = float(some.mean())
    if most - least < 1e-6 or float(some.std()) < 0.005 * max(mean * (1 - mean), 0) ** 0.5:
        same = "the same probability" if most - least < 1e-6 else "nearly the same probability"
        yield Trap(
            "constant_probability",
            "severe" if most - least < 1e-6 else "warning",
            f"the model gives all of {size:,} rows {same}, {mean:.4g}",
            number=mean,
        )


def shifted(found: Sequence[Mapping[str, Any]]) -> Iterator[Trap]:
    """Features whose population stability index is large, of rows of ``ml_feature_shifts``."""
    large = [row for row in found if row["psi"] >= max(LARGE_SHIFT, row["chance"])]
    for row in sorted(large, key=lambda row: -float(row["psi"]))[:_MOST_TOLD]:
        yield Trap(
            "feature_shift",
            "warning",
            f"the feature {row['feature']} is distributed otherwise than in training: "
            f"its population stability index is {row['psi']:.2f}",
            feature=row["feature"],
            number=float(row["psi"]),
        )


# ── Coins that a model was fitted on, and others ────────────────────────────────────────────────────


def seen_and_unseen(
    rows: Dataset, fitted: frozenset[bytes] | None, probabilities: Floats, threshold: float = 0.5
) -> list[dict[str, Any]]:
    """The measurement apart for coins that were fitted and others: rows of ``ml_seen_unseen``.

    Nothing where it is not known which were fitted, or where the source has no key.
    """
    if fitted is None or rows.coin_names == (b"",):
        return []
    is_fitted = np.array([name in fitted for name in rows.coin_names])
    is_seen = is_fitted[rows.coins]
    found = []
    for seen in (True, False):
        own = is_seen == seen
        size = int(np.count_nonzero(own))
        if size == 0:
            continue
        chances, labels = (
            (probabilities, rows.labels) if size == len(own) else (probabilities[own], rows.labels[own])
        )
        positive, predicted = labels == 1, chances > threshold
        tp = int(np.count_nonzero(positive & predicted))
        fp, fn = int(np.count_nonzero(predicted)) - tp, int(np.count_nonzero(positive)) - tp
        area = _area_of_probabilities(chances, positive)
        found.append(
            {
                "is_seen": seen,
                "num_coins": len(np.unique(rows.coins[own])) if size < len(own) else len(rows.coin_names),
                **{"tp": tp, "tn": size - tp - fp - fn, "fp": fp, "fn": fn},
                "roc_auc": area,
            }
        )
    return found


def _area_of_probabilities(chances: Floats, positive: NDArray[np.bool_]) -> float | None:
    """ROC AUC; of many rows by a million bins, which takes no sorting."""
    if not 0 < np.count_nonzero(positive) < len(positive):
        return None
    if len(chances) <= _EXACT_ROWS:
        return _area(chances, positive)
    bins = (chances * (_PROBABILITY_BINS - 1)).astype(np.int64)
    positives = np.bincount(bins[positive], minlength=_PROBABILITY_BINS)
    negatives = np.bincount(bins[~positive], minlength=_PROBABILITY_BINS)
    below = np.cumsum(negatives) - negatives / 2
    return float((positives * below).sum() / (positives.sum() * negatives.sum()))


def better_on_seen(
    rows: Dataset, fitted: frozenset[bytes] | None, probabilities: Floats, seed: int
) -> Iterator[Trap]:
    """ROC AUC that is higher on coins that were fitted than on others, by 0.05 and by three standard errors.

    Rows of one coin resemble each other, so the error is that of coins: Obuchowski, Nonparametric analysis of
    clustered ROC curve data, Biometrics 53 (1997).
    """
    if fitted is None or rows.coin_names == (b"",):
        return
    is_fitted = np.array([name in fitted for name in rows.coin_names])
    areas, variances = [], []
    for seen in (True, False):
        own = some_of(np.flatnonzero(is_fitted[rows.coins] == seen), _MOST_ROWS, seed)
        coins, positive = rows.coins[own], rows.labels[own] == 1
        if len(np.unique(coins)) < 10 or _rarer(positive) < FEW_POSITIVE:
            return
        area, variance = _clustered_area(probabilities[own], positive, coins)
        areas.append(area)
        variances.append(variance)
    seen_area, other_area = areas
    if seen_area - other_area >= max(0.05, 3 * sum(variances) ** 0.5):
        yield Trap(
            "seen_coins",
            "warning",
            f"ROC AUC is {seen_area:.3f} on coins that the model was fitted on, and {other_area:.3f} on others",
            number=seen_area - other_area,
        )


def _clustered_area(
    scores: Floats, positive: NDArray[np.bool_], coins: NDArray[np.int32]
) -> tuple[float, float]:
    """ROC AUC, and its variance by coins."""
    above, below = np.sort(scores[positive]), np.sort(scores[~positive])
    placed = np.empty(len(scores))
    for own, others in ((positive, below), (~positive, above)):
        values = scores[own]
        low, high = (np.searchsorted(others, values, side=side) for side in _SIDES)
        placed[own] = (low + high) / 2 / len(others)
    placed[~positive] = 1 - placed[~positive]
    area = float(placed[positive].mean())
    _, of_coin = np.unique(coins, return_inverse=True)
    number = int(of_coin.max()) + 1
    sums = []
    for own in (positive, ~positive):
        size = np.count_nonzero(own)
        sums.append(np.bincount(of_coin[own], weights=placed[own] - area, minlength=number) / size)
    total = sums[0] + sums[1]
    return area, float(number / max(number - 1, 1) * np.sum(total**2))


def _share(area: float) -> str:
    return f"{np.floor(area * 1000) / 1000:.3f}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share > 0.095 else f"{100 * share:.1f} %"


def _clip(name: str) -> str:
    return name if len(name) <= 100 else name[:99] + "\N{HORIZONTAL ELLIPSIS}"
