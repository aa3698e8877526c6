"""Log expected failures in Prefect as one line, without a stack trace."""

import logging
from typing import Final

from flows import environment

#: The loggers that Prefect uses for failed runs.
LOGGERS: Final = ("prefect.flow_runs", "prefect.task_runs")


class Brief(logging.Filter):
    """Removes the stack trace from records of expected errors. All records pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], environment.expected_errors()):
            record.exc_info = None
        return True


def tell_briefly() -> None:
    """Make Prefect log expected errors of flows and tasks in one line. A second call does nothing.

    These errors say what is wrong and what to do; a stack trace would only hide that.
    """
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(present, Brief) for present in logger.filters):
            logger.addFilter(Brief())
