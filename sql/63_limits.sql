-- What one client may ask of the service, so that it harms nobody but itself: how long a job may run, and the limits that
-- the owner sets in ml_client_limits, which is empty as installed.

SET search_path TO pg_catalog, pg_temp;

ALTER TABLE public.ml_jobs
ADD COLUMN IF NOT EXISTS max_minutes numeric
CONSTRAINT ml_jobs_max_minutes_within_a_year CHECK (max_minutes > 0 AND max_minutes <= 525600);

CREATE TABLE IF NOT EXISTS public.ml_client_limits (
    client name NOT NULL,
    max_pending integer,
    best_priority integer,
    default_minutes numeric,
    max_minutes numeric,
    CONSTRAINT ml_client_limits_pkey PRIMARY KEY (client),
    CONSTRAINT ml_client_limits_max_pending_not_negative CHECK (max_pending >= 0),
    CONSTRAINT ml_client_limits_best_priority_between_1_and_10 CHECK (best_priority BETWEEN 1 AND 10),
    CONSTRAINT ml_client_limits_default_minutes_within_a_year CHECK (default_minutes > 0 AND default_minutes <= 525600),
    CONSTRAINT ml_client_limits_max_minutes_within_a_year CHECK (max_minutes > 0 AND max_minutes <= 525600),
    CONSTRAINT ml_client_limits_default_within_max CHECK (default_minutes <= max_minutes)
);

-- Transactions of a client whose jobs are counted wait for each other here, and for no other client. The row changes, so
-- that one of them whose snapshot is older than that fails instead of counting what was.
CREATE TABLE IF NOT EXISTS ml_internal.client_inserts (
    client name NOT NULL,
    inserts bigint NOT NULL,
    CONSTRAINT client_inserts_pkey PRIMARY KEY (client)
);

CREATE OR REPLACE FUNCTION ml_internal.require_client()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.client <> 'public' AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = NEW.client) THEN
        RAISE EXCEPTION 'role % does not exist', quote_ident(NEW.client)
            USING ERRCODE = 'undefined_object', TABLE = 'ml_client_limits', COLUMN = 'client',
            HINT = 'Name the role that inserts the jobs, or public for all that have no row of their own.';
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER ml_client_limits_10_client
BEFORE INSERT OR UPDATE ON public.ml_client_limits
FOR EACH ROW EXECUTE FUNCTION ml_internal.require_client();

-- A client's own row, else that of all others; a row of NULLs if there is neither.
CREATE OR REPLACE FUNCTION ml_internal.limits_of(
    p_client name
)
RETURNS public.ml_client_limits
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_limits public.ml_client_limits;
BEGIN
    SELECT l.* INTO v_limits
    FROM public.ml_client_limits l
    WHERE l.client IN (p_client, 'public')
    ORDER BY l.client = p_client DESC
    LIMIT 1;
    RETURN v_limits;
END
$$;

-- ── At the INSERT ───────────────────────────────────────────────────────────────────────────────────

CREATE OR REPLACE FUNCTION ml_internal.fill_limits()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_limits public.ml_client_limits;
BEGIN
    v_limits := ml_internal.limits_of(NEW.created_by);
    NEW.priority := coalesce(NEW.priority, greatest(5, v_limits.best_priority));
    NEW.max_minutes := coalesce(NEW.max_minutes, v_limits.default_minutes, v_limits.max_minutes);
    RETURN NEW;
END
$$;

-- A table that has never had a row has no size. To look into it for each job takes longer than most rules.
CREATE OR REPLACE TRIGGER ml_jobs_11_limits
BEFORE INSERT ON public.ml_jobs
FOR EACH ROW
WHEN (num_nulls(NEW.priority, NEW.max_minutes) > 0 AND pg_relation_size('public.ml_client_limits', 'main') > 0)
EXECUTE FUNCTION ml_internal.fill_limits();

CREATE OR REPLACE FUNCTION ml_internal.refuse_max_minutes()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'max_minutes % is not above 0 and at most 525600', NEW.max_minutes
        USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'max_minutes',
        HINT = 'Give the minutes after which the job is to fail, or leave it out.';
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_21_max_minutes
BEFORE INSERT ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.max_minutes <= 0 OR NEW.max_minutes > 525600)
EXECUTE FUNCTION ml_internal.refuse_max_minutes();

CREATE OR REPLACE TRIGGER ml_jobs_10_max_minutes_is_final
BEFORE UPDATE OF max_minutes ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.max_minutes IS DISTINCT FROM OLD.max_minutes)
EXECUTE FUNCTION ml_internal.refuse_new_request('max_minutes');

-- Once per statement, however many jobs it inserts.
CREATE OR REPLACE FUNCTION ml_internal.check_limits()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
SET enable_seqscan TO off
SET enable_bitmapscan TO off
SET jit TO off
AS $$
DECLARE
    v_new record;
    v_limits public.ml_client_limits;
    v_pending bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM public.ml_client_limits) THEN
        RETURN NULL;
    END IF;
    FOR v_new IN
        SELECT n.created_by AS client, min(n.priority) AS priority, max(n.max_minutes) AS max_minutes
        FROM new_jobs n
        GROUP BY n.created_by
        ORDER BY n.created_by
    LOOP
        v_limits := ml_internal.limits_of(v_new.client);
        CALL ml_internal.require_priority(v_new.client, v_new.priority, v_limits.best_priority);
        IF v_new.max_minutes > v_limits.max_minutes THEN
            RAISE EXCEPTION 'max_minutes % is more than the % that % may give',
                trim_scale(v_new.max_minutes), trim_scale(v_limits.max_minutes), quote_ident(v_new.client)
                USING ERRCODE = 'configuration_limit_exceeded', TABLE = 'ml_jobs', COLUMN = 'max_minutes',
                HINT = 'Give less, or leave it out; the owner of the service sets the limit in ml_client_limits.';
        END IF;
        CONTINUE WHEN v_limits.max_pending IS NULL;

        INSERT INTO ml_internal.client_inserts AS i (client, inserts)
        VALUES (v_new.client, 1)
        ON CONFLICT ON CONSTRAINT client_inserts_pkey DO UPDATE SET inserts = i.inserts + 1;
        SELECT count(*) INTO v_pending
        FROM ml.job_kinds k
        CROSS JOIN generate_series(1, 10) p (priority)
        CROSS JOIN LATERAL (
            SELECT
            FROM public.ml_jobs j
            WHERE (j.status = 'PENDING') IS TRUE AND j.job_type = k.job_type AND j.priority = p.priority
                AND j.created_by = v_new.client
            OFFSET 0
        ) j;
        IF v_pending > v_limits.max_pending THEN
            RAISE EXCEPTION '% may have % jobs PENDING and would have %', quote_ident(v_new.client), v_limits.max_pending, v_pending
                USING ERRCODE = 'configuration_limit_exceeded', TABLE = 'ml_jobs',
                HINT = 'Insert it again when others have run, or cancel some of them; the owner of the service sets the limit in ml_client_limits.';
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_65_limits
AFTER INSERT ON public.ml_jobs
REFERENCING NEW TABLE AS new_jobs
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.check_limits();

-- ── The best priority ───────────────────────────────────────────────────────────────────────────────

CREATE OR REPLACE PROCEDURE ml_internal.require_priority(
    p_client name,
    p_priority integer,
    p_best integer
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF p_priority < p_best THEN
        RAISE EXCEPTION 'priority % is better than the best that % may use, %', p_priority, quote_ident(p_client), p_best
            USING ERRCODE = 'configuration_limit_exceeded', TABLE = 'ml_jobs', COLUMN = 'priority',
            HINT = format('Give a priority from %s to 10; the owner of the service sets the limit in ml_client_limits.', p_best);
    END IF;
END
$$;

-- Of whoever changes it, and of the client that has the job: none may raise the job of another beyond what is its.
-- The owner of the service may. Not SECURITY DEFINER: current_user is who changes it.
CREATE OR REPLACE FUNCTION ml_internal.limit_priority()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT (SELECT pg_has_role(current_user, c.relowner, 'USAGE') FROM pg_class c WHERE c.oid = TG_RELID) THEN
        CALL ml_internal.require_priority(current_user::name, NEW.priority, (ml_internal.limits_of(current_user::name)).best_priority);
        CALL ml_internal.require_priority(NEW.created_by, NEW.priority, (ml_internal.limits_of(NEW.created_by)).best_priority);
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_35_priority_limit
BEFORE UPDATE OF priority ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.priority < OLD.priority)
EXECUTE FUNCTION ml_internal.limit_priority();

-- ── The time of a job ───────────────────────────────────────────────────────────────────────────────

-- By the clock of the database, from the claim: an attempt that was lost or given back for a fault of its worker costs
-- the next one nothing. Workers ask for this with expire_leases, each for the jobs of all.
CREATE OR REPLACE FUNCTION ml_internal.end_overtime()
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_job public.ml_jobs;
    v_ended bigint := 0;
BEGIN
    FOR v_job IN
        SELECT *
        FROM public.ml_jobs j
        WHERE j.status = 'RUNNING' AND j.started_at + make_interval(secs => (60 * j.max_minutes)::double precision) <= clock_timestamp()
        ORDER BY j.id
        FOR NO KEY UPDATE SKIP LOCKED
    LOOP
        BEGIN
            INSERT INTO public.ml_job_events (job_id, attempt, event, message)
            VALUES (v_job.id, v_job.attempt, 'FAILED', format(
                'it ran for longer than its max_minutes of %s; give it more, or a shorter period, fewer features or a smaller model',
                trim_scale(v_job.max_minutes)
            ));
            v_ended := v_ended + 1;
        EXCEPTION
            -- A client has locked its model: this one later, the others now.
            WHEN lock_not_available THEN NULL;
        END;
    END LOOP;
    IF v_ended > 0 THEN
        PERFORM ml_internal.tell('ml_jobs', ''); -- so that its worker looks, and ends its child
    END IF;
    RETURN v_ended;
END
$$;

COMMENT ON TABLE public.ml_client_limits IS 'Owner: limits of clients, none as installed. A client is the role that inserts; public stands for all that have no row of their own.';
COMMENT ON COLUMN public.ml_client_limits.client IS 'Role that inserts jobs (ml_jobs.created_by), or public.';
COMMENT ON COLUMN public.ml_client_limits.max_pending IS 'Jobs that it may have PENDING; NULL: any number.';
COMMENT ON COLUMN public.ml_client_limits.best_priority IS 'Best priority that it may use: 3 leaves it 3 to 10; NULL: all.';
COMMENT ON COLUMN public.ml_client_limits.default_minutes IS 'max_minutes of its jobs that give none; NULL: those of max_minutes here, if any.';
COMMENT ON COLUMN public.ml_client_limits.max_minutes IS 'Most that its jobs may give as max_minutes; NULL: a year.';
COMMENT ON TABLE ml_internal.client_inserts IS 'A row for each client with a limit on PENDING jobs, for its INSERTs to wait for each other.';
COMMENT ON COLUMN ml_internal.client_inserts.client IS 'Role that inserts jobs.';
COMMENT ON COLUMN ml_internal.client_inserts.inserts IS 'INSERTs whose jobs were counted.';
COMMENT ON COLUMN public.ml_jobs.max_minutes IS 'Minutes after which an attempt that still runs ends the job as FAILED; NULL: none. Default: see ml_client_limits.';
COMMENT ON FUNCTION ml_internal.require_client() IS 'Trigger: limits are those of a role, or of public.';
COMMENT ON FUNCTION ml_internal.limits_of(name) IS 'Limits of a client: its own row of ml_client_limits, else that of public, else NULLs.';
COMMENT ON FUNCTION ml_internal.fill_limits() IS 'Trigger: max_minutes and priority of a job that gives none, as its client may have them.';
COMMENT ON FUNCTION ml_internal.refuse_max_minutes() IS 'Trigger: max_minutes that no job may have.';
COMMENT ON FUNCTION ml_internal.check_limits() IS 'Trigger: refuses jobs beyond the limits of their client.';
COMMENT ON PROCEDURE ml_internal.require_priority(name, integer, integer) IS 'Refuses a priority that is better than the best one of a client.';
COMMENT ON FUNCTION ml_internal.limit_priority() IS 'Trigger: a priority is raised to what the client may use, whoever raises it; the owner may more.';
COMMENT ON FUNCTION ml_internal.end_overtime() IS 'Worker: ends every RUNNING job that is past its max_minutes as FAILED; returns how many. expire_leases does it, too.';
