"""Reads a pickle by joblib as data: makes objects of named classes, and calls nothing but what stands here.

A pickle is a program. Of its instructions only those are obeyed that joblib's pickles of models have. A name
is looked up only if it is on the list of the model's type. A class makes an empty object, which takes its
attributes; what is called instead (:data:`CALLS`) looks at its arguments first. No array is larger than the
bytes that the file has for it. What compiled code would follow blindly, the nodes of trees, is checked.
"""

import functools
import io
import pickle
import re
import time
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
from numpy.random import _pickle as random_pickle
from numpy.random import bit_generator
from numpy.typing import NDArray
from sklearn._loss._loss import CyHalfBinomialLoss
from sklearn.tree._tree import Tree

from worker.child.boosters import BoosterError, model_in, require_trees

MOST_INSTRUCTIONS = 20_000_000  # a forest of 10,000 trees has 2,000,000
_CHECK_EVERY = 4096  # instructions between two looks at the clock
_KIND = re.compile("[<>=|]?[biufVU][0-9]{0,6}")  # of an array
_BLOCK = 1 << 24  # bytes of an array between two of them


class UnreadableError(ValueError):
    """The pickle does what no model's pickle does."""


def load(file: io.BufferedIOBase, size: int, names: Collection[str], num_features: int, until: float) -> Any:
    """Read an object.

    Args:
        file: seekable, at its beginning.
        size: bytes that it has.
        names: what it may refer to, each as ``module.qualname``.
        num_features: of the model.
        until: monotonic time at which to give up.

    Raises:
        UnreadableError: it does what no model's pickle does, or takes too long.
        Exception: whatever the classes raise that take their attributes.
    """
    bounded = _File(file, size)
    found = _Unpickler(bounded, size, names, num_features, until).load()
    if bounded.left:
        raise UnreadableError("there is more behind its end")
    return found


# ── What may be called ──────────────────────────────────────────────────────────────────────────────


def _dtype(kind: str, _align: bool = False, _copy: bool = True) -> np.dtype[Any]:
    if not isinstance(kind, str) or not _KIND.fullmatch(kind):
        raise UnreadableError("an array of something else than numbers or text")
    return np.dtype(kind, copy=True)


def _scalar(kind: np.dtype[Any], content: bytes) -> Any:
    if not isinstance(kind, np.dtype) or kind.kind not in "biuf" or not isinstance(content, bytes):
        raise UnreadableError("a number that is none")
    return np.frombuffer(content, kind, 1)[0]


def _bytearray(content: bytes | str = b"", encoding: str = "latin-1") -> bytearray:
    if isinstance(content, str) and encoding == "latin-1":  # as protocol 2 writes bytes
        content = content.encode(encoding)
    if not isinstance(content, bytes):
        raise UnreadableError("bytes that are none")
    return bytearray(content)


def _partial(function: Any) -> functools.partial[Any]:
    if function not in (np.clip, np.multiply):
        raise UnreadableError("a call of something else than numpy.clip and numpy.multiply")
    return functools.partial(function)


def _tree(num_features: int, num_classes: Any, num_outputs: int) -> Any:
    if (
        not isinstance(num_features, int)
        or not isinstance(num_classes, np.ndarray)
        or (num_classes.shape, num_classes.dtype, num_outputs) != ((1,), np.dtype(np.intp), 1)
        or num_classes[0] != 2
    ):
        raise UnreadableError("a tree for something else than two classes")
    return Tree(num_features, num_classes, num_outputs)


def _bit_generator(kind: type) -> Any:
    if kind not in (np.random.PCG64, np.random.MT19937):
        raise UnreadableError("an unknown generator of random numbers")
    return random_pickle.__bit_generator_ctor(kind)


def _random_state(generator: Any, _ctor: Any = None) -> Any:
    if not isinstance(generator, np.random.BitGenerator):
        raise UnreadableError("an unknown generator of random numbers")
    return random_pickle.__randomstate_ctor(generator)


def _generator(generator: Any, _ctor: Any = None) -> Any:
    if not isinstance(generator, np.random.BitGenerator):
        raise UnreadableError("an unknown generator of random numbers")
    return random_pickle.__generator_ctor(generator)


def _seed_sequence(kind: type, checksum: int, state: None) -> Any:
    if kind is not np.random.SeedSequence or state is not None:
        raise UnreadableError("an unknown generator of random numbers")
    return bit_generator.__pyx_unpickle_SeedSequence(kind, checksum, state)  # type: ignore[attr-defined]


def _loss() -> Any:
    return CyHalfBinomialLoss()


CALLS: dict[str, Callable[..., Any]] = {
    "_loss.CyHalfBinomialLoss": _loss,
    "builtins.bytearray": _bytearray,
    "functools.partial": _partial,
    "numpy._core.multiarray.scalar": _scalar,
    "numpy.dtype": _dtype,
    "numpy.random._pickle.__bit_generator_ctor": _bit_generator,
    "numpy.random._pickle.__generator_ctor": _generator,
    "numpy.random._pickle.__randomstate_ctor": _random_state,
    "numpy.random.bit_generator.__pyx_unpickle_SeedSequence": _seed_sequence,
    "sklearn._loss._loss.CyHalfBinomialLoss": _loss,
    "sklearn.tree._tree.Tree": _tree,
}


class _File:
    """Gives no more bytes than there are, and makes no room for others."""

    def __init__(self, file: io.BufferedIOBase, size: int) -> None:
        self._file = file
        self.left = size

    def require(self, number: int) -> None:
        """Raise EOFError if there are not so many left."""
        if number > self.left:
            raise EOFError("it ends too early")
        self.left -= number

    def read(self, number: int) -> bytes:
        """Exactly so many."""
        self.require(number)
        return self._file.read(number)

    def readinto(self, into: memoryview) -> None:
        """Bytes that were required before."""
        if self._file.readinto(into) != len(into):
            raise EOFError("it ends too early")

    def readline(self) -> bytes:
        """As much as a name may have."""
        line = self._file.readline(1000)
        self.require(len(line))
        return line


class _StoredArray:
    """Stands for joblib's NumpyArrayWrapper: what it says of the array whose bytes follow."""


# ── What an object is told ──────────────────────────────────────────────────────────────────────────


def _set_dtype(kind: np.dtype[Any], state: Any) -> None:
    """Byte order, and the fields of a record; all else is as the name says."""
    _version, order, _, names, fields, itemsize, alignment, flags = state
    if kind.kind in "biuf":
        is_known = state[2:] == (None, None, None, -1, -1, 0)
    elif kind.kind == "U":
        is_known = state[2:] == (None, None, None, kind.itemsize, 4, 8)
    else:
        formats = [fields[name][0] for name in names if isinstance(name, str)]
        is_known = len(formats) == len(names) == len(fields) and all(
            isinstance(part, np.dtype) and part.kind in "biuf" for part in formats
        )
        offsets = [fields[name][1] for name in names]
        # It raises where a field lies outside.
        same = np.dtype(
            {"names": list(names), "formats": formats, "offsets": offsets, "itemsize": kind.itemsize}
        )
        is_known = is_known and (itemsize, flags & 0x7F) == (same.itemsize, same.flags & 0x7F)
        is_known = is_known and 1 <= alignment <= same.itemsize
    if state[0] != 3 or order not in ("<", ">", "|", "=") or not is_known:
        raise UnreadableError("an array of something else than numbers or text")
    kind.__setstate__(state)  # type: ignore[attr-defined]


def _set_partial(partial: functools.partial[Any], state: Any) -> None:
    function, args, keywords, attributes = state
    if attributes or not isinstance(args, tuple) or not isinstance(keywords, dict):
        raise UnreadableError("a call with unknown arguments")
    _partial(function)
    partial.__setstate__((function, args, keywords, None))  # type: ignore[attr-defined]


def _require_new_attributes(holder: object, state: Any) -> None:
    """No attribute may take the place of a method."""
    if not isinstance(state, dict):
        raise UnreadableError(f"no attributes for a {type(holder).__name__}")
    for name in state:
        own = getattr(type(holder), name, None) if isinstance(name, str) else len
        if callable(own) or (isinstance(name, str) and name.startswith("__")):
            raise UnreadableError(f"an attribute {str(name)[:50]} of a {type(holder).__name__}")


class _Unpickler(pickle._Unpickler):
    """The machine; see the module's docstring."""

    def __init__(
        self, file: "_File", size: int, names: Collection[str], num_features: int, until: float
    ) -> None:
        super().__init__(file, fix_imports=False)
        self._file = file
        self._size = size
        self._names = names
        self._num_features = num_features
        self._until = until
        self._made: set[type] = set()  # classes that objects may be made of
        self._trees: list[Any] = []

    def load(self) -> Any:
        unframer = self._unframer = pickle._Unframer(self._file.read, self._file.readline)  # type: ignore[attr-defined]
        self.read, self.readinto, self.readline = unframer.read, unframer.readinto, unframer.readline
        self.metastack: list[Any] = []
        self.stack: list[Any] = []
        self.append = self.stack.append
        self.proto = 0
        try:
            for number in range(MOST_INSTRUCTIONS):
                if number % _CHECK_EVERY == 0 and time.monotonic() > self._until:
                    raise UnreadableError("it takes too long")
                key = self.read(1)
                if not key:
                    raise EOFError("it ends too early")
                instruction = self._obeyed.get(key[0])
                if instruction is None:
                    raise UnreadableError(f"it is no model's pickle (instruction {key!r})")
                instruction(self)  # type: ignore[arg-type]
        except pickle._Stop as stop:  # type: ignore[attr-defined]
            if any(tree.node_count == 0 for tree in self._trees):  # its code would read what is not there
                raise BoosterError("a tree has no nodes") from None
            return stop.value
        raise UnreadableError("it has too many instructions")

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full not in self._names:
            raise UnreadableError(f"it refers to {full[:200]}, which no model of its type needs")
        if full in CALLS:
            return CALLS[full]
        if full == "joblib.numpy_pickle.NumpyArrayWrapper":
            found: Any = _StoredArray
        else:
            found = super().find_class(module, name)
        if isinstance(found, type):
            self._made.add(found)
        return found

    def _new(self) -> None:
        args = self.stack.pop()
        kind = self.stack.pop()
        if not isinstance(kind, type) or kind not in self._made or args != ():
            raise UnreadableError("an object of no known class")
        self.append(kind.__new__(kind))  # type: ignore[call-overload]

    def _call(self) -> None:
        args = self.stack.pop()
        function = self.stack[-1]
        # By identity: to hash or compare what a pickle made can take years.
        if not any(function is known for known in CALLS.values()) or type(args) is not tuple:
            raise UnreadableError(f"a call of {getattr(function, '__name__', 'something')}")
        self.stack[-1] = function(*args)
        if isinstance(self.stack[-1], Tree):
            self._trees.append(self.stack[-1])

    def _build(self) -> None:
        state = self.stack.pop()
        holder = self.stack[-1]
        if isinstance(holder, _StoredArray):
            self.stack[-1] = self._array(state)
        elif isinstance(holder, np.dtype):
            _set_dtype(holder, state)
        elif isinstance(holder, functools.partial):
            _set_partial(holder, state)
        elif type(holder).__module__.startswith("numpy.random"):
            holder.__setstate__(state)
        elif isinstance(holder, Tree):
            self._set_tree(holder, state)
        elif type(holder) in self._made:
            self._set_attributes(holder, state)
        else:
            raise UnreadableError(f"attributes of a {type(holder).__name__}")

    def _set_attributes(self, holder: Any, state: Any) -> None:
        _require_new_attributes(holder, state)
        kind = type(holder).__name__
        if kind == "Booster":
            holder.__init__(model_file=model_in(bytes(state["handle"]), self._num_features))
            return
        if kind == "HistogramForest" and "booster_" in state:  # of versions before 6
            state = state | {"booster_": bytes(model_in(state["booster_"], self._num_features))}
        if kind == "HistGradientBoostingClassifier" and state.get("n_trees_per_iteration_") != 1:
            raise BoosterError("its trees are not for two classes")
        if hasattr(holder, "__setstate__"):
            holder.__setstate__(state)
        else:
            holder.__dict__.update(state)
        if kind == "TreePredictor":
            nodes, is_leaf = holder.nodes, holder.nodes["is_leaf"] != 0
            require_trees(nodes["left"], nodes["right"], is_leaf)
            if nodes["is_categorical"].any():
                raise BoosterError("a tree has categories")
            self._require_features(nodes["feature_idx"][~is_leaf])

    def _set_tree(self, tree: Any, state: Any) -> None:
        nodes, values = state["nodes"], state["values"]
        is_leaf = nodes["left_child"] == -1
        require_trees(nodes["left_child"], nodes["right_child"], is_leaf)
        self._require_features(nodes["feature"][~is_leaf])
        if int(state["node_count"]) != len(nodes) or len(values) != len(nodes):
            raise BoosterError("its nodes are no tree")
        tree.__setstate__(state)

    def _require_features(self, asked: Any) -> None:
        if (asked < 0).any() or (asked >= self._num_features).any():
            raise BoosterError("a tree asks for a feature that is not there")

    def _array(self, state: dict[str, Any]) -> Any:
        """The array whose bytes follow in the file, as joblib writes them."""
        kind, shape, order = state["dtype"], state["shape"], state["order"]
        if (
            not isinstance(kind, np.dtype)
            or kind.hasobject
            or kind.itemsize == 0
            or state["subclass"] is not np.ndarray
            or not isinstance(shape, tuple)
            or not all(isinstance(length, int) and 0 <= length <= self._size for length in shape)
            or len(shape) > 4
            or order not in ("C", "F")
        ):
            raise UnreadableError("an array of something else than numbers or text")
        count = 1
        for length in shape:
            count *= length
        if state.get("numpy_array_alignment_bytes") is not None:
            self._file.read(self._file.read(1)[0])
        self._file.require(count * kind.itemsize)
        array: NDArray[Any] = np.empty(count, kind)
        view = memoryview(array.view(np.uint8))  # type: ignore[arg-type]
        for first in range(0, count * kind.itemsize, _BLOCK):
            if time.monotonic() > self._until:
                raise UnreadableError("it takes too long")
            self._file.readinto(view[first : first + _BLOCK])
        array = array.reshape(shape[::-1]).T if order == "F" else array.reshape(shape)
        return array if kind.isnative else array.astype(kind.newbyteorder("="))

    def _set_item(self) -> None:
        value = self.stack.pop()
        key = self.stack.pop()
        self._put(self.stack[-1], [(key, value)])

    def _set_items(self) -> None:
        items = self.pop_mark()  # type: ignore[attr-defined]
        self._put(self.stack[-1], list(zip(items[::2], items[1::2], strict=True)))

    @staticmethod
    def _put(into: Any, items: list[tuple[Any, Any]]) -> None:
        # No other key is hashed: a small tuple of tuples can take years.
        if type(into) is not dict or not all(isinstance(key, str | int | float) for key, _ in items):
            raise UnreadableError("a dictionary with other keys than words and numbers")
        into.update(items)

    def _append(self) -> None:
        value = self.stack.pop()
        self._extend(self.stack[-1], [value])

    def _appends(self) -> None:
        items = self.pop_mark()  # type: ignore[attr-defined]
        self._extend(self.stack[-1], items)

    @staticmethod
    def _extend(into: Any, items: list[Any]) -> None:
        if type(into) is not list:
            raise UnreadableError("a list that is none")
        into.extend(items)

    def _bytearray8(self) -> None:
        length = int.from_bytes(self.read(8), "little")
        self.append(bytearray(self.read(length)))

    # The instructions that joblib's pickles of models have, in protocols 2 to 5.
    _obeyed = {
        key[0]: pickle._Unpickler.dispatch[key[0]]
        for key in (
            *(pickle.PROTO, pickle.FRAME, pickle.STOP, pickle.MARK, pickle.POP, pickle.POP_MARK),
            *(pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.BININT, pickle.BININT1, pickle.BININT2),
            *(pickle.LONG1, pickle.LONG4, pickle.BINFLOAT, pickle.BINBYTES, pickle.SHORT_BINBYTES),
            *(pickle.BINBYTES8, pickle.BINUNICODE, pickle.SHORT_BINUNICODE, pickle.BINUNICODE8),
            *(pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
            *(pickle.EMPTY_LIST, pickle.EMPTY_DICT, pickle.MEMOIZE, pickle.BINPUT, pickle.LONG_BINPUT),
            *(pickle.BINGET, pickle.LONG_BINGET, pickle.GLOBAL, pickle.STACK_GLOBAL),
        )
    } | {
        pickle.NEWOBJ[0]: _new,
        pickle.REDUCE[0]: _call,
        pickle.BUILD[0]: _build,
        pickle.SETITEM[0]: _set_item,
        pickle.SETITEMS[0]: _set_items,
        pickle.APPEND[0]: _append,
        pickle.APPENDS[0]: _appends,
        pickle.BYTEARRAY8[0]: _bytearray8,
    }
