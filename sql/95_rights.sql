-- Who may do what with all that kinds of job share; a kind's own fields, results and functions are granted in its file.

SET search_path TO pg_catalog, pg_temp;

REVOKE ALL ON ALL ROUTINES IN SCHEMA ml, ml_internal FROM public;

-- Reads everything.
GRANT SELECT ON
    public.ref_model_types, public.ref_model_params,
    public.ml_jobs, public.ml_job_events, public.ml_models,
    public.ml_worker_signs, public.ml_client_limits,
    public.ml_curve_points,
    public.ml_metric_columns, public.ml_queue, public.ml_workers, public.ml_leaderboard, public.ml_model_features, public.ml_model_params,
    public.ml_measurements, public.ml_threshold_sweep, public.ml_roc_curve, public.ml_pr_curve, public.ml_calibration,
    public.ml_last_days, public.ml_daily_jobs, public.ml_daily_durations, public.ml_daily_losses, public.ml_daily_quality,
    public.ml_failures, public.ml_artifact_sizes, public.ml_worker_days,
    public.ml_dim_models, public.ml_dim_features,
    public.ml_fact_jobs, public.ml_fact_importances,
    ml.schema_version
TO ml_reader;

-- Says before, during and after a job what a reader could find out by queries of his own.
GRANT EXECUTE ON FUNCTION ml.preview(bigint) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml.preview(
    text, text, text, numeric, text, timestamptz, timestamptz,
    integer, text, text, text, text, numeric, integer, integer, integer, numeric
) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml_internal.count_rows(text, text, numeric, integer, text [], text, timestamptz, timestamptz) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml_internal.preview_job(public.ml_jobs) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml_internal.count_text(bigint, bigint) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml_internal.is_positive, ml_internal.label_text, ml_internal.label_expression, ml_internal.unlabelled_text TO ml_reader;
GRANT EXECUTE ON FUNCTION ml_internal.common_items, ml_internal.list_items, ml_internal.param_items, ml_internal.merge_params TO ml_reader;
GRANT EXECUTE ON FUNCTION ml_internal.describe_job(bigint), ml_internal.has_worker(), ml_internal.metrics_range(), ml_internal.no_rows_text TO ml_reader;
GRANT EXECUTE ON FUNCTION ml_internal.suggest_names(text, text [], text), ml_internal.trivial_answer, ml_internal.verdict TO ml_reader;
GRANT EXECUTE ON PROCEDURE ml_internal.require_autocommit(text) TO ml_reader;
GRANT EXECUTE ON PROCEDURE ml.wait(), ml.wait(bigint, interval), ml.wait(bigint, double precision), ml.wait(bigint, text), ml.wait(bigint [], interval) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml_internal.find_model(text) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml_internal.last_turn(integer), ml_internal.next_jobs(integer) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml_internal.accuracy(bigint, bigint, bigint, bigint) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml_internal.precision_score(bigint, bigint) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml_internal.recall_score(bigint, bigint) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml_internal.f1_score(bigint, bigint, bigint) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml_internal.period_text(timestamptz, timestamptz) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml_internal.draw_scores(bigint, bigint, bigint, bigint, numeric) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml.help() TO ml_reader;
GRANT EXECUTE ON FUNCTION ml.report(bigint), ml_internal.report_lines(bigint) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml_internal.plain_text(text), ml_internal.is_control(integer) TO ml_reader;
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
-- The fields of a kind of job are granted with it.
GRANT INSERT (
    job_type, status, priority, max_attempts, max_minutes,
    created_at, started_at, completed_at, progress, progress_msg, error_msg,
    worker_id, attempt, lease_until, created_by
) ON public.ml_jobs TO ml_client;
-- What a job asks for is final, for everyone; the right to try brings the trigger's explanation in place of a mere
-- "permission denied".
GRANT UPDATE (status, priority, job_type, created_at, max_attempts, max_minutes) ON public.ml_jobs TO ml_client;
GRANT UPDATE (name, description, is_deleted) ON public.ml_models TO ml_client;
GRANT EXECUTE ON PROCEDURE ml.cancel_job(bigint) TO ml_client;
GRANT EXECUTE ON FUNCTION ml_internal.limits_of(name) TO ml_client;
GRANT EXECUTE ON PROCEDURE ml_internal.require_priority(name, integer, integer) TO ml_client;

-- Reads everything, also while teams are separated (90_teams.sql); changes nothing but through these routines.
GRANT EXECUTE ON FUNCTION ml_internal.claim_job(text, interval, text []) TO ml_worker;
GRANT EXECUTE ON FUNCTION ml_internal.assignment(bigint) TO ml_worker;
GRANT EXECUTE ON FUNCTION ml_internal.record_result(bigint, integer, jsonb) TO ml_worker;
GRANT EXECUTE ON FUNCTION ml_internal.record_progress(bigint, integer, numeric, text, interval) TO ml_worker;
GRANT EXECUTE ON FUNCTION ml_internal.record_failure(bigint, integer, text) TO ml_worker;
GRANT EXECUTE ON FUNCTION ml_internal.record_loss(bigint, integer, text) TO ml_worker;
GRANT EXECUTE ON FUNCTION ml_internal.release_job(bigint, integer, text) TO ml_worker;
GRANT EXECUTE ON FUNCTION ml_internal.expire_leases() TO ml_worker;
GRANT EXECUTE ON FUNCTION ml_internal.record_sign(text, integer, interval) TO ml_worker;
