"""The faults are the worker's: one server will do."""

from tests.one_server import server

__all__ = ["server"]
