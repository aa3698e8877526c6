"""Apply a mapping: rename raw columns to our names and note for each row what is wrong with it."""

from collections.abc import Iterable
from typing import Any

import duckdb
import pyarrow as pa

from features.event_log import connect
from features.ingest.impressions import check_not_lists, expand
from features.ingest.ingest_error import IngestError, in_one_line
from features.ingest.list_fields import parse_list, parse_lists
from features.ingest.mapping import TableMapping
from features.ingest.properties import PROPERTY, VALUE, fold
from features.ingest.properties import check as check_properties
from features.ingest.raw import ERROR, RAW, REPEATS, Raw
from features.ingest.spool import Spool, batches, register
from features.ingest.sql import literal, whole_id, with_point
from features.ingest.times import NAMES, column_unit, iso_reading, microseconds, reading, unit_of
from features.schema import EVENT, ITEM

#: The columns that each table needs.
_NEEDED = {
    "events": ("user_id", "event_type", "timestamp"),
    "items": ("item_id",),
    "users": ("user_id",),
}
_IDS = ("user_id", "item_id", "event_id", "request_id", "placement")


@in_one_line
def apply(raw: Raw, mapping: TableMapping, schema: pa.Schema, source: str) -> Spool:
    """Rename the columns of `raw` to those of `schema`, as the mapping or the source names them.

    Times become int64 µs. Adds ERROR (a time that cannot be read, or an error of the reader) and
    RAW (the source row as JSON). Raises IngestError if the mapping names a missing column, maps one
    twice or leaves out a needed one; if there is no mapping and the source has columns that are not
    ours; and if a time column has no single unit.
    """
    columns = _columns(raw, mapping, schema, source)
    connection = connect()
    register(connection, "source", raw.table)
    relation = "source"
    selected: list[str] = []
    errors: list[str] = []
    for ours, place in columns.items():
        if ours in (PROPERTY, VALUE):
            expression = f"c{place}::VARCHAR"
        elif pa.types.is_timestamp(schema.field(ours).type):
            where = f"{source}: column '{raw.names[place]}'"
            relation, expression, error = _time(
                connection, relation, raw, place, ours, mapping, where
            )
            errors += [error] if error else []
        else:
            expression = _value(raw, place, ours, schema.field(ours).type, mapping)
        selected.append(f"{expression} AS {ours}")
    selected += [
        f"{_constant(ours, value, schema, mapping)} AS {ours}"
        for ours, value in mapping.constants.items()
    ]
    fields = ", ".join(f"{literal(name)}, c{place}" for place, name in enumerate(raw.names))
    selected.append(f"coalesce({', '.join([*errors, 'NULL', 'NULL'])})::VARCHAR AS {ERROR}")
    selected.append(f"json_object({fields})::VARCHAR AS {RAW}")
    lists = [
        ours
        for ours in columns
        if ours in schema.names and pa.types.is_list(schema.field(ours).type)
    ]
    mapped = Spool()
    for table in batches(connection, f"SELECT {', '.join(selected)} FROM {relation}"):
        for ours in lists:
            table = _with_lists(table, ours, mapping.list_separator)
        mapped.add(table)
    return Spool.joined([mapped, raw.rejected]) if raw.rejected.num_rows else mapped


@in_one_line
def whole(parts: list[Spool], mapping: TableMapping, schema: pa.Schema, source: str) -> Spool:
    """Apply the settings that need all files of a table: fold properties, expand lists of shown
    items."""
    table = Spool.joined(parts)
    if schema == ITEM and mapping.property is not None:
        return fold(table, mapping)
    if schema == EVENT and mapping.impressions is not None:
        return expand(table, mapping.impressions, mapping.outcomes)
    if schema == EVENT:
        check_not_lists(table, source)
    if schema == EVENT and mapping.repeats == "keep":
        table.add(pa.table({REPEATS: pa.array([], pa.bool_())}))
    return table


def _columns(raw: Raw, mapping: TableMapping, schema: pa.Schema, source: str) -> dict[str, int]:
    """Our column names, each with the position of its source column."""
    wanted = {ours: str(theirs) for ours, theirs in mapping.columns.items()}
    for ours in (*wanted, *mapping.constants, *mapping.properties):
        if ours not in schema.names:
            raise IngestError(
                f"{source}: the mapping names '{ours}', which is not one of our columns; "
                f"known: {', '.join(schema.names)}"
            )
    for ours in mapping.constants:
        if ours in wanted:
            raise IngestError(
                f"{source}: '{ours}' is mapped both as a column and as a constant; keep one"
            )
    check_properties(mapping, source)
    if mapping.property is not None and mapping.property_value is not None:
        wanted |= {PROPERTY: mapping.property, VALUE: mapping.property_value}
    if not mapping.columns:
        unknown = [name for name in raw.names if name not in (*schema.names, *wanted.values())]
        if unknown:
            raise IngestError(
                f"{source}: unknown columns {', '.join(unknown)}; "
                f"map the columns in params.yaml under ingest.mapping{_within(raw, schema.names)}"
            )
        wanted |= {name: name for name in raw.names if name in schema.names}
    for name in set(wanted.values()):
        if raw.names.count(name) > 1:
            raise IngestError(
                f"{source}: {raw.names.count(name)} columns are named '{name}'; rename one, or "
                "set `header: false` and map the columns by number"
            )
    for ours, theirs in wanted.items():
        if theirs not in raw.names:
            raise IngestError(
                f"{source}: no column '{theirs}' for '{ours}'; the file has: "
                f"{', '.join(raw.names)}{_within(raw, [theirs])}"
            )
    _check_needed(wanted, mapping, schema, source)
    return {ours: raw.names.index(theirs) for ours, theirs in wanted.items()}


def _within(raw: Raw, wanted: Iterable[str]) -> str:
    """A hint for JSON lines where an object stands instead of a value."""
    for name in wanted:
        inner = next((found for found in raw.names if found.startswith(f"{name}.")), None)
        if inner is not None:
            return f" ('{name}' holds an object: map a key inside it, e.g. '{inner}')"
    return ""


def _check_needed(
    wanted: dict[str, str], mapping: TableMapping, schema: pa.Schema, source: str
) -> None:
    table = "events" if schema == EVENT else "items" if schema == ITEM else "users"
    for ours in _NEEDED[table]:
        if ours not in wanted and ours not in mapping.constants:
            example = {"timestamp": "2020-01-31", "event_type": "view"}.get(ours)
            once = f", or give every row one under `constants`, e.g. {ours}: {example}"
            need = "a time" if ours == "timestamp" else f"'{ours}'"
            raise IngestError(
                f"{source}: {table} need {need}; map a column to `{ours}`"
                + (once if example else "")
            )


def _time(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    raw: Raw,
    place: int,
    ours: str,
    mapping: TableMapping,
    where: str,
) -> tuple[str, str, str | None]:
    """SQL to read one time column.

    Returns the relation with the computed columns, the SQL of the time in µs, and the SQL of the
    error message (None if there is none).
    """
    column, kind = f"c{place}", raw.table.schema.field(place).type
    if pa.types.is_temporal(kind):
        return relation, f"epoch_us(TRY_CAST({column} AS TIMESTAMPTZ))", None
    text, found, read = f"trim({column}::VARCHAR)", f"unit_{ours}", f"time_{ours}"
    unit = mapping.timestamp
    if unit != "auto":
        relation = f"(SELECT *, {_shifted(reading(text, unit), mapping)} AS {read} FROM {relation})"
        wrong = f"'{ours} is not a time'"
    else:
        # Compute this once per row and keep it: it is expensive, and finding the unit needs all
        # rows before any of them can be read.
        iso, table = f"iso_{ours}", f"times_{ours}"
        connection.execute(
            f"CREATE TABLE {table} AS SELECT {unit_of(text, iso)} AS {found}, {iso} "
            f"FROM (SELECT *, {iso_reading(text)} AS {iso} FROM source)"
        )
        relation = f"({relation} POSITIONAL JOIN {table})"
        unit = column_unit(connection, relation, text, found, where)
        known = iso if unit == "iso" else reading(text, unit)
        right = f"CASE WHEN {found} = '{unit}' THEN {known} END"
        relation = f"(SELECT *, {right} AS {read} FROM {relation})"
        other = " ".join(f"WHEN '{name}' THEN '{said}'" for name, said in NAMES.items())
        wrong = (
            f"CASE WHEN {found} IS NULL THEN '{ours} is not a time' "
            f"ELSE '{ours} is in ' || CASE {found} {other} END || "
            f"' where the column is in {NAMES[unit]}' END"
        )
    return relation, read, f"CASE WHEN {read} IS NULL AND {text} <> '' THEN {wrong} END"


def _shifted(expression: str, mapping: TableMapping) -> str:
    if mapping.since is None:
        return expression
    return f"{expression} + {_microseconds(mapping.since, 'since')}"


def _value(raw: Raw, place: int, ours: str, kind: pa.DataType, mapping: TableMapping) -> str:
    column, given = f"c{place}", raw.table.schema.field(place).type
    if pa.types.is_nested(given) and not (pa.types.is_list(kind) and _of_texts(given)):
        return f"to_json({column})::VARCHAR"
    if ours in _IDS:
        if pa.types.is_floating(given):
            # Some software (such as pandas) stores whole numbers with missing values as decimals.
            whole = f"CASE WHEN {column} = trunc({column}) THEN TRY_CAST({column} AS HUGEINT) END"
            text = f"coalesce(({whole})::VARCHAR, {column}::VARCHAR)"
            return f"CASE WHEN NOT isnan({column}) THEN {text} END"
        if pa.types.is_integer(given):
            return f"{column}::VARCHAR"
        return whole_id(f"{column}::VARCHAR")
    if ours == "event_type" and mapping.event_types:
        word = whole_id(f"{column}::VARCHAR")
        cases = " ".join(
            f"WHEN {literal(k)} THEN {literal(v)}" for k, v in mapping.event_types.items()
        )
        return f"CASE {word} {cases} ELSE {word} END"
    if pa.types.is_floating(kind) and mapping.decimal == "," and not _is_number(given):
        return with_point(f"{column}::VARCHAR")
    if pa.types.is_list(kind) or _is_number(given) or pa.types.is_boolean(given):
        return column
    return f"{column}::VARCHAR"


def _constant(ours: str, value: Any, schema: pa.Schema, mapping: TableMapping) -> str:
    """SQL of a constant, read like a value in a column."""
    kind = schema.field(ours).type
    if value is None:
        return "NULL::VARCHAR"
    if pa.types.is_timestamp(kind):
        if mapping.timestamp not in ("auto", "iso"):
            text = literal(str(value).strip())
            read = connect().execute(
                f"SELECT {_shifted(reading(text, mapping.timestamp), mapping)}"
            )
            found = read.fetchall()[0][0]
            if found is not None:
                return f"{found}::BIGINT"
        return f"{_microseconds(value, f'the constant {ours}')}::BIGINT"
    if pa.types.is_list(kind):
        values = (
            value if isinstance(value, list) else parse_list(str(value), mapping.list_separator)
        )
        return f"[{', '.join(literal(entry) for entry in values)}]::VARCHAR[]"
    if ours == "event_type":
        return literal(mapping.event_types.get(str(value), value))
    return literal(str(value).lower() if isinstance(value, bool) else value)


def _microseconds(value: Any, what: str) -> int:
    try:
        return microseconds(value if isinstance(value, int | float) else str(value))
    except ValueError as error:
        raise IngestError(f"ingest.mapping: {what}: {error}") from None


def _with_lists(table: pa.Table, ours: str, separator: str) -> pa.Table:
    place = table.column_names.index(ours)
    kind = table.schema.field(place).type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return table
    return table.set_column(place, ours, parse_lists(table[ours], separator))


def _of_texts(kind: pa.DataType) -> bool:
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return listed and not pa.types.is_nested(kind.value_type)


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )
