"""The one exception that reaches the user as a line, and the exit codes of the command line."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every subcommand."""

    DONE = 0
    SOME_FAILED = 1
    USAGE = 2
    INTERRUPTED = 130


class MudrockError(Exception):
    """An expected failure: bad input, an unwritable folder, a wrong recipe.

    Parameters
    ----------
    message : str
        What is wrong, naming the file and the reason, on one line.
    hint : str
        What the user can do about it, on one line.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(MudrockError):
    """A command line that cannot be carried out at all (exit code 2)."""
