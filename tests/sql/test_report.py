"""ml.report: a page about a model, in whichever state it is."""

from typing import Any

import pytest

from tests.conftest import TRAIN, Connection, Database, claim, insert_job, job_row, one, ready_model, record
from tests.sql.helpers import COMPARE_PERIOD, RESULTS, TEST_PERIOD, call, complete, refused, running_job

PAGE = """\
Model {a}, first: READY
made by hand,
twice
Held out: better than always saying negative: accuracy 0.9000 against 0.7500
Test:     no better than always saying positive: accuracy 0.4000 against 1.0000
\x20
  predicts   market_cap_close > 50000 after 10 min
  from       price_open, price_high, price_low, volume_sol
  in phases  1, 2
  by         logistic_regression: C=1.0, max_iter=50
  period     2024-01-01 to 2024-03-01
  trained on 800 rows, positive: 300 (37.5 %); without a label: 5
  warnings   did not converge
\x20
Held out: 200 rows, whole coins
               model  always negative               said positive   negative
  accuracy    0.9000           0.7500               +-----------+-----------+
  F1          0.8000           0.0000   is positive |        40 |        10 |
  precision   0.8000                -               +-----------+-----------+
  recall      0.8000           0.0000   is negative |        10 |       140 |
  ROC AUC     0.9000           0.5000               +-----------+-----------+
\x20
Latest test: 2,500 rows, 2024-03-10 12:30 to 2024-04-01; without a label: 5
               model  always positive               said positive   negative
  accuracy    0.4000           1.0000               +-----------+-----------+
  F1          0.5714           1.0000   is positive |     1,000 |     1,500 |
  precision   1.0000           1.0000               +-----------+-----------+
  recall      0.4000           1.0000   is negative |         0 |         0 |
  ROC AUC          -                -               +-----------+-----------+
\x20
What it looks at: share of the permutation importance
  price_open 0.7500 ########################################
  volume_sol 0.2500 #############
  price_high      -
  price_low       -
\x20
Tests: 3
  test {third}, 2024-02-20 12:30 to 2024-04-01: accuracy 0.9000, F1 0.8000, ROC AUC 0.9000; {overlap}
  test {second}, 2024-03-10 12:30 to 2024-04-01: accuracy 0.4000, F1 0.5714, ROC AUC -
  test {first}, 2024-03-01 to 2024-04-01: accuracy 0.9000, F1 0.8000, ROC AUC 0.9000
\x20
Comparisons: 2
  no winner, but behind model {b}, second (2024-03-01 to 2024-04-01): F1 0.6667 to 0.8000
    no clear winner: F1 0.8000 of model {b} is 0.1333 higher than 0.6667 of model {a}, {older}
  no winner, but ahead of model {b}, second (2024-03-01 to 2024-04-01): F1 0.8000 to 0.6667
    no clear winner: F1 0.8000 of model {a} is 0.1333 higher than 0.6667 of model {b}, {older}
"""


@pytest.fixture(autouse=True)
def _utc(reader: Connection, client: Connection) -> None:
    for connection in (reader, client):
        connection.execute("SET TimeZone TO 'UTC'")


def report(connection: Connection, model: int | str) -> list[str]:
    rows = connection.execute("SELECT ml.report(%s) AS line", [model])
    return [row["line"].rstrip() for row in rows]


def trained(client: Connection, worker: Connection, result: dict[str, Any], **fields: Any) -> int:
    """Make a READY model with this result; returns its id."""
    job_id = insert_job(client, **(TRAIN | fields))
    assert claim(worker)["id"] == job_id
    record(worker, job_id, 1, **(RESULTS["TRAIN"] | result))
    return int(job_row(client, job_id)["result_model_id"])


def test_the_page_of_a_model(client: Connection, worker: Connection, reader: Connection) -> None:
    a = trained(
        client,
        worker,
        {"warnings": "did not converge"},
        train_model_name="first",
        train_description="made by hand,\ntwice",
        train_future_minutes=10,
        train_phases_csv="1,2",
        train_params_csv="max_iter=50",
    )
    b = ready_model(client, worker, train_model_name="second", train_future_minutes=10)
    tests = []
    results: tuple[tuple[dict[str, str], dict[str, Any]], ...] = (
        (TEST_PERIOD, {}),
        (
            TEST_PERIOD | {"test_start": "2024-03-10 12:30"},
            {
                **{"tp": 1000, "fn": 1500, "tn": 0, "fp": 0, "roc_auc": None},
                **{"num_positive": 2500, "num_negative": 0},
            },
        ),
        (TEST_PERIOD | {"test_start": "2024-02-20 12:30"}, {}),
    )
    for period, values in results:
        job_id = insert_job(client, job_type="TEST", test_model_id=a, **period)
        claim(worker)
        tests.append(complete(worker, job_id, "TEST", **values))
    for pair in ((a, b), (b, a)):
        ids = dict(zip(("compare_model_a_id", "compare_model_b_id"), pair, strict=True))
        job_id = insert_job(client, job_type="COMPARE", **ids, **COMPARE_PERIOD)
        claim(worker)
        complete(worker, job_id, "COMPARE")
    overlap = one(client, "SELECT overlap_note FROM ml_test_results WHERE id = %s", [tests[2]])[
        "overlap_note"
    ]
    older = "and the worker gave no interval; it is older than this database"
    page = PAGE.format(
        a=a, b=b, first=tests[0], second=tests[1], third=tests[2], overlap=overlap, older=older
    )
    assert report(reader, a) == [line.rstrip() for line in page.splitlines()]
    assert report(client, "first") == report(reader, a)


def test_the_trivial_answer_is_the_more_frequent_one_of_the_rows_measured(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    """Whatever the rows were that it was fitted on: the HTML page says the same."""
    mostly_positive = {
        "num_positive": 150,
        "num_negative": 50,
        "tp": 140,
        "tn": 40,
        "fp": 10,
        "fn": 10,
    }
    model = trained(client, worker, {"num_fitted_positive": 300, "holdout": "time"} | mostly_positive)
    page = report(reader, model)
    start = page.index("Held out: 200 rows, the last part of the period")
    assert "always positive" in page[start + 1]
    # 150 of 200 rows are positive.
    always = [line[20:37].strip() for line in page[start + 2 : start + 7]]
    assert always == ["0.7500", "0.8571", "0.7500", "1.0000", "0.5000"]


def test_without_tests_and_importance_it_says_so(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    page = report(reader, trained(client, worker, {"feature_importance_csv": None}))
    assert "Tests: 0" in page
    assert "Comparisons: 0" in page
    assert "  price_open      -" in page
    assert not [line for line in page if line.startswith("Latest test")]


def test_a_model_in_training_says_how_far_it_is(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    job_id = running_job(client, worker)
    call(worker, "record_progress", job_id, 1, "0.4", "Training: 40/100 trees")
    model = one(reader, "SELECT id, name FROM ml_models WHERE train_job_id = %s", [job_id])
    page = report(reader, model["id"])
    assert page[0] == f"Model {model['id']}, {model['name']}: TRAINING"
    assert page[-1] == f"Job {job_id} is RUNNING: Training: 40/100 trees"


def test_a_failed_model_says_why(client: Connection, worker: Connection, reader: Connection) -> None:
    job_id = running_job(client, worker)
    call(worker, "record_failure", job_id, 1, "one class only")
    model = one(reader, "SELECT id FROM ml_models WHERE train_job_id = %s", [job_id])["id"]
    page = report(reader, model)
    assert page[0].endswith(": FAILED")
    assert page[-1] == f"Job {job_id} is FAILED: one class only"


def test_a_deleted_model_says_how_to_take_it_back(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    model = ready_model(client, worker)
    client.execute("UPDATE ml_models SET is_deleted = true WHERE id = %s", [model])
    page = report(reader, model)
    assert page[1].startswith("Deleted on 20")
    client.execute(page[1].split(": ", 1)[1].encode())
    assert not report(reader, model)[1].startswith("Deleted")


@pytest.mark.parametrize(
    ("model", "named"), [(4711, "model 4711 does not exist"), ("x", "no model is named 'x'")]
)
def test_a_model_that_is_not_there_is_an_error(reader: Connection, model: int | str, named: str) -> None:
    with refused("P0002", named, "ml_leaderboard"):
        report(reader, model)


def test_it_fits_a_terminal(client: Connection, worker: Connection, reader: Connection) -> None:
    page = report(reader, ready_model(client, worker))
    assert max(map(len, page)) <= 80


def test_every_role_may_read_it(db: Database, client: Connection, worker: Connection) -> None:
    model = ready_model(client, worker)
    pages = []
    for login in ("anna", "rosa", "wanda"):
        with db.connect(login) as connection:
            pages.append(report(connection, model))
    assert pages[0] == pages[1] == pages[2]
