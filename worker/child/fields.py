"""Decodes fields of COPY's binary format, each for all rows of a batch at once.

The format is that of the server's send functions: a length, -1 for NULL, and the value, big-endian. A
numeric is sent as it is stored, by its digits in base 10,000, which takes the server less than half of what
the cast to float8 takes.
"""

import struct
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from worker.database.copying import Batch

# Digits of a numeric that are looked at first: what follows changes a double by its last bit at most.
_DIGITS = 5
_NUMERIC = np.dtype(
    [
        ("size", ">i4"),
        ("num_digits", ">i2"),
        ("weight", ">i2"),  # of the first digit, as a power of 10,000
        ("sign", ">u2"),
        ("scale", ">u2"),
        ("digits", ">i2", (_DIGITS,)),
    ]
)
_NEGATIVE, _SPECIAL = 0x4000, {0xC000: np.nan, 0xD000: np.inf, 0xF000: -np.inf}
_EXACT = 2.0**53  # below this, a double holds every integer
_EXACT_POWER = 5  # 10,000 to the power of at most this is a double
_SLACK = 2.0**-49  # more than the relative error of what is computed from inexact parts
_FARTHEST = 100  # power of 10,000 from which on a double is infinite
with np.errstate(over="ignore"):
    _POWERS = np.float64(10_000) ** np.arange(_FARTHEST + 1)
_TIMES = np.concatenate([np.ones(_FARTHEST), _POWERS])  # by the power, from -_FARTHEST on
_OVER = np.concatenate([_POWERS[:0:-1], np.ones(_FARTHEST + 1)])
_FIRST_BYTES = np.array([(1 << 8 * number) - 1 for number in range(9)], np.uint64)  # of a word
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd, and no pattern in its bits
_LEAST = -77  # power of 10,000 that a value has at least which is not 0 and stays so as a double
_FIXED = {"bool": "?", "int2": ">i2", "int4": ">i4", "int8": ">i8", "float4": ">f4", "float8": ">f8"}
DECODED = frozenset(["numeric", *_FIXED])


class Fields:
    """The fields of a batch, taken in their order.

    Attributes:
        num_lost: values of the last number taken that are not 0, but smaller than a double can tell.
    """

    def __init__(self, batch: Batch) -> None:
        self.num_lost = 0
        self._data: memoryview | bytes = batch.data
        self._at = batch.starts + 2  # behind the number of fields

    def fixed(self, type_name: str) -> NDArray[Any]:
        """Values of a type of fixed length without NULL, native."""
        return self._fixed(type_name)["value"].astype(_FIXED[type_name][1:])

    def boolean(self) -> NDArray[np.int8]:
        """1 for true, 0 for false, -1 for NULL."""
        found = self._look(np.dtype([("size", ">i4"), ("value", np.int8)]))
        self._pass(found["size"])
        return np.where(found["size"] < 0, np.int8(-1), found["value"])

    def text(self) -> tuple[NDArray[np.intp], list[bytes]]:
        """Values of text without NULL: each row's as a number, and the texts that have these numbers."""
        sizes = self._look(np.dtype(">i4"))
        longest = int(sizes.max(initial=1))
        shortest = int(sizes.min(initial=longest))
        num_words = -(-longest // 8)
        words = self._look(np.dtype([("size", ">i4"), ("value", "<u8", (num_words,))]))["value"]
        for place in range(shortest // 8, num_words):  # behind a text, the next field follows
            words[:, place] &= _FIRST_BYTES[np.clip(sizes - 8 * place, 0, 8)]
        hashes = sizes.astype(np.uint64)
        for word in words.T:
            hashes = (hashes ^ (hashes >> np.uint64(32))) * _MULTIPLIER + word
        numbers, _ = pd.factorize(hashes)
        rows = np.empty(int(numbers.max(initial=-1)) + 1, np.intp)
        rows[numbers] = np.arange(len(numbers))
        if not all((word == word[rows][numbers]).all() for word in words.T):  # two texts have the same hash
            texts = np.ascontiguousarray(words).view(f"S{8 * num_words}").ravel()
            _, rows, numbers = np.unique(texts, return_index=True, return_inverse=True)
        self._pass(sizes)
        found: list[bytes] = np.ascontiguousarray(words[rows]).view(f"S{8 * num_words}").ravel().tolist()
        return numbers, found

    def double(self) -> NDArray[np.float64]:
        """Values of numeric, to 16 digits, so that equal numerics give equal doubles; NaN for NULL."""
        found = self._look(_NUMERIC)
        self._pass(found["size"])
        values, _, _ = _doubles(found)
        return _signed(values, found)

    def number(self, type_name: str) -> NDArray[np.float32]:
        """Values of a type of numbers as the server would cast them to float8, then rounded; NaN for NULL.

        A boolean is 0 or 1.
        """
        self.num_lost = 0
        if type_name != "numeric":
            found = self._fixed(type_name)
            with np.errstate(over="ignore"):
                values = found["value"].astype(np.float64).astype(np.float32)
            values[found["size"] < 0] = np.nan
            return values
        at = self._at
        found = self._look(_NUMERIC)
        self._pass(found["size"])
        self.num_lost = int(
            np.count_nonzero((found["weight"] < _LEAST) & (found["num_digits"] > 0) & (found["size"] >= 0))
        )
        values, is_open = _rounded(found)
        for row in np.flatnonzero(is_open).tolist():
            values[row] = _exactly(self._data, int(at[row]))
        return values

    def _look(self, dtype: np.dtype[Any]) -> NDArray[Any]:
        """What is read where the fields begin."""
        missing = int(self._at.max(initial=0)) + dtype.itemsize - len(self._data)
        if missing > 0:
            self._data = bytes(self._data) + bytes(missing)
        windows = np.ndarray(
            (len(self._data) - dtype.itemsize + 1,), f"V{dtype.itemsize}", self._data, strides=(1,)
        )
        return windows[self._at].view(dtype)

    def _pass(self, sizes: NDArray[Any]) -> None:
        self._at = self._at + 4 + np.maximum(sizes, 0)

    def _fixed(self, type_name: str) -> NDArray[Any]:
        found = self._look(np.dtype([("size", ">i4"), ("value", _FIXED[type_name])]))
        self._pass(found["size"])
        return found


def _doubles(found: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[Any]]:
    """Absolute values of numerics by their first digits, and the integers and powers that these come from."""
    num_digits = np.clip(found["num_digits"], 0, _DIGITS)
    mantissa = np.zeros(len(found))
    for place in range(int(num_digits.max(initial=0))):
        mantissa = np.where(place < num_digits, mantissa * 10_000 + found["digits"][:, place], mantissa)
    power = np.clip(found["weight"] - num_digits + 1, -_FARTHEST, _FARTHEST)
    with np.errstate(over="ignore"):
        values = mantissa * _TIMES.take(power + _FARTHEST) / _OVER.take(power + _FARTHEST)
    return values, mantissa, power


def _signed(values: NDArray[Any], found: NDArray[Any]) -> NDArray[Any]:
    """Set signs, NaN, infinities and NULL, in place."""
    sign = found["sign"]
    if sign.any():
        np.negative(values, out=values, where=sign == _NEGATIVE)
        for code, value in _SPECIAL.items():
            values[sign == code] = value
    values[found["size"] < 0] = np.nan
    return values


def _rounded(found: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Values of numerics, and which of them are so close to the middle of two that only all digits tell."""
    values, mantissa, power = _doubles(found)
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float32)
        is_open = (mantissa >= _EXACT) | (np.abs(power) > _EXACT_POWER)
        if is_open.any():
            low, high = values * (1 - _SLACK), values * (1 + _SLACK)
            is_open &= low.astype(np.float32) != high.astype(np.float32)
    return _signed(rounded, found), is_open & (found["size"] >= 0)


def _exactly(data: memoryview | bytes, at: int) -> float:
    """The numeric that begins here, as the double nearest to it."""
    _, num_digits, weight, sign, _ = struct.unpack_from(">ihhHH", data, at)
    digits = struct.unpack_from(f">{num_digits}h", data, at + 12)
    value = float("".join(f"{digit:04}" for digit in digits) + f"e{4 * (weight - num_digits + 1)}")
    return -value if sign == _NEGATIVE else value
