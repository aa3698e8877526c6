"""Any source as three tables: events, items, users."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from features.ingest.errors import IngestError
from features.ingest.mapping import Mapping, TableMapping, apply
from features.ingest.movielens import detect, read_movielens
from features.ingest.readers import read_file, read_sql
from features.schema import EVENT, ITEM, TIMESTAMP, USER


@dataclass(frozen=True)
class Source:
    """Mapped, not yet validated: columns have our names, values may be anything.

    events: for `store_events`; items: for `store_items`; users: for `store_users`; kind: how it
    was recognised.
    """

    events: pa.Table
    items: pa.Table
    users: pa.Table
    kind: str


def read_source(path: Path | str, mapping: Mapping | None = None) -> Source:
    """Read a MovieLens folder, a CSV or Parquet file, a folder of them, or a database by URL.

    A mapping with `events` comes first; without one a MovieLens folder is recognised by its file
    names, and any other source must have our column names: a file of events, or a folder with
    `events.csv` (or `.parquet`) and perhaps `items` and `users`. Items without a time were known
    at the first event. Raises IngestError, one line that says what to do.
    """
    mapping = mapping or Mapping()
    if isinstance(path, str) and "://" in path:
        return _read(path, mapping, "sql")
    path = Path(path)
    if not path.exists():
        raise IngestError(f"{path}: no such file or folder")
    if mapping.events is None and path.is_dir():
        kind = detect(path)
        if kind is not None:
            events, items, users = read_movielens(path, kind)
            return Source(events, _known_since(items, events), users, f"movielens-{kind}")
    return _read(path, mapping, "files")


def _read(path: Path | str, mapping: Mapping, kind: str) -> Source:
    events = _table(path, "events", mapping.events, EVENT)
    if events is None:
        raise IngestError(
            f"{path}: no events.csv, events.parquet or MovieLens files; "
            "name the file in params.yaml under ingest.mapping.events.path"
        )
    items = _table(path, "items", mapping.items, ITEM)
    users = _table(path, "users", mapping.users, USER)
    return Source(
        events=events,
        items=_known_since(items, events) if items is not None else ITEM.empty_table(),
        users=users if users is not None else USER.empty_table(),
        kind=kind,
    )


def _table(
    path: Path | str, name: str, mapping: TableMapping | None, schema: pa.Schema
) -> pa.Table | None:
    layout = mapping or TableMapping(path=name)
    if isinstance(path, str):
        if mapping is None and name != "events":
            return None
        return apply(read_sql(path, layout), layout, schema, f"{name} of the database")
    files = _files(path, name, mapping)
    tables = [apply(read_file(file, layout), layout, schema, str(file)) for file in files]
    return pa.concat_tables(tables, promote_options="default") if tables else None


def _files(path: Path, name: str, mapping: TableMapping | None) -> list[Path]:
    if path.is_file():
        if name == "events":
            return [path]
        folder, pattern = path.parent, mapping.path if mapping else None
        return sorted(folder.glob(pattern)) if pattern else []
    if mapping is not None and mapping.path is not None:
        found = sorted(path.glob(mapping.path))
        if not found:
            raise IngestError(f"{path}: no file matches '{mapping.path}' of the mapping's {name}")
        return found
    return [file for suffix in ("csv", "parquet") for file in sorted(path.glob(f"{name}.{suffix}"))]


def _known_since(items: pa.Table, events: pa.Table) -> pa.Table:
    """`received_at`, where there is none: the creation, else the first event of the source."""
    first = (
        pc.min(events["timestamp"].cast(pa.int64())) if "timestamp" in events.column_names else None
    )
    start = pa.scalar(first.as_py() if first is not None else None, pa.int64())
    known = pa.nulls(items.num_rows, pa.int64())
    for column in ("received_at", "created_at"):
        if column in items.column_names:
            known = pc.coalesce(known, items[column].cast(pa.int64()))
    known = pc.coalesce(known, start).cast(TIMESTAMP)
    if "received_at" in items.column_names:
        return items.set_column(items.column_names.index("received_at"), "received_at", known)
    return items.append_column("received_at", known)
