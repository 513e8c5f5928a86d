-- Model type extra_trees: a sixth one, of the tests alone.

SET search_path TO pg_catalog, pg_temp;

INSERT INTO public.ref_model_types (id, name, description, default_params_csv)
VALUES (6, 'extra_trees', 'Splits drawn at random', 'n_estimators=100')
ON CONFLICT (name) DO UPDATE SET description = EXCLUDED.description, default_params_csv = EXCLUDED.default_params_csv;

INSERT INTO public.ref_model_params (model_type, name, kind, min_value, max_value, choices_csv, default_value, description)
VALUES ('extra_trees', 'n_estimators', 'integer', 1, 10000, NULL, '100', 'Number of trees')
ON CONFLICT (model_type, name) DO UPDATE SET min_value = EXCLUDED.min_value, max_value = EXCLUDED.max_value;
