"""What a row's label is, and which rows arrive: against the same rules written in pandas."""

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import psycopg
import pytest
from psycopg.pq import TransactionStatus
from psycopg.sql import SQL, Composed

from tests import sources
from tests.conftest import SAMPLE_COINS, Database
from worker.child import dataset
from worker.child.assignment import Period
from worker.child.labels import Label
from worker.commands import sample
from worker.database import copying
from worker.database import dataset as database
from worker.database.connection import Connection, connect
from worker.database.dataset import estimate_rows, stream_dataset
from worker.errors import JobError

START, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 4, 1, tzinfo=UTC)
ALL = Period(START, END)
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


def predicting(variable: str, operator: str, value: str, future_minutes: int | None = None) -> Label:
    return Label(variable, operator, value, future_minutes)


def load(
    connection: Connection,
    label: Label,
    features: tuple[str, ...] = ("volume_sol",),
    period: Period = ALL,
    phases: tuple[int, ...] | None = None,
) -> dataset.Dataset:
    """Load rows of coin_metrics, and see that all other sources of the same rows give the same."""
    stream = stream_dataset([connection], label, features, period, phases)
    data = dataset.decode(stream, features, label, lambda _rows: None)
    (is_alone,) = connection.execute(
        "SELECT count(DISTINCT mint) = 1 FROM public.coin_metrics"
    ).fetchone() or (False,)
    for name in (*sources.KEYED, *([sources.ALONE] if is_alone else [])):
        source = sources.described(connection, name)
        stream = stream_dataset([connection], label, features, period, phases, source=source)
        other = dataset.decode(stream, features, label, lambda _rows: None)
        assert other.fingerprint == data.fingerprint, name
        assert other.without_label == data.without_label, name
    return data


@pytest.fixture(scope="module")
def full(make_database: Callable[[], Database]) -> Iterator[Connection]:
    """The sample data."""
    db = make_database()
    with db.connect("owner") as owner, connect(db.login("wanda"), role="ml_worker") as connection:
        sources.add_copies(owner)
        yield connection


@pytest.fixture
def empty(db: Database) -> Iterator[Callable[..., Connection]]:
    """Fills coin_metrics with just these rows, (coin, minute, {column: value}), and gives a connection."""
    with db.connect("owner") as owner, connect(db.login("wanda"), role="ml_worker") as connection:
        owner.execute("TRUNCATE coin_metrics")
        sources.add_copies(owner)

        def fill(*rows: tuple[str, float, dict[str, Any]]) -> Connection:
            for coin, minute, values in rows:
                columns = {"mint": coin, "timestamp": NOON + timedelta(minutes=minute), **values}
                names = ", ".join(f'"{name}"' for name in columns)
                places = ", ".join(["%s"] * len(columns))
                query = f"INSERT INTO coin_metrics ({names}) VALUES ({places})"
                owner.execute(query.encode(), list(columns.values()))
            return connection

        yield fill


@pytest.fixture(scope="module")
def metrics() -> pd.DataFrame:
    frame = sample.make_metrics(SAMPLE_COINS)
    frame["time"] = pd.to_datetime(frame["timestamp"])
    return frame.sort_values(["mint", "time"], ignore_index=True)


def future_label(metrics: pd.DataFrame, minutes: int, column: str, threshold: float) -> pd.Series:
    """The same rule, row by row: the coin's first row at or after t + N, at most N minutes later."""
    labels: list[float] = []
    for _, coin in metrics.groupby("mint"):
        times, values = coin["time"].to_numpy(), coin[column].to_numpy()
        wait = np.timedelta64(minutes, "m")
        for time in times:
            first = np.searchsorted(times, time + wait)
            is_there = first < len(times) and times[first] <= time + 2 * wait and not np.isnan(values[first])
            labels.append(float(values[first] > threshold) if is_there else np.nan)
    return pd.Series(labels, index=metrics.index)


def test_without_a_horizon_the_label_is_read_in_the_same_row(full: Connection, metrics: pd.DataFrame) -> None:
    data = load(full, predicting("market_cap_close", ">", "50000"), ("price_open", "volume_sol"))
    assert len(data) == len(metrics)
    assert np.array_equal(data.labels, metrics["market_cap_close"] > 50_000)
    expected = metrics[["price_open", "volume_sol"]].to_numpy(np.float32)
    assert np.array_equal(data.features, expected, equal_nan=True)


@pytest.mark.parametrize("minutes", [1, 5, 20])
def test_with_a_horizon_the_label_is_the_coins_first_row_at_or_after_it(
    full: Connection, metrics: pd.DataFrame, minutes: int
) -> None:
    data = load(full, predicting("volatility_pct", ">", "30", minutes))
    expected = future_label(metrics, minutes, "volatility_pct", 30)
    assert np.array_equal(data.labels, expected.dropna())
    assert data.num_unlabelled == expected.isna().sum() > 0


def test_phases_choose_the_rows_but_not_where_their_labels_are_read(
    full: Connection, metrics: pd.DataFrame
) -> None:
    data = load(full, predicting("volatility_pct", ">", "30", 5), phases=(1,))
    expected = future_label(metrics, 5, "volatility_pct", 30)[metrics["phase_id_at_time"] == 1]
    assert np.array_equal(data.labels, expected.dropna())


def test_a_period_has_its_start_and_not_its_end(empty: Callable[..., Connection]) -> None:
    rows = [("A", minute, {"volume_sol": minute, "price_close": 1}) for minute in range(4)]
    period = Period(NOON + timedelta(minutes=1), NOON + timedelta(minutes=3))
    data = load(empty(*rows), predicting("price_close", ">", "0"), period=period)
    assert data.features[:, 0].tolist() == [1, 2]


def test_a_label_never_looks_past_the_end_of_its_period(empty: Callable[..., Connection]) -> None:
    rows = [("A", minute, {"volume_sol": minute, "price_close": minute}) for minute in range(20)]
    period = Period(NOON, NOON + timedelta(minutes=10))
    data = load(empty(*rows), predicting("price_close", ">", "6", 5), period=period)
    assert data.features[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert data.labels.tolist() == [0, 0, 1, 1, 1]
    assert data.num_unlabelled == 5


def test_a_label_never_comes_from_another_coin(empty: Callable[..., Connection]) -> None:
    connection = empty(
        ("A", 0, {"volume_sol": 1, "price_close": 1}),
        ("B", 5, {"volume_sol": 2, "price_close": 9}),
        ("A", 6, {"volume_sol": 3, "price_close": 1}),
    )
    data = load(connection, predicting("price_close", ">", "5", 5))
    assert (data.features.tolist(), data.labels.tolist()) == ([[1]], [0])


def test_a_label_counts_time_and_not_rows(empty: Callable[..., Connection]) -> None:
    minutes = [0, 1, 2, 8, 9, 30]
    connection = empty(*[("A", m, {"volume_sol": m, "price_close": m}) for m in minutes])
    data = load(connection, predicting("price_close", "=", "8", 5))
    # 0, 1 and 2 find minute 8; 8 and 9 find nothing up to ten minutes later; 30 is the last.
    assert data.features[:, 0].tolist() == [0, 1, 2]
    assert data.labels.tolist() == [1, 1, 1]


def test_the_gap_is_as_long_as_the_horizon_at_most(empty: Callable[..., Connection]) -> None:
    connection = empty(
        *[("A", m, {"volume_sol": 1, "price_close": 1}) for m in (0, 10)],
        *[("B", m, {"volume_sol": 2, "price_close": 1}) for m in (0, 10.01)],
    )
    data = load(connection, predicting("price_close", ">", "0", 5))
    assert data.features[:, 0].tolist() == [1]
    assert data.num_unlabelled == 3


def test_a_row_whose_target_is_null_is_left_out_and_counted(
    empty: Callable[..., Connection],
) -> None:
    connection = empty(
        ("A", 0, {"volume_sol": 1, "price_close": 1}),
        ("A", 1, {"volume_sol": 2}),
        ("A", 2, {"volume_sol": 3, "price_close": "NaN"}),
    )
    data = load(connection, predicting("price_close", ">", "0"))
    assert (len(data), data.num_unlabelled) == (1, 2)


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        (">", [0, 0, 1]),
        ("<", [1, 0, 0]),
        (">=", [0, 1, 1]),
        ("<=", [1, 1, 0]),
        ("=", [0, 1, 0]),
        ("!=", [1, 0, 1]),
    ],
)
def test_the_threshold_is_compared_exactly(
    empty: Callable[..., Connection], operator: str, expected: list[int]
) -> None:
    closes = ("0.000009999999999999999999", "0.00001", "0.000010000000000000000001")
    connection = empty(
        *[("A", i, {"volume_sol": i, "price_close": Decimal(c)}) for i, c in enumerate(closes)]
    )
    data = load(connection, predicting("price_close", operator, "0.00001"))
    assert data.labels.tolist() == expected


def test_a_null_feature_is_missing_and_not_zero(empty: Callable[..., Connection]) -> None:
    connection = empty(("A", 0, {"price_close": 1, "volume_sol": 0}), ("A", 1, {"price_close": 1}))
    data = load(connection, predicting("price_close", ">", "0"))
    assert data.features[0, 0] == 0
    assert np.isnan(data.features[1, 0])


def test_integer_columns_can_be_features_and_targets(empty: Callable[..., Connection]) -> None:
    connection = empty(*[("A", i, {"num_buys": i, "num_sells": i}) for i in range(3)])
    data = load(
        connection, predicting("num_sells", ">=", "2"), ("num_buys", "phase_id_at_time", "num_buys")[:1]
    )
    assert (data.features[:, 0].tolist(), data.labels.tolist()) == ([0, 1, 2], [0, 0, 1])


def test_no_rows_is_an_error_with_the_count(empty: Callable[..., Connection]) -> None:
    with pytest.raises(JobError, match="no rows"):
        load(empty(), predicting("price_close", ">", "0"))


def test_no_label_is_an_error_with_the_count(empty: Callable[..., Connection]) -> None:
    connection = empty(("A", 0, {"volume_sol": 1}), ("A", 1, {"volume_sol": 1}))
    with pytest.raises(JobError, match="none of the 2 rows"):
        load(connection, predicting("price_close", ">", "0"))


def test_a_feature_without_any_value_is_named(empty: Callable[..., Connection]) -> None:
    connection = empty(*[("A", i, {"price_close": 1, "volume_sol": 1}) for i in range(3)])
    with pytest.raises(JobError, match="feature num_buys has no value in any of the 3"):
        load(connection, predicting("price_close", ">", "0"), ("volume_sol", "num_buys"))


@pytest.mark.parametrize("value", ["Infinity", "-Infinity", "1e39", "-1e400"])
def test_a_feature_that_is_infinite_is_named(empty: Callable[..., Connection], value: str) -> None:
    connection = empty(
        ("A", 0, {"price_close": 1, "volume_sol": value}), ("A", 1, {"price_close": 1, "volume_sol": 1})
    )
    with pytest.raises(JobError, match=r"feature volume_sol is infinite .* in 1 of 2 rows"):
        load(connection, predicting("price_close", ">", "0"))


def test_coins_are_ordered_by_their_whole_names_and_an_empty_one_comes_first(
    empty: Callable[..., Connection],
) -> None:
    names = [
        "coin_000000000000000000000000b",
        "coin_000000000000000000000000a",
        "",
        "é",
        "b" * 255,
        "b" * 254,
    ]
    connection = empty(*[(name, 0, {"price_close": 1, "volume_sol": i}) for i, name in enumerate(names)])
    found = load(connection, predicting("price_close", ">", "0")).features[:, 0]
    assert [names[int(i)] for i in found] == sorted(names, key=str.encode)


def test_the_same_data_gives_the_same_fingerprint_in_whichever_order_it_is_stored(
    empty: Callable[..., Connection],
) -> None:
    rows = [("A", i, {"price_close": i, "volume_sol": i}) for i in range(5)]
    connection = empty(*rows)
    model = predicting("price_close", ">", "2")
    first = load(connection, model)
    with psycopg_owner(connection) as owner:
        owner.execute("TRUNCATE coin_metrics")
    empty(*reversed(rows))
    second = load(connection, model)
    assert first.fingerprint == second.fingerprint
    with psycopg_owner(connection) as owner:
        owner.execute("UPDATE coin_metrics SET volume_sol = 7 WHERE price_close = 1")
    assert load(connection, model).fingerprint != first.fingerprint


def psycopg_owner(connection: Connection) -> Connection:
    """The owner's connection to the same database."""
    info = connection.info
    return connect(
        f"host={info.host} port={info.port} dbname={info.dbname} user=owner password={info.password}"
    )


def cut(batches: Iterator[copying.Batch]) -> Iterator[copying.Batch]:
    """Seven rows at a time."""
    for batch in batches:
        for first in range(0, len(batch.starts), 7):
            yield copying.Batch(batch.data, batch.starts[first : first + 7])
        del batch  # it is good until the next one is asked for


def test_batches_of_few_rows_give_the_same_as_the_whole(full: Connection) -> None:
    label, features = predicting("market_cap_close", ">", "50000"), ("price_open", "volume_sol")
    whole = load(full, label, features)
    told: list[int] = []
    stream = stream_dataset([full], label, features, ALL, None)
    small = replace(stream, batches=cut(stream.batches))
    assert dataset.decode(small, features, label, told.append).fingerprint == whole.fingerprint
    assert told == sorted(told)
    assert told[-1] == len(whole)
    assert len(told) >= len(whole) / 7


@pytest.mark.parametrize("horizon", [None, 5])
def test_two_connections_read_a_half_each_and_as_of_one_moment(
    db: Database, horizon: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    label, features = predicting("volatility_pct", ">", "30", horizon), ("price_open", "volume_sol")
    asked: list[str] = []

    def read(copies: Sequence[tuple[Connection, Composed]]) -> Iterator[copying.Batch]:
        asked.extend(query.as_string() for _, query in copies)
        with db.connect("owner") as owner:  # both are to read what there was before
            owner.execute("DELETE FROM coin_metrics WHERE mint = (SELECT min(mint) FROM coin_metrics)")
        return copying.read(copies)

    with db.connect("owner") as owner:
        sources.add_copies(owner, follow=False)
    with connect(db.login("wanda"), role="ml_worker") as one, connect(db.login("wanda"), "ml_worker") as two:
        expected = load(one, label, features, phases=(1, 2))
        monkeypatch.setattr(database, "read", read)
        stream = stream_dataset([one, two], label, features, ALL, (1, 2))
        found = dataset.decode(stream, features, label, lambda _rows: None, threads=2)
        assert found.fingerprint == expected.fingerprint
        middle = datetime.fromisoformat(re.findall(r"'(2024[^']*)'", asked[0])[-1])
        share = (found.times < (middle - datetime(2000, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)).mean()
        assert 0.4 < share < 0.6
        assert {one.info.transaction_status, two.info.transaction_status} == {TransactionStatus.IDLE}


def num_rows(batch: copying.Batch) -> int:
    return len(batch.starts)


def test_an_error_in_the_middle_of_the_rows_is_raised_and_the_connection_stays_good(full: Connection) -> None:
    query = SQL("COPY (SELECT 1 / (90000 - i) FROM generate_series(1, 100000) i) TO STDOUT (FORMAT binary)")
    with pytest.raises(psycopg.errors.DivisionByZero, match="division by zero"):
        sum(map(num_rows, copying.read([(full, Composed([query]))])))
    assert full.execute("SELECT 1").fetchone() == (1,)


def test_a_server_that_is_gone_in_the_middle_of_the_rows_is_a_lost_connection(db: Database) -> None:
    query = SQL(
        "COPY (SELECT pg_sleep(i / 1000), i FROM generate_series(1, 100000) i) TO STDOUT (FORMAT binary)"
    )
    with connect(db.login("wanda"), role="ml_worker") as connection, db.connect("wanda") as other:
        batches = copying.read([(connection, Composed([query]))])
        threading.Timer(
            0.5, lambda: other.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
        ).start()
        with pytest.raises(psycopg.OperationalError):
            sum(map(num_rows, batches))


def test_rows_of_one_moment_have_one_label_whatever_their_order(db: Database) -> None:
    """A table of the user's own may have no key: then ties are ordered by their values."""
    with db.connect("owner") as owner, connect(db.login("wanda"), role="ml_worker") as connection:
        owner.execute("TRUNCATE coin_metrics")
        owner.execute("ALTER TABLE coin_metrics DROP CONSTRAINT coin_metrics_pkey")
        sources.add_copies(owner)
        found = set()
        for closes in ((1, 5, 9), (9, 5, 1)):
            owner.execute("TRUNCATE coin_metrics")
            for close in closes:
                for minute in (0, 5):
                    moment = NOON + timedelta(minutes=minute)
                    query = 'INSERT INTO coin_metrics (mint, "timestamp", volume_sol, price_close)'
                    owner.execute(f"{query} VALUES ('A', %s, %s, %s)", [moment, close, close])
            found.add(load(connection, predicting("price_close", ">", "4", 5)).fingerprint)
        assert len(found) == 1


def test_rows_of_one_moment_and_several_phases_have_one_label_whatever_their_order(db: Database) -> None:
    with db.connect("owner") as owner, connect(db.login("wanda"), role="ml_worker") as connection:
        owner.execute("ALTER TABLE coin_metrics DROP CONSTRAINT coin_metrics_pkey")
        sources.add_copies(owner)
        rows = [
            (minute, phase, close) for minute in (0, 5) for phase, close in ((1, 1), (2, 9), (1, 9), (2, 1))
        ]
        found = set()
        for stored in (rows, rows[::-1]):
            owner.execute("TRUNCATE coin_metrics")
            for minute, phase, close in stored:
                query = (
                    'INSERT INTO coin_metrics (mint, "timestamp", phase_id_at_time, volume_sol, price_close)'
                )
                moment = NOON + timedelta(minutes=minute)
                owner.execute(f"{query} VALUES ('A', %s, %s, %s, %s)", [moment, phase, close, close])
            data = load(connection, predicting("price_close", ">", "4", 5), phases=(2,))
            assert data.features[:, 0].tolist() == [1, 9]
            assert data.labels.tolist() == [0, 0]  # of the rows five minutes later a negative one comes first
            found.add(data.fingerprint)
        assert len(found) == 1


@pytest.mark.parametrize("phases", [None, (1,)])
def test_rows_from_several_processes_of_the_server_are_those_from_one(
    full: Connection, phases: tuple[int, ...] | None
) -> None:
    label, features = predicting("volatility_pct", ">", "30", 5), ("price_open", "volume_sol")
    settings = ("min_parallel_table_scan_size", "parallel_setup_cost", "parallel_tuple_cost")
    expected = load(full, label, features, phases=phases).fingerprint
    for setting in settings:
        full.execute(f"SET {setting} TO 0".encode())
    try:
        plan = full.execute("EXPLAIN SELECT mint FROM public.coin_metrics").fetchall()
        assert "Gather" in str(plan)
        assert load(full, label, features, phases=phases).fingerprint == expected
    finally:
        for setting in settings:
            full.execute(f"RESET {setting}".encode())


def test_parts_of_few_rows_give_the_same_as_the_whole(
    full: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    label, features = predicting("volatility_pct", ">", "30", 5), ("price_open", "volume_sol")
    expected = load(full, label, features, phases=(1, 2)).fingerprint
    monkeypatch.setattr(dataset, "_PART_ROWS", 97)
    assert load(full, label, features, phases=(1, 2)).fingerprint == expected


def test_the_rows_are_estimated_by_period_and_phases(full: Connection, metrics: pd.DataFrame) -> None:
    of_phase = int((metrics["phase_id_at_time"] == 1).sum())
    assert abs(estimate_rows(full, ALL, None) - len(metrics)) < 0.1 * len(metrics)
    assert abs(estimate_rows(full, ALL, (1,)) - of_phase) < 0.1 * of_phase
