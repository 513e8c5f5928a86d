-- Training runs: what one fit saw and gave. Recording one makes the model READY and completes the job.

SET search_path TO pg_catalog, pg_temp;

-- Metrics follow from the confusion matrix, in one place for training runs, tests and comparisons.
-- Each is NULL where it is undefined, never 0.
CREATE OR REPLACE FUNCTION ml.accuracy(tp bigint, tn bigint, fp bigint, fn bigint)
RETURNS numeric
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT (tp + tn)::numeric / nullif(tp + tn + fp + fn, 0);
$$;

CREATE OR REPLACE FUNCTION ml.precision_score(tp bigint, fp bigint)
RETURNS numeric
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT tp::numeric / nullif(tp + fp, 0);
$$;

CREATE OR REPLACE FUNCTION ml.recall_score(tp bigint, fn bigint)
RETURNS numeric
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT tp::numeric / nullif(tp + fn, 0);
$$;

CREATE OR REPLACE FUNCTION ml.f1_score(tp bigint, fp bigint, fn bigint)
RETURNS numeric
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT (2 * tp)::numeric / nullif(2 * tp + fp + fn, 0);
$$;

CREATE TABLE IF NOT EXISTS public.ml_training_runs (
    id bigint GENERATED ALWAYS AS IDENTITY,
    job_id bigint NOT NULL,
    attempt integer NOT NULL,
    model_id bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    holdout varchar(10) NOT NULL,
    num_coins bigint NOT NULL,
    num_fitted bigint NOT NULL,
    num_fitted_positive bigint NOT NULL,
    num_gap bigint NOT NULL,
    num_unlabelled bigint NOT NULL,
    num_samples bigint NOT NULL,
    num_positive bigint NOT NULL,
    num_negative bigint NOT NULL,
    tp bigint NOT NULL,
    tn bigint NOT NULL,
    fp bigint NOT NULL,
    fn bigint NOT NULL,
    accuracy numeric(5, 4) GENERATED ALWAYS AS (ml.accuracy(tp, tn, fp, fn)) STORED,
    f1_score numeric(5, 4) GENERATED ALWAYS AS (ml.f1_score(tp, fp, fn)) STORED,
    precision_score numeric(5, 4) GENERATED ALWAYS AS (ml.precision_score(tp, fp)) STORED,
    recall numeric(5, 4) GENERATED ALWAYS AS (ml.recall_score(tp, fn)) STORED,
    roc_auc numeric(5, 4),
    feature_importance_csv text,
    artifact_path text NOT NULL,
    artifact_sha256 char(64) NOT NULL,
    artifact_bytes bigint NOT NULL,
    data_fingerprint char(64) NOT NULL,
    library_versions_csv text NOT NULL,
    seconds_loading numeric(12, 3) NOT NULL,
    seconds_fitting numeric(12, 3) NOT NULL,
    warnings text,
    engine varchar(50),
    CONSTRAINT ml_training_runs_pkey PRIMARY KEY (id),
    CONSTRAINT ml_training_runs_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_training_runs_model_id_fkey FOREIGN KEY (model_id) REFERENCES public.ml_models (id),
    CONSTRAINT ml_training_runs_one_a_job UNIQUE (job_id),
    CONSTRAINT ml_training_runs_one_a_model UNIQUE (model_id),
    CONSTRAINT ml_training_runs_holdout_known CHECK (holdout IN ('coins', 'time')),
    CONSTRAINT ml_training_runs_counts_not_negative CHECK (
        least(num_coins, num_fitted_positive, num_gap, num_unlabelled, tp, tn, fp, fn) >= 0
        AND num_fitted_positive <= num_fitted
    ),
    CONSTRAINT ml_training_runs_confusion_matrix_adds_up CHECK (
        tp + fn = num_positive AND tn + fp = num_negative AND num_positive + num_negative = num_samples
    ),
    CONSTRAINT ml_training_runs_roc_auc_between_0_and_1 CHECK (roc_auc BETWEEN 0 AND 1),
    CONSTRAINT ml_training_runs_sha256_is_hexadecimal CHECK (artifact_sha256 ~ '^[0-9a-f]{64}$' AND data_fingerprint ~ '^[0-9a-f]{64}$')
);

CREATE OR REPLACE TRIGGER ml_training_runs_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON public.ml_training_runs
FOR EACH STATEMENT EXECUTE FUNCTION ml.refuse_change_of_fact();

-- Shared by the three kinds of result: only the attempt that holds the job may add one, and with it the job is done.
CREATE OR REPLACE FUNCTION ml.check_result()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    CALL ml.require_attempt(NEW.job_id, NEW.attempt);
    IF NOT EXISTS (SELECT FROM public.ml_jobs j WHERE j.id = NEW.job_id AND j.job_type = TG_ARGV[0]) THEN
        RAISE EXCEPTION 'job % is no % job', NEW.job_id, TG_ARGV[0]
            USING ERRCODE = 'ML002', TABLE = TG_TABLE_NAME,
            HINT = 'record_training is for TRAIN, record_test for TEST and record_comparison for COMPARE.';
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE FUNCTION ml.complete_job()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO public.ml_job_events (job_id, attempt, event)
    VALUES (NEW.job_id, NEW.attempt, 'COMPLETED');
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION ml.apply_training_to_model()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE public.ml_models SET
        status = 'READY',
        training_accuracy = NEW.accuracy,
        training_f1 = NEW.f1_score,
        training_precision = NEW.precision_score,
        training_recall = NEW.recall,
        feature_importance_csv = NEW.feature_importance_csv,
        model_file_path = NEW.artifact_path
    WHERE id = NEW.model_id;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER ml_training_runs_check_result
BEFORE INSERT ON public.ml_training_runs
FOR EACH ROW EXECUTE FUNCTION ml.check_result('TRAIN');

CREATE OR REPLACE TRIGGER ml_training_runs_apply_to_model
AFTER INSERT ON public.ml_training_runs
FOR EACH ROW EXECUTE FUNCTION ml.apply_training_to_model();

CREATE OR REPLACE TRIGGER ml_training_runs_complete_job
AFTER INSERT ON public.ml_training_runs
FOR EACH ROW EXECUTE FUNCTION ml.complete_job();

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
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_id bigint;
BEGIN
    PERFORM FROM public.ml_jobs j WHERE j.id = p_job_id FOR NO KEY UPDATE;
    SELECT r.id INTO v_id FROM public.ml_training_runs r WHERE r.job_id = p_job_id AND r.attempt = p_attempt;
    IF v_id IS NULL THEN
        CALL ml.require_attempt(p_job_id, p_attempt);
        INSERT INTO public.ml_training_runs (
            job_id, attempt, model_id, holdout,
            num_coins, num_fitted, num_fitted_positive, num_gap, num_unlabelled,
            num_samples, num_positive, num_negative, tp, tn, fp, fn, roc_auc,
            feature_importance_csv, artifact_path, artifact_sha256, artifact_bytes,
            data_fingerprint, library_versions_csv, seconds_loading, seconds_fitting, warnings,
            engine
        )
        VALUES (
            p_job_id, p_attempt, (SELECT m.id FROM public.ml_models m WHERE m.train_job_id = p_job_id), p_holdout,
            p_num_coins, p_num_fitted, p_num_fitted_positive, p_num_gap, p_num_unlabelled,
            p_num_positive + p_num_negative, p_num_positive, p_num_negative, p_tp, p_tn, p_fp, p_fn, p_roc_auc,
            p_feature_importance_csv, p_artifact_path, p_artifact_sha256, p_artifact_bytes,
            p_data_fingerprint, p_library_versions_csv, p_seconds_loading, p_seconds_fitting, p_warnings,
            p_engine
        )
        RETURNING id INTO v_id;
        CALL ml.store_curve(p_job_id, p_num_positive, p_num_negative, p_curve);
    END IF;
    RETURN v_id;
END
$$;

COMMENT ON FUNCTION ml.accuracy(bigint, bigint, bigint, bigint) IS 'Share of all rows predicted right; NULL without rows.';
COMMENT ON FUNCTION ml.precision_score(bigint, bigint) IS 'Share of the positive predictions that were right; NULL where there was none.';
COMMENT ON FUNCTION ml.recall_score(bigint, bigint) IS 'Share of the positive rows that were found; NULL where there was none.';
COMMENT ON FUNCTION ml.f1_score(bigint, bigint, bigint) IS 'Harmonic mean of precision and recall; NULL where there is neither a positive row nor a positive prediction.';
COMMENT ON FUNCTION ml.check_result() IS 'Trigger: only the attempt that holds a job may record its result, and only one of its kind.';
COMMENT ON FUNCTION ml.complete_job() IS 'Trigger: a result completes its job in the same transaction.';
COMMENT ON FUNCTION ml.apply_training_to_model() IS 'Trigger: a training run makes its model READY.';
COMMENT ON FUNCTION ml.record_training(
    bigint, integer, text, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint,
    numeric, text, text, text, bigint, text, text, numeric, numeric, text, double precision [], text
) IS 'Worker: result of a TRAIN job; makes the model READY, completes the job and returns the id of the training run.';
COMMENT ON TABLE public.ml_training_runs IS 'What one fit saw and gave, append-only. The metrics are measured on held-out rows.';
COMMENT ON COLUMN public.ml_training_runs.id IS 'Number of the training run.';
COMMENT ON COLUMN public.ml_training_runs.job_id IS 'TRAIN job that it completed.';
COMMENT ON COLUMN public.ml_training_runs.attempt IS 'Attempt of the job that made it.';
COMMENT ON COLUMN public.ml_training_runs.model_id IS 'Model that it made.';
COMMENT ON COLUMN public.ml_training_runs.created_at IS 'When it was recorded.';
COMMENT ON COLUMN public.ml_training_runs.holdout IS 'What was held out: coins (whole coins) or time (the last part of the period, with a gap before it).';
COMMENT ON COLUMN public.ml_training_runs.num_coins IS 'Coins among the labelled rows.';
COMMENT ON COLUMN public.ml_training_runs.num_fitted IS 'Rows that the model was fitted on.';
COMMENT ON COLUMN public.ml_training_runs.num_fitted_positive IS 'Positive rows among them.';
COMMENT ON COLUMN public.ml_training_runs.num_gap IS 'Rows left out because their label lies in the held-out time.';
COMMENT ON COLUMN public.ml_training_runs.num_unlabelled IS 'Rows left out because they have no label.';
COMMENT ON COLUMN public.ml_training_runs.num_samples IS 'Held-out rows.';
COMMENT ON COLUMN public.ml_training_runs.num_positive IS 'Positive rows among the held-out ones.';
COMMENT ON COLUMN public.ml_training_runs.num_negative IS 'Negative rows among the held-out ones.';
COMMENT ON COLUMN public.ml_training_runs.tp IS 'Held-out rows predicted positive that are.';
COMMENT ON COLUMN public.ml_training_runs.tn IS 'Held-out rows predicted negative that are.';
COMMENT ON COLUMN public.ml_training_runs.fp IS 'Held-out rows predicted positive that are negative.';
COMMENT ON COLUMN public.ml_training_runs.fn IS 'Held-out rows predicted negative that are positive.';
COMMENT ON COLUMN public.ml_training_runs.accuracy IS 'Share of the held-out rows predicted right.';
COMMENT ON COLUMN public.ml_training_runs.f1_score IS 'Harmonic mean of precision and recall; NULL where undefined.';
COMMENT ON COLUMN public.ml_training_runs.precision_score IS 'Share of the positive predictions that were right; NULL where there was none.';
COMMENT ON COLUMN public.ml_training_runs.recall IS 'Share of the positive rows that were found; NULL where there was none.';
COMMENT ON COLUMN public.ml_training_runs.roc_auc IS 'Area under the ROC curve: 0.5 chance, 1 perfect; NULL where only one class was held out.';
COMMENT ON COLUMN public.ml_training_runs.feature_importance_csv IS 'Permutation importance on the held-out rows, summing to 1; NULL where no feature had any.';
COMMENT ON COLUMN public.ml_training_runs.artifact_path IS 'File of the model.';
COMMENT ON COLUMN public.ml_training_runs.artifact_sha256 IS 'SHA-256 of the file, checked before it is read.';
COMMENT ON COLUMN public.ml_training_runs.artifact_bytes IS 'Size of the file.';
COMMENT ON COLUMN public.ml_training_runs.data_fingerprint IS 'SHA-256 over the rows loaded: the same data gives the same.';
COMMENT ON COLUMN public.ml_training_runs.library_versions_csv IS 'Versions that fitted it: library=version;library=version.';
COMMENT ON COLUMN public.ml_training_runs.seconds_loading IS 'Seconds spent reading the data.';
COMMENT ON COLUMN public.ml_training_runs.seconds_fitting IS 'Seconds spent fitting.';
COMMENT ON COLUMN public.ml_training_runs.warnings IS 'What the user should know of this fit, for example that it did not converge.';
COMMENT ON COLUMN public.ml_training_runs.engine IS 'Library that fitted it: xgboost or scikit-learn; NULL: not recorded before version 3.';
