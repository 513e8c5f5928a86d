-- Kinds of label: which rows are positive. Each kind is a file of its own, 1N_label_NAME.sql, with one of the same name
-- in worker/child/labels/; it calls ml_internal.define_label. What follows is what all have: how a value is compared, what a change is measured from,
-- when a window is covered, and how a label reads in words.
--
-- With a horizon of N minutes a label looks at the coin's rows after t: on the way, up to t + N, or at the first row
-- between t + N and t + 2 N. A window is covered if there is such a row. What lies in an uncovered one proves little: a
-- touch is certain, its absence is not, so that to keep the touches alone would flatter. An uncovered row is left out,
-- or counts as negative where the coin that stops is meant to be a loser.

SET search_path TO pg_catalog, pg_temp;

CREATE TABLE IF NOT EXISTS public.ref_labels (
    name varchar(50) NOT NULL,
    description text NOT NULL,
    needs_horizon boolean NOT NULL,
    is_change boolean NOT NULL,
    has_stop boolean NOT NULL,
    certain_operators_csv text NOT NULL,
    wording text NOT NULL,
    found text NOT NULL,
    judged text NOT NULL,
    judged_together text,
    CONSTRAINT ref_labels_pkey PRIMARY KEY (name)
);

-- Declares a kind: its row in ref_labels. Most need a horizon, and are judged by their operator.
CREATE OR REPLACE PROCEDURE ml_internal.define_label(
    name text,
    description text,
    wording text,
    found text,
    judged text DEFAULT 'ml_internal.is_positive($1, o.found, o.goal)',
    needs_horizon boolean DEFAULT true,
    is_change boolean DEFAULT false,
    has_stop boolean DEFAULT false,
    certain_operators_csv text DEFAULT '',
    judged_together text DEFAULT NULL
)
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    INSERT INTO public.ref_labels (
        name, description, needs_horizon, is_change, has_stop, certain_operators_csv, wording, found, judged, judged_together
    )
    VALUES (
        define_label.name, define_label.description, define_label.needs_horizon, define_label.is_change, define_label.has_stop,
        define_label.certain_operators_csv, define_label.wording, define_label.found, define_label.judged,
        define_label.judged_together
    )
    ON CONFLICT (name) DO UPDATE SET
        description = EXCLUDED.description,
        needs_horizon = EXCLUDED.needs_horizon,
        is_change = EXCLUDED.is_change,
        has_stop = EXCLUDED.has_stop,
        certain_operators_csv = EXCLUDED.certain_operators_csv,
        wording = EXCLUDED.wording,
        found = EXCLUDED.found,
        judged = EXCLUDED.judged,
        judged_together = EXCLUDED.judged_together;
$$;

-- Whether a row is positive; NULL where its target is, and with an operator that is unknown.
-- These three are parsed when they are made, so they depend on no search_path and can be inlined into queries.
CREATE OR REPLACE FUNCTION ml_internal.is_positive(
    operator text,
    target numeric,
    value numeric
)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN CASE operator
    WHEN '>' THEN target > value
    WHEN '<' THEN target < value
    WHEN '>=' THEN target >= value
    WHEN '<=' THEN target <= value
    WHEN '=' THEN target = value
    WHEN '!=' THEN target <> value
END;

-- A change of so many percent. From nothing, or from less, there is no such change.
CREATE OR REPLACE FUNCTION ml_internal.changed_by(
    base numeric,
    percent numeric
)
RETURNS numeric
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN CASE WHEN base > 0 AND base < 'Infinity' THEN base * ((100 + percent) * 0.01) END;

-- A label in words.
CREATE OR REPLACE FUNCTION ml_internal.label_text(
    label text,
    target text,
    operator text,
    value numeric,
    future_minutes integer,
    base text,
    stop_value numeric,
    uncovered text
)
RETURNS text
LANGUAGE sql
STABLE
PARALLEL SAFE
RETURN (
    SELECT concat(
        CASE WHEN r.needs_horizon THEN format(r.wording, target, operator, trim_scale(value), future_minutes, base, trim_scale(stop_value))
        ELSE concat_ws(' ', target, operator, trim_scale(value), 'after ' || future_minutes || ' min') END,
        CASE uncovered WHEN 'negative' THEN ', a coin that stops is negative' END
    )
    FROM public.ref_labels r
    WHERE r.name = label
);

-- Why rows may have no label.
CREATE OR REPLACE FUNCTION ml_internal.unlabelled_text(
    future_minutes integer,
    base text
)
RETURNS text
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT concat(
        CASE
            WHEN future_minutes IS NULL THEN 'the target is NULL'
            ELSE format('the coin has no row %s to %s minutes later within the period, or no target until then', future_minutes, 2 * future_minutes)
        END,
        ', or ' || base || ' is NULL, zero or negative'
    );
$$;

-- What became of rows that stand out, for a line of ml.report; empty where there are none.
CREATE OR REPLACE FUNCTION ml_internal.left_out_text(
    num_unlabelled bigint,
    num_without_base bigint,
    num_uncovered bigint,
    uncovered text
)
RETURNS text
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT concat(
        '; without a label: ' || ml_internal.count_text(nullif(num_unlabelled, 0)),
        '; without a base: ' || ml_internal.count_text(nullif(num_without_base, 0)),
        '; coin stops: ' || ml_internal.count_text(nullif(num_uncovered, 0)) || CASE uncovered WHEN 'negative' THEN ' (negative)' ELSE ' (left out)' END
    );
$$;

COMMENT ON TABLE public.ref_labels IS 'Kinds of label: what ml_jobs.train_label may name.';
COMMENT ON COLUMN public.ref_labels.name IS 'Name of the kind.';
COMMENT ON COLUMN public.ref_labels.description IS 'Which rows are positive: those for which operator value holds for this.';
COMMENT ON COLUMN public.ref_labels.needs_horizon IS 'Whether train_future_minutes must be given.';
COMMENT ON COLUMN public.ref_labels.is_change IS 'Whether train_value is a change in percent from train_base_var.';
COMMENT ON COLUMN public.ref_labels.has_stop IS 'Whether train_stop_value must be given.';
COMMENT ON COLUMN public.ref_labels.certain_operators_csv IS 'Operators for which a positive answer is certain before the window ends.';
COMMENT ON COLUMN public.ref_labels.wording IS 'The label in words, for format: target, operator, value, minutes, base and stop.';
COMMENT ON COLUMN public.ref_labels.found IS 'With a horizon: what is compared, in SQL, of a row s and the windows ahead and path of ml_internal.label_query.';
COMMENT ON COLUMN public.ref_labels.judged IS 'Whether it is positive, in SQL, of what was found (o.found), o.goal, o.stop and the operator $1.';
COMMENT ON COLUMN public.ref_labels.judged_together IS 'How all rows of a coin are judged at once, in SQL, of the arrays c.moments, c.targets, c.goals and c.stops, and of c.horizon; NULL: each by itself is as quick.';
COMMENT ON PROCEDURE ml_internal.define_label(text, text, text, text, text, boolean, boolean, boolean, text, text) IS 'Declares a kind of label: its row in ref_labels.';
COMMENT ON FUNCTION ml_internal.is_positive(text, numeric, numeric) IS 'Label of a row without a horizon: target operator value; NULL where the target is NULL or the operator unknown.';
COMMENT ON FUNCTION ml_internal.changed_by(numeric, numeric) IS 'A value changed by so many percent; NULL where it is not positive.';
COMMENT ON FUNCTION ml_internal.label_text(text, text, text, numeric, integer, text, numeric, text) IS 'A label in words: what a model predicts.';
COMMENT ON FUNCTION ml_internal.unlabelled_text(integer, text) IS 'Part of ml.preview: why rows have no label, in words.';
COMMENT ON FUNCTION ml_internal.left_out_text(bigint, bigint, bigint, text) IS 'Part of ml.report: rows without a label, without a base, and of coins that stop, in words.';
