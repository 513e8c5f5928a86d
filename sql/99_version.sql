-- All files have been applied: this database has version 8.

SET search_path TO pg_catalog, pg_temp;

INSERT INTO ml.schema_version (version)
VALUES (8)
ON CONFLICT DO NOTHING;
