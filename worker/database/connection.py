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

# What this code relies on, whatever a login, a role, a database, the connection or the environment has set.
# No timeouts: the supervisor has deadlines of its own, a load may take hours, a session waits for its job.
_RELIED_ON: LiteralString = """
    SET statement_timeout TO 0; -- the first at once: it may be shorter than all of this takes
    SET lock_timeout TO 0;
    SET idle_in_transaction_session_timeout TO 0;
    SET idle_session_timeout TO 0;
    SELECT pg_catalog.set_config('transaction_timeout', '0', false) -- from version 17 on
    WHERE pg_catalog.current_setting('transaction_timeout', true) OPERATOR(pg_catalog.<>) '0';
    SET default_transaction_read_only TO off;
    SET default_transaction_isolation TO 'read committed';
    SET default_transaction_deferrable TO off;
    SET exit_on_error TO off;
    SET row_security TO on;
    SET standard_conforming_strings TO on;
    SET escape_string_warning TO off;
    SET quote_all_identifiers TO off;
    SET transform_null_equals TO off;
    SET array_nulls TO on;
    SET DateStyle TO 'ISO, MDY';
    SET IntervalStyle TO 'postgres';
    SET TimeZone TO 'UTC'; -- columns without a time zone are read as UTC, wherever the worker runs
    SET extra_float_digits TO 1;
    SET bytea_output TO 'hex';
    SET plan_cache_mode TO 'auto';
    SET jit TO off; -- no query of ours is worth compiling
    SELECT pg_catalog.set_config('synchronous_commit', 'on', false)
    WHERE pg_catalog.current_setting('synchronous_commit') OPERATOR(pg_catalog.=) 'off';
    SELECT pg_catalog.set_config('restrict_nonsystem_relation_kind', '', false) -- not every release has it
    WHERE pg_catalog.current_setting('restrict_nonsystem_relation_kind', true) OPERATOR(pg_catalog.<>) '';
    SELECT pg_catalog.set_config('session_replication_role', 'origin', false) -- else no trigger would fire
    WHERE pg_catalog.current_setting('session_replication_role') OPERATOR(pg_catalog.<>) 'origin'
        AND pg_catalog.has_parameter_privilege('session_replication_role', 'SET')
"""
# Nobody else's operators and functions, even where everybody may create some in public.
_FOR_WORKER: LiteralString = "SET search_path TO pg_catalog, pg_temp"
_ORIGIN: LiteralString = "SELECT pg_catalog.current_setting('session_replication_role')"


# Classes of errors of the server at this moment, while the connection is good: deadlock, no room, a limit, …
_PASSING = {"40", "53", "54", "55", "58", "XX"}


class UnsuitableDatabaseError(Exception):
    """The database cannot be worked with; the message says why and what to do."""


def connect(url: str, role: str | None = None, timeout: float = 10) -> Connection:
    """Open a connection in autocommit mode, with the rights of ``role`` alone if one is given.

    Its settings are those that this code relies on; who set which others does not matter.

    Raises:
        psycopg.OperationalError: the server cannot be reached.
        UnsuitableDatabaseError: ``url`` is none, the role is missing, this login may not use it, or something
            that cannot be set for a session is not as it must be.
    """
    _check_url(url)
    connection = psycopg.connect(
        url,
        autocommit=True,
        connect_timeout=max(2, int(timeout)),
        application_name="ml-worker",
        client_encoding="UTF8",
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
        tcp_user_timeout=25_000,  # keepalives say nothing while sent data waits for an answer
    )
    try:
        with deadline(connection, timeout):
            _prepare(connection, role)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: Connection, role: str | None) -> None:
    """Set what is relied on and take the role, in one round trip; refuse what cannot be set."""
    user, dbname = connection.info.user, connection.info.dbname
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in ("UTF8", None):  # None: a pooler that does not tell
        raise UnsuitableDatabaseError(
            f"the database {dbname} is encoded in {encoding}, which cannot hold every text; "
            f"make another: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )
    statements: list[sql.Composable] = [sql.SQL(_RELIED_ON)]
    if role is not None:
        statements.append(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
    if role == "ml_worker":
        statements.append(sql.SQL(_FOR_WORKER))
    try:
        cursor = connection.execute(sql.SQL("; ").join([*statements, sql.SQL(_ORIGIN)]))
    except (psycopg.errors.InvalidParameterValue, psycopg.errors.UndefinedObject) as error:
        raise UnsuitableDatabaseError(f"the role {role} is missing; run: ml-worker install") from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise UnsuitableDatabaseError(
            f'the login {user} may not work here; as an administrator run: GRANT {role} TO "{user}"'
        ) from error
    while cursor.nextset():
        pass
    if (origin := cursor.fetchone()) and origin != ("origin",):
        raise UnsuitableDatabaseError(
            f"session_replication_role is {origin[0]}, so no trigger would fire; as an administrator run: "
            f'ALTER ROLE "{user}" RESET session_replication_role, and the same for the database "{dbname}"'
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
