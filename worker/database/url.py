"""Connection strings as other programs write them, made into those that libpq reads."""

import re
from urllib.parse import quote, unquote

from psycopg import pq

from worker.database.connection import UnsuitableDatabaseError

_SCHEMES = {"postgresql", "postgres", "postgis", "pgsql", "psql"}
_QUOTES = "\"'`"
# What only tunes the library that it is meant for: Prisma, SQLAlchemy, JDBC, Rails, Supabase.
_OF_OTHERS = re.compile(
    """
    pgbouncer | connection_limit | pool | pool_.* | max_.* | socket_timeout | statement_cache_size | sslaccept
    | prepared_statement.* | prepareThreshold | preparedStatement.* | async_fallback | reWriteBatchedInserts
    | stringtype | binaryTransfer.* | defaultRowFetchSize | loginTimeout | socketTimeout | tcpKeepAlive | supa
    | workaround | encoding | adapter | timeout | retry.* | autosave | loadBalanceHosts | serverVersion
    | uselibpqcompat
    """,
    re.VERBOSE,
)
_OTHER_NAMES = {"ApplicationName": "application_name", "connectTimeout": "connect_timeout"}
_SSL_MODES = {"true": "require", "1": "require", "no-verify": "require", "false": "disable", "0": "disable"}
_SERVERS = {"primary": "read-write", "master": "read-write", "any": "any"}


def understood(given: str) -> str:
    """A connection string for libpq: without quotes, blanks and what is meant for other libraries.

    Raises:
        UnsuitableDatabaseError: it leads to no PostgreSQL, or has a parameter that nobody knows. The message
            shows nothing that may be part of a password.
    """
    url = given.strip()
    while len(url) > 1 and url[0] == url[-1] and url[0] in _QUOTES:
        url = url[1:-1].strip()
    if not url:
        raise UnsuitableDatabaseError(
            "DATABASE_URL is blank; set it to postgresql://user:password@host:5432/dbname, or unset it"
        )
    is_jdbc = url.lower().startswith("jdbc:")
    if is_jdbc:
        url = url.partition(":")[2]
        url = url if "://" in url else re.sub(r"^(\w+):/?", r"\1:///", url)
    scheme, separator, rest = url.partition("://")
    if not separator or not re.fullmatch(r"[A-Za-z][\w+.:-]*", scheme):
        return url  # host=… dbname=…, or what connect() refuses
    if scheme.lower().partition("+")[0] not in _SCHEMES:
        raise UnsuitableDatabaseError(
            f"DATABASE_URL begins with {scheme}://, which is no address of a PostgreSQL server; "
            "it is needed as postgresql://user:password@host:5432/dbname"
        )
    before = re.match(r"[^@/]*@", rest)  # libpq takes a question mark for a part of the password there
    login = before.group() if before else ""
    base, _, query = rest.removeprefix(login).partition("?")
    parameters = dict(
        _translated(*pair.partition("=")[::2], is_jdbc=is_jdbc) for pair in query.split("&") if pair
    )
    parameters.pop("", None)
    text = "&".join(f"{name}={value}" for name, value in parameters.items())
    return f"postgresql://{login}{base}{'?' if text else ''}{text}"


def _translated(name: str, value: str, *, is_jdbc: bool) -> tuple[str, str]:
    """A parameter as libpq knows it; without a name if it needs none."""
    said = unquote(value)
    name = _OTHER_NAMES.get(name, name)
    if name in ("schema", "currentSchema", "search_path"):
        # Ours is public. Another is where the tables of the user's own may stand.
        path = "-csearch_path=" + re.sub(r"([\\ ])", r"\\\1", said)
        return ("", "") if said == "public" else ("options", quote(path, safe=""))
    if name == "ssl":
        mode = "verify-full" if is_jdbc and said in ("true", "") else _SSL_MODES.get(said, said)
        return "sslmode", quote(mode)
    if name == "sslaccept" and said == "strict":
        return "sslmode", "verify-full"
    if name == "targetServerType":
        return "target_session_attrs", _SERVERS.get(said, "read-only")
    if name in {option.keyword.decode() for option in pq.Conninfo.get_defaults()}:
        return name, value
    if _OF_OTHERS.fullmatch(name):
        return "", ""
    shown = f" {name}" if re.fullmatch(r"\w{1,40}", name) and "@" not in said else ""
    raise UnsuitableDatabaseError(
        f"DATABASE_URL has a parameter{shown} that PostgreSQL does not know; leave it out. "
        "In a password, write / as %2F, ? as %3F and & as %26"
    )
