-- What every job must say to be accepted, whatever its kind; the kind's own rules stand in its file. The constraints of
-- ml_jobs keep the simple rules for good; the triggers come before them, so that a user reads which value is wrong and
-- what to do.

SET search_path TO pg_catalog, pg_temp;

-- Runs first, and as the role that inserts: the job is its.
CREATE OR REPLACE FUNCTION ml_internal.sign_job()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET quote_all_identifiers TO off
AS $$
BEGIN
    NEW.created_by := coalesce(nullif(NEW.created_by, ''), current_user);
    IF NEW.created_by <> current_user THEN
        RAISE EXCEPTION 'a job of % cannot be inserted as %', NEW.created_by, current_user
            USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'created_by',
            HINT = format('Leave created_by out, or first become that role: SET ROLE %I;', NEW.created_by);
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_10_sign
BEFORE INSERT ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.created_by IS DISTINCT FROM current_user)
EXECUTE FUNCTION ml_internal.sign_job();

-- Clients that send every column send NULL for those they leave out, or an empty text (Django).
CREATE OR REPLACE FUNCTION ml_internal.fill_job()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    NEW.status := coalesce(nullif(NEW.status, ''), 'PENDING');
    NEW.priority := coalesce(NEW.priority, 5);
    NEW.created_at := coalesce(NEW.created_at, now());
    NEW.progress := coalesce(NEW.progress, 0);
    NEW.attempt := coalesce(NEW.attempt, 0);
    NEW.max_attempts := coalesce(NEW.max_attempts, 3);
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_12_fill
BEFORE INSERT ON public.ml_jobs
FOR EACH ROW
WHEN (num_nulls(nullif(NEW.status, ''), NEW.priority, NEW.created_at, NEW.progress, NEW.attempt, NEW.max_attempts) > 0)
EXECUTE FUNCTION ml_internal.fill_job();

CREATE OR REPLACE FUNCTION ml_internal.refuse_job()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.status <> 'PENDING' THEN
        RAISE EXCEPTION 'a new job cannot have the status %', quote_literal(NEW.status)
            USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'status',
            HINT = 'Leave status out, or use PENDING: the worker sets the others.';
    ELSIF NEW.priority NOT BETWEEN 1 AND 10 THEN
        RAISE EXCEPTION 'priority % is not between 1 and 10', NEW.priority
            USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'priority',
            HINT = '1 is the highest priority, 10 the lowest, 5 the default.';
    END IF;
    RAISE EXCEPTION 'max_attempts % is not between 1 and 100', NEW.max_attempts
        USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'max_attempts',
        HINT = 'Leave it out for the default of 3.';
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_21_refuse
BEFORE INSERT ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.status <> 'PENDING' OR NEW.priority NOT BETWEEN 1 AND 10 OR NEW.max_attempts NOT BETWEEN 1 AND 100)
EXECUTE FUNCTION ml_internal.refuse_job();

COMMENT ON FUNCTION ml_internal.sign_job() IS 'Trigger: created_by is the role that inserts, which sees the models that it names.';
COMMENT ON FUNCTION ml_internal.fill_job() IS 'Trigger: defaults of what every job has, where a client sends NULL.';
COMMENT ON FUNCTION ml_internal.refuse_job() IS 'Trigger: a status, priority or max_attempts that no new job may have.';
