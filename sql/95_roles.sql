-- Who may do what. The roles cannot log in; the operator grants them to logins:
-- GRANT ml_client TO anna;

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

REVOKE ALL ON ALL ROUTINES IN SCHEMA ml FROM public;

-- Reads everything.
GRANT USAGE ON SCHEMA public, ml TO ml_reader;
GRANT SELECT ON
    public.ref_model_types, public.ref_model_params,
    public.ml_jobs, public.ml_job_events, public.ml_models,
    public.ml_training_runs, public.ml_test_results, public.ml_comparisons, public.ml_worker_signs,
    public.ml_curve_points,
    public.ml_metric_columns, public.ml_queue, public.ml_workers, public.ml_leaderboard, public.ml_model_features, public.ml_model_params,
    public.ml_measurements, public.ml_threshold_sweep, public.ml_roc_curve, public.ml_pr_curve, public.ml_calibration,
    public.ml_last_days, public.ml_daily_jobs, public.ml_daily_durations, public.ml_daily_losses, public.ml_daily_quality,
    public.ml_failures, public.ml_artifact_sizes, public.ml_worker_days,
    public.ml_dim_models, public.ml_dim_features,
    public.ml_fact_jobs, public.ml_fact_training_runs, public.ml_fact_tests, public.ml_fact_comparisons, public.ml_fact_importances,
    ml.schema_version
TO ml_reader;

-- Says before, during and after a job what a reader could find out by queries of his own.
GRANT EXECUTE ON FUNCTION ml.preview(bigint) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml.preview(
    text, text, text, numeric, text, timestamptz, timestamptz,
    integer, text, text, text, text, numeric, integer, integer, integer
) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml.check_train(
    text, text, text, numeric, text, timestamptz, timestamptz,
    integer, text, text, text, text, numeric, integer, integer, integer
) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml.count_rows(text, text, numeric, integer, text [], text, timestamptz, timestamptz) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml.preview_job(public.ml_jobs) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml.count_text(bigint, bigint) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml.describe_job(bigint) TO ml_reader;
GRANT EXECUTE ON PROCEDURE ml.require_autocommit(text) TO ml_reader;
GRANT EXECUTE ON PROCEDURE ml.wait(bigint, interval) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml.find_model(text) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml.accuracy(bigint, bigint, bigint, bigint) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml.precision_score(bigint, bigint) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml.recall_score(bigint, bigint) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml.f1_score(bigint, bigint, bigint) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml.period_text(timestamptz, timestamptz) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml.draw_scores(text, bigint, bigint, bigint, bigint, numeric) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml.report(bigint) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml.report(text) TO ml_reader;

-- The collectors' login may own these two; then it has to grant.
DO $$
DECLARE
    v_table text;
BEGIN
    FOREACH v_table IN ARRAY ARRAY['public.coin_metrics', 'public.ref_coin_phases'] LOOP
        IF NOT has_table_privilege('ml_reader', v_table, 'SELECT') THEN
            BEGIN
                EXECUTE format('GRANT SELECT ON %s TO ml_reader', v_table);
            EXCEPTION
                WHEN insufficient_privilege THEN
                    RAISE EXCEPTION 'ml_reader may not read %, and this login may not allow it', v_table
                        USING ERRCODE = 'insufficient_privilege',
                        HINT = format('As its owner: CREATE ROLE ml_reader; GRANT SELECT ON %s TO ml_reader; then install again.', v_table);
            END;
        END IF;
    END LOOP;
END
$$;

-- Reads everything; submits, cancels and reorders jobs; names, describes and deletes models.
-- It may name every field of a new job but the id: a field that the service fills is refused with a reason.
GRANT INSERT (
    job_type, status, priority, max_attempts,
    train_target_var, train_operator, train_value, train_start, train_end,
    train_features_csv, train_phases_csv, train_params_csv, train_model_type,
    train_model_name, train_description, train_test_size, train_random_state, train_future_minutes,
    test_model_id, test_start, test_end,
    compare_model_a_id, compare_model_b_id, compare_start, compare_end,
    created_at, started_at, completed_at, progress, progress_msg, error_msg,
    worker_id, attempt, lease_until, result_model_id, result_test_id, result_comparison_id, created_by
) ON public.ml_jobs TO ml_client;
-- What a job asks for is final, for everyone; the right to try brings the trigger's explanation in place of a mere
-- "permission denied".
GRANT UPDATE (
    status, priority, job_type, created_at, max_attempts,
    train_target_var, train_operator, train_value, train_start, train_end,
    train_features_csv, train_phases_csv, train_params_csv, train_model_type,
    train_model_name, train_description, train_test_size, train_random_state, train_future_minutes,
    test_model_id, test_start, test_end,
    compare_model_a_id, compare_model_b_id, compare_start, compare_end
) ON public.ml_jobs TO ml_client;
GRANT UPDATE (name, description, is_deleted) ON public.ml_models TO ml_client;
GRANT EXECUTE ON PROCEDURE ml.cancel_job(bigint) TO ml_client;
GRANT EXECUTE ON FUNCTION ml.train(
    text, text, text, numeric, text, timestamptz, timestamptz,
    integer, text, text, text, text, numeric, integer, integer, integer
) TO ml_client;
GRANT EXECUTE ON FUNCTION ml.test(bigint, timestamptz, timestamptz, integer, integer) TO ml_client;
GRANT EXECUTE ON FUNCTION ml.test(text, timestamptz, timestamptz, integer, integer) TO ml_client;
GRANT EXECUTE ON FUNCTION ml.compare(bigint, bigint, timestamptz, timestamptz, integer, integer) TO ml_client;
GRANT EXECUTE ON FUNCTION ml.compare(text, text, timestamptz, timestamptz, integer, integer) TO ml_client;

-- Reads everything, also while teams are separated (84_teams.sql); changes nothing but through these routines.
GRANT EXECUTE ON FUNCTION ml.claim_job(text, interval) TO ml_worker;
GRANT EXECUTE ON FUNCTION ml.record_progress(bigint, integer, numeric, text, interval) TO ml_worker;
GRANT EXECUTE ON FUNCTION ml.record_failure(bigint, integer, text) TO ml_worker;
GRANT EXECUTE ON FUNCTION ml.record_loss(bigint, integer, text) TO ml_worker;
GRANT EXECUTE ON FUNCTION ml.release_job(bigint, integer, text) TO ml_worker;
GRANT EXECUTE ON FUNCTION ml.expire_leases() TO ml_worker;
GRANT EXECUTE ON FUNCTION ml.record_sign(text, integer, interval) TO ml_worker;
GRANT EXECUTE ON FUNCTION ml.record_training(
    bigint, integer, text, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint,
    numeric, text, text, text, bigint, text, text, numeric, numeric, text, double precision [], text
) TO ml_worker;
GRANT EXECUTE ON FUNCTION ml.record_test(
    bigint, integer, bigint, bigint, bigint, bigint, bigint, bigint, bigint, numeric, text, text, numeric, numeric,
    double precision []
) TO ml_worker;
GRANT EXECUTE ON FUNCTION ml.record_comparison(
    bigint, integer, bigint, bigint, bigint, bigint, bigint, bigint, numeric,
    bigint, bigint, bigint, bigint, numeric, text, numeric, numeric
) TO ml_worker;
