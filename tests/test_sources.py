"""Jobs on sources of every kind, done by a worker: the numbers are those of the same rows of coin_metrics."""

from collections.abc import Callable
from typing import Any

import pytest

from tests import sources
from tests.conftest import TRAIN, Connection, Database, Worker, insert_job, one, wait_for
from tests.one_server import server
from tests.sql.helpers import COMPARE_PERIOD, TEST_PERIOD

__all__ = ["server"]

FIELDS: dict[str, Any] = TRAIN | {
    "train_features_csv": "market_cap_close,volume_sol,num_buys",
    "train_future_minutes": 5,
    "train_phases_csv": "1,2",
    "train_model_type": "xgboost",
    "train_params_csv": "n_estimators=10",
}
GUESSED = """
    CREATE FUNCTION of_{0}() RETURNS SETOF by_text LANGUAGE plpgsql IMMUTABLE ROWS {0}
    AS $$ BEGIN RETURN QUERY SELECT * FROM public.by_text; END $$;
    CREATE VIEW guessed_{0} AS SELECT * FROM of_{0}();
    CALL ml.add_source('guessed_{0}', 'guessed_{0}', key => 'account', moment => 'at', phase => 'stage')
"""


@pytest.fixture(scope="module")
def db(make_database: Callable[[], Database], start_worker: Callable[..., Worker]) -> Database:
    made = make_database()
    with made.connect("owner") as owner:
        sources.add_copies(owner, follow=False)
        for guess in (1, 2_000_000_000):
            owner.execute(GUESSED.format(guess).encode())
        owner.execute(
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO anna; GRANT SELECT ON by_text TO ml_worker"
        )
    start_worker(made, "--concurrency", "2")
    return made


def measured(client: Connection, source: str) -> list[dict[str, Any]]:
    """What was measured of a model in training, in a test, and beside another of its source."""
    fields = FIELDS | {"train_source": source}
    pair = [
        wait_for(client, insert_job(client, **fields, train_random_state=seed), timeout=240)
        for seed in (1, 2)
    ]
    assert [job["error_msg"] for job in pair] == [None, None]
    models = [job["result_model_id"] for job in pair]
    test = wait_for(client, insert_job(client, job_type="TEST", test_model_id=models[0], **TEST_PERIOD))
    compare = dict(zip(("compare_model_a_id", "compare_model_b_id"), models, strict=True))
    compared = wait_for(client, insert_job(client, job_type="COMPARE", **compare, **COMPARE_PERIOD))
    assert (test["error_msg"], compared["error_msg"]) == (None, None)
    queries = (
        ("SELECT * FROM ml_training_runs WHERE model_id = %s", models[0]),
        ("SELECT * FROM ml_test_results WHERE id = %s", test["result_test_id"]),
        ("SELECT * FROM ml_comparisons WHERE id = %s", compared["result_comparison_id"]),
    )
    ignored = (
        "id",
        "job_id",
        "model_id",
        "created_at",
        "artifact_",
        "seconds_",
        "winner",
        "model_",
        "overlap",
        "leader",
        "verdict",
    )
    return [
        {
            name: value
            for name, value in one(client, query.encode(), [number]).items()
            if not name.startswith(ignored)
        }
        for query, number in queries
    ]


@pytest.fixture(scope="module")
def expected(db: Database) -> list[dict[str, Any]]:
    with db.connect("anna") as client:
        return measured(client, "coin_metrics")


@pytest.mark.parametrize("source", [*sources.KEYED, "guessed_1", "guessed_2000000000"])
def test_a_source_gives_the_numbers_of_the_same_rows_of_coin_metrics(
    client: Connection, expected: list[dict[str, Any]], source: str
) -> None:
    """Also where the planner's guess at its rows is far too low, or more than any memory could hold."""
    assert measured(client, source) == expected


def test_a_source_without_a_key_is_one_series_held_out_by_time(client: Connection) -> None:
    training, test, comparison = measured(client, sources.ALONE)
    assert (training["num_coins"], training["holdout"]) == (1, "time")
    assert test["num_samples"] == comparison["num_samples"] > 0
