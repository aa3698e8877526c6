"""Libraries that talk to themselves."""

import contextlib
import io
import threading
import warnings
from collections.abc import Iterator
from typing import Final

#: What is put aside belongs to the whole process. Two threads that overlapped would put back each
#: other's, and the program would be silent from then on.
_ONE: Final = threading.RLock()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Feast prints its progress, and Ibis calls what DuckDB deprecates: neither is for our user.

    One thread at a time.
    """
    with _ONE, warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore", DeprecationWarning)
        with contextlib.redirect_stderr(io.StringIO()):
            yield
