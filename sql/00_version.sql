-- The schema of the routines and the version of this database.
-- A database that these files do not fit is refused here, before anything is touched: a newer one, an older one that
-- upgrades/ has not yet brought here, and one that cannot hold every text. 99_version.sql records the version after
-- all the files between.

SET search_path TO pg_catalog, pg_temp;

CREATE SCHEMA IF NOT EXISTS ml;

CREATE TABLE IF NOT EXISTS ml.schema_version (
    version integer NOT NULL,
    installed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT schema_version_pkey PRIMARY KEY (version),
    CONSTRAINT schema_version_positive CHECK (version > 0)
);

DO $$
DECLARE
    v_installed integer := (SELECT max(v.version) FROM ml.schema_version v);
BEGIN
    IF current_setting('server_encoding') <> 'UTF8' THEN
        RAISE EXCEPTION 'the database % is encoded in %, which cannot hold every text', current_database(), current_setting('server_encoding')
            USING ERRCODE = 'ML005', HINT = 'Make another: CREATE DATABASE ... ENCODING ''UTF8'' TEMPLATE template0;';
    END IF;
    IF v_installed <> 9 THEN
        RAISE EXCEPTION 'this database has schema version %, these files are version 9', v_installed
            USING ERRCODE = 'ML005', HINT = CASE
                WHEN v_installed > 9 THEN 'Use the release that installed the newer version, or one after it.'
                ELSE format('Run ml-worker install, or first apply the files of sql/upgrades/ after %s, in order.', v_installed)
            END;
    END IF;
END
$$;

CREATE SCHEMA IF NOT EXISTS ml_internal;

COMMENT ON SCHEMA ml IS E'What users call of the ML training service; \\df ml.* lists it. The tables are in public.';
COMMENT ON SCHEMA ml_internal IS 'What triggers, views and workers of the ML training service call, and no user needs.';
COMMENT ON TABLE ml.schema_version IS 'Versions of the ML service schema that were installed here; the highest is the present one.';
COMMENT ON COLUMN ml.schema_version.version IS 'Version number, from 1.';
COMMENT ON COLUMN ml.schema_version.installed_at IS 'When this version was installed.';
