"""What a job must say to be accepted: a rejection names the value, says what to do, and stores nothing."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import psycopg
import pytest

from tests.conftest import (
    JOB_TYPES,
    TRAIN,
    Connection,
    Database,
    claim,
    insert_job,
    job_row,
    one,
    ready_model,
)
from tests.sql.helpers import COMPARE_PERIOD, TEST_PERIOD, call, count, refused

Fields = dict[str, Any]

NULL_VIOLATION = "23502"
FOREIGN_KEY = "23503"
UNIQUE = "23505"
CHECK = "23514"
TOO_LONG = "22001"

# Models of the module's database, by what is the matter with them; "@name" in a case stands for the id.
TEST: Fields = {"job_type": "TEST", "test_model_id": "@ready", **TEST_PERIOD}
COMPARE: Fields = {
    "job_type": "COMPARE",
    "compare_model_a_id": "@ready",
    "compare_model_b_id": "@rival",
    **COMPARE_PERIOD,
}


@pytest.fixture(scope="module")
def db(make_database: Callable[[], Database]) -> Database:
    """One database for all: a refused INSERT leaves nothing, and an accepted one disturbs no other."""
    return make_database()


@pytest.fixture(scope="module", autouse=True)  # before any test leaves a job that waits
def models(db: Database) -> dict[str, int]:
    with db.connect("anna") as anna, db.connect("wanda") as wanda:
        ids = {
            "ready": ready_model(anna, wanda, train_model_name="ready"),
            "rival": ready_model(anna, wanda),
            "other_value": ready_model(anna, wanda, train_value="0.00001"),
            "other_operator": ready_model(anna, wanda, train_operator=">="),
            "other_variable": ready_model(anna, wanda, train_target_var="price_close"),
            "other_horizon": ready_model(anna, wanda, train_future_minutes=5),
            "phase_1": ready_model(anna, wanda, train_phases_csv="1"),
            "phase_2": ready_model(anna, wanda, train_phases_csv="2,3"),
            "deleted": ready_model(anna, wanda, train_model_name="deleted"),
        }
        anna.execute("UPDATE ml_models SET is_deleted = true WHERE id = %s", [ids["deleted"]])
        for name in ("failed", "training", "waiting"):
            ids[f"job_{name}"] = insert_job(anna, **TRAIN, train_model_name=name)
            if name != "waiting":
                model = "SELECT id FROM ml_models WHERE train_job_id = %s"
                ids[name] = one(anna, model, [claim(wanda, lease="1 day")["id"]])["id"]
        call(wanda, "record_failure", ids["job_failed"], 1, "no rows")
        return ids


def place(value: Any, models: Mapping[str, int]) -> Any:
    """Put the ids of models in the place of their names."""
    if isinstance(value, str):
        for name in sorted(models, key=len, reverse=True):
            value = value.replace(f"@{name}", str(models[name]))
    return value


class Case(NamedTuple):
    """An INSERT and parts of its error."""

    name: str
    fields: Fields
    sqlstate: str
    message: str
    hint: str


# A legal value of each field that only one type of job has.
OF_TRAIN: Fields = {
    "train_target_var": "market_cap_close",
    "train_operator": ">",
    "train_value": 50000,
    "train_start": "2024-01-01",
    "train_end": "2024-03-01",
    "train_features_csv": "price_open",
    "train_model_type": "xgboost",
}
OF_TRAIN_OPTIONAL: Fields = {
    "train_phases_csv": "1,2",
    "train_params_csv": "C=2",
    "train_model_name": "mine",
    "train_description": "first try",
    "train_test_size": 0.3,
    "train_random_state": 7,
    "train_future_minutes": 5,
    "train_split": "time",
    "train_folds": 5,
    "train_weights": "uniqueness",
}
OF_TEST: Fields = {"test_model_id": "@ready", **TEST_PERIOD}
OF_COMPARE: Fields = {"compare_model_a_id": "@ready", "compare_model_b_id": "@rival", **COMPARE_PERIOD}
OF_SERVICE: Fields = {
    "created_at": "2020-01-01",
    "started_at": "2020-01-01",
    "completed_at": "2020-01-01",
    "progress": 0.5,
    "progress_msg": "half",
    "error_msg": "none",
    "worker_id": "me",
    "attempt": 7,
    "lease_until": "2030-01-01",
    "result_model_id": "@ready",
    "result_test_id": 1,
    "result_comparison_id": 1,
}


def missing_fields() -> list[Any]:
    jobs = ((TRAIN, OF_TRAIN), (TEST, OF_TEST), (COMPARE, OF_COMPARE))
    return [
        Case(
            f"{job['job_type']}_{how}_{field}",
            {name: value for name, value in job.items() if name != field} | null,
            NULL_VIOLATION,
            f"a {job['job_type']} job needs {field}",
            "give each a value",
        )
        for job, required in jobs
        for field in required
        for how, null in (("without", {}), ("with_null", {field: None}))
    ]


def foreign_fields() -> list[Any]:
    train, others = OF_TRAIN | OF_TRAIN_OPTIONAL, OF_TEST | OF_COMPARE
    jobs = ((TRAIN, others), (TEST, train | OF_COMPARE), (COMPARE, train | OF_TEST))
    return [
        Case(
            f"{job['job_type']}_with_{field}",
            job | {field: value},
            CHECK,
            f"a {job['job_type']} job has no use for {field} = {value}",
            f"Leave these fields out, or change job_type; a {job['job_type']} job uses",
        )
        for job, foreign in jobs
        for field, value in foreign.items()
    ]


def forged_fields() -> list[Any]:
    return [
        Case(
            f"forged_{field}_of_{job['job_type']}",
            job | {field: value},
            CHECK,
            f"a new job cannot set {field} = {value}",
            "the service fills them",
        )
        for job in (TRAIN, TEST, COMPARE)
        for field, value in OF_SERVICE.items()
    ]


def features(name: str, csv: str, message: str, hint: str) -> Any:
    return Case(f"feature_{name}", TRAIN | {"train_features_csv": csv}, CHECK, message, hint)


def phases(name: str, csv: str, message: str) -> Any:
    hint = "Known phases: 1 (Baby Zone), 2 (Survival Zone), 3 (Mature Zone), 99 (Finished)"
    return Case(f"phase_{name}", TRAIN | {"train_phases_csv": csv}, CHECK, message, hint)


def params(name: str, model_type: str, csv: str, message: str, hint: str) -> Any:
    fields = TRAIN | {"train_model_type": model_type, "train_params_csv": csv}
    return Case(f"params_{name}", fields, CHECK, message, hint)


FOREST, BOOST, LOGISTIC, NETWORK = "random_forest", "xgboost", "logistic_regression", "neural_network"
TREES = "n_estimators of random_forest is an integer from 1 to "
KEY_VALUE = "Write key=value;key=value"
DROP_TABLE = "'; DROP TABLE ml_jobs; --"

REJECTED = [
    # A missing or foreign field for the job type.
    *missing_fields(),
    *foreign_fields(),
    Case(
        "type_unknown", {"job_type": "PREDICT"}, CHECK, "'PREDICT'", "Use one of: COMPARE, SCORE, TEST, TRAIN"
    ),
    Case("type_small", {"job_type": "train"}, CHECK, "'train'", "in capital letters"),
    Case("type_null", {"job_type": None}, CHECK, "NULL", "Use one of: COMPARE, SCORE, TEST, TRAIN"),
    Case("type_left_out", OF_TRAIN, CHECK, "job_type NULL", "Use one of: COMPARE, SCORE, TEST, TRAIN"),
    # Start not before end.
    Case(
        "train_start_is_end",
        TRAIN | {"train_start": "2024-03-01"},
        CHECK,
        "starts at 2024-03-01",
        "Set train_start to a moment before train_end",
    ),
    Case(
        "train_start_after_end",
        TRAIN | {"train_start": "2024-05-01"},
        CHECK,
        "starts at 2024-05-01",
        "Set train_start to a moment before train_end",
    ),
    Case(
        "test_start_is_end",
        TEST | {"test_end": "2024-03-01"},
        CHECK,
        "starts at 2024-03-01",
        "Set test_start to a moment before test_end",
    ),
    Case(
        "test_start_after_end",
        TEST | {"test_end": "2024-02-01"},
        CHECK,
        "its end at 2024-02-01",
        "Set test_start to a moment before test_end",
    ),
    Case(
        "compare_start_is_end",
        COMPARE | {"compare_end": "2024-03-01"},
        CHECK,
        "starts at 2024-03-01",
        "Set compare_start to a moment before compare_end",
    ),
    Case(
        "compare_start_after_end",
        COMPARE | {"compare_end": "2024-02-01"},
        CHECK,
        "its end at 2024-02-01",
        "Set compare_start to a moment before compare_end",
    ),
    Case("train_end_infinite", TRAIN | {"train_end": "infinity"}, CHECK, "infinity", "Give both as dates"),
    Case("train_start_infinite", TRAIN | {"train_start": "-infinity"}, CHECK, "-infinity", "as dates"),
    Case("test_end_infinite", TEST | {"test_end": "infinity"}, CHECK, "infinity", "Give both as dates"),
    Case("compare_infinite", COMPARE | {"compare_end": "infinity"}, CHECK, "infinity", "Give both as dates"),
    # An unknown, duplicate, non-numeric or empty feature.
    features("near", "price_opn", "'price_opn'", "Did you mean price_open"),
    features("far", "xyz", "'xyz'", "Allowed: phase_id_at_time, price_open, price_high"),
    features("second_unknown", "price_open,volume_soll", "'volume_soll'", "volume_sol"),
    features("capital", "Price_Open", "'Price_Open'", "Did you mean price_open"),
    features("twice", "price_open,volume_sol,price_open", "'price_open' is given 2 times", "once"),
    features("twice_with_blanks", "price_open , price_open", "'price_open' is given 2 times", "once"),
    features("text", "mint", "'mint' is character varying(255)", "Allowed: "),
    features("time", "timestamp", "'timestamp' is timestamp with time zone", "Allowed: "),
    features("gap", "price_open,,volume_sol", "'price_open,,volume_sol' has an empty name", "single commas"),
    features("comma_at_the_end", "price_open,", "'price_open,' has an empty name", "single commas"),
    features("comma_at_the_start", ",price_open", "',price_open' has an empty name", "single commas"),
    features("comma_alone", ",", "',' has an empty name", "single commas"),
    features("semicolon", "price_open;price_high", "'price_open;price_high'", "Did you mean price_open"),
    features("quoted", '"price_open"', "'\"price_open\"'", "Did you mean price_open"),
    features("apostrophe", "price_open'", "'price_open'''", "Did you mean price_open"),
    features("sql", f"price_open{DROP_TABLE}", "DROP TABLE ml_jobs", "price_open"),
    features("unicode", "größe_市值_🚀", "'größe_市值_🚀'", "Allowed: "),
    features("percent_sign", "%s", "'%s'", "Allowed: "),
    features("very_long", "price_open_" * 1000, "'price_open_price_open_", "price_open"),
    Case("feature_blank", TRAIN | {"train_features_csv": " "}, NULL_VIOLATION, "train_features_csv", "value"),
    Case("feature_none", TRAIN | {"train_features_csv": ""}, NULL_VIOLATION, "train_features_csv", "value"),
    # An unknown phase, operator, model type or target.
    phases("unknown", "7", "'7'"),
    phases("second_unknown", "1,7", "'7'"),
    phases("name", "Baby Zone", "'Baby Zone'"),
    phases("twice", "1,2,1", "'1,2,1' names a phase twice"),
    phases("gap", "1,,2", "'1,,2'"),
    phases("semicolon", "1;2", "'1;2'"),
    phases("zero_padded", "01", "'01'"),
    phases("sql", DROP_TABLE, "DROP TABLE"),
    *(
        Case(
            f"operator_{name}",
            TRAIN | {"train_operator": operator},
            CHECK,
            f"'{operator}'",
            "> < >= <= = !=",
        )
        for name, operator in (("double", "=="), ("angles", "<>"), ("word", "above"), ("empty", ""))
    ),
    Case(
        "model_type_near", TRAIN | {"train_model_type": "xgbost"}, CHECK, "'xgbost'", "Did you mean xgboost"
    ),
    Case(
        "model_type_far",
        TRAIN | {"train_model_type": "svm"},
        CHECK,
        "'svm'",
        "random_forest, xgboost, gradient_boosting, logistic_regression, neural_network",
    ),
    Case("model_type_empty", TRAIN | {"train_model_type": ""}, CHECK, "''", "Allowed: random_forest"),
    Case(
        "model_type_unicode", TRAIN | {"train_model_type": "随机森林"}, CHECK, "'随机森林'", "random_forest"
    ),
    Case("model_type_sql", TRAIN | {"train_model_type": DROP_TABLE}, CHECK, "DROP TABLE", "random_forest"),
    Case(
        "target_near", TRAIN | {"train_target_var": "market_cap"}, CHECK, "'market_cap'", "market_cap_close"
    ),
    Case("target_far", TRAIN | {"train_target_var": "xyz"}, CHECK, "'xyz'", "Allowed: phase_id_at_time"),
    Case("target_text", TRAIN | {"train_target_var": "mint"}, CHECK, "'mint' is character", "Allowed: "),
    Case("target_empty", TRAIN | {"train_target_var": ""}, CHECK, "train_target_var ''", "Write the name"),
    Case("target_unicode", TRAIN | {"train_target_var": "цена"}, CHECK, "'цена'", "Allowed: "),
    Case("target_sql", TRAIN | {"train_target_var": DROP_TABLE}, CHECK, "DROP TABLE", "Allowed: "),
    Case("value_nan", TRAIN | {"train_value": "NaN"}, CHECK, "NaN", "finite"),
    Case("value_infinite", TRAIN | {"train_value": "Infinity"}, CHECK, "Infinity", "finite"),
    # The target among the features where there is no horizon.
    Case(
        "target_among_features",
        TRAIN | {"train_features_csv": "price_open, market_cap_close"},
        CHECK,
        "'market_cap_close'",
        "set train_future_minutes",
    ),
    # A malformed params_csv.
    params("no_equals_sign", FOREST, "n_estimators", "'n_estimators'", KEY_VALUE),
    params("no_value", FOREST, "n_estimators=", "'n_estimators='", KEY_VALUE),
    params("no_name", FOREST, "=100", "'=100'", KEY_VALUE),
    params("semicolon_at_the_end", FOREST, "n_estimators=100;", "which is not key=value", KEY_VALUE),
    params("semicolon_alone", FOREST, ";", "which is not key=value", KEY_VALUE),
    params("json", FOREST, '{"n_estimators": 100}', "'{\"n_estimators\": 100}'", KEY_VALUE),
    params(
        "comma",
        FOREST,
        "n_estimators=100,max_depth=5",
        "'100,max_depth=5'",
        "by semicolons: n_estimators=100;max_depth=5.",
    ),
    params("colon", FOREST, "n_estimators:100", "'n_estimators:100'", KEY_VALUE),
    # A hyperparameter that this model type does not have, or has twice.
    params(
        "near", FOREST, "n_estimator=100", "random_forest has no hyperparameter 'n_estimator'", "n_estimators"
    ),
    params("of_another_type", LOGISTIC, "n_estimators=100", "'n_estimators'", "max_iter"),
    params("capital", FOREST, "N_Estimators=100", "'N_Estimators'", "Did you mean n_estimators"),
    params("unicode", FOREST, "größe=1", "'größe'", "n_estimators"),
    params("sql", FOREST, f"n_estimators=1{DROP_TABLE}", "'1'''", TREES),
    params("very_long_name", FOREST, "n_estimators" * 1000 + "=1", "'n_estimatorsn_", "n_estimators"),
    params("twice", FOREST, "max_depth=5;max_depth=6", "'max_depth' is given 2 times", "once"),
    params(
        "twice_with_blanks", FOREST, "max_depth = 5 ; max_depth = 6", "'max_depth' is given 2 times", "once"
    ),
    # ... or that is out of range or of the wrong kind.
    params("integer_below", FOREST, "n_estimators=0", "n_estimators cannot be '0'", TREES),
    params("integer_above", FOREST, "n_estimators=1000001", "'1000001'", TREES),
    params("integer_negative", FOREST, "n_estimators=-5", "'-5'", TREES),
    params("integer_fraction", FOREST, "n_estimators=1.5", "'1.5'", TREES),
    params("integer_word", FOREST, "n_estimators=many", "'many'", TREES),
    params("integer_boolean", FOREST, "n_estimators=true", "'true'", TREES),
    params("integer_two_equals_signs", FOREST, "n_estimators=1=2", "'1=2'", TREES),
    params("integer_of_20_digits", FOREST, f"n_estimators={10**20}", f"'{10**20}'", TREES),
    params("integer_unicode_digits", FOREST, "n_estimators=\uff11\uff10", "'\uff11\uff10'", TREES),
    params("integer_or_word", FOREST, "max_depth=None", "'None'", ", or one of: none"),
    params("number_below", BOOST, "learning_rate=0", "'0'", "learning_rate of xgboost is a number from "),
    params(
        "number_above", BOOST, "learning_rate=1.01", "'1.01'", "learning_rate of xgboost is a number from "
    ),
    params("number_nan", BOOST, "learning_rate=NaN", "'NaN'", "learning_rate of xgboost is a number from "),
    params("number_infinite", BOOST, "gamma=inf", "'inf'", "gamma of xgboost is a number from 0 to "),
    params("number_huge", BOOST, "gamma=1e999", "'1e999'", "gamma of xgboost is a number from 0 to "),
    params(
        "number_very_long",
        BOOST,
        "gamma=" + "9" * 19_000,
        "'9999",
        "gamma of xgboost is a number from 0 to ",
    ),
    params(
        "too_long_to_read",
        BOOST,
        "gamma=" + "9" * 140_000,
        "train_params_csv has more than 20000 characters",
        "Name each item once",
    ),
    params(
        "number_word", BOOST, "learning_rate=small", "'small'", "learning_rate of xgboost is a number from "
    ),
    params(
        "number_decimal_comma",
        BOOST,
        "learning_rate=0,1",
        "'0,1'",
        "learning_rate of xgboost is a number from ",
    ),
    params("boolean_yes", FOREST, "bootstrap=yes", "'yes'", "true or false"),
    params("boolean_number", FOREST, "bootstrap=1", "'1'", "true or false"),
    params("choice_unknown", FOREST, "criterion=mse", "'mse'", "one of: gini, entropy, log_loss"),
    params("choice_number", LOGISTIC, "solver=1", "'1'", "one of: lbfgs, "),
    params("layers_semicolon", NETWORK, "hidden_layers=100;50", "'50'", KEY_VALUE),
    params("layers_zero", NETWORK, "hidden_layers=100,0", "'100,0'", "one to ten integers from 1 to "),
    params("layers_above", NETWORK, "hidden_layers=50000", "'50000'", "one to ten integers from 1 to "),
    params("layers_gap", NETWORK, "hidden_layers=100,,50", "'100,,50'", "separated by commas"),
    params(
        "layers_eleven", NETWORK, "hidden_layers=" + ",".join("5" * 11), "'5,5,5,5", "one to ten integers"
    ),
    params("layers_word", NETWORK, "hidden_layers=wide", "'wide'", "one to ten integers from 1 to "),
    # Priority outside 1 to 10, and the other numbers.
    *(
        Case(
            f"priority_{priority}",
            TRAIN | {"priority": priority},
            CHECK,
            f"priority {priority} ",
            "1 is the highest",
        )
        for priority in (0, 11, -1, 2147483647)
    ),
    Case("max_attempts_0", TRAIN | {"max_attempts": 0}, CHECK, "max_attempts 0 ", "default of 3"),
    Case("max_attempts_101", TRAIN | {"max_attempts": 101}, CHECK, "max_attempts 101 ", "default of 3"),
    Case("test_size_0", TRAIN | {"train_test_size": 0}, CHECK, "train_test_size 0", "default of 0.2"),
    Case("test_size_1", TRAIN | {"train_test_size": 1}, CHECK, "train_test_size 1", "default of 0.2"),
    # ml_models.test_size has two digits: what rounds to 0 or 1 there cannot be trained.
    Case(
        "test_size_almost_0", TRAIN | {"train_test_size": "0.004"}, CHECK, "test_size 0.0", "default of 0.2"
    ),
    Case(
        "test_size_almost_1", TRAIN | {"train_test_size": "0.995"}, CHECK, "train_test_size", "default of 0.2"
    ),
    Case("test_size_negative", TRAIN | {"train_test_size": -0.2}, CHECK, "-0.2", "default of 0.2"),
    Case("test_size_percent", TRAIN | {"train_test_size": 20}, CHECK, "train_test_size 20", "default of 0.2"),
    Case("random_state_negative", TRAIN | {"train_random_state": -1}, CHECK, "-1", "Use 0 or more"),
    Case("horizon_0", TRAIN | {"train_future_minutes": 0}, CHECK, "train_future_minutes 0", "look ahead"),
    Case("horizon_negative", TRAIN | {"train_future_minutes": -5}, CHECK, "-5", "look ahead"),
    Case("horizon_too_far", TRAIN | {"train_future_minutes": 525601}, CHECK, "525601", "at most a year"),
    # A model that does not exist, is deleted or is not READY.
    Case(
        "test_of_no_model", TEST | {"test_model_id": 999}, FOREIGN_KEY, "model 999 does not", "ml_leaderboard"
    ),
    Case(
        "test_of_deleted_model",
        TEST | {"test_model_id": "@deleted"},
        FOREIGN_KEY,
        'model @deleted ("deleted") was deleted',
        "UPDATE ml_models SET is_deleted = false WHERE id = @deleted",
    ),
    Case(
        "test_of_failed_model",
        TEST | {"test_model_id": "@failed"},
        FOREIGN_KEY,
        'model @failed ("failed") is FAILED',
        "see error_msg of job @job_failed",
    ),
    Case(
        "test_of_model_in_training",
        TEST | {"test_model_id": "@training"},
        FOREIGN_KEY,
        'model @training ("training") is TRAINING',
        "Wait until job @job_training has trained it",
    ),
    *(
        Case(
            f"compare_{side}_{what}",
            COMPARE | {f"compare_model_{side}_id": model},
            FOREIGN_KEY,
            message,
            hint,
        )
        for side in "ab"
        for what, model, message, hint in (
            ("no_model", 999, "model 999 does not exist", "ml_leaderboard"),
            ("deleted", "@deleted", "model @deleted", "is_deleted = false"),
            ("failed", "@failed", "model @failed", "error_msg of job @job_failed"),
            ("training", "@training", "model @training", "job @job_training"),
        )
    ),
    # A comparison of a model with itself or of models with different targets.
    Case(
        "compare_with_itself",
        COMPARE | {"compare_model_b_id": "@ready"},
        CHECK,
        "model @ready cannot be compared with itself",
        "two different models",
    ),
    Case(
        "compare_other_value",
        COMPARE | {"compare_model_b_id": "@other_value"},
        CHECK,
        "market_cap_close > 50000 and market_cap_close > 0.00001",
        "same label",
    ),
    Case(
        "compare_other_operator",
        COMPARE | {"compare_model_b_id": "@other_operator"},
        CHECK,
        "market_cap_close >= 50000",
        "same label",
    ),
    Case(
        "compare_other_variable",
        COMPARE | {"compare_model_a_id": "@other_variable"},
        CHECK,
        "price_close > 50000",
        "same label",
    ),
    Case(
        "compare_other_horizon",
        COMPARE | {"compare_model_b_id": "@other_horizon"},
        CHECK,
        "market_cap_close > 50000 after 5 min",
        "same label",
    ),
    Case(
        "compare_without_common_phase",
        COMPARE | {"compare_model_a_id": "@phase_1", "compare_model_b_id": "@phase_2"},
        CHECK,
        "models @phase_1 and @phase_2 have no phase in common: 1 and 2,3",
        "at least one common phase",
    ),
    # A model name already taken.
    Case(
        "name_of_ready_model",
        TRAIN | {"train_model_name": "ready"},
        UNIQUE,
        '"ready" is taken by model',
        "another",
    ),
    Case(
        "name_of_model_in_training",
        TRAIN | {"train_model_name": "training"},
        UNIQUE,
        '"training" is taken by model @training',
        "Choose another name, or free it",
    ),
    Case(
        "name_of_waiting_job",
        TRAIN | {"train_model_name": "waiting"},
        UNIQUE,
        '"waiting" is taken by job @job_waiting',
        "Choose another name, or free it",
    ),
    Case(
        "name_empty",
        TRAIN | {"train_model_name": ""},
        CHECK,
        "train_model_name is blank",
        "leave the field out",
    ),
    Case(
        "name_blank",
        TRAIN | {"train_model_name": "  "},
        CHECK,
        "train_model_name is blank",
        "leave the field out",
    ),
    Case(
        "name_tab",
        TRAIN | {"train_model_name": "\t\n"},
        CHECK,
        "train_model_name has the character U+0009",
        "characters that show",
    ),
    Case(
        "name_too_long",
        TRAIN | {"train_model_name": "ü" * 256},
        CHECK,
        "has 256 characters",
        "at most 255",
    ),
    Case(
        "operator_in_words",
        TRAIN | {"train_operator": "greater than"},
        CHECK,
        "train_operator 'greater than' is unknown",
        "> < >= <= = !=",
    ),
    Case(
        "model_type_very_long",
        TRAIN | {"train_model_type": "x" * 1000},
        CHECK,
        "train_model_type 'xxx",
        "random_forest, xgboost",
    ),
    Case(
        "target_very_long",
        TRAIN | {"train_target_var": "x" * 1000},
        CHECK,
        "coin_metrics has no column 'xxx",
        "Allowed: ",
    ),
    Case(
        "period_beyond_the_calendar",
        TRAIN | {"train_end": "20000-01-01"},
        CHECK,
        "20000-01-01",
        "for example '2024-01-01'",
    ),
    # A status other than PENDING.
    *(
        Case(f"status_{status}", TRAIN | {"status": status}, CHECK, f"the status '{status}'", "use PENDING")
        for status in ("RUNNING", "COMPLETED", "FAILED", "CANCELLED", "pending", "DONE")
    ),
    # Result, worker or attempt fields set by a client.
    *forged_fields(),
]


@pytest.mark.parametrize("job_type", [*JOB_TYPES, None])
def test_a_job_that_cannot_run_is_refused_with_a_reason_and_a_hint(
    client: Connection, models: dict[str, int], subtests: pytest.Subtests, job_type: str | None
) -> None:
    """A job of this kind; None: of none."""
    before = count(client, "ml_jobs")
    for refusal in REJECTED:
        given = refusal.fields.get("job_type")
        if (given if given in JOB_TYPES else None) != job_type:
            continue
        with subtests.test(refusal.name):
            with pytest.raises(psycopg.Error) as caught:
                insert_job(client, **{name: place(value, models) for name, value in refusal.fields.items()})
            said = caught.value.diag
            assert said.sqlstate == refusal.sqlstate, caught.value
            assert place(refusal.message, models) in (said.message_primary or ""), said.message_primary
            assert place(refusal.hint, models) in (said.message_hint or ""), said.message_hint
            assert len(said.message_primary or "") < 500
            assert len(said.message_hint or "") < 1000
    assert count(client, "ml_jobs") == before


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"job_type": "TRAIN_AND_TEST_AND_COMPARE"}, id="job_type"),
        pytest.param({"status": "WAITING_FOR_A_WORKER_"}, id="status"),
    ],
)
def test_a_text_longer_than_its_column_is_refused_by_its_type(client: Connection, fields: Fields) -> None:
    before = count(client, "ml_jobs")
    with refused(TOO_LONG, "value too long for type character varying"):
        insert_job(client, **(TRAIN | fields))
    assert count(client, "ml_jobs") == before


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_one_bad_row_refuses_the_whole_statement(client: Connection, bad: int) -> None:
    before = count(client, "ml_jobs")
    rows = [TRAIN | {"train_features_csv": "price_opn" if row == bad else "price_open"} for row in range(3)]
    with refused(CHECK, "'price_opn'", "price_open"):
        _insert_rows(client, rows)
    assert count(client, "ml_jobs") == before


def test_one_row_with_a_bad_priority_refuses_the_whole_statement(client: Connection) -> None:
    before = count(client, "ml_jobs")
    with refused(CHECK, "priority 11"):
        _insert_rows(client, [TRAIN | {"priority": priority} for priority in (1, 2, 11)])
    assert count(client, "ml_jobs") == before


def test_two_rows_of_one_statement_cannot_have_the_same_name(client: Connection) -> None:
    before = count(client, "ml_jobs")
    with refused(UNIQUE, '"twins" is taken', "Choose another name"):
        _insert_rows(client, [TRAIN | {"train_model_name": "twins"}] * 2)
    assert count(client, "ml_jobs") == before


def test_many_good_rows_are_stored_by_one_statement(client: Connection, models: dict[str, int]) -> None:
    before = count(client, "ml_jobs")
    _insert_rows(client, [TRAIN] * 500)
    assert count(client, "ml_jobs") == before + 500


def test_the_refusal_names_the_column(client: Connection) -> None:
    with pytest.raises(psycopg.Error) as caught:
        insert_job(client, **TRAIN | {"train_features_csv": "price_opn"})
    assert caught.value.diag.table_name == "ml_jobs"
    assert caught.value.diag.column_name == "train_features_csv"


def test_a_job_has_the_defaults(client: Connection) -> None:
    job = job_row(client, insert_job(client, **TRAIN))
    expected = {
        "status": "PENDING",
        "priority": 5,
        "progress": Decimal(0),
        "attempt": 0,
        "max_attempts": 3,
        "train_model_name": f"logistic_regression_job_{job['id']}",
        "train_test_size": Decimal("0.20"),
        "train_random_state": 42,
        "train_future_minutes": None,
    }
    assert {name: job[name] for name in expected} == expected


def test_null_stands_for_the_default_in_every_optional_field(
    client: Connection, models: dict[str, int]
) -> None:
    optional = OF_SERVICE | OF_TRAIN_OPTIONAL | OF_TEST | OF_COMPARE
    nulls = dict.fromkeys((*optional, "status", "priority", "max_attempts"))
    job = job_row(client, insert_job(client, **TRAIN | nulls))
    assert (job["status"], job["priority"], job["max_attempts"], job["attempt"]) == ("PENDING", 5, 3, 0)
    assert (job["train_test_size"], job["train_random_state"]) == (Decimal("0.20"), 42)
    assert job["created_at"] is not None


@pytest.mark.parametrize("job", [TEST, COMPARE], ids=["TEST", "COMPARE"])
def test_null_in_a_field_of_another_type_is_no_value(
    client: Connection, models: dict[str, int], job: Fields
) -> None:
    others = OF_TRAIN | OF_TRAIN_OPTIONAL | OF_TEST | OF_COMPARE
    fields = dict.fromkeys(others) | {name: place(value, models) for name, value in job.items()}
    assert job_row(client, insert_job(client, **fields))["status"] == "PENDING"


@pytest.mark.parametrize(
    ("field", "given", "stored"),
    [
        ("train_features_csv", " price_open , volume_sol ,price_low ", "price_open,volume_sol,price_low"),
        ("train_features_csv", "price_open,\n    volume_sol", "price_open,volume_sol"),
        ("train_features_csv", "\n    price_open,\n    volume_sol\n", "price_open,volume_sol"),
        ("train_phases_csv", " 1 , 2,  3 ", "1,2,3"),
        ("train_phases_csv", "", None),
        ("train_phases_csv", "  ", None),
        ("train_params_csv", " hidden_layers = 64 ; activation=tanh ", "hidden_layers=64;activation=tanh"),
        ("train_params_csv", "hidden_layers=100, 50", "hidden_layers=100,50"),
        ("train_params_csv", "", None),
    ],
)
def test_blanks_in_a_list_are_taken_out(
    client: Connection, field: str, given: str, stored: str | None
) -> None:
    job_id = insert_job(client, **TRAIN | {"train_model_type": NETWORK, field: given})
    assert job_row(client, job_id)[field] == stored


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("Größe 市值 🚀", id="unicode"),
        pytest.param('Anna\'s "best" model', id="quotes"),
        pytest.param(f"x{DROP_TABLE}", id="sql"),
        pytest.param("100%s %L {}", id="format"),
        pytest.param("n" * 255, id="longest"),
    ],
)
def test_a_model_may_have_any_name(client: Connection, name: str) -> None:
    job_id = insert_job(client, **TRAIN, train_model_name=name, train_description=name)
    job = job_row(client, job_id)
    assert (job["train_model_name"], job["train_description"]) == (name, name)


@pytest.mark.parametrize("operator", [">", "<", ">=", "<=", "=", "!="])
def test_every_operator_is_accepted(client: Connection, operator: str) -> None:
    job_id = insert_job(client, **TRAIN | {"train_operator": operator})
    assert job_row(client, job_id)["train_operator"] == operator


@pytest.mark.parametrize("value", ["0.00001", "-1.5", "0", "123456789012345678901234567890.123456789"])
def test_a_threshold_keeps_every_digit(client: Connection, value: str) -> None:
    assert job_row(client, insert_job(client, **TRAIN | {"train_value": value}))["train_value"] == Decimal(
        value
    )


def test_every_priority_from_1_to_10_is_accepted(client: Connection) -> None:
    for priority in range(1, 11):
        assert job_row(client, insert_job(client, **TRAIN, priority=priority))["priority"] == priority


def test_with_a_horizon_the_target_may_be_among_the_features(client: Connection) -> None:
    fields = {"train_features_csv": "market_cap_close,volume_sol", "train_future_minutes": 5}
    assert job_row(client, insert_job(client, **TRAIN | fields))["train_future_minutes"] == 5


def test_the_name_of_a_deleted_or_failed_model_is_free(client: Connection, models: dict[str, int]) -> None:
    for name in ("deleted", "failed"):
        job_id = insert_job(client, **TRAIN, train_model_name=name)
        assert job_row(client, job_id)["train_model_name"] == name
        client.execute("CALL ml.cancel_job(%s)", [job_id])


def test_models_with_a_common_phase_can_be_compared(client: Connection, models: dict[str, int]) -> None:
    pair = {"compare_model_a_id": models["phase_1"], "compare_model_b_id": models["ready"]}
    assert job_row(client, insert_job(client, **COMPARE | pair))["status"] == "PENDING"


def test_the_rules_hold_for_the_owner_too(owner: Connection) -> None:
    before = count(owner, "ml_jobs")
    with refused(CHECK, "the status 'COMPLETED'", "use PENDING"):
        insert_job(owner, **TRAIN, status="COMPLETED")
    with refused(CHECK, "attempt = 7"):
        insert_job(owner, **TRAIN, attempt=7)
    assert count(owner, "ml_jobs") == before


def test_the_rules_hold_for_copy_too(owner: Connection) -> None:
    before = count(owner, "ml_jobs")
    with (
        refused(CHECK, "priority 11"),
        owner.cursor() as cursor,
        cursor.copy(f"COPY ml_jobs ({', '.join(TRAIN)}, priority) FROM STDIN") as copy,
    ):
        copy.write_row([*map(str, TRAIN.values()), "11"])
    assert count(owner, "ml_jobs") == before


def test_a_client_that_copies_jobs_is_told_to_insert_them(client: Connection) -> None:
    """PostgreSQL has no COPY FROM where rows have rights of their own."""
    with refused("0A000", "COPY FROM not supported", "Use INSERT statements"), client.cursor() as cursor:
        cursor.execute(f"COPY ml_jobs ({', '.join(TRAIN)}) FROM STDIN".encode())


def _insert_rows(connection: Connection, rows: list[Fields]) -> None:
    """Insert jobs with the same fields by one statement."""
    row = f"({', '.join(['%s'] * len(rows[0]))})"
    query = f"INSERT INTO ml_jobs ({', '.join(rows[0])}) VALUES {', '.join([row] * len(rows))}"
    connection.execute(query, [value for fields in rows for value in fields.values()])
