"""Log a client's mistake in one line. The client gets the full message in the answer."""

import logging

from pydantic import ValidationError

#: The logger that BentoML uses for failed requests, including those that are the client's fault.
_LOGGER = "bentoml._internal.server.http_app"


def told_in_one_line(record: logging.LogRecord) -> bool:
    """A log filter that drops the traceback, which would quote the client's data."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, ValidationError):
        record.exc_info = None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg = f"refused: {record.getMessage()}, {error.error_count()} mistakes"
        record.args = None
    return True


def install() -> None:
    """Install the filter in this process. It is safe to do so again."""
    logging.getLogger(_LOGGER).addFilter(told_in_one_line)
