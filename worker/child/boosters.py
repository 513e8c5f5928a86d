"""Trees of xgboost as bytes: whether they are trees at all, which xgboost itself does not look at.

It follows the numbers of a file's children and features wherever they lead, and a crash is the mildest that
can come of that. The format is UBJSON, https://ubjson.org, as xgboost writes it: all lengths are of 8 bytes.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

NUMBERS = {
    mark: np.dtype(kind)
    for mark, kind in zip(b"iUIlLdD", (">i1", ">u1", ">i2", ">i4", ">i8", ">f4", ">f8"), strict=True)
}
_TEXT, _OBJECT, _END, _LIST, _LENGTH = b"S{}[L"
_CONSTANTS = {ord("Z"): None, ord("T"): True, ord("F"): False}
_DEEPEST = 16
_OF_EACH_NODE = {
    ">i4": ("left_children", "right_children", "parents", "split_indices"),
    ">f4": ("split_conditions", "base_weights", "loss_changes", "sum_hessian"),
    "|u1": ("default_left", "split_type"),
}
_OF_CATEGORIES = ("categories", "categories_nodes", "categories_segments", "categories_sizes")
NO_PARENT = 2**31 - 1


class BoosterError(ValueError):
    """The bytes are no trees, or none for this model."""


def model_in(content: bytes, num_features: int) -> bytearray:
    """The model in what a pickled Booster holds, or in what ``save_raw`` gives, after it was checked.

    A pickled one also holds how it was trained, which a prediction does not need: that is left behind.

    Raises:
        BoosterError: it is none that predicts two classes from so many features.
    """
    try:
        reader = _Reader(content)
        found, spans = reader.top()
        if "Model" in found:
            found, (first, end) = found["Model"], spans["Model"]
        else:
            first, end = 0, len(content)
        _check(found, num_features)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise BoosterError(f"its trees are not those of xgboost ({error})") from error
    return bytearray(content[first:end])


def trees_in(content: bytes) -> tuple[float, list[dict[str, Any]]]:
    """The base score and the trees in what ``save_raw`` gives; their parts are called as xgboost does."""
    found, _ = _Reader(content).top()
    learner = found["learner"]
    base = str(learner["learner_model_param"]["base_score"]).strip("[]")  # xgboost 3 writes a list
    return float(base), learner["gradient_booster"]["model"]["trees"]


def require_trees(left: NDArray[Any], right: NDArray[Any], is_leaf: NDArray[np.bool_]) -> None:
    """See that children make trees, so that every path ends.

    Args:
        left: number of each node's left child.
        right: the same of the right child.
        is_leaf: whether the node has neither, whatever stands there.

    Raises:
        BoosterError: a child is not there, or has two parents.
    """
    children = np.concatenate([left[~is_leaf], right[~is_leaf]]).astype(np.int64)
    if (
        len(left) == 0
        or (children < 1).any()  # nobody is the root's parent
        or (children >= len(left)).any()
        or _has_two(children, len(left))
    ):
        raise BoosterError("its nodes are no tree")


def _check(model: dict[str, Any], num_features: int) -> None:
    learner = model["learner"]
    booster, numbers = learner["gradient_booster"], learner["learner_model_param"]
    trees = booster["model"]["trees"]
    expected = {"num_class": "0", "num_feature": str(num_features), "num_target": "1"}
    if booster["name"] != "gbtree" or any(
        numbers.get(name, value) != value for name, value in expected.items()
    ):
        raise BoosterError(f"they are not for two classes and {num_features} features")
    rounds = np.asarray(booster["model"]["iteration_indptr"])
    if (
        len(trees) != int(booster["model"]["gbtree_model_param"]["num_trees"])
        or len(rounds) == 0
        or (rounds[0], rounds[-1]) != (0, len(trees))
        or (np.diff(rounds) < 0).any()
        or np.asarray(booster["model"]["tree_info"]).tolist() != [0] * len(trees)
    ):
        raise BoosterError("their number is not as it says")
    if any(len(part) for part in booster["model"].get("cats", {}).values()):
        raise BoosterError("they have categories")
    for number, tree in enumerate(trees):
        _check_form(tree, number, num_features)
    _check_nodes(trees, num_features)


def _check_form(tree: dict[str, Any], number: int, num_features: int) -> None:
    """See that a tree is what it says it is; its nodes are looked at by :func:`_check_nodes`."""
    shape = (int(tree["tree_param"]["num_nodes"]),)
    if (
        any(
            tree[name].dtype.str != kind or tree[name].shape != shape
            for kind, names in _OF_EACH_NODE.items()
            for name in names
        )
        or int(tree["tree_param"]["size_leaf_vector"]) > 1
        or int(tree["tree_param"]["num_feature"]) != num_features
        or tree["id"] != number
    ):
        raise BoosterError("a tree is not as it says")
    if any(len(tree[name]) for name in _OF_CATEGORIES):
        raise BoosterError("a tree has categories")


def _check_nodes(trees: list[dict[str, Any]], num_features: int) -> None:
    """See that the nodes of each tree make one: of all trees at once, since there may be thousands."""
    if not trees:
        return
    if any(tree["split_type"].any() for tree in trees):
        raise BoosterError("a tree has categories")
    sizes = [len(tree["left_children"]) for tree in trees]
    if not all(sizes):
        raise BoosterError("its nodes are no tree")
    left, right, parents, asked = (
        np.concatenate([tree[name] for tree in trees], dtype=np.int64) for name in _OF_EACH_NODE[">i4"]
    )
    roots = np.cumsum([0, *sizes[:-1]])
    first, size = np.repeat(roots, sizes), np.repeat(sizes, sizes)  # of the tree that a node is in
    inner = np.flatnonzero(left != -1)
    children = np.concatenate([left[inner], right[inner]])
    of_tree = np.concatenate([inner, inner])
    if (
        (right[inner] != left[inner] + 1).any()  # xgboost looks there, whatever the file says
        or (children < 1).any()  # nobody is the root's parent
        or (children >= size[of_tree]).any()
        or (parents[children + first[of_tree]] != of_tree - first[of_tree]).any()
        or _has_two(children + first[of_tree], len(first))
        or (parents[roots] != NO_PARENT).any()
        or (parents < 0).any()
        or (np.delete(parents, roots) >= np.delete(size, roots)).any()
    ):
        raise BoosterError("its nodes are no tree")
    if (asked[inner] < 0).any() or (asked[inner] >= num_features).any():
        raise BoosterError("a tree asks for a feature that is not there")


def _has_two(numbers: NDArray[np.int64], size: int) -> bool:
    """Whether one of these numbers below ``size`` is there twice; ``np.unique`` is a hundred times slower."""
    is_there = np.zeros(size, bool)
    is_there[numbers] = True
    return int(np.count_nonzero(is_there)) < len(numbers)


class _Reader:
    """Reads UBJSON; arrays of numbers become arrays of numpy, whose bytes are there."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.place = 0

    def top(self) -> tuple[dict[str, Any], dict[str, tuple[int, int]]]:
        """The object that the bytes are, and where each of its values begins and ends."""
        if self._mark() != _OBJECT:
            raise BoosterError("no object")
        found: dict[str, Any] = {}
        spans: dict[str, tuple[int, int]] = {}
        while self.content[self.place] != _END:
            key = self._text()
            first = self.place
            found[key] = self._value(self._mark(), 1)
            spans[key] = (first, self.place)
        if self.place + 1 != len(self.content):
            raise BoosterError("more behind the end")
        return found, spans

    def _value(self, mark: int, depth: int) -> Any:
        if depth > _DEEPEST:
            raise BoosterError("too deep")
        if mark in NUMBERS:
            return self._array(NUMBERS[mark], 1)[0]
        if mark == _TEXT:
            return self._text()
        if mark == _OBJECT:
            found = {}
            while self.content[self.place] != _END:
                key = self._text()
                found[key] = self._value(self._mark(), depth + 1)
            self.place += 1
            return found
        if mark == _LIST:
            return self._list(depth)
        return _CONSTANTS[mark]

    def _list(self, depth: int) -> Any:
        kind = None
        if self.content[self.place] == ord("$"):
            kind = NUMBERS[self.content[self.place + 1]]
            self.place += 2
        if self.content[self.place] == ord("#"):
            self.place += 1
            length = self._length()
            if kind is not None:
                return self._array(kind, length)
            return [self._value(self._mark(), depth + 1) for _ in range(length)]
        found = []
        while self.content[self.place] != ord("]"):
            found.append(self._value(self._mark(), depth + 1))
        self.place += 1
        return found

    def _array(self, kind: np.dtype[Any], length: int) -> NDArray[Any]:
        found = np.frombuffer(self.content, kind, length, self.place) if length else np.empty(0, kind)
        self.place += found.nbytes
        return found

    def _text(self) -> str:
        length = self._length()
        first, self.place = self.place, self.place + length
        if self.place > len(self.content):
            raise BoosterError("cut off")
        return self.content[first : self.place].decode()

    def _length(self) -> int:
        if self._mark() != _LENGTH:
            raise BoosterError("no length")
        first, self.place = self.place, self.place + 8
        length = int.from_bytes(self.content[first : self.place], "big")
        if length > len(self.content):
            raise BoosterError("cut off")
        return length

    def _mark(self) -> int:
        self.place += 1
        return self.content[self.place - 1]
