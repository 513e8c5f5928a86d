-- Model type random_forest: many trees, each grown on a random part of the rows.

SET search_path TO pg_catalog, pg_temp;

INSERT INTO public.ref_model_types (id, name, description, default_params_csv, takes_weights)
VALUES
    (1, 'random_forest', 'Good for beginners, robust', 'n_estimators=100;max_depth=10;min_samples_split=2', true)
ON CONFLICT (name) DO UPDATE SET
    description = EXCLUDED.description,
    default_params_csv = EXCLUDED.default_params_csv,
    takes_weights = EXCLUDED.takes_weights;

INSERT INTO public.ref_model_params (model_type, name, kind, min_value, max_value, choices_csv, default_value, description)
VALUES
    ('random_forest', 'n_estimators', 'integer', 1, 10000, NULL, '100', 'Number of trees'),
    ('random_forest', 'max_depth', 'integer', 1, 1000, 'none', '10', 'Largest depth of a tree; none: no limit'),
    ('random_forest', 'min_samples_split', 'integer', 2, 1000000, NULL, '2', 'Rows that a node needs to be split'),
    ('random_forest', 'min_samples_leaf', 'integer', 1, 1000000, NULL, '1', 'Rows that a leaf must keep'),
    ('random_forest', 'max_features', 'number', 0.01, 1, 'sqrt,log2', 'sqrt', 'Features tried at a split: a share of all, or sqrt or log2 of their number'),
    ('random_forest', 'max_leaf_nodes', 'integer', 2, 1000000, 'none', 'none', 'Largest number of leaves of a tree; none: no limit'),
    ('random_forest', 'criterion', 'choice', NULL, NULL, 'gini,entropy,log_loss', 'gini', 'Measure of the quality of a split'),
    ('random_forest', 'bootstrap', 'boolean', NULL, NULL, NULL, 'true', 'Whether each tree sees a random draw of the rows'),
    ('random_forest', 'class_weight', 'choice', NULL, NULL, 'none,balanced,balanced_subsample', 'none', 'balanced: a rare class weighs as much as a frequent one')
ON CONFLICT (model_type, name) DO UPDATE SET
    kind = EXCLUDED.kind,
    min_value = EXCLUDED.min_value,
    max_value = EXCLUDED.max_value,
    choices_csv = EXCLUDED.choices_csv,
    default_value = EXCLUDED.default_value,
    description = EXCLUDED.description;
