"""The supervisor and what it runs by: no ML is imported here."""
