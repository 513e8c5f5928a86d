-- For hands: SELECT ml.train(…), ml.test(…) and ml.compare(…) with named arguments instead of an INSERT.
-- They insert as the caller, so that every check and right stays.
-- Users type the names of the arguments, so they are those of the columns without train_, and not p_.

SET search_path TO pg_catalog, pg_temp;

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

-- The living model of a name, else the last one that had it: whoever uses it then reads why it cannot be used.
-- A number is understood as well, because some clients bind every value as text.
CREATE OR REPLACE FUNCTION ml.find_model(
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
            HINT = 'SELECT id, name FROM ml_leaderboard; lists the models that can be used.';
    END IF;
    RETURN v_id;
END
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
    SELECT ml.test(ml.find_model(model_name), test_start, test_end, priority, max_attempts);
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
        ml.find_model(model_a_name), ml.find_model(model_b_name), compare_start, compare_end, priority, max_attempts
    );
$$;

COMMENT ON FUNCTION ml.train(
    text, text, text, numeric, text, timestamptz, timestamptz,
    integer, text, text, text, text, numeric, integer, integer, integer
) IS 'Inserts a TRAIN job and returns its id. Arguments as the columns of ml_jobs without train_: ml.train(model_type => ''xgboost'', target => ''market_cap_close'', operator => ''>'', value => 50000, …).';
COMMENT ON FUNCTION ml.test(bigint, timestamptz, timestamptz, integer, integer) IS 'Inserts a TEST job of a model and returns its id.';
COMMENT ON FUNCTION ml.test(text, timestamptz, timestamptz, integer, integer) IS 'Inserts a TEST job of the model with this name and returns its id.';
COMMENT ON FUNCTION ml.compare(bigint, bigint, timestamptz, timestamptz, integer, integer) IS 'Inserts a COMPARE job of two models and returns its id.';
COMMENT ON FUNCTION ml.compare(text, text, timestamptz, timestamptz, integer, integer) IS 'Inserts a COMPARE job of the models with these names and returns its id.';
COMMENT ON FUNCTION ml.find_model(text) IS 'Id of the model with this name (or with this number), or an error that says how to find one.';
