-- What a worker may do with a job: claim it, show progress, fail it, give it back, and take over lost ones.
-- Each routine inserts one event. (job, attempt) is the fence; the clock of the database alone ends a lease.
-- A call repeated after its answer was lost gives the answer again; it locks the job before it looks for one,
-- because the first call may not be committed yet.

SET search_path TO pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION ml.claim_job(
    p_worker_id text,
    p_lease interval DEFAULT '30 seconds'
)
RETURNS SETOF public.ml_jobs
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_job public.ml_jobs;
    v_locked bigint [] := '{}';
BEGIN
    IF p_worker_id IS NULL OR p_lease IS NULL OR p_lease NOT BETWEEN interval '0' AND interval '1 day' THEN
        RAISE EXCEPTION 'worker % cannot claim a job for %',
            coalesce(quote_literal(p_worker_id), 'NULL'), coalesce(p_lease::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Give the worker a name, and a lease of at most one day.';
    END IF;
    LOOP
        SELECT * INTO v_job
        FROM public.ml_jobs j
        WHERE j.status = 'PENDING' AND j.id <> ALL (v_locked)
        ORDER BY j.priority, j.created_at, j.id
        LIMIT 1
        FOR NO KEY UPDATE SKIP LOCKED;
        EXIT WHEN NOT FOUND;
        BEGIN
            -- What was true when the job was inserted may no longer be.
            IF v_job.job_type = 'TRAIN' THEN
                CALL ml.require_free_name(v_job.train_model_name, v_job.id);
            ELSIF v_job.job_type = 'TEST' THEN
                PERFORM ml.require_ready_model(v_job.test_model_id);
            ELSIF v_job.job_type = 'COMPARE' THEN
                PERFORM ml.require_ready_model(v_job.compare_model_a_id);
                PERFORM ml.require_ready_model(v_job.compare_model_b_id);
            END IF;
            INSERT INTO public.ml_job_events (job_id, attempt, event, worker_id, lease_until)
            VALUES (v_job.id, v_job.attempt + 1, 'CLAIMED', p_worker_id, clock_timestamp() + p_lease);
            RETURN QUERY SELECT * FROM public.ml_jobs j WHERE j.id = v_job.id;
            RETURN;
        EXCEPTION
            WHEN integrity_constraint_violation THEN
                INSERT INTO public.ml_job_events (job_id, attempt, event, worker_id, message)
                VALUES (v_job.id, v_job.attempt, 'FAILED', p_worker_id, SQLERRM);
            WHEN lock_not_available THEN
                -- A client is about to take the name of its model: the jobs behind it need not wait for that.
                v_locked := v_locked || v_job.id;
        END;
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION ml.record_progress(
    p_job_id bigint,
    p_attempt integer,
    p_progress numeric,
    p_message text DEFAULT NULL,
    p_lease interval DEFAULT '30 seconds'
)
RETURNS timestamptz
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_lease_until timestamptz;
BEGIN
    IF p_lease IS NULL OR p_lease NOT BETWEEN interval '0' AND interval '1 day' THEN
        RAISE EXCEPTION 'job % cannot be held for %', coalesce(p_job_id::text, 'NULL'), coalesce(p_lease::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Give a lease of at most one day.';
    END IF;
    CALL ml.require_attempt(p_job_id, p_attempt);
    INSERT INTO public.ml_job_events (job_id, attempt, event, progress, message, lease_until)
    VALUES (p_job_id, p_attempt, 'PROGRESS', p_progress, p_message, clock_timestamp() + p_lease)
    RETURNING lease_until INTO v_lease_until;
    RETURN v_lease_until;
END
$$;

CREATE OR REPLACE FUNCTION ml.record_failure(
    p_job_id bigint,
    p_attempt integer,
    p_message text
)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM public.ml_jobs j WHERE j.id = p_job_id FOR NO KEY UPDATE;
    -- An attempt that was lost or given back did not record the failure that came after it.
    IF NOT EXISTS (
        SELECT FROM public.ml_job_events e
        WHERE e.job_id = p_job_id AND e.attempt = p_attempt AND e.event IN ('FAILED', 'EXPIRED', 'RELEASED')
        HAVING min(e.event) = 'FAILED' AND max(e.event) = 'FAILED'
    ) THEN
        CALL ml.require_attempt(p_job_id, p_attempt);
        INSERT INTO public.ml_job_events (job_id, attempt, event, message)
        VALUES (p_job_id, p_attempt, 'FAILED', p_message);
    END IF;
    RETURN 'FAILED';
END
$$;

-- The attempt is lost, not the job: it waits for another, or fails once max_attempts are lost.
CREATE OR REPLACE PROCEDURE ml.lose_attempt(
    p_job_id bigint,
    p_attempt integer,
    p_message text
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
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

CREATE OR REPLACE FUNCTION ml.record_loss(
    p_job_id bigint,
    p_attempt integer,
    p_message text
)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM public.ml_jobs j WHERE j.id = p_job_id FOR NO KEY UPDATE;
    IF NOT EXISTS (
        SELECT FROM public.ml_job_events e
        WHERE e.job_id = p_job_id AND e.attempt = p_attempt AND e.event = 'EXPIRED'
    ) THEN
        CALL ml.require_attempt(p_job_id, p_attempt);
        CALL ml.lose_attempt(p_job_id, p_attempt, p_message);
    END IF;
    RETURN CASE
        WHEN EXISTS (
            SELECT FROM public.ml_job_events e
            WHERE e.job_id = p_job_id AND e.attempt = p_attempt AND e.event = 'FAILED'
        ) THEN 'FAILED'
        ELSE 'PENDING'
    END;
END
$$;

CREATE OR REPLACE FUNCTION ml.release_job(
    p_job_id bigint,
    p_attempt integer,
    p_message text
)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM public.ml_jobs j WHERE j.id = p_job_id FOR NO KEY UPDATE;
    IF NOT EXISTS (
        SELECT FROM public.ml_job_events e
        WHERE e.job_id = p_job_id AND e.attempt = p_attempt AND e.event = 'RELEASED'
    ) THEN
        CALL ml.require_attempt(p_job_id, p_attempt);
        INSERT INTO public.ml_job_events (job_id, attempt, event, message)
        VALUES (p_job_id, p_attempt, 'RELEASED', p_message);
    END IF;
    RETURN 'PENDING';
END
$$;

CREATE OR REPLACE FUNCTION ml.expire_leases()
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_job public.ml_jobs;
    v_expired bigint := 0;
BEGIN
    FOR v_job IN
        SELECT *
        FROM public.ml_jobs j
        WHERE j.status = 'RUNNING' AND j.lease_until < clock_timestamp()
        ORDER BY j.id
        FOR NO KEY UPDATE SKIP LOCKED
    LOOP
        BEGIN
            CALL ml.lose_attempt(
                v_job.id, v_job.attempt, format('worker %s gave no sign of life until %s', v_job.worker_id, v_job.lease_until)
            );
            v_expired := v_expired + 1;
        EXCEPTION
            -- A client has locked its model: this one later, the others now.
            WHEN lock_not_available THEN NULL;
        END;
    END LOOP;
    RETURN v_expired;
END
$$;

COMMENT ON FUNCTION ml.claim_job(text, interval) IS 'Worker: takes the next PENDING job (priority, then age) and returns its row; none: no row.';
COMMENT ON FUNCTION ml.record_progress(bigint, integer, numeric, text, interval) IS 'Worker: sign of life; moves the progress bar, renews the lease and returns its end.';
COMMENT ON FUNCTION ml.record_failure(bigint, integer, text) IS 'Worker: the job cannot succeed; ends it as FAILED with this error_msg.';
COMMENT ON PROCEDURE ml.lose_attempt(bigint, integer, text) IS 'Ends an attempt as EXPIRED, and its job as FAILED once max_attempts are lost.';
COMMENT ON FUNCTION ml.record_loss(bigint, integer, text) IS 'Worker: the attempt died; the job waits for another or FAILS after max_attempts. Returns its new status.';
COMMENT ON FUNCTION ml.release_job(bigint, integer, text) IS 'Worker: gives a job back unharmed, for another attempt that does not count as lost.';
COMMENT ON FUNCTION ml.expire_leases() IS 'Worker: takes away every job whose lease has ended; returns how many.';
