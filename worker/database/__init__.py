"""All SQL of the worker, and nowhere else: one function for each call."""
