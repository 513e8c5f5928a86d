-- Walk-forward folds of a training: the recipe fitted on all rows before a period and measured in it, one period after
-- another. What it gave in several later periods says more of the next one than one figure does.

SET search_path TO pg_catalog, pg_temp;

CREATE TABLE IF NOT EXISTS public.ml_folds (
    job_id bigint NOT NULL,
    fold integer NOT NULL,
    fitted_start timestamptz NOT NULL,
    fitted_end timestamptz NOT NULL,
    measured_start timestamptz NOT NULL,
    measured_end timestamptz NOT NULL,
    num_fitted bigint NOT NULL,
    num_fitted_positive bigint NOT NULL,
    num_purged bigint NOT NULL,
    num_samples bigint NOT NULL,
    num_positive bigint NOT NULL,
    num_negative bigint NOT NULL,
    tp bigint,
    tn bigint,
    fp bigint,
    fn bigint,
    accuracy numeric(5, 4) GENERATED ALWAYS AS (ml_internal.accuracy(tp, tn, fp, fn)) STORED,
    f1_score numeric(5, 4) GENERATED ALWAYS AS (ml_internal.f1_score(tp, fp, fn)) STORED,
    precision_score numeric(5, 4) GENERATED ALWAYS AS (ml_internal.precision_score(tp, fp)) STORED,
    recall numeric(5, 4) GENERATED ALWAYS AS (ml_internal.recall_score(tp, fn)) STORED,
    mcc numeric(5, 4) GENERATED ALWAYS AS (ml_internal.mcc(tp, tn, fp, fn)) STORED,
    roc_auc numeric(5, 4),
    average_precision numeric(5, 4),
    log_loss numeric(9, 6),
    brier_score numeric(7, 6),
    reason text,
    threshold double precision,
    num_set_aside bigint,
    CONSTRAINT ml_folds_pkey PRIMARY KEY (job_id, fold),
    CONSTRAINT ml_folds_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_folds_fold_between_1_and_20 CHECK (fold BETWEEN 1 AND 20),
    CONSTRAINT ml_folds_fitted_before_measured CHECK (
        fitted_start <= fitted_end AND fitted_end <= measured_start AND measured_start <= measured_end
    ),
    CONSTRAINT ml_folds_counts_not_negative CHECK (
        least(num_fitted_positive, num_purged, num_positive, num_negative, tp, tn, fp, fn) >= 0
        AND num_fitted_positive <= num_fitted AND num_positive + num_negative = num_samples
    ),
    CONSTRAINT ml_folds_measured_or_reason CHECK (
        num_nulls(tp, tn, fp, fn) = CASE WHEN reason IS NULL THEN 0 ELSE 4 END
    ),
    CONSTRAINT ml_folds_threshold_between_0_and_1 CHECK (threshold BETWEEN 0 AND 1 AND num_set_aside BETWEEN 0 AND num_fitted),
    CONSTRAINT ml_folds_confusion_matrix_adds_up CHECK (tp + fn = num_positive AND tn + fp = num_negative),
    CONSTRAINT ml_folds_scores_within_bounds CHECK (
        roc_auc BETWEEN 0 AND 1 AND average_precision BETWEEN 0 AND 1 AND log_loss >= 0 AND brier_score BETWEEN 0 AND 1
    )
);

CREATE OR REPLACE TRIGGER ml_folds_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON public.ml_folds
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.refuse_change_of_fact();

-- Rules of all folds of a job; those of one are constraints of the table. One job after the other, see
-- ml_internal.check_curve.
CREATE OR REPLACE FUNCTION ml_internal.check_folds()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_job_id bigint;
    v_asked integer;
    v_fault text;
BEGIN
    FOR v_job_id IN SELECT DISTINCT i.job_id FROM inserted i LOOP
        v_asked := coalesce((SELECT j.train_folds FROM public.ml_jobs j WHERE j.id = v_job_id), 0);
        SELECT
            CASE
                WHEN v_asked = 0 THEN 'were not asked for'
                WHEN count(*) <> v_asked OR max(f.fold) <> count(*) THEN format('are not those from 1 to %s', v_asked)
                WHEN bool_or(f.measured_start < f.end_before) THEN 'overlap in what they are measured on'
                WHEN bool_or(f.num_fitted < f.fitted_before) THEN 'are fitted on ever fewer rows'
            END
        INTO v_fault
        FROM (
            SELECT
                x.*,
                lag(x.measured_end) OVER by_fold AS end_before,
                lag(x.num_fitted) OVER by_fold AS fitted_before
            FROM public.ml_folds x
            WHERE x.job_id = v_job_id
            WINDOW by_fold AS (ORDER BY x.fold)
        ) f;
        IF v_fault IS NOT NULL THEN
            RAISE EXCEPTION 'the folds of job % %', v_job_id, v_fault
                USING ERRCODE = 'check_violation', TABLE = 'ml_folds',
                HINT = 'A job has as many folds as its train_folds says, numbered from 1; each is fitted on what lies before it.';
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER ml_folds_60_check_folds
AFTER INSERT ON public.ml_folds
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.check_folds();

-- From the least to the greatest of some scores.
CREATE OR REPLACE FUNCTION ml_internal.range_text(
    least_score numeric,
    greatest_score numeric
)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN least_score IS NULL THEN 'undefined'
        WHEN round(least_score, 2) = round(greatest_score, 2) THEN round(least_score, 2)::text
        ELSE format('%s to %s', round(least_score, 2), round(greatest_score, 2))
    END;
$$;

-- What a recipe gave in later periods, in words; NULL where it was not asked.
CREATE OR REPLACE FUNCTION ml_internal.folds_text(
    p_job_id bigint
)
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT CASE
            WHEN f.num_folds = 0 THEN NULL
            WHEN f.num_measured = 0 THEN format('in none of %s later periods could it be measured: %s', f.num_folds, f.reason)
            ELSE concat(
                format(
                    'in %s later period%s F1 was %s, ROC AUC %s',
                    concat(CASE WHEN f.num_measured < f.num_folds THEN f.num_measured || ' of ' END, f.num_folds),
                    CASE WHEN f.num_folds > 1 THEN 's' END,
                    ml_internal.range_text(f.least_f1, f.greatest_f1),
                    ml_internal.range_text(f.least_auc, f.greatest_auc)
                ),
                '; else ' || f.reason
            )
        END
        FROM (
            SELECT
                count(*) AS num_folds,
                count(*) FILTER (WHERE x.reason IS NULL) AS num_measured,
                min(x.f1_score) AS least_f1,
                max(x.f1_score) AS greatest_f1,
                min(x.roc_auc) AS least_auc,
                max(x.roc_auc) AS greatest_auc,
                (array_agg(x.reason ORDER BY x.fold) FILTER (WHERE x.reason IS NOT NULL))[1] AS reason
            FROM public.ml_folds x
            WHERE x.job_id = p_job_id
        ) f
    );
END
$$;

CREATE OR REPLACE VIEW public.ml_fact_folds WITH (security_invoker = true) AS
SELECT
    m.id AS model_id, m.name AS model_name, f.job_id, f.fold,
    f.fitted_start, f.fitted_end, f.measured_start, f.measured_end,
    f.num_fitted, f.num_fitted_positive, f.num_purged, f.num_samples, f.num_positive, f.num_negative,
    f.tp, f.fp, f.tn, f.fn, f.accuracy, f.precision_score, f.recall, f.f1_score, f.roc_auc, f.average_precision,
    f.mcc, f.log_loss, f.brier_score, f.reason
FROM public.ml_folds f
JOIN public.ml_models m ON m.train_job_id = f.job_id;

CALL ml_internal.allow('ml_reader', 'SELECT', 'public.ml_fact_folds');
CALL ml_internal.allow('ml_reader', 'EXECUTE', 'ml_internal.folds_text, ml_internal.range_text');

COMMENT ON FUNCTION ml_internal.check_folds() IS 'Trigger: the folds of a job are as many as it asked for, one after another in time.';
COMMENT ON FUNCTION ml_internal.range_text(numeric, numeric) IS 'From the least to the greatest of some scores, in words.';
COMMENT ON FUNCTION ml_internal.folds_text(bigint) IS 'What a recipe gave in later periods, in words; NULL: its job asked for no folds.';
COMMENT ON TABLE public.ml_folds IS 'Walk-forward folds of a TRAIN job (train_folds), append-only: its recipe fitted on all rows before a period and measured in it.';
COMMENT ON COLUMN public.ml_folds.job_id IS 'TRAIN job that it belongs to.';
COMMENT ON COLUMN public.ml_folds.fold IS 'Number of the fold, from 1, in the order of time.';
COMMENT ON COLUMN public.ml_folds.fitted_start IS 'First moment of what it was fitted on.';
COMMENT ON COLUMN public.ml_folds.fitted_end IS 'First moment that it was not fitted on: as far before measured_start as a label reaches (purged), and an embargo of 1 % of the time from the first row to the last.';
COMMENT ON COLUMN public.ml_folds.measured_start IS 'First moment of what it was measured on.';
COMMENT ON COLUMN public.ml_folds.measured_end IS 'First moment after that.';
COMMENT ON COLUMN public.ml_folds.num_fitted IS 'Rows that it was fitted on.';
COMMENT ON COLUMN public.ml_folds.num_fitted_positive IS 'Positive rows among them.';
COMMENT ON COLUMN public.ml_folds.num_purged IS 'Rows before measured_start that were left out, see fitted_end.';
COMMENT ON COLUMN public.ml_folds.num_samples IS 'Rows that it was measured on.';
COMMENT ON COLUMN public.ml_folds.num_positive IS 'Positive rows among those.';
COMMENT ON COLUMN public.ml_folds.num_negative IS 'Negative rows among those.';
COMMENT ON COLUMN public.ml_folds.tp IS 'Rows predicted positive that are.';
COMMENT ON COLUMN public.ml_folds.tn IS 'Rows predicted negative that are.';
COMMENT ON COLUMN public.ml_folds.fp IS 'Rows predicted positive that are negative.';
COMMENT ON COLUMN public.ml_folds.fn IS 'Rows predicted negative that are positive.';
COMMENT ON COLUMN public.ml_folds.accuracy IS 'Share of the rows predicted right.';
COMMENT ON COLUMN public.ml_folds.f1_score IS 'Harmonic mean of precision and recall; NULL where undefined.';
COMMENT ON COLUMN public.ml_folds.precision_score IS 'Share of the positive predictions that were right; NULL where there was none.';
COMMENT ON COLUMN public.ml_folds.recall IS 'Share of the positive rows that were found; NULL where there was none.';
COMMENT ON COLUMN public.ml_folds.mcc IS 'Matthews correlation, -1 to 1, chance 0; NULL where the rows or the answers have one class only.';
COMMENT ON COLUMN public.ml_folds.roc_auc IS 'Area under the ROC curve: 0.5 chance, 1 perfect; NULL where there was only one class.';
COMMENT ON COLUMN public.ml_folds.average_precision IS 'Average precision; the share of positive rows is chance; NULL where there was only one class.';
COMMENT ON COLUMN public.ml_folds.log_loss IS 'Log loss of the probabilities, in nats: less is better.';
COMMENT ON COLUMN public.ml_folds.brier_score IS 'Brier score: mean square of probability minus label; less is better.';
COMMENT ON COLUMN public.ml_folds.reason IS 'Why nothing was measured; NULL: something was.';
COMMENT ON COLUMN public.ml_folds.threshold IS 'Rows with a greater probability were predicted positive.';
COMMENT ON COLUMN public.ml_folds.num_set_aside IS 'Of the rows to fit on, the last ones, on which the threshold was chosen instead; 0: it was given.';
COMMENT ON VIEW public.ml_fact_folds IS 'Walk-forward folds as facts, one row each, with their models: what the recipe of a model gave in one later period after another.';
COMMENT ON COLUMN public.ml_fact_folds.model_id IS 'Number of the model.';
COMMENT ON COLUMN public.ml_fact_folds.model_name IS 'Name of the model.';
COMMENT ON COLUMN public.ml_fact_folds.job_id IS 'TRAIN job that it belongs to.';
COMMENT ON COLUMN public.ml_fact_folds.fold IS 'Number of the fold, from 1, in the order of time.';
COMMENT ON COLUMN public.ml_fact_folds.fitted_start IS 'First moment of what it was fitted on.';
COMMENT ON COLUMN public.ml_fact_folds.fitted_end IS 'First moment that it was not fitted on: as far before measured_start as a label reaches (purged), and an embargo of 1 % of the time from the first row to the last.';
COMMENT ON COLUMN public.ml_fact_folds.measured_start IS 'First moment of what it was measured on.';
COMMENT ON COLUMN public.ml_fact_folds.measured_end IS 'First moment after that.';
COMMENT ON COLUMN public.ml_fact_folds.num_fitted IS 'Rows that it was fitted on.';
COMMENT ON COLUMN public.ml_fact_folds.num_fitted_positive IS 'Positive rows among them.';
COMMENT ON COLUMN public.ml_fact_folds.num_purged IS 'Rows before measured_start that were left out, see fitted_end.';
COMMENT ON COLUMN public.ml_fact_folds.num_samples IS 'Rows that it was measured on.';
COMMENT ON COLUMN public.ml_fact_folds.num_positive IS 'Positive rows among those.';
COMMENT ON COLUMN public.ml_fact_folds.num_negative IS 'Negative rows among those.';
COMMENT ON COLUMN public.ml_fact_folds.tp IS 'Rows predicted positive that are.';
COMMENT ON COLUMN public.ml_fact_folds.tn IS 'Rows predicted negative that are.';
COMMENT ON COLUMN public.ml_fact_folds.fp IS 'Rows predicted positive that are negative.';
COMMENT ON COLUMN public.ml_fact_folds.fn IS 'Rows predicted negative that are positive.';
COMMENT ON COLUMN public.ml_fact_folds.accuracy IS 'Share of the rows predicted right.';
COMMENT ON COLUMN public.ml_fact_folds.f1_score IS 'Harmonic mean of precision and recall; NULL where undefined.';
COMMENT ON COLUMN public.ml_fact_folds.precision_score IS 'Share of the positive predictions that were right; NULL where there was none.';
COMMENT ON COLUMN public.ml_fact_folds.recall IS 'Share of the positive rows that were found; NULL where there was none.';
COMMENT ON COLUMN public.ml_fact_folds.mcc IS 'Matthews correlation, -1 to 1, chance 0; NULL where the rows or the answers have one class only.';
COMMENT ON COLUMN public.ml_fact_folds.roc_auc IS 'Area under the ROC curve: 0.5 chance, 1 perfect; NULL where there was only one class.';
COMMENT ON COLUMN public.ml_fact_folds.average_precision IS 'Average precision; the share of positive rows is chance; NULL where there was only one class.';
COMMENT ON COLUMN public.ml_fact_folds.log_loss IS 'Log loss of the probabilities, in nats: less is better.';
COMMENT ON COLUMN public.ml_fact_folds.brier_score IS 'Brier score: mean square of probability minus label; less is better.';
COMMENT ON COLUMN public.ml_fact_folds.reason IS 'Why nothing was measured; NULL: something was.';
