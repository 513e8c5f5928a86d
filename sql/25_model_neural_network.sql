-- Model type neural_network: a multilayer perceptron.

SET search_path TO pg_catalog, pg_temp;

INSERT INTO public.ref_model_types (id, name, description, default_params_csv, takes_weights)
VALUES
    (5, 'neural_network', 'Complex, needs much data', 'hidden_layers=100,50;activation=relu;max_iter=200', true)
ON CONFLICT (name) DO UPDATE SET
    description = EXCLUDED.description,
    default_params_csv = EXCLUDED.default_params_csv,
    takes_weights = EXCLUDED.takes_weights;

INSERT INTO public.ref_model_params (model_type, name, kind, min_value, max_value, choices_csv, default_value, description)
VALUES
    ('neural_network', 'hidden_layers', 'layers', 1, 1024, NULL, '100,50', 'Units of each hidden layer, at most 10 layers'),
    ('neural_network', 'activation', 'choice', NULL, NULL, 'identity,logistic,tanh,relu', 'relu', 'Activation of the hidden units'),
    ('neural_network', 'max_iter', 'integer', 1, 10000, NULL, '200', 'Largest number of epochs'),
    ('neural_network', 'solver', 'choice', NULL, NULL, 'adam,sgd', 'adam', 'Algorithm of the fit'),
    ('neural_network', 'alpha', 'number', 0, 1000, NULL, '0.0001', 'L2 penalty on the weights'),
    ('neural_network', 'learning_rate_init', 'number', 0.000001, 1, NULL, '0.001', 'Step of the first epoch'),
    ('neural_network', 'batch_size', 'integer', 1, 1000000, 'auto', 'auto', 'Rows a step; auto: 200, or all where there are fewer'),
    ('neural_network', 'tol', 'number', 0.0000001, 1, NULL, '0.0001', 'Least improvement of the loss that counts'),
    ('neural_network', 'n_iter_no_change', 'integer', 1, 10000, NULL, '10', 'Epochs without such improvement that end the fit')
ON CONFLICT (model_type, name) DO UPDATE SET
    kind = EXCLUDED.kind,
    min_value = EXCLUDED.min_value,
    max_value = EXCLUDED.max_value,
    choices_csv = EXCLUDED.choices_csv,
    default_value = EXCLUDED.default_value,
    description = EXCLUDED.description;
