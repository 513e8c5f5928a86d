"""What ``ml-worker load`` reads: what a file says where that is clear, else nothing, with what to do."""

import bz2
import csv
import gzip
import io
import lzma
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from psycopg import sql

from tests.conftest import Connection, Database, one
from worker.commands import load as loading
from worker.commands import load_fields, sample
from worker.commands.load import Loaded, load
from worker.commands.load_fields import FieldError, Reading, convert
from worker.errors import LoadError


@pytest.fixture(scope="module")
def database(make_database: Callable[[], Database]) -> Database:
    made = make_database()
    with made.connect("owner") as owner:
        owner.execute(
            "ALTER TABLE coin_metrics ADD COLUMN note text, ADD COLUMN seen timestamp, ADD born date"
        )
    return made


@pytest.fixture
def owner(database: Database) -> Iterator[Connection]:
    with database.connect("owner") as connection:
        connection.execute("SET TimeZone TO 'UTC'; DELETE FROM coin_metrics")
        yield connection


@pytest.fixture
def put(database: Database, owner: Connection, tmp_path: Path) -> Callable[..., Loaded]:
    """Loads a file of this content."""

    def write_and_load(content: str | bytes, name: str = "metrics.csv", **options: Any) -> Loaded:
        file = tmp_path / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return load(options.pop("url", database.login("owner")), file, **options)

    return write_and_load


def value(owner: Connection, column: str) -> Any:
    query = sql.SQL("SELECT {} AS value FROM coin_metrics").format(sql.Identifier(column))
    return one(owner, query)["value"]


def count(owner: Connection) -> int:
    return int(one(owner, "SELECT count(*) FROM coin_metrics")["count"])


NOON = datetime(2024, 5, 6, 12, tzinfo=UTC)
MOMENTS = {
    "2024-05-06 12:00:00": NOON,
    "2024-05-06 12:00": NOON,
    "2024-05-06T12:00:00": NOON,
    "2024-05-06t12:00:00z": NOON,
    "2024-05-06T12:00:00Z": NOON,
    "2024-05-06 12:00:00 UTC": NOON,
    "2024-05-06 14:00:00+02": NOON,
    "2024-05-06 14:00:00+0200": NOON,
    "2024-05-06T14:00:00+02:00": NOON,
    "2024-05-06 17:30:00+05:30": NOON,
    "2024-05-06 08:00:00 -04:00": NOON,
    "2024-05-06 12:00:00.000000+00:00": NOON,
    " 2024-05-06 12:00:00 ": NOON,
    "20240506T120000Z": NOON,
    "20240506": datetime(2024, 5, 6, tzinfo=UTC),
    "2024-05-06": datetime(2024, 5, 6, tzinfo=UTC),
    "2024-05-06 12:00:00.5": NOON.replace(microsecond=500_000),
    "2024-05-06T12:00:00,123456789": NOON.replace(microsecond=123_457),
    "2024-03-10 02:30:00": datetime(2024, 3, 10, 2, 30, tzinfo=UTC),  # not in New York
    "1714996800": NOON,
    "1714996800.25": NOON.replace(microsecond=250_000),
    "1714996800000": NOON,
    "1714996800123": NOON.replace(microsecond=123_000),
    "1714996800000001": NOON.replace(microsecond=1),
    "1714996800000000000": NOON,
}


def test_a_moment_is_read_as_iso_8601_or_an_epoch_and_is_utc_without_a_zone(
    owner: Connection, put: Callable[..., Loaded]
) -> None:
    lines = "".join(f'{place},"{text}","{text}"\n' for place, text in enumerate(MOMENTS))
    put(f"mint,timestamp,seen\n{lines}")
    rows = owner.execute("SELECT timestamp, seen FROM coin_metrics ORDER BY mint::int").fetchall()
    found = dict(zip(MOMENTS, rows, strict=True))
    for text, moment in MOMENTS.items():
        assert found[text] == {"timestamp": moment, "seen": moment.replace(tzinfo=None)}, text


@pytest.mark.parametrize(
    "text",
    [
        *("05/06/2021", "5/6/2021", "06.05.2021", "2021/05/06", "2021-5-6", "6 May 2021", "May 6, 2021"),
        *("infinity", "-infinity", "now", "today", "yesterday", "tomorrow", "epoch", "noon", "allballs"),
        *("2024-05-06 12:00 PM", "12:00", "2021-126", "2021-W18-4", "J2459341", "2024-05-06 BC"),
        *("2024-05-06 12:00 Europe/Berlin", "2024-05-06 12:00:00 CEST"),
        *("20240506120000", "202405061200", "44322.5", "0", "12345", "-1714996800", "1.714996800e9"),
        *("1,714,996,800", "17149968000000000000", "timestamp", "\u0662024-05-06"),
    ],
)
@pytest.mark.parametrize("kind", ["moment", "local moment"])
def test_any_other_moment_is_refused_with_what_to_write(kind: load_fields.Kind, text: str) -> None:
    with pytest.raises(FieldError, match=re.escape(text)) as caught:
        convert(kind, ["2024-05-06", text], Reading(commas=False))
    assert caught.value.index == 1
    assert "write 2024-05-06 12:00:00+00 (ISO 8601), or an epoch" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "now",
        "05/06/2021",
        "2021-02-30",
        "2021-13-01",
        "2024-05-06 25:00",
        "2024-05-06 12:00+19",
        "0000-01-01",
        "",
        "NULL",
        "NaT",
    ],
)
def test_a_line_with_no_moment_is_named_and_nothing_is_loaded(
    owner: Connection, put: Callable[..., Loaded], text: str
) -> None:
    with pytest.raises(LoadError) as caught:
        put(f'mint,timestamp\nA,2024-05-06\nA,"{text}"\n')
    if text in ("", "NULL", "NaT"):
        assert "line 3: timestamp is empty" in str(caught.value)
    else:
        assert f"line 3: column timestamp: {text!r} is n" in str(caught.value)
        assert "write 2024-05-06 12:00:00+00" in str(caught.value)
    assert count(owner) == 0


NUMBERS = {
    "1.5": "1.5",
    "-1.5": "-1.5",
    "+1.5": "1.5",
    ".5": "0.5",
    "5.": "5",
    " 1.5 ": "1.5",
    "1e-05": "0.00001",
    "3.8E+2": "380",
    "0.123456789012345678901234567890": "0.123456789012345678901234567890",
    "123456789012345678901234567890": "123456789012345678901234567890",
    **dict.fromkeys(["", "NaN", "nan", "NULL", "null", "NA", "N/A", "#N/A", "None", "<NA>", "\\N"], None),
}


def test_a_number_is_read_exactly_or_is_unknown(owner: Connection, put: Callable[..., Loaded]) -> None:
    lines = "".join(f"{place},2024-05-06,{text}\n" for place, text in enumerate(NUMBERS))
    put(f"mint,timestamp,price_close\n{lines}")
    rows = owner.execute("SELECT price_close FROM coin_metrics ORDER BY mint::int").fetchall()
    for (text, expected), row in zip(NUMBERS.items(), rows, strict=True):
        assert row["price_close"] == (None if expected is None else Decimal(expected)), text


@pytest.mark.parametrize(
    "text",
    [
        *(
            "inf",
            "-inf",
            "Infinity",
            "∞",
            "abc",
            "1,234",
            "1,234.5",
            "1.234,5",
            "1 234",
            "1_234",
            "0x1F",
            "5%",
        ),
        *("$5", "1e", "1.2.3", "--1", "-", "true", "1.5 SOL", "1'234", "\u0661"),
    ],
)
@pytest.mark.parametrize("kind", ["number", "whole"])
def test_any_other_number_is_refused(kind: load_fields.Kind, text: str) -> None:
    with pytest.raises(FieldError, match=re.escape(repr(text)) + " is no"):
        convert(kind, ["1", text], Reading(commas=False))


def test_a_bad_number_is_named_by_line_column_and_value(
    owner: Connection, put: Callable[..., Loaded]
) -> None:
    with pytest.raises(
        LoadError, match=r"line 3: column price_close: '1,234.5' is not a number; write 1234.5"
    ):
        put('mint,timestamp,price_close,num_buys\nA,2024-05-06,1,1\nA,2024-05-07,"1,234.5",1\nB,now,1,x\n')
    assert count(owner) == 0


def test_a_whole_number_may_have_a_fraction_of_zero_as_pandas_writes_it(
    owner: Connection, put: Callable[..., Loaded]
) -> None:
    put("mint,timestamp,num_buys,is_koth\nA,2024-05-06,3.0,1.0\n")
    assert (value(owner, "num_buys"), value(owner, "is_koth")) == (3, True)
    with pytest.raises(LoadError, match=r"line 2: column num_buys: '3.5' is not a whole number"):
        put("mint,timestamp,num_buys\nB,2024-05-06,3.5\n")
    with pytest.raises(LoadError, match=r"line 2: column num_buys: '3000000000' is out of the range"):
        put("mint,timestamp,num_buys\nB,2024-05-06,3000000000\n")
    with pytest.raises(LoadError, match=r"line 2: column is_koth: 'maybe' is neither true nor false"):
        put("mint,timestamp,is_koth\nB,2024-05-06,maybe\n")


def test_a_text_is_what_it_is(owner: Connection, put: Callable[..., Loaded]) -> None:
    texts = ["NA", "null", "nan", "None", "inf", "True", "001", "1e5", "now", "\\N", "\\.", "2024-05-06"]
    put("mint,timestamp,note\n" + "".join(f"{text},2024-05-06,{text}\n" for text in texts))
    found = owner.execute("SELECT mint, note FROM coin_metrics").fetchall()
    assert sorted(row["mint"] for row in found) == sorted(texts)
    assert all(row["mint"] == row["note"] for row in found)


DATA = "A,2024-05-06,1.5\nB,2024-05-06,2.5\n"
PLAIN = f"mint,timestamp,price_close\n{DATA}"
AS_SEMICOLONS = PLAIN.replace(",", ";")


def zipped(*names: str, text: str = PLAIN) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, text)
    return file.getvalue()


FILES: dict[str, str | bytes] = {
    "plain": PLAIN,
    "without a last line break": PLAIN.rstrip(),
    "CRLF": PLAIN.replace("\n", "\r\n"),
    "CR": PLAIN.replace("\n", "\r"),
    "mixed ends of lines": PLAIN.replace("1.5\n", "1.5\r\n"),
    "blank lines": PLAIN.replace("\n", "\n\n") + "\n \n,,\n",
    "blank lines before": f"\n\n{PLAIN}",
    "BOM": b"\xef\xbb\xbf" + PLAIN.encode(),
    "UTF-16": PLAIN.encode("utf-16"),
    "UTF-16 big endian": b"\xfe\xff" + PLAIN.encode("utf-16-be"),
    "UTF-16 without a mark": PLAIN.encode("utf-16-le"),
    "UTF-32": PLAIN.encode("utf-32"),
    "quoted": "\n".join(",".join(f'"{field}"' for field in line.split(",")) for line in PLAIN.splitlines()),
    "semicolons": AS_SEMICOLONS,
    "decimal commas": AS_SEMICOLONS.replace(".", ","),
    "sep": f"sep=;\n{AS_SEMICOLONS}",
    "quoted sep and CRLF": f'"sep=,"\n{PLAIN}'.replace("\n", "\r\n"),
    "sep and a BOM": f"\ufeffsep=;\n{AS_SEMICOLONS}",
    "tabs": PLAIN.replace(",", "\t"),
    "bars": PLAIN.replace(",", "|"),
    "title": f"My coins\n\n{PLAIN}",
    "title in a cell": f"My coins,,\nExported on 2024-05-07,,\n{PLAIN}",
    "comment": f"# from the collector\n{PLAIN}",
    "upper case": PLAIN.upper(),
    "spaces in names": PLAIN.replace("price_close", " Price Close "),
    "camel case": PLAIN.replace("price_close", "priceClose"),
    "spaces around fields": PLAIN.replace(",", " , "),
    "index": pd.read_csv(io.StringIO(PLAIN)).to_csv(),
    "index twice": pd.read_csv(io.StringIO(pd.read_csv(io.StringIO(PLAIN)).to_csv())).to_csv(index=False),
    "a separator at each end": PLAIN.replace("\n", ",\n"),
    "gzip": gzip.compress(PLAIN.encode()),
    "gzip in two parts": gzip.compress(PLAIN[:40].encode()) + gzip.compress(PLAIN[40:].encode()),
    "bzip2": bz2.compress(PLAIN.encode()),
    "xz": lzma.compress(PLAIN.encode()),
    "zip": zipped("metrics.csv"),
    "zip of a Mac": zipped("metrics.csv", "__MACOSX/._metrics.csv"),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_whose_meaning_is_clear_is_loaded(
    owner: Connection, put: Callable[..., Loaded], kind: str
) -> None:
    counts = put(FILES[kind]).counts
    rows = owner.execute("SELECT mint, timestamp, price_close FROM coin_metrics ORDER BY mint").fetchall()
    moment = datetime(2024, 5, 6, tzinfo=UTC)
    assert [tuple(row.values()) for row in rows] == [
        ("A", moment, Decimal("1.5")),
        ("B", moment, Decimal("2.5")),
    ]
    assert (counts.rows, counts.new) == (2, 2)


def test_a_field_in_quotes_holds_any_sign(owner: Connection, put: Callable[..., Loaded]) -> None:
    texts = ["a,b", 'say ""hi""', "a\nb", "a\r\nb", "a\tb", "a;b|c", "\\n", "ä€😀", 'unquoted "inside']
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["note", "mint", "timestamp"])
    writer.writerows([text, f"A{number}", "2024-05-06"] for number, text in enumerate(texts))
    put(file.getvalue())
    found = owner.execute("SELECT note FROM coin_metrics ORDER BY mint").fetchall()
    assert [row["note"] for row in found] == texts


UNCLEAR: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "line 1: a header line with the names of the columns is needed"),
    "no header": (DATA, "line 1: a header line with the names .* the file begins with 'A,2024-05-06,1.5'"),
    "no moment": ("mint,price_close\nA,1\n", "mint and timestamp among them"),
    "data above the header": (f"C,2024-05-06,1\n{PLAIN}", "line 1: there is data above the header"),
    "unknown column": (PLAIN.replace("price_close", "price_clsoe"), 'no column "price_clsoe".* price_close'),
    "column twice": ("mint,timestamp,price_close,Price Close\n", "the columns 3 and 4 are both price_close"),
    "a name of nothing": ("mint,timestamp,\nA,2024-05-06,7\n", "line 2: field 3 has no name .* '7'"),
    "too few fields": ("mint,timestamp,note\nA,2024-05-06\n", "line 2: has 2 fields of 3: note is missing"),
    "too many fields": ("mint,timestamp\nA,2024-05-06,7\n", "line 2: has 3 fields, the header 2: extra data"),
    "decimal commas between commas": (
        "mint,timestamp,price_close\nA,2024-05-06,1,5\n",
        "line 2: has 4 fields",
    ),
    "points and commas": (
        "mint;timestamp;price_close\nA;2024-05-06;1,5\nB;2024-05-06;1.234\n",
        "line 3: .*1.234",
    ),
    "thousands or not": ("mint;timestamp;price_close\nA;2024-05-06;1.234\n", "'1.234' can mean two numbers"),
    "an open quote": (f'{PLAIN}"C,2024-05-06,1\n', "line 4: the quotes do not match"),
    "a quote that is not doubled": (f'{PLAIN}"C"x,2024-05-06,1\n', "line 4: the quotes do not match"),
    "Latin-1": (f"{PLAIN}Ä,2024-05-06,1\n".encode("latin-1"), "line 4: not a line of UTF-8: byte 0xc4; save"),
    "half of UTF-16": (PLAIN.encode("utf-16")[:-1], "not a line of UTF-8 or utf-16.*save it as CSV in UTF-8"),
    "NUL": (f"{PLAIN}C\0,2024-05-06,1\n", "line 4: has bytes of zero"),
    "NUL further on": (f"{PLAIN}{DATA * 5000}C\0,2024-05-06,1\n", "line 10004: .*byte of zero"),
    "JSON": ('[{"mint": "A"}]', "this is JSON, not CSV"),
    "HTML": ("<html>", "this is HTML or XML, not CSV"),
    "Excel": (zipped("[Content_Types].xml", "xl/workbook.xml"), "spreadsheet.*CSV UTF-8"),
    "old Excel": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook"),
    "Parquet": (b"PAR1\x15\x04", "a Parquet file, .* pandas.read_parquet"),
    "Zstandard": (b"\x28\xb5\x2f\xfd\0", "zstd -dc FILE | ml-worker load -"),
    "two in a zip": (zipped("a.csv", "b.csv"), r"holds 2 files \(a.csv, b.csv\), not one"),
    "half a zip": (zipped("a.csv")[:60], "zip"),
    "half of gzip": (gzip.compress(PLAIN.encode())[:-9], "cannot be read"),
    "no coin": ("mint,timestamp\n,2024-05-06\n", "line 2: mint is empty"),
    "a long coin": (
        f"mint,timestamp\n{'A' * 256},2024-05-06\n",
        "line 2: column mint: .*longer than the column",
    ),
    "twice": (f"{PLAIN}A,2024-05-06T00:00:00Z,7\n", "line 4: the coin A .* stands in the file twice"),
    "a date": (
        "mint,timestamp,born\nA,2024-05-06,06.05.2024\n",
        "line 2: column born: '06.05.2024' is not a date",
    ),
}


@pytest.mark.parametrize("kind", UNCLEAR)
def test_a_file_whose_meaning_is_not_clear_is_refused_with_what_to_do(
    owner: Connection, put: Callable[..., Loaded], kind: str
) -> None:
    content, said = UNCLEAR[kind]
    with pytest.raises(LoadError, match=f"(?s)metrics.csv .*{said}"):
        put(content)
    assert count(owner) == 0


def test_what_was_done_to_a_file_is_told(put: Callable[..., Loaded]) -> None:
    notes = put("My coins\n;Mint;TIMESTAMP;Price Close\n0;A;1714996800;1,5\n").notes
    assert notes == [
        "What stands above the header in line 2 was left out.",
        "The first column has no name, so it is an index: it was left out.",
        "Columns were read by their names in coin_metrics: 'Mint' as mint, 'TIMESTAMP' as timestamp, "
        "'Price Close' as price_close.",
        "Moments were read as epochs in seconds: 1714996800 is 2024-05-06 12:00:00+00.",
        "The comma in numbers was read as the decimal point.",
    ]


GROWN = "mint,timestamp,price_close\nA,2024-05-06,9\nB,2024-05-06,2.50\nC,2024-05-06,3\n"


def prices(owner: Connection) -> dict[str, float]:
    rows = owner.execute("SELECT mint, price_close FROM coin_metrics").fetchall()
    return {row["mint"]: float(row["price_close"]) for row in rows}


@pytest.mark.parametrize("key", [True, False], ids=["with a key", "without a key"])
def test_a_file_that_has_grown_is_refused_unless_an_option_says_what_to_do(
    owner: Connection, put: Callable[..., Loaded], key: bool
) -> None:
    if not key:
        owner.execute("ALTER TABLE coin_metrics DROP CONSTRAINT coin_metrics_pkey")
    try:
        put(PLAIN)
        with pytest.raises(LoadError, match=r"(?s)coin A at 2024-05-06.*already.*--skip-existing.*--update"):
            put(GROWN)
        assert prices(owner) == {"A": 1.5, "B": 2.5}
        skipped = put(GROWN, existing="skip").counts
        assert (skipped.rows, skipped.new, skipped.changed) == (3, 1, 0)
        assert prices(owner) == {"A": 1.5, "B": 2.5, "C": 3}
        updated = put(GROWN, existing="update").counts
        assert (updated.rows, updated.new, updated.changed) == (3, 0, 1)
        assert prices(owner) == {"A": 9, "B": 2.5, "C": 3}
        for existing in ("skip", "update"):
            with pytest.raises(LoadError, match=r"line 3: the coin D at .* stands in the file twice"):
                put("mint,timestamp\nD,2024-05-06\nD,2024-05-06\n", existing=existing)
    finally:
        if not key:
            owner.execute(
                "ALTER TABLE coin_metrics ADD CONSTRAINT coin_metrics_pkey PRIMARY KEY (mint, timestamp)"
            )


def test_an_update_leaves_the_columns_that_the_file_has_not(
    owner: Connection, put: Callable[..., Loaded]
) -> None:
    put("mint,timestamp,price_close,note\nA,2024-05-06,1,kept\n")
    put("mint,timestamp,price_close\nA,2024-05-06,\n", existing="update")
    assert (value(owner, "price_close"), value(owner, "note")) == (None, "kept")
    assert put("mint,timestamp\nA,2024-05-06\n", existing="update").counts.changed == 0


def test_a_rule_of_the_users_own_is_named(owner: Connection, put: Callable[..., Loaded]) -> None:
    owner.execute("ALTER TABLE coin_metrics ADD CONSTRAINT cheap CHECK (price_close < 100)")
    try:
        for existing in ("refuse", "skip"):
            with pytest.raises(LoadError, match="this row breaks the rule cheap of coin_metrics"):
                put(f"{PLAIN}C,2024-05-06,100\n", existing=existing)
    finally:
        owner.execute("ALTER TABLE coin_metrics DROP CONSTRAINT cheap")


def test_a_login_that_may_not_write_is_told_so(database: Database, put: Callable[..., Loaded]) -> None:
    with pytest.raises(LoadError, match=r"the login rosa may not write coin_metrics; .*GRANT"):
        put(PLAIN, url=database.login("rosa"))


@pytest.mark.parametrize(
    ("unlike", "said"),
    [
        ("", ""),
        ("D,2024-05-06,NaN\n", ""),
        ('"D",2024-05-06,\n', ""),
        ("D,05/06/2021,1\n", "column timestamp: '05/06/2021' is not read as a moment"),
        ("D,now,1\n", "column timestamp: 'now' is not read as a moment"),
        ("D,2024-02-30,1\n", "column timestamp: '2024-02-30' is no moment"),
        ("D,2024-05-06\n", "has 2 fields of 3: price_close is missing"),
        ("D,2024-05-06,1,2\n", "has 4 fields, the header 3: extra data"),
        ("D,2024-05-06,inf\n", "column price_close: 'inf' is no finite number"),
        ("D,,1\n", "timestamp is empty"),
        ("A7,2024-05-06T12:00Z,1\n", "the coin A7 at 2024-05-06T12:00Z is a duplicate key"),
        ("D,2024-05-06,1.2.3\n", "column price_close: '1.2.3' is not a number"),
        ("\\.\n", "has 1 fields of 3"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_a_large_file_is_read_like_a_small_one(
    owner: Connection,
    put: Callable[..., Loaded],
    unlike: str,
    said: str,
    end: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Lines that are plain go to the server as they are: so what is not must be seen anywhere among them."""
    monkeypatch.setattr(loading, "_BLOCK", 1000)
    good = [f"A{row},2024-05-06 12:00:00+00,{row / 8}{end}" for row in range(500)]
    content = "".join(
        [f"mint,timestamp,price_close{end}", *good[:300], unlike.replace("\n", end), *good[300:]]
    )
    if said:
        with pytest.raises(LoadError, match=f"line 302: {re.escape(said)}"):
            put(content)
        assert count(owner) == 0
        return
    put(content)
    assert count(owner) == 500 + bool(unlike)
    assert one(owner, "SELECT sum(price_close) FROM coin_metrics") == {"sum": Decimal("15593.75")}
    with pytest.raises(LoadError, match=r"line 2: the coin A0 at 2024-05-06 12:00:00\+00 is in coin_metrics"):
        put(content)


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC, csv.QUOTE_ALL])
def test_a_plain_file_goes_to_the_server_as_it_is(
    owner: Connection, put: Callable[..., Loaded], quoting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a large one would take several times as long."""
    metrics = sample.make_metrics(3)
    metrics["is_koth"] = metrics.num_buys > 2
    metrics["note"] = "Ä_" + metrics.mint
    monkeypatch.setattr(loading._Rows, "_converted", None)
    put(metrics.to_csv(index=False, quoting=quoting))
    query = "SELECT count(*) n, sum(num_buys) s, count(volume_sol) v, min(note) note FROM coin_metrics"
    assert one(owner, query) == {
        "n": len(metrics),
        "s": int(metrics.num_buys.sum()),
        "v": int(metrics.volume_sol.count()),
        "note": "Ä_SAMPLE_0001",
    }


@pytest.mark.parametrize("text", ["1.2.3", "1e", "e5", "1e5e5", "-", "+-1", "1-2", ".", "2024-05-06"])
@pytest.mark.parametrize("column", ["price_close", "num_buys"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_a_number_of_signs_that_numbers_have_is_refused_like_others(
    owner: Connection, put: Callable[..., Loaded], column: str, text: str, quote: str
) -> None:
    with pytest.raises(
        LoadError, match=rf"line 3: column {column}: '{re.escape(text)}' is not a number; write"
    ):
        put(f"mint,timestamp,{column}\n{quote}A{quote},2024-05-06,1\nB,2024-05-06,{text}\nC,2024-05-06,1\n")
    assert count(owner) == 0


def test_a_number_with_very_many_digits_takes_no_longer_for_it() -> None:
    for text in ("1" * 1_000_000 + "x", "." + "1" * 1_000_000 + "x", "1e" + "1" * 1_000_000 + "x"):
        with pytest.raises(FieldError):
            convert("number", [text], Reading(commas=False))


def test_standard_input_is_loaded(database: Database, owner: Connection) -> None:
    for content in (PLAIN.encode(), zipped("metrics.csv", text=PLAIN.replace("A", "C").replace("B", "D"))):
        result = subprocess.run(
            [sys.executable, "-m", "worker", "load", "-"],
            env=os.environ | {"DATABASE_URL": database.login("owner")},
            input=content,
            capture_output=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        assert b"Loaded 2 rows" in result.stdout
    assert count(owner) == 4
