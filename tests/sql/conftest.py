"""The tests of a file share a database; each finds an empty queue."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial

import pytest

from tests.conftest import Connection, Database
from tests.sql.sessions import Sessions


@pytest.fixture(scope="module")
def module_db(make_database: Callable[[], Database]) -> Database:
    return make_database()


@pytest.fixture(scope="module")
def cleaner(module_db: Database) -> Iterator[Connection]:
    """Of the owner: a client may cancel its own jobs alone."""
    with module_db.connect("owner") as owner:
        yield owner


@pytest.fixture
def db(module_db: Database, cleaner: Connection) -> Iterator[Database]:
    """The database of this file. What a test leaves waiting or running is cancelled after it."""
    yield module_db
    cleaner.execute("UPDATE ml_jobs SET status = 'CANCELLED' WHERE status IN ('PENDING', 'RUNNING')")


@pytest.fixture(scope="module")
def sessions(make_database: Callable[[], Database]) -> Iterator[Sessions]:
    """Are closed before the databases that ``make_database`` made are dropped."""
    sessions = Sessions()
    yield sessions
    sessions.close()


@pytest.fixture
def session(db: Database, sessions: Sessions) -> Callable[[str], AbstractContextManager[Connection]]:
    """Gives one that an earlier test of the file has used; so ``owner``, ``client`` and the others get it."""
    return partial(sessions.of, db)
