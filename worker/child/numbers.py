"""A fitted model as plain numbers, which the database evaluates by itself (``sql/65_model_numbers.sql``).

There are two forms. Trees add up: a value goes to the side ``less`` where it is smaller than the bound of the
node, as a float32. Layers multiply: each unit is a weighted sum of those before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

CHUNK = 64  # nodes of a row of ml_model_trees
_BAND = 6  # levels of a tree that lie together: 63 nodes at most
MOST_NUMBERS = 24_000_000  # that are recorded of a model: more do not fit into one message
SAMPLES = 50  # rows that are kept with the answers of the worker, for verify

Answer = Literal["logistic", "share"]


@dataclass(frozen=True)
class Trees:
    """Trees whose leaves are added up.

    Attributes:
        answer: logistic, where the sum is the logit; share, where it is the probability.
        base: what the sum begins with.
        is_single: whether it is summed in float32, tree by tree.
        trees: number of each node's tree; a tree's nodes follow each other, the root first.
        feature: what a node asks for, by number; -1: it is a leaf.
        bound: float32; a value below it goes to ``less``.
        less, more: the children, by their numbers among all nodes.
        missing_less: whether a missing value goes to ``less``.
        value: of the leaves.
        cover: weight of the training rows that came by.
    """

    answer: Answer
    base: float
    is_single: bool
    trees: NDArray[Any]
    feature: NDArray[Any]
    bound: NDArray[np.float32]
    less: NDArray[Any]
    more: NDArray[Any]
    missing_less: NDArray[np.bool_]
    value: NDArray[Any]
    cover: NDArray[Any]


@dataclass(frozen=True)
class Layers:
    """Layers of units; the last has one, which is the logit.

    Attributes:
        fill: what stands for a missing value, for each feature.
        center, scale: what is taken from a value, and what it is divided by then.
        weights: of each layer, shape (inputs, units).
        bias: of each layer, shape (units,).
        activation: of the units before the last layer: identity, logistic, tanh or relu.
    """

    fill: NDArray[Any]
    center: NDArray[Any]
    scale: NDArray[Any]
    weights: Sequence[NDArray[Any]]
    bias: Sequence[NDArray[Any]]
    activation: str


Numbers = Trees | Layers


def first_above(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """The bound in place of "at most this": the smallest float32 that is greater."""
    with np.errstate(over="ignore"):
        bounds = thresholds.astype(np.float32)
    return np.where(bounds > thresholds, bounds, np.nextafter(bounds, np.float32(np.inf)))


def imputed_and_scaled(
    pipeline: Pipeline, weights: Sequence[NDArray[Any]], bias: Sequence[NDArray[Any]], activation: str
) -> Layers:
    """The layers behind the two steps of ``models._shared.imputed_and_scaled``."""
    impute, scale, _ = (step for _, step in pipeline.steps)
    center, deviation = (
        scale.mean_.astype(np.float32),
        scale.scale_.astype(np.float32),
    )  # as it subtracts them
    return Layers(
        impute.statistics_,
        center,
        np.where(deviation > 0, deviation, scale.scale_),
        weights,
        bias,
        activation,
    )


def facts(numbers: Numbers, names: Sequence[str]) -> dict[str, list[dict[str, Any]]] | None:
    """The numbers as rows of fact tables, by the names of these; None where there are too many.

    Arrays are written as PostgreSQL reads them, which takes a fraction of the time that JSON takes.
    """
    if isinstance(numbers, Trees):
        if 6 * len(numbers.trees) > MOST_NUMBERS:
            return None
        rows = _tree_rows(numbers)
        inputs: list[dict[str, Any]] = [{"place": place, "feature": name} for place, name in enumerate(names)]
        whole = {
            "answer": numbers.answer,
            "base": float(numbers.base),
            "is_single": numbers.is_single,
            "num_trees": int(numbers.trees[-1]) + 1,
            "num_nodes": len(numbers.trees),
            "num_layers": 0,
            "num_weights": 0,
        }
        return {"ml_model_inputs": inputs, "ml_model_trees": rows, "ml_model_numbers": [whole]}
    num_weights = sum(weights.size for weights in numbers.weights)
    if num_weights > MOST_NUMBERS:
        return None
    inputs = [
        {"place": place, "feature": name, "fill": float(fill), "center": float(center), "scale": float(scale)}
        for place, (name, fill, center, scale) in enumerate(
            zip(names, numbers.fill, numbers.center, numbers.scale, strict=True)
        )
    ]
    last = len(numbers.weights) - 1
    rows = [
        {
            "layer": layer,
            "unit": unit,
            "activation": "identity" if layer == last else numbers.activation,
            "bias": float(bias),
            "weights": _array(own),
        }
        for layer, (weights, biases) in enumerate(zip(numbers.weights, numbers.bias, strict=True))
        for unit, (own, bias) in enumerate(zip(weights.T, biases, strict=True))
    ]
    whole = {
        "answer": "logistic",
        "base": 0.0,
        "is_single": False,
        "num_trees": 0,
        "num_nodes": 0,
        "num_layers": len(numbers.weights),
        "num_weights": num_weights,
    }
    return {"ml_model_inputs": inputs, "ml_model_layers": rows, "ml_model_numbers": [whole]}


def sampled(num_rows: int) -> NDArray[np.int64]:
    """Which rows are kept with the answers of the worker."""
    return np.unique(np.linspace(0, num_rows - 1, min(SAMPLES, num_rows)).astype(np.int64))


def samples(features: NDArray[np.float32], probabilities: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Rows of ``ml_model_samples``."""
    return [
        {
            "place": place,
            "inputs": "{" + ",".join("NULL" if np.isnan(x) else repr(float(x)) for x in row) + "}",
            "probability": float(probability),
        }
        for place, (row, probability) in enumerate(zip(features, probabilities, strict=True))
    ]


def _tree_rows(numbers: Trees) -> list[dict[str, Any]]:
    """Rows of ``ml_model_trees``, of up to 64 nodes of a tree.

    The nodes of a tree are numbered anew, so that a way down leads through few rows: six levels below a node
    lie together. A child always has a greater number than its parent.
    """
    levels, roots = _levels(numbers)
    means = _means(numbers, levels)
    size = len(numbers.trees)
    order = np.lexsort((np.arange(size), levels, roots, levels // _BAND, numbers.trees))
    firsts = np.searchsorted(numbers.trees, np.arange(int(numbers.trees[-1]) + 1))
    trees = numbers.trees[order]
    number = np.empty(size, np.int64)  # of each node in its tree
    number[order] = np.arange(size) - firsts[trees]
    is_leaf = numbers.feature[order] < 0
    dtype = np.float32 if numbers.is_single else np.float64
    columns = {
        "feature": _texts(numbers.feature[order]),
        "bound": _texts(np.where(is_leaf, np.float32(0), numbers.bound[order])),
        "less": _texts(np.where(is_leaf, 0, number[numbers.less[order]])),
        "more": _texts(np.where(is_leaf, 0, number[numbers.more[order]])),
        "missing_less": np.where(numbers.missing_less[order] & ~is_leaf, "t", "f").tolist(),
        "value": _texts(means[order].astype(dtype)),
    }
    ends = np.append(firsts[1:], size)
    rows = []
    for tree, (first, end) in enumerate(zip(firsts.tolist(), ends.tolist(), strict=True)):
        for chunk, start in enumerate(range(first, end, CHUNK)):
            stop = min(start + CHUNK, end)
            row: dict[str, Any] = {"tree": tree, "chunk": chunk}
            for name, texts in columns.items():
                row[name] = "{" + ",".join(texts[start:stop]) + "}"
            rows.append(row)
    return rows


def _levels(numbers: Trees) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How deep each node is, and the node at the top of its band of levels."""
    size = len(numbers.trees)
    levels, roots = np.zeros(size, np.int64), np.arange(size)
    found = np.flatnonzero(np.diff(numbers.trees, prepend=-1))
    level = 0
    while len(found):
        inner = found[numbers.feature[found] >= 0]
        level += 1
        children = np.concatenate([numbers.less[inner], numbers.more[inner]])
        levels[children] = level
        if level % _BAND:
            roots[children] = np.tile(roots[inner], 2)
        found = children
    return levels, roots


def _means(numbers: Trees, levels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Values of the leaves, and of a node the mean of its leaves, by the rows of the fit."""
    means = numbers.value.astype(np.float64)
    is_inner = numbers.feature >= 0
    for level in range(int(levels.max()), -1, -1):
        inner = np.flatnonzero(is_inner & (levels == level))
        less, more = numbers.less[inner], numbers.more[inner]
        weight, other = (numbers.cover[child].astype(np.float64) for child in (less, more))
        both = weight + other
        share = np.divide(weight, both, out=np.full(len(inner), 0.5), where=both > 0)
        means[inner] = means[less] * share + means[more] * (1 - share)
    return means


def _texts(values: NDArray[Any]) -> list[str]:
    if values.dtype == np.float32:
        return [f"{value:.9g}" for value in values.tolist()]
    return list(map(repr, values.tolist()))


def _array(values: NDArray[Any]) -> str:
    return "{" + ",".join(_texts(values)) + "}"
