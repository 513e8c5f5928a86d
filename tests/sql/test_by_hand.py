"""ml.train, ml.test and ml.compare insert what an INSERT would; ml.wait tells how a job goes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from tests.conftest import (
    TRAIN,
    Connection,
    Database,
    claim,
    insert_job,
    job_row,
    one,
    ready_model,
    record,
    until,
)
from tests.sql.helpers import (
    COMPARE_PERIOD,
    RESULTS,
    TEST_PERIOD,
    VERDICT,
    call,
    complete,
    count,
    refused,
    running_job,
)

ARGUMENTS = {
    "model_type": "train_model_type",
    "target": "train_target_var",
    "operator": "train_operator",
    "value": "train_value",
    "features": "train_features_csv",
    "train_start": "train_start",
    "train_end": "train_end",
    "future_minutes": "train_future_minutes",
    "phases": "train_phases_csv",
    "params": "train_params_csv",
    "name": "train_model_name",
    "description": "train_description",
    "test_size": "train_test_size",
    "random_state": "train_random_state",
    "priority": "priority",
    "max_attempts": "max_attempts",
    "max_minutes": "max_minutes",
    "label": "train_label",
    "base": "train_base_var",
    "stop_value": "train_stop_value",
    "uncovered": "train_uncovered",
    "source": "train_source",
    "threshold": "train_threshold",
    "split": "train_split",
    "folds": "train_folds",
    "weights": "train_weights",
}
WHOLE = TRAIN | {
    "train_future_minutes": 10,
    "train_phases_csv": "1, 2",
    "train_params_csv": "max_iter=50",
    "train_model_name": "by hand",
    "train_description": "typed",
    "train_test_size": "0.3",
    "train_random_state": 7,
    "train_split": "coins_and_time",
    "train_folds": 5,
    "train_weights": "uniqueness",
    "priority": 2,
    "max_attempts": 4,
}


def by_hand(connection: Connection, routine: str, **arguments: Any) -> int:
    places = ", ".join(f"{name} => %s" for name in arguments)
    query = f"SELECT ml.{routine}({places}) AS id"
    return int(one(connection, query, list(arguments.values()))["id"])


def as_arguments(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a TRAIN job as the arguments of ml.train."""
    return {name: fields[column] for name, column in ARGUMENTS.items() if column in fields}


def asked(connection: Connection, job_id: int) -> dict[str, Any]:
    """What a job asks for: its fields but for those that differ between any two."""
    row = job_row(connection, job_id)
    if row["train_model_name"] is not None:
        row["train_model_name"] = row["train_model_name"].replace(f"_{job_id}", "_its id")
    for column in ("id", "status", "created_at", "completed_at", "progress_msg"):
        del row[column]
    return row


@pytest.mark.parametrize("fields", [TRAIN, WHOLE], ids=["the least", "all"])
def test_train_inserts_what_the_insert_would(client: Connection, fields: dict[str, Any]) -> None:
    expected = insert_job(client, **fields)
    client.execute("CALL ml.cancel_job(%s)", [expected])  # its name is free again
    made = by_hand(client, "train", **as_arguments(fields))
    assert asked(client, made) == asked(client, expected)
    assert job_row(client, made)["status"] == "PENDING"


def test_every_field_that_a_client_may_ask_for_has_an_argument(owner: Connection) -> None:
    columns = {column.name for column in owner.execute("SELECT * FROM ml_jobs").description or ()}
    for routine, prefix in (("train", "train_"), ("test", "test_"), ("compare", "compare_")):
        for row in owner.execute(
            "SELECT proargnames AS names FROM pg_proc"
            " WHERE pronamespace = 'ml'::regnamespace AND proname = %s",
            [routine],
        ):
            wanted = {column for column in columns if column.startswith(prefix)}
            wanted |= {"priority", "max_attempts", "max_minutes"}
            if routine == "train":
                assert {ARGUMENTS[name] for name in row["names"]} == wanted
            else:
                assert len(row["names"]) == len(wanted)


def test_train_wakes_the_workers(db: Database, client: Connection, worker: Connection) -> None:
    worker.execute("LISTEN ml_jobs")
    by_hand(client, "train", **as_arguments(TRAIN))
    assert [n.channel for n in worker.notifies(timeout=60, stop_after=1)] == ["ml_jobs"]


def test_what_cannot_run_is_refused_as_by_the_insert(client: Connection) -> None:
    for wrong, sqlstate, message, hint in (
        ({"features": "price_opne"}, "23514", "no column 'price_opne'", "price_open"),
        ({"operator": "=>"}, "23514", "train_operator '=>' is unknown", "<="),
        ({"params": "C=x"}, "23514", "C cannot be 'x'", "a number"),
        ({"target": None}, "23502", "needs train_target_var", "Name these fields"),
    ):
        with refused(sqlstate, message, hint):
            by_hand(client, "train", **(as_arguments(TRAIN) | wrong))
    with refused("23503", "model 4711 does not exist", "ml_leaderboard"):
        by_hand(client, "test", model_id=4711, **TEST_PERIOD)


def test_a_model_is_named_by_its_number_or_its_name(client: Connection, worker: Connection) -> None:
    a, b = (ready_model(client, worker, train_model_name=name) for name in ("first", "it's second"))
    for model in ({"model_id": b}, {"model_name": "it's second"}, {"model_name": str(b)}):
        assert asked(client, by_hand(client, "test", **model, **TEST_PERIOD, priority=3)) == asked(
            client, insert_job(client, job_type="TEST", test_model_id=b, **TEST_PERIOD, priority=3)
        )
    for pair in (
        {"model_a_id": a, "model_b_id": b},
        {"model_a_name": "first", "model_b_name": "it's second"},
    ):
        assert asked(client, by_hand(client, "compare", **pair, **COMPARE_PERIOD, max_attempts=2)) == asked(
            client,
            insert_job(
                client,
                job_type="COMPARE",
                compare_model_a_id=a,
                compare_model_b_id=b,
                **COMPARE_PERIOD,
                max_attempts=2,
            ),
        )
    # Without the names of the arguments, too.
    by_place = "SELECT ml.{}({}, '2024-03-01', '2024-04-01') AS id"
    assert one(client, by_place.format("test", b))
    assert one(client, by_place.format("test", "'first'"))
    assert one(client, by_place.format("compare", f"{a}, {b}"))
    assert one(client, by_place.format("compare", "'first', 'it''s second'"))


def test_a_name_that_no_usable_model_has_is_refused_with_the_reason(
    client: Connection, worker: Connection
) -> None:
    with refused("P0002", "no model is named 'nobody'", "ml_leaderboard"):
        by_hand(client, "test", model_name="nobody", **TEST_PERIOD)
    gone = ready_model(client, worker, train_model_name="gone")
    client.execute("UPDATE ml_models SET is_deleted = true WHERE id = %s", [gone])
    with refused("23503", f'model {gone} ("gone") was deleted', "take it back"):
        by_hand(client, "test", model_name="gone", **TEST_PERIOD)
    again = ready_model(client, worker, train_model_name="gone")
    assert (
        job_row(client, by_hand(client, "test", model_name="gone", **TEST_PERIOD))["test_model_id"] == again
    )


@pytest.mark.parametrize("login", ["rosa", "wanda"])
def test_only_a_client_may_ask_for_a_job(db: Database, login: str) -> None:
    with db.connect(login) as connection:
        for routine, arguments in (
            ("train", as_arguments(TRAIN)),
            ("test", {"model_id": 1}),
            ("compare", {"model_a_name": "a", "model_b_name": "b"}),
        ):
            with refused("42501", f"permission denied for function {routine}"):
                by_hand(connection, routine, **arguments)


# ── ml.wait ─────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def waiting(db: Database, job_id: int, timeout: str = "5 minutes") -> Iterator[list[str]]:
    """Waits for a job in another thread, as one who only reads; gives the lines that it is told."""
    told: list[str] = []
    failures: list[BaseException] = []
    with db.connect("rosa") as rosa:
        rosa.add_notice_handler(lambda said: told.append(said.message_primary or ""))

        def wait() -> None:
            try:
                rosa.execute("CALL ml.wait(%s, %s)", [job_id, timeout])
            except psycopg.Error as error:
                failures.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        yield told
        thread.join(120)
        assert not thread.is_alive()
        assert failures == []


def test_wait_tells_what_changes_and_ends_with_the_job(
    db: Database, client: Connection, worker: Connection
) -> None:
    job_id = insert_job(client, **TRAIN)
    with waiting(db, job_id) as told:
        until(lambda: len(told) == 1, "the first line")
        call(worker, "record_sign", "h:1:a", 1, "1 hour")
        until(lambda: len(told) == 2, "the sign of life")
        claim(worker)
        until(lambda: len(told) == 3, "the claim")
        call(worker, "record_progress", job_id, 1, "0.42", "Training: 42/100 trees")
        until(lambda: len(told) == 4, "the progress")
        # The same again is no news.
        call(worker, "record_progress", job_id, 1, "0.42", "Training: 42/100 trees")
        complete(worker, job_id, "TRAIN")
    job = job_row(client, job_id)
    assert told == [
        f"job {job_id} PENDING: no worker is running; start one: ml-worker run",
        f"job {job_id} PENDING",
        f"job {job_id} RUNNING, 0 %: Starting",
        f"job {job_id} RUNNING, 42 %: Training: 42/100 trees",
        f"job {job_id} COMPLETED: model {job['result_model_id']}, {job['train_model_name']}: "
        f"{VERDICT} on held-out rows",
    ]


def test_wait_holds_no_transaction_from_one_look_to_the_next(
    db: Database, client: Connection, reader: Connection
) -> None:
    job_id = insert_job(client, **TRAIN)
    query = "SELECT xact_start AS at FROM pg_stat_activity WHERE query LIKE 'CALL ml.wait%'"
    query += " AND datname = current_database() AND pid <> pg_backend_pid()"

    def started() -> set[Any]:
        return {row["at"] for row in reader.execute(query.encode())} - {None}

    with waiting(db, job_id):
        until(lambda: len(started()) == 1, "the wait")
        first = started()
        until(lambda: len(started() - first) == 1, "another transaction")
        client.execute("CALL ml.cancel_job(%s)", [job_id])


def outcome(db: Database, job_id: int) -> str:
    with waiting(db, job_id) as told:
        pass
    assert len(told) == 1
    return told[0].removeprefix(f"job {job_id} ")


def test_the_last_line_is_the_outcome(db: Database, client: Connection, worker: Connection) -> None:
    failed = running_job(client, worker)
    call(worker, "record_failure", failed, 1, "one class only")
    assert outcome(db, failed) == "FAILED: one class only"
    cancelled = insert_job(client, **TRAIN)
    client.execute("CALL ml.cancel_job(%s)", [cancelled])
    assert outcome(db, cancelled) == "CANCELLED"
    test = running_job(client, worker, "TEST")
    result = complete(worker, test, "TEST")
    model = job_row(client, test)["test_model_id"]
    assert outcome(db, test) == f"COMPLETED: test {result} of model {model}: {VERDICT}"
    compare = running_job(client, worker, "COMPARE", compare_confidence=0)
    complete(worker, compare, "COMPARE")
    a, b = (job_row(client, compare)[f"compare_model_{side}_id"] for side in "ab")
    assert outcome(db, compare) == (
        f"COMPLETED: model {a} wins by the plain rule: F1 0.8000 of model {a} is 0.1333 higher than 0.6667"
        f" of model {b}; chance was not considered"
    )
    draw = insert_job(
        client, job_type="COMPARE", compare_model_a_id=a, compare_model_b_id=b, **COMPARE_PERIOD
    )
    claim(worker)
    # No positive row and no positive prediction: F1 is undefined, and says so.
    nothing = {f"{side}_{cell}": 0 for side in "ab" for cell in ("tp", "fp", "fn")}
    nothing |= {f"{side}_tn": 200 for side in "ab"}
    record(worker, draw, 1, **(RESULTS["COMPARE"] | nothing))
    assert outcome(db, draw) == "COMPLETED: a tie, no winner: both have no F1 and accuracy 1.0000"


def test_a_wait_that_takes_too_long_is_an_error_and_leaves_the_job(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    job_id = insert_job(client, **TRAIN)
    call(worker, "record_sign", "h:1:a", 1, "0")
    with refused("ML004", f"job {job_id} PENDING: no worker is running; start one: ml-worker run"):
        reader.execute("CALL ml.wait(job_id => %s, timeout => '120 ms')", [job_id])
    call(worker, "record_sign", "h:1:a", 1, "1 hour")
    with refused("ML004", f"job {job_id} PENDING", f"CALL ml.wait({job_id}, '1 hour')"):
        reader.execute("CALL ml.wait(job_id => %s, timeout => '120 ms')", [job_id])
    assert job_row(client, job_id)["status"] == "PENDING"


@pytest.mark.parametrize(
    "timeout", ["0.2", "'200 ms'", "interval '200 ms'", "0.2::numeric", "0::bigint", "0"]
)
def test_a_timeout_is_an_interval_a_text_or_a_number_of_seconds(
    client: Connection, reader: Connection, timeout: str
) -> None:
    job_id = insert_job(client, **TRAIN)
    for what in (f"{job_id}", f"{job_id}::bigint", f"ARRAY[{job_id}]"):
        if "ARRAY" in what and timeout[0] not in "'i":
            continue
        with refused("ML004", f"job {job_id} PENDING"):
            reader.execute(f"CALL ml.wait({what}, {timeout})".encode())


def test_many_jobs_are_waited_for_and_so_are_all_of_mine(
    db: Database, client: Connection, worker: Connection, reader: Connection
) -> None:
    call(worker, "record_sign", "h:1:a", 1, "1 hour")
    told: list[str] = []
    client.add_notice_handler(lambda said: told.append(said.message_primary or ""))
    jobs = [insert_job(client, **TRAIN) for _ in range(3)]
    for job_id in jobs[:2]:
        client.execute("CALL ml.cancel_job(%s)", [job_id])
    client.execute("CALL ml.wait(%s)", [jobs[:2]])
    assert told == [f"job {job_id} CANCELLED" for job_id in jobs[:2]]
    with refused("ML004", f"job {jobs[2]} PENDING"):
        client.execute("CALL ml.wait(%s, '50 ms')", [jobs])
    told.clear()
    reader.execute("CALL ml.wait()")  # it has none
    client.execute("CALL ml.cancel_job(%s)", [jobs[2]])
    client.execute("CALL ml.wait()")
    assert told == []  # they have all ended


@pytest.mark.parametrize("job_id", [4711, None])
def test_a_job_that_is_not_there_is_not_waited_for(reader: Connection, job_id: int | None) -> None:
    with refused("P0002", "does not exist", "lists the jobs"):
        reader.execute("CALL ml.wait(%s::bigint)", [job_id])


def test_a_wait_without_a_limit_waits_until_the_end(
    db: Database, client: Connection, worker: Connection
) -> None:
    job_id = running_job(client, worker)
    with db.connect("rosa") as rosa:
        rosa.execute("SET statement_timeout = '300ms'")
        with refused("57014", "statement timeout"):
            rosa.execute("CALL ml.wait(%s, NULL)", [job_id])


def test_inside_a_transaction_it_is_refused_and_says_why(client: Connection) -> None:
    before = count(client, "ml_jobs")
    with refused("25001", "cannot run inside a transaction", "autocommit"), client.transaction():
        job_id = insert_job(client, **TRAIN)
        client.execute("CALL ml.wait(%s)", [job_id])
    assert count(client, "ml_jobs") == before


def test_a_search_path_of_the_callers_does_not_deceive_it(
    db: Database, client: Connection, worker: Connection
) -> None:
    job_id = running_job(client, worker)
    call(worker, "record_failure", job_id, 1, "no rows")
    told: list[str] = []
    client.add_notice_handler(lambda said: told.append(said.message_primary or ""))
    client.execute("CREATE TEMPORARY TABLE ml_jobs (id bigint, status text)")
    client.execute("CREATE FUNCTION pg_temp.ne(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT false'")
    client.execute("CREATE OPERATOR pg_temp.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = pg_temp.ne)")
    client.execute("SET search_path TO pg_temp, pg_catalog")
    client.execute("CALL ml.wait(%s)", [job_id])
    assert told == [f"job {job_id} FAILED: no rows"]
