"""The faults are the worker's: one server will do."""

from tests.worker.conftest import server

__all__ = ["server"]
