"""The base class of all errors that a user can cause; the command line catches it."""

__all__ = ["UsageError", "UserError"]


class UserError(Exception):
    """An error that a user can cause; its text is one sentence, shown without a traceback."""


class UsageError(UserError):
    """Options of a command that exclude each other."""
