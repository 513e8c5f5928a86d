-- The schema of the routines and the version of this database.
-- A database that is newer than these files is refused here, before anything is touched;
-- 99_version.sql records the version once all the files between have been applied.

SET search_path TO pg_catalog, pg_temp;

CREATE SCHEMA IF NOT EXISTS ml;

CREATE TABLE IF NOT EXISTS ml.schema_version (
    version integer NOT NULL,
    installed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT schema_version_pkey PRIMARY KEY (version),
    CONSTRAINT schema_version_positive CHECK (version > 0)
);

DO $$
BEGIN
    IF EXISTS (SELECT FROM ml.schema_version v WHERE v.version > 1) THEN
        RAISE EXCEPTION 'this database has schema version %, these files are version 1',
            (SELECT max(v.version) FROM ml.schema_version v)
            USING ERRCODE = 'ML005', HINT = 'Use the release that installed the newer version, or one after it.';
    END IF;
END
$$;

COMMENT ON SCHEMA ml IS 'Routines of the ML training service; \df ml.* lists them. The tables are in public.';
COMMENT ON TABLE ml.schema_version IS 'Versions of the ML service schema that were installed here; the highest is the present one.';
COMMENT ON COLUMN ml.schema_version.version IS 'Version number, from 1.';
COMMENT ON COLUMN ml.schema_version.installed_at IS 'When this version was installed.';
