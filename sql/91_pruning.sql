-- Retention: CALL ml.prune('90 days') removes what is older, in small transactions of its own and without waiting
-- for anyone: progress and heartbeats, files of deleted models, and jobs that have ended with their facts. What an
-- existing model depends on stays: its training, tests and comparisons. Its answers do not: they go with their age. A model
-- is gone once it FAILED, or was deleted as long ago.

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

-- Goes from the youngest job to the oldest: what was done with a model goes before the job that made it.
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
    -- One statement: jobs, models and facts refer to each other, which is checked at its end.
    v_delete text := (
        SELECT format(
            'WITH %s DELETE FROM public.ml_jobs j WHERE j.id = ANY ($1)',
            string_agg(format('%I AS (DELETE FROM %s WHERE %I = ANY ($1))', 'of_' || t.relation::oid, t.relation, t.job_column), ', ')
        )
        FROM ml_internal.tables_of_jobs() t
    );
    v_down_to bigint;
    v_old bigint[];
    v_makes boolean;
    v_locked bigint[];
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
    -- A client may have locked its model, or a job that uses it may not be committed yet: they stay for another time.
    v_locked := ARRAY(
        SELECT m.train_job_id
        FROM public.ml_models m
        WHERE m.train_job_id = ANY (v_old) AND m.id NOT IN (
            SELECT x.id FROM public.ml_models x WHERE x.train_job_id = ANY (v_old) FOR UPDATE SKIP LOCKED
        )
    );
    PERFORM set_config('ml.pruning', 'on', true);
    FOREACH v_makes IN ARRAY ARRAY[false, true] LOOP
        v_jobs := ARRAY(
            SELECT j.id
            FROM public.ml_jobs j
            JOIN ml.job_kinds k ON k.job_type = j.job_type
            WHERE j.id = ANY (v_old) AND j.id <> ALL (v_locked) AND (k.makes_model IS NOT NULL) = v_makes
                AND NOT EXISTS (
                    SELECT
                    FROM ml.job_models u
                    JOIN public.ml_models m ON m.id = u.model_id
                    WHERE u.job_id = j.id AND (u.is_made OR (j.status = 'COMPLETED' AND k.stays_with_model))
                        AND (
                            NOT (m.status = 'FAILED' OR (m.is_deleted AND m.deleted_at < p_before))
                            -- Something younger was done with it.
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

-- The files of models that were deleted long enough ago, also where something younger keeps the rest of the model.
CREATE OR REPLACE FUNCTION ml_internal.prune_files(
    p_before timestamptz,
    p_from bigint,
    p_batch integer
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_jobs bigint [] := ARRAY(
        SELECT f.job_id FROM public.ml_model_files f WHERE f.job_id > p_from ORDER BY f.job_id LIMIT p_batch
    );
BEGIN
    PERFORM set_config('ml.pruning', 'on', true);
    DELETE FROM public.ml_model_files f
    USING public.ml_models m
    WHERE f.job_id = ANY (v_jobs) AND m.train_job_id = f.job_id AND m.is_deleted AND m.deleted_at < p_before;
    PERFORM set_config('ml.pruning', 'off', true);
    RETURN v_jobs[cardinality(v_jobs)];
END
$$;

-- It commits after each batch, which a routine that sets its search_path may not: nothing here depends on one.
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
        RAISE EXCEPTION 'cannot prune what is older than %', coalesce(ml_internal.interval_text(older_than), 'NULL')
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
    v_at := 0;
    WHILE v_at IS NOT NULL LOOP
        v_at := ml_internal.prune_files(v_before, v_at, 1000);
        COMMIT;
    END LOOP;
    v_at := 9223372036854775807;
    WHILE v_at IS NOT NULL LOOP
        v_at := ml_internal.prune_jobs(v_before, v_at, 500);
        COMMIT;
    END LOOP;
END
$$;

COMMENT ON FUNCTION ml_internal.prune_events(timestamptz, bigint, integer) IS 'Part of ml.prune: a batch of PROGRESS events after an id; returns the last id looked at, NULL at the end.';
COMMENT ON FUNCTION ml_internal.prune_signs(timestamptz, bigint, integer) IS 'Part of ml.prune: a batch of heartbeats after an id; returns the last id looked at, NULL at the end.';
COMMENT ON FUNCTION ml_internal.prune_files(timestamptz, bigint, integer) IS 'Part of ml.prune: the files of deleted models among a batch of jobs after an id; returns the last id looked at, NULL at the end.';
COMMENT ON FUNCTION ml_internal.prune_jobs(timestamptz, bigint, integer) IS 'Part of ml.prune: a batch of jobs below an id, with their facts; returns the last id looked at, NULL at the end.';
COMMENT ON PROCEDURE ml.prune(interval) IS 'Owner: removes progress, heartbeats, files of deleted models and ended jobs older than this, but nothing that an existing model depends on. Not inside a transaction.';
