"""A client that means harm: what it may not do is refused whole, and the service goes on for all others."""

from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import sql

from tests.conftest import (
    TRAIN,
    Connection,
    Database,
    Worker,
    claim,
    insert_job,
    job_row,
    one,
    ready_model,
    wait_for,
)
from tests.sql.helpers import TEST_PERIOD, count, events, refused, running_job

PERMISSION_DENIED = "42501"
CHECK = "23514"
NOT_IN_REPERTOIRE = "22021"
TEXTS = [
    "job_type",
    "train_target_var",
    "train_operator",
    "train_features_csv",
    "train_phases_csv",
    "train_params_csv",
    "train_model_type",
    "train_model_name",
    "train_description",
]
LONG = 10_000_000
# Everything that a name can hold: at most 255 characters.
NAME = (
    "Größe e\u0301 市值 🚀👩‍👩‍👧 zero\u200bwidth\ufeff"
    " 'single' \"double\" `back` \\ \\x00 %s %L {} $$ $1 ; DROP TABLE ml_jobs; --"
    " /* one line \\x1b[31m"
)


@pytest.fixture(scope="module")
def db(make_database: Callable[[], Database]) -> Database:
    """One database and one worker through all of it."""
    return make_database()


@pytest.fixture(scope="module", autouse=True)
def service(db: Database, start_worker: Callable[..., Worker]) -> Iterator[Worker]:
    """The worker; after all that was done to it, it does a job."""
    worker = start_worker(db, "--concurrency", "2", "--poll", "1")
    yield worker
    with db.connect("anna") as client:
        assert wait_for(client, insert_job(client, **TRAIN))["status"] == "COMPLETED"
        assert worker.process.poll() is None


def state(connection: Connection) -> list[int]:
    """Size of every table that a client might change."""
    return [
        count(connection, table) for table in ("ml_jobs", "ml_job_events", "ml_models", "ml_training_runs")
    ]


# ── Texts ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("field", [*TEXTS[:-1], "status"])
def test_ten_million_characters_are_refused_in_few_words(client: Connection, field: str) -> None:
    before = state(client)
    items = ("a,", "a=1;", " ") if field.endswith("csv") else ("x",)
    for item in items:
        text = item * (LONG // len(item)) + "x"
        with pytest.raises(psycopg.Error) as caught:
            insert_job(client, **(TRAIN | {field: text}))
        assert caught.value.sqlstate in (CHECK, "22001")
        assert len(str(caught.value)) < 5000
    assert state(client) == before


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\x00", id="NUL"),
        pytest.param(b"\xed\xa0\x80", id="surrogate"),
        pytest.param(b"\xc0\x80", id="overlong NUL"),
        pytest.param(b"\xf4\x90\x80\x80", id="beyond unicode"),
        pytest.param(b"\xff", id="no UTF-8"),
    ],
)
def test_bytes_that_are_no_text_are_refused_in_every_field(client: Connection, content: bytes) -> None:
    before = state(client)
    for field in TEXTS:
        names = ", ".join({**TRAIN, field: ""}).encode()
        values = {name: str(value).encode() for name, value in TRAIN.items()} | {field: b"a" + content}
        row = b", ".join(b"'" + value + b"'" for value in values.values())
        # The protocol itself ends a statement at NUL.
        code = "42601" if content == b"\x00" else NOT_IN_REPERTOIRE
        with refused(code):
            client.execute(b"INSERT INTO ml_jobs (" + names + b") VALUES (" + row + b")")
    assert state(client) == before


@pytest.mark.parametrize(
    "literal", [r"chr(0)", r"E'\x00'", r"U&'\D800'", r"convert_from('\x00', 'UTF8')", r"E'\xed\xa0\x80'"]
)
def test_no_literal_makes_a_text_of_what_is_none(client: Connection, literal: str) -> None:
    before = state(client)
    with pytest.raises(psycopg.Error) as caught:
        client.execute(f"INSERT INTO ml_jobs (job_type, train_description) VALUES ('TRAIN', {literal})")
    assert caught.value.sqlstate in (NOT_IN_REPERTOIRE, "54000", "42601", "22P05")
    assert state(client) == before


def test_a_trained_model_has_exactly_the_name_and_the_description_that_were_given(client: Connection) -> None:
    description = (NAME + "\x07\x1b[31m\u202e\r\n" + "🚀" * 10_000)[:10_000]
    job_id = insert_job(client, **TRAIN, train_model_name=NAME, train_description=description)
    job = wait_for(client, job_id)
    assert job["status"] == "COMPLETED", job["error_msg"]
    query = "SELECT name, description FROM ml_models WHERE id = %s"
    model_id = job["result_model_id"]
    assert one(client, query, [model_id]) == {"name": NAME, "description": description}
    assert one(client, "SELECT name FROM ml_leaderboard WHERE id = %s", [model_id])["name"] == NAME
    with refused("23505", f'the model name "{NAME}" is taken by model {model_id}'):
        insert_job(client, **TRAIN, train_model_name=NAME)


def test_an_error_message_holds_a_name_as_it_is(make_database: Callable[[], Database]) -> None:
    own = make_database()
    with own.connect("anna") as client, own.connect("wanda") as worker:
        model_id = ready_model(client, worker, train_model_name=NAME)
        job_id = insert_job(client, job_type="TEST", test_model_id=model_id, **TEST_PERIOD)
        client.execute("UPDATE ml_models SET is_deleted = true WHERE id = %s", [model_id])
        assert (
            worker.execute(
                "SELECT * FROM ml_internal.claim_job('w1', '30 seconds', '{TRAIN,TEST,COMPARE}')"
            ).fetchall()
            == []
        )
        job = job_row(client, job_id)
        assert job["status"] == "FAILED"
        assert job["error_msg"].startswith(f'model {model_id} ("{NAME}") was deleted on ')


def test_a_column_whose_name_is_sql_is_a_feature_like_any_other(db: Database, client: Connection) -> None:
    column = "x\") FROM ml_jobs--'$$ %s {}\\"
    with db.connect("owner") as owner:
        owner.execute(
            sql.SQL("ALTER TABLE coin_metrics ADD COLUMN {} float8 DEFAULT random()").format(
                sql.Identifier(column)
            )
        )
    job = wait_for(
        client, insert_job(client, **(TRAIN | {"train_features_csv": f"price_open,{column},price_low"}))
    )
    assert job["status"] == "COMPLETED", job["error_msg"]
    rows = client.execute(
        "SELECT feature FROM ml_model_features WHERE model_id = %s AND importance IS NOT NULL",
        [job["result_model_id"]],
    )
    assert {row["feature"] for row in rows} == {"price_open", column, "price_low"}


def test_a_prepared_statement_is_checked_each_time(client: Connection) -> None:
    before = count(client, "ml_jobs")
    client.execute(
        "PREPARE job (text, text) AS INSERT INTO ml_jobs"
        " (job_type, train_target_var, train_operator, train_value, train_start, train_end,"
        " train_model_type, train_features_csv, train_description)"
        " VALUES ('TRAIN', 'market_cap_close', '>', 5, '2024-01-01', '2024-03-01', 'xgboost', $1, $2)"
    )
    for _ in range(7):  # the plan becomes a generic one
        with refused(CHECK, "coin_metrics has no column"):
            client.execute("EXECUTE job ('price_open''); DROP TABLE ml_jobs; --', 'x')")
        with client.transaction(force_rollback=True):
            client.execute("EXECUTE job ('price_open', 'x')")
    assert count(client, "ml_jobs") == before


# ── Rights ──────────────────────────────────────────────────────────────────────────────────────────

FORBIDDEN = [
    "SET ROLE ml_worker",
    "SET ROLE owner",
    "SET SESSION AUTHORIZATION owner",
    "GRANT ml_worker TO anna",
    "ALTER ROLE anna SUPERUSER",
    "ALTER ROLE wanda PASSWORD 'mine'",
    "CREATE ROLE mine",
    "ALTER TABLE ml_jobs ENABLE ROW LEVEL SECURITY",
    "ALTER FUNCTION ml_internal.check_train() RESET ALL",
    "CREATE TRIGGER mine AFTER INSERT ON ml_jobs FOR EACH ROW EXECUTE FUNCTION ml_internal.tell_workers()",
    "CREATE RULE mine AS ON INSERT TO ml_jobs DO INSTEAD NOTHING",
    "CREATE INDEX ON ml_jobs (id)",
    "CREATE SCHEMA mine",
    "COMMENT ON TABLE ml_jobs IS 'mine'",
    "COPY ml_jobs FROM PROGRAM 'true'",
    "COPY ml_jobs TO '/dev/null'",
    "COPY ml_training_runs (id) FROM STDIN",
    "SELECT pg_read_file('PG_VERSION')",
    "SELECT setval('ml_jobs_id_seq', 1)",
    "SELECT nextval('ml_jobs_id_seq')",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ml-worker'",
    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'ml-worker'",
    "MERGE INTO ml_models m USING ml_jobs j ON j.id = m.train_job_id WHEN MATCHED THEN DELETE",
]


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_a_client_takes_no_right_that_it_was_not_given(client: Connection, statement: str) -> None:
    with refused(PERMISSION_DENIED):
        client.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ml_jobs SET status = NULL",
        "UPDATE ml_jobs SET priority = NULL",
        "UPDATE ml_jobs SET status = 'COMPLETED'",
        "UPDATE ml_models SET name = NULL",
        "UPDATE ml_models SET is_deleted = NULL",
        "UPDATE ml_models SET name = 'the same for all'",
    ],
)
def test_an_update_of_all_rows_is_refused_whole(common: Database, statement: str) -> None:
    with common.connect("anna") as client:
        tables = ("SELECT * FROM ml_jobs ORDER BY id", "SELECT * FROM ml_models ORDER BY id")
        before = [client.execute(table).fetchall() for table in tables]
        with pytest.raises(psycopg.Error) as caught:
            client.execute(statement)
        assert caught.value.sqlstate in ("ML002", "23502", "23505", CHECK)
        assert [client.execute(table).fetchall() for table in tables] == before


@pytest.fixture(scope="module")
def common(make_database: Callable[[], Database]) -> Database:
    """Two models, a running and a waiting job, and no worker."""
    own = make_database()
    with own.connect("anna") as client, own.connect("wanda") as worker:
        for _ in range(2):
            ready_model(client, worker)
        running_job(client, worker)
        insert_job(client, **TRAIN)
    return own


# ── Names that stand for something else ─────────────────────────────────────────────────────────────

TRAPS = {  # arguments and result of functions that the routines of the service call by these names
    "btrim(text)": "text",
    "lower(text)": "text",
    "length(text)": "integer",
    "left(text, integer)": "text",
    "format(text, text)": "text",
    "format(text, bigint)": "text",
    "concat_ws(text, text, text, text, text, text, text, text)": "text",
    "now()": "timestamptz",
    "clock_timestamp()": "timestamptz",
    "round(numeric, integer)": "numeric",
    "split_part(text, text, integer)": "text",
    "hashtext(text)": "integer",
    "pg_advisory_xact_lock(integer, integer)": "void",
    "pg_notify(text, text)": "void",
    "require_free_name(text)": "void",
}
OPERATORS = [
    ("=", "varchar", "varchar"),
    ("=", "varchar", "text"),
    ("<>", "varchar", "varchar"),
    ("<>", "varchar", "text"),
    ("<", "numeric", "integer"),
    (">", "numeric", "integer"),
    ("<>", "integer", "integer"),
]
RELATIONS = ("ml_jobs", "ml_job_events", "ml_models", "ml_training_runs", "ref_model_types", "coin_metrics")


def set_traps(client: Connection, schema: str) -> None:
    """Functions and operators in a schema; each notes who calls it."""
    client.execute(f"CREATE TABLE {schema}.caught (who text, what text)")
    client.execute(f"GRANT ALL ON {schema}.caught TO PUBLIC")
    body = "BEGIN INSERT INTO {}.caught VALUES (current_user, '{}'); RETURN NULL; END"
    for signature, result in TRAPS.items():
        text = body.format(schema, signature)
        if result == "void":
            text = text.replace("RETURN NULL", "RETURN")
        client.execute(
            f"CREATE FUNCTION {schema}.{signature} RETURNS {result} LANGUAGE plpgsql AS $trap${text}$trap$"
        )
    for number, (operator, left, right) in enumerate(OPERATORS):
        function = f"{schema}.trap_{number}"
        text = body.format(schema, operator)
        client.execute(
            f"CREATE FUNCTION {function}({left}, {right}) RETURNS boolean LANGUAGE plpgsql"
            f" AS $trap${text}$trap$"
        )
        client.execute(
            f"CREATE OPERATOR {schema}.{operator}"
            f" (LEFTARG = {left}, RIGHTARG = {right}, FUNCTION = {function})"
        )


def caught(client: Connection, schema: str) -> list[object]:
    return [tuple(row.values()) for row in client.execute(f"SELECT * FROM {schema}.caught").fetchall()]


def test_a_search_path_and_temporary_tables_of_the_client_deceive_no_routine(
    db: Database, client: Connection
) -> None:
    with db.connect("owner") as owner:
        owner.execute("CREATE SCHEMA hers")
        owner.execute("GRANT ALL ON SCHEMA hers TO anna")
    model_id = wait_for(client, insert_job(client, **TRAIN))["result_model_id"]
    before = count(client, "ml_jobs")
    set_traps(client, "hers")
    for relation in RELATIONS:
        client.execute(f"CREATE TABLE hers.{relation} (id bigint, name text, status text)")
        client.execute(f"CREATE TEMPORARY TABLE {relation} (id bigint, name text, status text)")
    client.execute("CREATE TYPE hers.text AS (a int)")
    client.execute("CREATE DOMAIN hers.timestamptz AS pg_catalog.int4")
    client.execute("SET search_path TO hers, pg_temp, pg_catalog, public")

    fields = sql.SQL(", ").join(map(sql.Identifier, TRAIN))
    places = sql.SQL(", ").join([sql.SQL("%s")] * len(TRAIN))
    insert = sql.SQL("INSERT INTO public.ml_jobs ({}) VALUES ({}) RETURNING id").format(fields, places)
    for field in ("train_features_csv", "train_target_var", "train_model_type", "train_operator"):
        with refused(CHECK):
            client.execute(insert, list((TRAIN | {field: "mine"}).values()))
    (cancelled,) = client.execute(insert, list(TRAIN.values()))
    client.execute("CALL ml.cancel_job(%s)", [cancelled["id"]])
    client.execute(
        "UPDATE public.ml_models SET name = 'renamed' WHERE id OPERATOR(pg_catalog.=) %s", [model_id]
    )
    (kept,) = client.execute(insert, list(TRAIN.values()))
    assert caught(client, "hers") == []
    for relation in RELATIONS:
        for schema in ("hers", "pg_temp"):
            assert client.execute(f"SELECT FROM {schema}.{relation}").fetchall() == []
    with db.connect("anna") as other:
        assert wait_for(other, kept["id"])["status"] == "COMPLETED"
        assert job_row(other, cancelled["id"])["status"] == "CANCELLED"
        assert count(other, "ml_jobs") == before + 2


def test_operators_in_a_public_schema_that_is_open_to_all_do_not_run_as_the_worker(
    make_database: Callable[[], Database], start_worker: Callable[..., Worker]
) -> None:
    """So it was before PostgreSQL 15, and stays in a database that was brought along from there."""
    own = make_database()
    with own.connect("owner") as owner, own.connect("anna") as client:
        owner.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
        set_traps(client, "public")
        start_worker(own)
        job = wait_for(client, insert_job(client, **TRAIN))
        assert caught(client, "public") == []
        assert job["status"] == "COMPLETED", job["error_msg"]


# ── Locks, and very many jobs ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "mode",
    [
        "ROW SHARE",
        "ROW EXCLUSIVE",
        "SHARE UPDATE EXCLUSIVE",
        "SHARE",
        "SHARE ROW EXCLUSIVE",
        "EXCLUSIVE",
        "ACCESS EXCLUSIVE",
    ],
)
@pytest.mark.parametrize("table", ["ml_jobs", "ml_job_events", "ml_models", "coin_metrics"])
def test_a_client_cannot_lock_a_table(client: Connection, table: str, mode: str) -> None:
    with client.transaction():
        client.execute(f"LOCK TABLE {table} IN ACCESS SHARE MODE")  # as a SELECT does
        with refused(PERMISSION_DENIED), client.transaction():
            client.execute(f"LOCK TABLE {table} IN {mode} MODE")


def test_an_open_transaction_that_locks_every_row_it_may_holds_up_no_other_job(
    db: Database, client: Connection
) -> None:
    running = insert_job(client, **TRAIN)
    wait_for(client, running, "RUNNING", "COMPLETED")
    with db.connect("anna") as other:
        with other.transaction():
            assert other.execute("SELECT FROM ml_jobs FOR UPDATE").fetchall()
            assert other.execute("SELECT FROM ml_models FOR UPDATE").fetchall() == []  # not even its own
            held = insert_job(other, **TRAIN, priority=1)
            other.execute(
                "SELECT pg_advisory_xact_lock(hashtext('ml_models.name'), k)"
                " FROM generate_series(-999, 999) AS k"
            )
            for _ in range(2):
                assert wait_for(client, insert_job(client, **TRAIN))["status"] == "COMPLETED"
        for job_id in (running, held):
            assert wait_for(client, job_id)["status"] == "COMPLETED"


def test_a_locked_model_keeps_the_lease_of_no_job_alive(make_database: Callable[[], Database]) -> None:
    """Its job fails without it, and the one after that goes back to the queue."""
    own = make_database()
    with own.connect("anna") as client, own.connect("wanda") as worker:
        worker.execute("SET lock_timeout = '100ms'")
        model = "SELECT status FROM ml_models WHERE train_job_id = %s"
        poison = insert_job(client, **TRAIN, max_attempts=1)
        claim(worker, lease="0 seconds")
        lost = insert_job(client, **TRAIN)
        claim(worker, lease="0 seconds")
        with own.connect("owner") as owner, owner.transaction():
            owner.execute("SELECT FROM ml_models WHERE train_job_id = %s FOR UPDATE", [poison])
            assert one(worker, "SELECT ml_internal.expire_leases() AS n")["n"] == 2
            assert job_row(client, lost)["status"] == "PENDING"
            assert events(client, poison) == [(1, "CLAIMED"), (1, "EXPIRED"), (1, "FAILED")]
            assert one(client, model, [poison])["status"] == "TRAINING"
        assert one(worker, "SELECT ml_internal.expire_leases() AS n")["n"] == 0
        assert one(client, model, [poison])["status"] == "FAILED"


def test_five_thousand_jobs_hold_up_no_urgent_one_and_are_cancelled_by_one_statement(
    client: Connection,
) -> None:
    query = sql.SQL("INSERT INTO ml_jobs ({}, priority) SELECT {}, 10 FROM generate_series(1, 5000)").format(
        sql.SQL(", ").join(map(sql.Identifier, TRAIN)), sql.SQL(", ").join(map(sql.Literal, TRAIN.values()))
    )
    client.execute(query)
    urgent = wait_for(client, insert_job(client, **TRAIN, priority=1))
    assert urgent["status"] == "COMPLETED"
    waiting = "priority = 10 AND status IN ('PENDING', 'RUNNING')"
    count_waiting = f"SELECT count(*) AS n FROM ml_jobs WHERE {waiting}"
    assert one(client, count_waiting)["n"] > 4900
    client.execute(f"UPDATE ml_jobs SET status = 'CANCELLED' WHERE {waiting}".encode())
    assert one(client, count_waiting)["n"] == 0
