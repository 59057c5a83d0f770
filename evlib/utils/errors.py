"""The exceptions a user is meant to read."""


class EvlibError(Exception):
    """An error that a user can fix. Its message is one or two sentences: which file or argument, what was expected,
    what was found, what to do. The command line prints it as one line and exits with status 2."""


class UnreadableFile(EvlibError):
    """A file of a data set that cannot be read. Encoding reports, counts and skips it, up to 1 % of the files."""
