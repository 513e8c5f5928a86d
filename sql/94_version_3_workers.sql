-- What workers of version 3 call, until they are restarted. Where no such version was ever installed, nothing of it
-- stays; version 6 leaves this file out.

SET search_path TO pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION ml.claim_job(
    p_worker_id text,
    p_lease interval DEFAULT '30 seconds'
)
RETURNS SETOF public.ml_jobs
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT * FROM ml_internal.claim_job(p_worker_id, p_lease, '{TRAIN,TEST,COMPARE}');
$$;

CREATE OR REPLACE FUNCTION ml.record_progress(
    p_job_id bigint,
    p_attempt integer,
    p_progress numeric,
    p_message text DEFAULT NULL,
    p_lease interval DEFAULT '30 seconds'
)
RETURNS timestamptz
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ml_internal.record_progress(p_job_id, p_attempt, p_progress, p_message, p_lease);
$$;

CREATE OR REPLACE FUNCTION ml.record_failure(
    p_job_id bigint,
    p_attempt integer,
    p_message text
)
RETURNS text
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ml_internal.record_failure(p_job_id, p_attempt, p_message);
$$;

CREATE OR REPLACE FUNCTION ml.record_loss(
    p_job_id bigint,
    p_attempt integer,
    p_message text
)
RETURNS text
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ml_internal.record_loss(p_job_id, p_attempt, p_message);
$$;

CREATE OR REPLACE FUNCTION ml.release_job(
    p_job_id bigint,
    p_attempt integer,
    p_message text
)
RETURNS text
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ml_internal.release_job(p_job_id, p_attempt, p_message);
$$;

CREATE OR REPLACE FUNCTION ml.expire_leases()
RETURNS bigint
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ml_internal.expire_leases();
$$;

CREATE OR REPLACE FUNCTION ml.record_sign(
    p_worker_id text,
    p_concurrency integer,
    p_alive_for interval
)
RETURNS timestamptz
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ml_internal.record_sign(p_worker_id, p_concurrency, p_alive_for);
$$;

-- Rows of: threshold, tp, fp, sum of the probabilities above the threshold.
CREATE OR REPLACE FUNCTION ml_internal.curve_of_version_3(
    p_num_positive bigint,
    p_num_negative bigint,
    p_curve double precision []
)
RETURNS jsonb
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT jsonb_agg(jsonb_build_object(
        'threshold', p_curve[i][1], 'tp', p_curve[i][2], 'fp', p_curve[i][3],
        'tn', p_num_negative - p_curve[i][3], 'fn', p_num_positive - p_curve[i][2], 'sum_probability', p_curve[i][4]
    ))
    FROM generate_subscripts(p_curve, 1) i;
$$;

CREATE OR REPLACE FUNCTION ml.record_training(
    p_job_id bigint,
    p_attempt integer,
    p_holdout text,
    p_num_coins bigint,
    p_num_fitted bigint,
    p_num_fitted_positive bigint,
    p_num_gap bigint,
    p_num_unlabelled bigint,
    p_num_positive bigint,
    p_num_negative bigint,
    p_tp bigint,
    p_tn bigint,
    p_fp bigint,
    p_fn bigint,
    p_roc_auc numeric,
    p_feature_importance_csv text,
    p_artifact_path text,
    p_artifact_sha256 text,
    p_artifact_bytes bigint,
    p_data_fingerprint text,
    p_library_versions_csv text,
    p_seconds_loading numeric,
    p_seconds_fitting numeric,
    p_warnings text DEFAULT NULL,
    p_curve double precision [] DEFAULT NULL,
    p_engine text DEFAULT NULL
)
RETURNS bigint
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ml_internal.record_result(p_job_id, p_attempt, jsonb_strip_nulls(jsonb_build_object(
        'holdout', p_holdout,
        'num_coins', p_num_coins,
        'num_fitted', p_num_fitted,
        'num_fitted_positive', p_num_fitted_positive,
        'num_gap', p_num_gap,
        'num_unlabelled', p_num_unlabelled,
        'num_positive', p_num_positive,
        'num_negative', p_num_negative,
        'tp', p_tp,
        'tn', p_tn,
        'fp', p_fp,
        'fn', p_fn,
        'roc_auc', p_roc_auc,
        'feature_importance_csv', p_feature_importance_csv,
        'artifact_path', p_artifact_path,
        'artifact_sha256', p_artifact_sha256,
        'artifact_bytes', p_artifact_bytes,
        'data_fingerprint', p_data_fingerprint,
        'library_versions_csv', p_library_versions_csv,
        'seconds_loading', p_seconds_loading,
        'seconds_fitting', p_seconds_fitting,
        'warnings', p_warnings,
        'engine', p_engine,
        'ml_curve_points', ml_internal.curve_of_version_3(p_num_positive, p_num_negative, p_curve)
    )));
$$;

CREATE OR REPLACE FUNCTION ml.record_test(
    p_job_id bigint,
    p_attempt integer,
    p_num_unlabelled bigint,
    p_num_positive bigint,
    p_num_negative bigint,
    p_tp bigint,
    p_tn bigint,
    p_fp bigint,
    p_fn bigint,
    p_roc_auc numeric,
    p_feature_importance_csv text,
    p_data_fingerprint text,
    p_seconds_loading numeric,
    p_seconds_scoring numeric,
    p_curve double precision [] DEFAULT NULL
)
RETURNS bigint
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ml_internal.record_result(p_job_id, p_attempt, jsonb_strip_nulls(jsonb_build_object(
        'num_unlabelled', p_num_unlabelled,
        'num_positive', p_num_positive,
        'num_negative', p_num_negative,
        'tp', p_tp,
        'tn', p_tn,
        'fp', p_fp,
        'fn', p_fn,
        'roc_auc', p_roc_auc,
        'feature_importance_csv', p_feature_importance_csv,
        'data_fingerprint', p_data_fingerprint,
        'seconds_loading', p_seconds_loading,
        'seconds_scoring', p_seconds_scoring,
        'ml_curve_points', ml_internal.curve_of_version_3(p_num_positive, p_num_negative, p_curve)
    )));
$$;

CREATE OR REPLACE FUNCTION ml.record_comparison(
    p_job_id bigint,
    p_attempt integer,
    p_num_unlabelled bigint,
    p_num_samples bigint,
    p_a_tp bigint,
    p_a_tn bigint,
    p_a_fp bigint,
    p_a_fn bigint,
    p_a_roc_auc numeric,
    p_b_tp bigint,
    p_b_tn bigint,
    p_b_fp bigint,
    p_b_fn bigint,
    p_b_roc_auc numeric,
    p_data_fingerprint text,
    p_seconds_loading numeric,
    p_seconds_scoring numeric
)
RETURNS bigint
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ml_internal.record_result(p_job_id, p_attempt, jsonb_strip_nulls(jsonb_build_object(
        'num_unlabelled', p_num_unlabelled,
        'num_samples', p_num_samples,
        'a_tp', p_a_tp,
        'a_tn', p_a_tn,
        'a_fp', p_a_fp,
        'a_fn', p_a_fn,
        'a_roc_auc', p_a_roc_auc,
        'b_tp', p_b_tp,
        'b_tn', p_b_tn,
        'b_fp', p_b_fp,
        'b_fn', p_b_fn,
        'b_roc_auc', p_b_roc_auc,
        'data_fingerprint', p_data_fingerprint,
        'seconds_loading', p_seconds_loading,
        'seconds_scoring', p_seconds_scoring
    )));
$$;

-- What a call that waited for the upgrade goes on with: it was parsed before, and may bring the result of hours.
CREATE OR REPLACE PROCEDURE ml.require_attempt(
    p_job_id bigint,
    p_attempt integer
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    CALL ml_internal.require_attempt(p_job_id, p_attempt);
END
$$;

CREATE OR REPLACE PROCEDURE ml.lose_attempt(
    p_job_id bigint,
    p_attempt integer,
    p_message text
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    CALL ml_internal.lose_attempt(p_job_id, p_attempt, p_message);
END
$$;

CREATE OR REPLACE PROCEDURE ml.require_free_name(
    p_name text,
    p_for_job_id bigint
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    CALL ml_internal.require_free_name(p_name, p_for_job_id);
END
$$;

CREATE OR REPLACE FUNCTION ml.require_ready_model(
    p_model_id bigint
)
RETURNS public.ml_models
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT * FROM ml_internal.require_ready_model(p_model_id);
$$;

CREATE OR REPLACE PROCEDURE ml.store_curve(
    p_job_id bigint,
    p_num_positive bigint,
    p_num_negative bigint,
    p_curve double precision []
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO public.ml_curve_points (job_id, threshold, tp, fp, tn, fn, sum_probability)
    SELECT p_job_id, p.threshold, p.tp, p.fp, p.tn, p.fn, p.sum_probability
    FROM jsonb_populate_recordset(
        NULL::public.ml_curve_points, ml_internal.curve_of_version_3(p_num_positive, p_num_negative, p_curve)
    ) p;
END
$$;

GRANT EXECUTE ON FUNCTION
    ml.claim_job, ml.record_progress, ml.record_failure, ml.record_loss, ml.release_job, ml.expire_leases, ml.record_sign,
    ml.record_training, ml.record_test, ml.record_comparison, ml_internal.curve_of_version_3
TO ml_worker;

COMMENT ON FUNCTION ml.claim_job(text, interval) IS 'Worker of version 3: takes the next PENDING job of the kinds that it knows.';
COMMENT ON FUNCTION ml_internal.curve_of_version_3(bigint, bigint, double precision []) IS 'Worker of version 3: points of a curve as it gives them, as rows of ml_curve_points.';
COMMENT ON FUNCTION ml.record_training IS 'Worker of version 3: result of a TRAIN job, see ml_internal.record_result.';
COMMENT ON FUNCTION ml.record_test IS 'Worker of version 3: result of a TEST job, see ml_internal.record_result.';
COMMENT ON FUNCTION ml.record_comparison IS 'Worker of version 3: result of a COMPARE job, see ml_internal.record_result.';
COMMENT ON FUNCTION ml.record_progress IS 'Worker of version 3: see ml_internal.record_progress.';
COMMENT ON FUNCTION ml.record_failure IS 'Worker of version 3: see ml_internal.record_failure.';
COMMENT ON FUNCTION ml.record_loss IS 'Worker of version 3: see ml_internal.record_loss.';
COMMENT ON FUNCTION ml.release_job IS 'Worker of version 3: see ml_internal.release_job.';
COMMENT ON FUNCTION ml.expire_leases IS 'Worker of version 3: see ml_internal.expire_leases.';
COMMENT ON FUNCTION ml.record_sign IS 'Worker of version 3: see ml_internal.record_sign.';
COMMENT ON PROCEDURE ml.store_curve(bigint, bigint, bigint, double precision []) IS 'Worker of version 3: points of a curve, see ml_internal.record_result.';
COMMENT ON ROUTINE ml.require_attempt IS 'Worker of version 3: see ml_internal.require_attempt.';
COMMENT ON ROUTINE ml.lose_attempt IS 'Worker of version 3: see ml_internal.lose_attempt.';
COMMENT ON ROUTINE ml.require_free_name IS 'Worker of version 3: see ml_internal.require_free_name.';
COMMENT ON ROUTINE ml.require_ready_model IS 'Worker of version 3: see ml_internal.require_ready_model.';

DO $$
DECLARE
    v_routine regprocedure;
BEGIN
    IF NOT EXISTS (SELECT FROM ml.schema_version v WHERE v.version <= 3) THEN
        FOR v_routine IN
            SELECT p.oid
            FROM pg_proc p
            WHERE p.pronamespace IN ('ml'::regnamespace, 'ml_internal'::regnamespace)
                AND obj_description(p.oid, 'pg_proc') LIKE 'Worker of version 3:%'
        LOOP
            EXECUTE format('DROP ROUTINE %s', v_routine);
        END LOOP;
    END IF;
END
$$;
