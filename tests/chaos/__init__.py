"""A soak: jobs are submitted while faults strike at random; nothing is lost, and nothing done twice."""
