"""Connections to the database.

They are in autocommit mode: a call is a transaction, and none is open while a job works.
"""

import secrets
from collections.abc import Sequence
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from worker.database.deadlines import deadline

Connection = psycopg.Connection[tuple[Any, ...]]
# Errors after which a new connection may help: it broke, or the server has become a standby.
LOST = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError)

# Nobody else's operators and functions, even where everybody may create some in public; and no query of a
# worker is worth compiling.
_FOR_WORKER: LiteralString = "SET search_path TO pg_catalog, pg_temp; SET jit TO off"


# What a worker relies on, whatever its login or database says: the supervisor has deadlines of its own, a
# load may take hours, and a session waits for its job as long as that takes to come.
_TIMEOUTS = (
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
)
_TIMEOUTS_FROM_17 = ("transaction_timeout",)
# Classes of errors of the server at this moment, while the connection is good: deadlock, no room, a limit, …
_PASSING = {"40", "53", "54", "55", "58", "XX"}


class UnsuitableDatabaseError(Exception):
    """The database cannot be worked with; the message says why and what to do."""


def connect(url: str, role: str | None = None, timeout: float = 10) -> Connection:
    """Open a connection in autocommit mode, with the rights of ``role`` alone if one is given.

    Raises:
        psycopg.OperationalError: the server cannot be reached.
        UnsuitableDatabaseError: ``url`` is none, the role is missing, or this login may not use it.
    """
    _check_url(url)
    connection = psycopg.connect(
        url,
        autocommit=True,
        connect_timeout=max(2, int(timeout)),
        application_name="ml-worker",
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
        tcp_user_timeout=25_000,  # keepalives say nothing while sent data waits for an answer
    )
    if role is not None:
        try:
            with deadline(connection, timeout):
                lift_timeouts(connection)
                connection.execute(
                    # Columns without a time zone are read as UTC, wherever the worker runs.
                    sql.SQL("SET ROLE {}; SET TimeZone TO 'UTC'; {}").format(
                        sql.Identifier(role), sql.SQL(_FOR_WORKER if role == "ml_worker" else "")
                    )
                )
        except (psycopg.errors.InvalidParameterValue, psycopg.errors.UndefinedObject) as error:
            connection.close()
            raise UnsuitableDatabaseError(f"the role {role} is missing; run: ml-worker install") from error
        except psycopg.errors.InsufficientPrivilege as error:
            user = connection.info.user
            connection.close()
            raise UnsuitableDatabaseError(
                f'the login {user} may not work here; as an administrator run: GRANT {role} TO "{user}"'
            ) from error
    return connection


def lift_timeouts(connection: Connection) -> None:
    """Let no statement, transaction or session of this connection end for having taken long."""
    names = _TIMEOUTS + (_TIMEOUTS_FROM_17 if connection.info.server_version >= 170_000 else ())
    # The first at once: it may be shorter than all of this takes.
    connection.execute(
        sql.SQL("; ").join(sql.SQL("SET {} TO 0").format(sql.Identifier(name)) for name in names)
    )


def _check_url(url: str) -> None:
    """Refuse a connection string that libpq would take apart wrongly, and then show parts of a password."""
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        given = {"host": "@"}
    ports = str(given.get("port") or "").replace(",", "")
    if "@" in str(given.get("host")) or not (ports.isdigit() or ports == ""):
        raise UnsuitableDatabaseError(
            "DATABASE_URL is not a connection string like postgresql://user:password@host:5432/dbname; "
            "in a password, write @ as %40, : as %3A, / as %2F, ? as %3F, # as %23 and % as %25"
        ) from None


def name_and_host(url: str) -> tuple[str, str]:
    """What a connection string leads to, in words that a user knows it by."""
    given = conninfo_to_dict(url)
    return str(given.get("dbname") or given.get("user") or ""), str(given.get("host") or "localhost")


def ping(connection: Connection) -> None:
    """See that the server answers. Raises psycopg.OperationalError."""
    connection.execute("SELECT")


def is_open(connection: Connection) -> bool:
    """Whether the server has closed it, as far as that can be heard without asking."""
    try:
        connection.pgconn.consume_input()
    except psycopg.Error:
        return False
    return not connection.closed


def may_pass(connection: Connection, error: BaseException) -> bool:
    """Whether the server refused a statement for a reason of its own now: no other connection helps."""
    state = error.sqlstate if isinstance(error, psycopg.Error) else None
    return not connection.closed and state is not None and state[:2] in _PASSING


def check_notifications(connection: Connection, url: str, timeout: float) -> None:
    """Refuse a pooler that hands a session's server on between transactions: notifications would be lost.

    Raises:
        UnsuitableDatabaseError: a notification did not reach this connection while it was idle.
    """
    if fetch_value(connection, "SELECT pg_backend_pid()") == connection.info.backend_pid:
        return  # no pooler: it gives numbers of its own
    channel = f"ml_probe_{secrets.token_hex(8)}"
    connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
    with connect(url) as sender:
        sender.execute(sql.SQL("NOTIFY {}").format(sql.Identifier(channel)))
    if not any(True for _ in connection.notifies(timeout=timeout, stop_after=1)):
        raise UnsuitableDatabaseError(
            f"the server {connection.info.host} is a connection pooler in transaction mode, which loses "
            "notifications; connect to PostgreSQL itself, or to a pool in session mode"
        )
    connection.execute(sql.SQL("UNLISTEN {}").format(sql.Identifier(channel)))


def fetch_value(
    connection: Connection, query: LiteralString | sql.Composed, params: Sequence[Any] | None = None
) -> Any:
    """The one value that a query gives; None if it gives no row."""
    row = connection.execute(query, params).fetchone()
    return row[0] if row else None
