-- What an INSERT into ml_jobs tells beside accepting the job: that no worker is alive, and that the period has no rows
-- yet. Once per statement, however many jobs it inserts.

SET search_path TO pg_catalog, pg_temp;

-- The first and the last moment of coin_metrics, where an index tells them at once.
CREATE OR REPLACE FUNCTION ml_internal.metrics_range(
    OUT is_indexed boolean,
    OUT first_at timestamptz,
    OUT last_at timestamptz
)
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
SET enable_seqscan TO off
AS $$
BEGIN
    is_indexed := EXISTS (
        SELECT
        FROM pg_index i
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
        JOIN pg_class c ON c.oid = i.indexrelid
        JOIN pg_am m ON m.oid = c.relam
        WHERE i.indrelid = 'public.coin_metrics'::regclass AND a.attname = 'timestamp'
            AND m.amname = 'btree' AND i.indisvalid AND i.indpred IS NULL
    );
    IF is_indexed THEN
        SELECT min(c."timestamp"), max(c."timestamp") INTO first_at, last_at FROM public.coin_metrics c;
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION ml_internal.no_rows_text(
    p_start timestamptz,
    p_end timestamptz,
    p_phases_csv text,
    p_first_at timestamptz,
    p_last_at timestamptz
)
RETURNS text
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT format('coin_metrics has no rows from %s', ml_internal.period_text(p_start, p_end))
        || coalesce(' in phases ' || p_phases_csv, '')
        || coalesce('; it has rows from ' || ml_internal.period_text(p_first_at, p_last_at), '');
$$;

CREATE OR REPLACE FUNCTION ml_internal.tell_of_jobs()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
SET enable_seqscan TO off
SET jit TO off -- one plan serves all statements of a session, however many jobs the first one had
AS $$
DECLARE
    v_range record;
    v_job record;
    v_next timestamptz;
BEGIN
    IF NOT EXISTS (SELECT FROM new_jobs) THEN
        RETURN NULL;
    END IF;
    IF NOT ml_internal.has_worker() THEN
        RAISE NOTICE 'no worker is running, so the job waits' USING HINT = 'Start one: ml-worker run';
    END IF;
    SELECT r.* INTO v_range FROM ml_internal.metrics_range() r;
    -- Each period once, as the jobs of a sweep mostly have the same. OFFSET 0: each job is found by its number, however
    -- few jobs the planner knows of.
    FOR v_job IN
        SELECT min(n.id) AS id, j.period_start, j.period_end
        FROM new_jobs n
        CROSS JOIN LATERAL (SELECT x.period_start, x.period_end FROM ml.jobs x WHERE x.id = n.id OFFSET 0) j
        WHERE v_range.is_indexed
        GROUP BY j.period_start, j.period_end
        ORDER BY 1
        LIMIT 100
    LOOP
        v_next := (
            SELECT c."timestamp" FROM public.coin_metrics c
            WHERE c."timestamp" >= v_job.period_start
            ORDER BY c."timestamp"
            LIMIT 1
        );
        IF v_next IS NULL OR v_next >= v_job.period_end THEN
            RAISE WARNING '% (job %)', ml_internal.no_rows_text(v_job.period_start, v_job.period_end, NULL, v_range.first_at, v_range.last_at), v_job.id
                USING HINT = format('The job fails unless rows come before its turn. To take it back: CALL ml.cancel_job(%s);', v_job.id);
            EXIT;
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_90_tell
AFTER INSERT ON public.ml_jobs
REFERENCING NEW TABLE AS new_jobs
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.tell_of_jobs();

COMMENT ON FUNCTION ml_internal.metrics_range() IS 'First and last moment of coin_metrics, if an index on its time tells them.';
COMMENT ON FUNCTION ml_internal.no_rows_text(timestamptz, timestamptz, text, timestamptz, timestamptz) IS 'That a period has no rows, and when there are some.';
COMMENT ON FUNCTION ml_internal.tell_of_jobs() IS 'Trigger: says that no worker is alive, and that a period has no rows.';
