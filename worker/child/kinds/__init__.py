"""Kinds of job: a module each, found by its name, which is the job type in lower case.

Other distributions add kinds by the entry point group ``ml_worker.kinds``. Importing this package imports
none of them, and no ML.
"""

from typing import TYPE_CHECKING, Protocol, cast

from worker.child import modules
from worker.errors import JobError

if TYPE_CHECKING:
    from worker.child.task import Result, Task
    from worker.protocol import Recorded

GROUP = "ml_worker.kinds"


class Kind(Protocol):
    """What a module of this package offers.

    Where it writes into the folder of the models there is also ``WRITES = True``.
    """

    def run(self, task: "Task", /) -> "Result | Recorded":
        """Do the job; returns its result as plain numbers, or says that it has recorded it.

        Raises:
            JobError: the job cannot succeed.
        """


def names() -> frozenset[str]:
    """The job types that this worker can do."""
    return frozenset(name.upper() for name in modules.names(__name__, GROUP))


def load(job_type: str) -> Kind:
    """Import a kind.

    Raises:
        JobError: this worker has none of that name.
    """
    module = modules.load(__name__, GROUP, job_type.lower())
    if module is None:
        raise JobError(f"this worker does no jobs of type {job_type}, only {', '.join(sorted(names()))}")
    return cast(Kind, module)


def preload() -> None:
    """Import all kinds that come with the worker."""
    for name in modules.own(__name__):
        load(name)


def writing() -> list[str]:
    """The job types that come with the worker and write into the folder of the models. Imports them all."""
    own = sorted(name.upper() for name in modules.own(__name__))
    return [name for name in own if getattr(load(name), "WRITES", False)]
