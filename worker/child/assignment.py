"""What a job asks for, as plain data."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from worker.protocol import Job


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
