-- What every kind of job has, for those who know none: the views that ml_internal.define_kind (42_job_kinds.sql) keeps.

SET search_path TO pg_catalog, pg_temp;

-- Every kind that the jobs are of has been declared by now.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_constraint c WHERE c.conname = 'ml_jobs_job_type_known' AND NOT c.convalidated) THEN
        ALTER TABLE public.ml_jobs VALIDATE CONSTRAINT ml_jobs_job_type_known;
    END IF;
END
$$;

CALL ml_internal.allow('ml_reader', 'SELECT', 'ml.job_kinds, ml.jobs, ml.job_models');

COMMENT ON VIEW ml.jobs IS 'Jobs by what those of every kind have: state, period and models. Their own fields are in ml_jobs.';
COMMENT ON COLUMN ml.jobs.id IS 'Number of the job.';
COMMENT ON COLUMN ml.jobs.job_type IS 'Kind of job, see ml.job_kinds.';
COMMENT ON COLUMN ml.jobs.status IS 'PENDING, RUNNING, COMPLETED, FAILED or CANCELLED.';
COMMENT ON COLUMN ml.jobs.priority IS '1 (highest) to 10 (lowest).';
COMMENT ON COLUMN ml.jobs.created_at IS 'When it was inserted.';
COMMENT ON COLUMN ml.jobs.started_at IS 'When its latest attempt started.';
COMMENT ON COLUMN ml.jobs.completed_at IS 'When it ended, in whichever way.';
COMMENT ON COLUMN ml.jobs.progress IS '0.00 to 1.00.';
COMMENT ON COLUMN ml.jobs.progress_msg IS 'What is being done; once COMPLETED, what came out.';
COMMENT ON COLUMN ml.jobs.error_msg IS 'Why it FAILED.';
COMMENT ON COLUMN ml.jobs.worker_id IS 'Worker of the latest attempt.';
COMMENT ON COLUMN ml.jobs.attempt IS 'Number of the latest attempt.';
COMMENT ON COLUMN ml.jobs.max_attempts IS 'Attempts that may be lost.';
COMMENT ON COLUMN ml.jobs.created_by IS 'Role that inserted it.';
COMMENT ON COLUMN ml.jobs.period_start IS 'First moment of its period.';
COMMENT ON COLUMN ml.jobs.period_end IS 'First moment after its period.';
COMMENT ON COLUMN ml.jobs.model_id IS 'Model that it made, or the first that it uses.';
COMMENT ON COLUMN ml.jobs.model_b_id IS 'Second model that it uses.';
COMMENT ON COLUMN ml.jobs.model IS 'Name of its model, or of both.';
COMMENT ON COLUMN ml.jobs.source IS 'Source of its rows, see ml_sources.';
COMMENT ON VIEW ml.job_models IS 'Models that a job makes or uses, a row for each.';
COMMENT ON COLUMN ml.job_models.job_id IS 'Number of the job.';
COMMENT ON COLUMN ml.job_models.place IS 'Place of the model in the job, from 1.';
COMMENT ON COLUMN ml.job_models.model_id IS 'Number of the model.';
COMMENT ON COLUMN ml.job_models.is_made IS 'Whether the job makes it; otherwise it uses it.';
