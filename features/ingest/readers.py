"""Files and databases as tables of raw values: nothing is converted, nothing is dropped."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from features.ingest.archives import kind_of, opened
from features.ingest.delimited import read_delimited
from features.ingest.errors import IngestError
from features.ingest.jsonlines import read_json_lines
from features.ingest.mapping import TableMapping
from features.ingest.raw import Raw, named

JSON = (".json", ".jsonl", ".ndjson")


def read_file(path: Path, mapping: TableMapping) -> Raw:
    """The rows of a Parquet file, of JSON lines, or of a CSV (any other name); perhaps gz or zip.

    Raises IngestError where the file is missing, empty, unreadable or in another encoding.
    """
    if not path.is_file():
        raise IngestError(f"{path}: no such file")
    try:
        if path.stat().st_size == 0:
            raise IngestError(f"{path}: the file is empty")
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
        raise IngestError(f"{path}: the file holds no rows")
    return raw


def read_sql(url: str, mapping: TableMapping) -> Raw:
    """The rows of a table, or of a SELECT, named by `mapping.path`, of a SQLAlchemy URL."""
    import sqlalchemy as sa

    if mapping.path is None:
        raise IngestError(f"{_without_password(url)}: name the table or the SELECT under 'path'")
    query = mapping.path if " " in mapping.path.strip() else f"SELECT * FROM {mapping.path}"
    try:
        # Without a pool no connection stays open at the source.
        with sa.create_engine(url, poolclass=sa.NullPool).connect() as connection:
            result = connection.execute(sa.text(query))
            names = list(result.keys())
            rows = [tuple(row) for row in result]
    except (sa.exc.SQLAlchemyError, ImportError) as error:
        reason = str(error).splitlines()[0]
        raise IngestError(f"{_without_password(url)}: {reason}") from None
    if not rows:
        raise IngestError(f"{_without_password(url)}: {mapping.path} holds no rows")
    columns = [_column([row[place] for row in rows]) for place in range(len(names))]
    return named(_known(pa.table(columns, names=names)))


def _column(values: list[object]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        # A column of mixed types (SQLite allows them): as text, to be judged row by row.
        return pa.array([None if value is None else str(value) for value in values], pa.string())


def _read_parquet(path: Path) -> Raw:
    try:
        return named(_known(pq.read_table(path)))
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise IngestError(f"{path}: not a readable Parquet file ({reason})") from None


def _known(table: pa.Table) -> pa.Table:
    """Columns of types that the rules know: of bytes the text, of others the text of each value."""
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
        parsed = sa.make_url(url).set(query={})  # a password may stand there, too
        return parsed.render_as_string(hide_password=True)
    except sa.exc.ArgumentError:
        return url.split("@")[-1]
