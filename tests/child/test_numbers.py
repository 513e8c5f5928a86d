"""A fitted model as numbers: how its nodes are numbered, and which model has too many."""

import numpy as np
import pytest

from worker.child import numbers
from worker.child.numbers import Trees, first_above


def full(num_trees: int, depth: int) -> Trees:
    """Trees whose nodes are all there, numbered level by level."""
    size = 2 ** (depth + 1) - 1
    nodes = np.tile(np.arange(size), num_trees)
    firsts = np.repeat(np.arange(num_trees) * size, size)
    is_leaf = nodes >= size // 2
    return Trees(
        answer="share",
        base=0.0,
        is_single=True,
        trees=firsts // size,
        feature=np.where(is_leaf, -1, nodes % 3),
        bound=nodes.astype(np.float32),
        less=firsts + np.where(is_leaf, 0, 2 * nodes + 1),
        more=firsts + np.where(is_leaf, 0, 2 * nodes + 2),
        missing_less=nodes % 2 == 0,
        value=nodes.astype(np.float32),
        cover=np.ones(len(nodes), np.float32),
    )


def integers(text: str) -> list[int]:
    return [int(part) for part in text.strip("{}").split(",")]


@pytest.mark.parametrize("depth", [0, 1, 5, 6, 13])
def test_a_way_down_leads_through_a_row_for_each_six_levels_and_two_at_most(depth: int) -> None:
    facts = numbers.facts(full(2, depth), ("a", "b", "c"))
    assert facts is not None
    for tree in range(2):
        less, more, feature = [], [], []
        for row in (row for row in facts["ml_model_trees"] if row["tree"] == tree):
            assert len(integers(row["less"])) <= numbers.CHUNK
            less += integers(row["less"])
            more += integers(row["more"])
            feature += integers(row["feature"])
        assert sorted(less[: len(less)] + more)[-1] == len(less) - 1
        rng = np.random.default_rng(0)
        for _ in range(20):
            node, chunks = 0, {0}
            while feature[node] >= 0:
                child = (less, more)[rng.integers(2)][node]
                assert child > node
                node = child
                chunks.add(node // numbers.CHUNK)
            assert len(chunks) <= 2 * (depth // 6 + 1)


def test_a_model_with_too_many_numbers_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    found = full(2, 5)
    assert numbers.facts(found, ("a", "b", "c")) is not None
    monkeypatch.setattr(numbers, "MOST_NUMBERS", 6 * len(found.trees) - 1)
    assert numbers.facts(found, ("a", "b", "c")) is None


def test_a_bound_lies_just_above_a_threshold() -> None:
    thresholds = np.array([1.0, np.nextafter(1.0, 2), np.nextafter(1.0, 0), 0.0, 3.5e38, np.inf])
    bounds = first_above(thresholds)
    above = np.nextafter(np.float32(1), np.float32(2))
    assert bounds.tolist() == [above, above, 1.0, np.nextafter(np.float32(0), np.float32(1)), np.inf, np.inf]
