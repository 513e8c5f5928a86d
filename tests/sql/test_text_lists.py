"""Text lists read as rows, hyperparameters merged, and names suggested for a typo."""

import pytest

from tests.conftest import Connection, one

METRICS = ["price_open", "price_high", "price_low", "market_cap_close", "volume_sol", "buy_volume_sol"]


@pytest.mark.parametrize(
    ("csv", "items"),
    [
        ("a", ["a"]),
        ("a,b,c", ["a", "b", "c"]),
        (" a , b ", ["a", "b"]),
        ("a,,b", ["a", "", "b"]),
        ("", []),
        (None, []),
        ("größe,市值", ["größe", "市值"]),
    ],
)
def test_a_list_reads_as_rows_in_order(owner: Connection, csv: str | None, items: list[str]) -> None:
    rows = owner.execute("SELECT * FROM ml_internal.list_items(%s)", [csv]).fetchall()
    assert [(row["item"], row["place"]) for row in rows] == list(zip(items, range(1, 100), strict=False))


@pytest.mark.parametrize(
    ("csv", "items"),
    [
        ("a=1", [("a=1", "a", "1")]),
        ("a=1;b=x,y", [("a=1", "a", "1"), ("b=x,y", "b", "x,y")]),
        (" a = 1 ; b = 2 ", [("a = 1", "a", "1"), ("b = 2", "b", "2")]),
        ("a", [("a", None, None)]),
        ("a=", [("a=", "a", "")]),
        ("=1", [("=1", "", "1")]),
        ("a=b=c", [("a=b=c", "a", "b=c")]),
        ("a=1;", [("a=1", "a", "1"), ("", None, None)]),
        (None, []),
    ],
)
def test_hyperparameters_read_as_rows_in_order(
    owner: Connection, csv: str | None, items: list[tuple[str, str | None, str | None]]
) -> None:
    rows = owner.execute("SELECT item, name, value FROM ml_internal.param_items(%s) ORDER BY place", [csv])
    assert [tuple(row.values()) for row in rows] == items


@pytest.mark.parametrize(
    ("defaults", "own", "merged"),
    [
        ("a=1;b=2", None, "a=1;b=2"),
        ("a=1;b=2", "b=3", "a=1;b=3"),
        ("a=1;b=2", "c=3", "a=1;b=2;c=3"),
        ("a=1;b=2", "d=4;c=3;a=0", "a=0;b=2;d=4;c=3"),
        ("layers=100,50", "layers=7", "layers=7"),
    ],
)
def test_own_hyperparameters_go_on_top_of_the_defaults(
    owner: Connection, defaults: str, own: str | None, merged: str
) -> None:
    assert one(owner, "SELECT ml_internal.merge_params(%s, %s) AS m", [defaults, own])["m"] == merged


@pytest.mark.parametrize(
    ("unknown", "hint"),
    [
        ("price_opn", "Did you mean price_open"),
        ("PRICE_OPEN", "Did you mean price_open"),
        ("market_cap", "Did you mean market_cap_close?"),
        ("volume", "Did you mean volume_sol"),
        ("xyz", "Allowed: price_open, price_high, price_low, market_cap_close, volume_sol, buy_volume_sol."),
        ("", "Allowed: price_open, "),
        ("x", "Allowed: price_open, "),
        ("市值", "Allowed: price_open, "),
    ],
)
def test_a_hint_has_near_names_or_all(owner: Connection, unknown: str, hint: str) -> None:
    assert one(owner, "SELECT ml_internal.suggest_names(%s, %s) AS h", [unknown, METRICS])["h"].startswith(
        hint
    )


def test_a_hint_has_at_most_three_names(owner: Connection) -> None:
    names = [f"price_{number}" for number in range(20)]
    hint = one(owner, "SELECT ml_internal.suggest_names('price_x', %s) AS h", [names])["h"]
    assert hint.count("price_") == 3
