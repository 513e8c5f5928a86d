-- The file of a model, in the database: a dump is a whole backup, and workers on several hosts share nothing but the
-- database. The folder of a worker is a cache of these files, and the user's way to one.

SET search_path TO pg_catalog, pg_temp;

CREATE TABLE IF NOT EXISTS public.ml_settings (
    is_the_only_row boolean NOT NULL DEFAULT true,
    max_stored_model_bytes bigint NOT NULL DEFAULT 104857600,
    CONSTRAINT ml_settings_pkey PRIMARY KEY (is_the_only_row),
    CONSTRAINT ml_settings_has_one_row CHECK (is_the_only_row),
    CONSTRAINT ml_settings_max_stored_model_bytes_fit_a_value CHECK (max_stored_model_bytes BETWEEN 0 AND 1000000000)
);

INSERT INTO public.ml_settings DEFAULT VALUES ON CONFLICT DO NOTHING;

CREATE OR REPLACE FUNCTION ml_internal.keep_only_row()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '% needs its row: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'integrity_constraint_violation', TABLE = TG_TABLE_NAME,
        HINT = 'UPDATE the setting instead.';
END
$$;

CREATE OR REPLACE TRIGGER ml_settings_10_stay
BEFORE DELETE OR TRUNCATE ON public.ml_settings
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.keep_only_row();

CREATE TABLE IF NOT EXISTS public.ml_model_files (
    job_id bigint NOT NULL,
    attempt integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    content bytea NOT NULL,
    num_bytes bigint GENERATED ALWAYS AS (octet_length(content)) STORED,
    sha256 char(64) GENERATED ALWAYS AS (encode(sha256(content), 'hex')) STORED,
    CONSTRAINT ml_model_files_pkey PRIMARY KEY (job_id),
    CONSTRAINT ml_model_files_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id)
);

-- To compress takes longer than all the rest, and saves little of a file of floating point numbers.
ALTER TABLE public.ml_model_files ALTER COLUMN content SET STORAGE EXTERNAL;

CREATE OR REPLACE TRIGGER ml_model_files_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON public.ml_model_files
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.refuse_change_of_fact();

-- An attempt brings its file before its result. Later anybody who has the file may: it is known by its SHA-256.
CREATE OR REPLACE FUNCTION ml_internal.check_model_file()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_run public.ml_training_runs;
    v_most bigint := (SELECT s.max_stored_model_bytes FROM public.ml_settings s);
BEGIN
    IF NEW.num_bytes > v_most THEN
        RAISE EXCEPTION 'a model file of % bytes is larger than the % that are kept in the database', NEW.num_bytes, v_most
            USING ERRCODE = 'configuration_limit_exceeded', TABLE = 'ml_model_files',
            HINT = 'The owner of the service sets the limit: UPDATE ml_settings SET max_stored_model_bytes = ...;';
    END IF;
    SELECT r.* INTO v_run FROM public.ml_training_runs r WHERE r.job_id = NEW.job_id;
    IF NOT FOUND THEN
        CALL ml_internal.require_attempt(NEW.job_id, NEW.attempt);
    ELSIF (v_run.attempt, v_run.artifact_sha256) IS DISTINCT FROM (NEW.attempt, NEW.sha256) THEN
        RAISE EXCEPTION 'this is not the file of model %', v_run.model_id
            USING ERRCODE = 'ML002', TABLE = 'ml_model_files',
            HINT = 'Its SHA-256 is not the one that the training run recorded.';
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER ml_model_files_10_check
AFTER INSERT ON public.ml_model_files
FOR EACH ROW EXECUTE FUNCTION ml_internal.check_model_file();

-- What an attempt brought goes with it, unless it brings a result.
CREATE OR REPLACE FUNCTION ml_internal.drop_model_file()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM set_config('ml.pruning', 'on', true);
    DELETE FROM public.ml_model_files f WHERE f.job_id = NEW.job_id;
    PERFORM set_config('ml.pruning', 'off', true);
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER ml_job_events_91_drop_model_file
AFTER INSERT ON public.ml_job_events
FOR EACH ROW
WHEN (NEW.event IN ('FAILED', 'CANCELLED', 'RELEASED', 'EXPIRED'))
EXECUTE FUNCTION ml_internal.drop_model_file();

-- A training run has the file that its attempt brought, or says that it was too large.
CREATE OR REPLACE FUNCTION ml_internal.check_file_of_run()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_sha256 text := (SELECT f.sha256 FROM public.ml_model_files f WHERE f.job_id = NEW.job_id);
    v_most bigint := (SELECT s.max_stored_model_bytes FROM public.ml_settings s);
BEGIN
    IF v_sha256 IS NULL AND NEW.artifact_bytes > v_most THEN
        NEW.warnings := concat_ws('; ', NEW.warnings, format(
            'the model file has %s bytes, more than the %s that the database keeps: it is in the folder of the worker alone',
            NEW.artifact_bytes, v_most
        ));
    ELSIF v_sha256 <> NEW.artifact_sha256 THEN
        RAISE EXCEPTION 'the file of job % in the database is not the one of this result', NEW.job_id
            USING ERRCODE = 'ML002', TABLE = 'ml_training_runs', COLUMN = 'artifact_sha256',
            HINT = 'An attempt stores its own file, and then records its own result.';
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER ml_training_runs_30_file
BEFORE INSERT ON public.ml_training_runs
FOR EACH ROW EXECUTE FUNCTION ml_internal.check_file_of_run();

CREATE OR REPLACE FUNCTION ml_internal.store_model_file(
    p_job_id bigint,
    p_attempt integer,
    p_content bytea
)
RETURNS void
LANGUAGE sql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
    INSERT INTO public.ml_model_files (job_id, attempt, content)
    VALUES (p_job_id, p_attempt, p_content)
    ON CONFLICT DO NOTHING;
$$;

CALL ml_internal.allow('ml_reader', 'SELECT', 'public.ml_model_files, public.ml_settings');
CALL ml_internal.allow('ml_worker', 'EXECUTE', 'ml_internal.store_model_file');

COMMENT ON TABLE public.ml_settings IS 'Settings of the service, one row; the owner changes them by UPDATE.';
COMMENT ON COLUMN public.ml_settings.is_the_only_row IS 'Always true.';
COMMENT ON COLUMN public.ml_settings.max_stored_model_bytes IS 'Largest model file that is kept in the database; a larger one is in the worker''s folder alone.';
COMMENT ON TABLE public.ml_model_files IS 'The files of the models, append-only; ml.prune removes those of deleted models.';
COMMENT ON COLUMN public.ml_model_files.job_id IS 'TRAIN job that made the model.';
COMMENT ON COLUMN public.ml_model_files.attempt IS 'Attempt that wrote the file.';
COMMENT ON COLUMN public.ml_model_files.created_at IS 'When it was stored.';
COMMENT ON COLUMN public.ml_model_files.content IS 'The bytes of the .pkl file.';
COMMENT ON COLUMN public.ml_model_files.num_bytes IS 'Their number.';
COMMENT ON COLUMN public.ml_model_files.sha256 IS 'Their SHA-256, as in ml_training_runs.artifact_sha256.';
COMMENT ON FUNCTION ml_internal.keep_only_row() IS 'Trigger: a table of settings keeps its row.';
COMMENT ON FUNCTION ml_internal.check_model_file() IS 'Trigger: a model file comes from the attempt that holds the job, or is the one that a training run recorded; and it is not too large.';
COMMENT ON FUNCTION ml_internal.drop_model_file() IS 'Trigger: an attempt that ends without a result leaves no file.';
COMMENT ON FUNCTION ml_internal.check_file_of_run() IS 'Trigger: a training run has the file that it names, or warns that it was too large.';
COMMENT ON FUNCTION ml_internal.store_model_file(bigint, integer, bytea) IS 'Worker: keeps the file of a model, before the result of its attempt or at any time after it.';
