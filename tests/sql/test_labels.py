"""What a job may ask for as its label, and what is said of it."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import TRAIN, Connection, Database, insert_job, job_row, one, ready_model
from tests.sql.helpers import COMPARE_PERIOD, count, refused

CHANGE: dict[str, Any] = TRAIN | {
    "train_label": "highest_change",
    "train_target_var": "price_high",
    "train_operator": ">=",
    "train_value": 30,
    "train_future_minutes": 10,
    "train_base_var": "price_close",
}
TOUCH: dict[str, Any] = {name: value for name, value in TRAIN.items() if name != "train_operator"} | {
    "train_label": "first_touch",
    "train_target_var": "price_close",
    "train_value": 30,
    "train_stop_value": -15,
    "train_future_minutes": 10,
}


@pytest.mark.parametrize(
    ("fields", "message", "hint"),
    [
        (TRAIN | {"train_label": "highst"}, "train_label 'highst' is unknown", "highest"),
        (CHANGE | {"train_future_minutes": None}, "train_future_minutes is missing", "minutes"),
        (CHANGE | {"train_base_var": "price_clos"}, "no column 'price_clos' (train_base_var)", "price_close"),
        (TRAIN | {"train_base_var": "price_close"}, "the label value is no change", "highest_change"),
        (CHANGE | {"train_stop_value": -5}, "the label highest_change has no stop", "first_touch"),
        (TOUCH | {"train_stop_value": None}, "needs train_stop_value", "-15"),
        (
            TOUCH | {"train_stop_value": 15},
            "train_stop_value 15 and train_value 30 are not on two sides",
            "sign",
        ),
        (TOUCH | {"train_value": 0}, "not on two sides of zero", "sign"),
        (TOUCH | {"train_operator": "<"}, "train_operator < does not fit", "out"),
        (CHANGE | {"train_uncovered": "drop"}, "train_uncovered 'drop' is unknown", "leave_out"),
        (TRAIN | {"train_uncovered": "negative"}, "train_future_minutes is not", "out"),
    ],
)
def test_a_label_that_cannot_be_is_refused(
    client: Connection, fields: dict[str, Any], message: str, hint: str
) -> None:
    with refused("23514", message, hint):
        insert_job(client, **fields)


def test_what_is_left_out_is_filled(client: Connection) -> None:
    job = job_row(client, insert_job(client, **TRAIN))
    assert (job["train_label"], job["train_base_var"], job["train_uncovered"]) == ("value", None, None)
    job = job_row(client, insert_job(client, **CHANGE | {"train_base_var": None}))
    assert (job["train_base_var"], job["train_uncovered"]) == ("price_high", "leave_out")
    for value, stop, operator in ((30, -15, ">="), (-20, 10, "<=")):
        job = job_row(client, insert_job(client, **TOUCH | {"train_value": value, "train_stop_value": stop}))
        assert job["train_operator"] == operator


def test_a_model_says_what_it_predicts(client: Connection, worker: Connection) -> None:
    for fields, text in (
        (TRAIN, "market_cap_close > 50000"),
        (CHANGE, "within 10 min, price_high rises >= 30 % over price_close"),
        (TOUCH, "within 10 min, price_close reaches 30 % before -15 % from price_close"),
        (
            CHANGE | {"train_uncovered": "negative"},
            "within 10 min, price_high rises >= 30 % over price_close, a coin that stops is negative",
        ),
    ):
        model_id = ready_model(client, worker, **{"train_operator": None} | fields)
        assert one(client, "SELECT target FROM ml_leaderboard WHERE id = %s", [model_id])["target"] == text


@pytest.mark.parametrize(
    "other",
    [
        {"train_label": "lowest_change"},
        {"train_base_var": "price_open"},
        {"train_future_minutes": 11},
        {"train_uncovered": "negative"},
        {"train_target_var": "price_close"},
        {"train_operator": ">"},
        {"train_value": "30.5"},
        TOUCH | {"train_operator": ">=", "train_base_var": "price_close"},
        TOUCH | {"train_operator": ">=", "train_stop_value": -16},
    ],
)
def test_models_of_different_labels_are_not_compared(
    client: Connection, worker: Connection, other: dict[str, Any]
) -> None:
    one_of_them = TOUCH | {"train_operator": ">="} if other.get("train_stop_value") == -16 else CHANGE
    pair = [ready_model(client, worker, **one_of_them), ready_model(client, worker, **CHANGE | other)]
    with refused("23514", "predict different things"):
        insert_job(
            client,
            job_type="COMPARE",
            compare_model_a_id=pair[0],
            compare_model_b_id=pair[1],
            **COMPARE_PERIOD,
        )


def test_targets_are_those_that_a_training_has(db: Database, client: Connection) -> None:
    """At each threshold it counts the positive rows that ml.preview counts for such a job."""
    with db.connect("owner") as owner:
        owner.execute(
            """
            INSERT INTO coin_metrics
                (mint, "timestamp", phase_id_at_time, price_close, price_high, volume_sol)
            SELECT c, '2024-01-01'::timestamptz + r * interval '1 minute', 1, p, p, 1
            FROM generate_series(1, 12) c, generate_series(1, 60) r,
                LATERAL (SELECT 1 + (c * r * r % 17)::numeric / 10 AS p) x
            """
        )
    before = count(client, "ml_jobs")
    ladder = client.execute(
        "SELECT * FROM ml.targets('price_high', 'highest_change', 5, base => 'price_close',"
        " train_start => '2024-01-01', train_end => '2024-01-02')"
    ).fetchall()
    assert [row["threshold"] for row in ladder] == [1, 2, 5, 10, 20, 30, 50, 100, 200, 500]
    positive = [row["rows_positive"] for row in ladder]
    assert positive == sorted(positive, reverse=True)
    assert positive[0] > positive[-1]
    for row in ladder:
        told = {
            line["what"]: line["result"]
            for line in client.execute(
                """
                SELECT * FROM ml.preview('xgboost', 'price_high', '>=', %s, 'volume_sol', '2024-01-01',
                    '2024-01-02', 5, label => 'highest_change', base => 'price_close')
                """,
                [row["threshold"]],
            )
        }
        assert told["positive"].split()[0].replace(",", "") == str(row["rows_positive"])
    assert count(client, "ml_jobs") == before
    values = client.execute("SELECT * FROM ml.targets('price_close')").fetchall()
    assert [row["predicts"] for row in values] == [f"price_close >= {row['threshold']}" for row in values]
    with refused("23514", "no column 'price_hihg'", "price_high"):
        client.execute("SELECT * FROM ml.targets('price_hihg')")


def test_what_cannot_be_learned_at_all_is_said(client: Connection) -> None:
    (row,) = client.execute("SELECT * FROM ml.targets('dev_sold_amount', 'change', 5)").fetchall()
    assert row["threshold"] is None
    assert row["counted"] == (
        "no row has a label: the coin has no row 5 to 10 minutes later within the period, or no target until "
        "then, or dev_sold_amount is NULL, zero or negative"
    )


def test_a_ladder_of_falls_has_none_that_no_price_can_have(client: Connection) -> None:
    for label, operator in (("lowest_change", None), ("change", "<="), ("first_touch", "<=")):
        ladder = client.execute(
            "SELECT * FROM ml.targets('price_close', %s, 5, %s, train_end => '2024-01-15')", [label, operator]
        ).fetchall()
        assert [row["threshold"] for row in ladder] == [-1, -2, -5, -10, -20, -30, -50, -70, -90, -99]
    rises = client.execute(
        "SELECT * FROM ml.targets('price_close', 'first_touch', 5, train_end => '2024-01-15')"
    ).fetchall()
    assert rises[0]["predicts"] == "within 5 min, price_close reaches 1 % before -1 % from price_close"
    assert rises[-1]["predicts"] == "within 5 min, price_close reaches 500 % before -50 % from price_close"


def test_many_rows_are_counted_by_a_sample_of_whole_coins_that_fails_no_job(
    make_database: Callable[[], Database],
) -> None:
    """No coin of the sample rises, but another may."""
    db = make_database()
    with db.connect("owner") as owner, db.connect("anna") as client:
        owner.execute("TRUNCATE coin_metrics")
        owner.execute(
            """
            INSERT INTO coin_metrics (mint, "timestamp", phase_id_at_time, price_close, volume_sol)
            SELECT c, '2024-01-01'::timestamptz + r * interval '1 minute', 1, 1, 1
            FROM generate_series(1, 60) c, generate_series(1, 1000) r
            """
        )
        arguments = "label => 'highest_change', train_start => '2024-01-01', train_end => '2024-01-02'"
        said = client.execute(
            "SELECT * FROM ml.preview('xgboost', 'price_close', '>=', 30, 'volume_sol', future_minutes => 5, "
            f"{arguments})"
        ).fetchall()
        told = {row["what"]: row["result"] for row in said}
        assert told["counted"] == "50 of 60 coins, all of their rows"
        assert told["may fail"].startswith("among the coins counted too little to learn from")
        assert "would fail" not in told
        (row, *_) = client.execute(
            f"SELECT * FROM ml.targets('price_close', future_minutes => 5, {arguments})"
        ).fetchall()
        assert row["counted"] == "49,750 rows of 50 coins, a sample of whole coins out of 60"
        (row, *_) = client.execute(
            f"SELECT * FROM ml.targets('price_close', future_minutes => 500, {arguments})"
        ).fetchall()
        assert row["counted"].startswith("5,000 rows of 10 coins, ")


def test_the_views_say_what_a_label_is_and_what_it_left_out(client: Connection, worker: Connection) -> None:
    model_id = ready_model(client, worker, **TOUCH | {"train_operator": ">=", "train_uncovered": "negative"})
    assert one(
        client,
        "SELECT label, base_variable, stop_value, uncovered FROM ml_dim_models WHERE model_id = %s",
        [model_id],
    ) == {"label": "first_touch", "base_variable": "price_close", "stop_value": -15, "uncovered": "negative"}
    for view in ("ml_fact_training_runs", "ml_fact_tests", "ml_fact_comparisons"):
        client.execute(f"SELECT num_without_base, num_uncovered FROM {view}")


@pytest.mark.parametrize("moment", ["timestamp", "date"])
def test_moments_without_a_time_zone_are_those_of_utc(
    make_database: Callable[[], Database], moment: str
) -> None:
    db = make_database()
    with db.connect("owner") as owner, db.connect("rosa") as reader:
        owner.execute("TRUNCATE coin_metrics")
        owner.execute(f'ALTER TABLE coin_metrics ALTER COLUMN "timestamp" TYPE {moment}'.encode())
        owner.execute(
            """
            INSERT INTO coin_metrics (mint, "timestamp", price_close)
            SELECT 'one', '2024-01-01'::date + r, 1 + r % 3 FROM generate_series(0, 9) r
            """
        )
        reader.execute("SET timezone TO 'Asia/Tokyo'")
        ladder = reader.execute("SELECT * FROM ml.targets('price_close', 'highest_change', 1440)").fetchall()
        assert ladder[0]["counted"] == "9 rows of 1 coin"
        assert [row["rows_positive"] for row in ladder] == [6, 6, 6, 6, 6, 6, 6, 3, 0, 0]
