-- Teams: CALL ml.separate_teams(true) hides every job, and all that derives from it, from whoever is not a member
-- of the role that inserted it. A team is a role: its members insert as it (SET ROLE, or ALTER ROLE anna SET role).
-- The owner of the tables sees all; a policy on ml_jobs that lets a role see more lets it see what derives as well.

SET search_path TO pg_catalog, pg_temp;

-- The policies come with the first call: to make one locks its table against readers, which no installation should.
-- The call never waits for a lock for long while it holds others: somebody may hold that one and wait for these.
CREATE OR REPLACE PROCEDURE ml.separate_teams(
    separate boolean
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET lock_timeout TO '100ms'
AS $$
DECLARE
    v_table regclass;
    -- The jobs, and whatever refers to them.
    v_tables regclass[] := ARRAY['public.ml_jobs'::regclass] || ARRAY(
        SELECT c.conrelid::regclass
        FROM pg_constraint c
        WHERE c.contype = 'f' AND c.confrelid = 'public.ml_jobs'::regclass AND c.conrelid <> c.confrelid
        ORDER BY c.conrelid::regclass::text
    );
BEGIN
    IF separate IS NULL THEN
        RAISE EXCEPTION 'teams cannot be separated by NULL'
            USING ERRCODE = 'null_value_not_allowed', HINT = 'CALL ml.separate_teams(true); or CALL ml.separate_teams(false);';
    ELSIF NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = ANY (v_tables) AND c.relrowsecurity <> separate) THEN
        RETURN;
    END IF;
    LOOP
        BEGIN
            EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', array_to_string(v_tables, ', '));
            EXIT;
        EXCEPTION
            WHEN lock_not_available THEN
                PERFORM pg_sleep(0.1);
        END;
    END LOOP;
    FOREACH v_table IN ARRAY v_tables LOOP
        IF NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = v_table AND p.polname = 'own_team') THEN
            EXECUTE format('CREATE POLICY own_team ON %s USING (%s)', v_table, CASE v_table
                -- The names in an array, which a query finds once. A role that is gone has no members.
                WHEN 'public.ml_jobs'::regclass THEN
                    'created_by = ANY (ARRAY(SELECT r.rolname FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, ''MEMBER'')))'
                ELSE (
                    SELECT format('EXISTS (SELECT FROM public.ml_jobs j WHERE j.id = %I)', a.attname)
                    FROM pg_constraint c
                    JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
                    WHERE c.contype = 'f' AND c.confrelid = 'public.ml_jobs'::regclass AND c.conrelid = v_table
                )
            END);
            EXECUTE format('COMMENT ON POLICY own_team ON %s IS %L', v_table, 'Members of the role that inserted the job.');
        END IF;
        EXECUTE format('ALTER TABLE %s %s ROW LEVEL SECURITY', v_table, CASE WHEN separate THEN 'ENABLE' ELSE 'DISABLE' END);
    END LOOP;
    IF NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = 'public.ml_jobs'::regclass AND p.polname = 'workers') THEN
        CREATE POLICY workers ON public.ml_jobs FOR SELECT TO ml_worker USING (true);
        COMMENT ON POLICY workers ON public.ml_jobs IS 'A worker reads the jobs of all teams, and what derives from them.';
    END IF;
END
$$;

-- A table that a newer version brings follows the others.
DO $$
BEGIN
    IF (SELECT c.relrowsecurity FROM pg_class c WHERE c.oid = 'public.ml_jobs'::regclass) THEN
        CALL ml.separate_teams(true);
    END IF;
END
$$;

COMMENT ON PROCEDURE ml.separate_teams(boolean) IS 'Owner: true hides jobs, models and results from all but members of the role that inserted the job; false, as installed, shows all to all.';
