"""Read one value of a client as ingestion reads a column of texts.

The service and the reader of JSON lines use these functions. A test asserts that SQL reads a table
of the same texts alike.
"""

import json
import math
import re
from typing import Any, Final

#: The characters that SQL's `trim` removes: all of Unicode's class of blanks.
BLANKS: Final = (
    " \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u202f\u205f\u3000"
)
_FLAGS: Final = dict.fromkeys(("true", "t", "yes", "y", "on", "1"), True) | dict.fromkeys(
    ("false", "f", "no", "n", "off", "0"), False
)


def text(value: Any) -> str | None:
    """A JSON value as text: lists and numbers as JSON, None for an empty value."""
    if value is None or value == "":
        return None
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def identity(value: Any) -> str | None:
    """The text of an id, without surrounding blanks, and `100` for `100.0` as some software
    writes it."""
    said = (text(value) or "").strip(BLANKS)
    return re.sub(r"\A(-?[0-9]+)[.]0+\Z", r"\1", said) or None


def number(value: Any) -> float | None:
    """A value as a float: None for an empty value, NaN if it is not a number."""
    if value is None or value == "":
        return None
    if isinstance(value, bool) or (isinstance(value, str) and not value.isascii()):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def flag(value: Any) -> bool | None:
    """True, false or None. Raises ValueError for a value that says neither yes nor no."""
    said = identity(value)
    if said is None:
        return None
    if said.lower() not in _FLAGS:
        raise ValueError("available is neither true nor false")
    return _FLAGS[said.lower()]
