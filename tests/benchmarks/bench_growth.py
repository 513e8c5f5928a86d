"""How loading grows: ``python -m tests.benchmarks.bench_growth --rows 2000000 --large 50000000``.

The same rows as many coins and as few, a hundred features beside ten, and one day of a large table beside the
same day alone.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial

import psycopg

from tests.benchmarks import rows
from tests.benchmarks.measure import Measure, Row, Table, alternate, parser, seconds_of
from worker.child import dataset
from worker.child.assignment import COIN_METRICS, Period, Source
from worker.child.labels import Label
from worker.database.connection import connect
from worker.database.dataset import estimate_rows, stream_dataset

HORIZON = 5
NAMES = tuple(rows.FEATURES.split(","))
FEW, SHORT = 10, 20  # coins; rows of each of many coins
WIDE = tuple(f"f{number}" for number in range(100))
DAY = timedelta(days=1)
DAYS = 100


def load(
    url: str,
    future_minutes: int | None,
    period: Period,
    names: tuple[str, ...] = NAMES,
    source: Source = COIN_METRICS,
) -> None:
    """As a worker's child does, by one connection."""
    target = rows.TARGET if source is COIN_METRICS else names[0]
    label = Label(target, ">", str(rows.THRESHOLD if source is COIN_METRICS else 0.5), future_minutes)
    with connect(url) as connection:
        expected = estimate_rows(connection, period, None, source)
        stream = stream_dataset([connection], label, names, period, None, source=source)
        dataset.decode(stream, names, label, lambda _rows: None, expected_rows=expected)


def coins(url: str, many: str, rows_a_coin: int, short: int, repeats: int) -> list[float]:
    """Few coins, without a horizon and with one, and many."""

    def measures(at: str, minutes: int) -> list[Measure]:
        period = Period(rows.START, rows.end(minutes))
        return [partial(seconds_of, load, at, ahead, period) for ahead in (None, HORIZON)]

    return alternate(measures(url, rows_a_coin) + measures(many, short), repeats)


def wide(url: str, num_rows: int) -> Source:
    """A table with a hundred features."""
    with psycopg.connect(url, autocommit=True) as admin:
        columns = ", ".join(f"{name} numeric NOT NULL" for name in WIDE)
        admin.execute(f"CREATE TABLE wide (coin text, at timestamptz, {columns})".encode())
        values = ", ".join(["round(random()::numeric * 100, 9)"] * len(WIDE))
        admin.execute(
            f"INSERT INTO wide SELECT (i %% 100)::text, %s + i / 100 * interval '1 minute', {values} "
            "FROM generate_series(0, %s) i".encode(),
            [rows.START, num_rows - 1],
        )
        admin.execute("CREATE INDEX ON wide (at)")
        admin.execute("VACUUM (ANALYZE, PARALLEL 0) wide")
    return replace(
        COIN_METRICS,
        name="wide",
        relation="public.wide",
        key="m.coin",
        moment="m.at",
        moment_column="m.at",
        phase=None,
    )


def inserting(url: str) -> Callable[[], float]:
    """Takes the seconds of an INSERT of a TRAIN job, of all kinds the one that looks at the table most."""

    def insert() -> float:
        with psycopg.connect(url) as client:
            return seconds_of(
                client.execute,
                b"INSERT INTO ml_jobs (job_type, train_target_var, train_operator, train_value, "
                b"train_start, train_end, train_features_csv, train_model_type) VALUES ('TRAIN', "
                b"'market_cap_close', '>', 50000, '2024-01-01', '2024-01-02', 'price_open', 'xgboost')",
            )

    return insert


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--rows", type=int, default=500_000)
    options.add_argument("--large", type=int, default=5_000_000, help="rows of the large table")
    args = options.parse_args()
    with rows.database(args.rows, args.rows // FEW) as few, rows.database(args.rows, SHORT) as many:
        table = Table("Growth", rows.about(few, args.rows))
        found = coins(few, many, args.rows // FEW, SHORT, args.repeats)
        for what, of_few, of_many in zip(
            ("features and labels", "with a horizon"), found, found[2:], strict=False
        ):
            told = f"{what}, {args.rows // SHORT:,} coins"
            table.add(Row(told, of_many, of_few, f"{FEW} coins", "s", at_most=1.5))
        source = wide(few, args.rows // 10)
        period = Period(rows.START, rows.START + 365 * DAY)
        all_of_them, ten = alternate(
            [partial(seconds_of, load, few, None, period, names, source) for names in (WIDE, WIDE[:10])],
            args.repeats,
        )
        table.add(
            Row(
                f"100 features, {args.rows // 10:,} rows, a tenth of it",
                all_of_them / 10,
                ten,
                "10 features",
                "s",
                at_most=1,
            )
        )
    minutes = DAYS * 1440
    with rows.database(args.large, minutes) as large, rows.database(args.large // DAYS, 1440) as small:
        asked = [Period(rows.START + days * DAY, rows.START + (days + 1) * DAY) for days in (DAYS // 2, 0)]
        of_large, of_small, into_large, into_small = alternate(
            [
                partial(seconds_of, load, large, HORIZON, asked[0]),
                partial(seconds_of, load, small, HORIZON, asked[1]),
                inserting(large),
                inserting(small),
            ],
            2 * args.repeats + 1,
        )
        told = f"a day of {args.large:,} rows"
        table.add(Row(told, of_large, of_small, "that day alone", "s", at_most=1.3))
        table.add(
            Row(
                f"INSERT of a TRAIN job, {args.large:,} rows",
                1000 * into_large,
                1000 * into_small,
                "a day's rows",
                "ms",
                at_most=1.3,
            )
        )
        table.show(args.json)


if __name__ == "__main__":
    main()
