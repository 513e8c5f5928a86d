"""The settings of whoever calls do not matter: not of the login, its role, the database or the connection."""

import re
from collections.abc import Iterable
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import tuple_row

from tests.conftest import Connection, Database, claim, insert_job, one
from tests.settings import GIVEN, Setting, alternatives, groups, options
from tests.sql.helpers import COMPARE_PERIOD, CURVE, PARTS, TEST_PERIOD, call, complete, refused
from tests.sql.test_error_texts import OURS, POSTGRES, SQL, deleted_at

__all__ = ["deleted_at"]

# They mean that a client is told less or more, or that it may not write.
MEANT = ("client_min_messages", "default_transaction_read_only", "exit_on_error", "row_security")
# ── What clients are told ───────────────────────────────────────────────────────────────────────────

PREVIEW = """'xgboost', 'market_cap_close', '>', 50000, 'price_open, volume_sol', '2024-01-01 00:00+00',
    '2024-01-02 00:00+00', 5, '1, 2', 'n_estimators = 20; max_depth=3', 'a name'"""
CALLS = (
    "SELECT ml.report(1)",
    "SELECT ml.report('deleted')",
    "SELECT * FROM ml.preview(10)",
    f"SELECT * FROM ml.preview({PREVIEW})",
    "SELECT * FROM ml.help()",
    "CALL ml.wait(1)",
    "CALL ml.wait(ARRAY[1, 7, 10])",
    "CALL ml.wait(9, 0)",
    "CALL ml.wait(9, interval '0 seconds')",
)
WRITES = (
    f"SELECT ml.train({PREVIEW})",
    "SELECT ml.test(1, '2024-03-01 00:00+00', '2024-04-01 00:00+00')",
    "SELECT ml.compare(1, 2, '2024-03-01 00:00+00', '2024-04-01 00:00+00')",
    """INSERT INTO public.ml_jobs (job_type, train_model_type, train_target_var, train_operator, train_value,
        train_start, train_end, train_features_csv, train_phases_csv, train_params_csv, train_model_name)
    VALUES ('TRAIN', ' neural_network ', ' price_close', '<= ', 1e-3, '2024-01-01 00:00+00',
        '2024-02-01 00:00+00', E'price_open ,\\n price_low', ' 1 , 2 ', ' tol = 1.5e-3 ; alpha=.5', 'S')""",
    "CALL ml.cancel_job(9)",
    "UPDATE public.ml_jobs SET priority = 3 WHERE id = 9",
    "UPDATE public.ml_models SET name = 's', description = 'S' WHERE id = 1",
)
FRESH = """SELECT to_jsonb(j) - '{id,created_at,completed_at,train_model_name}'::text[], m.name, m.description
    FROM public.ml_jobs j CROSS JOIN public.ml_models m WHERE m.id = 1 AND j.id >= 9 ORDER BY j.id"""
# What goes on as time passes, and where the test itself left it.
PASSING = {
    "waiting",
    "running",
    "running_seconds",
    "busy_seconds",
    "busy_share",
    "alive_until",
    "last_sign_at",
}


def text(value: Any) -> Any:
    """A value as it was sent, whichever encoding the client asked for."""
    if isinstance(value, list):
        return [text(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value


def asked(connection: psycopg.Connection[Any], query: str) -> tuple[Any, ...]:
    """What is said on the way, and what a statement gives or why it is refused."""
    said: list[Any] = []
    note = lambda d: said.append((d.severity_nonlocalized, d.message_primary, d.message_hint))  # noqa: E731
    connection.add_notice_handler(note)
    try:
        with connection.cursor(binary=True, row_factory=tuple_row) as cursor:
            cursor.execute(query.encode())
            columns = cursor.description or []
            kept = [at for at, column in enumerate(columns) if column.name not in PASSING]
            rows = [tuple(text(row[at]) for at in kept) for row in (cursor if columns else ())]
            return said, sorted(rows, key=repr) if query.startswith("TABLE") else rows
    except psycopg.Error as error:
        return said, error.sqlstate, error.diag.message_primary, error.diag.message_hint
    finally:
        connection.remove_notice_handler(note)


def all_that_is_told(db: Database, settings: Iterable[Setting]) -> dict[str, Any]:
    """What a client is told by everything that it calls and reads, with these settings."""
    url = make_conninfo(db.login("anna"), options=options([("TimeZone", "UTC"), *settings]))
    with psycopg.connect(url, autocommit=True) as anna:
        relations = anna.execute(
            """SELECT format('TABLE %s.%s', n.nspname, c.relname) FROM pg_catalog.pg_class c
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'v') AND c.relname <> 'coin_metrics'
                AND n.nspname = ANY (ARRAY['public', 'ml', 'ml_internal'])
                AND pg_catalog.has_table_privilege(c.oid, 'SELECT')"""
        ).fetchall()
        told = {text(query): asked(anna, text(query)) for (query,) in relations}
        told |= {query: asked(anna, query) for query in CALLS}
        for query in WRITES:
            anna.execute("BEGIN")
            said, *refused = asked(anna, query)
            told[query] = (said, refused[1:] or asked(anna, FRESH))
            anna.execute("ROLLBACK")
        anna.execute("SET search_path TO public")
        for refusal in (*OURS, *POSTGRES):
            if not refusal.statement.isascii():  # means another thing in another client_encoding
                continue
            told[refusal.statement] = asked(anna, refusal.statement)
            anna.execute("ROLLBACK")
    return told


@pytest.fixture(scope="module")
def history(module_db: Database, deleted_at: str) -> Database:
    """The database of the list of refusals, and a test and a comparison in it."""
    with module_db.connect("anna") as anna, module_db.connect("wanda") as wanda:
        jobs = {
            "TEST": {"test_model_id": 1, **TEST_PERIOD},
            "COMPARE": {"compare_model_a_id": 1, "compare_model_b_id": 2, **COMPARE_PERIOD},
        }
        for job_type, fields in jobs.items():
            job_id = insert_job(anna, job_type=job_type, priority=1, **fields)
            assert claim(wanda)["id"] == job_id
            facts: dict[str, Any] = {"ml_curve_points": CURVE, **PARTS} if job_type == "TEST" else {}
            complete(wanda, job_id, job_type, **facts)
        call(wanda, "record_sign", "w1", 1, "1 hour")
    return module_db


def test_a_client_is_told_the_same_whatever_its_settings(history: Database) -> None:
    with psycopg.connect(history.url, autocommit=True) as admin:
        settings = {name: values for name, values in alternatives(admin).items() if name not in MEANT}
        for name in settings.keys() & GIVEN:
            parameter = sql.Identifier(*name.split("."))
            admin.execute(sql.SQL("GRANT SET ON PARAMETER {} TO anna").format(parameter))
    assert len(settings) > 100
    expected = all_that_is_told(history, [])

    def differences(group: list[Setting]) -> dict[str, Any]:
        told = all_that_is_told(history, group)
        return {query: (told.get(query), said) for query, said in expected.items() if told.get(query) != said}

    assert differences([]) == {}
    wrong = {
        setting: found
        for group in groups(settings)
        if differences(group)
        for setting in group
        if (found := differences([setting]))
    }
    assert wrong == {}


def test_moments_are_the_same_in_every_time_zone(history: Database) -> None:
    told = []
    for zone in ("UTC", "Asia/Kolkata", "America/St_Johns"):
        found = all_that_is_told(history, [("TimeZone", zone)])
        told.append({query: said for query, said in found.items() if query.startswith("TABLE")})
    assert len(told[0]) > 30
    assert told[0] == told[1] == told[2]


def test_whoever_asks_to_be_refused_rather_than_see_a_part_is_refused(history: Database) -> None:
    """That is what row_security = off means, where a policy would leave rows out: pg_dump asks for it."""
    with history.connect("owner") as owner, history.connect("anna") as anna:
        owner.execute("CALL ml.separate_teams(true)")
        try:
            anna.execute("SET row_security TO off")
            for query in ("SELECT ml.report(1)", "TABLE ml_queue", "CALL ml.cancel_job(9)"):
                with refused("42501", "query would be affected by row-level security policy"):
                    anna.execute(query.encode())
        finally:
            owner.execute("CALL ml.separate_teams(false)")


def test_a_refusal_inside_a_transaction_is_known_in_every_language(history: Database) -> None:
    """Not by the words of PostgreSQL, which may be German: by those that it has for the same fault."""
    with history.connect("anna") as anna:
        said = one(anna, "SELECT ml_internal.commit_is_impossible() AS said")["said"]
        assert said == "invalid transaction termination"
    with history.connect("owner") as owner:
        source = one(owner, "SELECT string_agg(prosrc, '') AS code FROM pg_proc WHERE prosrc ~ 'SQLERRM'")[
            "code"
        ]
    assert re.findall(r"SQLERRM\s+(?:OPERATOR\(pg_catalog\.=\)|=|~|LIKE)\s+'", source) == []


# ── What can be seen in the code ────────────────────────────────────────────────────────────────────

LITERAL = re.compile(
    r"""--[^\n]*|/\*.*?\*/|"[^"]*"|(?P<escaped>\b[eE]'(?:[^'\\]|\\.|'')*')|(?P<plain>'(?:[^']|'')*')""",
    re.DOTALL,
)


def backslashes(code: str) -> list[str]:
    """Literals that mean something else where standard_conforming_strings is off."""
    return [m["plain"] for m in LITERAL.finditer(code) if m["plain"] and "\\" in m["plain"]]


def test_no_plain_literal_has_a_backslash(owner: Connection) -> None:
    """A body is read when it first runs, by the settings of whoever calls it: write E'\\\\s'."""
    assert backslashes(r"SELECT '\s', E'\\s', 'it''s' -- '\s'") == [r"'\s'"]
    wrong = {}
    files = [*SQL.glob("*.sql"), *SQL.glob("upgrades/*.sql")]
    for file in files:
        wrong[file.name] = backslashes(file.read_text())
    query = """SELECT p.oid::regprocedure::text AS name, p.prosrc FROM pg_proc p
        WHERE p.pronamespace = ANY ('{ml,ml_internal}'::regnamespace[])"""
    for row in owner.execute(query):
        wrong[row["name"]] = backslashes(row["prosrc"])
    assert len(wrong) > 100
    assert {name: found for name, found in wrong.items() if found} == {}


def test_every_function_says_how_many_rows_it_gives(owner: Connection) -> None:
    """The planner takes one that does not for 1,000 rows, and compiles queries that are over at once."""
    query = """SELECT p.oid::regprocedure::text AS name FROM pg_proc p
        WHERE p.pronamespace::regnamespace::text LIKE 'ml%' AND p.proretset AND p.prorows = 1000"""
    assert owner.execute(query).fetchall() == []


def test_no_view_of_few_rows_is_worth_compiling(history: Database) -> None:
    with history.connect("owner") as owner:
        owner.execute("VACUUM ANALYZE")
        threshold = float(one(owner, "SHOW jit_above_cost")["jit_above_cost"])
        views = owner.execute(
            """SELECT c.oid::regclass::text AS name FROM pg_class c
            WHERE c.relkind = 'v' AND c.relnamespace = ANY ('{ml,public}'::regnamespace[])"""
        )
        costs = {
            row["name"]: one(owner, f"EXPLAIN (FORMAT JSON) TABLE {row['name']}")["QUERY PLAN"][0]["Plan"][
                "Total Cost"
            ]
            for row in views.fetchall()
        }
    assert len(costs) > 20
    assert {name: cost for name, cost in costs.items() if cost > threshold / 2} == {}


def test_what_looks_at_many_jobs_at_once_compiles_nothing(owner: Connection) -> None:
    """A session keeps its plan: made for thousands of jobs, it would be compiled for each later one."""
    query = """SELECT p.proname, 'jit=off' = ANY (p.proconfig) AS is_off
        FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
        WHERE t.tgrelid = 'ml_jobs'::regclass AND t.tgnewtable IS NOT NULL"""
    found = owner.execute(query).fetchall()
    assert len(found) >= 2
    assert [row for row in found if not row["is_off"]] == []
