-- Model type xgboost: trees that each correct those before, by xgboost.

SET search_path TO pg_catalog, pg_temp;

INSERT INTO public.ref_model_types (id, name, description, default_params_csv, takes_weights)
VALUES
    (2, 'xgboost', 'Very strong, wants tuning', 'n_estimators=100;max_depth=6;learning_rate=0.1', true)
ON CONFLICT (name) DO UPDATE SET
    description = EXCLUDED.description,
    default_params_csv = EXCLUDED.default_params_csv,
    takes_weights = EXCLUDED.takes_weights;

INSERT INTO public.ref_model_params (model_type, name, kind, min_value, max_value, choices_csv, default_value, description)
VALUES
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
    ('xgboost', 'grow_policy', 'choice', NULL, NULL, 'depthwise,lossguide', 'depthwise', 'Order in which nodes are split')
ON CONFLICT (model_type, name) DO UPDATE SET
    kind = EXCLUDED.kind,
    min_value = EXCLUDED.min_value,
    max_value = EXCLUDED.max_value,
    choices_csv = EXCLUDED.choices_csv,
    default_value = EXCLUDED.default_value,
    description = EXCLUDED.description;
