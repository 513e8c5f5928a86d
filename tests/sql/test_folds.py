"""How a training is validated: what is held out, walk-forward folds, weights of rows."""

from typing import Any

import pytest

from tests.conftest import JOB_TYPES, TRAIN, Connection, Database, insert_job, job_row, one
from tests.sql.helpers import complete, count, refused, running_job
from tests.sql.test_by_hand import as_arguments, by_hand

FOLDS: dict[str, Any] = {"train_folds": 3}
ROWS: dict[str, Any] = {
    "num_samples": 200,
    "num_positive": 50,
    "num_negative": 150,
    "num_purged": 7,
    "tn": 140,
    "fp": 10,
    "roc_auc": "0.9",
    "average_precision": "0.7",
    "log_loss": "0.35",
    "brier_score": "0.1",
}


def fold(number: int, positives: int = 40, **own: Any) -> dict[str, Any]:
    """A row of ``ml_folds``, a week after the one before."""
    days = [f"2024-01-{7 * number - 6:02d}", f"2024-01-{7 * number:02d}", f"2024-01-{7 * number + 1:02d}"]
    moments = dict(zip(("fitted_end", "measured_start", "measured_end"), days, strict=True))
    counts = {
        "num_fitted": 100 * number,
        "num_fitted_positive": 30 * number,
        "tp": positives,
        "fn": 50 - positives,
    }
    return {"fold": number, "fitted_start": "2024-01-01", **moments, **ROWS, **counts} | own


THREE = [fold(1, 20, roc_auc="0.71"), fold(2, 40), fold(3, 30, roc_auc="0.8")]
NOTHING: dict[str, Any] = dict.fromkeys(
    ("tp", "tn", "fp", "fn", "roc_auc", "average_precision", "log_loss", "brier_score")
)


def running(client: Connection, worker: Connection, **fields: Any) -> int:
    """A TRAIN job that a worker of this version claimed; returns its id."""
    job_id = insert_job(client, **TRAIN | fields)
    query = "SELECT id FROM ml_internal.claim_job('w1', '30 seconds', %s)"
    assert one(worker, query, [[*JOB_TYPES, "+splits"]])["id"] == job_id
    return job_id


def recorded(
    client: Connection, worker: Connection, rows: list[dict[str, Any]] = THREE, **values: Any
) -> int:
    job_id = running(client, worker, train_folds=len(rows))
    complete(worker, job_id, "TRAIN", ml_folds=rows, **values)
    return job_id


# ── What a client asks for ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fields", "message", "hint"),
    [
        ({"train_split": "rows"}, "train_split 'rows' is unknown", "coins_and_time"),
        ({"train_split": ""}, "train_split '' is unknown", "time"),
        ({"train_split": "TIME"}, "train_split 'TIME' is unknown", "time"),
        ({"train_folds": 1}, "train_folds 1 is not between 2 and 20", "leave it out"),
        ({"train_folds": 21}, "train_folds 21 is not between 2 and 20", "leave it out"),
        ({"train_folds": -5}, "train_folds -5 is not between 2 and 20", "leave it out"),
        ({"train_weights": "age"}, "train_weights 'age' is unknown", "uniqueness"),
    ],
)
def test_a_wrong_validation_is_refused(
    client: Connection, fields: dict[str, Any], message: str, hint: str
) -> None:
    with refused("23514", message, hint):
        insert_job(client, **TRAIN | fields)
    with refused("23514", message, hint):
        by_hand(client, "train", **as_arguments(TRAIN | fields))
    arguments = as_arguments(TRAIN | fields)
    places = ", ".join(f"{name} => %s" for name in arguments)
    with refused("23514", message, hint):
        client.execute(f"SELECT * FROM ml.preview({places})", list(arguments.values()))


def test_weights_are_refused_for_a_type_that_takes_none(client: Connection, owner: Connection) -> None:
    owner.execute("UPDATE ref_model_types SET takes_weights = name <> 'neural_network'")
    fields = TRAIN | {"train_weights": "uniqueness", "train_model_type": "neural_network"}
    try:
        with refused("23514", "neural_network takes no weights", "random_forest, xgboost, gradient_boosting"):
            insert_job(client, **fields)
        insert_job(client, **fields | {"train_weights": "none"})
        insert_job(client, **fields | {"train_model_type": "xgboost"})
    finally:
        owner.execute("UPDATE ref_model_types SET takes_weights = true")


@pytest.mark.parametrize(
    ("fields", "job", "model"),
    [
        ({}, ("coins", None, "none"), ("coins", None, "none")),
        ({"train_folds": 0}, ("coins", 0, "none"), ("coins", None, "none")),
        (
            {"train_split": " coins_and_time ", "train_folds": 20, "train_weights": "uniqueness"},
            ("coins_and_time", 20, "uniqueness"),
            ("coins_and_time", 20, "uniqueness"),
        ),
        ({"train_split": "time", "train_folds": 2}, ("time", 2, "none"), ("time", 2, "none")),
    ],
)
def test_a_model_keeps_what_its_job_asked_for(
    client: Connection,
    worker: Connection,
    fields: dict[str, Any],
    job: tuple[Any, ...],
    model: tuple[Any, ...],
) -> None:
    job_id = running(client, worker, **fields)
    row = job_row(client, job_id)
    assert (row["train_split"], row["train_folds"], row["train_weights"]) == job
    for relation, key in (("ml_models", "train_job_id"), ("ml_dim_models", "job_id")):
        found = one(client, f"SELECT split, folds, weights FROM {relation} WHERE {key} = %s", [job_id])
        assert tuple(found.values()) == model
    told = one(worker, "SELECT ml_internal.assignment(%s) -> 'request' AS told", [job_id])["told"]
    assert (told["split"], told["folds"], told["weights"]) == job


@pytest.mark.parametrize(
    "fields", [{"train_split": "time"}, {"train_folds": 2}, {"train_weights": "uniqueness"}], ids=str
)
def test_a_worker_that_does_not_know_of_it_gets_other_jobs(
    client: Connection, worker: Connection, fields: dict[str, Any]
) -> None:
    """A worker of version 7 would hold out coins, measure no folds and weigh nothing."""
    asks = [insert_job(client, **TRAIN | fields | {"priority": 1}) for _ in range(2)]
    plain = insert_job(client, **TRAIN | {"train_split": "coins", "train_folds": 0})
    query = "SELECT id FROM ml_internal.claim_job('old', '30 seconds', %s)"
    assert [row["id"] for row in worker.execute(query, [[*JOB_TYPES, "+sources"]])] == [plain]
    assert worker.execute(query, [[*JOB_TYPES, "+sources"]]).fetchall() == []
    for job_id in asks:
        assert one(worker, query, [[*JOB_TYPES, "+sources", "+splits"]])["id"] == job_id


# ── What is recorded ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("holdout", ["coins", "time", "coins_and_time"])
def test_a_run_says_what_was_held_out_and_how_unique_its_labels_were(
    client: Connection, worker: Connection, holdout: str
) -> None:
    job_id = running(client, worker)
    complete(worker, job_id, "TRAIN", holdout=holdout, mean_uniqueness="0.123456")
    for relation in ("ml_training_runs", "ml_fact_training_runs"):
        run = one(client, f"SELECT * FROM {relation} WHERE job_id = %s", [job_id])
        assert (run["holdout"], str(run["mean_uniqueness"])) == (holdout, "0.123456")


def test_the_folds_are_kept_with_their_metrics_and_name_the_model(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    job_id = recorded(client, worker)
    rows = reader.execute("SELECT * FROM ml_fact_folds WHERE job_id = %s ORDER BY fold", [job_id]).fetchall()
    assert [str(row["f1_score"]) for row in rows] == ["0.5000", "0.8000", "0.6667"]
    assert [str(row["recall"]) for row in rows] == ["0.4000", "0.8000", "0.6000"]
    assert {row["model_id"] for row in rows} == {job_row(client, job_id)["result_model_id"]}
    assert {row["num_purged"] for row in rows} == {7}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        pytest.param([*THREE[:2]], "are not those from 1 to 3", id="too_few"),
        pytest.param([*THREE, fold(4)], "are not those from 1 to 3", id="too_many"),
        pytest.param([fold(1), fold(2), fold(4)], "are not those from 1 to 3", id="wrong_number"),
        pytest.param(
            [fold(1), fold(2), fold(3, measured_start="2024-01-14 12:00", fitted_end="2024-01-14")],
            "overlap",
            id="overlapping",
        ),
        pytest.param(
            [fold(1), fold(2), fold(3, num_fitted=150)], "are fitted on ever fewer rows", id="fewer_rows"
        ),
    ],
)
def test_folds_that_do_not_fit_each_other_are_refused_with_the_result(
    client: Connection, worker: Connection, rows: list[dict[str, Any]], said: str
) -> None:
    job_id = running(client, worker, **FOLDS)
    with refused("23514", f"the folds of job {job_id} {said}", "train_folds"):
        complete(worker, job_id, "TRAIN", ml_folds=rows)
    assert job_row(client, job_id)["status"] == "RUNNING"
    assert count(client, f"ml_folds WHERE job_id = {job_id}") == 0


def test_folds_that_nobody_asked_for_are_refused(client: Connection, worker: Connection) -> None:
    job_id = running_job(client, worker)
    with refused("23514", f"the folds of job {job_id} were not asked for"):
        complete(worker, job_id, "TRAIN", ml_folds=THREE)


def test_without_folds_a_result_is_recorded_all_the_same(client: Connection, worker: Connection) -> None:
    """As an older worker gives it."""
    job_id = running(client, worker, **FOLDS)
    complete(worker, job_id, "TRAIN")
    assert job_row(client, job_id)["status"] == "COMPLETED"


@pytest.mark.parametrize(
    "statement", ["UPDATE ml_folds SET tp = 0", "DELETE FROM ml_folds", "TRUNCATE ml_folds"]
)
def test_folds_are_append_only(owner: Connection, statement: str) -> None:
    with refused("ML003", "ml_folds is append-only"):
        owner.execute(statement.encode())


def test_nobody_but_the_routines_inserts_a_fold(db: Database) -> None:
    for login in ("anna", "rosa", "wanda"):
        with db.connect(login) as connection, refused("42501", "permission denied"):
            connection.execute("INSERT INTO ml_folds (job_id, fold) VALUES (1, 1)")


def test_folds_are_pruned_with_their_job(client: Connection, worker: Connection, owner: Connection) -> None:
    job_id = recorded(client, worker)
    model_id = job_row(client, job_id)["result_model_id"]
    owner.execute("CALL ml.prune('0 seconds')")
    assert count(owner, f"ml_folds WHERE job_id = {job_id}") == 3
    client.execute("UPDATE ml_models SET is_deleted = true WHERE id = %s", [model_id])
    owner.execute("CALL ml.prune('0 seconds')")
    assert count(owner, f"ml_folds WHERE job_id = {job_id}") == 0


# ── What is said of it ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (THREE, "in 3 later periods F1 was 0.50 to 0.80, ROC AUC 0.71 to 0.90"),
        ([fold(1), fold(2)], "in 2 later periods F1 was 0.80, ROC AUC 0.90"),
        (
            [fold(1, **NOTHING | {"reason": "one class only"}), *THREE[1:]],
            "in 2 of 3 later periods F1 was 0.67 to 0.80, ROC AUC 0.80 to 0.90; else one class only",
        ),
        (
            [fold(1, roc_auc=None, average_precision=None), fold(2, roc_auc=None)],
            "in 2 later periods F1 was 0.80, ROC AUC undefined",
        ),
        (
            [fold(number, **NOTHING | {"reason": "no row is left"}) for number in (1, 2)],
            "in none of 2 later periods could it be measured: no row is left",
        ),
    ],
    ids=["range", "equal", "one_without", "undefined", "none"],
)
def test_the_model_says_in_a_sentence_what_it_gave_in_later_periods(
    client: Connection, worker: Connection, reader: Connection, rows: list[dict[str, Any]], said: str
) -> None:
    job_id = recorded(client, worker, rows)
    model_id = job_row(client, job_id)["result_model_id"]
    query = "SELECT later_periods FROM ml_leaderboard WHERE id = %s"
    assert one(reader, query, [model_id])["later_periods"] == said
    page = [row["report"] for row in reader.execute("SELECT ml.report(%s)", [model_id])]
    assert f"Folds:    {said}" in page
    start = page.index("Folds: its recipe fitted on all rows before each of these periods")
    assert [line[:7] for line in page[start + 1 : start + 1 + len(rows)]] == [
        f"  fold {number}"[:7] for number in range(1, len(rows) + 1)
    ]


def test_a_model_without_folds_says_nothing_of_them(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    job_id = running_job(client, worker)
    complete(worker, job_id, "TRAIN")
    model_id = job_row(client, job_id)["result_model_id"]
    query = "SELECT later_periods FROM ml_leaderboard WHERE id = %s"
    assert one(reader, query, [model_id])["later_periods"] is None
    page = [row["report"] for row in reader.execute("SELECT ml.report(%s)", [model_id])]
    assert not [line for line in page if "fold" in line.lower()]


def test_the_report_fits_a_terminal_with_ten_folds_and_says_how_labels_overlap(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    rows = [
        fold(1)
        | {
            "fold": number,
            "fitted_end": "2024-01-01",
            "measured_start": f"2024-02-{number:02d} 03:14:15.123456",
            "measured_end": f"2024-02-{number + 1:02d} 01:02:03.456789",
        }
        for number in range(1, 11)
    ]
    job_id = running(client, worker, train_folds=10, train_weights="uniqueness", train_future_minutes=5)
    complete(
        worker, job_id, "TRAIN", ml_folds=rows, mean_uniqueness="0.25", holdout="coins_and_time", num_gap=99
    )
    model_id = job_row(client, job_id)["result_model_id"]
    page = [row["report"] for row in reader.execute("SELECT ml.report(%s)", [model_id])]
    assert max(map(len, page)) <= 80, page
    assert [line for line in page if line.startswith("  fold 10")]
    assert "  overlap    mean uniqueness of the labels 0.2500, by which rows are weighted" in page
    assert "Held out: 200 rows, later rows of coins that were not fitted" in page
