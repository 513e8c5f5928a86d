"""Errors whose message is for a user: it says what is wrong, and what to do."""

from worker.protocol import Lack, Unable


class JobError(Exception):
    """The job cannot succeed; the message is for the user who submitted it."""


class LackError(Exception):
    """The worker lacks something now; the job can be done later, or elsewhere."""

    def __init__(self, lack: Lack, message: str, num_bytes: int = 0) -> None:
        super().__init__(message)
        self.unable = Unable(lack, message, num_bytes)


class LoadError(Exception):
    """The file was not loaded; the message names the line."""


class DemoError(Exception):
    """A job of the demo did not complete."""


class ExportError(Exception):
    """The file of a model was not written."""
