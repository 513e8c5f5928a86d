"""Every error that a client can cause, word for word: which value, why, and what to do now.

The list is complete: a text in the files that a client's statements reach must appear in it.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg import sql

from tests.conftest import TRAIN, Database, claim, insert_job, ready_model
from tests.sql.helpers import COMPARE_PERIOD, SCORE_PERIOD, TEST_PERIOD, call

SQL = Path(__file__).parents[2] / "sql"
TEST = {"job_type": "TEST", "test_model_id": 1, **TEST_PERIOD}
COMPARE = {"job_type": "COMPARE", "compare_model_a_id": 1, "compare_model_b_id": 2, **COMPARE_PERIOD}
SCORE = {"job_type": "SCORE", "score_model_id": 1, **SCORE_PERIOD}
COLUMNS = (
    "phase_id_at_time, price_open, price_high, price_low, price_close, market_cap_close, bonding_curve_pct, "
    "virtual_sol_reserves, is_koth, volume_sol, buy_volume_sol, sell_volume_sol, num_buys, num_sells, "
    "unique_wallets, num_micro_trades, dev_sold_amount, max_single_buy_sol, max_single_sell_sol, "
    "net_volume_sol, volatility_pct, avg_trade_size_sol, whale_buy_volume_sol, whale_sell_volume_sol, "
    "num_whale_buys, num_whale_sells, buy_pressure_ratio, unique_signer_ratio"
)
PHASES = (
    "Known phases: 1 (Baby Zone), 2 (Survival Zone), 3 (Mature Zone), 99 (Finished). "
    "Name each once, separated by commas."
)
KEY_VALUE = "Write key=value;key=value, for example n_estimators=200;max_depth=8."
FREE_NAME = "Choose another name, or free it: rename or delete the model, or cancel the job."
BY_HAND = "By hand a job can only be set to CANCELLED; the worker sets all other states."
LEADERBOARD = "SELECT id, name FROM ml_leaderboard; lists the models that can be used."
LEAVE_OUT = "Leave these fields out, or change job_type; a {} job uses those that begin with {}_."
GIVE_VALUES = r"Name these fields in the INSERT and give each a value; \d+ ml_jobs says what they mean."
PRIORITY = "1 is the highest priority, 10 the lowest, 5 the default."
TEST_SIZE = "It is the share of the rows held out for measuring; leave it out for the default of 0.2."
HORIZON = "Give the minutes to look ahead, at most a year; leave it out to read the label in the same row."


class Refusal(NamedTuple):
    """A statement and its error."""

    statement: str
    sqlstate: str
    message: str
    hint: str | None


def insert(fields: dict[str, Any]) -> str:
    """The INSERT of a job, as it would be typed."""
    return (
        sql.SQL("INSERT INTO ml_jobs ({}) VALUES ({})")
        .format(
            sql.SQL(", ").join(map(sql.Identifier, fields)),
            sql.SQL(", ").join(map(sql.Literal, fields.values())),
        )
        .as_string(None)
    )


def train(message: str, hint: str, sqlstate: str = "23514", /, **changes: Any) -> Refusal:
    return Refusal(insert(TRAIN | changes), sqlstate, message, hint)


def on_test(message: str, hint: str, sqlstate: str = "23514", /, **changes: Any) -> Refusal:
    return Refusal(insert(TEST | changes), sqlstate, message, hint)


def compare(message: str, hint: str, sqlstate: str = "23514", /, **changes: Any) -> Refusal:
    return Refusal(insert(COMPARE | changes), sqlstate, message, hint)


KEPT = (
    "A client changes {}; the service keeps the other columns. If your ORM sends them all, read the row "
    "again before you save it, or let it send only what you change."
)
LIST_JOBS = "SELECT id, status FROM ml_jobs ORDER BY id DESC; lists the jobs."
# The models are 1 and 2 (READY, alike), 3 (another target), 4 and 5 (phase 1, phase 2), 6 (deleted),
# 7 (FAILED) and 8 (TRAINING), made by the jobs of these numbers. Job 9 waits, with the name "waiting".
OURS = [
    # Fields of a new job.
    Refusal(
        "INSERT INTO ml_jobs DEFAULT VALUES",
        "23514",
        "job_type NULL is unknown",
        "Use one of: COMPARE, SCORE, TEST, TRAIN, in capital letters.",
    ),
    train(
        "job_type 'train' is unknown",
        "Use one of: COMPARE, SCORE, TEST, TRAIN, in capital letters.",
        job_type="train",
    ),
    train("a TRAIN job needs train_value, train_end", GIVE_VALUES, "23502", train_value=None, train_end=None),
    train("a TRAIN job needs train_features_csv", GIVE_VALUES, "23502", train_features_csv=" "),
    on_test("a TEST job needs test_model_id", GIVE_VALUES, "23502", test_model_id=None),
    compare("a COMPARE job needs compare_start", GIVE_VALUES, "23502", compare_start=None),
    train(
        "a job of rosa cannot be inserted as anna",
        "Leave created_by out, or first become that role: SET ROLE rosa;",
        created_by="rosa",
    ),
    train(
        "train_features_csv has more than 20000 characters",
        "Name each item once, without blanks.",
        train_features_csv="price_open," * 2000,
    ),
    train(
        "a TRAIN job has no use for test_model_id = 1, compare_model_a_id = 2",
        LEAVE_OUT.format("TRAIN", "train"),
        test_model_id=1,
        compare_model_a_id=2,
    ),
    on_test(
        "a TEST job has no use for train_params_csv = max_depth=3, train_model_type = xgboost",
        LEAVE_OUT.format("TEST", "test"),
        train_model_type="xgboost",
        train_params_csv="max_depth=3",
    ),
    compare(
        "a COMPARE job has no use for test_start = 2024-03-01 00:00:00+00",
        LEAVE_OUT.format("COMPARE", "compare"),
        test_start="2024-03-01",
    ),
    train(
        "a new job cannot set progress = 0.50, result_model_id = 1",
        "Leave these fields out: the service fills them while the job runs.",
        progress=0.5,
        result_model_id=1,
    ),
    train(
        "a new job cannot have the status 'RUNNING'",
        "Leave status out, or use PENDING: the worker sets the others.",
        status="RUNNING",
    ),
    train("priority 0 is not between 1 and 10", PRIORITY, priority=0),
    train(
        "max_attempts 1000 is not between 1 and 100", "Leave it out for the default of 3.", max_attempts=1000
    ),
    train(
        "max_minutes 0 is not above 0 and at most 525600",
        "Give the minutes after which the job is to fail, or leave it out.",
        max_minutes=0,
    ),
    # Names and descriptions.
    train(
        "train_model_name has the character U+202E, which controls and does not show",
        "Name the model by characters that show, for example letters, digits and blanks.",
        train_model_name="a\u202eb",
    ),
    train(
        "train_model_name has no character that shows; its first is U+200B",
        "Name the model by characters that show, for example letters, digits and blanks.",
        train_model_name="\u200b\u00a0",
    ),
    train(
        'the name "xgboost_job_5000" is kept for job 5000, should it have none',
        "Choose another name, or give none.",
        "42939",
        train_model_name="xgboost_job_5000",
    ),
    train(
        "train_description has 10001 characters",
        "Describe the model in at most 10000 characters.",
        train_description="x" * 10_001,
    ),
    Refusal(
        "UPDATE ml_models SET description = repeat('x', 10001) WHERE id = 1",
        "23514",
        "the description of model 1 has 10001 characters",
        "Describe the model in at most 10000 characters.",
    ),
    # Periods.
    train(
        "the period starts at 2024-05-01 00:00:00+00, which is not before its end at 2024-03-01 00:00:00+00",
        "Set train_start to a moment before train_end; the end itself is not part of the period.",
        train_start="2024-05-01",
    ),
    on_test(
        "the period from 2024-03-01 00:00:00+00 to infinity is not within the years 2 to 9998",
        "Give both as dates, for example '2024-01-01' and '2024-03-01'.",
        test_end="infinity",
    ),
    # What a model is to learn.
    train("train_operator '==' is unknown", "Use one of: > < >= <= = !=", train_operator="=="),
    train(
        "train_value NaN is not a number to compare with",
        "Give a finite threshold, for example 50000.",
        train_value="NaN",
    ),
    train("train_test_size 20 is not between 0.01 and 0.99 with two decimals", TEST_SIZE, train_test_size=20),
    train(
        "train_test_size 0.125 is not between 0.01 and 0.99 with two decimals",
        TEST_SIZE,
        train_test_size="0.125",
    ),
    train(
        "train_random_state -1 is negative",
        "Use 0 or more; leave it out for the default of 42.",
        train_random_state=-1,
    ),
    train("train_future_minutes 0 is not between 1 and 525600", HORIZON, train_future_minutes=0),
    train(
        "train_split 'rows' is unknown",
        "Use coins (the default: whole coins are held out), time (the last part of the period), "
        "or coins_and_time (later rows of coins that are not fitted).",
        train_split="rows",
    ),
    train(
        "train_folds 1 is not between 2 and 20",
        "In so many later periods, one after another, the recipe is measured besides; "
        "leave it out, or give 0, for none.",
        train_folds=1,
    ),
    train(
        "train_weights 'age' is unknown",
        "Use none (the default), or uniqueness where labels that overlap shall count less.",
        train_weights="age",
    ),
    train("train_model_type 'xgbost' is unknown", "Did you mean xgboost?", train_model_type="xgbost"),
    train(
        "train_model_type 'svm' is unknown",
        "Allowed: random_forest, xgboost, gradient_boosting, logistic_regression, neural_network.",
        train_model_type="svm",
    ),
    train(
        "train_model_name is blank",
        "Give the model a name, or leave the field out: the default is the model type and the job's number.",
        train_model_name=" ",
    ),
    train(
        f"train_model_name '{'x' * 50}'... has 300 characters",
        "Give the model a name of at most 255 characters.",
        train_model_name="x" * 300,
    ),
    train('the model name "waiting" is taken by job 9', FREE_NAME, "23505", train_model_name="waiting"),
    train(
        'the model name "logistic_regression_job_1" is taken by model 1',
        FREE_NAME,
        "23505",
        train_model_name="logistic_regression_job_1",
    ),
    # Its features, phases and hyperparameters.
    train(
        "coin_metrics has no column 'price_opn' (train_features_csv)",
        "Did you mean price_open, price_low, price_high?",
        train_features_csv="volume_sol,price_opn",
    ),
    train(
        "coin_metrics has no column 'xyz' (train_target_var)", f"Allowed: {COLUMNS}.", train_target_var="xyz"
    ),
    train(
        "column 'timestamp' is timestamp with time zone, not numeric (train_features_csv)",
        f"Allowed: {COLUMNS}.",
        train_features_csv="timestamp",
    ),
    train(
        "column 'odd;1=2' cannot be used: its name has a comma, semicolon, equals sign or outer blank "
        "(train_features_csv)",
        "In a list it could not be told from its neighbours. Rename it: ALTER TABLE coin_metrics RENAME "
        """COLUMN "odd;1=2" TO ...; or give its values another name: ADD COLUMN ... """
        """GENERATED ALWAYS AS ("odd;1=2") STORED.""",
        train_features_csv="volume_sol,odd;1=2",
    ),
    train(
        "feature 'price_open' is given 2 times",
        "Name each feature once.",
        train_features_csv="price_open,price_open",
    ),
    train(
        "train_features_csv 'price_open,,price_low' has an empty name",
        "Write the names separated by single commas, for example price_open,volume_sol.",
        train_features_csv="price_open,,price_low",
    ),
    train(
        "the target 'market_cap_close' is among the features, where the model could simply read it",
        "Leave it out of train_features_csv, or set train_future_minutes to predict its value later.",
        train_features_csv="price_open,market_cap_close",
    ),
    train("train_phases_csv '1,7' has an unknown phase: '7'", PHASES, train_phases_csv="1,7"),
    train("train_phases_csv '1,2,1' names a phase twice", PHASES, train_phases_csv="1,2,1"),
    train("train_params_csv 'C:2' has 'C:2', which is not key=value", KEY_VALUE, train_params_csv="C:2"),
    train(
        "logistic_regression has no hyperparameter 'max_iterations'",
        "Did you mean max_iter?",
        train_params_csv="max_iterations=5",
    ),
    train(
        "hyperparameter 'C' is given 2 times", "Give each hyperparameter once.", train_params_csv="C=1;C=2"
    ),
    train(
        "hyperparameter max_iter cannot be '1.5'",
        "max_iter of logistic_regression is an integer from 1 to 100000.",
        train_params_csv="max_iter=1.5",
    ),
    train(
        "hyperparameter C cannot be 'big'",
        "C of logistic_regression is a number from 0.000001 to 1000000.",
        train_params_csv="C=big",
    ),
    train(
        "hyperparameter fit_intercept cannot be 'yes'",
        "fit_intercept of logistic_regression is true or false.",
        train_params_csv="fit_intercept=yes",
    ),
    train(
        "hyperparameter solver cannot be 'newton'",
        "solver of logistic_regression is one of: lbfgs, newton-cholesky, sag, saga.",
        train_params_csv="solver=newton",
    ),
    train(
        "hyperparameter max_depth cannot be 'None'",
        "max_depth of random_forest is an integer from 1 to 1000, or one of: none.",
        train_model_type="random_forest",
        train_params_csv="max_depth=None",
    ),
    train(
        "hyperparameter hidden_layers cannot be '50,0'",
        "hidden_layers of neural_network is one to ten integers from 1 to 1024, separated by commas.",
        train_model_type="neural_network",
        train_params_csv="hidden_layers=50,0",
    ),
    # Models to test or compare.
    on_test("model 999 does not exist", LEADERBOARD, "23503", test_model_id=999),
    on_test(
        'model 6 ("deleted") was deleted on <deleted_at>',
        "Use another model, or take it back: UPDATE ml_models SET is_deleted = false WHERE id = 6;",
        "23503",
        test_model_id=6,
    ),
    on_test(
        'model 7 ("failed") is FAILED, not READY',
        "Its training failed; see error_msg of job 7. Use another model, or train a new one.",
        "23503",
        test_model_id=7,
    ),
    on_test(
        'model 8 ("training") is TRAINING, not READY',
        "Wait until job 8 has trained it.",
        "23503",
        test_model_id=8,
    ),
    compare("model 999 does not exist", LEADERBOARD, "23503", compare_model_b_id=999),
    compare(
        "model 1 cannot be compared with itself",
        "Give compare_model_a_id and compare_model_b_id two different models.",
        compare_model_b_id=1,
    ),
    compare(
        "compare_confidence 95 is neither 0 nor from 0.5 to 0.999",
        "Leave it out for 0.95, or give a share; with 0 the higher F1 wins, be it by chance.",
        compare_confidence=95,
    ),
    compare(
        "models 1 and 3 predict different things: market_cap_close > 50000 and price_close < 1 after 5 min",
        "Compare models with the same label: SELECT id, name, target FROM ml_leaderboard; "
        "shows what each predicts.",
        compare_model_b_id=3,
    ),
    compare(
        "models 4 and 5 have no phase in common: 1 and 2,3",
        "Both are scored on the same rows; compare models that were trained on at least one common phase.",
        compare_model_a_id=4,
        compare_model_b_id=5,
    ),
    # Changes of a job.
    Refusal(
        "UPDATE ml_jobs SET status = 'COMPLETED' WHERE id = 9",
        "ML002",
        "job 9 cannot go from PENDING to COMPLETED",
        BY_HAND,
    ),
    Refusal(
        "UPDATE ml_jobs SET status = 'cancelled' WHERE id = 9",
        "ML002",
        "job 9 cannot go from PENDING to cancelled",
        BY_HAND,
    ),
    Refusal(
        "UPDATE ml_jobs SET status = NULL WHERE id = 8",
        "ML002",
        "job 8 cannot go from RUNNING to NULL",
        BY_HAND,
    ),
    Refusal(
        "CALL ml.cancel_job(1)",
        "ML002",
        "job 1 cannot go from COMPLETED to CANCELLED",
        "COMPLETED is final; insert another job.",
    ),
    Refusal(
        "CALL ml.cancel_job(999)",
        "P0002",
        "job 999 does not exist",
        "SELECT id, status FROM ml_queue; lists the jobs that can be cancelled.",
    ),
    Refusal(
        "CALL ml.cancel_job(NULL)",
        "P0002",
        "job NULL does not exist",
        "SELECT id, status FROM ml_queue; lists the jobs that can be cancelled.",
    ),
    Refusal(
        "UPDATE ml_jobs SET priority = 11 WHERE id = 9",
        "23514",
        "priority 11 is not between 1 and 10",
        PRIORITY,
    ),
    Refusal(
        "UPDATE ml_jobs SET priority = NULL WHERE id = 9",
        "23514",
        "priority NULL is not between 1 and 10",
        PRIORITY,
    ),
    Refusal(
        "UPDATE ml_jobs SET priority = 1 WHERE id = 8",
        "ML002",
        "job 8 is RUNNING and its priority can no longer be changed",
        "Only a PENDING job has a place in the queue; leave this one as it is, or insert another.",
    ),
    Refusal(
        "UPDATE ml_jobs SET train_value = 1 WHERE id = 9",
        "ML002",
        "the request of job 9 cannot be changed: train_value",
        "Cancel it (CALL ml.cancel_job(9)) and insert another job; only status and priority can be updated.",
    ),
    Refusal(
        "UPDATE ml_jobs SET progress = 0.9, worker_id = 'me' WHERE id = 8",
        "42501",
        "progress, worker_id of job 8 cannot be changed",
        KEPT.format("status, priority"),
    ),
    Refusal(
        "UPDATE ml_models SET status = 'READY' WHERE id = 7",
        "42501",
        "status of model 7 cannot be changed",
        KEPT.format("name, description, is_deleted"),
    ),
    Refusal(
        "INSERT INTO ml_jobs (id, job_type) OVERRIDING SYSTEM VALUE VALUES (100, 'TRAIN')",
        "428C9",
        "a new job cannot have the id 100",
        "Leave id out, or write DEFAULT: the service gives the numbers, and RETURNING id tells which.",
    ),
    # What is called by hand.
    Refusal(
        "SELECT ml.test('no such model', '2024-03-01', '2024-04-01')",
        "P0002",
        "no model is named 'no such model'",
        "SELECT id, name FROM ml_leaderboard; lists the models that can be used.",
    ),
    Refusal("SELECT ml.preview(999)", "P0002", "job 999 does not exist", LIST_JOBS),
    Refusal("CALL ml.wait(999)", "P0002", "job 999 does not exist", LIST_JOBS),
    Refusal(
        "CALL ml.wait(9, '0')",
        "ML004",
        "job 9 PENDING: no worker is running; start one: ml-worker run (waited for 00:00:00)",
        "Wait again: CALL ml.wait(9, '1 hour'); or end the job: CALL ml.cancel_job(9);",
    ),
    Refusal(
        "BEGIN; CALL ml.wait(9)",
        "25001",
        "ml.wait commits as it goes and cannot run inside a transaction",
        "COMMIT or ROLLBACK first; in a client, turn autocommit on.",
    ),
    Refusal(
        "SELECT ml.report(999)",
        "P0002",
        "model 999 does not exist",
        "SELECT id, name FROM ml_leaderboard; lists the models that can be used.",
    ),
    # Changes of a model.
    Refusal(
        "UPDATE ml_models SET name = '' WHERE id = 1",
        "23514",
        "the name of model 1 cannot be blank",
        "Give it a name, or leave the old one.",
    ),
    Refusal(
        "UPDATE ml_models SET name = NULL WHERE id = 1",
        "23514",
        "the name of model 1 cannot be blank",
        "Give it a name, or leave the old one.",
    ),
    Refusal(
        "UPDATE ml_models SET name = 'training' WHERE id = 1",
        "23505",
        'the model name "training" is taken by model 8',
        FREE_NAME,
    ),
    Refusal(
        "UPDATE ml_models SET name = 'waiting', is_deleted = false WHERE id = 6",
        "23505",
        'the model name "waiting" is taken by job 9',
        FREE_NAME,
    ),
    Refusal(
        "UPDATE ml_models SET is_deleted = NULL WHERE id = 1",
        "23502",
        "is_deleted of model 1 cannot be NULL",
        "Set it to true to delete the model, to false to take it back.",
    ),
    Refusal(
        "UPDATE ml_models SET is_deleted = true WHERE id = 8",
        "ML002",
        "model 8 is being trained and cannot be deleted",
        "Cancel its job first: CALL ml.cancel_job(8);",
    ),
]

# What PostgreSQL says by itself, before any trigger sees the row: it cannot be said otherwise.
POSTGRES = [
    Refusal(*refusal)
    for refusal in (
        (
            insert(TRAIN | {"job_type": "TRAIN_AND_TEST_AND_COMPARE"}),
            "22001",
            "value too long for type character varying(20)",
            None,
        ),
        (
            f"UPDATE ml_models SET name = '{'x' * 256}' WHERE id = 1",
            "22001",
            "value too long for type character varying(255)",
            None,
        ),
        (
            insert(TRAIN | {"train_value": "much"}),
            "22P02",
            'invalid input syntax for type numeric: "much"',
            None,
        ),
        (
            insert(TEST | {"test_model_id": "mine"}),
            "22P02",
            'invalid input syntax for type bigint: "mine"',
            None,
        ),
        (
            insert(TEST | {"test_start": "last week"}),
            "22007",
            'invalid input syntax for type timestamp with time zone: "last week"',
            None,
        ),
        (
            insert(TEST | {"test_start": "2024-02-30"}),
            "22008",
            'date/time field value out of range: "2024-02-30"',
            None,
        ),
        (insert(TRAIN | {"priority": 3_000_000_000}), "22003", "integer out of range", None),
        (insert(TRAIN | {"progress": 50}), "22003", "numeric field overflow", None),
        (
            insert(TRAIN | {"train_modelname": "mine"}),
            "42703",
            'column "train_modelname" of relation "ml_jobs" does not exist',
            None,
        ),
        (
            insert(TRAIN | {"id": 100}),
            "428C9",
            'cannot insert a non-DEFAULT value into column "id"',
            "Use OVERRIDING SYSTEM VALUE to override.",
        ),
        ("CALL ml.cancel_job('first')", "22P02", 'invalid input syntax for type bigint: "first"', None),
        (
            "SELECT ml.cancel_job(9)",
            "42809",
            "ml.cancel_job(integer) is a procedure",
            "To call a procedure, use CALL.",
        ),
        *(
            (statement, "42501", f"permission denied for {what}", None)
            for statement, what in (
                ("DELETE FROM ml_jobs WHERE id = 9", "table ml_jobs"),
                ("INSERT INTO ml_models (name) VALUES ('mine')", "table ml_models"),
                ("UPDATE ml_test_results SET fp = 0", "table ml_test_results"),
                ("INSERT INTO ref_model_types (id) VALUES (6)", "table ref_model_types"),
                ("SELECT ml_internal.claim_job('me', '1 day', '{TRAIN}')", "function claim_job"),
            )
        ),
    )
]

# Texts that no statement of a client can bring about by itself, and why.
NOT_A_CLIENTS = {
    "job % belongs to %": "another client is needed: test_locks.py",
    "Only members of that role": "another client is needed: test_locks.py",
    'the model name "%" is being taken': "another client is needed: test_locks.py",
    "Choose another name, or try again": "another client is needed: test_locks.py",
    "job % is no % job": "only the owner may insert into a table of results",
    "ml_internal.record_result knows": "only the owner may insert into a table of results",
    "ml_internal.is_positive(": "a check's definition, no text",
    "This is caught at once.": "ml.preview takes its trial INSERT back with it",
    "model % cannot go from % to %": "only the owner may update the status of a model",
    "READY and FAILED are final": "only the owner may update the status of a model",
    "coin_metrics has no column phase_id_at_time": "of a table without it; tests/sql/test_install.py has it",
    "Leave train_phases_csv out": "of a table without it; tests/sql/test_install.py has it",
    "models % and % learn from": "of a second source; tests/sql/test_sources.py has it",
    "Both are scored on the same rows; compare models of the same source": "the hint of that",
    "That is what reading %1$s gave": "of a view of the user's own; tests/sql/test_preview.py has it",
}
# The files of which clients reach nothing else than their grants; workers and the owner do.
FOR_CLIENTS = {
    "30_models.sql",
    "31_model_names.sql",
    "40_jobs.sql",
    "42_job_kinds.sql",
    "43_job_requests.sql",
    "60_kind_train.sql",
    "62_kind_compare.sql",
    "71_preview.sql",
    "72_wait.sql",
    "73_report.sql",
    "76_outcomes.sql",
}
# Files that hold other texts besides, which are no errors.
ONLY_RAISED = {
    "42_job_kinds.sql",
    "60_kind_train.sql",
    "62_kind_compare.sql",
    "71_preview.sql",
    "72_wait.sql",
    "73_report.sql",
    "76_outcomes.sql",
}
NOT_FOR_CLIENTS = {
    "00_version.sql",
    "01_helpers.sql",
    "10_source_data.sql",
    "19_sources.sql",  # there is no other source here: see test_sources.py
    "41_job_events.sql",
    "44_worker_protocol.sql",
    "50_measurements.sql",
    "51_intervals.sql",
    "56_test_parts.sql",
    "52_baselines.sql",
    "55_folds.sql",
    "63_limits.sql",  # nobody has limits here: see test_limits.py
    "65_model_numbers.sql",
    "66_model_files.sql",
    "67_kind_score.sql",  # its errors are for workers: see test_kind_score.py
    "74_predict.sql",  # no model has numbers here: see test_predict.py
    "90_teams.sql",
    "91_pruning.sql",
    "92_adding_sources.sql",
    "95_rights.sql",
}


@pytest.fixture(scope="module")
def deleted_at(module_db: Database) -> str:
    """Makes the models and jobs of the list, and a column with an odd name."""
    with module_db.connect("owner") as owner:
        owner.execute('ALTER TABLE coin_metrics ADD COLUMN "odd;1=2" numeric')
    with module_db.connect("anna") as anna, module_db.connect("wanda") as wanda:
        ready_model(anna, wanda)
        ready_model(anna, wanda)
        ready_model(
            anna,
            wanda,
            train_target_var="price_close",
            train_operator="<",
            train_value="1.00",
            train_future_minutes=5,
        )
        ready_model(anna, wanda, train_phases_csv="1")
        ready_model(anna, wanda, train_phases_csv="2,3")
        ready_model(anna, wanda, train_model_name="deleted")
        for job_id, name in ((7, "failed"), (8, "training"), (9, "waiting")):
            assert insert_job(anna, **TRAIN, train_model_name=name) == job_id
            if name != "waiting":
                claim(wanda, lease="1 day")
        call(wanda, "record_failure", 7, 1, "no rows")
        anna.execute("SET TimeZone = 'UTC'")
        row = anna.execute(
            "UPDATE ml_models SET is_deleted = true WHERE id = 6 RETURNING deleted_at::text AS deleted_at"
        ).fetchone()
        assert row is not None
        return str(row["deleted_at"])


@pytest.fixture(scope="module")
def db(module_db: Database) -> Database:
    """What is refused leaves the database as it was."""
    return module_db


def test_an_error_says_which_value_and_why_and_what_to_do(
    db: Database, deleted_at: str, subtests: pytest.Subtests
) -> None:
    for expected in (*OURS, *POSTGRES):
        message = expected.message.replace("<deleted_at>", deleted_at)
        with subtests.test(f"{expected.sqlstate} {message}"), db.connect("anna") as client:
            client.execute("SET TimeZone = 'UTC'")
            with pytest.raises(psycopg.Error) as caught:
                client.execute(expected.statement.encode())
            said = caught.value.diag
            assert (said.sqlstate, said.message_primary) == (expected.sqlstate, message)
            assert said.message_hint == expected.hint


def test_every_error_of_ours_has_a_hint_and_no_internal_name() -> None:
    for refusal in OURS:
        assert refusal.hint, refusal.message
        for text in (refusal.message, refusal.hint):
            assert not re.search(
                r"constraint|violates|relation|<NULL>|_known|_fkey|new_jobs|check_train", text
            ), text
            assert not re.search(r"\bml\.(?!cancel_job\(|wait)", text), text
        assert refusal.message[0].islower() or refusal.message.startswith(("C ", "I ")), refusal.message
        assert not refusal.message.endswith("."), refusal.message


def _code(file: Path) -> str:
    """A file without its comments."""
    return re.sub(r"--[^\n]*|^COMMENT ON [^\n]*\n", "", file.read_text(), flags=re.MULTILINE)


def _pattern(text: str) -> re.Pattern[str]:
    """What a text of RAISE or format() can become."""
    parts = re.split(r"%(?:\d+\$)?[sLI]|%", text.replace("''", "'"))
    return re.compile(".*".join(map(re.escape, parts)), re.DOTALL)


def _texts(code: str) -> list[str]:
    """Literals of three words and more: what a person reads."""
    literals = re.findall(r"(E?)'((?:[^']|'')*)'", code)
    texts = [text.replace(r"\\", "\\") if escaped else text for escaped, text in literals]
    return [text for text in texts if re.search(r"\S \S+ \S", text)]


def test_no_text_of_an_error_is_missing_from_the_list() -> None:
    seen = [text for refusal in OURS for text in (refusal.message, refusal.hint or "")]
    checked = 0
    for name in FOR_CLIENTS:
        code = re.sub(r"(?s)CREATE TABLE.*?\n\);", "", _code(SQL / name))
        if name in ONLY_RAISED:
            code = "".join(re.findall(r"(?s)RAISE EXCEPTION.*?;\n", code))
        for text in _texts(code):
            checked += 1
            assert any(text.startswith(known) for known in NOT_A_CLIENTS) or any(
                _pattern(text).search(said) for said in seen
            ), f"{name}: {text}"
    assert checked > 60


def test_no_other_file_has_an_error_for_clients() -> None:
    files = {file.name for file in SQL.glob("*.sql") if "RAISE EXCEPTION" in _code(file)}
    assert files == NOT_FOR_CLIENTS | FOR_CLIENTS


HOSTILE = (
    None,
    "",
    " ",
    "0",
    "-1",
    "11",
    "99999999",
    "0.001",
    "NaN",
    "Infinity",
    "-infinity",
    "x" * 20,
    "true",
)


def test_no_value_of_a_client_meets_a_bare_constraint(db: Database, deleted_at: str) -> None:
    with db.connect("rosa") as reader:
        fields = reader.execute("SELECT * FROM ml_jobs").description or ()
    statements = [
        insert(job | {field.name: value})
        for job in (TRAIN, TEST, COMPARE, SCORE)
        for field in fields
        for value in HOSTILE
        if field.name != "id"
    ]
    for table, columns in (
        ("ml_jobs", ("status", "priority")),
        ("ml_models", ("name", "description", "is_deleted")),
    ):
        for column in columns:
            for value in HOSTILE:
                update = sql.SQL("UPDATE {} SET {} = {} WHERE id IN (6, 8, 9)")
                names = (sql.Identifier(table), sql.Identifier(column), sql.Literal(value))
                statements.append(update.format(*names).as_string(None))
    ours = {(refusal.sqlstate, bool(refusal.hint)) for refusal in OURS}
    refused = 0
    with db.connect("anna") as client, client.transaction(force_rollback=True):
        for statement in statements:
            try:
                with client.transaction(force_rollback=True):
                    client.execute(statement.encode())
            except psycopg.Error as error:
                refused += 1
                said = error.diag
                if said.sqlstate not in {refusal.sqlstate for refusal in POSTGRES}:
                    assert (said.sqlstate, bool(said.message_hint)) in ours, (statement, said.message_primary)
                    assert "violates" not in (said.message_primary or ""), statement
    assert refused > len(statements) / 2
