-- The schema of version 1, for the test that an upgraded database equals a fresh one: the files of sql/ at that
-- version, one after another.

-- The schema of the routines and the version of this database.
-- A database that is newer than these files is refused here, before anything is touched;
-- 99_version.sql records the version once all the files between have been applied.

SET search_path TO pg_catalog, pg_temp;

CREATE SCHEMA IF NOT EXISTS ml;

CREATE TABLE IF NOT EXISTS ml.schema_version (
    version integer NOT NULL,
    installed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT schema_version_pkey PRIMARY KEY (version),
    CONSTRAINT schema_version_positive CHECK (version > 0)
);

DO $$
BEGIN
    IF EXISTS (SELECT FROM ml.schema_version v WHERE v.version > 1) THEN
        RAISE EXCEPTION 'this database has schema version %, these files are version 1',
            (SELECT max(v.version) FROM ml.schema_version v)
            USING ERRCODE = 'ML005', HINT = 'Use the release that installed the newer version, or one after it.';
    END IF;
END
$$;

COMMENT ON SCHEMA ml IS 'Routines of the ML training service; \df ml.* lists them. The tables are in public.';
COMMENT ON TABLE ml.schema_version IS 'Versions of the ML service schema that were installed here; the highest is the present one.';
COMMENT ON COLUMN ml.schema_version.version IS 'Version number, from 1.';
COMMENT ON COLUMN ml.schema_version.installed_at IS 'When this version was installed.';

-- Facts are inserted and never changed: the trigger that every fact table shares.

SET search_path TO pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION ml.refuse_change_of_fact()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'ML003', TABLE = TG_TABLE_NAME,
        HINT = 'Facts are inserted by the worker''s procedures and stay as they are.';
END
$$;

COMMENT ON FUNCTION ml.refuse_change_of_fact() IS 'Trigger: refuses UPDATE, DELETE and TRUNCATE on a fact table.';

-- The source data: one row a coin and moment, and the phases of a coin's life.
-- Both belong to the user's own collectors: created only where missing, never altered.

SET search_path TO pg_catalog, pg_temp;

DO $$
BEGIN
    IF to_regclass('public.ref_coin_phases') IS NULL THEN
        CREATE TABLE public.ref_coin_phases (
            id integer NOT NULL,
            name varchar(50) NOT NULL,
            interval_seconds integer,
            max_age_minutes integer,
            CONSTRAINT ref_coin_phases_pkey PRIMARY KEY (id),
            CONSTRAINT ref_coin_phases_name_unique UNIQUE (name)
        );
        INSERT INTO public.ref_coin_phases (id, name, interval_seconds, max_age_minutes)
        VALUES
            (1, 'Baby Zone', 5, 10),
            (2, 'Survival Zone', 30, 60),
            (3, 'Mature Zone', 60, 1440),
            (99, 'Finished', NULL, NULL);
        COMMENT ON TABLE public.ref_coin_phases IS 'Phases of a coin''s life, by its age.';
        COMMENT ON COLUMN public.ref_coin_phases.id IS 'Phase number, as in coin_metrics.phase_id_at_time and in phases_csv.';
        COMMENT ON COLUMN public.ref_coin_phases.name IS 'Name of the phase.';
        COMMENT ON COLUMN public.ref_coin_phases.interval_seconds IS 'Seconds between two rows of a coin in this phase.';
        COMMENT ON COLUMN public.ref_coin_phases.max_age_minutes IS 'Age in minutes at which the phase ends.';
    END IF;

    IF to_regclass('public.coin_metrics') IS NULL THEN
        CREATE TABLE public.coin_metrics (
            mint varchar(255) NOT NULL,
            "timestamp" timestamptz NOT NULL,
            phase_id_at_time integer,
            price_open numeric,
            price_high numeric,
            price_low numeric,
            price_close numeric,
            market_cap_close numeric,
            bonding_curve_pct numeric,
            virtual_sol_reserves numeric,
            is_koth boolean,
            volume_sol numeric,
            buy_volume_sol numeric,
            sell_volume_sol numeric,
            num_buys integer,
            num_sells integer,
            unique_wallets integer,
            num_micro_trades integer,
            dev_sold_amount numeric,
            max_single_buy_sol numeric,
            max_single_sell_sol numeric,
            net_volume_sol numeric,
            volatility_pct numeric,
            avg_trade_size_sol numeric,
            whale_buy_volume_sol numeric,
            whale_sell_volume_sol numeric,
            num_whale_buys integer,
            num_whale_sells integer,
            buy_pressure_ratio numeric,
            unique_signer_ratio numeric,
            CONSTRAINT coin_metrics_pkey PRIMARY KEY (mint, "timestamp")
        );
        CREATE INDEX coin_metrics_timestamp ON public.coin_metrics ("timestamp");
        COMMENT ON TABLE public.coin_metrics IS 'Time series of the coins: one row a coin and moment. NULL means unknown, not zero.';
        COMMENT ON COLUMN public.coin_metrics.mint IS 'The coin.';
        COMMENT ON COLUMN public.coin_metrics."timestamp" IS 'When the interval of this row ends.';
        COMMENT ON COLUMN public.coin_metrics.phase_id_at_time IS 'Phase of the coin at that time, see ref_coin_phases.';
        COMMENT ON COLUMN public.coin_metrics.price_open IS 'First price of the interval.';
        COMMENT ON COLUMN public.coin_metrics.price_high IS 'Highest price of the interval.';
        COMMENT ON COLUMN public.coin_metrics.price_low IS 'Lowest price of the interval.';
        COMMENT ON COLUMN public.coin_metrics.price_close IS 'Last price of the interval.';
        COMMENT ON COLUMN public.coin_metrics.market_cap_close IS 'Market capitalisation at the last price.';
        COMMENT ON COLUMN public.coin_metrics.bonding_curve_pct IS 'Filled share of the bonding curve, percent.';
        COMMENT ON COLUMN public.coin_metrics.virtual_sol_reserves IS 'Virtual reserves of the bonding curve, SOL.';
        COMMENT ON COLUMN public.coin_metrics.is_koth IS 'Whether the coin is king of the hill.';
        COMMENT ON COLUMN public.coin_metrics.volume_sol IS 'Traded volume, SOL.';
        COMMENT ON COLUMN public.coin_metrics.buy_volume_sol IS 'Bought volume, SOL.';
        COMMENT ON COLUMN public.coin_metrics.sell_volume_sol IS 'Sold volume, SOL.';
        COMMENT ON COLUMN public.coin_metrics.num_buys IS 'Number of buys.';
        COMMENT ON COLUMN public.coin_metrics.num_sells IS 'Number of sells.';
        COMMENT ON COLUMN public.coin_metrics.unique_wallets IS 'Number of different wallets that traded.';
        COMMENT ON COLUMN public.coin_metrics.num_micro_trades IS 'Number of very small trades.';
        COMMENT ON COLUMN public.coin_metrics.dev_sold_amount IS 'Amount that the coin''s maker sold, SOL.';
        COMMENT ON COLUMN public.coin_metrics.max_single_buy_sol IS 'Largest single buy, SOL.';
        COMMENT ON COLUMN public.coin_metrics.max_single_sell_sol IS 'Largest single sell, SOL.';
        COMMENT ON COLUMN public.coin_metrics.net_volume_sol IS 'Bought minus sold volume, SOL.';
        COMMENT ON COLUMN public.coin_metrics.volatility_pct IS 'Range of the price within the interval, percent.';
        COMMENT ON COLUMN public.coin_metrics.avg_trade_size_sol IS 'Mean size of a trade, SOL.';
        COMMENT ON COLUMN public.coin_metrics.whale_buy_volume_sol IS 'Volume of very large buys, SOL.';
        COMMENT ON COLUMN public.coin_metrics.whale_sell_volume_sol IS 'Volume of very large sells, SOL.';
        COMMENT ON COLUMN public.coin_metrics.num_whale_buys IS 'Number of very large buys.';
        COMMENT ON COLUMN public.coin_metrics.num_whale_sells IS 'Number of very large sells.';
        COMMENT ON COLUMN public.coin_metrics.buy_pressure_ratio IS 'Bought volume by traded volume, 0 to 1.';
        COMMENT ON COLUMN public.coin_metrics.unique_signer_ratio IS 'Different signers by number of trades, 0 to 1.';
    END IF;
END
$$;

CREATE OR REPLACE VIEW public.ml_metric_columns WITH (security_invoker = true) AS
SELECT
    a.attname::text AS column_name,
    pg_catalog.format_type(a.atttypid, a.atttypmod) AS data_type,
    coalesce(nullif(t.typbasetype, 0), t.oid) IN (
        'int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'float4'::regtype, 'float8'::regtype, 'numeric'::regtype
    ) AS is_numeric
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = 'public.coin_metrics'::regclass
    AND a.attnum > 0
    AND NOT a.attisdropped
ORDER BY a.attnum;

COMMENT ON VIEW public.ml_metric_columns IS 'Columns of coin_metrics as they are now; the numeric ones can be features and targets.';
COMMENT ON COLUMN public.ml_metric_columns.column_name IS 'Name of the column, as in features_csv.';
COMMENT ON COLUMN public.ml_metric_columns.data_type IS 'SQL type of the column.';
COMMENT ON COLUMN public.ml_metric_columns.is_numeric IS 'Whether it can be a feature or a target.';

-- Text lists: "a,b,c" and "key=value;key=value" read as rows, and names suggested for a typo.

SET search_path TO pg_catalog, pg_temp;

-- As the user may have typed it, over several lines; NULL where nothing is left.
CREATE OR REPLACE FUNCTION ml.tidy_list(
    p_csv text
)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT nullif(regexp_replace(regexp_replace(p_csv, '^\s+|\s+$', '', 'g'), '\s*([,;=])\s*', '\1', 'g'), '');
$$;

CREATE OR REPLACE FUNCTION ml.list_items(
    p_csv text
)
RETURNS TABLE (
    item text,
    place bigint
)
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT btrim(i.item), i.place
    FROM string_to_table(p_csv, ',') WITH ORDINALITY AS i (item, place);
$$;

CREATE OR REPLACE FUNCTION ml.param_items(
    p_csv text
)
RETURNS TABLE (
    item text,
    name text,
    value text,
    place bigint
)
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT
        btrim(i.item),
        btrim(substring(i.item FROM '^([^=]*)=')),
        btrim(substring(i.item FROM '=(.*)$')),
        i.place
    FROM string_to_table(p_csv, ';') WITH ORDINALITY AS i (item, place);
$$;

CREATE OR REPLACE FUNCTION ml.merge_params(
    p_defaults_csv text,
    p_own_csv text
)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT string_agg(
        coalesce(d.name, o.name) || '=' || coalesce(o.value, d.value), ';'
        ORDER BY d.place NULLS LAST, o.place
    )
    FROM ml.param_items(p_defaults_csv) d
    FULL JOIN ml.param_items(p_own_csv) o ON o.name = d.name;
$$;

-- Names that share at least two fifths of their letter pairs with the unknown one (Dice's coefficient),
-- the nearest first; all that are allowed where none is near.
CREATE OR REPLACE FUNCTION ml.suggest_names(
    p_unknown text,
    p_allowed text []
)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    WITH scored AS (
        SELECT
            n.name,
            n.place,
            2.0 * (
                SELECT count(*)
                FROM (
                    SELECT substr(lower(n.name), i, 2) FROM generate_series(1, length(n.name) - 1) i
                    INTERSECT
                    SELECT substr(lower(left(p_unknown, 100)), i, 2) FROM generate_series(1, length(left(p_unknown, 100)) - 1) i
                ) pairs
            ) / greatest(length(n.name) + length(left(p_unknown, 100)) - 2, 1) AS score
        FROM unnest(p_allowed) WITH ORDINALITY AS n (name, place)
    ),
    near AS (
        SELECT s.name, s.score, s.place FROM scored s WHERE s.score >= 0.4 ORDER BY s.score DESC, s.place LIMIT 3
    )
    SELECT coalesce(
        (SELECT 'Did you mean ' || string_agg(near.name, ', ' ORDER BY near.score DESC, near.place) || '?' FROM near),
        'Allowed: ' || array_to_string(p_allowed, ', ') || '.'
    );
$$;

COMMENT ON FUNCTION ml.tidy_list(text) IS 'A list without the blanks around its separators; NULL if it is empty.';
COMMENT ON FUNCTION ml.list_items(text) IS 'Items of a list "a,b,c" as rows, trimmed, with their place from 1.';
COMMENT ON FUNCTION ml.param_items(text) IS 'Items of a list "key=value;key=value" as rows, trimmed, with their place from 1; name is NULL where there is no "=".';
COMMENT ON FUNCTION ml.merge_params(text, text) IS 'Hyperparameters that a fit uses: the defaults with the job''s own on top.';
COMMENT ON FUNCTION ml.suggest_names(text, text []) IS 'Text of a HINT for an unknown name: the nearest allowed names, or all of them.';

-- The model types that can be trained, with their default hyperparameters,
-- and every hyperparameter of each type with its kind and bounds.

SET search_path TO pg_catalog, pg_temp;

CREATE TABLE IF NOT EXISTS public.ref_model_types (
    id integer NOT NULL,
    name varchar(50) NOT NULL,
    description text NOT NULL,
    default_params_csv text NOT NULL,
    CONSTRAINT ref_model_types_pkey PRIMARY KEY (id),
    CONSTRAINT ref_model_types_name_unique UNIQUE (name)
);

CREATE TABLE IF NOT EXISTS public.ref_model_params (
    model_type varchar(50) NOT NULL,
    name varchar(50) NOT NULL,
    kind varchar(10) NOT NULL,
    min_value numeric,
    max_value numeric,
    choices_csv text,
    default_value text NOT NULL,
    description text NOT NULL,
    CONSTRAINT ref_model_params_pkey PRIMARY KEY (model_type, name),
    CONSTRAINT ref_model_params_model_type_fkey FOREIGN KEY (model_type) REFERENCES public.ref_model_types (name),
    CONSTRAINT ref_model_params_kind_known CHECK (kind IN ('integer', 'number', 'boolean', 'choice', 'layers')),
    CONSTRAINT ref_model_params_numbers_have_bounds CHECK (
        (kind IN ('integer', 'number', 'layers')) = (min_value IS NOT NULL AND max_value IS NOT NULL)
    ),
    CONSTRAINT ref_model_params_min_below_max CHECK (min_value <= max_value),
    CONSTRAINT ref_model_params_choice_has_choices CHECK (kind <> 'choice' OR choices_csv IS NOT NULL)
);

INSERT INTO public.ref_model_types (id, name, description, default_params_csv)
VALUES
    (1, 'random_forest', 'Good for beginners, robust', 'n_estimators=100;max_depth=10;min_samples_split=2'),
    (2, 'xgboost', 'Very strong, wants tuning', 'n_estimators=100;max_depth=6;learning_rate=0.1'),
    (3, 'gradient_boosting', 'Similar to xgboost', 'n_estimators=100;max_depth=3;learning_rate=0.1'),
    (4, 'logistic_regression', 'Simple, fast, easy to interpret', 'C=1.0;max_iter=100'),
    (5, 'neural_network', 'Complex, needs much data', 'hidden_layers=100,50;activation=relu;max_iter=200')
ON CONFLICT DO NOTHING;

INSERT INTO public.ref_model_params (model_type, name, kind, min_value, max_value, choices_csv, default_value, description)
VALUES
    ('random_forest', 'n_estimators', 'integer', 1, 10000, NULL, '100', 'Number of trees'),
    ('random_forest', 'max_depth', 'integer', 1, 1000, 'none', '10', 'Largest depth of a tree; none: no limit'),
    ('random_forest', 'min_samples_split', 'integer', 2, 1000000, NULL, '2', 'Rows that a node needs to be split'),
    ('random_forest', 'min_samples_leaf', 'integer', 1, 1000000, NULL, '1', 'Rows that a leaf must keep'),
    ('random_forest', 'max_features', 'number', 0.01, 1, 'sqrt,log2', 'sqrt', 'Features tried at a split: a share of all, or sqrt or log2 of their number'),
    ('random_forest', 'max_leaf_nodes', 'integer', 2, 1000000, 'none', 'none', 'Largest number of leaves of a tree; none: no limit'),
    ('random_forest', 'criterion', 'choice', NULL, NULL, 'gini,entropy,log_loss', 'gini', 'Measure of the quality of a split'),
    ('random_forest', 'bootstrap', 'boolean', NULL, NULL, NULL, 'true', 'Whether each tree sees a random draw of the rows'),
    ('random_forest', 'class_weight', 'choice', NULL, NULL, 'none,balanced,balanced_subsample', 'none', 'balanced: a rare class weighs as much as a frequent one'),
    ('xgboost', 'n_estimators', 'integer', 1, 10000, NULL, '100', 'Number of trees'),
    ('xgboost', 'max_depth', 'integer', 0, 100, NULL, '6', 'Largest depth of a tree; 0: no limit'),
    ('xgboost', 'learning_rate', 'number', 0.0001, 1, NULL, '0.1', 'Shrinkage of each tree''s step'),
    ('xgboost', 'subsample', 'number', 0.01, 1, NULL, '1', 'Share of the rows that a tree sees'),
    ('xgboost', 'colsample_bytree', 'number', 0.01, 1, NULL, '1', 'Share of the features that a tree sees'),
    ('xgboost', 'min_child_weight', 'number', 0, 1000000, NULL, '1', 'Least weight (hessian) of a leaf'),
    ('xgboost', 'gamma', 'number', 0, 1000000, NULL, '0', 'Least gain of a split'),
    ('xgboost', 'reg_alpha', 'number', 0, 1000000, NULL, '0', 'L1 penalty on the leaves'),
    ('xgboost', 'reg_lambda', 'number', 0, 1000000, NULL, '1', 'L2 penalty on the leaves'),
    ('xgboost', 'scale_pos_weight', 'number', 0.000001, 1000000, NULL, '1', 'Weight of a positive row'),
    ('xgboost', 'max_bin', 'integer', 2, 4096, NULL, '256', 'Histogram bins a feature'),
    ('xgboost', 'grow_policy', 'choice', NULL, NULL, 'depthwise,lossguide', 'depthwise', 'Order in which nodes are split'),
    ('gradient_boosting', 'n_estimators', 'integer', 1, 10000, NULL, '100', 'Number of trees'),
    ('gradient_boosting', 'max_depth', 'integer', 1, 1000, 'none', '3', 'Largest depth of a tree; none: no limit'),
    ('gradient_boosting', 'learning_rate', 'number', 0.0001, 1, NULL, '0.1', 'Shrinkage of each tree''s step'),
    ('gradient_boosting', 'max_leaf_nodes', 'integer', 2, 10000, 'none', '31', 'Largest number of leaves of a tree; none: no limit'),
    ('gradient_boosting', 'min_samples_leaf', 'integer', 1, 1000000, NULL, '20', 'Rows that a leaf must keep'),
    ('gradient_boosting', 'l2_regularization', 'number', 0, 1000000, NULL, '0', 'L2 penalty on the leaves'),
    ('gradient_boosting', 'max_features', 'number', 0.01, 1, NULL, '1', 'Share of the features tried at a split'),
    ('gradient_boosting', 'max_bins', 'integer', 2, 255, NULL, '255', 'Histogram bins a feature'),
    ('gradient_boosting', 'class_weight', 'choice', NULL, NULL, 'none,balanced', 'none', 'balanced: a rare class weighs as much as a frequent one'),
    ('logistic_regression', 'C', 'number', 0.000001, 1000000, NULL, '1.0', 'Inverse of the penalty''s strength'),
    ('logistic_regression', 'max_iter', 'integer', 1, 100000, NULL, '100', 'Largest number of iterations'),
    ('logistic_regression', 'tol', 'number', 0.0000001, 1, NULL, '0.0001', 'Change at which the fit has converged'),
    ('logistic_regression', 'solver', 'choice', NULL, NULL, 'lbfgs,newton-cholesky,sag,saga', 'lbfgs', 'Algorithm of the fit'),
    ('logistic_regression', 'fit_intercept', 'boolean', NULL, NULL, NULL, 'true', 'Whether the model has a constant term'),
    ('logistic_regression', 'class_weight', 'choice', NULL, NULL, 'none,balanced', 'none', 'balanced: a rare class weighs as much as a frequent one'),
    ('neural_network', 'hidden_layers', 'layers', 1, 1024, NULL, '100,50', 'Units of each hidden layer, at most 10 layers'),
    ('neural_network', 'activation', 'choice', NULL, NULL, 'identity,logistic,tanh,relu', 'relu', 'Activation of the hidden units'),
    ('neural_network', 'max_iter', 'integer', 1, 10000, NULL, '200', 'Largest number of epochs'),
    ('neural_network', 'solver', 'choice', NULL, NULL, 'adam,sgd', 'adam', 'Algorithm of the fit'),
    ('neural_network', 'alpha', 'number', 0, 1000, NULL, '0.0001', 'L2 penalty on the weights'),
    ('neural_network', 'learning_rate_init', 'number', 0.000001, 1, NULL, '0.001', 'Step of the first epoch'),
    ('neural_network', 'batch_size', 'integer', 1, 1000000, 'auto', 'auto', 'Rows a step; auto: 200, or all where there are fewer'),
    ('neural_network', 'tol', 'number', 0.0000001, 1, NULL, '0.0001', 'Least improvement of the loss that counts'),
    ('neural_network', 'n_iter_no_change', 'integer', 1, 10000, NULL, '10', 'Epochs without such improvement that end the fit')
ON CONFLICT DO NOTHING;

COMMENT ON TABLE public.ref_model_types IS 'Model types that can be trained, with the hyperparameters that a job starts from.';
COMMENT ON COLUMN public.ref_model_types.id IS 'Number of the type.';
COMMENT ON COLUMN public.ref_model_types.name IS 'Name of the type, as in ml_jobs.train_model_type.';
COMMENT ON COLUMN public.ref_model_types.description IS 'What the type is good for.';
COMMENT ON COLUMN public.ref_model_types.default_params_csv IS 'Default hyperparameters, key=value;key=value.';
COMMENT ON TABLE public.ref_model_params IS 'Every hyperparameter of every model type: what train_params_csv may contain.';
COMMENT ON COLUMN public.ref_model_params.model_type IS 'Model type that has the hyperparameter.';
COMMENT ON COLUMN public.ref_model_params.name IS 'Name of the hyperparameter.';
COMMENT ON COLUMN public.ref_model_params.kind IS 'integer, number, boolean (true or false), choice, or layers (integers separated by commas).';
COMMENT ON COLUMN public.ref_model_params.min_value IS 'Smallest value allowed.';
COMMENT ON COLUMN public.ref_model_params.max_value IS 'Largest value allowed.';
COMMENT ON COLUMN public.ref_model_params.choices_csv IS 'Words allowed; beside the numbers where there are bounds as well.';
COMMENT ON COLUMN public.ref_model_params.default_value IS 'Value that is used where neither the job nor ref_model_types names one.';
COMMENT ON COLUMN public.ref_model_params.description IS 'What it does.';

-- Models: the current state of each model that a TRAIN job made or is making.
-- Triggers alone change state and results; a user may rename, describe and soft-delete.

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
    CONSTRAINT ml_models_pkey PRIMARY KEY (id),
    CONSTRAINT ml_models_model_type_fkey FOREIGN KEY (model_type) REFERENCES public.ref_model_types (name),
    CONSTRAINT ml_models_train_job_id_unique UNIQUE (train_job_id),
    CONSTRAINT ml_models_name_not_blank CHECK (name ~ '\S'),
    CONSTRAINT ml_models_status_known CHECK (status IN ('TRAINING', 'READY', 'FAILED')),
    CONSTRAINT ml_models_operator_known CHECK (target_operator IN ('>', '<', '>=', '<=', '=', '!=')),
    CONSTRAINT ml_models_start_before_end CHECK (train_start < train_end),
    CONSTRAINT ml_models_future_minutes_positive CHECK (future_minutes > 0),
    CONSTRAINT ml_models_test_size_between_0_and_1 CHECK (test_size > 0 AND test_size < 1),
    CONSTRAINT ml_models_deleted_has_time CHECK (is_deleted = (deleted_at IS NOT NULL)),
    CONSTRAINT ml_models_ready_has_file CHECK (status <> 'READY' OR model_file_path IS NOT NULL),
    CONSTRAINT ml_models_metrics_between_0_and_1 CHECK (
        training_accuracy BETWEEN 0 AND 1
        AND training_f1 BETWEEN 0 AND 1
        AND training_precision BETWEEN 0 AND 1
        AND training_recall BETWEEN 0 AND 1
    )
);

CREATE INDEX IF NOT EXISTS idx_models_status ON public.ml_models (status);
CREATE INDEX IF NOT EXISTS idx_models_created ON public.ml_models (created_at DESC);

-- A name belongs to one model at a time; a failed or deleted model gives it free.
CREATE UNIQUE INDEX IF NOT EXISTS ml_models_name_taken
ON public.ml_models (name)
WHERE NOT is_deleted AND status <> 'FAILED';

CREATE OR REPLACE FUNCTION ml.keep_model_rules()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    -- A training run makes a model READY, the end of its job makes it FAILED, and both are final.
    IF NEW.status <> OLD.status
        AND NOT (OLD.status = 'TRAINING' AND NEW.status = 'READY' AND EXISTS (
            SELECT FROM public.ml_training_runs r WHERE r.model_id = OLD.id
        ))
        AND NOT (OLD.status = 'TRAINING' AND NEW.status = 'FAILED' AND EXISTS (
            SELECT FROM public.ml_job_events e WHERE e.job_id = OLD.train_job_id AND e.event IN ('FAILED', 'CANCELLED')
        ))
    THEN
        RAISE EXCEPTION 'model % cannot go from % to %', OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'ML002', TABLE = 'ml_models', COLUMN = 'status',
            HINT = 'READY and FAILED are final, and a TRAIN job alone sets them; train another model with a new TRAIN job.';
    END IF;
    IF NEW.is_deleted AND NEW.status = 'TRAINING' THEN
        RAISE EXCEPTION 'model % is being trained and cannot be deleted', OLD.id
            USING ERRCODE = 'ML002', TABLE = 'ml_models', COLUMN = 'is_deleted',
            HINT = format('Cancel its job first: CALL ml.cancel_job(%s);', OLD.train_job_id);
    END IF;
    IF NEW.name !~ '\S' THEN
        RAISE EXCEPTION 'the name of a model cannot be blank'
            USING ERRCODE = 'check_violation', TABLE = 'ml_models', COLUMN = 'name',
            HINT = 'Give it a name, or leave the old one.';
    END IF;
    IF NOT NEW.is_deleted AND (NEW.name <> OLD.name OR OLD.is_deleted) THEN
        CALL ml.reserve_name(NEW.name);
        CALL ml.require_free_name(NEW.name, NEW.train_job_id);
    END IF;
    NEW.updated_at := now();
    NEW.deleted_at := CASE WHEN NEW.is_deleted THEN coalesce(OLD.deleted_at, now()) END;
    RETURN NEW;
END
$$;

-- Whoever is about to take a name waits for whoever was first, and then reads the good message of require_free_name.
CREATE OR REPLACE PROCEDURE ml.reserve_name(
    p_name text
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    -- A thousand locks stand for all names: a sweep of many named jobs must not fill the table of locks.
    PERFORM pg_advisory_xact_lock(hashtext('ml_models.name'), hashtext(p_name) % 1000);
END
$$;

-- Asked when a job is inserted, when it is claimed, and when a model is renamed or undeleted;
-- the unique indexes hold in any race.
CREATE OR REPLACE PROCEDURE ml.require_free_name(
    p_name text,
    p_for_job_id bigint DEFAULT NULL
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_owner text := coalesce(
        (
            SELECT 'model ' || m.id
            FROM public.ml_models m
            WHERE m.name = p_name AND NOT m.is_deleted AND m.status <> 'FAILED'
                AND m.train_job_id IS DISTINCT FROM p_for_job_id
        ),
        (
            SELECT 'job ' || j.id
            FROM public.ml_jobs j
            WHERE j.train_model_name = p_name AND j.completed_at IS NULL
                AND j.id IS DISTINCT FROM p_for_job_id
        )
    );
BEGIN
    IF v_owner IS NOT NULL THEN
        RAISE EXCEPTION 'the model name "%" is taken by %', p_name, v_owner
            USING ERRCODE = 'unique_violation', TABLE = 'ml_models', COLUMN = 'name', CONSTRAINT = 'ml_models_name_taken',
            HINT = 'Choose another name, or free it: rename or delete the model, or cancel the job.';
    END IF;
END
$$;

-- A TEST or COMPARE asks this when it is inserted and again when it is claimed.
CREATE OR REPLACE FUNCTION ml.require_ready_model(
    p_model_id bigint
)
RETURNS public.ml_models
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
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
                ELSE format('Its training failed; see error_msg of job %s.', v_model.train_job_id)
            END;
    END IF;
    RETURN v_model;
END
$$;

CREATE OR REPLACE TRIGGER ml_models_keep_rules
BEFORE UPDATE ON public.ml_models
FOR EACH ROW EXECUTE FUNCTION ml.keep_model_rules();

COMMENT ON FUNCTION ml.keep_model_rules() IS 'Trigger: legal changes of a model, its updated_at and deleted_at.';
COMMENT ON PROCEDURE ml.reserve_name(text) IS 'Makes two transactions that want the same model name wait for each other.';
COMMENT ON PROCEDURE ml.require_free_name(text, bigint) IS 'Refuses a model name that a living model or another waiting job has.';
COMMENT ON FUNCTION ml.require_ready_model(bigint) IS 'The model, or an error that says why it cannot be used: missing, deleted or not READY.';
COMMENT ON TABLE public.ml_models IS 'Every model: what it predicts, what it was trained on, how well it did on rows it had not seen.';
COMMENT ON COLUMN public.ml_models.id IS 'Number of the model.';
COMMENT ON COLUMN public.ml_models.name IS 'Name of the model; unique among the models that are neither deleted nor failed.';
COMMENT ON COLUMN public.ml_models.model_type IS 'Kind of model, see ref_model_types.';
COMMENT ON COLUMN public.ml_models.status IS 'TRAINING, READY or FAILED.';
COMMENT ON COLUMN public.ml_models.created_at IS 'When its training was first claimed.';
COMMENT ON COLUMN public.ml_models.updated_at IS 'When the row was last changed.';
COMMENT ON COLUMN public.ml_models.is_deleted IS 'Soft delete: set it to true to delete the model, to false to take it back.';
COMMENT ON COLUMN public.ml_models.deleted_at IS 'When it was deleted.';
COMMENT ON COLUMN public.ml_models.target_variable IS 'Column of coin_metrics that the label is read from.';
COMMENT ON COLUMN public.ml_models.target_operator IS 'Comparison of the label: >, <, >=, <=, = or !=.';
COMMENT ON COLUMN public.ml_models.target_value IS 'Threshold of the label. The label is: target_variable target_operator target_value.';
COMMENT ON COLUMN public.ml_models.future_minutes IS 'Horizon of the label in minutes; NULL: the label is read in the same row as the features.';
COMMENT ON COLUMN public.ml_models.train_start IS 'First moment of the training period.';
COMMENT ON COLUMN public.ml_models.train_end IS 'First moment after the training period.';
COMMENT ON COLUMN public.ml_models.test_size IS 'Share of the rows that was held out to measure training_*.';
COMMENT ON COLUMN public.ml_models.random_state IS 'Seed of everything random in the training.';
COMMENT ON COLUMN public.ml_models.features_csv IS 'Columns of coin_metrics that the model sees: a,b,c. ml_model_features has them as rows.';
COMMENT ON COLUMN public.ml_models.phases_csv IS 'Phases of the rows used: 1,2,3; NULL: all.';
COMMENT ON COLUMN public.ml_models.params_csv IS 'Hyperparameters really used: key=value;key=value. ml_model_params has them as rows.';
COMMENT ON COLUMN public.ml_models.feature_importance_csv IS 'Permutation importance on the held-out rows, summing to 1: key=value;key=value; NULL where no feature had any.';
COMMENT ON COLUMN public.ml_models.training_accuracy IS 'Share of the held-out rows predicted right.';
COMMENT ON COLUMN public.ml_models.training_f1 IS 'Harmonic mean of precision and recall on the held-out rows; NULL where undefined.';
COMMENT ON COLUMN public.ml_models.training_precision IS 'Share of the positive predictions that were right, on the held-out rows; NULL where there was none.';
COMMENT ON COLUMN public.ml_models.training_recall IS 'Share of the positive rows that were found, on the held-out rows; NULL where there was none.';
COMMENT ON COLUMN public.ml_models.model_file_path IS 'File of the model (.pkl) as the worker wrote it; ml_training_runs has its SHA-256.';
COMMENT ON COLUMN public.ml_models.description IS 'Free text of the user.';
COMMENT ON COLUMN public.ml_models.train_job_id IS 'TRAIN job that makes or made it.';

-- Jobs: the request of a client and its current state.
-- Clients insert, cancel and change the priority; every other change of state follows an event (70_job_events.sql).

SET search_path TO pg_catalog, pg_temp;

CREATE TABLE IF NOT EXISTS public.ml_jobs (
    id bigint GENERATED ALWAYS AS IDENTITY,
    job_type varchar(20) NOT NULL,
    status varchar(20) NOT NULL DEFAULT 'PENDING',
    priority integer NOT NULL DEFAULT 5,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    completed_at timestamptz,
    progress numeric(3, 2) NOT NULL DEFAULT 0,
    progress_msg text,
    error_msg text,
    worker_id varchar(255),
    attempt integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL DEFAULT 3,
    lease_until timestamptz,

    train_target_var text,
    train_operator text,
    train_value numeric,
    train_start timestamptz,
    train_end timestamptz,
    train_features_csv text,
    train_phases_csv text,
    train_params_csv text,
    train_model_type text,
    train_model_name text,
    train_description text,
    train_test_size numeric,
    train_random_state integer,
    train_future_minutes integer,
    result_model_id bigint,

    test_model_id bigint,
    test_start timestamptz,
    test_end timestamptz,
    result_test_id bigint,

    compare_model_a_id bigint,
    compare_model_b_id bigint,
    compare_start timestamptz,
    compare_end timestamptz,
    result_comparison_id bigint,

    CONSTRAINT ml_jobs_pkey PRIMARY KEY (id),
    CONSTRAINT ml_jobs_train_model_type_fkey FOREIGN KEY (train_model_type) REFERENCES public.ref_model_types (name),
    CONSTRAINT ml_jobs_result_model_id_fkey FOREIGN KEY (result_model_id) REFERENCES public.ml_models (id),
    CONSTRAINT ml_jobs_test_model_id_fkey FOREIGN KEY (test_model_id) REFERENCES public.ml_models (id),
    CONSTRAINT ml_jobs_compare_model_a_id_fkey FOREIGN KEY (compare_model_a_id) REFERENCES public.ml_models (id),
    CONSTRAINT ml_jobs_compare_model_b_id_fkey FOREIGN KEY (compare_model_b_id) REFERENCES public.ml_models (id),

    -- What a request may say.
    CONSTRAINT ml_jobs_job_type_known CHECK (job_type IN ('TRAIN', 'TEST', 'COMPARE')),
    CONSTRAINT ml_jobs_priority_between_1_and_10 CHECK (priority BETWEEN 1 AND 10),
    CONSTRAINT ml_jobs_max_attempts_between_1_and_100 CHECK (max_attempts BETWEEN 1 AND 100),
    CONSTRAINT ml_jobs_train_fields CHECK (
        CASE job_type
            WHEN 'TRAIN' THEN num_nulls(
                train_target_var, train_operator, train_value, train_start, train_end,
                train_features_csv, train_model_type, train_model_name, train_test_size, train_random_state
            ) = 0
            ELSE num_nonnulls(
                train_target_var, train_operator, train_value, train_start, train_end,
                train_features_csv, train_model_type, train_model_name, train_test_size, train_random_state,
                train_phases_csv, train_params_csv, train_description, train_future_minutes
            ) = 0
        END
    ),
    CONSTRAINT ml_jobs_test_fields CHECK (
        CASE job_type
            WHEN 'TEST' THEN num_nulls(test_model_id, test_start, test_end) = 0
            ELSE num_nonnulls(test_model_id, test_start, test_end) = 0
        END
    ),
    CONSTRAINT ml_jobs_compare_fields CHECK (
        CASE job_type
            WHEN 'COMPARE' THEN num_nulls(compare_model_a_id, compare_model_b_id, compare_start, compare_end) = 0
            ELSE num_nonnulls(compare_model_a_id, compare_model_b_id, compare_start, compare_end) = 0
        END
    ),
    CONSTRAINT ml_jobs_train_start_before_end CHECK (train_start < train_end),
    CONSTRAINT ml_jobs_test_start_before_end CHECK (test_start < test_end),
    CONSTRAINT ml_jobs_compare_start_before_end CHECK (compare_start < compare_end),
    -- The years that clients and the worker can read.
    CONSTRAINT ml_jobs_periods_finite CHECK (
        least(train_start, test_start, compare_start) >= '0002-01-01 00:00:00+00'
        AND greatest(train_end, test_end, compare_end) < '9999-01-01 00:00:00+00'
    ),
    CONSTRAINT ml_jobs_operator_known CHECK (train_operator IN ('>', '<', '>=', '<=', '=', '!=')),
    CONSTRAINT ml_jobs_train_value_finite CHECK (train_value NOT IN ('NaN', 'Infinity', '-Infinity')),
    CONSTRAINT ml_jobs_test_size_between_0_and_1 CHECK (
        train_test_size BETWEEN 0.01 AND 0.99 AND train_test_size = round(train_test_size, 2)
    ),
    CONSTRAINT ml_jobs_random_state_not_negative CHECK (train_random_state >= 0),
    CONSTRAINT ml_jobs_future_minutes_within_a_year CHECK (train_future_minutes BETWEEN 1 AND 525600),
    CONSTRAINT ml_jobs_model_name_not_blank CHECK (train_model_name ~ '\S' AND length(train_model_name) <= 255),
    CONSTRAINT ml_jobs_compares_two_models CHECK (compare_model_a_id <> compare_model_b_id),

    -- What a state implies.
    CONSTRAINT ml_jobs_status_known CHECK (status IN ('PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED')),
    CONSTRAINT ml_jobs_progress_between_0_and_1 CHECK (progress BETWEEN 0 AND 1),
    CONSTRAINT ml_jobs_attempt_not_negative CHECK (attempt >= 0),
    CONSTRAINT ml_jobs_running_has_worker CHECK (status <> 'RUNNING' OR num_nulls(worker_id, started_at) = 0),
    CONSTRAINT ml_jobs_running_has_lease CHECK ((status = 'RUNNING') = (lease_until IS NOT NULL)),
    CONSTRAINT ml_jobs_ended_has_time CHECK ((status IN ('COMPLETED', 'FAILED', 'CANCELLED')) = (completed_at IS NOT NULL)),
    CONSTRAINT ml_jobs_failed_has_reason CHECK ((status = 'FAILED') = (error_msg IS NOT NULL)),
    CONSTRAINT ml_jobs_completed_has_result CHECK (
        (status = 'COMPLETED' AND job_type = 'TRAIN') = (result_model_id IS NOT NULL)
        AND (status = 'COMPLETED' AND job_type = 'TEST') = (result_test_id IS NOT NULL)
        AND (status = 'COMPLETED' AND job_type = 'COMPARE') = (result_comparison_id IS NOT NULL)
    )
);

CREATE INDEX IF NOT EXISTS idx_jobs_status ON public.ml_jobs (status, priority, created_at);

-- The claim reads the head of this one: jobs inserted together share created_at, so id must be part of the order.
CREATE INDEX IF NOT EXISTS ml_jobs_queue ON public.ml_jobs (priority, created_at, id) WHERE status = 'PENDING';

CREATE UNIQUE INDEX IF NOT EXISTS ml_jobs_model_name_taken
ON public.ml_jobs (train_model_name)
WHERE completed_at IS NULL;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_constraint c WHERE c.conname = 'ml_models_train_job_id_fkey') THEN
        ALTER TABLE public.ml_models
        ADD CONSTRAINT ml_models_train_job_id_fkey FOREIGN KEY (train_job_id) REFERENCES public.ml_jobs (id);
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION ml.refuse_new_request()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'the request of job % cannot be changed', OLD.id
        USING ERRCODE = 'ML002', TABLE = 'ml_jobs',
        HINT = 'Cancel it (CALL ml.cancel_job(id)) and insert another job; only status and priority can be updated.';
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_request_is_final
BEFORE UPDATE OF
    id, job_type, created_at, max_attempts,
    train_target_var, train_operator, train_value, train_start, train_end,
    train_features_csv, train_phases_csv, train_params_csv, train_model_type,
    train_model_name, train_description, train_test_size, train_random_state, train_future_minutes,
    test_model_id, test_start, test_end,
    compare_model_a_id, compare_model_b_id, compare_start, compare_end
ON public.ml_jobs
FOR EACH ROW EXECUTE FUNCTION ml.refuse_new_request();

CREATE OR REPLACE FUNCTION ml.keep_priority_rules()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.priority IS NULL OR NEW.priority NOT BETWEEN 1 AND 10 THEN
        RAISE EXCEPTION 'priority % is not between 1 and 10', NEW.priority
            USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'priority',
            HINT = '1 is the highest priority, 10 the lowest, 5 the default.';
    ELSIF NEW.priority <> OLD.priority AND OLD.status <> 'PENDING' THEN
        RAISE EXCEPTION 'job % is % and its priority can no longer be changed', OLD.id, OLD.status
            USING ERRCODE = 'ML002', TABLE = 'ml_jobs', COLUMN = 'priority',
            HINT = 'Only a PENDING job has a place in the queue.';
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_keep_priority_rules
BEFORE UPDATE OF priority ON public.ml_jobs
FOR EACH ROW EXECUTE FUNCTION ml.keep_priority_rules();

-- A state follows its event, for everyone: the last event of the job must imply the new state.
-- CANCELLED alone is set by hand, and its event follows.
CREATE OR REPLACE FUNCTION ml.keep_status_rules()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_event text;
BEGIN
    IF NEW.status = OLD.status THEN
        RETURN NEW;
    END IF;
    IF NEW.status = 'CANCELLED' AND OLD.status IN ('PENDING', 'RUNNING') THEN
        NEW.completed_at := now();
        NEW.lease_until := NULL;
        NEW.progress_msg := 'Cancelled';
        RETURN NEW;
    END IF;
    SELECT e.event INTO v_event
    FROM public.ml_job_events e
    WHERE e.job_id = OLD.id AND e.event <> 'PROGRESS'
    ORDER BY e.id DESC
    LIMIT 1;
    IF (OLD.status, v_event, NEW.status) IN (
        ('PENDING', 'CLAIMED', 'RUNNING'),
        ('PENDING', 'FAILED', 'FAILED'),
        ('RUNNING', 'COMPLETED', 'COMPLETED'),
        ('RUNNING', 'FAILED', 'FAILED'),
        ('RUNNING', 'RELEASED', 'PENDING'),
        ('RUNNING', 'EXPIRED', 'PENDING')
    ) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'job % cannot go from % to %', OLD.id, OLD.status, NEW.status
        USING ERRCODE = 'ML002', TABLE = 'ml_jobs', COLUMN = 'status',
        HINT = CASE
            WHEN OLD.status IN ('PENDING', 'RUNNING')
                THEN 'The worker''s procedures change the state; by hand a job can only be set to CANCELLED.'
            ELSE format('%s is final; insert another job.', OLD.status)
        END;
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_keep_status_rules
BEFORE UPDATE OF status ON public.ml_jobs
FOR EACH ROW EXECUTE FUNCTION ml.keep_status_rules();

-- Workers listen on ml_jobs (look at the queue), clients on ml_job_status ("17 COMPLETED").
CREATE OR REPLACE FUNCTION ml.tell_status()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.status = 'CANCELLED' THEN
        INSERT INTO public.ml_job_events (job_id, attempt, event)
        VALUES (NEW.id, NEW.attempt, 'CANCELLED');
    END IF;
    IF NEW.status IN ('PENDING', 'CANCELLED') THEN
        PERFORM pg_catalog.pg_notify('ml_jobs', '');
    END IF;
    PERFORM pg_catalog.pg_notify('ml_job_status', NEW.id || ' ' || NEW.status);
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_tell_status
AFTER UPDATE OF status ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.status <> OLD.status)
EXECUTE FUNCTION ml.tell_status();

CREATE OR REPLACE FUNCTION ml.tell_workers()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_catalog.pg_notify('ml_jobs', '');
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_tell_workers
AFTER INSERT ON public.ml_jobs
FOR EACH STATEMENT EXECUTE FUNCTION ml.tell_workers();

CREATE OR REPLACE PROCEDURE ml.cancel_job(
    p_job_id bigint
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE public.ml_jobs SET status = 'CANCELLED' WHERE id = p_job_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'job % does not exist', p_job_id
            USING ERRCODE = 'no_data_found', TABLE = 'ml_jobs', HINT = 'SELECT id, status FROM ml_queue; lists the jobs that can be cancelled.';
    END IF;
END
$$;

COMMENT ON FUNCTION ml.refuse_new_request() IS 'Trigger: what a job asks for is final once it is accepted.';
COMMENT ON FUNCTION ml.keep_priority_rules() IS 'Trigger: the priority is 1 to 10 and changes only while the job waits.';
COMMENT ON FUNCTION ml.keep_status_rules() IS 'Trigger: refuses any change of state that no event implies, except a cancel.';
COMMENT ON FUNCTION ml.tell_status() IS 'Trigger: records a cancel as an event and notifies clients and workers of a new state.';
COMMENT ON FUNCTION ml.tell_workers() IS 'Trigger: one notification a statement that inserted jobs.';
COMMENT ON PROCEDURE ml.cancel_job(bigint) IS 'Cancels a PENDING or RUNNING job; the same as setting its status to CANCELLED.';
COMMENT ON TABLE public.ml_jobs IS 'The queue: insert a row to train, test or compare; its state and result appear in the same row.';
COMMENT ON COLUMN public.ml_jobs.id IS 'Number of the job.';
COMMENT ON COLUMN public.ml_jobs.job_type IS 'TRAIN, TEST or COMPARE.';
COMMENT ON COLUMN public.ml_jobs.status IS 'PENDING, RUNNING, COMPLETED, FAILED or CANCELLED. By hand only CANCELLED can be set.';
COMMENT ON COLUMN public.ml_jobs.priority IS '1 (highest) to 10 (lowest), default 5; can be changed while PENDING.';
COMMENT ON COLUMN public.ml_jobs.created_at IS 'When the job was inserted.';
COMMENT ON COLUMN public.ml_jobs.started_at IS 'When its latest attempt started.';
COMMENT ON COLUMN public.ml_jobs.completed_at IS 'When it ended, in whichever way.';
COMMENT ON COLUMN public.ml_jobs.progress IS '0.00 to 1.00.';
COMMENT ON COLUMN public.ml_jobs.progress_msg IS 'What is being done, for example "Training: 60/100 trees".';
COMMENT ON COLUMN public.ml_jobs.error_msg IS 'Why the job FAILED.';
COMMENT ON COLUMN public.ml_jobs.worker_id IS 'Worker of the latest attempt: host, process and a random part.';
COMMENT ON COLUMN public.ml_jobs.attempt IS 'Number of the latest attempt; rises with every claim.';
COMMENT ON COLUMN public.ml_jobs.max_attempts IS 'Attempts that may be lost to crashes before the job FAILS; default 3.';
COMMENT ON COLUMN public.ml_jobs.lease_until IS 'While RUNNING: when other workers may take the job over unless its worker gives a sign of life.';
COMMENT ON COLUMN public.ml_jobs.train_target_var IS 'TRAIN: column of coin_metrics that the label is read from.';
COMMENT ON COLUMN public.ml_jobs.train_operator IS 'TRAIN: >, <, >=, <=, = or !=.';
COMMENT ON COLUMN public.ml_jobs.train_value IS 'TRAIN: threshold of the label.';
COMMENT ON COLUMN public.ml_jobs.train_start IS 'TRAIN: first moment of the period.';
COMMENT ON COLUMN public.ml_jobs.train_end IS 'TRAIN: first moment after the period.';
COMMENT ON COLUMN public.ml_jobs.train_features_csv IS 'TRAIN: columns of coin_metrics to learn from: a,b,c. ml_metric_columns lists them.';
COMMENT ON COLUMN public.ml_jobs.train_phases_csv IS 'TRAIN: phases to learn from: 1,2,3; NULL: all. ref_coin_phases lists them.';
COMMENT ON COLUMN public.ml_jobs.train_params_csv IS 'TRAIN: hyperparameters beside the defaults: key=value;key=value. ref_model_params lists them.';
COMMENT ON COLUMN public.ml_jobs.train_model_type IS 'TRAIN: kind of model, see ref_model_types.';
COMMENT ON COLUMN public.ml_jobs.train_model_name IS 'TRAIN: name of the model; default: model type and job id.';
COMMENT ON COLUMN public.ml_jobs.train_description IS 'TRAIN: free text for the model.';
COMMENT ON COLUMN public.ml_jobs.train_test_size IS 'TRAIN: share of the rows to hold out for measuring; default 0.2.';
COMMENT ON COLUMN public.ml_jobs.train_random_state IS 'TRAIN: seed of everything random; default 42.';
COMMENT ON COLUMN public.ml_jobs.train_future_minutes IS 'TRAIN: horizon of the label in minutes; NULL: the label is read in the same row.';
COMMENT ON COLUMN public.ml_jobs.result_model_id IS 'TRAIN: the model, once COMPLETED.';
COMMENT ON COLUMN public.ml_jobs.test_model_id IS 'TEST: model to test.';
COMMENT ON COLUMN public.ml_jobs.test_start IS 'TEST: first moment of the period.';
COMMENT ON COLUMN public.ml_jobs.test_end IS 'TEST: first moment after the period.';
COMMENT ON COLUMN public.ml_jobs.result_test_id IS 'TEST: row of ml_test_results, once COMPLETED.';
COMMENT ON COLUMN public.ml_jobs.compare_model_a_id IS 'COMPARE: first model.';
COMMENT ON COLUMN public.ml_jobs.compare_model_b_id IS 'COMPARE: second model.';
COMMENT ON COLUMN public.ml_jobs.compare_start IS 'COMPARE: first moment of the period.';
COMMENT ON COLUMN public.ml_jobs.compare_end IS 'COMPARE: first moment after the period.';
COMMENT ON COLUMN public.ml_jobs.result_comparison_id IS 'COMPARE: row of ml_comparisons, once COMPLETED.';

-- What a job must say to be accepted. The constraints of ml_jobs keep the simple rules for good;
-- these triggers come before them, so that a user reads which value is wrong and what to do.

SET search_path TO pg_catalog, pg_temp;

-- Rules of one row: its own fields, and the models that it names.
CREATE OR REPLACE FUNCTION ml.check_job()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_fields text;
    v_column text;
    v_message text;
    v_hint text;
    v_start timestamptz;
    v_end timestamptz;
    v_is_named boolean;
    v_model_a public.ml_models;
    v_model_b public.ml_models;
BEGIN
    -- Clients that send every column send NULL for those they leave out.
    NEW.status := coalesce(NEW.status, 'PENDING');
    NEW.priority := coalesce(NEW.priority, 5);
    NEW.created_at := coalesce(NEW.created_at, now());
    NEW.progress := coalesce(NEW.progress, 0);
    NEW.attempt := coalesce(NEW.attempt, 0);
    NEW.max_attempts := coalesce(NEW.max_attempts, 3);
    IF NEW.job_type = 'TRAIN' THEN
        v_is_named := NEW.train_model_name IS NOT NULL;
        NEW.train_target_var := btrim(NEW.train_target_var);
        NEW.train_operator := btrim(NEW.train_operator);
        NEW.train_model_type := btrim(NEW.train_model_type);
        NEW.train_features_csv := ml.tidy_list(NEW.train_features_csv);
        NEW.train_phases_csv := ml.tidy_list(NEW.train_phases_csv);
        NEW.train_params_csv := ml.tidy_list(NEW.train_params_csv);
        NEW.train_model_name := coalesce(NEW.train_model_name, NEW.train_model_type || '_' || NEW.id);
        NEW.train_test_size := coalesce(NEW.train_test_size, 0.2);
        NEW.train_random_state := coalesce(NEW.train_random_state, 42);
    END IF;

    -- Fields that the service writes.
    v_fields := concat_ws(
        ', ',
        'created_at = ' || nullif(NEW.created_at, now()),
        'started_at = ' || NEW.started_at,
        'completed_at = ' || NEW.completed_at,
        'progress = ' || nullif(NEW.progress, 0),
        'progress_msg = ' || NEW.progress_msg,
        'error_msg = ' || NEW.error_msg,
        'worker_id = ' || NEW.worker_id,
        'attempt = ' || nullif(NEW.attempt, 0),
        'lease_until = ' || NEW.lease_until,
        'result_model_id = ' || NEW.result_model_id,
        'result_test_id = ' || NEW.result_test_id,
        'result_comparison_id = ' || NEW.result_comparison_id
    );
    IF v_fields <> '' THEN
        RAISE EXCEPTION 'a new job cannot set %', left(v_fields, 200)
            USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = split_part(v_fields, ' ', 1),
            HINT = 'Leave these fields out: the service fills them while the job runs.';
    END IF;

    -- Fields that this type of job lacks, and fields of another type.
    v_fields := CASE NEW.job_type
        WHEN 'TRAIN' THEN concat_ws(
            ', ',
            CASE WHEN NEW.train_target_var IS NULL THEN 'train_target_var' END,
            CASE WHEN NEW.train_operator IS NULL THEN 'train_operator' END,
            CASE WHEN NEW.train_value IS NULL THEN 'train_value' END,
            CASE WHEN NEW.train_start IS NULL THEN 'train_start' END,
            CASE WHEN NEW.train_end IS NULL THEN 'train_end' END,
            CASE WHEN NEW.train_features_csv IS NULL THEN 'train_features_csv' END,
            CASE WHEN NEW.train_model_type IS NULL THEN 'train_model_type' END
        )
        WHEN 'TEST' THEN concat_ws(
            ', ',
            CASE WHEN NEW.test_model_id IS NULL THEN 'test_model_id' END,
            CASE WHEN NEW.test_start IS NULL THEN 'test_start' END,
            CASE WHEN NEW.test_end IS NULL THEN 'test_end' END
        )
        WHEN 'COMPARE' THEN concat_ws(
            ', ',
            CASE WHEN NEW.compare_model_a_id IS NULL THEN 'compare_model_a_id' END,
            CASE WHEN NEW.compare_model_b_id IS NULL THEN 'compare_model_b_id' END,
            CASE WHEN NEW.compare_start IS NULL THEN 'compare_start' END,
            CASE WHEN NEW.compare_end IS NULL THEN 'compare_end' END
        )
    END;
    IF v_fields <> '' THEN
        RAISE EXCEPTION 'a % job needs %', NEW.job_type, v_fields
            USING ERRCODE = 'not_null_violation', TABLE = 'ml_jobs', COLUMN = split_part(v_fields, ',', 1),
            HINT = 'Name these fields in the INSERT and give each a value; \d+ ml_jobs says what they mean.';
    END IF;

    v_fields := concat_ws(
        ', ',
        CASE WHEN NEW.job_type <> 'TRAIN' THEN
            concat_ws(
                ', ',
                'train_target_var = ' || NEW.train_target_var,
                'train_operator = ' || NEW.train_operator,
                'train_value = ' || NEW.train_value,
                'train_start = ' || NEW.train_start,
                'train_end = ' || NEW.train_end,
                'train_features_csv = ' || NEW.train_features_csv,
                'train_phases_csv = ' || NEW.train_phases_csv,
                'train_params_csv = ' || NEW.train_params_csv,
                'train_model_type = ' || NEW.train_model_type,
                'train_model_name = ' || NEW.train_model_name,
                'train_description = ' || NEW.train_description,
                'train_test_size = ' || NEW.train_test_size,
                'train_random_state = ' || NEW.train_random_state,
                'train_future_minutes = ' || NEW.train_future_minutes
            )
        END,
        CASE WHEN NEW.job_type <> 'TEST' THEN
            concat_ws(
                ', ',
                'test_model_id = ' || NEW.test_model_id,
                'test_start = ' || NEW.test_start,
                'test_end = ' || NEW.test_end
            )
        END,
        CASE WHEN NEW.job_type <> 'COMPARE' THEN
            concat_ws(
                ', ',
                'compare_model_a_id = ' || NEW.compare_model_a_id,
                'compare_model_b_id = ' || NEW.compare_model_b_id,
                'compare_start = ' || NEW.compare_start,
                'compare_end = ' || NEW.compare_end
            )
        END
    );
    v_fields := btrim(v_fields, ', ');
    IF v_fields <> '' AND NEW.job_type IN ('TRAIN', 'TEST', 'COMPARE') THEN
        RAISE EXCEPTION 'a % job has no use for %', NEW.job_type, left(v_fields, 200)
            USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = split_part(v_fields, ' ', 1),
            HINT = format('Leave these fields out, or change job_type; a %s job uses those that begin with %s_.', NEW.job_type, lower(NEW.job_type));
    END IF;

    -- Values that no job may have.
    v_start := coalesce(NEW.train_start, NEW.test_start, NEW.compare_start);
    v_end := coalesce(NEW.train_end, NEW.test_end, NEW.compare_end);
    IF NEW.job_type IS NULL OR NEW.job_type NOT IN ('TRAIN', 'TEST', 'COMPARE') THEN
        v_column := 'job_type';
        v_message := format('job_type %s is unknown', coalesce(quote_literal(NEW.job_type), 'NULL'));
        v_hint := 'Use TRAIN, TEST or COMPARE, in capital letters.';
    ELSIF NEW.status <> 'PENDING' THEN
        v_column := 'status';
        v_message := format('a new job cannot have the status %L', NEW.status);
        v_hint := 'Leave status out, or use PENDING: the worker sets the others.';
    ELSIF NEW.priority NOT BETWEEN 1 AND 10 THEN
        v_column := 'priority';
        v_message := format('priority %s is not between 1 and 10', NEW.priority);
        v_hint := '1 is the highest priority, 10 the lowest, 5 the default.';
    ELSIF NEW.max_attempts NOT BETWEEN 1 AND 100 THEN
        v_column := 'max_attempts';
        v_message := format('max_attempts %s is not between 1 and 100', NEW.max_attempts);
        v_hint := 'Leave it out for the default of 3.';
    ELSIF v_start < '0002-01-01 00:00:00+00' OR v_end >= '9999-01-01 00:00:00+00' THEN
        v_column := lower(NEW.job_type) || '_start';
        v_message := format('the period from %s to %s is not within the years 2 to 9998', v_start, v_end);
        v_hint := 'Give both as dates, for example ''2024-01-01'' and ''2024-03-01''.';
    ELSIF v_start >= v_end THEN
        v_column := lower(NEW.job_type) || '_start';
        v_message := format('the period starts at %s, which is not before its end at %s', v_start, v_end);
        v_hint := format('Set %s_start to a moment before %1$s_end; the end itself is not part of the period.', lower(NEW.job_type));
    ELSIF NEW.train_operator NOT IN ('>', '<', '>=', '<=', '=', '!=') THEN
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
    ELSIF NEW.train_future_minutes NOT BETWEEN 1 AND 525600 THEN
        v_column := 'train_future_minutes';
        v_message := format('train_future_minutes %s is not between 1 and 525600', NEW.train_future_minutes);
        v_hint := 'Give the minutes to look ahead, at most a year; leave it out to read the label in the same row.';
    ELSIF NOT EXISTS (SELECT FROM public.ref_model_types t WHERE t.name = NEW.train_model_type) AND NEW.job_type = 'TRAIN' THEN
        v_column := 'train_model_type';
        v_message := format('train_model_type %L is unknown', left(NEW.train_model_type, 100));
        v_hint := ml.suggest_names(NEW.train_model_type, (SELECT array_agg(t.name::text ORDER BY t.id) FROM public.ref_model_types t));
    ELSIF NEW.train_model_name !~ '\S' THEN
        v_column := 'train_model_name';
        v_message := 'train_model_name is blank';
        v_hint := 'Give the model a name, or leave the field out: the default is the model type and the job''s id.';
    ELSIF length(NEW.train_model_name) > 255 THEN
        v_column := 'train_model_name';
        v_message := format('train_model_name %L… has %s characters', left(NEW.train_model_name, 50), length(NEW.train_model_name));
        v_hint := 'Give the model a name of at most 255 characters.';
    ELSIF NEW.compare_model_a_id = NEW.compare_model_b_id THEN
        v_column := 'compare_model_b_id';
        v_message := format('model %s cannot be compared with itself', NEW.compare_model_a_id);
        v_hint := 'Give compare_model_a_id and compare_model_b_id two different models.';
    END IF;
    IF v_message IS NOT NULL THEN
        RAISE EXCEPTION USING MESSAGE = v_message, HINT = v_hint,
            ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = v_column;
    END IF;

    -- Names and models.
    IF NEW.job_type = 'TRAIN' THEN
        IF v_is_named THEN
            CALL ml.reserve_name(NEW.train_model_name);
        END IF;
        CALL ml.require_free_name(NEW.train_model_name);
    ELSIF NEW.job_type = 'TEST' THEN
        PERFORM ml.require_ready_model(NEW.test_model_id);
    ELSE
        v_model_a := ml.require_ready_model(NEW.compare_model_a_id);
        v_model_b := ml.require_ready_model(NEW.compare_model_b_id);
        IF ml.target_text(v_model_a) <> ml.target_text(v_model_b) THEN
            RAISE EXCEPTION 'models % and % predict different things: % and %',
                v_model_a.id, v_model_b.id, ml.target_text(v_model_a), ml.target_text(v_model_b)
                USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'compare_model_b_id',
                HINT = 'Compare models with the same target and horizon.';
        ELSIF ml.common_phases(v_model_a.phases_csv, v_model_b.phases_csv) = '' THEN
            RAISE EXCEPTION 'models % and % have no phase in common: % and %',
                v_model_a.id, v_model_b.id, v_model_a.phases_csv, v_model_b.phases_csv
                USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'compare_model_b_id',
                HINT = 'Both are scored on the same rows; compare models that were trained on at least one common phase.';
        END IF;
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_check_job
BEFORE INSERT ON public.ml_jobs
FOR EACH ROW EXECUTE FUNCTION ml.check_job();

CREATE OR REPLACE FUNCTION ml.target_text(
    p_model public.ml_models
)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT concat_ws(
        ' ',
        p_model.target_variable,
        p_model.target_operator,
        trim_scale(p_model.target_value),
        'after ' || p_model.future_minutes || ' min'
    );
$$;

CREATE OR REPLACE FUNCTION ml.common_phases(
    p_a_csv text,
    p_b_csv text
)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN p_a_csv IS NULL THEN p_b_csv
        WHEN p_b_csv IS NULL THEN p_a_csv
        ELSE (
            SELECT coalesce(string_agg(a.item, ',' ORDER BY a.place), '')
            FROM ml.list_items(p_a_csv) a
            WHERE a.item IN (SELECT b.item FROM ml.list_items(p_b_csv) b)
        )
    END;
$$;

CREATE OR REPLACE FUNCTION ml.param_fits(
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
                OR p_param.kind = 'number' AND p_value ~ '^-?([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][+-]?[0-9]{1,3})?$'
                THEN p_value::numeric BETWEEN p_param.min_value AND p_param.max_value
            WHEN p_param.kind = 'layers' AND p_value ~ '^[0-9]{1,18}(,[0-9]{1,18}){0,9}$'
                THEN (SELECT bool_and(i.item::numeric BETWEEN p_param.min_value AND p_param.max_value) FROM ml.list_items(p_value) i)
            ELSE false
        END;
$$;

-- Rules that need the catalogue or a reference table: once a statement, however many jobs it inserts.
CREATE OR REPLACE FUNCTION ml.check_job_lists()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_fault record;
BEGIN
    WITH jobs AS (
        SELECT DISTINCT
            j.train_target_var AS target,
            j.train_features_csv AS features_csv,
            j.train_future_minutes IS NULL AS same_row
        FROM new_jobs j
        WHERE j.job_type = 'TRAIN'
    ),
    wanted AS (
        SELECT DISTINCT 'train_target_var' AS field, j.target AS item, 1 AS times, j.target AS csv, 0 AS place FROM jobs j
        UNION ALL
        SELECT 'train_features_csv', i.item, count(*), f.features_csv, min(i.place)
        FROM (SELECT DISTINCT j.features_csv FROM jobs j) f
        CROSS JOIN LATERAL ml.list_items(f.features_csv) i
        GROUP BY i.item, f.features_csv
    ),
    faults AS (
        SELECT
            w.field,
            w.place,
            CASE
                WHEN w.item = '' THEN format('%s %L has an empty name', w.field, left(w.csv, 200))
                WHEN c.column_name IS NULL THEN format('coin_metrics has no column %L (%s)', left(w.item, 200), w.field)
                WHEN NOT c.is_numeric THEN format('column %L is %s, not numeric (%s)', w.item, c.data_type, w.field)
                WHEN w.times > 1 THEN format('feature %L is given %s times', w.item, w.times)
            END AS message,
            CASE
                WHEN w.item = '' THEN 'Write the names separated by single commas, for example price_open,volume_sol.'
                WHEN w.times > 1 THEN 'Name each feature once.'
                ELSE ml.suggest_names(
                    w.item, (SELECT array_agg(n.column_name) FROM public.ml_metric_columns n WHERE n.is_numeric)
                )
            END AS hint
        FROM wanted w
        LEFT JOIN public.ml_metric_columns c ON c.column_name = w.item
        WHERE w.item = '' OR c.is_numeric IS NOT TRUE OR w.times > 1
        UNION ALL
        SELECT
            'train_features_csv',
            0,
            format('the target %L is among the features, where the model could simply read it', j.target),
            'Leave it out of train_features_csv, or set train_future_minutes to predict its value later.'
        FROM jobs j
        WHERE j.same_row AND j.target IN (SELECT i.item FROM ml.list_items(j.features_csv) i)
    )
    SELECT f.field, f.message, f.hint INTO v_fault FROM faults f ORDER BY f.place LIMIT 1;

    IF v_fault IS NULL THEN
        SELECT
            'train_phases_csv' AS field,
            format('train_phases_csv %L %s', left(p.csv, 200), CASE WHEN p.times > 1 THEN 'names a phase twice' ELSE 'has an unknown phase: ' || quote_literal(left(p.item, 50)) END) AS message,
            'Known phases: '
            || (SELECT string_agg(r.id || ' (' || r.name || ')', ', ' ORDER BY r.id) FROM public.ref_coin_phases r)
            || '. Name each once, separated by commas.' AS hint
        INTO v_fault
        FROM (
            SELECT d.csv, i.item, count(*) AS times
            FROM (SELECT DISTINCT j.train_phases_csv AS csv FROM new_jobs j) d
            CROSS JOIN LATERAL ml.list_items(d.csv) i
            GROUP BY d.csv, i.item
        ) p
        WHERE p.times > 1 OR NOT EXISTS (SELECT FROM public.ref_coin_phases r WHERE r.id::text = p.item)
        LIMIT 1;
    END IF;

    IF v_fault IS NULL THEN
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
                    THEN ml.suggest_names(
                        p.name, (SELECT array_agg(a.name::text ORDER BY a.name) FROM public.ref_model_params a WHERE a.model_type = p.model_type)
                    )
                WHEN p.times > 1 THEN 'Give each hyperparameter once.'
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
            FROM (SELECT DISTINCT j.train_model_type AS model_type, j.train_params_csv AS csv FROM new_jobs j) g
            CROSS JOIN LATERAL ml.param_items(g.csv) i
        ) p
        LEFT JOIN public.ref_model_params r ON r.model_type = p.model_type AND r.name = p.name
        WHERE p.times > 1 OR p.value = '' OR r.name IS NULL OR NOT ml.param_fits(r, p.value)
        ORDER BY p.place
        LIMIT 1;
    END IF;

    IF v_fault IS NOT NULL THEN
        RAISE EXCEPTION USING MESSAGE = v_fault.message, HINT = v_fault.hint,
            ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = v_fault.field;
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_check_job_lists
AFTER INSERT ON public.ml_jobs
REFERENCING NEW TABLE AS new_jobs
FOR EACH STATEMENT EXECUTE FUNCTION ml.check_job_lists();

COMMENT ON FUNCTION ml.check_job() IS 'Trigger: refuses a job that could not run, naming the value and what to do; fills the defaults.';
COMMENT ON FUNCTION ml.check_job_lists() IS 'Trigger: refuses unknown features, phases and hyperparameters, and values out of their bounds.';
COMMENT ON FUNCTION ml.target_text(public.ml_models) IS 'What a model predicts, in words.';
COMMENT ON FUNCTION ml.common_phases(text, text) IS 'Phases that two models have in common; NULL: all, empty: none.';
COMMENT ON FUNCTION ml.param_fits(public.ref_model_params, text) IS 'Whether a hyperparameter may have this value.';

-- The life of a job as facts: every claim, sign of life and end of an attempt.
-- An event is checked against the job before it is stored and projected onto the job after.

SET search_path TO pg_catalog, pg_temp;

CREATE TABLE IF NOT EXISTS public.ml_job_events (
    id bigint GENERATED ALWAYS AS IDENTITY,
    job_id bigint NOT NULL,
    attempt integer NOT NULL,
    event varchar(20) NOT NULL,
    worker_id varchar(255),
    progress numeric(3, 2),
    message text,
    lease_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by name NOT NULL DEFAULT session_user,
    CONSTRAINT ml_job_events_pkey PRIMARY KEY (id),
    CONSTRAINT ml_job_events_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_job_events_event_known CHECK (
        event IN ('CLAIMED', 'PROGRESS', 'COMPLETED', 'FAILED', 'CANCELLED', 'RELEASED', 'EXPIRED')
    ),
    CONSTRAINT ml_job_events_lease_while_running CHECK ((event IN ('CLAIMED', 'PROGRESS')) = (lease_until IS NOT NULL)),
    CONSTRAINT ml_job_events_progress_between_0_and_1 CHECK (progress BETWEEN 0 AND 1),
    CONSTRAINT ml_job_events_progress_known CHECK ((event = 'PROGRESS') = (progress IS NOT NULL)),
    CONSTRAINT ml_job_events_loss_has_reason CHECK (event NOT IN ('FAILED', 'RELEASED', 'EXPIRED') OR message IS NOT NULL)
);

CREATE INDEX IF NOT EXISTS ml_job_events_job ON public.ml_job_events (job_id, id);

-- An attempt is claimed once and ends once; a job whose last attempt was lost FAILS after that.
CREATE UNIQUE INDEX IF NOT EXISTS ml_job_events_claimed_once
ON public.ml_job_events (job_id, attempt)
WHERE event = 'CLAIMED';
CREATE UNIQUE INDEX IF NOT EXISTS ml_job_events_ended_once
ON public.ml_job_events (job_id, attempt)
WHERE event IN ('COMPLETED', 'RELEASED', 'EXPIRED');

CREATE OR REPLACE TRIGGER ml_job_events_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON public.ml_job_events
FOR EACH STATEMENT EXECUTE FUNCTION ml.refuse_change_of_fact();

-- The fence: locks the job and refuses whoever no longer holds it.
CREATE OR REPLACE PROCEDURE ml.require_attempt(
    p_job_id bigint,
    p_attempt integer
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_status text;
    v_attempt integer;
BEGIN
    SELECT j.status, j.attempt INTO v_status, v_attempt
    FROM public.ml_jobs j
    WHERE j.id = p_job_id
    FOR NO KEY UPDATE;
    IF (v_status, v_attempt) IS DISTINCT FROM ('RUNNING', p_attempt) THEN
        RAISE EXCEPTION 'attempt % does not hold job %, which is % in attempt %',
            p_attempt, p_job_id, coalesce(v_status, 'missing'), coalesce(v_attempt, 0)
            USING ERRCODE = 'ML001', TABLE = 'ml_jobs',
            HINT = 'Stop working on it and discard what this attempt made.';
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION ml.check_event()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_status text;
    v_attempt integer;
    v_worker_id text;
BEGIN
    SELECT j.status, j.attempt, j.worker_id INTO v_status, v_attempt, v_worker_id
    FROM public.ml_jobs j
    WHERE j.id = NEW.job_id
    FOR NO KEY UPDATE;
    IF (NEW.event, v_status, NEW.attempt) NOT IN (
        ('CLAIMED', 'PENDING', v_attempt + 1),
        ('PROGRESS', 'RUNNING', v_attempt),
        ('COMPLETED', 'RUNNING', v_attempt),
        ('RELEASED', 'RUNNING', v_attempt),
        ('EXPIRED', 'RUNNING', v_attempt),
        ('FAILED', 'RUNNING', v_attempt),
        ('FAILED', 'PENDING', v_attempt),
        ('CANCELLED', 'CANCELLED', v_attempt)
    ) THEN
        RAISE EXCEPTION 'attempt % of job % cannot be %: the job is % in attempt %',
            NEW.attempt, NEW.job_id, NEW.event, v_status, v_attempt
            USING ERRCODE = 'ML001', TABLE = 'ml_job_events',
            HINT = 'Stop working on it and discard what this attempt made.';
    END IF;
    NEW.worker_id := coalesce(NEW.worker_id, v_worker_id);
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER ml_job_events_check_event
BEFORE INSERT ON public.ml_job_events
FOR EACH ROW EXECUTE FUNCTION ml.check_event();

CREATE OR REPLACE FUNCTION ml.apply_event_to_job()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    CASE NEW.event
        WHEN 'CLAIMED' THEN
            UPDATE public.ml_jobs SET
                status = 'RUNNING',
                attempt = NEW.attempt,
                worker_id = NEW.worker_id,
                lease_until = NEW.lease_until,
                started_at = NEW.created_at,
                progress = 0,
                progress_msg = 'Starting'
            WHERE id = NEW.job_id;
        WHEN 'PROGRESS' THEN
            UPDATE public.ml_jobs SET
                lease_until = NEW.lease_until,
                progress = NEW.progress,
                progress_msg = coalesce(NEW.message, progress_msg)
            WHERE id = NEW.job_id;
        WHEN 'COMPLETED' THEN
            UPDATE public.ml_jobs SET
                status = 'COMPLETED',
                lease_until = NULL,
                completed_at = NEW.created_at,
                progress = 1,
                progress_msg = 'Done',
                result_model_id = (SELECT r.model_id FROM public.ml_training_runs r WHERE r.job_id = NEW.job_id),
                result_test_id = (SELECT r.id FROM public.ml_test_results r WHERE r.job_id = NEW.job_id),
                result_comparison_id = (SELECT r.id FROM public.ml_comparisons r WHERE r.job_id = NEW.job_id)
            WHERE id = NEW.job_id;
        WHEN 'FAILED' THEN
            UPDATE public.ml_jobs SET
                status = 'FAILED',
                lease_until = NULL,
                completed_at = NEW.created_at,
                progress_msg = 'Failed',
                error_msg = NEW.message
            WHERE id = NEW.job_id;
        WHEN 'RELEASED', 'EXPIRED' THEN
            UPDATE public.ml_jobs SET
                status = 'PENDING',
                lease_until = NULL,
                progress = 0,
                progress_msg = format('Waiting again after attempt %s: %s', NEW.attempt, NEW.message)
            WHERE id = NEW.job_id;
        WHEN 'CANCELLED' THEN
            NULL;
    END CASE;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER ml_job_events_apply_to_job
AFTER INSERT ON public.ml_job_events
FOR EACH ROW EXECUTE FUNCTION ml.apply_event_to_job();

-- A TRAIN job's model appears with the first claim and fails with the job; its success is in 80_training_runs.sql.
CREATE OR REPLACE FUNCTION ml.apply_event_to_model()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.event = 'CLAIMED' THEN
        INSERT INTO public.ml_models (
            name, model_type, description, train_job_id,
            target_variable, target_operator, target_value, future_minutes,
            train_start, train_end, test_size, random_state,
            features_csv, phases_csv, params_csv
        )
        SELECT
            j.train_model_name, j.train_model_type, j.train_description, j.id,
            j.train_target_var, j.train_operator, j.train_value, j.train_future_minutes,
            j.train_start, j.train_end, j.train_test_size, j.train_random_state,
            j.train_features_csv, j.train_phases_csv, ml.merge_params(t.default_params_csv, j.train_params_csv)
        FROM public.ml_jobs j
        JOIN public.ref_model_types t ON t.name = j.train_model_type
        WHERE j.id = NEW.job_id
            AND j.job_type = 'TRAIN'
            AND NOT EXISTS (SELECT FROM public.ml_models m WHERE m.train_job_id = j.id);
    ELSE
        UPDATE public.ml_models SET status = 'FAILED' WHERE train_job_id = NEW.job_id;
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER ml_job_events_apply_to_model
AFTER INSERT ON public.ml_job_events
FOR EACH ROW
WHEN (NEW.event IN ('CLAIMED', 'FAILED', 'CANCELLED'))
EXECUTE FUNCTION ml.apply_event_to_model();

COMMENT ON PROCEDURE ml.require_attempt(bigint, integer) IS 'The fence: refuses with ML001 whoever no longer holds the job, and locks it for whoever does.';
COMMENT ON FUNCTION ml.check_event() IS 'Trigger: refuses with ML001 an event that the job''s state does not allow; fills in the worker of the attempt.';
COMMENT ON FUNCTION ml.apply_event_to_job() IS 'Trigger: the state of a job as its events imply it.';
COMMENT ON FUNCTION ml.apply_event_to_model() IS 'Trigger: a model is TRAINING from the first claim and FAILED when its job fails or is cancelled.';
COMMENT ON TABLE public.ml_job_events IS 'Everything that happened to a job, append-only.';
COMMENT ON COLUMN public.ml_job_events.id IS 'Number of the event; rises within a job.';
COMMENT ON COLUMN public.ml_job_events.job_id IS 'Job that it happened to.';
COMMENT ON COLUMN public.ml_job_events.attempt IS 'Attempt that it belongs to.';
COMMENT ON COLUMN public.ml_job_events.event IS 'CLAIMED, PROGRESS, COMPLETED, FAILED, CANCELLED, RELEASED (given back) or EXPIRED (lost).';
COMMENT ON COLUMN public.ml_job_events.worker_id IS 'Worker of the attempt.';
COMMENT ON COLUMN public.ml_job_events.progress IS 'PROGRESS: 0.00 to 1.00.';
COMMENT ON COLUMN public.ml_job_events.message IS 'What was being done, or why it failed or went back.';
COMMENT ON COLUMN public.ml_job_events.lease_until IS 'CLAIMED, PROGRESS: end of the lease that it gives.';
COMMENT ON COLUMN public.ml_job_events.created_at IS 'When it happened.';
COMMENT ON COLUMN public.ml_job_events.created_by IS 'Login that caused it.';

-- What a worker may do with a job: claim it, show progress, fail it, give it back, and take over lost ones.
-- Each routine inserts one event. (job, attempt) is the fence; the clock of the database alone ends a lease.
-- A call repeated after its answer was lost gives the answer again.

SET search_path TO pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION ml.claim_job(
    p_worker_id text,
    p_lease interval DEFAULT '30 seconds'
)
RETURNS SETOF public.ml_jobs
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_job public.ml_jobs;
BEGIN
    IF p_worker_id IS NULL OR p_lease IS NULL OR p_lease NOT BETWEEN interval '0' AND interval '1 day' THEN
        RAISE EXCEPTION 'worker % cannot claim a job for %',
            coalesce(quote_literal(p_worker_id), 'NULL'), coalesce(p_lease::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Give the worker a name, and a lease of at most one day.';
    END IF;
    LOOP
        SELECT * INTO v_job
        FROM public.ml_jobs j
        WHERE j.status = 'PENDING'
        ORDER BY j.priority, j.created_at, j.id
        LIMIT 1
        FOR NO KEY UPDATE SKIP LOCKED;
        EXIT WHEN NOT FOUND;
        BEGIN
            -- What was true when the job was inserted may no longer be.
            IF v_job.job_type = 'TRAIN' THEN
                CALL ml.require_free_name(v_job.train_model_name, v_job.id);
            ELSIF v_job.job_type = 'TEST' THEN
                PERFORM ml.require_ready_model(v_job.test_model_id);
            ELSIF v_job.job_type = 'COMPARE' THEN
                PERFORM ml.require_ready_model(v_job.compare_model_a_id);
                PERFORM ml.require_ready_model(v_job.compare_model_b_id);
            END IF;
            INSERT INTO public.ml_job_events (job_id, attempt, event, worker_id, lease_until)
            VALUES (v_job.id, v_job.attempt + 1, 'CLAIMED', p_worker_id, clock_timestamp() + p_lease);
            RETURN QUERY SELECT * FROM public.ml_jobs j WHERE j.id = v_job.id;
            RETURN;
        EXCEPTION
            WHEN integrity_constraint_violation THEN
                INSERT INTO public.ml_job_events (job_id, attempt, event, worker_id, message)
                VALUES (v_job.id, v_job.attempt, 'FAILED', p_worker_id, SQLERRM);
        END;
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION ml.record_progress(
    p_job_id bigint,
    p_attempt integer,
    p_progress numeric,
    p_message text DEFAULT NULL,
    p_lease interval DEFAULT '30 seconds'
)
RETURNS timestamptz
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_lease_until timestamptz;
BEGIN
    CALL ml.require_attempt(p_job_id, p_attempt);
    INSERT INTO public.ml_job_events (job_id, attempt, event, progress, message, lease_until)
    VALUES (p_job_id, p_attempt, 'PROGRESS', p_progress, p_message, clock_timestamp() + p_lease)
    RETURNING lease_until INTO v_lease_until;
    RETURN v_lease_until;
END
$$;

CREATE OR REPLACE FUNCTION ml.record_failure(
    p_job_id bigint,
    p_attempt integer,
    p_message text
)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    -- An attempt that was lost or given back did not record the failure that came after it.
    IF NOT EXISTS (
        SELECT FROM public.ml_job_events e
        WHERE e.job_id = p_job_id AND e.attempt = p_attempt AND e.event IN ('FAILED', 'EXPIRED', 'RELEASED')
        HAVING min(e.event) = 'FAILED' AND max(e.event) = 'FAILED'
    ) THEN
        CALL ml.require_attempt(p_job_id, p_attempt);
        INSERT INTO public.ml_job_events (job_id, attempt, event, message)
        VALUES (p_job_id, p_attempt, 'FAILED', p_message);
    END IF;
    RETURN 'FAILED';
END
$$;

-- The attempt is lost, not the job: it waits for another, or fails once max_attempts are lost.
CREATE OR REPLACE FUNCTION ml.record_loss(
    p_job_id bigint,
    p_attempt integer,
    p_message text
)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_lost bigint;
BEGIN
    IF NOT EXISTS (
        SELECT FROM public.ml_job_events e
        WHERE e.job_id = p_job_id AND e.attempt = p_attempt AND e.event = 'EXPIRED'
    ) THEN
        CALL ml.require_attempt(p_job_id, p_attempt);
        INSERT INTO public.ml_job_events (job_id, attempt, event, message)
        VALUES (p_job_id, p_attempt, 'EXPIRED', p_message);

        SELECT count(*) INTO v_lost
        FROM public.ml_job_events e
        WHERE e.job_id = p_job_id AND e.event = 'EXPIRED';
        INSERT INTO public.ml_job_events (job_id, attempt, event, message)
        SELECT j.id, j.attempt, 'FAILED', format('Lost %s of %s attempts; the last: %s', v_lost, j.max_attempts, p_message)
        FROM public.ml_jobs j
        WHERE j.id = p_job_id AND v_lost >= j.max_attempts;
    END IF;
    RETURN CASE
        WHEN EXISTS (
            SELECT FROM public.ml_job_events e
            WHERE e.job_id = p_job_id AND e.attempt = p_attempt AND e.event = 'FAILED'
        ) THEN 'FAILED'
        ELSE 'PENDING'
    END;
END
$$;

CREATE OR REPLACE FUNCTION ml.release_job(
    p_job_id bigint,
    p_attempt integer,
    p_message text
)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM public.ml_job_events e
        WHERE e.job_id = p_job_id AND e.attempt = p_attempt AND e.event = 'RELEASED'
    ) THEN
        CALL ml.require_attempt(p_job_id, p_attempt);
        INSERT INTO public.ml_job_events (job_id, attempt, event, message)
        VALUES (p_job_id, p_attempt, 'RELEASED', p_message);
    END IF;
    RETURN 'PENDING';
END
$$;

CREATE OR REPLACE FUNCTION ml.expire_leases()
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_job public.ml_jobs;
    v_expired bigint := 0;
BEGIN
    FOR v_job IN
        SELECT *
        FROM public.ml_jobs j
        WHERE j.status = 'RUNNING' AND j.lease_until < clock_timestamp()
        ORDER BY j.id
        FOR NO KEY UPDATE SKIP LOCKED
    LOOP
        PERFORM ml.record_loss(
            v_job.id, v_job.attempt, format('worker %s gave no sign of life until %s', v_job.worker_id, v_job.lease_until)
        );
        v_expired := v_expired + 1;
    END LOOP;
    RETURN v_expired;
END
$$;

COMMENT ON FUNCTION ml.claim_job(text, interval) IS 'Worker: takes the next PENDING job (priority, then age) and returns its row; none: no row.';
COMMENT ON FUNCTION ml.record_progress(bigint, integer, numeric, text, interval) IS 'Worker: sign of life; moves the progress bar, renews the lease and returns its end.';
COMMENT ON FUNCTION ml.record_failure(bigint, integer, text) IS 'Worker: the job cannot succeed; ends it as FAILED with this error_msg.';
COMMENT ON FUNCTION ml.record_loss(bigint, integer, text) IS 'Worker: the attempt died; the job waits for another or FAILS after max_attempts. Returns its new status.';
COMMENT ON FUNCTION ml.release_job(bigint, integer, text) IS 'Worker: gives a job back unharmed, for another attempt that does not count as lost.';
COMMENT ON FUNCTION ml.expire_leases() IS 'Worker: takes away every job whose lease has ended; returns how many.';

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
    p_warnings text DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_id bigint := (SELECT r.id FROM public.ml_training_runs r WHERE r.job_id = p_job_id AND r.attempt = p_attempt);
BEGIN
    IF v_id IS NULL THEN
        CALL ml.require_attempt(p_job_id, p_attempt);
        INSERT INTO public.ml_training_runs (
            job_id, attempt, model_id, holdout,
            num_coins, num_fitted, num_fitted_positive, num_gap, num_unlabelled,
            num_samples, num_positive, num_negative, tp, tn, fp, fn, roc_auc,
            feature_importance_csv, artifact_path, artifact_sha256, artifact_bytes,
            data_fingerprint, library_versions_csv, seconds_loading, seconds_fitting, warnings
        )
        VALUES (
            p_job_id, p_attempt, (SELECT m.id FROM public.ml_models m WHERE m.train_job_id = p_job_id), p_holdout,
            p_num_coins, p_num_fitted, p_num_fitted_positive, p_num_gap, p_num_unlabelled,
            p_num_positive + p_num_negative, p_num_positive, p_num_negative, p_tp, p_tn, p_fp, p_fn, p_roc_auc,
            p_feature_importance_csv, p_artifact_path, p_artifact_sha256, p_artifact_bytes,
            p_data_fingerprint, p_library_versions_csv, p_seconds_loading, p_seconds_fitting, p_warnings
        )
        RETURNING id INTO v_id;
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
    numeric, text, text, text, bigint, text, text, numeric, numeric, text
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
    p_seconds_scoring numeric
)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_id bigint := (SELECT r.id FROM public.ml_test_results r WHERE r.job_id = p_job_id AND r.attempt = p_attempt);
BEGIN
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
    END IF;
    RETURN v_id;
END
$$;

COMMENT ON FUNCTION ml.overlap_note(tstzrange, tstzrange) IS 'How much of a test period lies in the training period, in words; NULL: nothing.';
COMMENT ON FUNCTION ml.fill_overlap() IS 'Trigger: has_overlap and overlap_note from the periods of test and training.';
COMMENT ON FUNCTION ml.record_test(
    bigint, integer, bigint, bigint, bigint, bigint, bigint, bigint, bigint, numeric, text, text, numeric, numeric
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
    v_id bigint := (SELECT r.id FROM public.ml_comparisons r WHERE r.job_id = p_job_id AND r.attempt = p_attempt);
BEGIN
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

-- Views for the eye: the queue, the models by rank, and the text lists of a model as rows.

SET search_path TO pg_catalog, pg_temp;

CREATE OR REPLACE VIEW public.ml_queue WITH (security_invoker = true) AS
SELECT
    CASE WHEN j.status = 'PENDING' THEN row_number() OVER (PARTITION BY j.status ORDER BY j.priority, j.created_at, j.id) END AS position,
    j.id,
    j.job_type,
    coalesce(j.train_model_name, t.name, a.name || ' / ' || b.name) AS model,
    j.status,
    j.priority,
    date_trunc('second', CASE WHEN j.status = 'RUNNING' THEN j.started_at ELSE now() END - j.created_at) AS waiting,
    CASE WHEN j.status = 'RUNNING' THEN date_trunc('second', now() - j.started_at) END AS running,
    j.progress,
    rpad(repeat('#', (j.progress * 20)::integer), 20, '.') AS bar,
    j.progress_msg,
    j.attempt,
    j.worker_id,
    j.created_at
FROM public.ml_jobs j
LEFT JOIN public.ml_models t ON t.id = j.test_model_id
LEFT JOIN public.ml_models a ON a.id = j.compare_model_a_id
LEFT JOIN public.ml_models b ON b.id = j.compare_model_b_id
WHERE j.status IN ('PENDING', 'RUNNING')
ORDER BY j.status = 'RUNNING' DESC, j.priority, j.created_at, j.id;

CREATE OR REPLACE VIEW public.ml_leaderboard WITH (security_invoker = true) AS
SELECT
    rank() OVER (
        PARTITION BY m.target_variable, m.target_operator, m.target_value, m.future_minutes
        ORDER BY t.f1_score DESC NULLS LAST, t.accuracy DESC NULLS LAST, m.training_f1 DESC NULLS LAST
    ) AS rank,
    m.id,
    m.name,
    m.model_type,
    concat_ws(
        ' ', m.target_variable, m.target_operator, trim_scale(m.target_value), 'after ' || m.future_minutes || ' min'
    ) AS target,
    m.training_accuracy,
    m.training_f1,
    r.roc_auc AS training_roc_auc,
    t.test_start,
    t.test_end,
    t.num_samples AS test_samples,
    t.accuracy AS test_accuracy,
    t.f1_score AS test_f1,
    t.precision_score AS test_precision,
    t.recall AS test_recall,
    t.roc_auc AS test_roc_auc,
    t.overlap_note AS test_overlap,
    (SELECT count(*) FROM public.ml_test_results x WHERE x.model_id = m.id) AS tests,
    (SELECT count(*) FROM public.ml_comparisons c WHERE c.winner_id = m.id) AS comparisons_won,
    m.created_at
FROM public.ml_models m
LEFT JOIN public.ml_training_runs r ON r.model_id = m.id
LEFT JOIN LATERAL (
    SELECT x.* FROM public.ml_test_results x WHERE x.model_id = m.id ORDER BY x.created_at DESC, x.id DESC LIMIT 1
) t ON true
WHERE m.status = 'READY' AND NOT m.is_deleted
ORDER BY m.target_variable, m.target_operator, m.target_value, m.future_minutes, rank, m.id;

CREATE OR REPLACE VIEW public.ml_model_features WITH (security_invoker = true) AS
SELECT
    m.id AS model_id,
    m.name AS model_name,
    f.place::integer AS place,
    btrim(f.feature) AS feature,
    split_part(i.item, '=', 2)::numeric AS importance
FROM public.ml_models m
CROSS JOIN LATERAL string_to_table(m.features_csv, ',') WITH ORDINALITY AS f (feature, place)
LEFT JOIN LATERAL string_to_table(m.feature_importance_csv, ';') AS i (item) ON split_part(i.item, '=', 1) = btrim(f.feature)
ORDER BY m.id, importance DESC NULLS LAST, f.place;

CREATE OR REPLACE VIEW public.ml_model_params WITH (security_invoker = true) AS
SELECT
    m.id AS model_id,
    m.name AS model_name,
    p.name AS param,
    p.kind,
    coalesce(g.value, p.default_value) AS value,
    g.value IS NOT NULL AS is_given,
    p.default_value,
    p.description
FROM public.ml_models m
JOIN public.ref_model_params p ON p.model_type = m.model_type
LEFT JOIN LATERAL (
    SELECT split_part(i.item, '=', 2) AS value
    FROM string_to_table(m.params_csv, ';') AS i (item)
    WHERE split_part(i.item, '=', 1) = p.name
) g ON true
ORDER BY m.id, is_given DESC, p.name;

COMMENT ON VIEW public.ml_queue IS 'Jobs that wait or run, in the order in which they will be taken.';
COMMENT ON COLUMN public.ml_queue.position IS 'Place among the waiting jobs, from 1; NULL: running.';
COMMENT ON COLUMN public.ml_queue.id IS 'Number of the job.';
COMMENT ON COLUMN public.ml_queue.job_type IS 'TRAIN, TEST or COMPARE.';
COMMENT ON COLUMN public.ml_queue.model IS 'Name of the model, or of both.';
COMMENT ON COLUMN public.ml_queue.status IS 'PENDING or RUNNING.';
COMMENT ON COLUMN public.ml_queue.priority IS '1 (highest) to 10 (lowest).';
COMMENT ON COLUMN public.ml_queue.waiting IS 'Time from the INSERT to the start of the latest attempt, or until now.';
COMMENT ON COLUMN public.ml_queue.running IS 'Time since its latest attempt started.';
COMMENT ON COLUMN public.ml_queue.progress IS '0.00 to 1.00.';
COMMENT ON COLUMN public.ml_queue.bar IS 'The progress as a bar of 20 characters.';
COMMENT ON COLUMN public.ml_queue.progress_msg IS 'What is being done.';
COMMENT ON COLUMN public.ml_queue.attempt IS 'Number of the latest attempt.';
COMMENT ON COLUMN public.ml_queue.worker_id IS 'Worker of the latest attempt.';
COMMENT ON COLUMN public.ml_queue.created_at IS 'When the job was inserted.';
COMMENT ON VIEW public.ml_leaderboard IS 'READY models with their latest test, ranked among those with the same target: test F1, then accuracy.';
COMMENT ON COLUMN public.ml_leaderboard.rank IS 'Rank by the latest test: F1, then accuracy; ties, and untested models, which come last, by training F1.';
COMMENT ON COLUMN public.ml_leaderboard.id IS 'Number of the model.';
COMMENT ON COLUMN public.ml_leaderboard.name IS 'Name of the model.';
COMMENT ON COLUMN public.ml_leaderboard.model_type IS 'Kind of model.';
COMMENT ON COLUMN public.ml_leaderboard.target IS 'What it predicts; ranks compare models with the same target only.';
COMMENT ON COLUMN public.ml_leaderboard.training_accuracy IS 'Accuracy on the held-out rows of the training.';
COMMENT ON COLUMN public.ml_leaderboard.training_f1 IS 'F1 on the held-out rows of the training.';
COMMENT ON COLUMN public.ml_leaderboard.training_roc_auc IS 'ROC AUC on the held-out rows of the training.';
COMMENT ON COLUMN public.ml_leaderboard.test_start IS 'First moment of its latest test.';
COMMENT ON COLUMN public.ml_leaderboard.test_end IS 'First moment after its latest test.';
COMMENT ON COLUMN public.ml_leaderboard.test_samples IS 'Rows of its latest test.';
COMMENT ON COLUMN public.ml_leaderboard.test_accuracy IS 'Accuracy in its latest test.';
COMMENT ON COLUMN public.ml_leaderboard.test_f1 IS 'F1 in its latest test.';
COMMENT ON COLUMN public.ml_leaderboard.test_precision IS 'Precision in its latest test.';
COMMENT ON COLUMN public.ml_leaderboard.test_recall IS 'Recall in its latest test.';
COMMENT ON COLUMN public.ml_leaderboard.test_roc_auc IS 'ROC AUC in its latest test.';
COMMENT ON COLUMN public.ml_leaderboard.test_overlap IS 'How much of its latest test was also training period; if any, the metrics flatter.';
COMMENT ON COLUMN public.ml_leaderboard.tests IS 'Number of its tests.';
COMMENT ON COLUMN public.ml_leaderboard.comparisons_won IS 'Number of comparisons that it won.';
COMMENT ON COLUMN public.ml_leaderboard.created_at IS 'When its training was first claimed.';
COMMENT ON VIEW public.ml_model_features IS 'Features of each model as rows, the most important first.';
COMMENT ON COLUMN public.ml_model_features.model_id IS 'Number of the model.';
COMMENT ON COLUMN public.ml_model_features.model_name IS 'Name of the model.';
COMMENT ON COLUMN public.ml_model_features.place IS 'Place in features_csv, from 1.';
COMMENT ON COLUMN public.ml_model_features.feature IS 'Column of coin_metrics.';
COMMENT ON COLUMN public.ml_model_features.importance IS 'Share of the permutation importance on the held-out rows of the training.';
COMMENT ON VIEW public.ml_model_params IS 'Hyperparameters of each model as rows, those from params_csv first.';
COMMENT ON COLUMN public.ml_model_params.model_id IS 'Number of the model.';
COMMENT ON COLUMN public.ml_model_params.model_name IS 'Name of the model.';
COMMENT ON COLUMN public.ml_model_params.param IS 'Name of the hyperparameter.';
COMMENT ON COLUMN public.ml_model_params.kind IS 'integer, number, boolean, choice or layers.';
COMMENT ON COLUMN public.ml_model_params.value IS 'Value that the fit used.';
COMMENT ON COLUMN public.ml_model_params.is_given IS 'Whether it stands in params_csv; otherwise it is the default.';
COMMENT ON COLUMN public.ml_model_params.default_value IS 'Default of ref_model_params.';
COMMENT ON COLUMN public.ml_model_params.description IS 'What it does.';

-- Who may do what. The roles cannot log in; the operator grants them to logins:
-- GRANT ml_client TO anna;

SET search_path TO pg_catalog, pg_temp;

DO $$
DECLARE
    v_role name;
BEGIN
    FOREACH v_role IN ARRAY ARRAY['ml_reader', 'ml_client', 'ml_worker'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = v_role) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', v_role);
                EXECUTE format('COMMENT ON ROLE %I IS %L', v_role, CASE v_role
                    WHEN 'ml_reader' THEN 'Reads the tables and views of the ML service.'
                    WHEN 'ml_client' THEN 'Reads; submits, cancels and reorders jobs; names, describes and deletes models.'
                    WHEN 'ml_worker' THEN 'Reads; calls the routines of a worker, and changes nothing otherwise.'
                END);
            END IF;
        EXCEPTION
            -- Roles belong to the whole server: the installer of another database may have come first.
            WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END LOOP;
    -- Clients and workers read what readers read.
    FOREACH v_role IN ARRAY ARRAY['ml_client', 'ml_worker'] LOOP
        IF NOT pg_has_role(v_role, 'ml_reader', 'MEMBER') THEN
            EXECUTE format('GRANT ml_reader TO %I', v_role);
        END IF;
    END LOOP;
END
$$;

REVOKE ALL ON ALL ROUTINES IN SCHEMA ml FROM public;

-- Reads everything.
GRANT USAGE ON SCHEMA public, ml TO ml_reader;
GRANT SELECT ON
    public.ref_model_types, public.ref_model_params,
    public.ml_jobs, public.ml_job_events, public.ml_models,
    public.ml_training_runs, public.ml_test_results, public.ml_comparisons,
    public.ml_metric_columns, public.ml_queue, public.ml_leaderboard, public.ml_model_features, public.ml_model_params,
    ml.schema_version
TO ml_reader;

-- The collectors' login may own these two; then it has to grant.
DO $$
DECLARE
    v_table text;
BEGIN
    FOREACH v_table IN ARRAY ARRAY['public.coin_metrics', 'public.ref_coin_phases'] LOOP
        IF NOT has_table_privilege('ml_reader', v_table, 'SELECT') THEN
            BEGIN
                EXECUTE format('GRANT SELECT ON %s TO ml_reader', v_table);
            EXCEPTION
                WHEN insufficient_privilege THEN
                    RAISE EXCEPTION 'ml_reader may not read %, and this login may not allow it', v_table
                        USING ERRCODE = 'insufficient_privilege',
                        HINT = format('As its owner: CREATE ROLE ml_reader; GRANT SELECT ON %s TO ml_reader; then install again.', v_table);
            END;
        END IF;
    END LOOP;
END
$$;

-- Reads everything; submits, cancels and reorders jobs; names, describes and deletes models.
-- It may name every field of a new job but the id: a field that the service fills is refused with a reason.
GRANT INSERT (
    job_type, status, priority, max_attempts,
    train_target_var, train_operator, train_value, train_start, train_end,
    train_features_csv, train_phases_csv, train_params_csv, train_model_type,
    train_model_name, train_description, train_test_size, train_random_state, train_future_minutes,
    test_model_id, test_start, test_end,
    compare_model_a_id, compare_model_b_id, compare_start, compare_end,
    created_at, started_at, completed_at, progress, progress_msg, error_msg,
    worker_id, attempt, lease_until, result_model_id, result_test_id, result_comparison_id
) ON public.ml_jobs TO ml_client;
GRANT UPDATE (status, priority) ON public.ml_jobs TO ml_client;
GRANT UPDATE (name, description, is_deleted) ON public.ml_models TO ml_client;
GRANT EXECUTE ON PROCEDURE ml.cancel_job(bigint) TO ml_client;

-- Reads everything; changes nothing but through these routines.
GRANT EXECUTE ON FUNCTION ml.claim_job(text, interval) TO ml_worker;
GRANT EXECUTE ON FUNCTION ml.record_progress(bigint, integer, numeric, text, interval) TO ml_worker;
GRANT EXECUTE ON FUNCTION ml.record_failure(bigint, integer, text) TO ml_worker;
GRANT EXECUTE ON FUNCTION ml.record_loss(bigint, integer, text) TO ml_worker;
GRANT EXECUTE ON FUNCTION ml.release_job(bigint, integer, text) TO ml_worker;
GRANT EXECUTE ON FUNCTION ml.expire_leases() TO ml_worker;
GRANT EXECUTE ON FUNCTION ml.record_training(
    bigint, integer, text, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint,
    numeric, text, text, text, bigint, text, text, numeric, numeric, text
) TO ml_worker;
GRANT EXECUTE ON FUNCTION ml.record_test(
    bigint, integer, bigint, bigint, bigint, bigint, bigint, bigint, bigint, numeric, text, text, numeric, numeric
) TO ml_worker;
GRANT EXECUTE ON FUNCTION ml.record_comparison(
    bigint, integer, bigint, bigint, bigint, bigint, bigint, bigint, numeric,
    bigint, bigint, bigint, bigint, numeric, text, numeric, numeric
) TO ml_worker;

-- All files have been applied: this database has version 1.

SET search_path TO pg_catalog, pg_temp;

INSERT INTO ml.schema_version (version)
VALUES (1)
ON CONFLICT DO NOTHING;
