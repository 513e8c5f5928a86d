-- Types of model: what can be trained, and which hyperparameters each has, with their kinds and bounds.
-- Each type is a file of its own, NN_model_NAME.sql, with one of the same name in worker/child/models/.

SET search_path TO pg_catalog, pg_temp;

CREATE TABLE IF NOT EXISTS public.ref_model_types (
    id integer NOT NULL,
    name varchar(50) NOT NULL,
    description text NOT NULL,
    default_params_csv text NOT NULL,
    takes_weights boolean NOT NULL DEFAULT false,
    CONSTRAINT ref_model_types_pkey PRIMARY KEY (id),
    CONSTRAINT ref_model_types_name_unique UNIQUE (name)
);

CREATE TABLE IF NOT EXISTS public.ref_model_params (
    model_type varchar(50) NOT NULL,
    name varchar(50) NOT NULL,
    kind varchar(10) NOT NULL,
    min_value numeric,
    max_value numeric,
    choices_csv text,
    default_value text NOT NULL,
    description text NOT NULL,
    CONSTRAINT ref_model_params_pkey PRIMARY KEY (model_type, name),
    CONSTRAINT ref_model_params_model_type_fkey FOREIGN KEY (model_type) REFERENCES public.ref_model_types (name),
    CONSTRAINT ref_model_params_kind_known CHECK (kind IN ('integer', 'number', 'boolean', 'choice', 'layers')),
    CONSTRAINT ref_model_params_numbers_have_bounds CHECK (
        (kind IN ('integer', 'number', 'layers')) = (min_value IS NOT NULL AND max_value IS NOT NULL)
    ),
    CONSTRAINT ref_model_params_min_below_max CHECK (min_value <= max_value),
    CONSTRAINT ref_model_params_choice_has_choices CHECK (kind <> 'choice' OR choices_csv IS NOT NULL)
);

COMMENT ON TABLE public.ref_model_types IS 'Model types that can be trained, with the hyperparameters that a job starts from.';
COMMENT ON COLUMN public.ref_model_types.id IS 'Number of the type.';
COMMENT ON COLUMN public.ref_model_types.name IS 'Name of the type, as in ml_jobs.train_model_type.';
COMMENT ON COLUMN public.ref_model_types.description IS 'What the type is good for.';
COMMENT ON COLUMN public.ref_model_types.default_params_csv IS 'Default hyperparameters, key=value;key=value.';
COMMENT ON COLUMN public.ref_model_types.takes_weights IS 'Whether its fit knows weights of rows, see ml_jobs.train_weights.';
COMMENT ON TABLE public.ref_model_params IS 'Every hyperparameter of every model type: what train_params_csv may contain.';
COMMENT ON COLUMN public.ref_model_params.model_type IS 'Model type that has the hyperparameter.';
COMMENT ON COLUMN public.ref_model_params.name IS 'Name of the hyperparameter.';
COMMENT ON COLUMN public.ref_model_params.kind IS 'integer, number, boolean (true or false), choice, or layers (integers separated by commas).';
COMMENT ON COLUMN public.ref_model_params.min_value IS 'Smallest value allowed.';
COMMENT ON COLUMN public.ref_model_params.max_value IS 'Largest value allowed.';
COMMENT ON COLUMN public.ref_model_params.choices_csv IS 'Words allowed; beside the numbers where there are bounds as well.';
COMMENT ON COLUMN public.ref_model_params.default_value IS 'Value that is used where neither the job nor ref_model_types names one.';
COMMENT ON COLUMN public.ref_model_params.description IS 'What it does.';
