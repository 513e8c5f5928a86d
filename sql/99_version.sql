-- All files have been applied: this database has version 9.

SET search_path TO pg_catalog, pg_temp;

INSERT INTO ml.schema_version (version)
VALUES (9)
ON CONFLICT DO NOTHING;
