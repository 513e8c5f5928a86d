-- A fitted model as plain numbers, recorded with its training run: so ml.predict (74_predict.sql) answers with no worker
-- running. A model is a sum of trees or a network of layers; a regression is a network of one unit. Whatever is evaluated
-- is made from these numbers alone: each model has a function in the schema ml_generated, which holds the numbers of a small
-- model and walks through those of a large one.

SET search_path TO pg_catalog, pg_temp;

CREATE SCHEMA IF NOT EXISTS ml_generated;
COMMENT ON SCHEMA ml_generated IS 'Functions that the database makes of models, from their numbers.';
CALL ml_internal.allow('ml_reader', 'USAGE', 'ml_generated');

-- ── The numbers ─────────────────────────────────────────────────────────────────────────────────────

CREATE OR REPLACE FUNCTION ml_internal.are_finite(
    p_values double precision []
)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    -- NaN is greater than infinity; NULL gives NULL.
    SELECT coalesce('Infinity' > ALL (p_values) AND '-Infinity' < ALL (p_values), false);
$$;

-- Whether these arrays can be nodes of trees, each by itself; whether they make a tree, numbers_fault says.
CREATE OR REPLACE FUNCTION ml_internal.are_nodes(
    p_feature smallint [],
    p_bound real [],
    p_less integer [],
    p_more integer [],
    p_missing_less boolean []
)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT coalesce(
        cardinality(p_feature) BETWEEN 1 AND 64 AND cardinality(p_feature) = ALL (ARRAY[
            cardinality(p_bound), cardinality(p_less), cardinality(p_more), cardinality(p_missing_less)
        ])
        AND -1 <= ALL (p_feature) AND '-Infinity' < ALL (p_bound) AND 'Infinity' >= ALL (p_bound)
        AND 0 <= ALL (p_less) AND 0 <= ALL (p_more) AND array_position(p_missing_less, NULL) IS NULL,
        false
    );
$$;

CREATE TABLE IF NOT EXISTS public.ml_model_inputs (
    job_id bigint NOT NULL,
    place integer NOT NULL,
    feature text NOT NULL,
    fill double precision,
    center double precision,
    scale double precision,
    CONSTRAINT ml_model_inputs_pkey PRIMARY KEY (job_id, place),
    CONSTRAINT ml_model_inputs_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_model_inputs_all_or_none CHECK (num_nulls(fill, center, scale) IN (0, 3)),
    CONSTRAINT ml_model_inputs_finite CHECK (fill IS NULL OR (ml_internal.are_finite(ARRAY[fill, center, scale]) AND scale > 0))
);

CREATE TABLE IF NOT EXISTS public.ml_model_trees (
    job_id bigint NOT NULL,
    chunk integer NOT NULL,
    tree integer NOT NULL,
    feature smallint [] NOT NULL,
    bound real [] NOT NULL,
    less integer [] NOT NULL,
    more integer [] NOT NULL,
    missing_less boolean [] NOT NULL,
    value double precision [] NOT NULL,
    CONSTRAINT ml_model_trees_pkey PRIMARY KEY (job_id, chunk, tree),
    CONSTRAINT ml_model_trees_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_model_trees_place_not_negative CHECK (least(chunk, tree) >= 0),
    CONSTRAINT ml_model_trees_nodes CHECK (
        ml_internal.are_nodes(feature, bound, less, more, missing_less) AND cardinality(value) = cardinality(feature)
    ),
    CONSTRAINT ml_model_trees_finite CHECK (ml_internal.are_finite(value))
);

CREATE TABLE IF NOT EXISTS public.ml_model_layers (
    job_id bigint NOT NULL,
    layer integer NOT NULL,
    unit integer NOT NULL,
    activation varchar(10) NOT NULL,
    bias double precision NOT NULL,
    weights double precision [] NOT NULL,
    CONSTRAINT ml_model_layers_pkey PRIMARY KEY (job_id, layer, unit),
    CONSTRAINT ml_model_layers_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_model_layers_place_not_negative CHECK (least(layer, unit) >= 0),
    CONSTRAINT ml_model_layers_activation_known CHECK (activation IN ('identity', 'logistic', 'tanh', 'relu')),
    CONSTRAINT ml_model_layers_finite CHECK (ml_internal.are_finite(weights || bias))
);

CREATE TABLE IF NOT EXISTS public.ml_model_numbers (
    job_id bigint NOT NULL,
    answer varchar(10) NOT NULL,
    base double precision NOT NULL,
    is_single boolean NOT NULL,
    num_trees integer NOT NULL,
    num_nodes bigint NOT NULL,
    num_layers integer NOT NULL,
    num_weights bigint NOT NULL,
    CONSTRAINT ml_model_numbers_pkey PRIMARY KEY (job_id),
    CONSTRAINT ml_model_numbers_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_model_numbers_answer_known CHECK (answer IN ('logistic', 'share')),
    CONSTRAINT ml_model_numbers_finite CHECK (ml_internal.are_finite(ARRAY[base])),
    CONSTRAINT ml_model_numbers_trees_or_layers CHECK (
        (num_trees > 0 AND num_nodes >= num_trees AND num_layers = 0 AND num_weights = 0)
        OR (num_layers > 0 AND num_weights > 0 AND num_trees = 0 AND num_nodes = 0 AND answer = 'logistic')
    )
);

CREATE TABLE IF NOT EXISTS public.ml_model_samples (
    job_id bigint NOT NULL,
    place integer NOT NULL,
    inputs double precision [] NOT NULL,
    probability double precision NOT NULL,
    CONSTRAINT ml_model_samples_pkey PRIMARY KEY (job_id, place),
    CONSTRAINT ml_model_samples_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_model_samples_at_most_50 CHECK (place BETWEEN 0 AND 49),
    CONSTRAINT ml_model_samples_probability_between_0_and_1 CHECK (probability BETWEEN 0 AND 1)
);

DO $$
DECLARE
    v_table name;
BEGIN
    FOREACH v_table IN ARRAY '{ml_model_numbers,ml_model_inputs,ml_model_trees,ml_model_layers,ml_model_samples}'::name [] LOOP
        EXECUTE format(
            'CREATE OR REPLACE TRIGGER %1$s_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON public.%1$I
                FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.refuse_change_of_fact()', v_table
        );
    END LOOP;
END
$$;

-- What only all rows of a model together can tell. They come before those of ml_model_numbers, which say how many there are.
CREATE OR REPLACE FUNCTION ml_internal.numbers_fault(
    p_numbers public.ml_model_numbers
)
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_job_id bigint := p_numbers.job_id;
    v_features text [];
    v_found record;
BEGIN
    SELECT string_to_array(m.features_csv, ',') INTO v_features FROM public.ml_models m WHERE m.train_job_id = v_job_id;
    IF v_features IS DISTINCT FROM ARRAY(SELECT i.feature FROM public.ml_model_inputs i WHERE i.job_id = v_job_id ORDER BY i.place)
        OR (SELECT max(i.place) FROM public.ml_model_inputs i WHERE i.job_id = v_job_id) IS DISTINCT FROM cardinality(v_features) - 1
    THEN
        RETURN 'have other inputs than its features';
    END IF;
    IF (SELECT bool_or((i.scale IS NULL) <> (p_numbers.num_layers = 0)) FROM public.ml_model_inputs i WHERE i.job_id = v_job_id) THEN
        RETURN 'scale inputs of trees, or do not those of layers';
    END IF;
    -- A child comes after its parent, so every way down ends. Each node but the root is somebody's child: then there are as
    -- many, and their numbers have this sum.
    SELECT count(*) AS trees, sum(t.nodes) AS nodes, bool_and(t.is_whole) AS are_whole
    INTO v_found
    FROM (
        SELECT
            sum(c.nodes) AS nodes,
            max(c.chunk) = count(*) - 1 AND count(*) FILTER (WHERE c.nodes = 64) >= max(c.chunk)
            AND max(c.feature) < cardinality(v_features)
            AND max(c.child) < sum(c.nodes)
            AND sum(c.parents) * 2 = sum(c.nodes) - 1
            AND sum(c.children) * 2 = sum(c.nodes) * (sum(c.nodes) - 1)
            AND bool_and(c.goes_down) AS is_whole
        FROM (
            SELECT x.tree, x.chunk, n.*
            FROM public.ml_model_trees x
            CROSS JOIN LATERAL (
                SELECT
                    count(*) AS nodes, max(u.feature) AS feature, max(greatest(u.less, u.more)) AS child,
                    count(*) FILTER (WHERE u.feature >= 0) AS parents, sum(u.less::bigint + u.more) AS children,
                    bool_and(CASE
                        WHEN u.feature < 0 THEN u.less = 0 AND u.more = 0
                        ELSE u.less <> u.more AND least(u.less, u.more) > x.chunk * 64 + u.place - 1
                    END) AS goes_down
                FROM unnest(x.feature, x.less, x.more) WITH ORDINALITY u (feature, less, more, place)
            ) n
            WHERE x.job_id = v_job_id
        ) c
        GROUP BY c.tree
    ) t;
    IF v_found.trees <> p_numbers.num_trees OR coalesce(v_found.nodes, 0) <> p_numbers.num_nodes OR NOT v_found.are_whole
        OR EXISTS (SELECT FROM public.ml_model_trees t WHERE t.job_id = v_job_id AND t.tree >= p_numbers.num_trees)
    THEN
        RETURN 'have trees that are not whole';
    END IF;
    SELECT count(*) AS layers, sum(l.weights) AS weights, bool_and(l.is_whole) AS are_whole, bool_and(l.units = 1) FILTER (WHERE l.is_last) AS ends_in_one
    INTO v_found
    FROM (
        SELECT
            x.layer, count(*) AS units, sum(cardinality(x.weights)) AS weights,
            x.layer = max(x.layer) OVER () AS is_last,
            max(x.unit) = count(*) - 1 AND min(cardinality(x.weights)) = max(cardinality(x.weights))
            AND x.layer = row_number() OVER by_layer - 1
            AND max(cardinality(x.weights)) = coalesce(lag(count(*)) OVER by_layer, cardinality(v_features)) AS is_whole
        FROM public.ml_model_layers x
        WHERE x.job_id = v_job_id
        GROUP BY x.layer
        WINDOW by_layer AS (ORDER BY x.layer)
    ) l;
    IF v_found.layers <> p_numbers.num_layers OR coalesce(v_found.weights, 0) <> p_numbers.num_weights
        OR NOT v_found.are_whole OR NOT v_found.ends_in_one
    THEN
        RETURN 'have layers that do not fit each other';
    END IF;
    IF EXISTS (SELECT FROM public.ml_model_samples s WHERE s.job_id = v_job_id AND cardinality(s.inputs) <> cardinality(v_features)) THEN
        RETURN 'have samples of other inputs';
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION ml_internal.check_model_numbers()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_fault text := ml_internal.numbers_fault(NEW);
BEGIN
    IF v_fault IS NOT NULL THEN
        RAISE EXCEPTION 'the numbers of job % %', NEW.job_id, v_fault
            USING ERRCODE = 'check_violation', TABLE = 'ml_model_numbers',
            HINT = 'A worker gives the rows of ml_model_inputs and of ml_model_trees or ml_model_layers first, all of them.';
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER ml_model_numbers_60_check
AFTER INSERT ON public.ml_model_numbers
FOR EACH ROW EXECUTE FUNCTION ml_internal.check_model_numbers();

-- ── The function of a model ─────────────────────────────────────────────────────────────────────────

CREATE OR REPLACE FUNCTION ml_internal.is_numeric(
    p_type oid
)
RETURNS boolean
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN p_type = ANY (ml_internal.numeric_types()) OR ml_internal.base_type(p_type) = ANY (ml_internal.numeric_types());
END
$$;

-- Types of rows that have all features of a model as numbers: of these its function need not ask for every row.
CREATE OR REPLACE FUNCTION ml_internal.row_types_of(
    p_job_id bigint
)
RETURNS oid []
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ARRAY(
        SELECT c.reltype
        FROM public.ml_model_inputs i
        JOIN pg_attribute a ON a.attname = i.feature AND a.attnum > 0
        JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c')
        WHERE i.job_id = p_job_id AND ml_internal.is_numeric(a.atttypid)
        GROUP BY c.reltype
        HAVING count(*) = (SELECT count(*) FROM public.ml_model_inputs x WHERE x.job_id = p_job_id)
        ORDER BY c.reltype = (SELECT m.reltype FROM pg_class m WHERE m.oid = 'public.coin_metrics'::regclass) DESC, c.reltype
        LIMIT 100
    );
$$;

-- Beyond these the first call of a session would take more than a tenth of a second, and tens of megabytes. As measured, a
-- forest of 44,000 nodes is answered in 0.2 ms a row by a function of its own, after 230 ms and with 60 MB, and in 1.3 ms by
-- walking through it: what is asked for less than 200 rows is answered sooner.
CREATE OR REPLACE FUNCTION ml_internal.is_small(
    p_numbers public.ml_model_numbers
)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT p_numbers.num_nodes <= 20000 AND p_numbers.num_weights <= 12000;
$$;

-- Nested CASE expressions, ten trees a statement. Where a value is NULL, no condition is true: ELSE is its side.
CREATE OR REPLACE FUNCTION ml_internal.code_of_trees(
    p_numbers public.ml_model_numbers
)
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
SET extra_float_digits TO 1
AS $$
DECLARE
    v_type text := CASE WHEN p_numbers.is_single THEN 'real' ELSE 'double precision' END;
    v_node record;
    v_code text [];
    v_depth integer [];
    v_trees text [] := '{}';
    v_body text [] := ARRAY[format('s %s := %s;', v_type, quote_literal(p_numbers.base)), 'BEGIN'];
BEGIN
    FOR v_node IN
        SELECT
            t.tree, t.chunk * 64 + n.place::integer AS number, n.feature, n.bound, n.less + 1 AS less, n.more + 1 AS more,
            n.missing_less, n.value
        FROM public.ml_model_trees t
        CROSS JOIN LATERAL unnest(t.feature, t.bound, t.less, t.more, t.missing_less, t.value)
            WITH ORDINALITY n (feature, bound, less, more, missing_less, value, place)
        WHERE t.job_id = p_numbers.job_id
        ORDER BY t.tree, number DESC
    LOOP
        IF v_code IS NULL THEN
            v_code := array_fill(NULL::text, ARRAY[v_node.number]);
            v_depth := array_fill(0, ARRAY[v_node.number]);
        END IF;
        IF v_node.feature < 0 THEN
            v_code[v_node.number] := quote_literal(v_node.value) || '::' || v_type;
        ELSIF v_node.missing_less THEN
            v_code[v_node.number] := format(
                'CASE WHEN f%s >= %L::real THEN %s ELSE %s END', v_node.feature, v_node.bound, v_code[v_node.more], v_code[v_node.less]
            );
        ELSE
            v_code[v_node.number] := format(
                'CASE WHEN f%s < %L::real THEN %s ELSE %s END', v_node.feature, v_node.bound, v_code[v_node.less], v_code[v_node.more]
            );
        END IF;
        IF v_node.feature >= 0 THEN
            v_depth[v_node.number] := 1 + greatest(v_depth[v_node.less], v_depth[v_node.more]);
            -- So many expressions in each other need more stack than a session may have; so much text is of no tree.
            IF v_depth[v_node.number] > 100 OR length(v_code[v_node.number]) > 10000000 THEN
                RETURN NULL;
            END IF;
        END IF;
        IF v_node.number = 1 THEN
            v_trees := v_trees || v_code[1];
            v_code := NULL;
            IF cardinality(v_trees) = 10 THEN
                v_body := v_body || ('s := s + ' || array_to_string(v_trees, E'\n+ ') || ';');
                v_trees := '{}';
            END IF;
        END IF;
    END LOOP;
    IF v_trees <> '{}' THEN
        v_body := v_body || ('s := s + ' || array_to_string(v_trees, E'\n+ ') || ';');
    END IF;
    RETURN array_to_string(v_body, E'\n');
END
$$;

-- A variable a unit, fifty products a statement.
CREATE OR REPLACE FUNCTION ml_internal.code_of_layers(
    p_numbers public.ml_model_numbers
)
RETURNS text
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
SET extra_float_digits TO 1
AS $$
    WITH statements AS (
        SELECT
            l.layer, l.unit, w.part, string_agg(w.product, ' + ' ORDER BY w.place) AS products,
            format('z%s_%s', l.layer + 1, l.unit) AS variable, l.bias, l.activation
        FROM public.ml_model_layers l
        CROSS JOIN LATERAL (
            SELECT x.place, (x.place - 1) / 50 AS part, format('%L::double precision * z%s_%s', x.weight, l.layer, x.place - 1) AS product
            FROM unnest(l.weights) WITH ORDINALITY x (weight, place)
        ) w
        WHERE l.job_id = p_numbers.job_id
        GROUP BY l.job_id, l.layer, l.unit, w.part
    )
    SELECT concat_ws(
        E'\n',
        (
            SELECT string_agg(
                -- One step a variable: an expression as argument would keep the functions from being inlined.
                format(
                    E'a%1$s double precision := coalesce(f%1$s::double precision, %2$L) - %3$L;\nb%1$s double precision := ml_internal.single(a%1$s)::double precision / %4$L;\nz0_%1$s double precision := ml_internal.single(b%1$s)::double precision;',
                    i.place, i.fill, i.center, i.scale
                ), E'\n' ORDER BY i.place
            )
            FROM public.ml_model_inputs i
            WHERE i.job_id = p_numbers.job_id
        ),
        (SELECT string_agg(s.variable || ' double precision;', E'\n' ORDER BY s.layer, s.unit) FROM statements s WHERE s.part = 0),
        's double precision;',
        'BEGIN',
        (
            SELECT string_agg(
                format('%s := %s + %s;', s.variable, CASE s.part WHEN 0 THEN quote_literal(s.bias) || '::double precision' ELSE s.variable END, s.products)
                || CASE WHEN s.is_last AND s.activation <> 'identity' THEN format(E'\n%s := ml_internal.activate(%L, %1$s);', s.variable, s.activation) ELSE '' END,
                E'\n' ORDER BY s.layer, s.unit, s.part
            )
            FROM (SELECT x.*, x.part = max(x.part) OVER (PARTITION BY x.layer, x.unit) AS is_last FROM statements x) s
        ),
        format('s := z%s_0;', p_numbers.num_layers)
    );
$$;

-- It takes a row of any type that has the features as columns, whatever their order. Rows without a type of their own may
-- have another type in each column from one call to the next, which no plan survives: they go by JSON. That of a large model walks through
-- its numbers; and so do all while teams are separated, because the text of a function can be read by everybody.
CREATE OR REPLACE PROCEDURE ml_internal.make_model_function(
    p_job_id bigint,
    p_is_separated boolean DEFAULT NULL -- as it is
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_numbers public.ml_model_numbers;
    v_code text;
BEGIN
    SELECT * INTO v_numbers FROM public.ml_model_numbers n WHERE n.job_id = p_job_id;
    IF ml_internal.is_small(v_numbers)
        AND NOT coalesce(p_is_separated, (SELECT c.relrowsecurity FROM pg_class c WHERE c.oid = 'public.ml_job_events'::regclass)) THEN
        v_code := CASE WHEN v_numbers.num_trees > 0 THEN ml_internal.code_of_trees(v_numbers) ELSE ml_internal.code_of_layers(v_numbers) END;
    END IF;
    IF v_code IS NULL THEN
        v_code := format(E'BEGIN\nRETURN ml_internal.answer_row(%s, inputs);\nEND', p_job_id);
    ELSE
        v_code := format(
            E'DECLARE\nv double precision [] := CASE WHEN pg_typeof(inputs) = ''record''::regtype THEN ml_internal.inputs_of_record(%1$s, inputs) END;\nis_fit boolean := v IS NOT NULL OR pg_typeof(inputs) = ANY (%2$L::oid []) OR ml_internal.require_features(%1$s, inputs);\n%3$s\n%4$s\nRETURN %5$s;\nEND',
            p_job_id,
            ml_internal.row_types_of(p_job_id),
            (
                SELECT string_agg(
                    format(
                        E'd%s double precision := CASE WHEN v IS NULL THEN ml_internal.number(inputs.%I) ELSE v[%s] END;\nf%1$s real := ml_internal.single(d%1$s);',
                        i.place, i.feature, i.place + 1
                    ), E'\n' ORDER BY i.place
                )
                FROM public.ml_model_inputs i
                WHERE i.job_id = p_job_id
            ),
            v_code,
            CASE v_numbers.answer WHEN 'share' THEN 'greatest(least(s, 1), 0)' ELSE 'ml_internal.logistic(s)' END
        );
    END IF;
    EXECUTE format(
        'CREATE OR REPLACE FUNCTION ml_generated.model_of_job_%s(inputs anyelement) RETURNS double precision
            LANGUAGE plpgsql STABLE PARALLEL SAFE AS %L;
        REVOKE ALL ON FUNCTION ml_generated.model_of_job_%1$s(anyelement) FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION ml_generated.model_of_job_%1$s(anyelement) TO ml_reader;
        COMMENT ON FUNCTION ml_generated.model_of_job_%1$s(anyelement) IS %L',
        p_job_id, v_code, 'Probability that the model of this job gives a row; ml.predict asks it.'
    );
END
$$;

-- The function belongs to the numbers: it comes and goes with them.
CREATE OR REPLACE FUNCTION ml_internal.keep_model_function()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        EXECUTE format('DROP FUNCTION IF EXISTS ml_generated.model_of_job_%s(anyelement)', OLD.job_id);
        RETURN NULL;
    END IF;
    CALL ml_internal.make_model_function(NEW.job_id);
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER ml_model_numbers_70_function
AFTER INSERT OR DELETE ON public.ml_model_numbers
FOR EACH ROW EXECUTE FUNCTION ml_internal.keep_model_function();

-- Where a backup was restored, types have other numbers; and a copy may have come without the functions.
DO $$
DECLARE
    v_job_id bigint;
BEGIN
    FOR v_job_id IN
        SELECT n.job_id
        FROM public.ml_model_numbers n
        JOIN pg_catalog.pg_class c ON c.oid = 'public.coin_metrics'::regclass
        WHERE NOT EXISTS (
            SELECT
            FROM pg_catalog.pg_proc p
            WHERE p.pronamespace = 'ml_generated'::regnamespace AND p.proname = 'model_of_job_' || n.job_id
                AND (strpos(p.prosrc, format('(''{%s', c.reltype)) > 0 OR strpos(p.prosrc, 'ml_internal.answer_row') > 0)
        )
    LOOP
        CALL ml_internal.make_model_function(v_job_id);
    END LOOP;
END
$$;

-- Numbers of a model of before this version, which had none with its run.
CREATE OR REPLACE FUNCTION ml_internal.record_numbers(
    p_model_id bigint,
    p_facts jsonb
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_job_id bigint;
BEGIN
    SELECT r.job_id INTO v_job_id FROM public.ml_training_runs r WHERE r.model_id = p_model_id;
    PERFORM FROM public.ml_jobs j WHERE j.id = v_job_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'model % has no training run that its numbers could belong to', p_model_id
            USING ERRCODE = 'no_data_found', TABLE = 'ml_training_runs', HINT = 'Record the numbers of a READY model.';
    ELSIF EXISTS (SELECT FROM public.ml_model_numbers n WHERE n.job_id = v_job_id) THEN
        RETURN false;
    END IF;
    PERFORM ml_internal.record_facts(v_job_id, p_facts, '{ml_model_inputs,ml_model_trees,ml_model_layers,ml_model_samples,ml_model_numbers}');
    RETURN true;
END
$$;

CALL ml_internal.allow('ml_reader', 'EXECUTE', '
    ml_internal.is_numeric, ml_internal.number, ml_internal.single, ml_internal.logistic, ml_internal.activate, ml_internal.is_small
');
CALL ml_internal.allow('ml_worker', 'EXECUTE', 'ml_internal.record_numbers');

COMMENT ON FUNCTION ml_internal.are_finite(double precision []) IS 'Whether all of these are numbers, and none is infinite.';
COMMENT ON FUNCTION ml_internal.are_nodes(smallint [], real [], integer [], integer [], boolean []) IS 'Whether these arrays can be nodes of trees: of one length, without NULL, in their bounds.';
COMMENT ON FUNCTION ml_internal.numbers_fault(public.ml_model_numbers) IS 'What is wrong with the numbers of a model, all its rows together; NULL: nothing.';
COMMENT ON FUNCTION ml_internal.check_model_numbers() IS 'Trigger: the numbers of a model are whole, and fit its features and each other.';
COMMENT ON FUNCTION ml_internal.is_numeric(oid) IS 'Whether a type, or what a domain stands for, is a number or a boolean.';
COMMENT ON FUNCTION ml_internal.row_types_of(bigint) IS 'Types of rows that have the features of the model of a job as numbers, coin_metrics first.';
COMMENT ON FUNCTION ml_internal.is_small(public.ml_model_numbers) IS 'Whether the function of a model holds its numbers; a larger model is walked through.';
COMMENT ON FUNCTION ml_internal.code_of_trees(public.ml_model_numbers) IS 'Body of the function of a model that is a sum of trees; NULL: they are too deep.';
COMMENT ON FUNCTION ml_internal.code_of_layers(public.ml_model_numbers) IS 'Body of the function of a model that is a network.';
COMMENT ON PROCEDURE ml_internal.make_model_function(bigint, boolean) IS 'Makes the function of the model of a job from its numbers; while teams are separated, one that reads these each time.';
COMMENT ON FUNCTION ml_internal.keep_model_function() IS 'Trigger: the function of a model comes and goes with its numbers.';
COMMENT ON FUNCTION ml_internal.record_numbers(bigint, jsonb) IS 'Worker: records the numbers of a model that has none, as those of before version 7; false if it has some.';
COMMENT ON TABLE public.ml_model_numbers IS 'What kind of sum a model is, append-only: ml_model_trees or ml_model_layers have its numbers. Models without a row are of before version 7, too large, or of a type that gives none.';
COMMENT ON COLUMN public.ml_model_numbers.job_id IS 'TRAIN job of the model.';
COMMENT ON COLUMN public.ml_model_numbers.answer IS 'What the sum is: share, the probability itself, or logistic, its logit.';
COMMENT ON COLUMN public.ml_model_numbers.base IS 'What the sum of the trees begins with.';
COMMENT ON COLUMN public.ml_model_numbers.is_single IS 'Whether the trees are summed as float32, one after the other.';
COMMENT ON COLUMN public.ml_model_numbers.num_trees IS 'Number of trees.';
COMMENT ON COLUMN public.ml_model_numbers.num_nodes IS 'Number of their nodes, leaves included.';
COMMENT ON COLUMN public.ml_model_numbers.num_layers IS 'Number of layers.';
COMMENT ON COLUMN public.ml_model_numbers.num_weights IS 'Number of their weights.';
COMMENT ON TABLE public.ml_model_inputs IS 'Features of a model in the order of its numbers, append-only, and what a network does with them first.';
COMMENT ON COLUMN public.ml_model_inputs.job_id IS 'TRAIN job of the model.';
COMMENT ON COLUMN public.ml_model_inputs.place IS 'Place of the feature, from 0.';
COMMENT ON COLUMN public.ml_model_inputs.feature IS 'Name of the feature.';
COMMENT ON COLUMN public.ml_model_inputs.fill IS 'What stands for a missing value: the median of the rows of the fit; NULL: trees use missing values.';
COMMENT ON COLUMN public.ml_model_inputs.center IS 'Mean of the rows of the fit, which is subtracted.';
COMMENT ON COLUMN public.ml_model_inputs.scale IS 'What it is divided by then: their standard deviation.';
COMMENT ON TABLE public.ml_model_trees IS 'Nodes of the trees of a model, append-only: up to 64 a row, in six arrays. Node N of a tree is element N % 64 + 1 of chunk N / 64.';
COMMENT ON COLUMN public.ml_model_trees.job_id IS 'TRAIN job of the model.';
COMMENT ON COLUMN public.ml_model_trees.chunk IS 'Number of these 64 nodes in the tree, from 0.';
COMMENT ON COLUMN public.ml_model_trees.tree IS 'Number of the tree, from 0.';
COMMENT ON COLUMN public.ml_model_trees.feature IS 'Feature that the node asks for, as ml_model_inputs.place; -1: it is a leaf.';
COMMENT ON COLUMN public.ml_model_trees.bound IS 'A value below it, as float32, goes to less, any other to more.';
COMMENT ON COLUMN public.ml_model_trees.less IS 'Node for values below the bound; 0 for a leaf.';
COMMENT ON COLUMN public.ml_model_trees.more IS 'Node for the other values; 0 for a leaf.';
COMMENT ON COLUMN public.ml_model_trees.missing_less IS 'Whether a missing value goes to less.';
COMMENT ON COLUMN public.ml_model_trees.value IS 'What a leaf adds; of another node the mean of its leaves by the rows of the fit, which ml.explain needs.';
COMMENT ON TABLE public.ml_model_layers IS 'Units of the network of a model, append-only.';
COMMENT ON COLUMN public.ml_model_layers.job_id IS 'TRAIN job of the model.';
COMMENT ON COLUMN public.ml_model_layers.layer IS 'Number of the layer, from 0.';
COMMENT ON COLUMN public.ml_model_layers.unit IS 'Number of the unit in its layer, from 0.';
COMMENT ON COLUMN public.ml_model_layers.activation IS 'What it makes of its sum: identity, logistic, tanh or relu.';
COMMENT ON COLUMN public.ml_model_layers.bias IS 'What its sum begins with.';
COMMENT ON COLUMN public.ml_model_layers.weights IS 'Weight of each unit of the layer before, or of each input.';
COMMENT ON TABLE public.ml_model_samples IS 'Up to 50 held-out rows of a training run with what the worker said of them, append-only; ml-worker verify compares.';
COMMENT ON COLUMN public.ml_model_samples.job_id IS 'TRAIN job of the model.';
COMMENT ON COLUMN public.ml_model_samples.place IS 'Number of the row, from 0.';
COMMENT ON COLUMN public.ml_model_samples.inputs IS 'Its features, in the order of ml_model_inputs.';
COMMENT ON COLUMN public.ml_model_samples.probability IS 'Probability that the worker gave it.';
