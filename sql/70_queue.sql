-- Views for the eye: the queue, and the workers.

SET search_path TO pg_catalog, pg_temp;

CREATE OR REPLACE VIEW public.ml_workers WITH (security_invoker = true) AS
SELECT
    s.worker_id,
    split_part(s.worker_id, ':', 1) AS host,
    CASE WHEN s.reason IS NOT NULL THEN 'PAUSED' WHEN r.running = 0 THEN 'IDLE' ELSE 'BUSY' END AS state,
    s.concurrency,
    r.running,
    r.job_ids,
    s.started_at,
    s.created_at AS last_sign_at,
    s.alive_until,
    s.created_by AS login,
    s.reason,
    coalesce(array_to_string(s.kinds, ', '), 'COMPARE, TEST, TRAIN') AS kinds
FROM public.ml_worker_signs s
CROSS JOIN LATERAL (
    SELECT count(*) AS running, string_agg(j.id::text, ',' ORDER BY j.id) AS job_ids
    FROM public.ml_jobs j
    WHERE j.status = 'RUNNING' AND j.worker_id = s.worker_id
) r
-- Not clock_timestamp(): it would keep the index from being used.
WHERE s.alive_until > statement_timestamp()
    AND NOT EXISTS (SELECT FROM public.ml_worker_signs n WHERE n.worker_id = s.worker_id AND n.id > s.id)
ORDER BY s.started_at, s.worker_id;

-- For those who wait.
CREATE OR REPLACE FUNCTION ml_internal.has_worker()
RETURNS boolean
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM public.ml_workers);
$$;

-- NULL where any worker works that does jobs of this kind: one that was not restarted after an upgrade may not.
CREATE OR REPLACE FUNCTION ml_internal.pause_text(
    p_job_type text
)
RETURNS text
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN count(*) = 0 THEN format('no worker that is running does %s jobs; start one of this version: ml-worker run', p_job_type)
        WHEN bool_and(w.state = 'PAUSED') THEN format('worker %s has paused: %s', min(w.worker_id), min(w.reason))
    END
    FROM public.ml_workers w
    WHERE p_job_type = ANY (string_to_array(w.kinds, ', '));
$$;

CREATE OR REPLACE VIEW public.ml_queue WITH (security_invoker = true) AS
SELECT
    CASE WHEN j.status = 'PENDING' THEN row_number() OVER (PARTITION BY j.status ORDER BY j.priority, j.round, j.created_by <= t.client, j.created_by) END AS position,
    j.id,
    j.job_type,
    j.model,
    j.status,
    j.priority,
    date_trunc('second', CASE WHEN j.status = 'RUNNING' THEN j.started_at ELSE now() END - j.created_at) AS waiting,
    CASE WHEN j.status = 'RUNNING' THEN date_trunc('second', now() - j.started_at) END AS running,
    j.progress,
    rpad(repeat('#', (j.progress * 20)::integer), 20, '.') AS bar,
    CASE
        WHEN j.status <> 'PENDING' THEN j.progress_msg
        WHEN NOT (SELECT ml_internal.has_worker()) THEN 'no worker is running; start one: ml-worker run'
        ELSE coalesce(h.said, j.progress_msg)
    END AS progress_msg,
    j.attempt,
    j.worker_id,
    j.created_at,
    j.source
FROM (
    SELECT x.*, row_number() OVER (PARTITION BY x.status, x.priority, x.created_by ORDER BY x.created_at, x.id) AS round
    FROM ml.jobs x
    WHERE x.status IN ('PENDING', 'RUNNING')
) j
LEFT JOIN (SELECT p.priority, ml_internal.last_turn(p.priority) AS client FROM generate_series(1, 10) p (priority)) t ON t.priority = j.priority
LEFT JOIN (SELECT k.job_type, ml_internal.pause_text(k.job_type) AS said FROM ml.job_kinds k OFFSET 0) h ON h.job_type = j.job_type
ORDER BY j.status = 'RUNNING' DESC, j.priority, position, j.created_at, j.id;

-- The head of that queue, by index: ml_queue reads all that waits.
CREATE OR REPLACE FUNCTION ml_internal.next_jobs(
    p_limit integer,
    OUT place bigint,
    OUT id bigint
)
RETURNS SETOF record
LANGUAGE plpgsql
STABLE
ROWS 100
SET search_path TO pg_catalog, pg_temp
SET enable_seqscan TO off
SET enable_bitmapscan TO off
SET jit TO off
AS $$
BEGIN
    RETURN QUERY
    WITH RECURSIVE clients AS (
        SELECT k.job_type, h.priority, h.created_by
        FROM ml.job_kinds k
        CROSS JOIN LATERAL (
            SELECT j.priority, j.created_by
            FROM public.ml_jobs j
            WHERE (j.status = 'PENDING') IS TRUE AND j.job_type = k.job_type
            ORDER BY j.priority, j.created_by
            LIMIT 1
        ) h
        UNION ALL
        SELECT c.job_type, h.priority, h.created_by
        FROM clients c
        CROSS JOIN LATERAL (
            SELECT j.priority, j.created_by
            FROM public.ml_jobs j
            WHERE (j.status = 'PENDING') IS TRUE AND j.job_type = c.job_type AND (j.priority, j.created_by) > (c.priority, c.created_by)
            ORDER BY j.priority, j.created_by
            LIMIT 1
        ) h
    ),
    firsts AS (
        SELECT c.priority, c.created_by, f.id, row_number() OVER (PARTITION BY c.priority, c.created_by ORDER BY f.created_at, f.id) AS round
        FROM clients c
        CROSS JOIN LATERAL (
            SELECT j.created_at, j.id
            FROM public.ml_jobs j
            WHERE (j.status = 'PENDING') IS TRUE AND j.job_type = c.job_type AND j.priority = c.priority AND j.created_by = c.created_by
            ORDER BY j.created_at, j.id
            LIMIT p_limit
        ) f
    )
    SELECT row_number() OVER (ORDER BY f.priority, f.round, f.created_by <= t.client, f.created_by), f.id
    FROM firsts f
    JOIN (SELECT p.priority, ml_internal.last_turn(p.priority) AS client FROM generate_series(1, 10) p (priority)) t ON t.priority = f.priority
    ORDER BY 1
    LIMIT p_limit;
END
$$;

COMMENT ON FUNCTION ml_internal.has_worker() IS 'Whether any worker is alive.';
COMMENT ON FUNCTION ml_internal.pause_text(text) IS 'Why no worker that is alive takes jobs of this kind: none does such, or all have paused.';
COMMENT ON COLUMN public.ml_workers.kinds IS 'Kinds of job that it does.';
COMMENT ON FUNCTION ml_internal.next_jobs(integer) IS 'The first so many jobs of ml_queue that wait, and their places.';
COMMENT ON VIEW public.ml_queue IS 'Jobs that wait or run, in the order in which they will be taken: by priority, in it the clients in turn, of a client by age.';
COMMENT ON COLUMN public.ml_queue.position IS 'Place among the waiting jobs, from 1; NULL: running.';
COMMENT ON COLUMN public.ml_queue.id IS 'Number of the job.';
COMMENT ON COLUMN public.ml_queue.job_type IS 'Kind of job, see ml.job_kinds.';
COMMENT ON COLUMN public.ml_queue.model IS 'Name of the model, or of both.';
COMMENT ON COLUMN public.ml_queue.status IS 'PENDING or RUNNING.';
COMMENT ON COLUMN public.ml_queue.priority IS '1 (highest) to 10 (lowest).';
COMMENT ON COLUMN public.ml_queue.waiting IS 'Time from the INSERT to the start of the latest attempt, or until now.';
COMMENT ON COLUMN public.ml_queue.running IS 'Time since its latest attempt started.';
COMMENT ON COLUMN public.ml_queue.progress IS '0.00 to 1.00.';
COMMENT ON COLUMN public.ml_queue.bar IS 'The progress as a bar of 20 characters.';
COMMENT ON COLUMN public.ml_queue.progress_msg IS 'What is being done, or why the job waits.';
COMMENT ON COLUMN public.ml_queue.attempt IS 'Number of the latest attempt.';
COMMENT ON COLUMN public.ml_queue.worker_id IS 'Worker of the latest attempt.';
COMMENT ON COLUMN public.ml_queue.created_at IS 'When the job was inserted.';
COMMENT ON COLUMN public.ml_queue.source IS 'Source of its rows, see ml_sources.';
COMMENT ON VIEW public.ml_workers IS 'Workers that are alive, and what they do.';
COMMENT ON COLUMN public.ml_workers.worker_id IS 'Worker: host, process and a random part.';
COMMENT ON COLUMN public.ml_workers.host IS 'Host that it runs on.';
COMMENT ON COLUMN public.ml_workers.state IS 'IDLE or BUSY, as far as you may see its jobs; PAUSED: it claims no jobs, or not all, see reason.';
COMMENT ON COLUMN public.ml_workers.concurrency IS 'Jobs that it runs at the same time.';
COMMENT ON COLUMN public.ml_workers.running IS 'Jobs that it runs now.';
COMMENT ON COLUMN public.ml_workers.job_ids IS 'Numbers of these jobs: 12,13.';
COMMENT ON COLUMN public.ml_workers.started_at IS 'When it sent its first heartbeat.';
COMMENT ON COLUMN public.ml_workers.last_sign_at IS 'When it sent its last: it had just polled the queue.';
COMMENT ON COLUMN public.ml_workers.alive_until IS 'When it counts as dead without another.';
COMMENT ON COLUMN public.ml_workers.login IS 'Login that it works as.';
COMMENT ON COLUMN public.ml_workers.reason IS 'PAUSED: what it lacks; it tries again by itself.';
