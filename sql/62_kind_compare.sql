-- COMPARE: two models scored on the very same rows; the database decides the winner: the one that leads by more than chance
-- explains, see 51_intervals.sql. All that is special to this kind of job stands here.

SET search_path TO pg_catalog, pg_temp;

-- The model with the higher F1, then with the higher accuracy, both at the stored precision; NULL: a tie.
-- An F1 that is undefined counts as none at all.
CREATE OR REPLACE FUNCTION ml_internal.leader(
    model_a_id bigint,
    model_b_id bigint,
    a_tp bigint, a_tn bigint, a_fp bigint, a_fn bigint,
    b_tp bigint, b_tn bigint, b_fp bigint, b_fn bigint
)
RETURNS bigint
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN x.a > x.b THEN model_a_id WHEN x.a < x.b THEN model_b_id END
    FROM (
        SELECT
            ARRAY[
                round(coalesce(ml_internal.f1_score(a_tp, a_fp, a_fn), 0), 4), round(ml_internal.accuracy(a_tp, a_tn, a_fp, a_fn), 4)
            ] AS a,
            ARRAY[
                round(coalesce(ml_internal.f1_score(b_tp, b_fp, b_fn), 0), 4), round(ml_internal.accuracy(b_tp, b_tn, b_fp, b_fn), 4)
            ] AS b
    ) x;
$$;

-- First minus second, as it is shown.
CREATE OR REPLACE FUNCTION ml_internal.f1_difference(
    a_tp bigint, a_fp bigint, a_fn bigint,
    b_tp bigint, b_fp bigint, b_fn bigint
)
RETURNS numeric
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT round(coalesce(ml_internal.f1_score(a_tp, a_fp, a_fn), 0), 4) - round(coalesce(ml_internal.f1_score(b_tp, b_fp, b_fn), 0), 4);
$$;

CREATE TABLE IF NOT EXISTS public.ml_comparisons (
    id bigint GENERATED ALWAYS AS IDENTITY,
    created_at timestamptz NOT NULL DEFAULT now(),
    model_a_id bigint NOT NULL,
    model_b_id bigint NOT NULL,
    test_start timestamptz NOT NULL,
    test_end timestamptz NOT NULL,
    num_samples bigint NOT NULL,
    a_accuracy numeric(5, 4) GENERATED ALWAYS AS (ml_internal.accuracy(a_tp, a_tn, a_fp, a_fn)) STORED,
    a_f1 numeric(5, 4) GENERATED ALWAYS AS (ml_internal.f1_score(a_tp, a_fp, a_fn)) STORED,
    a_precision numeric(5, 4) GENERATED ALWAYS AS (ml_internal.precision_score(a_tp, a_fp)) STORED,
    a_recall numeric(5, 4) GENERATED ALWAYS AS (ml_internal.recall_score(a_tp, a_fn)) STORED,
    b_accuracy numeric(5, 4) GENERATED ALWAYS AS (ml_internal.accuracy(b_tp, b_tn, b_fp, b_fn)) STORED,
    b_f1 numeric(5, 4) GENERATED ALWAYS AS (ml_internal.f1_score(b_tp, b_fp, b_fn)) STORED,
    b_precision numeric(5, 4) GENERATED ALWAYS AS (ml_internal.precision_score(b_tp, b_fp)) STORED,
    b_recall numeric(5, 4) GENERATED ALWAYS AS (ml_internal.recall_score(b_tp, b_fn)) STORED,
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
    note text,
    num_without_base bigint,
    num_uncovered bigint,
    a_average_precision numeric(5, 4),
    a_mcc numeric(5, 4) GENERATED ALWAYS AS (ml_internal.mcc(a_tp, a_tn, a_fp, a_fn)) STORED,
    a_log_loss numeric(9, 6),
    a_brier_score numeric(7, 6),
    b_average_precision numeric(5, 4),
    b_mcc numeric(5, 4) GENERATED ALWAYS AS (ml_internal.mcc(b_tp, b_tn, b_fp, b_fn)) STORED,
    b_log_loss numeric(9, 6),
    b_brier_score numeric(7, 6),
    confidence numeric,
    leader_id bigint GENERATED ALWAYS AS (
        ml_internal.leader(model_a_id, model_b_id, a_tp, a_tn, a_fp, a_fn, b_tp, b_tn, b_fp, b_fn)
    ) STORED,
    verdict text,
    a_overlap_note text,
    b_overlap_note text,
    f1_difference numeric(5, 4) GENERATED ALWAYS AS (ml_internal.f1_difference(a_tp, a_fp, a_fn, b_tp, b_fp, b_fn)) STORED,
    f1_difference_lower numeric(5, 4),
    f1_difference_upper numeric(5, 4),
    accuracy_difference numeric(5, 4) GENERATED ALWAYS AS (
        round(ml_internal.accuracy(a_tp, a_tn, a_fp, a_fn), 4) - round(ml_internal.accuracy(b_tp, b_tn, b_fp, b_fn), 4)
    ) STORED,
    accuracy_difference_lower numeric(5, 4),
    accuracy_difference_upper numeric(5, 4),
    roc_auc_difference numeric(5, 4) GENERATED ALWAYS AS (a_roc_auc - b_roc_auc) STORED,
    roc_auc_difference_lower numeric(5, 4),
    roc_auc_difference_upper numeric(5, 4),
    num_blocks integer,
    block_seconds bigint,
    undecided_reason text,
    a_threshold double precision NOT NULL DEFAULT 0.5,
    a_tp_at_half bigint,
    a_fp_at_half bigint,
    a_accuracy_at_half numeric(5, 4) GENERATED ALWAYS AS (
        ml_internal.accuracy(
            coalesce(a_tp_at_half, a_tp), a_tn + a_fp - coalesce(a_fp_at_half, a_fp), coalesce(a_fp_at_half, a_fp), a_tp + a_fn - coalesce(a_tp_at_half, a_tp)
        )
    ) STORED,
    a_f1_at_half numeric(5, 4) GENERATED ALWAYS AS (
        ml_internal.f1_score(coalesce(a_tp_at_half, a_tp), coalesce(a_fp_at_half, a_fp), a_tp + a_fn - coalesce(a_tp_at_half, a_tp))
    ) STORED,
    a_precision_at_half numeric(5, 4) GENERATED ALWAYS AS (ml_internal.precision_score(coalesce(a_tp_at_half, a_tp), coalesce(a_fp_at_half, a_fp))) STORED,
    a_recall_at_half numeric(5, 4) GENERATED ALWAYS AS (
        ml_internal.recall_score(coalesce(a_tp_at_half, a_tp), a_tp + a_fn - coalesce(a_tp_at_half, a_tp))
    ) STORED,
    b_threshold double precision NOT NULL DEFAULT 0.5,
    b_tp_at_half bigint,
    b_fp_at_half bigint,
    b_accuracy_at_half numeric(5, 4) GENERATED ALWAYS AS (
        ml_internal.accuracy(
            coalesce(b_tp_at_half, b_tp), b_tn + b_fp - coalesce(b_fp_at_half, b_fp), coalesce(b_fp_at_half, b_fp), b_tp + b_fn - coalesce(b_tp_at_half, b_tp)
        )
    ) STORED,
    b_f1_at_half numeric(5, 4) GENERATED ALWAYS AS (
        ml_internal.f1_score(coalesce(b_tp_at_half, b_tp), coalesce(b_fp_at_half, b_fp), b_tp + b_fn - coalesce(b_tp_at_half, b_tp))
    ) STORED,
    b_precision_at_half numeric(5, 4) GENERATED ALWAYS AS (ml_internal.precision_score(coalesce(b_tp_at_half, b_tp), coalesce(b_fp_at_half, b_fp))) STORED,
    b_recall_at_half numeric(5, 4) GENERATED ALWAYS AS (
        ml_internal.recall_score(coalesce(b_tp_at_half, b_tp), b_tp + b_fn - coalesce(b_tp_at_half, b_tp))
    ) STORED,
    CONSTRAINT ml_comparisons_pkey PRIMARY KEY (id),
    CONSTRAINT ml_comparisons_model_a_id_fkey FOREIGN KEY (model_a_id) REFERENCES public.ml_models (id),
    CONSTRAINT ml_comparisons_model_b_id_fkey FOREIGN KEY (model_b_id) REFERENCES public.ml_models (id),
    CONSTRAINT ml_comparisons_winner_id_fkey FOREIGN KEY (winner_id) REFERENCES public.ml_models (id),
    CONSTRAINT ml_comparisons_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_comparisons_one_a_job UNIQUE (job_id),
    CONSTRAINT ml_comparisons_two_models CHECK (model_a_id <> model_b_id),
    CONSTRAINT ml_comparisons_start_before_end CHECK (test_start < test_end),
    CONSTRAINT ml_comparisons_counts_not_negative CHECK (
        least(a_tp, a_tn, a_fp, a_fn, b_tp, b_tn, b_fp, b_fn, num_unlabelled) >= 0
    ),
    CONSTRAINT ml_comparisons_same_rows CHECK (
        a_tp + a_fn = b_tp + b_fn
        AND a_tn + a_fp = b_tn + b_fp
        AND a_tp + a_fn + a_tn + a_fp = num_samples
    ),
    CONSTRAINT ml_comparisons_roc_auc_between_0_and_1 CHECK (a_roc_auc BETWEEN 0 AND 1 AND b_roc_auc BETWEEN 0 AND 1),
    CONSTRAINT ml_comparisons_scores_of_probabilities CHECK (
        least(a_average_precision, b_average_precision, a_log_loss, b_log_loss, a_brier_score, b_brier_score) >= 0
        AND greatest(a_average_precision, b_average_precision, a_brier_score, b_brier_score) <= 1
    ),
    CONSTRAINT ml_comparisons_windows_not_negative CHECK (least(num_without_base, num_uncovered) >= 0),
    CONSTRAINT ml_comparisons_confidence_is_a_share_or_0 CHECK (confidence = 0 OR confidence BETWEEN 0.5 AND 0.999),
    -- The differences shown are those of rounded numbers.
    CONSTRAINT ml_comparisons_intervals_contain_differences CHECK (
        num_nonnulls(f1_difference_lower, f1_difference_upper) IN (0, 2)
        AND num_nonnulls(accuracy_difference_lower, accuracy_difference_upper) IN (0, 2)
        AND num_nonnulls(roc_auc_difference_lower, roc_auc_difference_upper) IN (0, 2)
        AND f1_difference BETWEEN f1_difference_lower - 0.0001 AND f1_difference_upper + 0.0001
        AND accuracy_difference BETWEEN accuracy_difference_lower - 0.0001 AND accuracy_difference_upper + 0.0001
        AND roc_auc_difference BETWEEN roc_auc_difference_lower - 0.0001 AND roc_auc_difference_upper + 0.0001
    ),
    CONSTRAINT ml_comparisons_interval_of_at_least_8_blocks CHECK (
        CASE
            WHEN num_nonnulls(f1_difference_lower, accuracy_difference_lower, roc_auc_difference_lower) = 0 THEN num_blocks >= 0
            ELSE coalesce(num_blocks, 0) >= 8
        END
        AND (num_blocks IS NULL) = (block_seconds IS NULL)
    ),
    CONSTRAINT ml_comparisons_winner_leads CHECK (winner_id IS NOT DISTINCT FROM leader_id OR winner_id IS NULL),
    -- Those of before version 8 have no confidence.
    CONSTRAINT ml_comparisons_winner_is_beyond_chance CHECK (
        winner_id IS NULL OR confidence IS NULL OR confidence = 0
        OR coalesce(CASE winner_id WHEN model_a_id THEN f1_difference_lower > 0 ELSE f1_difference_upper < 0 END, false)
    ),
    CONSTRAINT ml_comparisons_winner_was_not_trained_on_it CHECK (
        winner_id IS NULL OR CASE winner_id WHEN model_a_id THEN a_overlap_note ELSE b_overlap_note END IS NULL
    ),
    CONSTRAINT ml_comparisons_thresholds_between_0_and_1 CHECK (a_threshold BETWEEN 0 AND 1 AND b_threshold BETWEEN 0 AND 1),
    CONSTRAINT ml_comparisons_half_fits CHECK (
        ml_internal.counts_fit_half(a_threshold, a_tp, a_fp, a_tp_at_half, a_fp_at_half)
        AND ml_internal.counts_fit_half(b_threshold, b_tp, b_fp, b_tp_at_half, b_fp_at_half)
        AND coalesce(greatest(a_tp_at_half, b_tp_at_half) <= a_tp + a_fn AND greatest(a_fp_at_half, b_fp_at_half) <= a_tn + a_fp, true)
    )
);

CREATE INDEX IF NOT EXISTS idx_comparisons_models ON public.ml_comparisons (model_a_id, model_b_id);
CREATE INDEX IF NOT EXISTS ml_comparisons_model_b ON public.ml_comparisons (model_b_id);
CREATE INDEX IF NOT EXISTS ml_comparisons_winner ON public.ml_comparisons (winner_id);

CREATE INDEX IF NOT EXISTS ml_comparisons_created ON public.ml_comparisons (created_at);

ALTER TABLE public.ml_jobs
ADD COLUMN IF NOT EXISTS compare_model_a_id bigint
CONSTRAINT ml_jobs_compare_model_a_id_fkey REFERENCES public.ml_models (id),
ADD COLUMN IF NOT EXISTS compare_model_b_id bigint
CONSTRAINT ml_jobs_compare_model_b_id_fkey REFERENCES public.ml_models (id)
CONSTRAINT ml_jobs_compares_two_models CHECK (compare_model_a_id <> compare_model_b_id),
ADD COLUMN IF NOT EXISTS compare_start timestamptz,
ADD COLUMN IF NOT EXISTS compare_end timestamptz,
ADD COLUMN IF NOT EXISTS result_comparison_id bigint
CONSTRAINT ml_jobs_result_comparison_id_fkey REFERENCES public.ml_comparisons (id),
ADD COLUMN IF NOT EXISTS compare_confidence numeric
CONSTRAINT ml_jobs_compare_confidence_is_a_share_or_0 CHECK (compare_confidence = 0 OR compare_confidence BETWEEN 0.5 AND 0.999);

-- The jobs of a model and of a result; ml.prune would read the whole table for each without them.
CREATE INDEX IF NOT EXISTS ml_jobs_result_comparison ON public.ml_jobs (result_comparison_id) WHERE result_comparison_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS ml_jobs_compare_model_a ON public.ml_jobs (compare_model_a_id) WHERE compare_model_a_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS ml_jobs_compare_model_b ON public.ml_jobs (compare_model_b_id) WHERE compare_model_b_id IS NOT NULL;

CALL ml_internal.add_baseline('ml_comparisons', 'a_', 'a_overlap_note IS NULL');
CALL ml_internal.add_baseline('ml_comparisons', 'b_', 'b_overlap_note IS NULL');

CALL ml_internal.define_kind(
    'COMPARE',
    needs => '{compare_model_a_id,compare_model_b_id,compare_start,compare_end}',
    uses_models => '{compare_model_a_id,compare_model_b_id}',
    result_table => 'ml_comparisons',
    result_column => 'result_comparison_id',
    result_filled => '{model_a_id,model_b_id,test_start,test_end,winner_id,confidence,verdict,a_overlap_note,b_overlap_note}',
    result_facts => '{ml_intervals,ml_baselines,ml_warnings,ml_feature_shifts,ml_seen_unseen}',
    page => 'page_of_comparisons'
);

-- A job of before version 8 has none, and is decided as it was then.
CREATE OR REPLACE FUNCTION ml_internal.fill_compare()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    NEW.compare_confidence := coalesce(NEW.compare_confidence, 0.95);
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_22_compare_fill
BEFORE INSERT ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.job_type = 'COMPARE')
EXECUTE FUNCTION ml_internal.fill_compare();

CREATE OR REPLACE FUNCTION ml_internal.refuse_confidence()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'compare_confidence % is neither 0 nor from 0.5 to 0.999', NEW.compare_confidence
        USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'compare_confidence',
        HINT = 'Leave it out for 0.95, or give a share; with 0 the higher F1 wins, be it by chance.';
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_40_compare_confidence
BEFORE INSERT ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.job_type = 'COMPARE' AND NEW.compare_confidence <> 0 AND NEW.compare_confidence NOT BETWEEN 0.5 AND 0.999)
EXECUTE FUNCTION ml_internal.refuse_confidence();

CREATE OR REPLACE FUNCTION ml_internal.refuse_comparing_itself()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'model % cannot be compared with itself', NEW.compare_model_a_id
        USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'compare_model_b_id',
        HINT = 'Give compare_model_a_id and compare_model_b_id two different models.';
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_40_compare_itself
BEFORE INSERT ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.compare_model_a_id = NEW.compare_model_b_id)
EXECUTE FUNCTION ml_internal.refuse_comparing_itself();

-- That both are READY is seen to by then.
CREATE OR REPLACE FUNCTION ml_internal.require_comparable_models()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_a public.ml_models;
    v_b public.ml_models;
    v_predicts_a text;
    v_predicts_b text;
BEGIN
    SELECT * INTO v_a FROM public.ml_models m WHERE m.id = NEW.compare_model_a_id;
    SELECT * INTO v_b FROM public.ml_models m WHERE m.id = NEW.compare_model_b_id;
    v_predicts_a := ml_internal.label_text(v_a);
    v_predicts_b := ml_internal.label_text(v_b);
    IF v_a.source <> v_b.source THEN
        RAISE EXCEPTION 'models % and % learn from different sources: % and %', v_a.id, v_b.id, v_a.source, v_b.source
            USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'compare_model_b_id',
            HINT = 'Both are scored on the same rows; compare models of the same source.';
    ELSIF v_predicts_a <> v_predicts_b THEN
        RAISE EXCEPTION 'models % and % predict different things: % and %', v_a.id, v_b.id, v_predicts_a, v_predicts_b
            USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'compare_model_b_id',
            HINT = 'Compare models with the same label: SELECT id, name, target FROM ml_leaderboard; shows what each predicts.';
    ELSIF ml_internal.common_items(v_a.phases_csv, v_b.phases_csv) = '' THEN
        RAISE EXCEPTION 'models % and % have no phase in common: % and %', v_a.id, v_b.id, v_a.phases_csv, v_b.phases_csv
            USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'compare_model_b_id',
            HINT = 'Both are scored on the same rows; compare models that were trained on at least one common phase.';
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_56_compare_models
BEFORE INSERT ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.job_type = 'COMPARE')
EXECUTE FUNCTION ml_internal.require_comparable_models();

-- What has been shown, and no more than that.
CREATE OR REPLACE FUNCTION ml_internal.comparison_verdict(
    c public.ml_comparisons,
    p_leader bigint
)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_follows boolean := p_leader IS DISTINCT FROM c.model_a_id; -- what is told is of the leader, then of the other
    v_other bigint := CASE WHEN v_follows THEN c.model_a_id ELSE c.model_b_id END;
    v_f1 numeric(5, 4) [] := ARRAY[ml_internal.f1_score(c.a_tp, c.a_fp, c.a_fn), ml_internal.f1_score(c.b_tp, c.b_fp, c.b_fn)];
    v_accuracy numeric(5, 4) [] := ARRAY[
        ml_internal.accuracy(c.a_tp, c.a_tn, c.a_fp, c.a_fn), ml_internal.accuracy(c.b_tp, c.b_tn, c.b_fp, c.b_fn)
    ];
    v_leads integer := CASE WHEN v_follows THEN 2 ELSE 1 END;
    v_difference numeric := abs(ml_internal.f1_difference(c.a_tp, c.a_fp, c.a_fn, c.b_tp, c.b_fp, c.b_fn));
    v_interval text := format(
        '%s to %s at %s, %s',
        CASE WHEN v_follows THEN -c.f1_difference_upper ELSE c.f1_difference_lower END,
        CASE WHEN v_follows THEN -c.f1_difference_lower ELSE c.f1_difference_upper END,
        ml_internal.percent_text(coalesce(nullif(c.confidence, 0), 0.95)), ml_internal.blocks_text(c.num_blocks, c.block_seconds)
    );
    v_leading_note text := CASE WHEN v_follows THEN c.b_overlap_note ELSE c.a_overlap_note END;
    v_said text;
BEGIN
    IF p_leader IS NULL THEN
        RETURN format('a tie, no winner: both have %s and accuracy %s', coalesce('F1 ' || v_f1[1], 'no F1'), coalesce(v_accuracy[1]::text, 'none'));
    END IF;
    v_said := CASE
        WHEN v_difference = 0 THEN format(
            '%s of both, accuracy %s of model %s and %s of model %s',
            coalesce('F1 ' || v_f1[v_leads], 'no F1'), v_accuracy[v_leads], p_leader, v_accuracy[3 - v_leads], v_other
        )
        ELSE format(
            'F1 %s of model %s is %s higher than %s of model %s%s',
            v_f1[v_leads], p_leader, v_difference, coalesce(v_f1[3 - v_leads]::text, 'none'), v_other,
            CASE WHEN c.f1_difference_lower IS NOT NULL THEN format(' (%s)', v_interval) END
        )
    END;
    RETURN CASE
        WHEN c.winner_id IS NOT NULL AND coalesce(c.confidence, 0) > 0 THEN format(
            'model %s wins: %s; shown of these two fitted models at their thresholds on these rows, not of their recipes', c.winner_id, v_said
        )
        WHEN c.winner_id IS NOT NULL THEN format('model %s wins by the plain rule: %s; chance was not considered', c.winner_id, v_said)
        WHEN v_leading_note IS NOT NULL THEN format('no winner: %s, but a model cannot win on rows of its training', v_said)
        WHEN c.num_blocks IS NULL THEN format('no clear winner: %s, and the worker gave no interval; it is older than this database', v_said)
        WHEN c.f1_difference_lower IS NULL THEN format('no clear winner: %s, and there is no interval: %s', v_said, coalesce(c.undecided_reason, 'no reason given'))
        ELSE format('no clear winner: %s, which chance explains', v_said)
    END || coalesce('; model ' || c.model_a_id || ': ' || c.a_overlap_note, '') || coalesce('; model ' || c.model_b_id || ': ' || c.b_overlap_note, '');
END
$$;

CREATE OR REPLACE FUNCTION ml_internal.fill_comparison()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_leader bigint;
BEGIN
    -- One after the other: joined, all jobs of a model might be read.
    SELECT j.compare_model_a_id, j.compare_model_b_id, j.compare_start, j.compare_end, j.compare_confidence
    INTO NEW.model_a_id, NEW.model_b_id, NEW.test_start, NEW.test_end, NEW.confidence
    FROM public.ml_jobs j
    WHERE j.id = NEW.job_id;
    NEW.a_overlap_note := (
        SELECT ml_internal.overlap_note(tstzrange(NEW.test_start, NEW.test_end), tstzrange(m.train_start, m.train_end))
        FROM public.ml_models m
        WHERE m.id = NEW.model_a_id
    );
    NEW.b_overlap_note := (
        SELECT ml_internal.overlap_note(tstzrange(NEW.test_start, NEW.test_end), tstzrange(m.train_start, m.train_end))
        FROM public.ml_models m
        WHERE m.id = NEW.model_b_id
    );
    -- Generated columns are not filled yet in a BEFORE trigger.
    v_leader := ml_internal.leader(
        NEW.model_a_id, NEW.model_b_id, NEW.a_tp, NEW.a_tn, NEW.a_fp, NEW.a_fn, NEW.b_tp, NEW.b_tn, NEW.b_fp, NEW.b_fn
    );
    NEW.note := nullif(concat_ws(
        '; ', NEW.note,
        (
            SELECT 'model a ' || ml_internal.threshold_note(NEW.a_threshold, m.threshold) FROM public.ml_models m WHERE m.id = NEW.model_a_id
        ),
        (
            SELECT 'model b ' || ml_internal.threshold_note(NEW.b_threshold, m.threshold) FROM public.ml_models m WHERE m.id = NEW.model_b_id
        )
    ), '');
    NEW.winner_id := CASE
        WHEN CASE v_leader WHEN NEW.model_a_id THEN NEW.a_overlap_note ELSE NEW.b_overlap_note END IS NOT NULL THEN NULL
        WHEN coalesce(NEW.confidence, 0) = 0 THEN v_leader
        WHEN CASE v_leader WHEN NEW.model_a_id THEN NEW.f1_difference_lower > 0 ELSE NEW.f1_difference_upper < 0 END THEN v_leader
    END;
    NEW.verdict := ml_internal.comparison_verdict(NEW, v_leader);
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER ml_comparisons_20_fill
BEFORE INSERT ON public.ml_comparisons
FOR EACH ROW EXECUTE FUNCTION ml_internal.fill_comparison();

CREATE OR REPLACE TRIGGER ml_comparisons_70_warn_of_period
AFTER INSERT ON public.ml_comparisons
FOR EACH ROW EXECUTE FUNCTION ml_internal.warn_of_period('model_a_id', 'model_b_id');

-- What ml.wait, ml_jobs and top show.
CREATE OR REPLACE FUNCTION ml_internal.show_comparison()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    SELECT c.id, concat_ws('; ', c.verdict, CASE
        WHEN c.a_beats_baseline AND c.b_beats_baseline THEN 'both beat their best baseline'
        WHEN c.a_beats_baseline THEN format('model %s alone beats its best baseline', c.model_a_id)
        WHEN c.b_beats_baseline THEN format('model %s alone beats its best baseline', c.model_b_id)
        WHEN num_nulls(c.a_beats_baseline, c.b_beats_baseline) = 0 THEN format(
            'neither provably beats its best baseline (F1 of %s: %s)',
            ml_internal.baseline_text(c.a_best_baseline), c.a_baseline_f1
        )
    END, c.note)
    INTO NEW.result_comparison_id, NEW.progress_msg
    FROM public.ml_comparisons c
    WHERE c.job_id = NEW.id;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_80_compare_show
BEFORE UPDATE OF completed_at ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.job_type = 'COMPARE' AND OLD.status <> 'COMPLETED' AND NEW.status = 'COMPLETED')
EXECUTE FUNCTION ml_internal.show_comparison();

CREATE OR REPLACE VIEW public.ml_fact_comparisons WITH (security_invoker = true) AS
SELECT
    c.id AS comparison_id, c.job_id, c.model_a_id, c.model_b_id, c.winner_id, c.created_at,
    c.test_start AS period_start, c.test_end AS period_end, c.num_samples, c.num_unlabelled,
    c.a_accuracy, c.a_precision, c.a_recall, c.a_f1, c.a_roc_auc,
    c.b_accuracy, c.b_precision, c.b_recall, c.b_f1, c.b_roc_auc,
    c.seconds_loading, c.seconds_scoring, c.note,
    c.num_without_base, c.num_uncovered,
    c.a_average_precision, c.a_mcc, c.a_log_loss, c.a_brier_score,
    c.b_average_precision, c.b_mcc, c.b_log_loss, c.b_brier_score,
    c.confidence, c.leader_id, c.verdict, c.a_overlap_note, c.b_overlap_note,
    c.f1_difference, c.f1_difference_lower, c.f1_difference_upper,
    c.accuracy_difference, c.accuracy_difference_lower, c.accuracy_difference_upper,
    c.roc_auc_difference, c.roc_auc_difference_lower, c.roc_auc_difference_upper,
    c.num_blocks, c.block_seconds, c.undecided_reason,
    c.a_threshold, c.a_accuracy_at_half, c.a_precision_at_half, c.a_recall_at_half, c.a_f1_at_half,
    c.b_threshold, c.b_accuracy_at_half, c.b_precision_at_half, c.b_recall_at_half, c.b_f1_at_half,
    c.a_best_baseline, c.a_baseline_f1, c.a_beats_baseline, c.b_best_baseline, c.b_baseline_f1, c.b_beats_baseline
FROM public.ml_comparisons c;

-- Its part of ml.report.
CREATE OR REPLACE FUNCTION ml_internal.page_of_comparisons(
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
    RETURN QUERY SELECT format(
        'Comparisons: %s', (SELECT count(*) FROM public.ml_comparisons c WHERE p_model_id IN (c.model_a_id, c.model_b_id))
    );
    RETURN QUERY
    SELECT l.line
    FROM (
        SELECT
            row_number() OVER (ORDER BY c.created_at DESC, c.id DESC) AS place,
            format(
                '  %s model %s, %s (%s): F1 %s to %s',
                CASE
                    WHEN c.winner_id = p_model_id THEN 'won against'
                    WHEN c.winner_id IS NOT NULL THEN 'lost to'
                    WHEN c.leader_id IS NULL THEN 'drew with'
                    WHEN c.leader_id = p_model_id THEN 'no winner, but ahead of'
                    ELSE 'no winner, but behind'
                END,
                o.id, o.name, ml_internal.period_text(c.test_start, c.test_end),
                coalesce(CASE WHEN o.id = c.model_b_id THEN c.a_f1 ELSE c.b_f1 END::text, '-'),
                coalesce(CASE WHEN o.id = c.model_b_id THEN c.b_f1 ELSE c.a_f1 END::text, '-')
            ) || coalesce(
                '; F1 of ' || CASE
                    WHEN o.id = c.model_b_id THEN ml_internal.baseline_text(c.a_best_baseline) || ': ' || c.a_baseline_f1
                    ELSE ml_internal.baseline_text(c.b_best_baseline) || ': ' || c.b_baseline_f1
                END, ''
            ) || coalesce('; ' || c.note, '') AS headline,
            '    ' || c.verdict AS verdict
        FROM public.ml_comparisons c
        JOIN public.ml_models o ON o.id IN (c.model_a_id, c.model_b_id) AND o.id <> p_model_id
        WHERE p_model_id IN (c.model_a_id, c.model_b_id)
        ORDER BY place
        LIMIT 10
    ) x
    CROSS JOIN LATERAL (VALUES (1, x.headline), (2, x.verdict)) l (place, line)
    WHERE l.line IS NOT NULL
    ORDER BY x.place, l.place;
END
$$;

-- Shorthand function, by the numbers of the models or by their names.
CREATE OR REPLACE FUNCTION ml.compare(
    model_a_id bigint,
    model_b_id bigint,
    compare_start timestamptz DEFAULT NULL,
    compare_end timestamptz DEFAULT NULL,
    priority integer DEFAULT NULL,
    max_attempts integer DEFAULT NULL,
    max_minutes numeric DEFAULT NULL,
    compare_confidence numeric DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql -- see ml.train
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_id bigint;
BEGIN
    INSERT INTO public.ml_jobs (
        job_type, priority, max_attempts, max_minutes, compare_model_a_id, compare_model_b_id, compare_start, compare_end,
        compare_confidence
    )
    VALUES (
        'COMPARE', priority, max_attempts, max_minutes, model_a_id, model_b_id, compare_start, compare_end, compare_confidence
    )
    RETURNING id INTO v_id;
    RETURN v_id;
END
$$;

CREATE OR REPLACE FUNCTION ml.compare(
    model_a_name text,
    model_b_name text,
    compare_start timestamptz DEFAULT NULL,
    compare_end timestamptz DEFAULT NULL,
    priority integer DEFAULT NULL,
    max_attempts integer DEFAULT NULL,
    max_minutes numeric DEFAULT NULL,
    compare_confidence numeric DEFAULT NULL
)
RETURNS bigint
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ml.compare(
        ml_internal.find_model(model_a_name), ml_internal.find_model(model_b_name), compare_start, compare_end, priority, max_attempts, max_minutes,
        compare_confidence
    );
$$;

CALL ml_internal.allow('ml_client', 'EXECUTE', 'ml.compare');
CALL ml_internal.allow('ml_reader', 'EXECUTE', 'ml_internal.page_of_comparisons');
CALL ml_internal.allow('ml_reader', 'SELECT', 'public.ml_fact_comparisons');

COMMENT ON FUNCTION ml.compare(bigint, bigint, timestamptz, timestamptz, integer, integer, numeric, numeric) IS 'Inserts a COMPARE job of two models and returns its id.';
COMMENT ON FUNCTION ml.compare(text, text, timestamptz, timestamptz, integer, integer, numeric, numeric) IS 'Inserts a COMPARE job of the models with these names and returns its id.';
COMMENT ON FUNCTION ml_internal.refuse_comparing_itself() IS 'Trigger: a model cannot be compared with itself.';
COMMENT ON FUNCTION ml_internal.require_comparable_models() IS 'Trigger: two models with the same target, horizon and at least one common phase.';
COMMENT ON FUNCTION ml_internal.page_of_comparisons(bigint) IS 'Part of ml.report: the comparisons of a model.';
COMMENT ON FUNCTION ml_internal.leader(bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint) IS 'The model with the higher F1, then accuracy, at the stored precision; NULL: a tie.';
COMMENT ON FUNCTION ml_internal.f1_difference(bigint, bigint, bigint, bigint, bigint, bigint) IS 'F1 of the first model minus that of the second, each at four digits; one that is undefined counts as 0.';
COMMENT ON FUNCTION ml_internal.fill_compare() IS 'Trigger: compare_confidence is 0.95 unless it is given.';
COMMENT ON FUNCTION ml_internal.refuse_confidence() IS 'Trigger: compare_confidence is 0 or a share from 0.5 to 0.999.';
COMMENT ON FUNCTION ml_internal.comparison_verdict(public.ml_comparisons, bigint) IS 'What a comparison has shown, in a sentence.';
COMMENT ON FUNCTION ml_internal.fill_comparison() IS 'Trigger: models, period and overlap with their training; the winner is the leader where the interval of the difference in F1 excludes zero, and it was not trained on the period.';
COMMENT ON FUNCTION ml_internal.show_comparison() IS 'Trigger: a COMPLETED COMPARE job names its result and says who won.';
COMMENT ON TABLE public.ml_comparisons IS 'Two models scored on the very same rows, append-only: one row per COMPARE job.';
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
COMMENT ON COLUMN public.ml_comparisons.winner_id IS 'The better model: the leader, where the interval of the difference in F1 excludes zero; with a confidence of 0, and before version 8, the leader in any case. Never one whose training overlaps the period. NULL: a draw, see verdict.';
COMMENT ON COLUMN public.ml_comparisons.leader_id IS 'The model with the higher F1, then accuracy, at the stored precision, be it by chance; NULL: a tie.';
COMMENT ON COLUMN public.ml_comparisons.verdict IS 'What has been shown, in a sentence; NULL before version 8.';
COMMENT ON COLUMN public.ml_comparisons.confidence IS 'compare_confidence of the job; 0: the leader wins, be it by chance; NULL before version 8, which means the same.';
COMMENT ON COLUMN public.ml_comparisons.a_overlap_note IS 'First model: how much of the period it was trained on, in words; it cannot win then. NULL: nothing, and before version 8.';
COMMENT ON COLUMN public.ml_comparisons.b_overlap_note IS 'Second model: how much of the period it was trained on, in words; it cannot win then. NULL: nothing, and before version 8.';
COMMENT ON COLUMN public.ml_comparisons.f1_difference IS 'F1 of the first model minus that of the second; one that is undefined counts as 0.';
COMMENT ON COLUMN public.ml_comparisons.f1_difference_lower IS 'Lower end of its interval at confidence (0.95 where that is 0), by blocks of time resampled for both models alike, see ml_intervals; NULL: see undecided_reason.';
COMMENT ON COLUMN public.ml_comparisons.f1_difference_upper IS 'Upper end of its interval.';
COMMENT ON COLUMN public.ml_comparisons.accuracy_difference IS 'Accuracy of the first model minus that of the second.';
COMMENT ON COLUMN public.ml_comparisons.accuracy_difference_lower IS 'Lower end of its interval; NULL: there is none.';
COMMENT ON COLUMN public.ml_comparisons.accuracy_difference_upper IS 'Upper end of its interval; NULL: there is none.';
COMMENT ON COLUMN public.ml_comparisons.roc_auc_difference IS 'ROC AUC of the first model minus that of the second; NULL where there was only one class.';
COMMENT ON COLUMN public.ml_comparisons.roc_auc_difference_lower IS 'Lower end of its interval; NULL: there is none.';
COMMENT ON COLUMN public.ml_comparisons.roc_auc_difference_upper IS 'Upper end of its interval; NULL: there is none.';
COMMENT ON COLUMN public.ml_comparisons.num_blocks IS 'Blocks of time that hold rows; NULL: the worker was older than version 8.';
COMMENT ON COLUMN public.ml_comparisons.block_seconds IS 'Length of a block, see ml_intervals.';
COMMENT ON COLUMN public.ml_comparisons.undecided_reason IS 'Why the difference in F1 has no interval, in words; NULL: it has one.';
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
COMMENT ON COLUMN public.ml_comparisons.num_without_base IS 'Rows without a label because their own value is NULL, zero or negative, and no base for a change; NULL before version 6.';
COMMENT ON COLUMN public.ml_comparisons.num_uncovered IS 'Rows whose coin has no row where the window ends; ml_models.uncovered says what became of them; NULL before version 6.';
COMMENT ON COLUMN public.ml_comparisons.num_unlabelled IS 'Rows left out because they have no label.';
COMMENT ON COLUMN public.ml_comparisons.data_fingerprint IS 'SHA-256 over the rows loaded: the same data gives the same.';
COMMENT ON COLUMN public.ml_comparisons.seconds_loading IS 'Seconds spent reading the data.';
COMMENT ON COLUMN public.ml_comparisons.seconds_scoring IS 'Seconds spent predicting and measuring.';
COMMENT ON COLUMN public.ml_comparisons.note IS 'What else to know of it, in words: that a model was made by other versions of the libraries; NULL: nothing.';
COMMENT ON COLUMN public.ml_fact_comparisons.note IS 'What else to know of it, in words; NULL: nothing.';
COMMENT ON COLUMN public.ml_fact_comparisons.num_without_base IS 'Rows without a label because their own value is no base for a change; NULL before version 6.';
COMMENT ON COLUMN public.ml_fact_comparisons.num_uncovered IS 'Rows whose coin has no row where the window ends, left out or negative; NULL before version 6.';
COMMENT ON COLUMN public.ml_comparisons.a_average_precision IS 'First model: average precision; NULL where there was only one class, and before version 7.';
COMMENT ON COLUMN public.ml_comparisons.a_mcc IS 'First model: Matthews correlation, -1 to 1, chance 0; NULL where the rows or the answers have one class only.';
COMMENT ON COLUMN public.ml_comparisons.a_log_loss IS 'First model: log loss of the probabilities, in nats: less is better; NULL before version 7.';
COMMENT ON COLUMN public.ml_comparisons.a_brier_score IS 'First model: Brier score: mean square of probability minus label; less is better; NULL before version 7.';
COMMENT ON COLUMN public.ml_comparisons.b_average_precision IS 'Second model: average precision; NULL where there was only one class, and before version 7.';
COMMENT ON COLUMN public.ml_comparisons.b_mcc IS 'Second model: Matthews correlation, -1 to 1, chance 0; NULL where the rows or the answers have one class only.';
COMMENT ON COLUMN public.ml_comparisons.b_log_loss IS 'Second model: log loss of the probabilities, in nats: less is better; NULL before version 7.';
COMMENT ON COLUMN public.ml_comparisons.b_brier_score IS 'Second model: Brier score: mean square of probability minus label; less is better; NULL before version 7.';
COMMENT ON COLUMN public.ml_fact_comparisons.a_average_precision IS 'First model: average precision; NULL where there was only one class, and before version 7.';
COMMENT ON COLUMN public.ml_fact_comparisons.a_mcc IS 'First model: Matthews correlation, -1 to 1, chance 0; NULL where the rows or the answers have one class only.';
COMMENT ON COLUMN public.ml_fact_comparisons.a_log_loss IS 'First model: log loss of the probabilities, in nats: less is better; NULL before version 7.';
COMMENT ON COLUMN public.ml_fact_comparisons.a_brier_score IS 'First model: Brier score: mean square of probability minus label; less is better; NULL before version 7.';
COMMENT ON COLUMN public.ml_fact_comparisons.b_average_precision IS 'Second model: average precision; NULL where there was only one class, and before version 7.';
COMMENT ON COLUMN public.ml_fact_comparisons.b_mcc IS 'Second model: Matthews correlation, -1 to 1, chance 0; NULL where the rows or the answers have one class only.';
COMMENT ON COLUMN public.ml_fact_comparisons.b_log_loss IS 'Second model: log loss of the probabilities, in nats: less is better; NULL before version 7.';
COMMENT ON COLUMN public.ml_fact_comparisons.b_brier_score IS 'Second model: Brier score: mean square of probability minus label; less is better; NULL before version 7.';
COMMENT ON COLUMN public.ml_fact_comparisons.a_best_baseline IS 'First model: baseline with the highest F1 on the same rows, see ml_baselines; NULL before version 8.';
COMMENT ON COLUMN public.ml_fact_comparisons.a_baseline_f1 IS 'First model: F1 of that baseline.';
COMMENT ON COLUMN public.ml_fact_comparisons.a_beats_baseline IS 'First model: whether the 95 % interval of the difference from the best baseline is above 0; NULL before version 8.';
COMMENT ON COLUMN public.ml_fact_comparisons.b_best_baseline IS 'Second model: baseline with the highest F1 on the same rows, see ml_baselines; NULL before version 8.';
COMMENT ON COLUMN public.ml_fact_comparisons.b_baseline_f1 IS 'Second model: F1 of that baseline.';
COMMENT ON COLUMN public.ml_fact_comparisons.b_beats_baseline IS 'Second model: whether the 95 % interval of the difference from the best baseline is above 0; NULL before version 8.';
COMMENT ON VIEW public.ml_fact_comparisons IS 'Comparisons as facts, one row each.';
COMMENT ON COLUMN public.ml_fact_comparisons.comparison_id IS 'Number of the comparison.';
COMMENT ON COLUMN public.ml_fact_comparisons.job_id IS 'Number of the job.';
COMMENT ON COLUMN public.ml_fact_comparisons.model_a_id IS 'First model.';
COMMENT ON COLUMN public.ml_fact_comparisons.model_b_id IS 'Second model.';
COMMENT ON COLUMN public.ml_fact_comparisons.winner_id IS 'The better model, beyond chance; NULL: a draw.';
COMMENT ON COLUMN public.ml_fact_comparisons.confidence IS 'compare_confidence of the job; 0: the leader wins, be it by chance; NULL before version 8, which means the same.';
COMMENT ON COLUMN public.ml_fact_comparisons.leader_id IS 'The model with the higher F1, then accuracy, at the stored precision, be it by chance; NULL: a tie.';
COMMENT ON COLUMN public.ml_fact_comparisons.verdict IS 'What has been shown, in a sentence; NULL before version 8.';
COMMENT ON COLUMN public.ml_fact_comparisons.a_overlap_note IS 'First model: how much of the period it was trained on, in words; it cannot win then. NULL: nothing, and before version 8.';
COMMENT ON COLUMN public.ml_fact_comparisons.b_overlap_note IS 'Second model: how much of the period it was trained on, in words; it cannot win then. NULL: nothing, and before version 8.';
COMMENT ON COLUMN public.ml_fact_comparisons.f1_difference IS 'F1 of the first model minus that of the second; one that is undefined counts as 0.';
COMMENT ON COLUMN public.ml_fact_comparisons.f1_difference_lower IS 'Lower end of its interval at confidence (0.95 where that is 0), by blocks of time resampled for both models alike, see ml_intervals; NULL: see undecided_reason.';
COMMENT ON COLUMN public.ml_fact_comparisons.f1_difference_upper IS 'Upper end of its interval.';
COMMENT ON COLUMN public.ml_fact_comparisons.accuracy_difference IS 'Accuracy of the first model minus that of the second.';
COMMENT ON COLUMN public.ml_fact_comparisons.accuracy_difference_lower IS 'Lower end of its interval; NULL: there is none.';
COMMENT ON COLUMN public.ml_fact_comparisons.accuracy_difference_upper IS 'Upper end of its interval; NULL: there is none.';
COMMENT ON COLUMN public.ml_fact_comparisons.roc_auc_difference IS 'ROC AUC of the first model minus that of the second; NULL where there was only one class.';
COMMENT ON COLUMN public.ml_fact_comparisons.roc_auc_difference_lower IS 'Lower end of its interval; NULL: there is none.';
COMMENT ON COLUMN public.ml_fact_comparisons.roc_auc_difference_upper IS 'Upper end of its interval; NULL: there is none.';
COMMENT ON COLUMN public.ml_fact_comparisons.num_blocks IS 'Blocks of time that hold rows; NULL: the worker was older than version 8.';
COMMENT ON COLUMN public.ml_fact_comparisons.block_seconds IS 'Length of a block, see ml_intervals.';
COMMENT ON COLUMN public.ml_fact_comparisons.undecided_reason IS 'Why the difference in F1 has no interval, in words; NULL: it has one.';
COMMENT ON COLUMN public.ml_fact_comparisons.created_at IS 'When it was recorded.';
COMMENT ON COLUMN public.ml_fact_comparisons.period_start IS 'First moment of the period.';
COMMENT ON COLUMN public.ml_fact_comparisons.period_end IS 'First moment after the period.';
COMMENT ON COLUMN public.ml_fact_comparisons.num_samples IS 'Rows that both were scored on.';
COMMENT ON COLUMN public.ml_fact_comparisons.num_unlabelled IS 'Rows left out because they have no label.';
COMMENT ON COLUMN public.ml_fact_comparisons.a_accuracy IS 'First model: share of the rows predicted right.';
COMMENT ON COLUMN public.ml_fact_comparisons.a_precision IS 'First model: share of the positive predictions that were right; NULL where there was none.';
COMMENT ON COLUMN public.ml_fact_comparisons.a_recall IS 'First model: share of the positive rows that were found; NULL where there was none.';
COMMENT ON COLUMN public.ml_fact_comparisons.a_f1 IS 'First model: harmonic mean of precision and recall; NULL where undefined.';
COMMENT ON COLUMN public.ml_fact_comparisons.a_roc_auc IS 'First model: area under the ROC curve; NULL where there was only one class.';
COMMENT ON COLUMN public.ml_fact_comparisons.b_accuracy IS 'Second model: share of the rows predicted right.';
COMMENT ON COLUMN public.ml_fact_comparisons.b_precision IS 'Second model: share of the positive predictions that were right; NULL where there was none.';
COMMENT ON COLUMN public.ml_fact_comparisons.b_recall IS 'Second model: share of the positive rows that were found; NULL where there was none.';
COMMENT ON COLUMN public.ml_fact_comparisons.b_f1 IS 'Second model: harmonic mean of precision and recall; NULL where undefined.';
COMMENT ON COLUMN public.ml_fact_comparisons.b_roc_auc IS 'Second model: area under the ROC curve; NULL where there was only one class.';
COMMENT ON COLUMN public.ml_fact_comparisons.seconds_loading IS 'Seconds spent reading the data.';
COMMENT ON COLUMN public.ml_fact_comparisons.seconds_scoring IS 'Seconds spent predicting and measuring.';
COMMENT ON COLUMN public.ml_comparisons.a_threshold IS 'Threshold of model a: rows with a greater probability were predicted positive; 0.5 before version 8.';
COMMENT ON COLUMN public.ml_comparisons.a_tp_at_half IS 'True positives of model a if its threshold were 0.5; NULL before version 8, where it is.';
COMMENT ON COLUMN public.ml_comparisons.a_fp_at_half IS 'False positives of model a if its threshold were 0.5; NULL before version 8, where it is.';
COMMENT ON COLUMN public.ml_comparisons.a_accuracy_at_half IS 'Accuracy of model a if its threshold were 0.5.';
COMMENT ON COLUMN public.ml_comparisons.a_f1_at_half IS 'F1 of model a if its threshold were 0.5; NULL where undefined.';
COMMENT ON COLUMN public.ml_comparisons.a_precision_at_half IS 'Precision of model a if its threshold were 0.5; NULL where undefined.';
COMMENT ON COLUMN public.ml_comparisons.a_recall_at_half IS 'Recall of model a if its threshold were 0.5; NULL where undefined.';
COMMENT ON COLUMN public.ml_fact_comparisons.a_accuracy_at_half IS 'Accuracy of model a if its threshold were 0.5.';
COMMENT ON COLUMN public.ml_fact_comparisons.a_f1_at_half IS 'F1 of model a if its threshold were 0.5; NULL where undefined.';
COMMENT ON COLUMN public.ml_fact_comparisons.a_precision_at_half IS 'Precision of model a if its threshold were 0.5; NULL where undefined.';
COMMENT ON COLUMN public.ml_fact_comparisons.a_recall_at_half IS 'Recall of model a if its threshold were 0.5; NULL where undefined.';
COMMENT ON COLUMN public.ml_fact_comparisons.a_threshold IS 'Threshold of model a; 0.5 before version 8.';
COMMENT ON COLUMN public.ml_comparisons.b_threshold IS 'Threshold of model b: rows with a greater probability were predicted positive; 0.5 before version 8.';
COMMENT ON COLUMN public.ml_comparisons.b_tp_at_half IS 'True positives of model b if its threshold were 0.5; NULL before version 8, where it is.';
COMMENT ON COLUMN public.ml_comparisons.b_fp_at_half IS 'False positives of model b if its threshold were 0.5; NULL before version 8, where it is.';
COMMENT ON COLUMN public.ml_comparisons.b_accuracy_at_half IS 'Accuracy of model b if its threshold were 0.5.';
COMMENT ON COLUMN public.ml_comparisons.b_f1_at_half IS 'F1 of model b if its threshold were 0.5; NULL where undefined.';
COMMENT ON COLUMN public.ml_comparisons.b_precision_at_half IS 'Precision of model b if its threshold were 0.5; NULL where undefined.';
COMMENT ON COLUMN public.ml_comparisons.b_recall_at_half IS 'Recall of model b if its threshold were 0.5; NULL where undefined.';
COMMENT ON COLUMN public.ml_fact_comparisons.b_accuracy_at_half IS 'Accuracy of model b if its threshold were 0.5.';
COMMENT ON COLUMN public.ml_fact_comparisons.b_f1_at_half IS 'F1 of model b if its threshold were 0.5; NULL where undefined.';
COMMENT ON COLUMN public.ml_fact_comparisons.b_precision_at_half IS 'Precision of model b if its threshold were 0.5; NULL where undefined.';
COMMENT ON COLUMN public.ml_fact_comparisons.b_recall_at_half IS 'Recall of model b if its threshold were 0.5; NULL where undefined.';
COMMENT ON COLUMN public.ml_fact_comparisons.b_threshold IS 'Threshold of model b; 0.5 before version 8.';
COMMENT ON COLUMN public.ml_jobs.compare_model_a_id IS 'COMPARE: first model.';
COMMENT ON COLUMN public.ml_jobs.compare_model_b_id IS 'COMPARE: second model.';
COMMENT ON COLUMN public.ml_jobs.compare_confidence IS 'COMPARE: a model wins where the interval of the difference in F1 excludes zero at this confidence, 0.95 unless given; 0: the higher F1 wins, be it by chance. NULL before version 8.';
COMMENT ON COLUMN public.ml_jobs.compare_start IS 'COMPARE: first moment of the period.';
COMMENT ON COLUMN public.ml_jobs.compare_end IS 'COMPARE: first moment after the period.';
COMMENT ON COLUMN public.ml_jobs.result_comparison_id IS 'COMPARE: row of ml_comparisons, once COMPLETED.';
