"""Was it right: what became of the rows that a model answered for, and what the answers were worth."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics

from tests import sources
from tests.child.labels.test_labels import (
    COLUMNS,
    START,
    Row,
    brute,
    fill,
    labels,
    rows_of,
)
from tests.conftest import (
    PASSWORD,
    SCORING_RESULT,
    TRAIN,
    TRAINING_RESULT,
    Connection,
    Database,
    insert_job,
    job_row,
    one,
    record,
)
from tests.sql.helpers import complete, count, refused, store
from worker.child import dataset
from worker.child.assignment import Period
from worker.child.labels import Label, names
from worker.database.connection import Connection as Loading
from worker.database.connection import connect
from worker.database.dataset import stream_dataset

Answer = tuple[str, datetime, float]  # key, moment, probability
FAR = timedelta(days=400)


def claim(worker: Connection, job_id: int) -> dict[str, Any]:
    """Claim this job, of whichever source."""
    claimed = one(
        worker, "SELECT * FROM ml_internal.claim_job('w1', '30 seconds', '{TRAIN,TEST,SCORE,+sources}')"
    )
    assert claimed["id"] == job_id
    return claimed


def make_model(client: Connection, worker: Connection, **fields: Any) -> int:
    """A READY model of any source, without training one; its number."""
    job_id = insert_job(client, **TRAIN | fields)
    record(worker, job_id, claim(worker, job_id)["attempt"], **TRAINING_RESULT)
    return int(job_row(client, job_id)["result_model_id"])


def record_score(
    client: Connection,
    worker: Connection,
    model_id: int,
    answers: Iterable[Answer],
    start: datetime = START,
    end: datetime = START + FAR,
) -> int:
    """A SCORE job that gave these answers; its number."""
    job_id = insert_job(
        client, job_type="SCORE", score_model_id=model_id, score_start=start, score_end=end, priority=1
    )
    claimed = claim(worker, job_id)
    with worker.transaction():
        store(worker, job_id, claimed["attempt"], [(key, str(moment), p) for key, moment, p in answers])
        record(worker, job_id, claimed["attempt"], **SCORING_RESULT)
    return job_id


def outcomes(connection: Connection, job_id: int) -> dict[tuple[str, datetime], bool | None]:
    return {
        (row["key"], row["moment"]): row["outcome"]
        for row in connection.execute("SELECT * FROM ml_prediction_outcomes WHERE job_id = %s", [job_id])
    }


# ── By the rule of the label ────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def series(make_database: Callable[[], Database]) -> Iterator[tuple[Connection, Connection, Loading]]:
    """The owner's connection, a worker's and one that loads, of a database with many sources."""
    db = make_database()
    with (
        db.connect("owner") as owner,
        db.connect("wanda") as worker,
        connect(db.login("wanda"), role="ml_worker") as loading,
    ):
        owner.execute("ALTER TABLE coin_metrics DROP CONSTRAINT coin_metrics_pkey")
        owner.execute("ALTER TABLE coin_metrics ADD COLUMN as_float double precision")
        sources.add_copies(owner, follow=False)
        yield owner, worker, loading


def train_fields(label: Label, source: str, phases: tuple[int, ...] | None) -> dict[str, Any]:
    return {
        "train_target_var": label.target,
        "train_operator": label.operator,
        "train_value": label.value,
        "train_future_minutes": label.future_minutes,
        "train_label": label.kind,
        "train_base_var": label.base,
        "train_stop_value": label.stop_value,
        "train_uncovered": label.uncovered if label.future_minutes else None,
        "train_source": source,
        "train_phases_csv": None if phases is None else ",".join(map(str, phases)),
        "train_features_csv": "volume_sol",
    }


@pytest.mark.parametrize("kind", sorted(names()))
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
)
@given(data=st.data())
def test_an_outcome_is_the_label_of_a_test_that_ends_long_after(
    series: tuple[Connection, Connection, Loading], kind: str, data: st.DataObject
) -> None:
    owner, worker, loading = series
    label = data.draw(labels(kind))
    held = COLUMNS[label.target]
    rows: list[Row] = [
        (*row[:3], None if row[3] is None else held(row[3]), row[4]) for row in data.draw(rows_of)
    ]
    phases = data.draw(st.sampled_from([None, (1,)]))
    chosen = [row for row in rows if phases is None or row[2] in phases]
    assume(chosen)
    source = data.draw(st.sampled_from(["coin_metrics", *sources.KEYED, sources.ALONE]))
    fill(owner, rows, label.target)
    model_id = make_model(owner, worker, **train_fields(label, source, phases))
    keys = key_of(source, rows)
    if source == sources.ALONE:
        rows, chosen = ([("alone", *row[1:]) for row in some] for some in (rows, chosen))
    newest = max(row[1] for row in rows)
    expected: dict[tuple[str, int], set[int]] = {}
    for row in chosen:
        expected.setdefault(row[:2], set()).add(brute(row, rows, label, newest)[0])
    moments = {(keys[coin], START + timedelta(seconds=second)): (coin, second) for coin, second in expected}
    job_id = record_score(owner, worker, model_id, [(*row, 0.7) for row in moments])
    found = {moments[row]: outcome for row, outcome in outcomes(owner, job_id).items()}
    assert found == {row: only(said) for row, said in expected.items()}
    coin, second = data.draw(st.sampled_from(sorted(expected)))
    assert one(
        owner,
        "SELECT outcome FROM ml.outcomes(%s, %s, %s, %s)",
        [
            *(model_id, START + timedelta(seconds=second), START + timedelta(seconds=second + 1)),
            keys[coin],
        ],
    ) == {"outcome": found[coin, second]}

    # What the worker says of a period that ends long after, as if no coin went on after the data.
    known = {
        row
        for row, said in expected.items()
        if said != {-1} and row[1] + 2 * label.horizon // 1_000_000 < newest
    }
    period = Period(START, START + FAR)
    stream = stream_dataset(
        [loading], label, ("volume_sol",), period, phases, source=sources.described(owner, source)
    )
    if not known:
        return
    loaded = dataset.decode(stream, ("volume_sol",), label, lambda _rows: None)
    said_of: dict[int, set[int]] = {}
    for time, said in zip(loaded.times, loaded.labels, strict=True):
        said_of.setdefault(int(time), set()).add(int(said))
    since = (START - datetime(2000, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    for coin, second in known:
        assert expected[coin, second] - {-1} <= said_of[since + second * 1_000_000]


def only(said: set[int]) -> bool | None:
    """What all rows of a moment say; None: nothing, or not the same."""
    return None if len(said) > 1 or -1 in said else bool(next(iter(said)))


def key_of(source: str, rows: list[Row]) -> dict[str, str]:
    """The key of each coin in a source."""
    coins = sorted({row[0] for row in rows})
    if source == "by_number":
        return {coin: str(100001.5 + rank) for rank, coin in enumerate(coins)}
    return {coin: coin for coin in coins} | {"alone": ""}


# ── When it is known ────────────────────────────────────────────────────────────────────────────────

HORIZON: dict[str, Any] = {
    "train_target_var": "price_close",
    "train_operator": ">",
    "train_value": 10,
    "train_future_minutes": 5,
    "train_features_csv": "volume_sol",
}
NEGATIVE = HORIZON | {"train_uncovered": "negative"}
HIGHEST = HORIZON | {"train_label": "highest"}
MINUTE = timedelta(minutes=1)
# Rows of coin A by their minutes, with prices; the other coin goes on until the minute given. What A's row of
# minute 0 is then, and why.
WHEN: list[tuple[str, dict[str, Any], dict[int, float | None], int, bool | None, str | None]] = [
    ("its window has begun", HORIZON, {0: 1}, 4, None, "not known yet"),
    ("the other coin alone goes on", HORIZON, {0: 1}, 10, None, "not known yet"),
    ("the coin stops", HORIZON, {0: 1}, 11, None, "the coin stops"),
    ("it is covered at once", HORIZON, {0: 1, 5: 11}, 5, True, None),
    ("it is covered late", HORIZON, {0: 1, 10: 11}, 10, True, None),
    ("it is covered too late", HORIZON, {0: 1, 11: 11}, 11, None, "the coin stops"),
    (
        "its first row later is NULL",
        HORIZON,
        {0: 1, 5: None, 6: 11},
        20,
        None,
        "there is no price_close until then",
    ),
    ("a coin that may go on is no loser yet", NEGATIVE, {0: 1}, 10, None, "not known yet"),
    ("a coin that stops is a loser", NEGATIVE, {0: 1}, 11, False, None),
    (
        "nor is its touch certain yet",
        HIGHEST | NEGATIVE | {"train_label": "highest"},
        {0: 1, 3: 11},
        10,
        None,
        "not known yet",
    ),
    ("a touch is certain", NEGATIVE | {"train_label": "highest"}, {0: 1, 3: 11}, 11, True, None),
    ("a touch that is left out", HIGHEST, {0: 1, 3: 11}, 11, None, "the coin stops"),
    ("no touch, and it stops", NEGATIVE | {"train_label": "highest"}, {0: 1, 3: 9}, 11, False, None),
    (
        "no change from nothing",
        HORIZON | {"train_label": "change"},
        {0: 0, 5: 11},
        20,
        None,
        "price_close is NULL, zero or negative",
    ),
    ("the row itself, at once", HORIZON | {"train_future_minutes": None}, {0: 11}, 0, True, None),
    (
        "the row itself, without a value",
        HORIZON | {"train_future_minutes": None},
        {0: None},
        9,
        None,
        "price_close is NULL",
    ),
    ("the row is gone", HORIZON, {5: 11}, 20, None, "the row is gone"),
]


def put(owner: Connection, rows: Iterable[tuple[str, datetime, float | None]], phase: int = 1) -> None:
    with owner.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO coin_metrics (mint, "timestamp", phase_id_at_time, price_close, volume_sol)
            VALUES (%s, %s, %s, %s, 1)
            """,
            [(mint, moment, phase, price) for mint, moment, price in rows],
        )


@pytest.fixture
def bare(db: Database, owner: Connection) -> Connection:
    """The owner's connection, of a database without rows."""
    owner.execute("TRUNCATE coin_metrics")
    return owner


@pytest.mark.parametrize(
    ("what", "fields", "prices", "until", "outcome", "reason"), WHEN, ids=[w[0] for w in WHEN]
)
def test_an_outcome_is_there_as_soon_as_it_is_certain(
    bare: Connection,
    client: Connection,
    worker: Connection,
    reader: Connection,
    what: str,
    fields: dict[str, Any],
    prices: dict[int, float | None],
    until: int,
    outcome: bool | None,
    reason: str | None,
) -> None:
    put(bare, [("A", START + minute * MINUTE, price) for minute, price in prices.items()])
    put(bare, [("B", START + minute * MINUTE, 1) for minute in range(until + 1)])
    job_id = record_score(client, worker, make_model(client, worker, **fields), [("A", START, 0.75)])
    assert one(reader, "SELECT * FROM ml_prediction_outcomes WHERE job_id = %s", [job_id]) == {
        "job_id": job_id,
        "model_id": job_row(client, job_id)["score_model_id"],
        "key": "A",
        "moment": START,
        "probability": 0.75,
        "is_predicted": True,
        "outcome": outcome,
        "reason": reason,
    }, what


def test_rows_that_come_later_turn_what_is_not_known_into_an_outcome(
    bare: Connection, client: Connection, worker: Connection, reader: Connection
) -> None:
    put(bare, [("A", START + minute * MINUTE, minute) for minute in range(10)])
    model_id = make_model(client, worker, **HORIZON)
    answers = [("A", START + minute * MINUTE, 0.5) for minute in range(10)]
    job_id = record_score(client, worker, model_id, answers)
    known: list[bool | None] = [*[False] * 5, *[None] * 5]
    assert [outcomes(reader, job_id)[key, moment] for key, moment, _ in answers] == known
    put(bare, [("A", START + minute * MINUTE, minute) for minute in range(10, 15)])
    known = [*[False] * 6, *[True] * 4]
    assert [outcomes(reader, job_id)[key, moment] for key, moment, _ in answers] == known


def test_rows_of_other_phases_are_looked_at_but_not_answered_for(
    bare: Connection, client: Connection, worker: Connection, reader: Connection
) -> None:
    put(bare, [("A", START, 1), ("B", START, 1)])
    put(bare, [("A", START + 5 * MINUTE, 11), ("B", START + 5 * MINUTE, 9)], phase=2)
    model_id = make_model(client, worker, **HORIZON, train_phases_csv="1")
    job_id = record_score(
        client, worker, model_id, [("A", START, 0.5), ("B", START, 0.5), ("A", START + 5 * MINUTE, 0.5)]
    )
    assert outcomes(reader, job_id) == {
        ("A", START): True,
        ("B", START): False,
        ("A", START + 5 * MINUTE): None,  # no row of its phase any more
    }


def test_of_rows_at_one_moment_the_first_speaks_against_the_label_and_own_ones_must_agree(
    bare: Connection, client: Connection, worker: Connection, reader: Connection
) -> None:
    bare.execute("CREATE TABLE deals (at timestamptz, price numeric, paid numeric)")
    bare.execute("CALL ml.add_source('deals', 'deals', moment => 'at')")
    bare.execute("GRANT SELECT ON deals TO anna, rosa")
    try:
        for minute, price in ((0, 1), (0, 2), (1, 1), (1, 1), (5, 11), (5, 9), (6, 11), (6, 12)):
            bare.execute("INSERT INTO deals VALUES (%s, %s, 1)", [START + minute * MINUTE, price])
        fields = HORIZON | {
            "train_source": "deals",
            "train_target_var": "price",
            "train_features_csv": "paid",
        }
        answers = [("", START + minute * MINUTE, 0.5) for minute in (0, 0, 1, 1)]
        for other, expected in (
            ({}, {0: False, 1: True}),
            ({"train_label": "change", "train_value": 500}, {0: None, 1: True}),
        ):
            job_id = record_score(client, worker, make_model(client, worker, **fields | other), answers)
            rows = reader.execute(
                "SELECT * FROM ml_prediction_outcomes WHERE job_id = %s", [job_id]
            ).fetchall()
            assert len(rows) == len(answers)
            for row in rows:
                assert row["outcome"] is expected[(row["moment"] - START) // MINUTE]
                assert (row["reason"] == "rows of this moment differ") == (row["outcome"] is None)
    finally:
        bare.execute("CALL ml.remove_source('deals')")
        bare.execute("DROP TABLE deals")


# ── What it is worth ────────────────────────────────────────────────────────────────────────────────


def test_quality_is_what_scikit_learn_says_of_the_newest_answers_of_each_day(
    bare: Connection, client: Connection, worker: Connection, reader: Connection
) -> None:
    rng = np.random.default_rng(1)
    moments = [
        START + minute * 7 * MINUTE for minute in range(600)
    ]  # three days, of which the first begins at noon
    rows = [(coin, moment) for coin in "AB" for moment in moments]
    truth = dict(zip(rows, rng.random(len(rows)) < 0.3, strict=True))
    put(bare, [(*row, None if rng.random() < 0.1 else 20.0 * is_so) for row, is_so in truth.items()])
    known = {
        (row["mint"], row["timestamp"])
        for row in bare.execute("SELECT * FROM coin_metrics WHERE price_close IS NOT NULL")
    }
    model_id = make_model(client, worker, **HORIZON | {"train_future_minutes": None})
    newest: dict[tuple[str, datetime], float] = {}
    for part in (rows[:800], rows[500:]):
        said = {row: float(round(rng.random(), 1)) for row in part}  # many are alike, some 0.5
        record_score(client, worker, model_id, [(*row, p) for row, p in said.items()])
        newest |= said
    test_id = insert_job(
        client, job_type="TEST", test_model_id=model_id, test_start="2024-03-01", test_end="2024-04-01"
    )
    complete(worker, claim(worker, test_id)["id"], "TEST")
    found = reader.execute(
        "SELECT * FROM ml_prediction_quality WHERE model_id = %s ORDER BY day", [model_id]
    ).fetchall()
    assert [str(row["day"]) for row in found] == ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"]
    for row in found:
        day = {key: p for key, p in newest.items() if key[1].date() == row["day"]}
        y = [truth[key] for key in day if key in known]
        p = np.array([p for key, p in day.items() if key in known])
        tn, fp, fn, tp = metrics.confusion_matrix(y, p > 0.5).ravel().tolist()
        counts = {"num_answers": len(day), "num_known": len(y), "tp": tp, "fp": fp, "tn": tn, "fn": fn}
        assert {name: row[name] for name in counts} == counts
        for name, expected in {
            "accuracy": metrics.accuracy_score(y, p > 0.5),
            "f1_score": metrics.f1_score(y, p > 0.5),
            "precision_score": metrics.precision_score(y, p > 0.5),
            "recall": metrics.recall_score(y, p > 0.5),
            "roc_auc": metrics.roc_auc_score(y, p),
            "brier_score": metrics.brier_score_loss(y, p),
        }.items():
            assert float(row[name]) == pytest.approx(expected, abs=5.1e-5), name
        test = one(reader, "SELECT * FROM ml_test_results WHERE job_id = %s", [test_id])
        same = ("id", "f1_score", "precision_score", "recall", "roc_auc", "brier_score")
        assert [row[f"test_{name}"] for name in same] == [test[name] for name in same]
    day = found[1]["day"]
    assert reader.execute(
        "SELECT * FROM ml.quality(%s, %s, %s)", [model_id, day, day + timedelta(days=1)]
    ).fetchall() == [found[1]]


def test_what_the_answers_leave_undefined_is_null(
    bare: Connection, client: Connection, worker: Connection, reader: Connection
) -> None:
    put(bare, [("A", START, 1), ("A", START + timedelta(days=1), None)])
    model_id = make_model(client, worker, **HORIZON | {"train_future_minutes": None})
    record_score(client, worker, model_id, [("A", START, 0.25), ("A", START + timedelta(days=1), 0.75)])
    query = """
        SELECT
            num_answers, num_known, tn, accuracy, f1_score, precision_score, recall, roc_auc, brier_score,
            test_id
        FROM ml_prediction_quality WHERE model_id = %s ORDER BY day
    """
    undefined = {"f1_score": None, "precision_score": None, "recall": None, "roc_auc": None, "test_id": None}
    assert reader.execute(query, [model_id]).fetchall() == [
        {
            "num_answers": 1,
            "num_known": 1,
            "tn": 1,
            "accuracy": 1,
            "brier_score": Decimal("0.0625"),
            **undefined,
        },
        {"num_answers": 1, "num_known": 0, "tn": 0, "accuracy": None, "brier_score": None, **undefined},
    ]


# ── What is read, and by whom ───────────────────────────────────────────────────────────────────────


def test_a_period_and_a_key_give_what_the_view_has_of_them(
    bare: Connection, client: Connection, worker: Connection, reader: Connection
) -> None:
    """Jobs months apart, some of which overlap."""
    put(bare, [(coin, START + hour * timedelta(hours=1), hour % 20) for coin in "AB" for hour in range(2400)])
    model_id = make_model(client, worker, **HORIZON | {"train_future_minutes": 60})
    for first, last in ((0, 30), (20, 40), (60, 62), (2000, 2399)):
        start, end = (START + hour * timedelta(hours=1) for hour in (first, last))
        hours = range(first, last, 3)
        answers = [(coin, START + hour * timedelta(hours=1), hour % 7 / 7) for coin in "AB" for hour in hours]
        record_score(client, worker, model_id, answers, start, end)
    order = "ORDER BY job_id, key, moment"
    every = reader.execute(
        f"SELECT * FROM ml_prediction_outcomes WHERE model_id = %s {order}".encode(), [model_id]
    )
    rows = every.fetchall()
    assert {row["outcome"] for row in rows} == {True, False}
    cases: list[tuple[datetime | None, datetime | None, str | None]] = [
        (None, None, None),
        (START + timedelta(hours=21), START + timedelta(hours=61), None),
        (None, START + timedelta(hours=30), "A"),
        (START + timedelta(hours=2001), None, "B"),
        (START + timedelta(hours=100), START + timedelta(hours=200), None),
        (None, None, "C"),
    ]
    for since, until, key in cases:
        for model in (model_id, job_row(client, job_of(client, model_id))["train_model_name"]):
            found = reader.execute(
                f"SELECT * FROM ml.outcomes(%s, %s, %s, %s) {order}".encode(), [model, since, until, key]
            ).fetchall()
            assert found == [
                row
                for row in rows
                if (since is None or row["moment"] >= since)
                and (until is None or row["moment"] < until)
                and (key is None or row["key"] == key)
            ]


def job_of(connection: Connection, model_id: int) -> int:
    return int(
        one(connection, "SELECT train_job_id FROM ml_models WHERE id = %s", [model_id])["train_job_id"]
    )


def test_a_key_or_a_period_is_all_that_is_read_of_the_source(
    make_database: Callable[[], Database],
) -> None:
    db = make_database()
    with db.connect("owner") as owner, db.connect("anna") as client, db.connect("wanda") as worker:
        owner.execute("TRUNCATE coin_metrics")
        owner.execute(
            """
            INSERT INTO coin_metrics (mint, "timestamp", phase_id_at_time, price_close, volume_sol)
            SELECT 'coin' || c, %s + r * interval '1 minute', 1, 1, 1
            FROM generate_series(1, 200) c, generate_series(0, 199) r
            """,
            [START],
        )
        owner.execute("ANALYZE coin_metrics")
        model_id = make_model(client, worker, **HORIZON)
        answers = [
            (f"coin{coin}", START + minute * MINUTE, 0.5)
            for coin in range(1, 201)
            for minute in range(0, 200, 5)
        ]
        job_id = record_score(client, worker, model_id, answers, START, START + 200 * MINUTE)
        other = record_score(
            client,
            worker,
            model_id,
            [("coin1", START + 100 * MINUTE, 0.5)],
            START + 100 * MINUTE,
            START + 101 * MINUTE,
        )
        owner.execute("ANALYZE ml_prediction_blocks")
        for query, values, most in (
            ("ml.outcomes(%s, of_key => 'coin7')", [model_id], 200),
            ("ml.outcomes(%s, %s, %s)", [model_id, START, START + 5 * MINUTE], 200 * 16),
            ("ml_prediction_outcomes WHERE job_id = %s", [other], 200 * 12),
            ("ml.quality(%s, %s, %s)", [model_id, START, START + 5 * MINUTE], 200 * 16),
        ):
            before = num_read(owner)
            owner.execute(f"SELECT * FROM {query}".encode(), values)
            read = num_read(owner) - before
            assert 0 < read <= most + 10, query  # and the newest row, and what the planner looks up
        assert count(owner, f"ml_prediction_outcomes WHERE job_id = {job_id}") == len(answers)


def num_read(owner: Connection) -> int:
    """Rows of coin_metrics that this session has read."""
    owner.execute("SELECT pg_stat_force_next_flush()")
    query = """
        SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) AS n FROM pg_stat_user_tables
        WHERE relid = 'coin_metrics'::regclass
    """
    return int(one(owner, query)["n"])


def test_nobody_reads_of_an_outcome_what_he_may_not_read_of_the_source(
    bare: Connection, client: Connection, worker: Connection, reader: Connection
) -> None:
    bare.execute("CREATE TABLE secret AS SELECT 'A' AS who, %s AS at, 11 AS price, 1 AS volume", [START])
    bare.execute("CALL ml.add_source('secret', 'secret', key => 'who', moment => 'at')")
    try:
        bare.execute("GRANT SELECT ON secret TO anna")
        fields = HORIZON | {
            "train_source": "secret",
            "train_target_var": "price",
            "train_features_csv": "volume",
        }
        model_id = make_model(client, worker, **fields | {"train_future_minutes": None})
        job_id = record_score(client, worker, model_id, [("A", START, 0.75)])
        query = "SELECT outcome, reason FROM ml_prediction_outcomes WHERE job_id = %s"
        seen = {"outcome": True, "reason": None}
        hidden = {"outcome": None, "reason": "rosa may not read at, price, who of public.secret"}
        assert one(client, query, [job_id]) == seen
        assert one(reader, query, [job_id]) == hidden
        quality = "SELECT num_answers, num_known FROM ml_prediction_quality WHERE model_id = %s"
        assert one(reader, quality, [model_id]) == {"num_answers": 1, "num_known": 0}
        bare.execute("GRANT SELECT (who, at, price) ON secret TO rosa")  # not what the model sees of it
        assert one(reader, query, [job_id]) == seen
        bare.execute("ALTER TABLE secret RENAME price TO value")
        assert one(client, query, [job_id]) == {
            "outcome": None,
            "reason": "secret has no column 'price' any more",
        }
        bare.execute("ALTER TABLE secret RENAME TO gone")
        assert (
            one(client, query, [job_id])["reason"]
            == "public.secret, the relation of the source secret, is gone"
        )
        bare.execute("ALTER TABLE gone RENAME TO secret")
    finally:
        bare.execute("CALL ml.remove_source('secret')")
        bare.execute("DROP TABLE secret")
    assert one(client, query, [job_id]) == {"outcome": None, "reason": "there is no source 'secret'"}


def test_separated_teams_see_their_own_outcomes_alone(make_database: Callable[[], Database]) -> None:
    db = make_database()
    with db.connect("owner") as owner:
        owner.execute(f"CREATE ROLE olaf LOGIN PASSWORD '{PASSWORD}' IN ROLE ml_client")
        try:
            with db.connect("anna") as anna, db.connect("olaf") as olaf, db.connect("wanda") as worker:
                model_id = make_model(anna, worker)
                record_score(anna, worker, model_id, [("A", START, 0.75)])
                assert count(olaf, "ml_prediction_outcomes") == count(olaf, f"ml.outcomes({model_id})") == 1
                owner.execute("CALL ml.separate_teams(true)")
                for relation in ("ml_prediction_outcomes", "ml_prediction_quality"):
                    assert (count(anna, relation), count(olaf, relation)) == (1, 0)
                for call in ("outcomes", "quality"):
                    assert count(anna, f"ml.{call}({model_id})") == 1
                    assert count(olaf, f"ml.{call}({model_id})") == 0
                    with refused("P0002", "no model is named"):
                        olaf.execute(f"SELECT * FROM ml.{call}('{model_id}')".encode())
        finally:
            owner.execute("DROP ROLE olaf")


def test_what_is_wrong_with_a_view_of_the_users_own_is_said_by_its_name(
    bare: Connection, client: Connection, worker: Connection
) -> None:
    put(bare, [("A", START, 0)])
    bare.execute(
        'CREATE VIEW odd AS SELECT mint, "timestamp", 1 / price_close AS price, volume_sol FROM coin_metrics'
    )
    bare.execute("CALL ml.add_source('odd', 'odd', key => 'mint', moment => 'timestamp')")
    bare.execute("GRANT SELECT ON odd TO anna")
    try:
        fields = HORIZON | {"train_source": "odd", "train_target_var": "price"}
        record_score(client, worker, make_model(client, worker, **fields), [("A", START, 0.75)])
        with pytest.raises(psycopg.errors.DivisionByZero) as caught:
            client.execute("SELECT * FROM ml_prediction_outcomes")
        assert "SELECT * FROM public.odd; shows" in str(caught.value.diag.message_hint)
    finally:
        bare.execute("CALL ml.remove_source('odd')")
        bare.execute("DROP VIEW odd")
