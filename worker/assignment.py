"""What a worker is asked to do, as plain data."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

OTHER_PHASE = 4  # what a target says in a row of another phase is sent less by this


@dataclass(frozen=True)
class Job:
    """A claimed job: ``(id, attempt)`` is the fence that every later call carries.

    ``waited`` is the time in seconds from its INSERT to this claim.
    """

    id: int
    attempt: int
    job_type: str
    waited: float = 0.0


@dataclass(frozen=True)
class Order:
    """What a supervisor tells a child: the job, where the models are, and how many share the machine's cores.

    ``token`` is in the name of every file that this attempt writes, so that whoever survives can find them.
    ``has_changed`` says that the supervisor has connected anew since the child was started: the child's own
    connection, made before it had a job, may lead to a server that is none any more.
    """

    job: Job
    model_dir: str
    token: str
    concurrency: int
    has_changed: bool


@dataclass(frozen=True)
class Period:
    """Half-open period ``[start, end)``."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class Model:
    """What a model predicts, from what, and its file (path and SHA-256 are None before it is READY)."""

    id: int
    model_type: str
    target_variable: str
    target_operator: str
    target_value: Decimal
    future_minutes: int | None
    train_start: datetime
    train_end: datetime
    test_size: float
    random_state: int
    features_csv: str
    phases_csv: str | None
    artifact_path: str | None
    artifact_sha256: str | None

    @property
    def features(self) -> tuple[str, ...]:
        """Columns of ``coin_metrics`` in the order that the model was fitted on."""
        return tuple(self.features_csv.split(","))


@dataclass(frozen=True)
class Assignment:
    """All that a child needs to do a job: a TRAIN or TEST has one model, a COMPARE two."""

    job: Job
    models: tuple[Model, ...]
    period: Period
    phases: tuple[int, ...] | None
