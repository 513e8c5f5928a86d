-- Test results: how well a model did in another period. Recording one completes the job.

SET search_path TO pg_catalog, pg_temp;

CREATE TABLE IF NOT EXISTS public.ml_test_results (
    id bigint GENERATED ALWAYS AS IDENTITY,
    model_id bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    test_start timestamptz NOT NULL,
    test_end timestamptz NOT NULL,
    accuracy numeric(5, 4) GENERATED ALWAYS AS (ml.accuracy(tp, tn, fp, fn)) STORED,
    f1_score numeric(5, 4) GENERATED ALWAYS AS (ml.f1_score(tp, fp, fn)) STORED,
    precision_score numeric(5, 4) GENERATED ALWAYS AS (ml.precision_score(tp, fp)) STORED,
    recall numeric(5, 4) GENERATED ALWAYS AS (ml.recall_score(tp, fn)) STORED,
    roc_auc numeric(5, 4),
    tp bigint NOT NULL,
    tn bigint NOT NULL,
    fp bigint NOT NULL,
    fn bigint NOT NULL,
    num_samples bigint NOT NULL,
    num_positive bigint NOT NULL,
    num_negative bigint NOT NULL,
    has_overlap boolean NOT NULL,
    overlap_note text,
    feature_importance_csv text,
    job_id bigint NOT NULL,
    attempt integer NOT NULL,
    num_unlabelled bigint NOT NULL,
    data_fingerprint char(64) NOT NULL,
    seconds_loading numeric(12, 3) NOT NULL,
    seconds_scoring numeric(12, 3) NOT NULL,
    CONSTRAINT ml_test_results_pkey PRIMARY KEY (id),
    CONSTRAINT ml_test_results_model_id_fkey FOREIGN KEY (model_id) REFERENCES public.ml_models (id),
    CONSTRAINT ml_test_results_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_test_results_one_a_job UNIQUE (job_id),
    CONSTRAINT ml_test_results_start_before_end CHECK (test_start < test_end),
    CONSTRAINT ml_test_results_counts_not_negative CHECK (least(tp, tn, fp, fn, num_unlabelled) >= 0),
    CONSTRAINT ml_test_results_confusion_matrix_adds_up CHECK (
        tp + fn = num_positive AND tn + fp = num_negative AND num_positive + num_negative = num_samples
    ),
    CONSTRAINT ml_test_results_roc_auc_between_0_and_1 CHECK (roc_auc BETWEEN 0 AND 1),
    CONSTRAINT ml_test_results_overlap_has_note CHECK (has_overlap = (overlap_note IS NOT NULL))
);

CREATE INDEX IF NOT EXISTS idx_test_results_model ON public.ml_test_results (model_id);
-- The latest test of each model, for the leaderboard.
CREATE INDEX IF NOT EXISTS ml_test_results_latest ON public.ml_test_results (model_id, created_at DESC, id DESC);
CREATE INDEX IF NOT EXISTS idx_test_results_created ON public.ml_test_results (created_at DESC);

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_constraint c WHERE c.conname = 'ml_jobs_result_test_id_fkey') THEN
        ALTER TABLE public.ml_jobs
        ADD CONSTRAINT ml_jobs_result_test_id_fkey FOREIGN KEY (result_test_id) REFERENCES public.ml_test_results (id);
    END IF;
END
$$;

-- How much of the first period lies in the second, in words; NULL where nothing does.
CREATE OR REPLACE FUNCTION ml.overlap_note(
    p_tested tstzrange,
    p_trained tstzrange
)
RETURNS text
LANGUAGE sql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT format(
        '%s%% overlap: %s to %s is part of the training period',
        -- 0 and 100 are said only of none and all.
        CASE WHEN o.common = p_tested THEN 100
            ELSE least(greatest(
                round(
                    100 * extract(epoch FROM upper(o.common) - lower(o.common))
                    / extract(epoch FROM upper(p_tested) - lower(p_tested))
                ), 1), 99)
        END,
        lower(o.common),
        upper(o.common)
    )
    FROM (SELECT p_tested * p_trained AS common) o
    WHERE NOT isempty(o.common);
$$;

CREATE OR REPLACE FUNCTION ml.fill_overlap()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    SELECT ml.overlap_note(tstzrange(NEW.test_start, NEW.test_end), tstzrange(m.train_start, m.train_end))
    INTO NEW.overlap_note
    FROM public.ml_models m
    WHERE m.id = NEW.model_id;
    NEW.has_overlap := NEW.overlap_note IS NOT NULL;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER ml_test_results_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON public.ml_test_results
FOR EACH STATEMENT EXECUTE FUNCTION ml.refuse_change_of_fact();

CREATE OR REPLACE TRIGGER ml_test_results_check_result
BEFORE INSERT ON public.ml_test_results
FOR EACH ROW EXECUTE FUNCTION ml.check_result('TEST');

CREATE OR REPLACE TRIGGER ml_test_results_fill_overlap
BEFORE INSERT ON public.ml_test_results
FOR EACH ROW EXECUTE FUNCTION ml.fill_overlap();

CREATE OR REPLACE TRIGGER ml_test_results_complete_job
AFTER INSERT ON public.ml_test_results
FOR EACH ROW EXECUTE FUNCTION ml.complete_job();

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
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_id bigint;
BEGIN
    PERFORM FROM public.ml_jobs j WHERE j.id = p_job_id FOR NO KEY UPDATE;
    SELECT r.id INTO v_id FROM public.ml_test_results r WHERE r.job_id = p_job_id AND r.attempt = p_attempt;
    IF v_id IS NULL THEN
        CALL ml.require_attempt(p_job_id, p_attempt);
        INSERT INTO public.ml_test_results (
            job_id, attempt, model_id, test_start, test_end,
            num_unlabelled, num_samples, num_positive, num_negative, tp, tn, fp, fn, roc_auc,
            feature_importance_csv, data_fingerprint, seconds_loading, seconds_scoring
        )
        SELECT
            j.id, p_attempt, j.test_model_id, j.test_start, j.test_end,
            p_num_unlabelled, p_num_positive + p_num_negative, p_num_positive, p_num_negative, p_tp, p_tn, p_fp, p_fn, p_roc_auc,
            p_feature_importance_csv, p_data_fingerprint, p_seconds_loading, p_seconds_scoring
        FROM public.ml_jobs j
        WHERE j.id = p_job_id
        RETURNING id INTO v_id;
        CALL ml.store_curve(p_job_id, p_num_positive, p_num_negative, p_curve);
    END IF;
    RETURN v_id;
END
$$;

COMMENT ON FUNCTION ml.overlap_note(tstzrange, tstzrange) IS 'How much of a test period lies in the training period, in words; NULL: nothing.';
COMMENT ON FUNCTION ml.fill_overlap() IS 'Trigger: has_overlap and overlap_note from the periods of test and training.';
COMMENT ON FUNCTION ml.record_test(
    bigint, integer, bigint, bigint, bigint, bigint, bigint, bigint, bigint, numeric, text, text, numeric, numeric,
    double precision []
) IS 'Worker: result of a TEST job; completes the job and returns the id of the test result.';
COMMENT ON TABLE public.ml_test_results IS 'How well a model did in another period, append-only: one row a TEST job.';
COMMENT ON COLUMN public.ml_test_results.id IS 'Number of the test result.';
COMMENT ON COLUMN public.ml_test_results.model_id IS 'Model that was tested.';
COMMENT ON COLUMN public.ml_test_results.created_at IS 'When it was recorded.';
COMMENT ON COLUMN public.ml_test_results.test_start IS 'First moment of the test period.';
COMMENT ON COLUMN public.ml_test_results.test_end IS 'First moment after the test period.';
COMMENT ON COLUMN public.ml_test_results.accuracy IS 'Share of the rows predicted right.';
COMMENT ON COLUMN public.ml_test_results.f1_score IS 'Harmonic mean of precision and recall; NULL where undefined.';
COMMENT ON COLUMN public.ml_test_results.precision_score IS 'Share of the positive predictions that were right; NULL where there was none.';
COMMENT ON COLUMN public.ml_test_results.recall IS 'Share of the positive rows that were found; NULL where there was none.';
COMMENT ON COLUMN public.ml_test_results.roc_auc IS 'Area under the ROC curve: 0.5 chance, 1 perfect; NULL where there was only one class.';
COMMENT ON COLUMN public.ml_test_results.tp IS 'True positives: predicted positive, and are.';
COMMENT ON COLUMN public.ml_test_results.tn IS 'True negatives: predicted negative, and are.';
COMMENT ON COLUMN public.ml_test_results.fp IS 'False positives: predicted positive, but negative.';
COMMENT ON COLUMN public.ml_test_results.fn IS 'False negatives: predicted negative, but positive.';
COMMENT ON COLUMN public.ml_test_results.num_samples IS 'Labelled rows in the test period.';
COMMENT ON COLUMN public.ml_test_results.num_positive IS 'Positive rows among them.';
COMMENT ON COLUMN public.ml_test_results.num_negative IS 'Negative rows among them.';
COMMENT ON COLUMN public.ml_test_results.has_overlap IS 'Whether the test period shares time with the training period; if so, the metrics flatter.';
COMMENT ON COLUMN public.ml_test_results.overlap_note IS 'How much of the test period is also training period, in words.';
COMMENT ON COLUMN public.ml_test_results.feature_importance_csv IS 'Permutation importance on the test rows, summing to 1: key=value;key=value; NULL where no feature had any.';
COMMENT ON COLUMN public.ml_test_results.job_id IS 'TEST job that it completed.';
COMMENT ON COLUMN public.ml_test_results.attempt IS 'Attempt of the job that made it.';
COMMENT ON COLUMN public.ml_test_results.num_unlabelled IS 'Rows left out because they have no label.';
COMMENT ON COLUMN public.ml_test_results.data_fingerprint IS 'SHA-256 over the rows loaded: the same data gives the same.';
COMMENT ON COLUMN public.ml_test_results.seconds_loading IS 'Seconds spent reading the data.';
COMMENT ON COLUMN public.ml_test_results.seconds_scoring IS 'Seconds spent predicting and measuring.';
