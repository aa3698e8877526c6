"""A source that is none."""

from features.errors import InputError


class IngestError(InputError):
    """A source cannot be read at all. One line: the file, what is wrong, what to do."""
