-- SELECT * FROM ml.help(); lists what a client calls, each as it can be pasted: with a model, a job and a period that are
-- there, as far as there are any.

SET search_path TO pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION ml.help()
RETURNS TABLE (
    you_want_to text,
    you_type text
)
LANGUAGE plpgsql
STABLE
ROWS 19
SET search_path TO pg_catalog, pg_temp
SET datestyle TO 'ISO, MDY'
AS $$
DECLARE
    v_range record := ml_internal.metrics_range();
    v_start date := coalesce(v_range.first_at, '2024-01-01');
    v_end date := coalesce(v_range.last_at, '2024-04-01') + interval '1 day';
    v_middle date := v_start + (v_end - v_start) * 2 / 3;
    v_job bigint := coalesce((SELECT max(j.id) FROM public.ml_jobs j), 1);
    v_open bigint := coalesce((SELECT max(j.id) FROM public.ml_jobs j WHERE j.completed_at IS NULL), v_job);
    v_models text [] := ARRAY(
        SELECT m.name FROM public.ml_models m WHERE m.status = 'READY' AND NOT m.is_deleted ORDER BY m.id DESC LIMIT 2
    ) || '{my_model,my_other_model}'::text [];
    v_train text := format('''xgboost'', ''price_close'', ''>'', 0.00005, ''price_open,volume_sol'', %L, %L, 10', v_start, v_middle);
BEGIN
    RETURN QUERY
    VALUES
        ('see what a training would find', format('SELECT * FROM ml.preview(%s);', v_train)),
        ('see what could be learned at all', 'SELECT * FROM ml.targets(''price_close'', ''highest_change'', 10);'),
        ('train a model; returns the job''s number', format('SELECT ml.train(%s);', v_train)),
        ('have it choose where to say yes', format('SELECT ml.train(%s, threshold => ''f1'');', v_train)),
        ('train, and measure the recipe in later periods', format('SELECT ml.train(%s, split => ''time'', folds => 5);', v_train)),
        ('see what it gave in each of them', format('SELECT * FROM ml_fact_folds WHERE model_name = %L;', v_models[1])),
        ('test a model on a later period', format('SELECT ml.test(%L, %L, %L);', v_models[1], v_middle, v_end)),
        ('compare two models on the same rows', format('SELECT ml.compare(%L, %L, %L, %L);', v_models[1], v_models[2], v_middle, v_end)),
        ('ask a model about all rows of a period', format('SELECT ml.score(%L, %L, %L);', v_models[1], v_middle, v_end)),
        ('take the newest answer for each coin', format('SELECT * FROM ml.newest_answers(%L) ORDER BY probability DESC LIMIT 10;', v_models[1])),
        ('wait for a job, or for all of yours', format('CALL ml.wait(%s);  CALL ml.wait();', v_job)),
        ('watch the queue', 'SELECT id, status, bar, progress_msg FROM ml_queue;'),
        ('cancel a job', format('CALL ml.cancel_job(%s);', v_open)),
        ('rank the models', 'SELECT rank_by_f1, name, test_f1, test_roc_auc FROM ml_leaderboard;'),
        ('ask a model about rows, at once', format('SELECT c.*, ml.predict(%L, c) AS probability FROM coin_metrics c LIMIT 10;', v_models[1])),
        ('take the rows that it says yes to', format('SELECT * FROM coin_metrics c WHERE ml.decide(%L, c) LIMIT 10;', v_models[1])),
        ('ask why, a feature a row', format('SELECT e.* FROM (SELECT * FROM coin_metrics LIMIT 1) c, ml.explain(%L, c) e;', v_models[1])),
        ('see whether its answers came true', format('SELECT * FROM ml.outcomes(%L) WHERE outcome IS NOT NULL LIMIT 10;', v_models[1])),
        ('see how good they were, a day a row', format('SELECT * FROM ml.quality(%L);', v_models[1])),
        ('read about a model', format('SELECT ml.report(%L);', v_models[1])),
        ('see a job''s rows before it runs', format('SELECT * FROM ml.preview(%s);', v_job)),
        ('find sources to learn from', 'SELECT name, relation_name, key_column, moment_column FROM ml_sources;'),
        ('find columns to learn from', 'SELECT column_name, data_type FROM ml_metric_columns WHERE is_numeric AND source = ''coin_metrics'';'),
        ('find kinds of label', 'SELECT name, description FROM ref_labels;'),
        ('find hyperparameters', 'SELECT name, default_value FROM ref_model_params WHERE model_type = ''xgboost'';'),
        ('see which workers are alive', 'SELECT worker_id, state, job_ids, reason FROM ml_workers;'),
        ('hear of jobs without polling', 'LISTEN ml_job_status;'),
        (
            'as the owner, let others learn from a table or view',
            'CALL ml.add_source(''my_source'', ''public.coin_metrics'', key => ''mint'', moment => ''timestamp'');  CALL ml.remove_source(''my_source'');'
        ),
        ('as the owner, remove what is old', 'CALL ml.prune(''90 days'');'),
        ('as the owner, keep teams apart', 'CALL ml.separate_teams(true);  CALL ml.separate_teams(false);');
END
$$;

COMMENT ON FUNCTION ml.help() IS 'What a client calls, each as it can be pasted.';
