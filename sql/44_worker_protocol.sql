-- What a worker may do with a job: claim it, show progress, fail it, give it back, and take over lost ones.
-- Each routine inserts one event. (job, attempt) is the fence; the clock of the database alone ends a lease.
-- A call repeated after its answer was lost gives the answer again; it locks the job before it looks for one,
-- because the first call may not be committed yet.
-- All of them look for rows by indexes (enable_seqscan): a plan that a session made while a table was small would go on
-- reading all of it.

SET search_path TO pg_catalog, pg_temp;

-- Errors of the server at this moment, and of no job: deadlocks, no room, limits, a server that stops, a broken disk.
CREATE OR REPLACE FUNCTION ml_internal.may_pass(
    p_sqlstate text
)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT left(p_sqlstate, 2) IN ('08', '25', '40', '53', '54', '55', '57', '58', 'XX');
$$;

-- What was refused for good fails; what may pass waits.
CREATE OR REPLACE PROCEDURE ml_internal.fail_claim(
    p_job public.ml_jobs,
    p_worker_id text,
    p_sqlstate text,
    p_message text
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF ml_internal.may_pass(p_sqlstate) THEN
        RAISE WARNING 'job % cannot be claimed now: %', p_job.id, p_message
            USING ERRCODE = p_sqlstate, HINT = 'It waits, and a worker tries again.';
        RETURN;
    END IF;
    INSERT INTO public.ml_job_events (job_id, attempt, event, worker_id, message)
    VALUES (p_job.id, p_job.attempt, 'FAILED', p_worker_id, p_message);
EXCEPTION
    WHEN OTHERS THEN
        RAISE WARNING 'job % can neither be claimed (%) nor fail: %', p_job.id, p_message, SQLERRM
            USING ERRCODE = SQLSTATE, HINT = 'It waits; the owner of the tables must mend them.';
END
$$;

-- Within a priority clients take turns, in the order of their names and round again: whoever comes after the client that
-- had the last turn is next. So between two jobs of a client every other one that waits gets one, however many wait.
-- Turns that lie in the future count for nothing: the clock was set back.
CREATE OR REPLACE FUNCTION ml_internal.last_turn(
    p_priority integer
)
RETURNS name
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
SET enable_seqscan TO off
SET enable_bitmapscan TO off
SET jit TO off
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
BEGIN
    RETURN coalesce(
        (
            SELECT j.created_by
            FROM public.ml_jobs j
            WHERE j.priority = p_priority AND j.started_at <= v_now
            ORDER BY j.started_at DESC
            LIMIT 1
        ),
        ''
    );
END
$$;

-- Locks the job that is next. A job that another session has locked is being claimed, and its client's turn with it: the
-- turn is the next client's. Where the first jobs of all are locked, it is that of their second ones, and so on.
CREATE OR REPLACE FUNCTION ml_internal.lock_next_job(
    p_kinds text [],
    p_skip bigint [],
    p_priority integer,
    p_last text -- not name, whose collation would make another of that of the kinds, and their index useless
)
RETURNS public.ml_jobs
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET enable_seqscan TO off
SET enable_bitmapscan TO off
SET jit TO off
SET plan_cache_mode TO force_generic_plan -- to plan these queries takes ten times as long as to run them
AS $$
DECLARE
    v_priority integer := 0;
    v_last name;
    v_client name;
    v_id bigint;
    v_has_turned boolean;
    v_clients integer;
    v_waiting integer;
    v_kind text;
    v_job public.ml_jobs;
BEGIN
    LOOP
        SELECT min((
            SELECT j.priority
            FROM public.ml_jobs j
            WHERE (j.status = 'PENDING') IS TRUE AND j.job_type = k.job_type AND j.priority > v_priority
            ORDER BY j.priority
            LIMIT 1
        )) INTO v_priority
        FROM unnest(p_kinds) k (job_type);
        IF v_priority IS NULL THEN
            RETURN NULL;
        END IF;
        v_last := CASE WHEN v_priority = p_priority THEN p_last ELSE ml_internal.last_turn(v_priority) END;

        FOR v_locked IN 0..7 LOOP
            v_client := v_last;
            v_has_turned := false;
            v_clients := 0;
            v_waiting := 0;
            LOOP
                SELECT h.created_by, h.id INTO v_client, v_id
                FROM unnest(p_kinds) k (job_type)
                CROSS JOIN LATERAL (
                    SELECT j.created_by, j.created_at, j.id
                    FROM public.ml_jobs j
                    WHERE (j.status = 'PENDING') IS TRUE AND j.job_type = k.job_type AND j.priority = v_priority
                        AND j.created_by > v_client AND j.id <> ALL (p_skip)
                    ORDER BY j.created_by, j.created_at, j.id
                    LIMIT 1
                ) h
                ORDER BY h.created_by, h.created_at, h.id
                LIMIT 1;
                IF v_client IS NULL OR (v_has_turned AND v_client > v_last) THEN
                    EXIT WHEN v_has_turned;
                    v_has_turned := true;
                    v_client := '';
                    CONTINUE;
                END IF;
                v_clients := v_clients + 1;
                IF v_locked > 0 THEN
                    v_id := (
                        SELECT f.id
                        FROM unnest(p_kinds) k (job_type)
                        CROSS JOIN LATERAL (
                            SELECT j.created_at, j.id
                            FROM public.ml_jobs j
                            WHERE (j.status = 'PENDING') IS TRUE AND j.job_type = k.job_type AND j.priority = v_priority
                                AND j.created_by = v_client AND j.id <> ALL (p_skip)
                            ORDER BY j.created_at, j.id
                            LIMIT v_locked + 1
                        ) f
                        ORDER BY f.created_at, f.id
                        OFFSET v_locked
                        LIMIT 1
                    );
                    CONTINUE WHEN v_id IS NULL;
                END IF;
                v_waiting := v_waiting + 1;
                SELECT * INTO v_job
                FROM public.ml_jobs j
                WHERE j.id = v_id AND (j.status = 'PENDING') IS NOT FALSE -- which no index answers: it is found by its id
                FOR NO KEY UPDATE SKIP LOCKED;
                IF FOUND THEN
                    RETURN v_job;
                END IF;
            END LOOP;
            EXIT WHEN v_waiting = 0 OR v_clients = 1;
        END LOOP;
        CONTINUE WHEN v_waiting = 0;

        -- Many jobs of few clients are locked: the first that is not, be it whose it may.
        SELECT * INTO v_job
        FROM public.ml_jobs j
        WHERE (j.status = 'PENDING') IS NOT FALSE AND j.id = ANY (ARRAY(
            SELECT f.id
            FROM unnest(p_kinds) k (job_type)
            CROSS JOIN LATERAL (
                SELECT j.id
                FROM public.ml_jobs j
                WHERE (j.status = 'PENDING') IS TRUE AND j.job_type = k.job_type AND j.priority = v_priority AND j.id <> ALL (p_skip)
                ORDER BY j.created_by, j.created_at, j.id
                LIMIT 50
            ) f
        ))
        ORDER BY j.created_at, j.id
        LIMIT 1
        FOR NO KEY UPDATE SKIP LOCKED;
        IF FOUND THEN
            RETURN v_job;
        END IF;
        FOREACH v_kind IN ARRAY p_kinds LOOP
            SELECT * INTO v_job
            FROM public.ml_jobs j
            WHERE (j.status = 'PENDING') IS TRUE AND j.job_type = v_kind AND j.priority = v_priority AND j.id <> ALL (p_skip)
            ORDER BY j.created_by, j.created_at, j.id
            LIMIT 1
            FOR NO KEY UPDATE SKIP LOCKED;
            IF FOUND THEN
                RETURN v_job;
            END IF;
        END LOOP;
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION ml_internal.claim_job(
    p_worker_id text,
    p_lease interval,
    p_kinds text [],
    p_except bigint [] DEFAULT '{}'
)
RETURNS SETOF public.ml_jobs
LANGUAGE plpgsql
SECURITY DEFINER
ROWS 1
SET search_path TO pg_catalog, pg_temp
SET enable_seqscan TO off
SET jit TO off
SET plan_cache_mode TO force_generic_plan
AS $$
DECLARE
    v_job public.ml_jobs;
    v_priority integer;
    v_last text;
    v_locked bigint [] := coalesce(p_except, '{}');
    v_is_claimed boolean := false;
    v_failed integer := 0;
    v_kinds text [] := array_remove(array_remove(p_kinds, '+sources'), '+splits');
    v_knows_sources boolean := '+sources' = ANY (p_kinds);
    v_knows_splits boolean := '+splits' = ANY (p_kinds);
BEGIN
    IF p_worker_id IS NULL OR length(p_worker_id) > 255 OR p_kinds IS NULL OR p_lease IS NULL OR p_lease NOT BETWEEN interval '0' AND interval '1 day' THEN
        RAISE EXCEPTION 'worker % cannot claim a job for %',
            coalesce(quote_literal(p_worker_id), 'NULL'), coalesce(ml_internal.interval_text(p_lease), 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Give the worker a name of at most 255 characters, a lease of at most one day, and the kinds of job that it can do.';
    END IF;
    -- A worker of version 6 would read coin_metrics, whatever a job says. One of a later version names this beside the kinds.
    IF NOT v_knows_sources AND EXISTS (SELECT FROM public.ml_sources s WHERE s.name <> 'coin_metrics') THEN
        v_locked := v_locked || ARRAY(SELECT j.id FROM ml.jobs j WHERE j.status = 'PENDING' AND j.source <> 'coin_metrics');
    END IF;
    -- And one of version 7 would hold out whole coins, whatever a job says.
    IF NOT v_knows_splits THEN
        v_locked := v_locked || ARRAY(
            SELECT j.id
            FROM public.ml_jobs j
            WHERE (j.status = 'PENDING') IS TRUE AND (j.train_split <> 'coins' OR j.train_folds > 0 OR j.train_weights <> 'none')
        );
    END IF;
    LOOP
        v_job := ml_internal.lock_next_job(v_kinds, v_locked, v_priority, v_last);
        EXIT WHEN v_job.id IS NULL;
        -- One that came meanwhile. Two questions, because ml.jobs is the longer one.
        IF NOT v_knows_sources AND EXISTS (SELECT FROM public.ml_sources s WHERE s.name <> 'coin_metrics') THEN
            IF EXISTS (SELECT FROM ml.jobs j WHERE j.id = v_job.id AND j.source <> 'coin_metrics') THEN
                v_locked := v_locked || v_job.id;
                CONTINUE;
            END IF;
        END IF;
        IF NOT v_knows_splits AND (v_job.train_split <> 'coins' OR v_job.train_folds > 0 OR v_job.train_weights <> 'none') THEN
            v_locked := v_locked || v_job.id;
            CONTINUE;
        END IF;
        BEGIN
            -- What was true when the job was inserted may no longer be: a kind's own triggers look again.
            INSERT INTO public.ml_job_events (job_id, attempt, event, worker_id, lease_until)
            VALUES (v_job.id, v_job.attempt + 1, 'CLAIMED', p_worker_id, clock_timestamp() + p_lease);
            v_is_claimed := true;
        EXCEPTION
            WHEN lock_not_available THEN
                -- A client is about to take the name of its model: the jobs behind it need not wait for that.
                v_locked := v_locked || v_job.id;
            WHEN OTHERS THEN
                v_locked := v_locked || v_job.id;
                CALL ml_internal.fail_claim(v_job, p_worker_id, SQLSTATE, SQLERRM);
                v_failed := v_failed + 1;
        END;
        IF v_is_claimed THEN
            -- If an upgrade has changed the columns since this call began, it is no fault of the job: the call fails.
            RETURN QUERY SELECT * FROM public.ml_jobs j WHERE j.id = v_job.id;
            RETURN;
        END IF;
        -- That was its client's turn.
        v_priority := v_job.priority;
        v_last := v_job.created_by;
        IF v_failed >= 100 THEN
            -- Enough for one transaction, with which others' jobs wait. Whoever listens looks again at once.
            PERFORM ml_internal.tell('ml_jobs', '');
            RETURN;
        END IF;
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
SET extra_float_digits TO 1
AS $$
BEGIN
    RETURN (
        SELECT jsonb_build_object(
            'period_start', j.period_start,
            'period_end', j.period_end,
            'phases', string_to_array(ml_internal.common_items(VARIADIC m.phases), ',')::integer [],
            'models', coalesce(m.models, '[]'),
            'library_versions', coalesce(m.libraries, '{}'),
            'thresholds', m.thresholds,
            'fitted', coalesce(m.fitted, '{}'),
            'source', ml_internal.describe_source(j.source),
            'request', (
                SELECT jsonb_object_agg(substr(f.key, length(j.job_type) + 2), f.value)
                FROM public.ml_jobs x
                CROSS JOIN LATERAL jsonb_each(to_jsonb(x)) f
                WHERE x.id = j.id AND starts_with(f.key, lower(j.job_type) || '_')
            )
        )
        FROM ml.jobs j
        CROSS JOIN LATERAL (
            SELECT
                jsonb_agg(ml_internal.describe_model(m) ORDER BY u.place) AS models,
                array_agg(m.phases_csv) AS phases,
                -- Not in describe_model, where a worker of version 5 would not expect it.
                jsonb_object_agg(m.id, r.library_versions_csv) FILTER (WHERE r.id IS NOT NULL) AS libraries,
                -- Nor would one of version 7; NULL: to be chosen.
                jsonb_object_agg(m.id, m.threshold) AS thresholds,
                jsonb_object_agg(m.id, jsonb_build_object(
                    'share_positive', r.num_fitted_positive::double precision / nullif(r.num_fitted, 0),
                    'rule', CASE WHEN r.baseline_feature IS NOT NULL THEN jsonb_build_object(
                        'feature', r.baseline_feature, 'direction', r.baseline_direction, 'threshold', r.baseline_threshold
                    ) END,
                    'is_older', r.best_baseline IS NULL
                )) FILTER (WHERE r.num_fitted > 0) AS fitted
            FROM ml.job_models u
            JOIN public.ml_models m ON m.id = u.model_id
            LEFT JOIN public.ml_training_runs r ON r.model_id = m.id
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
SET enable_seqscan TO off
AS $$
DECLARE
    v_lease_until timestamptz;
BEGIN
    IF p_lease IS NULL OR p_lease NOT BETWEEN interval '0' AND interval '1 day' THEN
        RAISE EXCEPTION 'job % cannot be held for %', coalesce(p_job_id::text, 'NULL'), coalesce(ml_internal.interval_text(p_lease), 'NULL')
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

-- Rows of fact tables, in the order of these: one that says how many rows others have comes last.
CREATE OR REPLACE FUNCTION ml_internal.record_facts(
    p_job_id bigint,
    p_facts jsonb,
    p_tables name []
)
RETURNS void
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_table text;
    v_columns name [];
    v_wrong text;
BEGIN
    FOREACH v_table IN ARRAY p_tables LOOP
        CONTINUE WHEN coalesce(p_facts -> v_table, '[]') = '[]';
        v_columns := ARRAY(
            SELECT a.attname FROM pg_attribute a
            WHERE a.attrelid = format('public.%I', v_table)::regclass AND a.attnum > 0 AND NOT a.attisdropped
                AND a.attgenerated = '' AND a.attidentity = '' AND a.attname <> 'job_id'
        );
        -- The rows of a large model are alike, and looking at each would take as long as storing them.
        SELECT k.key INTO v_wrong
        FROM jsonb_path_query(p_facts -> v_table, '$[0 to 999]') e (item)
        CROSS JOIN LATERAL jsonb_object_keys(e.item) k (key)
        WHERE e.item - v_columns::text [] <> '{}' AND k.key <> ALL (v_columns)
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION '% of a result has no %', v_table, v_wrong
                USING ERRCODE = 'undefined_column', TABLE = v_table, COLUMN = v_wrong,
                HINT = ml_internal.suggest_names(v_wrong, v_columns::text []);
        END IF;
        EXECUTE format(
            'INSERT INTO public.%1$I (job_id, %2$s) SELECT $1, %2$s FROM jsonb_populate_recordset(NULL::public.%1$I, $2)',
            v_table, (SELECT string_agg(quote_ident(c.column_name), ', ') FROM unnest(v_columns) c (column_name))
        ) USING p_job_id, p_facts -> v_table;
    END LOOP;
END
$$;

-- The result of any kind. Keys of the object are columns of the kind's result table, which decides types, NULLs and
-- bounds, or fact tables that belong to it, with their rows. The result table's trigger is the fence: it locks the
-- job first. If it refuses, this may be a call repeated after its answer was lost, which gets the answer again.
-- The settings hold in the triggers, too: all that they read are rows of one job.
CREATE OR REPLACE FUNCTION ml_internal.record_result(
    p_job_id bigint,
    p_attempt integer,
    p_result jsonb
)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
SET enable_seqscan TO off
SET jit TO off
SET plan_cache_mode TO force_generic_plan
AS $$
DECLARE
    v_kind ml.job_kinds;
    v_keys text [];
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
            HINT = format(E'\\d+ %s says what it means.', v_kind.result_table);
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
            CALL ml_internal.require_claimer(p_job_id, p_attempt);
            RETURN v_id;
    END;

    PERFORM ml_internal.record_facts(p_job_id, p_result, v_kind.result_facts);
    PERFORM ml_internal.show_warnings(p_job_id);
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
SET enable_seqscan TO off
AS $$
BEGIN
    PERFORM FROM public.ml_jobs j WHERE j.id = p_job_id FOR NO KEY UPDATE;
    -- An attempt that was lost or given back did not record the failure that came after it.
    IF NOT EXISTS (
        SELECT FROM public.ml_job_events e
        WHERE e.job_id = p_job_id AND e.attempt = p_attempt AND e.event IN ('FAILED', 'EXPIRED', 'RELEASED')
        HAVING min(e.event) = 'FAILED' AND max(e.event) = 'FAILED'
    ) THEN
        CALL ml_internal.require_attempt(p_job_id, p_attempt);
        INSERT INTO public.ml_job_events (job_id, attempt, event, message)
        VALUES (p_job_id, p_attempt, 'FAILED', p_message);
    END IF;
    CALL ml_internal.require_claimer(p_job_id, p_attempt);
    RETURN 'FAILED';
END
$$;

-- The attempt is lost, not the job: it waits for another, or fails once max_attempts are lost.
CREATE OR REPLACE PROCEDURE ml_internal.lose_attempt(
    p_job_id bigint,
    p_attempt integer,
    p_message text
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET enable_seqscan TO off
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
SET enable_seqscan TO off
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
    CALL ml_internal.require_claimer(p_job_id, p_attempt);
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
SET enable_seqscan TO off
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
    CALL ml_internal.require_claimer(p_job_id, p_attempt);
    RETURN 'PENDING';
END
$$;

-- Models whose job has ended although they could not be written at that moment.
CREATE OR REPLACE PROCEDURE ml_internal.fail_left_models()
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET enable_seqscan TO off
AS $$
BEGIN
    UPDATE public.ml_models SET status = 'FAILED'
    WHERE id IN (
        SELECT m.id
        FROM public.ml_models m
        JOIN public.ml_jobs j ON j.id = m.train_job_id
        WHERE m.status = 'TRAINING' AND j.status IN ('FAILED', 'CANCELLED')
        ORDER BY m.id
        FOR NO KEY UPDATE OF m SKIP LOCKED
    );
EXCEPTION
    WHEN OTHERS THEN NULL; -- as before; what else a worker does goes on
END
$$;

CREATE OR REPLACE FUNCTION ml_internal.expire_leases()
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
SET datestyle TO 'ISO, MDY'
SET enable_seqscan TO off
AS $$
DECLARE
    v_job public.ml_jobs;
    v_expired bigint := 0;
BEGIN
    PERFORM ml_internal.end_overtime();
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
            -- This one later, the others now.
            WHEN OTHERS THEN
                RAISE WARNING 'job % cannot be taken away from worker % now: %', v_job.id, v_job.worker_id, SQLERRM
                    USING ERRCODE = SQLSTATE, HINT = 'A worker tries again at each look at the queue.';
        END;
    END LOOP;
    CALL ml_internal.fail_left_models();
    RETURN v_expired;
END
$$;

-- Model files of several databases may lie in one folder. A database that is renamed keeps its part of it; a copy, and
-- a database of another server, have parts of their own.
CREATE OR REPLACE FUNCTION ml_internal.folder_name()
RETURNS text
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_server text;
BEGIN
    BEGIN
        v_server := (SELECT c.system_identifier::text FROM pg_control_system() c);
    EXCEPTION
        -- A platform that keeps it to itself: then when this schema came here.
        WHEN insufficient_privilege OR undefined_function OR feature_not_supported THEN
            v_server := (SELECT extract(epoch FROM min(v.installed_at))::text FROM ml.schema_version v);
    END;
    RETURN 'database_' || left(encode(sha256(convert_to(
        v_server || ' ' || (SELECT d.oid::text FROM pg_database d WHERE d.datname = current_database()), 'UTF8'
    )), 'hex'), 16);
END
$$;

COMMENT ON FUNCTION ml_internal.folder_name() IS 'Worker: name of this database''s folder in that of the model files; it outlives a change of the database''s name.';
COMMENT ON FUNCTION ml_internal.may_pass(text) IS 'Whether an error is of the server at this moment, not of what was asked.';
COMMENT ON PROCEDURE ml_internal.fail_claim(public.ml_jobs, text, text, text) IS 'Ends a job that cannot be claimed as FAILED, unless the reason may pass.';
COMMENT ON FUNCTION ml_internal.last_turn(integer) IS 'Client that had the last turn in this priority; '''' if none had one.';
COMMENT ON FUNCTION ml_internal.lock_next_job(text [], bigint [], integer, text) IS 'Locks the next PENDING job of these kinds but those to skip: by priority, in it by turns of the clients, of a client by age. In the priority given, this client counts as the one that had the last turn.';
COMMENT ON FUNCTION ml_internal.claim_job(text, interval, text [], bigint []) IS 'Worker: takes the next PENDING job of these kinds but those it cannot do now (priority, then the clients in turn, then age) and returns its row; none: no row. A worker that does not name +sources among the kinds gets jobs of coin_metrics alone, and without +splits those that are validated as in version 7.';
COMMENT ON FUNCTION ml_internal.assignment(bigint) IS 'Worker: all that a job asks for: period, phases, models and its own fields without their prefix.';
COMMENT ON FUNCTION ml_internal.record_progress(bigint, integer, numeric, text, interval) IS 'Worker: heartbeat; moves the progress bar, renews the lease and returns its end.';
COMMENT ON FUNCTION ml_internal.record_facts(bigint, jsonb, name []) IS 'Part of record_result: rows of those of these fact tables that the object has, by their names.';
COMMENT ON FUNCTION ml_internal.record_result(bigint, integer, jsonb) IS 'Worker: result of a job of any kind; completes the job and returns the id of the result.';
COMMENT ON FUNCTION ml_internal.record_failure(bigint, integer, text) IS 'Worker: the job cannot succeed; ends it as FAILED with this error_msg.';
COMMENT ON PROCEDURE ml_internal.lose_attempt(bigint, integer, text) IS 'Ends an attempt as EXPIRED, and its job as FAILED once max_attempts are lost.';
COMMENT ON FUNCTION ml_internal.record_loss(bigint, integer, text) IS 'Worker: the attempt died; the job waits for another or FAILS after max_attempts. Returns its new status.';
COMMENT ON FUNCTION ml_internal.release_job(bigint, integer, text) IS 'Worker: gives a job back unharmed, for another attempt that does not count as lost.';
COMMENT ON PROCEDURE ml_internal.fail_left_models() IS 'Sets models to FAILED whose job has ended without them, because they could not be written then.';
COMMENT ON FUNCTION ml_internal.expire_leases() IS 'Worker: takes away every job whose lease has ended; returns how many. Those past their max_minutes it ends (end_overtime).';
