"""``ml-worker load`` on each server: they read CSV and moments in different ways."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tests import servers
from tests.conftest import KINDS, Connection, Database, one
from worker.commands.load import load
from worker.errors import LoadError


@pytest.fixture(scope="session", params=KINDS, ids=lambda kind: kind.name.replace(" ", "-"))
def server(request: pytest.FixtureRequest, start_server: Callable[[servers.Kind], str]) -> str:
    """Each server: they read CSV, moments and numbers in different ways."""
    return start_server(request.param)


@pytest.fixture
def owner(db: Database) -> Iterator[Connection]:
    with db.connect("owner") as connection:
        connection.execute("SET TimeZone TO 'UTC'; TRUNCATE coin_metrics")
        connection.execute("ALTER TABLE coin_metrics ADD COLUMN note text")
        yield connection


def count(owner: Connection) -> int:
    return int(one(owner, "SELECT count(*) FROM coin_metrics")["count"])


@pytest.mark.parametrize("space", ["", " "], ids=["as it is", "converted"])
def test_a_moment_does_not_depend_on_the_settings(
    db: Database, owner: Connection, tmp_path: Path, space: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGTZ", "America/New_York")
    monkeypatch.setenv("PGDATESTYLE", "German")
    for kind, name in (("DATABASE", owner.info.dbname), ("ROLE", "owner")):
        query = "ALTER {} {} SET TimeZone TO 'America/New_York'"
        owner.execute(sql.SQL(query).format(sql.SQL(kind), sql.Identifier(name)))
    try:
        file = tmp_path / "metrics.csv"
        lines = "".join(
            f"A{row},{space}2024-03-10 02:30:00,0.5\n" for row in range(30_000)
        )  # it takes its time
        file.write_text(f"mint,timestamp,price_close\n{lines}")
        settings = (
            "-c TimeZone=America/New_York -c DateStyle=SQL,DMY -c default_transaction_read_only=on "
            "-c statement_timeout=50 -c standard_conforming_strings=off -c client_encoding=LATIN1"
        )
        load(make_conninfo(db.login("owner"), options=settings), file)
    finally:
        owner.execute("ALTER ROLE owner RESET TimeZone")
    found = owner.execute("SELECT DISTINCT timestamp FROM coin_metrics").fetchall()
    assert found == [{"timestamp": datetime(2024, 3, 10, 2, 30, tzinfo=UTC)}]
    assert count(owner) == 30_000


@pytest.mark.parametrize("pause", ["\\.", '"\\."'])
def test_no_line_ends_a_file_before_its_end(
    db: Database, owner: Connection, tmp_path: Path, pause: str
) -> None:
    """PostgreSQL 15 takes a line ``\\.`` for the end."""
    file = tmp_path / "metrics.csv"
    file.write_text(f"mint,timestamp\nA,2024-05-06\nB,2024-05-06\n{pause}\nC,2024-05-06\n")
    with pytest.raises(LoadError, match="line 4: has 1 fields of 2"):
        load(db.login("owner"), file)
    assert count(owner) == 0
    file.write_text('mint,timestamp,note\nA,2024-05-06,"one\n\\.\ntwo"\nB,2024-05-06,\\.\n')
    load(db.login("owner"), file)
    notes = owner.execute("SELECT note FROM coin_metrics ORDER BY mint").fetchall()
    assert [row["note"] for row in notes] == ["one\n\\.\ntwo", "\\."]
