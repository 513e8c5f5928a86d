-- From version 6 to 7.

SET search_path TO pg_catalog, pg_temp;

-- Knows the base of a change now.
DROP FUNCTION IF EXISTS ml_internal.unlabelled_text(integer);

INSERT INTO ml.schema_version (version)
VALUES (7);
