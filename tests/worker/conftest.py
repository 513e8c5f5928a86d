"""Tests of Python code need one server, not each kind."""

from collections.abc import Callable

import pytest

from tests import servers
from tests.conftest import KINDS


@pytest.fixture(scope="session")
def server(start_server: Callable[[servers.Kind], str]) -> str:
    return start_server(KINDS[0])
