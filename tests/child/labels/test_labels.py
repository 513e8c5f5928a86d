"""Every kind of label against brute force, over irregular, tied and gapped series of several coins.

By way of the database: the worker's labels, and the same counts by ml.preview.
"""

import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests import sources
from tests.conftest import Connection, Database, one
from worker.child import dataset
from worker.child.assignment import Period
from worker.child.labels import Label, Rows, apply, load, names
from worker.database.connection import Connection as Loading
from worker.database.connection import connect
from worker.database.dataset import stream_dataset

START = datetime(2024, 1, 1, 12, tzinfo=UTC)
CHANGES = ("change", "highest_change", "lowest_change", "first_touch")
Number = Fraction | float  # a float: infinite
OPERATORS: dict[str, Callable[[Number, Number], bool]] = {
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}

Row = tuple[str, int, int, Decimal | None, Decimal | None]  # coin, second, phase, target, base
# Columns that a target may be in, and what they hold of a number.
COLUMNS: dict[str, Callable[[Decimal], Decimal | None]] = {
    "price_close": lambda value: value,
    "as_float": lambda value: value,
    "num_buys": lambda value: Decimal(round(value)) if abs(value) < 2**31 else None,
    "is_koth": lambda value: Decimal(value >= 1),
}


def number(value: Decimal) -> Number:
    return Fraction(value) if value.is_finite() else float(value)


def changed(base: Decimal | None, percent: Decimal) -> Fraction | None:
    if base is None or not 0 < base < math.inf:
        return None
    return Fraction(base) * (100 + Fraction(percent)) / 100


def brute(row: Row, rows: list[Row], label: Label, end: int) -> tuple[int, bool, bool]:
    """By the definition: label of a row (1, 0 or -1), whether it has no base, whether its window is open."""
    coin, moment, _, target, base = row
    if label.base == label.target:
        base = target
    horizon = 60 * (label.future_minutes or 0)
    value = Decimal(label.value)
    goal = changed(base, value) if label.base else Fraction(value)
    if goal is None:
        return -1, True, False
    compare = OPERATORS[label.operator]
    if not horizon:
        return (-1 if target is None else int(compare(number(target), goal))), False, False
    own = [other for other in rows if other[0] == coin]
    ahead = [other for other in own if moment + horizon <= other[1] <= moment + 2 * horizon]
    path = [other for other in own if moment < other[1] <= moment + horizon and other[3] is not None]
    says = judge(label, compare, goal, base, ahead, path)
    if ahead:
        return (-1 if says is None else int(says)), False, False
    if label.uncovered == "leave_out" or moment + 2 * horizon >= end:
        return -1, False, True
    is_certain = label.operator in {
        "highest": (">", ">="),
        "highest_change": (">", ">="),
        "lowest": ("<", "<="),
        "lowest_change": ("<", "<="),
        "first_touch": (">=", "<="),
    }.get(label.kind, ())
    return int(bool(says) and is_certain), False, True


def judge(
    label: Label,
    compare: Callable[[Number, Number], bool],
    goal: Fraction,
    base: Decimal | None,
    ahead: list[Row],
    path: list[Row],
) -> bool | None:
    if label.kind in ("value", "change"):
        first = [other[3] for other in ahead if other[1] == min(later[1] for later in ahead)]
        known = [number(target) for target in first if target is not None]
        if not known:
            return None
        if label.kind == "value":
            return all(compare(target, goal) for target in known)
        return compare(max(known) if label.operator.startswith("<") else min(known), goal)
    targets = [number(other[3] or Decimal(0)) for other in path]
    if not targets:
        return None
    if label.kind.startswith("highest"):
        return compare(max(targets), goal)
    if label.kind.startswith("lowest"):
        return compare(min(targets), goal)
    stop = changed(base, Decimal(label.stop_value or 0))
    assert stop is not None
    above = OPERATORS[">="]
    up, down = (goal, stop) if goal > stop else (stop, goal)
    for moment in sorted({other[1] for other in path}):
        here = [number(other[3] or Decimal(0)) for other in path if other[1] == moment]
        touches_up, touches_down = any(above(x, up) for x in here), any(above(down, x) for x in here)
        if touches_up or touches_down:
            return (touches_up and not touches_down) if goal > stop else (touches_down and not touches_up)
    return False


def brute_persistence(row: Row, rows: list[Row], label: Label, end: int) -> set[int] | None:
    """By the definition: what persistence may say of a row (1, 0 or -1); None where there is none.

    It sees no row that is later. Several rows may have been there at one moment.
    """
    coin, now, _, target, _ = row
    if label.future_minutes is None:
        return None
    if label.kind == "value":
        return {
            -1 if target is None else int(OPERATORS[label.operator](number(target), Fraction(label.value)))
        }
    known = [other for other in rows if other[1] <= now]
    ago = now - 60 * label.future_minutes
    before = [other for other in known if other[0] == coin and other[1] <= ago]
    last = [other for other in before if other[1] == max(each[1] for each in before)]
    said = [brute(other, known, label, end) for other in last]
    return {-1 if is_open else says for says, _, is_open in said} or {-1}


values = st.one_of(
    st.none(),
    st.sampled_from(["0", "-1", "NaN", "1", "1.3", "0.7", "10", "13", "7"]).map(Decimal),
    st.sampled_from(["Infinity", "-Infinity", "1e300", "1.3e300", "123456789e-20", "1604938257e-21"]).map(
        Decimal
    ),
).map(lambda found: None if found is None or found.is_nan() else found)
rows_of = st.lists(
    st.tuples(
        st.sampled_from("AB"), st.integers(0, 40).map(lambda n: 30 * n), st.integers(1, 2), values, values
    ),
    min_size=1,
    max_size=40,
)


@st.composite
def labels(draw: st.DrawFn, kind: str) -> Label:
    operator = draw(st.sampled_from([*OPERATORS]))
    value = draw(st.sampled_from(["30", "-30", "0", "10"] if kind in CHANGES else ["1", "1.3", "10", "0"]))
    if kind == "first_touch":
        value = draw(st.sampled_from(["30", "-30"]))
        operator = ">=" if value == "30" else "<="
    minutes = draw(st.sampled_from([1, 2, 5]))
    target = draw(st.sampled_from(sorted(COLUMNS)))
    if kind == "value" and draw(st.booleans()):
        return Label(target, operator, value, None)
    return Label(
        target,
        operator,
        value,
        minutes,
        kind,
        base=draw(st.sampled_from([target, "price_open"])) if kind in CHANGES else None,
        stop_value=draw(st.sampled_from(["-30", "-90"] if value == "30" else ["30", "5"]))
        if kind == "first_touch"
        else None,
        uncovered=draw(st.sampled_from(["leave_out", "negative"])),
    )


@pytest.fixture(scope="module")
def series(make_database: Callable[[], Database]) -> Iterator[tuple[Connection, Loading]]:
    """The owner's connection and a worker's, of a database without rows."""
    db = make_database()
    with db.connect("owner") as owner, connect(db.login("wanda"), role="ml_worker") as worker:
        owner.execute(
            "ALTER TABLE coin_metrics DROP CONSTRAINT coin_metrics_pkey"
        )  # several rows at one moment
        owner.execute("ALTER TABLE coin_metrics ADD COLUMN as_float double precision")
        sources.add_copies(owner, follow=False)
        yield owner, worker


def fill(owner: Connection, rows: list[Row], column: str) -> None:
    owner.execute("TRUNCATE coin_metrics")
    with owner.cursor() as cursor:
        cursor.executemany(
            f"""
            INSERT INTO coin_metrics (mint, "timestamp", phase_id_at_time, {column}, price_open, volume_sol)
            VALUES (%s, %s, %s, %s{"::integer::boolean" if column == "is_koth" else ""}, %s, 1)
            """.encode(),
            [(coin, START + timedelta(seconds=second), *rest) for coin, second, *rest in rows],
        )
    owner.execute("SELECT copy_rows()")


def counted(
    owner: Connection, label: Label, end: datetime, phases: str | None, source: str
) -> dict[str, Any]:
    """The same by ml.preview's own counts."""
    return one(
        owner,
        """
        SELECT c.num_rows, c.num_labelled, c.num_positive, c.num_without_base, c.num_uncovered
        FROM ml_internal.count_rows(
            jsonb_populate_record(NULL::public.ml_models, jsonb_build_object(
                'label', %s::text, 'target_variable', %s::text, 'target_operator', %s::text,
                'target_value', %s::text, 'future_minutes', %s::integer, 'base_variable', %s::text,
                'stop_value', %s::text, 'uncovered', %s::text, 'source', %s::text
            )), '{volume_sol}', %s, %s, %s
        ) c
        """,
        [
            *(label.kind, label.target, label.operator, str(label.value), label.future_minutes, label.base),
            *(
                None if label.stop_value is None else str(label.stop_value),
                label.uncovered,
                source,
                phases,
                START,
                end,
            ),
        ],
    )


@pytest.mark.parametrize("kind", sorted(names()))
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
)
@given(data=st.data())
def test_labels_are_those_of_the_definition(
    series: tuple[Connection, Loading], kind: str, data: st.DataObject
) -> None:
    owner, worker = series
    label = data.draw(labels(kind))
    held = COLUMNS[label.target]
    rows: list[Row] = [
        (*row[:3], None if row[3] is None else held(row[3]), row[4]) for row in data.draw(rows_of)
    ]
    phases = data.draw(st.sampled_from([None, (1,)]))
    end = data.draw(st.sampled_from([600, 1230]))
    fill(owner, rows, label.target)
    source = data.draw(st.sampled_from(["coin_metrics", *sources.KEYED, sources.ALONE]))
    if source == sources.ALONE:
        rows = [("all are one", second, phase, target, base) for _, second, phase, target, base in rows]
    period = Period(START, START + timedelta(seconds=end))
    inside = [row for row in rows if row[1] < end]
    found = [(row, *brute(row, inside, label, end)) for row in inside if phases is None or row[2] in phases]
    labelled = [said for _, said, _, _ in found if said >= 0]
    expected = {
        "num_rows": len(found),
        "num_labelled": len(labelled),
        "num_positive": sum(labelled),
        "num_without_base": sum(no_base for _, _, no_base, _ in found),
        "num_uncovered": sum(is_open for _, _, _, is_open in found),
    }
    assert counted(owner, label, period.end, None if phases is None else "1", source) == expected

    told = sources.described(owner, source)
    stream = stream_dataset([worker], label, ("volume_sol",), period, phases, source=told)
    if not labelled:
        return
    loaded = dataset.decode(stream, ("volume_sol",), label, lambda _rows: None)
    assert loaded.without_label == {
        "num_unlabelled": len(found) - len(labelled),
        "num_without_base": expected["num_without_base"],
        "num_uncovered": expected["num_uncovered"],
    }
    coins = sorted({row[0] for row, said, _, _ in found if said >= 0})
    numbers = np.unique(loaded.coins, return_inverse=True)[1]
    microseconds = (START - datetime(2000, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert sorted(
        (coins[number], (int(time) - microseconds) // 1_000_000, int(said))
        for number, time, said in zip(numbers, loaded.times, loaded.labels, strict=True)
    ) == sorted((row[0], row[1], said) for row, said, _, _ in found if said >= 0)

    expected_of = [
        (row[:2], brute_persistence(row, inside, label, end)) for row, said, _, _ in found if said >= 0
    ]
    if label.future_minutes is None:
        assert len(loaded.persistence) == 0
        return
    may_say: dict[tuple[str, int], set[int]] = {}
    for place, said_of in expected_of:
        may_say.setdefault(place, set()).update(said_of or ())
    for number, time, says in zip(numbers, loaded.times, loaded.persistence, strict=True):
        assert int(says) in may_say[coins[number], (int(time) - microseconds) // 1_000_000]


@pytest.mark.parametrize("kind", sorted(names()))
def test_persistence_of_a_row_is_the_same_whatever_comes_after_it(kind: str) -> None:
    rng = np.random.default_rng(3)
    num, minutes = 400, 5
    times = (
        np.concatenate([np.sort(rng.integers(0, 7_200, num // 2)) + far for far in (0, 100_000)]) * 1_000_000
    )
    targets, bases = rng.lognormal(size=(2, num))
    targets[rng.random(num) < 0.1] = np.nan
    operator = "<" if kind.startswith("lowest") else ">=" if kind == "first_touch" else ">"
    label = Label("x", operator, "1", minutes, kind, uncovered="leave_out")

    def persistence(target: np.ndarray, base: np.ndarray) -> np.ndarray:
        says = np.where(np.isnan(target), -1, target > 1).astype(np.int8)
        rows = Rows(times, says, target, base, base / 4, label.horizon)
        found = apply(label, rows, np.zeros(num, bool))[2]
        assert found is not None
        return found

    whole = persistence(targets, bases)
    assert set(whole.tolist()) == {-1, 0, 1}
    for row in rng.integers(0, num, 30).tolist():
        is_later = (times > times[row]) & (np.arange(num) < (num // 2 if row < num // 2 else num))
        others = [np.where(is_later, rng.lognormal(size=num), values) for values in (targets, bases)]
        same = times == times[row]
        assert (persistence(*others)[same] == whole[same]).all()
    if kind != "value":  # nothing is known of the first horizon of a coin
        for coin in (slice(num // 2), slice(num // 2, None)):
            is_first = times[coin] < times[coin].min() + label.horizon
            assert (whole[coin][is_first] == -1).all()


def test_every_kind_reads_windows_of_any_length_alike() -> None:
    """Windows of one row, and of thousands: blocks of all lengths are looked at."""
    rng = np.random.default_rng(1)
    times = np.cumsum(rng.integers(1, 60_000_000, 3_000))
    targets = rng.normal(size=3_000)
    targets[rng.random(3_000) < 0.3] = np.nan
    goals, stops = rng.normal(size=3_000), rng.normal(size=3_000) - 3
    for minutes in (1, 30, 5_000):
        rows = Rows(times, np.zeros(0, np.int8), targets, goals, stops, minutes * 60_000_000)
        for kind in ("highest", "lowest", "first_touch"):
            label = Label("x", ">=", "1", minutes, kind)
            said = load(kind).read(label, rows)
            for row in rng.integers(0, 3_000, 200).tolist():
                window = (times > times[row]) & (times <= times[row] + rows.horizon)
                values = targets[window & ~np.isnan(targets)]
                if not len(values):
                    assert said[row] == -1
                elif kind == "first_touch":
                    up = np.flatnonzero(values >= goals[row])
                    down = np.flatnonzero(values <= stops[row])
                    assert said[row] == (len(up) > 0 and (not len(down) or up[0] < down[0]))
                else:
                    extreme = values.max() if kind == "highest" else values.min()
                    assert said[row] == (extreme >= goals[row])
