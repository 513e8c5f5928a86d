"""The source data: its columns and phases, and the columns that can be features."""

from tests.conftest import TRAIN, Connection, insert_job, one
from tests.sql.helpers import refused, violates

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


def test_the_columns_that_can_be_features_are_the_numeric_ones(reader: Connection) -> None:
    rows = reader.execute("SELECT * FROM ml_metric_columns").fetchall()
    assert [row["column_name"] for row in rows] == HEADER
    others = {row["column_name"]: row["data_type"] for row in rows if not row["is_numeric"]}
    assert others == {
        "mint": "character varying(255)",
        "timestamp": "timestamp with time zone",
        "is_koth": "boolean",
    }


def test_every_numeric_column_can_be_a_feature(client: Connection) -> None:
    for feature in [name for name in HEADER if name not in ("mint", "timestamp", "is_koth")]:
        fields = {"train_features_csv": feature, "train_future_minutes": 5}
        assert insert_job(client, **TRAIN | fields) > 0


def test_a_column_that_is_added_can_be_a_feature_at_once(owner: Connection) -> None:
    with owner.transaction(force_rollback=True):
        owner.execute('ALTER TABLE coin_metrics ADD COLUMN "Größe" double precision')
        assert insert_job(owner, **TRAIN | {"train_features_csv": "Größe"}) > 0


def test_a_column_that_is_dropped_can_no_longer_be_one(owner: Connection) -> None:
    with owner.transaction(force_rollback=True):
        owner.execute("ALTER TABLE coin_metrics DROP COLUMN price_open")
        with refused("23514", "'price_open'", "Did you mean price_"):
            insert_job(owner, **TRAIN)


def test_a_phase_that_is_added_can_be_used_at_once(owner: Connection) -> None:
    with owner.transaction(force_rollback=True):
        owner.execute("INSERT INTO ref_coin_phases (id, name) VALUES (4, 'Twilight Zone')")
        assert insert_job(owner, **TRAIN, train_phases_csv="4") > 0
