"""How long every view takes where there are many jobs, on every server that this machine can start:
``python -m tests.benchmarks.bench_views``.

The rows are made by SQL, with the triggers off, spread over a year: 10% TRAIN, 20% COMPARE and 70% TEST by
eight workers; of 100 jobs 5 FAILED, 2 were CANCELLED and 2 lost an attempt; one model in 50 still lives.
Views of one row a model, fact or point are read as people read them: for one model, or for the last day.
The cost is the planner's: above 100,000 PostgreSQL compiles the query first, which can take seconds.
"""

import statistics
import time
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from tests import servers
from tests.benchmarks.measure import REPEATS, Row, Table, parser
from worker.commands.install import install

LIMIT_MS = 100
LIMIT_COST = 100_000
ROWS = Path(__file__).with_suffix(".sql")
POINTS_OF_JOBS = 10_000  # the last so many jobs have a curve
# How the views are read that have one row a model, fact or point.
ONE_MODEL = "WHERE model_id = (SELECT max(model_id) - 10 FROM ml_training_runs)"
LAST_DAY = "WHERE {} >= now() - interval '1 day'"
READ = {
    "ml_model_features": ONE_MODEL,
    "ml_model_params": ONE_MODEL,
    "ml_measurements": ONE_MODEL,
    "ml_threshold_sweep": ONE_MODEL,
    "ml_roc_curve": ONE_MODEL,
    "ml_pr_curve": ONE_MODEL,
    "ml_calibration": ONE_MODEL,
    "ml_dim_models": ONE_MODEL,
    "ml_fact_importances": ONE_MODEL,
    "ml_fact_jobs": LAST_DAY.format("created_at"),
    "ml_fact_training_runs": ONE_MODEL,
    "ml_fact_tests": LAST_DAY.format("created_at"),
    "ml_fact_comparisons": ONE_MODEL.replace("model_id =", "model_a_id ="),
}


def fill(connection: psycopg.Connection[tuple[object, ...]], jobs: int) -> None:
    """Make the rows."""
    text = ROWS.read_text(encoding="utf-8")
    connection.execute(text.replace(":jobs", str(jobs)).replace(":points", str(POINTS_OF_JOBS)).encode())
    # Not in parallel: containers have little shared memory.
    connection.execute("VACUUM (ANALYZE, PARALLEL 0)")


def median_ms(
    connection: psycopg.Connection[tuple[object, ...]], query: str, repeats: int = REPEATS
) -> tuple[float, int]:
    """Median, after one that warms the cache; and the number of rows."""
    rows = len(connection.execute(query.encode()).fetchall())
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        connection.execute(query.encode()).fetchall()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds) * 1000, rows


def estimated_cost(connection: psycopg.Connection[tuple[object, ...]], query: str) -> float:
    """What the planner expects."""
    ((plan,),) = connection.execute(f"EXPLAIN (FORMAT JSON) {query}".encode()).fetchall()
    return float(plan[0]["Plan"]["Total Cost"])  # type: ignore[index]


def measure(kind: servers.Kind, jobs: int, json: Path | None, repeats: int) -> None:
    """Print the table of a server."""
    with servers.start(kind) as server:
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute("CREATE DATABASE bench")
        url = make_conninfo(server, dbname="bench")
        install(url)
        with psycopg.connect(url, autocommit=True) as admin:
            started = time.perf_counter()
            fill(admin, jobs)
            size = admin.execute("SELECT pg_size_pretty(pg_database_size('bench'))").fetchone()
            seconds = time.perf_counter() - started
            print(f"\n{kind.name}: {jobs} jobs made in {seconds:.0f} s: {size and size[0]}\n")  # noqa: T201
            admin.execute("SET ROLE ml_reader")
            views = admin.execute(
                "SELECT viewname FROM pg_views WHERE schemaname = 'public' ORDER BY viewname"
            ).fetchall()
            table = Table(f"Views, {kind.name}", {"jobs": f"{jobs:,}"})
            for (view,) in views:
                query = f"SELECT * FROM {view} {READ.get(view, '')}"
                cost = estimated_cost(admin, query)
                ms, rows = median_ms(admin, query, repeats)
                how = "of one model or day" if view in READ else "whole"
                costly = f", costs {cost:.0f} and may be compiled" if cost >= LIMIT_COST else ""
                what = f"{view}, {how}: {rows} rows{costly}"
                table.add(Row(what, ms, LIMIT_MS, "the limit", "ms", at_most=1))
            table.show(json)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--jobs", type=int, default=1_000_000)
    args = options.parse_args()
    for kind in servers.available():
        measure(kind, args.jobs, args.json, args.repeats)


if __name__ == "__main__":
    main()
