"""Columns of every kind are learnt from, tested and compared on by a worker: booleans, domains, odd names."""

from collections.abc import Callable

import pytest
from psycopg import sql

from tests.conftest import TRAIN, Connection, Database, Worker, insert_job, one, wait_for
from tests.one_server import server
from tests.sql.helpers import COMPARE_PERIOD, TEST_PERIOD
from worker.commands.demo import MODEL_TYPES

__all__ = ["server"]

# What xgboost forbids in a name of its own, what SQL must quote, and the longest that there is.
ODD = ["a[1]<2>", 'it\'s %s "odd" $1 {x}', "Größe 🚀", "MIXED Case", "select", "x\ny", "é" * 31 + "z"]
FAST = {
    "random_forest": "n_estimators=10",
    "xgboost": "n_estimators=10",
    "gradient_boosting": "n_estimators=10",
    "logistic_regression": "max_iter=50",
    "neural_network": "hidden_layers=8;max_iter=5",
}
FLAG = {"train_target_var": "is_koth", "train_operator": "=", "train_value": 1}


@pytest.fixture(scope="module")
def db(make_database: Callable[[], Database], start_worker: Callable[..., Worker]) -> Database:
    made = make_database()
    with made.connect("owner") as owner:
        owner.execute("CREATE DOMAIN flag AS boolean")
        owner.execute("CREATE DOMAIN sol AS numeric")
        owner.execute("CREATE DOMAIN paid AS sol")
        owner.execute("ALTER TABLE coin_metrics ADD up flag, ADD paid paid")
        for name in ODD:
            query = "ALTER TABLE coin_metrics ADD COLUMN {0} real; UPDATE coin_metrics SET {0} = price_open"
            owner.execute(sql.SQL(query).format(sql.Identifier(name)))
        owner.execute(
            "UPDATE coin_metrics SET is_koth = volume_sol > 5, up = market_cap_close > price_open * 1e9 OR"
            " market_cap_close > 50000, paid = volume_sol"
        )
    start_worker(made, "--concurrency", "2")
    return made


def completed(client: Connection, job_id: int) -> dict[str, object]:
    job = wait_for(client, job_id)
    assert job["status"] == "COMPLETED", job["error_msg"]
    return job


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_boolean_is_a_feature_and_a_target(client: Connection, model_type: str) -> None:
    fields = TRAIN | FLAG | {"train_model_type": model_type, "train_params_csv": FAST[model_type]}
    fields |= {"train_features_csv": "up,paid,num_buys"}
    pair = []
    for seed in (1, 2):
        job = completed(client, insert_job(client, **fields, train_random_state=seed))
        pair.append(job["result_model_id"])
    test = completed(client, insert_job(client, job_type="TEST", test_model_id=pair[0], **TEST_PERIOD))
    result = one(client, "SELECT * FROM ml_test_results WHERE id = %s", [test["result_test_id"]])
    query = """
        SELECT count(*) FILTER (WHERE is_koth) AS positive, count(*) FILTER (WHERE NOT is_koth) AS negative
        FROM coin_metrics WHERE timestamp >= %s AND timestamp < %s
    """
    expected = one(client, query, [*TEST_PERIOD.values()])
    assert (result["num_positive"], result["num_negative"]) == (expected["positive"], expected["negative"])
    compare = dict(zip(("compare_model_a_id", "compare_model_b_id"), pair, strict=True))
    completed(client, insert_job(client, job_type="COMPARE", **compare, **COMPARE_PERIOD))
    importances = client.execute(
        "SELECT feature, importance FROM ml_fact_importances WHERE model_id = %s AND source = 'test'",
        [pair[0]],
    ).fetchall()
    assert {row["feature"] for row in importances} == {"up", "paid", "num_buys"}


def test_a_boolean_is_a_target_ahead_and_its_own_feature(client: Connection) -> None:
    fields = TRAIN | FLAG | {"train_features_csv": "is_koth,up", "train_phases_csv": "2,3"}
    job = completed(client, insert_job(client, **fields, train_future_minutes=5))
    assert job["result_model_id"]


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_column_may_have_an_odd_name(client: Connection, model_type: str) -> None:
    fields = {"train_model_type": model_type, "train_params_csv": FAST[model_type]}
    job = completed(client, insert_job(client, **TRAIN | fields | {"train_features_csv": ",".join(ODD)}))
    model_id = job["result_model_id"]
    completed(client, insert_job(client, job_type="TEST", test_model_id=model_id, **TEST_PERIOD))
    query = "SELECT feature FROM ml_fact_importances WHERE model_id = %s AND source = 'training'"
    assert {row["feature"] for row in client.execute(query, [model_id])} == set(ODD)
    query = "SELECT feature FROM ml_model_features WHERE model_id = %s ORDER BY place"
    assert [row["feature"] for row in client.execute(query, [model_id])] == ODD
