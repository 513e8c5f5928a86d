"""Numbers are decoded as the server would cast them, to the last bit."""

from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from psycopg.sql import SQL

from tests.conftest import Connection
from worker.child import fields
from worker.child.fields import Fields
from worker.database.copying import Batch, read

# Between two numbers of 24 bits, and next to that: only all digits tell where it is rounded to.
MIDDLES = ["16777217", "16777217.0000000000000000000000000001", "16777216.9999999999999999999999999999"]
MIDDLES += [
    f"{Decimal(np.float64(np.float32(0.1)) + 2.0**-28):f}",
    "9007199254740993",
    "90071992547409930001",
]
NUMERICS = [
    *["NaN", "Infinity", "-Infinity", "0", "-0.0", "0.0000", "1", "-1", "10000", "9999.9999", "0.00010001"],
    *["1e-400", "1e400", "-1e400", "1e38", "3.4028235e38", "3.40282357e38", "1.4e-45", "7e-46", "1e131071"],
    *["1234567890123456789012345678901234567890.123456789", "0.1", "123456.789012345678", "1" * 60 + ".5"],
    *MIDDLES,
    *(f"-{middle}" for middle in MIDDLES),
]


def numeric(value: str | None) -> bytes:
    """As the server sends it."""
    if value is None:
        return (-1).to_bytes(4, "big", signed=True)
    decimal = Decimal(value)
    special = {"NaN": 0xC000, "Infinity": 0xD000, "-Infinity": 0xF000}.get(str(decimal))
    digits: list[int] = []
    weight = 0
    if special is None and decimal:
        whole, _, part = f"{abs(decimal):f}".partition(".")
        whole = whole.zfill(-(-len(whole) // 4) * 4)
        part = part.ljust(-(-len(part) // 4) * 4, "0")
        digits = [int((whole + part)[at : at + 4]) for at in range(0, len(whole + part), 4)]
        weight = len(whole) // 4 - 1
        while digits[0] == 0:
            del digits[0]
            weight -= 1
        while digits[-1] == 0:
            del digits[-1]
    sign = special if special is not None else 0x4000 if decimal < 0 else 0
    body = b"".join(n.to_bytes(2, "big", signed=n < 0) for n in (len(digits), weight))
    body += b"".join(n.to_bytes(2, "big") for n in (sign, 0, *digits))
    return len(body).to_bytes(4, "big") + body


def batch(rows: Sequence[bytes]) -> Batch:
    rows = [b"\0\1" + row for row in rows]
    sizes = np.array([len(row) for row in rows], np.intp)
    return Batch(memoryview(b"".join(rows)), np.cumsum(sizes) - sizes)


def as_server(value: str) -> np.float32:
    with np.errstate(over="ignore"):
        return np.float32(float(value))


def bits(values: NDArray[np.float32]) -> list[int | None]:
    return [None if np.isnan(value) else int(value.view(np.uint32)) for value in values]


def test_every_kind_of_numeric_is_as_the_server_would_cast_it(client: Connection) -> None:
    """What float8 cannot hold, which the server would refuse, is infinite or zero."""
    beyond = {"1e-400", "1e400", "-1e400", "1e131071"}
    values = ", ".join(
        f"('{value}'::numeric, {'NULL' if value in beyond else repr(value)}::float8)" for value in NUMERICS
    )
    query = SQL("COPY (SELECT n, f FROM (VALUES {}, (NULL, NULL)) v (n, f)) TO STDOUT (FORMAT binary)")
    found: list[list[int | None]] = []

    def decode(batch: Batch) -> None:
        taken = Fields(batch)
        found.extend([bits(taken.number("numeric")), bits(taken.number("float8"))])

    list(map(decode, read([(client, query.format(SQL(values)))])))  # type: ignore[list-item]
    numerics, floats = found
    for value, ours, servers in zip([*NUMERICS, None], numerics, floats, strict=True):
        if value in beyond:
            assert ours == bits(np.array([as_server(str(value))]))[0], value
        elif value == "-0.0":
            assert ours == 0  # numeric has no negative zero
        else:
            assert ours == servers, value


@given(
    st.lists(
        st.one_of(
            st.none(),
            st.decimals(allow_nan=False, allow_infinity=False).filter(lambda d: abs(d.adjusted()) < 400),
            st.floats(width=32, allow_nan=False, allow_infinity=False).map(Decimal),
            st.integers(0, 2**80).map(Decimal),
            st.integers(2**23, 2**24).flatmap(
                lambda n: st.integers(-30, 30).map(lambda e: (Decimal(n) + Decimal("0.5")) * Decimal(2) ** e)
            ),
        ).map(lambda d: None if d is None else f"{d:f}"),
        min_size=1,
        max_size=30,
    )
)
def test_any_numeric_is_rounded_as_the_double_nearest_to_it(values: list[str | None]) -> None:
    found = bits(Fields(batch([numeric(value) for value in values])).number("numeric"))
    expected = [
        None if value is None else bits(np.array([as_server(value) + np.float32(0)]))[0] for value in values
    ]
    assert found == expected


def test_a_boolean_is_0_or_1(client: Connection) -> None:
    query = SQL("COPY (SELECT v FROM (VALUES (true), (false), (NULL)) x (v)) TO STDOUT (FORMAT binary)")
    found: list[float | None] = []

    def decode(batch: Batch) -> None:
        found.extend(None if np.isnan(value) else float(value) for value in Fields(batch).number("bool"))

    list(map(decode, read([(client, query)])))  # type: ignore[list-item]
    assert found == [1.0, 0.0, None]


def test_what_is_too_small_for_a_double_is_counted() -> None:
    taken = Fields(
        batch([numeric(value) for value in ("1e-309", "-1e-400", "1e-308", "0", "NaN", "1", None)])
    )
    taken.number("numeric")
    assert taken.num_lost == 2


@pytest.mark.parametrize("type_name", ["int2", "int4", "int8", "float4", "float8"])
def test_other_types_of_numbers_travel_as_they_are(client: Connection, type_name: str) -> None:
    values = ["1", "0", "-1", "32767", None]
    if type_name == "int8":
        values += ["9223372036854775807", "16777217", "-9007199254740993"]
    if type_name.startswith("float"):
        values += ["NaN", "Infinity", "-Infinity", "0.1", "1e-40", "-0"]
    rows = ", ".join("(NULL)" if value is None else f"('{value}')" for value in values)
    query = SQL("COPY (SELECT v::{0}, v::{0}::float8 FROM (VALUES {1}) x (v)) TO STDOUT (FORMAT binary)")
    found: list[list[int | None]] = []

    def decode(batch: Batch) -> None:
        taken = Fields(batch)
        found.extend([bits(taken.number(type_name)), bits(taken.number("float8"))])

    list(map(decode, read([(client, query.format(SQL(type_name), SQL(rows)))])))  # type: ignore[list-item]
    assert found[0] == found[1]
    assert len(found[0]) == len(values)


@pytest.mark.parametrize("multiplier", [fields._MULTIPLIER, np.uint64(0)])
@given(st.lists(st.text(st.characters(min_codepoint=1, codec="utf-8"), max_size=20), min_size=1))
def test_texts_are_told_apart_whatever_their_hashes(multiplier: np.uint64, texts: list[str]) -> None:
    encoded = [text.encode() for text in texts]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fields, "_MULTIPLIER", multiplier)
        taken = Fields(batch([len(text).to_bytes(4, "big") + text + b"\xff" * 8 for text in encoded]))
        numbers, different = taken.text()
    assert [different[number] for number in numbers] == encoded
    assert len(set(different)) == len(different)
