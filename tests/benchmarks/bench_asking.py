"""Asking a model in SQL, with no worker: ``python -m tests.benchmarks.bench_asking``.

What ``ml.predict`` takes for each of many rows, for the first in a new session, and for the newest 1,000 rows
beside a script that has the model loaded: both connect, and both write the answers into a table. At last what
it costs a TRAIN to keep its file in the database: beside the same job where the owner keeps none.

On a machine that does other work ``--processor`` counts processor time instead of the clock: that of the
server's process and of this one. A TRAIN goes through several processes, so it always goes by the clock.
"""

import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import psycopg

from tests.benchmarks import rows
from tests.benchmarks.bench_jobs import TRAIN, complete, worker
from tests.benchmarks.measure import Row, Table, alternate, parser

NAMES = rows.FEATURES.split(",")
NEWEST = 1_000
FIRST_CALL_MS = 100
MICROSECONDS = {"xgboost": 60, "logistic_regression": 25}
# A forest whose file has about 10 MB.
LARGE = {"train_model_type": "random_forest", "train_params_csv": "n_estimators=350;max_depth=12"}
LIMIT = "the limit"
Connection = psycopg.Connection[Any]


def processor_seconds(*pids: int) -> float:
    """What these processes have had so far."""
    tasks = [task for pid in pids for task in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def seconds_of(connection: Connection, run: Callable[[], object], processor: bool) -> float:
    """What a call takes that this connection's session has part in."""
    pids = (connection.info.backend_pid, os.getpid())
    before = processor_seconds(*pids) if processor else time.perf_counter()
    run()
    return (processor_seconds(*pids) if processor else time.perf_counter()) - before


def microseconds_a_row(connection: Connection, name: str, count: int, processor: bool) -> float:
    """Of a session that has asked the model before."""
    query = f"SELECT count(ml.predict('{name}', c)) FROM coin_metrics c".encode()
    connection.execute(f"SELECT ml.predict('{name}', c) FROM coin_metrics c LIMIT 1".encode())
    return seconds_of(connection, lambda: connection.execute(query).fetchall(), processor) / count * 1e6


def first_call_ms(url: str, name: str, processor: bool) -> float:
    """Of a session that has done nothing yet."""
    query = f"SELECT ml.predict('{name}', c) FROM coin_metrics c LIMIT 1".encode()
    with psycopg.connect(url, autocommit=True) as connection:
        return seconds_of(connection, lambda: connection.execute(query).fetchall(), processor) * 1000


def from_connection(url: str, run: Callable[[Connection], object], processor: bool) -> float:
    """Milliseconds of a call in a transaction of its own, with the connection that it needs."""
    before, started = processor_seconds(os.getpid()), time.perf_counter()
    with psycopg.connect(url) as connection:
        run(connection)
        connection.commit()
        server = processor_seconds(connection.info.backend_pid)  # all that its process has done
    mine = processor_seconds(os.getpid()) - before
    return (server + mine if processor else time.perf_counter() - started) * 1000


def newest_in_sql(connection: Connection) -> None:
    """The newest rows are asked about where they are."""
    connection.execute(
        f"""
        INSERT INTO answers (mint, moment, probability)
        SELECT c.mint, c."timestamp", ml.predict('xgboost', c)
        FROM coin_metrics c ORDER BY c."timestamp" DESC LIMIT {NEWEST}
        """.encode()
    )


def newest_by_script(model: Any, connection: Connection) -> None:
    """What a user would write instead."""
    columns = f'mint, "timestamp", {rows.FEATURES}'
    query = f'SELECT {columns} FROM coin_metrics ORDER BY "timestamp" DESC LIMIT {NEWEST}'
    found = connection.execute(query.encode()).fetchall()
    frame = pd.DataFrame(found, columns=["mint", "timestamp", *NAMES])
    for name in NAMES:
        frame[name] = pd.to_numeric(frame[name])
    chances = model.predict_proba(frame[NAMES])[:, 1]
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO answers (mint, moment, probability) VALUES (%s, %s, %s)",
            list(zip(frame["mint"], frame["timestamp"], chances.tolist(), strict=True)),
        )


def train(connection: Connection, most_bytes: int) -> float:
    """Seconds of a TRAIN whose file the database keeps, or not."""
    connection.execute("UPDATE ml_settings SET max_stored_model_bytes = %s", [most_bytes])
    return complete(connection, **TRAIN | LARGE)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--rows", type=int, default=20_000)
    options.add_argument("--processor", action="store_true", help="count processor time, not the clock")
    args = options.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        rows.database(args.rows) as url,
        psycopg.connect(url, autocommit=True) as connection,
        worker(url, Path(name)),
    ):
        connection.execute("CREATE TABLE answers (mint text, moment timestamptz, probability float8)")
        for model_type in MICROSECONDS:
            complete(connection, **TRAIN | {"train_model_type": model_type, "train_model_name": model_type})
        found = connection.execute("SELECT model_file_path FROM ml_models WHERE name = 'xgboost'").fetchone()
        model = joblib.load(found and found[0])
        about = dict(rows.about(url, args.rows))
        about["counted"] = "processor time" if args.processor else "the clock"
        table = Table("Asking in SQL", about)

        each = alternate(
            [
                partial(microseconds_a_row, connection, model_type, args.rows, args.processor)
                for model_type in MICROSECONDS
            ],
            args.repeats,
        )
        for (model_type, limit), ours in zip(MICROSECONDS.items(), each, strict=True):
            table.add(Row(f"a row of many, {model_type}", ours, limit, LIMIT, "µs", at_most=1))
        first = alternate(
            [partial(first_call_ms, url, model_type, args.processor) for model_type in MICROSECONDS],
            args.repeats,
        )
        for model_type, ours in zip(MICROSECONDS, first, strict=True):
            what = f"first call of a session, {model_type}"
            table.add(Row(what, ours, FIRST_CALL_MS, LIMIT, "ms", at_most=1))
        ours, script = alternate(
            [
                partial(from_connection, url, newest_in_sql, args.processor),
                partial(from_connection, url, partial(newest_by_script, model), args.processor),
            ],
            args.repeats,
        )
        what = f"the {NEWEST:,} newest rows, xgboost, answers written into a table"
        table.add(Row(what, ours, script, "script with the model loaded", "ms", at_most=0.5))

        kept, alone = alternate([partial(train, connection, most) for most in (104_857_600, 0)], args.repeats)
        file = connection.execute("SELECT max(num_bytes) FROM ml_model_files").fetchone()
        size = f"{(file[0] if file else 0) / 1e6:.1f} MB"
        what = f"TRAIN of a forest whose file of {size} the database keeps"
        table.add(Row(what, kept, alone, "the same, kept in the folder alone", "s", at_most=1.05))
        table.show(args.json)


if __name__ == "__main__":
    main()
