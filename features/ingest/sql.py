"""Pieces of SQL that the readers of a mapping share."""

from typing import Any


def literal(value: Any) -> str:
    """A value as the SQL of a text."""
    return "'" + str(value).replace("'", "''") + "'"


def whole_id(text: str) -> str:
    """`100` of `100.0`, as software writes it that knows missing values only among decimals."""
    return rf"regexp_replace(trim({text}), '^(-?[0-9]+)[.]0+$', '\1')"


def flag(text: str) -> str:
    """True or false, null for a text that says neither."""
    word = whole_id(f"lower({text})")
    return (
        f"CASE {word} WHEN 'on' THEN true WHEN 'off' THEN false "
        f"ELSE TRY_CAST({word} AS BOOLEAN) END"
    )


def with_point(text: str) -> str:
    """`1234.5` of `1.234,5`: no thousands, a decimal point."""
    return rf"replace(regexp_replace({text}, '[.\s'']', '', 'g'), ',', '.')"
