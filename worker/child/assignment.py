"""What a job asks for, as plain data: what ``ml_internal.assignment`` tells."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from worker.child.labels import Label

HALF = 0.5  # the threshold of a model that has none of its own


@dataclass(frozen=True)
class Period:
    """Half-open period ``[start, end)``."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class Source:
    """What is learnt from, as ``ml_internal.describe_source`` tells it.

    ``relation``, and of its rows ``m`` the ``key``, the ``moment``, the ``moment_column`` and perhaps the
    ``phase``, are SQL; so is ``bound``, in which ``{}`` stands for the start or the end of a period, and what
    comes out is of the type of the column. ``kind`` is that in ``pg_class.relkind``.
    """

    name: str
    relation: str
    kind: str
    key: str
    moment: str
    moment_column: str
    bound: str
    phase: str | None

    @property
    def is_counted(self) -> bool:
        """Whether the planner knows how many rows there are: of a view it guesses."""
        return self.kind in ("r", "p", "m")


COIN_METRICS = Source(
    name="coin_metrics",
    relation="public.coin_metrics",
    kind="r",
    key="coalesce(m.mint::text, '')",
    moment='m."timestamp"::timestamptz',
    moment_column='m."timestamp"',
    bound="{}",
    phase="m.phase_id_at_time",
)


@dataclass(frozen=True)
class Fewest:
    """What a training needs: labelled rows, rows of either class, and coins to hold out whole ones."""

    rows: int
    of_a_class: int
    coins: int


@dataclass(frozen=True)
class Rule:
    """A feature and a threshold: positive is what lies beyond it, on the side of ``>`` or ``<``."""

    feature: str
    direction: str
    threshold: float


@dataclass(frozen=True)
class Fitted:
    """What is known of the rows that a model was fitted on.

    ``rule`` is the best single feature; None where none tells them apart, and of a model of before version 8,
    which ``is_older``.
    """

    share_positive: float
    rule: Rule | None
    is_older: bool = False


@dataclass(frozen=True)
class Model:
    """What a model predicts, from what, and its file (path, SHA-256 and libraries: None before it is READY).

    ``features`` are columns of the source in the order that the model is fitted on; ``params`` are all
    hyperparameters of its type, name to (kind, value as text). A row is predicted positive where its
    probability is greater than ``threshold``; None where it is still to be chosen, by the rule of the job.
    """

    id: int
    model_type: str
    label: Label
    test_size: float
    random_state: int
    features: tuple[str, ...]
    params: Mapping[str, tuple[str, str]]
    fewest: Fewest
    artifact_path: str | None
    artifact_sha256: str | None
    library_versions: str | None = None
    threshold: float | None = HALF
    fitted: Fitted = Fitted(share_positive=0.0, rule=None, is_older=True)

    @property
    def ready_threshold(self) -> float:
        """The threshold of a model that is READY, so that it has one."""
        return HALF if self.threshold is None else self.threshold


@dataclass(frozen=True)
class Assignment:
    """All that a child needs to do a job.

    ``models`` are those that it makes or uses, in their order; ``request`` has the job's own fields of
    ``ml_jobs``, without the prefix of its kind.
    """

    models: tuple[Model, ...]
    period: Period
    phases: tuple[int, ...] | None
    request: Mapping[str, Any]
    source: Source = COIN_METRICS


def read(told: Mapping[str, Any]) -> Assignment:
    """Read what ``ml_internal.assignment`` tells."""
    return Assignment(
        models=tuple(
            read_model(
                model,
                told["library_versions"].get(str(model["id"])),
                told["thresholds"][str(model["id"])],
                told.get("fitted", {}).get(str(model["id"])),
            )
            for model in told["models"]
        ),
        period=Period(*(datetime.fromisoformat(told[f"period_{side}"]) for side in ("start", "end"))),
        phases=None if told["phases"] is None else tuple(told["phases"]),
        request=told["request"],
        source=Source(**told["source"]),
    )


def read_model(
    told: Mapping[str, Any],
    library_versions: str | None,
    threshold: float | None = HALF,
    fitted: Mapping[str, Any] | None = None,
) -> Model:
    """Read what ``ml_internal.describe_model`` tells."""
    parts: dict[str, Any] = {
        "label": Label(**told["label"]),
        "features": tuple(told["features"]),
        "params": {name: tuple(param) for name, param in told["params"].items()},
        "fewest": Fewest(**told["fewest"]),
        "library_versions": library_versions,
        "threshold": threshold,
    }
    if fitted:
        rule = fitted["rule"] and Rule(**fitted["rule"])
        parts["fitted"] = Fitted(fitted["share_positive"], rule, fitted["is_older"])
    return Model(**{**told, **parts})
