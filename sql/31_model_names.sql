-- The names of models: which are fit, which are free, and who is about to take one. Of a model that is there, and of one
-- that a TRAIN job will make.

SET search_path TO pg_catalog, pg_temp;

-- A name that a user chooses shows, and is no default name of a job that is yet to come.
CREATE OR REPLACE PROCEDURE ml_internal.require_fit_name(
    p_name text,
    p_table text,
    p_column text
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_fault text := ml_internal.name_fault(p_name);
    v_job_id bigint := substring(p_name FROM '_job_([1-9][0-9]{0,17})(?:_[0-9]+)?$')::bigint;
BEGIN
    IF v_fault IS NOT NULL THEN
        RAISE EXCEPTION '% %', p_column, v_fault
            USING ERRCODE = 'check_violation', TABLE = p_table, COLUMN = p_column,
            HINT = 'Name the model by characters that show, for example letters, digits and blanks.';
    ELSIF EXISTS (SELECT FROM public.ref_model_types t WHERE starts_with(p_name, t.name || '_job_' || v_job_id))
        AND NOT EXISTS (SELECT FROM public.ml_jobs j WHERE j.id = v_job_id)
    THEN
        RAISE EXCEPTION 'the name "%" is kept for job %, should it have none', p_name, v_job_id
            USING ERRCODE = 'reserved_name', TABLE = p_table, COLUMN = p_column,
            HINT = 'Choose another name, or give none.';
    END IF;
END
$$;

-- Whoever is about to take a name waits for whoever was first, and then reads the good message of require_free_name. The
-- row is there for others only until the transaction ends, and they wait for that: an advisory lock anybody could hold.
-- A table that is not logged costs little, and is empty after a crash as it should be.
CREATE UNLOGGED TABLE IF NOT EXISTS ml_internal.names_being_taken (
    hash bigint NOT NULL,
    CONSTRAINT names_being_taken_pkey PRIMARY KEY (hash)
);

CREATE OR REPLACE PROCEDURE ml_internal.reserve_name(
    p_name text
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET lock_timeout TO '3s'
AS $$
DECLARE
    v_hash bigint := hashtextextended(p_name, 0);
BEGIN
    INSERT INTO ml_internal.names_being_taken (hash) VALUES (v_hash);
    DELETE FROM ml_internal.names_being_taken n WHERE n.hash = v_hash;
EXCEPTION
    WHEN lock_not_available THEN
        RAISE EXCEPTION 'the model name "%" is being taken by a transaction that has not ended', left(p_name, 255)
            USING ERRCODE = 'lock_not_available', TABLE = 'ml_models', COLUMN = 'name',
            HINT = 'Choose another name, or try again when that transaction has ended.';
END
$$;

-- Asked when a job is inserted, when it is claimed, and when a model is renamed or undeleted;
-- the unique indexes hold in any race.
CREATE OR REPLACE PROCEDURE ml_internal.require_free_name(
    p_name text,
    p_for_job_id bigint DEFAULT NULL
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET enable_seqscan TO off -- a plan made while the queue is empty would read it for each of thousands of jobs
AS $$
DECLARE
    v_owner text := coalesce(
        (
            SELECT 'model ' || m.id
            FROM public.ml_models m
            WHERE m.name = p_name AND NOT m.is_deleted AND m.status <> 'FAILED'
                AND m.train_job_id IS DISTINCT FROM p_for_job_id
        ),
        (
            SELECT 'job ' || j.id
            FROM public.ml_jobs j
            WHERE j.train_model_name = p_name AND j.completed_at IS NULL
                AND j.id IS DISTINCT FROM p_for_job_id
        )
    );
BEGIN
    IF v_owner IS NOT NULL THEN
        -- Who has it may be none of the asker's business, while teams are separated (90_teams.sql).
        RAISE EXCEPTION 'the model name "%" is taken%', p_name, CASE
            WHEN NOT (SELECT c.relrowsecurity FROM pg_class c WHERE c.oid = 'public.ml_job_events'::regclass) THEN ' by ' || v_owner
            ELSE ''
        END
            USING ERRCODE = 'unique_violation', TABLE = 'ml_models', COLUMN = 'name', CONSTRAINT = 'ml_models_name_taken',
            HINT = 'Choose another name, or free it: rename or delete the model, or cancel the job.';
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION ml_internal.default_name(
    p_name text
)
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
SET enable_seqscan TO off -- as in require_free_name
AS $$
DECLARE
    v_name text := p_name;
    v_number integer := 1;
BEGIN
    WHILE EXISTS (SELECT FROM public.ml_models m WHERE m.name = v_name AND NOT m.is_deleted AND m.status <> 'FAILED')
        OR EXISTS (SELECT FROM public.ml_jobs j WHERE j.train_model_name = v_name AND j.completed_at IS NULL)
    LOOP
        v_number := v_number + 1;
        v_name := p_name || '_' || v_number;
    END LOOP;
    RETURN v_name;
END
$$;

COMMENT ON PROCEDURE ml_internal.require_fit_name(text, text, text) IS 'Refuses a name for a model that does not show, controls a terminal, or is the default name of a job to come.';
COMMENT ON TABLE ml_internal.names_being_taken IS 'Model names that transactions are about to take; to all others it is empty.';
COMMENT ON COLUMN ml_internal.names_being_taken.hash IS 'Hash of the name.';
COMMENT ON PROCEDURE ml_internal.reserve_name(text) IS 'Makes two transactions that want the same model name wait for each other, three seconds at most.';
COMMENT ON PROCEDURE ml_internal.require_free_name(text, bigint) IS 'Refuses a model name that a living model or another waiting job has.';
COMMENT ON FUNCTION ml_internal.default_name(text) IS 'This name for a model, with a suffix where it is taken.';
