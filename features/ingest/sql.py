"""SQL expressions that the readers of a mapping share."""

from typing import Any


def literal(value: Any) -> str:
    """A value as a SQL text literal."""
    return "'" + str(value).replace("'", "''") + "'"


def whole_id(text: str) -> str:
    """SQL: `100` for `100.0`, as written by software that turns numbers with missing values into
    decimals."""
    return rf"regexp_replace(trim({text}), '^(-?[0-9]+)[.]0+$', '\1')"


def flag(text: str) -> str:
    """SQL: true or false; null for a text that is neither."""
    word = whole_id(f"lower({text})")
    return (
        f"CASE {word} WHEN 'on' THEN true WHEN 'off' THEN false "
        f"ELSE TRY_CAST({word} AS BOOLEAN) END"
    )


def with_point(text: str) -> str:
    """SQL: `1234.5` for `1.234,5`, without thousands separators and with a decimal point."""
    return rf"replace(regexp_replace({text}, '[.\s'']', '', 'g'), ',', '.')"
