"""The root of the errors that a user can cause, so that the command line knows them by one name."""

__all__ = ["UsageError", "UserError"]


class UserError(Exception):
    """What a user can cause; its text is one sentence, shown without a traceback."""


class UsageError(UserError):
    """Options of a command that do not go together."""
