-- All files have been applied: this database has version 7.

SET search_path TO pg_catalog, pg_temp;

INSERT INTO ml.schema_version (version)
VALUES (7)
ON CONFLICT DO NOTHING;
