-- The owner's calls on sources: CALL ml.add_source('trades', 'public.trades_5m', key => 'account', moment => 'at');

SET search_path TO pg_catalog, pg_temp;

-- What the planner would read of all that is below a relation for one day of it, as a share of the whole; NULL where it
-- has few rows. The day lies far off: what is asked is whether a period finds its rows, not how many they are.
CREATE OR REPLACE FUNCTION ml_internal.share_of_a_day(
    p_source text
)
RETURNS double precision
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET jit TO off
AS $$
DECLARE
    v_source jsonb := ml_internal.describe_source(p_source);
    v_plans jsonb [] := '{}';
    v_plan jsonb;
    v_where text;
BEGIN
    FOREACH v_where IN ARRAY ARRAY['true', format(
        '%1$s >= %2$s AND %1$s < %3$s', v_source ->> 'moment_column',
        replace(v_source ->> 'bound', '{}', '''1000-01-01 00:00:00+00''::timestamptz'),
        replace(v_source ->> 'bound', '{}', '''1000-01-02 00:00:00+00''::timestamptz')
    )] LOOP
        EXECUTE format('EXPLAIN (FORMAT JSON) SELECT m.* FROM %s m WHERE %s', v_source ->> 'relation', v_where) INTO v_plan;
        v_plans := v_plans || (v_plan -> 0 -> 'Plan');
    END LOOP;
    RETURN (
        WITH RECURSIVE nodes AS (
            SELECT p.node, p.place FROM unnest(v_plans) WITH ORDINALITY p (node, place)
            UNION ALL
            SELECT x.node, n.place
            FROM nodes n
            CROSS JOIN LATERAL jsonb_array_elements(n.node -> 'Plans') x (node)
            WHERE n.node ? 'Plans'
        )
        SELECT
            coalesce(sum((n.node ->> 'Total Cost')::double precision) FILTER (WHERE n.place = 2), 0)
            / nullif(sum((n.node ->> 'Total Cost')::double precision) FILTER (WHERE n.place = 1), 0)
        FROM nodes n
        WHERE NOT n.node ? 'Plans' AND n.node ->> 'Node Type' <> 'Foreign Scan' -- there another server plans
        HAVING sum((n.node ->> 'Plan Rows')::double precision) FILTER (WHERE n.place = 1) >= 1000
    );
EXCEPTION
    WHEN insufficient_privilege THEN RETURN NULL; -- the worker may read it, and the owner may not
END
$$;

-- Users type the names of the arguments, so they are not p_.
CREATE OR REPLACE PROCEDURE ml.add_source(
    name text,
    relation text,
    key text DEFAULT NULL,
    moment text DEFAULT NULL,
    phase text DEFAULT NULL
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET quote_all_identifiers TO off
AS $$
DECLARE
    v_name text := btrim(add_source.name);
    v_fault text := ml_internal.name_fault(v_name);
    v_parts text [];
    v_found record;
    v_relation record;
    v_column record;
    v_given text [] := '{}';
BEGIN
    IF v_name IS NULL OR v_name = '' OR length(v_name) > 100 OR v_fault IS NOT NULL THEN
        RAISE EXCEPTION 'the name of a source %', coalesce(v_fault, 'has 1 to 100 characters')
            USING ERRCODE = 'check_violation', TABLE = 'ml_sources', COLUMN = 'name',
            HINT = 'Name it by characters that show, for example trades.';
    ELSIF EXISTS (SELECT FROM public.ml_sources s WHERE s.name = v_name) THEN
        RAISE EXCEPTION 'the source % is there already', v_name
            USING ERRCODE = 'unique_violation', TABLE = 'ml_sources', COLUMN = 'name', CONSTRAINT = 'ml_sources_pkey',
            HINT = CASE v_name
                WHEN 'coin_metrics' THEN 'Choose another name: this one is the default.'
                ELSE format('Choose another name, or first: CALL ml.remove_source(%L);', v_name)
            END;
    END IF;

    -- A name without a schema is one of public, or else the only one.
    BEGIN
        v_parts := parse_ident(add_source.relation);
    EXCEPTION
        WHEN invalid_parameter_value THEN v_parts := '{}';
    END;
    SELECT
        count(*) AS number,
        bool_or(c.relnamespace = 'public'::regnamespace) AS in_public,
        string_agg(format('%I.%I', n.nspname, c.relname), ', ' ORDER BY n.nspname) AS names
    INTO v_found
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname = v_parts[cardinality(v_parts)] AND cardinality(v_parts) <= 2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
        AND CASE cardinality(v_parts) WHEN 2 THEN n.nspname = v_parts[1] ELSE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' END;
    IF v_found.number = 0 THEN
        RAISE EXCEPTION 'there is no table or view %', coalesce(quote_literal(left(add_source.relation, 200)), 'NULL')
            USING ERRCODE = 'undefined_table', TABLE = coalesce(left(add_source.relation, 63), ''),
            HINT = 'Name it as in SQL, with its schema: public.trades_5m; in double quotes what is in capital letters.';
    ELSIF v_found.number > 1 AND NOT v_found.in_public THEN
        RAISE EXCEPTION '% is in several schemas: %', quote_literal(add_source.relation), v_found.names
            USING ERRCODE = 'ambiguous_alias', TABLE = left(add_source.relation, 63), HINT = 'Name it with its schema.';
    END IF;
    SELECT c.oid AS id, n.nspname AS schema_name, c.relname AS relation_name, c.relkind AS kind, format('%I.%I', n.nspname, c.relname) AS said
    INTO v_relation
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname = v_parts[cardinality(v_parts)] AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
        AND CASE cardinality(v_parts) WHEN 2 THEN n.nspname = v_parts[1] ELSE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' END
    ORDER BY n.nspname = 'public' DESC
    LIMIT 1;

    FOR v_column IN
        SELECT w.what, w.given, ml_internal.column_type(v_relation.id, w.given) AS type, (
            SELECT array_agg(a.attname::text ORDER BY a.attnum)
            FROM pg_attribute a
            WHERE a.attrelid = v_relation.id AND a.attnum > 0 AND NOT a.attisdropped
                AND CASE w.what
                    WHEN 'moment' THEN ml_internal.column_type(a.attrelid, a.attname) IN ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype)
                    WHEN 'phase' THEN ml_internal.column_type(a.attrelid, a.attname) IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
                    ELSE true
                END
        ) AS allowed
        FROM (VALUES ('moment', add_source.moment), ('key', add_source.key), ('phase', add_source.phase)) w (what, given)
    LOOP
        IF v_column.what = 'moment' AND v_column.given IS NULL THEN
            RAISE EXCEPTION 'a source needs a moment: the column that says when a row was taken'
                USING ERRCODE = 'not_null_violation', TABLE = v_relation.relation_name, HINT = format(
                    'CALL ml.add_source(%L, %L, moment => %L);', v_name, v_relation.said, coalesce(v_column.allowed[1], 'at')
                );
        ELSIF v_column.given IS NOT NULL AND v_column.type IS NULL THEN
            RAISE EXCEPTION '% has no column % (%)', v_relation.said, quote_literal(left(v_column.given, 200)), v_column.what
                USING ERRCODE = 'undefined_column', TABLE = v_relation.relation_name, COLUMN = left(v_column.given, 63),
                HINT = CASE
                    WHEN v_column.allowed IS NULL THEN format('It has none that could be the %s: make a view that has.', v_column.what)
                    ELSE ml_internal.suggest_names(v_column.given, v_column.allowed)
                END;
        END IF;
    END LOOP;

    INSERT INTO public.ml_sources (name, schema_name, relation_name, key_column, moment_column, phase_column)
    VALUES (v_name, v_relation.schema_name, v_relation.relation_name, add_source.key, add_source.moment, add_source.phase);

    IF NOT has_schema_privilege('ml_worker', v_relation.schema_name, 'USAGE') THEN
        IF NOT has_schema_privilege(v_relation.schema_name, 'USAGE WITH GRANT OPTION') THEN
            RAISE EXCEPTION 'the worker may not use the schema %, and % may not allow it', v_relation.schema_name, current_user
                USING ERRCODE = 'insufficient_privilege', SCHEMA = v_relation.schema_name,
                HINT = format('As its owner: GRANT USAGE ON SCHEMA %I TO ml_worker; then add the source again.', v_relation.schema_name);
        END IF;
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO ml_worker', v_relation.schema_name);
        v_given := v_given || 'schema'::text;
    END IF;
    IF NOT has_table_privilege('ml_worker', v_relation.id, 'SELECT') THEN
        IF NOT has_table_privilege(v_relation.id, 'SELECT WITH GRANT OPTION') THEN
            RAISE EXCEPTION 'the worker may not read %, and % may not allow it', v_relation.said, current_user
                USING ERRCODE = 'insufficient_privilege', TABLE = v_relation.relation_name,
                HINT = format('As its owner: GRANT SELECT ON %s TO ml_worker; then add the source again.', v_relation.said);
        END IF;
        EXECUTE format('GRANT SELECT ON %s TO ml_worker', v_relation.said);
        v_given := v_given || 'relation'::text;
    END IF;
    UPDATE public.ml_sources s SET rights_given = v_given WHERE s.name = v_name AND v_given <> '{}';

    PERFORM ml_internal.require_source(v_name, '{}', true);

    IF ml_internal.share_of_a_day(v_name) >= 0.5 THEN
        IF v_relation.kind = 'v' THEN
            RAISE WARNING 'a job of one day will read all that is below the view %', v_relation.said
                USING HINT = format(
                    'Give the table below an index on its moment. Through window functions, groups and DISTINCT by anything else a period does '
                    'not pass: then make a materialized view of it with an index on %I, and add that as the source.', add_source.moment
                );
        ELSE
            RAISE WARNING 'a job of one day will read all of %: no index leads to its moment', v_relation.said
                USING HINT = format('CREATE INDEX ON %s (%I);', v_relation.said, add_source.moment);
        END IF;
    END IF;
END
$$;

CREATE OR REPLACE PROCEDURE ml.remove_source(
    name text
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET quote_all_identifiers TO off
AS $$
DECLARE
    v_source public.ml_sources;
    v_heir text;
    v_waiting bigint;
BEGIN
    IF remove_source.name = 'coin_metrics' THEN
        RAISE EXCEPTION 'the source coin_metrics cannot be removed'
            USING ERRCODE = 'check_violation', TABLE = 'ml_sources', COLUMN = 'name', HINT = 'It is the default; leave it empty if you do not need it.';
    END IF;
    DELETE FROM public.ml_sources s WHERE s.name = remove_source.name RETURNING * INTO v_source;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no source %', coalesce(quote_literal(left(remove_source.name, 100)), 'NULL')
            USING ERRCODE = 'no_data_found', TABLE = 'ml_sources', COLUMN = 'name',
            HINT = ml_internal.suggest_names(remove_source.name, ARRAY(SELECT s.name::text FROM public.ml_sources s ORDER BY s.name));
    END IF;
    -- What another source needs as well is from now on what was given for that one.
    IF 'relation' = ANY (v_source.rights_given) THEN
        v_heir := NULL;
        UPDATE public.ml_sources s SET rights_given = s.rights_given || 'relation'::text
        WHERE s.name = (
            SELECT min(x.name) FROM public.ml_sources x
            WHERE (x.schema_name, x.relation_name) = (v_source.schema_name, v_source.relation_name)
        )
        RETURNING s.name INTO v_heir;
        IF v_heir IS NULL AND EXISTS (
            SELECT FROM pg_class c
            JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE (n.nspname, c.relname) = (v_source.schema_name, v_source.relation_name)
        ) THEN
            EXECUTE format('REVOKE SELECT ON %I.%I FROM ml_worker', v_source.schema_name, v_source.relation_name);
        END IF;
    END IF;
    IF 'schema' = ANY (v_source.rights_given) THEN
        v_heir := NULL;
        UPDATE public.ml_sources s SET rights_given = s.rights_given || 'schema'::text
        WHERE s.name = (SELECT min(x.name) FROM public.ml_sources x WHERE x.schema_name = v_source.schema_name)
        RETURNING s.name INTO v_heir;
        IF v_heir IS NULL AND EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = v_source.schema_name) THEN
            EXECUTE format('REVOKE USAGE ON SCHEMA %I FROM ml_worker', v_source.schema_name);
        END IF;
    END IF;
    SELECT count(*) INTO v_waiting FROM ml.jobs j WHERE j.status = 'PENDING' AND j.source = v_source.name;
    IF v_waiting > 0 THEN
        RAISE NOTICE 'jobs that wait and will fail without the source %: %', v_source.name, v_waiting
            USING HINT = 'A source that is added again under this name, with the same columns, serves them, and the models that were trained on it.';
    END IF;
END
$$;

COMMENT ON FUNCTION ml_internal.share_of_a_day(text) IS 'What the planner would read for a day of a source, as a share of reading it all; NULL: it has few rows.';
COMMENT ON PROCEDURE ml.add_source(text, text, text, text, text) IS 'Owner: adds a relation that models can learn from, with its key (if any), moment and phase (if any): CALL ml.add_source(''trades'', ''public.trades_5m'', key => ''account'', moment => ''at'');';
COMMENT ON PROCEDURE ml.remove_source(text) IS 'Owner: removes a source, and takes from the worker what ml.add_source gave it. Models and results stay.';
