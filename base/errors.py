"""What a person can mend."""


class InputError(ValueError):
    """Data or parameters that cannot be used. One line: what is wrong, where, what to do."""
