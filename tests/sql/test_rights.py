"""The rights are those of the list, whatever a platform gives by itself and whatever somebody granted."""

import logging
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.conftest import PASSWORD, Connection, Database, one, ready_model
from tests.sql.helpers import refused
from tests.sql.test_install import empty, run_files
from tests.sql.test_roles import QUERY, RIGHTS
from worker.commands import programs
from worker.commands.install import install, upgrade_files

__all__ = ["empty"]

VERSION_5 = Path(__file__).parents[1] / "upgrades" / "version_5.sql"
GENEROUS = ("TABLES", "SEQUENCES", "FUNCTIONS", "SCHEMAS")


@pytest.fixture
def generous(empty: Database) -> Iterator[Database]:
    """A database whose platform gives all of everything new to a stranger, to PUBLIC, some to our role."""
    with empty.connect("owner") as owner:
        owner.execute(f"CREATE ROLE stranger LOGIN PASSWORD '{PASSWORD}'")
        for kind in GENEROUS:
            owner.execute(f"ALTER DEFAULT PRIVILEGES GRANT ALL ON {kind} TO stranger, PUBLIC".encode())
        owner.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO ml_client")
    yield empty
    drop(empty, "stranger")


def drop(db: Database, role: str) -> None:
    """Drop a role with all its rights, as the administrator."""
    with psycopg.connect(db.url, autocommit=True) as admin:
        admin.execute(f"DROP OWNED BY {role}".encode())
        admin.execute(f"DROP ROLE {role}".encode())


def rights(owner: Connection) -> list[str]:
    return sorted(row["line"] for row in owner.execute(QUERY.encode()))


def rights_on_metrics(owner: Connection) -> set[tuple[str, str]]:
    query = """
        SELECT c.relname, coalesce(nullif(x.grantee, 0)::regrole::text, 'PUBLIC') AS grantee
        FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) x
        WHERE c.relname IN ('coin_metrics', 'ref_coin_phases') AND x.grantee <> c.relowner
    """
    return {(row["relname"], row["grantee"]) for row in owner.execute(query)}


def assert_closed(db: Database) -> None:
    """The list, and nothing else: in the catalog and in deed."""
    with db.connect("owner") as owner:
        assert rights(owner) == RIGHTS
        assert rights_on_metrics(owner) == {("coin_metrics", "ml_reader"), ("ref_coin_phases", "ml_reader")}
    with db.connect("stranger") as stranger:
        for statement in (
            "SELECT * FROM ml_jobs",
            "TRUNCATE coin_metrics",
            "INSERT INTO ml_job_events (job_id, attempt, event) VALUES (1, 1, 'FAILED')",
            "SELECT ml_internal.claim_job('w', '1 second', '{TRAIN}')",
            "SELECT setval('ml_jobs_id_seq', 1)",
            "CREATE FUNCTION ml.mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        ):
            with refused("42501"):
                stranger.execute(statement.encode())


def test_default_privileges_open_nothing_in_a_fresh_database(generous: Database) -> None:
    for _ in range(2):
        install(generous.login("owner"))
        assert_closed(generous)


def test_default_privileges_open_nothing_by_psql(generous: Database) -> None:
    for options in ((), ("-1",)):
        run_files(generous, *options)
        assert_closed(generous)


@pytest.mark.parametrize("how", ["install", "psql"])
def test_an_upgrade_closes_what_default_privileges_opened(generous: Database, how: str) -> None:
    with generous.connect("owner") as owner:
        owner.execute(VERSION_5.read_bytes())
        assert "stranger: TRUNCATE on table public.coin_metrics" in rights(owner)
    if how == "psql":
        for version in range(6, max(upgrade_files()) + 1):
            arguments = ["-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-f", str(upgrade_files()[version])]
            command, environment = programs.command("psql", arguments, generous.login("owner"))
            subprocess.run(command, env=environment, check=True, capture_output=True)
        run_files(generous)
    else:
        install(generous.login("owner"))
    assert_closed(generous)


GRANTS = [
    "SELECT ON ml_jobs TO PUBLIC",
    "UPDATE ON ml_jobs TO ml_client",
    "UPDATE (id) ON ml_jobs TO ml_client",
    "TRUNCATE ON ml_models TO ml_reader",
    "SELECT (name) ON ml_models TO stray",
    "ALL ON ml_leaderboard TO stray",
    "USAGE ON SEQUENCE ml_jobs_id_seq TO stray",
    "CREATE ON SCHEMA ml TO ml_worker",
    "USAGE ON SCHEMA ml_internal TO PUBLIC",
    "EXECUTE ON FUNCTION ml_internal.check_train() TO PUBLIC",
    "EXECUTE ON FUNCTION ml_internal.claim_job(text, interval, text[], bigint[]) TO ml_client",
    "EXECUTE ON PROCEDURE ml.prune(interval) TO stray",
    "INSERT ON ml_job_events TO ml_worker",
    "SELECT ON ml_jobs TO ml_client WITH GRANT OPTION",
    "SELECT ON ml_internal.rights TO stray",
]


@pytest.mark.parametrize("grant", GRANTS)
def test_installing_again_takes_back_what_somebody_granted_and_says_so(
    db: Database, owner: Connection, grant: str, caplog: pytest.LogCaptureFixture
) -> None:
    owner.execute("CREATE ROLE stray NOLOGIN")
    try:
        owner.execute(f"GRANT {grant}".encode())
        with caplog.at_level(logging.WARNING):
            install(db.login("owner"))
        assert rights(owner) == RIGHTS
        grantee = grant.removesuffix(" WITH GRANT OPTION").split()[-1]
        assert f"not on the list were taken from {grantee}: " in caplog.text
    finally:
        drop(db, "stray")


def test_what_was_taken_back_is_not_spoken_of_again(
    db: Database, owner: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    owner.execute("CREATE ROLE stray NOLOGIN")
    try:
        for grant in GRANTS:
            owner.execute(f"GRANT {grant}".encode())
        install(db.login("owner"))
        assert rights(owner) == RIGHTS
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            install(db.login("owner"))
        assert caplog.text == ""
    finally:
        drop(db, "stray")


def test_a_right_that_was_passed_on_is_taken_back_too(db: Database, owner: Connection) -> None:
    owner.execute("GRANT UPDATE ON ml_models TO anna WITH GRANT OPTION")
    with db.connect("anna") as anna:
        anna.execute("GRANT UPDATE ON ml_models TO rosa")
    install(db.login("owner"))
    assert rights(owner) == RIGHTS


def test_installing_again_gives_back_what_somebody_took(
    db: Database, owner: Connection, client: Connection, worker: Connection
) -> None:
    for statement in (
        "REVOKE ALL ON ml_jobs FROM ml_client",
        "REVOKE ALL ON ALL ROUTINES IN SCHEMA ml_internal FROM ml_worker",
        "REVOKE INSERT ON ml_job_events FROM owner",
    ):
        owner.execute(statement)
    install(db.login("owner"))
    assert rights(owner) == RIGHTS
    ready_model(client, worker)


def test_what_the_owner_grants_by_the_documented_ways_stays(db: Database, owner: Connection) -> None:
    owner.execute(f"CREATE ROLE grafana LOGIN PASSWORD '{PASSWORD}' IN ROLE ml_reader")
    try:
        owner.execute("GRANT INSERT, TRUNCATE ON coin_metrics TO grafana")
        owner.execute("CREATE POLICY dashboards ON ml_jobs FOR SELECT TO grafana USING (true)")
        owner.execute("CREATE VIEW own_view AS SELECT 1 AS one")
        owner.execute("GRANT SELECT ON own_view TO PUBLIC")
        install(db.login("owner"))
        with db.connect("grafana") as grafana:
            assert grafana.execute("SELECT * FROM ml_jobs").fetchall() is not None
            assert one(grafana, "SELECT * FROM own_view") == {"one": 1}
            grafana.execute("INSERT INTO coin_metrics (mint, timestamp) VALUES ('Z', '2020-01-01')")
        assert one(owner, "SELECT count(*) AS n FROM pg_policy WHERE polname = 'dashboards'") == {"n": 1}
    finally:
        owner.execute("DROP POLICY dashboards ON ml_jobs")
        owner.execute("DROP VIEW own_view")
        drop(db, "grafana")


def test_everything_that_an_installation_makes_is_on_the_list(empty: Database) -> None:
    """Whatever is not, no role could use, and nobody would look after its rights."""
    install(empty.login("owner"))
    with empty.connect("owner") as owner:
        rows = owner.execute(
            "SELECT c.oid::regclass::text AS name FROM pg_class c"
            " WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f', 'S') AND c.relnamespace = 'public'::regnamespace"
            " AND c.relname NOT IN ('coin_metrics', 'ref_coin_phases')"
            " AND c.oid NOT IN (SELECT o.id FROM ml_internal.own_objects() o)"
        )
        assert rows.fetchall() == []


@pytest.mark.parametrize("installer", ["owner", "superuser"])
def test_a_superuser_may_install_over_what_another_owns(
    db: Database, owner: Connection, installer: str
) -> None:
    owner.execute("GRANT DELETE ON ml_jobs TO ml_reader")
    install(db.login("owner") if installer == "owner" else db.url)
    assert rights(owner) == RIGHTS
