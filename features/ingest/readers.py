"""Files and databases as tables of raw values: nothing is converted, nothing is dropped."""

from pathlib import Path

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq

from features.ingest.errors import IngestError
from features.ingest.mapping import ERROR, TableMapping


def read_file(path: Path, mapping: TableMapping) -> pa.Table:
    """The rows of a CSV (any extension) or Parquet file.

    CSV values stay strings (empty ones null); a row with too many or too few fields comes back
    with its text in the first column and the reason in column ERROR. Raises IngestError where the
    file is missing, empty, unreadable or in another encoding.
    """
    if not path.is_file():
        raise IngestError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise IngestError(f"{path}: the file is empty")
    table = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path, mapping)
    if table.num_rows == 0:
        raise IngestError(f"{path}: the file holds no rows")
    return table


def read_sql(url: str, mapping: TableMapping) -> pa.Table:
    """The rows of a table, or of a SELECT, named by `mapping.path`, of a SQLAlchemy URL."""
    import sqlalchemy as sa

    if mapping.path is None:
        raise IngestError(f"{_without_password(url)}: name the table or the SELECT under 'path'")
    query = mapping.path if " " in mapping.path.strip() else f"SELECT * FROM {mapping.path}"
    try:
        with sa.create_engine(url).connect() as connection:
            result = connection.execute(sa.text(query))
            rows = [dict(row) for row in result.mappings()]
    except sa.exc.SQLAlchemyError as error:
        reason = str(error).splitlines()[0]
        raise IngestError(f"{_without_password(url)}: {reason}") from None
    if not rows:
        raise IngestError(f"{_without_password(url)}: {mapping.path} holds no rows")
    try:
        return pa.Table.from_pylist(rows)
    except pa.ArrowException:
        # A column of mixed types (SQLite allows them): as text, to be judged row by row.
        texts = [{k: None if v is None else str(v) for k, v in row.items()} for row in rows]
        return pa.Table.from_pylist(texts)


def _read_parquet(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise IngestError(f"{path}: not a readable Parquet file ({reason})") from None


def _read_csv(path: Path, mapping: TableMapping) -> pa.Table:
    bad: list[tuple[str, str]] = []

    def keep(row: csv.InvalidRow) -> str:
        reason = f"malformed row: {row.actual_columns} fields, expected {row.expected_columns}"
        bad.append((row.text, reason))
        return "skip"

    separator = mapping.separator
    content: bytes | None = None
    if len(separator) > 1:
        content, separator = path.read_bytes().replace(separator.encode(), b"\x1f"), "\x1f"
    read = csv.ReadOptions(
        use_threads=False, autogenerate_column_names=not mapping.header, encoding=mapping.encoding
    )
    parse = csv.ParseOptions(
        delimiter=separator,
        quote_char='"' if mapping.quoting else False,
        newlines_in_values=mapping.quoting,
        invalid_row_handler=keep,
    )
    try:
        names = csv.open_csv(_open(path, content), read, parse).schema.names
        bad.clear()
        table = csv.read_csv(
            _open(path, content),
            read_options=read,
            parse_options=parse,
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
    except (pa.ArrowException, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        if "utf" in reason.lower() or isinstance(error, UnicodeDecodeError):
            raise IngestError(
                f"{path}: not {mapping.encoding}; set the mapping's encoding, e.g. latin-1"
            ) from None
        raise IngestError(f"{path}: not a readable CSV file ({reason})") from None
    if not mapping.header:
        table = table.rename_columns([str(place) for place in range(table.num_columns)])
    if not bad:
        return table
    first = table.column_names[0]
    rejected = pa.table({first: [text for text, _ in bad], ERROR: [reason for _, reason in bad]})
    return pa.concat_tables([table, rejected], promote_options="default")


def _open(path: Path, content: bytes | None) -> str | pa.BufferReader:
    return str(path) if content is None else pa.BufferReader(content)


def _without_password(url: str) -> str:
    import sqlalchemy as sa

    return sa.make_url(url).render_as_string(hide_password=True)
