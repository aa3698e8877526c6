"""Libraries that talk to themselves."""

import contextlib
import io
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Feast prints its progress, and Ibis calls what DuckDB deprecates: neither is for our user."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore", DeprecationWarning)
        with contextlib.redirect_stderr(io.StringIO()):
            yield
