-- The roles. They cannot log in; the operator grants them to logins: GRANT ml_client TO anna;
-- What they may do stands with each kind of job, and for all that kinds share in 95_rights.sql.

SET search_path TO pg_catalog, pg_temp;

DO $$
DECLARE
    v_role name;
BEGIN
    FOREACH v_role IN ARRAY ARRAY['ml_reader', 'ml_client', 'ml_worker'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = v_role) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', v_role);
                EXECUTE format('COMMENT ON ROLE %I IS %L', v_role, CASE v_role
                    WHEN 'ml_reader' THEN 'Reads the tables and views of the ML service.'
                    WHEN 'ml_client' THEN 'Reads; submits, cancels and reorders jobs; names, describes and deletes models.'
                    WHEN 'ml_worker' THEN 'Reads; calls the routines of a worker, and changes nothing otherwise.'
                END);
            END IF;
        EXCEPTION
            -- Roles belong to the whole server: the installer of another database may have come first.
            WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END LOOP;
    -- Clients and workers read what readers read.
    FOREACH v_role IN ARRAY ARRAY['ml_client', 'ml_worker'] LOOP
        IF NOT pg_has_role(v_role, 'ml_reader', 'MEMBER') THEN
            EXECUTE format('GRANT ml_reader TO %I', v_role);
        END IF;
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA public, ml, ml_internal TO ml_reader;
