"""Errors whose message is for a user: it says what is wrong, and what to do."""


class JobError(Exception):
    """The job cannot succeed; the message is for the user who submitted it."""


class LoadError(Exception):
    """The file was not loaded; the message names the line."""


class DemoError(Exception):
    """A job of the demo did not complete."""
