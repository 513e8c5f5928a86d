-- What a model learned from, to compare later rows with: how each feature was distributed, and which coins were fitted.
-- The population stability index (N. Siddiqi, Credit Risk Scorecards, 2006) compares the shares p and q of two samples in
-- the same bins: the sum of (p - q) ln(p / q). Of two samples of n and m rows of one distribution it is about
-- (1/n + 1/m) times chi-square with one degree of freedom less than there are bins (B. Yurdakul, Statistical Properties of
-- Population Stability Index, 2018), so that what few rows give by chance is told apart from a shift.

SET search_path TO pg_catalog, pg_temp;

CREATE TABLE IF NOT EXISTS public.ml_feature_stats (
    job_id bigint NOT NULL,
    feature text NOT NULL,
    num_rows bigint NOT NULL,
    num_null bigint NOT NULL,
    minimum double precision,
    maximum double precision,
    mean double precision,
    d1 double precision,
    d2 double precision,
    d3 double precision,
    d4 double precision,
    d5 double precision,
    d6 double precision,
    d7 double precision,
    d8 double precision,
    d9 double precision,
    n0 bigint NOT NULL,
    n1 bigint NOT NULL,
    n2 bigint NOT NULL,
    n3 bigint NOT NULL,
    n4 bigint NOT NULL,
    n5 bigint NOT NULL,
    n6 bigint NOT NULL,
    n7 bigint NOT NULL,
    n8 bigint NOT NULL,
    n9 bigint NOT NULL,
    n_null bigint NOT NULL,
    null_share double precision GENERATED ALWAYS AS (num_null::double precision / num_rows) STORED,
    CONSTRAINT ml_feature_stats_pkey PRIMARY KEY (job_id, feature),
    CONSTRAINT ml_feature_stats_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_feature_stats_counts_fit CHECK (
        num_rows > 0 AND num_null BETWEEN 0 AND num_rows
        AND least(n0, n1, n2, n3, n4, n5, n6, n7, n8, n9, n_null) >= 0
        AND n0 + n1 + n2 + n3 + n4 + n5 + n6 + n7 + n8 + n9 + n_null <= num_rows
    ),
    CONSTRAINT ml_feature_stats_mean_within CHECK (mean BETWEEN minimum AND maximum),
    CONSTRAINT ml_feature_stats_deciles_rise CHECK (
        minimum <= d1 AND d1 <= d2 AND d2 <= d3 AND d3 <= d4 AND d4 <= d5 AND d5 <= d6 AND d6 <= d7 AND d7 <= d8 AND d8 <= d9
        AND d9 <= maximum
    )
);

CREATE TABLE IF NOT EXISTS public.ml_fitted_coins (
    job_id bigint NOT NULL,
    num_coins bigint NOT NULL,
    keys text [] NOT NULL,
    CONSTRAINT ml_fitted_coins_pkey PRIMARY KEY (job_id),
    CONSTRAINT ml_fitted_coins_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_fitted_coins_counted CHECK (num_coins = cardinality(keys) AND array_position(keys, NULL) IS NULL)
);

CREATE TABLE IF NOT EXISTS public.ml_feature_shifts (
    job_id bigint NOT NULL,
    model_id bigint NOT NULL,
    feature text NOT NULL,
    psi double precision NOT NULL,
    chance double precision NOT NULL,
    num_rows bigint NOT NULL,
    null_share double precision NOT NULL,
    mean double precision,
    CONSTRAINT ml_feature_shifts_pkey PRIMARY KEY (job_id, model_id, feature),
    CONSTRAINT ml_feature_shifts_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_feature_shifts_model_id_fkey FOREIGN KEY (model_id) REFERENCES public.ml_models (id),
    CONSTRAINT ml_feature_shifts_not_negative CHECK (least(psi, chance) >= 0 AND num_rows > 0 AND null_share BETWEEN 0 AND 1)
);

CREATE INDEX IF NOT EXISTS ml_feature_shifts_model ON public.ml_feature_shifts (model_id);

CREATE TABLE IF NOT EXISTS public.ml_seen_unseen (
    job_id bigint NOT NULL,
    model_id bigint NOT NULL,
    is_seen boolean NOT NULL,
    num_coins bigint NOT NULL,
    num_samples bigint GENERATED ALWAYS AS (tp + tn + fp + fn) STORED,
    num_positive bigint GENERATED ALWAYS AS (tp + fn) STORED,
    tp bigint NOT NULL,
    tn bigint NOT NULL,
    fp bigint NOT NULL,
    fn bigint NOT NULL,
    accuracy numeric(5, 4) GENERATED ALWAYS AS (ml_internal.accuracy(tp, tn, fp, fn)) STORED,
    f1_score numeric(5, 4) GENERATED ALWAYS AS (ml_internal.f1_score(tp, fp, fn)) STORED,
    precision_score numeric(5, 4) GENERATED ALWAYS AS (ml_internal.precision_score(tp, fp)) STORED,
    recall numeric(5, 4) GENERATED ALWAYS AS (ml_internal.recall_score(tp, fn)) STORED,
    roc_auc numeric(5, 4),
    CONSTRAINT ml_seen_unseen_pkey PRIMARY KEY (job_id, model_id, is_seen),
    CONSTRAINT ml_seen_unseen_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_seen_unseen_model_id_fkey FOREIGN KEY (model_id) REFERENCES public.ml_models (id),
    CONSTRAINT ml_seen_unseen_counts_not_negative CHECK (least(tp, tn, fp, fn) >= 0 AND num_coins > 0),
    CONSTRAINT ml_seen_unseen_roc_auc_between_0_and_1 CHECK (roc_auc BETWEEN 0 AND 1)
);

CREATE INDEX IF NOT EXISTS ml_seen_unseen_model ON public.ml_seen_unseen (model_id);

DO $$
DECLARE
    v_table text;
BEGIN
    FOREACH v_table IN ARRAY '{ml_feature_stats,ml_fitted_coins,ml_feature_shifts,ml_seen_unseen}'::text [] LOOP
        EXECUTE format(
            'CREATE OR REPLACE TRIGGER %1$s_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON public.%1$I
                FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.refuse_change_of_fact()', v_table
        );
    END LOOP;
END
$$;

-- Of two samples by the counts of their bins, and what chance alone exceeds in one case of a thousand: the 0.999 quantile
-- of chi-square by the approximation of Wilson and Hilferty (1931). Half a row is added to each bin, so that an empty one
-- is no infinity; bins that are empty in both count for nothing.
CREATE OR REPLACE FUNCTION ml_internal.stability_index(
    p_trained bigint [],
    p_found bigint [],
    OUT psi double precision,
    OUT chance double precision
)
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT
        coalesce(sum((b.p - b.q) * ln(b.p / b.q)), 0),
        coalesce(
            (1 / nullif(min(b.n), 0) + 1 / nullif(min(b.m), 0)) * greatest(count(*) - 1, 1)
            * power(1 - 2 / (9.0 * greatest(count(*) - 1, 1)) + 3.0902 * sqrt(2 / (9.0 * greatest(count(*) - 1, 1))), 3), 0
        )
    FROM (
        SELECT
            x.n, x.m,
            (x.trained + 0.5) / (x.n + 0.5 * count(*) OVER ()) AS p,
            (x.found + 0.5) / (x.m + 0.5 * count(*) OVER ()) AS q
        FROM (
            SELECT
                u.trained::double precision AS trained, u.found::double precision AS found,
                sum(u.trained) OVER ()::double precision AS n, sum(u.found) OVER ()::double precision AS m
            FROM unnest(p_trained, p_found) u (trained, found)
        ) x
        WHERE x.trained + x.found > 0
    ) b;
$$;

CALL ml_internal.allow('ml_reader', 'SELECT', 'public.ml_feature_stats, public.ml_fitted_coins, public.ml_feature_shifts, public.ml_seen_unseen');
CALL ml_internal.allow('ml_reader', 'EXECUTE', 'ml_internal.stability_index');

COMMENT ON FUNCTION ml_internal.stability_index(bigint [], bigint []) IS 'Population stability index of two samples by the counts of their bins (Siddiqi 2006), and what chance alone exceeds once in a thousand (Yurdakul 2018).';
COMMENT ON TABLE public.ml_feature_stats IS 'How each feature was distributed in the labelled rows of a training, append-only. Bins and deciles are of a sample of at most 20,000 of them.';
COMMENT ON COLUMN public.ml_feature_stats.job_id IS 'TRAIN job.';
COMMENT ON COLUMN public.ml_feature_stats.feature IS 'The feature.';
COMMENT ON COLUMN public.ml_feature_stats.num_rows IS 'Labelled rows of the training.';
COMMENT ON COLUMN public.ml_feature_stats.num_null IS 'Those of them in which the feature is NULL.';
COMMENT ON COLUMN public.ml_feature_stats.minimum IS 'Least value.';
COMMENT ON COLUMN public.ml_feature_stats.maximum IS 'Greatest value.';
COMMENT ON COLUMN public.ml_feature_stats.mean IS 'Mean of the values that are not NULL.';
COMMENT ON COLUMN public.ml_feature_stats.d1 IS 'First decile: a tenth of the values of the sample is below; NULL where it has none.';
COMMENT ON COLUMN public.ml_feature_stats.d2 IS 'Second decile.';
COMMENT ON COLUMN public.ml_feature_stats.d3 IS 'Third decile.';
COMMENT ON COLUMN public.ml_feature_stats.d4 IS 'Fourth decile.';
COMMENT ON COLUMN public.ml_feature_stats.d5 IS 'Median.';
COMMENT ON COLUMN public.ml_feature_stats.d6 IS 'Sixth decile.';
COMMENT ON COLUMN public.ml_feature_stats.d7 IS 'Seventh decile.';
COMMENT ON COLUMN public.ml_feature_stats.d8 IS 'Eighth decile.';
COMMENT ON COLUMN public.ml_feature_stats.d9 IS 'Ninth decile.';
COMMENT ON COLUMN public.ml_feature_stats.n0 IS 'Rows of the sample below the first decile.';
COMMENT ON COLUMN public.ml_feature_stats.n1 IS 'Rows of the sample from the first decile on, below the second.';
COMMENT ON COLUMN public.ml_feature_stats.n2 IS 'From the second decile on, below the third.';
COMMENT ON COLUMN public.ml_feature_stats.n3 IS 'From the third decile on, below the fourth.';
COMMENT ON COLUMN public.ml_feature_stats.n4 IS 'From the fourth decile on, below the median.';
COMMENT ON COLUMN public.ml_feature_stats.n5 IS 'From the median on, below the sixth decile.';
COMMENT ON COLUMN public.ml_feature_stats.n6 IS 'From the sixth decile on, below the seventh.';
COMMENT ON COLUMN public.ml_feature_stats.n7 IS 'From the seventh decile on, below the eighth.';
COMMENT ON COLUMN public.ml_feature_stats.n8 IS 'From the eighth decile on, below the ninth.';
COMMENT ON COLUMN public.ml_feature_stats.n9 IS 'From the ninth decile on.';
COMMENT ON COLUMN public.ml_feature_stats.n_null IS 'Rows of the sample in which the feature is NULL.';
COMMENT ON COLUMN public.ml_feature_stats.null_share IS 'Share of the rows in which the feature is NULL.';
COMMENT ON TABLE public.ml_fitted_coins IS 'Coins that a model was fitted on, append-only: SELECT unnest(keys) lists them.';
COMMENT ON COLUMN public.ml_fitted_coins.job_id IS 'TRAIN job.';
COMMENT ON COLUMN public.ml_fitted_coins.num_coins IS 'How many.';
COMMENT ON COLUMN public.ml_fitted_coins.keys IS 'Their keys, as text.';
COMMENT ON TABLE public.ml_feature_shifts IS 'How far the features of a job are from those of the training of its model, append-only. Models of before version 8 have none.';
COMMENT ON COLUMN public.ml_feature_shifts.job_id IS 'TEST, COMPARE or SCORE job.';
COMMENT ON COLUMN public.ml_feature_shifts.model_id IS 'The model.';
COMMENT ON COLUMN public.ml_feature_shifts.feature IS 'Feature of the model.';
COMMENT ON COLUMN public.ml_feature_shifts.psi IS 'Population stability index over the deciles of the training and NULL (Siddiqi, Credit Risk Scorecards, 2006): below 0.1 no shift, from 0.25 on a large one.';
COMMENT ON COLUMN public.ml_feature_shifts.chance IS 'What samples of so many rows of one distribution exceed once in a thousand (Yurdakul, Statistical Properties of Population Stability Index, 2018).';
COMMENT ON COLUMN public.ml_feature_shifts.num_rows IS 'Rows that were looked at: a sample of at most 20,000.';
COMMENT ON COLUMN public.ml_feature_shifts.null_share IS 'Share of them in which the feature is NULL.';
COMMENT ON COLUMN public.ml_feature_shifts.mean IS 'Mean of the others; NULL where there is none.';
COMMENT ON TABLE public.ml_seen_unseen IS 'A measurement apart for coins that the model was fitted on and for others, append-only. Models of before version 8 have none.';
COMMENT ON COLUMN public.ml_seen_unseen.job_id IS 'TEST or COMPARE job.';
COMMENT ON COLUMN public.ml_seen_unseen.model_id IS 'The model.';
COMMENT ON COLUMN public.ml_seen_unseen.is_seen IS 'Whether the model was fitted on rows of these coins.';
COMMENT ON COLUMN public.ml_seen_unseen.num_coins IS 'Coins with labelled rows.';
COMMENT ON COLUMN public.ml_seen_unseen.num_samples IS 'Labelled rows of these coins.';
COMMENT ON COLUMN public.ml_seen_unseen.num_positive IS 'Positive rows among them.';
COMMENT ON COLUMN public.ml_seen_unseen.tp IS 'True positives.';
COMMENT ON COLUMN public.ml_seen_unseen.tn IS 'True negatives.';
COMMENT ON COLUMN public.ml_seen_unseen.fp IS 'False positives.';
COMMENT ON COLUMN public.ml_seen_unseen.fn IS 'False negatives.';
COMMENT ON COLUMN public.ml_seen_unseen.accuracy IS 'Share of the rows predicted right.';
COMMENT ON COLUMN public.ml_seen_unseen.f1_score IS 'Harmonic mean of precision and recall; NULL where undefined.';
COMMENT ON COLUMN public.ml_seen_unseen.precision_score IS 'Share of the positive predictions that were right; NULL where there was none.';
COMMENT ON COLUMN public.ml_seen_unseen.recall IS 'Share of the positive rows that were found; NULL where there was none.';
COMMENT ON COLUMN public.ml_seen_unseen.roc_auc IS 'Area under the ROC curve; NULL where there was only one class.';
