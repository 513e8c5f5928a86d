"""ml.preview counts what the worker would load, refuses what the INSERT refuses, and warns of the rest."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest

from tests.conftest import TRAIN, Connection, Database, insert_job, ready_model
from tests.sql.helpers import COMPARE_PERIOD, TEST_PERIOD, count, refused
from tests.sql.test_by_hand import as_arguments
from worker.child import dataset
from worker.child.assignment import read
from worker.database import queue
from worker.database.connection import connect
from worker.database.dataset import stream_dataset
from worker.errors import JobError

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
ODD_PERIOD = {"train_start": "2024-01-20 03:14:15", "train_end": "2024-02-02 01:02:03.456789"}
JOBS: dict[str, dict[str, Any]] = {
    "same row": {},
    "integer target": {"train_target_var": "num_buys", "train_operator": ">=", "train_value": 3},
    "NULL target": {"train_target_var": "volatility_pct", "train_operator": "<=", "train_value": 30},
    "horizon": {"train_future_minutes": 7, "train_features_csv": "market_cap_close,buy_pressure_ratio"},
    "horizon, NULL target": {
        "train_target_var": "volatility_pct",
        "train_operator": ">",
        "train_value": 30,
        "train_future_minutes": 20,
        "train_phases_csv": "2,3",
    },
    "unequal": {"train_target_var": "num_buys", "train_operator": "!=", "train_value": 3},
    "phases": {"train_phases_csv": "2,3", "train_operator": "<"},
    "equal": {"train_target_var": "num_sells", "train_operator": "=", "train_value": 2},
    "boolean target": {"train_target_var": "is_koth", "train_operator": "=", "train_value": 1},
    "boolean target and feature": {
        "train_target_var": "is_koth",
        "train_value": "0.5",
        "train_future_minutes": 7,
        "train_phases_csv": "2,3",
        "train_features_csv": "is_koth,volume_sol",
    },
    "highest change": ODD_PERIOD
    | {
        "train_label": "highest_change",
        "train_target_var": "price_high",
        "train_operator": ">=",
        "train_value": 50,
        "train_base_var": "price_close",
        "train_future_minutes": 2,
        "train_phases_csv": "2,3",
    },
    "first touch, coins that stop lose": ODD_PERIOD
    | {
        "train_label": "first_touch",
        "train_target_var": "price_close",
        "train_operator": "<=",
        "train_value": -50,
        "train_stop_value": 30,
        "train_future_minutes": 20,
        "train_uncovered": "negative",
    },
    "odd period": ODD_PERIOD,
}
Preview = dict[str, str | list[str]]


def preview(connection: Connection, *job: int, **arguments: Any) -> Preview:
    """What ml.preview says, by its first column; the warnings as a list."""
    places = ", ".join(["%s"] * len(job) + [f"{name} => %s" for name in arguments])
    rows = connection.execute(f"SELECT * FROM ml.preview({places})", [*job, *arguments.values()]).fetchall()
    found: Preview = {row["what"]: row["result"] for row in rows}
    return found | {
        what: [row["result"] for row in rows if row["what"] == what] for what in ("warning", "would fail")
    }


def loaded(db: Database, fields: dict[str, Any]) -> dict[str, str]:
    """The same counts from what a worker loads for this job."""
    with db.connect("anna") as anna, connect(db.login("wanda"), role="ml_worker") as wanda:
        job_id = insert_job(anna, **fields)
        anna.execute("UPDATE ml_jobs SET priority = 1 WHERE id = %s", [job_id])
        job = queue.claim_job(wanda, "w1", timedelta(seconds=60), ["TRAIN", "TEST", "COMPARE"])
        assert job is not None
        assert (job.id, job.attempt) == (job_id, 1)
        assignment = read(queue.assignment(wanda, job))
        features = tuple(dict.fromkeys(f for model in assignment.models for f in model.features))
        label = assignment.models[0].label
        stream = stream_dataset([wanda], label, features, assignment.period, assignment.phases)
        data = dataset.decode(stream, features, label, lambda _rows: None)
        anna.execute("CALL ml.cancel_job(%s)", [job_id])

    def share(part: int, of: int) -> str:
        return f"{part:,} ({round(100 * part / of + 1e-9, 1)} %)"

    num_rows = len(data) + data.num_unlabelled
    return {
        "rows": f"{num_rows:,}",
        "unlabelled": share(data.num_unlabelled, num_rows),
        "labelled": share(len(data), num_rows),
        "coins": str(len(np.unique(data.coins))),
        "positive": share(data.num_positive, len(data)),
        "negative": share(len(data) - data.num_positive, len(data)),
    } | {
        f"NULL in {name}": share(int(np.isnan(data.features[:, i]).sum()), len(data))
        for i, name in enumerate(features)
    }


@pytest.mark.parametrize("name", JOBS)
def test_it_counts_what_a_worker_loads(
    db: Database, owner: Connection, reader: Connection, name: str
) -> None:
    fields = TRAIN | JOBS[name]
    if fields["train_target_var"] == "is_koth":
        owner.execute("UPDATE coin_metrics SET is_koth = volatility_pct > 30 WHERE is_koth IS NULL")
    expected = loaded(db, fields)
    found = preview(reader, **as_arguments(fields))
    assert {what: found[what] for what in expected} == expected
    assert {what for what in found if what.startswith("NULL in")} <= set(expected)
    assert found["would fail"] == []


def test_the_cases_differ_in_what_they_count(reader: Connection) -> None:
    """None of them would pass by chance: labels are missing, features are NULL."""
    found = preview(reader, **as_arguments(TRAIN | JOBS["horizon, NULL target"]))
    assert int(str(found["unlabelled"]).split(" ")[0].replace(",", "")) > 100
    assert int(str(found["NULL in volume_sol"]).split(" ")[0].replace(",", "")) > 10


def test_a_waiting_job_is_previewed_as_its_arguments_are(client: Connection, reader: Connection) -> None:
    fields = TRAIN | JOBS["horizon"]
    assert preview(reader, insert_job(client, **fields)) == preview(reader, **as_arguments(fields))


def test_a_test_and_a_comparison_can_be_previewed(
    db: Database, client: Connection, worker: Connection, reader: Connection
) -> None:
    a = ready_model(client, worker, **JOBS["horizon"], train_phases_csv="1,2")
    b = ready_model(
        client,
        worker,
        train_future_minutes=7,
        train_phases_csv="2,3",
        train_features_csv="num_buys,price_open",
    )
    # The features of both, and the phase that they share.
    pair = {"compare_model_a_id": a, "compare_model_b_id": b}
    for fields in (
        {"job_type": "TEST", "test_model_id": a, **TEST_PERIOD},
        {"job_type": "COMPARE", **pair, **COMPARE_PERIOD},
    ):
        expected = loaded(db, fields)
        found = preview(reader, insert_job(client, **fields))
        assert {what: found[what] for what in expected} == expected
        assert "held out" not in found


def test_the_time_zone_of_the_reader_changes_nothing_but_how_times_look(
    db: Database, owner: Connection, reader: Connection
) -> None:
    """A worker reads a column without a time zone as UTC."""
    arguments = as_arguments(TRAIN) | {
        "train_start": "2024-01-20 00:00+00",
        "train_end": "2024-02-01 00:00+00",
    }
    with_zone = preview(reader, **arguments)
    reader.execute("SET TimeZone TO 'Asia/Tokyo'")
    elsewhere = preview(reader, **arguments)
    assert elsewhere["rows from"] != with_zone["rows from"]
    assert elsewhere["rows"] == with_zone["rows"]
    drop = ("period", "rows from", "rows to")
    with owner.transaction(force_rollback=True):
        owner.execute("SET LOCAL TimeZone TO 'UTC'")
        owner.execute('ALTER TABLE coin_metrics ALTER "timestamp" TYPE timestamp')
        owner.execute("SET LOCAL TimeZone TO 'Asia/Tokyo'")
        without_zone = preview(owner, **arguments)
    assert {w: r for w, r in without_zone.items() if w not in drop} == {
        w: r for w, r in with_zone.items() if w not in drop
    }


@pytest.mark.parametrize(
    ("wrong", "sqlstate", "message", "hint"),
    [
        ({"features": "price_opne"}, "23514", "no column 'price_opne'", "price_open"),
        ({"features": 'volume_sol"; DROP TABLE ml_jobs; --'}, "23514", "no column", ""),
        ({"features": "price_open,market_cap_close"}, "23514", "among the features", "train_future_minutes"),
        ({"operator": "> 0 OR true OR 1 >"}, "23514", "train_operator", "Use one of"),
        ({"model_type": "forest"}, "23514", "train_model_type 'forest' is unknown", "random_forest"),
        ({"params": "C=x"}, "23514", "C cannot be 'x'", "a number"),
        ({"phases": "7"}, "23514", "unknown phase: '7'", "Baby Zone"),
        ({"train_end": "2023-01-01"}, "23514", "not before its end", "train_start"),
        ({"priority": 11}, "23514", "priority 11", "highest"),
        ({"target": None}, "23502", "needs train_target_var", "Name these fields"),
    ],
)
def test_it_refuses_what_the_insert_refuses(
    client: Connection, reader: Connection, wrong: dict[str, Any], sqlstate: str, message: str, hint: str
) -> None:
    for connection in (client, reader):
        with refused(sqlstate, message, hint):
            preview(connection, **(as_arguments(TRAIN) | wrong))
    assert count(client, "ml_jobs WHERE status = 'PENDING'") == 0


def test_it_leaves_nothing_and_wakes_nobody(
    client: Connection, reader: Connection, worker: Connection
) -> None:
    before = count(client, "ml_jobs")
    worker.execute("LISTEN ml_jobs")
    preview(reader, **as_arguments(TRAIN), name="wanted")
    with reader.transaction():
        preview(reader, **as_arguments(TRAIN), name="wanted")
    assert list(worker.notifies(timeout=0)) == []
    assert count(client, "ml_jobs") == before
    # The name is still free, and a job that is meant wakes the worker.
    insert_job(client, **TRAIN, train_model_name="wanted")
    assert len(list(worker.notifies(timeout=60, stop_after=1))) == 1
    with refused("23505", 'model name "wanted" is taken', "Choose another name"):
        preview(reader, **as_arguments(TRAIN), name="wanted")


def test_a_job_that_is_not_there_is_an_error(reader: Connection) -> None:
    with refused("P0002", "job 4711 does not exist", "lists the jobs"):
        preview(reader, 4711)


# ── Failures and warnings ───────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def small_db(make_database: Callable[[], Database]) -> Database:
    """A database whose coin_metrics is replaced by each test."""
    return make_database()


@pytest.fixture
def small(small_db: Database) -> Iterator[Connection]:
    with small_db.connect("rosa") as rosa:
        yield rosa


@pytest.fixture
def fill(small_db: Database) -> Callable[..., None]:
    """Replaces coin_metrics by so many rows, a minute apart; columns are SQL of the row's number i."""

    def replace(rows: int, mint: str = "i % 12", **columns: str) -> None:
        names = ", ".join(columns)
        values = ", ".join(columns.values())
        with small_db.connect("owner") as owner:
            owner.execute("TRUNCATE coin_metrics")
            owner.execute(
                f'INSERT INTO coin_metrics (mint, "timestamp", phase_id_at_time, {names})'
                f" SELECT {mint}, timestamptz '{NOON}' + i * interval '1 minute', 1, {values}"
                f" FROM generate_series(1, {rows}) i".encode()
            )

    return replace


DAY = {"train_start": "2024-01-01 12:00+00", "train_end": "2024-01-02 12:00+00"}
SMALL = as_arguments(TRAIN | {"train_target_var": "price_close", "train_value": 0}) | DAY


@pytest.mark.parametrize(
    ("rows", "columns", "said", "error"),
    [
        (0, {"price_close": "1"}, "there are no rows", "no rows"),
        (30, {"price_open": "1"}, "no row has a label", "has a label"),
        (30, {"price_close": "i"}, "feature volume_sol has no value", "feature volume_sol has no value"),
        (30, {"price_close": "i", "volume_sol": "'1e39'"}, *["in 30 of 30 rows"] * 2),
        *(
            (
                30,
                {"price_close": "i", "volume_sol": f"CASE WHEN i < 3 THEN {value}::numeric ELSE i END"},
                said,
                said,
            )
            for value, said in {
                "'1e400'": "volume_sol is infinite or larger than 3.4e38 in 2 of 30 rows; correct them",
                "'-1e400'": "volume_sol is infinite or larger than 3.4e38 in 2 of 30 rows; correct them",
                "'1e-400'": "volume_sol is not 0, but smaller than 1e-308 in 2 of 30 rows; set them to 0",
                "'-1e-309'": "volume_sol is not 0, but smaller than 1e-308 in 2 of 30 rows; set them to 0",
            }.items()
        ),
    ],
)
def test_what_would_fail_is_said_before(
    small_db: Database,
    small: Connection,
    fill: Callable[..., None],
    rows: int,
    columns: dict[str, str],
    said: str,
    error: str,
) -> None:
    fill(rows, **columns)
    failing = preview(small, **(SMALL | {"features": "volume_sol"}))
    assert said in str(failing["would fail"])
    assert failing["warning"] == []
    with pytest.raises(JobError, match=error):
        loaded(
            small_db, TRAIN | DAY | {"train_target_var": "price_close", "train_features_csv": "volume_sol"}
        )


def test_what_models_would_take_for_0_is_named(small: Connection, fill: Callable[..., None]) -> None:
    fill(30, price_close="i", volume_sol="CASE WHEN i < 3 THEN '1e-46'::numeric ELSE 1e-308 END")
    found = preview(small, **(SMALL | {"features": "volume_sol", "value": 15}))
    assert found["would fail"] == []
    assert (
        "the feature volume_sol is not 0, but smaller than 7e-46 in 30 of 30 rows, which models take for 0: "
        "multiply the column"
    ) in found["warning"]


@pytest.mark.parametrize(
    ("change", "code", "message", "hint"),
    [
        (
            'ALTER TABLE coin_metrics ALTER "timestamp" TYPE bigint USING extract(epoch FROM "timestamp")',
            "42804",
            "the column timestamp of coin_metrics is bigint, not timestamptz",
            "USING to_timestamp",
        ),
        (
            "ALTER TABLE coin_metrics RENAME mint TO coin",
            "42703",
            "no column mint",
            "RENAME COLUMN ... TO mint",
        ),
        (
            "ALTER TABLE coin_metrics ALTER phase_id_at_time TYPE text",
            "42804",
            "the column phase_id_at_time of coin_metrics is text, not integer",
            "USING phase_id_at_time::integer",
        ),
        (
            "ALTER TABLE coin_metrics RENAME volume_sol TO volume",
            "42703",
            "coin_metrics has no column 'volume_sol' any more",
            "Bring it back",
        ),
        (
            "ALTER TABLE coin_metrics ALTER volume_sol TYPE text",
            "42804",
            "column 'volume_sol' is text now, not numeric",
            "Make it a number",
        ),
        (
            "ALTER TABLE coin_metrics RENAME TO mine;"
            "CREATE VIEW coin_metrics AS SELECT mint, timestamp, phase_id_at_time, price_close,"
            " 1 / (volume_sol - volume_sol) AS volume_sol FROM mine;"
            "GRANT SELECT ON coin_metrics TO ml_reader",
            "22012",
            "division by zero",
            "SELECT * FROM coin_metrics; shows",
        ),
    ],
)
def test_data_that_cannot_be_read_is_told_in_words(
    db: Database, owner: Connection, client: Connection, change: str, code: str, message: str, hint: str
) -> None:
    wanted = {"train_target_var": "price_close", "train_features_csv": "volume_sol"}
    job_id = insert_job(client, **TRAIN | wanted)
    with owner.transaction(force_rollback=True):
        owner.execute(change.encode())
        with pytest.raises(psycopg.Error) as caught:
            preview(owner, job_id)
    said = caught.value.diag
    assert said.sqlstate == code
    assert message in (said.message_primary or "")
    assert hint in (said.message_hint or "")
    assert said.internal_query is None
    assert said.internal_position is None
    assert "SELECT" not in (said.context or "")


def test_a_label_counts_time_and_not_rows_here_too(
    small_db: Database, small: Connection, fill: Callable[..., None]
) -> None:
    """Coins whose rows are irregular: many find no later row within reach."""
    fill(600, mint="(i * i) % 13", price_close="i % 3", volume_sol="nullif(i % 5, 0)")
    wanted = {"train_target_var": "price_close", "train_value": 0, "train_features_csv": "volume_sol"}
    fields = TRAIN | DAY | wanted | {"train_future_minutes": 5}
    expected = loaded(small_db, fields)
    found = preview(small, **as_arguments(fields))
    assert {what: found[what] for what in expected} == expected


@pytest.mark.parametrize(("rows", "positive"), [(19, "i % 2"), (100, "(i = 1)::integer"), (100, "1")])
def test_too_little_to_learn_from_is_said_before(
    small: Connection, fill: Callable[..., None], rows: int, positive: str
) -> None:
    fill(rows, price_close=positive, volume_sol="i")
    assert "2 of each class" in str(preview(small, **(SMALL | {"features": "volume_sol"}))["would fail"])


def test_one_class_only_is_a_warning_for_a_test(
    small_db: Database, small: Connection, fill: Callable[..., None]
) -> None:
    fill(2000, price_close="i", volume_sol="i")
    fields = {"train_target_var": "price_close", "train_value": 0, "train_features_csv": "volume_sol"}
    with small_db.connect("anna") as client, small_db.connect("wanda") as worker:
        period = {"test_start": DAY["train_start"], "test_end": DAY["train_end"]}
        model = ready_model(client, worker, **fields)
        job_id = insert_job(client, job_type="TEST", test_model_id=model, **period)
    assert "one class" in str(preview(small, job_id)["warning"])
    assert preview(small, job_id)["would fail"] == []


@pytest.mark.parametrize(
    ("rows", "columns", "changed", "said"),
    [
        (1200, {"price_close": "i % 2", "mint": "i % 9"}, {}, "fewer than 10 coins"),
        (999, {"price_close": "i % 2"}, {}, "few rows"),
        (
            1200,
            {"price_close": "(i % 21 = 0)::integer"},
            {},
            "imbalanced: only 57 of 1200 labelled rows are pos",
        ),
        (
            1200,
            {"price_close": "(i % 21 = 0)::integer"},
            {},
            "about 46 of them will be fitted (warning, few_positives)",
        ),
        (1440, {"price_close": "nullif(i % 4, 0) - 1", "mint": "i % 13"}, {}, "the target is NULL"),
        (1440, {"price_close": "i % 2"}, {"future_minutes": 400}, "400 to 800 minutes later"),
        (
            1200,
            {"price_close": "i % 2", "price_open": "CASE WHEN i % 4 = 0 THEN 1 END"},
            {},
            "price_open is NULL",
        ),
        (1200, {"price_close": "i % 2"}, {"train_end": "2024-01-04"}, "less than half of the period"),
    ],
)
def test_what_results_would_suffer_from_is_a_warning(
    small: Connection,
    fill: Callable[..., None],
    rows: int,
    columns: dict[str, str],
    changed: dict[str, Any],
    said: str,
) -> None:
    fill(rows, **({"price_open": "1"} | columns))
    found = preview(small, **(SMALL | {"features": "price_open"} | changed))
    assert found["would fail"] == []
    assert [said in warning for warning in found["warning"]] == [True]


def test_without_a_fault_it_says_that_there_is_none(small: Connection, fill: Callable[..., None]) -> None:
    fill(1200, price_close="i % 2", price_open="1")
    found = preview(small, **(SMALL | {"features": "price_open"}))
    assert (found["warning"], found["would fail"]) == (["none"], [])
    assert found["held out"] == "20 % of the rows: whole coins"
    assert str(found["recommended"]).startswith("split => 'time', folds => 5: ")
    assert "folds" not in found
    assert found["label"] == "price_close > 0"


def test_it_says_what_is_held_out_and_in_how_many_periods_it_is_measured(
    small: Connection, fill: Callable[..., None]
) -> None:
    fill(1200, price_close="i % 2", price_open="1")
    found = preview(small, **SMALL | {"features": "price_open", "split": "time", "folds": 5})
    assert found["held out"] == "20 % of the rows: the last part of the period"
    assert found["folds"] == "5 later periods, each measured by a fit on all rows before it"
    assert "recommended" not in found
    found = preview(small, **SMALL | {"features": "price_open", "split": "coins_and_time"})
    assert "the last part of the period; of these the coins that are not fitted: 20 %" in found["held out"]
    assert str(found["recommended"]).startswith("split => 'time', folds => 5: ")
    found = preview(small, **SMALL | {"features": "price_open", "split": "time"})
    assert str(found["recommended"]).startswith("folds => 5: ")


@pytest.mark.parametrize(
    ("split", "would_fail", "warns"),
    [("coins", False, True), ("time", False, False), ("coins_and_time", True, False)],
)
def test_too_few_coins_are_told_before_it_runs(
    small: Connection, fill: Callable[..., None], split: str, would_fail: bool, warns: bool
) -> None:
    fill(1200, price_close="i / 9 % 2", price_open="1", mint="i % 9")
    found = preview(small, **SMALL | {"features": "price_open", "split": split})
    assert any("fewer than 10 coins" in said for said in found["would fail"]) == would_fail
    assert any("fewer than 10 coins" in said for said in found["warning"]) == warns


def test_names_that_need_quotes_are_quoted(owner: Connection, reader: Connection) -> None:
    owner.execute("""ALTER TABLE coin_metrics ADD "it's %s ""odd"" $1" numeric DEFAULT 1""")
    odd = """it's %s "odd" $1"""
    found = preview(reader, **(as_arguments(TRAIN) | {"features": f"{odd},price_open"}))
    assert str(found[f"NULL in {odd}"]).startswith("0 ")
    found = preview(reader, **(as_arguments(TRAIN) | {"target": odd, "value": 0}))
    assert str(found["negative"]).startswith("0 ")


def test_who_may_not_read_the_data_sees_nothing_of_it(owner: Connection, reader: Connection) -> None:
    owner.execute("REVOKE SELECT ON coin_metrics FROM ml_reader")
    try:
        with refused("42501", "permission denied for table coin_metrics"):
            preview(reader, **as_arguments(TRAIN))
    finally:
        owner.execute("GRANT SELECT ON coin_metrics TO ml_reader")
