"""The rows that a model is fitted or measured on, decoded from COPY's binary format."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.errors import JobError

_HEADER_BYTES = 19  # signature, flags and length of the extension
_BATCH_BYTES = 1 << 22


@dataclass(frozen=True)
class Dataset:
    """Labelled rows, ordered by coin and time.

    Attributes:
        names: names of the features.
        features: float32, shape (rows, features); NaN is missing.
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


def decode(
    blocks: Iterable[bytes | bytearray | memoryview], features: Sequence[str], report: Callable[[int], None]
) -> Dataset:
    """Decode what ``database.stream_dataset`` reads.

    Args:
        blocks: the bytes, cut anywhere.
        features: names of the features, in the order of their fields.
        report: is told after each batch how many rows have arrived.

    Raises:
        JobError: there is no row, no label, a feature without any value, or one that is infinite.
    """
    row = np.dtype(
        [
            ("fields", ">i2"),
            ("coin_bytes", ">i4"),
            ("coin", ">i4"),
            ("time_bytes", ">i4"),
            ("time", ">i8"),
            ("label_bytes", ">i4"),
            ("label", ">i2"),
            ("features", [("bytes", ">i4"), ("value", ">f8")], (len(features),)),
        ]
    )
    batches: list[tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.int32], NDArray[np.int64]]] = []
    pending = bytearray()
    skip = _HEADER_BYTES
    num_rows = num_labelled = 0

    def take_batch() -> None:
        nonlocal num_rows, num_labelled
        whole = (len(pending) - skip) // row.itemsize
        rows = np.frombuffer(bytes(pending), dtype=row, count=whole, offset=skip)
        labelled = rows[rows["label"] >= 0]
        with np.errstate(over="ignore"):
            values = labelled["features"]["value"].astype(np.float32)
        batches.append(
            (
                values,
                labelled["label"].astype(np.uint8),
                labelled["coin"].astype(np.int32),
                labelled["time"].astype(np.int64),
            )
        )
        del pending[: skip + whole * row.itemsize]
        num_rows += whole
        num_labelled += len(labelled)
        report(num_rows)

    for block in blocks:
        pending += block
        if len(pending) >= _BATCH_BYTES:
            take_batch()
            skip = 0
    take_batch()

    matrix, labels, coins, times = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    _require_rows(num_rows, num_labelled)
    _require_values(matrix, features)
    digest = hashlib.sha256(",".join(features).encode())
    for array in (matrix, labels, coins, times):
        digest.update(np.ascontiguousarray(array).data)
    return Dataset(
        names=tuple(features),
        features=matrix,
        labels=labels,
        coins=coins,
        times=times,
        num_unlabelled=num_rows - num_labelled,
        fingerprint=digest.hexdigest(),
    )


def _require_rows(num_rows: int, num_labelled: int) -> None:
    if num_rows == 0:
        raise JobError("coin_metrics has no rows in this period and these phases (0 rows)")
    if num_labelled == 0:
        raise JobError(
            f"none of the {num_rows} rows in this period has a label: the target is NULL, or with a horizon "
            "no later row of the same coin lies in the period"
        )


def _require_values(matrix: NDArray[np.float32], features: Sequence[str]) -> None:
    rows = len(matrix)
    missing = np.asarray(np.isnan(matrix).all(axis=0))
    infinite = np.asarray(np.isinf(matrix).sum(axis=0))
    for feature, is_missing, count in zip(features, missing.tolist(), infinite.tolist(), strict=True):
        if is_missing:
            raise JobError(
                f"the feature {feature} has no value in any of the {rows} labelled rows of this period; "
                "leave it out, or choose another period"
            )
        if count:
            raise JobError(
                f"the feature {feature} is infinite or larger than 3.4e38 in {count} of {rows} rows; "
                "correct them in coin_metrics, or leave the feature out"
            )
