"""SCORE end to end: every row of a period has an answer, which is that of the model."""

from collections.abc import Callable
from typing import Any

import pytest

from tests import sources
from tests.conftest import TRAIN, Connection, Database, Worker, insert_job, job_row, one, wait_for

__all__ = ["server"]

from tests.one_server import server

StartWorker = Callable[..., Worker]
TYPES = ["random_forest", "xgboost", "gradient_boosting", "logistic_regression", "neural_network"]
PERIOD = {"score_start": "2024-03-01", "score_end": "2024-04-01"}
SCIKIT_FOREST = {"train_model_type": "random_forest", "train_params_csv": "n_estimators=20;criterion=entropy"}


@pytest.fixture(scope="module")
def database(make_database: Callable[[], Database]) -> Database:
    db = make_database()
    with db.connect("owner") as owner:
        # Answers are wanted also where a feature is not known.
        owner.execute("UPDATE coin_metrics SET volume_sol = NULL WHERE random() < 0.1")
        owner.execute("ANALYZE coin_metrics")
        sources.add_copies(owner, follow=False)
    return db


@pytest.fixture(scope="module")
def anna(database: Database) -> Connection:
    return database.connect("anna")


@pytest.fixture(scope="module")
def service(database: Database, start_worker: StartWorker) -> Worker:
    return start_worker(database)


def trained(anna: Connection, **fields: Any) -> int:
    """A model of these fields; returns its id."""
    job = wait_for(anna, insert_job(anna, **(TRAIN | {"train_model_type": "xgboost"} | fields)))
    assert job["status"] == "COMPLETED", job["error_msg"]
    return int(job["result_model_id"])


def scored(anna: Connection, model_id: int, **fields: Any) -> Any:
    """The job that asked a model, COMPLETED."""
    job_id = insert_job(anna, **({"job_type": "SCORE", "score_model_id": model_id} | PERIOD | fields))
    job = wait_for(anna, job_id)
    assert job["status"] == "COMPLETED", job["error_msg"]
    return job


def failed(anna: Connection, job_type: str, model_id: int, start: str, end: str) -> str:
    """Why a job of this model and period fails."""
    prefix = job_type.lower()
    fields = {f"{prefix}_model_id": model_id, f"{prefix}_start": start, f"{prefix}_end": end}
    job = wait_for(anna, insert_job(anna, job_type=job_type, **fields))
    assert job["status"] == "FAILED"
    return str(job["error_msg"])


@pytest.mark.parametrize(
    "fields", [*({"train_model_type": name} for name in TYPES), SCIKIT_FOREST], ids=[*TYPES, "scikit_forest"]
)
def test_every_row_has_the_answer_that_ml_predict_gives(
    anna: Connection, service: Worker, fields: dict[str, Any]
) -> None:
    """Also rows whose label nobody knows yet, and none of another phase."""
    model_id = trained(anna, **fields, train_future_minutes=60, train_phases_csv="1,2")
    job = scored(anna, model_id)
    found = one(
        anna,
        """
        SELECT count(*) AS rows, count(p.key) AS answered,
            count(*) FILTER (WHERE p.probability > 0.5) AS positive,
            max(abs(p.probability - ml.predict(%(model)s::bigint, c))) AS difference
        FROM (
            SELECT * FROM coin_metrics
            WHERE "timestamp" >= '2024-03-01' AND "timestamp" < '2024-04-01' AND phase_id_at_time IN (1, 2)
        ) c
        FULL JOIN (SELECT * FROM ml_predictions WHERE job_id = %(job)s AND model_id = %(model)s) p
            ON (p.key, p.moment) = (c.mint, c."timestamp")
        """,
        {"model": model_id, "job": job["id"]},
    )
    assert found["difference"] <= (1e-5 if fields["train_model_type"] == "neural_network" else 1e-6)
    scoring = one(anna, "SELECT * FROM ml_scorings WHERE job_id = %s", [job["id"]])
    assert scoring["id"] == job["result_scoring_id"]
    assert found["rows"] == found["answered"] == scoring["num_samples"] > 100
    assert found["positive"] == scoring["num_positive"]
    assert (scoring["attempt"], scoring["note"]) == (1, None)
    share = round(100 * found["positive"] / found["rows"], 1)
    said = f"scoring {scoring['id']} of model {model_id}: {found['rows']:,} rows, {share} % positive"
    assert job["progress_msg"] == said


@pytest.mark.parametrize("source", [*sources.KEYED, sources.ALONE])
def test_rows_of_any_source_are_answered_also_several_of_one_key_at_one_moment(
    database: Database, anna: Connection, service: Worker, source: str
) -> None:
    if source == sources.ALONE:
        with database.connect("owner") as owner:
            owner.execute("GRANT SELECT ON alone TO anna")
    else:
        with database.connect("owner") as owner:
            owner.execute("GRANT SELECT ON by_text, by_number, by_view TO anna")
    model_id = trained(anna, train_source=source)
    job = scored(anna, model_id)
    own = one(
        anna,
        "SELECT count(*) AS rows FROM coin_metrics"
        " WHERE timestamp >= '2024-03-01' AND timestamp < '2024-04-01'",
    )
    found = one(
        anna,
        """
        SELECT count(*) AS rows, count(DISTINCT key) AS keys, min(moment) >= '2024-03-01' AS is_within
        FROM ml_predictions WHERE job_id = %s
        """,
        [job["id"]],
    )
    num_keys = 1 if source == sources.ALONE else found["keys"]
    assert found == {"rows": own["rows"], "keys": num_keys, "is_within": True}
    if source == sources.ALONE:
        assert (
            one(anna, "SELECT DISTINCT key FROM ml_predictions WHERE job_id = %s", [job["id"]])["key"] == ""
        )


def test_a_period_without_rows_and_an_infinite_feature_are_refused_as_in_a_test(
    database: Database, anna: Connection, service: Worker
) -> None:
    model_id = trained(anna)
    empty = ("2031-01-01", "2031-02-01")
    assert failed(anna, "SCORE", model_id, *empty) == failed(anna, "TEST", model_id, *empty)
    with database.connect("owner") as owner:
        owner.execute("ALTER TABLE coin_metrics ALTER volume_sol TYPE float8")
        owner.execute(
            "INSERT INTO coin_metrics (mint, timestamp, phase_id_at_time, market_cap_close, volume_sol)"
            " VALUES ('Z', '2032-01-01', 1, 1, 'Infinity'), ('Z', '2032-01-02', 1, 1, NULL)"
        )
    endless = ("2032-01-01", "2032-01-02")
    said = failed(anna, "SCORE", model_id, *endless)
    assert said.startswith("the feature volume_sol is infinite or larger than 3.4e38 in 1 of 1 rows")
    # The newest rows may be few, and know little.
    job = scored(anna, model_id, score_start="2032-01-02", score_end="2032-01-03")
    answer = one(anna, "SELECT * FROM ml_predictions WHERE job_id = %s", [job["id"]])
    asked = "price_open=null;price_high=null;price_low=null;volume_sol=null"
    same = one(anna, "SELECT ml.predict(%s::bigint, %s) AS answer", [model_id, asked])
    assert answer["probability"] == pytest.approx(same["answer"], abs=1e-6)


def test_the_same_rows_give_the_same_answers_and_the_training_period_is_told(
    anna: Connection, service: Worker
) -> None:
    model_id = trained(anna)
    jobs = [scored(anna, model_id, score_start="2024-02-15", score_end="2024-03-15") for _ in range(2)]
    scorings = [one(anna, "SELECT * FROM ml_scorings WHERE job_id = %s", [job["id"]]) for job in jobs]
    assert len({scoring["data_fingerprint"] for scoring in scorings}) == 1
    assert all("is part of the training period" in scoring["note"] for scoring in scorings)
    assert all(job["progress_msg"].endswith(scorings[0]["note"]) for job in jobs)
    differing = one(
        anna,
        """
        SELECT count(*) AS n FROM (
            (SELECT key, moment, probability FROM ml_predictions WHERE job_id = %(a)s
            EXCEPT ALL SELECT key, moment, probability FROM ml_predictions WHERE job_id = %(b)s)
        ) d
        """,
        {"a": jobs[0]["id"], "b": jobs[1]["id"]},
    )
    assert differing["n"] == 0
    assert job_row(anna, jobs[0]["id"])["attempt"] == 1
