-- The roles. They cannot log in; the operator grants them to logins: GRANT ml_client TO anna;
-- What they may do is a list, to which each file adds what its own objects need (ml_internal.allow). 95_rights.sql adds
-- what all share, and then makes the rights in the catalog those of the list.

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

-- The schema public is the database's own: the right to use it is added, and nothing taken away.
DO $$
BEGIN
    IF NOT has_schema_privilege('ml_reader', 'public', 'USAGE') THEN
        GRANT USAGE ON SCHEMA public TO ml_reader;
    END IF;
END
$$;

CREATE TABLE IF NOT EXISTS ml_internal.rights (
    grantee name NOT NULL,
    privilege text NOT NULL,
    object text NOT NULL,
    column_name name NOT NULL DEFAULT '',
    CONSTRAINT rights_pkey PRIMARY KEY (grantee, privilege, object, column_name),
    CONSTRAINT rights_grantee_is_ours CHECK (grantee IN ('ml_reader', 'ml_client', 'ml_worker'))
);

-- The files write the list anew.
DELETE FROM ml_internal.rights;

CREATE OR REPLACE PROCEDURE ml_internal.allow(
    p_grantee name,
    p_privilege text,
    p_objects text,
    p_columns text DEFAULT ''
)
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    INSERT INTO ml_internal.rights (grantee, privilege, object, column_name)
    SELECT p_grantee, p_privilege, o.name, c.name
    FROM regexp_split_to_table(p_objects, '[[:space:],]+') o (name)
    CROSS JOIN regexp_split_to_table(p_columns, '[[:space:],]+') c (name)
    WHERE o.name <> '' AND (c.name <> '' OR p_columns = '')
    ON CONFLICT DO NOTHING;
$$;

CALL ml_internal.allow('ml_reader', 'USAGE', 'ml, ml_internal');

COMMENT ON TABLE ml_internal.rights IS 'Who may do what with the objects of the service: the list that 95_rights.sql keeps.';
COMMENT ON COLUMN ml_internal.rights.grantee IS 'Role that has the right, and with it its members.';
COMMENT ON COLUMN ml_internal.rights.privilege IS 'SELECT, INSERT, UPDATE, EXECUTE or USAGE.';
COMMENT ON COLUMN ml_internal.rights.object IS 'Schema, or relation or routine with its schema; a routine stands for all of its name.';
COMMENT ON COLUMN ml_internal.rights.column_name IS 'Column that the right is for; empty: the whole object.';
COMMENT ON PROCEDURE ml_internal.allow(name, text, text, text) IS 'Adds a right to the list, on objects and perhaps columns separated by commas.';
