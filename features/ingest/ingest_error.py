"""Errors for sources that cannot be read."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import duckdb
import pyarrow as pa

from base.errors import InputError

_Read = TypeVar("_Read", bound=Callable[..., Any])


class IngestError(InputError):
    """A source cannot be read at all.

    The message is one line: the file, what is wrong, what to do.
    """


class NoRows(IngestError):
    """A file has no rows.

    Among other files this is no error, since exports in parts may contain empty parts.
    """


def in_one_line(read: _Read) -> _Read:
    """Decorate `read`, whose last argument names the source, so that errors of libraries become
    an IngestError of one line."""

    @functools.wraps(read)
    def told(*arguments: Any) -> Any:
        try:
            return read(*arguments)
        except (duckdb.Error, pa.ArrowException) as error:
            reason = " ".join(str(error).split())[:300]
            raise IngestError(f"{arguments[-1]}: cannot be read ({reason})") from error

    return told  # type: ignore[return-value]
