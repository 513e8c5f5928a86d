-- SELECT * FROM ml.explain('storms', c): why a model says what it says of a row. What the features add up from is the sum
-- that the probability is made of (ml_model_numbers.answer): the logit, or for a random forest the probability itself.
--   Trees: Saabas. On the way down each step changes the mean of the leaves below; the feature that was asked has it.
--   Regression: exact. Weight times distance from the mean of the training rows.
--   Network: Shapley values (Strumbelj and Kononenko 2014) against the mean of the training rows. Features come from their
--   mean to their value one after the other, in each rotation of their order and of its reverse; each has its mean change.
-- All of them add up exactly, to the last bits of a double.

SET search_path TO pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION ml_internal.explain_layers(
    p_numbers public.ml_model_numbers,
    p_scaled double precision [],
    OUT start double precision,
    OUT contributions double precision []
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_inputs integer := cardinality(p_scaled);
    v_none double precision [] := array_fill(0::double precision, ARRAY[v_inputs]); -- the mean of each
    v_changed double precision [];
    v_direction integer;
    v_place integer;
    v_before double precision;
    v_after double precision;
BEGIN
    IF p_numbers.num_layers = 1 THEN
        SELECT l.bias, ARRAY(
            SELECT w.weight * w.value FROM unnest(l.weights, p_scaled) WITH ORDINALITY w (weight, value, place) ORDER BY w.place
        )
        INTO start, contributions
        FROM public.ml_model_layers l
        WHERE l.job_id = p_numbers.job_id;
        RETURN;
    END IF;
    start := ml_internal.walk_layers(p_numbers, v_none);
    contributions := v_none;
    FOREACH v_direction IN ARRAY '{1,-1}'::integer [] LOOP
        FOR v_first IN 0..v_inputs - 1 LOOP
            v_changed := v_none;
            v_before := start;
            v_place := v_first;
            FOR v_step IN 1..v_inputs LOOP
                v_changed[v_place + 1] := p_scaled[v_place + 1];
                v_after := ml_internal.walk_layers(p_numbers, v_changed);
                contributions[v_place + 1] := contributions[v_place + 1] + (v_after - v_before) / (2 * v_inputs);
                v_before := v_after;
                v_place := (v_place + v_direction + v_inputs) % v_inputs;
            END LOOP;
        END LOOP;
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION ml_internal.explain_inputs(
    p_job_id bigint,
    p_inputs double precision []
)
RETURNS TABLE (
    feature text,
    value double precision,
    contribution double precision,
    share double precision,
    base double precision,
    total double precision,
    probability double precision
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
ROWS 10
SET search_path TO pg_catalog, pg_temp
SET jit TO off
SET enable_seqscan TO off -- as in ml_internal.answer
AS $$
DECLARE
    v_numbers public.ml_model_numbers;
    v_singles real [] := ml_internal.as_singles(p_inputs);
    v_base double precision;
    v_contributions double precision [];
BEGIN
    SELECT * INTO v_numbers FROM public.ml_model_numbers n WHERE n.job_id = p_job_id;
    IF v_numbers.num_trees > 0 THEN
        SELECT w.start, w.contributions INTO v_base, v_contributions FROM ml_internal.walk_trees(v_numbers, v_singles, true) w;
    ELSE
        SELECT w.start, w.contributions INTO v_base, v_contributions
        FROM ml_internal.explain_layers(v_numbers, ml_internal.scale_inputs(p_job_id, v_singles)) w;
    END IF;
    RETURN QUERY
    SELECT
        i.feature,
        nullif(p_inputs[i.place + 1], 'NaN'),
        v_contributions[i.place + 1],
        abs(v_contributions[i.place + 1]) / nullif(s.size, 0),
        v_base,
        v_base + s.added,
        ml_internal.probability(v_numbers.answer, v_base + s.added)
    FROM public.ml_model_inputs i
    CROSS JOIN (SELECT sum(c) AS added, sum(abs(c)) AS size FROM unnest(v_contributions) c) s
    WHERE i.job_id = p_job_id
    ORDER BY abs(v_contributions[i.place + 1]) DESC, i.place;
END
$$;

CREATE OR REPLACE FUNCTION ml.explain(
    model text,
    inputs anyelement
)
RETURNS TABLE (
    feature text,
    value double precision,
    contribution double precision,
    share double precision,
    base double precision,
    total double precision,
    probability double precision
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
ROWS 10
SET search_path TO pg_catalog, pg_temp
SET extra_float_digits TO 1
AS $$
DECLARE
    v_job_id bigint := ml_internal.job_with_numbers(ml_internal.find_model(model));
BEGIN
    IF inputs IS DISTINCT FROM NULL THEN
        RETURN QUERY SELECT * FROM ml_internal.explain_inputs(v_job_id, ml_internal.inputs_of_row(v_job_id, to_jsonb(inputs)));
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION ml.explain(
    model bigint,
    inputs anyelement
)
RETURNS TABLE (
    feature text,
    value double precision,
    contribution double precision,
    share double precision,
    base double precision,
    total double precision,
    probability double precision
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
ROWS 10
SET search_path TO pg_catalog, pg_temp
SET extra_float_digits TO 1
AS $$
DECLARE
    v_job_id bigint := ml_internal.job_with_numbers(model);
BEGIN
    IF inputs IS DISTINCT FROM NULL THEN
        RETURN QUERY SELECT * FROM ml_internal.explain_inputs(v_job_id, ml_internal.inputs_of_row(v_job_id, to_jsonb(inputs)));
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION ml.explain(
    model text,
    inputs text
)
RETURNS TABLE (
    feature text,
    value double precision,
    contribution double precision,
    share double precision,
    base double precision,
    total double precision,
    probability double precision
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
ROWS 10
SET search_path TO pg_catalog, pg_temp
SET extra_float_digits TO 1
AS $$
DECLARE
    v_job_id bigint := ml_internal.job_with_numbers(ml_internal.find_model(model));
BEGIN
    IF inputs IS DISTINCT FROM NULL THEN
        RETURN QUERY SELECT * FROM ml_internal.explain_inputs(v_job_id, ml_internal.inputs_of_text(v_job_id, inputs));
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION ml.explain(
    model bigint,
    inputs text
)
RETURNS TABLE (
    feature text,
    value double precision,
    contribution double precision,
    share double precision,
    base double precision,
    total double precision,
    probability double precision
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
ROWS 10
SET search_path TO pg_catalog, pg_temp
SET extra_float_digits TO 1
AS $$
DECLARE
    v_job_id bigint := ml_internal.job_with_numbers(model);
BEGIN
    IF inputs IS DISTINCT FROM NULL THEN
        RETURN QUERY SELECT * FROM ml_internal.explain_inputs(v_job_id, ml_internal.inputs_of_text(v_job_id, inputs));
    END IF;
END
$$;

CALL ml_internal.allow('ml_reader', 'EXECUTE', 'ml.explain, ml_internal.explain_layers, ml_internal.explain_inputs');

COMMENT ON FUNCTION ml_internal.explain_layers(public.ml_model_numbers, double precision []) IS 'What each feature adds to the logit of a network, which is start where all have their mean.';
COMMENT ON FUNCTION ml_internal.explain_inputs(bigint, double precision []) IS 'Rows of ml.explain for features in the order of the numbers of a job.';
COMMENT ON FUNCTION ml.explain(text, anyelement) IS 'Why a model says what it says of a row: for each feature its value, its contribution and its share of all contributions (0 to 1), the greatest first. base + the sum of contribution = total, which is the logit of probability; for a random_forest it is the probability itself. Trees: Saabas; regression: exact; network: Shapley values.';
COMMENT ON FUNCTION ml.explain(bigint, anyelement) IS 'The same by the number of the model.';
COMMENT ON FUNCTION ml.explain(text, text) IS 'What if: SELECT * FROM ml.explain(''storms'', ''volatility_pct=3.1;volume_sol=12'');';
COMMENT ON FUNCTION ml.explain(bigint, text) IS 'The same by the number of the model.';
