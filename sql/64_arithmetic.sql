-- The arithmetic of models, which all that evaluates one shares. It is parsed when it is made, so it depends on no
-- search_path and can be inlined, also into the functions that 65_model_numbers.sql makes.

SET search_path TO pg_catalog, pg_temp;

-- What a feature is as a number: a boolean is 0 or 1. All other numbers become a double by themselves.
CREATE OR REPLACE FUNCTION ml_internal.number(
    value double precision
)
RETURNS double precision
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN value;

CREATE OR REPLACE FUNCTION ml_internal.number(
    value boolean
)
RETURNS double precision
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN value::integer::double precision;

-- Models see float32. NaN is a missing value; what lies beyond the float32 counts as the last of them, and what is too
-- small for one as 0: a cast would be refused.
CREATE OR REPLACE FUNCTION ml_internal.single(
    value double precision
)
RETURNS real
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN CASE
    WHEN value BETWEEN -3.4028234663852886e38::double precision AND 3.4028234663852886e38::double precision
        THEN CASE WHEN abs(value) > 7.006492321624086e-46::double precision THEN value::real ELSE 0::real END
    WHEN value = 'NaN'::double precision THEN NULL
    WHEN value > 0::double precision THEN 3.4028234663852886e38::real
    WHEN value < 0::double precision THEN -3.4028234663852886e38::real
END;

-- The logistic function. Beyond 100 no double tells the difference from 0 or 1, and exp() would be refused.
CREATE OR REPLACE FUNCTION ml_internal.logistic(
    value double precision
)
RETURNS double precision
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN 1::double precision / (1::double precision + exp(-greatest(least(value, 100::double precision), -100::double precision)));

-- What a unit of a network makes of its sum.
CREATE OR REPLACE FUNCTION ml_internal.activate(
    activation text,
    value double precision
)
RETURNS double precision
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN CASE activation
    WHEN 'identity' THEN value
    WHEN 'relu' THEN CASE WHEN value > 0::double precision THEN value ELSE 0::double precision END
    WHEN 'tanh' THEN tanh(value)
    WHEN 'logistic' THEN ml_internal.logistic(value)
END;

COMMENT ON FUNCTION ml_internal.number(double precision) IS 'A feature as a number.';
COMMENT ON FUNCTION ml_internal.number(boolean) IS 'A feature as a number: 1 for true, 0 for false.';
COMMENT ON FUNCTION ml_internal.single(double precision) IS 'A number as the float32 that a model sees; NULL for NaN, the last one for what lies beyond.';
COMMENT ON FUNCTION ml_internal.logistic(double precision) IS 'The logistic function: the probability that a logit stands for.';
COMMENT ON FUNCTION ml_internal.activate(text, double precision) IS 'What a unit of a network makes of its sum: identity, relu, tanh or logistic.';
