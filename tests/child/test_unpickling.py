"""Pickles that do what no model's pickle does: each is refused, and nothing of it happens."""

import io
import json
import os
import pickle
import struct
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import xgboost
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.pipeline import Pipeline

from worker.child import models, unpickling
from worker.child.boosters import BoosterError, model_in

ALL = frozenset().union(*(models.load(name).NAMES for name in models.names()))
FEATURES = 4
MEGABYTES = 50  # that a refused pickle may take, whatever it asks for


def load(content: bytes, names: frozenset[str] = ALL, seconds: float = 20.0) -> Any:
    until = time.monotonic() + seconds
    return unpickling.load(io.BytesIO(content), len(content), names, FEATURES, until)


def word(text: str) -> bytes:
    return pickle.SHORT_BINUNICODE + bytes([len(text)]) + text.encode()


def name(full: str) -> bytes:
    module, _, of_it = full.rpartition(".")
    return word(module) + word(of_it) + pickle.STACK_GLOBAL


def number(value: int) -> bytes:
    return pickle.LONG1 + bytes([9]) + value.to_bytes(9, "little", signed=True)


def call(full: str, *args: bytes) -> bytes:
    return name(full) + pickle.MARK + b"".join(args) + pickle.TUPLE + pickle.REDUCE


def new(full: str) -> bytes:
    return name(full) + pickle.EMPTY_TUPLE + pickle.NEWOBJ


def told(made: bytes, **attributes: bytes) -> bytes:
    items = b"".join(word(key) + value for key, value in attributes.items())
    return made + pickle.EMPTY_DICT + pickle.MARK + items + pickle.SETITEMS + pickle.BUILD


FLOAT64 = call("numpy.dtype", word("f8"))
PIPELINE = "sklearn.pipeline.Pipeline"
ARRAY = "joblib.numpy_pickle.NumpyArrayWrapper"


def array(shape: bytes, kind: bytes = FLOAT64, subclass: bytes | None = None) -> bytes:
    return told(
        new(ARRAY), subclass=subclass or name("numpy.ndarray"), shape=shape, order=word("C"), dtype=kind
    )


def doubled(times: int) -> bytes:
    """A tuple of tuples of tuples: small, but its hash takes 2 ** times steps."""
    return pickle.EMPTY_TUPLE + (pickle.BINPUT + b"\0" + pickle.BINGET + b"\0" + pickle.TUPLE2) * times


NESTED = doubled(200)
HOSTILE = {
    "a name that is on no list": name("os.system"),
    "a name behind a name of the list": word("sklearn.pipeline")
    + word("Pipeline.__init__")
    + pickle.STACK_GLOBAL,
    "a name as a line": b"cposix\nsystem\n",
    "a name as a line, of Python 2": b"c__builtin__\neval\n",
    "a class that is called": call(PIPELINE, pickle.EMPTY_LIST),
    "a function that is called": call("numpy.clip", number(1), number(2), number(3)),
    "something that is called": pickle.NONE + pickle.EMPTY_TUPLE + pickle.REDUCE,
    "a tuple that is called": NESTED + pickle.EMPTY_TUPLE + pickle.REDUCE,
    "an instance by an old instruction": b"(isklearn.pipeline\nPipeline\n",
    "an object by an old instruction": pickle.MARK + name(PIPELINE) + pickle.OBJ,
    "an extension": pickle.EXT1 + b"\1",
    "a persistent id": b"Pid\n",
    "a buffer from outside": pickle.NEXT_BUFFER,
    "a class made with arguments": name("numpy.ndarray") + number(10**13) + pickle.TUPLE1 + pickle.NEWOBJ,
    "a class made with named ones": name(PIPELINE)
    + pickle.EMPTY_TUPLE
    + pickle.EMPTY_DICT
    + pickle.NEWOBJ_EX,
    "attributes of a class": told(name(PIPELINE), predict_proba=pickle.NONE),
    "slots of a class": name(PIPELINE)
    + pickle.NONE
    + pickle.EMPTY_DICT
    + word("predict_proba")
    + pickle.NONE
    + pickle.SETITEM
    + pickle.TUPLE2
    + pickle.BUILD,
    "an attribute in place of a method": told(new(PIPELINE), predict_proba=name("numpy.clip")),
    "an attribute in place of the class": told(new(PIPELINE), __class__=name("numpy.ndarray")),
    "a call of what is on no list, prepared": call("functools.partial", name("numpy.ndarray")),
    "objects in an array": array(pickle.EMPTY_TUPLE, call("numpy.dtype", word("O"))),
    "objects in a record": array(pickle.EMPTY_TUPLE, call("numpy.dtype", word("i8,O"))),
    "an array of another class": array(number(0) + pickle.TUPLE1, subclass=name(PIPELINE)),
    "an array of no length": array(number(-1) + pickle.TUPLE1),
    "a huge array": array(number(10**13) + pickle.TUPLE1),
    "an array whose size overflows": array(number(2**62) + number(4) + pickle.TUPLE2),
    "an array of huge items": array(number(10**5) + pickle.TUPLE1, call("numpy.dtype", word("U999999"))),
    "huge items": call("numpy.dtype", word("V99999999999")),
    "a number of objects": call("numpy._core.multiarray.scalar", call("numpy.dtype", word("O")), NESTED),
    "a number without its bytes": call(
        "numpy._core.multiarray.scalar", FLOAT64, pickle.SHORT_BINBYTES + b"\0"
    ),
    "many bytes": call("builtins.bytearray", number(10**13)),
    "many bytes by an instruction": pickle.BYTEARRAY8 + struct.pack("<Q", 10**13),
    "more bytes than there are": pickle.BINBYTES8 + struct.pack("<Q", 10**13),
    "more text than there is": pickle.BINUNICODE8 + struct.pack("<Q", 10**13),
    "a frame that is longer than the file": pickle.FRAME + struct.pack("<Q", 10**13),
    "a key that takes for ever": pickle.EMPTY_DICT + NESTED + pickle.NONE + pickle.SETITEM,
    "keys that take for ever": pickle.EMPTY_DICT + pickle.MARK + NESTED + pickle.NONE + pickle.SETITEMS,
    "a set": pickle.EMPTY_SET,
    "items of something else": new(PIPELINE) + number(0) + pickle.NONE + pickle.SETITEM,
    "members of something else": new(PIPELINE) + number(0) + pickle.APPEND,
    "an unknown generator": call("numpy.random._pickle.__bit_generator_ctor", name(PIPELINE)),
    "a generator of something else": call("numpy.random._pickle.__generator_ctor", name(PIPELINE)),
    "a tree of many classes": call("sklearn.tree._tree.Tree", number(4), pickle.NONE, number(10**9)),
    "trees that are none": told(
        new("xgboost.core.Booster"), handle=call("builtins.bytearray", pickle.SHORT_BINBYTES + b"\1{")
    ),
    "an end without an object": b"",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_pickle_is_refused_without_harm(content: bytes) -> None:
    before = dict(vars(Pipeline))
    tracemalloc.start()
    try:
        with pytest.raises((ValueError, EOFError, TypeError, IndexError)):
            load(pickle.PROTO + b"\5" + content + pickle.STOP)
        assert tracemalloc.get_traced_memory()[1] < MEGABYTES * 1_000_000
    finally:
        tracemalloc.stop()
    assert dict(vars(Pipeline)) == before


def test_each_instruction_of_a_pickle_is_obeyed_only_if_joblib_gives_it() -> None:
    refused = set(pickle._Unpickler.dispatch) - set(unpickling._Unpickler._obeyed)
    for instruction in (
        *(pickle.INST, pickle.OBJ, pickle.NEWOBJ_EX, pickle.EXT1, pickle.EXT2, pickle.EXT4),
        *(pickle.PERSID, pickle.BINPERSID, pickle.NEXT_BUFFER, pickle.DUP, pickle.FROZENSET),
    ):
        assert instruction[0] in refused


@pytest.mark.parametrize("full", sorted(ALL))
def test_what_a_name_stands_for_is_not_called_unless_its_arguments_are_looked_at(full: str) -> None:
    """With arguments that would make it do most."""
    found = load(pickle.PROTO + b"\4" + name(full) + pickle.STOP)
    assert callable(found)
    for args in ((), (word("sh"),), (number(10**13),), (name(full), number(10**13))):
        try:
            made = load(pickle.PROTO + b"\4" + call(full, *args) + pickle.STOP)
        except (ValueError, TypeError, IndexError, MemoryError):
            continue
        assert full in unpickling.CALLS
        assert isinstance(made, bytearray | np.dtype) or type(made).__name__ == "CyHalfBinomialLoss"


def test_a_name_of_another_type_is_refused() -> None:
    names = models.load("logistic_regression").NAMES
    with pytest.raises(ValueError, match=r"refers to xgboost\.core\.Booster, which no model"):
        load(pickle.PROTO + b"\4" + name("xgboost.core.Booster") + pickle.STOP, names)


def test_a_pickle_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    content = pickle.PROTO + b"\4" + (pickle.NONE + pickle.POP) * 10_000 + pickle.NONE + pickle.STOP
    assert load(content) is None
    with pytest.raises(ValueError, match="too long"):
        load(content, seconds=0)
    monkeypatch.setattr(unpickling, "MOST_INSTRUCTIONS", 10_000)
    with pytest.raises(ValueError, match="too many instructions"):
        load(content)


# ── Trees ───────────────────────────────────────────────────────────────────────────────────────────


def rows() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, FEATURES)).astype(np.float32)
    return features, (features[:, 0] + features[:, 1] > 0).astype(np.uint8)


def dumped(model: object) -> bytes:
    file = io.BytesIO()
    joblib.dump(model, file)
    return file.getvalue()


def lead_outside(left: np.ndarray, _right: np.ndarray, _feature: np.ndarray) -> None:
    left[0] = 2_000_000


def lead_back(left: np.ndarray, right: np.ndarray, _feature: np.ndarray) -> None:
    left[1] = right[1] = 1


def meet_again(left: np.ndarray, right: np.ndarray, _feature: np.ndarray) -> None:
    right[0] = left[0]


def ask_for_more(_left: np.ndarray, _right: np.ndarray, feature: np.ndarray) -> None:
    feature[0] = 1_000_000


HARMS = [lead_outside, lead_back, meet_again, ask_for_more]
Harm = Callable[[np.ndarray, np.ndarray, np.ndarray], None]


@pytest.mark.parametrize("harm", HARMS)
def test_trees_of_scikit_learn_that_lead_astray_are_refused(harm: Harm) -> None:
    model = RandomForestClassifier(n_estimators=2, random_state=1).fit(*rows())
    assert load(dumped(model))
    state = model.estimators_[1].tree_.__getstate__()
    nodes = state["nodes"]
    harm(nodes["left_child"], nodes["right_child"], nodes["feature"])
    model.estimators_[1].tree_.__setstate__(state)
    with pytest.raises(BoosterError):
        load(dumped(model))


@pytest.mark.parametrize("harm", HARMS)
def test_trees_of_gradient_boosting_that_lead_astray_are_refused(harm: Harm) -> None:
    model = HistGradientBoostingClassifier(max_iter=2, random_state=1).fit(*rows())
    assert load(dumped(model))
    nodes = model._predictors[1][0].nodes
    harm(nodes["left"], nodes["right"], nodes["feature_idx"])
    with pytest.raises(BoosterError):
        load(dumped(model))


def test_a_tree_without_nodes_is_refused() -> None:
    two = call("numpy.dtype", word("i8"))
    classes = array(number(1) + pickle.TUPLE1, two) + struct.pack("<q", 2)
    content = call("sklearn.tree._tree.Tree", number(FEATURES), classes, number(1))
    with pytest.raises(BoosterError, match="no nodes"):
        load(pickle.PROTO + b"\4" + content + pickle.STOP)


@pytest.fixture(scope="module")
def booster() -> xgboost.Booster:
    features, labels = rows()
    params = {"objective": "binary:logistic", "max_depth": 4, "gamma": 0.5}
    return xgboost.train(params, xgboost.DMatrix(features, labels), 3)


def test_a_booster_predicts_to_the_last_bit_what_it_did(booster: xgboost.Booster) -> None:
    """Of its file only the trees are taken, not how they were grown."""
    read = load(dumped(booster))
    features, _ = rows()
    assert np.array_equal(read.inplace_predict(features), booster.inplace_predict(features))
    raw = bytes(booster.save_raw("ubj"))
    assert model_in(raw, FEATURES) == raw


@pytest.mark.parametrize("harm", HARMS)
def test_trees_of_xgboost_that_lead_astray_are_refused(booster: xgboost.Booster, harm: Harm) -> None:
    model = json.loads(bytes(booster.save_raw("json")))
    tree = model["learner"]["gradient_booster"]["model"]["trees"][1]
    parts = {key: np.array(tree[key]) for key in ("left_children", "right_children", "split_indices")}
    harm(*parts.values())
    tree.update({key: part.tolist() for key, part in parts.items()})
    harmed = xgboost.Booster(model_file=bytearray(json.dumps(model).encode()))
    with pytest.raises(BoosterError):
        model_in(bytes(harmed.save_raw("ubj")), FEATURES)
    with pytest.raises(BoosterError):
        load(dumped(harmed))


def test_children_that_xgboost_would_not_find_are_refused(booster: xgboost.Booster) -> None:
    """It takes the node behind the left child for the right one: that may be the node itself, and no end."""
    model = json.loads(bytes(booster.save_raw("json")))
    tree = model["learner"]["gradient_booster"]["model"]["trees"][1]
    left, right = tree["left_children"], tree["right_children"]
    left[0], right[0] = right[0], left[0]
    harmed = xgboost.Booster(model_file=bytearray(json.dumps(model).encode()))
    with pytest.raises(BoosterError, match="no tree"):
        model_in(bytes(harmed.save_raw("ubj")), FEATURES)


def test_a_booster_for_other_rows_is_refused(booster: xgboost.Booster) -> None:
    raw = bytes(booster.save_raw("ubj"))
    with pytest.raises(BoosterError, match="not for two classes and 5 features"):
        model_in(raw, FEATURES + 1)
    features, labels = rows()
    many = {"objective": "multi:softprob", "num_class": 3}
    with pytest.raises(BoosterError, match="not for two classes"):
        load(dumped(xgboost.train(many, xgboost.DMatrix(features, labels), 1)))
    linear = xgboost.train({"booster": "gblinear"}, xgboost.DMatrix(features, labels), 1)
    with pytest.raises(BoosterError):
        load(dumped(linear))


def test_a_booster_of_any_broken_bytes_is_refused_or_sound(booster: xgboost.Booster) -> None:
    """Never a crash: what passes can be predicted with."""
    raw = bytes(booster.save_raw("ubj"))
    features, _ = rows()
    rng = np.random.default_rng(0)
    passed = 0
    for _ in range(400):
        content = bytearray(raw)
        for place in rng.integers(0, len(raw), rng.integers(1, 4)):
            content[place] ^= 1 << int(rng.integers(8))
        try:
            model = model_in(bytes(content), FEATURES)
        except BoosterError:
            continue
        try:
            xgboost.Booster(model_file=model).inplace_predict(features)
        except ValueError:
            continue
        passed += 1
    assert passed > 10
    for length in range(0, len(raw), 13):
        with pytest.raises(BoosterError):
            model_in(raw[:length], FEATURES)


@pytest.mark.filterwarnings("ignore")
def test_a_pickle_of_any_broken_bytes_is_refused_or_sound(tmp_path: Path) -> None:
    """Of each type that has trees of compiled code."""
    features, labels = rows()
    rng = np.random.default_rng(0)
    for model in (
        RandomForestClassifier(n_estimators=2, random_state=1).fit(features, labels),
        HistGradientBoostingClassifier(max_iter=2, random_state=1).fit(features, labels),
    ):
        whole = dumped(model)
        for _ in range(150):
            content = bytearray(whole)
            for place in rng.integers(0, len(whole), 3):
                content[place] ^= 1 << int(rng.integers(8))
            try:
                load(bytes(content)).predict_proba(features[:5])
            except Exception:  # whatever is said, as long as somebody is there to say it
                continue
    assert os.listdir(tmp_path) == []
