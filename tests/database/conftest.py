"""Tests of Python code need one server, not each kind."""

from tests.one_server import server

__all__ = ["server"]
