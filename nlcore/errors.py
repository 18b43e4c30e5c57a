"""The one exception for input that a person gave and that cannot be used."""


class InputError(ValueError):
    """Unusable input. Its message is one line: what is wrong, where, and what was expected.

    The command line prints the line and exits with code 2; nothing has been written when it is raised.
    """
