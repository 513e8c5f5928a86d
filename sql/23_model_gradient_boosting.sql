-- Model type gradient_boosting: trees that each correct those before, by scikit-learn.

SET search_path TO pg_catalog, pg_temp;

INSERT INTO public.ref_model_types (id, name, description, default_params_csv, takes_weights)
VALUES
    (3, 'gradient_boosting', 'Similar to xgboost', 'n_estimators=100;max_depth=3;learning_rate=0.1', true)
ON CONFLICT (name) DO UPDATE SET
    description = EXCLUDED.description,
    default_params_csv = EXCLUDED.default_params_csv,
    takes_weights = EXCLUDED.takes_weights;

INSERT INTO public.ref_model_params (model_type, name, kind, min_value, max_value, choices_csv, default_value, description)
VALUES
    ('gradient_boosting', 'n_estimators', 'integer', 1, 10000, NULL, '100', 'Number of trees'),
    ('gradient_boosting', 'max_depth', 'integer', 1, 1000, 'none', '3', 'Largest depth of a tree; none: no limit'),
    ('gradient_boosting', 'learning_rate', 'number', 0.0001, 1, NULL, '0.1', 'Shrinkage of each tree''s step'),
    ('gradient_boosting', 'max_leaf_nodes', 'integer', 2, 10000, 'none', '31', 'Largest number of leaves of a tree; none: no limit'),
    ('gradient_boosting', 'min_samples_leaf', 'integer', 1, 1000000, NULL, '20', 'Rows that a leaf must keep'),
    ('gradient_boosting', 'l2_regularization', 'number', 0, 1000000, NULL, '0', 'L2 penalty on the leaves'),
    ('gradient_boosting', 'max_features', 'number', 0.01, 1, NULL, '1', 'Share of the features tried at a split'),
    ('gradient_boosting', 'max_bins', 'integer', 2, 255, NULL, '255', 'Histogram bins a feature'),
    ('gradient_boosting', 'class_weight', 'choice', NULL, NULL, 'none,balanced', 'none', 'balanced: a rare class weighs as much as a frequent one')
ON CONFLICT (model_type, name) DO UPDATE SET
    kind = EXCLUDED.kind,
    min_value = EXCLUDED.min_value,
    max_value = EXCLUDED.max_value,
    choices_csv = EXCLUDED.choices_csv,
    default_value = EXCLUDED.default_value,
    description = EXCLUDED.description;
