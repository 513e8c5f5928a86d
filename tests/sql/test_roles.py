"""Who may do what: each role has exactly the rights that it needs, in the catalog and in deed."""

from collections.abc import Callable

import pytest
from psycopg import sql

from tests.conftest import TRAIN, Connection, Database, insert_job, job_row, one
from tests.sql.helpers import FACTS, complete, count, jobs_in_every_state, refused, running_job

ROLES = ("ml_reader", "ml_client", "ml_worker")
TABLES = {
    "public.coin_metrics",
    "public.ref_coin_phases",
    "public.ref_model_types",
    "public.ref_model_params",
    "public.ml_jobs",
    "public.ml_job_events",
    "public.ml_models",
    "public.ml_training_runs",
    "public.ml_test_results",
    "public.ml_comparisons",
    "public.ml_worker_signs",
    "public.ml_curve_points",
    "ml.schema_version",
}
VIEWS = {
    "public.ml_metric_columns",
    "public.ml_queue",
    "public.ml_workers",
    "public.ml_leaderboard",
    "public.ml_model_features",
    "public.ml_model_params",
    "public.ml_measurements",
    "public.ml_threshold_sweep",
    "public.ml_roc_curve",
    "public.ml_pr_curve",
    "public.ml_calibration",
    "public.ml_last_days",
    "public.ml_daily_jobs",
    "public.ml_daily_durations",
    "public.ml_daily_losses",
    "public.ml_daily_quality",
    "public.ml_failures",
    "public.ml_artifact_sizes",
    "public.ml_worker_days",
    "public.ml_dim_models",
    "public.ml_dim_features",
    "public.ml_fact_jobs",
    "public.ml_fact_training_runs",
    "public.ml_fact_tests",
    "public.ml_fact_comparisons",
    "public.ml_fact_importances",
}
RELATIONS = TABLES | VIEWS
WORKER_ROUTINES = {
    "claim_job",
    "record_progress",
    "record_failure",
    "record_loss",
    "release_job",
    "expire_leases",
    "record_sign",
    "record_training",
    "record_test",
    "record_comparison",
}
READER_ROUTINES = {
    "preview",
    "check_train",
    "count_rows",
    "preview_job",
    "count_text",
    "describe_job",
    "wait",
    "require_autocommit",
    "find_model",
    "report",
    "period_text",
    "draw_scores",
    "accuracy",
    "precision_score",
    "recall_score",
    "f1_score",
}
ROUTINES = {
    "ml_reader": READER_ROUTINES,
    "ml_client": READER_ROUTINES | {"cancel_job", "train", "test", "compare"},
    "ml_worker": READER_ROUTINES | WORKER_ROUTINES,
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
        for job_type in ("TEST", "COMPARE"):
            complete(wanda, running_job(anna, wanda, job_type), job_type)
        return jobs_in_every_state(anna, wanda)


# ── The catalog ─────────────────────────────────────────────────────────────────────────────────────


def table_grants(owner: Connection, grantee: str) -> set[tuple[str, str]]:
    rows = owner.execute(
        "SELECT table_schema || '.' || table_name AS relation, privilege_type"
        " FROM information_schema.role_table_grants"
        " WHERE grantee = %s AND table_schema IN ('public', 'ml')",
        [grantee],
    )
    return {(row["relation"], row["privilege_type"]) for row in rows}


def column_grants(owner: Connection, grantee: str, privilege: str) -> set[str]:
    rows = owner.execute(
        "SELECT table_name || '.' || column_name AS name FROM information_schema.column_privileges"
        " WHERE grantee = %s AND privilege_type = %s AND table_schema IN ('public', 'ml')",
        [grantee, privilege],
    )
    return {row["name"] for row in rows}


def routines_of(owner: Connection, role: str) -> set[str]:
    rows = owner.execute(
        "SELECT proname FROM pg_proc"
        " WHERE pronamespace = 'ml'::regnamespace AND has_function_privilege(%s, oid, 'EXECUTE')",
        [role],
    )
    return {row["proname"] for row in rows}


def test_the_reader_may_select_from_everything_and_no_more(owner: Connection) -> None:
    assert table_grants(owner, "ml_reader") == {(relation, "SELECT") for relation in RELATIONS}


def test_there_is_no_relation_but_those_that_the_reader_sees(owner: Connection) -> None:
    rows = owner.execute(
        "SELECT format('%s.%s', relnamespace::regnamespace, relname) AS name FROM pg_class"
        " WHERE relnamespace::regnamespace::text IN ('public', 'ml') AND relkind IN ('r', 'v', 'm', 'p')"
    )
    assert {row["name"] for row in rows} == RELATIONS


@pytest.mark.parametrize("role", ["ml_client", "ml_worker", "PUBLIC"])
def test_nobody_else_has_a_right_on_a_whole_table(owner: Connection, role: str) -> None:
    assert table_grants(owner, role) == set()


def test_the_client_may_insert_every_field_of_a_job_but_the_id(owner: Connection) -> None:
    columns = owner.execute("SELECT * FROM ml_jobs").description or ()
    assert column_grants(owner, "ml_client", "INSERT") == {f"ml_jobs.{column.name}" for column in columns} - {
        "ml_jobs.id"
    }


def test_the_client_may_update_five_fields_and_try_to_change_a_request(owner: Connection) -> None:
    """The trigger ml_jobs_request_is_final refuses the latter, and says why."""
    requested = one(
        owner,
        """SELECT array_agg(attname::text) AS fields FROM pg_trigger, pg_attribute
        WHERE tgname = 'ml_jobs_request_is_final' AND attrelid = tgrelid AND attnum = ANY (tgattr)""",
    )["fields"]
    assert column_grants(owner, "ml_client", "UPDATE") == {
        *(f"ml_jobs.{field}" for field in requested if field != "id"),
        "ml_jobs.status",
        "ml_jobs.priority",
        "ml_models.name",
        "ml_models.description",
        "ml_models.is_deleted",
    }


@pytest.mark.parametrize("role", ["ml_reader", "ml_worker", "PUBLIC"])
@pytest.mark.parametrize("privilege", ["INSERT", "UPDATE", "REFERENCES"])
def test_nobody_else_has_a_right_on_a_column(owner: Connection, role: str, privilege: str) -> None:
    assert column_grants(owner, role, privilege) == set()


def test_the_client_has_no_references_on_a_column(owner: Connection) -> None:
    assert column_grants(owner, "ml_client", "REFERENCES") == set()


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_execute_exactly_its_routines(owner: Connection, role: str) -> None:
    assert routines_of(owner, role) == ROUTINES[role]


def test_public_may_execute_nothing(owner: Connection) -> None:
    assert routines_of(owner, "public") == set()


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("schema", ["public", "ml"])
def test_a_role_may_use_a_schema_and_create_nothing_in_it(owner: Connection, role: str, schema: str) -> None:
    query = "SELECT has_schema_privilege(%s, %s, 'USAGE') AS u, has_schema_privilege(%s, %s, 'CREATE') AS c"
    assert one(owner, query, [role, schema] * 2) == {"u": True, "c": False}


def test_public_may_not_use_the_schema_of_the_routines(owner: Connection) -> None:
    assert not one(owner, "SELECT has_schema_privilege('public', 'ml', 'USAGE') AS u")["u"]


@pytest.mark.parametrize("role", ROLES)
def test_a_role_has_no_right_on_a_sequence(owner: Connection, role: str) -> None:
    rows = owner.execute(
        "SELECT sequencename AS name, has_sequence_privilege("
        "%s, format('%%I.%%I', schemaname, sequencename), 'USAGE, SELECT, UPDATE') AS allowed"
        " FROM pg_sequences",
        [role],
    ).fetchall()
    assert len(rows) == 7
    assert [row["name"] for row in rows if row["allowed"]] == []


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
    rows = owner.execute("SELECT proname, proconfig FROM pg_proc WHERE pronamespace = 'ml'::regnamespace")
    # These commit, which a procedure that sets it may not; they name the schema of all that they use.
    assert {row["proname"] for row in rows if row["proconfig"] is None} == {
        "prune",
        "wait",
        "require_autocommit",
    }


def test_the_search_path_of_a_definer_routine_holds_no_schema_that_others_write(owner: Connection) -> None:
    rows = owner.execute(
        "SELECT proname, proconfig FROM pg_proc WHERE pronamespace = 'ml'::regnamespace AND prosecdef"
    ).fetchall()
    assert {row["proname"] for row in rows} >= WORKER_ROUTINES
    assert {
        setting for row in rows for setting in row["proconfig"] if setting.startswith("search_path=")
    } == {"search_path=pg_catalog, pg_temp"}


def test_what_a_reader_or_client_calls_has_no_right_of_its_own(owner: Connection) -> None:
    rows = owner.execute(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'ml'::regnamespace AND prosecdef"
        " AND has_function_privilege('ml_client', oid, 'EXECUTE')"
    )
    # ml.check_train inserts as the owner what it takes back at once.
    assert [row["proname"] for row in rows] == ["check_train"]


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
        "SELECT prokind, coalesce((SELECT string_agg(format('NULL::%%s', format_type(t.oid, NULL)), ', ')"
        " FROM unnest(proargtypes::oid[]) AS t (oid)), '') AS arguments"
        " FROM pg_proc WHERE pronamespace = 'ml'::regnamespace AND proname = %s",
        [routine],
    )
    return f"{'CALL' if row['prokind'] == 'p' else 'SELECT'} ml.{routine}({row['arguments']})"


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
    ["require_attempt", "require_free_name", "require_ready_model", "suggest_names", "merge_params"],
)
def test_nobody_may_call_a_routine_that_serves_others(
    db: Database, owner: Connection, login: str, routine: str
) -> None:
    with db.connect(login) as connection, refused(PERMISSION_DENIED, "permission denied"):
        connection.execute(call_with_nulls(owner, routine))


@pytest.mark.parametrize("login", LOGINS)
@pytest.mark.parametrize("table", sorted(TABLES))
def test_nobody_may_change_a_table_directly(
    db: Database, owner: Connection, jobs: dict[str, int], login: str, table: str
) -> None:
    before = count(owner, table)
    column = [column.name for column in owner.execute(f"SELECT * FROM {table}").description or ()][-1]
    statements = ["DELETE FROM {}", "TRUNCATE {} CASCADE", f"UPDATE {{}} SET {column} = NULL"]
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
    with refused(PERMISSION_DENIED, "permission denied for table ml_models"):
        client.execute(sql.SQL("UPDATE ml_models SET {} = NULL").format(sql.Identifier(column)))


def test_a_client_may_not_insert_a_model(client: Connection) -> None:
    with refused(PERMISSION_DENIED, "permission denied for table ml_models"):
        client.execute("INSERT INTO ml_models (name, status) VALUES ('forged', 'READY')")


def test_a_client_may_not_choose_the_id_of_a_job(client: Connection) -> None:
    with refused("428C9", 'cannot insert a non-DEFAULT value into column "id"'):
        insert_job(client, **TRAIN, id=1)
    with refused(PERMISSION_DENIED, "permission denied for table ml_jobs"):
        client.execute("INSERT INTO ml_jobs (id, job_type) OVERRIDING SYSTEM VALUE VALUES (1, 'TRAIN')")


def test_a_client_may_not_switch_a_rule_off(client: Connection) -> None:
    for statement in (
        "ALTER TABLE ml_jobs DISABLE TRIGGER ml_jobs_check_job",
        "DROP TABLE ml_jobs",
        "SET session_replication_role = replica",
        "CREATE FUNCTION ml.claim_job() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE TABLE public.mine (id int)",
    ):
        with refused(PERMISSION_DENIED):
            client.execute(statement)


@pytest.mark.parametrize("login", LOGINS)
@pytest.mark.parametrize("relation", sorted(RELATIONS))
def test_everyone_reads_everything(db: Database, login: str, relation: str) -> None:
    with db.connect(login) as connection:
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
        for relation in sorted(RELATIONS):
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
