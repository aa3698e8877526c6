"""How the columns of a source become ours: section `ingest` of params.yaml."""

from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa

from features.ingest.errors import IngestError
from features.log import connect

#: Columns that the mapping adds: why a row cannot be used, and the raw row for the quarantine.
ERROR, RAW = "error", "raw"

_FACTORS = {"s": 1_000_000, "ms": 1_000, "us": 1}


@dataclass(frozen=True)
class TableMapping:
    """One table of a source."""

    path: str | None = None
    """File or glob inside a folder source, or table name or SELECT of a database."""

    columns: dict[str, Any] = field(default_factory=dict)
    """Our column to the source's column: a name, or a number from 0 in a file without header."""

    constants: dict[str, Any] = field(default_factory=dict)
    """Our column to one value for every row, e.g. `event_type: purchase`."""

    event_types: dict[str, str] = field(default_factory=dict)
    """The source's event type to ours, e.g. `addtocart: cart`."""

    timestamp: str = "auto"
    """Times: `s`, `ms`, `us` since 1970, `iso`, a strptime format, or `auto`."""

    separator: str = ","
    """Between fields of a CSV file; may be longer than one character."""

    header: bool = True
    """Does the first line name the columns?"""

    quoting: bool = True
    """May fields of a CSV file be quoted?"""

    encoding: str = "utf-8"
    """Of a CSV file."""

    list_separator: str = "|"
    """Between the values of one field, such as categories."""


@dataclass(frozen=True)
class Mapping:
    """All tables of a source; without `events` the columns must already have our names."""

    events: TableMapping | None = None
    """What users did."""

    items: TableMapping | None = None
    """The catalogue."""

    users: TableMapping | None = None
    """Users, optional."""


@dataclass(frozen=True)
class IngestParams:
    """Section `ingest` of params.yaml."""

    mapping: Mapping = field(default_factory=Mapping)
    """How the columns of a source become ours; MovieLens needs none."""


def apply(raw: pa.Table, mapping: TableMapping, schema: pa.Schema, source: str) -> pa.Table:
    """`raw` with our column names: those of `schema` that the mapping or the source gives.

    Times become int64 µs. Adds ERROR (a time that cannot be read, or the reader's own) and RAW,
    the source row as JSON. Raises IngestError where the mapping names a column that is not there,
    or where there is no mapping and the source has columns that are not ours.
    """
    columns = {ours: str(theirs) for ours, theirs in mapping.columns.items()}
    present = [name for name in raw.column_names if name != ERROR]
    _check(columns, mapping, present, schema, source)
    if not columns:
        columns = {name: name for name in present if name in schema.names}
    connection = connect()
    connection.register("source", raw)
    selected, errors = [], ["error"] if ERROR in raw.column_names else []
    for ours, theirs in columns.items():
        quoted = _quote(theirs)
        if pa.types.is_timestamp(schema.field(ours).type):
            expression = _time(connection, raw, theirs, mapping.timestamp)
            errors.append(
                f"CASE WHEN {quoted} IS NOT NULL AND {expression} IS NULL AND "
                f"trim({quoted}::VARCHAR) <> '' THEN '{ours} is not a time' END"
            )
        elif ours == "event_type" and mapping.event_types:
            cases = " ".join(
                f"WHEN {_text(k)} THEN {_text(v)}" for k, v in mapping.event_types.items()
            )
            expression = f"CASE {quoted}::VARCHAR {cases} ELSE {quoted}::VARCHAR END"
        elif pa.types.is_list(schema.field(ours).type) and not _is_list(raw, theirs):
            expression = (
                f"list_filter(list_transform(string_split({quoted}::VARCHAR, "
                f"{_text(mapping.list_separator)}), x -> trim(x)), x -> x <> '')"
            )
        else:
            expression = quoted
        selected.append(f"{expression} AS {ours}")
    selected += [f"{_text(value)} AS {name}" for name, value in mapping.constants.items()]
    fields = ", ".join(f"{_text(name)}, {_quote(name)}" for name in present)
    selected.append(f"coalesce({', '.join([*errors, 'NULL', 'NULL'])}) AS {ERROR}")
    selected.append(f"json_object({fields})::VARCHAR AS {RAW}")
    table: pa.Table = connection.execute(
        f"SELECT {', '.join(selected)} FROM source"
    ).to_arrow_table()
    return table


def _check(
    columns: dict[str, str],
    mapping: TableMapping,
    present: list[str],
    schema: pa.Schema,
    source: str,
) -> None:
    known = ", ".join(present)
    for ours in (*columns, *mapping.constants):
        if ours not in schema.names:
            raise IngestError(
                f"{source}: the mapping names '{ours}', which is no column of ours; "
                f"known: {', '.join(schema.names)}"
            )
    for ours, theirs in columns.items():
        if theirs not in present:
            raise IngestError(f"{source}: no column '{theirs}' for '{ours}'; the file has: {known}")
    if not columns:
        unknown = [name for name in present if name not in schema.names]
        if unknown:
            raise IngestError(
                f"{source}: unknown columns {', '.join(unknown)}; "
                "map the columns in params.yaml under ingest.mapping"
            )


def _time(connection: duckdb.DuckDBPyConnection, raw: pa.Table, column: str, unit: str) -> str:
    quoted = _quote(column)
    if pa.types.is_temporal(raw.schema.field(column).type):
        return f"epoch_us({quoted}::TIMESTAMPTZ)"
    if unit == "auto":
        unit = _guess_unit(connection, quoted)
    if unit == "iso":
        return f"epoch_us(TRY_CAST({quoted} AS TIMESTAMPTZ))"
    if unit in _FACTORS:
        factor = _FACTORS[unit]
        # Whole numbers stay exact: a double has no room for the microseconds of every date.
        return (
            f"CASE WHEN regexp_full_match(trim({quoted}::VARCHAR), '-?[0-9]+') "
            f"THEN TRY_CAST(TRY_CAST({quoted} AS HUGEINT) * {factor} AS BIGINT) "
            f"ELSE TRY_CAST(round(TRY_CAST({quoted} AS DOUBLE) * {factor}) AS BIGINT) END"
        )
    return f"epoch_us(try_strptime({quoted}::VARCHAR, {_text(unit)})::TIMESTAMPTZ)"


def _guess_unit(connection: duckdb.DuckDBPyConnection, quoted: str) -> str:
    """By the size of the median number; dates that are no numbers are ISO."""
    row = connection.execute(
        f"SELECT median(TRY_CAST({quoted} AS DOUBLE)), "
        f"count(TRY_CAST({quoted} AS DOUBLE)) * 2 >= count({quoted}) FROM source"
    ).fetchall()[0]
    if row[0] is None or not row[1]:
        return "iso"
    return "s" if abs(row[0]) < 1e11 else "ms" if abs(row[0]) < 1e14 else "us"


def _is_list(raw: pa.Table, column: str) -> bool:
    kind = raw.schema.field(column).type
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: Any) -> str:
    return "'" + str(value).replace("'", "''") + "'"
