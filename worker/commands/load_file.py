"""Opens a file of metrics: what it is packed in, how it is encoded, where its header is.

What is clear is read, and what was done to it is noted for the user; all else is refused with how to save it.
"""

import bz2
import csv
import difflib
import gzip
import io
import lzma
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from worker.commands.load_fields import is_moment
from worker.errors import LoadError

KEY = ("mint", "timestamp")

_HEAD_BYTES = 1 << 16
_HEADER_WITHIN = 20  # lines
_LONGEST_LINE = 1 << 20  # characters
AS_CSV = "save it as CSV in UTF-8 (in a spreadsheet: Save as, CSV UTF-8) and load that"

_Open = Callable[[BinaryIO], BinaryIO]
_PACKED: dict[bytes, _Open] = {
    b"\x1f\x8b": lambda file: cast(BinaryIO, gzip.GzipFile(fileobj=file)),
    b"BZh": lambda file: cast(BinaryIO, bz2.BZ2File(file)),
    b"\xfd7zXZ\x00": lambda file: cast(BinaryIO, lzma.LZMAFile(file)),  # noqa: SIM115  # as the file itself
}
_REFUSED = {
    b"\x28\xb5\x2f\xfd": "is packed by Zstandard; unpack it on the way: zstd -dc FILE | ml-worker load -",
    b"7z\xbc\xaf\x27\x1c": "is a 7z archive; unpack it first",
    b"Rar!": "is a RAR archive; unpack it first",
    b"\xd0\xcf\x11\xe0": f"is an Excel workbook, not CSV; {AS_CSV}",
    b"PAR1": "is a Parquet file, not CSV; in Python: "
    "pandas.read_parquet('FILE').to_csv('metrics.csv', index=False)",
    b"ARROW1": "is a Feather file, not CSV; in Python: "
    "pandas.read_feather('FILE').to_csv('metrics.csv', index=False)",
    b"SQLite format 3": "is an SQLite database, not CSV; export the table: "
    'sqlite3 -header -csv FILE "SELECT * FROM coin_metrics" > metrics.csv',
    b"PGDMP": "is a dump of pg_dump, not CSV; restore it with pg_restore",
    b"PGCOPY": "is in COPY's binary format; write it again by COPY … TO … (FORMAT csv, HEADER)",
    b"\x89HDF": f"is an HDF5 file, not CSV; {AS_CSV}",
    b"%PDF": f"is a PDF, not CSV; {AS_CSV}",
}
_BYTE_ORDER_MARKS = {  # the longest first: UTF-16's begins UTF-32's
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}


@dataclass(frozen=True)
class Header:
    """What the lines down to the header say.

    Attributes:
        columns: for each field of a line the column that it belongs to; None where it is left out.
        delimiter: what separates the fields.
        lines: how many lines there are up to the header, itself included.
        index: whether the first field is an index without a name.
        notes: what the user should know of how the file is read.
    """

    columns: Sequence[str | None]
    delimiter: str
    lines: int
    index: bool
    notes: Sequence[str]


@contextmanager
def open_text(path: Path) -> Iterator[tuple[io.TextIOWrapper, BinaryIO]]:
    """Open a file, or standard input for ``-``: its text with the ends of lines as they are, and its bytes.

    Raises:
        LoadError: it is no text.
        OSError, EOFError: it cannot be read.
    """
    with tempfile.TemporaryFile() as copy:
        given = sys.stdin.buffer if str(path) == "-" else path.open("rb")
        with given as file:
            whole = cast(BinaryIO, file)
            if not whole.seekable():  # what is read of a pipe to see what it is would be gone
                shutil.copyfileobj(whole, copy)
                copy.seek(0)
                whole = cast(BinaryIO, copy)
            unpacked = _unpack(whole)
            encoding = _encoding(unpacked)
            errors = "surrogateescape" if encoding.startswith("utf-8") else "strict"  # to know the line
            yield io.TextIOWrapper(unpacked, encoding=encoding, errors=errors, newline=""), whole


def _unpack(file: BinaryIO) -> BinaryIO:
    while True:
        head = _head(file)
        if head.startswith(b"PK\x03\x04"):
            file = _only_member(file)
            continue
        for magic, refusal in _REFUSED.items():
            if head.startswith(magic):
                raise LoadError(refusal)
        if head[257:262] == b"ustar":
            raise LoadError("is a tar archive; unpack it on the way: tar -xOf FILE | ml-worker load -")
        opens = [unpack for magic, unpack in _PACKED.items() if head.startswith(magic)]
        if not opens:
            return file
        file = opens[0](file)


def _head(file: BinaryIO) -> bytes:
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    return head


def _only_member(file: BinaryIO) -> BinaryIO:
    archive = zipfile.ZipFile(file)
    names = [
        member.filename
        for member in archive.infolist()
        if not member.is_dir() and not member.filename.startswith("__MACOSX/")
    ]
    if {"[Content_Types].xml", "mimetype"} & set(names):
        raise LoadError(f"is a workbook of a spreadsheet, not CSV; {AS_CSV}")
    if len(names) != 1:
        raise LoadError(
            f"holds {len(names)} files ({', '.join(names[:5])}), not one; unpack it and load each by itself"
        )
    try:
        return cast(BinaryIO, archive.open(names[0]))
    except (RuntimeError, NotImplementedError) as error:  # it has a password, or a rare method
        raise LoadError(f"cannot be unpacked ({error}); unpack it first") from error


def _encoding(file: BinaryIO) -> str:
    head = _head(file)
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if head.startswith(mark):
            return encoding
    for encoding, zeros, letters in (
        ("utf-16-le", head[1::2], head[::2]),
        ("utf-16-be", head[::2], head[1::2]),
    ):
        if len(zeros) > 1 and not any(zeros[:1000]) and all(letters[:1000]):
            return encoding
    if b"\0" in head:
        line = head[: head.index(b"\0")].count(b"\n") + 1
        raise LoadError(f"line {line}: has bytes of zero, so it is no text; {AS_CSV}")
    return "utf-8"


def read_lines(text: io.TextIOWrapper, lines_before: int, characters: int = 0) -> str:
    """Read so many characters, and on to the end of the line; empty at the end.

    Raises:
        LoadError: there is something else than text.
    """
    try:
        lines = (text.read(characters) if characters else "") + text.readline(_LONGEST_LINE)
    except UnicodeError as error:
        raise LoadError(
            f"line {lines_before + 1}: not a line of UTF-8 or {text.encoding}, or one that follows; {AS_CSV}"
        ) from error
    if not lines.isascii():
        try:
            lines.encode()
        except UnicodeEncodeError as error:
            before = lines[: error.start]
            line = lines_before + max(before.count("\n"), before.count("\r")) + 1
            raise LoadError(
                f"line {line}: not a line of UTF-8: byte 0x{ord(lines[error.start]) & 0xFF:02x}; {AS_CSV}, "
                "or if it comes from Windows: iconv -f WINDOWS-1252 -t UTF-8 FILE | ml-worker load -"
            ) from None
    return lines


def read_header(text: io.TextIOWrapper, known: Collection[str]) -> Header:
    """Find the header, which names at least the coin and the moment, and leave ``text`` behind it.

    Args:
        text: the file from its beginning.
        known: the columns of the table.

    Raises:
        LoadError: there is none, or it names a column that the table has not.
    """
    above: list[list[str]] = []
    notes: list[str] = []
    delimiters, first, number = ",;\t|", "", 0
    for number in range(1, _HEADER_WITHIN + 1):
        line = read_lines(text, number - 1)
        first = first or line.strip()
        if number == 1 and (declared := re.fullmatch(r'"?sep=(.)"?\s*', line, re.IGNORECASE)):
            delimiters = declared[1]
            continue
        for delimiter in delimiters:
            fields = [field.strip() for field in _split(line, delimiter)]
            if {_squeeze(key) for key in KEY} <= {_squeeze(field) for field in fields}:
                if above:
                    _check_above(above, fields, delimiter)
                    notes.append(f"What stands above the header in line {number} was left out.")
                columns = _match(fields, known, number, notes)
                return Header(columns, delimiter, number, _is_unnamed(fields[0]), notes)
        if line.strip():
            above.append([line])
    raise LoadError(f"line 1: {_no_header(first, known)}")


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def _squeeze(name: str) -> str:
    """Price Open, price-open and PRICE_OPEN are one name."""
    return re.sub(r"[\W_]+", "", name).casefold()


def _is_unnamed(name: str) -> bool:
    """As pandas writes an index, and reads it."""
    return not name or name.startswith("Unnamed: ")


def _check_above(above: Sequence[Sequence[str]], fields: Sequence[str], delimiter: str) -> None:
    for (line,) in above:
        found = _split(line, delimiter)
        if len(found) == len(fields) and any(is_moment(field) for field in found):
            raise LoadError(f"line 1: there is data above the header: {_short(line)}; put the header first")


def _match(fields: Sequence[str], known: Collection[str], number: int, notes: list[str]) -> list[str | None]:
    by_squeezed: dict[str, list[str]] = {}
    for name in known:
        by_squeezed.setdefault(_squeeze(name), []).append(name)
    columns: list[str | None] = []
    renamed: list[str] = []
    unknown: list[str] = []
    for field in fields:
        alike = [field] if field in known else by_squeezed.get(_squeeze(field), [])
        if _is_unnamed(field):
            columns.append(None)
        elif len(alike) != 1:
            unknown.append(field)
        else:
            columns += alike
            if field != alike[0]:
                renamed.append(f"{field!r} as {alike[0]}")
    if unknown:
        raise LoadError(f"line {number}: {_unknown(unknown, known)}")
    for column in filter(None, columns):
        if columns.count(column) > 1:
            places = [str(place) for place, name in enumerate(columns, 1) if name == column]
            raise LoadError(
                f"line {number}: the columns {' and '.join(places)} are both {column}; keep one of them"
            )
    if _is_unnamed(fields[0]):
        notes.append("The first column has no name, so it is an index: it was left out.")
    if renamed:
        notes.append(f"Columns were read by their names in coin_metrics: {', '.join(renamed)}.")
    return columns


def _unknown(names: Sequence[str], known: Collection[str]) -> str:
    name = names[0]
    alike = difflib.get_close_matches(_squeeze(name), [_squeeze(other) for other in known], n=3)
    meant = [other for other in known if _squeeze(other) in alike]
    quoted = name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else f'"{name}"'
    return (
        f'coin_metrics has no column "{name}"'
        + (f" (nor {', '.join(names[1:])})" if names[1:] else "")
        + (f"; did you mean {', '.join(meant)}?" if meant else "")
        + "\nTake it out of the file, or add it to the table: "
        + f"ALTER TABLE coin_metrics ADD COLUMN {quoted} numeric;"
    )


def _no_header(first: str, known: Collection[str]) -> str:
    if first[:1] in ("{", "["):
        return f"this is JSON, not CSV; {AS_CSV}"
    if first.startswith("<"):
        return f"this is HTML or XML, not CSV; {AS_CSV}"
    return (
        "a header line with the names of the columns is needed, mint and timestamp among them"
        + (f", but the file begins with {_short(first)}" if first else ", but there is none")
        + f"\ncoin_metrics has the columns {', '.join(known)}"
    )


def _short(text: str) -> str:
    text = text.strip()
    return repr(text if len(text) <= 60 else f"{text[:60]}…")
