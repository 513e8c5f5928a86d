"""Which rows a model is fitted on, and which are held out to measure it."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from worker.child.dataset import Dataset

Kind = Literal["coins", "time", "coins_and_time"]

_MOST_DRAWS = 1000
_FEWEST_DRAWS = 20
_MOST_STEPS = 10_000_000  # draws by coins
_NEAR_ENOUGH = 0.001  # shares of both classes together


@dataclass(frozen=True)
class Holdout:
    """The two parts, the gap between them, and rows of the first that were set aside for a third use.

    Attributes:
        num_coins: coins of all rows.
        kind: ``coins`` if whole coins are held out, ``time`` if the last part of the period is,
            ``coins_and_time`` if later rows of coins that are not fitted are.
        order: int64, shape (rows,): row numbers, first those to fit on, then those set aside, and last those
            that are held out.
        num_fitted: rows to fit on.
        num_gap: rows in no part: their label may lie in the time of another, or they are earlier rows of
            held-out coins, or later ones of fitted coins.
        num_set_aside: rows that are neither fitted nor measured, see :func:`set_aside`.
    """

    num_coins: int
    kind: Kind
    order: NDArray[np.int64]
    num_fitted: int
    num_gap: int
    num_set_aside: int = 0

    @property
    def fitted(self) -> NDArray[np.int64]:
        """Row numbers to fit on."""
        return self.order[: self.num_fitted]

    @property
    def held_out(self) -> NDArray[np.int64]:
        """Row numbers that are held out."""
        return self.order[self.num_fitted + self.num_set_aside + self.num_gap :]

    @property
    def set_aside(self) -> NDArray[np.int64]:
        """Row numbers that are neither fitted nor held out."""
        return self.order[self.num_fitted : self.num_fitted + self.num_set_aside]


def split(
    dataset: Dataset,
    test_size: float,
    random_state: int,
    label_reach: int,
    fewest_coins: int,
    *,
    kind: Kind = "coins",
) -> Holdout:
    """Hold out whole coins, the last part of the period, or that part of coins that are not fitted.

    Rows of one coin resemble each other: a model that has seen some of them is not measured by others. Nor is
    one by rows of the time that it has seen, where coins rise and fall together. Rows before the held-out
    time whose label may reach into it are purged: M. López de Prado, Advances in Financial Machine Learning
    (2018), chapter 7.

    With few coins no whole ones can be held out, and the last part of the period is.

    Args:
        dataset: labelled rows: all, or some that are to be split once more.
        test_size: share of the rows to hold out, between 0 and 1; with ``coins_and_time`` of the rows for the
            time, and of the later rows for the coins among those that have earlier rows as well.
        random_state: seed of the draw of coins.
        label_reach: microseconds from a row to the latest moment that its label may be read at.
        fewest_coins: coins of which some can be held out whole.
        kind: what to hold out.
    """
    coins, coin_of_row = np.unique(dataset.coins, return_inverse=True)
    if len(coins) < fewest_coins:
        kind = "time"
    if kind == "coins":
        is_held_out = _draw_coins(coin_of_row, dataset.labels, test_size, random_state)[coin_of_row]
        is_fitted = ~is_held_out
    else:
        cut = np.quantile(dataset.times, 1 - test_size, method="higher")
        is_held_out = dataset.times >= cut
        is_fitted = dataset.times + label_reach < cut
    if kind == "coins_and_time":
        is_drawn = _draw_later_coins(
            coin_of_row,
            dataset.labels,
            is_early=is_fitted,
            is_late=is_held_out,
            test_size=test_size,
            random_state=random_state,
        )[coin_of_row]
        is_held_out &= is_drawn
        is_fitted &= ~is_drawn
    fitted, gap, held_out = map(np.flatnonzero, (is_fitted, ~(is_fitted | is_held_out), is_held_out))
    return Holdout(len(coins), kind, np.concatenate([fitted, gap, held_out]), len(fitted), len(gap))


def set_aside(dataset: Dataset, parts: Holdout, share: float, random_state: int, label_reach: int) -> Holdout:
    """Of the rows to fit on, set some aside: whole coins, or by time the last of them.

    A threshold that is chosen on rows that were fitted is too high, and one chosen on the rows that it is
    measured on flatters.

    Args:
        dataset: labelled rows.
        parts: how they were split.
        share: of the rows to fit on, between 0 and 1.
        random_state: seed of the draw of coins.
        label_reach: as of :func:`split`.

    Returns:
        The parts, with fewer rows to fit on. There may be none in a part.
    """
    rows = parts.fitted
    if parts.kind == "time":
        times = dataset.times[rows]
        cut = np.quantile(times, 1 - share, method="higher") if len(rows) else 0
        is_aside = times >= cut
        is_fitted = times + label_reach < cut
    else:
        coins, coin_of_row = np.unique(dataset.coins[rows], return_inverse=True)
        is_aside = np.zeros(len(rows), dtype=bool)
        if len(coins) > 1:
            is_aside = _draw_coins(coin_of_row, dataset.labels[rows], share, random_state)[coin_of_row]
        is_fitted = ~is_aside
    gap = rows[~(is_fitted | is_aside)]
    rest = parts.order[parts.num_fitted :]
    return replace(
        parts,
        order=np.concatenate([rows[is_fitted], rows[is_aside], gap, rest]),
        num_fitted=int(np.count_nonzero(is_fitted)),
        num_gap=parts.num_gap + len(gap),
        num_set_aside=int(np.count_nonzero(is_aside)),
    )


def _draw_later_coins(
    coin_of_row: NDArray[np.int64],
    labels: NDArray[np.uint8],
    *,
    is_early: NDArray[np.bool_],
    is_late: NDArray[np.bool_],
    test_size: float,
    random_state: int,
) -> NDArray[np.bool_]:
    """The coins whose later rows are held out.

    Those without an early row cannot be fitted in any case, and those without a late one would be held out
    for nothing: it is drawn among the others, by their late rows.
    """
    num_coins = int(coin_of_row.max()) + 1
    has_early, has_late = (
        np.bincount(coin_of_row[rows], minlength=num_coins) > 0 for rows in (is_early, is_late)
    )
    is_drawn = ~has_early
    has_both = has_early & has_late
    both = np.flatnonzero(has_both)
    if len(both) > 1:
        rows = is_late & has_both[coin_of_row]
        number = np.cumsum(has_both) - 1
        is_drawn[both[_draw_coins(number[coin_of_row[rows]], labels[rows], test_size, random_state)]] = True
    elif np.count_nonzero(has_early) > 1:
        is_drawn[both] = True
    return is_drawn


def _draw_coins(
    coin_of_row: NDArray[np.int64], labels: NDArray[np.uint8], test_size: float, random_state: int
) -> NDArray[np.bool_]:
    """Of many random draws, the one that comes nearest to holding out ``test_size`` of each class.

    The first that is within a thousandth is near enough.

    One that leaves a class out of either part is taken only if there is no other.
    """
    rows = np.bincount(coin_of_row).astype(np.float64)
    positives = np.bincount(coin_of_row, weights=labels)
    classes = np.stack([positives, rows - positives])
    totals = np.maximum(classes.sum(axis=1, keepdims=True), 1)
    num_coins = len(rows)
    rng = np.random.default_rng(random_state)
    nearest, best = np.inf, np.zeros(num_coins, dtype=bool)
    for _ in range(int(np.clip(_MOST_STEPS // num_coins, _FEWEST_DRAWS, _MOST_DRAWS))):
        order = rng.permutation(num_coins)[:-1]  # one coin at least stays to be fitted on
        shares = classes[:, order].cumsum(axis=1) / totals
        lacks_a_class = ((shares == 0) | (shares == 1)).any(axis=0)
        off = np.abs(shares - test_size).sum(axis=0) + 2 * lacks_a_class
        size = int(off.argmin()) + 1
        if off[size - 1] < nearest:
            nearest = off[size - 1]
            best = np.zeros(num_coins, dtype=bool)
            best[order[:size]] = True
        if nearest < _NEAR_ENOUGH:
            break
    return best
