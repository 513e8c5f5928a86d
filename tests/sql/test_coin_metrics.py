"""The source data: its columns and phases, and the columns that can be features."""

from decimal import Decimal

import pytest
from psycopg import sql

from tests.conftest import (
    TEST_RESULT,
    TRAIN,
    TRAINING_RESULT,
    Connection,
    claim,
    insert_job,
    job_row,
    one,
    record,
)
from tests.sql.helpers import TEST_PERIOD, refused, violates

HEADER = [
    "mint",
    "timestamp",
    "phase_id_at_time",
    "price_open",
    "price_high",
    "price_low",
    "price_close",
    "market_cap_close",
    "bonding_curve_pct",
    "virtual_sol_reserves",
    "is_koth",
    "volume_sol",
    "buy_volume_sol",
    "sell_volume_sol",
    "num_buys",
    "num_sells",
    "unique_wallets",
    "num_micro_trades",
    "dev_sold_amount",
    "max_single_buy_sol",
    "max_single_sell_sol",
    "net_volume_sol",
    "volatility_pct",
    "avg_trade_size_sol",
    "whale_buy_volume_sol",
    "whale_sell_volume_sol",
    "num_whale_buys",
    "num_whale_sells",
    "buy_pressure_ratio",
    "unique_signer_ratio",
]


def test_the_columns_are_those_of_the_data(reader: Connection) -> None:
    columns = reader.execute("SELECT * FROM coin_metrics LIMIT 0").description or ()
    assert [column.name for column in columns] == HEADER


def test_the_phases_are_filled_in(reader: Connection) -> None:
    query = "SELECT id, name, interval_seconds, max_age_minutes FROM ref_coin_phases ORDER BY id"
    assert [tuple(row.values()) for row in reader.execute(query)] == [
        (1, "Baby Zone", 5, 10),
        (2, "Survival Zone", 30, 60),
        (3, "Mature Zone", 60, 1440),
        (99, "Finished", None, None),
    ]


def test_a_coin_has_one_row_a_moment(owner: Connection) -> None:
    row = "INSERT INTO coin_metrics (mint, timestamp) VALUES ('X', '2024-01-01')"
    with owner.transaction(force_rollback=True):
        owner.execute(row)
        with violates("coin_metrics_pkey"):
            owner.execute(row)


def test_every_value_but_the_key_may_be_unknown(owner: Connection) -> None:
    with owner.transaction(force_rollback=True):
        owner.execute("INSERT INTO coin_metrics (mint, timestamp) VALUES ('X', '2024-01-01')")
        row = one(owner, "SELECT * FROM coin_metrics WHERE mint = 'X'")
        assert [name for name, value in row.items() if value is not None] == ["mint", "timestamp"]


def test_the_columns_that_can_be_features_are_numbers_and_booleans(reader: Connection) -> None:
    rows = reader.execute("SELECT * FROM ml_metric_columns").fetchall()
    assert [row["column_name"] for row in rows] == HEADER
    others = {row["column_name"]: row["data_type"] for row in rows if not row["is_numeric"]}
    assert others == {
        "mint": "character varying(255)",
        "timestamp": "timestamp with time zone",
    }


def test_every_number_and_boolean_can_be_a_feature(client: Connection) -> None:
    for feature in [name for name in HEADER if name not in ("mint", "timestamp")]:
        fields = {"train_features_csv": feature, "train_future_minutes": 5}
        assert insert_job(client, **TRAIN | fields) > 0


def test_a_column_that_is_added_can_be_a_feature_at_once(owner: Connection) -> None:
    with owner.transaction(force_rollback=True):
        owner.execute('ALTER TABLE coin_metrics ADD COLUMN "Größe" double precision')
        assert insert_job(owner, **TRAIN | {"train_features_csv": "Größe"}) > 0


@pytest.mark.parametrize("odd", ["a;b", "a=b", "a,b", "price_open,volume_sol,x", ",", "a ", "\ta"])
def test_a_name_that_no_list_can_hold_is_refused_with_what_to_do(owner: Connection, odd: str) -> None:
    with owner.transaction(force_rollback=True):
        quoted = sql.Identifier(odd)
        owner.execute(sql.SQL("ALTER TABLE coin_metrics ADD COLUMN {} numeric").format(quoted))
        query = "SELECT is_numeric FROM ml_metric_columns WHERE column_name = %s"
        assert not one(owner, query, [odd])["is_numeric"]
        for field in ("train_features_csv", "train_target_var"):
            with refused("23514", "", ""), owner.transaction():
                insert_job(owner, **TRAIN | {field: odd})
        if odd.strip() == odd and odd != ",":
            with (
                refused("23514", f"column '{odd}' cannot be used: its name has a comma", "Rename it: "),
                owner.transaction(),
            ):
                insert_job(owner, **TRAIN | {"train_features_csv": f"price_close,{odd}"})
        assert insert_job(owner, **TRAIN | {"train_features_csv": "price_open,volume_sol"}) > 0


def test_a_domain_over_a_domain_of_a_number_is_a_number(owner: Connection) -> None:
    with owner.transaction(force_rollback=True):
        for name, base in {
            "sol": "numeric",
            "paid": "sol",
            "kept": "paid",
            "flag": "boolean",
            "note": "text",
        }.items():
            owner.execute(f"CREATE DOMAIN {name} AS {base}".encode())
        owner.execute("CREATE DOMAIN marks AS flag")
        owner.execute("ALTER TABLE coin_metrics ADD a sol, ADD b paid, ADD c kept, ADD d marks, ADD e note")
        found = owner.execute(
            "SELECT * FROM ml_metric_columns WHERE column_name IN ('a', 'b', 'c', 'd', 'e')"
        )
        assert {row["column_name"]: row["is_numeric"] for row in found} == {
            "a": True,
            "b": True,
            "c": True,
            "d": True,
            "e": False,
        }
        owner.execute("UPDATE coin_metrics SET c = volume_sol, d = volume_sol > 5")
        with refused("23514", "'e' is public.note, not numeric"), owner.transaction():
            insert_job(owner, **TRAIN | {"train_features_csv": "e"})
        job_id = insert_job(owner, **TRAIN | {"train_features_csv": "c,d"})
        found = owner.execute("SELECT * FROM ml.preview(%s)", [job_id])
        assert "would fail" not in {row["what"] for row in found}


def test_no_view_fails_whatever_is_stored(client: Connection, worker: Connection) -> None:
    for stored in ("a;b=0.5", "a=b=0.5;c=1e400;d=NaN;e=;=;;f", "=1", "", "no list at all", "x=1e999999"):
        job_id = insert_job(client, **TRAIN)
        record(
            worker, job_id, claim(worker)["attempt"], **TRAINING_RESULT | {"feature_importance_csv": stored}
        )
        model_id = job_row(client, job_id)["result_model_id"]
        test_id = insert_job(client, job_type="TEST", test_model_id=model_id, **TEST_PERIOD)
        claimed = claim(worker)
        assert claimed["id"] == test_id
        record(worker, test_id, 1, **TEST_RESULT | {"feature_importance_csv": stored})
        client.execute("SELECT * FROM ml.report(%s)", [model_id])
    for view in client.execute("SELECT relname FROM pg_class WHERE relkind = 'v' AND relname LIKE 'ml\\_%'"):
        client.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(view["relname"])))
    found = client.execute("SELECT DISTINCT feature, importance FROM ml_fact_importances").fetchall()
    assert {"feature": "a=b", "importance": Decimal("0.5")} in found


def test_a_column_that_is_dropped_can_no_longer_be_one(owner: Connection) -> None:
    with owner.transaction(force_rollback=True):
        owner.execute("ALTER TABLE coin_metrics DROP COLUMN price_open")
        with refused("23514", "'price_open'", "Did you mean price_"):
            insert_job(owner, **TRAIN)


def test_a_phase_that_is_added_can_be_used_at_once(owner: Connection) -> None:
    with owner.transaction(force_rollback=True):
        owner.execute("INSERT INTO ref_coin_phases (id, name) VALUES (4, 'Twilight Zone')")
        assert insert_job(owner, **TRAIN, train_phases_csv="4") > 0
