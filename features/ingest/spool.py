"""Tables in temporary files, so that an import does not need more memory for more rows.

Each step reads the rows of the step before, one batch after the other, and writes its own.
"""

import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

import duckdb
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from base.scratch import scratch
from features.event_log import literals
from features.schema import conform

#: Rows held in memory at a time.
BATCH: Final = 100_000


class Spool:
    """A table in temporary files. It grows by `add` and is deleted with its last reference.

    A column added later is null in earlier rows.
    """

    def __init__(self) -> None:
        self.schema = pa.schema([])
        self.num_rows = 0
        self._folder: Path | None = None
        self._files: list[Path] = []
        self._writer: pq.ParquetWriter | None = None
        self._written: pa.Schema = self.schema
        self._parts: list[Spool] = []

    @staticmethod
    def of(tables: Iterable[pa.Table]) -> "Spool":
        """A spool with the rows of these tables in order."""
        spool = Spool()
        for table in tables:
            spool.add(table)
        return spool

    @staticmethod
    def joined(parts: Iterable["Spool"]) -> "Spool":
        """The rows of all parts. Shares their files, so do not add rows to a part any more."""
        whole = Spool()
        for part in parts:
            part._close()
            whole._parts.append(part)
            whole._files += part._files
            whole.schema = _unified(whole.schema, part.schema)
            whole.num_rows += part.num_rows
        return whole

    @property
    def column_names(self) -> list[str]:
        return list(self.schema.names)

    def add(self, table: pa.Table) -> None:
        """Append rows. From an empty table, only its columns are taken."""
        table = table.cast(_plain(table.schema))
        known = set(self.schema.names)
        self.schema = _unified(self.schema, table.schema)
        if table.num_rows == 0 and known.issuperset(table.column_names):
            return
        if self._writer is None or self._written != table.schema:
            self._close()
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="spool-", dir=scratch()))
                weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
            self._files.append(self._folder / f"{len(self._files):06d}.parquet")
            self._written = table.schema
            self._writer = pq.ParquetWriter(
                self._files[-1], table.schema, compression="lz4", use_dictionary=False
            )
        self._writer.write_table(table, row_group_size=BATCH)
        self.num_rows += table.num_rows

    def files(self) -> list[Path]:
        """The Parquet files, in order; none while there is no column."""
        self._close()
        return self._files

    def whole(self, columns: list[str] | None = None) -> pa.Table:
        """All rows in memory. For tables known to be small."""
        if not self.files():
            return self.schema.empty_table().select(columns or self.column_names)
        return pads.dataset(self._files, schema=self.schema).to_table(columns)

    def __getitem__(self, name: str) -> pa.ChunkedArray:
        """One column, in memory."""
        return self.whole([name])[name]

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _plain(schema: pa.Schema) -> pa.Schema:
    """The schema without dictionary types (which differ between batches) and with nullable
    fields."""
    return pa.schema([(field.name, _decoded(field.type)) for field in schema])


def _unified(one: pa.Schema, other: pa.Schema) -> pa.Schema:
    """The columns of both schemas. A column whose types differ becomes text."""
    kinds = dict(zip(one.names, one.types, strict=True))
    for field in other:
        known = kinds.get(field.name, pa.null())
        if pa.types.is_null(known):
            kinds[field.name] = field.type
        elif field.type not in (known, pa.null()):
            kinds[field.name] = pa.string()
    return pa.schema(list(kinds.items()))


def _decoded(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return kind.value_type
    return pa.list_(_decoded(kind.value_type)) if pa.types.is_list(kind) else kind


Rows: TypeAlias = pa.Table | Spool


def register(connection: duckdb.DuckDBPyConnection, name: str, rows: Rows) -> None:
    """Register `rows` as an ordered view. `rows` must stay alive while the view is read.

    Gives DuckDB the file names, because an Arrow dataset would read ahead by more than a gigabyte.
    """
    if isinstance(rows, Spool) and rows.files():
        columns = ", ".join(f'"{column}"' for column in rows.column_names)
        files = literals([str(path) for path in rows.files()])
        source = f"read_parquet([{files}], union_by_name = true, hive_partitioning = false)"
        connection.execute(f"CREATE VIEW {name} AS SELECT {columns} FROM {source}")
    else:
        connection.register(name, rows.whole() if isinstance(rows, Spool) else rows)


def parts_of(rows: Rows) -> Iterator[pa.Table]:
    """The rows in batches; at least one batch, which may be empty."""
    yield rows.schema.empty_table()
    if not isinstance(rows, Spool):
        yield rows
        return
    for path in rows.files():
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH):
                yield conform(pa.Table.from_batches([batch]), rows.schema)


def batches(connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[pa.Table]:
    """The rows of a query in batches. The first batch is empty and gives the columns."""
    reader = connection.execute(query).to_arrow_reader(BATCH)
    yield reader.schema.empty_table()
    for batch in reader:
        yield pa.Table.from_batches([batch])
