-- TEST: how well a model does in another period. All that is special to this kind of job stands here.

SET search_path TO pg_catalog, pg_temp;

CREATE TABLE IF NOT EXISTS public.ml_test_results (
    id bigint GENERATED ALWAYS AS IDENTITY,
    model_id bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    test_start timestamptz NOT NULL,
    test_end timestamptz NOT NULL,
    accuracy numeric(5, 4) GENERATED ALWAYS AS (ml_internal.accuracy(tp, tn, fp, fn)) STORED,
    f1_score numeric(5, 4) GENERATED ALWAYS AS (ml_internal.f1_score(tp, fp, fn)) STORED,
    precision_score numeric(5, 4) GENERATED ALWAYS AS (ml_internal.precision_score(tp, fp)) STORED,
    recall numeric(5, 4) GENERATED ALWAYS AS (ml_internal.recall_score(tp, fn)) STORED,
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
    average_precision numeric(5, 4),
    note text,
    num_without_base bigint,
    num_uncovered bigint,
    mcc numeric(5, 4) GENERATED ALWAYS AS (ml_internal.mcc(tp, tn, fp, fn)) STORED,
    log_loss numeric(9, 6),
    brier_score numeric(7, 6),
    threshold double precision NOT NULL DEFAULT 0.5,
    tp_at_half bigint,
    fp_at_half bigint,
    accuracy_at_half numeric(5, 4) GENERATED ALWAYS AS (
        ml_internal.accuracy(
            coalesce(tp_at_half, tp), tn + fp - coalesce(fp_at_half, fp), coalesce(fp_at_half, fp), tp + fn - coalesce(tp_at_half, tp)
        )
    ) STORED,
    f1_at_half numeric(5, 4) GENERATED ALWAYS AS (
        ml_internal.f1_score(coalesce(tp_at_half, tp), coalesce(fp_at_half, fp), tp + fn - coalesce(tp_at_half, tp))
    ) STORED,
    precision_at_half numeric(5, 4) GENERATED ALWAYS AS (ml_internal.precision_score(coalesce(tp_at_half, tp), coalesce(fp_at_half, fp))) STORED,
    recall_at_half numeric(5, 4) GENERATED ALWAYS AS (
        ml_internal.recall_score(coalesce(tp_at_half, tp), tp + fn - coalesce(tp_at_half, tp))
    ) STORED,
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
    CONSTRAINT ml_test_results_average_precision_between_0_and_1 CHECK (average_precision BETWEEN 0 AND 1),
    CONSTRAINT ml_test_results_scores_of_probabilities CHECK (log_loss >= 0 AND brier_score BETWEEN 0 AND 1),
    CONSTRAINT ml_test_results_threshold_between_0_and_1 CHECK (threshold BETWEEN 0 AND 1),
    CONSTRAINT ml_test_results_half_fits CHECK (
        ml_internal.counts_fit_half(threshold, tp, fp, tp_at_half, fp_at_half)
        AND coalesce(tp_at_half <= num_positive AND fp_at_half <= num_negative, true)
    ),
    CONSTRAINT ml_test_results_overlap_has_note CHECK (has_overlap = (overlap_note IS NOT NULL)),
    CONSTRAINT ml_test_results_windows_not_negative CHECK (least(num_without_base, num_uncovered) >= 0)
);

CREATE INDEX IF NOT EXISTS idx_test_results_model ON public.ml_test_results (model_id);
-- The latest test of each model, for the leaderboard.
CREATE INDEX IF NOT EXISTS ml_test_results_latest ON public.ml_test_results (model_id, created_at DESC, id DESC);
CREATE INDEX IF NOT EXISTS idx_test_results_created ON public.ml_test_results (created_at DESC);

ALTER TABLE public.ml_jobs
ADD COLUMN IF NOT EXISTS test_model_id bigint
CONSTRAINT ml_jobs_test_model_id_fkey REFERENCES public.ml_models (id),
ADD COLUMN IF NOT EXISTS test_start timestamptz,
ADD COLUMN IF NOT EXISTS test_end timestamptz,
ADD COLUMN IF NOT EXISTS result_test_id bigint
CONSTRAINT ml_jobs_result_test_id_fkey REFERENCES public.ml_test_results (id);

-- The jobs of a model and of a result; ml.prune would read the whole table for each without them.
CREATE INDEX IF NOT EXISTS ml_jobs_result_test ON public.ml_jobs (result_test_id) WHERE result_test_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS ml_jobs_test_model ON public.ml_jobs (test_model_id) WHERE test_model_id IS NOT NULL;

CALL ml_internal.add_baseline('ml_test_results', p_only_if => 'NOT has_overlap');

CALL ml_internal.define_kind(
    'TEST',
    needs => '{test_model_id,test_start,test_end}',
    uses_models => '{test_model_id}',
    result_table => 'ml_test_results',
    result_column => 'result_test_id',
    result_filled => '{model_id,test_start,test_end,num_samples,has_overlap,overlap_note}',
    result_facts => '{ml_curve_points,ml_intervals,ml_baselines,ml_warnings,ml_feature_shifts,ml_seen_unseen,ml_test_day_counts,ml_test_coin_counts}',
    page => 'page_of_tests'
);

-- How much of the first period lies in the second, in words; NULL where nothing does.
CREATE OR REPLACE FUNCTION ml_internal.overlap_note(
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

CREATE OR REPLACE FUNCTION ml_internal.fill_test_result()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    -- One after the other: joined, all jobs of a model might be read.
    SELECT j.test_model_id, j.test_start, j.test_end
    INTO NEW.model_id, NEW.test_start, NEW.test_end
    FROM public.ml_jobs j
    WHERE j.id = NEW.job_id;
    SELECT
        ml_internal.overlap_note(tstzrange(NEW.test_start, NEW.test_end), tstzrange(m.train_start, m.train_end)),
        nullif(concat_ws('; ', NEW.note, ml_internal.threshold_note(NEW.threshold, m.threshold)), '')
    INTO NEW.overlap_note, NEW.note
    FROM public.ml_models m
    WHERE m.id = NEW.model_id;
    NEW.has_overlap := NEW.overlap_note IS NOT NULL;
    NEW.num_samples := NEW.num_positive + NEW.num_negative;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER ml_test_results_20_fill
BEFORE INSERT ON public.ml_test_results
FOR EACH ROW EXECUTE FUNCTION ml_internal.fill_test_result();

CREATE OR REPLACE TRIGGER ml_test_results_70_warn_of_period
AFTER INSERT ON public.ml_test_results
FOR EACH ROW EXECUTE FUNCTION ml_internal.warn_of_period('model_id');

-- What ml.wait, ml_jobs and top show.
CREATE OR REPLACE FUNCTION ml_internal.show_test_result()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    SELECT t.id, format(
        'test %s of model %s: %s, ROC AUC %s%s',
        t.id, t.model_id, coalesce(
            ml_internal.baseline_verdict(t.beats_baseline, t.best_baseline, t.f1_score, t.baseline_f1, t.baseline_lower, t.baseline_upper, t.baseline_note),
            format('%s, F1 %s', ml_internal.verdict(t.tp, t.tn, t.fp, t.fn), coalesce(t.f1_score::text, 'none'))
        ), coalesce(t.roc_auc::text, 'none'), ', at the threshold ' || nullif(t.threshold, 0.5)
    ) || coalesce('; ' || t.note, '')
    INTO NEW.result_test_id, NEW.progress_msg
    FROM public.ml_test_results t
    WHERE t.job_id = NEW.id;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_80_test_show
BEFORE UPDATE OF completed_at ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.job_type = 'TEST' AND OLD.status <> 'COMPLETED' AND NEW.status = 'COMPLETED')
EXECUTE FUNCTION ml_internal.show_test_result();

CREATE OR REPLACE VIEW public.ml_fact_tests WITH (security_invoker = true) AS
SELECT
    t.id AS test_id, t.job_id, t.model_id, t.created_at, t.test_start AS period_start, t.test_end AS period_end,
    t.has_overlap, t.num_unlabelled, t.num_samples, t.num_positive, t.num_negative,
    t.tp, t.fp, t.tn, t.fn, t.accuracy, t.precision_score, t.recall, t.f1_score, t.roc_auc,
    t.seconds_loading, t.seconds_scoring, t.average_precision, t.note,
    t.num_without_base, t.num_uncovered, t.mcc, t.log_loss, t.brier_score,
    t.threshold, t.accuracy_at_half, t.precision_at_half, t.recall_at_half, t.f1_at_half,
    t.best_baseline, t.baseline_f1, t.baseline_difference, t.baseline_lower, t.baseline_upper, t.beats_baseline
FROM public.ml_test_results t;

-- Its part of ml.report.
CREATE OR REPLACE FUNCTION ml_internal.page_of_tests(
    p_model_id bigint
)
RETURNS SETOF text
LANGUAGE plpgsql
STABLE
ROWS 10
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY SELECT ('')::text;
    RETURN QUERY SELECT format('Tests: %s', (SELECT count(*) FROM public.ml_test_results t WHERE t.model_id = p_model_id));
    RETURN QUERY
    SELECT format(
        '  test %s, %s: accuracy %s, F1 %s%s, ROC AUC %s', t.id, ml_internal.period_text(t.test_start, t.test_end),
        coalesce(t.accuracy::text, '-'), coalesce(t.f1_score::text, '-'),
        CASE WHEN t.threshold <> 0.5 THEN format(' (at 0.5: %s)', coalesce(t.f1_at_half::text, '-')) END,
        coalesce(t.roc_auc::text, '-')
    ) || coalesce('; F1 of ' || ml_internal.baseline_text(t.best_baseline) || ': ' || t.baseline_f1, '')
    || coalesce('; ' || t.overlap_note, '') || coalesce('; ' || t.note, '')
    FROM public.ml_test_results t
    WHERE t.model_id = p_model_id
    ORDER BY t.created_at DESC, t.id DESC
    LIMIT 10;
END
$$;

-- Shorthand function, by the number of the model or by its name.
CREATE OR REPLACE FUNCTION ml.test(
    model_id bigint,
    test_start timestamptz DEFAULT NULL,
    test_end timestamptz DEFAULT NULL,
    priority integer DEFAULT NULL,
    max_attempts integer DEFAULT NULL,
    max_minutes numeric DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql -- see ml.train
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_id bigint;
BEGIN
    INSERT INTO public.ml_jobs (job_type, priority, max_attempts, max_minutes, test_model_id, test_start, test_end)
    VALUES ('TEST', priority, max_attempts, max_minutes, model_id, test_start, test_end)
    RETURNING id INTO v_id;
    RETURN v_id;
END
$$;

CREATE OR REPLACE FUNCTION ml.test(
    model_name text,
    test_start timestamptz DEFAULT NULL,
    test_end timestamptz DEFAULT NULL,
    priority integer DEFAULT NULL,
    max_attempts integer DEFAULT NULL,
    max_minutes numeric DEFAULT NULL
)
RETURNS bigint
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ml.test(ml_internal.find_model(model_name), test_start, test_end, priority, max_attempts, max_minutes);
$$;

CALL ml_internal.allow('ml_client', 'EXECUTE', 'ml.test');
CALL ml_internal.allow('ml_reader', 'EXECUTE', 'ml_internal.page_of_tests');
CALL ml_internal.allow('ml_reader', 'SELECT', 'public.ml_fact_tests');

COMMENT ON FUNCTION ml.test(bigint, timestamptz, timestamptz, integer, integer, numeric) IS 'Inserts a TEST job of a model and returns its id.';
COMMENT ON FUNCTION ml.test(text, timestamptz, timestamptz, integer, integer, numeric) IS 'Inserts a TEST job of the model with this name and returns its id.';
COMMENT ON FUNCTION ml_internal.overlap_note(tstzrange, tstzrange) IS 'How much of a test period lies in the training period, in words; NULL: nothing.';
COMMENT ON FUNCTION ml_internal.page_of_tests(bigint) IS 'Part of ml.report: the tests of a model.';
COMMENT ON FUNCTION ml_internal.fill_test_result() IS 'Trigger: model and period of a test result, and how much of the period the model was trained on.';
COMMENT ON FUNCTION ml_internal.show_test_result() IS 'Trigger: a COMPLETED TEST job names its result and says how good the model was.';
COMMENT ON TABLE public.ml_test_results IS 'How well a model did in another period, append-only: one row per TEST job.';
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
COMMENT ON COLUMN public.ml_test_results.num_without_base IS 'Rows without a label because their own value is NULL, zero or negative, and no base for a change; NULL before version 6.';
COMMENT ON COLUMN public.ml_test_results.num_uncovered IS 'Rows whose coin has no row where the window ends; ml_models.uncovered says what became of them; NULL before version 6.';
COMMENT ON COLUMN public.ml_test_results.num_unlabelled IS 'Rows left out because they have no label.';
COMMENT ON COLUMN public.ml_test_results.data_fingerprint IS 'SHA-256 over the rows loaded: the same data gives the same.';
COMMENT ON COLUMN public.ml_test_results.seconds_loading IS 'Seconds spent reading the data.';
COMMENT ON COLUMN public.ml_test_results.seconds_scoring IS 'Seconds spent predicting and measuring.';
COMMENT ON COLUMN public.ml_test_results.average_precision IS 'Average precision: the area under the precision-recall curve; the share of positive rows is chance. NULL where there was only one class, and before version 5.';
COMMENT ON COLUMN public.ml_test_results.note IS 'What else to know of it, in words: that the model was made by other versions of the libraries; NULL: nothing.';
COMMENT ON COLUMN public.ml_test_results.threshold IS 'Rows with a greater probability were predicted positive: the threshold of the model; 0.5 before version 8.';
COMMENT ON COLUMN public.ml_test_results.tp_at_half IS 'True positives if the threshold were 0.5; NULL before version 8, where it is.';
COMMENT ON COLUMN public.ml_test_results.fp_at_half IS 'False positives if the threshold were 0.5; NULL before version 8, where it is.';
COMMENT ON COLUMN public.ml_test_results.accuracy_at_half IS 'Accuracy if the threshold were 0.5.';
COMMENT ON COLUMN public.ml_test_results.f1_at_half IS 'F1 if the threshold were 0.5; NULL where undefined.';
COMMENT ON COLUMN public.ml_test_results.precision_at_half IS 'Precision if the threshold were 0.5; NULL where undefined.';
COMMENT ON COLUMN public.ml_test_results.recall_at_half IS 'Recall if the threshold were 0.5; NULL where undefined.';
COMMENT ON COLUMN public.ml_fact_tests.threshold IS 'Rows with a greater probability were predicted positive; 0.5 before version 8.';
COMMENT ON COLUMN public.ml_fact_tests.accuracy_at_half IS 'Accuracy if the threshold were 0.5.';
COMMENT ON COLUMN public.ml_fact_tests.precision_at_half IS 'Precision if the threshold were 0.5; NULL where undefined.';
COMMENT ON COLUMN public.ml_fact_tests.recall_at_half IS 'Recall if the threshold were 0.5; NULL where undefined.';
COMMENT ON COLUMN public.ml_fact_tests.f1_at_half IS 'F1 if the threshold were 0.5; NULL where undefined.';
COMMENT ON COLUMN public.ml_fact_tests.note IS 'What else to know of it, in words; NULL: nothing.';
COMMENT ON COLUMN public.ml_fact_tests.average_precision IS 'Average precision; NULL where there was only one class, and before version 5.';
COMMENT ON COLUMN public.ml_test_results.mcc IS 'Matthews correlation, -1 to 1, chance 0; NULL where the rows or the answers have one class only.';
COMMENT ON COLUMN public.ml_test_results.log_loss IS 'Log loss of the probabilities, in nats: less is better; NULL before version 7.';
COMMENT ON COLUMN public.ml_test_results.brier_score IS 'Brier score: mean square of probability minus label; less is better; NULL before version 7.';
COMMENT ON COLUMN public.ml_fact_tests.mcc IS 'Matthews correlation, -1 to 1, chance 0; NULL where the rows or the answers have one class only.';
COMMENT ON COLUMN public.ml_fact_tests.log_loss IS 'Log loss of the probabilities, in nats: less is better; NULL before version 7.';
COMMENT ON COLUMN public.ml_fact_tests.brier_score IS 'Brier score: mean square of probability minus label; less is better; NULL before version 7.';
COMMENT ON COLUMN public.ml_fact_tests.best_baseline IS 'Baseline with the highest F1 on the same rows, see ml_baselines; NULL before version 8.';
COMMENT ON COLUMN public.ml_fact_tests.baseline_f1 IS 'F1 of that baseline.';
COMMENT ON COLUMN public.ml_fact_tests.baseline_difference IS 'F1 of the model less that of the baseline.';
COMMENT ON COLUMN public.ml_fact_tests.baseline_lower IS 'Lower end of the 95 % interval of the difference.';
COMMENT ON COLUMN public.ml_fact_tests.baseline_upper IS 'Upper end of the 95 % interval of the difference.';
COMMENT ON COLUMN public.ml_fact_tests.beats_baseline IS 'Whether the 95 % interval of the difference from the best baseline is above 0; NULL before version 8.';
COMMENT ON VIEW public.ml_fact_tests IS 'Test results as facts, one row each.';
COMMENT ON COLUMN public.ml_fact_tests.test_id IS 'Number of the test result.';
COMMENT ON COLUMN public.ml_fact_tests.job_id IS 'Number of the job.';
COMMENT ON COLUMN public.ml_fact_tests.model_id IS 'Number of the model.';
COMMENT ON COLUMN public.ml_fact_tests.created_at IS 'When it was recorded.';
COMMENT ON COLUMN public.ml_fact_tests.period_start IS 'First moment of the period.';
COMMENT ON COLUMN public.ml_fact_tests.period_end IS 'First moment after the period.';
COMMENT ON COLUMN public.ml_fact_tests.has_overlap IS 'Whether the period shares time with the training period; if so, the metrics flatter.';
COMMENT ON COLUMN public.ml_fact_tests.num_unlabelled IS 'Rows left out because they have no label.';
COMMENT ON COLUMN public.ml_fact_tests.num_samples IS 'Rows measured on.';
COMMENT ON COLUMN public.ml_fact_tests.num_positive IS 'Positive rows among them.';
COMMENT ON COLUMN public.ml_fact_tests.num_negative IS 'Negative rows among them.';
COMMENT ON COLUMN public.ml_fact_tests.tp IS 'True positives.';
COMMENT ON COLUMN public.ml_fact_tests.fp IS 'False positives.';
COMMENT ON COLUMN public.ml_fact_tests.tn IS 'True negatives.';
COMMENT ON COLUMN public.ml_fact_tests.fn IS 'False negatives.';
COMMENT ON COLUMN public.ml_fact_tests.accuracy IS 'Share of the rows predicted right.';
COMMENT ON COLUMN public.ml_fact_tests.precision_score IS 'Share of the positive predictions that were right; NULL where there was none.';
COMMENT ON COLUMN public.ml_fact_tests.recall IS 'Share of the positive rows that were found; NULL where there was none.';
COMMENT ON COLUMN public.ml_fact_tests.f1_score IS 'Harmonic mean of precision and recall; NULL where undefined.';
COMMENT ON COLUMN public.ml_fact_tests.roc_auc IS 'Area under the ROC curve: 0.5 chance, 1 perfect; NULL where there was only one class.';
COMMENT ON COLUMN public.ml_fact_tests.seconds_loading IS 'Seconds spent reading the data.';
COMMENT ON COLUMN public.ml_fact_tests.num_without_base IS 'Rows without a label because their own value is no base for a change; NULL before version 6.';
COMMENT ON COLUMN public.ml_fact_tests.num_uncovered IS 'Rows whose coin has no row where the window ends, left out or negative; NULL before version 6.';
COMMENT ON COLUMN public.ml_fact_tests.seconds_scoring IS 'Seconds spent predicting and measuring.';
COMMENT ON COLUMN public.ml_jobs.test_model_id IS 'TEST: model to test.';
COMMENT ON COLUMN public.ml_jobs.test_start IS 'TEST: first moment of the period.';
COMMENT ON COLUMN public.ml_jobs.test_end IS 'TEST: first moment after the period.';
COMMENT ON COLUMN public.ml_jobs.result_test_id IS 'TEST: row of ml_test_results, once COMPLETED.';
