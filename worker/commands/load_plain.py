"""Whether lines are plain: no field of them can be read in two ways."""

import csv
import io
import warnings
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd

from worker.commands.load_fields import Kind, is_plain, shapes


def are_plain(text: str, delimiter: str, kinds: Sequence[Kind], key: Collection[int]) -> bool:
    """Whether PostgreSQL can take these lines as they are.

    Args:
        text: lines without quotes, backslashes and carriage returns.
        delimiter: what separates their fields.
        kinds: of the columns.
        key: places of the columns that may not be empty.
    """
    # Numbers are read as such, and all else as the few different texts that there are.
    types = {
        place: {"number": "float64", "moment": "str", "local moment": "str"}.get(kind, "category")
        for place, kind in enumerate(kinds)
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a line is too long
            frame = pd.read_csv(
                io.BytesIO(text.encode()),
                sep=delimiter,
                header=None,
                names=list(types),
                dtype=types,
                index_col=False,
                keep_default_na=False,
                na_values=[""],
                skip_blank_lines=False,
                quoting=csv.QUOTE_NONE,
                low_memory=False,
            )
    except ValueError:  # a number is none, or a line too long
        return False
    if len(frame) != text.count("\n"):
        return False
    return all(
        not (place in key and frame[place].hasnans) and _is_plain(frame[place], kind)
        for place, kind in enumerate(kinds)
    )


def _is_plain(column: "pd.Series[Any]", kind: Kind) -> bool:
    if kind == "number":
        return not np.isinf(column.to_numpy()).any()
    if not isinstance(column.dtype, pd.CategoricalDtype):
        return is_plain(kind, shapes(column.fillna("").tolist()))
    texts = column.cat.categories
    if texts.dtype.kind in "iu":  # pandas has made numbers of them: of 007, too
        return kind in ("whole", "truth")
    return is_plain(kind, shapes(texts.astype(str).tolist()))
