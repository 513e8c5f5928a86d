-- The model types that can be trained, with their default hyperparameters,
-- and every hyperparameter of each type with its kind and bounds.

SET search_path TO pg_catalog, pg_temp;

CREATE TABLE IF NOT EXISTS public.ref_model_types (
    id integer NOT NULL,
    name varchar(50) NOT NULL,
    description text NOT NULL,
    default_params_csv text NOT NULL,
    CONSTRAINT ref_model_types_pkey PRIMARY KEY (id),
    CONSTRAINT ref_model_types_name_unique UNIQUE (name)
);

CREATE TABLE IF NOT EXISTS public.ref_model_params (
    model_type varchar(50) NOT NULL,
    name varchar(50) NOT NULL,
    kind varchar(10) NOT NULL,
    min_value numeric,
    max_value numeric,
    choices_csv text,
    default_value text NOT NULL,
    description text NOT NULL,
    CONSTRAINT ref_model_params_pkey PRIMARY KEY (model_type, name),
    CONSTRAINT ref_model_params_model_type_fkey FOREIGN KEY (model_type) REFERENCES public.ref_model_types (name),
    CONSTRAINT ref_model_params_kind_known CHECK (kind IN ('integer', 'number', 'boolean', 'choice', 'layers')),
    CONSTRAINT ref_model_params_numbers_have_bounds CHECK (
        (kind IN ('integer', 'number', 'layers')) = (min_value IS NOT NULL AND max_value IS NOT NULL)
    ),
    CONSTRAINT ref_model_params_min_below_max CHECK (min_value <= max_value),
    CONSTRAINT ref_model_params_choice_has_choices CHECK (kind <> 'choice' OR choices_csv IS NOT NULL)
);

INSERT INTO public.ref_model_types (id, name, description, default_params_csv)
VALUES
    (1, 'random_forest', 'Good for beginners, robust', 'n_estimators=100;max_depth=10;min_samples_split=2'),
    (2, 'xgboost', 'Very strong, wants tuning', 'n_estimators=100;max_depth=6;learning_rate=0.1'),
    (3, 'gradient_boosting', 'Similar to xgboost', 'n_estimators=100;max_depth=3;learning_rate=0.1'),
    (4, 'logistic_regression', 'Simple, fast, easy to interpret', 'C=1.0;max_iter=100'),
    (5, 'neural_network', 'Complex, needs much data', 'hidden_layers=100,50;activation=relu;max_iter=200')
ON CONFLICT DO NOTHING;

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
    ('random_forest', 'class_weight', 'choice', NULL, NULL, 'none,balanced,balanced_subsample', 'none', 'balanced: a rare class weighs as much as a frequent one'),
    ('xgboost', 'n_estimators', 'integer', 1, 10000, NULL, '100', 'Number of trees'),
    ('xgboost', 'max_depth', 'integer', 0, 100, NULL, '6', 'Largest depth of a tree; 0: no limit'),
    ('xgboost', 'learning_rate', 'number', 0.0001, 1, NULL, '0.1', 'Shrinkage of each tree''s step'),
    ('xgboost', 'subsample', 'number', 0.01, 1, NULL, '1', 'Share of the rows that a tree sees'),
    ('xgboost', 'colsample_bytree', 'number', 0.01, 1, NULL, '1', 'Share of the features that a tree sees'),
    ('xgboost', 'min_child_weight', 'number', 0, 1000000, NULL, '1', 'Least weight (hessian) of a leaf'),
    ('xgboost', 'gamma', 'number', 0, 1000000, NULL, '0', 'Least gain of a split'),
    ('xgboost', 'reg_alpha', 'number', 0, 1000000, NULL, '0', 'L1 penalty on the leaves'),
    ('xgboost', 'reg_lambda', 'number', 0, 1000000, NULL, '1', 'L2 penalty on the leaves'),
    ('xgboost', 'scale_pos_weight', 'number', 0.000001, 1000000, NULL, '1', 'Weight of a positive row'),
    ('xgboost', 'max_bin', 'integer', 2, 4096, NULL, '256', 'Histogram bins a feature'),
    ('xgboost', 'grow_policy', 'choice', NULL, NULL, 'depthwise,lossguide', 'depthwise', 'Order in which nodes are split'),
    ('gradient_boosting', 'n_estimators', 'integer', 1, 10000, NULL, '100', 'Number of trees'),
    ('gradient_boosting', 'max_depth', 'integer', 1, 1000, 'none', '3', 'Largest depth of a tree; none: no limit'),
    ('gradient_boosting', 'learning_rate', 'number', 0.0001, 1, NULL, '0.1', 'Shrinkage of each tree''s step'),
    ('gradient_boosting', 'max_leaf_nodes', 'integer', 2, 10000, 'none', '31', 'Largest number of leaves of a tree; none: no limit'),
    ('gradient_boosting', 'min_samples_leaf', 'integer', 1, 1000000, NULL, '20', 'Rows that a leaf must keep'),
    ('gradient_boosting', 'l2_regularization', 'number', 0, 1000000, NULL, '0', 'L2 penalty on the leaves'),
    ('gradient_boosting', 'max_features', 'number', 0.01, 1, NULL, '1', 'Share of the features tried at a split'),
    ('gradient_boosting', 'max_bins', 'integer', 2, 255, NULL, '255', 'Histogram bins a feature'),
    ('gradient_boosting', 'class_weight', 'choice', NULL, NULL, 'none,balanced', 'none', 'balanced: a rare class weighs as much as a frequent one'),
    ('logistic_regression', 'C', 'number', 0.000001, 1000000, NULL, '1.0', 'Inverse of the penalty''s strength'),
    ('logistic_regression', 'max_iter', 'integer', 1, 100000, NULL, '100', 'Largest number of iterations'),
    ('logistic_regression', 'tol', 'number', 0.0000001, 1, NULL, '0.0001', 'Change at which the fit has converged'),
    ('logistic_regression', 'solver', 'choice', NULL, NULL, 'lbfgs,newton-cholesky,sag,saga', 'lbfgs', 'Algorithm of the fit'),
    ('logistic_regression', 'fit_intercept', 'boolean', NULL, NULL, NULL, 'true', 'Whether the model has a constant term'),
    ('logistic_regression', 'class_weight', 'choice', NULL, NULL, 'none,balanced', 'none', 'balanced: a rare class weighs as much as a frequent one'),
    ('neural_network', 'hidden_layers', 'layers', 1, 1024, NULL, '100,50', 'Units of each hidden layer, at most 10 layers'),
    ('neural_network', 'activation', 'choice', NULL, NULL, 'identity,logistic,tanh,relu', 'relu', 'Activation of the hidden units'),
    ('neural_network', 'max_iter', 'integer', 1, 10000, NULL, '200', 'Largest number of epochs'),
    ('neural_network', 'solver', 'choice', NULL, NULL, 'adam,sgd', 'adam', 'Algorithm of the fit'),
    ('neural_network', 'alpha', 'number', 0, 1000, NULL, '0.0001', 'L2 penalty on the weights'),
    ('neural_network', 'learning_rate_init', 'number', 0.000001, 1, NULL, '0.001', 'Step of the first epoch'),
    ('neural_network', 'batch_size', 'integer', 1, 1000000, 'auto', 'auto', 'Rows a step; auto: 200, or all where there are fewer'),
    ('neural_network', 'tol', 'number', 0.0000001, 1, NULL, '0.0001', 'Least improvement of the loss that counts'),
    ('neural_network', 'n_iter_no_change', 'integer', 1, 10000, NULL, '10', 'Epochs without such improvement that end the fit')
ON CONFLICT DO NOTHING;

COMMENT ON TABLE public.ref_model_types IS 'Model types that can be trained, with the hyperparameters that a job starts from.';
COMMENT ON COLUMN public.ref_model_types.id IS 'Number of the type.';
COMMENT ON COLUMN public.ref_model_types.name IS 'Name of the type, as in ml_jobs.train_model_type.';
COMMENT ON COLUMN public.ref_model_types.description IS 'What the type is good for.';
COMMENT ON COLUMN public.ref_model_types.default_params_csv IS 'Default hyperparameters, key=value;key=value.';
COMMENT ON TABLE public.ref_model_params IS 'Every hyperparameter of every model type: what train_params_csv may contain.';
COMMENT ON COLUMN public.ref_model_params.model_type IS 'Model type that has the hyperparameter.';
COMMENT ON COLUMN public.ref_model_params.name IS 'Name of the hyperparameter.';
COMMENT ON COLUMN public.ref_model_params.kind IS 'integer, number, boolean (true or false), choice, or layers (integers separated by commas).';
COMMENT ON COLUMN public.ref_model_params.min_value IS 'Smallest value allowed.';
COMMENT ON COLUMN public.ref_model_params.max_value IS 'Largest value allowed.';
COMMENT ON COLUMN public.ref_model_params.choices_csv IS 'Words allowed; beside the numbers where there are bounds as well.';
COMMENT ON COLUMN public.ref_model_params.default_value IS 'Value that is used where neither the job nor ref_model_types names one.';
COMMENT ON COLUMN public.ref_model_params.description IS 'What it does.';
