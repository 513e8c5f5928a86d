-- Comparisons: two models scored on the very same rows. The database decides the winner.

SET search_path TO pg_catalog, pg_temp;

CREATE TABLE IF NOT EXISTS public.ml_comparisons (
    id bigint GENERATED ALWAYS AS IDENTITY,
    created_at timestamptz NOT NULL DEFAULT now(),
    model_a_id bigint NOT NULL,
    model_b_id bigint NOT NULL,
    test_start timestamptz NOT NULL,
    test_end timestamptz NOT NULL,
    num_samples bigint NOT NULL,
    a_accuracy numeric(5, 4) GENERATED ALWAYS AS (ml.accuracy(a_tp, a_tn, a_fp, a_fn)) STORED,
    a_f1 numeric(5, 4) GENERATED ALWAYS AS (ml.f1_score(a_tp, a_fp, a_fn)) STORED,
    a_precision numeric(5, 4) GENERATED ALWAYS AS (ml.precision_score(a_tp, a_fp)) STORED,
    a_recall numeric(5, 4) GENERATED ALWAYS AS (ml.recall_score(a_tp, a_fn)) STORED,
    b_accuracy numeric(5, 4) GENERATED ALWAYS AS (ml.accuracy(b_tp, b_tn, b_fp, b_fn)) STORED,
    b_f1 numeric(5, 4) GENERATED ALWAYS AS (ml.f1_score(b_tp, b_fp, b_fn)) STORED,
    b_precision numeric(5, 4) GENERATED ALWAYS AS (ml.precision_score(b_tp, b_fp)) STORED,
    b_recall numeric(5, 4) GENERATED ALWAYS AS (ml.recall_score(b_tp, b_fn)) STORED,
    winner_id bigint,
    a_tp bigint NOT NULL,
    a_tn bigint NOT NULL,
    a_fp bigint NOT NULL,
    a_fn bigint NOT NULL,
    a_roc_auc numeric(5, 4),
    b_tp bigint NOT NULL,
    b_tn bigint NOT NULL,
    b_fp bigint NOT NULL,
    b_fn bigint NOT NULL,
    b_roc_auc numeric(5, 4),
    job_id bigint NOT NULL,
    attempt integer NOT NULL,
    num_unlabelled bigint NOT NULL,
    data_fingerprint char(64) NOT NULL,
    seconds_loading numeric(12, 3) NOT NULL,
    seconds_scoring numeric(12, 3) NOT NULL,
    CONSTRAINT ml_comparisons_pkey PRIMARY KEY (id),
    CONSTRAINT ml_comparisons_model_a_id_fkey FOREIGN KEY (model_a_id) REFERENCES public.ml_models (id),
    CONSTRAINT ml_comparisons_model_b_id_fkey FOREIGN KEY (model_b_id) REFERENCES public.ml_models (id),
    CONSTRAINT ml_comparisons_winner_id_fkey FOREIGN KEY (winner_id) REFERENCES public.ml_models (id),
    CONSTRAINT ml_comparisons_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_comparisons_one_a_job UNIQUE (job_id),
    CONSTRAINT ml_comparisons_two_models CHECK (model_a_id <> model_b_id),
    CONSTRAINT ml_comparisons_start_before_end CHECK (test_start < test_end),
    CONSTRAINT ml_comparisons_winner_took_part CHECK (winner_id IN (model_a_id, model_b_id)),
    CONSTRAINT ml_comparisons_counts_not_negative CHECK (
        least(a_tp, a_tn, a_fp, a_fn, b_tp, b_tn, b_fp, b_fn, num_unlabelled) >= 0
    ),
    CONSTRAINT ml_comparisons_same_rows CHECK (
        a_tp + a_fn = b_tp + b_fn
        AND a_tn + a_fp = b_tn + b_fp
        AND a_tp + a_fn + a_tn + a_fp = num_samples
    ),
    CONSTRAINT ml_comparisons_roc_auc_between_0_and_1 CHECK (a_roc_auc BETWEEN 0 AND 1 AND b_roc_auc BETWEEN 0 AND 1)
);

CREATE INDEX IF NOT EXISTS idx_comparisons_models ON public.ml_comparisons (model_a_id, model_b_id);
CREATE INDEX IF NOT EXISTS ml_comparisons_model_b ON public.ml_comparisons (model_b_id);
CREATE INDEX IF NOT EXISTS ml_comparisons_winner ON public.ml_comparisons (winner_id);

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_constraint c WHERE c.conname = 'ml_jobs_result_comparison_id_fkey') THEN
        ALTER TABLE public.ml_jobs
        ADD CONSTRAINT ml_jobs_result_comparison_id_fkey
        FOREIGN KEY (result_comparison_id) REFERENCES public.ml_comparisons (id);
    END IF;
END
$$;

-- Higher F1, then higher accuracy, both at the stored precision; otherwise nobody wins.
-- An F1 that is undefined counts as none at all.
CREATE OR REPLACE FUNCTION ml.decide_winner()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    -- Generated columns are not filled yet in a BEFORE trigger.
    v_a numeric(5, 4) [] := ARRAY[
        coalesce(ml.f1_score(NEW.a_tp, NEW.a_fp, NEW.a_fn), 0), ml.accuracy(NEW.a_tp, NEW.a_tn, NEW.a_fp, NEW.a_fn)
    ];
    v_b numeric(5, 4) [] := ARRAY[
        coalesce(ml.f1_score(NEW.b_tp, NEW.b_fp, NEW.b_fn), 0), ml.accuracy(NEW.b_tp, NEW.b_tn, NEW.b_fp, NEW.b_fn)
    ];
BEGIN
    NEW.winner_id := CASE
        WHEN v_a > v_b THEN NEW.model_a_id
        WHEN v_a < v_b THEN NEW.model_b_id
    END;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER ml_comparisons_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON public.ml_comparisons
FOR EACH STATEMENT EXECUTE FUNCTION ml.refuse_change_of_fact();

CREATE OR REPLACE TRIGGER ml_comparisons_check_result
BEFORE INSERT ON public.ml_comparisons
FOR EACH ROW EXECUTE FUNCTION ml.check_result('COMPARE');

CREATE OR REPLACE TRIGGER ml_comparisons_decide_winner
BEFORE INSERT ON public.ml_comparisons
FOR EACH ROW EXECUTE FUNCTION ml.decide_winner();

CREATE OR REPLACE TRIGGER ml_comparisons_complete_job
AFTER INSERT ON public.ml_comparisons
FOR EACH ROW EXECUTE FUNCTION ml.complete_job();

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
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_id bigint;
BEGIN
    PERFORM FROM public.ml_jobs j WHERE j.id = p_job_id FOR NO KEY UPDATE;
    SELECT r.id INTO v_id FROM public.ml_comparisons r WHERE r.job_id = p_job_id AND r.attempt = p_attempt;
    IF v_id IS NULL THEN
        CALL ml.require_attempt(p_job_id, p_attempt);
        INSERT INTO public.ml_comparisons (
            job_id, attempt, model_a_id, model_b_id, test_start, test_end,
            num_unlabelled, num_samples,
            a_tp, a_tn, a_fp, a_fn, a_roc_auc,
            b_tp, b_tn, b_fp, b_fn, b_roc_auc,
            data_fingerprint, seconds_loading, seconds_scoring
        )
        SELECT
            j.id, p_attempt, j.compare_model_a_id, j.compare_model_b_id, j.compare_start, j.compare_end,
            p_num_unlabelled, p_num_samples,
            p_a_tp, p_a_tn, p_a_fp, p_a_fn, p_a_roc_auc,
            p_b_tp, p_b_tn, p_b_fp, p_b_fn, p_b_roc_auc,
            p_data_fingerprint, p_seconds_loading, p_seconds_scoring
        FROM public.ml_jobs j
        WHERE j.id = p_job_id
        RETURNING id INTO v_id;
    END IF;
    RETURN v_id;
END
$$;

COMMENT ON FUNCTION ml.decide_winner() IS 'Trigger: the winner is the model with the higher F1, then accuracy, at the stored precision.';
COMMENT ON FUNCTION ml.record_comparison(
    bigint, integer, bigint, bigint, bigint, bigint, bigint, bigint, numeric,
    bigint, bigint, bigint, bigint, numeric, text, numeric, numeric
) IS 'Worker: result of a COMPARE job; decides the winner, completes the job and returns the id of the comparison.';
COMMENT ON TABLE public.ml_comparisons IS 'Two models scored on the very same rows, append-only: one row a COMPARE job.';
COMMENT ON COLUMN public.ml_comparisons.id IS 'Number of the comparison.';
COMMENT ON COLUMN public.ml_comparisons.created_at IS 'When it was recorded.';
COMMENT ON COLUMN public.ml_comparisons.model_a_id IS 'First model.';
COMMENT ON COLUMN public.ml_comparisons.model_b_id IS 'Second model.';
COMMENT ON COLUMN public.ml_comparisons.test_start IS 'First moment of the period.';
COMMENT ON COLUMN public.ml_comparisons.test_end IS 'First moment after the period.';
COMMENT ON COLUMN public.ml_comparisons.num_samples IS 'Rows that both were scored on.';
COMMENT ON COLUMN public.ml_comparisons.a_accuracy IS 'First model: share of the rows predicted right.';
COMMENT ON COLUMN public.ml_comparisons.a_f1 IS 'First model: harmonic mean of precision and recall; NULL where undefined.';
COMMENT ON COLUMN public.ml_comparisons.a_precision IS 'First model: share of the positive predictions that were right; NULL where there was none.';
COMMENT ON COLUMN public.ml_comparisons.a_recall IS 'First model: share of the positive rows that were found; NULL where there was none.';
COMMENT ON COLUMN public.ml_comparisons.b_accuracy IS 'Second model: share of the rows predicted right.';
COMMENT ON COLUMN public.ml_comparisons.b_f1 IS 'Second model: harmonic mean of precision and recall; NULL where undefined.';
COMMENT ON COLUMN public.ml_comparisons.b_precision IS 'Second model: share of the positive predictions that were right; NULL where there was none.';
COMMENT ON COLUMN public.ml_comparisons.b_recall IS 'Second model: share of the positive rows that were found; NULL where there was none.';
COMMENT ON COLUMN public.ml_comparisons.winner_id IS 'The better model: higher F1, then higher accuracy, at the stored precision; NULL: a draw.';
COMMENT ON COLUMN public.ml_comparisons.a_tp IS 'First model: true positives.';
COMMENT ON COLUMN public.ml_comparisons.a_tn IS 'First model: true negatives.';
COMMENT ON COLUMN public.ml_comparisons.a_fp IS 'First model: false positives.';
COMMENT ON COLUMN public.ml_comparisons.a_fn IS 'First model: false negatives.';
COMMENT ON COLUMN public.ml_comparisons.a_roc_auc IS 'First model: area under the ROC curve; NULL where there was only one class.';
COMMENT ON COLUMN public.ml_comparisons.b_tp IS 'Second model: true positives.';
COMMENT ON COLUMN public.ml_comparisons.b_tn IS 'Second model: true negatives.';
COMMENT ON COLUMN public.ml_comparisons.b_fp IS 'Second model: false positives.';
COMMENT ON COLUMN public.ml_comparisons.b_fn IS 'Second model: false negatives.';
COMMENT ON COLUMN public.ml_comparisons.b_roc_auc IS 'Second model: area under the ROC curve; NULL where there was only one class.';
COMMENT ON COLUMN public.ml_comparisons.job_id IS 'COMPARE job that it completed.';
COMMENT ON COLUMN public.ml_comparisons.attempt IS 'Attempt of the job that made it.';
COMMENT ON COLUMN public.ml_comparisons.num_unlabelled IS 'Rows left out because they have no label.';
COMMENT ON COLUMN public.ml_comparisons.data_fingerprint IS 'SHA-256 over the rows loaded: the same data gives the same.';
COMMENT ON COLUMN public.ml_comparisons.seconds_loading IS 'Seconds spent reading the data.';
COMMENT ON COLUMN public.ml_comparisons.seconds_scoring IS 'Seconds spent predicting and measuring.';
