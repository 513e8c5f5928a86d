"""A call that takes too long is cut off, and no other."""

import psycopg
import pytest

from tests.conftest import Database
from worker.database import deadlines
from worker.database.connection import connect
from worker.database.deadlines import deadline


def test_a_call_that_takes_too_long_fails_and_the_connection_is_closed(db: Database) -> None:
    with connect(db.login("wanda"), role="ml_worker") as connection:
        with pytest.raises(psycopg.OperationalError), deadline(connection, 0.2):
            connection.execute("SELECT pg_sleep(60)")
        assert connection.broken


def test_a_deadline_that_is_over_closes_nothing_and_a_shorter_one_within_a_longer_ends_first(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "_watchdog", deadlines._Watchdog())
    url = db.login("wanda")
    with connect(url) as outer, connect(url) as inner, deadline(outer, 600):
        outer.execute("SELECT pg_sleep(0.1)")  # it has begun to wait for the longer one
        with deadline(outer, 0.01):
            pass
        with pytest.raises(psycopg.OperationalError), deadline(inner, 0.2):
            inner.execute("SELECT pg_sleep(60)")
        outer.execute("SELECT")


def test_a_deadline_can_be_extended_while_its_block_runs(db: Database) -> None:
    with connect(db.login("wanda")) as connection:
        with deadline(connection, 0.3) as extend:
            extend(600)
            connection.execute("SELECT pg_sleep(0.6)")
        with deadline(connection, 0.1) as extend:
            extend(0.1)
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT pg_sleep(60)")
