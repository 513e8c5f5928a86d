-- COUNT: how many rows of a period are of the phases that a model was made for. A fourth kind of job, of the tests alone.

SET search_path TO pg_catalog, pg_temp;

CREATE TABLE IF NOT EXISTS public.ml_counts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id bigint NOT NULL UNIQUE REFERENCES public.ml_jobs (id),
    attempt integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    num_rows bigint NOT NULL CHECK (num_rows >= 0)
);

ALTER TABLE public.ml_jobs
ADD COLUMN IF NOT EXISTS count_model_id bigint REFERENCES public.ml_models (id),
ADD COLUMN IF NOT EXISTS count_start timestamptz,
ADD COLUMN IF NOT EXISTS count_end timestamptz,
ADD COLUMN IF NOT EXISTS result_count_id bigint REFERENCES public.ml_counts (id);

CALL ml_internal.define_kind(
    'COUNT',
    needs => '{count_model_id,count_start,count_end}',
    uses_models => '{count_model_id}',
    result_table => 'ml_counts',
    result_column => 'result_count_id'
);

CREATE OR REPLACE FUNCTION ml_internal.show_count()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    SELECT c.id, c.num_rows || ' rows' INTO NEW.result_count_id, NEW.progress_msg
    FROM public.ml_counts c
    WHERE c.job_id = NEW.id;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_80_count_show
BEFORE UPDATE OF status ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.job_type = 'COUNT' AND OLD.status <> 'COMPLETED' AND NEW.status = 'COMPLETED')
EXECUTE FUNCTION ml_internal.show_count();
