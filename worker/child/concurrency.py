"""Lets numpy do one thing while the main thread does another: its loops and sorts hold no lock.

What starts threads of its own, as models do to fit and to predict, belongs in the main thread: only there is
it held to the threads that a job may use.
"""

from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

_FEWEST_ROWS = 100_000  # with fewer, threads take longer than they save

P = ParamSpec("P")
T = TypeVar("T")


class _Here(Executor):
    """Does at once what it is given."""

    def submit(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        done: Future[T] = Future()
        done.set_result(call(*args, **kwargs))
        return done


def beside_main(threads: int, num_rows: int) -> Executor:
    """Takes work for as many threads as a job may use; with one, or of few rows, it is done at once.

    Args:
        threads: that the job may use.
        num_rows: that the work is about.
    """
    return ThreadPoolExecutor(threads) if threads > 1 and num_rows >= _FEWEST_ROWS else _Here()
