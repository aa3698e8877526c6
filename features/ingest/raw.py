"""The rows of a file or query as a reader returns them, before they are interpreted."""

import json
from dataclasses import dataclass

import pyarrow as pa

from features.ingest.spool import Rows, Spool

#: Extra columns: the reason why a row cannot be used, and the original row for the quarantine.
ERROR, RAW = "error", "raw"

#: A column whose presence says that equal rows are separate events.
REPEATS = "repeats"

REJECTED = pa.schema([(ERROR, pa.string()), (RAW, pa.string())])


@dataclass(frozen=True)
class Raw:
    """Rows of a source.

    table: columns `c0`, `c1`, … by position, so that names of the source cannot clash with ours;
    names: the source's column names in that order; rejected: ERROR and RAW of rows without fields.
    """

    table: Rows
    names: tuple[str, ...]
    rejected: Spool

    @property
    def rows(self) -> int:
        return int(self.table.num_rows + self.rejected.num_rows)


def placed(table: pa.Table) -> pa.Table:
    """Rename the columns of a table to their positions."""
    return table.rename_columns([f"c{place}" for place in range(table.num_columns)])


def rejects(rows: list[tuple[int, str, str]]) -> pa.Table:
    """Rows that could not be split into fields: line (0 if unknown), text and reason of each."""
    return pa.table(
        {
            ERROR: [reason for _, _, reason in rows],
            RAW: [
                json.dumps({"line": line, "text": text} if line else {"text": text})
                for line, text, _ in rows
            ],
        },
        schema=REJECTED,
    )
