"""The exceptions a user is meant to read."""


class EvlibError(Exception):
    """Something a person can mend. Its message is one sentence or two: which file or argument, what was
    expected, what was found, what to do. The command line prints it as one line and exits with status 2."""


class UnreadableFile(EvlibError):
    """A file of a data set that cannot be read. Encoding names, counts and skips it, up to 1 % of the files."""
