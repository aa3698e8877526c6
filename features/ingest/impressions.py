"""Expand lists of shown items, stored in one field of an event, into one event per entry."""

from typing import Final

from features.event_log import connect
from features.ingest.ingest_error import IngestError
from features.ingest.raw import ERROR
from features.ingest.spool import Rows, Spool, batches, register
from features.ingest.sql import literal, whole_id
from features.schema import EventType

#: An entry of a list written as text by JSON, Python or NumPy.
_WITHIN: Final = r"[^\[\]\x22\x27, ]+"


def expand(table: Rows, separator: str, outcomes: dict[str, str]) -> Spool:
    """Make an `impression` with its `position` for each entry of `item_id`, and an event for its
    outcome.

    outcomes: text after an entry's last hyphen to the event it stands for (see the mapping).
    Without outcomes, the entries are plain item ids. The text of a list (`["a", "b"]`) is parsed. A
    row with an empty list stays one row.
    """
    connection = connect()
    register(connection, "lists", table)
    kept = [n for n in table.column_names if n not in ("item_id", "event_type", "position", ERROR)]
    known = {str(mark): event_type for mark, event_type in outcomes.items()}
    cases = " ".join(f"WHEN {literal(mark)} THEN {literal(told)}" for mark, told in known.items())
    told = f"CASE mark {cases} END" if known else f"'{EventType.IMPRESSION}'"
    item = "regexp_replace(entry, '-[^-]*$', '')" if known else "entry"
    listed = r"regexp_full_match(trim(item_id), '\[.*\]')"
    wrong = "'the entry does not end in one of the mapping''s outcomes'"
    query = f"""
        WITH split AS (
            SELECT *, row_number() OVER () AS place,
                   list_filter(CASE WHEN {listed} THEN regexp_extract_all(item_id, '{_WITHIN}')
                       ELSE string_split(trim(item_id), {literal(separator)}) END, x -> x <> '')
                       AS entries
            FROM lists
        ),
        each AS (
            SELECT *, unnest(CASE WHEN len(entries) > 0 THEN entries ELSE [NULL] END) AS entry,
                   unnest(range(greatest(coalesce(len(entries), 0), 1))) AS slot
            FROM split
        ),
        said AS (
            SELECT *, {whole_id(item)} AS item, regexp_extract(entry, '-([^-]*)$', 1) AS mark
            FROM each
        ),
        read AS (SELECT *, {told} AS told FROM said),
        rows AS (
            SELECT *, 0 AS part, '{EventType.IMPRESSION}' AS event_kind FROM read
            UNION ALL
            SELECT *, 1 AS part, told AS event_kind FROM read
            WHERE told <> '{EventType.IMPRESSION}'
        )
        SELECT {", ".join([*kept, ""])} item AS item_id, event_kind AS event_type,
               slot::INTEGER AS position,
               coalesce({ERROR}, CASE WHEN entry IS NOT NULL AND told IS NULL THEN {wrong} END)
                   AS {ERROR}
        FROM rows ORDER BY place, slot, part
        """
    return Spool.of(batches(connection, query))


def check_not_lists(table: Rows, source: str) -> None:
    """Raise IngestError if `item_id` holds lists of shown items instead of ids."""
    if "item_id" not in table.column_names:
        return
    connection = connect()
    register(connection, "events", table)
    lists, count, example = connection.execute(
        r"""
        SELECT count(*) FILTER (regexp_full_match(item_id::VARCHAR, '\S+-[01]( \S+-[01])+')),
               count(item_id),
               min(item_id::VARCHAR) FILTER (regexp_full_match(item_id::VARCHAR,
                   '\S+-[01]( \S+-[01])+'))
        FROM events
        """
    ).fetchall()[0]
    if lists and 4 * lists >= count:
        raise IngestError(
            f"{source}: `item_id` holds lists of what was shown ({example[:40]}…); set "
            '`impressions: " "` and `outcomes: {"0": impression, "1": click}`'
        )
