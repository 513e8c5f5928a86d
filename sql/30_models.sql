-- Models: the current state of each model that a job made or is making.
-- A user may rename, describe and soft-delete it; its life is that of the job that makes it (60_kind_train.sql).

SET search_path TO pg_catalog, pg_temp;

CREATE TABLE IF NOT EXISTS public.ml_models (
    id bigint GENERATED ALWAYS AS IDENTITY,
    name varchar(255) NOT NULL,
    model_type varchar(50) NOT NULL,
    status varchar(50) NOT NULL DEFAULT 'TRAINING',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    is_deleted boolean NOT NULL DEFAULT false,
    deleted_at timestamptz,
    target_variable varchar(100) NOT NULL,
    target_operator varchar(10) NOT NULL,
    target_value numeric NOT NULL,
    future_minutes integer,
    train_start timestamptz NOT NULL,
    train_end timestamptz NOT NULL,
    test_size numeric(3, 2) NOT NULL DEFAULT 0.2,
    random_state integer NOT NULL DEFAULT 42,
    features_csv text NOT NULL,
    phases_csv text,
    params_csv text,
    feature_importance_csv text,
    training_accuracy numeric(5, 4),
    training_f1 numeric(5, 4),
    training_precision numeric(5, 4),
    training_recall numeric(5, 4),
    model_file_path text,
    description text,
    train_job_id bigint,
    label varchar(50) NOT NULL DEFAULT 'value',
    base_variable varchar(100),
    stop_value numeric,
    uncovered varchar(10),
    source varchar(100) NOT NULL DEFAULT 'coin_metrics',
    threshold_rule text NOT NULL DEFAULT '0.5',
    threshold double precision DEFAULT 0.5,
    split varchar(20) NOT NULL DEFAULT 'coins',
    folds integer,
    weights varchar(20) NOT NULL DEFAULT 'none',
    CONSTRAINT ml_models_pkey PRIMARY KEY (id),
    CONSTRAINT ml_models_model_type_fkey FOREIGN KEY (model_type) REFERENCES public.ref_model_types (name),
    CONSTRAINT ml_models_label_fkey FOREIGN KEY (label) REFERENCES public.ref_labels (name),
    CONSTRAINT ml_models_uncovered_known CHECK (uncovered IN ('leave_out', 'negative')),
    CONSTRAINT ml_models_split_known CHECK (split IN ('coins', 'time', 'coins_and_time')),
    CONSTRAINT ml_models_folds_between_2_and_20 CHECK (folds BETWEEN 2 AND 20),
    CONSTRAINT ml_models_weights_known CHECK (weights IN ('none', 'uniqueness')),
    CONSTRAINT ml_models_train_job_id_unique UNIQUE (train_job_id),
    CONSTRAINT ml_models_name_not_blank CHECK (name ~ E'\\S'),
    CONSTRAINT ml_models_status_known CHECK (status IN ('TRAINING', 'READY', 'FAILED')),
    CONSTRAINT ml_models_start_before_end CHECK (train_start < train_end),
    CONSTRAINT ml_models_future_minutes_positive CHECK (future_minutes > 0),
    CONSTRAINT ml_models_test_size_between_0_and_1 CHECK (test_size > 0 AND test_size < 1),
    CONSTRAINT ml_models_deleted_has_time CHECK (is_deleted = (deleted_at IS NOT NULL)),
    CONSTRAINT ml_models_threshold_between_0_and_1 CHECK (threshold BETWEEN 0 AND 1),
    CONSTRAINT ml_models_ready_has_threshold CHECK (status <> 'READY' OR threshold IS NOT NULL),
    CONSTRAINT ml_models_ready_has_file CHECK (status <> 'READY' OR model_file_path IS NOT NULL),
    CONSTRAINT ml_models_metrics_between_0_and_1 CHECK (
        training_accuracy BETWEEN 0 AND 1
        AND training_f1 BETWEEN 0 AND 1
        AND training_precision BETWEEN 0 AND 1
        AND training_recall BETWEEN 0 AND 1
    )
);

CALL ml_internal.keep_constraint('public.ml_models', 'ml_models_operator_known', 'ml_internal.is_positive(target_operator, 0, 0) IS NOT NULL');

CREATE INDEX IF NOT EXISTS idx_models_status ON public.ml_models (status);
CREATE INDEX IF NOT EXISTS idx_models_created ON public.ml_models (created_at DESC);

-- A name belongs to one model at a time; a failed or deleted model gives it free.
CREATE UNIQUE INDEX IF NOT EXISTS ml_models_name_taken
ON public.ml_models (name)
WHERE NOT is_deleted AND status <> 'FAILED';

-- What a model predicts, in words.
CREATE OR REPLACE FUNCTION ml_internal.label_text(
    model public.ml_models
)
RETURNS text
LANGUAGE sql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ml_internal.label_text(
        model.label, model.target_variable, model.target_operator, model.target_value, model.future_minutes,
        model.base_variable, model.stop_value, model.uncovered
    ) || CASE WHEN model.source <> 'coin_metrics' THEN ', in ' || model.source ELSE '' END;
$$;

CREATE OR REPLACE FUNCTION ml_internal.keep_model_rules()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.is_deleted AND NEW.status = 'TRAINING' THEN
        RAISE EXCEPTION 'model % is being trained and cannot be deleted', OLD.id
            USING ERRCODE = 'ML002', TABLE = 'ml_models', COLUMN = 'is_deleted',
            HINT = format('Cancel its job first: CALL ml.cancel_job(%s);', OLD.train_job_id);
    END IF;
    IF NEW.is_deleted IS NULL THEN
        RAISE EXCEPTION 'is_deleted of model % cannot be NULL', OLD.id
            USING ERRCODE = 'not_null_violation', TABLE = 'ml_models', COLUMN = 'is_deleted',
            HINT = 'Set it to true to delete the model, to false to take it back.';
    END IF;
    IF NEW.name IS NULL OR NEW.name !~ '[^ ]' THEN
        RAISE EXCEPTION 'the name of model % cannot be blank', OLD.id
            USING ERRCODE = 'check_violation', TABLE = 'ml_models', COLUMN = 'name',
            HINT = 'Give it a name, or leave the old one.';
    END IF;
    -- Of what is new alone: older versions took any name, and such a model can still be deleted.
    IF NEW.name <> OLD.name OR (OLD.is_deleted AND NOT NEW.is_deleted) THEN
        CALL ml_internal.require_fit_name(NEW.name, 'ml_models', 'name');
    END IF;
    IF length(NEW.description) > 10000 AND NEW.description IS DISTINCT FROM OLD.description THEN
        RAISE EXCEPTION 'the description of model % has % characters', OLD.id, length(NEW.description)
            USING ERRCODE = 'check_violation', TABLE = 'ml_models', COLUMN = 'description',
            HINT = 'Describe the model in at most 10000 characters.';
    END IF;
    IF NOT NEW.is_deleted AND (NEW.name <> OLD.name OR OLD.is_deleted) THEN
        CALL ml_internal.reserve_name(NEW.name);
        CALL ml_internal.require_free_name(NEW.name, NEW.train_job_id);
    END IF;
    NEW.updated_at := now();
    NEW.deleted_at := CASE WHEN NEW.is_deleted THEN coalesce(OLD.deleted_at, now()) END;
    RETURN NEW;
END
$$;

-- A job that uses a model asks this when it is inserted and again when it is claimed.
CREATE OR REPLACE FUNCTION ml_internal.require_ready_model(
    p_model_id bigint
)
RETURNS public.ml_models
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
SET datestyle TO 'ISO, MDY'
AS $$
DECLARE
    v_model public.ml_models;
BEGIN
    SELECT * INTO v_model FROM public.ml_models m WHERE m.id = p_model_id;
    IF v_model.id IS NULL THEN
        RAISE EXCEPTION 'model % does not exist', p_model_id
            USING ERRCODE = 'foreign_key_violation', TABLE = 'ml_models',
            HINT = 'SELECT id, name FROM ml_leaderboard; lists the models that can be used.';
    ELSIF v_model.is_deleted THEN
        RAISE EXCEPTION 'model % ("%") was deleted on %', p_model_id, v_model.name, v_model.deleted_at
            USING ERRCODE = 'foreign_key_violation', TABLE = 'ml_models',
            HINT = format('Use another model, or take it back: UPDATE ml_models SET is_deleted = false WHERE id = %s;', p_model_id);
    ELSIF v_model.status <> 'READY' THEN
        RAISE EXCEPTION 'model % ("%") is %, not READY', p_model_id, v_model.name, v_model.status
            USING ERRCODE = 'foreign_key_violation', TABLE = 'ml_models',
            HINT = CASE v_model.status
                WHEN 'TRAINING' THEN format('Wait until job %s has trained it.', v_model.train_job_id)
                ELSE format('Its training failed; see error_msg of job %s. Use another model, or train a new one.', v_model.train_job_id)
            END;
    END IF;
    RETURN v_model;
END
$$;

-- And this, of the rows that it would be given.
CREATE OR REPLACE FUNCTION ml_internal.require_source_of_model(
    p_model public.ml_models,
    p_team integer
)
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM ml_internal.require_source(
        p_model.source, ml_internal.columns_of_model(p_model), p_model.phases_csv IS NOT NULL, ml_internal.role_of_team(p_team)
    );
END
$$;

-- The columns of its source that a model needs.
CREATE OR REPLACE FUNCTION ml_internal.columns_of_model(
    model public.ml_models
)
RETURNS text []
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT array_remove(
            ARRAY[model.target_variable::text, nullif(model.base_variable, model.target_variable)::text] || string_to_array(model.features_csv, ','), NULL
        )
    );
END
$$;

-- The living model of a name, else the last one that had it: whoever uses it then reads why it cannot be used.
-- A number is understood as well, because some clients bind every value as text.
CREATE OR REPLACE FUNCTION ml_internal.find_model(
    p_name text
)
RETURNS bigint
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_id bigint;
BEGIN
    SELECT m.id INTO v_id
    FROM public.ml_models m
    WHERE m.name = p_name OR m.id = CASE WHEN p_name ~ '^[0-9]{1,18}$' THEN p_name::bigint END
    ORDER BY m.name = p_name DESC, m.is_deleted OR m.status = 'FAILED', m.id DESC
    LIMIT 1;
    IF v_id IS NULL THEN
        RAISE EXCEPTION 'no model is named %', coalesce(quote_literal(left(p_name, 255)), 'NULL')
            USING ERRCODE = 'no_data_found', TABLE = 'ml_models',
            HINT = ml_internal.suggest_names(p_name, ARRAY(
                SELECT m.name::text
                FROM public.ml_models m
                WHERE m.status = 'READY' AND NOT m.is_deleted
                ORDER BY m.id DESC
                LIMIT 1000
            ), 'SELECT id, name FROM ml_leaderboard; lists the models that can be used.');
    END IF;
    RETURN v_id;
END
$$;

CREATE OR REPLACE TRIGGER ml_models_10_owned_columns
BEFORE UPDATE ON public.ml_models
FOR EACH ROW EXECUTE FUNCTION ml_internal.keep_owned_columns('name', 'description', 'is_deleted');

CREATE OR REPLACE TRIGGER ml_models_30_rules
BEFORE UPDATE ON public.ml_models
FOR EACH ROW EXECUTE FUNCTION ml_internal.keep_model_rules();

COMMENT ON FUNCTION ml_internal.keep_model_rules() IS 'Trigger: legal changes of a model, its updated_at and deleted_at.';
COMMENT ON FUNCTION ml_internal.require_ready_model(bigint) IS 'The model, or an error that says why it cannot be used: missing, deleted or not READY.';
COMMENT ON FUNCTION ml_internal.find_model(text) IS 'Id of the model with this name (or with this number), or an error that says how to find one.';
COMMENT ON TABLE public.ml_models IS 'Every model: what it predicts, what it was trained on, how well it did on rows it had not seen.';
COMMENT ON COLUMN public.ml_models.id IS 'Number of the model.';
COMMENT ON COLUMN public.ml_models.name IS 'Name of the model; unique among the models that are neither deleted nor failed.';
COMMENT ON COLUMN public.ml_models.model_type IS 'Kind of model, see ref_model_types.';
COMMENT ON COLUMN public.ml_models.status IS 'TRAINING, READY or FAILED.';
COMMENT ON COLUMN public.ml_models.created_at IS 'When its training was first claimed.';
COMMENT ON COLUMN public.ml_models.updated_at IS 'When the row was last changed.';
COMMENT ON COLUMN public.ml_models.is_deleted IS 'Soft delete: set it to true to delete the model, to false to take it back.';
COMMENT ON COLUMN public.ml_models.deleted_at IS 'When it was deleted.';
COMMENT ON FUNCTION ml_internal.require_source_of_model(public.ml_models, integer) IS 'Refuses a model whose source cannot be read, or not by the role of this team.';
COMMENT ON FUNCTION ml_internal.columns_of_model(public.ml_models) IS 'Columns of its source that a model needs: target, base and features.';
COMMENT ON FUNCTION ml_internal.label_text(public.ml_models) IS 'What a model predicts, in words.';
COMMENT ON COLUMN public.ml_models.label IS 'Kind of label, see ref_labels.';
COMMENT ON COLUMN public.ml_models.base_variable IS 'Column of its source that a change is measured from; NULL: the label is no change.';
COMMENT ON COLUMN public.ml_models.stop_value IS 'Change in percent that must not come before target_value; NULL: the label has no stop.';
COMMENT ON COLUMN public.ml_models.source IS 'Source of the rows that it learns from and is tested on, see ml_sources; a source that was removed is named all the same.';
COMMENT ON COLUMN public.ml_models.threshold_rule IS 'How the threshold was to be found, see ml_jobs.train_threshold.';
COMMENT ON COLUMN public.ml_models.threshold IS 'The model says yes to a row where its probability is greater than this; NULL: not chosen yet. 0.5 for models of before version 8.';
COMMENT ON COLUMN public.ml_models.uncovered IS 'What rows are whose coin has no row where the window ends: leave_out or negative; NULL: there is no horizon.';
COMMENT ON COLUMN public.ml_models.split IS 'What was asked to be held out, see ml_jobs.train_split; ml_training_runs.holdout says what was.';
COMMENT ON COLUMN public.ml_models.folds IS 'In how many later periods its recipe was measured besides, see ml_folds; NULL: none.';
COMMENT ON COLUMN public.ml_models.weights IS 'What a row weighed in the fit, see ml_jobs.train_weights.';
COMMENT ON COLUMN public.ml_models.target_variable IS 'Column of its source that the label is read from.';
COMMENT ON COLUMN public.ml_models.target_operator IS 'Comparison of the label, see ml_jobs.train_operator.';
COMMENT ON COLUMN public.ml_models.target_value IS 'Threshold of the label, in percent where it is a change.';
COMMENT ON COLUMN public.ml_models.future_minutes IS 'Horizon of the label in minutes; NULL: the label is read in the same row as the features.';
COMMENT ON COLUMN public.ml_models.train_start IS 'First moment of the training period.';
COMMENT ON COLUMN public.ml_models.train_end IS 'First moment after the training period.';
COMMENT ON COLUMN public.ml_models.test_size IS 'Share of the rows that was held out to measure training_*.';
COMMENT ON COLUMN public.ml_models.random_state IS 'Seed of everything random in the training.';
COMMENT ON COLUMN public.ml_models.features_csv IS 'Columns of its source that the model sees: a,b,c. ml_model_features has them as rows.';
COMMENT ON COLUMN public.ml_models.phases_csv IS 'Phases of the rows used: 1,2,3; NULL: all.';
COMMENT ON COLUMN public.ml_models.params_csv IS 'Hyperparameters really used: key=value;key=value. ml_model_params has them as rows.';
COMMENT ON COLUMN public.ml_models.feature_importance_csv IS 'Permutation importance on the held-out rows, summing to 1: key=value;key=value; NULL where no feature had any.';
COMMENT ON COLUMN public.ml_models.training_accuracy IS 'Share of the held-out rows predicted right.';
COMMENT ON COLUMN public.ml_models.training_f1 IS 'Harmonic mean of precision and recall on the held-out rows; NULL where undefined.';
COMMENT ON COLUMN public.ml_models.training_precision IS 'Share of the positive predictions that were right, on the held-out rows; NULL where there was none.';
COMMENT ON COLUMN public.ml_models.training_recall IS 'Share of the positive rows that were found, on the held-out rows; NULL where there was none.';
COMMENT ON COLUMN public.ml_models.model_file_path IS 'File of the model (.pkl) as the worker wrote it; ml_training_runs has its SHA-256.';
COMMENT ON COLUMN public.ml_models.description IS 'Free text of the user, at most 10000 characters.';
COMMENT ON COLUMN public.ml_models.train_job_id IS 'Job that makes or made it.';
