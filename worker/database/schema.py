"""The schema and its versions: what ``ml-worker install`` does, and what a worker checks."""

import logging
import time
from collections.abc import Iterable, Mapping

import psycopg
from psycopg import sql

from worker.database.connection import Connection, UnsuitableDatabaseError, fetch_value

SCHEMA_VERSION = 9
OTHER_INSTALLERS_SECONDS = 600.0  # to wait for at most
OPEN_SECONDS = 60.0  # that one transaction may be in the way
BUSY_SECONDS = 600.0  # that many, one after the other, may be
SAY_AFTER_SECONDS = 2.0

log = logging.getLogger("ml-worker")


def installed_version(connection: Connection) -> int | None:
    """Version of the schema in this database; None if there is none."""
    if fetch_value(connection, "SELECT to_regclass('ml.schema_version')") is None:
        return None
    version: int | None = fetch_value(connection, "SELECT max(version) FROM ml.schema_version")
    return version


def check_version(connection: Connection, *, to_read: bool = False) -> None:
    """Refuse a database that this worker was not made for.

    Raises:
        UnsuitableDatabaseError: the schema is missing, older or newer, or the server is a standby, which is
            good enough to read.
    """
    if not to_read and fetch_value(connection, "SELECT pg_is_in_recovery()"):
        raise UnsuitableDatabaseError(
            f"the server {connection.info.host} is a standby and takes no changes; connect to the primary"
        )
    version = installed_version(connection)
    if version is None:
        raise UnsuitableDatabaseError(
            f"the database {connection.info.dbname} has no ML schema; run: ml-worker install"
        )
    if version < SCHEMA_VERSION:
        raise UnsuitableDatabaseError(
            f"the database {connection.info.dbname} has schema version {version}, this worker needs "
            f"{SCHEMA_VERSION}; run: ml-worker install"
        )
    if version > SCHEMA_VERSION:
        raise UnsuitableDatabaseError(
            f"the database {connection.info.dbname} has schema version {version}, newer than this worker's "
            f"{SCHEMA_VERSION}; install the newer ml-worker"
        )


def install(connection: Connection, upgrades: Mapping[int, str], files: Iterable[str]) -> None:
    """Apply what is missing of ``sql/upgrades/``, then the files of ``sql/``, in one transaction.

    One installer at a time; it waits for those who read or write, and they for it.

    Raises:
        UnsuitableDatabaseError: another installer or session is in the way for too long.
    """
    with connection.transaction():
        connection.execute("SET LOCAL client_min_messages = warning")
        _wait_for_installers(connection)
        if (installed := installed_version(connection)) is not None:
            _keep_everybody_out(connection)
            for version in range(installed + 1, SCHEMA_VERSION + 1):
                connection.execute(upgrades[version].encode())
        for text in files:
            connection.execute(text.encode())


def _wait_for_installers(connection: Connection) -> None:
    """Be the only installer until the transaction ends.

    By what only an installer may do, unlike taking an advisory lock: to make the schema, which others wait
    for, and where it is there, to lock the table of versions.
    """
    ends = time.monotonic() + OTHER_INSTALLERS_SECONDS
    while time.monotonic() < ends:
        try:
            with connection.transaction():
                connection.execute("SET LOCAL lock_timeout = '10s'")
                connection.execute("CREATE SCHEMA IF NOT EXISTS ml")
                if installed_version(connection) is not None:
                    connection.execute("LOCK TABLE ml.schema_version IN SHARE ROW EXCLUSIVE MODE")
                connection.execute("SET LOCAL lock_timeout TO DEFAULT")
        except psycopg.errors.UniqueViolation:
            continue  # another made it just now
        except psycopg.errors.LockNotAvailable:
            log.warning("waiting for another installer")
        else:
            return
    raise UnsuitableDatabaseError("another installer has not ended in ten minutes; end it and install again")


def _keep_everybody_out(connection: Connection) -> None:
    """Lock our tables and views, also against those who read: to replace a view needs that.

    It takes all of them within half a second or lets go of all: somebody may hold one and wait for another,
    and PostgreSQL looks for deadlocks after a second. With ml_jobs first, those who write mostly finish. The
    longer it takes, the longer the pauses, in which workers renew their leases.

    Raises:
        UnsuitableDatabaseError: a session keeps its transaction open.
    """
    names = fetch_value(
        connection,
        """
        SELECT string_agg(format('public.%I', c.relname), ', ' ORDER BY c.relname <> 'ml_jobs', c.relname)
        FROM pg_catalog.pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v')
            AND c.relname LIKE 'ml\\_%'
            AND c.relname NOT IN ('ml_metric_columns', 'ml_dim_features')  -- they read the catalog
            AND pg_catalog.pg_has_role(c.relowner, 'USAGE')
        """,
    )
    began, pause, has_said = time.monotonic(), 0.1, False
    seen: dict[str, float] = {}  # since when a transaction is in the way
    while names is not None:
        try:
            with connection.transaction():
                connection.execute("SET LOCAL statement_timeout = '500ms'")
                connection.execute(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE".encode())
                connection.execute("SET LOCAL statement_timeout TO 0")
        except psycopg.errors.QueryCanceled:
            now, holders = time.monotonic(), _holders(connection)
            seen = {transaction: seen.get(transaction, now) for transaction in holders}
            stuck = [who for transaction, who in holders.items() if now - seen[transaction] > OPEN_SECONDS]
            if stuck or now - began > BUSY_SECONDS:
                who = ", ".join(stuck or holders.values())
                raise UnsuitableDatabaseError(
                    f"open transactions are in the way of the installation: {who}; COMMIT them or end the "
                    "sessions, and install again"
                ) from None
            if now - began > SAY_AFTER_SECONDS and not has_said:
                log.warning("waiting for open transactions: %s", ", ".join(holders.values()))
                has_said = True
            time.sleep(pause)
            pause = min(1.0, pause * 1.5)
        else:
            return


def _holders(connection: Connection) -> dict[str, str]:
    """Transactions that hold our tables or views, and whose they are, in words."""
    return dict(
        connection.execute(
            """
            SELECT l.virtualtransaction, min(concat(
                'process ', a.pid, ' of ', a.usename, ' since ' || date_trunc('second', a.xact_start)
            ))
            FROM pg_catalog.pg_locks l
            JOIN pg_catalog.pg_class c ON c.oid = l.relation
            JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
            WHERE l.granted AND a.datname = current_database() AND a.pid <> pg_backend_pid()
                AND c.relnamespace = 'public'::regnamespace
                AND c.relname LIKE 'ml\\_%' AND c.relkind IN ('r', 'v')
            GROUP BY l.virtualtransaction
            ORDER BY 2
            """
        ).fetchall()
    )


def ensure_database(connection: Connection, name: str) -> None:
    """Create the database if it is not there."""
    if connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
