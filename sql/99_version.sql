-- All files have been applied: this database has version 1.

INSERT INTO ml.schema_version (version)
VALUES (1)
ON CONFLICT DO NOTHING;
