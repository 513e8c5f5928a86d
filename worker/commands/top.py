"""The queue, the workers and the running jobs in a terminal, live, as ``htop`` shows processes.

One loop, one connection that only reads: it looks again when a notification tells of a change, and every
second for the clocks and the progress. Names and messages are the users': they are shown as text, never as
markup or as control codes of the terminal.
"""

import os
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Literal

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from worker.commands.text import plain
from worker.database.connection import LOST, Connection, UnsuitableDatabaseError, name_and_host
from worker.database.deadlines import deadline
from worker.database.reading import connect_reader, fetch_overview, listen_status

REFRESH_SECONDS = 1.0
REST = 5.0  # times as long as a look at the database took passes at least until the next
DEADLINE_SECONDS = 5.0
MAX_BACKOFF_SECONDS = 8.0
LIMIT = 100  # rows of a kind that are read; no terminal is taller
_COLOURS = {"RUNNING": "yellow", "COMPLETED": "green", "FAILED": "red", "CANCELLED": "magenta"}

Row = Mapping[str, Any]
Overview = Mapping[str, Sequence[Row]]


def show_once(url: str) -> None:
    """Print one frame."""
    with connect_reader(url) as connection, deadline(connection, DEADLINE_SECONDS):
        overview = fetch_overview(connection, LIMIT)
    console = Console()
    console.print(frame(overview, " on ".join(name_and_host(url)), console.width, None))


def watch(url: str) -> None:
    """Fill the terminal with what goes on, until q or Ctrl-C. A lost connection is made anew.

    Raises:
        psycopg.OperationalError: the database cannot be reached at the start.
        UnsuitableDatabaseError: the database has not the schema, or the login may not read.
    """
    connection: Connection | None = _connect(url)
    overview: Overview = {"counts": [], "workers": [], "jobs": []}
    console = Console()
    where = " on ".join(name_and_host(url))
    failures, trouble = 0, None
    with _keys() as pressed, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            began = time.monotonic()
            try:
                if connection is None:
                    connection = _connect(url)
                with deadline(connection, DEADLINE_SECONDS):
                    overview = fetch_overview(connection, LIMIT)
                failures, trouble = 0, None
            except (*LOST, UnsuitableDatabaseError) as error:
                if connection is not None:
                    connection.close()
                    connection = None
                failures += 1
                trouble = str(error).strip().partition("\n")[0]
            rest = max(REFRESH_SECONDS, REST * (time.monotonic() - began))
            wait = rest if connection else min(MAX_BACKOFF_SECONDS, 0.5 * 2 ** min(failures, 10))
            if trouble:
                trouble = f"no connection, next try in {wait:.0f} s: {trouble}"
            live.update(frame(overview, where, console.width, console.height, trouble), refresh=True)
            if pressed(connection, min(rest / 4, wait), wait):
                return


def _connect(url: str) -> Connection:
    connection = connect_reader(url, DEADLINE_SECONDS)
    listen_status(connection)
    return connection


@contextmanager
def _keys() -> Iterator[Callable[[Connection | None, float, float], bool]]:
    """Give a function that waits for keys and notifications, and tells whether to end.

    It waits for the first number of seconds at least, so that many notifications are answered together, and
    for the second at most. At the end the terminal is as it was.
    """
    stdin = sys.stdin.fileno()
    settings = termios.tcgetattr(stdin)
    stopped = False

    def stop(_number: int, _frame: object) -> None:
        nonlocal stopped
        stopped = True

    def pressed(connection: Connection | None, least: float, most: float) -> bool:
        began = time.monotonic()
        while not stopped and (passed := time.monotonic() - began) < most:
            watched = [stdin] if connection is None or passed < least else [stdin, connection.fileno()]
            ready, _, _ = select.select(
                watched, [], [], min(0.2, (least if passed < least else most) - passed)
            )
            if stdin in ready and ((typed := os.read(stdin, 1024)) == b"" or set(typed) & set(b"qQ\x03")):
                return True
            if ready and ready != [stdin]:
                return False
        return stopped

    handlers = {n: signal.signal(n, stop) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        tty.setcbreak(stdin)
        yield pressed
    finally:
        with suppress(termios.error):  # it may be gone
            termios.tcsetattr(stdin, termios.TCSADRAIN, settings)
        for number, handler in handlers.items():
            signal.signal(number, handler)


# ── A frame ─────────────────────────────────────────────────────────────────────────────────────────


def frame(
    overview: Overview, name: str, width: int, height: int | None, trouble: str | None = None
) -> RenderableType:
    """Draw what goes on into so many columns and lines; without a height, all of it."""
    jobs = {
        "Running": [job for job in overview["jobs"] if job["status"] == "RUNNING"],
        "Waiting": [job for job in overview["jobs"] if job["status"] == "PENDING"],
        "Ended": [job for job in overview["jobs"] if job["ended"] is not None],
    }
    totals = {
        "Running": _count(overview, "RUNNING"),
        "Waiting": _count(overview, "PENDING"),
        "Workers": len(overview["workers"]),
    }
    rows: dict[str, Sequence[Row]] = {"Workers": overview["workers"], **jobs}
    lines = _share_out({title: len(found) for title, found in rows.items()}, height)
    parts: list[RenderableType] = [_head(overview, name, trouble)]
    for title in ("Workers", "Running", "Waiting", "Ended"):
        if title not in lines:
            continue
        shown = rows[title][: lines[title]]
        total = totals.get(title, len(shown))
        of = f" ({len(shown)} of {total:,})" if len(shown) < total else ""
        draw = _workers if title == "Workers" else _jobs
        parts += [Rule(Text(f"{title}{of}"), align="left", style="dim"), draw(title, shown, width)]
    return Group(*parts)


def _share_out(wanted: Mapping[str, int], height: int | None) -> dict[str, int]:
    """Rows for each part, so that all fit: one line more for each in turn, while lines are left."""
    if height is None:
        return dict(wanted)
    free = height - 2 - len(wanted)  # the head, and a title each
    shares = dict.fromkeys(wanted, 0)
    while free > 0 and (short := [title for title in wanted if shares[title] < max(1, wanted[title])]):
        for title in short[:free]:
            shares[title] += 1
        free -= len(short[:free])
    return {title: share for title, share in shares.items() if share}


def _count(overview: Overview, status: str) -> int:
    return sum(row["jobs"] for row in overview["counts"] if row["status"] == status)


def _head(overview: Overview, name: str, trouble: str | None) -> RenderableType:
    workers = overview["workers"]
    oldest = max(
        (row["oldest"] for row in overview["counts"] if row["status"] == "PENDING" and row["jobs"]),
        default=None,
    )
    waiting = _count(overview, "PENDING")
    slots = sum(worker["concurrency"] for worker in workers)
    head = Text(no_wrap=True, overflow="ellipsis")
    head.append("ml-worker top ", "bold").append(f"{plain(name)}  {time.strftime('%H:%M:%S')}\n", "dim")
    if trouble:
        return head.append(plain(trouble), "bold red")
    head.append(f"{_count(overview, 'RUNNING'):,} running", "yellow").append(
        f" of {slots} {'slot' if slots == 1 else 'slots'}   "
    )
    head.append(f"{waiting:,} waiting", "cyan")
    if oldest is not None:
        head.append(f", the oldest for {_duration(oldest)}")
    if waiting and not workers:
        return head.append("   no worker is alive", "bold red")
    return head.append(f"   {len(workers)} {'worker' if len(workers) == 1 else 'workers'}   q ends")


def _jobs(title: str, jobs: Sequence[Row], width: int) -> RenderableType:
    if not jobs:
        return _quiet({"Running": "nothing runs", "Waiting": "nothing waits"}.get(title, "nothing yet"))
    table = _table()
    wide, narrow = width >= 110, width < 60
    _column(table, min_width=3)  # its number
    _column(table, width=3 if narrow else 7, justify="left")
    _column(table, ratio=3, justify="left")  # its model
    if title == "Running":
        _column(table, width=_bar_width(width))
        _column(table, width=4)
        _column(table, width=7)
        if not narrow:
            _column(table, ratio=3, justify="left")
        if wide:
            _column(table, ratio=2, justify="left")
    elif title == "Waiting":
        _column(table, width=2 if narrow else 11)
        _column(table, width=7)
    else:
        _column(table, width=1 if narrow else 9, justify="left")
        _column(table, width=7)
        if not narrow:
            _column(table, width=11)
            _column(table, ratio=3, justify="left")
    for job in jobs:
        kind = job["job_type"][:3] if narrow else job["job_type"]
        cells: list[RenderableType] = [str(job["id"]), kind, plain(job["model"])]
        if title == "Running":
            bar = ProgressBar(total=1, completed=job["progress"], complete_style="yellow")
            cells += [bar, f"{job['progress']:.0%}", _duration(job["running"])]
            cells += [plain(job["progress_msg"])][: not narrow] + [plain(job["worker_id"])][:wide]
        elif title == "Waiting":
            cells += [f"{'' if narrow else 'priority '}{job['priority']}", _duration(job["waiting"])]
        else:
            status = job["status"][0] if narrow else job["status"]
            cells += [Text(status, _COLOURS[job["status"]]), _duration(job["running"])]
            cells += [f"{_duration(job['ended'])} ago", plain(job["error_msg"])][: 0 if narrow else 2]
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells))
    return table


def _workers(_title: str, workers: Sequence[Row], width: int) -> RenderableType:
    if not workers:
        return _quiet("none is alive; start one: ml-worker run")
    table = _table()
    _column(table, ratio=2, justify="left")
    _column(table, width=6, justify="left")
    _column(table, width=_bar_width(width))
    _column(table, width=7)
    if width >= 60:
        _column(table, width=11)
        _column(table, ratio=2, justify="left")
    for worker in workers:
        reason = worker.get("reason")
        colour = "red" if reason else "yellow" if worker["running"] else "green"
        cells: list[RenderableType] = [
            Text(plain(worker["worker_id"])),
            Text(worker["state"], colour),
            ProgressBar(total=worker["concurrency"], completed=worker["running"], complete_style="yellow"),
            Text(f"{worker['running']} of {worker['concurrency']}"),
        ]
        if width >= 60:
            ids = f"jobs {worker['job_ids']}" if worker["job_ids"] else ""
            cells += [Text(f"up {_duration(worker['up'])}"), Text(plain(reason) if reason else ids)]
        table.add_row(*cells)
    return table


def _quiet(text: str) -> Text:
    return Text(text, "dim", no_wrap=True, overflow="ellipsis")


def _table() -> Table:
    return Table.grid(padding=(0, 1), expand=True)


def _column(
    table: Table,
    *,
    width: int | None = None,
    min_width: int | None = None,
    ratio: int | None = None,
    justify: Literal["left", "right"] = "right",
) -> None:
    table.add_column(
        width=width, min_width=min_width, ratio=ratio, justify=justify, no_wrap=True, overflow="ellipsis"
    )


def _bar_width(width: int) -> int:
    return max(6, min(24, width // 5))


def _duration(seconds: float | None) -> str:
    """At most seven characters: 4 s, 3:07, 2 h 05 or 3 d."""
    if seconds is None:
        return "\N{EN DASH}"
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02}"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02}"
    return f"{whole // 86400} d"
