"""What a supervisor and a child say to each other, one JSON line each. No ML is imported here.

The child says that it is :class:`Ready`; the supervisor gives one :class:`Order`; the child answers with some
:class:`Progress` and one outcome.
"""

import json
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Job:
    """A claimed job: ``(id, attempt)`` is the fence that every later call carries.

    ``waited`` is the time in seconds from its INSERT to this claim; ``max_minutes`` the time from this claim
    after which the database ends the job as FAILED, when a worker asks.
    """

    id: int
    attempt: int
    job_type: str
    waited: float = 0.0
    max_minutes: float | None = None


@dataclass(frozen=True)
class Order:
    """What a supervisor tells a child: the job, where models are, and how many share the machine's cores.

    ``model_dir`` is the folder of the database, within that of all model files.
    ``token`` is in the name of every file that this attempt writes, so that whoever survives can find them.
    ``has_changed`` says that the supervisor has connected anew since the child was started: the child's own
    connection, made before it had a job, may lead to a server that is none any more.
    ``assignment`` is what ``ml_internal.assignment`` tells of the job, for which the first call of a session
    takes ten times as long. None where the supervisor could not ask: then the child does.
    """

    job: Job
    model_dir: str
    token: str
    concurrency: int
    has_changed: bool
    assignment: dict[str, Any] | None = None


@dataclass(frozen=True)
class Ready:
    """The child is connected and waits for its order.

    ``writing`` are the types of job that write into the folder of the models.
    """

    writing: list[str]


@dataclass(frozen=True)
class Progress:
    """How far the attempt is, as a share and in words."""

    share: float
    message: str


@dataclass(frozen=True)
class Completed:
    """The attempt gave a result, as plain numbers by name."""

    result: dict[str, Any]


@dataclass(frozen=True)
class Recorded:
    """The attempt gave a result, and has recorded it itself: it was too large to be handed over."""

    result_id: int


@dataclass(frozen=True)
class Failed:
    """The job cannot succeed: it would fail again."""

    message: str


@dataclass(frozen=True)
class Lost:
    """The attempt died or could not go on; another may succeed."""

    message: str


@dataclass(frozen=True)
class Released:
    """The job was given back unharmed; only a supervisor says so, of its own accord."""

    message: str


Lack = Literal["connection", "folder", "memory", "machine"]


@dataclass(frozen=True)
class Unable:
    """The worker lacks something now, for which no job is to blame: it is given back unharmed.

    ``num_bytes`` is what would have been needed of memory or in the folder, 0 where nobody knows.
    """

    lack: Lack
    message: str
    num_bytes: int = 0


Outcome = Completed | Recorded | Failed | Lost | Released | Unable
Message = Ready | Progress | Outcome

_MESSAGES = {
    kind.__name__: kind for kind in (Ready, Progress, Completed, Recorded, Failed, Lost, Released, Unable)
}


def to_line(said: Order | Message) -> bytes:
    """Write an order or a message as a line."""
    # Not by asdict, which would copy all of a result first.
    return json.dumps({type(said).__name__: said}, default=vars).encode() + b"\n"


def read_order(line: bytes) -> Order:
    """Read what :func:`to_line` made of an order."""
    fields = json.loads(line)[Order.__name__]
    return Order(**fields | {"job": Job(**fields["job"])})


def read_message(line: bytes) -> Message:
    """Read what :func:`to_line` made of a message."""
    ((name, fields),) = json.loads(line).items()
    return _MESSAGES[name](**fields)
