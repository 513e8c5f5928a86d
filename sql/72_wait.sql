-- CALL ml.wait(12): waits until a job has ended, and says what it is doing.

SET search_path TO pg_catalog, pg_temp;

-- What ml.wait says of a job: where it is, or how it ended.
CREATE OR REPLACE FUNCTION ml_internal.describe_job(
    p_job_id bigint,
    OUT has_ended boolean,
    OUT line text
)
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT
        j.completed_at IS NOT NULL,
        format('job %s %s', j.id, j.status) || CASE j.status
            WHEN 'PENDING' THEN concat(
                ': ' || j.progress_msg,
                CASE WHEN NOT EXISTS (SELECT FROM public.ml_workers) THEN ': no worker is running' END
            )
            WHEN 'RUNNING' THEN format(', %s %%: %s', round(100 * j.progress), j.progress_msg)
            WHEN 'FAILED' THEN ': ' || j.error_msg
            WHEN 'CANCELLED' THEN ''
            ELSE ': ' || j.progress_msg
        END
    FROM public.ml_jobs j
    WHERE j.id = p_job_id;
$$;

-- SQL cannot wait for a NOTIFY, so it looks again and again, up to once a second. Each look is a transaction of its
-- own: one that stayed open would keep vacuum from its work. So it may not set its search_path, and depends on none.
CREATE OR REPLACE PROCEDURE ml.wait(
    job_id bigint,
    timeout interval DEFAULT '1 hour'
)
LANGUAGE plpgsql
AS $$
DECLARE
    v_until pg_catalog.timestamptz := pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) timeout;
    v_step pg_catalog.interval := '50 milliseconds';
    v_has_ended pg_catalog.bool;
    v_line pg_catalog.text;
    v_said pg_catalog.text := '';
BEGIN
    -- A job that the same transaction inserted would be hidden from the workers.
    CALL ml_internal.require_autocommit('ml.wait');
    LOOP
        SELECT d.has_ended, d.line INTO v_has_ended, v_line FROM ml_internal.describe_job(job_id) d;
        IF v_line IS NULL THEN
            RAISE EXCEPTION 'job % does not exist', job_id
                USING ERRCODE = 'no_data_found', TABLE = 'ml_jobs', HINT = 'SELECT id, status FROM ml_jobs ORDER BY id DESC; lists the jobs.';
        END IF;
        IF v_line OPERATOR(pg_catalog.<>) v_said THEN
            RAISE NOTICE '%', v_line;
            v_said := v_line;
        END IF;
        EXIT WHEN v_has_ended;
        IF pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>=) v_until THEN
            RAISE EXCEPTION '% (waited for %)', v_line, timeout
                USING ERRCODE = 'ML004', TABLE = 'ml_jobs',
                HINT = pg_catalog.format('The job goes on. Wait again: CALL ml.wait(%s, ''1 hour''); or end it: CALL ml.cancel_job(%1$s);', job_id);
        END IF;
        COMMIT;
        PERFORM pg_catalog.pg_sleep_until(LEAST(pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) v_step, v_until));
        v_step := LEAST(v_step OPERATOR(pg_catalog.*) 1.5, '1 second'::pg_catalog.interval);
    END LOOP;
END
$$;

COMMENT ON FUNCTION ml_internal.describe_job(bigint) IS 'A line for ml.wait that says where a job is, or how it ended.';
COMMENT ON PROCEDURE ml.wait(bigint, interval) IS 'Waits until a job has ended and says as NOTICE what it is doing; error ML004 after the timeout (1 hour; NULL: none). Not inside a transaction.';
