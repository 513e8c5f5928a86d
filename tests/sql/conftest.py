"""The tests of a file share a database; each finds an empty queue."""

from collections.abc import Callable, Iterator

import pytest

from tests.conftest import Database


@pytest.fixture(scope="module")
def module_db(make_database: Callable[[], Database]) -> Database:
    return make_database()


@pytest.fixture
def db(module_db: Database) -> Iterator[Database]:
    """The database of this file. What a test leaves waiting or running is cancelled after it."""
    yield module_db
    with module_db.connect("owner") as owner:  # a client may cancel its own alone
        owner.execute("UPDATE ml_jobs SET status = 'CANCELLED' WHERE status IN ('PENDING', 'RUNNING')")
