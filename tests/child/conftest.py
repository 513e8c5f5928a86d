"""Tests of Python code need one server, not each kind."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.one_server import server
from worker.child import modules

__all__ = ["server"]


@pytest.fixture
def provide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Lets an installed distribution name a module of the tests as an entry point of a group."""

    def install(group: str, module: str) -> None:
        name = module.rpartition(".")[2]
        info = tmp_path / f"ml_worker_{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: ml-worker-{name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        modules.provided.cache_clear()

    yield install
    modules.provided.cache_clear()
