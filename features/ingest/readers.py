"""Read files and databases as tables of raw values, without converting or dropping any."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from features.ingest.archives import kind_of, opened
from features.ingest.delimited import read_delimited
from features.ingest.ingest_error import IngestError, NoRows
from features.ingest.jsonlines import read_json_lines
from features.ingest.mapping import TableMapping
from features.ingest.raw import Raw, placed
from features.ingest.spool import BATCH, Spool, parts_of

JSON = (".json", ".jsonl", ".ndjson")


def read_file(path: Path, mapping: TableMapping) -> Raw:
    """The rows of a Parquet file, of JSON lines, or of a CSV (any other name), optionally in gz or
    zip.

    Raises IngestError if the file is missing, empty, unreadable or in another encoding.
    """
    if not path.is_file():
        raise IngestError(f"{path}: no such file")
    try:
        if path.stat().st_size == 0:
            raise NoRows(f"{path}: the file is empty")
        if kind_of(path) == ".parquet":
            raw = _read_parquet(path)
        else:
            with opened(path) as stream:
                if kind_of(path) in JSON:
                    raw = read_json_lines(stream, mapping.explode, mapping.encoding, str(path))
                else:
                    raw = read_delimited(stream, mapping, str(path))
    except OSError as error:
        raise IngestError(f"{path}: cannot be read ({error.strerror or error})") from None
    if raw.rows == 0:
        raise NoRows(f"{path}: the file holds no rows")
    return raw


def read_sql(url: str, mapping: TableMapping) -> Raw:
    """The rows of a database at a SQLAlchemy URL; `mapping.path` names a table or is a SELECT."""
    import sqlalchemy as sa

    if mapping.path is None:
        raise IngestError(f"{_without_password(url)}: name the table or the SELECT under 'path'")
    query = mapping.path if " " in mapping.path.strip() else f"SELECT * FROM {mapping.path}"
    try:
        # No pool, so that no connection to the source stays open.
        with sa.create_engine(url, poolclass=sa.NullPool).connect() as connection:
            result = connection.execution_options(stream_results=True).execute(sa.text(query))
            names = tuple(result.keys())
            parts = [_part(rows, len(names)) for rows in result.partitions(BATCH)]
    except (sa.exc.SQLAlchemyError, ImportError) as error:
        reason = str(error).splitlines()[0]
        raise IngestError(f"{_without_password(url)}: {reason}") from None
    if not parts:
        raise IngestError(f"{_without_password(url)}: {mapping.path} holds no rows")
    return Raw(_of_one_type(parts), names, Spool())


def _part(rows: Sequence[Any], width: int) -> Spool:
    columns = [_column([row[place] for row in rows]) for place in range(width)]
    return Spool.of([placed(_known(pa.table(columns, names=[""] * width)))])


def _of_one_type(parts: list[Spool]) -> Spool:
    """All parts in one.

    A column whose type differs between parts becomes text, as it does within a part.
    """
    names = parts[0].column_names
    kinds = {name: {part.schema.field(name).type for part in parts} - {pa.null()} for name in names}
    mixed = [place for place, name in enumerate(names) if len(kinds[name]) > 1]
    if not mixed:
        return Spool.joined(parts)
    return Spool.of(_with_text(rows, mixed) for part in parts for rows in parts_of(part))


def _with_text(rows: pa.Table, places: list[int]) -> pa.Table:
    for place in places:
        values = [None if value is None else str(value) for value in rows[place].to_pylist()]
        rows = rows.set_column(place, rows.column_names[place], pa.array(values, pa.string()))
    return rows


def _column(values: list[object]) -> pa.Array:
    try:
        array = pa.array(values)
        if "struct<>" not in str(array.type):  # Parquet cannot store empty objects
            return array
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        pass
    # Mixed types (which SQLite allows) become text, so that each row is judged by itself.
    return pa.array([None if value is None else str(value) for value in values], pa.string())


def _read_parquet(path: Path) -> Raw:
    try:
        with pq.ParquetFile(path) as file:
            names = tuple(file.schema_arrow.names)
            read = (pa.Table.from_batches([batch]) for batch in file.iter_batches(BATCH))
            parts = itertools.chain([file.schema_arrow.empty_table()], read)
            table = Spool.of(placed(_known(part)) for part in parts)
        return Raw(table, names, Spool())
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise IngestError(f"{path}: not a readable Parquet file ({reason})") from None


def _known(table: pa.Table) -> pa.Table:
    """Convert columns to types that the rules know: bytes to their text, other types to text."""
    names, columns = table.column_names, [_as_text(column) for column in table.columns]
    return pa.Table.from_arrays(columns, names=names)


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind, types = column.type, pa.types
    binary = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary)
    if any(is_kind(kind) for is_kind in binary):
        try:
            return column.cast(pa.binary()).cast(pa.string())
        except pa.ArrowInvalid:
            return column
    unknown = (types.is_decimal256, types.is_float16, types.is_time, types.is_duration)
    if not any(is_kind(kind) for is_kind in unknown):
        return column
    values = [None if value is None else str(value) for value in column.to_pylist()]
    return pa.chunked_array([pa.array(values, pa.string())])


def _without_password(url: str) -> str:
    import sqlalchemy as sa

    try:
        parsed = sa.make_url(url).set(query={})  # it may hold a password
        return parsed.render_as_string(hide_password=True)
    except sa.exc.ArgumentError:
        return url.split("@")[-1]
