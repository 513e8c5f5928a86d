"""The rows that a model is fitted or measured on, decoded from COPY's binary format.

The server sends them in any order, from several processes of its own. Here they are put in order, and labels
are read ahead where there is a horizon. Next to nothing is held twice: beside the matrix of the features
there is never more than one more of its columns.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.child.labels import value
from worker.child.labels.value import Label
from worker.errors import JobError

_HEADER_BYTES = 19  # signature, flags and length of the extension
_BATCH_BYTES = 1 << 22
_FEWEST_ROWS = 1 << 12  # that room is made for
_PART_ROWS = 1 << 16  # what is made of so many rows at a time takes little room


class NoRowsError(JobError):
    """The period has no rows of these phases."""


@dataclass(frozen=True)
class Dataset:
    """Labelled rows, ordered by coin and time.

    Attributes:
        names: names of the features.
        features: float32, shape (rows, features), one feature after another in memory; NaN is missing.
        labels: uint8, shape (rows,); 1 is positive.
        coins: int32, shape (rows,); number of the coin.
        times: int64, shape (rows,); microseconds since 2000-01-01 UTC.
        num_unlabelled: rows that were left out because they have no label.
        fingerprint: SHA-256 over all of this.
    """

    names: tuple[str, ...]
    features: NDArray[np.float32]
    labels: NDArray[np.uint8]
    coins: NDArray[np.int32]
    times: NDArray[np.int64]
    num_unlabelled: int
    fingerprint: str

    @property
    def num_positive(self) -> int:
        """Number of positive rows."""
        return int(self.labels.sum())

    def __len__(self) -> int:
        return len(self.labels)

    def reorder(self, order: NDArray[Any]) -> None:
        """Put the rows into another order, in place: a second matrix may not fit into memory."""
        for array in (*self.features.T, self.labels, self.coins, self.times):
            array[:] = array[order]


def decode(
    blocks: Iterable[bytes | bytearray | memoryview],
    features: Sequence[str],
    label: Label,
    report: Callable[[int], None],
    expected_rows: int = 0,
) -> Dataset:
    """Decode what :func:`worker.database.dataset.stream_dataset` reads, and label the rows.

    Coins are ordered by the first 16 bytes of their names, then by a hash; rows of one coin at one moment by
    what they hold, a negative one first: the same data always gives the same rows.

    Args:
        blocks: the bytes, cut anywhere.
        features: names of the features, in the order of their fields.
        label: what says which rows are positive.
        report: is told after each batch how many rows have arrived.
        expected_rows: about how many will, to make room for them at once.

    Raises:
        NoRowsError: there is no row.
        JobError: there is no label, a feature without any value, or one that is infinite.
    """
    received = _receive(blocks, len(features), report, expected_rows)
    num_rows = int(np.count_nonzero(value.is_chosen(received.says.view())))
    arranged = _arrange(received, label)
    _require_rows(num_rows, len(arranged.order))
    place = arranged.order
    if num_rows < len(received.says.view()):
        place = received.places[place]
    received.says.release(place[:0])
    matrix = np.empty((len(features), len(place)), np.float32)
    for number, (name, column) in enumerate(zip(features, received.columns, strict=True)):
        column.release(place, into=matrix[number])
        _require_values(matrix[number], name)
    times = received.times.release(arranged.order)
    labels = arranged.labels
    coins = np.repeat(np.arange(len(arranged.sizes), dtype=np.int32), arranged.sizes)
    digest = hashlib.sha256(",".join(features).encode())
    for array in (matrix, labels, coins, times):
        digest.update(array.data)
    return Dataset(
        names=tuple(features),
        features=matrix.T,
        labels=labels,
        coins=coins,
        times=times,
        num_unlabelled=num_rows - len(labels),
        fingerprint=digest.hexdigest(),
    )


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
            part[:] = self._values[rows]
        self._values, self._size = self._values[:0].copy(), 0
        return into


@dataclass(frozen=True)
class _Received:
    """Rows as they came: the number of the coin, its time, what the target says, and a column a feature.

    The columns have no rows of other phases.
    """

    coins: _Growing
    times: _Growing
    says: _Growing
    columns: list[_Growing]

    @cached_property
    def places(self) -> NDArray[Any]:
        """Where in the columns a chosen row is."""
        is_chosen = value.is_chosen(self.says.view())
        return np.cumsum(is_chosen, dtype=_row_number(len(is_chosen))) - 1


@dataclass(frozen=True)
class _Arranged:
    """Labelled rows by coin and time: which of those received, their labels, and how many a coin has."""

    order: NDArray[Any]
    labels: NDArray[np.uint8]
    sizes: NDArray[np.int64]


def _parts(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """An array as views of its parts."""
    return (array[start : start + _PART_ROWS] for start in range(0, len(array), _PART_ROWS))


def _receive(
    blocks: Iterable[bytes | bytearray | memoryview],
    num_features: int,
    report: Callable[[int], None],
    expected_rows: int,
) -> _Received:
    row = np.dtype(
        [
            ("fields", ">i2"),
            ("coin_bytes", ">i4"),
            ("coin", ">i8"),
            ("name_bytes", ">i4"),
            ("name", "S16"),
            ("time_bytes", ">i4"),
            ("time", ">i8"),
            ("says_bytes", ">i4"),
            ("says", ">i2"),
            ("features", [("bytes", ">i4"), ("value", ">f8")], (num_features,)),
        ]
    )
    room = expected_rows * 9 // 8  # it is an estimate
    coins, times, says = (_Growing(dtype, room) for dtype in (np.int32, np.int64, np.int8))
    columns = [_Growing(np.float32, room) for _ in range(num_features)]
    number_of: dict[int, int] = {}  # of a coin, by its hash
    names: list[bytes] = []
    for rows in _batches(blocks, row):
        hashes, firsts, places = np.unique(
            rows["coin"].astype(np.int64), return_index=True, return_inverse=True
        )
        numbers = [number_of.setdefault(coin, len(number_of)) for coin in hashes.tolist()]
        names.extend(rows["name"][firsts[np.array(numbers) >= len(names)]].tolist())
        coins.extend(np.array(numbers, np.int32)[places])
        times.extend(rows["time"])
        says.extend(rows["says"])
        is_chosen = value.is_chosen(rows["says"])
        chosen = rows if is_chosen.all() else rows[is_chosen]
        with np.errstate(over="ignore"):
            for place, column in enumerate(columns):
                column.extend(chosen["features"]["value"][:, place])
        report(len(times.view()))

    # The order in which the coins were met is chance.
    ranks = np.empty(len(names), np.int32)
    ranks[np.lexsort((np.array(list(number_of), np.int64), np.array(names, "S16")))] = np.arange(len(names))
    for part in _parts(coins.view()):
        part[:] = ranks[part]
    return _Received(coins, times, says, columns)


def _batches(blocks: Iterable[bytes | bytearray | memoryview], row: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    """Whole rows, some megabytes of them at a time."""
    pending, skip = bytearray(), _HEADER_BYTES
    for block in chain(filter(len, blocks), [b""]):  # nothing more: what is pending is the last batch
        pending += block
        if len(pending) >= _BATCH_BYTES or not block:
            whole = max(0, len(pending) - skip) // row.itemsize
            yield np.frombuffer(pending, row, whole, min(skip, len(pending)))
            pending, skip = pending[skip + whole * row.itemsize :], 0


def _row_number(rows: int) -> type[np.signedinteger[Any]]:
    """The smallest type that numbers so many rows."""
    return np.int32 if rows < 2**31 else np.int64


def _arrange(received: _Received, label: Label) -> _Arranged:
    """Order the rows by coin and time, read each one's label, and drop those that have none."""
    times, says = received.times.view(), received.says.view()
    order, bounds = _group(received.coins.view())
    received.coins.release(order[:0])
    labels = np.empty(len(order), np.uint8)
    sizes = np.empty(len(bounds) - 1, np.int64)
    kept = 0
    for coin, (start, end) in enumerate(pairwise(bounds.tolist())):
        rows = order[start:end]
        own_times = times[rows]
        by_time = np.argsort(own_times, kind="stable")
        own_times = own_times[by_time]
        if (own_times[1:] == own_times[:-1]).any():
            by_time = _order_ties(received, rows)
        rows = rows[by_time]
        own_labels = value.read(own_times, says[rows], label)
        is_labelled = own_labels >= 0
        sizes[coin] = size = int(np.count_nonzero(is_labelled))
        order[kept : kept + size] = rows[is_labelled]
        labels[kept : kept + size] = own_labels[is_labelled]
        kept += size
    return _Arranged(order[:kept], labels[:kept], sizes)


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
    for part in _parts(numbers):
        by_coin = np.argsort(part, kind="stable")
        coins = part[by_coin]
        firsts = np.flatnonzero(np.diff(coins, prepend=-1))
        sizes = np.diff(firsts, append=len(part))
        within = np.arange(len(part)) - np.repeat(firsts, sizes)
        order[ends[coins] + within] = start + by_coin
        ends[coins[firsts]] += sizes
        start += len(part)
    return order, bounds


def _order_ties(received: _Received, rows: NDArray[Any]) -> NDArray[np.int64]:
    """Order of a coin's rows by time, then by what they hold: without a key there may be several at once."""
    says = received.says.view()[rows]
    is_chosen = value.is_chosen(says)
    place = np.maximum(received.places[rows], 0)
    values = [np.where(is_chosen, column.view()[place], np.nan) for column in received.columns]
    said = value.said(says)
    said[said < 0] = 2
    return np.lexsort((*reversed(values), is_chosen, said, received.times.view()[rows]))


def _require_rows(num_rows: int, num_labelled: int) -> None:
    if num_rows == 0:
        raise NoRowsError("coin_metrics has no rows in this period and these phases")
    if num_labelled == 0:
        raise JobError(
            f"none of the {num_rows} rows in this period has a label: the target is NULL, or with a horizon "
            "no later row of the same coin lies in the period"
        )


def _require_values(column: NDArray[np.float32], feature: str) -> None:
    rows, known, infinite = (
        len(column),
        len(column) - int(np.isnan(column).sum()),
        int(np.isinf(column).sum()),
    )
    if known == 0:
        raise JobError(
            f"the feature {feature} has no value in any of the {rows} labelled rows of this period; "
            "leave it out, or choose another period"
        )
    if infinite:
        raise JobError(
            f"the feature {feature} is infinite or larger than 3.4e38 in {infinite} of {rows} rows; "
            "correct them in coin_metrics, or leave the feature out"
        )
