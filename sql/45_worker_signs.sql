-- Heartbeats: a worker that goes on polling the queue says so, until when it counts as alive, and what keeps it from
-- claiming jobs if anything does.
-- Leases do not depend on them; they are for people and health checks (view ml_workers).

SET search_path TO pg_catalog, pg_temp;

CREATE TABLE IF NOT EXISTS public.ml_worker_signs (
    id bigint GENERATED ALWAYS AS IDENTITY,
    worker_id varchar(255) NOT NULL,
    concurrency integer NOT NULL,
    started_at timestamptz NOT NULL,
    alive_until timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by name NOT NULL DEFAULT session_user,
    reason text,
    kinds text [],
    CONSTRAINT ml_worker_signs_pkey PRIMARY KEY (id),
    CONSTRAINT ml_worker_signs_worker_id_not_blank CHECK (worker_id ~ E'\\S'),
    CONSTRAINT ml_worker_signs_concurrency_positive CHECK (concurrency > 0),
    CONSTRAINT ml_worker_signs_alive_for_a_day_at_most CHECK (alive_until BETWEEN created_at - interval '1 second' AND created_at + interval '1 day')
);

CREATE INDEX IF NOT EXISTS ml_worker_signs_worker ON public.ml_worker_signs (worker_id, id);
CREATE INDEX IF NOT EXISTS ml_worker_signs_alive ON public.ml_worker_signs (alive_until);

CREATE OR REPLACE TRIGGER ml_worker_signs_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON public.ml_worker_signs
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.refuse_change_of_fact();

CREATE OR REPLACE FUNCTION ml_internal.record_sign(
    p_worker_id text,
    p_concurrency integer,
    p_alive_for interval,
    p_reason text DEFAULT NULL,
    p_kinds text [] DEFAULT NULL
)
RETURNS timestamptz
LANGUAGE sql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
    INSERT INTO public.ml_worker_signs (worker_id, concurrency, started_at, alive_until, reason, kinds)
    SELECT
        p_worker_id,
        p_concurrency,
        coalesce(
            (SELECT s.started_at FROM public.ml_worker_signs s WHERE s.worker_id = p_worker_id ORDER BY s.id DESC LIMIT 1),
            clock_timestamp()
        ),
        clock_timestamp() + p_alive_for,
        p_reason,
        p_kinds
    RETURNING alive_until;
$$;

COMMENT ON FUNCTION ml_internal.record_sign(text, integer, interval, text, text []) IS 'Worker: it has polled the queue and will again within this time; 0 when it stops; why it claims no jobs, or not all; and the kinds of job that it does. Returns until when it counts as alive.';
COMMENT ON TABLE public.ml_worker_signs IS 'Heartbeats of the workers, append-only; ml_workers shows the latest.';
COMMENT ON COLUMN public.ml_worker_signs.id IS 'Number of the heartbeat.';
COMMENT ON COLUMN public.ml_worker_signs.worker_id IS 'Worker that sent it: host, process and a random part.';
COMMENT ON COLUMN public.ml_worker_signs.concurrency IS 'Jobs that it runs at the same time.';
COMMENT ON COLUMN public.ml_worker_signs.started_at IS 'When it sent its first heartbeat.';
COMMENT ON COLUMN public.ml_worker_signs.alive_until IS 'When it counts as dead without another heartbeat.';
COMMENT ON COLUMN public.ml_worker_signs.created_at IS 'When it was sent.';
COMMENT ON COLUMN public.ml_worker_signs.created_by IS 'Login of the worker.';
COMMENT ON COLUMN public.ml_worker_signs.reason IS 'Why it claims no jobs, or not all of them; NULL: nothing keeps it.';
COMMENT ON COLUMN public.ml_worker_signs.kinds IS 'Kinds of job that it does; NULL: those of version 6.';
