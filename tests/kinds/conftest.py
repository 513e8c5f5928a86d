"""Tests of kinds of job: what they need of the worker is Python, which needs one server."""

from tests.child.conftest import provide
from tests.one_server import server

__all__ = ["provide", "server"]
