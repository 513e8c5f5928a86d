-- From version 2 to 3: a training run tells which library fitted the model.

SET search_path TO pg_catalog, pg_temp;

-- It takes the engine besides, and is made anew; an older worker's calls, which give none, go on to work.
DROP FUNCTION IF EXISTS ml.record_training(
    bigint, integer, text, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint,
    numeric, text, text, text, bigint, text, text, numeric, numeric, text, double precision []
);

ALTER TABLE public.ml_training_runs ADD COLUMN engine varchar(50);

INSERT INTO ml.schema_version (version)
VALUES (3);
