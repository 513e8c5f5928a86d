"""Who may do what: each role has exactly the rights that it needs, in the catalog and in deed."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from psycopg import sql

from tests.conftest import TRAIN, Connection, Database, insert_job, job_row, one
from tests.sql.helpers import FACTS, complete, count, jobs_in_every_state, refused, running_job

ROLES = ("ml_reader", "ml_client", "ml_worker")
RIGHTS = Path(__file__).with_name("rights.txt").read_text().splitlines()
RELATIONS = [line.split()[-1] for line in RIGHTS if re.match("ml_reader: SELECT on (table|view)", line)]
TABLES = [line.split()[-1] for line in RIGHTS if line.startswith("ml_reader: SELECT on table")]
WORKER_ROUTINES = {
    "claim_job",
    "assignment",
    "record_progress",
    "record_failure",
    "record_loss",
    "record_result",
    "release_job",
    "expire_leases",
    "folder_name",
    "record_sign",
    "record_numbers",
}
LOGINS = {"rosa": "ml_reader", "anna": "ml_client", "wanda": "ml_worker"}
PERMISSION_DENIED = "42501"


@pytest.fixture(scope="module")
def db(make_database: Callable[[], Database]) -> Database:
    """One database for all: what is refused leaves nothing."""
    return make_database()


@pytest.fixture(scope="module")
def jobs(db: Database) -> dict[str, int]:
    """A job in each state, and a fact of each kind."""
    with db.connect("anna") as anna, db.connect("wanda") as wanda:
        for job_type in ("TEST", "COMPARE", "SCORE"):
            complete(wanda, running_job(anna, wanda, job_type), job_type)
        return jobs_in_every_state(anna, wanda)


# ── The catalog ─────────────────────────────────────────────────────────────────────────────────────

# Every right of every role that the service makes, and of PUBLIC, on what it makes: one line each.
QUERY = """
    SELECT
        format('%s: %s on %s %s', coalesce(nullif(x.grantee, 0)::regrole::text, 'PUBLIC'), x.privilege_type,
            o.kind, o.name) AS line
    FROM (
        SELECT CASE c.relkind WHEN 'v' THEN 'view' WHEN 'S' THEN 'sequence' ELSE 'table' END AS kind,
            format('%s.%s', c.relnamespace::regnamespace, c.relname) AS name,
            coalesce(c.relacl, acldefault('r', c.relowner)) AS acl, c.relnamespace AS namespace
        FROM pg_class c WHERE c.relkind IN ('r', 'v', 'm', 'p', 'S')
        UNION ALL
        SELECT 'column', format('%s.%s', c.relname, a.attname), a.attacl, c.relnamespace
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE a.attacl IS NOT NULL
        UNION ALL
        SELECT 'routine', format('%s.%s', p.pronamespace::regnamespace, p.proname),
            coalesce(p.proacl, acldefault('f', p.proowner)), p.pronamespace
        FROM pg_proc p
    ) o
    CROSS JOIN LATERAL aclexplode(o.acl) x
    WHERE o.namespace::regnamespace::text IN ('public', 'ml', 'ml_internal') AND x.grantee <> 'owner'::regrole
    GROUP BY line
"""


def test_the_rights_are_those_of_the_golden_file(owner: Connection) -> None:
    """After a change that means to change them: write them there, and read the difference.

    The file is what psql -XAtc gives for the query above, sorted.
    """
    found = sorted(row["line"] for row in owner.execute(QUERY.encode()))
    assert found == RIGHTS


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("schema", ["public", "ml", "ml_internal"])
def test_a_role_may_use_a_schema_and_create_nothing_in_it(owner: Connection, role: str, schema: str) -> None:
    query = "SELECT has_schema_privilege(%s, %s, 'USAGE') AS u, has_schema_privilege(%s, %s, 'CREATE') AS c"
    assert one(owner, query, [role, schema] * 2) == {"u": True, "c": False}


def test_public_may_not_use_the_schema_of_the_routines(owner: Connection) -> None:
    assert not one(owner, "SELECT has_schema_privilege('public', 'ml', 'USAGE') AS u")["u"]


@pytest.mark.parametrize("role", ROLES)
def test_a_role_cannot_log_in_and_has_no_power(owner: Connection, role: str) -> None:
    query = (
        "SELECT rolcanlogin, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls"
        " FROM pg_roles WHERE rolname = %s"
    )
    assert set(one(owner, query, [role]).values()) == {False}


def test_clients_and_workers_are_readers_and_nothing_else(owner: Connection) -> None:
    rows = owner.execute(
        "SELECT m.roleid::regrole::text AS role, m.member::regrole::text AS member FROM pg_auth_members m"
        " WHERE m.member::regrole::text IN ('ml_reader', 'ml_client', 'ml_worker')"
    )
    assert {(row["role"], row["member"]) for row in rows} == {
        ("ml_reader", "ml_client"),
        ("ml_reader", "ml_worker"),
    }


def test_every_routine_sets_its_search_path(owner: Connection) -> None:
    rows = owner.execute(
        "SELECT proname, proconfig FROM pg_proc WHERE pronamespace::regnamespace::text ~ '^ml'"
    )
    # The first three commit, which a procedure that sets it may not; they name every schema themselves.
    # The others are parsed when they are made, so that queries can inline them.
    assert {row["proname"] for row in rows if row["proconfig"] is None} == {
        "prune",
        "wait",
        "require_autocommit",
        "changed_by",
        "is_positive",
        "label_text",
        "number",
        "single",
        "logistic",
        "activate",
    }


def test_the_search_path_of_a_definer_routine_holds_no_schema_that_others_write(owner: Connection) -> None:
    rows = owner.execute(
        "SELECT proname, proconfig FROM pg_proc WHERE pronamespace::regnamespace::text ~ '^ml' AND prosecdef"
    ).fetchall()
    assert {row["proname"] for row in rows} >= WORKER_ROUTINES - {"assignment"}
    assert {
        setting for row in rows for setting in row["proconfig"] if setting.startswith("search_path=")
    } == {"search_path=pg_catalog, pg_temp"}


def test_what_a_reader_or_client_calls_has_no_right_of_its_own(owner: Connection) -> None:
    rows = owner.execute(
        "SELECT proname FROM pg_proc WHERE pronamespace::regnamespace::text ~ '^ml' AND prosecdef"
        " AND has_function_privilege('ml_client', oid, 'EXECUTE')"
    )
    # ml_internal.try_train inserts as the owner what it takes back at once.
    assert [row["proname"] for row in rows] == ["try_train"]


def test_a_view_shows_only_what_its_reader_may_read(owner: Connection) -> None:
    rows = owner.execute(
        "SELECT reloptions FROM pg_class WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace"
    )
    assert {tuple(row["reloptions"] or ()) for row in rows} == {("security_invoker=true",)}


# ── In deed ─────────────────────────────────────────────────────────────────────────────────────────


def call_with_nulls(owner: Connection, routine: str) -> str:
    """A call of a routine of ml with NULL for each argument."""
    row = one(
        owner,
        "SELECT prokind, pronamespace::regnamespace AS schema, coalesce("
        "(SELECT string_agg(format('NULL::%%s', format_type(t.oid, NULL)), ', ')"
        " FROM unnest(proargtypes::oid[]) AS t (oid)), '') AS arguments"
        " FROM pg_proc WHERE pronamespace::regnamespace::text ~ '^ml' AND proname = %s"
        " ORDER BY pronamespace::regnamespace::text DESC LIMIT 1",
        [routine],
    )
    return f"{'CALL' if row['prokind'] == 'p' else 'SELECT'} {row['schema']}.{routine}({row['arguments']})"


@pytest.mark.parametrize("login", ["anna", "rosa"])
@pytest.mark.parametrize("routine", sorted(WORKER_ROUTINES))
def test_only_a_worker_may_call_a_routine_of_the_worker(
    db: Database, owner: Connection, jobs: dict[str, int], login: str, routine: str
) -> None:
    with (
        db.connect(login) as connection,
        refused(PERMISSION_DENIED, f"permission denied for function {routine}"),
    ):
        connection.execute(call_with_nulls(owner, routine))


@pytest.mark.parametrize("login", ["wanda", "rosa"])
def test_only_a_client_may_cancel(db: Database, jobs: dict[str, int], login: str) -> None:
    with db.connect(login) as connection:
        with refused(PERMISSION_DENIED, "permission denied for procedure cancel_job"):
            connection.execute("CALL ml.cancel_job(%s)", [jobs["PENDING"]])
        with refused(PERMISSION_DENIED, "permission denied for table ml_jobs"):
            connection.execute("UPDATE ml_jobs SET status = 'CANCELLED'")


@pytest.mark.parametrize("login", LOGINS)
@pytest.mark.parametrize(
    "routine",
    ["require_attempt", "require_free_name", "record_facts", "tidy_list"],
)
def test_nobody_may_call_a_routine_that_serves_others(
    db: Database, owner: Connection, login: str, routine: str
) -> None:
    with db.connect(login) as connection, refused(PERMISSION_DENIED, "permission denied"):
        connection.execute(call_with_nulls(owner, routine))


@pytest.mark.parametrize("login", LOGINS)
def test_nobody_may_change_a_table_directly(
    db: Database, owner: Connection, jobs: dict[str, int], login: str
) -> None:
    assert len(TABLES) > 12
    for table in TABLES:
        before = count(owner, table)
        names = [column.name for column in owner.execute(f"SELECT * FROM {table}").description or ()]
        column = "completed_at" if table == "public.ml_jobs" else names[-1]
        statements = ["DELETE FROM {}", "TRUNCATE {} CASCADE"]
        if login != "anna" or table not in ("public.ml_jobs", "public.ml_models"):
            statements.append(f"UPDATE {{}} SET {column} = DEFAULT")
        if (login, table) != ("anna", "public.ml_jobs"):
            statements.append("INSERT INTO {} DEFAULT VALUES")
        with db.connect(login) as connection:
            for statement in statements:
                with refused(PERMISSION_DENIED, "permission denied"):
                    connection.execute(statement.format(table))
        assert count(owner, table) == before


@pytest.mark.parametrize("fact", FACTS)
def test_a_client_may_not_insert_a_fact(db: Database, jobs: dict[str, int], fact: str) -> None:
    with db.connect("anna") as client:
        assert count(client, fact) > 0
        with refused(PERMISSION_DENIED, f"permission denied for table {fact}"):
            client.execute(f"INSERT INTO {fact} (job_id, attempt) VALUES (%s, 1)", [jobs["RUNNING"]])


@pytest.mark.parametrize("column", ["status", "model_file_path", "training_f1", "deleted_at", "target_value"])
def test_a_client_may_not_forge_a_model(client: Connection, jobs: dict[str, int], column: str) -> None:
    forged = {"status": "FAILED", "deleted_at": "2024-01-01"}
    query = sql.SQL("UPDATE ml_models SET {} = %s WHERE status = 'READY'").format(sql.Identifier(column))
    with refused(PERMISSION_DENIED, f"{column} of model", "name, description, is_deleted"):
        client.execute(query, [forged.get(column)])


def test_a_client_may_not_insert_a_model(client: Connection) -> None:
    with refused(PERMISSION_DENIED, "permission denied for table ml_models"):
        client.execute("INSERT INTO ml_models (name, status) VALUES ('forged', 'READY')")


def test_a_client_may_not_choose_the_id_of_a_job(client: Connection) -> None:
    with refused("428C9", 'cannot insert a non-DEFAULT value into column "id"'):
        insert_job(client, **TRAIN, id=1)
    forged = "INSERT INTO ml_jobs (id, job_type) OVERRIDING SYSTEM VALUE VALUES (%s, 'TRAIN')"
    for number in (1, 0, -1, 2**62):
        with refused("428C9", f"a new job cannot have the id {number}", "RETURNING id"):
            client.execute(forged, [number])
    insert_job(client, **TRAIN)
    with refused("428C9", "a new job cannot have the id 4611686018427387904"):
        client.execute(forged, [2**62])
    with (
        refused("0A000", "COPY FROM not supported with row-level security"),
        client.cursor() as cursor,
        cursor.copy("COPY ml_jobs (id, job_type) FROM STDIN") as copy,
    ):
        copy.write_row((77, "TRAIN"))


@pytest.mark.parametrize("table", ["ml_jobs", "ml_models"])
def test_a_client_may_not_lock_a_table_that_it_may_change(client: Connection, table: str) -> None:
    for mode in ("ROW SHARE", "ROW EXCLUSIVE", "SHARE", "ACCESS EXCLUSIVE"):
        if (mode, client.info.server_version >= 160000) == ("ROW SHARE", True):
            continue  # from version 16 on every reader may, and it is in nobody's way
        with refused(PERMISSION_DENIED), client.transaction():
            client.execute(f"LOCK TABLE {table} IN {mode} MODE")


def test_a_client_reads_the_sequence_of_the_jobs_and_moves_it_not(client: Connection) -> None:
    for statement in (
        "SELECT nextval('ml_jobs_id_seq')",
        "SELECT setval('ml_jobs_id_seq', 1)",
        "ALTER SEQUENCE ml_jobs_id_seq RESTART",
        "SELECT nextval('ml_models_id_seq')",
    ):
        with refused(PERMISSION_DENIED):
            client.execute(statement)


def test_a_client_may_not_switch_a_rule_off(client: Connection) -> None:
    for statement in (
        "ALTER TABLE ml_jobs DISABLE TRIGGER ml_jobs_21_refuse",
        "DROP TABLE ml_jobs",
        "SET session_replication_role = replica",
        "CREATE FUNCTION ml_internal.claim_job() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE TABLE public.mine (id int)",
    ):
        with refused(PERMISSION_DENIED):
            client.execute(statement)


@pytest.mark.parametrize("login", LOGINS)
def test_everyone_reads_everything(db: Database, login: str) -> None:
    assert len(RELATIONS) > 40
    with db.connect(login) as connection:
        for relation in RELATIONS:
            assert count(connection, relation) >= 0


def test_a_temporary_table_does_not_deceive_a_routine(
    db: Database, client: Connection, jobs: dict[str, int]
) -> None:
    client.execute("CREATE TEMPORARY TABLE ml_jobs (id bigint, status text)")
    client.execute("CREATE TEMPORARY TABLE ml_models (id bigint, name text)")
    job_id = one(client, "SELECT id FROM public.ml_jobs WHERE status = 'RUNNING'")["id"]
    client.execute("INSERT INTO ml_jobs VALUES (%s, 'PENDING')", [job_id])
    with client.transaction(force_rollback=True):
        client.execute("CALL ml.cancel_job(%s)", [job_id])
        query = "SELECT status FROM {}.ml_jobs WHERE id = %s"
        assert one(client, query.format("public"), [job_id])["status"] == "CANCELLED"
        assert one(client, query.format("pg_temp"), [job_id])["status"] == "PENDING"


def test_a_login_without_a_role_sees_nothing(db: Database, owner: Connection, jobs: dict[str, int]) -> None:
    with owner.transaction(force_rollback=True):
        owner.execute("CREATE ROLE stranger NOLOGIN")
        owner.execute("GRANT stranger TO CURRENT_USER")
        owner.execute("SET LOCAL ROLE stranger")
        for relation in RELATIONS:
            with refused(PERMISSION_DENIED), owner.transaction():
                owner.execute(f"SELECT FROM {relation}")


def test_the_client_role_is_enough_for_a_client(db: Database, jobs: dict[str, int]) -> None:
    with db.connect("anna") as client, client.transaction(force_rollback=True):
        job_id = insert_job(client, **TRAIN)
        client.execute("UPDATE ml_jobs SET priority = 1 WHERE id = %s", [job_id])
        client.execute("CALL ml.cancel_job(%s)", [job_id])
        assert job_row(client, job_id)["status"] == "CANCELLED"
        model_id = job_row(client, jobs["COMPLETED"])["result_model_id"]
        client.execute(
            "UPDATE ml_models SET name = 'mine', description = 'good', is_deleted = true WHERE id = %s",
            [model_id],
        )
        assert one(client, "SELECT name FROM ml_models WHERE id = %s", [model_id])["name"] == "mine"
