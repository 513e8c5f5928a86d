-- From version 1 to 2: signs of life, pruning, and claims that are bound to a login come with the files of sql/.

SET search_path TO pg_catalog, pg_temp;

-- They take a curve besides, and are made anew; an older worker's calls, which give none, go on to work.
DROP FUNCTION ml.record_training(
    bigint, integer, text, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint,
    numeric, text, text, text, bigint, text, text, numeric, numeric, text
);
DROP FUNCTION ml.record_test(
    bigint, integer, bigint, bigint, bigint, bigint, bigint, bigint, bigint, numeric, text, text, numeric, numeric
);

-- Nobody recorded who inserted the jobs so far: they are of whoever upgrades, who may give them to teams.
ALTER TABLE public.ml_jobs ADD COLUMN created_by name NOT NULL DEFAULT current_user;

INSERT INTO ml.schema_version (version)
VALUES (2);
