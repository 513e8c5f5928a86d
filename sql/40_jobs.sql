-- Jobs: the request of a client and its current state.
-- Clients insert, cancel and change the priority; every other change of state follows an event (41_job_events.sql);
-- what a kind of job adds stands in its own file, NN_kind_NAME.sql.

SET search_path TO pg_catalog, pg_temp;

CREATE TABLE IF NOT EXISTS public.ml_jobs (
    id bigint GENERATED ALWAYS AS IDENTITY,
    job_type varchar(20) NOT NULL,
    status varchar(20) NOT NULL DEFAULT 'PENDING',
    priority integer NOT NULL DEFAULT 5,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    completed_at timestamptz,
    progress numeric(3, 2) NOT NULL DEFAULT 0,
    progress_msg text,
    error_msg text,
    worker_id varchar(255),
    attempt integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL DEFAULT 3,
    lease_until timestamptz,
    created_by name NOT NULL DEFAULT current_user,

    CONSTRAINT ml_jobs_pkey PRIMARY KEY (id),

    -- What a request may say.
    CONSTRAINT ml_jobs_priority_between_1_and_10 CHECK (priority BETWEEN 1 AND 10),
    CONSTRAINT ml_jobs_max_attempts_between_1_and_100 CHECK (max_attempts BETWEEN 1 AND 100),

    -- What a state implies.
    CONSTRAINT ml_jobs_status_known CHECK (status IN ('PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED')),
    CONSTRAINT ml_jobs_progress_between_0_and_1 CHECK (progress BETWEEN 0 AND 1),
    CONSTRAINT ml_jobs_attempt_not_negative CHECK (attempt >= 0),
    CONSTRAINT ml_jobs_running_has_worker CHECK (status <> 'RUNNING' OR num_nulls(worker_id, started_at) = 0),
    CONSTRAINT ml_jobs_running_has_lease CHECK ((status = 'RUNNING') = (lease_until IS NOT NULL)),
    CONSTRAINT ml_jobs_ended_has_time CHECK ((status IN ('COMPLETED', 'FAILED', 'CANCELLED')) = (completed_at IS NOT NULL)),
    CONSTRAINT ml_jobs_failed_has_reason CHECK ((status = 'FAILED') = (error_msg IS NOT NULL))
);

CREATE INDEX IF NOT EXISTS idx_jobs_status ON public.ml_jobs (status, priority, created_at);

-- The claim goes through this one from client to client, kind by kind: a worker may not know them all. Jobs inserted
-- together share created_at, so id must be part of the order. IS TRUE, here and in the queries: as a plain condition the
-- planner could take it for one on idx_jobs_status, which looks as good to it, and read the whole queue.
CREATE INDEX IF NOT EXISTS ml_jobs_turns ON public.ml_jobs (job_type, priority, created_by, created_at, id) WHERE (status = 'PENDING') IS TRUE;
-- And begins behind whoever had the last turn.
CREATE INDEX IF NOT EXISTS ml_jobs_started ON public.ml_jobs (priority, started_at) WHERE started_at IS NOT NULL;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_constraint c WHERE c.conname = 'ml_models_train_job_id_fkey') THEN
        ALTER TABLE public.ml_models
        ADD CONSTRAINT ml_models_train_job_id_fkey FOREIGN KEY (train_job_id) REFERENCES public.ml_jobs (id);
    END IF;
END
$$;

-- The id is the service's. Clients may name it, for ORMs send DEFAULT for it; what is given in another way (OVERRIDING
-- SYSTEM VALUE, COPY) is not the number that this session has just drawn.
CREATE OR REPLACE FUNCTION ml_internal.refuse_own_id()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    BEGIN
        IF NEW.id = currval('public.ml_jobs_id_seq') THEN
            RETURN NEW;
        END IF;
    EXCEPTION
        WHEN object_not_in_prerequisite_state THEN NULL; -- it has drawn none
    END;
    IF pg_has_role((SELECT c.relowner FROM pg_class c WHERE c.oid = TG_RELID), 'USAGE') THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a new job cannot have the id %', coalesce(NEW.id::text, 'NULL')
        USING ERRCODE = 'generated_always', TABLE = 'ml_jobs', COLUMN = 'id',
        HINT = 'Leave id out, or write DEFAULT: the service gives the numbers, and RETURNING id tells which.';
END
$$;

-- The number that was given last, to whomever, is mostly this one's; to look closer takes longer than all other rules.
CREATE OR REPLACE TRIGGER ml_jobs_11_own_id
BEFORE INSERT ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.id IS DISTINCT FROM pg_sequence_last_value('public.ml_jobs_id_seq'))
EXECUTE FUNCTION ml_internal.refuse_own_id();

CREATE OR REPLACE FUNCTION ml_internal.refuse_new_request()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_changed text [] := ml_internal.changed_columns(to_jsonb(OLD), to_jsonb(NEW), TG_ARGV);
BEGIN
    IF v_changed <> '{}' THEN
        RAISE EXCEPTION 'the request of job % cannot be changed: %', OLD.id, array_to_string(v_changed, ', ')
            USING ERRCODE = 'ML002', TABLE = 'ml_jobs', COLUMN = v_changed[1],
            HINT = format('Cancel it (CALL ml.cancel_job(%s)) and insert another job; only status and priority can be updated.', OLD.id);
    END IF;
    RETURN jsonb_populate_record(NEW, (
        SELECT jsonb_object_agg(o.key, o.value) FROM jsonb_each(to_jsonb(OLD)) o WHERE o.key = ANY (TG_ARGV)
    ));
END
$$;

-- Before everything that itself changes a new row.
CREATE OR REPLACE TRIGGER ml_jobs_10_request_is_final
BEFORE UPDATE OF
    id, job_type, created_at, max_attempts
ON public.ml_jobs
FOR EACH ROW
WHEN ((NEW.id, NEW.job_type, NEW.created_at, NEW.max_attempts) IS DISTINCT FROM (OLD.id, OLD.job_type, OLD.created_at, OLD.max_attempts))
EXECUTE FUNCTION ml_internal.refuse_new_request('id', 'job_type', 'created_at', 'max_attempts');

CREATE OR REPLACE TRIGGER ml_jobs_11_owned_columns
BEFORE UPDATE ON public.ml_jobs
FOR EACH ROW EXECUTE FUNCTION ml_internal.keep_owned_columns('status', 'priority');

CREATE OR REPLACE FUNCTION ml_internal.keep_priority_rules()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.priority IS NULL OR NEW.priority NOT BETWEEN 1 AND 10 THEN
        RAISE EXCEPTION 'priority % is not between 1 and 10', coalesce(NEW.priority::text, 'NULL')
            USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'priority',
            HINT = '1 is the highest priority, 10 the lowest, 5 the default.';
    ELSIF NEW.priority <> OLD.priority AND OLD.status <> 'PENDING' THEN
        RAISE EXCEPTION 'job % is % and its priority can no longer be changed', OLD.id, OLD.status
            USING ERRCODE = 'ML002', TABLE = 'ml_jobs', COLUMN = 'priority',
            HINT = 'Only a PENDING job has a place in the queue; leave this one as it is, or insert another.';
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_30_priority
BEFORE UPDATE OF priority ON public.ml_jobs
FOR EACH ROW EXECUTE FUNCTION ml_internal.keep_priority_rules();

-- A state follows its event, for everyone: the last event of the job must imply the new state.
-- CANCELLED alone is set by hand, and its event follows.
CREATE OR REPLACE FUNCTION ml_internal.keep_status_rules()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_event text;
BEGIN
    IF NEW.status = OLD.status THEN
        RETURN NEW;
    END IF;
    IF NEW.status = 'CANCELLED' AND OLD.status IN ('PENDING', 'RUNNING') THEN
        NEW.completed_at := now();
        NEW.lease_until := NULL;
        NEW.progress_msg := 'Cancelled';
        RETURN NEW;
    END IF;
    SELECT e.event INTO v_event
    FROM public.ml_job_events e
    WHERE e.job_id = OLD.id AND e.event <> 'PROGRESS'
    ORDER BY e.id DESC
    LIMIT 1;
    IF (OLD.status, v_event, NEW.status) IN (
        ('PENDING', 'CLAIMED', 'RUNNING'),
        ('PENDING', 'FAILED', 'FAILED'),
        ('RUNNING', 'COMPLETED', 'COMPLETED'),
        ('RUNNING', 'FAILED', 'FAILED'),
        ('RUNNING', 'RELEASED', 'PENDING'),
        ('RUNNING', 'EXPIRED', 'PENDING')
    ) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'job % cannot go from % to %', OLD.id, OLD.status, coalesce(NEW.status, 'NULL')
        USING ERRCODE = 'ML002', TABLE = 'ml_jobs', COLUMN = 'status',
        HINT = CASE
            WHEN OLD.status IN ('PENDING', 'RUNNING')
                THEN 'By hand a job can only be set to CANCELLED; the worker sets all other states.'
            ELSE format('%s is final; insert another job.', OLD.status)
        END;
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_30_status
BEFORE UPDATE OF status ON public.ml_jobs
FOR EACH ROW EXECUTE FUNCTION ml_internal.keep_status_rules();

-- Workers listen on ml_jobs (look at the queue), clients on ml_job_status ("17 COMPLETED").
-- A notification only saves time. It is left out while the server's queue of them is almost full, as some session of
-- whichever database listens in an open transaction: a transaction that adds to a full queue fails at its COMMIT.
-- To ask how full it is also makes the room that has come free since, which no failed COMMIT does.
CREATE OR REPLACE FUNCTION ml_internal.tell_status()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.status = 'CANCELLED' THEN
        INSERT INTO public.ml_job_events (job_id, attempt, event)
        VALUES (NEW.id, NEW.attempt, 'CANCELLED');
    END IF;
    IF NEW.status IN ('PENDING', 'CANCELLED') THEN
        PERFORM ml_internal.tell('ml_jobs', '');
    END IF;
    PERFORM ml_internal.tell('ml_job_status', NEW.id || ' ' || NEW.status);
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_90_tell_status
AFTER UPDATE OF status ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.status <> OLD.status)
EXECUTE FUNCTION ml_internal.tell_status();

CREATE OR REPLACE FUNCTION ml_internal.tell_workers()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM ml_internal.tell('ml_jobs', '');
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_90_tell_workers
AFTER INSERT ON public.ml_jobs
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.tell_workers();

CREATE OR REPLACE PROCEDURE ml.cancel_job(
    p_job_id bigint
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_created_by name;
BEGIN
    UPDATE public.ml_jobs SET status = 'CANCELLED' WHERE id = p_job_id;
    IF FOUND THEN
        RETURN;
    END IF;
    SELECT j.created_by INTO v_created_by FROM public.ml_jobs j WHERE j.id = p_job_id;
    IF FOUND THEN
        RAISE EXCEPTION 'job % belongs to %', p_job_id, v_created_by
            USING ERRCODE = 'insufficient_privilege', TABLE = 'ml_jobs',
            HINT = format('Only members of that role may cancel it; as its owner: GRANT %I TO %I;', v_created_by, current_user);
    ELSE
        RAISE EXCEPTION 'job % does not exist', coalesce(p_job_id::text, 'NULL')
            USING ERRCODE = 'no_data_found', TABLE = 'ml_jobs', HINT = 'SELECT id, status FROM ml_queue; lists the jobs that can be cancelled.';
    END IF;
END
$$;

COMMENT ON FUNCTION ml_internal.refuse_own_id() IS 'Trigger: the number of a new job is the one that the service gives.';
COMMENT ON FUNCTION ml_internal.refuse_new_request() IS 'Trigger: what a job asks for is final once it is accepted.';
COMMENT ON FUNCTION ml_internal.keep_priority_rules() IS 'Trigger: the priority is 1 to 10 and changes only while the job waits.';
COMMENT ON FUNCTION ml_internal.keep_status_rules() IS 'Trigger: refuses any change of state that no event implies, except a cancel.';
COMMENT ON FUNCTION ml_internal.tell_status() IS 'Trigger: records a cancel as an event and notifies clients and workers of a new state.';
COMMENT ON FUNCTION ml_internal.tell_workers() IS 'Trigger: one notification a statement that inserted jobs.';
COMMENT ON PROCEDURE ml.cancel_job(bigint) IS 'Cancels a PENDING or RUNNING job; the same as setting its status to CANCELLED.';
COMMENT ON TABLE public.ml_jobs IS 'The queue: insert a row of a kind of job (ml.job_kinds); its state and result appear in the same row.';
COMMENT ON COLUMN public.ml_jobs.id IS 'Number of the job.';
COMMENT ON COLUMN public.ml_jobs.job_type IS 'Kind of job, see ml.job_kinds.';
COMMENT ON COLUMN public.ml_jobs.status IS 'PENDING, RUNNING, COMPLETED, FAILED or CANCELLED. By hand only CANCELLED can be set.';
COMMENT ON COLUMN public.ml_jobs.priority IS '1 (highest) to 10 (lowest), default 5; can be changed while PENDING.';
COMMENT ON COLUMN public.ml_jobs.created_at IS 'When the job was inserted.';
COMMENT ON COLUMN public.ml_jobs.started_at IS 'When its latest attempt started.';
COMMENT ON COLUMN public.ml_jobs.completed_at IS 'When it ended, in whichever way.';
COMMENT ON COLUMN public.ml_jobs.progress IS '0.00 to 1.00.';
COMMENT ON COLUMN public.ml_jobs.progress_msg IS 'What is being done, for example "Training: 60/100 trees"; once COMPLETED, what came out.';
COMMENT ON COLUMN public.ml_jobs.error_msg IS 'Why the job FAILED.';
COMMENT ON COLUMN public.ml_jobs.worker_id IS 'Worker of the latest attempt: host, process and a random part.';
COMMENT ON COLUMN public.ml_jobs.attempt IS 'Number of the latest attempt; rises with every claim.';
COMMENT ON COLUMN public.ml_jobs.max_attempts IS 'Attempts that may be lost to crashes before the job FAILS; default 3.';
COMMENT ON COLUMN public.ml_jobs.lease_until IS 'While RUNNING: when other workers may take the job over unless its worker sends a heartbeat.';
COMMENT ON COLUMN public.ml_jobs.created_by IS 'Role that inserted the job, by the name that it had then; its members may change the job, and see it while teams are separated (ml.separate_teams).';
