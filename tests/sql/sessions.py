"""Sessions that the tests of a file take one after the other, each as if it were new.

The first statements of a session cost ten times as much as the same ones later: it logs in, reads the
catalog, and compiles what the triggers call.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.rows import dict_row

from tests.conftest import Connection, Database

# As DISCARD ALL, but for what has been read and planned.
RESET = b"""
    CLOSE ALL; RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; UNLISTEN *; DEALLOCATE ALL;
    DISCARD TEMP; DISCARD SEQUENCES; SELECT pg_advisory_unlock_all()
"""


@dataclass
class Sessions:
    """Sessions of one database that wait for the next test, by user; of another, and they are closed."""

    url: str = ""
    waiting: dict[str, list[Connection]] = field(default_factory=lambda: defaultdict(list))

    @contextmanager
    def of(self, db: Database, user: str) -> Iterator[Connection]:
        if db.url != self.url:
            self.close()
            self.url = db.url
        waiting = self.waiting[user]
        kept = waiting.pop() if waiting else db.connect(user)
        try:
            # Nothing of what a test gave the object: handlers, adapters, a factory of rows.
            opened: Connection = psycopg.Connection(kept.pgconn, row_factory=dict_row)
            opened.autocommit = True
            yield opened
        finally:
            if db.url == self.url and _is_as_new(kept):
                waiting.append(kept)
            else:
                kept.close()

    def close(self) -> None:
        for connections in self.waiting.values():
            for connection in connections:
                connection.close()
        self.waiting.clear()


def _is_as_new(connection: Connection) -> bool:
    """Undo what a test did to its session; returns whether that was possible."""
    session = connection.pgconn
    if session.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
        session.exec_(b"ROLLBACK")
    if session.transaction_status != TransactionStatus.IDLE:
        return False
    if session.exec_(RESET).status != ExecStatus.TUPLES_OK:
        return False
    while session.notifies():
        pass
    return True
