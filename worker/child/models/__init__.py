"""Types of model: a module each, found by its name, which is that in ``ref_model_types``.

Other distributions add types by the entry point group ``ml_worker.models``. Importing this package imports
none of them, and no ML.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, cast

from worker.child import modules
from worker.errors import JobError

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from worker.child.models._shared import Features, Labels, Params, Weights
    from worker.child.numbers import Numbers
    from worker.child.progress import Report
    from worker.child.ranking import Ranking

GROUP = "ml_worker.models"


class ModelType(Protocol):
    """What a module of this package offers.

    Where a fitted model predicts with several threads, there is also ``use_threads(model, threads)``, which
    sets their number in a model that was fitted elsewhere. Where the worker's own model is more than the
    public libraries know, there are ``for_file(model)``, which gives the same model as they know it, and
    ``from_file(model)``, which takes it back. A type whose models the database can answer for has
    ``numbers(pipeline)``, which gives :data:`worker.child.numbers.Numbers`. One that another library predicts
    with more quickly has ``ranking(pipeline)``, which puts rows in the same order.

    Attributes:
        TO_TRAIN: bytes that a TRAIN takes at its peak, for each value (rows by features) and for each row.
        TO_PREDICT: the same of a job that only predicts.
        NAMES: what the pickle of a fitted pipeline may refer to, as ``module.qualname``. A class among them
            is made without arguments and told its attributes; what is to be called must be one of
            :data:`worker.child.unpickling.CALLS`. So each must be harmless whatever its attributes are.
    """

    TO_TRAIN: tuple[float, float]
    TO_PREDICT: tuple[float, float]
    NAMES: frozenset[str]

    def make(self, params: "Params", random_state: int, threads: int, /) -> "Pipeline":
        """Build the unfitted pipeline; its last step is the model."""

    def fit(
        self,
        model: Any,
        features: "Features",
        labels: "Labels",
        report: "Report",
        weights: "Weights" = None,
        /,
    ) -> None:
        """Fit the last step of the pipeline in place, reporting progress as a share and in words.

        Weights are given to types alone of which ``ref_model_types`` says that they take them.
        """

    def engine(self, model: Any, /) -> str:
        """The library that fits the last step of the pipeline."""


def names() -> frozenset[str]:
    """The model types that this worker knows."""
    return modules.names(__name__, GROUP)


def load(model_type: str) -> ModelType:
    """Import a model type.

    Raises:
        JobError: this worker has none of that name.
    """
    module = modules.load(__name__, GROUP, model_type)
    if module is None:
        raise JobError(f"this worker has no model type {model_type}, only {', '.join(sorted(names()))}")
    return cast(ModelType, module)


def for_file(module: ModelType, pipeline: "Pipeline") -> "Pipeline":
    """The fitted pipeline as the public libraries alone can load it."""
    return _with_last(pipeline, getattr(module, "for_file", None))


def from_file(module: ModelType, pipeline: "Pipeline", threads: int) -> "Pipeline":
    """The pipeline of a file as the worker predicts with it, with so many threads."""
    pipeline = _with_last(pipeline, getattr(module, "from_file", None))
    use_threads = getattr(module, "use_threads", None)
    if use_threads is not None:
        use_threads(pipeline[-1], threads)
    return pipeline


def numbers(module: ModelType, pipeline: "Pipeline") -> "Numbers | None":
    """The fitted pipeline as plain numbers; None where its type gives none."""
    of_type = getattr(module, "numbers", None)
    return None if of_type is None else cast("Numbers", of_type(pipeline))


def ranking(module: ModelType, pipeline: "Pipeline") -> "Pipeline | Ranking":
    """What puts rows in the order in which the pipeline does, as quickly as its type can."""
    of_type = getattr(module, "ranking", None)
    return pipeline if of_type is None else cast("Pipeline | Ranking", of_type(pipeline))


def _with_last(pipeline: "Pipeline", change: Callable[[Any], Any] | None) -> "Pipeline":
    if change is None:
        return pipeline
    *before, (name, last) = pipeline.steps
    return type(pipeline)([*before, (name, change(last))])


def preload() -> None:
    """Import all types that come with the worker."""
    for name in modules.own(__name__):
        load(name)
