"""The rows that a model is fitted or measured on.

The server sends them in any order, by several connections. Here they are put in order, and labels are read
ahead where there is a horizon. Next to nothing is held twice: beside the matrix of the features there is one
more of its columns per thread.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.child import labels as kinds_of_label
from worker.child.fields import Fields
from worker.child.labels import UNLABELLED, Label, Rows
from worker.database.copying import Batch
from worker.database.dataset import Stream
from worker.errors import JobError

_OTHER_PHASE = np.int8(4)  # is taken from what the rows of other phases say
MOST_APART = 20_000  # rows without a label whose features are kept
_FEWEST_ROWS = 1 << 12  # that room is made for
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # of the server's times
_NO_NUMBERS = np.empty(0)
_PART_ROWS = 1 << 16  # what is made of so many rows at a time takes little room


class NoRowsError(JobError):
    """The period has no rows of these phases."""


@dataclass(frozen=True)
class Dataset:
    """Rows, ordered by coin and time: labelled ones, or all, without labels.

    Attributes:
        names: names of the features.
        features: float32, shape (rows, features), one feature after another in memory; NaN is missing.
        labels: uint8, shape (rows,); 1 is positive. Empty where none are wanted.
        coins: int32, shape (rows,); number of the coin.
        times: int64, shape (rows,); microseconds since 2000-01-01 UTC.
        num_unlabelled: rows that were left out because they have no label.
        num_without_base: those of them whose own value is no base for a change.
        num_uncovered: rows whose coin has no row where the window ends, left out or negative.
        fingerprint: SHA-256 over all of this.
        coin_names: names of the coins, in UTF-8, by their numbers.
        states: int8, shape (rows,); where a label with a horizon compares a level, what the row's own value
            says now: 1, 0, or -1 where it says nothing. Otherwise empty.
        apart: float32, shape (some, features); features of rows without a label or without a covered window,
            a sample of at most 20,000. Those at the end of the period, which nobody can label, are not meant.
        num_apart: how many such rows there are.
        persistence: int8, shape (rows,); what is to be expected if nothing changes: 1, 0, or -1 where nobody
            knows. Empty where there is no such forecast; see :func:`worker.child.labels.apply`.
    """

    names: tuple[str, ...]
    features: NDArray[np.float32]
    labels: NDArray[np.uint8]
    coins: NDArray[np.int32]
    times: NDArray[np.int64]
    num_unlabelled: int
    num_without_base: int
    num_uncovered: int
    fingerprint: str
    coin_names: tuple[bytes, ...]
    states: NDArray[np.int8] = field(default_factory=lambda: np.empty(0, np.int8))
    apart: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    num_apart: int = 0
    persistence: NDArray[np.int8] = field(default_factory=lambda: np.empty(0, np.int8))

    @property
    def num_positive(self) -> int:
        """Number of positive rows."""
        return int(self.labels.sum())

    @property
    def without_label(self) -> dict[str, int]:
        """How many rows have no label, and why, by the names of the results' columns."""
        return {
            "num_unlabelled": self.num_unlabelled,
            "num_without_base": self.num_without_base,
            "num_uncovered": self.num_uncovered,
        }

    def __len__(self) -> int:
        return len(self.coins)

    def reorder(self, order: NDArray[Any]) -> None:
        """Put the rows into another order, in place: a second matrix may not fit into memory."""
        for array in (
            *self.features.T,
            self.labels,
            self.coins,
            self.times,
            self.states,
            self.persistence,
        ):
            if len(array):
                array[:] = array[order]

    def part(self, rows: slice) -> "Dataset":
        """Some of the rows, which are not copied."""
        return replace(
            self,
            features=self.features[rows],
            labels=self.labels[rows],
            coins=self.coins[rows],
            times=self.times[rows],
            states=self.states[rows],
            persistence=self.persistence[rows],
        )


def decode(
    stream: Stream,
    features: Sequence[str],
    label: Label | None,
    report: Callable[[int], None],
    *,
    expected_rows: int = 0,
    threads: int = 1,
) -> Dataset:
    """Decode what :func:`worker.database.dataset.stream_dataset` reads, and label the rows if that is wanted.

    Coins are ordered by their names, byte by byte; rows of one coin at one moment by what they hold, a
    negative one first: the same data always gives the same rows.

    Args:
        stream: the rows.
        features: names of the features, in the order of their fields.
        label: what says which rows are positive; None: all rows are wanted, without labels.
        report: is told after each batch how many rows have arrived.
        expected_rows: about how many will, to make room for them at once.
        threads: how many columns are put in order at once.

    Raises:
        NoRowsError: there is no row.
        JobError: there is no label, a labelled feature without any value, or one that is infinite.
    """
    received = _receive(stream, report, expected_rows)
    num_rows = int(np.count_nonzero(_is_chosen(received.says.view())))
    arranged = _arrange(received, label, stream.period_end)
    for unneeded in (received.coins, *received.numbers):
        unneeded.release(arranged.order[:0])
    _require_rows(num_rows, stream.source)
    if label:
        _require_labels(num_rows, len(arranged.order), label)
    place, apart_place = arranged.order, some_of(arranged.apart, MOST_APART)
    if num_rows < len(received.says.view()):
        place, apart_place = received.places[place], received.places[apart_place]
    received.says.release(place[:0])
    matrix = np.empty((len(features), len(place)), np.float32)
    apart = np.empty((len(features), len(apart_place)), np.float32)
    digest = hashlib.sha256(",".join(features).encode())

    def put_in_order(number: int) -> NDArray[np.float32]:
        apart[number] = received.columns[number].view()[apart_place]
        column = received.columns[number].release(place, into=matrix[number])
        if label:
            _require_value(column, features[number])
        _require_finite(column, features[number], received.num_lost[number], num_rows, stream.source)
        return column

    with ThreadPoolExecutor(threads) as pool:
        for column in pool.map(put_in_order, range(len(features))):
            digest.update(column.data)
    times = received.times.release(arranged.order)
    labels = arranged.labels
    coins = np.repeat(np.arange(len(arranged.sizes), dtype=np.int32), arranged.sizes)
    for array in (labels, coins, times):
        digest.update(array.data)
    return Dataset(
        names=tuple(features),
        features=matrix.T,
        labels=labels,
        coins=coins,
        times=times,
        num_unlabelled=num_rows - len(labels) if label else 0,
        num_without_base=arranged.num_without_base,
        num_uncovered=arranged.num_uncovered,
        fingerprint=digest.hexdigest(),
        coin_names=received.coin_names,
        states=arranged.states,
        apart=apart.T,
        num_apart=len(arranged.apart),
        persistence=arranged.persistence,
    )


def some_of(items: NDArray[Any], most: int, seed: int = 0) -> NDArray[Any]:
    """All items, or at most so many of them in their order, drawn by a seed."""
    if len(items) <= most:
        return items
    is_drawn = np.zeros(len(items), bool)
    is_drawn[np.random.default_rng(seed).integers(0, len(items), most)] = True
    return items[is_drawn]


class _Growing:
    """An array that grows at its end. Room that is not used yet takes no memory."""

    def __init__(self, dtype: Any, room: int) -> None:
        self._values = np.empty(max(room, _FEWEST_ROWS), dtype)
        self._size = 0

    def extend(self, values: NDArray[Any]) -> None:
        size = self._size + len(values)
        if size > len(self._values):
            longer = np.empty(max(size, len(self._values) * 3 // 2), self._values.dtype)
            longer[: self._size] = self.view()
            self._values = longer
        self._values[self._size : size] = values
        self._size = size

    def view(self) -> NDArray[Any]:
        return self._values[: self._size]

    def release(self, order: NDArray[Any], into: NDArray[Any] | None = None) -> NDArray[Any]:
        """Give the values in this order, and let go of them here."""
        if into is None:
            into = np.empty(len(order), self._values.dtype)
        for part, rows in zip(_parts(into), _parts(order), strict=True):
            np.take(self._values, rows, out=part, mode="clip")  # all are there; "raise" would take a copy
        self._values, self._size = self._values[:0].copy(), 0
        return into


@dataclass(frozen=True)
class _Received:
    """Rows as they came: the number of the coin, its time, what the target says, and a column a feature.

    ``numbers`` are what labels are computed from: the target, the goal and the stop, or nothing. The columns
    have no rows of other phases. Of each, ``num_lost`` values are too small for a double. Where no labels are
    wanted, the target says nothing of any row.
    """

    coins: _Growing
    times: _Growing
    says: _Growing
    numbers: list[_Growing]
    columns: list[_Growing]
    num_lost: list[int]
    coin_names: tuple[bytes, ...]

    @cached_property
    def places(self) -> NDArray[Any]:
        """Where in the columns a chosen row is."""
        is_chosen = _is_chosen(self.says.view())
        return np.cumsum(is_chosen, dtype=_row_number(len(is_chosen))) - 1


@dataclass(frozen=True)
class _Arranged:
    """Rows by coin and time: which of those received, their labels and states if any, how many a coin has."""

    order: NDArray[Any]
    labels: NDArray[np.uint8]
    persistence: NDArray[np.int8]
    sizes: NDArray[np.int64]
    num_without_base: int
    num_uncovered: int
    states: NDArray[np.int8]
    apart: NDArray[Any]  # rows without a label or a covered window, but for the end of the period


def _is_chosen(says: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Whether rows are of the chosen phases."""
    return says >= UNLABELLED


def _said(says: NDArray[np.int8]) -> NDArray[np.int8]:
    """What the server says of each row, whichever its phase: 1, 0 or -1."""
    return np.where(_is_chosen(says), says, says + _OTHER_PHASE)


def _parts(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """An array as views of its parts."""
    return (array[start : start + _PART_ROWS] for start in range(0, len(array), _PART_ROWS))


def _receive(stream: Stream, report: Callable[[int], None], expected_rows: int) -> _Received:
    room = expected_rows * 9 // 8  # it is an estimate
    coins, times, says = (_Growing(dtype, room) for dtype in (np.int32, np.int64, np.int8))
    numbers = [_Growing(np.float64, room) for _ in range(stream.num_numbers)]
    columns = [_Growing(np.float32, room) for _ in stream.types]
    num_lost = [0] * len(columns)
    number_of: defaultdict[bytes, int] = defaultdict()  # of a coin, by its name
    number_of.default_factory = number_of.__len__

    def receive(batch: Batch) -> int:
        fields = Fields(batch)
        own_numbers, own_names = fields.text()
        coins.extend(np.array([number_of[name] for name in own_names], np.int32)[own_numbers])
        times.extend(fields.fixed("int8"))
        own_says = fields.boolean() if stream.has_label else np.full(len(own_numbers), UNLABELLED, np.int8)
        chosen: Any = ...
        if stream.has_other_phases:
            chosen = fields.boolean() == 1
            own_says = np.where(chosen, own_says, own_says - _OTHER_PHASE)
        says.extend(own_says)
        for values in numbers:
            values.extend(fields.double())
        for number, (type_name, column) in enumerate(zip(stream.types, columns, strict=True)):
            column.extend(fields.number(type_name)[chosen])
            num_lost[number] += fields.num_lost
        return len(times.view())

    for num_rows in map(receive, stream.batches):
        report(num_rows)

    # The order in which the coins were met is chance.
    ranks = np.empty(len(number_of), np.int32)
    names = tuple(sorted(number_of))
    for rank, name in enumerate(names):
        ranks[number_of[name]] = rank
    for part in _parts(coins.view()):
        part[:] = ranks[part]
    return _Received(coins, times, says, numbers, columns, num_lost, names)


def _row_number(rows: int) -> type[np.signedinteger[Any]]:
    """The smallest type that numbers so many rows."""
    return np.int32 if rows < 2**31 else np.int64


def _arrange(received: _Received, label: Label | None, period_end: datetime) -> _Arranged:
    """Order the rows by coin and time, read each one's label, and drop those that have none."""
    coins, times, says = (each.view() for each in (received.coins, received.times, received.says))
    order, bounds = _group(coins)
    reach = label.reach if label else 0
    labels = np.empty(len(order) if label else 0, np.uint8)
    states = np.empty(len(order) if label and label.has_state else 0, np.int8)
    apart: list[NDArray[Any]] = [order[:0]]
    persistence = np.empty(len(order) if label and kinds_of_label.persists(label) else 0, np.int8)
    sizes = np.zeros(len(bounds) - 1, np.int64)
    # A coin's times, moved behind those of the coin before: then all are in one order.
    first, last = (int(times.min()), int(times.max())) if len(times) else (0, 0)
    span = last - first + reach + 1
    cut = (period_end - _EPOCH) // timedelta(microseconds=1) - reach  # windows from there on are cut off
    kept = num_without_base = num_uncovered = 0
    for start, end in _whole_coins(bounds, (2**63 - 1) // span):
        rows = order[bounds[start] : bounds[end]]
        own_coins = np.repeat(np.arange(end - start), np.diff(bounds[start : end + 1]))
        moments = times[rows] - first + own_coins * span
        if (np.diff(moments) <= 0).any():
            by_time = np.argsort(moments, kind="stable")
            moments = moments[by_time]
            if (moments[1:] == moments[:-1]).any():
                by_time = _order_ties(received, rows, label.direction if label else 1)
            rows = rows[by_time]
        if label is None:
            order[bounds[start] : bounds[end]] = rows
            sizes[start:end] = np.diff(bounds[start : end + 1])
            kept = int(bounds[end])
            continue
        is_chosen, said = _is_chosen(says[rows]), _said(says[rows])
        numbers = [number.view()[rows] for number in received.numbers]
        targets, goals, stops = numbers + [_NO_NUMBERS] * (3 - len(numbers))
        is_cut = times[rows] >= cut
        own_labels, is_covered, own_persistence = kinds_of_label.apply(
            label, Rows(moments, said, targets, goals, stops, label.horizon), is_cut
        )
        without_base = np.isnan(goals) if numbers else np.zeros(len(rows), bool)
        num_without_base += int(np.count_nonzero(is_chosen & without_base))
        num_uncovered += int(np.count_nonzero(is_chosen & ~without_base & ~is_covered))
        is_labelled = is_chosen & (own_labels >= 0)
        apart.append(rows[is_chosen & ~is_cut & ~(is_labelled & is_covered)])
        size = int(np.count_nonzero(is_labelled))
        sizes[start:end] = np.bincount(own_coins[is_labelled], minlength=end - start)
        order[kept : kept + size] = rows[is_labelled]
        labels[kept : kept + size] = own_labels[is_labelled]
        if len(states):
            own_states = kinds_of_label.compare(label, targets, goals) if numbers else said
            states[kept : kept + size] = own_states[is_labelled]
        if own_persistence is not None:
            persistence[kept : kept + size] = own_persistence[is_labelled]
        kept += size
    return _Arranged(
        order[:kept],
        labels[:kept],
        persistence[:kept],
        sizes,
        num_without_base,
        num_uncovered,
        states[:kept],
        np.concatenate(apart),
    )


def _whole_coins(bounds: NDArray[np.int64], most: int) -> Iterator[tuple[int, int]]:
    """The coins in runs that have about ``_PART_ROWS`` rows, and are at most so many."""
    start, num_coins = 0, len(bounds) - 1
    while start < num_coins:
        end = int(np.searchsorted(bounds, bounds[start] + _PART_ROWS, side="right")) - 1
        end = max(start + 1, min(end, start + most, num_coins))
        yield start, end
        start = end


def _group(numbers: NDArray[np.int32]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Rows by the number of their coin, and where each coin begins and the last ends.

    By counting: the rows of a part are sorted, and each coin's are put behind those that it had before.
    """
    num_coins = int(numbers.max(initial=-1)) + 1
    counts = sum(
        (np.bincount(part, minlength=num_coins) for part in _parts(numbers)), np.zeros(num_coins, int)
    )
    bounds = np.concatenate([[0], np.cumsum(counts)])
    ends = bounds[:-1].copy()
    order = np.empty(len(numbers), _row_number(len(numbers)))
    start = 0
    narrow = np.uint16 if num_coins <= 2**16 else np.int32  # is sorted by counting
    for part in _parts(numbers):
        by_coin = np.argsort(part.astype(narrow), kind="stable")
        coins = part[by_coin]
        firsts = np.flatnonzero(np.diff(coins, prepend=-1))
        sizes = np.diff(firsts, append=len(part))
        within = np.arange(len(part)) - np.repeat(firsts, sizes)
        order[ends[coins] + within] = start + by_coin
        ends[coins[firsts]] += sizes
        start += len(part)
    return order, bounds


def _order_ties(received: _Received, rows: NDArray[Any], direction: int) -> NDArray[np.int64]:
    """Order of rows by coin and time, then by what they hold: without a key there may be several at once.

    The first of them is the one that speaks against the label, as far as it has a target.
    """
    says = received.says.view()[rows]
    is_chosen = _is_chosen(says)
    place = np.maximum(received.places[rows], 0)
    values = [np.where(is_chosen, column.view()[place], np.nan) for column in received.columns]
    numbers = [direction * number.view()[rows] for number in received.numbers]
    said = _said(says)
    said[said < 0] = 2
    times, coins = received.times.view()[rows], received.coins.view()[rows]
    return np.lexsort((*reversed(values), is_chosen, said, *reversed(numbers), times, coins))


def _require_rows(num_rows: int, source: str) -> None:
    if num_rows == 0:
        raise NoRowsError(f"{source} has no rows in this period and these phases")


def _require_labels(num_rows: int, num_labelled: int, label: Label) -> None:
    if num_labelled == 0:
        why = f"{label.target} is NULL"
        if minutes := label.future_minutes:
            why = (
                f"the coin has no row {minutes} to {2 * minutes} minutes later within the period, "
                f"or no {label.target} until then"
            )
        if label.base:
            why += f", or {label.base} is NULL, zero or negative"
        raise JobError(f"none of the {num_rows} rows in this period has a label: {why}")


def _require_value(column: NDArray[np.float32], feature: str) -> None:
    if np.isnan(column).all():
        raise JobError(
            f"the feature {feature} has no value in any of the {len(column)} labelled rows of this period; "
            "leave it out, or choose another period"
        )


def _require_finite(
    column: NDArray[np.float32], feature: str, num_lost: int, num_rows: int, source: str
) -> None:
    infinite = int(np.isinf(column).sum())
    if infinite:
        raise JobError(
            f"the feature {feature} is infinite or larger than 3.4e38 in {infinite} of {len(column)} rows; "
            f"correct them in {source}, or leave the feature out"
        )
    if num_lost:
        raise JobError(
            f"the feature {feature} is not 0, but smaller than 1e-308 in {num_lost} of {num_rows} rows; "
            f"set them to 0 in {source}, multiply the column, or leave the feature out"
        )
