"""Kinds of label: a module each, found by its name, which is that in ``ref_labels``.

Other distributions add kinds by the entry point group ``ml_worker.labels``.
"""

from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from worker.child import modules
from worker.child.labels._shared import UNLABELLED, Label, Rows, Says, compare, one_horizon_ago
from worker.errors import JobError

GROUP = "ml_worker.labels"

__all__ = ["UNLABELLED", "Kind", "Label", "Rows", "apply", "compare", "load", "names", "preload"]


class Kind(Protocol):
    """What a module of this package offers.

    There may also be ``PERSISTS``, what a forecast repeats that takes the future to be like the past:
    ``state``, whether the row's own target meets the condition now, or ``label``, that of one horizon ago.

    Attributes:
        COMPARED_BY_SERVER: each row arrives with what the server says of its target, and without numbers.
        BYTES: about what reading the labels takes for each row of a coin that has many.
        CERTAIN: operators for which a positive answer stands, whatever the rest of the window holds.
    """

    COMPARED_BY_SERVER: bool
    BYTES: int
    CERTAIN: frozenset[str]

    def read(self, label: Label, rows: Rows, /) -> Says:
        """What each row's window says: 1, 0, or -1 where it holds no value of the target."""


def names() -> frozenset[str]:
    """The kinds of label that this worker knows."""
    return modules.names(__name__, GROUP)


def load(kind: str) -> Kind:
    """Import a kind of label.

    Raises:
        JobError: this worker has none of that name.
    """
    module = modules.load(__name__, GROUP, kind)
    if module is None:
        raise JobError(f"this worker has no kind of label {kind}, only {', '.join(sorted(names()))}")
    return cast(Kind, module)


def preload() -> None:
    """Import all kinds that come with the worker."""
    for name in modules.own(__name__):
        load(name)


def persists(label: Label) -> str | None:
    """What persistence repeats, see :class:`Kind`; None where there is no such forecast."""
    return None if label.future_minutes is None else getattr(load(label.kind), "PERSISTS", None)


def apply(label: Label, rows: Rows, is_cut: NDArray[Any]) -> tuple[Says, NDArray[np.bool_], Says | None]:
    """Labels of rows (1, 0, or -1 where there is none), which windows are covered, and what persistence says.

    A window is covered if its coin has a row between one and two horizons later. Where it is not, what the
    rest of it holds is unknown: the row is left out, or taken as negative where the label says so; a positive
    answer that is certain stands then. ``is_cut`` are rows whose window reaches past the period: nobody knows
    whether their coin went on, so they are left out in any case.

    Persistence says 1, 0, or -1 where it knows nothing; None where there is no such forecast. It looks at
    nothing that is later than its row.
    """
    kind = load(label.kind)
    says = kind.read(label, rows)
    is_covered = rows.is_covered
    uncovered = np.full(len(says), UNLABELLED)
    if label.uncovered == "negative":
        stands = (says == 1) & (label.operator in kind.CERTAIN)
        uncovered[~is_cut] = stands[~is_cut]
    labels = np.where(is_covered, says, uncovered)
    if not kind.COMPARED_BY_SERVER:
        labels[np.isnan(rows.goals)] = UNLABELLED
    match persists(label):
        case "state":
            return labels, is_covered, rows.says
        case "label":
            return labels, is_covered, one_horizon_ago(rows, labels)
    return labels, is_covered, None
