-- TRAIN: makes a model from the rows of a period, measured on rows that it has not seen. All that is special to this
-- kind of job stands here, and so does the life of a model: born with the first claim, READY with the training run,
-- FAILED with the job.

SET search_path TO pg_catalog, pg_temp;

-- ── What the INSERT may say ─────────────────────────────────────────────────────────────────────────

ALTER TABLE public.ml_jobs
ADD COLUMN IF NOT EXISTS train_target_var text,
ADD COLUMN IF NOT EXISTS train_operator text,
ADD COLUMN IF NOT EXISTS train_value numeric
CONSTRAINT ml_jobs_train_value_finite CHECK (train_value NOT IN ('NaN', 'Infinity', '-Infinity')),
ADD COLUMN IF NOT EXISTS train_start timestamptz,
ADD COLUMN IF NOT EXISTS train_end timestamptz,
ADD COLUMN IF NOT EXISTS train_features_csv text,
ADD COLUMN IF NOT EXISTS train_phases_csv text,
ADD COLUMN IF NOT EXISTS train_params_csv text,
ADD COLUMN IF NOT EXISTS train_model_type text
CONSTRAINT ml_jobs_train_model_type_fkey REFERENCES public.ref_model_types (name),
ADD COLUMN IF NOT EXISTS train_model_name text
CONSTRAINT ml_jobs_model_name_not_blank CHECK (train_model_name ~ E'\\S' AND length(train_model_name) <= 255),
ADD COLUMN IF NOT EXISTS train_description text,
ADD COLUMN IF NOT EXISTS train_test_size numeric
CONSTRAINT ml_jobs_test_size_between_0_and_1 CHECK (
    train_test_size BETWEEN 0.01 AND 0.99 AND train_test_size = round(train_test_size, 2)
),
ADD COLUMN IF NOT EXISTS train_random_state integer
CONSTRAINT ml_jobs_random_state_not_negative CHECK (train_random_state >= 0),
ADD COLUMN IF NOT EXISTS train_future_minutes integer
CONSTRAINT ml_jobs_future_minutes_within_a_year CHECK (train_future_minutes BETWEEN 1 AND 525600),
ADD COLUMN IF NOT EXISTS result_model_id bigint
CONSTRAINT ml_jobs_result_model_id_fkey REFERENCES public.ml_models (id);

-- The kind of label, and what some of them ask for.
ALTER TABLE public.ml_jobs
ADD COLUMN IF NOT EXISTS train_label text
CONSTRAINT ml_jobs_train_label_fkey REFERENCES public.ref_labels (name),
ADD COLUMN IF NOT EXISTS train_base_var text,
ADD COLUMN IF NOT EXISTS train_stop_value numeric
CONSTRAINT ml_jobs_train_stop_value_finite CHECK (train_stop_value NOT IN ('NaN', 'Infinity', '-Infinity')),
ADD COLUMN IF NOT EXISTS train_uncovered text
CONSTRAINT ml_jobs_train_uncovered_known CHECK (train_uncovered IN ('leave_out', 'negative'));

-- What it learns from: a name in ml_sources, which may be removed.
ALTER TABLE public.ml_jobs
ADD COLUMN IF NOT EXISTS train_source text;

-- Where the model is to say yes, as ml_internal.tidy_threshold writes it.
ALTER TABLE public.ml_jobs
ADD COLUMN IF NOT EXISTS train_threshold text
CONSTRAINT ml_jobs_train_threshold_known CHECK (
    train_threshold ~ '^(f1|mcc|((precision|recall)>=)?0[.][0-9]{0,30}[1-9]|(precision|recall)>=1)$'
);
-- How it is validated: what is held out, in how many later periods the recipe is measured besides, and what a row weighs.
ALTER TABLE public.ml_jobs
ADD COLUMN IF NOT EXISTS train_split text
CONSTRAINT ml_jobs_train_split_known CHECK (train_split IN ('coins', 'time', 'coins_and_time')),
ADD COLUMN IF NOT EXISTS train_folds integer
CONSTRAINT ml_jobs_train_folds_between_2_and_20 CHECK (train_folds = 0 OR train_folds BETWEEN 2 AND 20),
ADD COLUMN IF NOT EXISTS train_weights text
CONSTRAINT ml_jobs_train_weights_known CHECK (train_weights IN ('none', 'uniqueness'));

CALL ml_internal.keep_constraint(
    'public.ml_jobs', 'ml_jobs_operator_known', 'train_operator IS NULL OR ml_internal.is_positive(train_operator, 0, 0) IS NOT NULL'
);

CREATE UNIQUE INDEX IF NOT EXISTS ml_jobs_model_name_taken
ON public.ml_jobs (train_model_name)
WHERE completed_at IS NULL;

-- Those that a worker of version 7 does not get: each of its claims looks for them.
CREATE INDEX IF NOT EXISTS ml_jobs_validated ON public.ml_jobs (id)
WHERE (status = 'PENDING') IS TRUE AND (train_split <> 'coins' OR train_folds > 0 OR train_weights <> 'none');

-- The job of a model; ml.prune would read the whole table for each model without it.
CREATE INDEX IF NOT EXISTS ml_jobs_result_model ON public.ml_jobs (result_model_id) WHERE result_model_id IS NOT NULL;

-- ── What comes out ──────────────────────────────────────────────────────────────────────────────────

CREATE TABLE IF NOT EXISTS public.ml_training_runs (
    id bigint GENERATED ALWAYS AS IDENTITY,
    job_id bigint NOT NULL,
    attempt integer NOT NULL,
    model_id bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    holdout varchar(20) NOT NULL,
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
    accuracy numeric(5, 4) GENERATED ALWAYS AS (ml_internal.accuracy(tp, tn, fp, fn)) STORED,
    f1_score numeric(5, 4) GENERATED ALWAYS AS (ml_internal.f1_score(tp, fp, fn)) STORED,
    precision_score numeric(5, 4) GENERATED ALWAYS AS (ml_internal.precision_score(tp, fp)) STORED,
    recall numeric(5, 4) GENERATED ALWAYS AS (ml_internal.recall_score(tp, fn)) STORED,
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
    average_precision numeric(5, 4),
    num_without_base bigint,
    num_uncovered bigint,
    mcc numeric(5, 4) GENERATED ALWAYS AS (ml_internal.mcc(tp, tn, fp, fn)) STORED,
    log_loss numeric(9, 6),
    brier_score numeric(7, 6),
    threshold double precision NOT NULL DEFAULT 0.5,
    num_set_aside bigint,
    num_set_aside_positive bigint,
    tp_at_half bigint,
    fp_at_half bigint,
    accuracy_at_half numeric(5, 4) GENERATED ALWAYS AS (
        ml_internal.accuracy(coalesce(tp_at_half, tp), tn + fp - coalesce(fp_at_half, fp), coalesce(fp_at_half, fp), tp + fn - coalesce(tp_at_half, tp))
    ) STORED,
    f1_at_half numeric(5, 4) GENERATED ALWAYS AS (
        ml_internal.f1_score(coalesce(tp_at_half, tp), coalesce(fp_at_half, fp), tp + fn - coalesce(tp_at_half, tp))
    ) STORED,
    precision_at_half numeric(5, 4) GENERATED ALWAYS AS (ml_internal.precision_score(coalesce(tp_at_half, tp), coalesce(fp_at_half, fp))) STORED,
    recall_at_half numeric(5, 4) GENERATED ALWAYS AS (ml_internal.recall_score(coalesce(tp_at_half, tp), tp + fn - coalesce(tp_at_half, tp))) STORED,
    mean_uniqueness numeric(7, 6),
    CONSTRAINT ml_training_runs_pkey PRIMARY KEY (id),
    CONSTRAINT ml_training_runs_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_training_runs_model_id_fkey FOREIGN KEY (model_id) REFERENCES public.ml_models (id),
    CONSTRAINT ml_training_runs_one_a_job UNIQUE (job_id),
    CONSTRAINT ml_training_runs_one_a_model UNIQUE (model_id),
    CONSTRAINT ml_training_runs_holdout_known CHECK (holdout IN ('coins', 'time', 'coins_and_time')),
    CONSTRAINT ml_training_runs_counts_not_negative CHECK (
        least(num_coins, num_fitted_positive, num_gap, num_unlabelled, tp, tn, fp, fn) >= 0
        AND num_fitted_positive <= num_fitted
    ),
    CONSTRAINT ml_training_runs_windows_not_negative CHECK (least(num_without_base, num_uncovered) >= 0),
    CONSTRAINT ml_training_runs_confusion_matrix_adds_up CHECK (
        tp + fn = num_positive AND tn + fp = num_negative AND num_positive + num_negative = num_samples
    ),
    CONSTRAINT ml_training_runs_roc_auc_between_0_and_1 CHECK (roc_auc BETWEEN 0 AND 1),
    CONSTRAINT ml_training_runs_average_precision_between_0_and_1 CHECK (average_precision BETWEEN 0 AND 1),
    CONSTRAINT ml_training_runs_scores_of_probabilities CHECK (log_loss >= 0 AND brier_score BETWEEN 0 AND 1),
    CONSTRAINT ml_training_runs_threshold_between_0_and_1 CHECK (threshold BETWEEN 0 AND 1),
    CONSTRAINT ml_training_runs_set_aside_counts CHECK (num_set_aside_positive BETWEEN 0 AND num_set_aside),
    CONSTRAINT ml_training_runs_half_fits CHECK (
        ml_internal.counts_fit_half(threshold, tp, fp, tp_at_half, fp_at_half)
        AND coalesce(tp_at_half <= num_positive AND fp_at_half <= num_negative, true)
    ),
    CONSTRAINT ml_training_runs_mean_uniqueness_between_0_and_1 CHECK (mean_uniqueness BETWEEN 0 AND 1),
    CONSTRAINT ml_training_runs_sha256_is_hexadecimal CHECK (artifact_sha256 ~ '^[0-9a-f]{64}$' AND data_fingerprint ~ '^[0-9a-f]{64}$')
);

CREATE INDEX IF NOT EXISTS ml_training_runs_created ON public.ml_training_runs (created_at) INCLUDE (model_id, artifact_bytes);

-- The single feature with a threshold that every test of the model is shown beside, chosen on the fitted rows.
CALL ml_internal.add_baseline('ml_training_runs');
ALTER TABLE public.ml_training_runs
ADD COLUMN IF NOT EXISTS baseline_feature text,
ADD COLUMN IF NOT EXISTS baseline_direction text
CONSTRAINT ml_training_runs_baseline_direction_known CHECK (baseline_direction IN ('>', '<')),
ADD COLUMN IF NOT EXISTS baseline_threshold double precision
CONSTRAINT ml_training_runs_baseline_threshold_finite CHECK (baseline_threshold NOT IN ('NaN', 'Infinity', '-Infinity'))
CONSTRAINT ml_training_runs_baseline_rule_is_whole CHECK (num_nulls(baseline_feature, baseline_direction, baseline_threshold) IN (0, 3));

CALL ml_internal.define_kind(
    'TRAIN',
    needs => '{train_target_var,train_operator,train_value,train_start,train_end,train_features_csv,train_model_type}',
    defaults => '{train_model_name,train_test_size,train_random_state}',
    makes_model => 'train_model_name',
    result_table => 'ml_training_runs',
    result_column => 'result_model_id',
    result_filled => '{model_id,num_samples}',
    result_facts => '{ml_curve_points,ml_intervals,ml_baselines,ml_folds,ml_model_inputs,ml_model_trees,ml_model_layers,ml_model_samples,ml_model_numbers,ml_warnings,ml_feature_stats,ml_fitted_coins}'
);

-- ── Where the model says yes ────────────────────────────────────────────────────────────────────────

-- As it is kept: without blanks, in small letters, a number without needless digits.
CREATE OR REPLACE FUNCTION ml_internal.tidy_threshold(
    p_threshold text
)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT coalesce(x.found[1] || trim_scale(x.found[2]::numeric), x.said)
    FROM (
        SELECT
            t.said,
            regexp_match(
                t.said, '^(|precision>=|recall>=)((?:[0-9]{1,10}(?:[.][0-9]{0,31})?|[.][0-9]{1,31})(?:e[+-]?[0-9]{1,2})?)$'
            ) AS found
        FROM (SELECT lower(regexp_replace(left(p_threshold, 100), '[[:space:]]+', '', 'g')) AS said) t
    ) x;
$$;

-- In words, for people.
CREATE OR REPLACE FUNCTION ml_internal.threshold_text(
    p_rule text,
    p_threshold double precision,
    p_num_set_aside bigint
)
RETURNS text
LANGUAGE sql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT concat_ws(': ', p_threshold, CASE
        WHEN p_rule ~ '^[0-9]' THEN NULL
        ELSE concat(
            'the ',
            CASE
                WHEN p_rule = 'f1' THEN 'highest F1'
                WHEN p_rule = 'mcc' THEN 'highest Matthews correlation'
                WHEN p_rule LIKE 'precision%' THEN 'highest recall with ' || replace(p_rule, '>=', ' >= ')
                WHEN p_rule LIKE 'recall%' THEN 'highest precision with ' || replace(p_rule, '>=', ' >= ')
                ELSE p_rule
            END,
            ' on ' || ml_internal.count_text(p_num_set_aside) || ' rows that were neither fitted nor measured'
        )
    END);
$$;

-- ── At the INSERT: defaults, and rules of one row ───────────────────────────────────────────────────

CREATE OR REPLACE FUNCTION ml_internal.fill_train()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    -- To read a list takes time and room that grow faster than the list.
    v_column text := CASE
        WHEN length(NEW.train_features_csv) > 20000 THEN 'train_features_csv'
        WHEN length(NEW.train_phases_csv) > 20000 THEN 'train_phases_csv'
        WHEN length(NEW.train_params_csv) > 20000 THEN 'train_params_csv'
    END;
    v_label public.ref_labels;
BEGIN
    IF v_column IS NOT NULL THEN
        RAISE EXCEPTION '% has more than 20000 characters', v_column
            USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = v_column,
            HINT = 'Name each item once, without blanks.';
    END IF;
    NEW.train_target_var := btrim(NEW.train_target_var);
    NEW.train_operator := btrim(NEW.train_operator);
    NEW.train_model_type := btrim(NEW.train_model_type);
    NEW.train_source := coalesce(btrim(NEW.train_source), 'coin_metrics');
    IF NEW.train_label IS NULL THEN
        NEW.train_label := 'value'; -- which has neither base nor stop
    ELSE
        NEW.train_label := btrim(NEW.train_label);
        SELECT r.* INTO v_label FROM public.ref_labels r WHERE r.name = NEW.train_label;
    END IF;
    NEW.train_base_var := coalesce(btrim(NEW.train_base_var), CASE WHEN v_label.is_change THEN NEW.train_target_var END);
    NEW.train_uncovered := coalesce(btrim(NEW.train_uncovered), CASE WHEN NEW.train_future_minutes IS NOT NULL THEN 'leave_out' END);
    IF v_label.has_stop THEN -- what is to be reached lies above or below
        NEW.train_operator := coalesce(NEW.train_operator, CASE WHEN NEW.train_value < 0 THEN '<=' ELSE '>=' END);
    END IF;
    IF concat(NEW.train_features_csv, NEW.train_phases_csv, NEW.train_params_csv) ~ E'\\s'
        OR '' IN (NEW.train_features_csv, NEW.train_phases_csv, NEW.train_params_csv)
    THEN
        NEW.train_features_csv := ml_internal.tidy_list(NEW.train_features_csv);
        NEW.train_phases_csv := ml_internal.tidy_list(NEW.train_phases_csv);
        NEW.train_params_csv := ml_internal.tidy_list(NEW.train_params_csv);
    END IF;
    -- Whoever chooses a name waits for whoever is about to take the same one. A default name has the job's number, and
    -- nobody else may take it (require_fit_name); one that a user of an older version took gets a suffix here.
    IF NEW.train_model_name IS NOT NULL THEN
        IF NEW.train_model_name ~ '[^ ]' AND length(NEW.train_model_name) <= 255 THEN
            CALL ml_internal.require_fit_name(NEW.train_model_name, 'ml_jobs', 'train_model_name');
        END IF;
        CALL ml_internal.reserve_name(NEW.train_model_name);
    ELSE
        NEW.train_model_name := ml_internal.default_name(NEW.train_model_type || '_job_' || NEW.id);
    END IF;
    NEW.train_test_size := coalesce(NEW.train_test_size, 0.2);
    NEW.train_random_state := coalesce(NEW.train_random_state, 42);
    NEW.train_threshold := coalesce(ml_internal.tidy_threshold(NEW.train_threshold), '0.5');
    NEW.train_split := coalesce(btrim(NEW.train_split), 'coins');
    NEW.train_weights := coalesce(btrim(NEW.train_weights), 'none');
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_22_train_fill
BEFORE INSERT ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.job_type = 'TRAIN')
EXECUTE FUNCTION ml_internal.fill_train();

CREATE OR REPLACE FUNCTION ml_internal.check_train()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_column text;
    v_message text;
    v_hint text;
    v_label public.ref_labels;
BEGIN
    IF NEW.train_label <> 'value' OR num_nonnulls(NEW.train_base_var, NEW.train_stop_value) > 0 THEN -- the default looks at its row alone
        SELECT r.* INTO v_label FROM public.ref_labels r WHERE r.name = NEW.train_label;
    END IF;
    IF NEW.train_label <> 'value' AND v_label.name IS NULL THEN
        v_column := 'train_label';
        v_message := format('train_label %L is unknown', left(NEW.train_label, 100));
        v_hint := ml_internal.suggest_names(NEW.train_label, (SELECT array_agg(r.name::text ORDER BY r.name) FROM public.ref_labels r));
    ELSIF ml_internal.is_positive(NEW.train_operator, 0, 0) IS NULL THEN
        v_column := 'train_operator';
        v_message := format('train_operator %L is unknown', left(NEW.train_operator, 50));
        v_hint := 'Use one of: > < >= <= = !=';
    ELSIF NEW.train_value IN ('NaN', 'Infinity', '-Infinity') THEN
        v_column := 'train_value';
        v_message := format('train_value %s is not a number to compare with', NEW.train_value);
        v_hint := 'Give a finite threshold, for example 50000.';
    ELSIF NEW.train_test_size NOT BETWEEN 0.01 AND 0.99 OR NEW.train_test_size <> round(NEW.train_test_size, 2) THEN
        v_column := 'train_test_size';
        v_message := format('train_test_size %s is not between 0.01 and 0.99 with two decimals', NEW.train_test_size);
        v_hint := 'It is the share of the rows held out for measuring; leave it out for the default of 0.2.';
    ELSIF NEW.train_random_state < 0 THEN
        v_column := 'train_random_state';
        v_message := format('train_random_state %s is negative', NEW.train_random_state);
        v_hint := 'Use 0 or more; leave it out for the default of 42.';
    ELSIF NEW.train_threshold !~ '^(f1|mcc|((precision|recall)>=)?0[.][0-9]{0,30}[1-9]|(precision|recall)>=1)$' THEN
        v_column := 'train_threshold';
        v_message := CASE
            WHEN NEW.train_threshold ~ '^[0-9]' AND NEW.train_threshold !~ '[^0-9.]'
                THEN format('train_threshold %s is not between 0 and 1', left(NEW.train_threshold, 50))
            WHEN NEW.train_threshold ~ '^(precision|recall)>=[0-9.]+$'
                THEN format('train_threshold %s asks for a share that is not above 0 and at most 1', left(NEW.train_threshold, 50))
            ELSE format('train_threshold %L is unknown', left(NEW.train_threshold, 50))
        END;
        v_hint := 'Give a number between 0 and 1, above which a probability is a yes (0.5 is the default), or have it chosen: f1, mcc, precision>=0.8 or recall>=0.8.';
    ELSIF NEW.train_future_minutes NOT BETWEEN 1 AND 525600 THEN
        v_column := 'train_future_minutes';
        v_message := format('train_future_minutes %s is not between 1 and 525600', NEW.train_future_minutes);
        v_hint := 'Give the minutes to look ahead, at most a year; leave it out to read the label in the same row.';
    ELSIF v_label.needs_horizon AND NEW.train_future_minutes IS NULL THEN
        v_column := 'train_future_minutes';
        v_message := format('the label %s looks ahead, and train_future_minutes is missing', NEW.train_label);
        v_hint := 'Give the minutes to look ahead, for example 10.';
    ELSIF NOT v_label.is_change AND NEW.train_base_var IS NOT NULL THEN
        v_column := 'train_base_var';
        v_message := format('the label %s is no change, and train_base_var is %L', NEW.train_label, left(NEW.train_base_var, 100));
        v_hint := 'Leave it out, or choose a label that is a change: '
            || (SELECT string_agg(r.name, ', ' ORDER BY r.name) FROM public.ref_labels r WHERE r.is_change) || '.';
    ELSIF NOT v_label.has_stop AND NEW.train_stop_value IS NOT NULL THEN
        v_column := 'train_stop_value';
        v_message := format('the label %s has no stop, and train_stop_value is %s', NEW.train_label, NEW.train_stop_value);
        v_hint := 'Leave it out, or choose a label that has one: '
            || (SELECT string_agg(r.name, ', ' ORDER BY r.name) FROM public.ref_labels r WHERE r.has_stop) || '.';
    ELSIF v_label.has_stop AND (NEW.train_stop_value IS NULL OR NEW.train_stop_value IN ('NaN', 'Infinity', '-Infinity')
        OR sign(NEW.train_stop_value) * sign(NEW.train_value) <> -1)
    THEN
        v_column := 'train_stop_value';
        v_message := CASE
            WHEN NEW.train_stop_value IS NULL THEN format('the label %s needs train_stop_value', NEW.train_label)
            ELSE format('train_stop_value %s and train_value %s are not on two sides of zero', NEW.train_stop_value, NEW.train_value)
        END;
        v_hint := 'Give two changes in percent of different sign, for example train_value 30 and train_stop_value -15.';
    ELSIF v_label.has_stop AND NEW.train_operator <> (CASE WHEN NEW.train_value > 0 THEN '>=' ELSE '<=' END) THEN
        v_column := 'train_operator';
        v_message := format('train_operator %s does not fit: a change of %s is reached by %s', NEW.train_operator, NEW.train_value, CASE WHEN NEW.train_value > 0 THEN '>=' ELSE '<=' END);
        v_hint := format('Leave train_operator out: the label %s knows it.', NEW.train_label);
    ELSIF NEW.train_uncovered NOT IN ('leave_out', 'negative') THEN
        v_column := 'train_uncovered';
        v_message := format('train_uncovered %L is unknown', left(NEW.train_uncovered, 100));
        v_hint := 'Use leave_out (the default), or negative where a coin that stops trading is a loser.';
    ELSIF NEW.train_uncovered IS NOT NULL AND NEW.train_future_minutes IS NULL THEN
        v_column := 'train_uncovered';
        v_message := 'train_uncovered is given, and train_future_minutes is not';
        v_hint := 'A label that is read in the same row has no window: leave train_uncovered out.';
    ELSIF NOT EXISTS (SELECT FROM public.ref_model_types t WHERE t.name = NEW.train_model_type) THEN
        v_column := 'train_model_type';
        v_message := format('train_model_type %L is unknown', left(NEW.train_model_type, 100));
        v_hint := ml_internal.suggest_names(NEW.train_model_type, (SELECT array_agg(t.name::text ORDER BY t.id) FROM public.ref_model_types t));
    ELSIF NEW.train_split NOT IN ('coins', 'time', 'coins_and_time') THEN
        v_column := 'train_split';
        v_message := format('train_split %L is unknown', left(NEW.train_split, 100));
        v_hint := 'Use coins (the default: whole coins are held out), time (the last part of the period), or coins_and_time (later rows of coins that are not fitted).';
    ELSIF NEW.train_folds <> 0 AND NEW.train_folds NOT BETWEEN 2 AND 20 THEN
        v_column := 'train_folds';
        v_message := format('train_folds %s is not between 2 and 20', NEW.train_folds);
        v_hint := 'In so many later periods, one after another, the recipe is measured besides; leave it out, or give 0, for none.';
    ELSIF NEW.train_weights NOT IN ('none', 'uniqueness') THEN
        v_column := 'train_weights';
        v_message := format('train_weights %L is unknown', left(NEW.train_weights, 100));
        v_hint := 'Use none (the default), or uniqueness where labels that overlap shall count less.';
    ELSIF NEW.train_weights <> 'none' AND NOT EXISTS (SELECT FROM public.ref_model_types t WHERE t.name = NEW.train_model_type AND t.takes_weights) THEN
        v_column := 'train_weights';
        v_message := format('the model type %s takes no weights, and train_weights is %s', NEW.train_model_type, NEW.train_weights);
        v_hint := 'Leave train_weights out, or choose a type that takes them: '
            || (SELECT string_agg(t.name, ', ' ORDER BY t.id) FROM public.ref_model_types t WHERE t.takes_weights) || '.';
    ELSIF NEW.train_model_name !~ '[^ ]' THEN
        v_column := 'train_model_name';
        v_message := 'train_model_name is blank';
        v_hint := 'Give the model a name, or leave the field out: the default is the model type and the job''s number.';
    ELSIF length(NEW.train_model_name) > 255 THEN
        v_column := 'train_model_name';
        v_message := format('train_model_name %L... has %s characters', left(NEW.train_model_name, 50), length(NEW.train_model_name));
        v_hint := 'Give the model a name of at most 255 characters.';
    ELSIF length(NEW.train_description) > 10000 THEN
        v_column := 'train_description';
        v_message := format('train_description has %s characters', length(NEW.train_description));
        v_hint := 'Describe the model in at most 10000 characters.';
    END IF;
    IF v_message IS NOT NULL THEN
        RAISE EXCEPTION USING MESSAGE = v_message, HINT = v_hint,
            ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = v_column;
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_40_train_check
BEFORE INSERT ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.job_type = 'TRAIN')
EXECUTE FUNCTION ml_internal.check_train();

CREATE OR REPLACE FUNCTION ml_internal.require_train_name()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    CALL ml_internal.require_free_name(NEW.train_model_name, NEW.id);
    RETURN NEW;
END
$$;

-- Of a default name fill_train has just found that it is free.
CREATE OR REPLACE TRIGGER ml_jobs_55_train_name
BEFORE INSERT ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.job_type = 'TRAIN' AND NEW.train_model_name IS DISTINCT FROM NEW.train_model_type || '_job_' || NEW.id)
EXECUTE FUNCTION ml_internal.require_train_name();

CREATE OR REPLACE FUNCTION ml_internal.param_fits(
    p_param public.ref_model_params,
    p_value text
)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT p_value = ANY (string_to_array(p_param.choices_csv, ',')) IS TRUE
        OR CASE
            WHEN p_param.kind = 'boolean'
                THEN p_value IN ('true', 'false')
            WHEN p_param.kind = 'integer' AND p_value ~ '^-?[0-9]{1,18}$'
                OR p_param.kind = 'number' AND p_value ~ '^-?([0-9]{1,30}([.][0-9]{0,30})?|[.][0-9]{1,30})([eE][+-]?[0-9]{1,3})?$'
                THEN p_value::numeric BETWEEN p_param.min_value AND p_param.max_value
            WHEN p_param.kind = 'layers' AND p_value ~ '^[0-9]{1,18}(,[0-9]{1,18}){0,9}$'
                THEN (SELECT bool_and(i.item::numeric BETWEEN p_param.min_value AND p_param.max_value) FROM ml_internal.list_items(p_value) i)
            ELSE false
        END;
$$;

-- Rules that need the catalogue or a reference table: once per statement, however many jobs it inserts.
CREATE OR REPLACE FUNCTION ml_internal.check_train_lists()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
SET jit TO off -- compiling these queries takes longer than thousands of jobs
AS $$
DECLARE
    v_fault record;
    v_others boolean := EXISTS (SELECT FROM new_jobs j WHERE j.train_source <> 'coin_metrics');
BEGIN
    -- Whether the source is there and can be read.
    IF v_others THEN
        SELECT f.message, f.hint, f.code INTO v_fault
        FROM (SELECT DISTINCT j.train_source AS source FROM new_jobs j WHERE j.train_source <> 'coin_metrics') j
        CROSS JOIN LATERAL ml_internal.source_fault(j.source) f
        WHERE f.message IS NOT NULL
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION USING MESSAGE = v_fault.message, HINT = v_fault.hint,
                ERRCODE = v_fault.code, TABLE = 'ml_jobs', COLUMN = 'train_source';
        END IF;
    END IF;

    WITH jobs AS (
        SELECT DISTINCT
            j.train_target_var AS target,
            j.train_base_var AS base,
            j.train_features_csv AS features_csv,
            j.train_future_minutes IS NULL AS same_row,
            j.train_source AS source
        FROM new_jobs j
        WHERE j.job_type = 'TRAIN'
    ),
    wanted AS (
        SELECT DISTINCT 'train_target_var' AS field, j.target AS item, 1 AS times, j.target AS csv, 0 AS place, j.source FROM jobs j
        UNION ALL
        SELECT DISTINCT 'train_base_var', j.base, 1, j.base, 0, j.source FROM jobs j WHERE j.base <> j.target
        UNION ALL
        SELECT 'train_features_csv', i.item, count(*), f.features_csv, min(i.place), f.source
        FROM (SELECT DISTINCT j.features_csv, j.source FROM jobs j) f
        CROSS JOIN LATERAL ml_internal.list_items(f.features_csv) i
        GROUP BY i.item, f.features_csv, f.source
    ),
    columns AS MATERIALIZED (
        SELECT c.* FROM public.ml_metric_columns c WHERE c.source IN (SELECT j.source FROM jobs j)
    ),
    faults AS (
        SELECT
            w.field,
            w.place,
            CASE
                WHEN w.item = '' THEN format('%s %L has an empty name', w.field, left(w.csv, 200))
                WHEN u.column_name IS NOT NULL THEN format('column %L cannot be used: its name has a comma, semicolon, equals sign or outer blank (%s)', u.column_name, w.field)
                WHEN c.column_name IS NULL THEN format('%s has no column %L (%s)', w.source, left(w.item, 200), w.field)
                WHEN NOT c.is_numeric THEN format('column %L is %s, not numeric (%s)', w.item, c.data_type, w.field)
                WHEN w.times > 1 THEN format('feature %L is given %s times', w.item, w.times)
            END AS message,
            CASE
                WHEN w.item = '' THEN 'Write the names separated by single commas, for example price_open,volume_sol.'
                WHEN u.column_name IS NOT NULL THEN format(
                    'In a list it could not be told from its neighbours. Rename it: ALTER TABLE %2$s RENAME COLUMN %1$I TO ...; '
                    'or give its values another name: ADD COLUMN ... GENERATED ALWAYS AS (%1$I) STORED.', u.column_name,
                    CASE w.source WHEN 'coin_metrics' THEN w.source ELSE (SELECT s.relation FROM ml_internal.find_source(w.source) s) END
                )
                WHEN w.times > 1 AND c.is_numeric THEN 'Name each feature once.'
                -- A moment of coin_metrics is no feature that anybody means.
                WHEN c.column_name IS NOT NULL AND (w.source <> 'coin_metrics' OR c.data_type !~ '^(timestamp|date)') THEN concat_ws(' ', ml_internal.number_hint(w.item, c.data_type), ml_internal.suggest_names(
                    w.item, (SELECT array_agg(n.column_name) FROM columns n WHERE n.is_numeric AND n.source = w.source)
                ))
                ELSE ml_internal.suggest_names(
                    w.item, (SELECT array_agg(n.column_name) FROM columns n WHERE n.is_numeric AND n.source = w.source)
                )
            END AS hint
        FROM wanted w
        LEFT JOIN columns c ON c.column_name = w.item AND c.source = w.source
        LEFT JOIN LATERAL (
            SELECT n.column_name
            FROM columns n
            WHERE n.source = w.source AND c.is_numeric IS NOT TRUE AND strpos(w.csv, n.column_name) > 0 AND n.column_name ~ '[,;=]|^[[:space:]]|[[:space:]]$'
            ORDER BY length(n.column_name) DESC
            LIMIT 1
        ) u ON true
        WHERE w.item = '' OR c.is_numeric IS NOT TRUE OR w.times > 1
        UNION ALL
        SELECT
            'train_features_csv',
            0,
            format('the target %L is among the features, where the model could simply read it', j.target),
            'Leave it out of train_features_csv, or set train_future_minutes to predict its value later.'
        FROM jobs j
        WHERE j.same_row AND j.target IN (SELECT i.item FROM ml_internal.list_items(j.features_csv) i)
    )
    SELECT f.field, f.message, f.hint INTO v_fault FROM faults f ORDER BY f.place LIMIT 1;

    IF v_fault IS NULL THEN
        SELECT
            'train_phases_csv' AS field,
            CASE
                WHEN f.phase_column IS NULL THEN format('the source %s has no phase, which train_phases_csv would be compared with', f.name)
                ELSE format('%s has no column %s, which train_phases_csv would be compared with', f.name, f.phase_column)
            END AS message,
            CASE
                WHEN f.phase_column IS NULL THEN 'Leave train_phases_csv out, or have the owner add a source with one: CALL ml.add_source(..., phase => ...);'
                ELSE format('Leave train_phases_csv out, or add the column to %s.', f.name)
            END AS hint
        INTO v_fault
        FROM (SELECT DISTINCT j.train_source AS source FROM new_jobs j WHERE j.train_phases_csv IS NOT NULL) j
        CROSS JOIN LATERAL ml_internal.find_source(j.source) f
        WHERE f.phase_type IS NULL
        LIMIT 1;
    END IF;

    IF v_fault IS NULL THEN
        SELECT
            'train_phases_csv' AS field,
            format(
                'train_phases_csv %L %s', left(p.csv, 200), CASE
                    WHEN p.times > 1 THEN 'names a phase twice'
                    WHEN p.is_first THEN 'has an unknown phase: ' || quote_literal(left(p.item, 50))
                    ELSE 'has what is no integer: ' || quote_literal(left(p.item, 50))
                END
            ) AS message,
            CASE
                WHEN p.is_first THEN 'Known phases: '
                    || (SELECT string_agg(r.id || ' (' || r.name || ')', ', ' ORDER BY r.id) FROM public.ref_coin_phases r)
                    || '. Name each once, separated by commas.'
                ELSE 'Name each phase once, as an integer, separated by commas: 1,2,3.'
            END AS hint
        INTO v_fault
        FROM (
            SELECT d.csv, d.is_first, i.item, count(*) AS times
            FROM (SELECT DISTINCT j.train_phases_csv AS csv, j.train_source = 'coin_metrics' AS is_first FROM new_jobs j) d
            CROSS JOIN LATERAL ml_internal.list_items(d.csv) i
            GROUP BY d.csv, d.is_first, i.item
        ) p
        -- What phases another source has, nobody says.
        WHERE p.times > 1 OR CASE
            WHEN p.is_first THEN NOT EXISTS (SELECT FROM public.ref_coin_phases r WHERE r.id::text = p.item)
            ELSE p.item !~ '^(0|-?[1-9][0-9]{0,8})$'
        END
        LIMIT 1;
    END IF;

    IF v_fault IS NULL THEN
        -- A sweep has many lists of few items: each item is looked at once, and only lists that have a bad one are read again.
        WITH lists AS MATERIALIZED (
            SELECT DISTINCT j.train_model_type AS model_type, j.train_params_csv AS csv
            FROM new_jobs j
            WHERE j.train_params_csv IS NOT NULL
        ),
        items AS MATERIALIZED (
            SELECT l.model_type, l.csv, i.item
            FROM lists l
            CROSS JOIN LATERAL unnest(string_to_array(l.csv, ';')) i (item)
        ),
        good AS MATERIALIZED (
            SELECT d.model_type, d.item, i.name
            FROM (SELECT DISTINCT i.model_type, i.item FROM items i) d
            CROSS JOIN LATERAL ml_internal.param_items(d.item) i
            JOIN public.ref_model_params r ON r.model_type = d.model_type AND r.name = i.name
            WHERE i.value <> '' AND ml_internal.param_fits(r, i.value)
        ),
        doubtful AS (
            SELECT i.model_type, i.csv
            FROM items i
            LEFT JOIN good g ON g.model_type = i.model_type AND g.item = i.item
            GROUP BY i.model_type, i.csv
            HAVING count(DISTINCT g.name) < count(*)
        )
        SELECT
            'train_params_csv' AS field,
            CASE
                WHEN p.name IS NULL OR p.name = '' OR p.value = ''
                    THEN format('train_params_csv %L has %L, which is not key=value', left(p.csv, 200), left(p.item, 200))
                WHEN r.name IS NULL THEN format('%s has no hyperparameter %L', p.model_type, left(p.name, 200))
                WHEN p.times > 1 THEN format('hyperparameter %L is given %s times', p.name, p.times)
                ELSE format('hyperparameter %s cannot be %L', p.name, left(p.value, 200))
            END AS message,
            CASE
                WHEN p.name IS NULL OR p.name = '' OR p.value = ''
                    THEN 'Write key=value;key=value, for example n_estimators=200;max_depth=8.'
                WHEN r.name IS NULL
                    THEN ml_internal.suggest_names(
                        p.name, (SELECT array_agg(a.name::text ORDER BY a.name) FROM public.ref_model_params a WHERE a.model_type = p.model_type)
                    )
                WHEN p.times > 1 THEN 'Give each hyperparameter once.'
                WHEN p.value ~ ',[^=]*=' THEN format('Separate hyperparameters by semicolons: %s.', regexp_replace(p.item, E',\\s*([^,=]+=)', E';\\1', 'g'))
                ELSE format(
                    '%s of %s is %s.', r.name, r.model_type,
                    concat_ws(
                        ', or ',
                        CASE r.kind
                            WHEN 'integer' THEN format('an integer from %s to %s', r.min_value, r.max_value)
                            WHEN 'number' THEN format('a number from %s to %s', r.min_value, r.max_value)
                            WHEN 'layers' THEN format('one to ten integers from %s to %s, separated by commas', r.min_value, r.max_value)
                            WHEN 'boolean' THEN 'true or false'
                        END,
                        'one of: ' || replace(r.choices_csv, ',', ', ')
                    )
                )
            END AS hint
        INTO v_fault
        FROM (
            SELECT g.model_type, g.csv, i.item, i.name, i.value, i.place, count(*) OVER (PARTITION BY g.model_type, g.csv, i.name) AS times
            FROM doubtful g
            CROSS JOIN LATERAL ml_internal.param_items(g.csv) i
        ) p
        LEFT JOIN public.ref_model_params r ON r.model_type = p.model_type AND r.name = p.name
        WHERE p.times > 1 OR p.value = '' OR r.name IS NULL OR NOT ml_internal.param_fits(r, p.value)
        ORDER BY p.place
        LIMIT 1;
    END IF;

    IF v_fault IS NOT NULL THEN
        RAISE EXCEPTION USING MESSAGE = v_fault.message, HINT = v_fault.hint,
            ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = v_fault.field;
    END IF;

    -- Whether the role that inserts, which is one, may read all that the jobs name.
    IF NOT v_others AND ml_internal.metrics_are_plain('{}', to_regrole(quote_ident((SELECT j.created_by FROM new_jobs j LIMIT 1)))) THEN
        RETURN NULL;
    END IF;
    SELECT f.message, f.hint, f.code INTO v_fault
    FROM (
        SELECT
            j.train_source AS source, j.created_by, bool_or(j.train_phases_csv IS NOT NULL) AS has_phases,
            string_agg(DISTINCT concat_ws(',', j.train_target_var, j.train_base_var, j.train_features_csv), ',') AS columns_csv
        FROM new_jobs j
        WHERE j.job_type = 'TRAIN'
        GROUP BY j.train_source, j.created_by
    ) j
    CROSS JOIN LATERAL ml_internal.source_fault(
        j.source, ARRAY(SELECT DISTINCT i.item FROM ml_internal.list_items(j.columns_csv) i), j.has_phases, to_regrole(quote_ident(j.created_by))
    ) f
    WHERE f.message IS NOT NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING MESSAGE = v_fault.message, HINT = v_fault.hint,
            ERRCODE = v_fault.code, TABLE = 'ml_jobs', COLUMN = 'train_source';
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_60_train_lists
AFTER INSERT ON public.ml_jobs
REFERENCING NEW TABLE AS new_jobs
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.check_train_lists();

-- Again at the claim, where alone the attempt rises: the name may be taken since, the source may have changed, and what the
-- role may read.
CREATE OR REPLACE FUNCTION ml_internal.check_train_again()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    CALL ml_internal.require_free_name(NEW.train_model_name, NEW.id);
    PERFORM ml_internal.require_source(
        coalesce(NEW.train_source, 'coin_metrics'),
        array_remove(ARRAY[NEW.train_target_var, NEW.train_base_var] || string_to_array(NEW.train_features_csv, ','), NULL),
        NEW.train_phases_csv IS NOT NULL,
        ml_internal.role_of_team(NEW.team)
    );
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_40_train_again
BEFORE UPDATE OF attempt ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.job_type = 'TRAIN' AND NEW.attempt > OLD.attempt)
EXECUTE FUNCTION ml_internal.check_train_again();

-- ── The life of its model ───────────────────────────────────────────────────────────────────────────

-- The model that a job will make.
CREATE OR REPLACE FUNCTION ml_internal.planned_model(
    p_job public.ml_jobs
)
RETURNS public.ml_models
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT jsonb_populate_record(NULL::public.ml_models, jsonb_build_object(
        'name', p_job.train_model_name,
        'model_type', p_job.train_model_type,
        'description', p_job.train_description,
        'train_job_id', p_job.id,
        'target_variable', p_job.train_target_var,
        'target_operator', p_job.train_operator,
        'target_value', p_job.train_value,
        'future_minutes', p_job.train_future_minutes,
        'label', coalesce(p_job.train_label, 'value'), -- NULL: older than kinds of label
        'base_variable', p_job.train_base_var,
        'stop_value', p_job.train_stop_value,
        'uncovered', p_job.train_uncovered,
        'source', coalesce(p_job.train_source, 'coin_metrics'), -- NULL: older than sources
        'threshold_rule', coalesce(p_job.train_threshold, '0.5'), -- NULL: older than thresholds
        'threshold', CASE
            WHEN p_job.train_threshold IS NULL THEN 0.5
            WHEN p_job.train_threshold ~ '^[0-9]' THEN p_job.train_threshold::numeric
        END,
        'train_start', p_job.train_start,
        'train_end', p_job.train_end,
        'test_size', p_job.train_test_size,
        'random_state', p_job.train_random_state,
        'features_csv', p_job.train_features_csv,
        'phases_csv', p_job.train_phases_csv,
        'params_csv', ml_internal.merge_params(t.default_params_csv, p_job.train_params_csv),
        -- NULL: older than these three.
        'split', coalesce(p_job.train_split, 'coins'),
        'folds', nullif(p_job.train_folds, 0),
        'weights', coalesce(p_job.train_weights, 'none')
    ))
    FROM public.ref_model_types t
    WHERE t.name = p_job.train_model_type;
$$;

CREATE OR REPLACE FUNCTION ml_internal.keep_model_of_job()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.status IN ('FAILED', 'CANCELLED') THEN
        BEGIN
            UPDATE public.ml_models SET status = 'FAILED' WHERE train_job_id = NEW.id;
        EXCEPTION
            -- Whatever it is, a lock of a client too: the job ends all the same, and fail_left_models comes again.
            WHEN OTHERS THEN
                RAISE WARNING 'the model of job % could not be set to FAILED: %', NEW.id, SQLERRM
                    USING ERRCODE = SQLSTATE, HINT = 'A worker tries again at each look at the queue.';
        END;
    ELSIF NEW.status = 'RUNNING' THEN
        INSERT INTO public.ml_models (
            name, model_type, description, train_job_id,
            target_variable, target_operator, target_value, future_minutes,
            label, base_variable, stop_value, uncovered, source, threshold_rule, threshold,
            train_start, train_end, test_size, random_state,
            features_csv, phases_csv, params_csv, split, folds, weights
        )
        SELECT
            m.name, m.model_type, m.description, m.train_job_id,
            m.target_variable, m.target_operator, m.target_value, m.future_minutes,
            m.label, m.base_variable, m.stop_value, m.uncovered, m.source, m.threshold_rule, m.threshold,
            m.train_start, m.train_end, m.test_size, m.random_state,
            m.features_csv, m.phases_csv, m.params_csv, m.split, m.folds, m.weights
        FROM ml_internal.planned_model(NEW) m
        WHERE NOT EXISTS (SELECT FROM public.ml_models x WHERE x.train_job_id = NEW.id);
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_70_train_model
AFTER UPDATE OF status ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.job_type = 'TRAIN' AND OLD.status <> NEW.status)
EXECUTE FUNCTION ml_internal.keep_model_of_job();

CREATE OR REPLACE FUNCTION ml_internal.apply_training_to_model()
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
        model_file_path = NEW.artifact_path,
        threshold = NEW.threshold
    WHERE id = NEW.model_id;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER ml_training_runs_70_apply_to_model
AFTER INSERT ON public.ml_training_runs
FOR EACH ROW EXECUTE FUNCTION ml_internal.apply_training_to_model();

-- A training run makes a model READY, the end of its job makes it FAILED, and both are final.
CREATE OR REPLACE FUNCTION ml_internal.keep_model_status()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF OLD.status = 'TRAINING' AND NEW.status = 'READY' AND EXISTS (
        SELECT FROM public.ml_training_runs r WHERE r.job_id = OLD.train_job_id AND r.model_id = OLD.id
    ) OR OLD.status = 'TRAINING' AND NEW.status = 'FAILED' AND EXISTS (
        SELECT FROM public.ml_jobs j WHERE j.id = OLD.train_job_id AND j.status IN ('FAILED', 'CANCELLED')
    ) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'model % cannot go from % to %', OLD.id, OLD.status, NEW.status
        USING ERRCODE = 'ML002', TABLE = 'ml_models', COLUMN = 'status',
        HINT = 'READY and FAILED are final, and a TRAIN job alone sets them; train another model with a new TRAIN job.';
END
$$;

CREATE OR REPLACE TRIGGER ml_models_20_status
BEFORE UPDATE OF status ON public.ml_models
FOR EACH ROW
WHEN (NEW.status IS DISTINCT FROM OLD.status)
EXECUTE FUNCTION ml_internal.keep_model_status();

-- ── Its result ──────────────────────────────────────────────────────────────────────────────────────

CREATE OR REPLACE FUNCTION ml_internal.fill_training_run()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_model public.ml_models;
BEGIN
    SELECT m.* INTO v_model FROM public.ml_models m WHERE m.train_job_id = NEW.job_id;
    NEW.model_id := v_model.id;
    IF NEW.num_set_aside IS NULL AND v_model.threshold_rule <> '0.5' THEN
        NEW.warnings := concat_ws('; ', NEW.warnings, format(
            'the threshold is 0.5 and not %s: a worker of before version 8 trained it; restart the worker, and train again', v_model.threshold_rule
        ));
    END IF;
    NEW.num_samples := NEW.num_positive + NEW.num_negative;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER ml_training_runs_20_fill
BEFORE INSERT ON public.ml_training_runs
FOR EACH ROW EXECUTE FUNCTION ml_internal.fill_training_run();

-- What ml.wait, ml_jobs and top show.
CREATE OR REPLACE FUNCTION ml_internal.show_training_run()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    SELECT m.id, format(
        'model %s, %s: %s, ROC AUC %s on held-out rows%s',
        m.id, m.name, coalesce(
            ml_internal.baseline_verdict(r.beats_baseline, r.best_baseline, r.f1_score, r.baseline_f1, r.baseline_lower, r.baseline_upper, r.baseline_note),
            format('%s, F1 %s', ml_internal.verdict(r.tp, r.tn, r.fp, r.fn), coalesce(r.f1_score::text, 'none'))
        ), coalesce(r.roc_auc::text, 'none'), ', at the threshold ' || nullif(r.threshold, 0.5)
    )
    INTO NEW.result_model_id, NEW.progress_msg
    FROM public.ml_training_runs r
    JOIN public.ml_models m ON m.train_job_id = r.job_id
    WHERE r.job_id = NEW.id;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_80_train_show
BEFORE UPDATE OF completed_at ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.job_type = 'TRAIN' AND OLD.status <> 'COMPLETED' AND NEW.status = 'COMPLETED')
EXECUTE FUNCTION ml_internal.show_training_run();

CREATE OR REPLACE VIEW public.ml_fact_training_runs WITH (security_invoker = true) AS
SELECT
    r.id AS training_run_id, r.job_id, r.model_id, r.created_at, r.holdout,
    r.num_coins, r.num_fitted, r.num_fitted_positive, r.num_gap, r.num_unlabelled, r.num_samples, r.num_positive, r.num_negative,
    r.tp, r.fp, r.tn, r.fn, r.accuracy, r.precision_score, r.recall, r.f1_score, r.roc_auc,
    r.artifact_bytes, r.seconds_loading, r.seconds_fitting, r.warnings,
    r.average_precision, r.num_without_base, r.num_uncovered, r.mcc, r.log_loss, r.brier_score,
    r.threshold, r.num_set_aside, r.num_set_aside_positive,
    r.accuracy_at_half, r.precision_at_half, r.recall_at_half, r.f1_at_half, r.mean_uniqueness,
    r.best_baseline, r.baseline_f1, r.baseline_difference, r.baseline_lower, r.baseline_upper, r.beats_baseline
FROM public.ml_training_runs r;

-- ── What the worker is told ─────────────────────────────────────────────────────────────────────────

-- The fewest rows, rows of either class, and coins of which some can be held out whole.
CREATE OR REPLACE FUNCTION ml_internal.fewest(
    OUT rows bigint,
    OUT of_a_class bigint,
    OUT coins bigint
)
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT 20, 2, 10;
$$;

CREATE OR REPLACE FUNCTION ml_internal.describe_model(
    p_model public.ml_models
)
RETURNS jsonb
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT jsonb_build_object(
            'id', p_model.id,
            'model_type', p_model.model_type,
            'label', jsonb_build_object(
                'kind', p_model.label,
                'target', p_model.target_variable,
                'operator', p_model.target_operator,
                'value', p_model.target_value::text,
                'future_minutes', p_model.future_minutes,
                'base', p_model.base_variable,
                'stop_value', p_model.stop_value::text,
                'uncovered', p_model.uncovered
            ),
            'test_size', p_model.test_size,
            'random_state', p_model.random_state,
            'features', string_to_array(p_model.features_csv, ','),
            'params', (
                SELECT jsonb_object_agg(v.param, jsonb_build_array(v.kind, v.value))
                FROM public.ml_model_params v
                WHERE v.model_id = p_model.id
            ),
            'fewest', to_jsonb(ml_internal.fewest()),
            'artifact_path', r.artifact_path,
            'artifact_sha256', r.artifact_sha256
        )
        FROM (SELECT) one
        LEFT JOIN public.ml_training_runs r ON r.model_id = p_model.id
    );
END
$$;

-- ── Shorthand function ───────────────────────────────────────────────────────────────────────────────
-- SELECT ml.train(…) with named arguments instead of an INSERT. It inserts as the caller, so that every check and right
-- stays. Users type the names of the arguments, so they are those of the columns without train_, and not p_.

CREATE OR REPLACE FUNCTION ml.train(
    model_type text DEFAULT NULL,
    target text DEFAULT NULL,
    operator text DEFAULT NULL,
    value numeric DEFAULT NULL,
    features text DEFAULT NULL,
    train_start timestamptz DEFAULT NULL,
    train_end timestamptz DEFAULT NULL,
    future_minutes integer DEFAULT NULL,
    phases text DEFAULT NULL,
    params text DEFAULT NULL,
    name text DEFAULT NULL,
    description text DEFAULT NULL,
    test_size numeric DEFAULT NULL,
    random_state integer DEFAULT NULL,
    priority integer DEFAULT NULL,
    max_attempts integer DEFAULT NULL,
    max_minutes numeric DEFAULT NULL,
    label text DEFAULT NULL,
    base text DEFAULT NULL,
    stop_value numeric DEFAULT NULL,
    uncovered text DEFAULT NULL,
    source text DEFAULT NULL,
    threshold text DEFAULT NULL,
    split text DEFAULT NULL,
    folds integer DEFAULT NULL,
    weights text DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql -- which does not ask for a column until it is used: max_minutes comes with 63_limits.sql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_id bigint;
BEGIN
    INSERT INTO public.ml_jobs (
        job_type, priority, max_attempts, max_minutes,
        train_model_type, train_target_var, train_operator, train_value,
        train_features_csv, train_start, train_end, train_future_minutes,
        train_phases_csv, train_params_csv, train_model_name, train_description,
        train_test_size, train_random_state,
        train_label, train_base_var, train_stop_value, train_uncovered, train_source, train_threshold,
        train_split, train_folds, train_weights
    )
    VALUES (
        'TRAIN', priority, max_attempts, max_minutes,
        model_type, target, operator, value,
        features, train_start, train_end, future_minutes,
        phases, params, name, description,
        test_size, random_state,
        label, base, stop_value, uncovered, source, threshold,
        split, folds, weights
    )
    RETURNING id INTO v_id;
    RETURN v_id;
END
$$;

-- Checks a job by inserting it and taking it back at once, so that the errors are those of the INSERT.
-- As the owner, because who only reads may ask; nothing is left, and nobody is notified.
CREATE OR REPLACE FUNCTION ml_internal.try_train(
    p_model_type text,
    p_target text,
    p_operator text,
    p_value numeric,
    p_features text,
    p_train_start timestamptz,
    p_train_end timestamptz,
    p_future_minutes integer,
    p_phases text,
    p_params text,
    p_name text,
    p_description text,
    p_test_size numeric,
    p_random_state integer,
    p_priority integer,
    p_max_attempts integer,
    p_max_minutes numeric,
    p_label text,
    p_base text,
    p_stop_value numeric,
    p_uncovered text,
    p_source text,
    p_threshold text DEFAULT NULL,
    p_split text DEFAULT NULL,
    p_folds integer DEFAULT NULL,
    p_weights text DEFAULT NULL
)
RETURNS public.ml_jobs
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
SET client_min_messages TO error -- what an INSERT warns of is told by the preview itself
AS $$
DECLARE
    v_id bigint;
    v_job public.ml_jobs;
BEGIN
    BEGIN
        v_id := ml.train(
            p_model_type, p_target, p_operator, p_value, p_features, p_train_start, p_train_end, p_future_minutes,
            p_phases, p_params, p_name, p_description, p_test_size, p_random_state, p_priority, p_max_attempts, p_max_minutes,
            p_label, p_base, p_stop_value, p_uncovered, p_source, p_threshold, p_split, p_folds, p_weights
        );
        SELECT * INTO v_job FROM public.ml_jobs j WHERE j.id = v_id;
        RAISE EXCEPTION 'taken back' USING ERRCODE = 'ML000', HINT = 'This is caught at once.';
    EXCEPTION
        WHEN SQLSTATE 'ML000' THEN NULL;
    END;
    RETURN v_job;
END
$$;

CREATE OR REPLACE FUNCTION ml.preview(
    model_type text DEFAULT NULL,
    target text DEFAULT NULL,
    operator text DEFAULT NULL,
    value numeric DEFAULT NULL,
    features text DEFAULT NULL,
    train_start timestamptz DEFAULT NULL,
    train_end timestamptz DEFAULT NULL,
    future_minutes integer DEFAULT NULL,
    phases text DEFAULT NULL,
    params text DEFAULT NULL,
    name text DEFAULT NULL,
    description text DEFAULT NULL,
    test_size numeric DEFAULT NULL,
    random_state integer DEFAULT NULL,
    priority integer DEFAULT NULL,
    max_attempts integer DEFAULT NULL,
    max_minutes numeric DEFAULT NULL,
    label text DEFAULT NULL,
    base text DEFAULT NULL,
    stop_value numeric DEFAULT NULL,
    uncovered text DEFAULT NULL,
    source text DEFAULT NULL,
    threshold text DEFAULT NULL,
    split text DEFAULT NULL,
    folds integer DEFAULT NULL,
    weights text DEFAULT NULL
)
RETURNS TABLE (
    what text,
    result text
)
LANGUAGE plpgsql
ROWS 25
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_job public.ml_jobs;
    v_message text;
    v_hint text;
    v_code text;
    v_table text;
    v_column text;
BEGIN
    v_job := ml_internal.try_train(
        model_type, target, operator, value, features, train_start, train_end, future_minutes,
        phases, params, name, description, test_size, random_state, priority, max_attempts, max_minutes,
        label, base, stop_value, uncovered, source, threshold, split, folds, weights
    );
    RETURN QUERY SELECT p.what, p.result FROM ml_internal.preview_job(v_job) p;
EXCEPTION
    -- Said anew, because the context of the first is our own queries.
    WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS
            v_message = MESSAGE_TEXT, v_hint = PG_EXCEPTION_HINT, v_code = RETURNED_SQLSTATE,
            v_table = TABLE_NAME, v_column = COLUMN_NAME;
        RAISE EXCEPTION USING MESSAGE = v_message, HINT = v_hint, ERRCODE = v_code, TABLE = v_table, COLUMN = v_column;
END
$$;

CALL ml_internal.allow('ml_client', 'EXECUTE', 'ml.train');
CALL ml_internal.allow(
    'ml_reader', 'EXECUTE', 'ml_internal.threshold_text, ml_internal.try_train, ml_internal.fewest, ml_internal.describe_model, ml_internal.planned_model'
);
CALL ml_internal.allow('ml_reader', 'SELECT', 'public.ml_fact_training_runs');

COMMENT ON FUNCTION ml.preview(
    text, text, text, numeric, text, timestamptz, timestamptz,
    integer, text, text, text, text, numeric, integer, integer, integer, numeric, text, text, numeric, text, text,
    text, text, integer, text
) IS 'What a TRAIN job would find, before it is inserted; arguments as for ml.train.';
COMMENT ON FUNCTION ml.train IS 'Inserts a TRAIN job and returns its id. Arguments as the columns of ml_jobs without train_: ml.train(model_type => ''xgboost'', target => ''market_cap_close'', operator => ''>'', value => 50000, ...).';
COMMENT ON FUNCTION ml_internal.try_train IS 'The TRAIN job that these arguments of ml.train would make, or the error of its INSERT; leaves nothing.';
COMMENT ON FUNCTION ml_internal.fill_train() IS 'Trigger: defaults of a TRAIN job, and its lists as they are kept.';
COMMENT ON FUNCTION ml_internal.check_train() IS 'Trigger: refuses values that no TRAIN job may have, naming the value and what to do.';
COMMENT ON FUNCTION ml_internal.require_train_name() IS 'Trigger: the name of the model is free.';
COMMENT ON FUNCTION ml_internal.check_train_again() IS 'Trigger: a TRAIN job that is claimed has a name that is free, and a source that can be read, also by the role that inserted it.';
COMMENT ON FUNCTION ml_internal.check_train_lists() IS 'Trigger: refuses unknown sources, features, phases and hyperparameters, values out of their bounds, and columns that the role may not read.';
COMMENT ON FUNCTION ml_internal.tidy_threshold(text) IS 'train_threshold as it is kept.';
COMMENT ON FUNCTION ml_internal.threshold_text(text, double precision, bigint) IS 'The threshold of a model, and how it was found, in words.';
COMMENT ON FUNCTION ml_internal.param_fits(public.ref_model_params, text) IS 'Whether a hyperparameter may have this value.';
COMMENT ON FUNCTION ml_internal.planned_model(public.ml_jobs) IS 'The model that a TRAIN job will make, as it is born.';
COMMENT ON FUNCTION ml_internal.keep_model_of_job() IS 'Trigger: a model is TRAINING from the first claim, and FAILED when its job fails or is cancelled.';
COMMENT ON FUNCTION ml_internal.keep_model_status() IS 'Trigger: a model becomes READY with its training run or FAILED with its job, and nothing else.';
COMMENT ON FUNCTION ml_internal.fill_training_run() IS 'Trigger: model and number of samples of a training run.';
COMMENT ON FUNCTION ml_internal.show_training_run() IS 'Trigger: a COMPLETED TRAIN job names its model and says how good it is.';
COMMENT ON FUNCTION ml_internal.fewest() IS 'What a training needs: labelled rows, rows of either class, and coins for holding out whole ones.';
COMMENT ON FUNCTION ml_internal.describe_model(public.ml_models) IS 'Worker: what a model predicts, from what, with which hyperparameters, and its file.';
COMMENT ON FUNCTION ml_internal.apply_training_to_model() IS 'Trigger: a training run makes its model READY.';
COMMENT ON TABLE public.ml_training_runs IS 'What one fit saw and gave, append-only. The metrics are measured on held-out rows.';
COMMENT ON COLUMN public.ml_training_runs.id IS 'Number of the training run.';
COMMENT ON COLUMN public.ml_training_runs.job_id IS 'TRAIN job that it completed.';
COMMENT ON COLUMN public.ml_training_runs.attempt IS 'Attempt of the job that made it.';
COMMENT ON COLUMN public.ml_training_runs.model_id IS 'Model that it made.';
COMMENT ON COLUMN public.ml_training_runs.created_at IS 'When it was recorded.';
COMMENT ON COLUMN public.ml_training_runs.holdout IS 'What was held out: coins (whole coins), time (the last part of the period, with a gap before it), or coins_and_time (that part of coins that were not fitted).';
COMMENT ON COLUMN public.ml_training_runs.num_coins IS 'Coins among the labelled rows.';
COMMENT ON COLUMN public.ml_training_runs.num_fitted IS 'Rows that the model was fitted on.';
COMMENT ON COLUMN public.ml_training_runs.num_fitted_positive IS 'Positive rows among them.';
COMMENT ON COLUMN public.ml_training_runs.threshold IS 'Held-out rows with a greater probability were predicted positive; 0.5 before version 8.';
COMMENT ON COLUMN public.ml_training_runs.num_set_aside IS 'Rows, neither fitted nor held out, that the threshold was chosen on; 0: it was given. NULL before version 8.';
COMMENT ON COLUMN public.ml_training_runs.num_set_aside_positive IS 'Positive rows among them.';
COMMENT ON COLUMN public.ml_training_runs.tp_at_half IS 'True positives if the threshold were 0.5; NULL before version 8, where it is.';
COMMENT ON COLUMN public.ml_training_runs.fp_at_half IS 'False positives if the threshold were 0.5; NULL before version 8, where it is.';
COMMENT ON COLUMN public.ml_training_runs.accuracy_at_half IS 'Accuracy if the threshold were 0.5.';
COMMENT ON COLUMN public.ml_training_runs.f1_at_half IS 'F1 if the threshold were 0.5; NULL where undefined.';
COMMENT ON COLUMN public.ml_training_runs.precision_at_half IS 'Precision if the threshold were 0.5; NULL where undefined.';
COMMENT ON COLUMN public.ml_training_runs.recall_at_half IS 'Recall if the threshold were 0.5; NULL where undefined.';
COMMENT ON COLUMN public.ml_fact_training_runs.threshold IS 'Held-out rows with a greater probability were predicted positive; 0.5 before version 8.';
COMMENT ON COLUMN public.ml_fact_training_runs.num_set_aside IS 'Rows, neither fitted nor held out, that the threshold was chosen on; 0: it was given. NULL before version 8.';
COMMENT ON COLUMN public.ml_fact_training_runs.num_set_aside_positive IS 'Positive rows among them.';
COMMENT ON COLUMN public.ml_fact_training_runs.accuracy_at_half IS 'Accuracy if the threshold were 0.5.';
COMMENT ON COLUMN public.ml_fact_training_runs.precision_at_half IS 'Precision if the threshold were 0.5; NULL where undefined.';
COMMENT ON COLUMN public.ml_fact_training_runs.recall_at_half IS 'Recall if the threshold were 0.5; NULL where undefined.';
COMMENT ON COLUMN public.ml_fact_training_runs.f1_at_half IS 'F1 if the threshold were 0.5; NULL where undefined.';
COMMENT ON COLUMN public.ml_training_runs.num_gap IS 'Rows in no part: their label may lie in the time of the held-out rows or of those set aside, or they are earlier rows of held-out coins or later ones of fitted coins.';
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
COMMENT ON COLUMN public.ml_training_runs.average_precision IS 'Average precision: the area under the precision-recall curve; the share of positive rows is chance. NULL where only one class was held out, and before version 5.';
COMMENT ON COLUMN public.ml_training_runs.num_without_base IS 'Rows without a label because their own value is NULL, zero or negative, and no base for a change; NULL before version 6.';
COMMENT ON COLUMN public.ml_training_runs.num_uncovered IS 'Rows whose coin has no row where the window ends; ml_models.uncovered says what became of them; NULL before version 6.';
COMMENT ON COLUMN public.ml_training_runs.mcc IS 'Matthews correlation, -1 to 1, chance 0; NULL where the rows or the answers have one class only.';
COMMENT ON COLUMN public.ml_training_runs.log_loss IS 'Log loss of the probabilities, in nats: less is better; NULL before version 7.';
COMMENT ON COLUMN public.ml_training_runs.brier_score IS 'Brier score: mean square of probability minus label; less is better; NULL before version 7.';
COMMENT ON COLUMN public.ml_training_runs.mean_uniqueness IS 'Mean over the fitted rows of their labels'' average uniqueness: 1 / (labels of the same coin that look ahead at a moment), averaged over a label''s own horizon (Lopez de Prado 2018, chapter 4). Times num_fitted, it is about how many independent rows they are worth. 1 without a horizon; NULL before version 8.';
COMMENT ON COLUMN public.ml_fact_training_runs.mean_uniqueness IS 'Mean uniqueness of the labels that it was fitted on, see ml_training_runs; NULL before version 8.';
COMMENT ON COLUMN public.ml_fact_training_runs.mcc IS 'Matthews correlation, -1 to 1, chance 0; NULL where the rows or the answers have one class only.';
COMMENT ON COLUMN public.ml_fact_training_runs.log_loss IS 'Log loss of the probabilities, in nats: less is better; NULL before version 7.';
COMMENT ON COLUMN public.ml_fact_training_runs.brier_score IS 'Brier score: mean square of probability minus label; less is better; NULL before version 7.';
COMMENT ON COLUMN public.ml_fact_training_runs.best_baseline IS 'Baseline with the highest F1 on the same rows, see ml_baselines; NULL before version 8.';
COMMENT ON COLUMN public.ml_fact_training_runs.baseline_f1 IS 'F1 of that baseline.';
COMMENT ON COLUMN public.ml_fact_training_runs.baseline_difference IS 'F1 of the model less that of the baseline.';
COMMENT ON COLUMN public.ml_fact_training_runs.baseline_lower IS 'Lower end of the 95 % interval of the difference.';
COMMENT ON COLUMN public.ml_fact_training_runs.baseline_upper IS 'Upper end of the 95 % interval of the difference.';
COMMENT ON COLUMN public.ml_fact_training_runs.beats_baseline IS 'Whether the 95 % interval of the difference from the best baseline is above 0; NULL before version 8.';
COMMENT ON COLUMN public.ml_training_runs.baseline_feature IS 'Best single feature on the fitted rows, by F1; NULL where none has two values, and before version 8.';
COMMENT ON COLUMN public.ml_training_runs.baseline_direction IS '> or <: the side of its threshold that is positive.';
COMMENT ON COLUMN public.ml_training_runs.baseline_threshold IS 'Threshold with the best F1 on the fitted rows.';
COMMENT ON VIEW public.ml_fact_training_runs IS 'Training runs as facts, one row each; measured on held-out rows.';
COMMENT ON COLUMN public.ml_fact_training_runs.training_run_id IS 'Number of the training run.';
COMMENT ON COLUMN public.ml_fact_training_runs.job_id IS 'Number of the job.';
COMMENT ON COLUMN public.ml_fact_training_runs.model_id IS 'Number of the model.';
COMMENT ON COLUMN public.ml_fact_training_runs.created_at IS 'When it was recorded.';
COMMENT ON COLUMN public.ml_fact_training_runs.holdout IS 'What was held out: coins, time or coins_and_time.';
COMMENT ON COLUMN public.ml_fact_training_runs.num_coins IS 'Coins among the labelled rows.';
COMMENT ON COLUMN public.ml_fact_training_runs.num_fitted IS 'Rows that the model was fitted on.';
COMMENT ON COLUMN public.ml_fact_training_runs.num_fitted_positive IS 'Positive rows among them.';
COMMENT ON COLUMN public.ml_fact_training_runs.num_gap IS 'Rows in neither part, see ml_training_runs.';
COMMENT ON COLUMN public.ml_fact_training_runs.num_unlabelled IS 'Rows left out because they have no label.';
COMMENT ON COLUMN public.ml_fact_training_runs.num_samples IS 'Held-out rows.';
COMMENT ON COLUMN public.ml_fact_training_runs.num_positive IS 'Positive rows among them.';
COMMENT ON COLUMN public.ml_fact_training_runs.num_negative IS 'Negative rows among them.';
COMMENT ON COLUMN public.ml_fact_training_runs.tp IS 'True positives.';
COMMENT ON COLUMN public.ml_fact_training_runs.fp IS 'False positives.';
COMMENT ON COLUMN public.ml_fact_training_runs.tn IS 'True negatives.';
COMMENT ON COLUMN public.ml_fact_training_runs.fn IS 'False negatives.';
COMMENT ON COLUMN public.ml_fact_training_runs.accuracy IS 'Share of the rows predicted right.';
COMMENT ON COLUMN public.ml_fact_training_runs.precision_score IS 'Share of the positive predictions that were right; NULL where there was none.';
COMMENT ON COLUMN public.ml_fact_training_runs.recall IS 'Share of the positive rows that were found; NULL where there was none.';
COMMENT ON COLUMN public.ml_fact_training_runs.f1_score IS 'Harmonic mean of precision and recall; NULL where undefined.';
COMMENT ON COLUMN public.ml_fact_training_runs.roc_auc IS 'Area under the ROC curve: 0.5 chance, 1 perfect; NULL where there was only one class.';
COMMENT ON COLUMN public.ml_fact_training_runs.artifact_bytes IS 'Size of the model file.';
COMMENT ON COLUMN public.ml_fact_training_runs.seconds_loading IS 'Seconds spent reading the data.';
COMMENT ON COLUMN public.ml_fact_training_runs.seconds_fitting IS 'Seconds spent fitting.';
COMMENT ON COLUMN public.ml_fact_training_runs.warnings IS 'What the user should know of this fit.';
COMMENT ON COLUMN public.ml_fact_training_runs.average_precision IS 'Average precision; NULL where there was only one class, and before version 5.';
COMMENT ON COLUMN public.ml_fact_training_runs.num_without_base IS 'Rows without a label because their own value is no base for a change; NULL before version 6.';
COMMENT ON COLUMN public.ml_fact_training_runs.num_uncovered IS 'Rows whose coin has no row where the window ends, left out or negative; NULL before version 6.';
COMMENT ON COLUMN public.ml_jobs.train_target_var IS 'TRAIN: column of the source that the label is read from.';
COMMENT ON COLUMN public.ml_jobs.train_operator IS 'TRAIN: >, <, >=, <=, = or !=.';
COMMENT ON COLUMN public.ml_jobs.train_value IS 'TRAIN: threshold of the label, in percent where it is a change.';
COMMENT ON COLUMN public.ml_jobs.train_start IS 'TRAIN: first moment of the period.';
COMMENT ON COLUMN public.ml_jobs.train_end IS 'TRAIN: first moment after the period.';
COMMENT ON COLUMN public.ml_jobs.train_features_csv IS 'TRAIN: columns of the source to learn from: a,b,c. ml_metric_columns lists them.';
COMMENT ON COLUMN public.ml_jobs.train_phases_csv IS 'TRAIN: phases to learn from: 1,2,3; NULL: all. ref_coin_phases lists them.';
COMMENT ON COLUMN public.ml_jobs.train_params_csv IS 'TRAIN: hyperparameters beside the defaults: key=value;key=value. ref_model_params lists them.';
COMMENT ON COLUMN public.ml_jobs.train_model_type IS 'TRAIN: kind of model, see ref_model_types.';
COMMENT ON COLUMN public.ml_jobs.train_model_name IS 'TRAIN: name of the model; default: the model type and the job''s number, as in xgboost_job_12.';
COMMENT ON COLUMN public.ml_jobs.train_description IS 'TRAIN: free text for the model, at most 10000 characters.';
COMMENT ON COLUMN public.ml_jobs.train_test_size IS 'TRAIN: share of the rows to hold out for measuring; default 0.2.';
COMMENT ON COLUMN public.ml_jobs.train_random_state IS 'TRAIN: seed of everything random; default 42.';
COMMENT ON COLUMN public.ml_jobs.train_label IS 'TRAIN: kind of label, see ref_labels; default value. NULL before version 6: value.';
COMMENT ON COLUMN public.ml_jobs.train_base_var IS 'TRAIN: column of the source that a change is measured from; default: the target.';
COMMENT ON COLUMN public.ml_jobs.train_stop_value IS 'TRAIN: change in percent that must not come first; of the other sign than train_value.';
COMMENT ON COLUMN public.ml_jobs.train_source IS 'TRAIN: what it learns from, see ml_sources; default coin_metrics. NULL before version 7: coin_metrics.';
COMMENT ON COLUMN public.ml_jobs.train_threshold IS 'TRAIN: the model says yes where its probability is greater than this: a number between 0 and 1 (default 0.5), or what it is chosen by, on rows that are neither fitted nor measured: f1, mcc, precision>=0.8 (the highest recall with that precision) or recall>=0.8 (the highest precision with that recall). NULL before version 8: 0.5.';
COMMENT ON COLUMN public.ml_jobs.train_split IS 'TRAIN: what is held out: coins (whole coins; with few, the last part of the period; default), time (the last part of the period), coins_and_time (that part of coins that are not fitted). NULL before version 8: coins.';
COMMENT ON COLUMN public.ml_jobs.train_folds IS 'TRAIN: in how many later periods the recipe is measured besides (walk-forward), 2 to 20, see ml_folds; NULL or 0: none.';
COMMENT ON COLUMN public.ml_jobs.train_weights IS 'TRAIN: what a row weighs in the fit: none (all the same; default), uniqueness (less where labels overlap, see ml_training_runs.mean_uniqueness). NULL before version 8: none.';
COMMENT ON COLUMN public.ml_jobs.train_uncovered IS 'TRAIN: what rows are whose coin has no row where the window ends: leave_out (default) or negative.';
COMMENT ON COLUMN public.ml_jobs.train_future_minutes IS 'TRAIN: horizon of the label in minutes; NULL: the label is read in the same row.';
COMMENT ON COLUMN public.ml_jobs.result_model_id IS 'TRAIN: the model, once COMPLETED.';
