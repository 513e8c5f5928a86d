-- SELECT ml.predict('storms', c) FROM coin_metrics c: what a model says of a row, at once, with no worker running.
-- A small model has a function of its own (65_model_numbers.sql), a large one is walked through here. All runs with the
-- rights of who asks, so a model that he may not see does not exist for him.

SET search_path TO pg_catalog, pg_temp;

-- ── Which model ─────────────────────────────────────────────────────────────────────────────────────

-- The job that made it, which has its numbers; or why there is no answer.
CREATE OR REPLACE FUNCTION ml_internal.job_with_numbers(
    p_model_id bigint
)
RETURNS bigint
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_model public.ml_models := ml_internal.require_ready_model(p_model_id);
BEGIN
    IF NOT EXISTS (SELECT FROM public.ml_model_numbers n WHERE n.job_id = v_model.train_job_id) THEN
        RAISE EXCEPTION 'model % ("%") has no numbers in the database', v_model.id, v_model.name
            USING ERRCODE = 'object_not_in_prerequisite_state', TABLE = 'ml_model_numbers',
            HINT = 'If it is of before version 7, ml-worker numbers records them from its file; if it is too large, '
                'the warnings of its training run say so: train a smaller one.';
    END IF;
    RETURN v_model.train_job_id;
END
$$;

-- ── Its inputs ──────────────────────────────────────────────────────────────────────────────────────

CREATE OR REPLACE FUNCTION ml_internal.features_of(
    p_job_id bigint
)
RETURNS text []
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ARRAY(SELECT i.feature FROM public.ml_model_inputs i WHERE i.job_id = p_job_id ORDER BY i.place);
$$;

CREATE OR REPLACE FUNCTION ml_internal.refuse_missing_features(
    p_job_id bigint,
    p_what text,
    p_missing text [],
    p_hint text
)
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '% no %', p_what, array_to_string(p_missing, ', ')
        USING ERRCODE = 'undefined_column', COLUMN = p_missing[1],
        HINT = format('The model needs %s. %s', array_to_string(ml_internal.features_of(p_job_id), ', '), p_hint);
END
$$;

-- The features of a row, as jsonb has it: by name.
CREATE OR REPLACE FUNCTION ml_internal.inputs_of_row(
    p_job_id bigint,
    p_row jsonb
)
RETURNS double precision []
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_features text [] := ml_internal.features_of(p_job_id);
    v_feature text;
BEGIN
    IF jsonb_typeof(p_row) <> 'object' THEN
        RAISE EXCEPTION 'a model cannot be asked about %', left(p_row::text, 100)
            USING ERRCODE = 'datatype_mismatch',
            HINT = 'Give a row, as in ml.predict(''storms'', c) FROM coin_metrics c, or features as text: ''volatility_pct=3.1;volume_sol=12''.';
    ELSIF NOT p_row ?& v_features THEN
        PERFORM ml_internal.refuse_missing_features(
            p_job_id, 'the row has',
            ARRAY(SELECT u.f FROM unnest(v_features) WITH ORDINALITY u (f, place) WHERE NOT p_row ? u.f ORDER BY u.place),
            'Give a row that has them as columns, by these names.'
        );
    END IF;
    SELECT f INTO v_feature
    FROM unnest(v_features) f
    WHERE jsonb_typeof(p_row -> f) NOT IN ('number', 'boolean', 'null') AND p_row -> f NOT IN ('"NaN"', '"Infinity"', '"-Infinity"')
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the feature % of the row is no number: %', v_feature, left(p_row ->> v_feature, 100)
            USING ERRCODE = 'datatype_mismatch', COLUMN = v_feature,
            HINT = 'Cast the column to a number or a boolean.';
    END IF;
    RETURN ARRAY(
        SELECT CASE jsonb_typeof(p_row -> u.f) WHEN 'boolean' THEN (p_row -> u.f)::boolean::integer ELSE (p_row ->> u.f)::double precision END
        FROM unnest(v_features) WITH ORDINALITY u (f, place)
        ORDER BY u.place
    );
END
$$;

-- Those of a row that has no type of its own, as of a subquery.
CREATE OR REPLACE FUNCTION ml_internal.inputs_of_record(
    p_job_id bigint,
    p_row anyelement
)
RETURNS double precision []
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
SET extra_float_digits TO 1
AS $$
BEGIN
    RETURN ml_internal.inputs_of_row(p_job_id, to_jsonb(p_row));
END
$$;

-- Whether rows of this type have the features as numbers; it says what is missing. A row without a type of its own is
-- looked at itself. A model's function would only say that PostgreSQL finds no such column or cast.
CREATE OR REPLACE FUNCTION ml_internal.require_features(
    p_job_id bigint,
    p_row anyelement
)
RETURNS boolean
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_relation oid;
BEGIN
    IF pg_typeof(p_row) <> 'record'::regtype THEN
        SELECT t.typrelid INTO v_relation FROM pg_type t WHERE t.oid = pg_typeof(p_row);
        IF NOT EXISTS (
            SELECT
            FROM public.ml_model_inputs i
            LEFT JOIN pg_attribute a ON a.attrelid = v_relation AND a.attname = i.feature AND ml_internal.is_numeric(a.atttypid)
            WHERE i.job_id = p_job_id AND a.attname IS NULL
        ) THEN
            RETURN true;
        ELSIF v_relation <> 0 THEN
            PERFORM ml_internal.inputs_of_row(p_job_id, (
                SELECT jsonb_object_agg(a.attname, CASE
                    WHEN ml_internal.is_numeric(a.atttypid) THEN '0'
                    ELSE to_jsonb('it is ' || format_type(a.atttypid, a.atttypmod))
                END)
                FROM pg_attribute a
                WHERE a.attrelid = v_relation AND a.attnum > 0 AND NOT a.attisdropped
            ));
        END IF;
    END IF;
    RETURN ml_internal.inputs_of_row(p_job_id, to_jsonb(p_row)) IS NOT NULL;
END
$$;

-- What if: feature=value;feature=value. All features are there, or a forgotten one would quietly count as missing.
CREATE OR REPLACE FUNCTION ml_internal.inputs_of_text(
    p_job_id bigint,
    p_text text
)
RETURNS double precision []
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_features text [] := ml_internal.features_of(p_job_id);
    v_item record;
    v_names text [] := '{}';
    v_inputs double precision [] := array_fill(NULL::double precision, ARRAY[cardinality(v_features)]);
BEGIN
    FOR v_item IN
        SELECT btrim(split_part(i.item, '=', 1)) AS name, btrim(substr(i.item, nullif(strpos(i.item, '='), 0) + 1)) AS value, i.item
        FROM string_to_table(p_text, ';') i (item)
        WHERE btrim(i.item) <> ''
    LOOP
        IF v_item.value IS NULL THEN
            RAISE EXCEPTION '% is not feature=value', quote_literal(left(btrim(v_item.item), 200))
                USING ERRCODE = 'invalid_text_representation', HINT = 'Write features as ''volatility_pct=3.1;volume_sol=12''.';
        ELSIF v_item.name <> ALL (v_features) THEN
            RAISE EXCEPTION 'the model has no feature %', quote_literal(left(v_item.name, 200))
                USING ERRCODE = 'undefined_column', COLUMN = left(v_item.name, 63), HINT = ml_internal.suggest_names(v_item.name, v_features);
        ELSIF v_item.name = ANY (v_names) THEN
            RAISE EXCEPTION 'the feature % is given twice', v_item.name
                USING ERRCODE = 'duplicate_column', COLUMN = v_item.name, HINT = 'Give each feature once.';
        END IF;
        v_names := v_names || v_item.name;
        IF v_item.value ~ '^[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]{1,4})?$' THEN
            v_inputs[array_position(v_features, v_item.name)] := v_item.value::double precision;
        ELSIF lower(v_item.value) IN ('true', 'false') THEN
            v_inputs[array_position(v_features, v_item.name)] := ml_internal.number(v_item.value::boolean);
        ELSIF lower(v_item.value) NOT IN ('null', '') THEN
            RAISE EXCEPTION 'the feature % cannot be %', v_item.name, quote_literal(left(v_item.value, 200))
                USING ERRCODE = 'invalid_text_representation', COLUMN = v_item.name,
                HINT = 'Give a number with a decimal point, true, false, or NULL for a value that is not known.';
        END IF;
    END LOOP;
    IF NOT v_names @> v_features THEN
        PERFORM ml_internal.refuse_missing_features(
            p_job_id, 'there is',
            ARRAY(SELECT u.f FROM unnest(v_features) WITH ORDINALITY u (f, place) WHERE u.f <> ALL (v_names) ORDER BY u.place),
            'Write NULL for a value that is not known, as in volume_sol=NULL.'
        );
    END IF;
    RETURN v_inputs;
END
$$;

-- ── What it says ────────────────────────────────────────────────────────────────────────────────────

-- The sum of the trees; and, where it is to be explained, what each feature did to it: on the way down each step changes
-- the mean of the leaves below, and the feature that was asked has that change (A. Saabas, 2014). It adds up.
CREATE OR REPLACE FUNCTION ml_internal.walk_trees(
    p_numbers public.ml_model_numbers,
    p_inputs real [],
    p_explain boolean,
    OUT total double precision,
    OUT start double precision,
    OUT contributions double precision []
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_chunk public.ml_model_trees;
    v_node integer;
    v_at integer;
    v_feature integer;
    v_mean double precision;
    v_single real := p_numbers.base;
BEGIN
    total := p_numbers.base;
    start := p_numbers.base;
    contributions := array_fill(0::double precision, ARRAY[cardinality(p_inputs)]);
    FOR v_chunk IN SELECT * FROM public.ml_model_trees t WHERE t.job_id = p_numbers.job_id AND t.chunk = 0 ORDER BY t.tree LOOP
        v_at := 1;
        v_mean := v_chunk.value[1];
        start := start + v_mean;
        LOOP
            v_feature := v_chunk.feature[v_at] + 1;
            EXIT WHEN v_feature = 0;
            IF coalesce(p_inputs[v_feature] < v_chunk.bound[v_at], v_chunk.missing_less[v_at]) THEN
                v_node := v_chunk.less[v_at];
            ELSE
                v_node := v_chunk.more[v_at];
            END IF;
            IF v_node >> 6 <> v_chunk.chunk THEN
                SELECT * INTO v_chunk FROM public.ml_model_trees t
                WHERE t.job_id = p_numbers.job_id AND t.chunk = v_node >> 6 AND t.tree = v_chunk.tree;
            END IF;
            v_at := (v_node & 63) + 1;
            IF p_explain THEN
                contributions[v_feature] := contributions[v_feature] + v_chunk.value[v_at] - v_mean;
                v_mean := v_chunk.value[v_at];
            END IF;
        END LOOP;
        IF p_numbers.is_single THEN
            v_single := v_single + v_chunk.value[v_at]::real;
        ELSE
            total := total + v_chunk.value[v_at];
        END IF;
    END LOOP;
    IF p_numbers.is_single THEN
        total := v_single;
    END IF;
END
$$;

-- What the first layer of a network sees: without what is missing, and of one scale.
CREATE OR REPLACE FUNCTION ml_internal.scale_inputs(
    p_job_id bigint,
    p_inputs real []
)
RETURNS double precision []
LANGUAGE sql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ARRAY(
        SELECT ml_internal.single(ml_internal.single(coalesce(p_inputs[i.place + 1]::double precision, i.fill) - i.center)::double precision / i.scale)
        FROM public.ml_model_inputs i
        WHERE i.job_id = p_job_id
        ORDER BY i.place
    );
$$;

CREATE OR REPLACE FUNCTION ml_internal.walk_layers(
    p_numbers public.ml_model_numbers,
    p_scaled double precision []
)
RETURNS double precision
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_values double precision [] := p_scaled;
BEGIN
    FOR v_layer IN 0..p_numbers.num_layers - 1 LOOP
        v_values := ARRAY(
            SELECT ml_internal.activate(l.activation, l.bias + (SELECT sum(w.weight * w.value) FROM unnest(l.weights, v_values) w (weight, value)))
            FROM public.ml_model_layers l
            WHERE l.job_id = p_numbers.job_id AND l.layer = v_layer
            ORDER BY l.unit
        );
    END LOOP;
    RETURN v_values[1];
END
$$;

CREATE OR REPLACE FUNCTION ml_internal.as_singles(
    p_inputs double precision []
)
RETURNS real []
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ARRAY(SELECT ml_internal.single(u.value) FROM unnest(p_inputs) WITH ORDINALITY u (value, place) ORDER BY u.place);
$$;

CREATE OR REPLACE FUNCTION ml_internal.probability(
    p_answer text,
    p_sum double precision
)
RETURNS double precision
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT CASE p_answer WHEN 'share' THEN greatest(least(p_sum, 1), 0) ELSE ml_internal.logistic(p_sum) END;
$$;

-- The probability, by walking through the numbers.
CREATE OR REPLACE FUNCTION ml_internal.answer(
    p_job_id bigint,
    p_inputs double precision []
)
RETURNS double precision
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
SET jit TO off -- compiling a query that is asked a thousand times takes longer than the answers
SET enable_seqscan TO off -- a plan made while there are few models would read them all for each row later
AS $$
DECLARE
    v_numbers public.ml_model_numbers;
BEGIN
    SELECT * INTO v_numbers FROM public.ml_model_numbers n WHERE n.job_id = p_job_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no model of job % has numbers here', p_job_id
            USING ERRCODE = 'no_data_found', TABLE = 'ml_model_numbers', HINT = 'SELECT id, name FROM ml_leaderboard; lists the models that can be used.';
    END IF;
    RETURN ml_internal.probability(v_numbers.answer, CASE
        WHEN v_numbers.num_trees > 0 THEN (ml_internal.walk_trees(v_numbers, ml_internal.as_singles(p_inputs), false)).total
        ELSE ml_internal.walk_layers(v_numbers, ml_internal.scale_inputs(p_job_id, ml_internal.as_singles(p_inputs)))
    END);
END
$$;

-- The same of a row, for the function of a large model.
CREATE OR REPLACE FUNCTION ml_internal.answer_row(
    p_job_id bigint,
    p_row anyelement
)
RETURNS double precision
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ml_internal.answer(p_job_id, ml_internal.inputs_of_record(p_job_id, p_row));
END
$$;

-- ── For users ───────────────────────────────────────────────────────────────────────────────────────
-- Two functions with a row, by name and by number, and two with text. Those with a row are asked once for each of many
-- rows: what they do first is one look-up by index, and one call.

CREATE OR REPLACE FUNCTION ml.predict(
    model text,
    inputs anyelement
)
RETURNS double precision
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
SET jit TO off
AS $$
DECLARE
    v_job_id bigint;
    v_answer double precision;
BEGIN
    SELECT m.train_job_id INTO v_job_id
    FROM public.ml_models m
    WHERE m.name = predict.model AND NOT m.is_deleted AND m.status <> 'FAILED';
    IF to_regproc('ml_generated.model_of_job_' || v_job_id) IS NULL THEN
        v_job_id := ml_internal.job_with_numbers(ml_internal.find_model(model));
        IF to_regproc('ml_generated.model_of_job_' || v_job_id) IS NULL THEN -- as where tables alone were copied
            RETURN CASE WHEN inputs IS DISTINCT FROM NULL THEN ml_internal.answer_row(v_job_id, inputs) END;
        END IF;
    END IF;
    IF inputs IS DISTINCT FROM NULL THEN
        EXECUTE 'SELECT ml_generated.model_of_job_' || v_job_id || '($1)' INTO v_answer USING inputs;
    END IF;
    RETURN v_answer;
END
$$;

CREATE OR REPLACE FUNCTION ml.predict(
    model bigint,
    inputs anyelement
)
RETURNS double precision
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
SET jit TO off
AS $$
DECLARE
    v_job_id bigint;
    v_answer double precision;
BEGIN
    SELECT m.train_job_id INTO v_job_id
    FROM public.ml_models m
    WHERE m.id = predict.model AND NOT m.is_deleted AND m.status <> 'FAILED';
    IF to_regproc('ml_generated.model_of_job_' || v_job_id) IS NULL THEN
        v_job_id := ml_internal.job_with_numbers(model);
        IF to_regproc('ml_generated.model_of_job_' || v_job_id) IS NULL THEN -- as where tables alone were copied
            RETURN CASE WHEN inputs IS DISTINCT FROM NULL THEN ml_internal.answer_row(v_job_id, inputs) END;
        END IF;
    END IF;
    IF inputs IS DISTINCT FROM NULL THEN
        EXECUTE 'SELECT ml_generated.model_of_job_' || v_job_id || '($1)' INTO v_answer USING inputs;
    END IF;
    RETURN v_answer;
END
$$;

CREATE OR REPLACE FUNCTION ml.predict(
    model bigint,
    inputs text
)
RETURNS double precision
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_job_id bigint := ml_internal.job_with_numbers(model);
BEGIN
    RETURN CASE WHEN inputs IS NOT NULL THEN ml_internal.answer(v_job_id, ml_internal.inputs_of_text(v_job_id, inputs)) END;
END
$$;

CREATE OR REPLACE FUNCTION ml.predict(
    model text,
    inputs text
)
RETURNS double precision
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ml.predict(ml_internal.find_model(model), inputs);
END
$$;

-- Yes or no, as a test counts it: by the model's own threshold. Whether the model may be asked at all, ml.predict says.
CREATE OR REPLACE FUNCTION ml_internal.threshold_of(
    model bigint
)
RETURNS double precision
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT m.threshold FROM public.ml_models m WHERE m.id = threshold_of.model);
END
$$;

CREATE OR REPLACE FUNCTION ml_internal.threshold_of(
    model text
)
RETURNS double precision
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_threshold double precision;
BEGIN
    SELECT m.threshold INTO v_threshold
    FROM public.ml_models m
    WHERE m.name = threshold_of.model AND NOT m.is_deleted AND m.status <> 'FAILED';
    IF NOT FOUND THEN
        v_threshold := ml_internal.threshold_of(ml_internal.find_model(model));
    END IF;
    RETURN v_threshold;
END
$$;

CREATE OR REPLACE FUNCTION ml.decide(
    model text,
    inputs anyelement
)
RETURNS boolean
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ml.predict(model, inputs) > ml_internal.threshold_of(model);
END
$$;

CREATE OR REPLACE FUNCTION ml.decide(
    model text,
    inputs text
)
RETURNS boolean
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ml.predict(model, inputs) > ml_internal.threshold_of(model);
END
$$;

CREATE OR REPLACE FUNCTION ml.decide(
    model bigint,
    inputs anyelement
)
RETURNS boolean
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ml.predict(model, inputs) > ml_internal.threshold_of(model);
END
$$;

CREATE OR REPLACE FUNCTION ml.decide(
    model bigint,
    inputs text
)
RETURNS boolean
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ml.predict(model, inputs) > ml_internal.threshold_of(model);
END
$$;

-- ── Whether it says what the worker said ────────────────────────────────────────────────────────────

-- Both ways, on the rows that were kept with the training run: greatest difference; NULL without such rows.
CREATE OR REPLACE FUNCTION ml_internal.sample_difference(
    p_model_id bigint
)
RETURNS double precision
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_job_id bigint := (SELECT m.train_job_id FROM public.ml_models m WHERE m.id = p_model_id);
    v_walked double precision;
    v_called double precision;
BEGIN
    SELECT max(abs(ml_internal.answer(v_job_id, s.inputs) - s.probability)) INTO v_walked
    FROM public.ml_model_samples s
    WHERE s.job_id = v_job_id;
    IF to_regproc('ml_generated.model_of_job_' || v_job_id) IS NULL THEN
        RETURN v_walked;
    END IF;
    EXECUTE format(
        'SELECT max(abs(ml_generated.model_of_job_%s(r) - s.probability))
        FROM public.ml_model_samples s CROSS JOIN LATERAL (SELECT %s OFFSET 0) r WHERE s.job_id = $1',
        v_job_id, (
            SELECT string_agg(format('s.inputs[%s] AS %I', i.place + 1, i.feature), ', ' ORDER BY i.place)
            FROM public.ml_model_inputs i
            WHERE i.job_id = v_job_id
        )
    ) INTO v_called USING v_job_id;
    RETURN greatest(v_walked, v_called);
END
$$;

-- A network is fitted in float32, and its worker sums in float32.
CREATE OR REPLACE FUNCTION ml_internal.unequal_models()
RETURNS TABLE (
    model_id bigint,
    name text,
    difference double precision
)
LANGUAGE sql
STABLE
ROWS 10
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT x.id, x.name, x.difference
    FROM (
        SELECT m.id, m.name::text AS name, ml_internal.sample_difference(m.id) AS difference, CASE WHEN n.num_layers > 1 THEN 1e-5 ELSE 1e-6 END AS most
        FROM public.ml_models m
        JOIN public.ml_model_numbers n ON n.job_id = m.train_job_id
        WHERE EXISTS (SELECT FROM public.ml_model_samples s WHERE s.job_id = n.job_id)
    ) x
    WHERE x.difference > x.most
    ORDER BY x.id;
$$;

CALL ml_internal.allow('ml_reader', 'EXECUTE', '
    ml.predict, ml.decide, ml_internal.threshold_of,
    ml_internal.require_ready_model, ml_internal.job_with_numbers, ml_internal.features_of, ml_internal.refuse_missing_features,
    ml_internal.inputs_of_row, ml_internal.inputs_of_record, ml_internal.require_features, ml_internal.inputs_of_text,
    ml_internal.walk_trees, ml_internal.scale_inputs, ml_internal.walk_layers, ml_internal.as_singles,
    ml_internal.probability, ml_internal.answer, ml_internal.answer_row, ml_internal.sample_difference, ml_internal.unequal_models
');

COMMENT ON FUNCTION ml_internal.job_with_numbers(bigint) IS 'Job with the numbers of a READY model, or an error that says why it cannot be asked.';
COMMENT ON FUNCTION ml_internal.features_of(bigint) IS 'Features of the model of a job, in the order of its numbers.';
COMMENT ON FUNCTION ml_internal.refuse_missing_features(bigint, text, text [], text) IS 'Says which features of a model are missing.';
COMMENT ON FUNCTION ml_internal.inputs_of_row(bigint, jsonb) IS 'Features of a row in the order of a model''s numbers, found by name.';
COMMENT ON FUNCTION ml_internal.inputs_of_record(bigint, anyelement) IS 'Features of a row that has no type of its own.';
COMMENT ON FUNCTION ml_internal.require_features(bigint, anyelement) IS 'Refuses a row of a type that lacks a feature of a model, or has it as no number.';
COMMENT ON FUNCTION ml_internal.inputs_of_text(bigint, text) IS 'Features in "a=1;b=2" in the order of a model''s numbers.';
COMMENT ON FUNCTION ml_internal.walk_trees(public.ml_model_numbers, real [], boolean) IS 'Sum of the trees of a model for a row, and what each feature adds to it.';
COMMENT ON FUNCTION ml_internal.scale_inputs(bigint, real []) IS 'Features as the first layer of a network sees them.';
COMMENT ON FUNCTION ml_internal.walk_layers(public.ml_model_numbers, double precision []) IS 'Logit that a network gives scaled features.';
COMMENT ON FUNCTION ml_internal.as_singles(double precision []) IS 'Features as float32.';
COMMENT ON FUNCTION ml_internal.probability(text, double precision) IS 'Probability that the sum of a model stands for, see ml_model_numbers.answer.';
COMMENT ON FUNCTION ml_internal.answer(bigint, double precision []) IS 'Probability that the model of a job gives these features, by walking through its numbers.';
COMMENT ON FUNCTION ml_internal.answer_row(bigint, anyelement) IS 'Probability that the model of a job gives a row, by walking through its numbers.';
COMMENT ON FUNCTION ml_internal.sample_difference(bigint) IS 'Greatest difference between the database and the worker on the rows kept with a model; NULL: there are none.';
COMMENT ON FUNCTION ml_internal.unequal_models() IS 'Worker: models for which the database answers otherwise than the worker did, on the rows kept with them.';
COMMENT ON FUNCTION ml.predict(text, anyelement) IS 'Probability that a model, by name, gives a row of any type that has its features as columns: ml.predict(''storms'', c) FROM coin_metrics c. No worker is needed.';
COMMENT ON FUNCTION ml.predict(bigint, anyelement) IS 'The same by the number of the model.';
COMMENT ON FUNCTION ml.predict(text, text) IS 'What if: ml.predict(''storms'', ''volatility_pct=3.1;volume_sol=12''). Each feature is given; NULL is a missing value.';
COMMENT ON FUNCTION ml.predict(bigint, text) IS 'The same by the number of the model.';
COMMENT ON FUNCTION ml_internal.threshold_of(bigint) IS 'Part of ml.decide: the threshold of a model.';
COMMENT ON FUNCTION ml_internal.threshold_of(text) IS 'Part of ml.decide: the threshold of the model with this name.';
COMMENT ON FUNCTION ml.decide(text, anyelement) IS 'Whether a model, by name, says yes to a row: a probability above its threshold (ml_models.threshold), as in a test.';
COMMENT ON FUNCTION ml.decide(bigint, anyelement) IS 'The same by the number of the model.';
COMMENT ON FUNCTION ml.decide(text, text) IS 'What if: whether a model says yes to ''volatility_pct=3.1;volume_sol=12''.';
COMMENT ON FUNCTION ml.decide(bigint, text) IS 'The same by the number of the model.';
