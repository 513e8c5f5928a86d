-- Teams: CALL ml.separate_teams(true) hides every job, and all that derives from it, from whoever is not a member
-- of the role that inserted it. A team is a role: its members insert as it (SET ROLE, or ALTER ROLE anna SET role).
-- The owner of the tables sees all; a policy on ml_jobs that lets a role see more lets it see what derives as well.

SET search_path TO pg_catalog, pg_temp;

-- The policies are always there; the call switches them on. Making one locks its table against readers, so only once.
DO $$
DECLARE
    v_table regclass;
    v_rule text;
BEGIN
    FOR v_table, v_rule IN
        VALUES
        -- The names in an array, which a query finds once. A role that is gone has no members.
        ('public.ml_jobs'::regclass, 'created_by = ANY (ARRAY(
            SELECT r.rolname FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, ''MEMBER'')
        ))'),
        ('public.ml_models', 'EXISTS (SELECT FROM public.ml_jobs j WHERE j.id = train_job_id)'),
        ('public.ml_job_events', 'EXISTS (SELECT FROM public.ml_jobs j WHERE j.id = job_id)'),
        ('public.ml_training_runs', 'EXISTS (SELECT FROM public.ml_jobs j WHERE j.id = job_id)'),
        ('public.ml_test_results', 'EXISTS (SELECT FROM public.ml_jobs j WHERE j.id = job_id)'),
        ('public.ml_comparisons', 'EXISTS (SELECT FROM public.ml_jobs j WHERE j.id = job_id)')
    LOOP
        IF NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = v_table AND p.polname = 'own_team') THEN
            EXECUTE format('CREATE POLICY own_team ON %s USING (%s)', v_table, v_rule);
            EXECUTE format(
                'COMMENT ON POLICY own_team ON %s IS %L', v_table,
                'Members of the role that inserted the job; off until CALL ml.separate_teams(true).'
            );
        END IF;
    END LOOP;
END
$$;

CREATE OR REPLACE PROCEDURE ml.separate_teams(
    separate boolean
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_table regclass;
BEGIN
    IF separate IS NULL THEN
        RAISE EXCEPTION 'teams cannot be separated by NULL'
            USING ERRCODE = 'null_value_not_allowed', HINT = 'CALL ml.separate_teams(true); or CALL ml.separate_teams(false);';
    END IF;
    FOR v_table IN
        SELECT c.oid
        FROM pg_policy p
        JOIN pg_class c ON c.oid = p.polrelid
        WHERE p.polname = 'own_team' AND c.relrowsecurity <> separate
        ORDER BY c.oid <> 'public.ml_jobs'::regclass, c.relname
    LOOP
        EXECUTE format('ALTER TABLE %s %s ROW LEVEL SECURITY', v_table, CASE WHEN separate THEN 'ENABLE' ELSE 'DISABLE' END);
    END LOOP;
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
