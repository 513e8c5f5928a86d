-- Rows for bench_queue.py, which puts the numbers in for :finished and :pending. Triggers and foreign keys are off.
-- Of the jobs one in ten is a TRAIN, the others are TESTs of up to 100 models; of those that ended one in twenty FAILED.
-- Those that wait came in one statement; the TRAINs among them have a low priority, so that TESTs are claimed.

SET session_replication_role = replica;

INSERT INTO ml_jobs (
    job_type, status, priority, created_at, started_at, completed_at, progress, progress_msg, error_msg, worker_id, attempt,
    train_target_var, train_operator, train_value, train_start, train_end, train_features_csv, train_params_csv,
    train_model_type, train_model_name, train_test_size, train_random_state,
    test_model_id, test_start, test_end, result_model_id, result_test_id
)
SELECT
    CASE WHEN is_train THEN 'TRAIN' ELSE 'TEST' END,
    CASE WHEN waits THEN 'PENDING' WHEN failed THEN 'FAILED' ELSE 'COMPLETED' END,
    CASE WHEN waits AND is_train THEN 9 ELSE 5 END,
    at,
    CASE WHEN NOT waits THEN at + interval '1 second' END,
    CASE WHEN NOT waits THEN at + interval '9 seconds' END,
    CASE WHEN waits THEN 0 WHEN failed THEN 0.5 ELSE 1 END,
    CASE WHEN waits THEN NULL WHEN failed THEN 'Failed' ELSE 'Done' END,
    CASE WHEN failed THEN 'no rows in this period' END,
    CASE WHEN NOT waits THEN 'worker-' || i % 8 || ':1234:abcdef' END,
    CASE WHEN waits THEN 0 ELSE 1 END,
    CASE WHEN is_train THEN 'market_cap_close' END,
    CASE WHEN is_train THEN '>' END,
    CASE WHEN is_train THEN 50000 END,
    CASE WHEN is_train THEN timestamptz '2024-01-01' END,
    CASE WHEN is_train THEN timestamptz '2024-03-01' END,
    CASE WHEN is_train THEN 'price_open,price_high,price_low,volume_sol' END,
    CASE WHEN is_train THEN 'n_estimators=200;max_depth=4' END,
    CASE WHEN is_train THEN 'xgboost' END,
    CASE WHEN is_train THEN 'model_' || i END,
    CASE WHEN is_train THEN 0.2 END,
    CASE WHEN is_train THEN 42 END,
    CASE WHEN NOT is_train THEN 1 + i % (least(1000, :finished) / 10) END,
    CASE WHEN NOT is_train THEN timestamptz '2024-03-01' END,
    CASE WHEN NOT is_train THEN timestamptz '2024-04-01' END,
    CASE WHEN is_train AND NOT waits THEN i / 10 END,
    CASE WHEN NOT is_train AND NOT waits AND NOT failed THEN i END
FROM (
    SELECT
        i,
        i % 10 = 0 AS is_train,
        i > :finished AS waits,
        i <= :finished AND i % 20 = 3 AS failed,
        now() - interval '1 year' * greatest(1, :finished + 1 - i) / :finished AS at
    FROM generate_series(1, :finished::bigint + :pending) i
) made;

INSERT INTO ml_models (
    name, model_type, status, target_variable, target_operator, target_value, train_start, train_end, features_csv,
    params_csv, model_file_path, train_job_id, created_at
)
SELECT
    j.train_model_name, j.train_model_type, 'READY', j.train_target_var, j.train_operator, j.train_value, j.train_start,
    j.train_end, j.train_features_csv, j.train_params_csv, '/models/' || j.id || '.pkl', j.id, j.started_at
FROM ml_jobs j
WHERE j.job_type = 'TRAIN' AND j.id <= :finished
ORDER BY j.id;

INSERT INTO ml_training_runs (
    job_id, attempt, model_id, created_at, holdout, num_coins, num_fitted, num_fitted_positive, num_gap, num_unlabelled,
    num_samples, num_positive, num_negative, tp, tn, fp, fn, roc_auc, artifact_path, artifact_sha256,
    artifact_bytes, data_fingerprint, library_versions_csv, seconds_loading, seconds_fitting
)
SELECT
    m.train_job_id, 1, m.id, m.created_at, 'coins', 30, 800, 300, 0, 5, 200, 50, 150, 40, 140, 10, 10, 0.9,
    m.model_file_path, repeat('a', 64), 1000, repeat('b', 64), 'python=3.11', 1, 2
FROM ml_models m
ORDER BY m.id;

INSERT INTO ml_test_results (
    id, job_id, attempt, model_id, created_at, test_start, test_end, num_unlabelled, num_samples, num_positive, num_negative,
    tp, tn, fp, fn, roc_auc, has_overlap, data_fingerprint, seconds_loading, seconds_scoring
) OVERRIDING SYSTEM VALUE
SELECT
    j.id, j.id, 1, j.test_model_id, j.completed_at, j.test_start, j.test_end, 5, 200, 50, 150, 40, 140, 10, 10, 0.9, false,
    repeat('b', 64), 1, 2
FROM ml_jobs j
WHERE j.result_test_id IS NOT NULL
ORDER BY j.id;
SELECT setval('ml_test_results_id_seq', :finished + 1);

INSERT INTO ml_job_events (job_id, attempt, event, worker_id, progress, message, lease_until, created_at)
SELECT
    j.id, 1, e.event, j.worker_id, CASE e.event WHEN 'PROGRESS' THEN 0.5 END,
    CASE e.event WHEN 'PROGRESS' THEN 'Scoring' WHEN 'FAILED' THEN j.error_msg END,
    CASE WHEN e.event IN ('CLAIMED', 'PROGRESS') THEN j.started_at + interval '30 seconds' END, j.started_at
FROM ml_jobs j
CROSS JOIN LATERAL (VALUES ('CLAIMED'), ('PROGRESS'), (j.status)) e (event)
WHERE j.id <= :finished
ORDER BY j.id;

RESET session_replication_role;
