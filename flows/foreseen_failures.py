"""Failures that were foreseen are a line in Prefect's logs, without the stack that led to them."""

import logging
from typing import Final

from flows import environment

#: What Prefect's engines log a failed run to.
LOGGERS: Final = ("prefect.flow_runs", "prefect.task_runs")


class Brief(logging.Filter):
    """Takes the stack trace off the record of an expected error; every record passes."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], environment.expected_errors()):
            record.exc_info = None
        return True


def tell_briefly() -> None:
    """Have Prefect log expected errors of flows and tasks in one line. A second call does nothing.

    The errors say what is wrong and what to do; the stack is ours and hides it.
    """
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(present, Brief) for present in logger.filters):
            logger.addFilter(Brief())
