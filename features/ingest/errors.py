"""What a person can mend."""


class IngestError(ValueError):
    """A source cannot be read at all. One line: the file, what is wrong, what to do."""
