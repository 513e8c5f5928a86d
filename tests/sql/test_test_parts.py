"""A test by day and by coin: the parts sum to its result, and the views have their metrics."""

from typing import Any

import pytest

from tests.conftest import Connection, Database, job_row, one
from tests.sql.helpers import complete, count, refused, running_job


def day(name: str, tp: int, fp: int, tn: int, fn: int, **values: Any) -> dict[str, Any]:
    return {"day": name, "tp": tp, "fp": fp, "tn": tn, "fn": fn} | values


def coin(place: int, key: str | None, tp: int, fp: int, tn: int, fn: int, **values: Any) -> dict[str, Any]:
    return {"place": place, "key": key, "num_coins": 1, "tp": tp, "fp": fp, "tn": tn, "fn": fn} | values


# Together 40, 10, 140 and 10, as the result has them.
DAYS = [day("2024-03-01", 30, 10, 100, 0, roc_auc="0.95"), day("2024-03-02", 10, 0, 40, 10)]
COINS = [coin(0, "A", 40, 0, 100, 0), coin(1, "", 0, 10, 20, 0), coin(2, None, 0, 0, 20, 10, num_coins=7)]
PARTS = {"ml_test_day_counts": DAYS, "ml_test_coin_counts": COINS}


def recorded(client: Connection, worker: Connection, **facts: Any) -> int:
    job_id = running_job(client, worker, "TEST")
    complete(worker, job_id, "TEST", **PARTS | facts)
    return job_id


def test_the_views_have_the_metrics_of_each_part(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    job_id = recorded(client, worker)
    columns = "num_samples, num_positive, accuracy, precision_score, recall, f1_score"
    rows = reader.execute(
        f"SELECT day, {columns}, roc_auc FROM ml_test_days WHERE job_id = %s ORDER BY day", [job_id]
    ).fetchall()
    assert [[str(value) for value in row.values()] for row in rows] == [
        ["2024-03-01", "140", "30", "0.9286", "0.7500", "1.0000", "0.8571", "0.9500"],
        ["2024-03-02", "60", "20", "0.8333", "1.0000", "0.5000", "0.6667", "None"],
    ]
    rows = reader.execute(
        f"SELECT key, num_coins, {columns}, mcc FROM ml_test_coins WHERE job_id = %s ORDER BY place", [job_id]
    ).fetchall()
    assert [[str(value) for value in row.values()] for row in rows] == [
        ["A", "1", "140", "40", "1.0000", "1.0000", "1.0000", "1.0000", "1.0000"],
        ["", "1", "30", "0", "0.6667", "0.0000", "None", "0.0000", "None"],
        ["None", "7", "30", "10", "0.6667", "None", "0.0000", "0.0000", "None"],
    ]
    test = one(reader, "SELECT id, model_id FROM ml_test_results WHERE job_id = %s", [job_id])
    for view in ("ml_test_days", "ml_test_coins"):
        named = reader.execute(
            f"SELECT DISTINCT test_id, model_id FROM {view} WHERE job_id = %s", [job_id]
        ).fetchall()
        assert named == [{"test_id": test["id"], "model_id": test["model_id"]}]


@pytest.mark.parametrize(
    ("facts", "sqlstate", "message"),
    [
        ({"ml_test_day_counts": DAYS[:1]}, "23514", "do not sum to its confusion matrix"),
        ({"ml_test_coin_counts": COINS[1:]}, "23514", "do not sum to its confusion matrix"),
        (
            {"ml_test_coin_counts": [*COINS[:2], coin(2, "A", 0, 0, 20, 10)]},
            "23514",
            "the coins of job",
        ),
        (
            {"ml_test_coin_counts": [COINS[0], coin(1, None, 0, 10, 20, 0), COINS[2]]},
            "23514",
            "name one twice",
        ),
        ({"ml_test_day_counts": [DAYS[0], DAYS[1] | {"day": "2024-03-01"}]}, "23505", "_pkey"),
        ({"ml_test_day_counts": [*DAYS, day("2024-03-03", 0, 0, 0, 0)]}, "23514", "counts_not_negative"),
        ({"ml_test_coin_counts": [*COINS[:2], COINS[2] | {"key": "B"}]}, "23514", "key_is_of_one"),
    ],
)
def test_parts_that_are_not_those_of_the_result_are_refused_with_it(
    client: Connection, worker: Connection, facts: dict[str, Any], sqlstate: str, message: str
) -> None:
    job_id = running_job(client, worker, "TEST")
    with refused(sqlstate, message):
        complete(worker, job_id, "TEST", **PARTS | facts)
    assert job_row(client, job_id)["status"] == "RUNNING"
    assert count(client, f"ml_test_results WHERE job_id = {job_id}") == 0


def test_an_older_worker_records_a_test_without_parts(client: Connection, worker: Connection) -> None:
    job_id = running_job(client, worker, "TEST")
    complete(worker, job_id, "TEST")
    assert job_row(client, job_id)["status"] == "COMPLETED"
    assert count(client, f"ml_test_days WHERE job_id = {job_id}") == 0


@pytest.mark.parametrize("table", ["ml_test_day_counts", "ml_test_coin_counts"])
def test_parts_are_append_only_and_of_a_test(
    client: Connection, worker: Connection, owner: Connection, table: str
) -> None:
    recorded(client, worker)
    for statement in (f"UPDATE {table} SET tp = 0", f"DELETE FROM {table}", f"TRUNCATE {table}"):
        with refused("ML003", f"{table} is append-only"):
            owner.execute(statement.encode())
    job_id = running_job(client, worker, "TEST")
    own = "'2024-03-01'" if table == "ml_test_day_counts" else "0, 'A', 1"
    with refused("23514", "are of no test"):
        owner.execute(f"INSERT INTO {table} VALUES ({job_id}, {own}, 1, 1, 1, 1)".encode())
    for login in (client, worker):
        with refused("42501", "permission denied"):
            login.execute(f"INSERT INTO {table} VALUES ({job_id}, {own}, 1, 1, 1, 1)".encode())


def test_parts_are_pruned_with_their_job(make_database: Any) -> None:
    db: Database = make_database()
    with db.connect("anna") as client, db.connect("wanda") as worker, db.connect("owner") as owner:
        recorded(client, worker)
        client.execute("UPDATE ml_models SET is_deleted = true")
        owner.execute("CALL ml.prune('0 seconds')")
        assert [count(owner, table) for table in (*PARTS, "ml_jobs")] == [0, 0, 0]
