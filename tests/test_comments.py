"""The catalogue reads like documentation: everything has a COMMENT."""

from tests.conftest import Connection

UNCOMMENTED = {
    "relations": """
        SELECT c.oid::regclass::text AS name
        FROM pg_class c
        WHERE c.relnamespace IN ('public'::regnamespace, 'ml'::regnamespace, 'ml_internal'::regnamespace)
            AND c.relkind IN ('r', 'p', 'v', 'm')
            AND obj_description(c.oid, 'pg_class') IS NULL""",
    "columns": """
        SELECT c.oid::regclass || '.' || a.attname AS name
        FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.relnamespace IN ('public'::regnamespace, 'ml'::regnamespace, 'ml_internal'::regnamespace)
            AND c.relkind IN ('r', 'p', 'v', 'm')
            AND col_description(c.oid, a.attnum) IS NULL""",
    "routines": """
        SELECT p.oid::regprocedure::text AS name
        FROM pg_proc p
        WHERE p.pronamespace::regnamespace::text ~ '^ml' AND obj_description(p.oid, 'pg_proc') IS NULL""",
    "roles": """
        SELECT r.rolname AS name
        FROM pg_roles r
        WHERE r.rolname IN ('ml_reader', 'ml_client', 'ml_worker')
            AND shobj_description(r.oid, 'pg_authid') IS NULL""",
}


def test_every_relation_column_routine_and_role_has_a_comment(reader: Connection) -> None:
    for kind, query in UNCOMMENTED.items():
        assert [row["name"] for row in reader.execute(query.encode())] == [], kind


def test_there_is_something_to_comment(reader: Connection) -> None:
    found = reader.execute(
        "SELECT count(*) AS n FROM pg_proc WHERE pronamespace::regnamespace::text ~ '^ml'"
    ).fetchone()
    assert found is not None
    assert found["n"] > 20
