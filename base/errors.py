"""Errors that a person can fix."""


class InputError(ValueError):
    """Data or parameters cannot be used.

    The message is one line: what is wrong, where, what to do.
    """
