"""What an INSERT tells beside accepting the job: no worker is alive, or its period has no rows."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.conftest import TRAIN, Connection, insert_job, one
from tests.sql.helpers import call

EMPTY = TRAIN | {"train_start": "2021-06-05", "train_end": "2021-11-05"}


@contextmanager
def told(connection: Connection) -> Iterator[list[tuple[str, str, str]]]:
    """Severity, message and hint of every notice of the block."""
    found: list[tuple[str, str, str]] = []

    def note(said: psycopg.errors.Diagnostic) -> None:
        found.append((said.severity or "", said.message_primary or "", said.message_hint or ""))

    connection.add_notice_handler(note)
    yield found
    connection.remove_notice_handler(note)


def alive(worker: Connection) -> None:
    call(worker, "record_sign", "w1", 1, "1 minute")


def test_without_a_worker_each_statement_says_once_that_the_job_waits(client: Connection) -> None:
    with told(client) as notices:
        insert_job(client, **TRAIN)
        client.execute("SELECT ml.test('1', '2024-03-01', '2024-04-01') FROM ml_models")  # inserts nothing
        client.execute(
            """INSERT INTO ml_jobs (job_type, train_target_var, train_operator, train_value, train_start,
                train_end, train_features_csv, train_model_type)
            SELECT 'TRAIN', 'volume_sol', '>', 5, '2024-01-01', '2024-03-01', 'price_open', 'xgboost'
            FROM generate_series(1, 20)"""
        )
        client.execute(
            """SELECT ml.train('xgboost', 'market_cap_close', '>', 50000, 'price_open',
                '2024-01-01', '2024-03-01')"""
        )
    said = ("NOTICE", "no worker is running, so the job waits", "Start one: ml-worker run")
    assert notices == [said] * 3


def test_nothing_is_told_of_a_job_that_can_run(client: Connection, worker: Connection) -> None:
    alive(worker)
    with told(client) as notices:
        insert_job(client, **TRAIN)
    assert notices == []
    call(worker, "record_sign", "w1", 1, "0")  # it has stopped
    with told(client) as notices:
        insert_job(client, **TRAIN)
    assert [severity for severity, _, _ in notices] == ["NOTICE"]


def test_a_period_without_rows_is_warned_of_with_the_dates_that_there_are(
    client: Connection, worker: Connection
) -> None:
    alive(worker)
    client.execute("SET timezone TO 'UTC'")
    first, last = one(client, "SELECT min(timestamp), max(timestamp) FROM coin_metrics").values()
    client.execute("SET datestyle TO 'German, MDY'")
    with told(client) as notices:
        job_id = insert_job(client, **EMPTY | {"train_start": "06.05.2021", "train_end": "11.05.2021"})
    where = f"it has rows from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}"
    assert [notice[:2] for notice in notices] == [
        ("WARNING", f"coin_metrics has no rows from 2021-06-05 to 2021-11-05; {where} (job {job_id})")
    ]
    assert f"CALL ml.cancel_job({job_id});" in notices[0][2]


def test_one_warning_stands_for_a_statement_of_many_jobs(client: Connection, worker: Connection) -> None:
    alive(worker)
    with told(client) as notices:
        client.execute(
            """INSERT INTO ml_jobs (job_type, train_target_var, train_operator, train_value, train_start,
                train_end, train_features_csv, train_model_type)
            SELECT 'TRAIN', 'market_cap_close', '>', 50000, d, d + interval '1 day', 'price_open', 'xgboost'
            FROM generate_series('2024-01-05'::timestamptz, '2025-02-01', '1 day') d"""
        )
    assert [severity for severity, _, _ in notices] == ["WARNING"]


def test_an_empty_table_is_told_of(client: Connection, worker: Connection, owner: Connection) -> None:
    alive(worker)
    owner.execute("DELETE FROM coin_metrics")
    with told(client) as notices:
        job_id = insert_job(client, **TRAIN)
    assert [notice[:2] for notice in notices] == [
        ("WARNING", f"coin_metrics has no rows from 2024-01-01 to 2024-03-01 (job {job_id})")
    ]


def test_without_an_index_nothing_is_read_and_nothing_told(
    client: Connection, worker: Connection, owner: Connection
) -> None:
    alive(worker)
    owner.execute("DROP INDEX coin_metrics_timestamp")
    with told(client) as notices:
        insert_job(client, **EMPTY)
    assert notices == []


def test_a_preview_tells_by_its_rows_and_not_by_notices(client: Connection) -> None:
    with told(client) as notices:
        client.execute(
            """SELECT * FROM ml.preview('xgboost', 'market_cap_close', '>', 50000, 'price_open',
                '2021-01-01', '2021-03-01')"""
        )
    assert notices == []
