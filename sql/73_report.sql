-- SELECT ml.report(7): one page of text about a model, as it prints well in psql: what it predicts, from what,
-- how well beside its baselines, what it looks at, and its tests and comparisons so far.

SET search_path TO pg_catalog, pg_temp;

-- The scores of a confusion matrix and the matrix itself, beside those of the best baseline of the job, or else of
-- always giving one answer.
CREATE OR REPLACE FUNCTION ml_internal.draw_scores(
    p_tp bigint,
    p_tn bigint,
    p_fp bigint,
    p_fn bigint,
    p_roc_auc numeric,
    p_job_id bigint,
    p_baseline text
)
RETURNS SETOF text
LANGUAGE sql
STABLE
ROWS 6
SET search_path TO pg_catalog, pg_temp
AS $$
    WITH answers AS (
        SELECT 'model' AS name, p_tp AS tp, p_tn AS tn, p_fp AS fp, p_fn AS fn, p_roc_auc AS roc_auc
        UNION ALL
        SELECT ml_internal.baseline_text(b.baseline), b.tp, b.tn, b.fp, b.fn, b.roc_auc
        FROM public.ml_baselines b
        WHERE b.job_id = p_job_id AND b.baseline = p_baseline
        UNION ALL
        SELECT 'always ' || x.answer, x.tp, x.tn, x.fp, x.fn, p_roc_auc * 0 + 0.5
        FROM (
            VALUES ('positive', p_tp + p_fn, 0, p_fp + p_tn, 0), ('negative', 0, p_tn + p_fp, 0, p_fn + p_tp)
        ) x (answer, tp, tn, fp, fn)
        WHERE x.answer = ml_internal.trivial_answer(p_tp, p_tn, p_fp, p_fn)
            AND p_baseline IS NULL
    ),
    scores AS (
        SELECT s.place, s.name, string_agg(lpad(coalesce(s.score, '-'), CASE a.name WHEN 'model' THEN 9 ELSE 17 END), '' ORDER BY a.name = 'model' DESC) AS line
        FROM answers a
        CROSS JOIN LATERAL (
            VALUES
                (1, '', a.name),
                (2, 'accuracy', round(ml_internal.accuracy(a.tp, a.tn, a.fp, a.fn), 4)::text),
                (3, 'F1', round(ml_internal.f1_score(a.tp, a.fp, a.fn), 4)::text),
                (4, 'precision', round(ml_internal.precision_score(a.tp, a.fp), 4)::text),
                (5, 'recall', round(ml_internal.recall_score(a.tp, a.fn), 4)::text),
                (6, 'ROC AUC', round(a.roc_auc, 4)::text)
        ) s (place, name, score)
        GROUP BY s.place, s.name
    )
    SELECT format('  %-9s%s   %-11s %s', s.name, s.line, m.title, m.line)
    FROM scores s
    JOIN (
        VALUES
            (1, '', 'said positive   negative'),
            (2, '', '+-----------+-----------+'),
            (3, 'is positive', format('|%10s |%10s |', ml_internal.count_text(p_tp), ml_internal.count_text(p_fn))),
            (4, '', '+-----------+-----------+'),
            (5, 'is negative', format('|%10s |%10s |', ml_internal.count_text(p_fp), ml_internal.count_text(p_tn))),
            (6, '', '+-----------+-----------+')
    ) m (place, title, line) USING (place)
    ORDER BY place;
$$;

-- What the scores would be if a model had the threshold of 0.5.
CREATE OR REPLACE FUNCTION ml_internal.half_text(
    p_accuracy numeric,
    p_f1 numeric,
    p_precision numeric,
    p_recall numeric
)
RETURNS text
LANGUAGE sql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT format(
        '  at the threshold 0.5: accuracy %s, F1 %s, precision %s, recall %s',
        coalesce(p_accuracy::text, '-'), coalesce(p_f1::text, '-'), coalesce(p_precision::text, '-'), coalesce(p_recall::text, '-')
    );
$$;

CREATE OR REPLACE FUNCTION ml_internal.report_lines(
    model_id bigint
)
RETURNS SETOF text
LANGUAGE plpgsql
STABLE
ROWS 50
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_model public.ml_models;
    v_run public.ml_training_runs;
    v_test public.ml_test_results;
BEGIN
    SELECT * INTO v_model FROM public.ml_models m WHERE m.id = report_lines.model_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'model % does not exist', model_id
            USING ERRCODE = 'no_data_found', TABLE = 'ml_models', HINT = 'SELECT id, name FROM ml_leaderboard; lists the models that can be used.';
    END IF;
    SELECT * INTO v_run FROM public.ml_training_runs r WHERE r.model_id = v_model.id;

    RETURN QUERY SELECT format('Model %s, %s: %s', v_model.id, v_model.name, v_model.status);
    IF v_model.is_deleted THEN
        RETURN QUERY SELECT format(
            'Deleted on %s; to take it back: UPDATE ml_models SET is_deleted = false WHERE id = %s;',
            to_char(v_model.deleted_at, 'YYYY-MM-DD HH24:MI'), v_model.id
        );
    END IF;
    RETURN QUERY SELECT d.line FROM string_to_table(v_model.description, E'\n') AS d (line);
    SELECT * INTO v_test
    FROM public.ml_test_results t
    WHERE t.model_id = v_model.id
    ORDER BY t.has_overlap, t.created_at DESC, t.id DESC
    LIMIT 1;
    -- First of all, what speaks against the figures: of the training, of the test that is shown, and of the latest comparison.
    RETURN QUERY
    SELECT w.line
    FROM ml_internal.page_of_warnings(v_model.id, ARRAY[v_run.job_id, v_test.job_id, (
        SELECT c.job_id
        FROM public.ml_comparisons c
        WHERE v_model.id IN (c.model_a_id, c.model_b_id)
        ORDER BY c.created_at DESC, c.id DESC
        LIMIT 1
    )]) w (line);
    IF v_run.id IS NOT NULL THEN
        RETURN QUERY SELECT 'Held out: ' || coalesce(
            ml_internal.baseline_verdict(
                v_run.beats_baseline, v_run.best_baseline, v_run.f1_score, v_run.baseline_f1, v_run.baseline_lower, v_run.baseline_upper, v_run.baseline_note
            ), ml_internal.verdict(v_run.tp, v_run.tn, v_run.fp, v_run.fn)
        );
        RETURN QUERY SELECT 'Folds:    ' || f.said FROM ml_internal.folds_text(v_run.job_id) f (said) WHERE f.said <> '';
    END IF;
    IF v_test.id IS NOT NULL THEN
        RETURN QUERY SELECT 'Test:     ' || coalesce(
            ml_internal.baseline_verdict(
                v_test.beats_baseline, v_test.best_baseline, v_test.f1_score, v_test.baseline_f1, v_test.baseline_lower, v_test.baseline_upper, v_test.baseline_note
            ), ml_internal.verdict(v_test.tp, v_test.tn, v_test.fp, v_test.fn)
        );
        RETURN QUERY SELECT '          but ' || v_test.overlap_note WHERE v_test.has_overlap;
    END IF;
    RETURN QUERY SELECT ('')::text;
    RETURN QUERY
    SELECT format('  %-10s %s', x.what, x.said)
    FROM (
        VALUES
            ('predicts', ml_internal.label_text(v_model)),
            ('from', replace(v_model.features_csv, ',', ', ')),
            ('in', nullif(v_model.source, 'coin_metrics')),
            ('in phases', coalesce(replace(v_model.phases_csv, ',', ', '), 'all')),
            ('by', v_model.model_type || ': ' || replace(v_model.params_csv, ';', ', ')),
            ('period', ml_internal.period_text(v_model.train_start, v_model.train_end)),
            ('trained on', concat(
                ml_internal.count_text(v_run.num_fitted) || ' rows, positive: '
                || ml_internal.count_text(v_run.num_fitted_positive, v_run.num_fitted),
                ml_internal.left_out_text(v_run.num_unlabelled, v_run.num_without_base, v_run.num_uncovered, v_model.uncovered)
            )),
            ('threshold', CASE
                WHEN v_model.threshold_rule <> '0.5' THEN ml_internal.threshold_text(v_model.threshold_rule, v_model.threshold, v_run.num_set_aside)
            END),
            ('overlap', CASE WHEN v_run.mean_uniqueness < 1 THEN format(
                'mean uniqueness of the labels %s%s', round(v_run.mean_uniqueness, 4),
                CASE v_model.weights WHEN 'uniqueness' THEN ', by which rows are weighted' END
            ) END),
            -- Of runs of before version 8; those of later ones are said above.
            ('warnings', CASE WHEN NOT EXISTS (SELECT FROM public.ml_warnings w WHERE w.job_id = v_run.job_id) THEN v_run.warnings END)
    ) x (what, said)
    WHERE x.said <> '';
    RETURN QUERY SELECT ('')::text;

    IF v_run.id IS NULL THEN
        RETURN QUERY
        SELECT format('Job %s is %s', j.id, j.status) || coalesce(': ' || coalesce(j.error_msg, j.progress_msg), '')
        FROM public.ml_jobs j
        WHERE j.id = v_model.train_job_id;
        RETURN;
    END IF;

    RETURN QUERY SELECT format(
        'Held out: %s rows, %s', ml_internal.count_text(v_run.num_samples),
        CASE v_run.holdout
            WHEN 'coins' THEN 'whole coins'
            WHEN 'coins_and_time' THEN 'later rows of coins that were not fitted'
            ELSE 'the last part of the period'
        END
    );
    RETURN QUERY SELECT d.line FROM ml_internal.draw_scores(v_run.tp, v_run.tn, v_run.fp, v_run.fn, v_run.roc_auc, v_run.job_id, v_run.best_baseline) AS d (line);
    RETURN QUERY SELECT i.line FROM ml_internal.interval_lines(v_run.job_id) AS i (line);
    RETURN QUERY SELECT ml_internal.half_text(v_run.accuracy_at_half, v_run.f1_at_half, v_run.precision_at_half, v_run.recall_at_half)
        WHERE v_run.threshold <> 0.5;
    RETURN QUERY SELECT d.line FROM ml_internal.draw_baselines(v_run.job_id) AS d (line);
    RETURN QUERY
    SELECT f.line
    FROM (
        SELECT 0 AS place, '' AS line
        UNION ALL
        SELECT 0, 'Folds: its recipe fitted on all rows before each of these periods'
        UNION ALL
        SELECT x.fold, format('  fold %s, %s: ', x.fold, ml_internal.period_text(x.measured_start, x.measured_end)) || coalesce(
            x.reason, format('F1 %s, ROC AUC %s', coalesce(x.f1_score::text, '-'), coalesce(x.roc_auc::text, '-'))
        )
        FROM public.ml_folds x
        WHERE x.job_id = v_run.job_id
    ) f
    WHERE EXISTS (SELECT FROM public.ml_folds x WHERE x.job_id = v_run.job_id)
    ORDER BY f.place, f.line;
    IF v_test.id IS NOT NULL THEN
        RETURN QUERY SELECT ('')::text;
        RETURN QUERY SELECT format(
            'Latest test: %s rows, %s%s', ml_internal.count_text(v_test.num_samples), ml_internal.period_text(v_test.test_start, v_test.test_end),
            ml_internal.left_out_text(v_test.num_unlabelled, v_test.num_without_base, v_test.num_uncovered, v_model.uncovered)
        );
        RETURN QUERY SELECT d.line FROM ml_internal.draw_scores(v_test.tp, v_test.tn, v_test.fp, v_test.fn, v_test.roc_auc, v_test.job_id, v_test.best_baseline) AS d (line);
        RETURN QUERY SELECT i.line FROM ml_internal.interval_lines(v_test.job_id) AS i (line);
        RETURN QUERY SELECT ml_internal.half_text(v_test.accuracy_at_half, v_test.f1_at_half, v_test.precision_at_half, v_test.recall_at_half)
            WHERE v_test.threshold <> 0.5;
        RETURN QUERY SELECT d.line FROM ml_internal.draw_baselines(v_test.job_id) AS d (line);
        RETURN QUERY
        SELECT format(
            '  %-17s %s, %s: F1 %s, ROC AUC %s',
            CASE WHEN s.is_seen THEN 'coins it has seen' ELSE 'other coins' END,
            ml_internal.count_text(s.num_coins), ml_internal.count_text(s.num_samples, v_test.num_samples) || ' of the rows',
            coalesce(s.f1_score::text, '-'), coalesce(s.roc_auc::text, '-')
        )
        FROM public.ml_seen_unseen s
        WHERE s.job_id = v_test.job_id
        ORDER BY s.is_seen DESC;
    END IF;

    RETURN QUERY SELECT ('')::text;
    RETURN QUERY SELECT ('What it looks at: share of the permutation importance')::text;
    RETURN QUERY
    SELECT format(
        '  %s %s %s', rpad(f.feature, least(f.width, 40)), coalesce(round(f.importance, 4)::text, '     -'),
        repeat('#', round(40 * f.importance / f.most)::integer)
    )
    FROM (
        SELECT
            x.*,
            nullif(max(x.importance) OVER (), 0) AS most,
            max(length(x.feature)) OVER () AS width
        FROM public.ml_model_features x
        WHERE x.model_id = v_model.id
        ORDER BY x.importance DESC NULLS LAST, x.place
        LIMIT 10
    ) f
    ORDER BY f.importance DESC NULLS LAST, f.place;

    RETURN QUERY SELECT x.line FROM ml_internal.page_of_jobs(v_model.id) x (line);
END
$$;

-- Names, descriptions and messages are the users': a terminal is shown them and obeys none.
CREATE OR REPLACE FUNCTION ml.report(
    model_id bigint
)
RETURNS SETOF text
LANGUAGE sql
STABLE
ROWS 50
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ml_internal.plain_text(l.line) FROM ml_internal.report_lines(model_id) l (line);
$$;

CREATE OR REPLACE FUNCTION ml.report(
    model_name text
)
RETURNS SETOF text
LANGUAGE sql
STABLE
ROWS 50
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ml.report(ml_internal.find_model(model_name));
$$;

COMMENT ON FUNCTION ml_internal.draw_scores(bigint, bigint, bigint, bigint, numeric, bigint, text) IS 'Part of ml.report: scores and confusion matrix, beside those of the best baseline, or before version 8 of always giving one answer.';
COMMENT ON FUNCTION ml_internal.half_text(numeric, numeric, numeric, numeric) IS 'Part of ml.report: what the scores would be at the threshold 0.5.';
COMMENT ON FUNCTION ml_internal.report_lines(bigint) IS 'The lines of ml.report, with names and messages as they are.';
COMMENT ON FUNCTION ml.report(bigint) IS 'A page about a model, line by line: what it predicts, how well beside its best baseline, what it looks at, its tests and comparisons.';
COMMENT ON FUNCTION ml.report(text) IS 'A page about the model with this name, line by line.';
