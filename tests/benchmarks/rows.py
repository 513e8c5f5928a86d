"""Rows of ``coin_metrics`` for benchmarks, made by the server, and how a user's script would load them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import psycopg
from numpy.typing import NDArray
from psycopg.conninfo import make_conninfo

from tests import servers
from worker.commands.install import install

START = datetime(2024, 1, 1, tzinfo=UTC)
ROWS_A_COIN = 1000
FEATURES = (
    "price_open,price_high,price_low,price_close,volume_sol,buy_volume_sol,sell_volume_sol,"
    "net_volume_sol,volatility_pct,avg_trade_size_sol"
)
TARGET, THRESHOLD = "market_cap_close", 50_000


def end(rows: int) -> datetime:
    """End of a period that begins at ``START`` and has so many rows of each thousand that a coin has."""
    return START + timedelta(minutes=rows)


@contextmanager
def database(rows: int, rows_a_coin: int = ROWS_A_COIN) -> Iterator[str]:
    """A database with the schema and so many rows in the order of time: each coin has one a minute."""
    with servers.start(servers.available()[0]) as server:
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute("CREATE DATABASE bench")
        url = make_conninfo(server, dbname="bench")
        install(url)
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(
                """
                INSERT INTO coin_metrics (
                    mint, timestamp, phase_id_at_time, price_open, price_high, price_low, price_close,
                    volume_sol, buy_volume_sol, sell_volume_sol, net_volume_sol,
                    volatility_pct, avg_trade_size_sol, market_cap_close
                )
                SELECT
                    md5((i %% %(coins)s)::text) || 'pump',
                    %(start)s + i / %(coins)s * interval '1 minute',
                    1 + i %% 3,
                    round(a / 1e5, 12), round((a + b) / 2e5, 12), round(c / 1e5, 12), round(d / 1e5, 12),
                    round(e * 100, 9), round(e * f * 100, 9),
                    round(e * (1 - f) * 100, 9), round((2 * f - 1) * e * 100, 9),
                    round(b * 10, 6), round(c * d * 5, 9),
                    round((0.3 * a + 0.3 * e * f + 0.2 * b * c + 0.4 * g) * 1e5, 8)
                FROM (
                    SELECT i, random()::numeric AS a, random()::numeric AS b, random()::numeric AS c,
                        random()::numeric AS d, random()::numeric AS e, random()::numeric AS f,
                        random()::numeric AS g
                    FROM generate_series(0, %(last)s) i
                ) r
                """,
                {"coins": max(1, rows // rows_a_coin), "start": START, "last": rows - 1},
            )
            admin.execute("VACUUM (ANALYZE, PARALLEL 0) coin_metrics")
        yield url


def about(url: str, rows: int) -> dict[str, str | int]:
    """What a table of figures says of its data and server."""
    with psycopg.connect(url) as connection:
        return {"rows": f"{rows:,}", "features": 10, "PostgreSQL": connection.info.server_version // 10000}


def load_as_script(
    url: str, period_end: datetime
) -> tuple[NDArray[np.float32], NDArray[np.bool_], pd.Series]:
    """What a user would write: features, labels and coins of a period."""
    names = [*FEATURES.split(","), TARGET]
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            f"SELECT mint, timestamp, {', '.join(names)} FROM coin_metrics "
            "WHERE timestamp >= %s AND timestamp < %s ORDER BY mint, timestamp".encode(),
            [START, period_end],
        ).fetchall()
    frame = pd.DataFrame(rows, columns=["mint", "timestamp", *names])
    for name in names:
        frame[name] = pd.to_numeric(frame[name])
    return frame[names[:-1]].to_numpy(np.float32), (frame[TARGET] > THRESHOLD).to_numpy(), frame["mint"]
