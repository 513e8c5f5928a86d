"""Kinds of label: which rows are positive."""
