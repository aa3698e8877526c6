"""What a client wrote wrong is one line in the service's log: the client has the whole answer."""

import logging

from pydantic import ValidationError

#: Where BentoML tells of a request that failed, whoever's fault it was.
_LOGGER = "bentoml._internal.server.http_app"


def told_in_one_line(record: logging.LogRecord) -> bool:
    """A filter that leaves the traceback out, which would quote what the client sent."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, ValidationError):
        record.exc_info = None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg = f"refused: {record.getMessage()}, {error.error_count()} mistakes"
        record.args = None
    return True


def install() -> None:
    """For this process; again is harmless."""
    logging.getLogger(_LOGGER).addFilter(told_in_one_line)
