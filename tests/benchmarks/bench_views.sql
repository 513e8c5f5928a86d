-- Rows for bench_views.py, which puts the numbers in for :jobs and :points. Triggers and foreign keys are off.

SET session_replication_role = replica;

CREATE TEMPORARY TABLE made AS
SELECT
    i AS id,
    CASE WHEN i % 10 = 0 THEN 'TRAIN' WHEN i % 10 < 3 THEN 'COMPARE' ELSE 'TEST' END AS job_type,
    CASE
        WHEN i > :jobs - 4 THEN 'RUNNING' WHEN i > :jobs - 100 THEN 'PENDING'
        WHEN i * 7 % 100 < 5 THEN 'FAILED' WHEN i * 7 % 100 < 7 THEN 'CANCELLED' ELSE 'COMPLETED'
    END AS status,
    CASE WHEN i * 13 % 100 < 2 THEN 2 ELSE 1 END AS attempt,
    'worker-' || i % 8 || ':1234:abcdef' AS worker_id,
    created_at,
    created_at + i % 97 * interval '1 second' + random() * interval '1 minute' AS started_at,
    greatest(1, i / 10 - i % 50) AS model_a,
    greatest(1, i / 10 - i % 50) + 1 AS model_b
FROM (
    SELECT i, now() - interval '1 year' * (:jobs + 1 - i) / :jobs AS created_at
    FROM generate_series(1, :jobs::bigint) i
) x;
CREATE TEMPORARY TABLE ended AS
SELECT *, least(now(), started_at + 20 * random() ^ 4 * interval '1 minute') AS completed_at
FROM made WHERE status IN ('COMPLETED', 'FAILED', 'CANCELLED');

INSERT INTO ml_jobs (
    id, job_type, status, priority, created_at, started_at, completed_at, progress, progress_msg, error_msg, worker_id, attempt,
    max_attempts, lease_until, train_target_var, train_operator, train_value, train_start, train_end, train_features_csv,
    train_model_type, train_model_name, train_test_size, train_random_state, result_model_id,
    test_model_id, test_start, test_end, result_test_id,
    compare_model_a_id, compare_model_b_id, compare_start, compare_end, result_comparison_id
) OVERRIDING SYSTEM VALUE
SELECT
    m.id, m.job_type, m.status, 5, m.created_at, CASE WHEN m.status <> 'PENDING' THEN m.started_at END, e.completed_at,
    0.5, 'Done',
    CASE WHEN m.status = 'FAILED' THEN (ARRAY[
        format('too little to learn from: %s labelled rows, %s positive and %s negative', m.id, m.id / 3, m.id / 7),
        format('the model name "model_%s" is taken by model %s', m.id, m.id / 2),
        format('Lost 3 of 3 attempts; the last: worker worker-%s:99:f00 gave no sign of life', m.id % 8),
        'not enough memory for this job; choose a shorter period or fewer features'
    ])[1 + m.id / 7 % 4] END,
    CASE WHEN m.status <> 'PENDING' THEN m.worker_id END, CASE WHEN m.status <> 'PENDING' THEN m.attempt ELSE 0 END, 3,
    CASE WHEN m.status = 'RUNNING' THEN now() + interval '1 minute' END,
    t.train_target_var, t.train_operator, t.train_value, t.train_start, t.train_end, t.train_features_csv,
    t.train_model_type, t.train_model_name, t.train_test_size, t.train_random_state,
    CASE WHEN m.status = 'COMPLETED' AND m.job_type = 'TRAIN' THEN m.id / 10 END,
    CASE WHEN m.job_type = 'TEST' THEN m.model_a END,
    CASE WHEN m.job_type = 'TEST' THEN timestamptz '2024-03-01' END,
    CASE WHEN m.job_type = 'TEST' THEN timestamptz '2024-04-01' END,
    CASE WHEN m.status = 'COMPLETED' AND m.job_type = 'TEST' THEN m.id END,
    CASE WHEN m.job_type = 'COMPARE' THEN m.model_a END,
    CASE WHEN m.job_type = 'COMPARE' THEN m.model_b END,
    CASE WHEN m.job_type = 'COMPARE' THEN timestamptz '2024-03-01' END,
    CASE WHEN m.job_type = 'COMPARE' THEN timestamptz '2024-04-01' END,
    CASE WHEN m.status = 'COMPLETED' AND m.job_type = 'COMPARE' THEN m.id END
FROM made m
LEFT JOIN ended e ON e.id = m.id
LEFT JOIN LATERAL (
    SELECT
        'market_cap_close' AS train_target_var, '>' AS train_operator, 50000 AS train_value,
        timestamptz '2024-01-01' AS train_start, timestamptz '2024-03-01' AS train_end,
        'price_open,price_high,price_low,volume_sol' AS train_features_csv,
        (ARRAY['random_forest', 'xgboost', 'gradient_boosting', 'logistic_regression', 'neural_network'])[1 + m.id / 10 % 5]
            AS train_model_type,
        'model_' || m.id AS train_model_name, 0.2 AS train_test_size, 42 AS train_random_state
    WHERE m.job_type = 'TRAIN'
) t ON true
ORDER BY coalesce(e.completed_at, now()), m.id;

INSERT INTO ml_models (
    id, name, model_type, status, created_at, updated_at, is_deleted, deleted_at, target_variable, target_operator, target_value,
    train_start, train_end, test_size, random_state, features_csv, params_csv, feature_importance_csv,
    training_accuracy, training_f1, training_precision, training_recall, model_file_path, train_job_id
) OVERRIDING SYSTEM VALUE
SELECT
    m.id / 10, 'model_' || m.id, j.train_model_type, CASE j.status WHEN 'COMPLETED' THEN 'READY' ELSE 'FAILED' END,
    j.created_at, j.completed_at, m.id / 10 % 50 <> 7, CASE WHEN m.id / 10 % 50 <> 7 THEN j.completed_at END,
    j.train_target_var, j.train_operator, j.train_value, j.train_start, j.train_end, 0.2, 42,
    j.train_features_csv, 'n_estimators=100;max_depth=6;learning_rate=0.1',
    'price_open=0.4000;price_high=0.3000;price_low=0.2000;volume_sol=0.1000', 0.9, 0.8, 0.8, 0.8,
    '/models/model_' || m.id / 10 || '_attempt_1.pkl', m.id
FROM made m
JOIN ml_jobs j ON j.id = m.id
WHERE m.job_type = 'TRAIN' AND j.completed_at IS NOT NULL;

INSERT INTO ml_training_runs (
    job_id, attempt, model_id, created_at, holdout, num_coins, num_fitted, num_fitted_positive, num_gap, num_unlabelled,
    num_samples, num_positive, num_negative, tp, tn, fp, fn, roc_auc, feature_importance_csv, artifact_path, artifact_sha256,
    artifact_bytes, data_fingerprint, library_versions_csv, seconds_loading, seconds_fitting
)
SELECT
    e.id, e.attempt, e.id / 10, e.completed_at, 'coins', 30, 800, 300, 0, 5, 200, 50, 150, 40, 140, 10, 10, 0.9,
    'price_open=0.4000;price_high=0.3000;price_low=0.2000;volume_sol=0.1000', '/models/model_' || e.id / 10, repeat('a', 64),
    1000 + e.id % 100000, repeat('b', 64), 'python=3.11;scikit-learn=1.6', 1, 2
FROM ended e
WHERE e.job_type = 'TRAIN' AND e.status = 'COMPLETED';

INSERT INTO ml_test_results (
    id, job_id, attempt, model_id, created_at, test_start, test_end, num_unlabelled, num_samples, num_positive, num_negative,
    tp, tn, fp, fn, roc_auc, has_overlap, feature_importance_csv, data_fingerprint, seconds_loading, seconds_scoring
) OVERRIDING SYSTEM VALUE
SELECT
    e.id, e.id, e.attempt, e.model_a, e.completed_at, '2024-03-01', '2024-04-01', 5, 200, 50, 150,
    e.id % 51, 140, 10, 50 - e.id % 51, 0.5 + e.id % 50 / 100.0, false,
    'price_open=0.4000;price_high=0.3000;price_low=0.2000;volume_sol=0.1000', repeat('b', 64), 1, 2
FROM ended e
WHERE e.job_type = 'TEST' AND e.status = 'COMPLETED'
ORDER BY e.completed_at;

INSERT INTO ml_comparisons (
    id, job_id, attempt, created_at, model_a_id, model_b_id, test_start, test_end, num_samples, winner_id,
    a_tp, a_tn, a_fp, a_fn, a_roc_auc, b_tp, b_tn, b_fp, b_fn, b_roc_auc,
    num_unlabelled, data_fingerprint, seconds_loading, seconds_scoring
) OVERRIDING SYSTEM VALUE
SELECT
    e.id, e.id, e.attempt, e.completed_at, e.model_a, e.model_b, '2024-03-01', '2024-04-01', 200, e.model_a,
    40, 140, 10, 10, 0.9, 30, 140, 10, 20, 0.8, 5, repeat('b', 64), 1, 2
FROM ended e
WHERE e.job_type = 'COMPARE' AND e.status = 'COMPLETED'
ORDER BY e.completed_at;

INSERT INTO ml_job_events (job_id, attempt, event, worker_id, progress, message, lease_until, created_at)
SELECT x.job_id, x.attempt, x.event, x.worker_id, x.progress, x.message, x.lease_until, x.created_at
FROM (
    SELECT m.id AS job_id, a.attempt, 'CLAIMED' AS event, m.worker_id, NULL::numeric AS progress, NULL AS message,
        m.started_at AS lease_until, m.started_at - (m.attempt - a.attempt) * interval '40 seconds' AS created_at
    FROM made m CROSS JOIN generate_series(1, m.attempt) a (attempt)
    WHERE m.status <> 'PENDING'
    UNION ALL
    SELECT e.id, e.attempt, 'PROGRESS', e.worker_id, 0.5, 'Training', e.completed_at, e.completed_at FROM ended e
    UNION ALL
    SELECT e.id, e.attempt, e.status, e.worker_id, NULL, 'reason', NULL, e.completed_at FROM ended e
    UNION ALL
    SELECT m.id, 1, CASE WHEN m.id % 3 = 0 THEN 'RELEASED' ELSE 'EXPIRED' END, m.worker_id, NULL, 'lost', NULL,
        m.started_at - interval '5 seconds'
    FROM made m
    WHERE m.attempt = 2 AND m.status <> 'PENDING'
) x
ORDER BY x.created_at;

INSERT INTO ml_worker_signs (worker_id, concurrency, started_at, alive_until, created_at)
SELECT 'worker-' || w || ':1234:abcdef', 1, now() - interval '30 days', t + interval '3 minutes', t
FROM generate_series(0, 7) w, generate_series(now() - interval '30 days', now(), interval '1 minute') t
ORDER BY t;

INSERT INTO ml_curve_points
SELECT e.id, p / 200.0, 50 - p / 4, 150 - p / 2 - p / 4, p / 2 + p / 4, p / 4, (200 - p / 2 - 2 * (p / 4)) * (1 + p / 200.0) / 2
FROM (SELECT * FROM ended WHERE job_type <> 'COMPARE' AND status = 'COMPLETED' ORDER BY id DESC LIMIT :points) e
CROSS JOIN generate_series(0, 200) p;

RESET session_replication_role;
