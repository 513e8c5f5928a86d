"""For tests that need one server, not each kind: they import ``server`` into their conftest."""

from collections.abc import Callable

import pytest

from tests import servers
from tests.conftest import KINDS


@pytest.fixture(scope="session")
def server(start_server: Callable[[servers.Kind], str]) -> str:
    """The first kind of server in place of each."""
    return start_server(KINDS[0])
