"""Read JSON lines, one JSON list, or lines of Python literals, as raw text columns."""

import ast
import json
import re
import warnings
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

import orjson
import pyarrow as pa

from features.ingest.ingest_error import IngestError, NoRows
from features.ingest.lines import blocks
from features.ingest.raw import Raw, rejects
from features.ingest.spool import BATCH, Spool
from features.ingest.values import text as text_of

_LONG: Final = re.compile(r"[0-9]{19}")
NOT_AN_OBJECT: Final = "the line is not a JSON object"


def read_json_lines(stream: BinaryIO, explode: str | None, encoding: str, where: str) -> Raw:
    """Return a row per object. Keys of nested objects become `outer.inner`; lists and numbers stay
    JSON.

    explode: a key whose list holds one row per entry, combined with the other keys of its object.
    An object whose list is empty gives one row.
    """
    table, refused = Spool(), Spool()
    rejected: list[tuple[int, str, str]] = []
    first: tuple[int, str] | None = None
    #: Each key found so far, with its values since the last batch.
    columns: dict[str, list[str | None]] = {}
    rows = 0

    def flush() -> None:
        nonlocal columns, rows, rejected
        values = (pa.array(values, pa.string()) for values in columns.values())
        table.add(pa.table({f"c{place}": array for place, array in enumerate(values)}))
        refused.add(rejects(rejected))
        columns, rows, rejected = {name: [] for name in columns}, 0, []

    for number, text, value in _objects(stream, encoding, where):
        if not isinstance(value, dict):
            first = first or (number, text)
            rejected.append((number, text, NOT_AN_OBJECT))
            if len(rejected) >= BATCH:
                flush()
            continue
        for row in _exploded(value, explode):
            for name, entry in row.items():
                if name not in columns:
                    columns[name] = [None] * rows
                columns[name].append(entry)
            rows += 1
            for values in columns.values():
                if len(values) < rows:
                    values.append(None)
        if rows >= BATCH:
            flush()
    flush()
    if not table.num_rows:
        if first is None:
            raise NoRows(f"{where}: the file holds no rows")
        line, text = first
        raise IngestError(
            f"{where}: no line is a JSON object; line {line} is '{text[:60]}'. Give one object per "
            "line, or one list of objects"
        )
    return Raw(table, tuple(columns), refused)


def _objects(stream: BinaryIO, encoding: str, where: str) -> Iterator[tuple[int, str, Any]]:
    """Line number, text and parsed value of each line that is not empty."""
    rest, number, whole = "", 0, False
    for text, last in blocks(stream, encoding, where):
        rest += text
        whole = whole or (number == 0 and rest.lstrip().startswith("["))
        if whole:
            continue
        lines = rest.split("\n")
        rest = "" if last else lines.pop()
        for line in lines:
            number += 1
            if line.strip():
                yield number, line, _value(line)
    if whole:
        values = _value(rest)
        if not isinstance(values, list):
            raise IngestError(f"{where}: begins like a JSON list but is not one; give JSON lines")
        for place, value in enumerate(values, 1):
            yield place, json.dumps(value), value


def _value(text: str) -> Any:
    """Parse JSON, or a Python literal as in old dumps of Amazon and Steam.

    None if the text is neither.
    """
    if not _LONG.search(text):  # orjson rounds long numbers
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            pass
    for read in (json.loads, _literal):  # json also accepts NaN and huge numbers
        try:
            value = read(text.strip().rstrip(","))  # a line from a list split over lines
            json.dumps(value, ensure_ascii=False, default=str).encode()  # refuses lone surrogates
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue
        return value
    return None


def _literal(text: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.literal_eval(text)


def _exploded(value: dict[str, Any], explode: str | None) -> Iterator[dict[str, str | None]]:
    if explode is None or not isinstance(value.get(explode), list):
        yield _flat(value)
        return
    rest = _flat({name: entry for name, entry in value.items() if name != explode})
    for element in value[explode] or [None]:
        yield rest | _flat({explode: element})


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, str | None]:
    flat: dict[str, str | None] = {}
    for name, entry in value.items():
        if isinstance(entry, dict) and entry:
            flat |= _flat(entry, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = text_of(entry)
    return flat
