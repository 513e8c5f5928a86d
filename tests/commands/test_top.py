"""The live view of the terminal."""

import io
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl
from itertools import product
from typing import Any

import psycopg
import pytest
from rich.console import Console

from tests.commands.test_cli import ml_worker
from tests.conftest import TRAIN, Connection, Database, claim, insert_job, until
from tests.sql.helpers import call, jobs_in_every_state
from worker.commands import top
from worker.database.connection import connect
from worker.database.reading import fetch_overview

HOSTILE = "[bold red]\x1b[31m\x1b]0;title\x07[/] 数据数据\n\u202e"


def _lines(overview: top.Overview, width: int, height: int | None, trouble: str | None = None) -> list[str]:
    console = Console(width=width, file=io.StringIO(), color_system=None, legacy_windows=False)
    with console.capture() as captured:
        console.print(top.frame(overview, "ml on host", width, height, trouble))
    return captured.get().splitlines()


def _job(job_id: int, status: str, **fields: Any) -> dict[str, Any]:
    ended = None if status in ("PENDING", "RUNNING") else 100000.0
    return {
        "id": job_id, "job_type": "COMPARE", "status": status, "priority": 10, "attempt": 1, "progress": 0.5,
        "progress_msg": HOSTILE, "error_msg": HOSTILE, "worker_id": HOSTILE, "model": HOSTILE * 9,
        "waiting": 4000.0, "running": None if status == "PENDING" else 90.0, "ended": ended,
    } | fields  # fmt: skip


def _busy(jobs: int) -> top.Overview:
    worker = {
        "worker_id": HOSTILE,
        "state": "BUSY",
        "concurrency": 64,
        "running": 12,
        "job_ids": "1,2",
        "up": 9.0,
    }
    states = ("PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED")
    return {
        "counts": [
            {"job_type": "TRAIN", "status": state, "jobs": 10**6, "oldest": 90000.0} for state in states[:2]
        ],
        "workers": [worker] * jobs,
        "jobs": [_job(10**9 + n, state) for state in states for n in range(jobs)],
    }


def test_one_frame_shows_workers_and_jobs_to_whoever_may_read(
    db: Database, client: Connection, worker: Connection
) -> None:
    jobs = jobs_in_every_state(client, worker)
    call(worker, "record_sign", "w1", 3, "1 hour")
    call(worker, "record_progress", jobs["RUNNING"], 1, "0.4", "Training: 40/100 trees", "1 hour")
    said = ml_worker("top", "--once", DATABASE_URL=db.login("rosa"), COLUMNS="140")
    assert said.returncode == 0, said.stderr
    head, counts, *parts = said.stdout.splitlines()
    assert head.startswith("ml-worker top ")
    assert counts.startswith("1 running of 3 slots   1 waiting, the oldest for ")
    lines = {line.split()[0]: line for line in parts}
    assert "40%" in lines[str(jobs["RUNNING"])]
    assert "Training: 40/100 trees" in lines[str(jobs["RUNNING"])]
    assert "priority 5" in lines[str(jobs["PENDING"])]
    assert "1 of 3" in lines["w1"]
    assert "no rows" in lines[str(jobs["FAILED"])]
    titles = [line.split()[0] for line in parts if "\N{BOX DRAWINGS LIGHT HORIZONTAL}" * 3 in line]
    assert titles == ["Workers", "Running", "Waiting", "Ended"]


def test_the_view_reads_a_hundred_jobs_of_a_kind_and_counts_all(db: Database, client: Connection) -> None:
    client.execute(
        """INSERT INTO ml_jobs (job_type, train_target_var, train_operator, train_value, train_start,
            train_end, train_features_csv, train_model_type, priority)
        SELECT 'TRAIN', 'market_cap_close', '>', 1, '2024-01-01',
            '2024-02-01', 'price_open', 'xgboost', 1 + n % 9
        FROM generate_series(1, 105) n"""
    )
    with connect(db.login("rosa")) as connection:
        overview = fetch_overview(connection, top.LIMIT)
    assert [row["priority"] for row in overview["jobs"]] == sorted(1 + n % 9 for n in range(1, 106))[:100]
    assert [row["jobs"] for row in overview["counts"] if row["jobs"]] == [105]
    assert any(line.startswith("Waiting (100 of 105) ") for line in _lines(overview, 80, None))


@pytest.mark.parametrize("width", [10, 24, 40, 59, 60, 80, 109, 110, 200])
def test_a_frame_fits_every_terminal(width: int) -> None:
    for overview, height in product((_busy(0), _busy(1), _busy(30)), (1, 2, 3, 6, 10, 24, 60)):
        lines = _lines(overview, width, height, trouble="the server is away" if height == 10 else None)
        assert len(lines) <= max(2, height)
        assert all(len(line) + sum(c in "数据" for c in line) <= width for line in lines)


def test_a_tall_terminal_is_used_in_full_and_a_low_one_shows_some_of_each() -> None:
    assert len(_lines(_busy(30), 100, 40)) == 40
    low = _lines(_busy(30), 100, 10)
    assert [line.split()[0] for line in low[2::2]] == ["Workers", "Running", "Waiting", "Ended"]


def test_what_users_wrote_is_shown_and_never_obeyed() -> None:
    text = "\n".join(_lines(_busy(1), 200, 40, trouble=HOSTILE))
    assert "[bold red]\N{REPLACEMENT CHARACTER}[31m" in text
    assert not {"\x1b", "\x07", "\u202e"} & set(text)


@contextmanager
def _terminal(db: Database) -> Iterator[tuple[subprocess.Popen[bytes], int, list[str]]]:
    """``ml-worker top`` in a terminal of its own: the process, our end of it, and what it has shown."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
    before = termios.tcgetattr(theirs)
    shown = [""]

    def read() -> None:
        while True:
            try:
                data = os.read(ours, 65536)
            except OSError:
                return
            shown[0] += data.decode(errors="replace")

    process = subprocess.Popen(
        [sys.executable, "-m", "worker", "top"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"DATABASE_URL": db.login("rosa"), "TERM": "xterm-256color"},
    )
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        until(lambda: "nothing waits" in shown[0], "the first frame")
        yield process, ours, shown
        assert process.wait(60) == 0
        assert termios.tcgetattr(theirs) == before
        until(lambda: shown[0].rfind("\x1b[?1049l") > shown[0].rfind("\x1b[?1049h"), "the screen as before")
        until(lambda: shown[0].rfind("\x1b[?25h") > shown[0].rfind("\x1b[?25l"), "the cursor")
        assert "Traceback" not in shown[0]
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(theirs)
        os.close(ours)


def test_the_view_follows_the_queue_survives_its_connection_and_ends_with_q(
    db: Database, client: Connection, worker: Connection
) -> None:
    with _terminal(db) as (_, keyboard, shown):
        job_id = insert_job(client, **TRAIN, train_model_name="follow-me")
        until(lambda: "follow-me" in shown[0], "the job that waits")
        claim(worker)
        call(worker, "record_failure", job_id, 1, "because-of-this")
        until(lambda: "because-of-this" in shown[0], "the job that failed")
        with psycopg.connect(db.url, autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'rosa'")
        until(lambda: "no connection, next try in" in shown[0], "word of the lost connection")
        insert_job(client, **TRAIN, train_model_name="after-it")
        until(lambda: "after-it" in shown[0], "a job that came later")
        os.write(keyboard, b"q")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_view_and_restores_the_terminal(db: Database, number: int) -> None:
    with _terminal(db) as (process, _, _):
        process.send_signal(number)


def test_without_a_terminal_the_view_names_the_option_that_needs_none(db: Database) -> None:
    said = ml_worker("top", DATABASE_URL=db.login("rosa"))
    assert said.returncode == 2
    assert "--once" in said.stderr
