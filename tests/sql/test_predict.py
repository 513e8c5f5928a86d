"""Asking a model in SQL: which model, which rows, who may ask, and what is recorded for it."""

import copy
import math
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.conftest import PASSWORD, Connection, Database, job_row, one
from tests.sql.helpers import INPUTS, LAYERS, TREES, complete, count, refused, running_job

CHANCES = {  # of the tree of TREES, by what is asked
    "price_open=1;price_high=0;price_low=0;volume_sol=99": 0.125,
    "price_open=1.5;price_high=0;price_low=0;volume_sol=9.99": 0.5,
    "price_open=2;price_high=0;price_low=0;volume_sol=10": 1.0,
    "price_open=NULL;price_high=0;price_low=0;volume_sol=10": 0.125,
    "price_open=2;price_high=0;price_low=0;volume_sol=NULL": 1.0,
    " volume_sol = 10 ; price_open = 2e0 ; price_low = true ; price_high = ; ": 1.0,
    "price_open=1e30;price_high=0;price_low=0;volume_sol=-1e300": 0.5,
    "price_open=3e-8;price_high=0;price_low=0;volume_sol=1e-300": 0.125,
    # The nearest float32 to it is 1.5, which is not below the bound.
    "price_open=1.49999999;price_high=0;price_low=0;volume_sol=0": 0.5,
}


def model_of(client: Connection, worker: Connection, facts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A READY model with these numbers."""
    job_id = running_job(client, worker, **fields)
    complete(worker, job_id, "TRAIN", **facts)
    return one(client, "SELECT * FROM ml_models WHERE train_job_id = %s", [job_id])


@pytest.fixture
def model(client: Connection, worker: Connection) -> dict[str, Any]:
    return model_of(client, worker, TREES)


def changed(facts: dict[str, Any], table: str, **values: Any) -> dict[str, Any]:
    """The numbers with other values in the last row of a table."""
    other = copy.deepcopy(facts)
    other[table][-1].update(values)
    return other


def predicted(connection: Connection, model: Any, inputs: str) -> Any:
    return one(connection, "SELECT ml.predict(%s, %s) AS p", [model, inputs])["p"]


# ── What a model is asked ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("inputs", CHANCES)
def test_what_if_gives_what_the_numbers_say(reader: Connection, model: dict[str, Any], inputs: str) -> None:
    for name in (model["name"], model["id"], str(model["id"])):
        assert predicted(reader, name, inputs) == CHANCES[inputs]
        answer = one(reader, "SELECT ml.decide(%s, %s) AS yes", [name, inputs])["yes"]
        assert answer == (CHANCES[inputs] > 0.5)


@pytest.mark.parametrize(
    ("inputs", "sqlstate", "message", "hint"),
    [
        ("price_open=1", "42703", "there is no price_high, price_low, volume_sol", "volume_sol=NULL"),
        ("pric_open=1", "42703", "the model has no feature 'pric_open'", "Did you mean price_open?"),
        ("price_open=1;price_open=2", "42701", "price_open is given twice", "once"),
        ("price_open", "22P02", "'price_open' is not feature=value", "volume_sol=12"),
        ("price_open=1,5", "22P02", "price_open cannot be '1,5'", "decimal point"),
        ("", "42703", "there is no price_open, price_high", "The model needs price_open, price_high"),
    ],
)
def test_a_what_if_that_is_not_clear_is_refused(
    reader: Connection, model: dict[str, Any], inputs: str, sqlstate: str, message: str, hint: str
) -> None:
    for routine in ("predict", "decide", "explain"):
        with refused(sqlstate, message, hint):
            reader.execute(f"SELECT * FROM ml.{routine}(%s, %s)", [model["name"], inputs])


# Relations that have the features in another order, of other types, and with more beside them.
ROWS = {
    "table": "asked.rows r",
    "view": "asked.as_view r",
    "subquery": "(SELECT volume_sol, price_low AS price_low, price_high, price_open, n FROM asked.rows) r",
    "own type": "(SELECT n, (price_open, NULL, NULL, volume_sol)::asked.typed AS r FROM asked.rows) x",
}


@pytest.fixture
def asked(db: Database, owner: Connection) -> None:
    owner.execute(
        """
        CREATE SCHEMA IF NOT EXISTS asked;
        CREATE DOMAIN asked.amount AS numeric CHECK (VALUE > -1e6);
        CREATE TABLE asked.rows (
            n integer, volume_sol asked.amount, note text, gone integer, price_low boolean,
            price_open real, price_high bigint
        );
        ALTER TABLE asked.rows DROP COLUMN gone;
        INSERT INTO asked.rows VALUES
            (1, 99, '', true, 1, 5), (2, 9.99, '', false, 1.5, 5), (3, 10, '', NULL, 2, 5),
            (4, 10, '', true, NULL, NULL),
            (5, NULL, NULL, NULL, 2, NULL), (6, 'NaN', '', true, 'NaN', 1);
        CREATE VIEW asked.as_view AS SELECT * FROM asked.rows;
        CREATE TYPE asked.typed AS (
            price_open float8, price_high float8, price_low numeric, volume_sol numeric
        );
        GRANT USAGE ON SCHEMA asked TO PUBLIC;
        GRANT SELECT ON ALL TABLES IN SCHEMA asked TO PUBLIC;
        """
        if one(owner, "SELECT to_regclass('asked.rows') AS r")["r"] is None
        else "SELECT"
    )


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("is_known", [True, False])
def test_columns_of_a_row_are_found_by_name_whatever_their_order(
    owner: Connection,
    client: Connection,
    worker: Connection,
    reader: Connection,
    asked: None,
    rows: str,
    is_known: bool,
) -> None:
    """Whether the relation was there when the model was made, or came later."""
    model = model_of(client, worker, TREES)
    if not is_known:
        owner.execute("CREATE TABLE asked.other AS SELECT * FROM asked.rows")
        owner.execute("ALTER TABLE asked.rows RENAME TO old; ALTER TABLE asked.other RENAME TO rows")
        owner.execute("GRANT SELECT ON asked.rows TO PUBLIC; DROP VIEW asked.as_view; DROP TABLE asked.old")
        owner.execute(
            "CREATE VIEW asked.as_view AS SELECT * FROM asked.rows; GRANT SELECT ON asked.as_view TO PUBLIC"
        )
    found = reader.execute(f"SELECT ml.predict(%s, r) AS p FROM {ROWS[rows]} ORDER BY n", [model["name"]])
    assert [row["p"] for row in found] == [0.125, 0.5, 1.0, 0.125, 1.0, 0.125]


@pytest.mark.parametrize(
    ("rows", "sqlstate", "message"),
    [
        ("(SELECT 1 AS price_open) r", "42703", "the row has no price_high, price_low, volume_sol"),
        ("ml_models r", "42703", "the row has no price_open, price_high, price_low, volume_sol"),
        (
            "(SELECT price_open, price_high, price_low, 'x' AS volume_sol FROM coin_metrics) r",
            "42804",
            "volume_sol of the row is no number: x",
        ),
        ("asked.texts r", "42804", "volume_sol of the row is no number: it is text"),
        ("generate_series(1, 2) r", "42804", "a model cannot be asked about 1"),
    ],
)
def test_a_row_without_a_feature_is_refused_with_its_name(
    owner: Connection,
    reader: Connection,
    model: dict[str, Any],
    asked: None,
    rows: str,
    sqlstate: str,
    message: str,
) -> None:
    owner.execute(
        """
        CREATE TABLE IF NOT EXISTS asked.texts (
            price_open int, price_high int, price_low int, volume_sol text
        );
        DELETE FROM asked.texts;
        INSERT INTO asked.texts VALUES (1, 1, 1, '1');
        GRANT SELECT ON asked.texts TO PUBLIC
        """
    )
    for function in ("predict", "decide"):
        with refused(sqlstate, message):
            reader.execute(f"SELECT ml.{function}(%s, r) FROM {rows}", [model["id"]])


def test_a_null_row_has_no_answer(reader: Connection, model: dict[str, Any]) -> None:
    row = one(
        reader,
        "SELECT ml.predict(%(m)s, NULL::coin_metrics) AS p, ml.decide(%(m)s, NULL::text) AS d,"
        " (SELECT count(*) FROM ml.explain(%(m)s, NULL::coin_metrics)) AS n",
        {"m": model["id"]},
    )
    assert row == {"p": None, "d": None, "n": 0}


def test_a_model_can_be_asked_in_a_view_in_where_and_by_parallel_workers(
    owner: Connection, client: Connection, worker: Connection, reader: Connection
) -> None:
    model = model_of(client, worker, changed(TREES, "ml_model_trees", feature="{3,-1,3,-1,-1}"))
    owner.execute(
        "CREATE OR REPLACE VIEW promising AS"
        f" SELECT c.*, ml.predict({model['id']}, c) AS chance FROM coin_metrics c;"
        "GRANT SELECT ON promising TO PUBLIC"
    )
    counts = one(
        reader,
        "SELECT count(*) FILTER (WHERE chance > 0.5) AS a,"
        " (SELECT count(*) FROM coin_metrics c WHERE ml.decide(%(m)s, c)) AS b FROM promising",
        {"m": model["id"]},
    )
    assert 0 < counts["a"] == counts["b"] < count(reader, "coin_metrics")
    with reader.transaction():
        for setting in (
            "parallel_setup_cost = 0",
            "parallel_tuple_cost = 0",
            "min_parallel_table_scan_size = 0",
            "jit = on",
            "jit_above_cost = 0",
        ):
            reader.execute(f"SET LOCAL {setting}")
        query = "SELECT count(*) AS n FROM coin_metrics c WHERE ml.predict(%s, c) > 0.5"
        plan = reader.execute("EXPLAIN " + query, [model["id"]]).fetchall()
        assert any("Gather" in row["QUERY PLAN"] for row in plan), plan
        assert one(reader, query, [model["id"]])["n"] == counts["a"]
    owner.execute("DROP VIEW promising")


# ── Which model ─────────────────────────────────────────────────────────────────────────────────────


def test_a_model_that_cannot_be_asked_is_refused_with_what_to_do(
    client: Connection, worker: Connection, reader: Connection, model: dict[str, Any]
) -> None:
    inputs = next(iter(CHANCES))
    with refused("P0002", "no model is named 'nobody'"):
        predicted(reader, "nobody", inputs)
    with refused("23503", "model 99999 does not exist"):
        predicted(reader, 99999, inputs)
    plain = model_of(client, worker, {})
    training_id = running_job(client, worker)
    training = one(client, "SELECT id FROM ml_models WHERE train_job_id = %s", [training_id])["id"]
    for function, given in (("predict", "%s"), ("decide", "%s"), ("predict", "c")):
        source = "" if given == "%s" else " FROM coin_metrics c LIMIT 1"
        arguments = [inputs] if given == "%s" else []
        query = f"SELECT ml.{function}(%s, {given}){source}"
        with refused("55000", "has no numbers in the database", "ml-worker numbers"):
            reader.execute(query, [plain["id"], *arguments])
        with refused("23503", "is TRAINING, not READY", "Wait until job"):
            reader.execute(query, [training, *arguments])
    worker.execute("SELECT ml_internal.record_failure(%s, 1, 'no')", [training_id])
    with refused("23503", "is FAILED, not READY", "error_msg"):
        predicted(reader, training, inputs)
    client.execute("UPDATE ml_models SET is_deleted = true WHERE id = %s", [model["id"]])
    for name in (model["id"], model["name"]):
        with refused("23503", "was deleted", "is_deleted = false"):
            predicted(reader, name, inputs)
        with refused("23503", "was deleted", "is_deleted = false"):
            reader.execute("SELECT ml.predict(%s, c) FROM coin_metrics c", [name])
    client.execute("UPDATE ml_models SET is_deleted = false, name = 'again' WHERE id = %s", [model["id"]])
    assert predicted(reader, "again", inputs) == CHANCES[inputs]


def test_with_separated_teams_a_model_is_asked_by_its_own_team_alone(
    db: Database, owner: Connection, worker: Connection
) -> None:
    for team in ("rot", "blau"):
        owner.execute(f"CREATE ROLE {team} LOGIN PASSWORD '{PASSWORD}' IN ROLE ml_client")
    try:
        with db.connect("rot") as rot, db.connect("blau") as blau:
            model = model_of(rot, worker, TREES)
            query = """
                SELECT ml.predict(%s, c) AS p
                FROM (SELECT 2.5 AS price_open, 0 AS price_high, 0 AS price_low, 12 AS volume_sol) c
            """
            for separate in (False, True, False):
                owner.execute("CALL ml.separate_teams(%s)", [separate])
                assert one(rot, query, [model["name"]])["p"] == 1.0
                text = one(
                    blau,
                    "SELECT prosrc FROM pg_proc WHERE proname = %s",
                    [f"model_of_job_{model['train_job_id']}"],
                )["prosrc"]
                assert ("price_open" in text) is not separate
                if separate:
                    for name in (model["name"], model["id"]):
                        with refused("P0002" if name == model["name"] else "23503"):
                            blau.execute(query, [name])
                    function = f"ml_generated.model_of_job_{model['train_job_id']}"
                    with refused("P0002"):
                        blau.execute(f"SELECT {function}(c) FROM coin_metrics c LIMIT 1")
                else:
                    assert one(blau, query, [model["id"]])["p"] == 1.0
    finally:
        owner.execute("CALL ml.separate_teams(false)")
        owner.execute("DROP ROLE rot; DROP ROLE blau")


# ── What is recorded ────────────────────────────────────────────────────────────────────────────────


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "a child before its parent": (
        changed(TREES, "ml_model_trees", less="{1,0,1,0,0}"),
        "",
    ),
    "one child twice": (changed(TREES, "ml_model_trees", more="{1,0,4,0,0}"), ""),
    "a child that is not there": (changed(TREES, "ml_model_trees", more="{2,0,5,0,0}"), ""),
    "a node without parent": (
        changed(TREES, "ml_model_trees", feature="{0,-1,-1,-1,-1}", less="{1,0,0,0,0}", more="{2,0,0,0,0}"),
        "",
    ),
    "two parents": (changed(TREES, "ml_model_trees", less="{2,0,3,0,0}", more="{3,0,4,0,0}"), ""),
    "arrays of two lengths": (changed(TREES, "ml_model_trees", value="{1}"), "ml_model_trees_nodes"),
    "a NULL": (changed(TREES, "ml_model_trees", bound="{1,0,NULL,0,0}"), "ml_model_trees_nodes"),
    "a bound of NaN": (changed(TREES, "ml_model_trees", bound="{1,0,NaN,0,0}"), "ml_model_trees_nodes"),
    "an infinite leaf": (
        changed(TREES, "ml_model_trees", value="{0,1,2,3,Infinity}"),
        "ml_model_trees_finite",
    ),
    "a NULL leaf": (changed(TREES, "ml_model_trees", value="{0,1,2,3,NULL}"), "ml_model_trees_finite"),
    "an unknown feature": (changed(TREES, "ml_model_trees", feature="{0,-1,4,-1,-1}"), ""),
    "a negative feature": (
        changed(TREES, "ml_model_trees", feature="{0,-1,-2,-1,-1}"),
        "ml_model_trees_nodes",
    ),
    "a negative chunk": (changed(TREES, "ml_model_trees", chunk=-1), "ml_model_trees_place_not_negative"),
    "a lost chunk": (
        changed(TREES, "ml_model_trees", chunk=1, less="{65,0,67,0,0}", more="{66,0,68,0,0}"),
        "",
    ),
    "a lost tree": (changed(TREES, "ml_model_numbers", num_trees=2), ""),
    "a tree too many": (changed(TREES, "ml_model_trees", tree=1), ""),
    "other nodes": (changed(TREES, "ml_model_numbers", num_nodes=6), ""),
    "another feature": (changed(TREES, "ml_model_inputs", feature="volume"), ""),
    "a place left out": (changed(TREES, "ml_model_inputs", place=4), ""),
    "half of a scale": (changed(TREES, "ml_model_inputs", scale=1), "ml_model_inputs_all_or_none"),
    "scaled trees": (changed(TREES, "ml_model_inputs", fill=1, center=1, scale=1), ""),
    "a scale of 0": (changed(LAYERS, "ml_model_inputs", scale=0), "ml_model_inputs_finite"),
    "a center of NaN": (changed(LAYERS, "ml_model_inputs", center="NaN"), "ml_model_inputs_finite"),
    "an infinite base": (changed(TREES, "ml_model_numbers", base="Infinity"), "ml_model_numbers_finite"),
    "an unknown answer": (changed(TREES, "ml_model_numbers", answer="odds"), "ml_model_numbers_answer_known"),
    "neither trees nor layers": (
        changed(TREES, "ml_model_numbers", num_trees=0, num_nodes=0),
        "ml_model_numbers_trees_or_layers",
    ),
    "an unknown activation": (
        changed(LAYERS, "ml_model_layers", activation="exp"),
        "ml_model_layers_activation_known",
    ),
    "an infinite weight": (
        changed(LAYERS, "ml_model_layers", weights="{1,2,3,Infinity}"),
        "ml_model_layers_finite",
    ),
    "a NULL weight": (changed(LAYERS, "ml_model_layers", weights="{1,2,3,NULL}"), "ml_model_layers_finite"),
    "a bias of NaN": (changed(LAYERS, "ml_model_layers", bias="NaN"), "ml_model_layers_finite"),
    "a negative layer": (changed(LAYERS, "ml_model_layers", layer=-1), "ml_model_layers_place_not_negative"),
    "a lost layer": (changed(LAYERS, "ml_model_layers", layer=1), ""),
    "a lost unit": (changed(LAYERS, "ml_model_layers", unit=1), ""),
    "too few weights": (changed(LAYERS, "ml_model_layers", weights="{1,2,3}"), ""),
    "a sample of other inputs": (changed(TREES, "ml_model_samples", inputs="{1}"), ""),
    "a 51st sample": (changed(TREES, "ml_model_samples", place=50), "ml_model_samples_at_most_50"),
    "a sample above 1": (
        changed(TREES, "ml_model_samples", probability=1.1),
        "ml_model_samples_probability_between_0_and_1",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_numbers_that_are_no_model_are_refused_and_nothing_of_the_result_stays(
    client: Connection, worker: Connection, fault: str
) -> None:
    facts, constraint = FAULTS[fault]
    job_id = running_job(client, worker)
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        complete(worker, job_id, "TRAIN", **facts)
    said = caught.value.diag
    assert (said.constraint_name or "") == constraint, caught.value
    assert constraint or "the numbers of job" in (said.message_primary or "")
    assert count(client, f"ml_model_inputs WHERE job_id = {job_id}") == 0
    assert job_row(client, job_id)["status"] == "RUNNING"


def test_layers_give_the_logistic_of_their_sum(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    model = model_of(client, worker, LAYERS)
    found = predicted(reader, model["id"], "price_open=3;price_high=0;price_low=NULL;volume_sol=-1")
    # (3 - 1) / 2 - (2 - 1) / 2 + 2 * (-1 - 1) / 2 + 0.5
    assert found == pytest.approx(1 / (1 + math.exp(1)), abs=1e-15)
    huge = "price_open=1e300;price_high=0;price_low=-1e300;volume_sol=1e300"
    assert predicted(reader, model["id"], huge) == pytest.approx(1, abs=1e-9)
    same = one(
        reader,
        """
        SELECT ml.predict(%s, r) AS p
        FROM (SELECT 3 AS price_open, 0 AS price_high, NULL::int AS price_low, -1 AS volume_sol) r
        """,
        [model["id"]],
    )
    assert same["p"] == found


@pytest.mark.parametrize("facts", [TREES, LAYERS], ids=["trees", "layers"])
def test_an_explanation_has_a_row_a_feature_and_adds_up_to_the_answer(
    client: Connection, worker: Connection, reader: Connection, facts: dict[str, Any]
) -> None:
    model = model_of(client, worker, facts)
    inputs = "price_open=2;price_high=0;price_low=NULL;volume_sol=9"
    rows = reader.execute("SELECT * FROM ml.explain(%s, %s)", [model["name"], inputs]).fetchall()
    of_row = reader.execute(
        """
        SELECT e.*
        FROM (SELECT 2 AS price_open, 0 AS price_high, NULL::int AS price_low, 9 AS volume_sol) r,
            ml.explain(%s, r) e
        """,
        [model["id"]],
    ).fetchall()
    assert rows == of_row
    assert {row["feature"]: row["value"] for row in rows} == dict(zip(INPUTS, (2, 0, None, 9), strict=True))
    assert sum(row["share"] for row in rows) == pytest.approx(1)
    contributions = {row["feature"]: row["contribution"] for row in rows}
    expected = (0.25, 0, 0, -0.25) if facts is TREES else (0.5, 0, -0.5, 8)
    assert contributions == dict(zip(INPUTS, expected, strict=True))
    for row in rows:
        assert row["base"] == 0.5
        assert row["base"] + sum(contributions.values()) == pytest.approx(row["total"])
        assert row["probability"] == predicted(reader, model["id"], inputs)


def test_the_function_of_a_model_goes_with_it(
    owner: Connection, client: Connection, model: dict[str, Any]
) -> None:
    name = f"model_of_job_{model['train_job_id']}"
    assert count(owner, f"pg_proc WHERE proname = '{name}'") == 1
    client.execute("UPDATE ml_models SET is_deleted = true WHERE id = %s", [model["id"]])
    owner.execute("CALL ml.prune('0')")
    assert count(owner, f"pg_proc WHERE proname = '{name}'") == 0
    assert count(owner, f"ml_model_trees WHERE job_id = {model['train_job_id']}") == 0


def test_numbers_of_an_older_model_are_recorded_once(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    model = model_of(client, worker, {})
    query = "SELECT ml_internal.record_numbers(%s, %s) AS is_new"
    assert one(worker, query, [model["id"], Jsonb(TREES)])["is_new"] is True
    assert one(worker, query, [model["id"], Jsonb(TREES)])["is_new"] is False
    assert predicted(reader, model["id"], next(iter(CHANCES))) == 0.125
    assert one(worker, "SELECT ml_internal.sample_difference(%s) AS d", [model["id"]])["d"] == 0
    with refused("42501"):
        client.execute(query, [model["id"], Jsonb(TREES)])
    with refused("P0002", "has no training run"):
        worker.execute(query, [99999, Jsonb(TREES)])


@pytest.mark.parametrize("table", ["inputs", "trees", "layers", "numbers", "samples"])
def test_numbers_are_never_changed(
    owner: Connection, client: Connection, model: dict[str, Any], table: str
) -> None:
    with refused("ML003", f"ml_model_{table} is append-only"):
        owner.execute(f"DELETE FROM ml_model_{table}")
    with refused("42501"):
        client.execute(f"DELETE FROM ml_model_{table}")
