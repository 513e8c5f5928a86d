"""Installing: again changes nothing, a newer database is refused, the user's own tables stay as they are."""

import itertools
import re
import subprocess
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tests.conftest import PASSWORD, TRAIN, Connection, Database, insert_job, one, ready_model
from tests.sql.helpers import TEST_PERIOD, complete, count, refused, running_job
from worker.commands import programs
from worker.commands.install import install, sql_files
from worker.database.schema import SCHEMA_VERSION

NEWER = SCHEMA_VERSION + 1

SCHEMAS = "(SELECT oid FROM pg_namespace WHERE nspname = 'public' OR nspname ~ '^ml')"
CATALOG = {
    "schemas": "SELECT nspname, nspacl::text[] FROM pg_namespace WHERE nspname = 'public' OR nspname ~ '^ml'",
    "relations": f"""
        SELECT relname, relkind, reloptions, relacl::text[], pg_get_userbyid(relowner)
        FROM pg_class WHERE relnamespace IN {SCHEMAS}""",
    "columns": f"""
        SELECT attrelid::regclass::text, attname, format_type(atttypid, atttypmod), attnotnull,
            attidentity, attgenerated, attacl::text[], pg_get_expr(adbin, adrelid)
        FROM pg_attribute
        LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        JOIN pg_class ON pg_class.oid = attrelid
        WHERE relnamespace IN {SCHEMAS} AND attnum > 0""",
    "constraints": f"""
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace IN {SCHEMAS}""",
    "indexes": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname IN ('public', 'ml')",
    "views": "SELECT viewname, definition FROM pg_views WHERE schemaname IN ('public', 'ml')",
    "triggers": """
        SELECT tgname, tgenabled, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal""",
    "policies": f"""
        SELECT relname, relrowsecurity, relforcerowsecurity, polname, polcmd, polpermissive,
            ARRAY(SELECT rolname FROM pg_roles WHERE pg_roles.oid = ANY (polroles) ORDER BY rolname),
            pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid),
            obj_description(pg_policy.oid, 'pg_policy')
        FROM pg_class LEFT JOIN pg_policy ON polrelid = pg_class.oid
        WHERE relnamespace IN {SCHEMAS} AND relkind = 'r'""",
    "routines": f"""
        SELECT oid::regprocedure::text, proacl::text[],
            CASE WHEN prokind IN ('f', 'p') THEN pg_get_functiondef(oid) END
        FROM pg_proc WHERE pronamespace IN {SCHEMAS}""",
    "comments": f"""
        SELECT coalesce(c.oid::regclass::text, p.oid::regprocedure::text, n.nspname), attname, description
        FROM pg_description d
        LEFT JOIN pg_class c ON c.oid = d.objoid AND d.classoid = 'pg_class'::regclass
        LEFT JOIN pg_proc p ON p.oid = d.objoid AND d.classoid = 'pg_proc'::regclass
        LEFT JOIN pg_namespace n ON n.oid = d.objoid AND d.classoid = 'pg_namespace'::regclass
        LEFT JOIN pg_attribute ON attrelid = c.oid AND attnum = objsubid AND objsubid > 0
        WHERE c.relnamespace IN {SCHEMAS} OR p.pronamespace IN {SCHEMAS} OR n.oid IN {SCHEMAS}""",
    "versions": "SELECT version FROM ml.schema_version",
    "model types": "SELECT ref_model_types::text FROM ref_model_types",
    "hyperparameters": "SELECT ref_model_params::text FROM ref_model_params",
    "phases": "SELECT ref_coin_phases::text FROM ref_coin_phases",
}
_numbers = itertools.count(1)


def catalog(connection: Connection) -> dict[str, list[str]]:
    """All that an installation makes, as text that can be compared."""
    return {
        what: sorted(str(list(row.values())) for row in connection.execute(query.encode()))
        for what, query in CATALOG.items()
    }


@pytest.fixture
def empty(server: str) -> Iterator[Database]:
    """A database with nothing in it, which the login ``owner`` owns."""
    name = f"empty_{next(_numbers)}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} OWNER owner")
    yield Database(make_conninfo(server, dbname=name))
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def installed(module_db: Database) -> dict[str, list[str]]:
    """The catalog after one installation by the worker."""
    with module_db.connect("owner") as owner:
        found = catalog(owner)
    assert all(found.values())
    return found


def without_owner_of_public(found: dict[str, list[str]]) -> dict[str, list[str]]:
    """A database of the tests has its schema public altered by hand, an empty one has it as it comes."""
    return {what: rows for what, rows in found.items() if what != "schemas"}


def run_files(db: Database, *options: str) -> None:
    """Apply the files of sql/ as a DBA does, one psql each."""
    for file in sql_files():
        arguments = ["--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", *options, "-f", str(file)]
        command, environment = programs.command("psql", arguments, db.login("owner"))
        subprocess.run(command, env=environment, check=True, capture_output=True)


# ── Again and again ─────────────────────────────────────────────────────────────────────────────────


def test_installing_three_times_equals_once(db: Database, installed: dict[str, list[str]]) -> None:
    for _ in range(2):
        install(db.login("owner"))
    with db.connect("owner") as owner:
        assert catalog(owner) == installed


def test_an_installation_in_an_empty_database_gives_the_same(
    empty: Database, installed: dict[str, list[str]]
) -> None:
    install(empty.login("owner"))
    with empty.connect("owner") as owner:
        assert without_owner_of_public(catalog(owner)) == without_owner_of_public(installed)


def test_psql_in_a_loop_gives_the_same(empty: Database, installed: dict[str, list[str]]) -> None:
    run_files(empty)  # by statement
    run_files(empty, "-1")  # again, a transaction for each file
    with empty.connect("owner") as owner:
        assert without_owner_of_public(catalog(owner)) == without_owner_of_public(installed)


def test_installing_again_keeps_jobs_models_and_facts(
    db: Database, client: Connection, worker: Connection
) -> None:
    complete(worker, running_job(client, worker, "TEST"), "TEST")
    tables = ("ml_jobs", "ml_models", "ml_job_events", "ml_training_runs", "ml_test_results")
    before = {table: client.execute(f"SELECT * FROM {table} ORDER BY id").fetchall() for table in tables}
    install(db.login("owner"))
    assert before == {
        table: client.execute(f"SELECT * FROM {table} ORDER BY id").fetchall() for table in tables
    }


def test_installing_again_takes_back_a_right_that_public_was_given(
    db: Database, owner: Connection, installed: dict[str, list[str]]
) -> None:
    owner.execute(
        "GRANT EXECUTE ON FUNCTION ml_internal.claim_job(text, interval, text [], bigint []) TO PUBLIC"
    )
    install(db.login("owner"))
    claim = "'ml_internal.claim_job(text, interval, text [], bigint [])'"
    query = f"SELECT has_function_privilege('public', {claim}, 'EXECUTE') AS p"
    assert not one(owner, query)["p"]


def test_the_files_sort_by_unique_two_digit_numbers() -> None:
    names = [file.name for file in sql_files()]
    numbers = [name[:2] for name in names]
    assert len(names) >= 16
    assert all(number.isdigit() for number in numbers)
    assert len(set(numbers)) == len(numbers)


def test_the_files_are_plain_sql() -> None:
    for file in sql_files():
        outside_routines = re.sub(r"(?s)\$\$.*?\$\$", "", file.read_text(encoding="utf-8"))
        lines = outside_routines.splitlines()
        assert [line for line in lines if line.startswith("\\")] == [], file
        words = [line.strip().upper().rstrip(";") for line in lines]
        assert not {"COMMIT", "ROLLBACK", "BEGIN TRANSACTION", "START TRANSACTION"} & set(words), file
        assert not [line for line in lines if line.upper().startswith("BEGIN;")], file


# ── Versions ────────────────────────────────────────────────────────────────────────────────────────


def test_the_version_is_recorded(reader: Connection) -> None:
    row = one(reader, "SELECT version, installed_at FROM ml.schema_version")
    assert row["version"] == SCHEMA_VERSION
    assert row["installed_at"] is not None


@pytest.fixture
def newer(make_database: Callable[[], Database]) -> Database:
    """A database of a later release: it has another version, and lacks a view."""
    database = make_database()
    with database.connect("owner") as owner:
        owner.execute("INSERT INTO ml.schema_version (version) VALUES (%s)", [NEWER])
        owner.execute("DROP VIEW ml_queue")
        owner.execute("ALTER TABLE ml_jobs DROP CONSTRAINT ml_jobs_attempt_not_negative")
    return database


def test_a_newer_database_is_refused_and_stays_as_it_is(newer: Database) -> None:
    with newer.connect("owner") as owner:
        before = catalog(owner)
        message = f"has schema version {NEWER}, these files are version {SCHEMA_VERSION}"
        with refused("ML005", message, "newer version"):
            install(newer.login("owner"))
        assert catalog(owner) == before


def test_psql_in_a_loop_stops_at_a_newer_database(newer: Database) -> None:
    with newer.connect("owner") as owner:
        before = catalog(owner)
        with pytest.raises(subprocess.CalledProcessError) as caught:
            run_files(newer)
        assert f"schema version {NEWER}".encode() in caught.value.stderr
        assert b"00_version.sql" in caught.value.stderr
        assert catalog(owner) == before


def test_an_installation_that_fails_leaves_nothing(empty: Database) -> None:
    with empty.connect("owner") as owner:
        owner.execute("CREATE TABLE ml_jobs (id bigint)")
    with pytest.raises(psycopg.Error):
        install(empty.login("owner"))
    with empty.connect("owner") as owner:
        assert one(owner, "SELECT to_regnamespace('ml') AS ml, to_regclass('ml_models') AS m") == {
            "ml": None,
            "m": None,
        }


# ── The user's own tables ───────────────────────────────────────────────────────────────────────────


@pytest.fixture
def own_tables(empty: Database) -> Database:
    """A database whose collectors have tables of their own making."""
    with empty.connect("owner") as owner:
        owner.execute(
            "CREATE TABLE coin_metrics (mint text, timestamp timestamptz, phase_id_at_time integer,"
            " sentiment double precision, followers bigint, verified boolean)"
        )
        owner.execute("COMMENT ON TABLE coin_metrics IS 'ours'")
        owner.execute("INSERT INTO coin_metrics VALUES ('X', '2024-01-01', 1, 0.5, 7, true)")
        owner.execute("CREATE TABLE ref_coin_phases (id integer PRIMARY KEY, name text, note text)")
        owner.execute("INSERT INTO ref_coin_phases VALUES (1, 'young', ''), (42, 'old', '')")
    install(empty.login("owner"))
    return empty


def test_coin_metrics_of_other_columns_stays_as_it_is(own_tables: Database) -> None:
    with own_tables.connect("rosa") as reader:
        columns = reader.execute("SELECT * FROM coin_metrics").description or ()
        assert [column.name for column in columns] == [
            "mint",
            "timestamp",
            "phase_id_at_time",
            "sentiment",
            "followers",
            "verified",
        ]
        assert one(reader, "SELECT obj_description('coin_metrics'::regclass) AS c")["c"] == "ours"
        assert count(reader, "pg_indexes WHERE tablename = 'coin_metrics'") == 0
        assert count(reader, "coin_metrics") == 1
        assert count(reader, "ref_coin_phases") == 2


def test_coin_metrics_of_other_columns_works(own_tables: Database) -> None:
    own = {"train_target_var": "sentiment", "train_features_csv": "followers", "train_phases_csv": "1,42"}
    with own_tables.connect("anna") as client, own_tables.connect("wanda") as worker:
        model_id = ready_model(client, worker, **own)
        assert insert_job(client, job_type="TEST", test_model_id=model_id, **TEST_PERIOD)
        with refused("23514", "'price_open'", "Allowed: phase_id_at_time, sentiment, followers, verified."):
            insert_job(client, **TRAIN | own | {"train_features_csv": "price_open"})
        assert insert_job(client, **TRAIN | own | {"train_features_csv": "verified"})
        with refused("23514", "'3'", "Known phases: 1 (young), 42 (old)"):
            insert_job(client, **TRAIN | own | {"train_phases_csv": "3"})


@pytest.mark.parametrize(
    ("made", "code", "message", "hint"),
    [
        (
            'mint text, "timestamp" bigint, price numeric',
            "42804",
            "the column timestamp of coin_metrics is bigint, not timestamptz",
            'ALTER COLUMN "timestamp" TYPE timestamptz USING to_timestamp("timestamp")',
        ),
        (
            'mint text, "timestamp" text, price numeric',
            "42804",
            "the column timestamp of coin_metrics is text, not timestamptz",
            'USING "timestamp"::timestamptz',
        ),
        ('coin text, "timestamp" timestamptz', "42703", "no column mint, which says which coin", "TO mint"),
        ("mint text, at timestamptz", "42703", "no column timestamp, which says when", 'TO "timestamp"'),
        (
            'mint text, "timestamp" timestamptz, phase_id_at_time varchar(10)',
            "42804",
            "the column phase_id_at_time of coin_metrics is character varying(10), not integer",
            "CREATE VIEW",
        ),
    ],
)
def test_metrics_that_cannot_be_read_are_refused_with_what_to_do(
    empty: Database, made: str, code: str, message: str, hint: str
) -> None:
    with empty.connect("owner") as owner:
        owner.execute(f"CREATE TABLE coin_metrics ({made})".encode())
    with refused(code, message, hint):
        install(empty.login("owner"))
    with empty.connect("owner") as owner:
        assert one(owner, "SELECT to_regclass('ml_jobs') AS t")["t"] is None
        names = [column.split()[0].strip('"') for column in made.split(", ")]
        owner.execute("ALTER TABLE coin_metrics RENAME TO theirs")
        sources = {"coin": "coin AS mint", "at": 'at AS "timestamp"'}
        casts = {"timestamp": "now() AS timestamp", "phase_id_at_time": "1 AS phase_id_at_time"}
        columns = ", ".join((sources | casts).get(name, name) for name in names)
        owner.execute(f"CREATE VIEW coin_metrics AS SELECT {columns} FROM theirs".encode())
    install(empty.login("owner"))
    with empty.connect("rosa") as reader:
        assert count(reader, "coin_metrics") == 0


@pytest.mark.parametrize("how", ["database", "role", "session", "user"])
@pytest.mark.parametrize("table", ["coin_metrics", "ref_coin_phases"])
def test_metrics_in_another_schema_of_the_search_path_get_no_second_table_beside_them(
    empty: Database, how: str, table: str
) -> None:
    schema = "owner" if how == "user" else "My app"
    url = empty.login("owner")
    with empty.connect("owner") as owner:
        owner.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        owner.execute(
            sql.SQL("CREATE TABLE {} (mint text, timestamp timestamptz, id integer, name text)").format(
                sql.Identifier(schema, table)
            )
        )
        path = '"My app", public'
        name = sql.Identifier(owner.info.dbname)
        if how == "database":
            owner.execute(sql.SQL("ALTER DATABASE {} SET search_path TO {}").format(name, sql.SQL(path)))
        elif how == "role":
            query = sql.SQL("ALTER ROLE owner IN DATABASE {} SET search_path TO {}")
            owner.execute(query.format(name, sql.SQL(path)))
        elif how == "session":
            url = make_conninfo(url, options='-csearch_path="My\\ app",public')
    with refused(
        "3F000", f"{table} stands in the schema {schema}, and is needed in public", "SET SCHEMA public"
    ):
        install(url)
    with empty.connect("owner") as owner:
        owner.execute(
            sql.SQL("CREATE VIEW {} AS SELECT * FROM {}").format(
                sql.Identifier("public", table), sql.Identifier(schema, table)
            )
        )
    install(url)


def test_metrics_in_a_schema_of_no_search_path_are_none_of_ours(empty: Database) -> None:
    with empty.connect("owner") as owner:
        owner.execute("CREATE SCHEMA archive")
        owner.execute("CREATE TABLE archive.coin_metrics (id integer)")
    install(empty.login("owner"))


@pytest.mark.parametrize(
    "made",
    [
        "CREATE VIEW coin_metrics AS SELECT 'X'::text AS mint, now() AS \"timestamp\", 1.5 AS sentiment",
        "CREATE MATERIALIZED VIEW coin_metrics AS"
        ' SELECT 7 AS mint, now()::timestamp AS "timestamp", 1.5 AS sentiment',
        """CREATE TABLE coin_metrics (mint integer, "timestamp" date, sentiment real)
        PARTITION BY RANGE ("timestamp");
        CREATE TABLE of_2024 PARTITION OF coin_metrics FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')""",
    ],
    ids=["view", "materialized view", "partitioned"],
)
def test_metrics_may_be_whatever_can_be_read(empty: Database, made: str) -> None:
    """Without a phase as well, as long as nobody asks for phases."""
    with empty.connect("owner") as owner:
        owner.execute(made.encode())
    for _ in range(2):
        install(empty.login("owner"))
    own = {"train_target_var": "sentiment", "train_features_csv": "sentiment", "train_future_minutes": 5}
    with empty.connect("anna") as client:
        job_id = insert_job(client, **TRAIN | own)
        found = client.execute("SELECT * FROM ml.preview(%s)", [job_id]).fetchall()
        assert found[0]["what"] == "label"
        with refused("23514", "coin_metrics has no column phase_id_at_time", "Leave train_phases_csv out"):
            insert_job(client, **TRAIN | own | {"train_phases_csv": "1"})


# ── Owners ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_second_owner_on_the_same_server_can_install(server: str) -> None:
    """Roles belong to the whole server: the first installation made them, another login makes the second."""
    name = "second_owner"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN CREATEROLE PASSWORD '{PASSWORD}'")
        admin.execute(f"CREATE DATABASE {name} OWNER {name}")
        try:
            database = Database(make_conninfo(server, dbname=name))
            install(database.login(name))
            with database.connect("rosa") as reader:
                assert count(reader, "ml_jobs") == 0
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def test_metrics_of_another_owner_are_read_once_he_allows_it(server: str) -> None:
    """The collectors' login owns coin_metrics, another installs."""
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS collected")
        admin.execute("CREATE DATABASE collected OWNER owner")
    mine = make_conninfo(server, dbname="collected", user="owner", password=PASSWORD)
    with psycopg.connect(make_conninfo(server, dbname="collected"), autocommit=True) as admin:
        admin.execute("ALTER SCHEMA public OWNER TO owner")
        admin.execute(
            """CREATE TABLE coin_metrics
            (mint text, "timestamp" timestamptz, phase_id_at_time integer, price numeric, cash money)"""
        )
        with refused(
            "42501", "ml_reader may not read public.coin_metrics", "GRANT SELECT ON public.coin_metrics"
        ):
            install(mine)
        admin.execute("GRANT SELECT ON coin_metrics TO ml_reader")
        admin.execute("GRANT SELECT ON coin_metrics TO owner")
    install(mine)
    with psycopg.connect(mine, autocommit=True) as owner:
        found = owner.execute("SELECT column_name, is_numeric FROM ml_metric_columns").fetchall()
        assert [name for name, is_numeric in found if is_numeric] == ["phase_id_at_time", "price"]
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute("DROP DATABASE collected")
