"""The one error that the ML raises on purpose."""


class JobError(Exception):
    """The job cannot succeed; the message is for the user who submitted it."""
