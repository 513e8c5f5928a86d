"""What is known of the fits of models, and a few rows of a source with their target."""

from collections.abc import Sequence
from typing import Any, LiteralString

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql

from worker.child.assignment import Period, Source
from worker.child.feature_stats import Bins
from worker.database.connection import Connection
from worker.database.dataset import is_within, relation_of

_STATS: LiteralString = """
    SELECT r.model_id, s.feature,
        ARRAY[s.d1, s.d2, s.d3, s.d4, s.d5, s.d6, s.d7, s.d8, s.d9],
        ARRAY[s.n0, s.n1, s.n2, s.n3, s.n4, s.n5, s.n6, s.n7, s.n8, s.n9, s.n_null]
    FROM public.ml_training_runs r
    JOIN public.ml_feature_stats s ON s.job_id = r.job_id
    WHERE r.model_id = ANY (%s::bigint[])
"""
_COINS: LiteralString = """
    SELECT r.model_id, c.keys
    FROM public.ml_training_runs r
    JOIN public.ml_fitted_coins c ON c.job_id = r.job_id
    WHERE r.model_id = ANY (%s::bigint[])
"""


def feature_bins(connection: Connection, model_ids: Sequence[int]) -> dict[int, dict[str, Bins]]:
    """How the features of each model's fit were distributed; nothing of models of before version 8."""
    found: dict[int, dict[str, Bins]] = {model_id: {} for model_id in model_ids}
    for model_id, feature, deciles, counts in connection.execute(_STATS, [list(model_ids)]):
        found[model_id][feature] = Bins(None if None in deciles else tuple(deciles), tuple(counts))
    return found


def fitted_coins(connection: Connection, model_ids: Sequence[int]) -> dict[int, frozenset[bytes]]:
    """Names of the coins that each model was fitted on; no model of before version 8 is among them."""
    rows = connection.execute(_COINS, [list(model_ids)])
    return {model_id: frozenset(key.encode() for key in keys) for model_id, keys in rows}


def rows_with_target(
    connection: Connection,
    named: Sequence[str],
    period: Period,
    phases: Sequence[int] | None,
    source: Source,
    *,
    most: int,
) -> NDArray[np.float64] | None:
    """Columns of some rows, the target and the features, shape (columns, rows); NaN is NULL.

    None where they cannot be read so, as numbers that no double holds.
    """
    relation = relation_of(source)
    fields = sql.SQL(", ").join(map(sql.Identifier, named))
    try:
        with connection.cursor(binary=True) as cursor:
            cursor.execute(sql.SQL("SELECT {} FROM {} LIMIT 0").format(fields, relation))
            types = [column.type_code for column in cursor.description or []]
            is_bool = [info is not None and info.name == "bool" for info in map(_info(connection), types)]
            casts = [sql.SQL("::integer::float8" if yes else "::float8") for yes in is_bool]
            numbers = sql.SQL(", ").join(
                sql.SQL("m.{}{}").format(sql.Identifier(name), cast)
                for name, cast in zip(named, casts, strict=True)
            )
            query = sql.SQL("SELECT {} FROM {} m WHERE {} LIMIT {}").format(
                numbers, relation, is_within(period, phases, source), most
            )
            rows = cursor.execute(query).fetchall()
    except psycopg.DataError:
        return None
    return np.array(rows, np.float64).reshape(len(rows), len(named)).T


def _info(connection: Connection) -> Any:
    return connection.adapters.types.get
