"""Every named CHECK holds by itself: each is violated once by name, as the owner, with the triggers off."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import Connection, Database
from tests.sql.helpers import (
    BASELINES,
    BEATEN,
    CURVE,
    INTERVALS,
    LAYERS,
    PARTS,
    TREES,
    complete,
    found_beside,
    jobs_in_every_state,
    running_job,
    violates,
)
from tests.sql.test_folds import FOLDS, THREE
from tests.sql.test_folds import running as running_folds

PENDING, RUNNING, COMPLETED, FAILED = (
    f"status = '{status}'" for status in ("PENDING", "RUNNING", "COMPLETED", "FAILED")
)
TEST, COMPARE, SCORE = (f"job_type = '{job_type}'" for job_type in ("TEST", "COMPARE", "SCORE"))

# Constraint, table, and the one change to a sound row that violates it.
CHECKS = [
    ("schema_version_positive", "ml.schema_version", "version = 0", "true"),
    (
        "ref_model_params_kind_known",
        "ref_model_params",
        "kind = 'text', min_value = NULL, max_value = NULL",
        "true",
    ),
    ("ref_model_params_numbers_have_bounds", "ref_model_params", "max_value = NULL", "kind = 'integer'"),
    (
        "ref_model_params_numbers_have_bounds",
        "ref_model_params",
        "min_value = 0, max_value = 1",
        "kind = 'boolean'",
    ),
    ("ref_model_params_min_below_max", "ref_model_params", "min_value = max_value + 1", "kind = 'number'"),
    ("ref_model_params_choice_has_choices", "ref_model_params", "choices_csv = NULL", "kind = 'choice'"),
    ("ml_models_name_not_blank", "ml_models", "name = '  '", "status = 'READY'"),
    ("ml_models_status_known", "ml_models", "status = 'DONE'", "status = 'READY'"),
    ("ml_models_operator_known", "ml_models", "target_operator = '<>'", "true"),
    ("ml_settings_has_one_row", "ml_settings", "is_the_only_row = false", "true"),
    ("ml_settings_max_stored_model_bytes_fit_a_value", "ml_settings", "max_stored_model_bytes = -1", "true"),
    ("ml_sources_name_not_blank", "ml_sources", "name = ' '", "true"),
    ("ml_models_start_before_end", "ml_models", "train_start = train_end", "true"),
    ("ml_models_future_minutes_positive", "ml_models", "future_minutes = 0", "true"),
    ("ml_models_test_size_between_0_and_1", "ml_models", "test_size = 1", "true"),
    ("ml_models_deleted_has_time", "ml_models", "is_deleted = true", "true"),
    ("ml_models_deleted_has_time", "ml_models", "deleted_at = now()", "true"),
    ("ml_models_ready_has_file", "ml_models", "model_file_path = NULL", "status = 'READY'"),
    ("ml_models_metrics_between_0_and_1", "ml_models", "training_accuracy = 1.1", "status = 'READY'"),
    ("ml_models_metrics_between_0_and_1", "ml_models", "training_f1 = -0.1", "status = 'READY'"),
    ("ml_models_metrics_between_0_and_1", "ml_models", "training_precision = 'NaN'", "status = 'READY'"),
    ("ml_models_metrics_between_0_and_1", "ml_models", "training_recall = 2", "status = 'READY'"),
    ("ml_jobs_job_type_known", "ml_jobs", "job_type = 'PREDICT'", PENDING),
    ("ml_jobs_priority_between_1_and_10", "ml_jobs", "priority = 0", PENDING),
    ("ml_jobs_priority_between_1_and_10", "ml_jobs", "priority = 11", PENDING),
    ("ml_jobs_max_attempts_between_1_and_100", "ml_jobs", "max_attempts = 0", PENDING),
    ("ml_jobs_max_minutes_within_a_year", "ml_jobs", "max_minutes = 0", PENDING),
    ("ml_jobs_max_minutes_within_a_year", "ml_jobs", "max_minutes = 'NaN'", PENDING),
    ("ml_client_limits_max_pending_not_negative", "ml_client_limits", "max_pending = -1", "true"),
    ("ml_client_limits_best_priority_between_1_and_10", "ml_client_limits", "best_priority = 0", "true"),
    ("ml_client_limits_default_minutes_within_a_year", "ml_client_limits", "default_minutes = 0", "true"),
    ("ml_client_limits_max_minutes_within_a_year", "ml_client_limits", "max_minutes = 'NaN'", "true"),
    (
        "ml_client_limits_default_within_max",
        "ml_client_limits",
        "default_minutes = 2, max_minutes = 1",
        "true",
    ),
    ("ml_jobs_train_fields", "ml_jobs", "train_value = NULL", PENDING),
    ("ml_jobs_train_fields", "ml_jobs", "train_model_name = NULL", PENDING),
    ("ml_jobs_train_fields", "ml_jobs", "train_description = 'mine'", TEST),
    ("ml_jobs_train_fields", "ml_jobs", "train_future_minutes = 5", COMPARE),
    ("ml_jobs_test_fields", "ml_jobs", "test_model_id = NULL", TEST),
    ("ml_jobs_test_fields", "ml_jobs", "test_end = now()", PENDING),
    ("ml_jobs_compare_fields", "ml_jobs", "compare_model_b_id = NULL", COMPARE),
    ("ml_jobs_compare_fields", "ml_jobs", "compare_start = now()", PENDING),
    ("ml_jobs_train_period", "ml_jobs", "train_start = train_end", PENDING),
    ("ml_jobs_test_period", "ml_jobs", "test_start = test_end", TEST),
    ("ml_jobs_compare_period", "ml_jobs", "compare_start = compare_end", COMPARE),
    ("ml_jobs_score_fields", "ml_jobs", "score_model_id = NULL", SCORE),
    ("ml_jobs_score_fields", "ml_jobs", "score_model_id = 1", COMPARE),
    ("ml_jobs_score_period", "ml_jobs", "score_start = score_end", SCORE),
    ("ml_jobs_score_period", "ml_jobs", "score_end = 'infinity'", SCORE),
    ("ml_jobs_train_period", "ml_jobs", "train_end = 'infinity'", PENDING),
    ("ml_jobs_test_period", "ml_jobs", "test_start = '-infinity'", TEST),
    ("ml_jobs_compare_period", "ml_jobs", "compare_end = 'infinity'", COMPARE),
    ("ml_jobs_operator_known", "ml_jobs", "train_operator = '=='", PENDING),
    ("ml_jobs_train_value_finite", "ml_jobs", "train_value = 'NaN'", PENDING),
    ("ml_jobs_test_size_between_0_and_1", "ml_jobs", "train_test_size = 0", PENDING),
    ("ml_jobs_random_state_not_negative", "ml_jobs", "train_random_state = -1", PENDING),
    ("ml_jobs_train_stop_value_finite", "ml_jobs", "train_stop_value = 'NaN'", PENDING),
    ("ml_jobs_train_uncovered_known", "ml_jobs", "train_uncovered = 'lost'", PENDING),
    ("ml_jobs_train_threshold_known", "ml_jobs", "train_threshold = '50'", PENDING),
    ("ml_jobs_train_threshold_known", "ml_jobs", "train_threshold = 'precision>=1.1'", PENDING),
    ("ml_models_threshold_between_0_and_1", "ml_models", "threshold = 1.1", "true"),
    ("ml_models_threshold_between_0_and_1", "ml_models", "threshold = 'NaN'", "true"),
    ("ml_models_ready_has_threshold", "ml_models", "threshold = NULL", "status = 'READY'"),
    (
        "ml_training_runs_threshold_between_0_and_1",
        "ml_training_runs",
        "threshold = -0.1, tp_at_half = 0, fp_at_half = 0",
        "true",
    ),
    (
        "ml_training_runs_set_aside_counts",
        "ml_training_runs",
        "num_set_aside = 1, num_set_aside_positive = 2",
        "true",
    ),
    ("ml_training_runs_half_fits", "ml_training_runs", "tp_at_half = tp + 1, fp_at_half = fp", "true"),
    (
        "ml_test_results_threshold_between_0_and_1",
        "ml_test_results",
        "threshold = 'NaN', tp_at_half = tp, fp_at_half = fp",
        "true",
    ),
    ("ml_test_results_half_fits", "ml_test_results", "threshold = 0.3", "true"),
    (
        "ml_test_results_half_fits",
        "ml_test_results",
        "threshold = 0.6, tp_at_half = 51, fp_at_half = fp",
        "true",
    ),
    (
        "ml_comparisons_thresholds_between_0_and_1",
        "ml_comparisons",
        "b_threshold = 2, b_tp_at_half = b_tp, b_fp_at_half = b_fp",
        "true",
    ),
    ("ml_comparisons_half_fits", "ml_comparisons", "a_threshold = 0.3", "true"),
    (
        "ml_comparisons_half_fits",
        "ml_comparisons",
        "b_threshold = 0.3, b_tp_at_half = b_tp + 1, b_fp_at_half = 0",
        "true",
    ),
    ("ml_scorings_threshold_between_0_and_1", "ml_scorings", "threshold = 1.1", "true"),
    (
        "ml_prediction_bins_positive_among_answers",
        "ml_prediction_bins",
        "num_positive = num_answers + 1",
        "true",
    ),
    ("ml_jobs_train_split_known", "ml_jobs", "train_split = 'rows'", PENDING),
    ("ml_jobs_train_folds_between_2_and_20", "ml_jobs", "train_folds = 1", PENDING),
    ("ml_jobs_train_folds_between_2_and_20", "ml_jobs", "train_folds = 21", PENDING),
    ("ml_jobs_train_weights_known", "ml_jobs", "train_weights = 'age'", PENDING),
    ("ml_models_split_known", "ml_models", "split = 'rows'", "true"),
    ("ml_models_folds_between_2_and_20", "ml_models", "folds = 1", "true"),
    ("ml_models_weights_known", "ml_models", "weights = 'age'", "true"),
    (
        "ml_training_runs_mean_uniqueness_between_0_and_1",
        "ml_training_runs",
        "mean_uniqueness = 1.1",
        "true",
    ),
    ("ml_folds_threshold_between_0_and_1", "ml_folds", "threshold = 1.5", "true"),
    ("ml_folds_threshold_between_0_and_1", "ml_folds", "num_set_aside = num_fitted + 1", "true"),
    ("ml_folds_fold_between_1_and_20", "ml_folds", "fold = 21", "fold = 3"),
    ("ml_folds_fitted_before_measured", "ml_folds", "fitted_end = measured_end", "true"),
    ("ml_folds_fitted_before_measured", "ml_folds", "fitted_start = measured_start", "true"),
    ("ml_folds_counts_not_negative", "ml_folds", "num_purged = -1", "true"),
    ("ml_folds_counts_not_negative", "ml_folds", "num_fitted = 0", "true"),
    ("ml_folds_counts_not_negative", "ml_folds", "num_samples = 0", "true"),
    ("ml_folds_measured_or_reason", "ml_folds", "reason = 'none'", "true"),
    ("ml_folds_measured_or_reason", "ml_folds", "tp = NULL", "true"),
    ("ml_folds_confusion_matrix_adds_up", "ml_folds", "tp = tp + 1", "true"),
    ("ml_folds_scores_within_bounds", "ml_folds", "roc_auc = 1.1", "true"),
    ("ml_folds_scores_within_bounds", "ml_folds", "brier_score = -0.1", "true"),
    ("ml_models_uncovered_known", "ml_models", "uncovered = 'lost'", "true"),
    ("ml_training_runs_windows_not_negative", "ml_training_runs", "num_uncovered = -1", "true"),
    ("ml_test_results_windows_not_negative", "ml_test_results", "num_without_base = -1", "true"),
    ("ml_comparisons_windows_not_negative", "ml_comparisons", "num_uncovered = -1", "true"),
    ("ml_jobs_future_minutes_within_a_year", "ml_jobs", "train_future_minutes = 525601", PENDING),
    ("ml_jobs_model_name_not_blank", "ml_jobs", "train_model_name = ' '", PENDING),
    ("ml_jobs_compares_two_models", "ml_jobs", "compare_model_b_id = compare_model_a_id", COMPARE),
    ("ml_jobs_status_known", "ml_jobs", "status = 'DONE'", PENDING),
    ("ml_jobs_progress_between_0_and_1", "ml_jobs", "progress = 1.01", PENDING),
    ("ml_jobs_attempt_not_negative", "ml_jobs", "attempt = -1", PENDING),
    ("ml_jobs_running_has_worker", "ml_jobs", "worker_id = NULL", RUNNING),
    ("ml_jobs_running_has_worker", "ml_jobs", "started_at = NULL", RUNNING),
    ("ml_jobs_running_has_lease", "ml_jobs", "lease_until = NULL", RUNNING),
    ("ml_jobs_running_has_lease", "ml_jobs", "lease_until = now()", PENDING),
    ("ml_jobs_ended_has_time", "ml_jobs", "completed_at = NULL", COMPLETED),
    ("ml_jobs_ended_has_time", "ml_jobs", "completed_at = now()", RUNNING),
    ("ml_jobs_failed_has_reason", "ml_jobs", "error_msg = NULL", FAILED),
    ("ml_jobs_failed_has_reason", "ml_jobs", "error_msg = 'why'", RUNNING),
    (
        "ml_jobs_train_result",
        "ml_jobs",
        "result_model_id = NULL",
        f"{COMPLETED} AND job_type = 'TRAIN'",
    ),
    ("ml_jobs_test_result", "ml_jobs", "result_test_id = NULL", TEST),
    ("ml_jobs_compare_result", "ml_jobs", "result_comparison_id = NULL", COMPARE),
    ("ml_jobs_score_result", "ml_jobs", "result_scoring_id = NULL", SCORE),
    ("ml_jobs_train_result", "ml_jobs", "result_model_id = 1", PENDING),
    ("ml_job_events_event_known", "ml_job_events", "event = 'PAUSED'", "event = 'COMPLETED'"),
    ("ml_job_events_lease_while_running", "ml_job_events", "lease_until = NULL", "event = 'CLAIMED'"),
    ("ml_job_events_lease_while_running", "ml_job_events", "lease_until = now()", "event = 'COMPLETED'"),
    ("ml_job_events_progress_between_0_and_1", "ml_job_events", "progress = 1.01", "event = 'PROGRESS'"),
    ("ml_job_events_progress_known", "ml_job_events", "progress = NULL", "event = 'PROGRESS'"),
    ("ml_job_events_progress_known", "ml_job_events", "progress = 0", "event = 'CLAIMED'"),
    ("ml_job_events_loss_has_reason", "ml_job_events", "message = NULL", "event = 'FAILED'"),
    ("ml_training_runs_holdout_known", "ml_training_runs", "holdout = 'rows'", "true"),
    ("ml_training_runs_counts_not_negative", "ml_training_runs", "num_coins = -1", "true"),
    ("ml_training_runs_counts_not_negative", "ml_training_runs", "num_fitted = 0", "true"),
    ("ml_training_runs_confusion_matrix_adds_up", "ml_training_runs", "tp = tp + 1", "true"),
    ("ml_training_runs_confusion_matrix_adds_up", "ml_training_runs", "num_samples = 0", "true"),
    ("ml_training_runs_roc_auc_between_0_and_1", "ml_training_runs", "roc_auc = 1.1", "true"),
    (
        "ml_training_runs_average_precision_between_0_and_1",
        "ml_training_runs",
        "average_precision = 1.1",
        "true",
    ),
    ("ml_training_runs_scores_of_probabilities", "ml_training_runs", "log_loss = -0.1", "true"),
    ("ml_test_results_scores_of_probabilities", "ml_test_results", "brier_score = 1.1", "true"),
    ("ml_comparisons_scores_of_probabilities", "ml_comparisons", "b_brier_score = 1.1", "true"),
    (
        "ml_training_runs_sha256_is_hexadecimal",
        "ml_training_runs",
        "artifact_sha256 = repeat('g', 64)",
        "true",
    ),
    ("ml_training_runs_sha256_is_hexadecimal", "ml_training_runs", "data_fingerprint = 'abc'", "true"),
    ("ml_test_results_start_before_end", "ml_test_results", "test_start = test_end", "true"),
    ("ml_test_results_counts_not_negative", "ml_test_results", "num_unlabelled = -1", "true"),
    ("ml_test_results_confusion_matrix_adds_up", "ml_test_results", "fn = fn + 1", "true"),
    ("ml_test_results_roc_auc_between_0_and_1", "ml_test_results", "roc_auc = -0.1", "true"),
    (
        "ml_test_results_average_precision_between_0_and_1",
        "ml_test_results",
        "average_precision = -0.1",
        "true",
    ),
    ("ml_test_results_overlap_has_note", "ml_test_results", "has_overlap = true", "true"),
    ("ml_test_results_overlap_has_note", "ml_test_results", "overlap_note = '15%'", "true"),
    ("ml_comparisons_two_models", "ml_comparisons", "model_b_id = model_a_id", "true"),
    ("ml_comparisons_start_before_end", "ml_comparisons", "test_end = test_start", "true"),
    ("ml_comparisons_winner_leads", "ml_comparisons", "confidence = 0, winner_id = model_b_id", "true"),
    ("ml_comparisons_winner_leads", "ml_comparisons", "confidence = 0, winner_id = 999", "true"),
    ("ml_comparisons_winner_is_beyond_chance", "ml_comparisons", "winner_id = model_a_id", "true"),
    (
        "ml_comparisons_winner_is_beyond_chance",
        "ml_comparisons",
        "winner_id = model_a_id, f1_difference_lower = 0, f1_difference_upper = 0.2,"
        " num_blocks = 8, block_seconds = 3600",
        "true",
    ),
    (
        "ml_comparisons_winner_was_not_trained_on_it",
        "ml_comparisons",
        "confidence = 0, winner_id = model_a_id, a_overlap_note = '15%'",
        "true",
    ),
    ("ml_comparisons_confidence_is_a_share_or_0", "ml_comparisons", "confidence = 0.4", "true"),
    ("ml_comparisons_confidence_is_a_share_or_0", "ml_comparisons", "confidence = 'NaN'", "true"),
    (
        "ml_comparisons_intervals_contain_differences",
        "ml_comparisons",
        "f1_difference_lower = 0.2, f1_difference_upper = 0.3, num_blocks = 8, block_seconds = 3600",
        "true",
    ),
    (
        "ml_comparisons_intervals_contain_differences",
        "ml_comparisons",
        "roc_auc_difference_lower = 0, num_blocks = 8, block_seconds = 3600",
        "true",
    ),
    (
        "ml_comparisons_interval_of_at_least_8_blocks",
        "ml_comparisons",
        "f1_difference_lower = 0, f1_difference_upper = 0.2, num_blocks = 7, block_seconds = 3600",
        "true",
    ),
    ("ml_comparisons_interval_of_at_least_8_blocks", "ml_comparisons", "num_blocks = 7", "true"),
    ("ml_jobs_compare_confidence_is_a_share_or_0", "ml_jobs", "compare_confidence = 1", COMPARE),
    ("ml_intervals_side_known", "ml_intervals", "side = 'c'", "metric = 'f1'"),
    ("ml_intervals_metric_known", "ml_intervals", "metric = 'mcc'", "metric = 'f1'"),
    ("ml_intervals_within_bounds", "ml_intervals", "lower = -0.1", "metric = 'f1'"),
    ("ml_intervals_within_bounds", "ml_intervals", "lower = 0.9", "metric = 'f1'"),
    ("ml_intervals_within_bounds", "ml_intervals", "upper = 0.1", "metric = 'f1'"),
    ("ml_intervals_both_ends_or_a_reason", "ml_intervals", "lower = NULL, upper = NULL", "metric = 'f1'"),
    ("ml_intervals_both_ends_or_a_reason", "ml_intervals", "reason = 'none'", "metric = 'f1'"),
    ("ml_intervals_at_least_8_blocks", "ml_intervals", "num_blocks = 7", "metric = 'f1'"),
    ("ml_intervals_at_least_8_blocks", "ml_intervals", "block_seconds = 60", "metric = 'f1'"),
    ("ml_intervals_confidence_is_a_share", "ml_intervals", "confidence = 0", "true"),
    ("ml_intervals_effective_rows_positive", "ml_intervals", "effective_rows = 0", "true"),
    ("ml_comparisons_counts_not_negative", "ml_comparisons", "num_unlabelled = -1", "true"),
    ("ml_comparisons_same_rows", "ml_comparisons", "b_tp = b_tp + 1", "true"),
    ("ml_comparisons_same_rows", "ml_comparisons", "num_samples = 0", "true"),
    ("ml_comparisons_roc_auc_between_0_and_1", "ml_comparisons", "b_roc_auc = 2", "true"),
    ("ml_scorings_start_before_end", "ml_scorings", "score_end = score_start", "true"),
    ("ml_scorings_positive_among_samples", "ml_scorings", "num_positive = num_samples + 1", "true"),
    ("ml_scorings_positive_among_samples", "ml_scorings", "num_positive = -1", "true"),
    (
        "ml_prediction_blocks_probabilities_between_0_and_1",
        "ml_prediction_blocks",
        "probabilities = '{1.1}', moments = '{2024-03-01}'",
        "true",
    ),
    (
        "ml_prediction_blocks_probabilities_between_0_and_1",
        "ml_prediction_blocks",
        "probabilities = '{NaN}', moments = '{2024-03-01}'",
        "true",
    ),
    (
        "ml_prediction_blocks_probabilities_between_0_and_1",
        "ml_prediction_blocks",
        "probabilities = '{-0.1}', moments = '{2024-03-01}'",
        "true",
    ),
    (
        "ml_prediction_blocks_nothing_unknown",
        "ml_prediction_blocks",
        "probabilities = '{NULL}', moments = '{2024-03-01}'",
        "true",
    ),
    (
        "ml_prediction_blocks_nothing_unknown",
        "ml_prediction_blocks",
        "probabilities = '{0}', moments = '{NULL}'",
        "true",
    ),
    (
        "ml_prediction_blocks_an_answer_each_moment",
        "ml_prediction_blocks",
        "probabilities = '{0,1}', moments = '{2024-03-01}'",
        "true",
    ),
    (
        "ml_prediction_blocks_an_answer_each_moment",
        "ml_prediction_blocks",
        "probabilities = '{}', moments = '{}'",
        "true",
    ),
    ("ml_prediction_bins_bin_between_1_and_10", "ml_prediction_bins", "bin = 11", "bin = 10"),
    ("ml_prediction_bins_not_empty", "ml_prediction_bins", "num_answers = 0", "true"),
    ("rights_grantee_is_ours", "ml_internal.rights", "grantee = 'anna'", "true"),
    ("job_kinds_job_type_is_a_prefix", "ml.job_kinds", "job_type = 'Train'", "job_type = 'TRAIN'"),
    ("ml_worker_signs_worker_id_not_blank", "ml_worker_signs", "worker_id = ' '", "true"),
    ("ml_worker_signs_concurrency_positive", "ml_worker_signs", "concurrency = 0", "true"),
    ("ml_worker_signs_alive_for_a_day_at_most", "ml_worker_signs", "alive_until = 'infinity'", "true"),
    ("ml_curve_points_threshold_between_0_and_1", "ml_curve_points", "threshold = -0.1", "threshold = 0"),
    ("ml_curve_points_threshold_between_0_and_1", "ml_curve_points", "threshold = 1.1", "threshold = 1"),
    ("ml_curve_points_counts_not_negative", "ml_curve_points", "fn = -1", "true"),
    ("ml_curve_points_nothing_above_1", "ml_curve_points", "tp = 1, sum_probability = 1", "threshold = 1"),
    ("ml_curve_points_sum_fits_threshold", "ml_curve_points", "sum_probability = 24", "threshold = 0.5"),
    ("ml_curve_points_sum_fits_threshold", "ml_curve_points", "sum_probability = 51", "threshold = 0.5"),
    ("ml_baselines_baseline_known", "ml_baselines", "baseline = 'naive'", "true"),
    ("ml_baselines_place_of_model", "ml_baselines", "place = 1", "baseline = 'persistence'"),
    ("ml_baselines_place_of_model", "ml_baselines", "place = 3", "baseline = 'best_feature'"),
    ("ml_baselines_counted_or_reason", "ml_baselines", "tp = NULL", "true"),
    ("ml_baselines_counted_or_reason", "ml_baselines", "rule = NULL", "true"),
    ("ml_baselines_counted_or_reason", "ml_baselines", "reason = 'why'", "true"),
    (
        "ml_baselines_counted_or_reason",
        "ml_baselines",
        "tp = NULL, tn = NULL, fp = NULL, fn = NULL, rule = NULL, roc_auc = NULL, average_precision = NULL",
        "baseline = 'always_positive'",
    ),
    ("ml_baselines_counts_not_negative", "ml_baselines", "fp = -1", "true"),
    ("ml_baselines_counts_not_negative", "ml_baselines", "num_unknown = 201", "true"),
    ("ml_baselines_scores_of_answers", "ml_baselines", "roc_auc = 1.1", "true"),
    ("ml_baselines_scores_of_answers", "ml_baselines", "log_loss = -1", "baseline = 'positive_share'"),
    *(
        (f"{table}_{side}baseline_interval_or_note", table, f"{side}{change}", where)
        for table, side, change, where in (
            ("ml_training_runs", "", "baseline_f1 = 0.5", "true"),
            ("ml_test_results", "", "baseline_lower = 0.5", "best_baseline IS NOT NULL"),
            ("ml_test_results", "", "baseline_lower = NULL", "best_baseline IS NOT NULL"),
            ("ml_test_results", "", "baseline_note = 'why'", "best_baseline IS NOT NULL"),
            ("ml_test_results", "", "best_baseline = NULL", "best_baseline IS NOT NULL"),
            ("ml_comparisons", "a_", "baseline_note = 'why'", "true"),
            ("ml_comparisons", "b_", "best_baseline = 'persistence'", "true"),
        )
    ),
    ("ml_training_runs_baseline_direction_known", "ml_training_runs", "baseline_direction = '='", "true"),
    (
        "ml_training_runs_baseline_threshold_finite",
        "ml_training_runs",
        "baseline_feature = 'x', baseline_direction = '>', baseline_threshold = 'NaN'",
        "true",
    ),
    ("ml_training_runs_baseline_rule_is_whole", "ml_training_runs", "baseline_feature = 'x'", "true"),
    ("ml_test_day_counts_counts_not_negative", "ml_test_day_counts", "tp = -1", "true"),
    ("ml_test_day_counts_roc_auc_between_0_and_1", "ml_test_day_counts", "roc_auc = 1.1", "true"),
    ("ml_test_coin_counts_place_not_negative", "ml_test_coin_counts", "place = -1", "true"),
    ("ml_test_coin_counts_key_is_of_one", "ml_test_coin_counts", "num_coins = 2", "true"),
    ("ml_test_coin_counts_counts_not_negative", "ml_test_coin_counts", "fn = -1", "true"),
    ("ml_model_inputs_all_or_none", "ml_model_inputs", "fill = 1", "scale IS NULL"),
    ("ml_model_inputs_finite", "ml_model_inputs", "scale = 0", "scale = 2"),
    ("ml_model_inputs_finite", "ml_model_inputs", "center = 'NaN'", "scale = 2"),
    ("ml_model_trees_place_not_negative", "ml_model_trees", "tree = -1", "true"),
    ("ml_model_trees_nodes", "ml_model_trees", "feature = '{-2,-1,3,-1,-1}'", "true"),
    ("ml_model_trees_nodes", "ml_model_trees", "bound = '{}'", "true"),
    ("ml_model_trees_finite", "ml_model_trees", "value = '{1,2,3,4,NaN}'", "true"),
    ("ml_model_layers_place_not_negative", "ml_model_layers", "unit = -1", "true"),
    ("ml_model_layers_activation_known", "ml_model_layers", "activation = 'exp'", "true"),
    ("ml_model_layers_finite", "ml_model_layers", "weights = '{1,NULL}'", "true"),
    ("ml_model_numbers_answer_known", "ml_model_numbers", "answer = 'odds'", "num_trees = 1"),
    ("ml_model_numbers_finite", "ml_model_numbers", "base = 'NaN'", "true"),
    ("ml_model_numbers_trees_or_layers", "ml_model_numbers", "num_layers = 1", "num_trees = 1"),
    ("ml_model_numbers_trees_or_layers", "ml_model_numbers", "answer = 'share'", "num_layers = 1"),
    ("ml_model_samples_at_most_50", "ml_model_samples", "place = 50", "true"),
    ("ml_model_samples_probability_between_0_and_1", "ml_model_samples", "probability = 'NaN'", "true"),
    ("ml_warnings_severity_known", "ml_warnings", "severity = 'bad'", "true"),
    ("ml_warnings_sentence_not_blank", "ml_warnings", "sentence = ' '", "true"),
    ("ml_warnings_sentence_not_blank", "ml_warnings", "sentence = repeat('a', 2001)", "true"),
    ("ml_feature_stats_counts_fit", "ml_feature_stats", "num_null = -1", "true"),
    ("ml_feature_stats_counts_fit", "ml_feature_stats", "num_rows = 99", "true"),
    ("ml_feature_stats_counts_fit", "ml_feature_stats", "n_null = -1", "true"),
    ("ml_feature_stats_mean_within", "ml_feature_stats", "mean = 11", "true"),
    ("ml_feature_stats_deciles_rise", "ml_feature_stats", "d3 = 5", "true"),
    ("ml_feature_stats_deciles_rise", "ml_feature_stats", "d9 = 12", "true"),
    ("ml_fitted_coins_counted", "ml_fitted_coins", "num_coins = 3", "true"),
    ("ml_fitted_coins_counted", "ml_fitted_coins", "keys = '{A,NULL}'", "true"),
    ("ml_feature_shifts_not_negative", "ml_feature_shifts", "psi = -1", "true"),
    ("ml_feature_shifts_not_negative", "ml_feature_shifts", "null_share = 1.1", "true"),
    ("ml_seen_unseen_counts_not_negative", "ml_seen_unseen", "fn = -1", "true"),
    ("ml_seen_unseen_counts_not_negative", "ml_seen_unseen", "num_coins = 0", "true"),
    ("ml_seen_unseen_roc_auc_between_0_and_1", "ml_seen_unseen", "roc_auc = 1.1", "true"),
]


@pytest.fixture(scope="module")
def history(module_db: Database) -> Database:
    """A database with sound rows of every kind."""
    with module_db.connect("anna") as anna, module_db.connect("wanda") as wanda:
        for job_type in ("TEST", "COMPARE", "SCORE"):
            facts: dict[str, Any] = {}
            if job_type == "TEST":
                facts = {
                    "ml_curve_points": CURVE,
                    "ml_intervals": INTERVALS,
                    "ml_baselines": BASELINES,
                    **BEATEN,
                    **PARTS,
                }
            complete(wanda, running_job(anna, wanda, job_type), job_type, **facts)
        complete(wanda, running_folds(anna, wanda, **FOLDS), "TRAIN", ml_folds=THREE)
        for numbers in (TREES, LAYERS):
            complete(wanda, running_job(anna, wanda), "TRAIN", **numbers)
        for job_type in ("TRAIN", "TEST"):
            job_id = running_job(anna, wanda, job_type)
            complete(wanda, job_id, job_type, **found_beside(anna, job_id, job_type))
        running = jobs_in_every_state(anna, wanda)["RUNNING"]
        wanda.execute("SELECT ml_internal.record_progress(%s, 1, 0.5, 'half', '30 seconds')", [running])
        wanda.execute("SELECT ml_internal.record_sign('w1', 1, '1 minute')")
    with module_db.connect("owner") as owner:
        owner.execute("INSERT INTO ml_client_limits (client) VALUES ('public')")
    return module_db


@pytest.fixture
def unguarded(history: Database) -> Iterator[Callable[[str], Connection]]:
    """The owner's connection with the triggers of a table off; what it does is rolled back."""
    with history.connect("owner") as owner, owner.transaction(force_rollback=True):

        def without_triggers(table: str) -> Connection:
            owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            return owner

        yield without_triggers


@pytest.mark.parametrize("table", sorted({table for _, table, _, _ in CHECKS}))
def test_the_checks_of_a_table_hold(
    unguarded: Callable[[str], Connection], subtests: pytest.Subtests, table: str
) -> None:
    owner = unguarded(table)
    for constraint, _, change, where in (check for check in CHECKS if check[1] == table):
        with subtests.test(f"{constraint}: {change}"):
            assert owner.execute(f"SELECT FROM {table} WHERE {where}").rowcount > 0
            with violates(constraint), owner.transaction():
                owner.execute(f"UPDATE {table} SET {change} WHERE {where}")


def test_every_check_is_among_them(owner: Connection) -> None:
    rows = owner.execute(
        "SELECT conname FROM pg_constraint WHERE contype = 'c'"
        " AND connamespace IN ('public'::regnamespace, 'ml'::regnamespace, 'ml_internal'::regnamespace)"
    )
    assert {row["conname"] for row in rows} == {constraint for constraint, *_ in CHECKS}


def test_every_constraint_is_named_after_its_table(owner: Connection) -> None:
    rows = owner.execute(
        "SELECT conname, relname FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid"
        " WHERE contype IN ('c', 'f', 'p', 'u') AND c.connamespace::regnamespace::text IN ('public', 'ml')"
    ).fetchall()
    assert rows
    assert [row for row in rows if not row["conname"].startswith(row["relname"] + "_")] == []
