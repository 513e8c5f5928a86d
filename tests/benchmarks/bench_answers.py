"""Questions to a table of many answers: ``python -m tests.benchmarks.bench_answers --answers 50000000``.

The answers are those of jobs that asked five models in turn about all coins, an hour at a time. They are made
by the server, with the triggers off and the indexes built at the end. Each question is asked by a reader, as
the README and the reference have it; no plan may read the table from end to end. The limits are what one
waits for gladly.
"""

import json
import re
import statistics
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from tests import servers
from tests.benchmarks.measure import Row, Table, parser
from worker.commands.install import install

MODELS = 5
MINUTES = 60  # that a job asks about
START = datetime(2024, 1, 1, tzinfo=UTC)
Connection = psycopg.Connection[Any]


def fill(owner: Connection, answers: int, coins: int) -> int:
    """Make the answers; returns the number of jobs."""
    owner.execute("ALTER TABLE ml_prediction_blocks DISABLE TRIGGER USER")
    indexes = owner.execute(
        "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index"
        " WHERE indrelid = 'ml_prediction_blocks'::regclass"
    ).fetchall()
    for name, _ in indexes:
        owner.execute(f"DROP INDEX {name}".encode())
    jobs = -(-answers // (coins * MINUTES))
    for job in range(1, jobs + 1):
        owner.execute(
            """
            INSERT INTO ml_prediction_blocks (job_id, model_id, key, moments, probabilities)
            SELECT
                %(job)s,
                %(model)s,
                c.key,
                ARRAY(SELECT %(start)s + i * interval '1 minute' FROM generate_series(0, %(minutes)s - 1) i),
                ARRAY(SELECT random() + 0 * length(c.key) FROM generate_series(1, %(minutes)s))
            FROM (SELECT md5(n::text) || 'pump' AS key FROM generate_series(1, %(coins)s) n ORDER BY 1) c
            """,
            {
                "job": job,
                "model": 1 + job % MODELS,
                "start": START + timedelta(minutes=(job - 1) // MODELS * MINUTES),
                "coins": coins,
                "minutes": MINUTES,
            },
        )
    owner.execute("SET maintenance_work_mem TO '1GB'")
    for _, definition in indexes:
        owner.execute(definition.encode())
    owner.execute("ALTER TABLE ml_prediction_blocks ENABLE TRIGGER USER")
    owner.execute("VACUUM (ANALYZE, PARALLEL 0) ml_prediction_blocks")
    return jobs


def plan(connection: Connection, query: str) -> dict[str, Any]:
    """How a query runs: EXPLAIN (ANALYZE, BUFFERS)."""
    ((found,),) = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}".encode()).fetchall()
    return dict(found[0])


def median_ms(connection: Connection, query: str, repeats: int) -> float:
    """Of the whole question, with what it gives."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        connection.execute(query.encode()).fetchall()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds) * 1000


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--answers", type=int, default=1_000_000)
    options.add_argument("--coins", type=int, default=2_000)
    args = options.parse_args()
    with servers.start(servers.available()[0]) as server:
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute("CREATE DATABASE bench")
        url = make_conninfo(server, dbname="bench")
        install(url)
        with psycopg.connect(url, autocommit=True) as connection:
            jobs = fill(connection, args.answers, args.coins)
            found = connection.execute(
                "SELECT count(*), pg_size_pretty(pg_table_size('ml_prediction_blocks')),"
                " pg_size_pretty(pg_indexes_size('ml_prediction_blocks')) FROM ml_predictions"
            ).fetchone()
            num, size, index_size = found or (0, "", "")
            about: dict[str, str | int] = {"answers": f"{num:,}", "coins": args.coins, "jobs": jobs}
            about |= {"table": size, "indexes": index_size}
            coin = "md5('7') || 'pump'"
            questions = (
                ("all answers of a coin", f"SELECT * FROM ml_predictions WHERE key = {coin}", 100),
                (
                    "those of a model",
                    f"SELECT * FROM ml_predictions WHERE key = {coin} AND model_id = 2",
                    100,
                ),
                (
                    "its newest answer",
                    f"SELECT * FROM ml_predictions WHERE key = {coin} AND model_id = 2"
                    " ORDER BY moment DESC LIMIT 1",
                    20,
                ),
                ("the newest answer of each coin", "SELECT * FROM ml.newest_answers(2)", 1000),
                (
                    "how many answers a job gave",
                    f"SELECT count(*) FROM ml_predictions WHERE job_id = {(jobs + 1) // 2}",
                    2000,
                ),
            )
            connection.execute("SET ROLE ml_reader")
            table = Table("Answers", about)
            for what, query, limit in questions:
                explained = plan(connection, query)
                text = json.dumps(explained)
                if '"Seq Scan"' in text:
                    raise RuntimeError(f"{query}: {text}")
                used = re.findall(r'"Index Name": "(\w+)"', text)
                root = explained["Plan"]
                buffers = root["Shared Hit Blocks"] + root["Shared Read Blocks"]
                rows = len(connection.execute(query.encode()).fetchall())
                ms = median_ms(connection, query, args.repeats)
                told = f"{what}: {rows:,} rows, {buffers:,} blocks{', ' if used else ''}{', '.join(used)}"
                table.add(Row(told, ms, limit, "the limit", "ms", at_most=1))
            table.show(args.json)


if __name__ == "__main__":
    main()
