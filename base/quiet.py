"""Silence messages of libraries that our users cannot act on."""

import contextlib
import io
import threading
import warnings
from collections.abc import Iterator
from typing import Final

#: `quiet` replaces settings of the whole process and restores them afterwards. Two threads at once
#: could restore each other's silenced settings and leave the program silent.
_ONE: Final = threading.RLock()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence Feast's progress output and Ibis's warnings about deprecated DuckDB calls.

    Only one thread at a time runs in this block; others wait.
    """
    with _ONE, warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore", DeprecationWarning)
        with contextlib.redirect_stderr(io.StringIO()):
            yield
