"""Write Parquet files in pieces. A file appears only once it is complete."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

#: Rows held in memory, which become one row group.
GROUP: Final = 1 << 18


class Pieces:
    """Collects rows and writes a row group when there are enough of them."""

    def __init__(self, writer: pq.ParquetWriter) -> None:
        self._writer = writer
        self._held: list[pa.Table] = []
        self._rows = 0

    def add(self, table: pa.Table) -> None:
        """Append rows."""
        self._held.append(table)
        self._rows += table.num_rows
        if self._rows >= GROUP:
            self.flush()

    def flush(self) -> None:
        """Write the rows that are still held."""
        if self._rows:
            rows = pa.concat_tables(self._held).combine_chunks()
            self._writer.write_table(rows, row_group_size=rows.num_rows)
        self._held, self._rows = [], 0


@contextmanager
def whole_file(path: Path, schema: pa.Schema, durable: bool = True) -> Iterator[Pieces]:
    """Write a file at `path`. It appears when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            pieces = Pieces(writer)
            yield pieces
            pieces.flush()
        file.flush()
        if durable:
            os.fsync(file.fileno())
    temporary.replace(path)
