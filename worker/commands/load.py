"""Loads CSV files into ``coin_metrics``: what they say, or nothing."""

import csv
import io
import itertools
import lzma
import re
import zipfile
import zlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import psycopg
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from worker.commands.load_fields import FieldError, Kind, Reading, convert, plain_lines
from worker.commands.load_file import KEY, Header, open_text, read_header, read_lines
from worker.database.connection import Connection, connect
from worker.database.loading import (
    STAGE_KEY,
    Counts,
    Existing,
    ExistingRowError,
    fetch_column_types,
    fetch_keys,
    has_row,
    load_metrics,
)
from worker.errors import LoadError

_BLOCK = 1 << 18  # characters
_KEPT_BLOCKS = 128  # more than are on their way when the server refuses a row
_NO_MOMENT = "is no moment of the calendar; write 2024-05-06 12:00:00+00 (ISO 8601)"
_MEANINGS = {  # of a SQLSTATE
    "22007": _NO_MOMENT,
    "22008": _NO_MOMENT,
    "22009": _NO_MOMENT,
    "22003": "is out of the range of its column; give the column a wider type",
    "22001": "is longer than the column allows",
    "22P02": "is not of the type of its column",
    "25006": "this server is a standby, which only reads; load on the primary server",
}
_KINDS: dict[str, Kind] = {
    "int2": "whole",
    "int4": "whole",
    "int8": "whole",
    "numeric": "number",
    "float4": "number",
    "float8": "number",
    "bool": "truth",
    "timestamptz": "moment",
    "timestamp": "local moment",
    "date": "date",
}


@dataclass(frozen=True)
class Loaded:
    """What became of the rows, and what the user should know of how the file was read."""

    counts: Counts
    notes: Sequence[str]


def load(url: str, path: Path, existing: Existing = "refuse") -> Loaded:
    """Load a file with a header line, or standard input for ``-``, showing a progress bar.

    All of it is loaded, or nothing.

    Raises:
        LoadError: the file cannot be read, a line is bad, or a row is there already.
    """
    name = "standard input" if str(path) == "-" else str(path)
    columns = TextColumn("Loading {task.description}"), BarColumn(), DownloadColumn()
    try:
        with (
            Progress(*columns, TransferSpeedColumn(), TimeRemainingColumn()) as progress,
            connect(url) as connection,
            open_text(path) as (text, file),
        ):
            bar = progress.add_task(Path(name).name, total=_size(file))
            types = fetch_column_types(connection)
            if not types:
                raise LoadError("coin_metrics is missing in this database; run: ml-worker install")
            rows = _Rows(text, read_header(text, types), types)

            def blocks() -> Iterator[bytes]:
                for block in rows.blocks():
                    yield block
                    progress.update(bar, completed=file.tell())

            try:
                counts = load_metrics(connection, rows.columns, rows.header.delimiter, blocks(), existing)
            except psycopg.OperationalError:
                raise
            except psycopg.Error as error:
                raise LoadError(_explain(connection, rows, error)) from error
            except ExistingRowError as error:
                raise LoadError(_there_already(*error.args)) from error
            return Loaded(counts, [*rows.header.notes, *rows.reading.notes.values()])
    except LoadError as error:
        raise LoadError(f"{name} was not loaded: {error}") from error
    except (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise LoadError(f"{name} cannot be read: {error}") from error


def _size(file: BinaryIO) -> int:
    position = file.tell()
    size = file.seek(0, io.SEEK_END)
    file.seek(position)
    return size


@dataclass(frozen=True)
class _Block:
    """Rows as they were sent.

    Attributes:
        first: number of the first row, from 0.
        lines: the line of the file where each row begins.
        text: a row a line.
        is_plain: whether it is that of the file, in which numbers may be bad.
    """

    first: int
    lines: Sequence[int]
    text: str
    is_plain: bool


class _Rows:
    """The rows of a file, as COPY takes them."""

    def __init__(self, text: io.TextIOWrapper, header: Header, types: Mapping[str, str]) -> None:
        self.header = header
        self.reading = Reading(commas=header.delimiter == ";")
        self.columns = [name for name in header.columns if name is not None]
        self.sent = deque[_Block](maxlen=_KEPT_BLOCKS)
        self._text = text
        self._kinds: list[Kind] = [_KINDS.get(types[name], "text") for name in self.columns]
        self._line = header.lines  # how many have been read
        self._plain: dict[bool, re.Pattern[str]] = {}  # by whether there are quotes
        if not self.reading.commas and None not in header.columns:
            key = [self.columns.index(name) for name in KEY]
            for quoted in (False, True):
                self._plain[quoted] = plain_lines(header.delimiter, self._kinds, key, quoted=quoted)

    def blocks(self) -> Iterator[bytes]:
        """Read on to the end.

        Raises:
            LoadError: a line is bad.
        """
        number = 0
        while text := read_lines(self._text, self._line, _BLOCK):
            plain = self._as_it_is(text)
            lines, sent = plain or self._converted(text)
            if lines:
                self.sent.append(_Block(number, lines, sent, is_plain=plain is not None))
                number += len(lines)
                yield sent.encode()
        if self.reading.doubtful:
            raise LoadError(
                f"numbers such as {self.reading.doubtful!r} can mean two numbers, and no other shows which: "
                "write them with a decimal point and without thousands separators"
            )

    def find(self, number: int) -> tuple[int, dict[str, str]]:
        """The line in the file of a row that was sent, and its fields; 0 and none if it was long ago.

        Raises:
            LoadError: it is bad, which was left to PostgreSQL to find.
        """
        for block in self.sent:
            if 0 <= number - block.first < len(block.lines):
                line, row = block.lines[number - block.first], block.text.split("\n")[number - block.first]
                if block.is_plain:
                    self._line = line - 1
                    self._converted(f"{row}\n")
                return line, dict(zip(self.columns, row.split(self.header.delimiter), strict=False))
        return 0, {}

    def _as_it_is(self, text: str) -> tuple[Sequence[int], str] | None:
        """The lines themselves, without quotes, if all the world reads them in one way."""
        if "\r" in text:
            text = text.replace("\r\n", "\n")
        if not text.endswith("\n"):
            text += "\n"
        quoted = '"' in text
        if quoted not in self._plain or not self._plain[quoted].fullmatch(text):
            return None
        first = self._line + 1
        self._line += text.count("\n")
        return range(first, self._line + 1), text.replace('"', "") if quoted else text

    def _converted(self, text: str) -> tuple[Sequence[int], str]:
        """The lines with each field read, and written in one way only."""
        lines, rows = self._split(text)
        if not rows:
            return [], ""
        fields = list(zip(*rows, strict=True))
        converted: list[Sequence[str]] = []
        errors: list[tuple[int, str]] = []
        kinds = iter(zip(self.columns, self._kinds, strict=True))
        for place, column in enumerate(self.header.columns):
            if column is None:
                if not (place == 0 and self.header.index):
                    errors += _first_not_empty(fields[place], place)
                continue
            name, kind = next(kinds)
            try:
                values = convert(kind, fields[place], self.reading)
                converted.append(values)
                if name in KEY and "" in values:
                    errors.append((values.index(""), f"{name} is empty"))
            except FieldError as error:
                errors.append((error.index, f"column {name}: {error}"))
        if errors:
            index, message = min(errors)
            raise LoadError(f"line {lines[index]}: {message}")
        join = self.header.delimiter.join
        return lines, "\n".join(map(join, zip(*converted, strict=True))) + "\n"

    def _split(self, text: str) -> tuple[list[int], list[list[str]]]:
        """Split lines into fields, and further ones where a quoted field goes on; empty rows are left out."""
        start, own = self._line, sum(1 for _ in io.StringIO(text, newline=""))
        reader = csv.reader(
            itertools.chain(io.StringIO(text, newline=""), self._further_lines()),
            delimiter=self.header.delimiter,
            strict=True,
        )
        lines, rows = list[int](), list[list[str]]()
        line = 0
        try:
            while reader.line_num < own:
                line = reader.line_num + 1
                row = next(reader)
                if any(row):
                    if len(row) != len(self.header.columns):
                        self._check_length(row, start + line)
                        continue
                    lines.append(start + line)
                    rows.append(row)
        except csv.Error as error:
            raise LoadError(
                f"line {start + line}: the quotes do not match ({error}); a quote within a quoted field is "
                "written twice"
            ) from None
        self._line = start + reader.line_num
        return lines, rows

    def _further_lines(self) -> Iterator[str]:
        while line := read_lines(self._text, self._line):
            yield line

    def _check_length(self, row: Sequence[str], line: int) -> None:
        """Refuse a row with too few or too many fields, but for a blank line."""
        if not "".join(row).strip():
            return
        expected = len(self.header.columns)
        if len(row) < expected:
            lacking = next((name for name in self.header.columns[len(row) :] if name), "a field")
            raise LoadError(f"line {line}: has {len(row)} fields of {expected}: {lacking} is missing")
        raise LoadError(
            f"line {line}: has {len(row)} fields, the header {expected}: extra data from {row[expected]!r}; "
            f"a field with {self.header.delimiter!r} in it stands in quotes"
        )


def _first_not_empty(fields: Sequence[str], place: int) -> list[tuple[int, str]]:
    for index, text in enumerate(fields):
        if text.strip():
            return [(index, f"field {place + 1} has no name in the header, but holds {text[:60]!r}")]
    return []


def _explain(connection: Connection, rows: _Rows, error: psycopg.Error) -> str:
    """What is wrong with which row, in our words: the server's may be of any language."""
    context = (error.diag.context or "").split("\n", maxsplit=1)[0]
    found = re.match(r'COPY \w+\D*(\d+)(?:, \w+ "?([^:]+?)"?: "(.*)")?', context, re.DOTALL)
    line, values = rows.find(int(found[1]) - 1) if found else (0, {})
    where = f"line {line}: " if line else ""
    column = (found[2] if found else None) or error.diag.column_name
    field = f"column {column}: " if column else ""
    if found and found[2]:
        field += f"{values.get(found[2], found[3])[:60]!r} "
    constraint = error.diag.constraint_name
    match error.sqlstate:
        case "23505":
            why = _explain_twice(connection, values, constraint or "")
        case "23502":
            why = f"{column} is empty, which coin_metrics does not allow"
        case "23503" | "23514" | "23P01" | "23001":
            why = f"this row breaks the rule {constraint} of coin_metrics"
        case "42501":
            user = connection.info.user
            why = (
                f"the login {user} may not write coin_metrics; load as the owner of the table, "
                f'who can also GRANT SELECT, INSERT, UPDATE ON coin_metrics TO "{user}"'
            )
        case state if state in _MEANINGS:
            why = field + _MEANINGS[state]
        case state:
            hint = f"\nHINT: {error.diag.message_hint}" if error.diag.message_hint else ""
            why = f"{field}the database refused it: {error.diag.message_primary} ({state}){hint}"
    return where + why


def _explain_twice(connection: Connection, values: Mapping[str, str], constraint: str) -> str:
    if constraint not in {STAGE_KEY, *fetch_keys(connection)}:
        return f"this row has what another has, which the rule {constraint} of coin_metrics forbids"
    coin, moment = values["mint"], values["timestamp"]
    if constraint != STAGE_KEY and has_row(connection, coin, moment):
        return _there_already(coin, moment)
    return (
        f"the coin {coin} at {moment} is a duplicate key: it stands in the file twice; keep one of the rows"
    )


def _there_already(coin: str, moment: str) -> str:
    return (
        f"the coin {coin} at {moment} is in coin_metrics already.\n"
        "If the file has grown since it was loaded: --skip-existing loads the rows that are new, and "
        "--update also gives those that are there the values of the file."
    )
