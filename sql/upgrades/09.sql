-- From version 8 to 9.

SET search_path TO pg_catalog, pg_temp;

INSERT INTO ml.schema_version (version)
VALUES (9);
