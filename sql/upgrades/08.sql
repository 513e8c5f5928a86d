-- From version 7 to 8.

SET search_path TO pg_catalog, pg_temp;

-- It has a further argument, and the other is a loop in ml.separate_teams now.
DROP PROCEDURE IF EXISTS ml_internal.make_model_function(bigint);
DROP PROCEDURE IF EXISTS ml_internal.keep_model_functions();

-- A comparison says by how much one leads, and whether by more than chance.
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

ALTER TABLE public.ml_comparisons
ADD COLUMN confidence numeric,
ADD COLUMN leader_id bigint GENERATED ALWAYS AS (
    ml_internal.leader(model_a_id, model_b_id, a_tp, a_tn, a_fp, a_fn, b_tp, b_tn, b_fp, b_fn)
) STORED,
ADD COLUMN verdict text,
ADD COLUMN a_overlap_note text,
ADD COLUMN b_overlap_note text,
ADD COLUMN f1_difference numeric(5, 4) GENERATED ALWAYS AS (ml_internal.f1_difference(a_tp, a_fp, a_fn, b_tp, b_fp, b_fn)) STORED,
ADD COLUMN f1_difference_lower numeric(5, 4),
ADD COLUMN f1_difference_upper numeric(5, 4),
ADD COLUMN accuracy_difference numeric(5, 4) GENERATED ALWAYS AS (
    round(ml_internal.accuracy(a_tp, a_tn, a_fp, a_fn), 4) - round(ml_internal.accuracy(b_tp, b_tn, b_fp, b_fn), 4)
) STORED,
ADD COLUMN accuracy_difference_lower numeric(5, 4),
ADD COLUMN accuracy_difference_upper numeric(5, 4),
ADD COLUMN roc_auc_difference numeric(5, 4) GENERATED ALWAYS AS (a_roc_auc - b_roc_auc) STORED,
ADD COLUMN roc_auc_difference_lower numeric(5, 4),
ADD COLUMN roc_auc_difference_upper numeric(5, 4),
ADD COLUMN num_blocks integer,
ADD COLUMN block_seconds bigint,
ADD COLUMN undecided_reason text,
ADD CONSTRAINT ml_comparisons_confidence_is_a_share_or_0 CHECK (confidence = 0 OR confidence BETWEEN 0.5 AND 0.999),
-- The differences shown are those of rounded numbers.
ADD CONSTRAINT ml_comparisons_intervals_contain_differences CHECK (
    num_nonnulls(f1_difference_lower, f1_difference_upper) IN (0, 2)
    AND num_nonnulls(accuracy_difference_lower, accuracy_difference_upper) IN (0, 2)
    AND num_nonnulls(roc_auc_difference_lower, roc_auc_difference_upper) IN (0, 2)
    AND f1_difference BETWEEN f1_difference_lower - 0.0001 AND f1_difference_upper + 0.0001
    AND accuracy_difference BETWEEN accuracy_difference_lower - 0.0001 AND accuracy_difference_upper + 0.0001
    AND roc_auc_difference BETWEEN roc_auc_difference_lower - 0.0001 AND roc_auc_difference_upper + 0.0001
),
ADD CONSTRAINT ml_comparisons_interval_of_at_least_8_blocks CHECK (
    CASE
        WHEN num_nonnulls(f1_difference_lower, accuracy_difference_lower, roc_auc_difference_lower) = 0 THEN num_blocks >= 0
        ELSE coalesce(num_blocks, 0) >= 8
    END
    AND (num_blocks IS NULL) = (block_seconds IS NULL)
),
DROP CONSTRAINT ml_comparisons_winner_took_part,
ADD CONSTRAINT ml_comparisons_winner_leads CHECK (winner_id IS NOT DISTINCT FROM leader_id OR winner_id IS NULL),
-- Those of before version 8 have no confidence.
ADD CONSTRAINT ml_comparisons_winner_is_beyond_chance CHECK (
    winner_id IS NULL OR confidence IS NULL OR confidence = 0
    OR coalesce(CASE winner_id WHEN model_a_id THEN f1_difference_lower > 0 ELSE f1_difference_upper < 0 END, false)
),
ADD CONSTRAINT ml_comparisons_winner_was_not_trained_on_it CHECK (
    winner_id IS NULL OR CASE winner_id WHEN model_a_id THEN a_overlap_note ELSE b_overlap_note END IS NULL
);

-- They have a further argument.
DROP FUNCTION IF EXISTS ml.compare(bigint, bigint, timestamptz, timestamptz, integer, integer, numeric);
DROP FUNCTION IF EXISTS ml.compare(text, text, timestamptz, timestamptz, integer, integer, numeric);

-- A model has a threshold of its own; those so far have 0.5. The functions are those of 50_measurements.sql.
CREATE OR REPLACE FUNCTION ml_internal.counts_fit_half(threshold double precision, tp bigint, fp bigint, tp_at_half bigint, fp_at_half bigint)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN num_nulls(tp_at_half, fp_at_half) = 2 THEN threshold = 0.5
        WHEN num_nulls(tp_at_half, fp_at_half) = 1 OR least(tp_at_half, fp_at_half) < 0 THEN false
        WHEN threshold < 0.5 THEN tp_at_half <= tp AND fp_at_half <= fp
        WHEN threshold > 0.5 THEN tp_at_half >= tp AND fp_at_half >= fp
        ELSE tp_at_half = tp AND fp_at_half = fp
    END;
$$;

ALTER TABLE IF EXISTS public.ml_models
ADD COLUMN IF NOT EXISTS threshold_rule text NOT NULL DEFAULT '0.5',
ADD COLUMN IF NOT EXISTS threshold double precision DEFAULT 0.5,
ADD CONSTRAINT ml_models_threshold_between_0_and_1 CHECK (threshold BETWEEN 0 AND 1),
ADD CONSTRAINT ml_models_ready_has_threshold CHECK (status <> 'READY' OR threshold IS NOT NULL);

ALTER TABLE public.ml_training_runs
ADD COLUMN threshold double precision NOT NULL DEFAULT 0.5,
ADD COLUMN num_set_aside bigint,
ADD COLUMN num_set_aside_positive bigint,
ADD COLUMN tp_at_half bigint,
ADD COLUMN fp_at_half bigint,
ADD COLUMN accuracy_at_half numeric(5, 4) GENERATED ALWAYS AS (
    ml_internal.accuracy(
        coalesce(tp_at_half, tp), tn + fp - coalesce(fp_at_half, fp), coalesce(fp_at_half, fp), tp + fn - coalesce(tp_at_half, tp)
    )
) STORED,
ADD COLUMN f1_at_half numeric(5, 4) GENERATED ALWAYS AS (
    ml_internal.f1_score(coalesce(tp_at_half, tp), coalesce(fp_at_half, fp), tp + fn - coalesce(tp_at_half, tp))
) STORED,
ADD COLUMN precision_at_half numeric(5, 4) GENERATED ALWAYS AS (ml_internal.precision_score(coalesce(tp_at_half, tp), coalesce(fp_at_half, fp))) STORED,
ADD COLUMN recall_at_half numeric(5, 4) GENERATED ALWAYS AS (
    ml_internal.recall_score(coalesce(tp_at_half, tp), tp + fn - coalesce(tp_at_half, tp))
) STORED,
ADD CONSTRAINT ml_training_runs_threshold_between_0_and_1 CHECK (threshold BETWEEN 0 AND 1),
ADD CONSTRAINT ml_training_runs_half_fits CHECK (
    ml_internal.counts_fit_half(threshold, tp, fp, tp_at_half, fp_at_half)
    AND coalesce(tp_at_half <= num_positive AND fp_at_half <= num_negative, true)
),
ADD CONSTRAINT ml_training_runs_set_aside_counts CHECK (num_set_aside_positive BETWEEN 0 AND num_set_aside);

ALTER TABLE public.ml_test_results
ADD COLUMN threshold double precision NOT NULL DEFAULT 0.5,
ADD COLUMN tp_at_half bigint,
ADD COLUMN fp_at_half bigint,
ADD COLUMN accuracy_at_half numeric(5, 4) GENERATED ALWAYS AS (
    ml_internal.accuracy(
        coalesce(tp_at_half, tp), tn + fp - coalesce(fp_at_half, fp), coalesce(fp_at_half, fp), tp + fn - coalesce(tp_at_half, tp)
    )
) STORED,
ADD COLUMN f1_at_half numeric(5, 4) GENERATED ALWAYS AS (
    ml_internal.f1_score(coalesce(tp_at_half, tp), coalesce(fp_at_half, fp), tp + fn - coalesce(tp_at_half, tp))
) STORED,
ADD COLUMN precision_at_half numeric(5, 4) GENERATED ALWAYS AS (ml_internal.precision_score(coalesce(tp_at_half, tp), coalesce(fp_at_half, fp))) STORED,
ADD COLUMN recall_at_half numeric(5, 4) GENERATED ALWAYS AS (
    ml_internal.recall_score(coalesce(tp_at_half, tp), tp + fn - coalesce(tp_at_half, tp))
) STORED,
ADD CONSTRAINT ml_test_results_threshold_between_0_and_1 CHECK (threshold BETWEEN 0 AND 1),
ADD CONSTRAINT ml_test_results_half_fits CHECK (
    ml_internal.counts_fit_half(threshold, tp, fp, tp_at_half, fp_at_half)
    AND coalesce(tp_at_half <= num_positive AND fp_at_half <= num_negative, true)
);

ALTER TABLE public.ml_comparisons
ADD COLUMN a_threshold double precision NOT NULL DEFAULT 0.5,
ADD COLUMN a_tp_at_half bigint,
ADD COLUMN a_fp_at_half bigint,
ADD COLUMN a_accuracy_at_half numeric(5, 4) GENERATED ALWAYS AS (
    ml_internal.accuracy(
        coalesce(a_tp_at_half, a_tp), a_tn + a_fp - coalesce(a_fp_at_half, a_fp), coalesce(a_fp_at_half, a_fp), a_tp + a_fn - coalesce(a_tp_at_half, a_tp)
    )
) STORED,
ADD COLUMN a_f1_at_half numeric(5, 4) GENERATED ALWAYS AS (
    ml_internal.f1_score(coalesce(a_tp_at_half, a_tp), coalesce(a_fp_at_half, a_fp), a_tp + a_fn - coalesce(a_tp_at_half, a_tp))
) STORED,
ADD COLUMN a_precision_at_half numeric(5, 4) GENERATED ALWAYS AS (ml_internal.precision_score(coalesce(a_tp_at_half, a_tp), coalesce(a_fp_at_half, a_fp))) STORED,
ADD COLUMN a_recall_at_half numeric(5, 4) GENERATED ALWAYS AS (
    ml_internal.recall_score(coalesce(a_tp_at_half, a_tp), a_tp + a_fn - coalesce(a_tp_at_half, a_tp))
) STORED,
ADD COLUMN b_threshold double precision NOT NULL DEFAULT 0.5,
ADD COLUMN b_tp_at_half bigint,
ADD COLUMN b_fp_at_half bigint,
ADD COLUMN b_accuracy_at_half numeric(5, 4) GENERATED ALWAYS AS (
    ml_internal.accuracy(
        coalesce(b_tp_at_half, b_tp), b_tn + b_fp - coalesce(b_fp_at_half, b_fp), coalesce(b_fp_at_half, b_fp), b_tp + b_fn - coalesce(b_tp_at_half, b_tp)
    )
) STORED,
ADD COLUMN b_f1_at_half numeric(5, 4) GENERATED ALWAYS AS (
    ml_internal.f1_score(coalesce(b_tp_at_half, b_tp), coalesce(b_fp_at_half, b_fp), b_tp + b_fn - coalesce(b_tp_at_half, b_tp))
) STORED,
ADD COLUMN b_precision_at_half numeric(5, 4) GENERATED ALWAYS AS (ml_internal.precision_score(coalesce(b_tp_at_half, b_tp), coalesce(b_fp_at_half, b_fp))) STORED,
ADD COLUMN b_recall_at_half numeric(5, 4) GENERATED ALWAYS AS (
    ml_internal.recall_score(coalesce(b_tp_at_half, b_tp), b_tp + b_fn - coalesce(b_tp_at_half, b_tp))
) STORED,
ADD CONSTRAINT ml_comparisons_thresholds_between_0_and_1 CHECK (a_threshold BETWEEN 0 AND 1 AND b_threshold BETWEEN 0 AND 1),
ADD CONSTRAINT ml_comparisons_half_fits CHECK (
    ml_internal.counts_fit_half(a_threshold, a_tp, a_fp, a_tp_at_half, a_fp_at_half)
    AND ml_internal.counts_fit_half(b_threshold, b_tp, b_fp, b_tp_at_half, b_fp_at_half)
    AND coalesce(greatest(a_tp_at_half, b_tp_at_half) <= a_tp + a_fn AND greatest(a_fp_at_half, b_fp_at_half) <= a_tn + a_fp, true)
);

ALTER TABLE IF EXISTS public.ml_scorings
ADD COLUMN IF NOT EXISTS threshold double precision NOT NULL DEFAULT 0.5
CONSTRAINT ml_scorings_threshold_between_0_and_1 CHECK (threshold BETWEEN 0 AND 1);

ALTER TABLE IF EXISTS public.ml_prediction_bins
ADD COLUMN IF NOT EXISTS num_positive bigint
CONSTRAINT ml_prediction_bins_positive_among_answers CHECK (num_positive BETWEEN 0 AND num_answers);

ALTER TABLE IF EXISTS ml_internal.prediction_parts ADD COLUMN IF NOT EXISTS positives bigint [];

-- How a model is validated.
ALTER TABLE public.ml_models
ADD COLUMN split varchar(20) NOT NULL DEFAULT 'coins'
CONSTRAINT ml_models_split_known CHECK (split IN ('coins', 'time', 'coins_and_time')),
ADD COLUMN folds integer
CONSTRAINT ml_models_folds_between_2_and_20 CHECK (folds BETWEEN 2 AND 20),
ADD COLUMN weights varchar(20) NOT NULL DEFAULT 'none'
CONSTRAINT ml_models_weights_known CHECK (weights IN ('none', 'uniqueness'));

DROP VIEW IF EXISTS public.ml_fact_training_runs;
ALTER TABLE public.ml_training_runs
ALTER COLUMN holdout TYPE varchar(20),
DROP CONSTRAINT ml_training_runs_holdout_known,
ADD CONSTRAINT ml_training_runs_holdout_known CHECK (holdout IN ('coins', 'time', 'coins_and_time')),
ADD COLUMN mean_uniqueness numeric(7, 6)
CONSTRAINT ml_training_runs_mean_uniqueness_between_0_and_1 CHECK (mean_uniqueness BETWEEN 0 AND 1);

ALTER TABLE public.ref_model_types ADD COLUMN takes_weights boolean NOT NULL DEFAULT false;

-- They have further arguments.
DO $$
DECLARE
    v_routine regprocedure;
BEGIN
    FOR v_routine IN
        SELECT p.oid
        FROM pg_proc p
        WHERE (p.pronamespace = 'ml'::regnamespace AND p.proname = 'train')
            OR (p.proname IN ('preview', 'try_train') AND p.pronamespace IN ('ml'::regnamespace, 'ml_internal'::regnamespace) AND p.pronargs > 1)
    LOOP
        EXECUTE format('DROP ROUTINE %s', v_routine);
    END LOOP;
END
$$;

-- It shows a measurement beside the baselines of its job.
DROP FUNCTION IF EXISTS ml_internal.draw_scores(bigint, bigint, bigint, bigint, numeric);

-- These have a further argument.
DROP PROCEDURE IF EXISTS ml_internal.define_label(text, text, text, text, text, boolean, boolean, boolean, text);
DROP FUNCTION IF EXISTS ml_internal.label_query(public.ml_models, text [], text, text);
DROP FUNCTION IF EXISTS ml_internal.label_of_row(public.ml_models, text, text, text);

-- How rows of a coin are judged together.
ALTER TABLE IF EXISTS public.ref_labels ADD COLUMN IF NOT EXISTS judged_together text;

-- The answers of a part of a job that are of one coin are one row now, and ml_predictions is a view of them.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = to_regclass('public.ml_predictions') AND c.relkind = 'r') THEN
        RETURN;
    END IF;
    DROP FUNCTION IF EXISTS ml.newest_answers(bigint), ml.newest_answers(text);
    DROP INDEX IF EXISTS public.ml_predictions_key, public.ml_predictions_job;
    CREATE TABLE public.ml_prediction_blocks (
        job_id bigint NOT NULL,
        model_id bigint NOT NULL,
        key text NOT NULL,
        moments timestamptz [] NOT NULL,
        probabilities double precision [] NOT NULL,
        last_moment timestamptz GENERATED ALWAYS AS (moments[cardinality(moments)]) STORED,
        CONSTRAINT ml_prediction_blocks_probabilities_between_0_and_1 CHECK (0 <= ALL (probabilities) AND 1 >= ALL (probabilities)),
        CONSTRAINT ml_prediction_blocks_nothing_unknown CHECK (
            array_position(moments, NULL) IS NULL AND array_position(probabilities, NULL) IS NULL
        ),
        CONSTRAINT ml_prediction_blocks_an_answer_each_moment CHECK (
            cardinality(moments) = cardinality(probabilities) AND cardinality(moments) > 0
        )
    );
    ALTER TABLE public.ml_prediction_blocks ALTER COLUMN probabilities SET STORAGE EXTERNAL;
    INSERT INTO public.ml_prediction_blocks (job_id, model_id, key, moments, probabilities)
    SELECT p.job_id, p.model_id, p.key, array_agg(p.moment ORDER BY p.moment), array_agg(p.probability ORDER BY p.moment)
    FROM (
        SELECT x.job_id, x.model_id, x.key, x.moment, x.probability, row_number() OVER (PARTITION BY x.job_id, x.key ORDER BY x.moment) AS place
        FROM public.ml_predictions x
    ) p
    GROUP BY p.job_id, p.model_id, p.key, p.place / 50000 -- as many as a worker stores at a time
    ORDER BY p.job_id, p.key, min(p.moment);
    DROP TABLE public.ml_predictions;
END
$$;

INSERT INTO ml.schema_version (version)
VALUES (8);
