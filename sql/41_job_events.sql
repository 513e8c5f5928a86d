-- The life of a job as facts: every claim, heartbeat and end of an attempt.
-- An event is checked against the job before it is stored and projected onto the job after.
-- Both find their rows by indexes, see 44_worker_protocol.sql.

SET search_path TO pg_catalog, pg_temp;

CREATE TABLE IF NOT EXISTS public.ml_job_events (
    id bigint GENERATED ALWAYS AS IDENTITY,
    job_id bigint NOT NULL,
    attempt integer NOT NULL,
    event varchar(20) NOT NULL,
    worker_id varchar(255),
    progress numeric(3, 2),
    message text,
    lease_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by name NOT NULL DEFAULT session_user,
    CONSTRAINT ml_job_events_pkey PRIMARY KEY (id),
    CONSTRAINT ml_job_events_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_job_events_event_known CHECK (
        event IN ('CLAIMED', 'PROGRESS', 'COMPLETED', 'FAILED', 'CANCELLED', 'RELEASED', 'EXPIRED')
    ),
    CONSTRAINT ml_job_events_lease_while_running CHECK ((event IN ('CLAIMED', 'PROGRESS')) = (lease_until IS NOT NULL)),
    CONSTRAINT ml_job_events_progress_between_0_and_1 CHECK (progress BETWEEN 0 AND 1),
    CONSTRAINT ml_job_events_progress_known CHECK ((event = 'PROGRESS') = (progress IS NOT NULL)),
    CONSTRAINT ml_job_events_loss_has_reason CHECK (event NOT IN ('FAILED', 'RELEASED', 'EXPIRED') OR message IS NOT NULL)
);

CREATE INDEX IF NOT EXISTS ml_job_events_job ON public.ml_job_events (job_id, id);

-- An attempt is claimed once and ends once; a job whose last attempt was lost FAILS after that.
CREATE UNIQUE INDEX IF NOT EXISTS ml_job_events_claimed_once
ON public.ml_job_events (job_id, attempt)
WHERE event = 'CLAIMED';
CREATE UNIQUE INDEX IF NOT EXISTS ml_job_events_ended_once
ON public.ml_job_events (job_id, attempt)
WHERE event IN ('COMPLETED', 'RELEASED', 'EXPIRED');

CREATE OR REPLACE TRIGGER ml_job_events_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON public.ml_job_events
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.refuse_change_of_fact();

-- An attempt belongs to the login that claimed it, after its end as well.
CREATE OR REPLACE PROCEDURE ml_internal.require_claimer(
    p_job_id bigint,
    p_attempt integer
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET enable_seqscan TO off
AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM public.ml_job_events e
        WHERE e.job_id = p_job_id AND e.attempt = p_attempt AND e.event = 'CLAIMED' AND e.created_by = session_user
    ) THEN
        RAISE EXCEPTION 'attempt % of job % was claimed by another login than %', p_attempt, p_job_id, session_user
            USING ERRCODE = 'insufficient_privilege', TABLE = 'ml_jobs',
            HINT = 'Only the login that claimed a job may go on with it.';
    END IF;
END
$$;

-- The fence: locks the job and refuses whoever no longer holds it.
CREATE OR REPLACE PROCEDURE ml_internal.require_attempt(
    p_job_id bigint,
    p_attempt integer
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET enable_seqscan TO off
AS $$
DECLARE
    v_status text;
    v_attempt integer;
BEGIN
    SELECT j.status, j.attempt INTO v_status, v_attempt
    FROM public.ml_jobs j
    WHERE j.id = p_job_id
    FOR NO KEY UPDATE;
    IF (v_status, v_attempt) IS DISTINCT FROM ('RUNNING', p_attempt) THEN
        RAISE EXCEPTION 'attempt % does not hold job %, which is % in attempt %',
            p_attempt, p_job_id, coalesce(v_status, 'missing'), coalesce(v_attempt, 0)
            USING ERRCODE = 'ML001', TABLE = 'ml_jobs',
            HINT = 'Stop working on it and discard what this attempt made.';
    END IF;
    CALL ml_internal.require_claimer(p_job_id, p_attempt);
END
$$;

-- Whoever inserts an event has locked the job.
CREATE OR REPLACE FUNCTION ml_internal.check_event()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
SET enable_seqscan TO off
AS $$
DECLARE
    v_status text;
    v_attempt integer;
    v_worker_id text;
BEGIN
    SELECT j.status, j.attempt, j.worker_id INTO v_status, v_attempt, v_worker_id
    FROM public.ml_jobs j
    WHERE j.id = NEW.job_id;
    IF (NEW.event, v_status, NEW.attempt) NOT IN (
        ('CLAIMED', 'PENDING', v_attempt + 1),
        ('PROGRESS', 'RUNNING', v_attempt),
        ('COMPLETED', 'RUNNING', v_attempt),
        ('RELEASED', 'RUNNING', v_attempt),
        ('EXPIRED', 'RUNNING', v_attempt),
        ('FAILED', 'RUNNING', v_attempt),
        ('FAILED', 'PENDING', v_attempt),
        ('CANCELLED', 'CANCELLED', v_attempt)
    ) THEN
        RAISE EXCEPTION 'attempt % of job % cannot be %: the job is % in attempt %',
            NEW.attempt, NEW.job_id, NEW.event, v_status, v_attempt
            USING ERRCODE = 'ML001', TABLE = 'ml_job_events',
            HINT = 'Stop working on it and discard what this attempt made.';
    END IF;
    NEW.worker_id := coalesce(NEW.worker_id, v_worker_id);
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER ml_job_events_10_check
BEFORE INSERT ON public.ml_job_events
FOR EACH ROW EXECUTE FUNCTION ml_internal.check_event();

CREATE OR REPLACE FUNCTION ml_internal.apply_event_to_job()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
SET enable_seqscan TO off
SET jit TO off
SET plan_cache_mode TO force_generic_plan
AS $$
BEGIN
    CASE NEW.event
        WHEN 'CLAIMED' THEN
            UPDATE public.ml_jobs SET
                status = 'RUNNING',
                attempt = NEW.attempt,
                worker_id = NEW.worker_id,
                lease_until = NEW.lease_until,
                started_at = NEW.created_at,
                progress = 0,
                progress_msg = 'Starting'
            WHERE id = NEW.job_id;
        WHEN 'PROGRESS' THEN
            UPDATE public.ml_jobs SET
                lease_until = NEW.lease_until,
                progress = NEW.progress,
                progress_msg = coalesce(NEW.message, progress_msg)
            WHERE id = NEW.job_id;
        WHEN 'COMPLETED' THEN
            UPDATE public.ml_jobs SET
                status = 'COMPLETED',
                lease_until = NULL,
                completed_at = NEW.created_at,
                progress = 1,
                progress_msg = 'Done'
            WHERE id = NEW.job_id;
        WHEN 'FAILED' THEN
            UPDATE public.ml_jobs SET
                status = 'FAILED',
                lease_until = NULL,
                completed_at = NEW.created_at,
                progress_msg = 'Failed',
                error_msg = NEW.message
            WHERE id = NEW.job_id;
        WHEN 'RELEASED', 'EXPIRED' THEN
            UPDATE public.ml_jobs SET
                status = 'PENDING',
                lease_until = NULL,
                progress = 0,
                progress_msg = format('Waiting again after attempt %s: %s', NEW.attempt, NEW.message)
            WHERE id = NEW.job_id;
        WHEN 'CANCELLED' THEN
            NULL;
    END CASE;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER ml_job_events_90_apply_to_job
AFTER INSERT ON public.ml_job_events
FOR EACH ROW EXECUTE FUNCTION ml_internal.apply_event_to_job();

COMMENT ON PROCEDURE ml_internal.require_claimer(bigint, integer) IS 'Refuses any other login than the one that claimed an attempt.';
COMMENT ON PROCEDURE ml_internal.require_attempt(bigint, integer) IS 'The fence: refuses with ML001 whoever no longer holds the job and any other login, and locks it for whoever does.';
COMMENT ON FUNCTION ml_internal.check_event() IS 'Trigger: refuses with ML001 an event that the job''s state does not allow; fills in the worker of the attempt.';
COMMENT ON FUNCTION ml_internal.apply_event_to_job() IS 'Trigger: the state of a job as its events imply it.';
COMMENT ON TABLE public.ml_job_events IS 'Everything that happened to a job, append-only.';
COMMENT ON COLUMN public.ml_job_events.id IS 'Number of the event; rises within a job.';
COMMENT ON COLUMN public.ml_job_events.job_id IS 'Job that it happened to.';
COMMENT ON COLUMN public.ml_job_events.attempt IS 'Attempt that it belongs to.';
COMMENT ON COLUMN public.ml_job_events.event IS 'CLAIMED, PROGRESS, COMPLETED, FAILED, CANCELLED, RELEASED (given back) or EXPIRED (lost).';
COMMENT ON COLUMN public.ml_job_events.worker_id IS 'Worker of the attempt.';
COMMENT ON COLUMN public.ml_job_events.progress IS 'PROGRESS: 0.00 to 1.00.';
COMMENT ON COLUMN public.ml_job_events.message IS 'What was being done, or why it failed or went back.';
COMMENT ON COLUMN public.ml_job_events.lease_until IS 'CLAIMED, PROGRESS: end of the lease that it gives.';
COMMENT ON COLUMN public.ml_job_events.created_at IS 'When it happened.';
COMMENT ON COLUMN public.ml_job_events.created_by IS 'Login that caused it.';
