-- From version 3 to 4: each kind of job brings its fields, rules and results itself, by the files of sql/.

SET search_path TO pg_catalog, pg_temp;

-- What no user calls moves to a schema of its own; views, triggers and columns that use it follow.
CREATE SCHEMA ml_internal;

DO $$
DECLARE
    v_routine regprocedure;
BEGIN
    FOR v_routine IN
        SELECT p.oid
        FROM pg_catalog.pg_proc p
        WHERE p.pronamespace = 'ml'::regnamespace
            AND p.proname <> ALL ('{train,test,compare,preview,report,wait,cancel_job,prune,separate_teams}')
    LOOP
        EXECUTE format('ALTER ROUTINE %s SET SCHEMA ml_internal', v_routine);
    END LOOP;
END
$$;

-- Triggers are made anew, under names that begin with their step.
DO $$
DECLARE
    v_trigger record;
BEGIN
    FOR v_trigger IN
        SELECT t.tgname, t.tgrelid::regclass AS of_table
        FROM pg_catalog.pg_trigger t
        JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
        WHERE p.pronamespace = 'ml_internal'::regnamespace AND NOT t.tgisinternal AND t.tgname NOT LIKE E'%\\_append\\_only'
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', v_trigger.tgname, v_trigger.of_table);
    END LOOP;
END
$$;

-- One routine records results of all kinds now; older workers' calls reach it through 94_version_3_workers.sql.
DROP FUNCTION IF EXISTS ml_internal.claim_job(text, interval);
DROP FUNCTION IF EXISTS ml_internal.record_training(
    bigint, integer, text, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint,
    numeric, text, text, text, bigint, text, text, numeric, numeric, text, double precision [], text
);
DROP FUNCTION IF EXISTS ml_internal.record_test(
    bigint, integer, bigint, bigint, bigint, bigint, bigint, bigint, bigint, numeric, text, text, numeric, numeric,
    double precision []
);
DROP FUNCTION IF EXISTS ml_internal.record_comparison(
    bigint, integer, bigint, bigint, bigint, bigint, bigint, bigint, numeric,
    bigint, bigint, bigint, bigint, numeric, text, numeric, numeric
);
DROP FUNCTION IF EXISTS ml_internal.record_progress(bigint, integer, numeric, text, interval);
DROP FUNCTION IF EXISTS ml_internal.apply_event_to_model();
DROP FUNCTION IF EXISTS ml_internal.check_job();
DROP FUNCTION IF EXISTS ml_internal.check_job_lists();
DROP FUNCTION IF EXISTS ml_internal.fill_overlap();
DROP FUNCTION IF EXISTS ml_internal.decide_winner();
DROP FUNCTION IF EXISTS ml_internal.target_text(public.ml_models);
DROP FUNCTION IF EXISTS ml_internal.common_phases(text, text);
DROP FUNCTION IF EXISTS ml_internal.check_train(
    text, text, text, numeric, text, timestamptz, timestamptz,
    integer, text, text, text, text, numeric, integer, integer, integer
);
DROP PROCEDURE IF EXISTS ml_internal.store_curve(bigint, bigint, bigint, double precision []);

ALTER TABLE public.ml_jobs
DROP CONSTRAINT IF EXISTS ml_jobs_job_type_known,
DROP CONSTRAINT IF EXISTS ml_jobs_completed_has_result,
DROP CONSTRAINT IF EXISTS ml_jobs_train_start_before_end,
DROP CONSTRAINT IF EXISTS ml_jobs_test_start_before_end,
DROP CONSTRAINT IF EXISTS ml_jobs_compare_start_before_end,
DROP CONSTRAINT IF EXISTS ml_jobs_periods_finite;

INSERT INTO ml.schema_version (version)
VALUES (4);
