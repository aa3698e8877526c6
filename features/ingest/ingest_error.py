"""A source that is none."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import duckdb
import pyarrow as pa

from base.errors import InputError

_Read = TypeVar("_Read", bound=Callable[..., Any])


class IngestError(InputError):
    """A source cannot be read at all. One line: the file, what is wrong, what to do."""


class NoRows(IngestError):
    """A file without a row. Among others it is no fault: whoever exports in parts writes such."""


def in_one_line(read: _Read) -> _Read:
    """`read`, whose last argument names the source: what its libraries cannot do is one line."""

    @functools.wraps(read)
    def told(*arguments: Any) -> Any:
        try:
            return read(*arguments)
        except (duckdb.Error, pa.ArrowException) as error:
            reason = " ".join(str(error).split())[:300]
            raise IngestError(f"{arguments[-1]}: cannot be read ({reason})") from error

    return told  # type: ignore[return-value]
