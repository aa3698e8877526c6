"""Fold a catalogue with one property per row (item, property, value, time) into item versions."""

from typing import Final

import pyarrow as pa

from features.event_log import connect
from features.ingest.ingest_error import IngestError
from features.ingest.list_fields import parse_lists
from features.ingest.mapping import TableMapping
from features.ingest.raw import ERROR, RAW, REJECTED
from features.ingest.refusals import FLAG, PRICE
from features.ingest.spool import Rows, Spool, batches, register
from features.ingest.sql import flag, literal, with_point
from features.schema import ITEM

#: Extra columns of such a table, until it is folded.
PROPERTY, VALUE = "property", "property_value"

UNMAPPED: Final = "the property is not mapped"


def check(mapping: TableMapping, source: str) -> None:
    """Raise IngestError if only some of the settings for properties are given."""
    parts = (mapping.properties, mapping.property, mapping.property_value)
    if any(parts) and not all(parts):
        raise IngestError(
            f"{source}: a row per property needs `property`, `property_value` (columns of the "
            "source) and `properties` (our column: name of the property)"
        )


def fold(table: Rows, mapping: TableMapping) -> Spool:
    """Item versions: at each time of an item, the last value so far of every mapped property.

    Rows with ERROR and rows of unmapped properties stay separate rows, for the quarantine.
    """
    connection = connect()
    time = "received_at" if "received_at" in table.column_names else "NULL::BIGINT"
    register(connection, "given", table)
    # Reject a value that cannot be read by itself, so that the later versions stay usable.
    connection.execute(
        f"CREATE VIEW properties AS SELECT * REPLACE (coalesce({ERROR}, {_wrong(mapping)}) "
        f"AS {ERROR}) FROM given"
    )
    names = ", ".join(literal(name) for name in mapping.properties.values())
    said = ", ".join(
        f"arg_max(nullif(trim({VALUE}), ''), place) FILTER ({PROPERTY} = {literal(name)}) AS {ours}"
        for ours, name in mapping.properties.items()
    )
    carried = ", ".join(
        f"last_value({ours} IGNORE NULLS) OVER until AS {ours}" for ours in mapping.properties
    )
    read = ", ".join(f"{_read(ours, ours, mapping)} AS {ours}" for ours in mapping.properties)
    raw = ", ".join(f"{literal(ours)}, {ours}" for ours in ("item_id", *mapping.properties))
    constants = ", ".join(
        f"{literal(value)} AS {ours}"
        for ours, value in mapping.constants.items()
        if ours not in ("received_at", "created_at")
    )
    query = f"""
        WITH numbered AS (
            SELECT *, row_number() OVER () AS place, {time} AS known_at FROM properties
            WHERE {ERROR} IS NULL AND {PROPERTY} IN ({names})
        ),
        moments AS (
            SELECT item_id, known_at, min(place) AS place, {said} FROM numbered
            GROUP BY item_id, known_at
        ),
        versions AS (
            SELECT item_id, known_at, place, {carried} FROM moments
            WINDOW until AS (PARTITION BY item_id ORDER BY known_at ROWS UNBOUNDED PRECEDING)
        )
        SELECT item_id, known_at AS received_at, {read}, {constants + "," if constants else ""}
               NULL::VARCHAR AS {ERROR}, json_object({raw})::VARCHAR AS {RAW}
        FROM versions ORDER BY place
        """
    lists = [ours for ours in mapping.properties if pa.types.is_list(ITEM.field(ours).type)]
    found = Spool()
    for versions in batches(connection, query):
        for ours in lists:
            place = versions.column_names.index(ours)
            values = parse_lists(versions[ours], mapping.list_separator)
            versions = versions.set_column(place, ours, values)
        found.add(versions)
    left = f"""
        SELECT coalesce({ERROR}, '{UNMAPPED}') AS {ERROR}, {RAW} FROM properties
        WHERE {ERROR} IS NOT NULL OR {PROPERTY} IS NULL OR {PROPERTY} NOT IN ({names})
        """
    for rows in batches(connection, left):
        found.add(rows.cast(REJECTED))
    return found


def _read(text: str, ours: str, mapping: TableMapping) -> str:
    if not pa.types.is_floating(ITEM.field(ours).type):
        return text
    # RetailRocket writes a number as n277200.000.
    number = rf"regexp_replace({text}, '^n(-?[0-9])', '\1')"
    return with_point(number) if mapping.decimal == "," else number


def _wrong(mapping: TableMapping) -> str:
    """SQL of the reason why a row's value does not fit the property that the row names."""
    price = f"TRY_CAST({_read(VALUE, 'price', mapping)} AS DOUBLE)"
    bad = {
        "price": (f"{price} IS NULL OR NOT isfinite({price}) OR {price} < 0", PRICE),
        "available": (f"{flag(VALUE)} IS NULL", FLAG),
    }
    cases = " ".join(
        f"WHEN {PROPERTY} = {literal(mapping.properties[ours])} AND trim({VALUE}) <> '' "
        f"AND ({wrong}) THEN '{why}'"
        for ours, (wrong, why) in bad.items()
        if ours in mapping.properties
    )
    return f"CASE {cases} END" if cases else "NULL"
