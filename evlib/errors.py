"""The one exception a user is meant to read."""


class EvlibError(Exception):
    """Something a person can mend. Its message is one sentence or two: which file or argument, what was
    expected, what was found, what to do. The command line prints it as one line and exits with status 2."""
