"""Features that all coins share at a moment, and series that are there under two keys."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.child.dataset import Dataset, some_of
from worker.child.holdout import Holdout
from worker.child.traps.trap import MOST_ROWS, MOST_TOLD, Floats, Severity, Trap, clip, percent, without_nan

_FEWEST_MOMENTS = 10  # that two coins have in common
_COPY_ROWS = 250_000  # that copies are looked for in, at most about so many
_COPY_BITS, _COPY_SHARE, _COPY_CONTENTS = 100.0, 0.3, 5  # that two series share, at least
_PART_ROWS = 1 << 16


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
    step = np.uint64(max(1, len(rows) // (4 * MOST_ROWS)))
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
        values = without_nan(column[chosen])
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


def feature_of_moment(names: Sequence[str], found: OfMoments, holdout: str) -> Iterator[Trap]:
    """Features that are the same for all coins at a moment."""
    for number in np.flatnonzero(found.is_told)[:MOST_TOLD]:
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


def mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mixes the bits of each number: Steele and others, SplitMix64, OOPSLA (2014)."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def _chosen(size: int, step: np.uint64, keys: Callable[[slice], NDArray[np.uint64]]) -> NDArray[np.intp]:
    """The rows whose keys are drawn, one in so many; rows of equal keys all or none."""
    parts = (slice(start, start + _PART_ROWS) for start in range(0, size, _PART_ROWS))
    return np.concatenate([part.start + np.flatnonzero(mixed(keys(part)) % step == 0) for part in parts])


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
    several = _in_company(contents)
    _, kind_of, numbers = np.unique(contents[several], return_inverse=True, return_counts=True)
    bits = np.full(len(chosen), np.log2(len(chosen)))
    bits[several] = np.log2(len(chosen) / numbers)[kind_of]
    of_coin = np.bincount(coins, weights=bits)
    for by_time in (True, False):
        found = _copies(coins, times, contents, bits, by_time=by_time)
        told = 0
        for first, second, shared, num_rows, moved in found:
            share = shared / max(min(of_coin[first], of_coin[second]), 1e-9)
            if share < _COPY_SHARE:
                continue
            told += 1
            if told > MOST_TOLD:
                break
            yield _copy_told(
                rows,
                parts,
                (first, second),
                share=min(share, 1.0),
                num_rows=num_rows * int(step),
                moved=moved,
            )
        if told:
            return


def _in_company(keys: NDArray[np.uint64]) -> NDArray[np.intp]:
    """Places of all keys that are there more than once, and of a few others, without the time of a sort."""
    buckets = (keys >> np.uint64(63 - len(keys).bit_length())).astype(np.intp)
    return np.flatnonzero(np.bincount(buckets)[buckets] > 1)


def _copies(
    coins: NDArray[np.int64],
    times: NDArray[np.int64],
    contents: NDArray[np.uint64],
    bits: Floats,
    *,
    by_time: bool,
) -> Iterator[tuple[int, int, float, int, int]]:
    """Pairs of coins, the bits and the rows that they share, and by how much time these are moved."""
    keys = mixed(contents ^ mixed(times.view(np.uint64))) if by_time else contents
    order = _in_company(keys)
    order = order[np.argsort(keys[order], kind="stable")]  # within a key by coin and time
    keys, coins, times = keys[order], coins[order], times[order]
    bits, contents = bits[order], contents[order]
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
    rows: Dataset, parts: Holdout | None, pair: tuple[int, int], *, share: float, num_rows: int, moved: int
) -> Trap:
    names = [clip(rows.coin_names[coin].decode()) for coin in pair]
    sentence = (
        f"{names[0]} and {names[1]} are the same series: {percent(share)} of the shorter, {num_rows:,} rows"
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
