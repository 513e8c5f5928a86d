-- CALL ml.wait(12): waits until a job, or several, have ended, and says what they are doing.

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
        ml_internal.plain_text(format('job %s %s', j.id, j.status) || CASE j.status
            WHEN 'PENDING' THEN concat(
                ': ' || j.progress_msg,
                CASE
                    WHEN NOT ml_internal.has_worker() THEN ': no worker is running; start one: ml-worker run'
                    ELSE ': ' || ml_internal.pause_text(j.job_type)
                END
            )
            WHEN 'RUNNING' THEN format(', %s %%: %s', round(100 * j.progress), j.progress_msg)
            WHEN 'FAILED' THEN ': ' || j.error_msg
            WHEN 'CANCELLED' THEN ''
            ELSE ': ' || j.progress_msg
        END)
    FROM public.ml_jobs j
    WHERE j.id = p_job_id;
$$;

-- SQL cannot wait for a NOTIFY, so it looks again and again, up to once a second. Each look is a transaction of its
-- own: one that stayed open would keep vacuum from its work. So it may not set its search_path, and depends on none.
CREATE OR REPLACE PROCEDURE ml.wait(
    job_ids bigint [],
    timeout interval DEFAULT '1 hour'
)
LANGUAGE plpgsql
AS $$
DECLARE
    v_until pg_catalog.timestamptz := pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) timeout;
    v_step pg_catalog.interval := '50 milliseconds';
    v_left pg_catalog.int8 [] := job_ids;
    v_said pg_catalog.text := '';
    v_job_id pg_catalog.int8;
    v_has_ended pg_catalog.bool;
    v_line pg_catalog.text;
BEGIN
    -- A job that the same transaction inserted would be hidden from the workers.
    CALL ml_internal.require_autocommit('ml.wait');
    LOOP
        FOREACH v_job_id IN ARRAY v_left LOOP
            SELECT d.has_ended, d.line INTO v_has_ended, v_line FROM ml_internal.describe_job(v_job_id) d;
            IF v_line IS NULL THEN
                RAISE EXCEPTION 'job % does not exist', v_job_id
                    USING ERRCODE = 'no_data_found', TABLE = 'ml_jobs', HINT = 'SELECT id, status FROM ml_jobs ORDER BY id DESC; lists the jobs.';
            END IF;
            -- Of many jobs, what happens to the first, and how each ends.
            IF (v_has_ended OR v_job_id OPERATOR(pg_catalog.=) v_left[1]) AND v_line OPERATOR(pg_catalog.<>) v_said THEN
                RAISE NOTICE '%', v_line;
                v_said := v_line;
            END IF;
            IF v_has_ended THEN
                v_left := pg_catalog.array_remove(v_left, v_job_id);
            END IF;
        END LOOP;
        EXIT WHEN pg_catalog.cardinality(v_left) OPERATOR(pg_catalog.=) 0;
        IF pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>=) v_until THEN
            SELECT d.line INTO v_line FROM ml_internal.describe_job(v_left[1]) d;
            RAISE EXCEPTION '% (waited for %)', v_line, ml_internal.interval_text(timeout)
                USING ERRCODE = 'ML004', TABLE = 'ml_jobs',
                HINT = pg_catalog.format('Wait again: CALL ml.wait(%s, ''1 hour''); or end the job: CALL ml.cancel_job(%1$s);', v_left[1]);
        END IF;
        COMMIT;
        PERFORM pg_catalog.pg_sleep_until(LEAST(pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) v_step, v_until));
        v_step := LEAST(v_step OPERATOR(pg_catalog.*) 1.5, '1 second'::pg_catalog.interval);
    END LOOP;
END
$$;

CREATE OR REPLACE PROCEDURE ml.wait(
    job_id bigint,
    timeout interval DEFAULT '1 hour'
)
LANGUAGE plpgsql
AS $$
BEGIN
    CALL ml.wait(ARRAY[job_id], timeout);
END
$$;

-- CALL ml.wait(12, 30): without this, '30' would do and 30 would not.
CREATE OR REPLACE PROCEDURE ml.wait(
    job_id bigint,
    seconds double precision
)
LANGUAGE plpgsql
AS $$
BEGIN
    CALL ml.wait(ARRAY[job_id], pg_catalog.make_interval(secs => seconds));
END
$$;

-- CALL ml.wait(12, '10 minutes'): a literal could be either of the above, and is text then.
CREATE OR REPLACE PROCEDURE ml.wait(
    job_id bigint,
    timeout text
)
LANGUAGE plpgsql
AS $$
BEGIN
    CALL ml.wait(ARRAY[job_id], timeout::pg_catalog.interval);
END
$$;

CREATE OR REPLACE PROCEDURE ml.wait()
LANGUAGE plpgsql
AS $$
DECLARE
    v_mine pg_catalog.int8 [] := ARRAY(
        SELECT j.id
        FROM public.ml_jobs j
        WHERE j.completed_at IS NULL AND j.team OPERATOR(pg_catalog.=) (
            SELECT t.id
            FROM ml.teams t
            WHERE t.role OPERATOR(pg_catalog.=) pg_catalog.to_regrole(pg_catalog.quote_ident(current_user))
                AND t.cluster OPERATOR(pg_catalog.=) (SELECT c.system_identifier FROM pg_catalog.pg_control_system() c)
        )
        ORDER BY j.id
    );
BEGIN
    CALL ml.wait(v_mine);
END
$$;

COMMENT ON FUNCTION ml_internal.describe_job(bigint) IS 'A line for ml.wait that says where a job is, or how it ended.';
COMMENT ON PROCEDURE ml.wait(bigint [], interval) IS 'Waits until all of these jobs have ended and says as NOTICE what they are doing; error ML004 after the timeout (1 hour; NULL: none). Not inside a transaction.';
COMMENT ON PROCEDURE ml.wait(bigint, interval) IS 'Waits until a job has ended and says as NOTICE what it is doing; error ML004 after the timeout (1 hour; NULL: none). Not inside a transaction.';
COMMENT ON PROCEDURE ml.wait(bigint, double precision) IS 'The same with the timeout in seconds.';
COMMENT ON PROCEDURE ml.wait(bigint, text) IS 'The same with the timeout as text, such as ''10 minutes''.';
COMMENT ON PROCEDURE ml.wait() IS 'Waits until all jobs that you have inserted have ended, an hour at most.';
