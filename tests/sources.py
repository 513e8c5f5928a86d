"""The rows of ``coin_metrics`` through other sources: tables with a text key, a number and none, and a view.

Each has other names for the key, the moment and the phase, and another type of moment. Equal numbers are
written in several ways, and numbers are in the order of the coins.
"""

from typing import Any

from psycopg import sql

from tests.conftest import Connection
from worker.child.assignment import Source

KEYED = ("by_text", "by_number", "by_view")
ALONE = "alone"

_KEYS = {
    "by_text": "mint::text",
    "by_number": """round(
        100000.5 + dense_rank() OVER (ORDER BY mint COLLATE "C"),
        1 + (row_number() OVER (ORDER BY "timestamp"))::integer % 3
    )""",
    ALONE: "0",
}
_MOMENTS = {"by_text": """"timestamp" AT TIME ZONE 'UTC'""", "by_number": '"timestamp"', ALONE: '"timestamp"'}


def add_copies(owner: Connection, *, follow: bool = True) -> None:
    """Make the sources; with ``follow`` they have the rows that coin_metrics has at any time.

    Else ``SELECT copy_rows()`` copies them.
    """
    columns = sql.SQL(", ").join(
        sql.Identifier(row["column_name"])
        for row in owner.execute(
            """
            SELECT column_name FROM ml_metric_columns
            WHERE source = 'coin_metrics' AND column_name NOT IN ('mint', 'timestamp', 'phase_id_at_time')
            """
        )
    )
    queries = {
        name: sql.SQL(
            "SELECT {} AS account, {} AS at, phase_id_at_time::smallint AS stage, {} FROM public.coin_metrics"
        ).format(sql.SQL(key), sql.SQL(_MOMENTS[name]), columns)
        for name, key in _KEYS.items()
    }
    statements = [
        sql.SQL("DELETE FROM public.{0}; INSERT INTO public.{0} {1}").format(sql.Identifier(name), query)
        for name, query in queries.items()
    ]
    for name, query in queries.items():
        owner.execute(sql.SQL("CREATE TABLE {} AS {}").format(sql.Identifier(name), query))
        owner.execute(sql.SQL("CREATE INDEX ON {} (at)").format(sql.Identifier(name)))
    owner.execute("CREATE VIEW by_view AS SELECT * FROM by_text")
    owner.execute(
        sql.SQL("CREATE FUNCTION copy_rows() RETURNS void LANGUAGE plpgsql AS $$ BEGIN {}; END $$").format(
            sql.SQL("; ").join(statements)
        )
    )
    if follow:
        owner.execute(
            "CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN PERFORM public.copy_rows(); RETURN NULL; END $$"
        )
        owner.execute(
            "CREATE TRIGGER follow AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON coin_metrics"
            " EXECUTE FUNCTION follow()"
        )
    for name in KEYED:
        owner.execute(f"CALL ml.add_source('{name}', '{name}', 'account', 'at', 'stage')".encode())
    owner.execute(f"CALL ml.add_source('{ALONE}', '{ALONE}', moment => 'at', phase => 'stage')".encode())


def described(connection: Any, name: str) -> Source:
    """How a source is read."""
    row = connection.execute("SELECT ml_internal.describe_source(%s) AS told", [name]).fetchone()
    return Source(**(row["told"] if isinstance(row, dict) else row[0]))
