-- Kinds of job. A kind is a file NN_kind_NAME.sql, and no other file names it: it adds its fields to ml_jobs (their
-- prefix is the kind's name), makes its result table, calls ml_internal.define_kind, and adds its own rules as triggers.
-- Triggers fire in the order of their names, so these begin with a step: 10 sign, defaults and what stays as it is, 15 models that the role
-- sees, 19 fields of the service, 20 type and defaults of the kind, 30 fields and states, 40 rules of the kind, 50 period
-- and models, 60 lists, 70 model, 80 result, 90 tell.

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
    stays_with_model boolean NOT NULL DEFAULT true,
    reads_labels boolean NOT NULL DEFAULT true,
    CONSTRAINT job_kinds_pkey PRIMARY KEY (job_type),
    CONSTRAINT job_kinds_job_type_is_a_prefix CHECK (job_type ~ '^[A-Z]+$')
);

-- ── What all kinds share: triggers whose WHEN has found a fault, and which say what it is ───────────

-- Fields of the new row as "name = value", moments in the time zone of the client.
CREATE OR REPLACE FUNCTION ml_internal.given_fields(
    p_job public.ml_jobs,
    p_fields text []
)
RETURNS text []
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
SET datestyle TO 'ISO, MDY'
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
        HINT = E'Name these fields in the INSERT and give each a value; \\d+ ml_jobs says what they mean.';
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
SET datestyle TO 'ISO, MDY'
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

-- ── Results ─────────────────────────────────────────────────────────────────────────────────────────

-- Only the attempt that holds the job may add its result.
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

-- What is of a job: tables that refer to ml_jobs, and facts of a kind that are too many to refer to it row by row.
CREATE OR REPLACE FUNCTION ml_internal.tables_of_jobs()
RETURNS TABLE (
    relation regclass,
    job_column name
)
LANGUAGE sql
STABLE
ROWS 20
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT c.conrelid::regclass, a.attname
    FROM pg_constraint c
    JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
    WHERE c.contype = 'f' AND c.confrelid = 'public.ml_jobs'::regclass AND c.conrelid <> c.confrelid
    UNION
    SELECT a.attrelid::regclass, a.attname
    FROM ml.job_kinds k
    CROSS JOIN unnest(k.result_facts) f (name)
    JOIN pg_attribute a ON a.attrelid = format('public.%I', f.name)::regclass AND a.attname = 'job_id' AND NOT a.attisdropped;
$$;

-- The part of ml.report of a kind that brings none of its own.
CREATE OR REPLACE FUNCTION ml_internal.page_of_kind(
    p_model_id bigint,
    p_job_type text
)
RETURNS SETOF text
LANGUAGE plpgsql
STABLE
ROWS 10
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

-- ── Declaring a kind ────────────────────────────────────────────────────────────────────────────────

-- Arguments: needs, fields that the INSERT must give; defaults, fields that the kind's own trigger fills; uses_models,
-- fields that name a model; makes_model, the field with the name of the model that it makes; result_filled, columns of
-- the result table that triggers fill; result_facts, fact tables that belong to a result; page, its part of ml.report;
-- stays_with_model, whether ml.prune leaves a result as long as its models are there, whatever its age; reads_labels,
-- whether rows without a label are of no use to it.
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
    page name DEFAULT 'page_of_kind',
    stays_with_model boolean DEFAULT true,
    reads_labels boolean DEFAULT true
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
    v_sources text;
    v_first text;
    v_second text;
    v_joins text;
BEGIN
    INSERT INTO ml.job_kinds
    SELECT
        define_kind.job_type, define_kind.uses_models, define_kind.makes_model, v_table, v_result,
        array_agg(a.attname ORDER BY a.attnum),
        define_kind.result_facts,
        define_kind.page,
        define_kind.stays_with_model,
        define_kind.reads_labels
    FROM pg_attribute a
    WHERE a.attrelid = format('public.%I', v_table)::regclass AND a.attnum > 0 AND NOT a.attisdropped
        AND a.attgenerated = '' AND a.attidentity = ''
        AND a.attname <> ALL (result_filled || '{job_id,attempt,created_at}'::name [])
    ON CONFLICT ON CONSTRAINT job_kinds_pkey DO UPDATE SET
        uses_models = EXCLUDED.uses_models, makes_model = EXCLUDED.makes_model,
        result_table = EXCLUDED.result_table, result_column = EXCLUDED.result_column,
        result_fields = EXCLUDED.result_fields, result_facts = EXCLUDED.result_facts, page = EXCLUDED.page, stays_with_model = EXCLUDED.stays_with_model,
        reads_labels = EXCLUDED.reads_labels;

    -- Its name, and its fields. Not validated: while an older database is brought here, jobs of kinds yet to come are there.
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
        CREATE OR REPLACE TRIGGER ml_jobs_10_%1$s_is_final BEFORE UPDATE OF %7$s ON public.ml_jobs FOR EACH ROW
            WHEN ((%5$s) IS DISTINCT FROM (%8$s)) EXECUTE FUNCTION ml_internal.refuse_new_request(%9$s)',
        v_prefix, define_kind.job_type, v_needs_new, v_needs_args, v_new, v_result, v_list,
        (SELECT string_agg('OLD.' || quote_ident(f), ', ') FROM unnest(v_fields) f),
        (SELECT string_agg(quote_literal(f), ', ') FROM unnest(v_fields) f)
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
        'GRANT INSERT (%1$s, %2$I), UPDATE (%1$s, %2$I) ON public.ml_jobs TO ml_client;
        GRANT SELECT ON public.%3$I TO ml_reader', v_list, v_result, v_table
    );

    -- The models that it uses: the role that inserts must see them (one that it may not see does not exist for it), and
    -- they must be READY, at the INSERT and again at the claim.
    IF uses_models <> '{}' THEN
        EXECUTE format(
            'CREATE OR REPLACE FUNCTION ml_internal.see_models_of_%1$s() RETURNS trigger
                LANGUAGE plpgsql SET search_path TO pg_catalog, pg_temp AS $f$ BEGIN %3$s RETURN NEW; END $f$;
            CREATE OR REPLACE FUNCTION ml_internal.check_models_of_%1$s() RETURNS trigger
                LANGUAGE plpgsql SECURITY DEFINER SET search_path TO pg_catalog, pg_temp AS $f$ BEGIN %4$s RETURN NEW; END $f$;
            COMMENT ON FUNCTION ml_internal.see_models_of_%1$s() IS %5$L;
            COMMENT ON FUNCTION ml_internal.check_models_of_%1$s() IS %6$L;
            CREATE OR REPLACE TRIGGER ml_jobs_15_%1$s_sees_models BEFORE INSERT ON public.ml_jobs FOR EACH ROW
                WHEN (num_nonnulls(%7$s) > 0) EXECUTE FUNCTION ml_internal.see_models_of_%1$s();
            CREATE OR REPLACE TRIGGER ml_jobs_55_%1$s_models_are_ready BEFORE INSERT ON public.ml_jobs FOR EACH ROW
                WHEN (NEW.job_type = %2$L) EXECUTE FUNCTION ml_internal.check_models_of_%1$s();
            CREATE OR REPLACE TRIGGER ml_jobs_40_%1$s_models_are_ready BEFORE UPDATE OF attempt ON public.ml_jobs FOR EACH ROW
                WHEN (NEW.job_type = %2$L AND NEW.attempt > OLD.attempt)
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
            (SELECT string_agg(format('PERFORM ml_internal.require_source_of_model(ml_internal.require_ready_model(NEW.%I), NEW.team);', f), ' ') FROM unnest(uses_models) f),
            'Trigger: the role that inserts must see the models that its job uses.',
            'Trigger: the models that a job uses are READY and not deleted, and the role that inserted it may read their sources; at the INSERT and again at the claim.',
            (SELECT string_agg('NEW.' || quote_ident(f), ', ') FROM unnest(uses_models) f)
        );
    END IF;

    -- Its result.
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER %1$s_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON public.%1$I
            FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.refuse_change_of_fact();
        CREATE OR REPLACE TRIGGER %1$s_10_check_result BEFORE INSERT ON public.%1$I
            FOR EACH ROW EXECUTE FUNCTION ml_internal.check_result(%2$L);
        CREATE OR REPLACE TRIGGER %1$s_90_complete_job AFTER INSERT ON public.%1$I
            FOR EACH ROW EXECUTE FUNCTION ml_internal.complete_job()', v_table, define_kind.job_type
    );

    -- What every kind has, for those who know none: its period and its models.
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
    -- What it names itself, or else the source of the first model that it uses.
    v_sources := concat_ws(
        ', ',
        (
            SELECT string_agg('j.' || quote_ident(a.attname), ', ' ORDER BY k.job_type)
            FROM ml.job_kinds k
            JOIN pg_attribute a ON a.attrelid = 'public.ml_jobs'::regclass AND a.attname = lower(k.job_type) || '_source' AND NOT a.attisdropped
            WHERE k.makes_model IS NOT NULL
        ),
        -- Looked up where it must be, and joined for nobody who does not ask.
        (
            SELECT format(
                '(SELECT m.source FROM public.ml_models m WHERE m.id = coalesce(%s, NULL::bigint))',
                string_agg('j.' || quote_ident(k.uses_models[1]), ', ' ORDER BY k.job_type)
            )
            FROM ml.job_kinds k
            WHERE k.uses_models <> '{}'
            HAVING count(*) > 0
        )
    );
    EXECUTE format(
        'CREATE OR REPLACE VIEW ml.jobs WITH (security_invoker = true) AS
        SELECT
            j.id, j.job_type, j.status, j.priority, j.created_at, j.started_at, j.completed_at, j.progress, j.progress_msg,
            j.error_msg, j.worker_id, j.attempt, j.max_attempts, j.created_by,
            coalesce(%s) AS period_start, coalesce(%s) AS period_end,
            coalesce(%s) AS model_id, coalesce(%s, NULL::bigint) AS model_b_id, coalesce(%s, NULL::text)::text AS model,
            coalesce(%s, ''coin_metrics'')::text AS source
        FROM public.ml_jobs j %s',
        v_starts, v_ends, v_first, coalesce(v_second, 'NULL'), coalesce(v_names, 'NULL'), coalesce(nullif(v_sources, ''), 'NULL'), v_joins
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
            LANGUAGE plpgsql STABLE ROWS 10 SET search_path TO pg_catalog, pg_temp AS $f$ BEGIN %s END $f$;
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

COMMENT ON TABLE ml.job_kinds IS 'Kinds of job, each declared in its own file NN_kind_NAME.sql.';
COMMENT ON COLUMN ml.job_kinds.job_type IS 'Name of the kind, as in ml_jobs.job_type; in small letters the prefix of its fields.';
COMMENT ON COLUMN ml.job_kinds.uses_models IS 'Fields that name a model which the job uses.';
COMMENT ON COLUMN ml.job_kinds.makes_model IS 'Field with the name of the model that the job makes; NULL: it makes none.';
COMMENT ON COLUMN ml.job_kinds.result_table IS 'Table of its results, one row per job.';
COMMENT ON COLUMN ml.job_kinds.result_column IS 'Field of ml_jobs that names the result, once COMPLETED.';
COMMENT ON COLUMN ml.job_kinds.result_fields IS 'Columns of the result table that the worker gives.';
COMMENT ON COLUMN ml.job_kinds.result_facts IS 'Fact tables of which the worker gives rows with the result.';
COMMENT ON COLUMN ml.job_kinds.page IS 'Function of ml_internal with its part of ml.report, of a kind that uses models.';
COMMENT ON COLUMN ml.job_kinds.stays_with_model IS 'Whether its results stay as long as the models that they are of; else ml.prune removes them once they are old.';
COMMENT ON COLUMN ml.job_kinds.reads_labels IS 'Whether rows without a label are of no use to its jobs.';
COMMENT ON FUNCTION ml_internal.page_of_kind(bigint, text) IS 'Part of ml.report, of a kind of job that has none of its own: what its jobs said of the model.';
COMMENT ON FUNCTION ml_internal.tables_of_jobs() IS 'Tables whose rows are each of a job, and the column that says of which.';
COMMENT ON FUNCTION ml_internal.given_fields(public.ml_jobs, text []) IS 'Those of these fields that a job has, as "name = value".';
COMMENT ON FUNCTION ml_internal.refuse_missing_fields() IS 'Trigger: names the fields that a kind of job needs and the INSERT lacks.';
COMMENT ON FUNCTION ml_internal.refuse_foreign_fields() IS 'Trigger: names the fields that belong to another kind of job.';
COMMENT ON FUNCTION ml_internal.refuse_service_fields() IS 'Trigger: names the fields that only the service fills.';
COMMENT ON FUNCTION ml_internal.refuse_period() IS 'Trigger: a period that does not begin before it ends, or lies outside the years 2 to 9998.';
COMMENT ON FUNCTION ml_internal.refuse_job_type() IS 'Trigger: a kind of job that nobody has declared.';
COMMENT ON FUNCTION ml_internal.check_result() IS 'Trigger: only the attempt that holds a job may record its result, and only one of its kind.';
COMMENT ON FUNCTION ml_internal.complete_job() IS 'Trigger: a result completes its job in the same transaction.';
COMMENT ON PROCEDURE ml_internal.define_kind(text, name [], name, name, name [], name [], name [], name [], name, name, boolean, boolean) IS 'Declares a kind of job: its row in ml.job_kinds and the triggers, constraints, grants and views that every kind has.';
