-- Retention: CALL ml.prune('90 days') removes what is older, in small transactions of its own and without waiting
-- for anyone: progress and signs of life, and jobs that have ended with their facts. What a living model rests on
-- stays: its training, tests and comparisons. A model is gone once it FAILED, or was deleted as long ago.

SET search_path TO pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION ml.prune_events(
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

CREATE OR REPLACE FUNCTION ml.prune_signs(
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
CREATE OR REPLACE FUNCTION ml.prune_jobs(
    p_before timestamptz,
    p_below bigint,
    p_batch integer
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_down_to bigint;
    v_old bigint[];
    v_type text;
    v_jobs bigint[];
    v_models bigint[];
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
    FOREACH v_type IN ARRAY ARRAY['COMPARE', 'TEST', 'TRAIN'] LOOP
        v_jobs := ARRAY(
            SELECT j.id
            FROM public.ml_jobs j
            WHERE j.id = ANY (v_old) AND j.job_type = v_type
                AND NOT EXISTS (
                    SELECT
                    FROM public.ml_models m
                    WHERE (m.train_job_id = j.id OR (
                        j.status = 'COMPLETED' AND m.id IN (j.test_model_id, j.compare_model_a_id, j.compare_model_b_id)
                    ))
                        AND (
                            NOT (m.status = 'FAILED' OR (m.is_deleted AND m.deleted_at < p_before))
                            -- Something younger was done with it.
                            OR (v_type = 'TRAIN' AND (
                                EXISTS (SELECT FROM public.ml_jobs u WHERE u.test_model_id = m.id)
                                OR EXISTS (SELECT FROM public.ml_jobs u WHERE u.compare_model_a_id = m.id)
                                OR EXISTS (SELECT FROM public.ml_jobs u WHERE u.compare_model_b_id = m.id)
                            ))
                        )
                )
        );
        v_models := ARRAY(SELECT m.id FROM public.ml_models m WHERE m.train_job_id = ANY (v_jobs));
        -- One statement: jobs, models and facts refer to each other, which is checked at its end.
        WITH
            events AS (DELETE FROM public.ml_job_events e WHERE e.job_id = ANY (v_jobs)),
            points AS (DELETE FROM public.ml_curve_points p WHERE p.job_id = ANY (v_jobs)),
            runs AS (DELETE FROM public.ml_training_runs r WHERE r.job_id = ANY (v_jobs)),
            tests AS (DELETE FROM public.ml_test_results t WHERE t.job_id = ANY (v_jobs)),
            comparisons AS (DELETE FROM public.ml_comparisons c WHERE c.job_id = ANY (v_jobs)),
            models AS (DELETE FROM public.ml_models m WHERE m.id = ANY (v_models))
        DELETE FROM public.ml_jobs j WHERE j.id = ANY (v_jobs);
    END LOOP;
    PERFORM set_config('ml.pruning', 'off', true);
    RETURN v_down_to;
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
        RAISE EXCEPTION 'cannot prune what is older than %', coalesce(older_than::pg_catalog.text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give an age, for example: CALL ml.prune(''90 days'');';
    END IF;
    CALL ml.require_autocommit('ml.prune');
    WHILE v_at IS NOT NULL LOOP
        v_at := ml.prune_events(v_before, v_at, 10000);
        COMMIT;
    END LOOP;
    v_at := 0;
    WHILE v_at IS NOT NULL LOOP
        v_at := ml.prune_signs(v_before, v_at, 10000);
        COMMIT;
    END LOOP;
    v_at := 9223372036854775807;
    WHILE v_at IS NOT NULL LOOP
        v_at := ml.prune_jobs(v_before, v_at, 500);
        COMMIT;
    END LOOP;
END
$$;

COMMENT ON FUNCTION ml.prune_events(timestamptz, bigint, integer) IS 'Part of ml.prune: a batch of PROGRESS events after an id; returns the last id looked at, NULL at the end.';
COMMENT ON FUNCTION ml.prune_signs(timestamptz, bigint, integer) IS 'Part of ml.prune: a batch of signs of life after an id; returns the last id looked at, NULL at the end.';
COMMENT ON FUNCTION ml.prune_jobs(timestamptz, bigint, integer) IS 'Part of ml.prune: a batch of jobs below an id, with their facts; returns the last id looked at, NULL at the end.';
COMMENT ON PROCEDURE ml.prune(interval) IS 'Owner: removes progress, signs of life and ended jobs older than this, but nothing that a living model rests on. Not inside a transaction.';
