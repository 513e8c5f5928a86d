"""Loads CSV files into ``coin_metrics``."""

import csv
import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import psycopg
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from worker.database.connection import connect
from worker.database.jobs import copy_metrics
from worker.errors import LoadError

_BLOCK = 1 << 18
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def load(url: str, path: Path) -> int:
    """Load a CSV or CSV.gz file with a header line, showing a progress bar.

    All of it is loaded, or nothing.

    Returns:
        The number of rows.

    Raises:
        LoadError: the file cannot be read or a line is bad.
    """
    columns = TextColumn("Loading {task.description}"), BarColumn(), DownloadColumn()
    with Progress(*columns, TransferSpeedColumn(), TimeRemainingColumn()) as progress:
        try:
            with path.open("rb") as packed, connect(url) as connection:
                bar = progress.add_task(path.name, total=path.stat().st_size)
                file = cast(BinaryIO, gzip.GzipFile(fileobj=packed)) if path.suffix == ".gz" else packed
                header, first = _read_header(file, path)

                def blocks() -> Iterator[bytes]:
                    yield first
                    while block := file.read(_BLOCK):
                        yield block
                        progress.update(bar, completed=packed.tell())

                return copy_metrics(connection, header, blocks())
        except (OSError, EOFError) as error:
            raise LoadError(f"{path} cannot be read: {error}") from error
        except psycopg.Error as error:
            if isinstance(error, psycopg.OperationalError):
                raise
            raise LoadError(_explain(path, error)) from error


def _read_header(file: BinaryIO, path: Path) -> tuple[list[str], bytes]:
    """Names of the columns, and the bytes of the header line, which COPY skips."""
    line = file.readline().removeprefix(_BYTE_ORDER_MARK)
    try:
        names = next(csv.reader(io.StringIO(line.decode())), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise LoadError(f"{path} line 1: not a line of UTF-8 text: {error}") from error
    names = [name.strip() for name in names]
    if not any(names):
        raise LoadError(f"{path} line 1: a header line with the names of the columns is needed")
    return names, line


def _explain(path: Path, error: psycopg.Error) -> str:
    """The server's message; its context names the line: "COPY coin_metrics, line 17, column price_open"."""
    if isinstance(error, psycopg.errors.UndefinedColumn | psycopg.errors.DuplicateColumn):
        return f"{path} line 1: {error.diag.message_primary}"
    where = (error.diag.context or "").split("\n", maxsplit=1)[0]
    parts = [f"{path} was not loaded: {error.diag.message_primary}", error.diag.message_detail, where]
    return "\n".join(part for part in parts if part)
