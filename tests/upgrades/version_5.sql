-- The schema of version 5, for the same test: the files of sql/ at that version, without their comments.
SET search_path TO pg_catalog, pg_temp;
CREATE SCHEMA IF NOT EXISTS ml;
CREATE TABLE IF NOT EXISTS ml.schema_version (
    version integer NOT NULL,
    installed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT schema_version_pkey PRIMARY KEY (version),
    CONSTRAINT schema_version_positive CHECK (version > 0)
);
DO $$
DECLARE
    v_installed integer := (SELECT max(v.version) FROM ml.schema_version v);
BEGIN
    IF v_installed <> 5 THEN
        RAISE EXCEPTION 'this database has schema version %, these files are version 5', v_installed
            USING ERRCODE = 'ML005', HINT = CASE
                WHEN v_installed > 5 THEN 'Use the release that installed the newer version, or one after it.'
                ELSE format('Run ml-worker install, or first apply the files of sql/upgrades/ after %s, in order.', v_installed)
            END;
    END IF;
END
$$;
CREATE SCHEMA IF NOT EXISTS ml_internal;
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE FUNCTION ml_internal.refuse_change_of_fact()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('ml.pruning', true) = 'on' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'ML003', TABLE = TG_TABLE_NAME,
        HINT = 'Facts are inserted by the worker''s procedures and stay as they are; ml.prune removes old ones.';
END
$$;
CREATE OR REPLACE PROCEDURE ml_internal.require_autocommit(
    p_routine text
)
LANGUAGE plpgsql
AS $$
BEGIN
    COMMIT;
EXCEPTION
    WHEN invalid_transaction_termination THEN
        IF SQLERRM OPERATOR(pg_catalog.=) 'invalid transaction termination' THEN
            RAISE EXCEPTION '% commits as it goes and cannot run inside a transaction', p_routine
                USING ERRCODE = 'active_sql_transaction', HINT = 'COMMIT or ROLLBACK first; in a client, turn autocommit on.';
        END IF;
END
$$;
CREATE OR REPLACE PROCEDURE ml_internal.keep_constraint(
    p_table regclass,
    p_name text,
    p_check text,
    p_how text DEFAULT ''
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF p_check IS DISTINCT FROM (
        SELECT obj_description(c.oid, 'pg_constraint')
        FROM pg_constraint c
        WHERE c.conrelid = p_table AND c.conname = p_name
    ) THEN
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS %I, ADD CONSTRAINT %2$I CHECK (%s) %s', p_table, p_name, p_check, p_how);
        EXECUTE format('COMMENT ON CONSTRAINT %I ON %s IS %L', p_name, p_table, p_check);
    END IF;
END
$$;
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
            WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END LOOP;
    FOREACH v_role IN ARRAY ARRAY['ml_client', 'ml_worker'] LOOP
        IF NOT pg_has_role(v_role, 'ml_reader', 'MEMBER') THEN
            EXECUTE format('GRANT ml_reader TO %I', v_role);
        END IF;
    END LOOP;
END
$$;
GRANT USAGE ON SCHEMA public, ml, ml_internal TO ml_reader;
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE FUNCTION ml_internal.tidy_list(
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
CREATE OR REPLACE FUNCTION ml_internal.list_items(
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
CREATE OR REPLACE FUNCTION ml_internal.param_items(
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
CREATE OR REPLACE FUNCTION ml_internal.merge_params(
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
    FROM ml_internal.param_items(p_defaults_csv) d
    FULL JOIN ml_internal.param_items(p_own_csv) o ON o.name = d.name;
$$;
CREATE OR REPLACE FUNCTION ml_internal.common_items(
    VARIADIC p_lists text []
)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN num_nonnulls(VARIADIC p_lists) > 0 THEN coalesce(
        (
            SELECT string_agg(c.item, ',' ORDER BY c.place)
            FROM (
                SELECT i.item, min(i.place) AS place
                FROM unnest(p_lists) l (csv)
                CROSS JOIN LATERAL ml_internal.list_items(l.csv) i
                GROUP BY i.item
                HAVING count(*) = num_nonnulls(VARIADIC p_lists)
            ) c
        ),
        ''
    ) END;
$$;
CREATE OR REPLACE FUNCTION ml_internal.suggest_names(
    p_unknown text,
    p_allowed text [],
    p_otherwise text DEFAULT NULL
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
        p_otherwise,
        'Allowed: ' || array_to_string(p_allowed, ', ') || '.'
    );
$$;
CREATE OR REPLACE FUNCTION ml_internal.count_text(
    p_count bigint,
    p_of bigint DEFAULT NULL
)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT to_char(p_count, 'FM999,999,999,999,999') || coalesce(' (' || round(100.0 * p_count / nullif(p_of, 0), 1) || ' %)', '');
$$;
CREATE OR REPLACE FUNCTION ml_internal.period_text(
    p_start timestamptz,
    p_end timestamptz
)
RETURNS text
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT replace(to_char(p_start, 'YYYY-MM-DD HH24:MI') || ' to ' || to_char(p_end, 'YYYY-MM-DD HH24:MI'), ' 00:00', '');
$$;
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
        COMMENT ON TABLE public.coin_metrics IS 'Time series of the coins: one row per coin and moment. NULL means unknown, not zero.';
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
SET search_path TO pg_catalog, pg_temp;
INSERT INTO public.ref_model_types (id, name, description, default_params_csv)
VALUES
    (1, 'random_forest', 'Good for beginners, robust', 'n_estimators=100;max_depth=10;min_samples_split=2')
ON CONFLICT (name) DO UPDATE SET
    description = EXCLUDED.description,
    default_params_csv = EXCLUDED.default_params_csv;
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
    ('random_forest', 'class_weight', 'choice', NULL, NULL, 'none,balanced,balanced_subsample', 'none', 'balanced: a rare class weighs as much as a frequent one')
ON CONFLICT (model_type, name) DO UPDATE SET
    kind = EXCLUDED.kind,
    min_value = EXCLUDED.min_value,
    max_value = EXCLUDED.max_value,
    choices_csv = EXCLUDED.choices_csv,
    default_value = EXCLUDED.default_value,
    description = EXCLUDED.description;
SET search_path TO pg_catalog, pg_temp;
INSERT INTO public.ref_model_types (id, name, description, default_params_csv)
VALUES
    (2, 'xgboost', 'Very strong, wants tuning', 'n_estimators=100;max_depth=6;learning_rate=0.1')
ON CONFLICT (name) DO UPDATE SET
    description = EXCLUDED.description,
    default_params_csv = EXCLUDED.default_params_csv;
INSERT INTO public.ref_model_params (model_type, name, kind, min_value, max_value, choices_csv, default_value, description)
VALUES
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
    ('xgboost', 'grow_policy', 'choice', NULL, NULL, 'depthwise,lossguide', 'depthwise', 'Order in which nodes are split')
ON CONFLICT (model_type, name) DO UPDATE SET
    kind = EXCLUDED.kind,
    min_value = EXCLUDED.min_value,
    max_value = EXCLUDED.max_value,
    choices_csv = EXCLUDED.choices_csv,
    default_value = EXCLUDED.default_value,
    description = EXCLUDED.description;
SET search_path TO pg_catalog, pg_temp;
INSERT INTO public.ref_model_types (id, name, description, default_params_csv)
VALUES
    (3, 'gradient_boosting', 'Similar to xgboost', 'n_estimators=100;max_depth=3;learning_rate=0.1')
ON CONFLICT (name) DO UPDATE SET
    description = EXCLUDED.description,
    default_params_csv = EXCLUDED.default_params_csv;
INSERT INTO public.ref_model_params (model_type, name, kind, min_value, max_value, choices_csv, default_value, description)
VALUES
    ('gradient_boosting', 'n_estimators', 'integer', 1, 10000, NULL, '100', 'Number of trees'),
    ('gradient_boosting', 'max_depth', 'integer', 1, 1000, 'none', '3', 'Largest depth of a tree; none: no limit'),
    ('gradient_boosting', 'learning_rate', 'number', 0.0001, 1, NULL, '0.1', 'Shrinkage of each tree''s step'),
    ('gradient_boosting', 'max_leaf_nodes', 'integer', 2, 10000, 'none', '31', 'Largest number of leaves of a tree; none: no limit'),
    ('gradient_boosting', 'min_samples_leaf', 'integer', 1, 1000000, NULL, '20', 'Rows that a leaf must keep'),
    ('gradient_boosting', 'l2_regularization', 'number', 0, 1000000, NULL, '0', 'L2 penalty on the leaves'),
    ('gradient_boosting', 'max_features', 'number', 0.01, 1, NULL, '1', 'Share of the features tried at a split'),
    ('gradient_boosting', 'max_bins', 'integer', 2, 255, NULL, '255', 'Histogram bins a feature'),
    ('gradient_boosting', 'class_weight', 'choice', NULL, NULL, 'none,balanced', 'none', 'balanced: a rare class weighs as much as a frequent one')
ON CONFLICT (model_type, name) DO UPDATE SET
    kind = EXCLUDED.kind,
    min_value = EXCLUDED.min_value,
    max_value = EXCLUDED.max_value,
    choices_csv = EXCLUDED.choices_csv,
    default_value = EXCLUDED.default_value,
    description = EXCLUDED.description;
SET search_path TO pg_catalog, pg_temp;
INSERT INTO public.ref_model_types (id, name, description, default_params_csv)
VALUES
    (4, 'logistic_regression', 'Simple, fast, easy to interpret', 'C=1.0;max_iter=100')
ON CONFLICT (name) DO UPDATE SET
    description = EXCLUDED.description,
    default_params_csv = EXCLUDED.default_params_csv;
INSERT INTO public.ref_model_params (model_type, name, kind, min_value, max_value, choices_csv, default_value, description)
VALUES
    ('logistic_regression', 'C', 'number', 0.000001, 1000000, NULL, '1.0', 'Inverse of the penalty''s strength'),
    ('logistic_regression', 'max_iter', 'integer', 1, 100000, NULL, '100', 'Largest number of iterations'),
    ('logistic_regression', 'tol', 'number', 0.0000001, 1, NULL, '0.0001', 'Change at which the fit has converged'),
    ('logistic_regression', 'solver', 'choice', NULL, NULL, 'lbfgs,newton-cholesky,sag,saga', 'lbfgs', 'Algorithm of the fit'),
    ('logistic_regression', 'fit_intercept', 'boolean', NULL, NULL, NULL, 'true', 'Whether the model has a constant term'),
    ('logistic_regression', 'class_weight', 'choice', NULL, NULL, 'none,balanced', 'none', 'balanced: a rare class weighs as much as a frequent one')
ON CONFLICT (model_type, name) DO UPDATE SET
    kind = EXCLUDED.kind,
    min_value = EXCLUDED.min_value,
    max_value = EXCLUDED.max_value,
    choices_csv = EXCLUDED.choices_csv,
    default_value = EXCLUDED.default_value,
    description = EXCLUDED.description;
SET search_path TO pg_catalog, pg_temp;
INSERT INTO public.ref_model_types (id, name, description, default_params_csv)
VALUES
    (5, 'neural_network', 'Complex, needs much data', 'hidden_layers=100,50;activation=relu;max_iter=200')
ON CONFLICT (name) DO UPDATE SET
    description = EXCLUDED.description,
    default_params_csv = EXCLUDED.default_params_csv;
INSERT INTO public.ref_model_params (model_type, name, kind, min_value, max_value, choices_csv, default_value, description)
VALUES
    ('neural_network', 'hidden_layers', 'layers', 1, 1024, NULL, '100,50', 'Units of each hidden layer, at most 10 layers'),
    ('neural_network', 'activation', 'choice', NULL, NULL, 'identity,logistic,tanh,relu', 'relu', 'Activation of the hidden units'),
    ('neural_network', 'max_iter', 'integer', 1, 10000, NULL, '200', 'Largest number of epochs'),
    ('neural_network', 'solver', 'choice', NULL, NULL, 'adam,sgd', 'adam', 'Algorithm of the fit'),
    ('neural_network', 'alpha', 'number', 0, 1000, NULL, '0.0001', 'L2 penalty on the weights'),
    ('neural_network', 'learning_rate_init', 'number', 0.000001, 1, NULL, '0.001', 'Step of the first epoch'),
    ('neural_network', 'batch_size', 'integer', 1, 1000000, 'auto', 'auto', 'Rows a step; auto: 200, or all where there are fewer'),
    ('neural_network', 'tol', 'number', 0.0000001, 1, NULL, '0.0001', 'Least improvement of the loss that counts'),
    ('neural_network', 'n_iter_no_change', 'integer', 1, 10000, NULL, '10', 'Epochs without such improvement that end the fit')
ON CONFLICT (model_type, name) DO UPDATE SET
    kind = EXCLUDED.kind,
    min_value = EXCLUDED.min_value,
    max_value = EXCLUDED.max_value,
    choices_csv = EXCLUDED.choices_csv,
    default_value = EXCLUDED.default_value,
    description = EXCLUDED.description;
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE FUNCTION ml_internal.is_positive(
    operator text,
    target numeric,
    value numeric
)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN CASE operator
    WHEN '>' THEN target > value
    WHEN '<' THEN target < value
    WHEN '>=' THEN target >= value
    WHEN '<=' THEN target <= value
    WHEN '=' THEN target = value
    WHEN '!=' THEN target <> value
END;
CREATE OR REPLACE FUNCTION ml_internal.label_text(
    target text,
    operator text,
    value numeric,
    future_minutes integer
)
RETURNS text
LANGUAGE sql
STABLE
PARALLEL SAFE
RETURN concat_ws(' ', target, operator, trim_scale(value), 'after ' || future_minutes || ' min');
CREATE OR REPLACE FUNCTION ml_internal.label_expression(
    future_minutes integer
)
RETURNS text
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN future_minutes IS NULL THEN 's.own_label' ELSE format(
        'first_value(s.own_label) OVER (PARTITION BY s.mint ORDER BY s."timestamp"
            RANGE BETWEEN %L::interval FOLLOWING AND %L::interval FOLLOWING)',
        make_interval(mins => future_minutes), make_interval(mins => 2 * future_minutes)
    ) END;
$$;
CREATE OR REPLACE FUNCTION ml_internal.unlabelled_text(
    future_minutes integer
)
RETURNS text
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN future_minutes IS NULL THEN 'their target is NULL'
        ELSE format('their coin has no row with a target %s to %s minutes later within the period', future_minutes, 2 * future_minutes)
    END;
$$;
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
CALL ml_internal.keep_constraint('public.ml_models', 'ml_models_operator_known', 'ml_internal.is_positive(target_operator, 0, 0) IS NOT NULL');
CREATE INDEX IF NOT EXISTS idx_models_status ON public.ml_models (status);
CREATE INDEX IF NOT EXISTS idx_models_created ON public.ml_models (created_at DESC);
CREATE UNIQUE INDEX IF NOT EXISTS ml_models_name_taken
ON public.ml_models (name)
WHERE NOT is_deleted AND status <> 'FAILED';
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
    IF NEW.name IS NULL OR NEW.name !~ '\S' THEN
        RAISE EXCEPTION 'the name of model % cannot be blank', OLD.id
            USING ERRCODE = 'check_violation', TABLE = 'ml_models', COLUMN = 'name',
            HINT = 'Give it a name, or leave the old one.';
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
CREATE OR REPLACE FUNCTION ml_internal.require_ready_model(
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
                ELSE format('Its training failed; see error_msg of job %s. Use another model, or train a new one.', v_model.train_job_id)
            END;
    END IF;
    RETURN v_model;
END
$$;
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
CREATE OR REPLACE TRIGGER ml_models_30_rules
BEFORE UPDATE ON public.ml_models
FOR EACH ROW EXECUTE FUNCTION ml_internal.keep_model_rules();
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
    created_by name NOT NULL DEFAULT current_user,
    CONSTRAINT ml_jobs_pkey PRIMARY KEY (id),
    CONSTRAINT ml_jobs_priority_between_1_and_10 CHECK (priority BETWEEN 1 AND 10),
    CONSTRAINT ml_jobs_max_attempts_between_1_and_100 CHECK (max_attempts BETWEEN 1 AND 100),
    CONSTRAINT ml_jobs_status_known CHECK (status IN ('PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED')),
    CONSTRAINT ml_jobs_progress_between_0_and_1 CHECK (progress BETWEEN 0 AND 1),
    CONSTRAINT ml_jobs_attempt_not_negative CHECK (attempt >= 0),
    CONSTRAINT ml_jobs_running_has_worker CHECK (status <> 'RUNNING' OR num_nulls(worker_id, started_at) = 0),
    CONSTRAINT ml_jobs_running_has_lease CHECK ((status = 'RUNNING') = (lease_until IS NOT NULL)),
    CONSTRAINT ml_jobs_ended_has_time CHECK ((status IN ('COMPLETED', 'FAILED', 'CANCELLED')) = (completed_at IS NOT NULL)),
    CONSTRAINT ml_jobs_failed_has_reason CHECK ((status = 'FAILED') = (error_msg IS NOT NULL))
);
CREATE INDEX IF NOT EXISTS idx_jobs_status ON public.ml_jobs (status, priority, created_at);
CREATE INDEX IF NOT EXISTS ml_jobs_queue ON public.ml_jobs (priority, created_at, id) WHERE status = 'PENDING';
CREATE INDEX IF NOT EXISTS ml_jobs_queue_of_kind ON public.ml_jobs (job_type, priority, created_at, id) WHERE status = 'PENDING';
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_constraint c WHERE c.conname = 'ml_models_train_job_id_fkey') THEN
        ALTER TABLE public.ml_models
        ADD CONSTRAINT ml_models_train_job_id_fkey FOREIGN KEY (train_job_id) REFERENCES public.ml_jobs (id);
    END IF;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.refuse_new_request()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'the request of job % cannot be changed', OLD.id
        USING ERRCODE = 'ML002', TABLE = 'ml_jobs',
        HINT = format('Cancel it (CALL ml.cancel_job(%s)) and insert another job; only status and priority can be updated.', OLD.id);
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_30_request_is_final
BEFORE UPDATE OF
    id, job_type, created_at, max_attempts
ON public.ml_jobs
FOR EACH ROW EXECUTE FUNCTION ml_internal.refuse_new_request();
CREATE OR REPLACE FUNCTION ml_internal.keep_priority_rules()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.priority IS NULL OR NEW.priority NOT BETWEEN 1 AND 10 THEN
        RAISE EXCEPTION 'priority % is not between 1 and 10', coalesce(NEW.priority::text, 'NULL')
            USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'priority',
            HINT = '1 is the highest priority, 10 the lowest, 5 the default.';
    ELSIF NEW.priority <> OLD.priority AND OLD.status <> 'PENDING' THEN
        RAISE EXCEPTION 'job % is % and its priority can no longer be changed', OLD.id, OLD.status
            USING ERRCODE = 'ML002', TABLE = 'ml_jobs', COLUMN = 'priority',
            HINT = 'Only a PENDING job has a place in the queue; leave this one as it is, or insert another.';
    END IF;
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_30_priority
BEFORE UPDATE OF priority ON public.ml_jobs
FOR EACH ROW EXECUTE FUNCTION ml_internal.keep_priority_rules();
CREATE OR REPLACE FUNCTION ml_internal.keep_status_rules()
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
    RAISE EXCEPTION 'job % cannot go from % to %', OLD.id, OLD.status, coalesce(NEW.status, 'NULL')
        USING ERRCODE = 'ML002', TABLE = 'ml_jobs', COLUMN = 'status',
        HINT = CASE
            WHEN OLD.status IN ('PENDING', 'RUNNING')
                THEN 'By hand a job can only be set to CANCELLED; the worker sets all other states.'
            ELSE format('%s is final; insert another job.', OLD.status)
        END;
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_30_status
BEFORE UPDATE OF status ON public.ml_jobs
FOR EACH ROW EXECUTE FUNCTION ml_internal.keep_status_rules();
CREATE OR REPLACE FUNCTION ml_internal.tell_status()
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
CREATE OR REPLACE TRIGGER ml_jobs_90_tell_status
AFTER UPDATE OF status ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.status <> OLD.status)
EXECUTE FUNCTION ml_internal.tell_status();
CREATE OR REPLACE FUNCTION ml_internal.tell_workers()
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
CREATE OR REPLACE TRIGGER ml_jobs_90_tell_workers
AFTER INSERT ON public.ml_jobs
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.tell_workers();
CREATE OR REPLACE PROCEDURE ml.cancel_job(
    p_job_id bigint
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE public.ml_jobs SET status = 'CANCELLED' WHERE id = p_job_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'job % does not exist', coalesce(p_job_id::text, 'NULL')
            USING ERRCODE = 'no_data_found', TABLE = 'ml_jobs', HINT = 'SELECT id, status FROM ml_queue; lists the jobs that can be cancelled.';
    END IF;
END
$$;
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
CREATE UNIQUE INDEX IF NOT EXISTS ml_job_events_claimed_once
ON public.ml_job_events (job_id, attempt)
WHERE event = 'CLAIMED';
CREATE UNIQUE INDEX IF NOT EXISTS ml_job_events_ended_once
ON public.ml_job_events (job_id, attempt)
WHERE event IN ('COMPLETED', 'RELEASED', 'EXPIRED');
CREATE OR REPLACE TRIGGER ml_job_events_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON public.ml_job_events
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.refuse_change_of_fact();
CREATE OR REPLACE PROCEDURE ml_internal.require_attempt(
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
    ELSIF NOT EXISTS (
        SELECT FROM public.ml_job_events e
        WHERE e.job_id = p_job_id AND e.attempt = p_attempt AND e.event = 'CLAIMED' AND e.created_by = session_user
    ) THEN
        RAISE EXCEPTION 'attempt % of job % was claimed by another login than %', p_attempt, p_job_id, session_user
            USING ERRCODE = 'insufficient_privilege', TABLE = 'ml_jobs',
            HINT = 'Only the login that claimed a job may go on with it.';
    END IF;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.check_event()
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
    WHERE j.id = NEW.job_id;
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
CREATE OR REPLACE TRIGGER ml_job_events_10_check
BEFORE INSERT ON public.ml_job_events
FOR EACH ROW EXECUTE FUNCTION ml_internal.check_event();
CREATE OR REPLACE FUNCTION ml_internal.apply_event_to_job()
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
                progress_msg = 'Done'
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
CREATE OR REPLACE TRIGGER ml_job_events_90_apply_to_job
AFTER INSERT ON public.ml_job_events
FOR EACH ROW EXECUTE FUNCTION ml_internal.apply_event_to_job();
SET search_path TO pg_catalog, pg_temp;
CREATE TABLE IF NOT EXISTS ml.job_kinds (
    job_type text NOT NULL,
    uses_models name [] NOT NULL,
    makes_model name,
    result_table name NOT NULL,
    result_column name NOT NULL,
    result_fields name [] NOT NULL,
    result_facts name [] NOT NULL,
    page name NOT NULL,
    CONSTRAINT job_kinds_pkey PRIMARY KEY (job_type),
    CONSTRAINT job_kinds_job_type_is_a_prefix CHECK (job_type ~ '^[A-Z]+$')
);
CREATE OR REPLACE FUNCTION ml_internal.given_fields(
    p_job public.ml_jobs,
    p_fields text []
)
RETURNS text []
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_field text;
    v_value text;
    v_given text [] := '{}';
BEGIN
    FOREACH v_field IN ARRAY p_fields LOOP
        EXECUTE format('SELECT ($1).%I::text', v_field) INTO v_value USING p_job;
        IF v_value IS NOT NULL THEN
            v_given := v_given || (v_field || ' = ' || v_value);
        END IF;
    END LOOP;
    RETURN v_given;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.refuse_missing_fields()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_missing text [] := ARRAY(
        SELECT f.field
        FROM unnest(TG_ARGV) WITH ORDINALITY f (field, place)
        WHERE to_jsonb(NEW) -> f.field = 'null'
        ORDER BY f.place
    );
BEGIN
    RAISE EXCEPTION 'a % job needs %', NEW.job_type, array_to_string(v_missing, ', ')
        USING ERRCODE = 'not_null_violation', TABLE = 'ml_jobs', COLUMN = v_missing[1],
        HINT = 'Name these fields in the INSERT and give each a value; \d+ ml_jobs says what they mean.';
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.refuse_foreign_fields()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_given text [] := ml_internal.given_fields(NEW, ARRAY(
        SELECT a.attname
        FROM ml.job_kinds k
        JOIN pg_attribute a ON a.attrelid = TG_RELID AND NOT a.attisdropped AND starts_with(a.attname, lower(k.job_type) || '_')
        WHERE k.job_type <> NEW.job_type
        ORDER BY a.attnum
    ));
BEGIN
    RAISE EXCEPTION 'a % job has no use for %', NEW.job_type, left(array_to_string(v_given, ', '), 200)
        USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = split_part(v_given[1], ' ', 1),
        HINT = format('Leave these fields out, or change job_type; a %s job uses those that begin with %s_.', NEW.job_type, lower(NEW.job_type));
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.refuse_service_fields()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_given text [];
BEGIN
    NEW.created_at := nullif(NEW.created_at, now());
    NEW.progress := nullif(NEW.progress, 0);
    NEW.attempt := nullif(NEW.attempt, 0);
    v_given := ml_internal.given_fields(
        NEW,
        '{created_at,started_at,completed_at,progress,progress_msg,error_msg,worker_id,attempt,lease_until}'
        || ARRAY(SELECT k.result_column::text FROM ml.job_kinds k ORDER BY k.result_column)
    );
    RAISE EXCEPTION 'a new job cannot set %', left(array_to_string(v_given, ', '), 200)
        USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = split_part(v_given[1], ' ', 1),
        HINT = 'Leave these fields out: the service fills them while the job runs.';
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_19_service_fields
BEFORE INSERT ON public.ml_jobs
FOR EACH ROW
WHEN (
    NEW.created_at <> now() OR NEW.progress <> 0 OR NEW.attempt <> 0 OR num_nonnulls(
        NEW.started_at, NEW.completed_at, NEW.progress_msg, NEW.error_msg, NEW.worker_id, NEW.lease_until
    ) > 0
)
EXECUTE FUNCTION ml_internal.refuse_service_fields();
CREATE OR REPLACE FUNCTION ml_internal.refuse_period()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_start timestamptz;
    v_end timestamptz;
BEGIN
    EXECUTE format('SELECT ($1).%I, ($1).%I', TG_ARGV[0], TG_ARGV[1]) INTO v_start, v_end USING NEW;
    IF v_start < '0002-01-01 00:00:00+00' OR v_end >= '9999-01-01 00:00:00+00' THEN
        RAISE EXCEPTION 'the period from % to % is not within the years 2 to 9998', v_start, v_end
            USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = TG_ARGV[0],
            HINT = 'Give both as dates, for example ''2024-01-01'' and ''2024-03-01''.';
    END IF;
    RAISE EXCEPTION 'the period starts at %, which is not before its end at %', v_start, v_end
        USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = TG_ARGV[0],
        HINT = format('Set %s to a moment before %s; the end itself is not part of the period.', TG_ARGV[0], TG_ARGV[1]);
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.refuse_job_type()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'job_type % is unknown', coalesce(quote_literal(NEW.job_type), 'NULL')
        USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'job_type',
        HINT = format(
            'Use one of: %s, in capital letters.', (SELECT string_agg(k.job_type, ', ' ORDER BY k.job_type) FROM ml.job_kinds k)
        );
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.check_result()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    CALL ml_internal.require_attempt(NEW.job_id, NEW.attempt);
    IF NOT EXISTS (SELECT FROM public.ml_jobs j WHERE j.id = NEW.job_id AND j.job_type = TG_ARGV[0]) THEN
        RAISE EXCEPTION 'job % is no % job', NEW.job_id, TG_ARGV[0]
            USING ERRCODE = 'ML002', TABLE = TG_TABLE_NAME,
            HINT = 'ml_internal.record_result knows which table a job''s result belongs in.';
    END IF;
    RETURN NEW;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.complete_job()
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
CREATE OR REPLACE FUNCTION ml_internal.page_of_kind(
    p_model_id bigint,
    p_job_type text
)
RETURNS SETOF text
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_jobs bigint [] := ARRAY(
        SELECT j.id
        FROM ml.job_models u
        JOIN public.ml_jobs j ON j.id = u.job_id
        WHERE u.model_id = p_model_id AND j.job_type = p_job_type AND j.status = 'COMPLETED'
        ORDER BY j.id DESC
    );
BEGIN
    RETURN QUERY VALUES (''), (format('%s jobs: %s', p_job_type, cardinality(v_jobs)));
    RETURN QUERY
    SELECT format('  job %s, %s: %s', j.id, ml_internal.period_text(j.period_start, j.period_end), j.progress_msg)
    FROM ml.jobs j
    WHERE j.id = ANY (v_jobs[1:10])
    ORDER BY j.id DESC;
END
$$;
CREATE OR REPLACE PROCEDURE ml_internal.define_kind(
    job_type text,
    needs name [],
    result_table name,
    result_column name,
    result_filled name [] DEFAULT '{}',
    result_facts name [] DEFAULT '{}',
    defaults name [] DEFAULT '{}',
    uses_models name [] DEFAULT '{}',
    makes_model name DEFAULT NULL,
    page name DEFAULT 'page_of_kind'
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_prefix text := lower(define_kind.job_type);
    v_fields name [] := ARRAY(
        SELECT a.attname FROM pg_attribute a
        WHERE a.attrelid = 'public.ml_jobs'::regclass AND NOT a.attisdropped AND starts_with(a.attname, v_prefix || '_')
        ORDER BY a.attnum
    );
    v_list text := (SELECT string_agg(quote_ident(f), ', ') FROM unnest(v_fields) f);
    v_new text := (SELECT string_agg('NEW.' || quote_ident(f), ', ') FROM unnest(v_fields) f);
    v_filled text := (SELECT string_agg(quote_ident(f), ', ') FROM unnest(needs || defaults) f);
    v_needs_new text := (SELECT string_agg('NEW.' || quote_ident(f), ', ') FROM unnest(needs) f);
    v_needs_args text := (SELECT string_agg(quote_literal(f), ', ') FROM unnest(needs) f);
    v_table name := define_kind.result_table;
    v_result name := define_kind.result_column;
    v_types text;
    v_starts text;
    v_ends text;
    v_names text;
    v_first text;
    v_second text;
    v_joins text;
BEGIN
    INSERT INTO ml.job_kinds
    SELECT
        define_kind.job_type, define_kind.uses_models, define_kind.makes_model, v_table, v_result,
        array_agg(a.attname ORDER BY a.attnum),
        define_kind.result_facts,
        define_kind.page
    FROM pg_attribute a
    WHERE a.attrelid = format('public.%I', v_table)::regclass AND a.attnum > 0 AND NOT a.attisdropped
        AND a.attgenerated = '' AND a.attidentity = ''
        AND a.attname <> ALL (result_filled || '{job_id,attempt,created_at}'::name [])
    ON CONFLICT ON CONSTRAINT job_kinds_pkey DO UPDATE SET
        uses_models = EXCLUDED.uses_models, makes_model = EXCLUDED.makes_model,
        result_table = EXCLUDED.result_table, result_column = EXCLUDED.result_column,
        result_fields = EXCLUDED.result_fields, result_facts = EXCLUDED.result_facts, page = EXCLUDED.page;
    v_types := (SELECT string_agg(quote_literal(k.job_type), ', ' ORDER BY k.job_type) FROM ml.job_kinds k);
    CALL ml_internal.keep_constraint('public.ml_jobs', 'ml_jobs_job_type_known', format('job_type IN (%s)', v_types), 'NOT VALID');
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER ml_jobs_20_job_type BEFORE INSERT ON public.ml_jobs FOR EACH ROW
            WHEN ((NEW.job_type IN (%s)) IS NOT TRUE) EXECUTE FUNCTION ml_internal.refuse_job_type()', v_types
    );
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER ml_jobs_30_%1$s_needs BEFORE INSERT ON public.ml_jobs FOR EACH ROW
            WHEN (NEW.job_type = %2$L AND num_nulls(%3$s) > 0) EXECUTE FUNCTION ml_internal.refuse_missing_fields(%4$s);
        CREATE OR REPLACE TRIGGER ml_jobs_31_%1$s_fields BEFORE INSERT ON public.ml_jobs FOR EACH ROW
            WHEN (NEW.job_type <> %2$L AND num_nonnulls(%5$s) > 0) EXECUTE FUNCTION ml_internal.refuse_foreign_fields();
        CREATE OR REPLACE TRIGGER ml_jobs_19_%1$s_result BEFORE INSERT ON public.ml_jobs FOR EACH ROW
            WHEN (NEW.%6$I IS NOT NULL) EXECUTE FUNCTION ml_internal.refuse_service_fields();
        CREATE OR REPLACE TRIGGER ml_jobs_50_%1$s_period BEFORE INSERT ON public.ml_jobs FOR EACH ROW
            WHEN (NEW.%1$s_start >= NEW.%1$s_end OR NEW.%1$s_start < ''0002-01-01 00:00:00+00''
                OR NEW.%1$s_end >= ''9999-01-01 00:00:00+00'')
            EXECUTE FUNCTION ml_internal.refuse_period(''%1$s_start'', ''%1$s_end'');
        CREATE OR REPLACE TRIGGER ml_jobs_30_%1$s_is_final BEFORE UPDATE OF %7$s ON public.ml_jobs FOR EACH ROW
            EXECUTE FUNCTION ml_internal.refuse_new_request()',
        v_prefix, define_kind.job_type, v_needs_new, v_needs_args, v_new, v_result, v_list
    );
    CALL ml_internal.keep_constraint('public.ml_jobs', format('ml_jobs_%s_fields', v_prefix), format(
        'CASE job_type WHEN %L THEN num_nulls(%s) = 0 ELSE num_nonnulls(%s) = 0 END', define_kind.job_type,
        v_filled, v_list
    ));
    CALL ml_internal.keep_constraint('public.ml_jobs', format('ml_jobs_%s_period', v_prefix), format(
        '%1$s_start < %1$s_end AND %1$s_start >= ''0002-01-01 00:00:00+00'' AND %1$s_end < ''9999-01-01 00:00:00+00''', v_prefix
    ));
    CALL ml_internal.keep_constraint('public.ml_jobs', format('ml_jobs_%s_result', v_prefix), format(
        '(job_type = %L AND status = ''COMPLETED'') = (%I IS NOT NULL)', define_kind.job_type, v_result
    ));
    EXECUTE format(
        'GRANT INSERT (%1$s, %2$I), UPDATE (%1$s) ON public.ml_jobs TO ml_client;
        GRANT SELECT ON public.%3$I TO ml_reader', v_list, v_result, v_table
    );
    IF uses_models <> '{}' THEN
        EXECUTE format(
            'CREATE OR REPLACE FUNCTION ml_internal.see_models_of_%1$s() RETURNS trigger
                LANGUAGE plpgsql SET search_path TO pg_catalog, pg_temp AS $f$ BEGIN %3$s RETURN NEW; END $f$;
            CREATE OR REPLACE FUNCTION ml_internal.check_models_of_%1$s() RETURNS trigger
                LANGUAGE plpgsql SECURITY DEFINER SET search_path TO pg_catalog, pg_temp AS $f$ BEGIN %4$s RETURN NEW; END $f$;
            REVOKE ALL ON FUNCTION ml_internal.see_models_of_%1$s(), ml_internal.check_models_of_%1$s() FROM public;
            COMMENT ON FUNCTION ml_internal.see_models_of_%1$s() IS %5$L;
            COMMENT ON FUNCTION ml_internal.check_models_of_%1$s() IS %6$L;
            CREATE OR REPLACE TRIGGER ml_jobs_15_%1$s_sees_models BEFORE INSERT ON public.ml_jobs FOR EACH ROW
                WHEN (num_nonnulls(%7$s) > 0) EXECUTE FUNCTION ml_internal.see_models_of_%1$s();
            CREATE OR REPLACE TRIGGER ml_jobs_55_%1$s_models_are_ready BEFORE INSERT ON public.ml_jobs FOR EACH ROW
                WHEN (NEW.job_type = %2$L) EXECUTE FUNCTION ml_internal.check_models_of_%1$s();
            CREATE OR REPLACE TRIGGER ml_jobs_40_%1$s_models_are_ready BEFORE UPDATE OF status ON public.ml_jobs FOR EACH ROW
                WHEN (NEW.job_type = %2$L AND OLD.status = ''PENDING'' AND NEW.status = ''RUNNING'')
                EXECUTE FUNCTION ml_internal.check_models_of_%1$s()',
            v_prefix, define_kind.job_type,
            (
                SELECT string_agg(
                    format(
                        'IF NEW.%1$I IS NOT NULL AND NOT EXISTS (SELECT FROM public.ml_models m WHERE m.id = NEW.%1$I) THEN
                            RAISE EXCEPTION ''model %% does not exist'', NEW.%1$I
                                USING ERRCODE = ''foreign_key_violation'', TABLE = ''ml_models'',
                                HINT = ''SELECT id, name FROM ml_leaderboard; lists the models that can be used.'';
                        END IF;', f
                    ), ' '
                )
                FROM unnest(uses_models) f
            ),
            (SELECT string_agg(format('PERFORM ml_internal.require_ready_model(NEW.%I);', f), ' ') FROM unnest(uses_models) f),
            'Trigger: the role that inserts must see the models that its job uses.',
            'Trigger: the models that a job uses are READY and not deleted; at the INSERT and again at the claim.',
            (SELECT string_agg('NEW.' || quote_ident(f), ', ') FROM unnest(uses_models) f)
        );
    END IF;
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER %1$s_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON public.%1$I
            FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.refuse_change_of_fact();
        CREATE OR REPLACE TRIGGER %1$s_10_check_result BEFORE INSERT ON public.%1$I
            FOR EACH ROW EXECUTE FUNCTION ml_internal.check_result(%2$L);
        CREATE OR REPLACE TRIGGER %1$s_90_complete_job AFTER INSERT ON public.%1$I
            FOR EACH ROW EXECUTE FUNCTION ml_internal.complete_job()', v_table, define_kind.job_type
    );
    SELECT
        string_agg('j.' || quote_ident(lower(k.job_type) || '_start'), ', ' ORDER BY k.job_type),
        string_agg('j.' || quote_ident(lower(k.job_type) || '_end'), ', ' ORDER BY k.job_type),
        string_agg(
            coalesce('j.' || quote_ident(k.makes_model), (
                SELECT string_agg(quote_ident(u.field) || '.name', ' || '' / '' || ' ORDER BY u.place)
                FROM unnest(k.uses_models) WITH ORDINALITY u (field, place)
            )), ', ' ORDER BY k.job_type
        )
    INTO v_starts, v_ends, v_names
    FROM ml.job_kinds k;
    SELECT
        string_agg(quote_ident(u.field), ', ' ORDER BY u.makes DESC, u.job_type) FILTER (WHERE u.place = 1),
        string_agg(quote_ident(u.field), ', ' ORDER BY u.job_type) FILTER (WHERE u.place = 2),
        string_agg(format('LEFT JOIN public.ml_models %1$I ON %1$I.id = j.%1$I', u.field), ' ' ORDER BY u.field) FILTER (WHERE NOT u.makes)
    INTO v_first, v_second, v_joins
    FROM (
        SELECT k.job_type, true AS makes, 1 AS place, k.result_column AS field FROM ml.job_kinds k WHERE k.makes_model IS NOT NULL
        UNION ALL
        SELECT k.job_type, false, u.place, u.field FROM ml.job_kinds k CROSS JOIN unnest(k.uses_models) WITH ORDINALITY u (field, place)
    ) u;
    EXECUTE format(
        'CREATE OR REPLACE VIEW ml.jobs WITH (security_invoker = true) AS
        SELECT
            j.id, j.job_type, j.status, j.priority, j.created_at, j.started_at, j.completed_at, j.progress, j.progress_msg,
            j.error_msg, j.worker_id, j.attempt, j.max_attempts, j.created_by,
            coalesce(%s) AS period_start, coalesce(%s) AS period_end,
            coalesce(%s) AS model_id, coalesce(%s, NULL::bigint) AS model_b_id, coalesce(%s, NULL::text)::text AS model
        FROM public.ml_jobs j %s',
        v_starts, v_ends, v_first, coalesce(v_second, 'NULL'), coalesce(v_names, 'NULL'), v_joins
    );
    IF v_first IS DISTINCT FROM obj_description(to_regclass('public.ml_jobs_model'), 'pg_class') THEN
        EXECUTE format(
            'DROP INDEX IF EXISTS public.ml_jobs_model;
            CREATE INDEX ml_jobs_model ON public.ml_jobs (coalesce(%1$s)) WHERE coalesce(%1$s) IS NOT NULL;
            COMMENT ON INDEX public.ml_jobs_model IS %1$L', v_first
        );
    END IF;
    EXECUTE (
        SELECT 'CREATE OR REPLACE VIEW ml.job_models WITH (security_invoker = true) AS ' || string_agg(x.part, ' UNION ALL ' ORDER BY x.part)
        FROM (
            SELECT format(
                'SELECT m.train_job_id AS job_id, 1::bigint AS place, m.id AS model_id, true AS is_made
                FROM public.ml_models m JOIN public.ml_jobs j ON j.id = m.train_job_id WHERE j.job_type = %L', k.job_type
            ) AS part
            FROM ml.job_kinds k
            WHERE k.makes_model IS NOT NULL
            UNION ALL
            SELECT format(
                'SELECT j.id AS job_id, %s::bigint AS place, j.%I AS model_id, false AS is_made
                FROM public.ml_jobs j WHERE j.%2$I IS NOT NULL', u.place, u.field
            )
            FROM ml.job_kinds k
            CROSS JOIN unnest(k.uses_models) WITH ORDINALITY u (field, place)
        ) x
    );
    EXECUTE (
        SELECT format(
            'CREATE OR REPLACE FUNCTION ml_internal.page_of_jobs(p_model_id bigint) RETURNS SETOF text
            LANGUAGE plpgsql STABLE SET search_path TO pg_catalog, pg_temp AS $f$ BEGIN %s END $f$;
            GRANT EXECUTE ON FUNCTION ml_internal.page_of_jobs(bigint), ml_internal.page_of_kind(bigint, text) TO ml_reader;
            REVOKE ALL ON FUNCTION ml_internal.page_of_jobs(bigint) FROM public;
            COMMENT ON FUNCTION ml_internal.page_of_jobs(bigint) IS %L',
            string_agg(
                format(
                    'RETURN QUERY SELECT x.line FROM ml_internal.%I(p_model_id%s) x (line);', k.page,
                    CASE k.page WHEN 'page_of_kind' THEN format(', %L', k.job_type) END
                ), ' ' ORDER BY cardinality(k.uses_models), k.job_type
            ) FILTER (WHERE k.uses_models <> '{}'),
            'Part of ml.report: what was done with a model, kind by kind.'
        )
        FROM ml.job_kinds k
    );
END
$$;
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE FUNCTION ml_internal.sign_job()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    NEW.created_by := coalesce(NEW.created_by, current_user);
    IF NEW.created_by <> current_user THEN
        RAISE EXCEPTION 'a job of % cannot be inserted as %', NEW.created_by, current_user
            USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'created_by',
            HINT = format('Leave created_by out, or first become that role: SET ROLE %I;', NEW.created_by);
    END IF;
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_10_sign
BEFORE INSERT ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.created_by IS DISTINCT FROM current_user)
EXECUTE FUNCTION ml_internal.sign_job();
CREATE OR REPLACE FUNCTION ml_internal.fill_job()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    NEW.status := coalesce(NEW.status, 'PENDING');
    NEW.priority := coalesce(NEW.priority, 5);
    NEW.created_at := coalesce(NEW.created_at, now());
    NEW.progress := coalesce(NEW.progress, 0);
    NEW.attempt := coalesce(NEW.attempt, 0);
    NEW.max_attempts := coalesce(NEW.max_attempts, 3);
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_12_fill
BEFORE INSERT ON public.ml_jobs
FOR EACH ROW
WHEN (num_nulls(NEW.status, NEW.priority, NEW.created_at, NEW.progress, NEW.attempt, NEW.max_attempts) > 0)
EXECUTE FUNCTION ml_internal.fill_job();
CREATE OR REPLACE FUNCTION ml_internal.refuse_job()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.status <> 'PENDING' THEN
        RAISE EXCEPTION 'a new job cannot have the status %', quote_literal(NEW.status)
            USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'status',
            HINT = 'Leave status out, or use PENDING: the worker sets the others.';
    ELSIF NEW.priority NOT BETWEEN 1 AND 10 THEN
        RAISE EXCEPTION 'priority % is not between 1 and 10', NEW.priority
            USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'priority',
            HINT = '1 is the highest priority, 10 the lowest, 5 the default.';
    END IF;
    RAISE EXCEPTION 'max_attempts % is not between 1 and 100', NEW.max_attempts
        USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'max_attempts',
        HINT = 'Leave it out for the default of 3.';
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_21_refuse
BEFORE INSERT ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.status <> 'PENDING' OR NEW.priority NOT BETWEEN 1 AND 10 OR NEW.max_attempts NOT BETWEEN 1 AND 100)
EXECUTE FUNCTION ml_internal.refuse_job();
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE FUNCTION ml_internal.claim_job(
    p_worker_id text,
    p_lease interval,
    p_kinds text []
)
RETURNS SETOF public.ml_jobs
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_knows_all boolean := NOT EXISTS (SELECT FROM ml.job_kinds k WHERE k.job_type <> ALL (p_kinds));
    v_job public.ml_jobs;
    v_kind text;
    v_locked bigint [] := '{}';
BEGIN
    IF p_worker_id IS NULL OR p_kinds IS NULL OR p_lease IS NULL OR p_lease NOT BETWEEN interval '0' AND interval '1 day' THEN
        RAISE EXCEPTION 'worker % cannot claim a job for %',
            coalesce(quote_literal(p_worker_id), 'NULL'), coalesce(p_lease::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Give the worker a name, a lease of at most one day, and the kinds of job that it can do.';
    END IF;
    LOOP
        v_job := NULL;
        IF v_knows_all THEN
            SELECT * INTO v_job
            FROM public.ml_jobs j
            WHERE j.status = 'PENDING' AND j.id <> ALL (v_locked)
            ORDER BY j.priority, j.created_at, j.id
            LIMIT 1
            FOR NO KEY UPDATE SKIP LOCKED;
        ELSE
            FOR v_kind IN
                SELECT k.job_type
                FROM unnest(p_kinds) k (job_type)
                CROSS JOIN LATERAL (
                    SELECT j.priority, j.created_at, j.id
                    FROM public.ml_jobs j
                    WHERE j.status = 'PENDING' AND j.job_type = k.job_type AND j.id <> ALL (v_locked)
                    ORDER BY j.priority, j.created_at, j.id
                    LIMIT 1
                ) h
                ORDER BY h.priority, h.created_at, h.id
            LOOP
                SELECT * INTO v_job
                FROM public.ml_jobs j
                WHERE j.status = 'PENDING' AND j.job_type = v_kind AND j.id <> ALL (v_locked)
                ORDER BY j.priority, j.created_at, j.id
                LIMIT 1
                FOR NO KEY UPDATE SKIP LOCKED;
                EXIT WHEN FOUND;
            END LOOP;
        END IF;
        EXIT WHEN v_job.id IS NULL;
        BEGIN
            INSERT INTO public.ml_job_events (job_id, attempt, event, worker_id, lease_until)
            VALUES (v_job.id, v_job.attempt + 1, 'CLAIMED', p_worker_id, clock_timestamp() + p_lease);
            RETURN QUERY SELECT * FROM public.ml_jobs j WHERE j.id = v_job.id;
            RETURN;
        EXCEPTION
            WHEN integrity_constraint_violation THEN
                INSERT INTO public.ml_job_events (job_id, attempt, event, worker_id, message)
                VALUES (v_job.id, v_job.attempt, 'FAILED', p_worker_id, SQLERRM);
            WHEN lock_not_available THEN
                v_locked := v_locked || v_job.id;
        END;
    END LOOP;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.assignment(
    p_job_id bigint
)
RETURNS jsonb
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
SET timezone TO 'UTC'
AS $$
BEGIN
    RETURN (
        SELECT jsonb_build_object(
            'period_start', j.period_start,
            'period_end', j.period_end,
            'phases', string_to_array(ml_internal.common_items(VARIADIC m.phases), ',')::integer [],
            'models', coalesce(m.models, '[]'),
            'request', (
                SELECT jsonb_object_agg(substr(f.key, length(j.job_type) + 2), f.value)
                FROM public.ml_jobs x
                CROSS JOIN LATERAL jsonb_each(to_jsonb(x)) f
                WHERE x.id = j.id AND starts_with(f.key, lower(j.job_type) || '_')
            )
        )
        FROM ml.jobs j
        CROSS JOIN LATERAL (
            SELECT jsonb_agg(ml_internal.describe_model(m) ORDER BY u.place) AS models, array_agg(m.phases_csv) AS phases
            FROM ml.job_models u
            JOIN public.ml_models m ON m.id = u.model_id
            WHERE u.job_id = j.id
        ) m
        WHERE j.id = p_job_id
    );
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.record_progress(
    p_job_id bigint,
    p_attempt integer,
    p_progress numeric,
    p_message text,
    p_lease interval
)
RETURNS timestamptz
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_lease_until timestamptz;
BEGIN
    IF p_lease IS NULL OR p_lease NOT BETWEEN interval '0' AND interval '1 day' THEN
        RAISE EXCEPTION 'job % cannot be held for %', coalesce(p_job_id::text, 'NULL'), coalesce(p_lease::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Give a lease of at most one day.';
    END IF;
    CALL ml_internal.require_attempt(p_job_id, p_attempt);
    INSERT INTO public.ml_job_events (job_id, attempt, event, progress, message, lease_until)
    VALUES (p_job_id, p_attempt, 'PROGRESS', p_progress, p_message, clock_timestamp() + p_lease)
    RETURNING lease_until INTO v_lease_until;
    RETURN v_lease_until;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.record_result(
    p_job_id bigint,
    p_attempt integer,
    p_result jsonb
)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_kind ml.job_kinds;
    v_keys text [];
    v_facts text [];
    v_table text;
    v_columns name [];
    v_id bigint;
    v_wrong text;
BEGIN
    SELECT k.* INTO v_kind
    FROM public.ml_jobs j
    JOIN ml.job_kinds k ON k.job_type = j.job_type
    WHERE j.id = p_job_id;
    IF NOT FOUND THEN
        CALL ml_internal.require_attempt(p_job_id, p_attempt);
    END IF;
    v_facts := ARRAY(SELECT k.key FROM jsonb_object_keys(p_result) k (key) WHERE k.key = ANY (v_kind.result_facts));
    v_keys := ARRAY(SELECT k.key FROM jsonb_object_keys(p_result) k (key) WHERE k.key <> ALL (v_kind.result_facts));
    SELECT k.key INTO v_wrong FROM unnest(v_keys) k (key) WHERE k.key <> ALL (v_kind.result_fields) LIMIT 1;
    IF FOUND THEN
        IF EXISTS (
            SELECT FROM pg_attribute a
            WHERE a.attrelid = format('public.%I', v_kind.result_table)::regclass AND a.attname = v_wrong AND a.attnum > 0
        ) THEN
            RAISE EXCEPTION 'the result of a % job cannot set %', v_kind.job_type, v_wrong
                USING ERRCODE = 'generated_always', TABLE = v_kind.result_table, COLUMN = v_wrong,
                HINT = 'Leave it out: the database fills it.';
        END IF;
        RAISE EXCEPTION 'the result of a % job has no %', v_kind.job_type, v_wrong
            USING ERRCODE = 'undefined_column', TABLE = v_kind.result_table, COLUMN = v_wrong,
            HINT = ml_internal.suggest_names(v_wrong, (v_kind.result_fields || v_kind.result_facts)::text []);
    END IF;
    SELECT a.attname INTO v_wrong
    FROM pg_attribute a
    WHERE a.attrelid = format('public.%I', v_kind.result_table)::regclass
        AND a.attname = ANY (v_kind.result_fields) AND a.attnotnull AND NOT a.atthasdef
        AND coalesce(p_result -> a.attname::text, 'null') = 'null'
    ORDER BY a.attnum
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the result of a % job needs %', v_kind.job_type, v_wrong
            USING ERRCODE = 'not_null_violation', TABLE = v_kind.result_table, COLUMN = v_wrong,
            HINT = format('\d+ %s says what it means.', v_kind.result_table);
    END IF;
    BEGIN
        EXECUTE format(
            'INSERT INTO public.%1$I (job_id, attempt%2$s) SELECT $1, $2%2$s FROM jsonb_populate_record(NULL::public.%1$I, $3) RETURNING id',
            v_kind.result_table, (SELECT string_agg(', ' || quote_ident(k.key), '') FROM unnest(v_keys) k (key))
        ) INTO v_id USING p_job_id, p_attempt, p_result;
    EXCEPTION
        WHEN SQLSTATE 'ML001' THEN
            EXECUTE format('SELECT r.id FROM public.%I r WHERE r.job_id = $1 AND r.attempt = $2', v_kind.result_table)
            INTO v_id USING p_job_id, p_attempt;
            IF v_id IS NULL THEN
                RAISE;
            END IF;
            RETURN v_id;
    END;
    FOREACH v_table IN ARRAY v_facts LOOP
        v_columns := ARRAY(
            SELECT a.attname FROM pg_attribute a
            WHERE a.attrelid = format('public.%I', v_table)::regclass AND a.attnum > 0 AND NOT a.attisdropped
                AND a.attgenerated = '' AND a.attidentity = '' AND a.attname <> 'job_id'
        );
        SELECT k.key INTO v_wrong
        FROM jsonb_array_elements(p_result -> v_table) e (item)
        CROSS JOIN LATERAL jsonb_object_keys(e.item) k (key)
        WHERE k.key <> ALL (v_columns)
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION '% of a result has no %', v_table, v_wrong
                USING ERRCODE = 'undefined_column', TABLE = v_table, COLUMN = v_wrong,
                HINT = ml_internal.suggest_names(v_wrong, v_columns::text []);
        END IF;
        EXECUTE format(
            'INSERT INTO public.%1$I (job_id, %2$s) SELECT $1, %2$s FROM jsonb_populate_recordset(NULL::public.%1$I, $2)',
            v_table, (SELECT string_agg(quote_ident(c.column_name), ', ') FROM unnest(v_columns) c (column_name))
        ) USING p_job_id, p_result -> v_table;
    END LOOP;
    RETURN v_id;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.record_failure(
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
    PERFORM FROM public.ml_jobs j WHERE j.id = p_job_id FOR NO KEY UPDATE;
    IF NOT EXISTS (
        SELECT FROM public.ml_job_events e
        WHERE e.job_id = p_job_id AND e.attempt = p_attempt AND e.event IN ('FAILED', 'EXPIRED', 'RELEASED')
        HAVING min(e.event) = 'FAILED' AND max(e.event) = 'FAILED'
    ) THEN
        CALL ml_internal.require_attempt(p_job_id, p_attempt);
        INSERT INTO public.ml_job_events (job_id, attempt, event, message)
        VALUES (p_job_id, p_attempt, 'FAILED', p_message);
    END IF;
    RETURN 'FAILED';
END
$$;
CREATE OR REPLACE PROCEDURE ml_internal.lose_attempt(
    p_job_id bigint,
    p_attempt integer,
    p_message text
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_lost bigint;
BEGIN
    INSERT INTO public.ml_job_events (job_id, attempt, event, message)
    VALUES (p_job_id, p_attempt, 'EXPIRED', p_message);
    SELECT count(*) INTO v_lost
    FROM public.ml_job_events e
    WHERE e.job_id = p_job_id AND e.event = 'EXPIRED';
    INSERT INTO public.ml_job_events (job_id, attempt, event, message)
    SELECT j.id, j.attempt, 'FAILED', format('Lost %s of %s attempts; the last: %s', v_lost, j.max_attempts, p_message)
    FROM public.ml_jobs j
    WHERE j.id = p_job_id AND v_lost >= j.max_attempts;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.record_loss(
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
    PERFORM FROM public.ml_jobs j WHERE j.id = p_job_id FOR NO KEY UPDATE;
    IF NOT EXISTS (
        SELECT FROM public.ml_job_events e
        WHERE e.job_id = p_job_id AND e.attempt = p_attempt AND e.event = 'EXPIRED'
    ) THEN
        CALL ml_internal.require_attempt(p_job_id, p_attempt);
        CALL ml_internal.lose_attempt(p_job_id, p_attempt, p_message);
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
CREATE OR REPLACE FUNCTION ml_internal.release_job(
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
    PERFORM FROM public.ml_jobs j WHERE j.id = p_job_id FOR NO KEY UPDATE;
    IF NOT EXISTS (
        SELECT FROM public.ml_job_events e
        WHERE e.job_id = p_job_id AND e.attempt = p_attempt AND e.event = 'RELEASED'
    ) THEN
        CALL ml_internal.require_attempt(p_job_id, p_attempt);
        INSERT INTO public.ml_job_events (job_id, attempt, event, message)
        VALUES (p_job_id, p_attempt, 'RELEASED', p_message);
    END IF;
    RETURN 'PENDING';
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.expire_leases()
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
        BEGIN
            CALL ml_internal.lose_attempt(
                v_job.id, v_job.attempt, format('worker %s sent no heartbeat until %s', v_job.worker_id, v_job.lease_until)
            );
            v_expired := v_expired + 1;
        EXCEPTION
            WHEN lock_not_available THEN NULL;
        END;
    END LOOP;
    RETURN v_expired;
END
$$;
SET search_path TO pg_catalog, pg_temp;
CREATE TABLE IF NOT EXISTS public.ml_worker_signs (
    id bigint GENERATED ALWAYS AS IDENTITY,
    worker_id varchar(255) NOT NULL,
    concurrency integer NOT NULL,
    started_at timestamptz NOT NULL,
    alive_until timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by name NOT NULL DEFAULT session_user,
    CONSTRAINT ml_worker_signs_pkey PRIMARY KEY (id),
    CONSTRAINT ml_worker_signs_worker_id_not_blank CHECK (worker_id ~ '\S'),
    CONSTRAINT ml_worker_signs_concurrency_positive CHECK (concurrency > 0),
    CONSTRAINT ml_worker_signs_alive_for_a_day_at_most CHECK (alive_until BETWEEN created_at - interval '1 second' AND created_at + interval '1 day')
);
CREATE INDEX IF NOT EXISTS ml_worker_signs_worker ON public.ml_worker_signs (worker_id, id);
CREATE INDEX IF NOT EXISTS ml_worker_signs_alive ON public.ml_worker_signs (alive_until);
CREATE OR REPLACE TRIGGER ml_worker_signs_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON public.ml_worker_signs
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.refuse_change_of_fact();
CREATE OR REPLACE FUNCTION ml_internal.record_sign(
    p_worker_id text,
    p_concurrency integer,
    p_alive_for interval
)
RETURNS timestamptz
LANGUAGE sql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
    INSERT INTO public.ml_worker_signs (worker_id, concurrency, started_at, alive_until)
    SELECT
        p_worker_id,
        p_concurrency,
        coalesce(
            (SELECT s.started_at FROM public.ml_worker_signs s WHERE s.worker_id = p_worker_id ORDER BY s.id DESC LIMIT 1),
            clock_timestamp()
        ),
        clock_timestamp() + p_alive_for
    RETURNING alive_until;
$$;
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE FUNCTION ml_internal.metrics_range(
    OUT is_indexed boolean,
    OUT first_at timestamptz,
    OUT last_at timestamptz
)
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
SET enable_seqscan TO off
AS $$
BEGIN
    is_indexed := EXISTS (
        SELECT
        FROM pg_index i
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
        JOIN pg_class c ON c.oid = i.indexrelid
        JOIN pg_am m ON m.oid = c.relam
        WHERE i.indrelid = 'public.coin_metrics'::regclass AND a.attname = 'timestamp'
            AND m.amname = 'btree' AND i.indisvalid AND i.indpred IS NULL
    );
    IF is_indexed THEN
        SELECT min(c."timestamp"), max(c."timestamp") INTO first_at, last_at FROM public.coin_metrics c;
    END IF;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.no_rows_text(
    p_start timestamptz,
    p_end timestamptz,
    p_phases_csv text,
    p_first_at timestamptz,
    p_last_at timestamptz
)
RETURNS text
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT format('coin_metrics has no rows from %s', ml_internal.period_text(p_start, p_end))
        || coalesce(' in phases ' || p_phases_csv, '')
        || coalesce('; it has rows from ' || ml_internal.period_text(p_first_at, p_last_at), '');
$$;
CREATE OR REPLACE FUNCTION ml_internal.tell_of_jobs()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
SET enable_seqscan TO off
AS $$
DECLARE
    v_range record;
    v_job record;
    v_next timestamptz;
BEGIN
    IF NOT EXISTS (SELECT FROM new_jobs) THEN
        RETURN NULL;
    END IF;
    IF NOT ml_internal.has_worker() THEN
        RAISE NOTICE 'no worker is running, so the job waits' USING HINT = 'Start one: ml-worker run';
    END IF;
    SELECT r.* INTO v_range FROM ml_internal.metrics_range() r;
    FOR v_job IN
        SELECT min(n.id) AS id, j.period_start, j.period_end
        FROM new_jobs n
        CROSS JOIN LATERAL (SELECT x.period_start, x.period_end FROM ml.jobs x WHERE x.id = n.id OFFSET 0) j
        WHERE v_range.is_indexed
        GROUP BY j.period_start, j.period_end
        ORDER BY 1
        LIMIT 100
    LOOP
        v_next := (
            SELECT c."timestamp" FROM public.coin_metrics c
            WHERE c."timestamp" >= v_job.period_start
            ORDER BY c."timestamp"
            LIMIT 1
        );
        IF v_next IS NULL OR v_next >= v_job.period_end THEN
            RAISE WARNING '% (job %)', ml_internal.no_rows_text(v_job.period_start, v_job.period_end, NULL, v_range.first_at, v_range.last_at), v_job.id
                USING HINT = format('The job fails unless rows come before its turn. To take it back: CALL ml.cancel_job(%s);', v_job.id);
            EXIT;
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_90_tell
AFTER INSERT ON public.ml_jobs
REFERENCING NEW TABLE AS new_jobs
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.tell_of_jobs();
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE FUNCTION ml_internal.accuracy(tp bigint, tn bigint, fp bigint, fn bigint)
RETURNS numeric
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT (tp + tn)::numeric / nullif(tp + tn + fp + fn, 0);
$$;
CREATE OR REPLACE FUNCTION ml_internal.precision_score(tp bigint, fp bigint)
RETURNS numeric
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT tp::numeric / nullif(tp + fp, 0);
$$;
CREATE OR REPLACE FUNCTION ml_internal.recall_score(tp bigint, fn bigint)
RETURNS numeric
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT tp::numeric / nullif(tp + fn, 0);
$$;
CREATE OR REPLACE FUNCTION ml_internal.f1_score(tp bigint, fp bigint, fn bigint)
RETURNS numeric
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT (2 * tp)::numeric / nullif(2 * tp + fp + fn, 0);
$$;
CREATE OR REPLACE FUNCTION ml_internal.trivial_answer(tp bigint, tn bigint, fp bigint, fn bigint)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN tp + fn > tn + fp THEN 'positive' ELSE 'negative' END;
$$;
CREATE OR REPLACE FUNCTION ml_internal.verdict(tp bigint, tn bigint, fp bigint, fn bigint)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT format(
        '%s than always saying %s: accuracy %s against %s',
        CASE WHEN x.accuracy > x.trivial THEN 'better' ELSE 'no better' END,
        ml_internal.trivial_answer(tp, tn, fp, fn),
        coalesce(x.accuracy::text, 'none'),
        coalesce(x.trivial::text, 'none')
    )
    FROM (
        SELECT
            round(ml_internal.accuracy(tp, tn, fp, fn), 4) AS accuracy,
            round(greatest(tp + fn, tn + fp)::numeric / nullif(tp + tn + fp + fn, 0), 4) AS trivial
    ) x;
$$;
CREATE TABLE IF NOT EXISTS public.ml_curve_points (
    job_id bigint NOT NULL,
    threshold double precision NOT NULL,
    tp bigint NOT NULL,
    fp bigint NOT NULL,
    tn bigint NOT NULL,
    fn bigint NOT NULL,
    sum_probability double precision NOT NULL,
    CONSTRAINT ml_curve_points_pkey PRIMARY KEY (job_id, threshold),
    CONSTRAINT ml_curve_points_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_curve_points_threshold_between_0_and_1 CHECK (threshold BETWEEN 0 AND 1),
    CONSTRAINT ml_curve_points_counts_not_negative CHECK (least(tp, fp, tn, fn) >= 0),
    CONSTRAINT ml_curve_points_nothing_above_1 CHECK (threshold < 1 OR tp + fp = 0),
    CONSTRAINT ml_curve_points_sum_fits_threshold CHECK (
        sum_probability BETWEEN (tp + fp) * (threshold - 1e-6) AND (tp + fp) * (1 + 1e-6)
    )
);
CREATE OR REPLACE TRIGGER ml_curve_points_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON public.ml_curve_points
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.refuse_change_of_fact();
CREATE OR REPLACE FUNCTION ml_internal.check_curve()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_job_id bigint;
    v_fault text;
BEGIN
    SELECT c.job_id, c.fault INTO v_job_id, v_fault
    FROM (
        SELECT
            p.job_id,
            CASE
                WHEN count(p.num_positive) = 0 THEN 'belongs to no measurement'
                WHEN count(*) > 201 THEN 'has more than 201 points'
                WHEN bool_or(p.tp + p.fn <> p.num_positive OR p.fp + p.tn <> p.num_negative)
                    THEN 'counts other rows than its result'
                WHEN count(*) FILTER (WHERE p.threshold = ANY ('{0,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1}'::double precision [])) < 11
                    THEN 'lacks one of the thresholds 0, 0.1, 0.2 to 1'
                WHEN bool_or(p.threshold = 0.5 AND (p.tp <> p.result_tp OR p.fp <> p.result_fp))
                    THEN 'differs from its result at the threshold 0.5'
                WHEN bool_or(p.tp > p.tp_before OR p.fp > p.fp_before OR p.sum_probability > p.sum_before)
                    THEN 'rises with the threshold'
            END AS fault
        FROM (
            SELECT
                x.*,
                r.num_positive,
                r.num_negative,
                r.tp AS result_tp,
                r.fp AS result_fp,
                lag(x.tp) OVER by_threshold AS tp_before,
                lag(x.fp) OVER by_threshold AS fp_before,
                lag(x.sum_probability) OVER by_threshold AS sum_before
            FROM (SELECT DISTINCT i.job_id FROM inserted i) j
            JOIN public.ml_curve_points x ON x.job_id = j.job_id
            LEFT JOIN public.ml_measurements r ON r.job_id = j.job_id
            WINDOW by_threshold AS (PARTITION BY x.job_id ORDER BY x.threshold)
        ) p
        GROUP BY p.job_id
    ) c
    WHERE c.fault IS NOT NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the curve of job % %', v_job_id, v_fault
            USING ERRCODE = 'check_violation', TABLE = 'ml_curve_points',
            HINT = 'A curve has at most 201 thresholds, among them 0, 0.1, 0.2 to 1; its counts are those of its result and fall as the threshold rises.';
    END IF;
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER ml_curve_points_60_check_curve
AFTER INSERT ON public.ml_curve_points
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.check_curve();
SET search_path TO pg_catalog, pg_temp;
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
CONSTRAINT ml_jobs_model_name_not_blank CHECK (train_model_name ~ '\S' AND length(train_model_name) <= 255),
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
CALL ml_internal.keep_constraint(
    'public.ml_jobs', 'ml_jobs_operator_known', 'train_operator IS NULL OR ml_internal.is_positive(train_operator, 0, 0) IS NOT NULL'
);
CREATE UNIQUE INDEX IF NOT EXISTS ml_jobs_model_name_taken
ON public.ml_jobs (train_model_name)
WHERE completed_at IS NULL;
CREATE INDEX IF NOT EXISTS ml_jobs_result_model ON public.ml_jobs (result_model_id) WHERE result_model_id IS NOT NULL;
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
    CONSTRAINT ml_training_runs_average_precision_between_0_and_1 CHECK (average_precision BETWEEN 0 AND 1),
    CONSTRAINT ml_training_runs_sha256_is_hexadecimal CHECK (artifact_sha256 ~ '^[0-9a-f]{64}$' AND data_fingerprint ~ '^[0-9a-f]{64}$')
);
CREATE INDEX IF NOT EXISTS ml_training_runs_created ON public.ml_training_runs (created_at) INCLUDE (model_id, artifact_bytes);
CALL ml_internal.define_kind(
    'TRAIN',
    needs => '{train_target_var,train_operator,train_value,train_start,train_end,train_features_csv,train_model_type}',
    defaults => '{train_model_name,train_test_size,train_random_state}',
    makes_model => 'train_model_name',
    result_table => 'ml_training_runs',
    result_column => 'result_model_id',
    result_filled => '{model_id,num_samples}',
    result_facts => '{ml_curve_points}'
);
CREATE OR REPLACE PROCEDURE ml_internal.reserve_name(
    p_name text
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('ml_models.name'), hashtext(p_name) % 1000);
END
$$;
CREATE OR REPLACE PROCEDURE ml_internal.require_free_name(
    p_name text,
    p_for_job_id bigint DEFAULT NULL
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET enable_seqscan TO off -- a plan made while the queue is empty would read it for each of thousands of jobs
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
        RAISE EXCEPTION 'the model name "%" is taken%', p_name, CASE
            WHEN NOT (SELECT c.relrowsecurity FROM pg_class c WHERE c.oid = 'public.ml_jobs'::regclass) THEN ' by ' || v_owner
            ELSE ''
        END
            USING ERRCODE = 'unique_violation', TABLE = 'ml_models', COLUMN = 'name', CONSTRAINT = 'ml_models_name_taken',
            HINT = 'Choose another name, or free it: rename or delete the model, or cancel the job.';
    END IF;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.fill_train()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_column text := CASE
        WHEN length(NEW.train_features_csv) > 20000 THEN 'train_features_csv'
        WHEN length(NEW.train_phases_csv) > 20000 THEN 'train_phases_csv'
        WHEN length(NEW.train_params_csv) > 20000 THEN 'train_params_csv'
    END;
BEGIN
    IF v_column IS NOT NULL THEN
        RAISE EXCEPTION '% has more than 20000 characters', v_column
            USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = v_column,
            HINT = 'Name each item once, without blanks.';
    END IF;
    NEW.train_target_var := btrim(NEW.train_target_var);
    NEW.train_operator := btrim(NEW.train_operator);
    NEW.train_model_type := btrim(NEW.train_model_type);
    IF concat(NEW.train_features_csv, NEW.train_phases_csv, NEW.train_params_csv) ~ '\s'
        OR '' IN (NEW.train_features_csv, NEW.train_phases_csv, NEW.train_params_csv)
    THEN
        NEW.train_features_csv := ml_internal.tidy_list(NEW.train_features_csv);
        NEW.train_phases_csv := ml_internal.tidy_list(NEW.train_phases_csv);
        NEW.train_params_csv := ml_internal.tidy_list(NEW.train_params_csv);
    END IF;
    IF NEW.train_model_name IS NOT NULL THEN
        CALL ml_internal.reserve_name(NEW.train_model_name);
    END IF;
    NEW.train_model_name := coalesce(NEW.train_model_name, NEW.train_model_type || '_job_' || NEW.id);
    NEW.train_test_size := coalesce(NEW.train_test_size, 0.2);
    NEW.train_random_state := coalesce(NEW.train_random_state, 42);
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
BEGIN
    IF ml_internal.is_positive(NEW.train_operator, 0, 0) IS NULL THEN
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
    ELSIF NOT EXISTS (SELECT FROM public.ref_model_types t WHERE t.name = NEW.train_model_type) THEN
        v_column := 'train_model_type';
        v_message := format('train_model_type %L is unknown', left(NEW.train_model_type, 100));
        v_hint := ml_internal.suggest_names(NEW.train_model_type, (SELECT array_agg(t.name::text ORDER BY t.id) FROM public.ref_model_types t));
    ELSIF NEW.train_model_name !~ '\S' THEN
        v_column := 'train_model_name';
        v_message := 'train_model_name is blank';
        v_hint := 'Give the model a name, or leave the field out: the default is the model type and the job''s number.';
    ELSIF length(NEW.train_model_name) > 255 THEN
        v_column := 'train_model_name';
        v_message := format('train_model_name %L… has %s characters', left(NEW.train_model_name, 50), length(NEW.train_model_name));
        v_hint := 'Give the model a name of at most 255 characters.';
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
CREATE OR REPLACE TRIGGER ml_jobs_55_train_name
BEFORE INSERT ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.job_type = 'TRAIN')
EXECUTE FUNCTION ml_internal.require_train_name();
CREATE OR REPLACE TRIGGER ml_jobs_40_train_name
BEFORE UPDATE OF status ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.job_type = 'TRAIN' AND OLD.status = 'PENDING' AND NEW.status = 'RUNNING')
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
                OR p_param.kind = 'number' AND p_value ~ '^-?([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][+-]?[0-9]{1,3})?$'
                THEN p_value::numeric BETWEEN p_param.min_value AND p_param.max_value
            WHEN p_param.kind = 'layers' AND p_value ~ '^[0-9]{1,18}(,[0-9]{1,18}){0,9}$'
                THEN (SELECT bool_and(i.item::numeric BETWEEN p_param.min_value AND p_param.max_value) FROM ml_internal.list_items(p_value) i)
            ELSE false
        END;
$$;
CREATE OR REPLACE FUNCTION ml_internal.check_train_lists()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
SET jit TO off -- the planner overrates these queries; compiling one takes longer than thousands of jobs
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
        CROSS JOIN LATERAL ml_internal.list_items(f.features_csv) i
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
                ELSE ml_internal.suggest_names(
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
        WHERE j.same_row AND j.target IN (SELECT i.item FROM ml_internal.list_items(j.features_csv) i)
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
            CROSS JOIN LATERAL ml_internal.list_items(d.csv) i
            GROUP BY d.csv, i.item
        ) p
        WHERE p.times > 1 OR NOT EXISTS (SELECT FROM public.ref_coin_phases r WHERE r.id::text = p.item)
        LIMIT 1;
    END IF;
    IF v_fault IS NULL THEN
        WITH lists AS MATERIALIZED (
            SELECT DISTINCT j.train_model_type AS model_type, j.train_params_csv AS csv
            FROM new_jobs j
            WHERE j.train_params_csv IS NOT NULL
        ),
        items AS MATERIALIZED (
            SELECT l.model_type, l.csv, i.item
            FROM lists l
            CROSS JOIN LATERAL string_to_table(l.csv, ';') i (item)
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
                WHEN p.value ~ ',[^=]*=' THEN format('Separate hyperparameters by semicolons: %s.', regexp_replace(p.item, ',\s*([^,=]+=)', ';\1', 'g'))
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
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_60_train_lists
AFTER INSERT ON public.ml_jobs
REFERENCING NEW TABLE AS new_jobs
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.check_train_lists();
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
        'train_start', p_job.train_start,
        'train_end', p_job.train_end,
        'test_size', p_job.train_test_size,
        'random_state', p_job.train_random_state,
        'features_csv', p_job.train_features_csv,
        'phases_csv', p_job.train_phases_csv,
        'params_csv', ml_internal.merge_params(t.default_params_csv, p_job.train_params_csv)
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
        UPDATE public.ml_models SET status = 'FAILED' WHERE train_job_id = NEW.id;
    ELSIF NOT EXISTS (SELECT FROM public.ml_models m WHERE m.train_job_id = NEW.id) THEN
        INSERT INTO public.ml_models (
            name, model_type, description, train_job_id,
            target_variable, target_operator, target_value, future_minutes,
            train_start, train_end, test_size, random_state,
            features_csv, phases_csv, params_csv
        )
        SELECT
            m.name, m.model_type, m.description, m.train_job_id,
            m.target_variable, m.target_operator, m.target_value, m.future_minutes,
            m.train_start, m.train_end, m.test_size, m.random_state,
            m.features_csv, m.phases_csv, m.params_csv
        FROM ml_internal.planned_model(NEW) m;
    END IF;
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_70_train_model
AFTER UPDATE OF status ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.job_type = 'TRAIN' AND OLD.status <> NEW.status AND NEW.status IN ('RUNNING', 'FAILED', 'CANCELLED'))
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
        model_file_path = NEW.artifact_path
    WHERE id = NEW.model_id;
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER ml_training_runs_70_apply_to_model
AFTER INSERT ON public.ml_training_runs
FOR EACH ROW EXECUTE FUNCTION ml_internal.apply_training_to_model();
CREATE OR REPLACE FUNCTION ml_internal.keep_model_status()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF OLD.status = 'TRAINING' AND NEW.status = 'READY' AND EXISTS (
        SELECT FROM public.ml_training_runs r WHERE r.model_id = OLD.id
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
CREATE OR REPLACE FUNCTION ml_internal.fill_training_run()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    NEW.model_id := (SELECT m.id FROM public.ml_models m WHERE m.train_job_id = NEW.job_id);
    NEW.num_samples := NEW.num_positive + NEW.num_negative;
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER ml_training_runs_20_fill
BEFORE INSERT ON public.ml_training_runs
FOR EACH ROW EXECUTE FUNCTION ml_internal.fill_training_run();
CREATE OR REPLACE FUNCTION ml_internal.show_training_run()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    SELECT m.id, format(
        'model %s, %s: %s, F1 %s, ROC AUC %s on held-out rows',
        m.id, m.name, ml_internal.verdict(r.tp, r.tn, r.fp, r.fn), coalesce(r.f1_score::text, 'none'), coalesce(r.roc_auc::text, 'none')
    )
    INTO NEW.result_model_id, NEW.progress_msg
    FROM public.ml_training_runs r
    JOIN public.ml_models m ON m.id = r.model_id
    WHERE r.job_id = NEW.id;
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_80_train_show
BEFORE UPDATE OF status ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.job_type = 'TRAIN' AND OLD.status <> 'COMPLETED' AND NEW.status = 'COMPLETED')
EXECUTE FUNCTION ml_internal.show_training_run();
CREATE OR REPLACE VIEW public.ml_fact_training_runs WITH (security_invoker = true) AS
SELECT
    r.id AS training_run_id, r.job_id, r.model_id, r.created_at, r.holdout,
    r.num_coins, r.num_fitted, r.num_fitted_positive, r.num_gap, r.num_unlabelled, r.num_samples, r.num_positive, r.num_negative,
    r.tp, r.fp, r.tn, r.fn, r.accuracy, r.precision_score, r.recall, r.f1_score, r.roc_auc,
    r.artifact_bytes, r.seconds_loading, r.seconds_fitting, r.warnings,
    r.average_precision
FROM public.ml_training_runs r;
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
                'target', p_model.target_variable,
                'operator', p_model.target_operator,
                'value', p_model.target_value::text,
                'future_minutes', p_model.future_minutes
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
    max_attempts integer DEFAULT NULL
)
RETURNS bigint
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    INSERT INTO public.ml_jobs (
        job_type, priority, max_attempts,
        train_model_type, train_target_var, train_operator, train_value,
        train_features_csv, train_start, train_end, train_future_minutes,
        train_phases_csv, train_params_csv, train_model_name, train_description,
        train_test_size, train_random_state
    )
    VALUES (
        'TRAIN', priority, max_attempts,
        model_type, target, operator, value,
        features, train_start, train_end, future_minutes,
        phases, params, name, description,
        test_size, random_state
    )
    RETURNING id;
$$;
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
    p_max_attempts integer
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
            p_phases, p_params, p_name, p_description, p_test_size, p_random_state, p_priority, p_max_attempts
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
    max_attempts integer DEFAULT NULL
)
RETURNS TABLE (
    what text,
    result text
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_job public.ml_jobs := ml_internal.try_train(
        model_type, target, operator, value, features, train_start, train_end, future_minutes,
        phases, params, name, description, test_size, random_state, priority, max_attempts
    );
BEGIN
    RETURN QUERY SELECT p.what, p.result FROM ml_internal.preview_job(v_job) p;
END
$$;
GRANT EXECUTE ON FUNCTION ml.train TO ml_client;
GRANT EXECUTE ON FUNCTION ml_internal.try_train, ml_internal.fewest, ml_internal.describe_model, ml_internal.planned_model TO ml_reader;
GRANT SELECT ON public.ml_fact_training_runs TO ml_reader;
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
    CONSTRAINT ml_test_results_overlap_has_note CHECK (has_overlap = (overlap_note IS NOT NULL))
);
CREATE INDEX IF NOT EXISTS idx_test_results_model ON public.ml_test_results (model_id);
CREATE INDEX IF NOT EXISTS ml_test_results_latest ON public.ml_test_results (model_id, created_at DESC, id DESC);
CREATE INDEX IF NOT EXISTS idx_test_results_created ON public.ml_test_results (created_at DESC);
ALTER TABLE public.ml_jobs
ADD COLUMN IF NOT EXISTS test_model_id bigint
CONSTRAINT ml_jobs_test_model_id_fkey REFERENCES public.ml_models (id),
ADD COLUMN IF NOT EXISTS test_start timestamptz,
ADD COLUMN IF NOT EXISTS test_end timestamptz,
ADD COLUMN IF NOT EXISTS result_test_id bigint
CONSTRAINT ml_jobs_result_test_id_fkey REFERENCES public.ml_test_results (id);
CREATE INDEX IF NOT EXISTS ml_jobs_result_test ON public.ml_jobs (result_test_id) WHERE result_test_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS ml_jobs_test_model ON public.ml_jobs (test_model_id) WHERE test_model_id IS NOT NULL;
CALL ml_internal.define_kind(
    'TEST',
    needs => '{test_model_id,test_start,test_end}',
    uses_models => '{test_model_id}',
    result_table => 'ml_test_results',
    result_column => 'result_test_id',
    result_filled => '{model_id,test_start,test_end,num_samples,has_overlap,overlap_note}',
    result_facts => '{ml_curve_points}',
    page => 'page_of_tests'
);
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
    SELECT
        j.test_model_id, j.test_start, j.test_end,
        ml_internal.overlap_note(tstzrange(j.test_start, j.test_end), tstzrange(m.train_start, m.train_end))
    INTO NEW.model_id, NEW.test_start, NEW.test_end, NEW.overlap_note
    FROM public.ml_jobs j
    JOIN public.ml_models m ON m.id = j.test_model_id
    WHERE j.id = NEW.job_id;
    NEW.has_overlap := NEW.overlap_note IS NOT NULL;
    NEW.num_samples := NEW.num_positive + NEW.num_negative;
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER ml_test_results_20_fill
BEFORE INSERT ON public.ml_test_results
FOR EACH ROW EXECUTE FUNCTION ml_internal.fill_test_result();
CREATE OR REPLACE FUNCTION ml_internal.show_test_result()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    SELECT t.id, format(
        'test %s of model %s: %s, F1 %s, ROC AUC %s',
        t.id, t.model_id, ml_internal.verdict(t.tp, t.tn, t.fp, t.fn), coalesce(t.f1_score::text, 'none'), coalesce(t.roc_auc::text, 'none')
    )
    INTO NEW.result_test_id, NEW.progress_msg
    FROM public.ml_test_results t
    WHERE t.job_id = NEW.id;
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_80_test_show
BEFORE UPDATE OF status ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.job_type = 'TEST' AND OLD.status <> 'COMPLETED' AND NEW.status = 'COMPLETED')
EXECUTE FUNCTION ml_internal.show_test_result();
CREATE OR REPLACE VIEW public.ml_fact_tests WITH (security_invoker = true) AS
SELECT
    t.id AS test_id, t.job_id, t.model_id, t.created_at, t.test_start AS period_start, t.test_end AS period_end,
    t.has_overlap, t.num_unlabelled, t.num_samples, t.num_positive, t.num_negative,
    t.tp, t.fp, t.tn, t.fn, t.accuracy, t.precision_score, t.recall, t.f1_score, t.roc_auc,
    t.seconds_loading, t.seconds_scoring, t.average_precision
FROM public.ml_test_results t;
CREATE OR REPLACE FUNCTION ml_internal.page_of_tests(
    p_model_id bigint
)
RETURNS SETOF text
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY SELECT ('')::text;
    RETURN QUERY SELECT format('Tests: %s', (SELECT count(*) FROM public.ml_test_results t WHERE t.model_id = p_model_id));
    RETURN QUERY
    SELECT format(
        '  test %s, %s: accuracy %s, F1 %s, ROC AUC %s', t.id, ml_internal.period_text(t.test_start, t.test_end),
        coalesce(t.accuracy::text, '-'), coalesce(t.f1_score::text, '-'), coalesce(t.roc_auc::text, '-')
    ) || coalesce('; ' || t.overlap_note, '')
    FROM public.ml_test_results t
    WHERE t.model_id = p_model_id
    ORDER BY t.created_at DESC, t.id DESC
    LIMIT 10;
END
$$;
CREATE OR REPLACE FUNCTION ml.test(
    model_id bigint,
    test_start timestamptz DEFAULT NULL,
    test_end timestamptz DEFAULT NULL,
    priority integer DEFAULT NULL,
    max_attempts integer DEFAULT NULL
)
RETURNS bigint
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    INSERT INTO public.ml_jobs (job_type, priority, max_attempts, test_model_id, test_start, test_end)
    VALUES ('TEST', priority, max_attempts, model_id, test_start, test_end)
    RETURNING id;
$$;
CREATE OR REPLACE FUNCTION ml.test(
    model_name text,
    test_start timestamptz DEFAULT NULL,
    test_end timestamptz DEFAULT NULL,
    priority integer DEFAULT NULL,
    max_attempts integer DEFAULT NULL
)
RETURNS bigint
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ml.test(ml_internal.find_model(model_name), test_start, test_end, priority, max_attempts);
$$;
GRANT EXECUTE ON FUNCTION ml.test(bigint, timestamptz, timestamptz, integer, integer) TO ml_client;
GRANT EXECUTE ON FUNCTION ml.test(text, timestamptz, timestamptz, integer, integer) TO ml_client;
GRANT EXECUTE ON FUNCTION ml_internal.page_of_tests(bigint) TO ml_reader;
GRANT SELECT ON public.ml_fact_tests TO ml_reader;
SET search_path TO pg_catalog, pg_temp;
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
CONSTRAINT ml_jobs_result_comparison_id_fkey REFERENCES public.ml_comparisons (id);
CREATE INDEX IF NOT EXISTS ml_jobs_result_comparison ON public.ml_jobs (result_comparison_id) WHERE result_comparison_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS ml_jobs_compare_model_a ON public.ml_jobs (compare_model_a_id) WHERE compare_model_a_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS ml_jobs_compare_model_b ON public.ml_jobs (compare_model_b_id) WHERE compare_model_b_id IS NOT NULL;
CALL ml_internal.define_kind(
    'COMPARE',
    needs => '{compare_model_a_id,compare_model_b_id,compare_start,compare_end}',
    uses_models => '{compare_model_a_id,compare_model_b_id}',
    result_table => 'ml_comparisons',
    result_column => 'result_comparison_id',
    result_filled => '{model_a_id,model_b_id,test_start,test_end,winner_id}',
    page => 'page_of_comparisons'
);
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
    v_predicts_a := ml_internal.label_text(v_a.target_variable, v_a.target_operator, v_a.target_value, v_a.future_minutes);
    v_predicts_b := ml_internal.label_text(v_b.target_variable, v_b.target_operator, v_b.target_value, v_b.future_minutes);
    IF v_predicts_a <> v_predicts_b THEN
        RAISE EXCEPTION 'models % and % predict different things: % and %', v_a.id, v_b.id, v_predicts_a, v_predicts_b
            USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'compare_model_b_id',
            HINT = 'Compare models with the same target and horizon.';
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
CREATE OR REPLACE FUNCTION ml_internal.fill_comparison()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_a numeric(5, 4) [] := ARRAY[
        coalesce(ml_internal.f1_score(NEW.a_tp, NEW.a_fp, NEW.a_fn), 0), ml_internal.accuracy(NEW.a_tp, NEW.a_tn, NEW.a_fp, NEW.a_fn)
    ];
    v_b numeric(5, 4) [] := ARRAY[
        coalesce(ml_internal.f1_score(NEW.b_tp, NEW.b_fp, NEW.b_fn), 0), ml_internal.accuracy(NEW.b_tp, NEW.b_tn, NEW.b_fp, NEW.b_fn)
    ];
BEGIN
    SELECT j.compare_model_a_id, j.compare_model_b_id, j.compare_start, j.compare_end
    INTO NEW.model_a_id, NEW.model_b_id, NEW.test_start, NEW.test_end
    FROM public.ml_jobs j
    WHERE j.id = NEW.job_id;
    NEW.winner_id := CASE
        WHEN v_a > v_b THEN NEW.model_a_id
        WHEN v_a < v_b THEN NEW.model_b_id
    END;
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER ml_comparisons_20_fill
BEFORE INSERT ON public.ml_comparisons
FOR EACH ROW EXECUTE FUNCTION ml_internal.fill_comparison();
CREATE OR REPLACE FUNCTION ml_internal.show_comparison()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    SELECT c.id, format(
        '%s; F1 of model %s is %s, of model %s %s',
        coalesce('model ' || c.winner_id || ' wins', 'a tie, no winner'),
        c.model_a_id, coalesce(c.a_f1::text, 'none'), c.model_b_id, coalesce(c.b_f1::text, 'none')
    )
    INTO NEW.result_comparison_id, NEW.progress_msg
    FROM public.ml_comparisons c
    WHERE c.job_id = NEW.id;
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_80_compare_show
BEFORE UPDATE OF status ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.job_type = 'COMPARE' AND OLD.status <> 'COMPLETED' AND NEW.status = 'COMPLETED')
EXECUTE FUNCTION ml_internal.show_comparison();
CREATE OR REPLACE VIEW public.ml_fact_comparisons WITH (security_invoker = true) AS
SELECT
    c.id AS comparison_id, c.job_id, c.model_a_id, c.model_b_id, c.winner_id, c.created_at,
    c.test_start AS period_start, c.test_end AS period_end, c.num_samples, c.num_unlabelled,
    c.a_accuracy, c.a_precision, c.a_recall, c.a_f1, c.a_roc_auc,
    c.b_accuracy, c.b_precision, c.b_recall, c.b_f1, c.b_roc_auc,
    c.seconds_loading, c.seconds_scoring
FROM public.ml_comparisons c;
CREATE OR REPLACE FUNCTION ml_internal.page_of_comparisons(
    p_model_id bigint
)
RETURNS SETOF text
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY SELECT ('')::text;
    RETURN QUERY SELECT format(
        'Comparisons: %s', (SELECT count(*) FROM public.ml_comparisons c WHERE p_model_id IN (c.model_a_id, c.model_b_id))
    );
    RETURN QUERY
    SELECT format(
        '  %s model %s, %s (%s): F1 %s to %s',
        CASE WHEN c.winner_id = p_model_id THEN 'won against' WHEN c.winner_id IS NULL THEN 'drew with' ELSE 'lost to' END,
        o.id, o.name, ml_internal.period_text(c.test_start, c.test_end),
        coalesce(CASE WHEN o.id = c.model_b_id THEN c.a_f1 ELSE c.b_f1 END::text, '-'),
        coalesce(CASE WHEN o.id = c.model_b_id THEN c.b_f1 ELSE c.a_f1 END::text, '-')
    )
    FROM public.ml_comparisons c
    JOIN public.ml_models o ON o.id IN (c.model_a_id, c.model_b_id) AND o.id <> p_model_id
    WHERE p_model_id IN (c.model_a_id, c.model_b_id)
    ORDER BY c.created_at DESC, c.id DESC
    LIMIT 10;
END
$$;
CREATE OR REPLACE FUNCTION ml.compare(
    model_a_id bigint,
    model_b_id bigint,
    compare_start timestamptz DEFAULT NULL,
    compare_end timestamptz DEFAULT NULL,
    priority integer DEFAULT NULL,
    max_attempts integer DEFAULT NULL
)
RETURNS bigint
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    INSERT INTO public.ml_jobs (
        job_type, priority, max_attempts, compare_model_a_id, compare_model_b_id, compare_start, compare_end
    )
    VALUES ('COMPARE', priority, max_attempts, model_a_id, model_b_id, compare_start, compare_end)
    RETURNING id;
$$;
CREATE OR REPLACE FUNCTION ml.compare(
    model_a_name text,
    model_b_name text,
    compare_start timestamptz DEFAULT NULL,
    compare_end timestamptz DEFAULT NULL,
    priority integer DEFAULT NULL,
    max_attempts integer DEFAULT NULL
)
RETURNS bigint
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ml.compare(
        ml_internal.find_model(model_a_name), ml_internal.find_model(model_b_name), compare_start, compare_end, priority, max_attempts
    );
$$;
GRANT EXECUTE ON FUNCTION ml.compare(bigint, bigint, timestamptz, timestamptz, integer, integer) TO ml_client;
GRANT EXECUTE ON FUNCTION ml.compare(text, text, timestamptz, timestamptz, integer, integer) TO ml_client;
GRANT EXECUTE ON FUNCTION ml_internal.page_of_comparisons(bigint) TO ml_reader;
GRANT SELECT ON public.ml_fact_comparisons TO ml_reader;
SET search_path TO pg_catalog, pg_temp;
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_constraint c WHERE c.conname = 'ml_jobs_job_type_known' AND NOT c.convalidated) THEN
        ALTER TABLE public.ml_jobs VALIDATE CONSTRAINT ml_jobs_job_type_known;
    END IF;
END
$$;
GRANT SELECT ON ml.job_kinds, ml.jobs, ml.job_models TO ml_reader;
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE VIEW public.ml_workers WITH (security_invoker = true) AS
SELECT
    s.worker_id,
    split_part(s.worker_id, ':', 1) AS host,
    CASE WHEN r.running = 0 THEN 'IDLE' ELSE 'BUSY' END AS state,
    s.concurrency,
    r.running,
    r.job_ids,
    s.started_at,
    s.created_at AS last_sign_at,
    s.alive_until,
    s.created_by AS login
FROM public.ml_worker_signs s
CROSS JOIN LATERAL (
    SELECT count(*) AS running, string_agg(j.id::text, ',' ORDER BY j.id) AS job_ids
    FROM public.ml_jobs j
    WHERE j.status = 'RUNNING' AND j.worker_id = s.worker_id
) r
WHERE s.alive_until > statement_timestamp()
    AND NOT EXISTS (SELECT FROM public.ml_worker_signs n WHERE n.worker_id = s.worker_id AND n.id > s.id)
ORDER BY s.started_at, s.worker_id;
CREATE OR REPLACE FUNCTION ml_internal.has_worker()
RETURNS boolean
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM public.ml_workers);
$$;
CREATE OR REPLACE VIEW public.ml_queue WITH (security_invoker = true) AS
SELECT
    CASE WHEN j.status = 'PENDING' THEN row_number() OVER (PARTITION BY j.status ORDER BY j.priority, j.created_at, j.id) END AS position,
    j.id,
    j.job_type,
    j.model,
    j.status,
    j.priority,
    date_trunc('second', CASE WHEN j.status = 'RUNNING' THEN j.started_at ELSE now() END - j.created_at) AS waiting,
    CASE WHEN j.status = 'RUNNING' THEN date_trunc('second', now() - j.started_at) END AS running,
    j.progress,
    rpad(repeat('#', (j.progress * 20)::integer), 20, '.') AS bar,
    CASE WHEN j.status = 'PENDING' AND NOT (SELECT ml_internal.has_worker()) THEN 'no worker is running; start one: ml-worker run' ELSE j.progress_msg END AS progress_msg,
    j.attempt,
    j.worker_id,
    j.created_at
FROM ml.jobs j
WHERE j.status IN ('PENDING', 'RUNNING')
ORDER BY j.status = 'RUNNING' DESC, j.priority, j.created_at, j.id;
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE FUNCTION ml_internal.count_rows(
    p_target text,
    p_operator text,
    p_value numeric,
    p_future_minutes integer,
    p_features text [],
    p_phases_csv text,
    p_start timestamptz,
    p_end timestamptz,
    OUT num_rows bigint,
    OUT num_labelled bigint,
    OUT num_positive bigint,
    OUT num_coins bigint,
    OUT first_at timestamptz,
    OUT last_at timestamptz,
    OUT num_known bigint [],
    OUT num_too_large bigint []
)
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
SET timezone TO 'UTC'
AS $$
BEGIN
    EXECUTE (
        SELECT format(
            $query$
            SELECT
                count(*),
                count(o.label),
                count(*) FILTER (WHERE o.label),
                count(DISTINCT o.mint) FILTER (WHERE o.label IS NOT NULL),
                min(o."timestamp"),
                max(o."timestamp"),
                ARRAY[%s],
                ARRAY[%s]
            FROM (
                SELECT s.*, %s AS label
                FROM (
                    SELECT
                        m.mint COLLATE "C" AS mint,
                        m."timestamp",
                        m.phase_id_at_time AS phase,
                        ml_internal.is_positive($1, t.target, $2) AS own_label,
                        %s
                    FROM public.coin_metrics m
                    CROSS JOIN LATERAL (SELECT nullif(m.%I::numeric, 'NaN') AS target) t
                    WHERE m."timestamp" >= $3 AND m."timestamp" < $4
                    %s
                ) s
            ) o
            WHERE $5 IS NULL OR o.phase = ANY ($5)
            $query$,
            string_agg(format('count(o.f%s) FILTER (WHERE o.label IS NOT NULL)', f.place), ', ' ORDER BY f.place),
            string_agg(
                format('count(*) FILTER (WHERE o.label IS NOT NULL AND abs(o.f%s) >= 3.4028235677973366e38)', f.place),
                ', ' ORDER BY f.place
            ),
            ml_internal.label_expression(p_future_minutes),
            string_agg(format('nullif(m.%I::numeric, ''NaN'') AS f%s', f.name, f.place), ', ' ORDER BY f.place),
            p_target,
            CASE WHEN p_future_minutes IS NOT NULL THEN 'ORDER BY 1, 2, 4' END -- of rows at one moment a negative one comes first
        )
        FROM unnest(p_features) WITH ORDINALITY AS f (name, place)
    )
    INTO num_rows, num_labelled, num_positive, num_coins, first_at, last_at, num_known, num_too_large
    USING p_operator, p_value, p_start, p_end, string_to_array(p_phases_csv, ',')::integer [];
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.preview_job(
    p_job public.ml_jobs
)
RETURNS TABLE (
    what text,
    result text
)
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_makes boolean := false;
    v_models public.ml_models [];
    v_label public.ml_models;
    v_features text [];
    v_phases text;
    v_start timestamptz;
    v_end timestamptz;
    v_fewest record := ml_internal.fewest();
    v_rows record;
    v_rarer bigint;
BEGIN
    IF EXISTS (SELECT FROM ml.job_kinds k WHERE k.job_type = p_job.job_type AND k.makes_model IS NOT NULL) THEN
        v_makes := true;
        v_models := ARRAY[ml_internal.planned_model(p_job)];
        v_start := v_models[1].train_start;
        v_end := v_models[1].train_end;
    ELSE
        v_models := ARRAY(
            SELECT m
            FROM ml.job_models u
            JOIN public.ml_models m ON m.id = u.model_id
            WHERE u.job_id = p_job.id
            ORDER BY u.place
        );
        SELECT j.period_start, j.period_end INTO v_start, v_end FROM ml.jobs j WHERE j.id = p_job.id;
    END IF;
    v_label := v_models[1];
    IF v_label.target_variable IS NULL THEN
        RETURN QUERY VALUES ('period', v_start || ' to ' || v_end);
        RETURN;
    END IF;
    v_features := ARRAY(
        SELECT i.item
        FROM (SELECT string_agg(m.features_csv, ',') AS csv FROM unnest(v_models) m) f
        CROSS JOIN LATERAL ml_internal.list_items(f.csv) i
        GROUP BY i.item
        ORDER BY min(i.place)
    );
    v_phases := ml_internal.common_items(VARIADIC ARRAY(SELECT m.phases_csv FROM unnest(v_models) m));
    v_rows := ml_internal.count_rows(
        v_label.target_variable, v_label.target_operator, v_label.target_value, v_label.future_minutes,
        v_features, v_phases, v_start, v_end
    );
    v_rarer := least(v_rows.num_positive, v_rows.num_labelled - v_rows.num_positive);
    RETURN QUERY VALUES
        ('label', ml_internal.label_text(v_label.target_variable, v_label.target_operator, v_label.target_value, v_label.future_minutes)),
        ('phases', coalesce(v_phases, 'all')),
        ('period', v_start || ' to ' || v_end),
        ('rows from', date_trunc('second', v_rows.first_at)::text),
        ('rows to', date_trunc('second', v_rows.last_at)::text),
        ('rows', ml_internal.count_text(v_rows.num_rows)),
        ('unlabelled', ml_internal.count_text(v_rows.num_rows - v_rows.num_labelled, v_rows.num_rows)),
        ('labelled', ml_internal.count_text(v_rows.num_labelled, v_rows.num_rows)),
        ('coins', ml_internal.count_text(v_rows.num_coins)),
        ('positive', ml_internal.count_text(v_rows.num_positive, v_rows.num_labelled)),
        ('negative', ml_internal.count_text(v_rows.num_labelled - v_rows.num_positive, v_rows.num_labelled));
    IF v_makes THEN
        RETURN QUERY SELECT 'held out', format(
            '%s %% of the rows: %s',
            trim_scale(100 * v_label.test_size),
            CASE WHEN v_rows.num_coins < v_fewest.coins THEN 'the last part of the period' ELSE 'whole coins' END
        );
    END IF;
    RETURN QUERY
    SELECT 'NULL in ' || f.name, ml_internal.count_text(v_rows.num_labelled - v_rows.num_known[f.place], v_rows.num_labelled)
    FROM unnest(v_features) WITH ORDINALITY AS f (name, place)
    ORDER BY f.place;
    RETURN QUERY
    SELECT 'would fail', x.said
    FROM (
        SELECT 1 AS place, 'there are no rows in this period and these phases' AS said WHERE v_rows.num_rows = 0
        UNION ALL
        SELECT 2, 'no row has a label: the target is NULL'
            || CASE WHEN v_label.future_minutes IS NULL THEN '' ELSE ', or no later row of the same coin lies in the period' END
        WHERE v_rows.num_rows > 0 AND v_rows.num_labelled = 0
        UNION ALL
        SELECT 3, format('the feature %s has no value in any labelled row: leave it out, or choose another period', f.name)
        FROM unnest(v_features) WITH ORDINALITY AS f (name, place)
        WHERE v_rows.num_labelled > 0 AND v_rows.num_known[f.place] = 0
        UNION ALL
        SELECT 4, format('the feature %s is infinite or larger than 3.4e38 in %s rows', f.name, v_rows.num_too_large[f.place])
        FROM unnest(v_features) WITH ORDINALITY AS f (name, place)
        WHERE v_rows.num_too_large[f.place] > 0
        UNION ALL
        SELECT 5, format('too little to learn from: needed are %s labelled rows, and %s of each class', v_fewest.rows, v_fewest.of_a_class)
        WHERE v_makes AND v_rows.num_labelled > 0 AND (v_rows.num_labelled < v_fewest.rows OR v_rarer < v_fewest.of_a_class)
    ) x
    ORDER BY x.place;
    IF FOUND THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT 'warning', x.said
    FROM (
        SELECT 1 AS place, 'all labelled rows are of one class: F1 or ROC AUC will be undefined' AS said WHERE v_rarer = 0
        UNION ALL
        SELECT 2, format('strongly imbalanced: only %s of %s labelled rows are %s', v_rarer, v_rows.num_labelled,
            CASE WHEN v_rarer = v_rows.num_positive THEN 'positive' ELSE 'negative' END)
        WHERE v_rarer > 0 AND v_rarer < 0.05 * v_rows.num_labelled
        UNION ALL
        SELECT 3, 'few rows: the numbers measured will be rough' WHERE v_rows.num_labelled < 1000
        UNION ALL
        SELECT 4, format('fewer than %s coins: the last part of the period is held out instead of whole coins', v_fewest.coins)
        WHERE v_makes AND v_rows.num_coins < v_fewest.coins
        UNION ALL
        SELECT 5, 'many rows have no label: ' || ml_internal.unlabelled_text(v_label.future_minutes)
        WHERE v_rows.num_labelled < 0.8 * v_rows.num_rows
        UNION ALL
        SELECT 6, 'the rows cover less than half of the period'
        WHERE v_rows.last_at - v_rows.first_at < (v_end - v_start) / 2
        UNION ALL
        SELECT 7, format('the feature %s is NULL in more than half of the labelled rows', f.name)
        FROM unnest(v_features) WITH ORDINALITY AS f (name, place)
        WHERE v_rows.num_known[f.place] < 0.5 * v_rows.num_labelled
    ) x
    ORDER BY x.place;
    IF NOT FOUND THEN
        RETURN QUERY VALUES ('warning', 'none');
    END IF;
END
$$;
CREATE OR REPLACE FUNCTION ml.preview(
    job_id bigint
)
RETURNS TABLE (
    what text,
    result text
)
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_job public.ml_jobs;
BEGIN
    SELECT * INTO v_job FROM public.ml_jobs j WHERE j.id = job_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'job % does not exist', job_id
            USING ERRCODE = 'no_data_found', TABLE = 'ml_jobs', HINT = 'SELECT id, status FROM ml_jobs ORDER BY id DESC; lists the jobs.';
    END IF;
    RETURN QUERY SELECT p.what, p.result FROM ml_internal.preview_job(v_job) p;
END
$$;
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE FUNCTION ml_internal.describe_job(
    p_job_id bigint,
    OUT has_ended boolean,
    OUT line text
)
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT
        j.completed_at IS NOT NULL,
        format('job %s %s', j.id, j.status) || CASE j.status
            WHEN 'PENDING' THEN concat(
                ': ' || j.progress_msg,
                CASE WHEN NOT ml_internal.has_worker() THEN ': no worker is running; start one: ml-worker run' END
            )
            WHEN 'RUNNING' THEN format(', %s %%: %s', round(100 * j.progress), j.progress_msg)
            WHEN 'FAILED' THEN ': ' || j.error_msg
            WHEN 'CANCELLED' THEN ''
            ELSE ': ' || j.progress_msg
        END
    FROM public.ml_jobs j
    WHERE j.id = p_job_id;
$$;
CREATE OR REPLACE PROCEDURE ml.wait(
    job_ids bigint [],
    timeout interval DEFAULT '1 hour'
)
LANGUAGE plpgsql
AS $$
DECLARE
    v_until pg_catalog.timestamptz := pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) timeout;
    v_step pg_catalog.interval := '50 milliseconds';
    v_left pg_catalog.int8 [] := job_ids;
    v_said pg_catalog.text := '';
    v_job_id pg_catalog.int8;
    v_has_ended pg_catalog.bool;
    v_line pg_catalog.text;
BEGIN
    CALL ml_internal.require_autocommit('ml.wait');
    LOOP
        FOREACH v_job_id IN ARRAY v_left LOOP
            SELECT d.has_ended, d.line INTO v_has_ended, v_line FROM ml_internal.describe_job(v_job_id) d;
            IF v_line IS NULL THEN
                RAISE EXCEPTION 'job % does not exist', v_job_id
                    USING ERRCODE = 'no_data_found', TABLE = 'ml_jobs', HINT = 'SELECT id, status FROM ml_jobs ORDER BY id DESC; lists the jobs.';
            END IF;
            IF (v_has_ended OR v_job_id OPERATOR(pg_catalog.=) v_left[1]) AND v_line OPERATOR(pg_catalog.<>) v_said THEN
                RAISE NOTICE '%', v_line;
                v_said := v_line;
            END IF;
            IF v_has_ended THEN
                v_left := pg_catalog.array_remove(v_left, v_job_id);
            END IF;
        END LOOP;
        EXIT WHEN pg_catalog.cardinality(v_left) OPERATOR(pg_catalog.=) 0;
        IF pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>=) v_until THEN
            SELECT d.line INTO v_line FROM ml_internal.describe_job(v_left[1]) d;
            RAISE EXCEPTION '% (waited for %)', v_line, timeout
                USING ERRCODE = 'ML004', TABLE = 'ml_jobs',
                HINT = pg_catalog.format('Wait again: CALL ml.wait(%s, ''1 hour''); or end the job: CALL ml.cancel_job(%1$s);', v_left[1]);
        END IF;
        COMMIT;
        PERFORM pg_catalog.pg_sleep_until(LEAST(pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) v_step, v_until));
        v_step := LEAST(v_step OPERATOR(pg_catalog.*) 1.5, '1 second'::pg_catalog.interval);
    END LOOP;
END
$$;
CREATE OR REPLACE PROCEDURE ml.wait(
    job_id bigint,
    timeout interval DEFAULT '1 hour'
)
LANGUAGE plpgsql
AS $$
BEGIN
    CALL ml.wait(ARRAY[job_id], timeout);
END
$$;
CREATE OR REPLACE PROCEDURE ml.wait(
    job_id bigint,
    seconds double precision
)
LANGUAGE plpgsql
AS $$
BEGIN
    CALL ml.wait(ARRAY[job_id], pg_catalog.make_interval(secs => seconds));
END
$$;
CREATE OR REPLACE PROCEDURE ml.wait(
    job_id bigint,
    timeout text
)
LANGUAGE plpgsql
AS $$
BEGIN
    CALL ml.wait(ARRAY[job_id], timeout::pg_catalog.interval);
END
$$;
CREATE OR REPLACE PROCEDURE ml.wait()
LANGUAGE plpgsql
AS $$
DECLARE
    v_mine pg_catalog.int8 [] := ARRAY(
        SELECT j.id
        FROM public.ml_jobs j
        WHERE j.completed_at IS NULL AND j.created_by OPERATOR(pg_catalog.=) current_user
        ORDER BY j.id
    );
BEGIN
    CALL ml.wait(v_mine);
END
$$;
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE FUNCTION ml_internal.draw_scores(
    p_tp bigint,
    p_tn bigint,
    p_fp bigint,
    p_fn bigint,
    p_roc_auc numeric
)
RETURNS SETOF text
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    WITH answers AS (
        SELECT 'model' AS name, p_tp AS tp, p_tn AS tn, p_fp AS fp, p_fn AS fn, p_roc_auc AS roc_auc
        UNION ALL
        SELECT 'always positive', p_tp + p_fn, 0, p_fp + p_tn, 0, p_roc_auc * 0 + 0.5 WHERE ml_internal.trivial_answer(p_tp, p_tn, p_fp, p_fn) = 'positive'
        UNION ALL
        SELECT 'always negative', 0, p_tn + p_fp, 0, p_fn + p_tp, p_roc_auc * 0 + 0.5 WHERE ml_internal.trivial_answer(p_tp, p_tn, p_fp, p_fn) = 'negative'
    ),
    scores AS (
        SELECT s.place, s.name, string_agg(lpad(coalesce(s.score, '-'), CASE a.name WHEN 'model' THEN 9 ELSE 17 END), '' ORDER BY a.name = 'model' DESC) AS line
        FROM answers a
        CROSS JOIN LATERAL (
            VALUES
                (1, '', a.name),
                (2, 'accuracy', round(ml_internal.accuracy(a.tp, a.tn, a.fp, a.fn), 4)::text),
                (3, 'F1', round(ml_internal.f1_score(a.tp, a.fp, a.fn), 4)::text),
                (4, 'precision', round(ml_internal.precision_score(a.tp, a.fp), 4)::text),
                (5, 'recall', round(ml_internal.recall_score(a.tp, a.fn), 4)::text),
                (6, 'ROC AUC', round(a.roc_auc, 4)::text)
        ) s (place, name, score)
        GROUP BY s.place, s.name
    )
    SELECT format('  %-9s%s   %-11s %s', s.name, s.line, m.title, m.line)
    FROM scores s
    JOIN (
        VALUES
            (1, '', 'said positive   negative'),
            (2, '', '+-----------+-----------+'),
            (3, 'is positive', format('|%10s |%10s |', ml_internal.count_text(p_tp), ml_internal.count_text(p_fn))),
            (4, '', '+-----------+-----------+'),
            (5, 'is negative', format('|%10s |%10s |', ml_internal.count_text(p_fp), ml_internal.count_text(p_tn))),
            (6, '', '+-----------+-----------+')
    ) m (place, title, line) USING (place)
    ORDER BY place;
$$;
CREATE OR REPLACE FUNCTION ml.report(
    model_id bigint
)
RETURNS SETOF text
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_model public.ml_models;
    v_run public.ml_training_runs;
    v_test public.ml_test_results;
BEGIN
    SELECT * INTO v_model FROM public.ml_models m WHERE m.id = report.model_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'model % does not exist', model_id
            USING ERRCODE = 'no_data_found', TABLE = 'ml_models', HINT = 'SELECT id, name FROM ml_leaderboard; lists the models that can be used.';
    END IF;
    SELECT * INTO v_run FROM public.ml_training_runs r WHERE r.model_id = v_model.id;
    RETURN QUERY SELECT format('Model %s, %s: %s', v_model.id, v_model.name, v_model.status);
    IF v_model.is_deleted THEN
        RETURN QUERY SELECT format(
            'Deleted on %s; to take it back: UPDATE ml_models SET is_deleted = false WHERE id = %s;',
            to_char(v_model.deleted_at, 'YYYY-MM-DD HH24:MI'), v_model.id
        );
    END IF;
    RETURN QUERY SELECT d.line FROM string_to_table(v_model.description, E'\n') AS d (line);
    SELECT * INTO v_test
    FROM public.ml_test_results t
    WHERE t.model_id = v_model.id
    ORDER BY t.has_overlap, t.created_at DESC, t.id DESC
    LIMIT 1;
    IF v_run.id IS NOT NULL THEN
        RETURN QUERY SELECT 'Held out: ' || ml_internal.verdict(v_run.tp, v_run.tn, v_run.fp, v_run.fn);
    END IF;
    IF v_test.id IS NOT NULL THEN
        RETURN QUERY SELECT 'Test:     ' || ml_internal.verdict(v_test.tp, v_test.tn, v_test.fp, v_test.fn);
        RETURN QUERY SELECT '          but ' || v_test.overlap_note WHERE v_test.has_overlap;
    END IF;
    RETURN QUERY SELECT ('')::text;
    RETURN QUERY
    SELECT format('  %-10s %s', x.what, x.said)
    FROM (
        VALUES
            ('predicts', ml_internal.label_text(
                v_model.target_variable, v_model.target_operator, v_model.target_value, v_model.future_minutes
            )),
            ('from', replace(v_model.features_csv, ',', ', ')),
            ('in phases', coalesce(replace(v_model.phases_csv, ',', ', '), 'all')),
            ('by', v_model.model_type || ': ' || replace(v_model.params_csv, ';', ', ')),
            ('period', ml_internal.period_text(v_model.train_start, v_model.train_end)),
            ('trained on', concat(
                ml_internal.count_text(v_run.num_fitted) || ' rows, positive: '
                || ml_internal.count_text(v_run.num_fitted_positive, v_run.num_fitted),
                '; without a label: ' || ml_internal.count_text(nullif(v_run.num_unlabelled, 0))
            )),
            ('warnings', v_run.warnings)
    ) x (what, said)
    WHERE x.said <> '';
    RETURN QUERY SELECT ('')::text;
    IF v_run.id IS NULL THEN
        RETURN QUERY
        SELECT format('Job %s is %s', j.id, j.status) || coalesce(': ' || coalesce(j.error_msg, j.progress_msg), '')
        FROM public.ml_jobs j
        WHERE j.id = v_model.train_job_id;
        RETURN;
    END IF;
    RETURN QUERY SELECT format(
        'Held out: %s rows, %s', ml_internal.count_text(v_run.num_samples),
        CASE v_run.holdout WHEN 'coins' THEN 'whole coins' ELSE 'the last part of the period' END
    );
    RETURN QUERY SELECT d.line FROM ml_internal.draw_scores(v_run.tp, v_run.tn, v_run.fp, v_run.fn, v_run.roc_auc) AS d (line);
    IF v_test.id IS NOT NULL THEN
        RETURN QUERY SELECT ('')::text;
        RETURN QUERY SELECT format(
            'Latest test: %s rows, %s', ml_internal.count_text(v_test.num_samples), ml_internal.period_text(v_test.test_start, v_test.test_end)
        );
        RETURN QUERY SELECT d.line FROM ml_internal.draw_scores(v_test.tp, v_test.tn, v_test.fp, v_test.fn, v_test.roc_auc) AS d (line);
    END IF;
    RETURN QUERY SELECT ('')::text;
    RETURN QUERY SELECT ('What it looks at: share of the permutation importance')::text;
    RETURN QUERY
    SELECT format(
        '  %s %s %s', rpad(f.feature, f.width), coalesce(round(f.importance, 4)::text, '     -'),
        repeat('#', round(40 * f.importance / f.most)::integer)
    )
    FROM (
        SELECT
            x.*,
            nullif(max(x.importance) OVER (), 0) AS most,
            max(length(x.feature)) OVER () AS width
        FROM public.ml_model_features x
        WHERE x.model_id = v_model.id
        ORDER BY x.importance DESC NULLS LAST, x.place
        LIMIT 10
    ) f
    ORDER BY f.importance DESC NULLS LAST, f.place;
    RETURN QUERY SELECT x.line FROM ml_internal.page_of_jobs(v_model.id) x (line);
END
$$;
CREATE OR REPLACE FUNCTION ml.report(
    model_name text
)
RETURNS SETOF text
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ml.report(ml_internal.find_model(model_name));
$$;
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE VIEW public.ml_measurements WITH (security_invoker = true) AS
SELECT
    x.model_id,
    m.name AS model_name,
    m.model_type,
    x.source,
    x.source_id,
    x.job_id,
    coalesce(x.test_start, m.train_start) AS period_start,
    coalesce(x.test_end, m.train_end) AS period_end,
    x.created_at,
    x.num_samples,
    x.num_positive,
    x.num_negative,
    x.tp,
    x.fp,
    x.tn,
    x.fn,
    x.accuracy,
    x.precision_score,
    x.recall,
    x.f1_score,
    x.roc_auc,
    x.average_precision
FROM (
    SELECT
        r.model_id, 'training' AS source, r.id AS source_id, r.job_id,
        NULL::timestamptz AS test_start, NULL::timestamptz AS test_end,
        r.created_at, r.num_samples, r.num_positive, r.num_negative, r.tp, r.fp, r.tn, r.fn,
        r.accuracy, r.precision_score, r.recall, r.f1_score, r.roc_auc, r.average_precision
    FROM public.ml_training_runs r
    UNION ALL
    SELECT
        t.model_id, 'test' AS source, t.id AS source_id, t.job_id, t.test_start, t.test_end,
        t.created_at, t.num_samples, t.num_positive, t.num_negative, t.tp, t.fp, t.tn, t.fn,
        t.accuracy, t.precision_score, t.recall, t.f1_score, t.roc_auc, t.average_precision
    FROM public.ml_test_results t
) x
JOIN public.ml_models m ON m.id = x.model_id;
CREATE OR REPLACE VIEW public.ml_threshold_sweep WITH (security_invoker = true) AS
SELECT
    s.model_id,
    s.model_name,
    s.source,
    s.source_id,
    s.period_start,
    s.period_end,
    p.threshold,
    p.tp,
    p.fp,
    p.tn,
    p.fn,
    (p.tp + p.tn)::double precision / nullif(s.num_samples, 0) AS accuracy,
    p.tp::double precision / nullif(p.tp + p.fp, 0) AS precision_score,
    p.tp::double precision / nullif(p.tp + p.fn, 0) AS recall,
    2 * p.tp::double precision / nullif(2 * p.tp + p.fp + p.fn, 0) AS f1_score
FROM public.ml_measurements s
JOIN public.ml_curve_points p ON p.job_id = s.job_id;
CREATE OR REPLACE VIEW public.ml_roc_curve WITH (security_invoker = true) AS
SELECT
    s.model_id,
    s.model_name,
    s.source,
    s.source_id,
    s.period_start,
    s.period_end,
    x.threshold,
    x.fp::double precision / nullif(s.num_negative, 0) AS fpr,
    x.tp::double precision / nullif(s.num_positive, 0) AS tpr
FROM public.ml_measurements s
JOIN public.ml_curve_points p ON p.job_id = s.job_id
CROSS JOIN LATERAL (
    SELECT p.threshold, p.tp, p.fp
    UNION ALL
    SELECT NULL, p.tp + p.fn, p.fp + p.tn WHERE p.threshold = 0 AND p.tn + p.fn > 0
) x;
CREATE OR REPLACE VIEW public.ml_pr_curve WITH (security_invoker = true) AS
SELECT
    s.model_id,
    s.model_name,
    s.source,
    s.source_id,
    s.period_start,
    s.period_end,
    x.threshold,
    x.tp::double precision / nullif(s.num_positive, 0) AS recall,
    x.tp::double precision / (x.tp + x.fp) AS precision_score
FROM public.ml_measurements s
JOIN public.ml_curve_points p ON p.job_id = s.job_id
CROSS JOIN LATERAL (
    SELECT p.threshold, p.tp, p.fp WHERE p.tp + p.fp > 0
    UNION ALL
    SELECT NULL, p.tp + p.fn, p.fp + p.tn WHERE p.threshold = 0 AND p.tn + p.fn > 0
) x;
CREATE OR REPLACE VIEW public.ml_calibration WITH (security_invoker = true) AS
SELECT
    s.model_id,
    s.model_name,
    s.source,
    s.source_id,
    s.period_start,
    s.period_end,
    b.bin,
    low.threshold AS bin_start,
    high.threshold AS bin_end,
    n.num_samples,
    (low.sum_probability - high.sum_probability) / nullif(n.num_samples, 0) AS mean_predicted,
    n.num_positive::double precision / nullif(n.num_samples, 0) AS share_positive
FROM public.ml_measurements s
CROSS JOIN generate_series(1, 10) b (bin)
JOIN public.ml_curve_points low ON low.job_id = s.job_id AND low.threshold = (b.bin - 1) / 10::double precision
JOIN public.ml_curve_points high ON high.job_id = s.job_id AND high.threshold = b.bin / 10::double precision
CROSS JOIN LATERAL (
    SELECT
        CASE b.bin WHEN 1 THEN s.num_positive ELSE low.tp END - high.tp AS num_positive,
        CASE b.bin WHEN 1 THEN s.num_samples ELSE low.tp + low.fp END - high.tp - high.fp AS num_samples
) n;
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE VIEW public.ml_leaderboard WITH (security_invoker = true) AS
SELECT
    rank() OVER (of_target ORDER BY t.f1_score DESC NULLS LAST, t.accuracy DESC NULLS LAST, m.training_f1 DESC NULLS LAST) AS rank_by_f1,
    rank() OVER (of_target ORDER BY t.roc_auc DESC NULLS LAST, r.roc_auc DESC NULLS LAST) AS rank_by_roc_auc,
    rank() OVER (of_target ORDER BY t.average_precision DESC NULLS LAST, r.average_precision DESC NULLS LAST) AS rank_by_average_precision,
    m.id,
    m.name,
    m.model_type,
    ml_internal.label_text(m.target_variable, m.target_operator, m.target_value, m.future_minutes) AS target,
    m.training_accuracy,
    m.training_f1,
    r.roc_auc AS training_roc_auc,
    r.average_precision AS training_average_precision,
    t.test_start,
    t.test_end,
    t.num_samples AS test_samples,
    t.accuracy AS test_accuracy,
    t.f1_score AS test_f1,
    t.precision_score AS test_precision,
    t.recall AS test_recall,
    t.roc_auc AS test_roc_auc,
    t.average_precision AS test_average_precision,
    CASE WHEN t.id IS NULL THEN (
        SELECT x.overlap_note FROM public.ml_test_results x WHERE x.model_id = m.id ORDER BY x.created_at DESC, x.id DESC LIMIT 1
    ) END AS test_overlap,
    (SELECT count(*) FROM public.ml_test_results x WHERE x.model_id = m.id) AS tests,
    (SELECT count(*) FROM public.ml_comparisons c WHERE c.winner_id = m.id) AS comparisons_won,
    m.created_at
FROM public.ml_models m
LEFT JOIN public.ml_training_runs r ON r.model_id = m.id
LEFT JOIN LATERAL (
    SELECT x.*
    FROM public.ml_test_results x
    WHERE x.model_id = m.id AND NOT x.has_overlap
    ORDER BY x.created_at DESC, x.id DESC
    LIMIT 1
) t ON true
WHERE m.status = 'READY' AND NOT m.is_deleted
WINDOW of_target AS (PARTITION BY m.target_variable, m.target_operator, m.target_value, m.future_minutes)
ORDER BY m.target_variable, m.target_operator, m.target_value, m.future_minutes, rank_by_f1, m.id;
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
SET search_path TO pg_catalog, pg_temp;
CREATE INDEX IF NOT EXISTS ml_jobs_ended
ON public.ml_jobs (completed_at) INCLUDE (job_type, status, created_at, started_at, attempt, worker_id)
WHERE completed_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS ml_jobs_created ON public.ml_jobs (created_at) INCLUDE (job_type);
CREATE INDEX IF NOT EXISTS ml_jobs_stopped ON public.ml_jobs (completed_at) WHERE status IN ('FAILED', 'CANCELLED');
CREATE INDEX IF NOT EXISTS ml_job_events_lost
ON public.ml_job_events (created_at) INCLUDE (job_id, attempt, event)
WHERE event IN ('EXPIRED', 'RELEASED');
CREATE INDEX IF NOT EXISTS ml_models_types ON public.ml_models (id) INCLUDE (model_type, is_deleted);
CREATE OR REPLACE VIEW public.ml_last_days WITH (security_invoker = true) AS
SELECT
    d.day,
    d.day::timestamp AT TIME ZONE 'UTC' AS day_start,
    (d.day + 1)::timestamp AT TIME ZONE 'UTC' AS day_end
FROM (SELECT (now() AT TIME ZONE 'UTC')::date - n AS day FROM generate_series(0, 29) n) d;
CREATE OR REPLACE VIEW public.ml_daily_jobs WITH (security_invoker = true) AS
SELECT d.day, x.job_type, x.submitted, x.completed, x.failed, x.cancelled, x.retried
FROM public.ml_last_days d
CROSS JOIN LATERAL (
    SELECT
        t.job_type,
        coalesce(s.submitted, 0) AS submitted,
        coalesce(e.completed, 0) AS completed,
        coalesce(e.failed, 0) AS failed,
        coalesce(e.cancelled, 0) AS cancelled,
        coalesce(e.retried, 0) AS retried
    FROM ml.job_kinds t
    LEFT JOIN (
        SELECT j.job_type, count(*) AS submitted
        FROM public.ml_jobs j
        WHERE j.created_at >= d.day_start AND j.created_at < d.day_end
        GROUP BY j.job_type
    ) s ON s.job_type = t.job_type
    LEFT JOIN (
        SELECT
            j.job_type,
            count(*) FILTER (WHERE j.status = 'COMPLETED') AS completed,
            count(*) FILTER (WHERE j.status = 'FAILED') AS failed,
            count(*) FILTER (WHERE j.status = 'CANCELLED') AS cancelled,
            count(*) FILTER (WHERE j.attempt > 1) AS retried
        FROM public.ml_jobs j
        WHERE j.completed_at >= d.day_start AND j.completed_at < d.day_end
        GROUP BY j.job_type
    ) e ON e.job_type = t.job_type
) x;
CREATE OR REPLACE VIEW public.ml_daily_durations WITH (security_invoker = true) AS
SELECT
    d.day,
    x.job_type,
    coalesce(x.completed, 0) AS completed,
    x.waiting [1] AS waiting_p50,
    x.waiting [2] AS waiting_p90,
    x.waiting [3] AS waiting_p99,
    x.running [1] AS running_p50,
    x.running [2] AS running_p90,
    x.running [3] AS running_p99
FROM public.ml_last_days d
CROSS JOIN LATERAL (
    SELECT t.job_type, e.completed, e.waiting, e.running
    FROM ml.job_kinds t
    LEFT JOIN (
        SELECT
            j.job_type,
            count(*) AS completed,
            percentile_cont('{0.5,0.9,0.99}'::double precision []) WITHIN GROUP (ORDER BY date_part('epoch', j.started_at - j.created_at)) AS waiting,
            percentile_cont('{0.5,0.9,0.99}'::double precision []) WITHIN GROUP (ORDER BY date_part('epoch', j.completed_at - j.started_at)) AS running
        FROM public.ml_jobs j
        WHERE j.completed_at >= d.day_start AND j.completed_at < d.day_end AND j.status = 'COMPLETED'
        GROUP BY j.job_type
    ) e ON e.job_type = t.job_type
) x;
CREATE OR REPLACE VIEW public.ml_daily_losses WITH (security_invoker = true) AS
SELECT
    (e.created_at AT TIME ZONE 'UTC')::date AS day,
    j.job_type,
    count(*) FILTER (WHERE e.event = 'EXPIRED') AS expired,
    count(*) FILTER (WHERE e.event = 'RELEASED') AS released,
    count(DISTINCT e.job_id) AS jobs
FROM public.ml_job_events e
JOIN public.ml_jobs j ON j.id = e.job_id
WHERE e.event IN ('EXPIRED', 'RELEASED') AND e.created_at >= date_trunc('day', now(), 'UTC') - interval '29 days'
GROUP BY day, j.job_type;
CREATE OR REPLACE VIEW public.ml_failures WITH (security_invoker = true) AS
SELECT
    f.job_type,
    f.reason,
    count(*) AS failures,
    min(f.completed_at) AS first_at,
    max(f.completed_at) AS last_at,
    max(f.id) AS example_job_id,
    (array_agg(f.error_msg ORDER BY f.id DESC))[1] AS example
FROM (
    SELECT
        j.job_type, j.completed_at, j.id, j.error_msg,
        regexp_replace(left(j.error_msg, 300), '"[^"]*"|''[^'']*''|\d[\w.:+-]*', '…', 'g') AS reason
    FROM public.ml_jobs j
    WHERE j.status = 'FAILED' AND j.completed_at >= date_trunc('day', now(), 'UTC') - interval '29 days'
) f
GROUP BY f.job_type, f.reason;
CREATE OR REPLACE VIEW public.ml_artifact_sizes WITH (security_invoker = true) AS
SELECT
    m.model_type,
    count(*) AS artifacts,
    count(*) FILTER (WHERE m.is_deleted) AS of_deleted_models,
    sum(r.artifact_bytes)::bigint AS total_bytes,
    round(avg(r.artifact_bytes))::bigint AS mean_bytes,
    max(r.artifact_bytes) AS largest_bytes
FROM public.ml_training_runs r
JOIN public.ml_models m ON m.id = r.model_id
GROUP BY m.model_type;
CREATE OR REPLACE VIEW public.ml_daily_quality WITH (security_invoker = true) AS
SELECT
    t.day,
    m.model_type,
    count(*) AS tests,
    max(t.f1_score) AS best_f1,
    percentile_disc(0.5) WITHIN GROUP (ORDER BY t.f1_score) AS median_f1,
    max(t.roc_auc) AS best_roc_auc,
    percentile_disc(0.5) WITHIN GROUP (ORDER BY t.roc_auc) AS median_roc_auc
FROM (
    SELECT (r.created_at AT TIME ZONE 'UTC')::date AS day, r.model_id, r.f1_score, r.roc_auc
    FROM public.ml_test_results r
    WHERE r.created_at >= date_trunc('day', now(), 'UTC') - interval '29 days'
) t
JOIN public.ml_models m ON m.id = t.model_id
GROUP BY t.day, m.model_type;
CREATE OR REPLACE VIEW public.ml_worker_days WITH (security_invoker = true) AS
WITH by_end AS MATERIALIZED (
    SELECT d.day_start, x.worker_id, x.attempts, x.busy, x.started_before
    FROM public.ml_last_days d
    CROSS JOIN LATERAL (
        SELECT
            j.worker_id,
            count(*) AS attempts,
            sum(j.completed_at - greatest(j.started_at, d.day_start)) AS busy,
            array_agg(j.started_at) FILTER (WHERE j.started_at < d.day_start) AS started_before
        FROM public.ml_jobs j
        WHERE j.completed_at >= d.day_start AND j.completed_at < d.day_end AND j.status = 'COMPLETED'
        GROUP BY j.worker_id
    ) x
    UNION ALL
    SELECT
        a.day_start,
        a.worker_id,
        count(*) AS attempts,
        sum(a.ended_at - greatest(a.started_at, a.day_start)) AS busy,
        array_agg(a.started_at) FILTER (WHERE a.started_at < a.day_start) AS started_before
    FROM (
        SELECT date_trunc('day', j.completed_at, 'UTC') AS day_start, j.worker_id, j.started_at, j.completed_at AS ended_at
        FROM public.ml_jobs j
        WHERE j.status IN ('FAILED', 'CANCELLED') AND j.completed_at >= date_trunc('day', now(), 'UTC') - interval '29 days'
            AND j.started_at IS NOT NULL
            AND NOT EXISTS (
                SELECT
                FROM public.ml_job_events e
                WHERE e.job_id = j.id AND e.attempt = j.attempt AND e.event IN ('EXPIRED', 'RELEASED')
            )
        UNION ALL
        SELECT date_trunc('day', e.created_at, 'UTC') AS day_start, c.worker_id, c.created_at AS started_at, e.created_at AS ended_at
        FROM public.ml_job_events e
        JOIN public.ml_job_events c ON c.job_id = e.job_id AND c.attempt = e.attempt AND c.event = 'CLAIMED'
        WHERE e.event IN ('EXPIRED', 'RELEASED') AND e.created_at >= date_trunc('day', now(), 'UTC') - interval '29 days'
        UNION ALL
        SELECT date_trunc('day', now(), 'UTC') AS day_start, j.worker_id, j.started_at, now() AS ended_at
        FROM public.ml_jobs j
        WHERE j.status = 'RUNNING' AND j.started_at <= now()
    ) a
    GROUP BY a.day_start, a.worker_id
)
SELECT
    d.day,
    p.worker_id,
    split_part(p.worker_id, ':', 1) AS host,
    sum(p.attempts)::bigint AS attempts,
    date_part('epoch', sum(p.busy)) AS busy_seconds,
    date_part('epoch', sum(p.busy)) / nullif(date_part('epoch', least(d.day_end, now()) - d.day_start), 0) AS busy_share
FROM (
    SELECT e.worker_id, e.day_start, e.attempts, e.busy
    FROM by_end e
    UNION ALL
    SELECT e.worker_id, b.day_start, 0, b.day_end - greatest(s.started_at, b.day_start)
    FROM by_end e
    CROSS JOIN unnest(e.started_before) s (started_at)
    JOIN public.ml_last_days b ON b.day_start < e.day_start AND b.day_end > s.started_at
) p
JOIN public.ml_last_days d ON d.day_start = p.day_start
GROUP BY d.day, d.day_start, d.day_end, p.worker_id;
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE VIEW public.ml_dim_models WITH (security_invoker = true) AS
SELECT
    m.id AS model_id,
    m.name AS model_name,
    m.model_type,
    m.status,
    m.is_deleted,
    m.created_at,
    m.deleted_at,
    ml_internal.label_text(m.target_variable, m.target_operator, m.target_value, m.future_minutes) AS target,
    m.target_variable,
    m.target_operator,
    m.target_value,
    m.future_minutes,
    m.train_start,
    m.train_end,
    m.test_size,
    m.random_state,
    m.description,
    m.train_job_id AS job_id
FROM public.ml_models m;
CREATE OR REPLACE VIEW public.ml_dim_features WITH (security_invoker = true) AS
SELECT c.column_name AS feature, c.data_type, col_description('public.coin_metrics'::regclass, c.place::integer) AS description
FROM (
    SELECT m.column_name, m.data_type, a.attnum AS place
    FROM public.ml_metric_columns m
    JOIN pg_catalog.pg_attribute a ON a.attrelid = 'public.coin_metrics'::regclass AND a.attname = m.column_name
    WHERE m.is_numeric
) c;
CREATE OR REPLACE VIEW public.ml_fact_jobs WITH (security_invoker = true) AS
SELECT
    j.id AS job_id,
    j.job_type,
    j.status,
    j.priority,
    j.created_at,
    j.started_at,
    j.completed_at,
    date_part('epoch', j.started_at - j.created_at) AS waiting_seconds,
    date_part('epoch', CASE j.status WHEN 'RUNNING' THEN now() ELSE j.completed_at END - j.started_at) AS running_seconds,
    j.attempt AS attempts,
    j.worker_id,
    j.model_id,
    j.model_b_id,
    j.period_start,
    j.period_end,
    j.error_msg
FROM ml.jobs j;
CREATE OR REPLACE VIEW public.ml_fact_importances WITH (security_invoker = true) AS
SELECT
    x.model_id,
    x.source,
    x.source_id,
    split_part(i.item, '=', 1) AS feature,
    i.place::integer AS rank,
    split_part(i.item, '=', 2)::numeric AS importance
FROM (
    SELECT r.model_id, 'training' AS source, r.id AS source_id, r.feature_importance_csv FROM public.ml_training_runs r
    UNION ALL
    SELECT t.model_id, 'test' AS source, t.id AS source_id, t.feature_importance_csv FROM public.ml_test_results t
) x
CROSS JOIN LATERAL string_to_table(x.feature_importance_csv, ';') WITH ORDINALITY AS i (item, place);
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE FUNCTION ml.help()
RETURNS TABLE (
    you_want_to text,
    you_type text
)
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_range record := ml_internal.metrics_range();
    v_start date := coalesce(v_range.first_at, '2024-01-01');
    v_end date := coalesce(v_range.last_at, '2024-04-01') + interval '1 day';
    v_middle date := v_start + (v_end - v_start) * 2 / 3;
    v_job bigint := coalesce((SELECT max(j.id) FROM public.ml_jobs j), 1);
    v_open bigint := coalesce((SELECT max(j.id) FROM public.ml_jobs j WHERE j.completed_at IS NULL), v_job);
    v_models text [] := ARRAY(
        SELECT m.name FROM public.ml_models m WHERE m.status = 'READY' AND NOT m.is_deleted ORDER BY m.id DESC LIMIT 2
    ) || '{my_model,my_other_model}'::text [];
    v_train text := format('''xgboost'', ''price_close'', ''>'', 0.00005, ''price_open,volume_sol'', %L, %L, 10', v_start, v_middle);
BEGIN
    RETURN QUERY
    VALUES
        ('see what a training would find', format('SELECT * FROM ml.preview(%s);', v_train)),
        ('train a model; returns the job''s number', format('SELECT ml.train(%s);', v_train)),
        ('test a model on a later period', format('SELECT ml.test(%L, %L, %L);', v_models[1], v_middle, v_end)),
        ('compare two models on the same rows', format('SELECT ml.compare(%L, %L, %L, %L);', v_models[1], v_models[2], v_middle, v_end)),
        ('wait for a job, or for all of yours', format('CALL ml.wait(%s);  CALL ml.wait();', v_job)),
        ('watch the queue', 'SELECT id, status, bar, progress_msg FROM ml_queue;'),
        ('cancel a job', format('CALL ml.cancel_job(%s);', v_open)),
        ('rank the models', 'SELECT rank_by_f1, name, test_f1, test_roc_auc FROM ml_leaderboard;'),
        ('read about a model', format('SELECT ml.report(%L);', v_models[1])),
        ('see a job''s rows before it runs', format('SELECT * FROM ml.preview(%s);', v_job)),
        ('find columns to learn from', 'TABLE ml_metric_columns;'),
        ('find hyperparameters', 'SELECT name, default_value FROM ref_model_params WHERE model_type = ''xgboost'';'),
        ('see which workers are alive', 'SELECT worker_id, state, job_ids FROM ml_workers;'),
        ('hear of jobs without polling', 'LISTEN ml_job_status;'),
        ('as the owner, remove what is old', 'CALL ml.prune(''90 days'');'),
        ('as the owner, keep teams apart', 'CALL ml.separate_teams(true);  CALL ml.separate_teams(false);');
END
$$;
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE PROCEDURE ml.separate_teams(
    separate boolean
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET lock_timeout TO '100ms'
AS $$
DECLARE
    v_table regclass;
    v_tables regclass[] := ARRAY['public.ml_jobs'::regclass] || ARRAY(
        SELECT c.conrelid::regclass
        FROM pg_constraint c
        WHERE c.contype = 'f' AND c.confrelid = 'public.ml_jobs'::regclass AND c.conrelid <> c.confrelid
        ORDER BY c.conrelid::regclass::text
    );
BEGIN
    IF separate IS NULL THEN
        RAISE EXCEPTION 'teams cannot be separated by NULL'
            USING ERRCODE = 'null_value_not_allowed', HINT = 'CALL ml.separate_teams(true); or CALL ml.separate_teams(false);';
    ELSIF NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = ANY (v_tables) AND c.relrowsecurity <> separate) THEN
        RETURN;
    END IF;
    LOOP
        BEGIN
            EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', array_to_string(v_tables, ', '));
            EXIT;
        EXCEPTION
            WHEN lock_not_available THEN
                PERFORM pg_sleep(0.1);
        END;
    END LOOP;
    FOREACH v_table IN ARRAY v_tables LOOP
        IF NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = v_table AND p.polname = 'own_team') THEN
            EXECUTE format('CREATE POLICY own_team ON %s USING (%s)', v_table, CASE v_table
                WHEN 'public.ml_jobs'::regclass THEN
                    'created_by = ANY (ARRAY(SELECT r.rolname FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, ''MEMBER'')))'
                ELSE (
                    SELECT format('EXISTS (SELECT FROM public.ml_jobs j WHERE j.id = %I)', a.attname)
                    FROM pg_constraint c
                    JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
                    WHERE c.contype = 'f' AND c.confrelid = 'public.ml_jobs'::regclass AND c.conrelid = v_table
                )
            END);
            EXECUTE format('COMMENT ON POLICY own_team ON %s IS %L', v_table, 'Members of the role that inserted the job.');
        END IF;
        EXECUTE format('ALTER TABLE %s %s ROW LEVEL SECURITY', v_table, CASE WHEN separate THEN 'ENABLE' ELSE 'DISABLE' END);
    END LOOP;
    IF NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = 'public.ml_jobs'::regclass AND p.polname = 'workers') THEN
        CREATE POLICY workers ON public.ml_jobs FOR SELECT TO ml_worker USING (true);
        COMMENT ON POLICY workers ON public.ml_jobs IS 'A worker reads the jobs of all teams, and what derives from them.';
    END IF;
END
$$;
DO $$
BEGIN
    IF (SELECT c.relrowsecurity FROM pg_class c WHERE c.oid = 'public.ml_jobs'::regclass) THEN
        CALL ml.separate_teams(true);
    END IF;
END
$$;
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE FUNCTION ml_internal.prune_events(
    p_before timestamptz,
    p_from bigint,
    p_batch integer
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_to bigint;
BEGIN
    SELECT max(x.id) INTO v_to
    FROM (
        SELECT e.id, e.created_at FROM public.ml_job_events e WHERE e.id > p_from ORDER BY e.id LIMIT p_batch
    ) x
    WHERE x.created_at < p_before;
    PERFORM set_config('ml.pruning', 'on', true);
    DELETE FROM public.ml_job_events e
    WHERE e.id > p_from AND e.id <= v_to AND e.event = 'PROGRESS' AND e.created_at < p_before;
    PERFORM set_config('ml.pruning', 'off', true);
    RETURN v_to;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.prune_signs(
    p_before timestamptz,
    p_from bigint,
    p_batch integer
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_to bigint;
BEGIN
    SELECT max(x.id) INTO v_to
    FROM (
        SELECT s.id, s.created_at FROM public.ml_worker_signs s WHERE s.id > p_from ORDER BY s.id LIMIT p_batch
    ) x
    WHERE x.created_at < p_before;
    PERFORM set_config('ml.pruning', 'on', true);
    DELETE FROM public.ml_worker_signs s
    WHERE s.id > p_from AND s.id <= v_to AND s.created_at < p_before AND s.alive_until < clock_timestamp();
    PERFORM set_config('ml.pruning', 'off', true);
    RETURN v_to;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.prune_jobs(
    p_before timestamptz,
    p_below bigint,
    p_batch integer
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_delete text := (
        SELECT format(
            'WITH %s DELETE FROM public.ml_jobs j WHERE j.id = ANY ($1)',
            string_agg(format('%I AS (DELETE FROM %s WHERE %I = ANY ($1))', 'of_' || c.conrelid, c.conrelid::regclass, a.attname), ', ')
        )
        FROM pg_constraint c
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
        WHERE c.contype = 'f' AND c.confrelid = 'public.ml_jobs'::regclass AND c.conrelid <> c.confrelid
    );
    v_down_to bigint;
    v_old bigint[];
    v_makes boolean;
    v_jobs bigint[];
BEGIN
    SELECT min(x.id) INTO v_down_to
    FROM (SELECT j.id FROM public.ml_jobs j WHERE j.id < p_below ORDER BY j.id DESC LIMIT p_batch) x;
    v_old := ARRAY(
        SELECT j.id
        FROM public.ml_jobs j
        WHERE j.id >= v_down_to AND j.id < p_below AND j.completed_at < p_before
        FOR UPDATE SKIP LOCKED
    );
    PERFORM set_config('ml.pruning', 'on', true);
    FOREACH v_makes IN ARRAY ARRAY[false, true] LOOP
        v_jobs := ARRAY(
            SELECT j.id
            FROM public.ml_jobs j
            JOIN ml.job_kinds k ON k.job_type = j.job_type
            WHERE j.id = ANY (v_old) AND (k.makes_model IS NOT NULL) = v_makes
                AND NOT EXISTS (
                    SELECT
                    FROM ml.job_models u
                    JOIN public.ml_models m ON m.id = u.model_id
                    WHERE u.job_id = j.id AND (u.is_made OR j.status = 'COMPLETED')
                        AND (
                            NOT (m.status = 'FAILED' OR (m.is_deleted AND m.deleted_at < p_before))
                            OR (u.is_made AND EXISTS (SELECT FROM ml.job_models y WHERE y.model_id = m.id AND NOT y.is_made))
                        )
                )
        );
        EXECUTE v_delete USING v_jobs;
    END LOOP;
    PERFORM set_config('ml.pruning', 'off', true);
    RETURN v_down_to;
END
$$;
CREATE OR REPLACE PROCEDURE ml.prune(
    older_than interval
)
LANGUAGE plpgsql
AS $$
DECLARE
    v_before timestamptz := pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) older_than;
    v_at bigint := 0;
BEGIN
    IF older_than IS NULL OR older_than OPERATOR(pg_catalog.<) '0'::pg_catalog.interval THEN
        RAISE EXCEPTION 'cannot prune what is older than %', coalesce(older_than::pg_catalog.text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give an age, for example: CALL ml.prune(''90 days'');';
    END IF;
    CALL ml_internal.require_autocommit('ml.prune');
    WHILE v_at IS NOT NULL LOOP
        v_at := ml_internal.prune_events(v_before, v_at, 10000);
        COMMIT;
    END LOOP;
    v_at := 0;
    WHILE v_at IS NOT NULL LOOP
        v_at := ml_internal.prune_signs(v_before, v_at, 10000);
        COMMIT;
    END LOOP;
    v_at := 9223372036854775807;
    WHILE v_at IS NOT NULL LOOP
        v_at := ml_internal.prune_jobs(v_before, v_at, 500);
        COMMIT;
    END LOOP;
END
$$;
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE FUNCTION ml.claim_job(
    p_worker_id text,
    p_lease interval DEFAULT '30 seconds'
)
RETURNS SETOF public.ml_jobs
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT * FROM ml_internal.claim_job(p_worker_id, p_lease, '{TRAIN,TEST,COMPARE}');
$$;
CREATE OR REPLACE FUNCTION ml.record_progress(
    p_job_id bigint,
    p_attempt integer,
    p_progress numeric,
    p_message text DEFAULT NULL,
    p_lease interval DEFAULT '30 seconds'
)
RETURNS timestamptz
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ml_internal.record_progress(p_job_id, p_attempt, p_progress, p_message, p_lease);
$$;
CREATE OR REPLACE FUNCTION ml.record_failure(
    p_job_id bigint,
    p_attempt integer,
    p_message text
)
RETURNS text
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ml_internal.record_failure(p_job_id, p_attempt, p_message);
$$;
CREATE OR REPLACE FUNCTION ml.record_loss(
    p_job_id bigint,
    p_attempt integer,
    p_message text
)
RETURNS text
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ml_internal.record_loss(p_job_id, p_attempt, p_message);
$$;
CREATE OR REPLACE FUNCTION ml.release_job(
    p_job_id bigint,
    p_attempt integer,
    p_message text
)
RETURNS text
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ml_internal.release_job(p_job_id, p_attempt, p_message);
$$;
CREATE OR REPLACE FUNCTION ml.expire_leases()
RETURNS bigint
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ml_internal.expire_leases();
$$;
CREATE OR REPLACE FUNCTION ml.record_sign(
    p_worker_id text,
    p_concurrency integer,
    p_alive_for interval
)
RETURNS timestamptz
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ml_internal.record_sign(p_worker_id, p_concurrency, p_alive_for);
$$;
CREATE OR REPLACE FUNCTION ml_internal.curve_of_version_3(
    p_num_positive bigint,
    p_num_negative bigint,
    p_curve double precision []
)
RETURNS jsonb
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT jsonb_agg(jsonb_build_object(
        'threshold', p_curve[i][1], 'tp', p_curve[i][2], 'fp', p_curve[i][3],
        'tn', p_num_negative - p_curve[i][3], 'fn', p_num_positive - p_curve[i][2], 'sum_probability', p_curve[i][4]
    ))
    FROM generate_subscripts(p_curve, 1) i;
$$;
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
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ml_internal.record_result(p_job_id, p_attempt, jsonb_strip_nulls(jsonb_build_object(
        'holdout', p_holdout,
        'num_coins', p_num_coins,
        'num_fitted', p_num_fitted,
        'num_fitted_positive', p_num_fitted_positive,
        'num_gap', p_num_gap,
        'num_unlabelled', p_num_unlabelled,
        'num_positive', p_num_positive,
        'num_negative', p_num_negative,
        'tp', p_tp,
        'tn', p_tn,
        'fp', p_fp,
        'fn', p_fn,
        'roc_auc', p_roc_auc,
        'feature_importance_csv', p_feature_importance_csv,
        'artifact_path', p_artifact_path,
        'artifact_sha256', p_artifact_sha256,
        'artifact_bytes', p_artifact_bytes,
        'data_fingerprint', p_data_fingerprint,
        'library_versions_csv', p_library_versions_csv,
        'seconds_loading', p_seconds_loading,
        'seconds_fitting', p_seconds_fitting,
        'warnings', p_warnings,
        'engine', p_engine,
        'ml_curve_points', ml_internal.curve_of_version_3(p_num_positive, p_num_negative, p_curve)
    )));
$$;
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
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ml_internal.record_result(p_job_id, p_attempt, jsonb_strip_nulls(jsonb_build_object(
        'num_unlabelled', p_num_unlabelled,
        'num_positive', p_num_positive,
        'num_negative', p_num_negative,
        'tp', p_tp,
        'tn', p_tn,
        'fp', p_fp,
        'fn', p_fn,
        'roc_auc', p_roc_auc,
        'feature_importance_csv', p_feature_importance_csv,
        'data_fingerprint', p_data_fingerprint,
        'seconds_loading', p_seconds_loading,
        'seconds_scoring', p_seconds_scoring,
        'ml_curve_points', ml_internal.curve_of_version_3(p_num_positive, p_num_negative, p_curve)
    )));
$$;
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
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ml_internal.record_result(p_job_id, p_attempt, jsonb_strip_nulls(jsonb_build_object(
        'num_unlabelled', p_num_unlabelled,
        'num_samples', p_num_samples,
        'a_tp', p_a_tp,
        'a_tn', p_a_tn,
        'a_fp', p_a_fp,
        'a_fn', p_a_fn,
        'a_roc_auc', p_a_roc_auc,
        'b_tp', p_b_tp,
        'b_tn', p_b_tn,
        'b_fp', p_b_fp,
        'b_fn', p_b_fn,
        'b_roc_auc', p_b_roc_auc,
        'data_fingerprint', p_data_fingerprint,
        'seconds_loading', p_seconds_loading,
        'seconds_scoring', p_seconds_scoring
    )));
$$;
CREATE OR REPLACE PROCEDURE ml.require_attempt(
    p_job_id bigint,
    p_attempt integer
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    CALL ml_internal.require_attempt(p_job_id, p_attempt);
END
$$;
CREATE OR REPLACE PROCEDURE ml.lose_attempt(
    p_job_id bigint,
    p_attempt integer,
    p_message text
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    CALL ml_internal.lose_attempt(p_job_id, p_attempt, p_message);
END
$$;
CREATE OR REPLACE PROCEDURE ml.require_free_name(
    p_name text,
    p_for_job_id bigint
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    CALL ml_internal.require_free_name(p_name, p_for_job_id);
END
$$;
CREATE OR REPLACE FUNCTION ml.require_ready_model(
    p_model_id bigint
)
RETURNS public.ml_models
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT * FROM ml_internal.require_ready_model(p_model_id);
$$;
CREATE OR REPLACE PROCEDURE ml.store_curve(
    p_job_id bigint,
    p_num_positive bigint,
    p_num_negative bigint,
    p_curve double precision []
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO public.ml_curve_points (job_id, threshold, tp, fp, tn, fn, sum_probability)
    SELECT p_job_id, p.threshold, p.tp, p.fp, p.tn, p.fn, p.sum_probability
    FROM jsonb_populate_recordset(
        NULL::public.ml_curve_points, ml_internal.curve_of_version_3(p_num_positive, p_num_negative, p_curve)
    ) p;
END
$$;
GRANT EXECUTE ON FUNCTION
    ml.claim_job, ml.record_progress, ml.record_failure, ml.record_loss, ml.release_job, ml.expire_leases, ml.record_sign,
    ml.record_training, ml.record_test, ml.record_comparison, ml_internal.curve_of_version_3
TO ml_worker;
DO $$
DECLARE
    v_routine regprocedure;
BEGIN
    IF NOT EXISTS (SELECT FROM ml.schema_version v WHERE v.version <= 3) THEN
        FOR v_routine IN
            SELECT p.oid
            FROM pg_proc p
            WHERE p.pronamespace IN ('ml'::regnamespace, 'ml_internal'::regnamespace)
                AND obj_description(p.oid, 'pg_proc') LIKE 'Worker of version 3:%'
        LOOP
            EXECUTE format('DROP ROUTINE %s', v_routine);
        END LOOP;
    END IF;
END
$$;
SET search_path TO pg_catalog, pg_temp;
REVOKE ALL ON ALL ROUTINES IN SCHEMA ml, ml_internal FROM public;
GRANT SELECT ON
    public.ref_model_types, public.ref_model_params,
    public.ml_jobs, public.ml_job_events, public.ml_models,
    public.ml_worker_signs,
    public.ml_curve_points,
    public.ml_metric_columns, public.ml_queue, public.ml_workers, public.ml_leaderboard, public.ml_model_features, public.ml_model_params,
    public.ml_measurements, public.ml_threshold_sweep, public.ml_roc_curve, public.ml_pr_curve, public.ml_calibration,
    public.ml_last_days, public.ml_daily_jobs, public.ml_daily_durations, public.ml_daily_losses, public.ml_daily_quality,
    public.ml_failures, public.ml_artifact_sizes, public.ml_worker_days,
    public.ml_dim_models, public.ml_dim_features,
    public.ml_fact_jobs, public.ml_fact_importances,
    ml.schema_version
TO ml_reader;
GRANT EXECUTE ON FUNCTION ml.preview(bigint) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml.preview(
    text, text, text, numeric, text, timestamptz, timestamptz,
    integer, text, text, text, text, numeric, integer, integer, integer
) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml_internal.count_rows(text, text, numeric, integer, text [], text, timestamptz, timestamptz) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml_internal.preview_job(public.ml_jobs) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml_internal.count_text(bigint, bigint) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml_internal.is_positive, ml_internal.label_text, ml_internal.label_expression, ml_internal.unlabelled_text TO ml_reader;
GRANT EXECUTE ON FUNCTION ml_internal.common_items, ml_internal.list_items, ml_internal.param_items, ml_internal.merge_params TO ml_reader;
GRANT EXECUTE ON FUNCTION ml_internal.describe_job(bigint), ml_internal.has_worker(), ml_internal.metrics_range(), ml_internal.no_rows_text TO ml_reader;
GRANT EXECUTE ON FUNCTION ml_internal.suggest_names(text, text [], text), ml_internal.trivial_answer, ml_internal.verdict TO ml_reader;
GRANT EXECUTE ON PROCEDURE ml_internal.require_autocommit(text) TO ml_reader;
GRANT EXECUTE ON PROCEDURE ml.wait(), ml.wait(bigint, interval), ml.wait(bigint, double precision), ml.wait(bigint, text), ml.wait(bigint [], interval) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml_internal.find_model(text) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml_internal.accuracy(bigint, bigint, bigint, bigint) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml_internal.precision_score(bigint, bigint) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml_internal.recall_score(bigint, bigint) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml_internal.f1_score(bigint, bigint, bigint) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml_internal.period_text(timestamptz, timestamptz) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml_internal.draw_scores(bigint, bigint, bigint, bigint, numeric) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml.help() TO ml_reader;
GRANT EXECUTE ON FUNCTION ml.report(bigint) TO ml_reader;
GRANT EXECUTE ON FUNCTION ml.report(text) TO ml_reader;
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
GRANT INSERT (
    job_type, status, priority, max_attempts,
    created_at, started_at, completed_at, progress, progress_msg, error_msg,
    worker_id, attempt, lease_until, created_by
) ON public.ml_jobs TO ml_client;
GRANT UPDATE (status, priority, job_type, created_at, max_attempts) ON public.ml_jobs TO ml_client;
GRANT UPDATE (name, description, is_deleted) ON public.ml_models TO ml_client;
GRANT EXECUTE ON PROCEDURE ml.cancel_job(bigint) TO ml_client;
GRANT EXECUTE ON FUNCTION ml_internal.claim_job(text, interval, text []) TO ml_worker;
GRANT EXECUTE ON FUNCTION ml_internal.assignment(bigint) TO ml_worker;
GRANT EXECUTE ON FUNCTION ml_internal.record_result(bigint, integer, jsonb) TO ml_worker;
GRANT EXECUTE ON FUNCTION ml_internal.record_progress(bigint, integer, numeric, text, interval) TO ml_worker;
GRANT EXECUTE ON FUNCTION ml_internal.record_failure(bigint, integer, text) TO ml_worker;
GRANT EXECUTE ON FUNCTION ml_internal.record_loss(bigint, integer, text) TO ml_worker;
GRANT EXECUTE ON FUNCTION ml_internal.release_job(bigint, integer, text) TO ml_worker;
GRANT EXECUTE ON FUNCTION ml_internal.expire_leases() TO ml_worker;
GRANT EXECUTE ON FUNCTION ml_internal.record_sign(text, integer, interval) TO ml_worker;
SET search_path TO pg_catalog, pg_temp;
INSERT INTO ml.schema_version (version)
VALUES (5)
ON CONFLICT DO NOTHING;
