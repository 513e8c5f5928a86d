"""Worker of the ML training service: takes jobs from ``ml_jobs``, does the ML, records the results."""
