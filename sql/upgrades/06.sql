-- From version 5 to 6: rights are given by the list alone, clients take turns, and no worker of version 3 lives.

SET search_path TO pg_catalog, pg_temp;

DROP FUNCTION IF EXISTS ml_internal.curve_of_version_3(bigint, bigint, double precision []);

DO $$
DECLARE
    v_routine regprocedure;
BEGIN
    FOR v_routine IN
        SELECT p.oid
        FROM pg_proc p
        WHERE p.pronamespace = 'ml'::regnamespace
            AND p.proname IN (
                'claim_job', 'record_progress', 'record_failure', 'record_loss', 'release_job', 'expire_leases',
                'record_sign', 'record_training', 'record_test', 'record_comparison', 'require_attempt',
                'lose_attempt', 'require_free_name', 'require_ready_model', 'store_curve'
            )
    LOOP
        EXECUTE format('DROP ROUTINE %s', v_routine);
    END LOOP;
END
$$;

-- They have one more argument, max_minutes.
DO $$
DECLARE
    v_routine regprocedure;
BEGIN
    FOR v_routine IN
        SELECT p.oid
        FROM pg_proc p
        WHERE (p.pronamespace = 'ml'::regnamespace AND p.proname IN ('train', 'test', 'compare'))
            OR (p.proname IN ('preview', 'try_train') AND p.pronamespace IN ('ml'::regnamespace, 'ml_internal'::regnamespace) AND p.pronargs = 16)
    LOOP
        EXECUTE format('DROP ROUTINE %s', v_routine);
    END LOOP;
END
$$;

DROP INDEX public.ml_jobs_queue;
DROP INDEX IF EXISTS public.ml_jobs_queue_of_kind;
ALTER TABLE public.ml_job_events ALTER created_at SET DEFAULT clock_timestamp();

INSERT INTO ml.schema_version (version)
VALUES (6);
