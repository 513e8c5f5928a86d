"""SCORE from the INSERT until it is COMPLETED: ``python -m tests.benchmarks.bench_scoring --rows 2000000``.

Beside a script that does the same (``fetchall``, a DataFrame, ``predict_proba``, COPY back), and beside a
TEST on the same rows and a plain COPY of the answers. A COPY goes into a table with a row for each answer, as
a user would have it: without an index, and with one for a coin's answers and one for a job's.
"""

import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import psycopg

from tests.benchmarks import rows
from tests.benchmarks.bench_jobs import PERIOD_END, TRAIN, complete, worker
from tests.benchmarks.measure import Row, Table, alternate, parser

NAMES = rows.FEATURES.split(",")
COLUMNS = "(job_id, model_id, key, moment, probability)"


def make_tables(connection: psycopg.Connection[Any]) -> None:
    """Tables for those who copy."""
    for name in ("plain", "indexed"):
        connection.execute(
            f"""
            CREATE TABLE {name} (
                job_id bigint NOT NULL,
                model_id bigint NOT NULL,
                key text NOT NULL,
                moment timestamptz NOT NULL,
                probability double precision NOT NULL CHECK (probability BETWEEN 0 AND 1)
            )
            """.encode()
        )
    connection.execute("CREATE INDEX ON indexed (key, model_id, moment)")
    connection.execute("CREATE INDEX ON indexed (job_id)")


def by_script(url: str, file: str, table: str) -> float:
    """What a user would write; returns its seconds."""
    with psycopg.connect(url) as connection:
        connection.execute(f"TRUNCATE {table}".encode())
    started = time.perf_counter()
    with psycopg.connect(url) as connection:
        found = connection.execute(
            f"SELECT mint, timestamp, {rows.FEATURES} FROM coin_metrics"
            " WHERE timestamp >= %s AND timestamp < %s".encode(),
            [rows.START, PERIOD_END],
        ).fetchall()
        frame = pd.DataFrame(found, columns=["mint", "timestamp", *NAMES])
        for name in NAMES:
            frame[name] = pd.to_numeric(frame[name])
        answers = joblib.load(file).predict_proba(frame[NAMES])[:, 1]
        with connection.cursor().copy(f"COPY {table} {COLUMNS} FROM STDIN".encode()) as copy:
            for key, moment, answer in zip(frame["mint"], frame["timestamp"], answers, strict=True):
                copy.write_row((0, 0, key, moment, answer))
    return time.perf_counter() - started


def copy_of_answers(url: str, data: Path, table: str) -> float:
    """Seconds of a plain COPY of the answers, which lie in a file."""
    with psycopg.connect(url) as connection:
        connection.execute(f"TRUNCATE {table}".encode())
    started = time.perf_counter()
    with (
        psycopg.connect(url) as connection,
        data.open("rb") as file,
        connection.cursor().copy(f"COPY {table} FROM STDIN (FORMAT binary)".encode()) as copy,
    ):
        while block := file.read(1 << 20):
            copy.write(block)
    return time.perf_counter() - started


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--rows", type=int, default=100_000)
    args = options.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        rows.database(args.rows) as url,
        psycopg.connect(url, autocommit=True) as connection,
        worker(url, Path(name)),
    ):
        make_tables(connection)
        complete(connection, **TRAIN | {"train_model_type": "xgboost", "train_end": rows.end(100)})
        ((model_id, file),) = connection.execute("SELECT id, model_file_path FROM ml_models").fetchall()

        def of(kind: str) -> dict[str, Any]:
            fields = {"model_id": model_id, "start": rows.START, "end": PERIOD_END}
            return {"job_type": kind} | {f"{kind.lower()}_{what}": value for what, value in fields.items()}

        complete(connection, **of("SCORE"))
        data = Path(name) / "answers"
        with (
            data.open("wb") as copied,
            connection.cursor().copy("COPY (SELECT * FROM ml_predictions) TO STDOUT (FORMAT binary)") as copy,
        ):
            for block in copy:
                copied.write(block)
        ours, test, indexed, plain, script = alternate(
            [
                partial(complete, connection, **of("SCORE")),
                partial(complete, connection, **of("TEST")),
                partial(copy_of_answers, url, data, "indexed"),
                partial(copy_of_answers, url, data, "plain"),
                partial(by_script, url, file, "indexed"),
            ],
            args.repeats,
        )
        table = Table("Scoring from end to end", rows.about(url, args.rows))
        table.add(Row("SCORE of xgboost", ours, script, "script", "s", at_least=5))
        table.add(
            Row(
                "the same", ours, test + indexed, "TEST, and COPY into a table with indexes", "s", at_most=1.5
            )
        )
        table.add(Row("the same", ours, test + plain, "TEST, and COPY without indexes", "s", at_most=1.5))
        table.show(args.json)


if __name__ == "__main__":
    main()
