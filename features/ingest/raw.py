"""What a reader hands on: every row of a file or query, before anything is known of its meaning."""

import json
from dataclasses import dataclass

import pyarrow as pa

from features.ingest.spool import Rows, Spool

#: Columns beside ours: why a row cannot be used, and the row as it was, for the quarantine.
ERROR, RAW = "error", "raw"

#: A column that says: equal rows are as many events.
REPEATS = "repeats"

REJECTED = pa.schema([(ERROR, pa.string()), (RAW, pa.string())])


@dataclass(frozen=True)
class Raw:
    """Rows of a source.

    table: columns `c0`, `c1`, … by place, so that no name of the source can mean another; names:
    the source's own, in that order; rejected: ERROR and RAW of rows that have no fields.
    """

    table: Rows
    names: tuple[str, ...]
    rejected: Spool

    @property
    def rows(self) -> int:
        return int(self.table.num_rows + self.rejected.num_rows)


def placed(table: pa.Table) -> pa.Table:
    """A table with its columns named by their place."""
    return table.rename_columns([f"c{place}" for place in range(table.num_columns)])


def rejects(rows: list[tuple[int, str, str]]) -> pa.Table:
    """Rows without fields: line (0 where unknown), text and reason of each."""
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
