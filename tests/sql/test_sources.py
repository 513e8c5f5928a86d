"""Sources: what can be one, who may learn from it, and what becomes of its jobs and models."""

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from tests.conftest import PASSWORD, TEST_RESULT, TRAIN, Connection, Database, insert_job, job_row, one
from tests.conftest import TRAINING_RESULT as RESULT
from tests.sources import described
from tests.sql.helpers import TEST_PERIOD, refused
from worker.child.assignment import Period
from worker.commands.install import install
from worker.database import dataset as database
from worker.database.connection import connect, fetch_value

TRADES = """
    CREATE TABLE trades (
        account text, at timestamptz, price numeric, size integer, rate real, odd boolean,
        side text, stage smallint
    );
    INSERT INTO trades
    SELECT
        'a' || i % 20, '2024-01-01'::timestamptz + i * interval '10 minutes',
        i % 7, i % 5, i, i % 2 = 0, 'x', i % 3
    FROM generate_series(0, 4999) i;
    CREATE INDEX trades_at ON trades (at);
    ANALYZE trades
"""
JOB: dict[str, Any] = TRAIN | {
    "train_source": "trades",
    "train_target_var": "price",
    "train_value": 3,
    "train_features_csv": "size,rate,odd",
}
NEW_WORKER = """
    SELECT * FROM ml_internal.claim_job('w', '30 seconds', '{TRAIN,TEST,COMPARE,+sources}')
"""
OLD_WORKER = "SELECT * FROM ml_internal.claim_job('w', '30 seconds', '{TRAIN,TEST,COMPARE}')"
_numbers = itertools.count(1)


@pytest.fixture
def trades(db: Database, owner: Connection) -> Iterator[Connection]:
    """The owner's connection, with the source trades, which anna may read; all of it is undone."""
    owner.execute(TRADES)
    owner.execute(
        "CALL ml.add_source('trades', 'trades', key => 'account', moment => 'at', phase => 'stage')"
    )
    owner.execute("GRANT SELECT ON trades TO anna")
    yield owner
    owner.execute("UPDATE ml_jobs SET status = 'CANCELLED' WHERE status IN ('PENDING', 'RUNNING')")
    for row in owner.execute("SELECT name FROM ml_sources WHERE name <> 'coin_metrics'").fetchall():
        owner.execute("CALL ml.remove_source(%s)", [row["name"]])
    owner.execute("DROP TABLE IF EXISTS trades CASCADE")


def trained(client: Connection, worker: Connection, **fields: Any) -> int:
    """A READY model of a source; returns its id."""
    job_id = insert_job(client, **JOB | {"train_model_name": f"model {next(_numbers)}", **fields})
    assert one(worker, NEW_WORKER)["id"] == job_id
    worker.execute("SELECT ml_internal.record_result(%s, 1, %s)", [job_id, Jsonb(RESULT)])
    return int(job_row(client, job_id)["result_model_id"])


def claimed(client: Connection, worker: Connection, job_id: int) -> Any:
    """What the claim of a job says: None, or its error_msg."""
    worker.execute(NEW_WORKER).fetchall()
    return job_row(client, job_id)["error_msg"]


def previewed(client: Connection, job_id: int) -> list[str]:
    rows = client.execute("SELECT * FROM ml.preview(%s)", [job_id]).fetchall()
    return [row["result"] for row in rows if row["what"] == "would fail"]


def warnings(connection: Connection, call: str) -> list[str]:
    found: list[str] = []

    def note(said: psycopg.errors.Diagnostic) -> None:
        found.append(f"{said.message_primary} {said.message_hint}")

    connection.add_notice_handler(note)
    connection.execute(call.encode())
    connection.remove_notice_handler(note)
    return found


# ── What can be a source ────────────────────────────────────────────────────────────────────────────

RELATIONS = {
    "table": "CREATE TABLE r AS TABLE trades",
    "partitioned table": "CREATE TABLE r (LIKE trades) PARTITION BY RANGE (at); CREATE TABLE r1 "
    "PARTITION OF r DEFAULT;"
    " INSERT INTO r TABLE trades",
    "view": "CREATE VIEW r AS SELECT *, price / 2 AS half FROM trades",
    "materialized view": "CREATE MATERIALIZED VIEW r AS TABLE trades",
    "moment without time zone": "CREATE TABLE r AS SELECT account, at AT TIME ZONE 'UTC' AS at, "
    "price, size, rate, odd FROM trades",
    "day": "CREATE TABLE r AS SELECT account, (at AT TIME ZONE 'UTC')::date AS at, price, size, "
    "rate, odd FROM trades",
    "domain": "CREATE DOMAIN day AS date; CREATE DOMAIN holiday AS day;"
    " CREATE TABLE r AS SELECT account, (at AT TIME ZONE 'UTC')::date::holiday AS at, price, size, "
    "rate, odd FROM trades",
}


@pytest.mark.parametrize("key", [None, "account"])
@pytest.mark.parametrize("relation", RELATIONS)
def test_any_relation_with_a_moment_is_a_source_and_is_counted_alike_in_any_time_zone(
    trades: Connection, client: Connection, relation: str, key: str | None
) -> None:
    try:
        trades.execute(RELATIONS[relation].encode())
        trades.execute("GRANT SELECT ON r TO anna")
        trades.execute("CALL ml.add_source('r', 'public.r', key => %s, moment => 'at')", [key])
        row = one(client, "SELECT * FROM ml_sources WHERE name = 'r'")
        assert (row["schema_name"], row["relation_name"], row["key_column"]) == ("public", "r", key)
        job_id = insert_job(
            client, **JOB | {"train_source": "r", "train_start": "2024-01-03", "train_end": "2024-01-05"}
        )
        for zone in ("UTC", "Pacific/Kiritimati", "America/Los_Angeles"):
            client.execute(f"SET TimeZone TO '{zone}'".encode())
            found = {
                row["what"]: row["result"] for row in client.execute("SELECT * FROM ml.preview(%s)", [job_id])
            }
            assert (found["rows"], found["coins"]) == ("288", "20" if key else "1")
            assert found["label"] == "price > 3, in r"
            targets = client.execute("SELECT * FROM ml.targets('price', source => 'r')").fetchall()
            assert targets[0]["counted"] == "5,000 rows of " + ("20 coins" if key else "1 coin")
    finally:
        client.execute("RESET TimeZone")
        trades.execute("CALL ml.remove_source('r')")
        trades.execute(f"DROP {relation.upper() if relation.endswith('view') else 'TABLE'} r".encode())
        trades.execute("DROP DOMAIN IF EXISTS holiday; DROP DOMAIN IF EXISTS day")


def test_its_columns_are_features_or_not_and_those_of_coin_metrics_are_as_ever(
    trades: Connection, reader: Connection
) -> None:
    query = "SELECT column_name, data_type, is_numeric FROM ml_metric_columns WHERE source = 'trades'"
    assert [tuple(row.values()) for row in reader.execute(query)] == [
        ("account", "text", False),
        ("at", "timestamp with time zone", False),
        ("price", "numeric", True),
        ("size", "integer", True),
        ("rate", "real", True),
        ("odd", "boolean", True),
        ("side", "text", False),
        ("stage", "smallint", True),
    ]
    columns = reader.execute("SELECT * FROM ml_metric_columns").description or ()
    assert [column.name for column in columns] == ["column_name", "data_type", "is_numeric", "source"]
    first = reader.execute("SELECT * FROM ml_metric_columns LIMIT 1").fetchone()
    assert first == {
        "column_name": "mint",
        "data_type": "character varying(255)",
        "is_numeric": False,
        "source": "coin_metrics",
    }


@pytest.mark.parametrize(
    ("arguments", "sqlstate", "message", "hint"),
    [
        (
            "'trades', 'trades', moment => 'at'",
            "23505",
            "the source trades is there already",
            "CALL ml.remove_source('trades')",
        ),
        ("'coin_metrics', 'trades', moment => 'at'", "23505", "there already", "the default"),
        ("' ', 'trades', moment => 'at'", "23514", "has 1 to 100 characters", "that show"),
        ("E'a\\nb', 'trades', moment => 'at'", "23514", "U+000A", "that show"),
        ("NULL, 'trades', moment => 'at'", "23514", "has 1 to 100 characters", "that show"),
        (
            "'x', 'nowhere.trades', moment => 'at'",
            "42P01",
            "no table or view 'nowhere.trades'",
            "with its schema",
        ),
        ("'x', 'a.b.c.d', moment => 'at'", "42P01", "no table or view", "with its schema"),
        ("'x', 'not a name', moment => 'at'", "42P01", "no table or view", "with its schema"),
        ("'x', NULL, moment => 'at'", "42P01", "no table or view NULL", "with its schema"),
        ("'x', 'trades'", "23502", "needs a moment", "moment => 'at'"),
        ("'x', 'trades', moment => 'att'", "42703", "no column 'att' (moment)", "Did you mean at?"),
        (
            "'x', 'trades', key => 'acount', moment => 'at'",
            "42703",
            "no column 'acount' (key)",
            "Did you mean account",
        ),
        (
            "'x', 'trades', moment => 'at', phase => 'stag'",
            "42703",
            "no column 'stag' (phase)",
            "Did you mean stage?",
        ),
        (
            "'x', 'trades', moment => 'size'",
            "42804",
            "'size', is integer, not timestamptz",
            "to_timestamp(size)",
        ),
        (
            "'x', 'trades', moment => 'side'",
            "42804",
            "'side', is text, not timestamptz",
            "side::timestamptz AS side",
        ),
        (
            "'x', 'trades', moment => 'at', phase => 'side'",
            "42804",
            "'side', is text, not integer",
            "Make a view",
        ),
    ],
)
def test_what_can_be_no_source_is_refused_with_what_to_do(
    trades: Connection, arguments: str, sqlstate: str, message: str, hint: str
) -> None:
    with pytest.raises(psycopg.Error) as caught:
        trades.execute(f"CALL ml.add_source({arguments})".encode())
    assert caught.value.sqlstate == sqlstate
    assert message in (caught.value.diag.message_primary or "")
    assert hint in (caught.value.diag.message_hint or "")


def test_only_the_owner_adds_and_removes_and_all_may_look(
    trades: Connection, client: Connection, reader: Connection, worker: Connection
) -> None:
    for user in (client, reader, worker):
        assert [row["name"] for row in user.execute("SELECT name FROM ml_sources ORDER BY 1")] == [
            "coin_metrics",
            "trades",
        ]
        for statement in (
            "CALL ml.add_source('mine', 'trades', moment => 'at')",
            "CALL ml.remove_source('trades')",
            "INSERT INTO ml_sources (name, schema_name, relation_name, moment_column) VALUES ('a', "
            "'b', 'c', 'd')",
            "UPDATE ml_sources SET relation_name = 'ml_jobs'",
            "DELETE FROM ml_sources",
        ):
            with refused("42501"):
                user.execute(statement.encode())
    with refused("23514", "cannot be removed"):
        trades.execute("CALL ml.remove_source('coin_metrics')")
    with refused("P0002", "there is no source 'trade'"):
        trades.execute("CALL ml.remove_source('trade')")


KEYS = {
    "numeric": ("numeric", ["1", "1.0", "1.000", "2"], 2),
    "numeric domain": ("share", ["1", "1.0", "2"], 2),
    "real": ("real", ["0", "-0", "0.1", "0.10"], 2),
    "double precision": ("float8", ["0", "-0", "1e3", "1000"], 2),
    "char": ("char(5)", ["a", "a  ", "b"], 2),
    "varchar": ("varchar(5)", ["a", "a ", "A"], 3),
    "integer": ("bigint", ["1", "01", "2"], 2),
    "bytea": ("bytea", [r"\x61", "a", r"\x62"], 2),
    "uuid": ("uuid", ["A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc999c0b4ef8bb6d6bb9bd380a11"], 1),
    "enum": ("mood", ["sad", "glad", "sad"], 2),
    "array": ("integer[]", ["{1,2}", "{ 1, 2 }", "{2}"], 2),
    "boolean": ("boolean", ["t", "yes", "f"], 2),
    "date": ("date", ["2024-02-01", "20240201", "2024-01-02"], 2),
    "moment": ("timestamptz", ["2024-02-01 00:00+00", "2024-02-01 01:00+01", "2024-02-02 00:00+00"], 2),
    "jsonb": ("jsonb", ['{"a": 1, "b": 2}', '{"b":2,"a":1}'], 1),
    "inet": ("inet", ["10.0.0.1", "10.0.0.1/32"], 1),
}


@pytest.mark.parametrize("kind", KEYS)
def test_a_key_of_any_type_is_the_same_text_for_equal_values_whatever_a_session_has_set(
    trades: Connection, worker: Connection, client: Connection, kind: str
) -> None:
    type_name, values, different = KEYS[kind]
    trades.execute("CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE DOMAIN share AS numeric")
    try:
        trades.execute(f"CREATE TABLE keyed (id {type_name}, at timestamptz, price numeric)".encode())
        for value in [*values, None]:
            trades.execute(f"INSERT INTO keyed VALUES (%s::text::{type_name}, now(), 1)".encode(), [value])
        trades.execute("CALL ml.add_source('keyed', 'keyed', key => 'id', moment => 'at')")
        trades.execute("GRANT SELECT ON keyed TO anna")
        told = described(worker, "keyed")
        for settings in (
            "",
            "SET extra_float_digits TO -10; SET DateStyle TO 'German'; SET bytea_output TO escape",
        ):
            client.execute(settings.encode() or b"SELECT")
            counted = client.execute("SELECT * FROM ml.targets('price', source => 'keyed')").fetchall()
            coins = f"{different + 1} coin{'s' * bool(different)}"
            assert counted[0]["counted"] == f"{len(values) + 1} rows of {coins}"
        with worker.transaction():
            worker.execute("SET LOCAL ROLE ml_worker")
            query = sql.SQL("SELECT DISTINCT {} AS key FROM {} m").format(
                sql.SQL(told.key), sql.SQL(told.relation)
            )
            keys = {row["key"] for row in worker.execute(query)}
        assert len(keys) == different + 1
        assert "" in keys
    finally:
        trades.execute("CALL ml.remove_source('keyed')")
        trades.execute("DROP TABLE keyed; DROP TYPE mood; DROP DOMAIN share")


# ── What depends on who reads it ────────────────────────────────────────────────────────────────────

ASKING = {
    "row security": "ALTER TABLE trades ENABLE ROW LEVEL SECURITY",
    "row security below": "CREATE OR REPLACE VIEW shown AS SELECT * FROM (SELECT * FROM below) x;"
    " ALTER TABLE trades ENABLE ROW LEVEL SECURITY",
    "row security in a subquery": "CREATE OR REPLACE VIEW shown AS SELECT * FROM other WHERE "
    "EXISTS (SELECT FROM below);"
    " ALTER TABLE trades ENABLE ROW LEVEL SECURITY",
    "security_invoker": "ALTER VIEW shown SET (security_invoker = on)",
    "security_invoker below": "ALTER VIEW below SET (security_invoker = true)",
    "current_user": "CREATE OR REPLACE VIEW shown AS SELECT * FROM trades WHERE side = current_user",
    "session_user below": "CREATE OR REPLACE VIEW below AS SELECT * FROM trades WHERE side = session_user",
    "current_role in a join": "CREATE OR REPLACE VIEW shown AS SELECT t.* FROM trades t JOIN "
    "pg_roles r ON r.rolname = current_role",
    "user": "CREATE OR REPLACE VIEW shown AS SELECT * FROM trades ORDER BY side = user",
    "current_setting": "CREATE OR REPLACE VIEW shown AS SELECT * FROM trades WHERE side = "
    "current_setting('my.team', true)",
    "has_table_privilege": "CREATE OR REPLACE VIEW shown AS SELECT * FROM trades WHERE "
    "has_table_privilege('public.trades', 'UPDATE')",
    "pg_has_role": "CREATE OR REPLACE VIEW shown AS SELECT * FROM trades WHERE "
    "pg_has_role('ml_reader', 'USAGE')",
    "catalog": "CREATE OR REPLACE VIEW shown AS SELECT * FROM trades WHERE EXISTS (SELECT FROM "
    "information_schema.tables)",
    "function": "CREATE FUNCTION mine(text) RETURNS boolean LANGUAGE sql STABLE AS $$ SELECT $1 = "
    "current_user $$;"
    " CREATE OR REPLACE VIEW shown AS SELECT * FROM trades WHERE mine(side)",
    "function that lies": "CREATE FUNCTION mine(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ "
    "SELECT $1 = current_user $$;"
    " CREATE OR REPLACE VIEW shown AS SELECT * FROM trades WHERE mine(side)",
    "operator": "CREATE FUNCTION mine(text, text) RETURNS boolean LANGUAGE sql STABLE AS $$ SELECT "
    "$1 = current_user $$;"
    " CREATE OPERATOR === (FUNCTION = mine, LEFTARG = text, RIGHTARG = text);"
    " CREATE OR REPLACE VIEW shown AS SELECT * FROM trades WHERE side === 'x'",
}


@pytest.fixture
def shown(trades: Connection) -> Iterator[Connection]:
    """A view over a view over trades, which is a source, and that a team of its own may read."""
    trades.execute("CREATE VIEW below AS SELECT * FROM trades; CREATE VIEW shown AS SELECT * FROM below")
    trades.execute("CREATE TABLE other (LIKE trades); GRANT SELECT ON shown TO anna")
    trades.execute("CALL ml.add_source('shown', 'shown', key => 'account', moment => 'at')")
    yield trades
    trades.execute("DROP VIEW IF EXISTS shown; DROP OPERATOR IF EXISTS === (text, text)")
    trades.execute(
        "DROP VIEW IF EXISTS below; DROP TABLE other; DROP FUNCTION IF EXISTS mine(text), mine(text, text)"
    )


@pytest.mark.parametrize("how", ASKING)
def test_no_row_reaches_a_model_that_its_maker_may_not_see(
    shown: Connection, client: Connection, worker: Connection, how: str
) -> None:
    """Refused at the INSERT and the claim, said by ml.preview, and never a source from the first."""
    name = "trades" if how == "row security" else "shown"
    fields = JOB | {"train_source": name}
    model_id = trained(client, worker, train_source=name)
    waiting = insert_job(client, **fields)
    shown.execute(ASKING[how].encode())
    message = f"what the source {name} shows depends on who reads it"
    for asked in (fields, {"job_type": "TEST", "test_model_id": model_id, **TEST_PERIOD}):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=message) as caught:
            insert_job(client, **asked)
        assert "materialized view" in (caught.value.diag.message_hint or "")
    assert previewed(client, waiting)[0].startswith(message)
    with refused("42501", message):
        client.execute("SELECT * FROM ml.targets('price', source => %s)", [name])
    assert claimed(client, worker, waiting).startswith(message)
    shown.execute("CALL ml.remove_source(%s)", [name])
    with refused("42501", message):
        shown.execute("CALL ml.add_source(%s, %s, moment => 'at')", [name, name])
    # What it shows one team can be copied for that team, and is data of its own then.
    shown.execute(f"CREATE MATERIALIZED VIEW of_team AS TABLE {name}".encode())
    shown.execute("CALL ml.add_source('of_team', 'of_team', moment => 'at')")
    shown.execute("DROP MATERIALIZED VIEW of_team")


def test_a_view_of_what_postgresql_and_immutable_functions_compute_is_a_source(shown: Connection) -> None:
    shown.execute(
        "CREATE FUNCTION mine(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT $1 = 'x' $$"
    )
    shown.execute(
        """CREATE OR REPLACE VIEW shown AS
        SELECT account, at, avg(price) OVER w AS price, size, rate, odd, side, stage
        FROM trades WHERE mine(side) AND at < now() + interval '1 day'
        WINDOW w AS (PARTITION BY account ORDER BY at)"""
    )
    shown.execute("CALL ml.remove_source('shown')")
    shown.execute("CALL ml.add_source('shown', 'shown', moment => 'at')")


# ── Who may learn from it ───────────────────────────────────────────────────────────────────────────


def test_a_job_needs_select_on_the_columns_that_it_names(
    trades: Connection, client: Connection, worker: Connection
) -> None:
    trades.execute("REVOKE SELECT ON trades FROM anna")
    fields = JOB | {"train_phases_csv": "1,2", "train_label": "change", "train_future_minutes": 10}
    columns = ["account", "at", "odd", "price", "rate", "size", "stage"]
    for column in columns:
        with refused("42501", "anna may not read", f"GRANT SELECT ({column}"):
            insert_job(client, **fields)
        trades.execute(f"GRANT SELECT ({column}) ON trades TO anna".encode())
    model_id = trained(client, worker, **{name: fields[name] for name in fields.keys() - JOB.keys()})
    test = {"job_type": "TEST", "test_model_id": model_id, **TEST_PERIOD}
    for column in columns:
        jobs = [insert_job(client, **fields), insert_job(client, **test)]
        trades.execute(f"REVOKE SELECT ({column}) ON trades FROM anna".encode())
        with refused("42501", f"anna may not read {column} of public.trades"):
            insert_job(client, **test)
        for job_id in jobs:
            assert previewed(client, job_id) == [f"anna may not read {column} of public.trades"]
        worker.execute(NEW_WORKER)
        for job_id in jobs:
            job = job_row(client, job_id)
            assert (job["status"], job["error_msg"]) == (
                "FAILED",
                f"anna may not read {column} of public.trades",
            )
        trades.execute(f"GRANT SELECT ({column}) ON trades TO anna".encode())


def test_the_rights_are_those_of_the_role_that_inserted_by_whatever_name(
    trades: Connection, db: Database, client: Connection, worker: Connection
) -> None:
    """Not of the model's maker, nor of a new role of the old name; a role that is gone has none."""
    model_id = trained(client, worker)
    trades.execute(f"CREATE ROLE gray LOGIN PASSWORD '{PASSWORD}' IN ROLE ml_client")
    try:
        with db.connect("gray") as gray:
            test = {"job_type": "TEST", "test_model_id": model_id, **TEST_PERIOD}
            with refused("42501", "gray may not read"):
                insert_job(gray, **test)
            with refused("42501", "gray may not read"):
                gray.execute(
                    "SELECT * FROM ml.preview('xgboost', 'price', '>', 3, 'size', '2024-01-01', "
                    "'2024-02-01', source => 'trades')"
                )
            trades.execute("GRANT SELECT ON trades TO gray")
            waiting = insert_job(gray, **test)
        trades.execute("ALTER ROLE gray RENAME TO slate")
        trades.execute("CREATE ROLE gray")
        assert one(worker, NEW_WORKER)["id"] == waiting
        worker.execute("SELECT ml_internal.record_result(%s, 1, %s)", [waiting, Jsonb(TEST_RESULT)])
        trades.execute("GRANT ml_client TO slate")
        trades.execute(f"ALTER ROLE slate PASSWORD '{PASSWORD}'")
        with db.connect("slate") as slate:
            waiting = insert_job(slate, **test)
        trades.execute("REVOKE SELECT ON trades FROM slate; GRANT SELECT ON trades TO gray")
        assert claimed(client, worker, waiting).startswith("slate may not read")
        trades.execute("GRANT SELECT ON trades TO slate")
        with db.connect("slate") as slate:
            waiting = insert_job(slate, **test)
        trades.execute("REVOKE ALL ON trades FROM slate; DROP ROLE slate")
        assert "is gone" in claimed(client, worker, waiting)
    finally:
        trades.execute("REVOKE ALL ON trades FROM gray; DROP ROLE gray; DROP ROLE IF EXISTS slate")


def test_the_worker_gets_the_right_to_read_and_loses_it_and_an_installation_keeps_it(
    trades: Connection, db: Database, worker: Connection
) -> None:
    trades.execute(
        "CREATE SCHEMA hidden; CREATE TABLE hidden.rows AS TABLE trades; CREATE TABLE hidden.more "
        "AS TABLE trades"
    )
    may = """
        SELECT has_schema_privilege('ml_worker', 'hidden', 'USAGE') AS schema,
            has_table_privilege('ml_worker', 'hidden.rows', 'SELECT') AS rows,
            has_table_privilege('ml_worker', 'hidden.more', 'SELECT') AS more
    """

    def rights() -> list[bool]:
        return list(one(trades, may).values())

    try:
        assert rights() == [False, False, False]
        for name, relation in (("a", "rows"), ("b", "hidden.rows"), ("c", "hidden.more")):
            trades.execute("CALL ml.add_source(%s, %s, moment => 'at')", [name, relation])
        assert rights() == [True, True, True]
        assert warnings(trades, "CALL ml_internal.keep_rights()") == []
        install(db.login("owner"))
        assert rights() == [True, True, True]
        trades.execute("CALL ml.remove_source('a')")
        assert rights() == [True, True, True]
        trades.execute("CALL ml.remove_source('b')")
        assert rights() == [True, False, True]
        trades.execute("CALL ml.remove_source('c')")
        assert rights() == [False, False, False]
        # What it had before, it keeps.
        trades.execute("GRANT USAGE ON SCHEMA hidden TO ml_worker; GRANT SELECT ON hidden.rows TO ml_worker")
        trades.execute("CALL ml.add_source('a', 'hidden.rows', moment => 'at')")
        trades.execute("CALL ml.remove_source('a')")
        assert rights() == [True, True, False]
        trades.execute("CALL ml.add_source('a', 'hidden.rows', moment => 'at')")
        trades.execute("DROP SCHEMA hidden CASCADE")
        trades.execute("CALL ml.remove_source('a')")
    finally:
        trades.execute("DROP SCHEMA IF EXISTS hidden CASCADE")


def test_an_owner_who_may_not_grant_is_told_what_the_other_has_to(trades: Connection, db: Database) -> None:
    with psycopg.connect(db.url, autocommit=True) as admin:
        admin.execute("CREATE TABLE theirs (at timestamptz, price numeric); GRANT SELECT ON theirs TO owner")
        try:
            with pytest.raises(
                psycopg.errors.InsufficientPrivilege, match=r"may not read public\.theirs"
            ) as caught:
                trades.execute("CALL ml.add_source('theirs', 'theirs', moment => 'at')")
            hint = caught.value.diag.message_hint or ""
            assert hint.startswith("As its owner: GRANT SELECT ON public.theirs TO ml_worker;")
            admin.execute(hint.removeprefix("As its owner: ").partition(";")[0].encode())
            trades.execute("CALL ml.add_source('theirs', 'theirs', moment => 'at')")
        finally:
            admin.execute("DROP TABLE theirs")


# ── What becomes of its jobs and models ─────────────────────────────────────────────────────────────

CHANGES = {
    "dropped": ("DROP TABLE trades", "public.trades, the relation of the source trades, is gone"),
    "renamed": (
        "ALTER TABLE trades RENAME TO trades_old",
        "public.trades, the relation of the source trades, is gone",
    ),
    "no moment": (
        "ALTER TABLE trades DROP at",
        "public.trades has no column 'at' any more, which is the moment of the source trades",
    ),
    "no key": (
        "ALTER TABLE trades RENAME account TO who",
        "public.trades has no column 'account' any more, which is the key of the source trades",
    ),
    "another moment": (
        "ALTER TABLE trades ALTER at TYPE text",
        "the moment of the source trades, the column 'at', is text, not timestamptz, timestamp or date",
    ),
    "no feature": ("ALTER TABLE trades DROP rate", "trades has no column 'rate' any more"),
    "no target": ("ALTER TABLE trades RENAME price TO cost", "trades has no column 'price' any more"),
    "another type": (
        "ALTER TABLE trades ALTER size TYPE text",
        "column 'size' of trades is text now, not numeric",
    ),
    "removed": ("CALL ml.remove_source('trades')", "there is no source 'trades'"),
    "not granted": (
        "REVOKE SELECT ON trades FROM ml_worker",
        "the worker may not read public.trades, the source trades",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_source_that_changes_fails_its_jobs_with_what_changed_and_keeps_its_models(
    trades: Connection, client: Connection, worker: Connection, change: str
) -> None:
    model_id = trained(client, worker)
    test = {"job_type": "TEST", "test_model_id": model_id, **TEST_PERIOD}
    jobs = [insert_job(client, **JOB), insert_job(client, **test)]
    before = [
        one(client, f"SELECT * FROM {table} WHERE {column} = %s".encode(), [model_id])
        for table, column in (("ml_models", "id"), ("ml_training_runs", "model_id"))
    ]
    statement, message = CHANGES[change]
    trades.execute(statement.encode())
    for job_id in jobs:
        assert previewed(client, job_id) == [message]
    for fields in (JOB, test):
        with pytest.raises(psycopg.Error) as caught:
            insert_job(client, **fields)
        if fields is test:
            assert caught.value.diag.message_primary == message
        assert caught.value.diag.message_hint
    worker.execute(NEW_WORKER)
    for job_id in jobs:
        assert (job_row(client, job_id)["status"], job_row(client, job_id)["error_msg"]) == (
            "FAILED",
            message,
        )
    assert before == [
        one(client, f"SELECT * FROM {table} WHERE {column} = %s".encode(), [model_id])
        for table, column in (("ml_models", "id"), ("ml_training_runs", "model_id"))
    ]
    assert any(
        "trades" in line
        for (line,) in (row.values() for row in client.execute("SELECT ml.report(%s)", [model_id]))
    )

    # The same again serves the models of before.
    trades.execute("CALL ml.remove_source('trades')") if change != "removed" else None
    trades.execute("DROP TABLE IF EXISTS trades, trades_old CASCADE")
    trades.execute(TRADES)
    trades.execute("GRANT SELECT ON trades TO anna")
    trades.execute(
        "CALL ml.add_source('trades', 'trades', key => 'account', moment => 'at', phase => 'stage')"
    )
    job_id = insert_job(client, **test)
    assert claimed(client, worker, job_id) is None


def test_models_of_two_sources_are_not_compared(
    trades: Connection, client: Connection, worker: Connection
) -> None:
    trades.execute("CALL ml.add_source('again', 'trades', key => 'account', moment => 'at')")
    pair = [trained(client, worker), trained(client, worker, train_source="again")]
    with refused("23514", "learn from different sources: trades and again"):
        insert_job(
            client,
            job_type="COMPARE",
            compare_model_a_id=pair[0],
            compare_model_b_id=pair[1],
            compare_start="2024-03-01",
            compare_end="2024-04-01",
        )
    query = "SELECT source, target FROM ml_leaderboard WHERE id = ANY (%s) ORDER BY source"
    assert [tuple(row.values()) for row in client.execute(query, [pair])] == [
        ("again", "price > 3, in again"),
        ("trades", "price > 3, in trades"),
    ]


def test_a_column_of_text_is_refused_with_what_to_write_in_a_view(
    trades: Connection, client: Connection
) -> None:
    for field in ("train_target_var", "train_features_csv"):
        with pytest.raises(
            psycopg.errors.CheckViolation, match="column 'side' is text, not numeric"
        ) as caught:
            insert_job(client, **JOB | {field: "side"})
        hint = caught.value.diag.message_hint or ""
        assert "CASE WHEN side = 'x' THEN 1 ELSE 0 END" in hint
    expression = hint.partition("source: ")[2].partition(".")[0]
    trades.execute(f"CREATE VIEW numbered AS SELECT *, {expression} FROM trades".encode())
    trades.execute("GRANT SELECT ON numbered TO anna")
    trades.execute("CALL ml.add_source('numbered', 'numbered', key => 'account', moment => 'at')")
    insert_job(client, **JOB | {"train_source": "numbered", "train_features_csv": "size,side_is_x"})


@pytest.mark.parametrize(
    ("fields", "message", "hint"),
    [
        ({"train_source": "trade"}, "there is no source 'trade'", "Did you mean trades?"),
        ({"train_source": ""}, "there is no source ''", "ml_sources"),
        (
            {"train_features_csv": "siz"},
            r"trades has no column 'siz' \(train_features_csv\)",
            "Did you mean size",
        ),
        ({"train_target_var": "volume_sol"}, r"trades has no column 'volume_sol'", "Allowed: price, size"),
        ({"train_phases_csv": "1,x"}, "has what is no integer: 'x'", "1,2,3"),
        ({"train_phases_csv": "1,1"}, "names a phase twice", "1,2,3"),
        ({"train_source": "bare", "train_phases_csv": "1"}, "the source bare has no phase", "phase =>"),
    ],
)
def test_a_job_that_does_not_fit_its_source_is_refused_with_what_to_do(
    trades: Connection, client: Connection, fields: dict[str, Any], message: str, hint: str
) -> None:
    trades.execute("CALL ml.add_source('bare', 'trades', key => 'account', moment => 'at')")
    with pytest.raises(psycopg.errors.CheckViolation, match=message) as caught:
        insert_job(client, **JOB | fields)
    assert hint in (caught.value.diag.message_hint or "")


def test_a_worker_of_version_6_goes_on_with_coin_metrics_and_gets_no_job_of_another_source(
    trades: Connection, client: Connection, worker: Connection
) -> None:
    model_id = trained(client, worker)
    others = [insert_job(client, **JOB, priority=1) for _ in range(3)]
    others.append(insert_job(client, job_type="TEST", test_model_id=model_id, priority=1, **TEST_PERIOD))
    own = [insert_job(client, **TRAIN) for _ in range(2)]
    assert [one(worker, OLD_WORKER)["id"] for _ in own] == own
    assert worker.execute(OLD_WORKER).fetchall() == []
    assert {job_row(client, job_id)["status"] for job_id in others} == {"PENDING"}
    assert [one(worker, NEW_WORKER)["id"] for _ in others] == others


def test_a_job_whose_period_has_no_rows_is_warned_of_by_its_source(
    trades: Connection, client: Connection
) -> None:
    columns = ", ".join(JOB)
    values = ", ".join(
        f"'{value}'" for value in (JOB | {"train_start": "2030-01-01", "train_end": "2030-02-01"}).values()
    )
    (said,) = [
        line
        for line in warnings(client, f"INSERT INTO ml_jobs ({columns}) VALUES ({values})")
        if "rows" in line
    ]
    assert said.startswith("trades has no rows from 2030-01-01 to 2030-02-01; it has rows from 2024-01-01")


# ── A period is found by an index ───────────────────────────────────────────────────────────────────

BIG = """
    CREATE TABLE big (account text, at timestamptz, price numeric);
    INSERT INTO big
    SELECT i % 50, '2024-01-01'::timestamptz + i * interval '1 minute', i FROM generate_series(0, 19999) i;
"""
PLANS: dict[str, tuple[str, bool]] = {
    "no index": ("ANALYZE big", True),
    "index": ("CREATE INDEX ON big (at); ANALYZE big", False),
    "brin": ("CREATE INDEX ON big USING brin (at) WITH (pages_per_range = 1); ANALYZE big", False),
    "view": (
        "CREATE INDEX ON big (at); ANALYZE big; ALTER TABLE big RENAME TO t; CREATE VIEW big AS "
        "SELECT *, price * 2 AS twice FROM t",
        False,
    ),
    "view without an index": (
        "ANALYZE big; ALTER TABLE big RENAME TO t; CREATE VIEW big AS SELECT * FROM t WHERE price > 1",
        True,
    ),
    "window functions": (
        "CREATE INDEX ON big (at); ANALYZE big; ALTER TABLE big RENAME TO t;"
        " CREATE VIEW big AS SELECT *, lag(price) OVER (PARTITION BY account ORDER BY at) AS before FROM t",
        True,
    ),
    "groups by the moment": (
        "CREATE INDEX ON big (at); ANALYZE big; ALTER TABLE big RENAME TO t;"
        " CREATE VIEW big AS SELECT account, at, avg(price) AS price FROM t GROUP BY account, at",
        False,
    ),
    "groups by what is made of it": (
        "CREATE INDEX ON big (at); ANALYZE big; ALTER TABLE big RENAME TO t;"
        " CREATE VIEW big AS SELECT account, date_trunc('hour', at, 'UTC') AS at, avg(price) AS "
        "price FROM t GROUP BY 1, 2",
        True,
    ),
    "materialized view": (
        "ALTER TABLE big RENAME TO t; CREATE MATERIALIZED VIEW big AS SELECT *, lag(price) OVER "
        "(PARTITION BY account ORDER BY at) AS before FROM t;"
        " CREATE INDEX ON big (at); ANALYZE big",
        False,
    ),
    "partitions": (
        "ALTER TABLE big RENAME TO t; CREATE TABLE big (LIKE t) PARTITION BY RANGE (at);"
        " CREATE TABLE big1 PARTITION OF big FOR VALUES FROM ('2024-01-01') TO ('2024-01-08');"
        " CREATE TABLE big2 PARTITION OF big FOR VALUES FROM ('2024-01-08') TO ('2024-02-01'); "
        "INSERT INTO big TABLE t; ANALYZE big",
        False,
    ),
    "few rows": ("DELETE FROM big WHERE price > 100; ANALYZE big", False),
}


@pytest.mark.parametrize("how", PLANS)
def test_whoever_adds_a_source_is_warned_if_a_day_reads_all_of_it(trades: Connection, how: str) -> None:
    statements, is_warned = PLANS[how]
    with trades.transaction(force_rollback=True):
        trades.execute(f"{BIG} {statements}".encode())
        said = warnings(trades, "CALL ml.add_source('big', 'big', key => 'account', moment => 'at')")
        assert bool(said) == is_warned, said
        if is_warned:
            assert (
                "materialized view" if "big AS" in statements else "CREATE INDEX ON public.big (at);"
            ) in said[0]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


@pytest.mark.parametrize("moment", ["timestamptz", "timestamp", "date"])
@pytest.mark.parametrize("kind", ["index", "partitions", "view"])
def test_a_job_of_a_day_reads_that_day(
    trades: Connection, db: Database, moment: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By index, or from the partition alone, as the planner says of the very query of the worker."""
    column = "at AT TIME ZONE 'UTC'" if moment != "timestamptz" else "at"
    try:
        trades.execute(BIG.encode())
        trades.execute(
            (
                f"CREATE TABLE days (account text, at {moment}, price numeric) "
                f"{'PARTITION BY RANGE (at)' if kind == 'partitions' else ''}"
            ).encode()
        )
        if kind == "partitions":
            for day in range(1, 16):
                trades.execute(
                    (
                        f"CREATE TABLE days{day} PARTITION OF days FOR VALUES FROM ('2024-01-{day:02} "
                        f"00:00') TO ('2024-01-{day + 1:02} 00:00')"
                    ).encode()
                )
        else:
            trades.execute("CREATE INDEX days_at ON days (at)")
        trades.execute(f"INSERT INTO days SELECT account, ({column})::{moment}, price FROM big".encode())
        trades.execute("ANALYZE days; CREATE VIEW through AS SELECT *, price * 2 AS twice FROM days")
        name = "through" if kind == "view" else "days"
        trades.execute("CALL ml.add_source('days', %s, key => 'account', moment => 'at')", [name])
        with connect(db.login("wanda"), role="ml_worker") as wanda:
            source = described(wanda, "days")
            start = datetime(2024, 1, 5, tzinfo=UTC)
            asked: list[sql.Composed] = []

            def note(connection: Any, query: sql.Composed) -> Any:
                asked.append(query)
                return fetch_value(connection, query)

            monkeypatch.setattr("worker.database.dataset.fetch_value", note)
            assert (
                1000
                < database.estimate_rows(wanda, Period(start, start + timedelta(days=1)), None, source)
                < 2000
            )
            (plan,) = wanda.execute(asked[0]).fetchone() or ()
        scans = [node for node in nodes(plan[0]["Plan"]) if "Relation Name" in node or "Index Name" in node]
        if kind == "partitions":
            assert [scan["Relation Name"] for scan in scans] == ["days5"]
        else:
            assert {scan.get("Index Name") for scan in scans} >= {"days_at"}
            assert all(scan["Node Type"] != "Seq Scan" for scan in scans)
    finally:
        trades.execute("CALL ml.remove_source('days')")
        trades.execute("DROP TABLE big; DROP TABLE days CASCADE")


# ── Foreign tables ──────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def foreign(trades: Connection, db: Database, make_database: Callable[[], Database]) -> Iterator[Connection]:
    """The owner's connection, with a foreign table that anna may read; nobody has a mapping for it."""
    with psycopg.connect(db.url, autocommit=True) as admin:
        if not admin.execute("SELECT FROM pg_available_extensions WHERE name = 'postgres_fdw'").fetchall():
            pytest.skip("this server has no postgres_fdw")
        port, name = one(
            trades, "SELECT current_setting('port') AS port, current_database() AS name"
        ).values()
        admin.execute("CREATE EXTENSION postgres_fdw")
        admin.execute(
            (
                "CREATE SERVER there FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port "
                f"'{port}', dbname '{name}')"
            ).encode()
        )
        admin.execute(
            "GRANT USAGE ON FOREIGN DATA WRAPPER postgres_fdw TO owner; ALTER SERVER there OWNER TO owner"
        )
        trades.execute(
            "CREATE FOREIGN TABLE far (account text, at timestamptz, price numeric, size integer, "
            "rate real, odd boolean) SERVER there OPTIONS (table_name 'trades')"
        )
        trades.execute("GRANT SELECT ON far TO anna")
        yield trades
        trades.execute("DROP FOREIGN TABLE far CASCADE")
        admin.execute("DROP EXTENSION postgres_fdw CASCADE")


def test_a_foreign_table_is_a_source_where_all_are_known_to_the_other_server_alike(
    foreign: Connection, client: Connection, worker: Connection
) -> None:
    add = "CALL ml.add_source('far', 'far', key => 'account', moment => 'at')"
    options = f"OPTIONS (user 'owner', password '{PASSWORD}')"
    with refused("42501", "has no user mapping for the worker"):
        foreign.execute(add)
    foreign.execute(f"CREATE USER MAPPING FOR ml_worker SERVER there {options}".encode())
    with refused("42501", "knows the worker by a user mapping of its own"):
        foreign.execute(add)
    foreign.execute("DROP USER MAPPING FOR ml_worker SERVER there")
    foreign.execute(f"CREATE USER MAPPING FOR public SERVER there {options}".encode())
    foreign.execute(add)
    fields = JOB | {"train_source": "far"}
    waiting = insert_job(client, **fields)
    foreign.execute(f"CREATE USER MAPPING FOR anna SERVER there {options}".encode())
    with refused("42501", "knows anna by a user mapping of its own"):
        insert_job(client, **fields)
    assert "knows anna by a user mapping of its own" in claimed(client, worker, waiting)
    foreign.execute("DROP USER MAPPING FOR anna SERVER there")
    assert previewed(client, insert_job(client, **fields)) == []
