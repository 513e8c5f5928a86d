"""Connection strings are taken as other programs write them, and refused without showing a password."""

import pytest
from psycopg.conninfo import conninfo_to_dict

from worker.database.connection import UnsuitableDatabaseError, connect
from worker.database.url import understood

PLAIN = {"host": "h", "dbname": "d", "user": "u", "password": "secret"}
REQUIRED = PLAIN | {"sslmode": "require"}
URL = "postgresql://u:secret@h/d"


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (URL, PLAIN),
        ("postgres://u:secret@h/d", PLAIN),
        ("PostgreSQL://u:secret@h/d", PLAIN),
        *(
            (f"{scheme}://u:secret@h/d", PLAIN)
            for scheme in (
                "postgresql+psycopg2",
                "postgresql+asyncpg",
                "postgresql+psycopg",
                "postgres+pg8000",
                "postgis",
                "pgsql",
            )
        ),
        ("postgresql+psycopg2://u:se?cr=et@h/d?schema=public", PLAIN | {"password": "se?cr=et"}),
        ("postgresql://h/d?user=u@h&password=secret&schema=public", PLAIN | {"user": "u@h"}),
        # Prisma.
        (f"{URL}?schema=public", PLAIN),
        (f"{URL}?schema=public&sslmode=require", REQUIRED),
        (
            f"{URL}?pgbouncer=true&connection_limit=1&pool_timeout=20&connect_timeout=5",
            PLAIN | {"connect_timeout": "5"},
        ),
        (f"{URL}?sslaccept=accept_invalid_certs&sslmode=require&schema=public", REQUIRED),
        (f"{URL}?schema=My%20app", PLAIN | {"options": "-csearch_path=My\\ app"}),
        # SQLAlchemy and asyncpg.
        ("postgresql+asyncpg://u:secret@h/d?ssl=require&prepared_statement_cache_size=0", REQUIRED),
        (
            "postgresql+psycopg2:///d?host=/run/postgresql&user=u",
            {"host": "/run/postgresql", "dbname": "d", "user": "u"},
        ),
        # JDBC.
        ("jdbc:postgresql://h:5433/d?user=u&password=secret", PLAIN | {"port": "5433"}),
        (
            "jdbc:postgresql://h/d?user=u@h&password=se%40cret&currentSchema=public",
            PLAIN | {"user": "u@h", "password": "se@cret"},
        ),
        (
            "jdbc:postgresql://h/d?user=u&password=secret&ssl=true&ApplicationName=x",
            PLAIN | {"sslmode": "verify-full", "application_name": "x"},
        ),
        ("jdbc:postgresql:d", {"dbname": "d"}),
        ("jdbc:postgresql:///d", {"dbname": "d"}),
        # A file of secrets, or of settings.
        (f"{URL}\n", PLAIN),
        (f" \t{URL}?sslmode=require\r\n", REQUIRED),
        (f'"{URL}"', PLAIN),
        (f"'{URL}'\n", PLAIN),
        (f'"{URL}\n"', PLAIN),
        # As libpq has it.
        ("host=h dbname=d user=u password=secret\n", PLAIN),
        ("'host=h dbname=d user=u password=secret'", PLAIN),
        ("host=h dbname=d user=u password='secret'", PLAIN),
        (
            f"{URL}?channel_binding=require&options=endpoint%3Dx",
            PLAIN | {"channel_binding": "require", "options": "endpoint=x"},
        ),
        (
            "postgresql://u:secret@h:1,h2:2/d?targetServerType=primary",
            PLAIN | {"host": "h,h2", "port": "1,2", "target_session_attrs": "read-write"},
        ),
    ],
)
def test_a_connection_string_is_taken_as_it_is_meant(given: str, meant: dict[str, str]) -> None:
    assert conninfo_to_dict(understood(given)) == meant


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("mysql://u:secret@h/d", "begins with mysql://, which is no address of a PostgreSQL server"),
        ("jdbc:mysql://h/d?user=u&password=secret", "begins with mysql://"),
        ("prisma+postgres://accelerate.example/?api_key=secret", "begins with prisma+postgres://"),
        ("https://u:secret@h/d", "begins with https://"),
        (" \n", "DATABASE_URL is blank"),
        ("''", "DATABASE_URL is blank"),
        (f"{URL}?colour=secret", "has a parameter colour that PostgreSQL does not know"),
        (f"{URL}?secret=secret@h/d", "has a parameter that PostgreSQL does not know"),
        ("postgresql://u:12/secret?secret=x@h/d", "In a password, write / as %2F, ? as %3F and & as %26"),
        ("postgresql://u:pa/secret?se&cret@h/d", "In a password, write / as %2F, ? as %3F and & as %26"),
        ("postgresql://u:secret@secret@h/d", "in a password, write @ as %40"),
        ("postgresql+psycopg2://u:se/secret@h/d", "in a password, write @ as %40"),
        ("u:secret@h/d", "is not a connection string like postgresql://"),
        ("postgresql:/u:secret@h/d", "is not a connection string like postgresql://"),
    ],
)
def test_what_leads_nowhere_is_refused_without_showing_a_password(given: str, said: str) -> None:
    with pytest.raises(UnsuitableDatabaseError) as caught:
        connect(understood(given))
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)
