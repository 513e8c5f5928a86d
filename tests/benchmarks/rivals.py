"""How the smartest scripts load: features as one float32 array, labels and coins, in any order.

They do without what the worker does besides: the order by coin and time, a fingerprint, the counts of what is
missing, rows of one moment.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import adbc_driver_postgresql.dbapi
import connectorx
import duckdb
import duckdb_extension_postgres_scanner
import numpy as np
import polars as pl
import psycopg
from numpy.typing import NDArray
from psycopg.conninfo import conninfo_to_dict

from tests.benchmarks import rows

NAMES = rows.FEATURES.split(",")
Loaded = tuple[NDArray[np.float32], NDArray[Any], Any]  # features, labels, coins

_LABEL = f"{rows.TARGET} > {rows.THRESHOLD} AS label"
_CAST = ", ".join(f"{name}::float4 AS {name}" for name in NAMES)
_QUERY = f"SELECT mint, timestamp, {_LABEL}, {_CAST} FROM coin_metrics"
# Several processes of the server share the casts, which the planner does not think worth it.
_SHARE = "SET parallel_tuple_cost TO 0"
_COPIED = np.dtype(
    [
        ("fields", ">i2"),
        ("coin", [("size", ">i4"), ("value", ">i8")]),
        ("time", [("size", ">i4"), ("value", ">i8")]),
        ("label", [("size", ">i4"), ("value", "?")]),
        *((name, [("size", ">i4"), ("value", ">f4")]) for name in NAMES),
    ]
)


def by_duckdb(url: str) -> Loaded:
    """It takes numeric as it is and turns it into floating point itself."""
    folder = Path(duckdb_extension_postgres_scanner.__file__).parent
    (extension,) = folder.glob("extensions/*/*.duckdb_extension")
    with duckdb.connect() as connection:
        connection.execute(f"LOAD '{extension}'")
        connection.execute(f"ATTACH '{url}' AS there (TYPE postgres, READ_ONLY)")
        found: dict[str, Any] = connection.execute(
            _QUERY.replace("coin_metrics", "there.public.coin_metrics")
        ).fetchnumpy()
    return _matrix(found.__getitem__), found["label"], found["mint"]


def by_adbc(url: str) -> Loaded:
    """Arrow from the server's binary format."""
    return _from_arrow(_by_adbc(url))


def by_connectorx(url: str) -> Loaded:
    """Two connections, each with a half of the time."""
    middle = rows.START + (rows.end(rows.ROWS_A_COIN) - rows.START) / 2
    halves = [f"{_QUERY} WHERE timestamp {sign} '{middle}'" for sign in ("<", ">=")]
    return _from_arrow(connectorx.read_sql(_address(url), halves, return_type="arrow"))


def by_copy(url: str) -> Loaded:
    """COPY's binary format, rows of one length, by psycopg into numpy."""
    found = _by_copy(url)
    return _matrix(lambda name: found[name]["value"]), found["label"]["value"].copy(), found["coin"]["value"]


def ahead_by_copy(url: str, minutes: int) -> Loaded:
    """With a horizon: sorted by coin and time; a binary search finds the later row."""
    found = _by_copy(url)
    coins, times = found["coin"]["value"].astype(np.int64), found["time"]["value"].astype(np.int64)
    order = np.lexsort((times, coins))
    numbers = np.cumsum(np.diff(coins[order], prepend=coins[order[:1]]) != 0)
    horizon = minutes * 60_000_000
    moments = times[order] - times.min() + numbers * (np.ptp(times) + 2 * horizon + 1)
    later = np.searchsorted(moments, moments + horizon)
    later[later == len(later)] = 0
    is_there = (moments[later] >= moments + horizon) & (moments[later] <= moments + 2 * horizon)
    kept = order[is_there]
    labels = found["label"]["value"][order[later[is_there]]]
    return _matrix(lambda name: found[name]["value"][kept]), labels, coins[kept]


def ahead_by_polars(url: str, minutes: int) -> Loaded:
    """With a horizon: ADBC, and an as-of join of polars."""
    frame = pl.DataFrame(_by_adbc(url)).sort("timestamp")
    later = frame.select("mint", pl.col("timestamp").alias("at"), pl.col("label").alias("later"))
    joined = frame.with_columns(at=pl.col("timestamp") + pl.duration(minutes=minutes)).join_asof(
        later, on="at", by="mint", strategy="forward", tolerance=f"{minutes}m", check_sortedness=False
    )
    found = joined.filter(pl.col("later").is_not_null())
    return _matrix(lambda name: found[name].to_numpy()), found["later"].to_numpy(), found["mint"]


def _by_adbc(url: str) -> Any:
    with adbc_driver_postgresql.dbapi.connect(_address(url)) as connection, connection.cursor() as cursor:
        cursor.execute(_SHARE)
        cursor.execute(_QUERY)
        return cursor.fetch_arrow_table()


def _by_copy(url: str) -> NDArray[Any]:
    query = _QUERY.replace("mint", "hashtextextended(mint, 0)", 1)
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(_SHARE)
        data = bytearray()
        with cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT binary)".encode()) as copy:
            for row in copy:
                data += row
    return np.frombuffer(data, _COPIED, (len(data) - 21) // _COPIED.itemsize, 19)


def _from_arrow(table: Any) -> Loaded:
    return _matrix(lambda name: table[name].to_numpy()), table["label"].to_numpy(), table["mint"]


def _matrix(column: Callable[[str], NDArray[Any]]) -> NDArray[np.float32]:
    first = column(NAMES[0])
    matrix = np.empty((len(NAMES), len(first)), np.float32)
    for number, name in enumerate(NAMES):
        matrix[number] = column(name)
    return matrix.T


def _address(url: str) -> str:
    return "postgresql://{user}:{password}@{host}:{port}/{dbname}".format(**conninfo_to_dict(url))


WITHOUT_HORIZON = {
    "DuckDB": by_duckdb,
    "ADBC": by_adbc,
    "ConnectorX": by_connectorx,
    "COPY into numpy": by_copy,
}
WITH_HORIZON = {"COPY and searchsorted": ahead_by_copy, "ADBC and polars": ahead_by_polars}
