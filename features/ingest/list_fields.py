"""Parse lists stored in one field: separated text, JSON, or lists printed by some language."""

import ast
import json
import re
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from features.schema import ITEM

_LIST = ITEM.field("categories").type


def parse_list(text: str, separator: str) -> list[str]:
    """The values in a field, without empty ones and repetitions.

    Understands `a|b`, `["a", "b"]`, `['a', 'b']`, `['a' 'b']`, `[a, b]`, and JSON lists of lists or
    of objects with a `name`.
    """
    text = text.strip()
    if text[:1] + text[-1:] not in ("[]", "{}"):
        return [part.strip() for part in text.split(separator) if part.strip()]
    try:
        return _flat(json.loads(text))
    except (ValueError, RecursionError):
        pass
    quoted = re.findall(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"", text)
    if len(quoted) > 1 and "," not in re.sub(r"'[^']*'|\"[^\"]*\"", "", text):
        return _flat([single or double for single, double in quoted])  # as NumPy prints it
    # Read a set as a list, because the order of a set differs between processes.
    for literal in (text, f"[{text[1:-1]}]"):
        try:
            value = ast.literal_eval(literal)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if not isinstance(value, set):
            return _flat(value)
    return _flat(text[1:-1].split(","))


def categories(value: Any) -> list[str] | None:
    """The categories of one item as a client sent them: a list, or the text of one."""
    if value is None or value == "":
        return None
    return parse_list(value, "|") if isinstance(value, str) else _flat(value)


def parse_lists(column: pa.ChunkedArray, separator: str) -> pa.ChunkedArray:
    """Parse a column of list fields. Each distinct text is parsed once."""
    encoded = pc.dictionary_encode(column.cast(pa.string())).combine_chunks()
    parsed = [parse_list(text, separator) for text in encoded.dictionary.to_pylist()]
    return pa.array(parsed, _LIST).take(encoded.indices)


def _flat(value: Any) -> list[str]:
    found: dict[str, None] = {}

    def visit(entry: Any) -> None:
        if isinstance(entry, dict):
            visit(entry.get("name", list(entry.values()) if entry else None))
        elif isinstance(entry, list | tuple | set):
            for inner in entry:
                visit(inner)
        elif entry is not None and str(entry).strip():
            found[str(entry).strip()] = None

    visit(value)
    return list(found)
