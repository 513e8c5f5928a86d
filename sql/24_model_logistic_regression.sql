-- Model type logistic_regression: a weighted sum of the features.

SET search_path TO pg_catalog, pg_temp;

INSERT INTO public.ref_model_types (id, name, description, default_params_csv, takes_weights)
VALUES
    (4, 'logistic_regression', 'Simple, fast, easy to interpret', 'C=1.0;max_iter=100', true)
ON CONFLICT (name) DO UPDATE SET
    description = EXCLUDED.description,
    default_params_csv = EXCLUDED.default_params_csv,
    takes_weights = EXCLUDED.takes_weights;

INSERT INTO public.ref_model_params (model_type, name, kind, min_value, max_value, choices_csv, default_value, description)
VALUES
    ('logistic_regression', 'C', 'number', 0.000001, 1000000, NULL, '1.0', 'Inverse of the penalty''s strength'),
    ('logistic_regression', 'max_iter', 'integer', 1, 100000, NULL, '100', 'Largest number of iterations'),
    ('logistic_regression', 'tol', 'number', 0.0000001, 1, NULL, '0.0001', 'Change at which the fit has converged'),
    ('logistic_regression', 'solver', 'choice', NULL, NULL, 'lbfgs,newton-cholesky,sag,saga', 'lbfgs', 'Algorithm of the fit'),
    ('logistic_regression', 'fit_intercept', 'boolean', NULL, NULL, NULL, 'true', 'Whether the model has a constant term'),
    ('logistic_regression', 'class_weight', 'choice', NULL, NULL, 'none,balanced', 'none', 'balanced: a rare class weighs as much as a frequent one')
ON CONFLICT (model_type, name) DO UPDATE SET
    kind = EXCLUDED.kind,
    min_value = EXCLUDED.min_value,
    max_value = EXCLUDED.max_value,
    choices_csv = EXCLUDED.choices_csv,
    default_value = EXCLUDED.default_value,
    description = EXCLUDED.description;
