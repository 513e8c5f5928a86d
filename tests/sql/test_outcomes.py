"""Was it right: what became of the rows that a model answered for, and what the answers were worth."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

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
from tests.conftest import TRAIN, TRAINING_RESULT, Connection, Database, insert_job, job_row, one, record
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
    claimed = one(worker, "SELECT * FROM ml_internal.claim_job('w1', '30 seconds', '{TRAIN,TEST,SCORE,+sources}')")
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
    keys, moments, probabilities = zip(*answers, strict=True)
    with worker.transaction():
        worker.execute(
            "SELECT ml_internal.store_predictions(%s, %s, %s, %s, %s, %s)",
            [
                *(job_id, claimed["attempt"], list(keys), list(range(1, len(keys) + 1))),
                *(list(moments), list(probabilities)),
            ],
        )
        worker.execute(
            "SELECT ml_internal.record_result(%s, %s, %s)",
            [
                *(job_id, claimed["attempt"]),
                Jsonb({"data_fingerprint": "c" * 64, "seconds_loading": 0.1, "seconds_scoring": 0.2}),
            ],
        )
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

    # What the worker says of a period that ends long after; it takes the end of the data for the end of the coins.
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
