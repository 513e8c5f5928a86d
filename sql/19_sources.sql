-- Sources: relations that models learn from. Each has a moment, and perhaps a key and a phase; coin_metrics is the first,
-- and the default. The owner adds others: CALL ml.add_source('trades', 'public.trades_5m', key => 'account', moment => 'at');
--
-- A worker reads a source with rights of its own, for whoever inserted the job. So that no model is made of rows which that
-- role may not see, the role must have SELECT on the columns, and what is read may not depend on who reads it: no row
-- security, and no view that asks who is there.

SET search_path TO pg_catalog, pg_temp;

-- By its name, as text: a relation that is dropped is missed, and one of the same name takes its place, in a restored
-- backup as well.
CREATE TABLE IF NOT EXISTS public.ml_sources (
    name varchar(100) NOT NULL,
    schema_name name NOT NULL,
    relation_name name NOT NULL,
    key_column name,
    moment_column name NOT NULL,
    phase_column name,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by name NOT NULL DEFAULT current_user,
    rights_given text [] NOT NULL DEFAULT '{}',
    CONSTRAINT ml_sources_pkey PRIMARY KEY (name),
    CONSTRAINT ml_sources_name_not_blank CHECK (name <> '' AND name = btrim(name))
);

INSERT INTO public.ml_sources (name, schema_name, relation_name, key_column, moment_column, phase_column)
VALUES ('coin_metrics', 'public', 'coin_metrics', 'mint', 'timestamp', 'phase_id_at_time')
ON CONFLICT DO NOTHING;

-- ── What a source is now ────────────────────────────────────────────────────────────────────────────

-- The types of what can be a feature or a target.
CREATE OR REPLACE FUNCTION ml_internal.numeric_types()
RETURNS regtype []
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT '{int2,int4,int8,float4,float8,numeric,bool}'::regtype [];
$$;

-- The type of a column, that of a domain for the domain; NULL where there is no such column.
CREATE OR REPLACE FUNCTION ml_internal.column_type(
    p_relation oid,
    p_column text
)
RETURNS regtype
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT CASE t.typtype WHEN 'd' THEN ml_internal.base_type(t.oid) ELSE t.oid END
        FROM pg_attribute a
        JOIN pg_type t ON t.oid = a.atttypid
        WHERE a.attrelid = p_relation AND a.attname = p_column AND a.attnum > 0 AND NOT a.attisdropped
    );
END
$$;

-- A source with its relation; id is NULL where that is gone, a type where the column is.
CREATE OR REPLACE FUNCTION ml_internal.find_source(
    p_source text,
    OUT name text,
    OUT relation text,
    OUT id oid,
    OUT kind "char",
    OUT is_temporary boolean,
    OUT has_row_security boolean,
    OUT key_column name,
    OUT key_type regtype,
    OUT moment_column name,
    OUT moment_type regtype,
    OUT phase_column name,
    OUT phase_type regtype
)
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
SET quote_all_identifiers TO off
AS $$
#variable_conflict use_column
BEGIN
    SELECT
        s.name, format('%I.%I', s.schema_name, s.relation_name), c.oid, c.relkind, c.relpersistence = 't', c.relrowsecurity,
        s.key_column, CASE WHEN s.key_column IS NOT NULL THEN ml_internal.column_type(c.oid, s.key_column) END,
        s.moment_column, ml_internal.column_type(c.oid, s.moment_column),
        s.phase_column, CASE WHEN s.phase_column IS NOT NULL THEN ml_internal.column_type(c.oid, s.phase_column) END
    INTO name, relation, id, kind, is_temporary, has_row_security, key_column, key_type, moment_column, moment_type, phase_column, phase_type
    FROM public.ml_sources s
    LEFT JOIN pg_namespace n ON n.nspname = s.schema_name
    LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = s.relation_name AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
    WHERE s.name = p_source;
END
$$;

-- How a source is read, in SQL of a row m, for ml.preview and the worker alike. The key is a text that is the same for
-- equal values, whatever the settings of a session. Moments without a time zone are read as UTC, and compared in the
-- column's own type, whose index is used then: {} is a bound of a period, a timestamptz.
CREATE OR REPLACE FUNCTION ml_internal.describe_source(
    p_source text
)
RETURNS jsonb
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
SET quote_all_identifiers TO off
AS $$
BEGIN
    RETURN (
        SELECT jsonb_build_object(
            'name', s.name,
            'relation', s.relation,
            'kind', s.kind,
            'key', CASE
                WHEN s.key_column IS NULL THEN '''''::text'
                ELSE format(
                    CASE
                        WHEN s.key_type = 'numeric'::regtype THEN 'coalesce(trim_scale(m.%I)::text, '''')'
                        WHEN s.key_type IN ('float4'::regtype, 'float8'::regtype) THEN 'coalesce((m.%I + 0::%s)::text, '''')' -- no -0
                        WHEN s.key_type = 'bytea'::regtype THEN 'coalesce(encode(m.%I, ''hex''), '''')'
                        WHEN (SELECT t.typname FROM pg_type t WHERE t.oid = s.key_type) = 'citext' THEN 'coalesce(lower(m.%I::text), '''')'
                        ELSE 'coalesce(m.%I::text, '''')'
                    END, s.key_column, s.key_type
                )
            END,
            'moment', format(
                CASE s.moment_type
                    WHEN 'timestamp'::regtype THEN '(m.%I AT TIME ZONE ''UTC'')'
                    WHEN 'date'::regtype THEN '(m.%I::timestamp AT TIME ZONE ''UTC'')'
                    ELSE 'm.%I::timestamptz'
                END, s.moment_column
            ),
            'moment_column', format('m.%I', s.moment_column),
            'bound', CASE s.moment_type
                WHEN 'timestamp'::regtype THEN '({} AT TIME ZONE ''UTC'')'
                -- The first day that does not begin before it.
                WHEN 'date'::regtype THEN '(({} AT TIME ZONE ''UTC'') + interval ''1 day'' - interval ''1 microsecond'')::date'
                ELSE '{}'
            END,
            'phase', CASE WHEN s.phase_type IS NOT NULL THEN format('m.%I', s.phase_column) END
        )
        FROM ml_internal.find_source(p_source) s
        WHERE s.name IS NOT NULL
    );
END
$$;

-- A name that cannot be told from its neighbours in a list, "a,b" or "a=1;b=2", can be neither feature nor target.
CREATE OR REPLACE VIEW public.ml_metric_columns WITH (security_invoker = true) AS
SELECT
    a.attname::text AS column_name,
    pg_catalog.format_type(a.atttypid, a.atttypmod) AS data_type,
    CASE t.typtype WHEN 'd' THEN ml_internal.base_type(t.oid) ELSE t.oid END = ANY (ml_internal.numeric_types()) AND a.attname !~ '[,;=]|^[[:space:]]|[[:space:]]$' AS is_numeric,
    s.name::text AS source
FROM public.ml_sources s
JOIN pg_catalog.pg_namespace n ON n.nspname = s.schema_name
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = s.relation_name AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
ORDER BY s.name <> 'coin_metrics', s.name, a.attnum;

-- A column of a source as a number, of a row m.
CREATE OR REPLACE FUNCTION ml_internal.number_expression(
    p_source text,
    p_column text
)
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_type regtype := (SELECT ml_internal.column_type(s.id, p_column) FROM ml_internal.find_source(p_source) s);
    v_fault record;
BEGIN
    CASE
        WHEN v_type IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) THEN
            RETURN format('m.%I::numeric', p_column);
        WHEN v_type IN ('float4'::regtype, 'float8'::regtype, 'numeric'::regtype) THEN
            RETURN format('nullif(m.%I::numeric, ''NaN'')', p_column);
        WHEN v_type = 'bool'::regtype THEN
            RETURN format('m.%I::integer::numeric', p_column);
        ELSE
            v_fault := ml_internal.column_fault(p_source, p_column, v_type);
            RAISE EXCEPTION USING MESSAGE = v_fault.message, HINT = v_fault.hint, ERRCODE = v_fault.code, TABLE = p_source, COLUMN = p_column;
    END CASE;
END
$$;

-- What a column needs that is no number: how to make one of it in a view.
CREATE OR REPLACE FUNCTION ml_internal.number_hint(
    p_column text,
    p_type text
)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
SET quote_all_identifiers TO off
AS $$
    SELECT format('Write in a view what it says in numbers, and add that view as a source: %s.', CASE
        WHEN p_type ~ '^(timestamp|date|time|interval)' THEN format('extract(epoch FROM %I) AS %I', p_column, left(p_column, 50) || '_seconds')
        ELSE format('CASE WHEN %I = ''x'' THEN 1 ELSE 0 END AS %I', p_column, left(p_column, 50) || '_is_x')
    END);
$$;

-- ── Whether it can be read, and by whom ─────────────────────────────────────────────────────────────

-- A column that a job needs, and that is no number any more.
CREATE OR REPLACE FUNCTION ml_internal.column_fault(
    p_source text,
    p_column text,
    p_type regtype,
    OUT message text,
    OUT hint text,
    OUT code text
)
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT
        CASE
            WHEN p_type IS NULL THEN format('%s has no column %L any more', p_source, p_column)
            WHEN p_source = 'coin_metrics' THEN format('column %L is %s now, not numeric', p_column, p_type)
            ELSE format('column %L of %s is %s now, not numeric', p_column, p_source, p_type)
        END,
        CASE
            WHEN p_type IS NULL THEN 'Bring it back under this name, or train another model without it.'
            ELSE 'Make it a number or a boolean again, or train another model without it.'
        END,
        CASE WHEN p_type IS NULL THEN '42703' ELSE '42804' END;
$$;

-- Why what is read of a relation depends on who reads it, in words; NULL: it does not. A view is followed to all that it
-- reads, in the tree of its rule, which names what pg_depend leaves out: what PostgreSQL itself brings. A materialized view
-- is data of its own.
CREATE OR REPLACE FUNCTION ml_internal.asker_fault(
    p_relation oid
)
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
SET quote_all_identifiers TO off
AS $$
DECLARE
    v_fault text;
BEGIN
    IF EXISTS (SELECT FROM pg_class c WHERE c.oid = p_relation AND c.relkind <> 'v') THEN
        RETURN (SELECT format('%s has row security', c.oid::regclass) FROM pg_class c WHERE c.oid = p_relation AND c.relrowsecurity);
    END IF;
    WITH RECURSIVE below AS (
        SELECT p_relation AS id
        UNION
        SELECT x.found[1]::oid
        FROM below b
        JOIN pg_class c ON c.oid = b.id AND c.relkind = 'v'
        JOIN pg_rewrite w ON w.ev_class = c.oid AND w.ev_type = '1'
        CROSS JOIN LATERAL regexp_matches(w.ev_action::text, ':relid ([1-9][0-9]*)', 'g') x (found)
    ),
    views AS (
        SELECT c.oid AS id, w.ev_action::text AS tree
        FROM below b
        JOIN pg_class c ON c.oid = b.id AND c.relkind = 'v'
        JOIN pg_rewrite w ON w.ev_class = c.oid AND w.ev_type = '1'
    ),
    routines AS (
        SELECT DISTINCT v.id, x.found[1]::oid AS routine
        FROM views v
        CROSS JOIN LATERAL regexp_matches(v.tree, ':(?:funcid|opfuncid|aggfnoid|winfnoid) ([1-9][0-9]*)', 'g') x (found)
    ),
    faults AS (
        SELECT 1 AS place, c.oid AS id, format('%s has row security', c.oid::regclass) AS said
        FROM below b
        JOIN pg_class c ON c.oid = b.id
        WHERE c.relrowsecurity
        UNION ALL
        SELECT 2, c.oid, format('the view %s is read with the rights of whoever asks (security_invoker)', c.oid::regclass)
        FROM below b
        JOIN pg_class c ON c.oid = b.id
        CROSS JOIN LATERAL pg_options_to_table(c.reloptions) o
        WHERE c.relkind = 'v' AND o.option_name = 'security_invoker' AND o.option_value::boolean
        UNION ALL
        SELECT 3, c.oid, format('the view %s is one of the system, which may show each role something else', c.oid::regclass)
        FROM below b
        JOIN pg_class c ON c.oid = b.id
        WHERE c.relkind = 'v' AND c.relnamespace IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
        UNION ALL
        -- The numbers of CURRENT_ROLE, CURRENT_USER, USER, SESSION_USER and CURRENT_SCHEMA.
        SELECT 4, v.id, format('the view %s asks who reads it (current_user)', v.id::regclass)
        FROM views v
        WHERE v.tree ~ '[{]SQLVALUEFUNCTION :op (9|10|11|12|14) '
        UNION ALL
        SELECT 5, r.id, format('the view %s asks who reads it (%s)', r.id::regclass, p.proname)
        FROM routines r
        JOIN pg_proc p ON p.oid = r.routine
        WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname ~ (
            '^(current_setting|set_config|current_user|session_user|current_schemas?|current_query|getpgusername|has_.*_privilege|pg_has_role'
            '|row_security_active|inet_client_.*|pg_backend_pid|currval|lastval|pg_my_temp_schema|pg_.*_is_visible|to_reg.*'
            '|.*_to_xml.*|lo_get|loread|pg_read_.*|pg_ls_.*|pg_stat_get_.*|pg_show_.*|ts_stat)$'
        )
        UNION ALL
        -- What others wrote says nothing of itself unless it is IMMUTABLE, and may read anything.
        SELECT 6, r.id, format('the view %s calls %s, which is not IMMUTABLE and may ask who reads it', r.id::regclass, p.oid::regprocedure)
        FROM routines r
        JOIN pg_proc p ON p.oid = r.routine
        WHERE p.pronamespace <> 'pg_catalog'::regnamespace
            AND (
                p.provolatile <> 'i' AND p.prokind <> 'a'
                OR p.prosrc ~* '(current_user|session_user|current_role|current_setting|has_[a-z_]*privilege|pg_has_role)'
            )
            AND (p.proname ~ '^dblink' OR NOT EXISTS (
                SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
            ))
    )
    SELECT f.said INTO v_fault FROM faults f ORDER BY f.place, f.id LIMIT 1;
    RETURN v_fault;
END
$$;

-- Why a role, by its number, would not read the same rows of a foreign table as the worker does; 0: anybody. A view over
-- one reads it as the owner of the view, for all alike.
CREATE OR REPLACE FUNCTION ml_internal.foreign_fault(
    p_relation oid,
    p_role oid
)
RETURNS text
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN x.of_worker THEN format('the server %s knows the worker by a user mapping of its own, and others by another or none', s.srvname)
        WHEN NOT x.of_all AND (x.of_any OR w.fdwname = 'postgres_fdw') THEN format('the server %s has no user mapping for the worker', s.srvname)
        WHEN x.of_role THEN format('the server %s knows %s by a user mapping of its own, and not by that of the worker', s.srvname, p_role::regrole)
    END
    FROM pg_foreign_table f
    JOIN pg_foreign_server s ON s.oid = f.ftserver
    JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
    CROSS JOIN LATERAL (
        SELECT
            count(*) > 0 AS of_any,
            count(*) FILTER (WHERE u.umuser = 0) > 0 AS of_all,
            count(*) FILTER (WHERE u.umuser = 'ml_worker'::regrole) > 0 AS of_worker,
            count(*) FILTER (WHERE u.umuser = p_role AND p_role <> 0) > 0 AS of_role
        FROM pg_user_mappings u
        WHERE u.srvid = s.oid
    ) x
    WHERE f.ftrelid = p_relation;
$$;

-- Why a source cannot be read for a job that needs these columns, by the role that inserted it: its number; 0: none is
-- asked for; NULL: it is gone. No message: it can. What is special to coin_metrics is asked by require_metrics.
CREATE OR REPLACE FUNCTION ml_internal.source_fault(
    p_source text,
    p_columns text [] DEFAULT '{}',
    p_phases boolean DEFAULT false,
    p_role oid DEFAULT 0,
    OUT message text,
    OUT hint text,
    OUT code text
)
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
SET quote_all_identifiers TO off
AS $$
DECLARE
    v record;
    v_is_first boolean := p_source = 'coin_metrics';
    v_column text;
    v_type regtype;
    v_wanted text [];
    v_said text;
BEGIN
    SELECT s.* INTO v FROM ml_internal.find_source(p_source) s;
    IF v.name IS NULL THEN
        message := format('there is no source %L', left(p_source, 100));
        hint := ml_internal.suggest_names(p_source, ARRAY(SELECT s.name::text FROM public.ml_sources s ORDER BY s.name))
            || ' TABLE ml_sources; shows them, and the owner adds one: CALL ml.add_source(...);';
        code := '23514';
        RETURN;
    ELSIF v.id IS NULL THEN
        message := format('%s, the relation of the source %s, is gone', v.relation, v.name);
        hint := 'Bring it back under this name, or, as the owner, remove the source and add it again with another relation.';
        code := '42P01';
        RETURN;
    END IF;

    IF NOT v_is_first THEN
        IF v.is_temporary THEN
            message := format('%s is temporary, and no other session sees it', v.relation);
            hint := 'Make it a relation that stays: CREATE TABLE, or CREATE MATERIALIZED VIEW.';
            code := '42809';
            RETURN;
        END IF;
        IF v.moment_type IS NULL OR v.key_column IS NOT NULL AND v.key_type IS NULL OR p_phases AND v.phase_column IS NOT NULL AND v.phase_type IS NULL THEN
            message := format(
                '%s has no column %L any more, which is the %s of the source %s', v.relation,
                CASE WHEN v.moment_type IS NULL THEN v.moment_column WHEN v.key_type IS NULL AND v.key_column IS NOT NULL THEN v.key_column ELSE v.phase_column END,
                CASE WHEN v.moment_type IS NULL THEN 'moment' WHEN v.key_type IS NULL AND v.key_column IS NOT NULL THEN 'key' ELSE 'phase' END,
                v.name
            );
            hint := 'Bring it back under this name, or, as the owner, remove the source and add it again with another column.';
            code := '42703';
            RETURN;
        ELSIF v.moment_type NOT IN ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype) THEN
            message := format('the moment of the source %s, the column %L, is %s, not timestamptz, timestamp or date', v.name, v.moment_column, v.moment_type);
            hint := ml_internal.moment_hint(v.moment_column, v.moment_type);
            code := '42804';
            RETURN;
        ELSIF v.phase_type NOT IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) THEN
            message := format('the phase of the source %s, the column %L, is %s, not integer', v.name, v.phase_column, v.phase_type);
            hint := 'Make a view in which it is an integer, and add that as the source.';
            code := '42804';
            RETURN;
        END IF;
    END IF;

    v_said := CASE WHEN v.kind = 'v' OR v.has_row_security THEN ml_internal.asker_fault(v.id) WHEN v.kind = 'f' THEN ml_internal.foreign_fault(v.id, coalesce(p_role, 0)) END;
    IF v_said IS NOT NULL THEN
        message := format('what the source %s shows depends on who reads it: %s', v.name, v_said);
        hint := CASE
            WHEN v.kind = 'f' THEN 'Give the server one user mapping for all: CREATE USER MAPPING FOR PUBLIC SERVER ...; or copy its rows into a materialized view.'
            ELSE 'Make a source that shows all its readers the same: a materialized view of the rows that one team may see, '
                'or for each team a view whose WHERE names the team; and GRANT SELECT on it to that team alone.'
        END;
        code := '42501';
        RETURN;
    ELSIF NOT v_is_first AND NOT has_table_privilege('ml_worker', v.id, 'SELECT') THEN
        message := format('the worker may not read %s, the source %s', v.relation, v.name);
        hint := format('As its owner: GRANT SELECT ON %s TO ml_worker;', v.relation);
        code := '42501';
        RETURN;
    END IF;

    FOREACH v_column IN ARRAY p_columns LOOP
        v_type := ml_internal.column_type(v.id, v_column);
        IF v_type IS NULL OR v_type <> ALL (ml_internal.numeric_types()) THEN
            SELECT f.message, f.hint, f.code INTO message, hint, code FROM ml_internal.column_fault(v.name, v_column, v_type) f;
            RETURN;
        END IF;
    END LOOP;

    IF p_role IS NULL AND NOT v_is_first THEN
        message := format('the role that inserted the job is gone, and with it the right to read %s', v.relation);
        hint := 'Insert the job again as a role that may.';
        code := '42501';
    ELSIF p_role <> 0 AND NOT has_table_privilege(p_role, v.id, 'SELECT') THEN
        v_wanted := ARRAY(
            SELECT quote_ident(w.name)
            FROM (
                SELECT DISTINCT x.name FROM unnest(
                    p_columns || v.key_column::text || v.moment_column::text || CASE WHEN p_phases THEN v.phase_column::text END
                ) x (name)
            ) w
            WHERE ml_internal.column_type(v.id, w.name) IS NOT NULL AND NOT has_column_privilege(p_role, v.id, w.name, 'SELECT')
            ORDER BY w.name
        );
        IF v_wanted <> '{}' THEN
            message := format('%s may not read %s of %s', p_role::regrole, array_to_string(v_wanted, ', '), v.relation);
            hint := format('As its owner: GRANT SELECT (%s) ON %s TO %s;', array_to_string(v_wanted, ', '), v.relation, p_role::regrole);
            code := '42501';
        END IF;
    END IF;
    IF message IS NULL AND p_role <> 0 AND NOT has_schema_privilege(p_role, (SELECT c.relnamespace FROM pg_class c WHERE c.oid = v.id), 'USAGE') THEN
        message := format('%s may not use the schema of %s', p_role::regrole, v.relation);
        hint := format('As its owner: GRANT USAGE ON SCHEMA %s TO %s;', split_part(v.relation, '.', 1), p_role::regrole);
        code := '42501';
    END IF;
END
$$;

-- The same of coin_metrics where it is a plain table that a role may read whole, which it mostly is: to be quick, because it
-- is asked at each INSERT and claim.
CREATE OR REPLACE FUNCTION ml_internal.metrics_are_plain(
    p_columns text [],
    p_role oid
)
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN EXISTS (
        SELECT
        FROM pg_class c
        WHERE c.oid = to_regclass('public.coin_metrics') AND c.relkind IN ('r', 'p', 'm') AND NOT c.relrowsecurity
            AND (p_role IS NULL OR has_table_privilege(p_role, c.oid, 'SELECT'))
            AND p_columns <@ ARRAY(
                SELECT a.attname::text
                FROM pg_attribute a
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.atttypid = ANY (ml_internal.numeric_types())
            )
    );
END
$$;

CREATE OR REPLACE FUNCTION ml_internal.moment_hint(
    p_column name,
    p_type regtype
)
RETURNS text
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
SET quote_all_identifiers TO off
AS $$
    SELECT format('Make a view in which it is one, and add that as the source: %s AS %I.', CASE
        WHEN p_type IN ('int4'::regtype, 'int8'::regtype, 'numeric'::regtype, 'float8'::regtype)
            THEN format('to_timestamp(%I), or to_timestamp(%1$I / 1000.0) where it is in milliseconds,', p_column)
        ELSE format('%I::timestamptz', p_column)
    END, p_column);
$$;

CREATE OR REPLACE FUNCTION ml_internal.require_source(
    p_source text,
    p_columns text [] DEFAULT '{}',
    p_phases boolean DEFAULT false,
    p_role oid DEFAULT 0
)
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_fault record;
BEGIN
    IF p_source = 'coin_metrics' AND ml_internal.metrics_are_plain(p_columns, p_role) THEN
        RETURN;
    END IF;
    v_fault := ml_internal.source_fault(p_source, p_columns, p_phases, p_role);
    IF v_fault.message IS NOT NULL THEN
        RAISE EXCEPTION USING MESSAGE = v_fault.message, HINT = v_fault.hint, ERRCODE = v_fault.code, TABLE = left(p_source, 63);
    END IF;
END
$$;

CALL ml_internal.allow('ml_reader', 'SELECT', 'public.ml_sources');
CALL ml_internal.allow('ml_reader', 'EXECUTE', '
    ml_internal.numeric_types, ml_internal.column_type, ml_internal.find_source, ml_internal.describe_source, ml_internal.source_fault, ml_internal.column_fault,
    ml_internal.asker_fault, ml_internal.foreign_fault, ml_internal.moment_hint, ml_internal.require_source, ml_internal.metrics_are_plain
');

COMMENT ON FUNCTION ml_internal.numeric_types() IS 'Types of columns that can be a feature or a target; a boolean is 0 or 1.';
COMMENT ON TABLE public.ml_sources IS 'Relations that models learn from: what ml_jobs.train_source may name. The owner adds and removes them by ml.add_source and ml.remove_source.';
COMMENT ON COLUMN public.ml_sources.name IS 'Name of the source.';
COMMENT ON COLUMN public.ml_sources.schema_name IS 'Schema of its relation.';
COMMENT ON COLUMN public.ml_sources.relation_name IS 'Its relation: a table, view, materialized view or foreign table.';
COMMENT ON COLUMN public.ml_sources.key_column IS 'Column that says which series a row is of; NULL: all are one series.';
COMMENT ON COLUMN public.ml_sources.moment_column IS 'Column that says when a row was taken; without a time zone it is UTC.';
COMMENT ON COLUMN public.ml_sources.phase_column IS 'Column that phases_csv is compared with; NULL: there is none.';
COMMENT ON COLUMN public.ml_sources.created_at IS 'When it was added.';
COMMENT ON COLUMN public.ml_sources.created_by IS 'Role that added it.';
COMMENT ON COLUMN public.ml_sources.rights_given IS 'What the worker was granted for it, and loses with it: the right to read the relation, to use its schema.';
COMMENT ON FUNCTION ml_internal.column_type(oid, text) IS 'Type of a column, that of a domain for the domain; NULL: there is no such column.';
COMMENT ON FUNCTION ml_internal.find_source(text) IS 'A source with what its relation is now; no id: the relation is gone.';
COMMENT ON FUNCTION ml_internal.describe_source(text) IS 'How a source is read: its relation, key, moment and phase as SQL of a row m.';
COMMENT ON FUNCTION ml_internal.number_expression(text, text) IS 'Part of ml.preview: a column of a source as an expression of SQL that is numeric; a boolean is 0 or 1.';
COMMENT ON FUNCTION ml_internal.number_hint(text, text) IS 'What to write in a view instead of a column that is no number.';
COMMENT ON FUNCTION ml_internal.column_fault(text, text, regtype) IS 'That a source has a column no more, or as no number, in words.';
COMMENT ON FUNCTION ml_internal.asker_fault(oid) IS 'Why what is read of a relation depends on who reads it, in words; NULL: it does not.';
COMMENT ON FUNCTION ml_internal.foreign_fault(oid, oid) IS 'Why a role would not read the same rows of a foreign table as the worker, in words; NULL: it would.';
COMMENT ON FUNCTION ml_internal.source_fault(text, text [], boolean, oid) IS 'Why a source cannot be read for a job with these columns, inserted by this role; no message: it can.';
COMMENT ON FUNCTION ml_internal.metrics_are_plain(text [], oid) IS 'Whether coin_metrics is a table that this role may read whole, with these columns as numbers.';
COMMENT ON FUNCTION ml_internal.moment_hint(name, regtype) IS 'What to write in a view instead of a column that is no moment.';
COMMENT ON FUNCTION ml_internal.require_source(text, text [], boolean, oid) IS 'Refuses a source that cannot be read for a job with these columns, inserted by this role.';
COMMENT ON VIEW public.ml_metric_columns IS 'Columns of the sources as they are now, and whether they can be features and targets.';
COMMENT ON COLUMN public.ml_metric_columns.column_name IS 'Name of the column, as in features_csv.';
COMMENT ON COLUMN public.ml_metric_columns.data_type IS 'SQL type of the column.';
COMMENT ON COLUMN public.ml_metric_columns.is_numeric IS 'Whether it can be a feature or a target: a number or a boolean (0 or 1), with a name without comma, semicolon and equals sign.';
COMMENT ON COLUMN public.ml_metric_columns.source IS 'Source that has it, see ml_sources.';
