"""The specification, table by table: fields and types, allowed values, defaults, keys, indexes, workflows.

Where it names no type, the type that its words imply. TIMESTAMP is timestamptz: a period is a fact of the
world, not of a clock on a wall.
"""

from typing import Any

import pytest

from tests.conftest import Connection, claim, job_row, one, ready_model
from tests.sql.helpers import call, complete, refused

TIMESTAMP = "timestamp with time zone"
METRIC = "numeric(5,4)"
FIELDS = {
    "ml_models": {
        "id": "bigint",
        "name": "character varying(255)",
        "model_type": "character varying(50)",
        "status": "character varying(50)",
        "created_at": TIMESTAMP,
        "updated_at": TIMESTAMP,
        "is_deleted": "boolean",
        "deleted_at": TIMESTAMP,
        "target_variable": "character varying(100)",
        "target_operator": "character varying(10)",
        "target_value": "numeric",
        "train_start": TIMESTAMP,
        "train_end": TIMESTAMP,
        "test_size": "numeric(3,2)",
        "random_state": "integer",
        "features_csv": "text",
        "phases_csv": "text",
        "params_csv": "text",
        "feature_importance_csv": "text",
        "training_accuracy": METRIC,
        "training_f1": METRIC,
        "training_precision": METRIC,
        "training_recall": METRIC,
        "model_file_path": "text",
        "description": "text",
    },
    "ml_test_results": {
        "id": "bigint",
        "model_id": "bigint",
        "created_at": TIMESTAMP,
        "test_start": TIMESTAMP,
        "test_end": TIMESTAMP,
        "accuracy": METRIC,
        "f1_score": METRIC,
        "precision_score": METRIC,
        "recall": METRIC,
        "roc_auc": METRIC,
        "tp": "bigint",
        "tn": "bigint",
        "fp": "bigint",
        "fn": "bigint",
        "num_samples": "bigint",
        "num_positive": "bigint",
        "num_negative": "bigint",
        "has_overlap": "boolean",
        "overlap_note": "text",
        "feature_importance_csv": "text",
    },
    "ml_comparisons": {
        "id": "bigint",
        "created_at": TIMESTAMP,
        "model_a_id": "bigint",
        "model_b_id": "bigint",
        "test_start": TIMESTAMP,
        "test_end": TIMESTAMP,
        "num_samples": "bigint",
        "a_accuracy": METRIC,
        "a_f1": METRIC,
        "a_precision": METRIC,
        "a_recall": METRIC,
        "b_accuracy": METRIC,
        "b_f1": METRIC,
        "b_precision": METRIC,
        "b_recall": METRIC,
        "winner_id": "bigint",
    },
    "ml_jobs": {
        "id": "bigint",
        "job_type": "character varying(20)",
        "status": "character varying(20)",
        "priority": "integer",
        "created_at": TIMESTAMP,
        "started_at": TIMESTAMP,
        "completed_at": TIMESTAMP,
        "progress": "numeric(3,2)",
        "progress_msg": "text",
        "error_msg": "text",
        "worker_id": "character varying(255)",
        "train_target_var": "text",
        "train_operator": "text",
        "train_value": "numeric",
        "train_start": TIMESTAMP,
        "train_end": TIMESTAMP,
        "train_features_csv": "text",
        "train_phases_csv": "text",
        "train_params_csv": "text",
        "train_model_type": "text",
        "result_model_id": "bigint",
        "test_model_id": "bigint",
        "test_start": TIMESTAMP,
        "test_end": TIMESTAMP,
        "result_test_id": "bigint",
        "compare_model_a_id": "bigint",
        "compare_model_b_id": "bigint",
        "compare_start": TIMESTAMP,
        "compare_end": TIMESTAMP,
        "result_comparison_id": "bigint",
    },
    "ref_model_types": {
        "id": "integer",
        "name": "character varying(50)",
        "description": "text",
        "default_params_csv": "text",
    },
}
FOREIGN_KEYS = {
    ("ml_models", "model_type", "ref_model_types"),
    ("ml_test_results", "model_id", "ml_models"),
    ("ml_comparisons", "model_a_id", "ml_models"),
    ("ml_comparisons", "model_b_id", "ml_models"),
    ("ml_comparisons", "winner_id", "ml_models"),
    ("ml_jobs", "result_model_id", "ml_models"),
    ("ml_jobs", "test_model_id", "ml_models"),
    ("ml_jobs", "result_test_id", "ml_test_results"),
    ("ml_jobs", "compare_model_a_id", "ml_models"),
    ("ml_jobs", "compare_model_b_id", "ml_models"),
    ("ml_jobs", "result_comparison_id", "ml_comparisons"),
}
INDEXES = {
    "idx_models_status": "public.ml_models USING btree (status)",
    "idx_models_created": "public.ml_models USING btree (created_at DESC)",
    "idx_test_results_model": "public.ml_test_results USING btree (model_id)",
    "idx_test_results_created": "public.ml_test_results USING btree (created_at DESC)",
    "idx_comparisons_models": "public.ml_comparisons USING btree (model_a_id, model_b_id)",
    "idx_jobs_status": "public.ml_jobs USING btree (status, priority, created_at)",
}
MODEL_TYPES = [
    (1, "random_forest", "n_estimators=100;max_depth=10;min_samples_split=2"),
    (2, "xgboost", "n_estimators=100;max_depth=6;learning_rate=0.1"),
    (3, "gradient_boosting", "n_estimators=100;max_depth=3;learning_rate=0.1"),
    (4, "logistic_regression", "C=1.0;max_iter=100"),
    (5, "neural_network", "hidden_layers=100,50;activation=relu;max_iter=200"),
]
ALLOWED = {
    "ml_jobs_job_type_known": {"TRAIN", "TEST", "COMPARE", "SCORE"},  # the last is ours
    "ml_jobs_status_known": {"PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"},
    "ml_models_status_known": {"TRAINING", "READY", "FAILED"},
}

# ── Tables ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("table", FIELDS)
def test_the_fields_of_a_table_have_their_names_and_types(reader: Connection, table: str) -> None:
    query = """SELECT attname, format_type(atttypid, atttypmod) AS t
        FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"""
    found = {row["attname"]: row["t"] for row in reader.execute(query, [table])}
    assert {field: found.get(field) for field in FIELDS[table]} == FIELDS[table]


def test_no_column_is_json(reader: Connection) -> None:
    columns = reader.execute(
        "SELECT table_name, column_name, data_type FROM information_schema.columns"
        " WHERE table_schema IN ('public', 'ml', 'ml_internal')"
    ).fetchall()
    assert len(columns) > sum(map(len, FIELDS.values()))
    assert [column for column in columns if "json" in column["data_type"]] == []


@pytest.mark.parametrize("table", FIELDS)
def test_a_table_has_its_id_as_primary_key(reader: Connection, table: str) -> None:
    query = (
        "SELECT pg_get_constraintdef(oid) AS d FROM pg_constraint"
        " WHERE conrelid = %s::regclass AND contype = 'p'"
    )
    assert one(reader, query, [table])["d"] == "PRIMARY KEY (id)"


@pytest.mark.parametrize("table", [table for table in FIELDS if table.startswith("ml_")])
def test_an_id_is_generated(reader: Connection, table: str) -> None:
    query = "SELECT attidentity FROM pg_attribute WHERE attrelid = %s::regclass AND attname = 'id'"
    assert one(reader, query, [table])["attidentity"] == "a"


@pytest.mark.parametrize(("table", "field", "target"), sorted(FOREIGN_KEYS))
def test_a_foreign_key_holds(reader: Connection, table: str, field: str, target: str) -> None:
    query = (
        "SELECT pg_get_constraintdef(oid) AS d FROM pg_constraint"
        " WHERE conrelid = %s::regclass AND contype = 'f' AND conname = %s"
    )
    definition = one(reader, query, [table, f"{table}_{field}_fkey"])["d"]
    key = "name" if target == "ref_model_types" else "id"
    assert (
        definition.removeprefix(f"FOREIGN KEY ({field}) REFERENCES ").removeprefix("public.")
        == f"{target}({key})"
    )


@pytest.mark.parametrize(("name", "definition"), INDEXES.items())
def test_an_index_has_its_name_and_fields(reader: Connection, name: str, definition: str) -> None:
    indexdef = one(reader, "SELECT indexdef FROM pg_indexes WHERE indexname = %s", [name])["indexdef"]
    assert indexdef == f"CREATE INDEX {name} ON {definition}"


@pytest.mark.parametrize(("constraint", "values"), ALLOWED.items())
def test_a_field_has_exactly_the_allowed_values(
    reader: Connection, constraint: str, values: set[str]
) -> None:
    query = "SELECT pg_get_constraintdef(oid) AS d FROM pg_constraint WHERE conname = %s"
    assert set(one(reader, query, [constraint])["d"].split("'")[1::2]) == values


@pytest.mark.parametrize(
    ("table", "field", "default"),
    [
        ("ml_jobs", "priority", "5"),
        ("ml_jobs", "status", "'PENDING'::character varying"),
        ("ml_jobs", "created_at", "now()"),
        ("ml_jobs", "progress", "0"),
        ("ml_jobs", "attempt", "0"),
        ("ml_jobs", "max_attempts", "3"),
        ("ml_models", "created_at", "now()"),
        ("ml_models", "updated_at", "now()"),
        ("ml_models", "is_deleted", "false"),
        ("ml_models", "test_size", "0.2"),
        ("ml_models", "random_state", "42"),
        ("ml_test_results", "created_at", "now()"),
        ("ml_comparisons", "created_at", "now()"),
    ],
)
def test_a_field_has_its_default(reader: Connection, table: str, field: str, default: str) -> None:
    query = (
        "SELECT column_default AS d FROM information_schema.columns"
        " WHERE table_name = %s AND column_name = %s"
    )
    assert one(reader, query, [table, field])["d"] == default


def test_the_model_types_are_filled_in(reader: Connection) -> None:
    rows = reader.execute("SELECT id, name, default_params_csv FROM ref_model_types ORDER BY id")
    assert [tuple(row.values()) for row in rows] == MODEL_TYPES


def test_every_model_type_says_what_it_is_good_for(reader: Connection) -> None:
    rows = reader.execute("SELECT description FROM ref_model_types")
    assert all(row["description"].strip() for row in rows)


# ── Workflow 1: train a model ───────────────────────────────────────────────────────────────────────

TRAIN_A_MODEL = """
INSERT INTO ml_jobs (
    job_type, status, priority,
    train_target_var, train_operator, train_value,
    train_start, train_end,
    train_features_csv, train_phases_csv, train_model_type
) VALUES (
    'TRAIN', 'PENDING', 5,
    'market_cap_close', '>', 50000,
    '2024-01-01', '2024-03-01',
    'price_open,price_high,price_low,volume_sol', '1,2,3', 'random_forest'
);
"""
TEST_A_MODEL = """
INSERT INTO ml_jobs (
    job_type, status,
    test_model_id, test_start, test_end
) VALUES (
    'TEST', 'PENDING',
    123, '2024-03-01', '2024-04-01'
);
"""
COMPARE_TWO_MODELS = """
INSERT INTO ml_jobs (
    job_type, status,
    compare_model_a_id, compare_model_b_id,
    compare_start, compare_end
) VALUES (
    'COMPARE', 'PENDING',
    123, 124,
    '2024-03-01', '2024-04-01'
);
"""


def submit(client: Connection, statement: str, **models: int) -> int:
    """Run an INSERT of the specification, with the ids of models replaced; returns the id of its job."""
    for written, real in models.items():
        statement = statement.replace(written.removeprefix("model_"), str(real))
    client.execute(statement.encode())
    return int(one(client, "SELECT max(id) AS id FROM ml_jobs")["id"])


def test_a_train_job_waits_as_it_was_typed(client: Connection) -> None:
    job = job_row(client, submit(client, TRAIN_A_MODEL))
    expected = {
        "job_type": "TRAIN",
        "status": "PENDING",
        "priority": 5,
        "train_target_var": "market_cap_close",
        "train_operator": ">",
        "train_value": 50000,
        "train_features_csv": "price_open,price_high,price_low,volume_sol",
        "train_phases_csv": "1,2,3",
        "train_model_type": "random_forest",
        "started_at": None,
        "completed_at": None,
        "result_model_id": None,
    }
    assert {name: job[name] for name in expected} == expected
    assert f"{job['train_start']:%F} {job['train_end']:%F}" == "2024-01-01 2024-03-01"


def test_the_claim_starts_the_job(client: Connection, worker: Connection) -> None:
    job_id = submit(client, TRAIN_A_MODEL)
    assert claim(worker)["id"] == job_id
    job = job_row(client, job_id)
    assert job["status"] == "RUNNING"
    assert job["started_at"] >= job["created_at"]


def test_a_worker_does_not_start_a_job_by_hand(
    client: Connection, worker: Connection, owner: Connection
) -> None:
    job_id = submit(client, TRAIN_A_MODEL)
    step_2 = "UPDATE ml_jobs SET status = 'RUNNING', started_at = NOW() WHERE id = %s"
    with refused("42501", f"started_at of job {job_id} cannot be changed"):
        client.execute(step_2, [job_id])
    with refused("42501", "permission denied for table ml_jobs"):
        worker.execute(step_2, [job_id])
    with refused(
        "ML002", f"job {job_id} cannot go from PENDING to RUNNING", "the worker sets all other states"
    ):
        owner.execute(step_2, [job_id])


def test_the_training_makes_a_model_and_completes_the_job(client: Connection, worker: Connection) -> None:
    job_id = submit(client, TRAIN_A_MODEL)
    claim(worker)
    complete(worker, job_id, "TRAIN")
    job = job_row(client, job_id)
    assert job["status"] == "COMPLETED"
    assert job["completed_at"] >= job["started_at"]
    model = one(client, "SELECT * FROM ml_models WHERE id = %s", [job["result_model_id"]])
    expected = {
        "name": f"random_forest_job_{job_id}",
        "model_type": "random_forest",
        "status": "READY",
        "is_deleted": False,
        "deleted_at": None,
        "target_variable": "market_cap_close",
        "target_operator": ">",
        "target_value": 50000,
        "train_start": job["train_start"],
        "train_end": job["train_end"],
        "random_state": 42,
        "features_csv": "price_open,price_high,price_low,volume_sol",
        "phases_csv": "1,2,3",
        "params_csv": "n_estimators=100;max_depth=10;min_samples_split=2",
        "model_file_path": "/models/model_1_attempt_1.pkl",
    }
    assert {name: model[name] for name in expected} == expected
    assert (str(model["test_size"]), str(model["training_accuracy"])) == ("0.20", "0.9000")


def test_a_failed_training_leaves_a_failed_job_and_its_reason(client: Connection, worker: Connection) -> None:
    job_id = submit(client, TRAIN_A_MODEL)
    claim(worker)
    call(worker, "record_failure", job_id, 1, "no rows in the period")
    job = job_row(client, job_id)
    assert (job["status"], job["error_msg"], job["result_model_id"]) == (
        "FAILED",
        "no rows in the period",
        None,
    )


def test_the_lists_of_a_model_parse_as_the_specification_shows(
    client: Connection, worker: Connection
) -> None:
    job_id = submit(client, TRAIN_A_MODEL)
    claim(worker)
    complete(worker, job_id, "TRAIN")
    model: Any = one(client, "SELECT * FROM ml_models WHERE train_job_id = %s", [job_id])
    assert model["features_csv"].split(",") == ["price_open", "price_high", "price_low", "volume_sol"]
    params = dict(p.split("=") for p in model["params_csv"].split(";"))
    assert params == {"n_estimators": "100", "max_depth": "10", "min_samples_split": "2"}
    importance = dict(p.split("=") for p in model["feature_importance_csv"].split(";"))
    assert sum(map(float, importance.values())) == pytest.approx(1)


# ── Workflow 2: test a model ────────────────────────────────────────────────────────────────────────


def test_a_test_job_leads_to_a_test_result(client: Connection, worker: Connection) -> None:
    model_id = ready_model(client, worker)
    job_id = submit(client, TEST_A_MODEL, model_123=model_id)
    assert claim(worker)["id"] == job_id
    result_id = complete(worker, job_id, "TEST")
    job = job_row(client, job_id)
    assert (job["status"], job["result_test_id"]) == ("COMPLETED", result_id)
    result = one(client, "SELECT * FROM ml_test_results WHERE id = %s", [result_id])
    assert (result["model_id"], result["has_overlap"], result["overlap_note"]) == (model_id, False, None)
    assert (result["test_start"], result["test_end"]) == (job["test_start"], job["test_end"])
    assert (result["tp"], result["tn"], result["fp"], result["fn"]) == (40, 140, 10, 10)
    assert (result["num_samples"], result["num_positive"], result["num_negative"]) == (200, 50, 150)


# ── Workflow 3: compare two models ──────────────────────────────────────────────────────────────────


def test_a_compare_job_leads_to_a_comparison_with_a_winner(client: Connection, worker: Connection) -> None:
    a, b = ready_model(client, worker), ready_model(client, worker)
    job_id = submit(client, COMPARE_TWO_MODELS, model_123=a, model_124=b)
    assert claim(worker)["id"] == job_id
    interval: dict[str, Any] = {"f1_difference_lower": "0.01", "f1_difference_upper": "0.25"}
    blocks = {"num_blocks": 48, "block_seconds": 3600}
    result_id = complete(worker, job_id, "COMPARE", **interval, **blocks)
    job = job_row(client, job_id)
    assert (job["status"], job["result_comparison_id"]) == ("COMPLETED", result_id)
    result = one(client, "SELECT * FROM ml_comparisons WHERE id = %s", [result_id])
    assert (result["model_a_id"], result["model_b_id"], result["winner_id"]) == (a, b, a)
    assert (result["test_start"], result["test_end"]) == (job["compare_start"], job["compare_end"])
    assert result["num_samples"] == 200
