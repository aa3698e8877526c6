"""Read CSV and similar files as raw text.

Every row is read or rejected; a count of lines checks this.
"""

import csv as plain
import json
from typing import BinaryIO, Final

import pyarrow as pa
import pyarrow.csv as csv

from features.ingest.ingest_error import IngestError, NoRows
from features.ingest.lines import LINE, LineRows, blocks
from features.ingest.mapping import TableMapping
from features.ingest.raw import Raw, rejects
from features.ingest.spool import Spool

#: Replaces a separator that has several characters or is not ASCII.
UNIT: Final = "\x1f"

#: Separators that a message may suggest. If several occur equally often, the first is suggested.
SEPARATORS: Final = ("::", ";", "\t", "|", ",")

#: Our columns that may contain line breaks.
FREE_TEXT: Final = frozenset({"title", "description", "categories", "attributes", "query"})


def read_delimited(stream: BinaryIO, mapping: TableMapping, where: str) -> Raw:
    """The rows of a delimited text file. Values stay text; empty ones are null.

    Raises IngestError for a file in another encoding and for a header that cannot be used.
    """
    single = len(mapping.separator) == 1 and mapping.separator.isascii()
    separator = mapping.separator if single else UNIT
    table, uneven, unclosed = Spool(), Spool(), Spool()
    names: list[str] = []
    rows, rest = None, ""
    for text, last in blocks(stream, mapping.encoding, where):
        text = rest + text
        if separator == UNIT and separator != mapping.separator:
            # The text may end in the middle of a separator.
            keep = 0 if last else len(mapping.separator) - 1
            text, tail = text[: len(text) - keep], text[len(text) - keep :]
            text = text.replace(mapping.separator, UNIT)
        else:
            tail = ""
        if len(text) > LINE and "\n" not in text:
            raise IngestError(f"{where}: a line is longer than {LINE:,} characters")
        if rows is None:
            skipped = len(text) - len(text.lstrip("\n"))
            first, found, remaining = text[skipped:].partition("\n")
            if not found and not last:
                rest = text + tail
                continue
            if not first:
                break
            names = _names(first, mapping, separator, where)
            line = skipped + (2 if mapping.header else 1)
            rows = LineRows(separator, mapping.quoting, len(names), _typed(names, mapping), line)
            text = remaining if mapping.header else text[skipped:]
        good, count, rest = rows.take(text, last)
        rest += tail
        if count:
            rejected: list[tuple[int, str, str]] = []
            table.add(_parsed(good, count, names, separator, mapping, rejected, where))
            uneven.add(rejects(rejected))
        unclosed.add(
            rejects([(n, t.replace(UNIT, mapping.separator), r) for n, t, r in rows.rejected])
        )
        rows.rejected.clear()
    if rows is None:
        raise NoRows(f"{where}: the file holds no rows")
    table.add(_empty(names))
    return Raw(table, tuple(names), Spool.joined([uneven, unclosed]))


def _names(first: str, mapping: TableMapping, separator: str, where: str) -> list[str]:
    if mapping.quoting and '"' in first:
        found = next(plain.reader([first], delimiter=separator))
    else:
        found = first.split(separator)
    if first.lstrip().startswith(("{", "[{")):
        raise IngestError(f"{where}: line 1 begins like JSON; name the file .jsonl")
    _check_separated(first, len(found), mapping, where)
    if not mapping.header:
        return [str(place) for place in range(len(found))]
    return [name.strip().strip("\ufeff") for name in found]  # a second byte order mark


def _check_separated(first: str, width: int, mapping: TableMapping, where: str) -> None:
    """Raise IngestError if line 1 has one column, but would have several with another separator."""
    marks = [mark for mark in SEPARATORS if mark in first]
    if width > 1 or not marks or len(mapping.columns) == 1:
        return
    likely = max(marks, key=first.count)
    raise IngestError(
        f"{where}: line 1 has one column, '{first[:60]}'; is the separator {likely!r}? "
        f"Set `separator: {json.dumps(likely)}` in the mapping"
    )


def _typed(names: list[str], mapping: TableMapping) -> frozenset[int]:
    theirs = {str(t) for ours, t in mapping.columns.items() if ours not in FREE_TEXT}
    if not mapping.columns:
        theirs = set(names) - FREE_TEXT
    return frozenset(place for place, name in enumerate(names) if name in theirs)


def _parsed(
    good: str,
    count: int,
    names: list[str],
    separator: str,
    mapping: TableMapping,
    rejected: list[tuple[int, str, str]],
    where: str,
) -> pa.Table:
    before = len(rejected)

    def keep(row: csv.InvalidRow) -> str:
        reason = f"malformed row: {row.actual_columns} fields, expected {row.expected_columns}"
        rejected.append((0, row.text.replace(UNIT, mapping.separator), reason))
        return "skip"

    content = good.encode()
    places = _empty(names).column_names
    try:
        table = csv.read_csv(
            pa.BufferReader(content),
            csv.ReadOptions(
                use_threads=False, column_names=places, block_size=max(len(content) + 1, 1 << 16)
            ),
            csv.ParseOptions(
                delimiter=separator,
                quote_char='"' if mapping.quoting else False,
                newlines_in_values=mapping.quoting,
                invalid_row_handler=keep,
            ),
            csv.ConvertOptions(
                column_types=dict.fromkeys(places, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
    except pa.ArrowException as error:
        reason = str(error).splitlines()[0]
        raise IngestError(f"{where}: not a readable CSV file ({reason})") from None
    read = table.num_rows + len(rejected) - before
    if read != count:
        raise IngestError(
            f"{where}: {count} rows of the file were read as {read}; nothing is stored. "
            "Set `quoting: false` if fields are not quoted"
        )
    return table


def _empty(names: list[str]) -> pa.Table:
    return pa.schema([(f"c{place}", pa.string()) for place in range(len(names))]).empty_table()
