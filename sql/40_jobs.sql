-- Jobs: the request of a client and its current state.
-- Clients insert, cancel and change the priority; every other change of state follows an event (70_job_events.sql).

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

    train_target_var text,
    train_operator text,
    train_value numeric,
    train_start timestamptz,
    train_end timestamptz,
    train_features_csv text,
    train_phases_csv text,
    train_params_csv text,
    train_model_type text,
    train_model_name text,
    train_description text,
    train_test_size numeric,
    train_random_state integer,
    train_future_minutes integer,
    result_model_id bigint,

    test_model_id bigint,
    test_start timestamptz,
    test_end timestamptz,
    result_test_id bigint,

    compare_model_a_id bigint,
    compare_model_b_id bigint,
    compare_start timestamptz,
    compare_end timestamptz,
    result_comparison_id bigint,

    created_by name NOT NULL DEFAULT current_user,

    CONSTRAINT ml_jobs_pkey PRIMARY KEY (id),
    CONSTRAINT ml_jobs_train_model_type_fkey FOREIGN KEY (train_model_type) REFERENCES public.ref_model_types (name),
    CONSTRAINT ml_jobs_result_model_id_fkey FOREIGN KEY (result_model_id) REFERENCES public.ml_models (id),
    CONSTRAINT ml_jobs_test_model_id_fkey FOREIGN KEY (test_model_id) REFERENCES public.ml_models (id),
    CONSTRAINT ml_jobs_compare_model_a_id_fkey FOREIGN KEY (compare_model_a_id) REFERENCES public.ml_models (id),
    CONSTRAINT ml_jobs_compare_model_b_id_fkey FOREIGN KEY (compare_model_b_id) REFERENCES public.ml_models (id),

    -- What a request may say.
    CONSTRAINT ml_jobs_job_type_known CHECK (job_type IN ('TRAIN', 'TEST', 'COMPARE')),
    CONSTRAINT ml_jobs_priority_between_1_and_10 CHECK (priority BETWEEN 1 AND 10),
    CONSTRAINT ml_jobs_max_attempts_between_1_and_100 CHECK (max_attempts BETWEEN 1 AND 100),
    CONSTRAINT ml_jobs_train_fields CHECK (
        CASE job_type
            WHEN 'TRAIN' THEN num_nulls(
                train_target_var, train_operator, train_value, train_start, train_end,
                train_features_csv, train_model_type, train_model_name, train_test_size, train_random_state
            ) = 0
            ELSE num_nonnulls(
                train_target_var, train_operator, train_value, train_start, train_end,
                train_features_csv, train_model_type, train_model_name, train_test_size, train_random_state,
                train_phases_csv, train_params_csv, train_description, train_future_minutes
            ) = 0
        END
    ),
    CONSTRAINT ml_jobs_test_fields CHECK (
        CASE job_type
            WHEN 'TEST' THEN num_nulls(test_model_id, test_start, test_end) = 0
            ELSE num_nonnulls(test_model_id, test_start, test_end) = 0
        END
    ),
    CONSTRAINT ml_jobs_compare_fields CHECK (
        CASE job_type
            WHEN 'COMPARE' THEN num_nulls(compare_model_a_id, compare_model_b_id, compare_start, compare_end) = 0
            ELSE num_nonnulls(compare_model_a_id, compare_model_b_id, compare_start, compare_end) = 0
        END
    ),
    CONSTRAINT ml_jobs_train_start_before_end CHECK (train_start < train_end),
    CONSTRAINT ml_jobs_test_start_before_end CHECK (test_start < test_end),
    CONSTRAINT ml_jobs_compare_start_before_end CHECK (compare_start < compare_end),
    -- The years that clients and the worker can read.
    CONSTRAINT ml_jobs_periods_finite CHECK (
        least(train_start, test_start, compare_start) >= '0002-01-01 00:00:00+00'
        AND greatest(train_end, test_end, compare_end) < '9999-01-01 00:00:00+00'
    ),
    CONSTRAINT ml_jobs_operator_known CHECK (train_operator IN ('>', '<', '>=', '<=', '=', '!=')),
    CONSTRAINT ml_jobs_train_value_finite CHECK (train_value NOT IN ('NaN', 'Infinity', '-Infinity')),
    CONSTRAINT ml_jobs_test_size_between_0_and_1 CHECK (
        train_test_size BETWEEN 0.01 AND 0.99 AND train_test_size = round(train_test_size, 2)
    ),
    CONSTRAINT ml_jobs_random_state_not_negative CHECK (train_random_state >= 0),
    CONSTRAINT ml_jobs_future_minutes_within_a_year CHECK (train_future_minutes BETWEEN 1 AND 525600),
    CONSTRAINT ml_jobs_model_name_not_blank CHECK (train_model_name ~ '\S' AND length(train_model_name) <= 255),
    CONSTRAINT ml_jobs_compares_two_models CHECK (compare_model_a_id <> compare_model_b_id),

    -- What a state implies.
    CONSTRAINT ml_jobs_status_known CHECK (status IN ('PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED')),
    CONSTRAINT ml_jobs_progress_between_0_and_1 CHECK (progress BETWEEN 0 AND 1),
    CONSTRAINT ml_jobs_attempt_not_negative CHECK (attempt >= 0),
    CONSTRAINT ml_jobs_running_has_worker CHECK (status <> 'RUNNING' OR num_nulls(worker_id, started_at) = 0),
    CONSTRAINT ml_jobs_running_has_lease CHECK ((status = 'RUNNING') = (lease_until IS NOT NULL)),
    CONSTRAINT ml_jobs_ended_has_time CHECK ((status IN ('COMPLETED', 'FAILED', 'CANCELLED')) = (completed_at IS NOT NULL)),
    CONSTRAINT ml_jobs_failed_has_reason CHECK ((status = 'FAILED') = (error_msg IS NOT NULL)),
    CONSTRAINT ml_jobs_completed_has_result CHECK (
        (status = 'COMPLETED' AND job_type = 'TRAIN') = (result_model_id IS NOT NULL)
        AND (status = 'COMPLETED' AND job_type = 'TEST') = (result_test_id IS NOT NULL)
        AND (status = 'COMPLETED' AND job_type = 'COMPARE') = (result_comparison_id IS NOT NULL)
    )
);

CREATE INDEX IF NOT EXISTS idx_jobs_status ON public.ml_jobs (status, priority, created_at);

-- The claim reads the head of this one: jobs inserted together share created_at, so id must be part of the order.
CREATE INDEX IF NOT EXISTS ml_jobs_queue ON public.ml_jobs (priority, created_at, id) WHERE status = 'PENDING';

CREATE UNIQUE INDEX IF NOT EXISTS ml_jobs_model_name_taken
ON public.ml_jobs (train_model_name)
WHERE completed_at IS NULL;

-- The jobs of a model; ml.prune would read the whole table for each model and result without them.
CREATE INDEX IF NOT EXISTS ml_jobs_result_model ON public.ml_jobs (result_model_id) WHERE result_model_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS ml_jobs_result_test ON public.ml_jobs (result_test_id) WHERE result_test_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS ml_jobs_result_comparison ON public.ml_jobs (result_comparison_id) WHERE result_comparison_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS ml_jobs_test_model ON public.ml_jobs (test_model_id) WHERE test_model_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS ml_jobs_compare_model_a ON public.ml_jobs (compare_model_a_id) WHERE compare_model_a_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS ml_jobs_compare_model_b ON public.ml_jobs (compare_model_b_id) WHERE compare_model_b_id IS NOT NULL;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_constraint c WHERE c.conname = 'ml_models_train_job_id_fkey') THEN
        ALTER TABLE public.ml_models
        ADD CONSTRAINT ml_models_train_job_id_fkey FOREIGN KEY (train_job_id) REFERENCES public.ml_jobs (id);
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION ml.refuse_new_request()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'the request of job % cannot be changed', OLD.id
        USING ERRCODE = 'ML002', TABLE = 'ml_jobs',
        HINT = format('Cancel it (CALL ml.cancel_job(%s)) and insert another job; only status and priority can be updated.', OLD.id);
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_request_is_final
BEFORE UPDATE OF
    id, job_type, created_at, max_attempts,
    train_target_var, train_operator, train_value, train_start, train_end,
    train_features_csv, train_phases_csv, train_params_csv, train_model_type,
    train_model_name, train_description, train_test_size, train_random_state, train_future_minutes,
    test_model_id, test_start, test_end,
    compare_model_a_id, compare_model_b_id, compare_start, compare_end
ON public.ml_jobs
FOR EACH ROW EXECUTE FUNCTION ml.refuse_new_request();

CREATE OR REPLACE FUNCTION ml.keep_priority_rules()
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

CREATE OR REPLACE TRIGGER ml_jobs_keep_priority_rules
BEFORE UPDATE OF priority ON public.ml_jobs
FOR EACH ROW EXECUTE FUNCTION ml.keep_priority_rules();

-- A state follows its event, for everyone: the last event of the job must imply the new state.
-- CANCELLED alone is set by hand, and its event follows.
CREATE OR REPLACE FUNCTION ml.keep_status_rules()
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

CREATE OR REPLACE TRIGGER ml_jobs_keep_status_rules
BEFORE UPDATE OF status ON public.ml_jobs
FOR EACH ROW EXECUTE FUNCTION ml.keep_status_rules();

-- Workers listen on ml_jobs (look at the queue), clients on ml_job_status ("17 COMPLETED").
CREATE OR REPLACE FUNCTION ml.tell_status()
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
        PERFORM pg_catalog.pg_notify('ml_jobs', '');
    END IF;
    PERFORM pg_catalog.pg_notify('ml_job_status', NEW.id || ' ' || NEW.status);
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_tell_status
AFTER UPDATE OF status ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.status <> OLD.status)
EXECUTE FUNCTION ml.tell_status();

CREATE OR REPLACE FUNCTION ml.tell_workers()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_catalog.pg_notify('ml_jobs', '');
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_tell_workers
AFTER INSERT ON public.ml_jobs
FOR EACH STATEMENT EXECUTE FUNCTION ml.tell_workers();

CREATE OR REPLACE PROCEDURE ml.cancel_job(
    p_job_id bigint
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE public.ml_jobs SET status = 'CANCELLED' WHERE id = p_job_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'job % does not exist', coalesce(p_job_id::text, 'NULL')
            USING ERRCODE = 'no_data_found', TABLE = 'ml_jobs', HINT = 'SELECT id, status FROM ml_queue; lists the jobs that can be cancelled.';
    END IF;
END
$$;

COMMENT ON FUNCTION ml.refuse_new_request() IS 'Trigger: what a job asks for is final once it is accepted.';
COMMENT ON FUNCTION ml.keep_priority_rules() IS 'Trigger: the priority is 1 to 10 and changes only while the job waits.';
COMMENT ON FUNCTION ml.keep_status_rules() IS 'Trigger: refuses any change of state that no event implies, except a cancel.';
COMMENT ON FUNCTION ml.tell_status() IS 'Trigger: records a cancel as an event and notifies clients and workers of a new state.';
COMMENT ON FUNCTION ml.tell_workers() IS 'Trigger: one notification a statement that inserted jobs.';
COMMENT ON PROCEDURE ml.cancel_job(bigint) IS 'Cancels a PENDING or RUNNING job; the same as setting its status to CANCELLED.';
COMMENT ON TABLE public.ml_jobs IS 'The queue: insert a row to train, test or compare; its state and result appear in the same row.';
COMMENT ON COLUMN public.ml_jobs.id IS 'Number of the job.';
COMMENT ON COLUMN public.ml_jobs.job_type IS 'TRAIN, TEST or COMPARE.';
COMMENT ON COLUMN public.ml_jobs.status IS 'PENDING, RUNNING, COMPLETED, FAILED or CANCELLED. By hand only CANCELLED can be set.';
COMMENT ON COLUMN public.ml_jobs.priority IS '1 (highest) to 10 (lowest), default 5; can be changed while PENDING.';
COMMENT ON COLUMN public.ml_jobs.created_at IS 'When the job was inserted.';
COMMENT ON COLUMN public.ml_jobs.started_at IS 'When its latest attempt started.';
COMMENT ON COLUMN public.ml_jobs.completed_at IS 'When it ended, in whichever way.';
COMMENT ON COLUMN public.ml_jobs.progress IS '0.00 to 1.00.';
COMMENT ON COLUMN public.ml_jobs.progress_msg IS 'What is being done, for example "Training: 60/100 trees".';
COMMENT ON COLUMN public.ml_jobs.error_msg IS 'Why the job FAILED.';
COMMENT ON COLUMN public.ml_jobs.worker_id IS 'Worker of the latest attempt: host, process and a random part.';
COMMENT ON COLUMN public.ml_jobs.attempt IS 'Number of the latest attempt; rises with every claim.';
COMMENT ON COLUMN public.ml_jobs.max_attempts IS 'Attempts that may be lost to crashes before the job FAILS; default 3.';
COMMENT ON COLUMN public.ml_jobs.lease_until IS 'While RUNNING: when other workers may take the job over unless its worker gives a sign of life.';
COMMENT ON COLUMN public.ml_jobs.train_target_var IS 'TRAIN: column of coin_metrics that the label is read from.';
COMMENT ON COLUMN public.ml_jobs.train_operator IS 'TRAIN: >, <, >=, <=, = or !=.';
COMMENT ON COLUMN public.ml_jobs.train_value IS 'TRAIN: threshold of the label.';
COMMENT ON COLUMN public.ml_jobs.train_start IS 'TRAIN: first moment of the period.';
COMMENT ON COLUMN public.ml_jobs.train_end IS 'TRAIN: first moment after the period.';
COMMENT ON COLUMN public.ml_jobs.train_features_csv IS 'TRAIN: columns of coin_metrics to learn from: a,b,c. ml_metric_columns lists them.';
COMMENT ON COLUMN public.ml_jobs.train_phases_csv IS 'TRAIN: phases to learn from: 1,2,3; NULL: all. ref_coin_phases lists them.';
COMMENT ON COLUMN public.ml_jobs.train_params_csv IS 'TRAIN: hyperparameters beside the defaults: key=value;key=value. ref_model_params lists them.';
COMMENT ON COLUMN public.ml_jobs.train_model_type IS 'TRAIN: kind of model, see ref_model_types.';
COMMENT ON COLUMN public.ml_jobs.train_model_name IS 'TRAIN: name of the model; default: model type and job id.';
COMMENT ON COLUMN public.ml_jobs.train_description IS 'TRAIN: free text for the model.';
COMMENT ON COLUMN public.ml_jobs.train_test_size IS 'TRAIN: share of the rows to hold out for measuring; default 0.2.';
COMMENT ON COLUMN public.ml_jobs.train_random_state IS 'TRAIN: seed of everything random; default 42.';
COMMENT ON COLUMN public.ml_jobs.train_future_minutes IS 'TRAIN: horizon of the label in minutes; NULL: the label is read in the same row.';
COMMENT ON COLUMN public.ml_jobs.result_model_id IS 'TRAIN: the model, once COMPLETED.';
COMMENT ON COLUMN public.ml_jobs.test_model_id IS 'TEST: model to test.';
COMMENT ON COLUMN public.ml_jobs.test_start IS 'TEST: first moment of the period.';
COMMENT ON COLUMN public.ml_jobs.test_end IS 'TEST: first moment after the period.';
COMMENT ON COLUMN public.ml_jobs.result_test_id IS 'TEST: row of ml_test_results, once COMPLETED.';
COMMENT ON COLUMN public.ml_jobs.compare_model_a_id IS 'COMPARE: first model.';
COMMENT ON COLUMN public.ml_jobs.compare_model_b_id IS 'COMPARE: second model.';
COMMENT ON COLUMN public.ml_jobs.compare_start IS 'COMPARE: first moment of the period.';
COMMENT ON COLUMN public.ml_jobs.compare_end IS 'COMPARE: first moment after the period.';
COMMENT ON COLUMN public.ml_jobs.result_comparison_id IS 'COMPARE: row of ml_comparisons, once COMPLETED.';
COMMENT ON COLUMN public.ml_jobs.created_by IS 'Role that inserted the job; its members see it while teams are separated (ml.separate_teams).';
