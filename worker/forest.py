"""Where the forest used to be: model files of the first version refer to it by this path."""

from worker.child.models.random_forest import HistogramForest

__all__ = ["HistogramForest"]
