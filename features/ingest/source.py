"""Read any source as three tables: events, items and users."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from features.event_log import connect
from features.ingest.apply import apply, whole
from features.ingest.archives import is_zip, kind_of, opened, unzipped
from features.ingest.ingest_error import IngestError, NoRows
from features.ingest.mapping import Mapping, TableMapping
from features.ingest.movielens import detect, read_movielens
from features.ingest.raw import Raw
from features.ingest.readers import read_file, read_sql
from features.ingest.refusals import EARLIEST
from features.ingest.spool import Rows, Spool, batches, register
from features.schema import EVENT, ITEM, USER

#: Suffixes, before `.gz`, of files that may use our own column names.
SUFFIXES = ("csv", "parquet", "jsonl", "ndjson", "json")


@dataclass(frozen=True)
class Source:
    """A mapped but not yet validated source: columns have our names, values may be anything.

    events, items, users: for `store_events`, `store_items` and `store_users`; kind: how the source
    was recognised; dated: whether it says when each item version became known; folded: how many
    more rows the source had than these tables, because several properties become one item version,
    less the rows added by expanding lists of shown items.
    """

    events: Rows
    items: Rows
    users: Rows
    kind: str
    dated: bool = True
    folded: int = 0


def read_source(path: Path | str, mapping: Mapping | None = None) -> Source:
    """Read a MovieLens folder, a file, a folder of files, a zip of either, or a database by URL.

    A mapping takes precedence. Without one, a MovieLens folder is recognised by its file names, and
    any other source must use our column names: a file of events, or a folder with `events.csv` (or
    `.parquet`, `.jsonl`, optionally with `.gz`), `items` or both, and optionally `users`. Items
    without a time count as known since the first event. Raises IngestError: one line that says what
    to do.
    """
    mapping = mapping or Mapping()
    if isinstance(path, str) and "://" in path:
        return _read(path, mapping, "sql")
    path = Path(path)
    if not path.exists():
        raise IngestError(f"{path}: no such file or folder")
    if not is_zip(path):
        return _read_path(path, mapping)
    with unzipped(path) as folder:
        files = [file for file in folder.rglob("*") if file.is_file()]
        alone = len(files) == 1 and detect(folder) is None
        try:
            return _read_path(files[0] if alone else folder, mapping)
        except IngestError as error:
            raise IngestError(str(error).replace(str(folder), str(path))) from None


def _read_path(path: Path, mapping: Mapping) -> Source:
    if mapping.events is None and mapping.items is None and path.is_dir():
        kind = detect(path)
        if kind is not None:
            events, items, users = read_movielens(path, kind)
            dated = items.num_rows == 0
            return Source(events, _known_since(items, events), users, f"movielens-{kind}", dated)
    return _read(path, mapping, "files")


def _read(path: Path | str, mapping: Mapping, kind: str) -> Source:
    found: dict[str, Rows] = {}
    rows = 0
    for name, layout, schema in (
        ("events", mapping.events, EVENT),
        ("items", mapping.items, ITEM),
        ("users", mapping.users, USER),
    ):
        read = _raw(path, name, layout, mapping)
        if read:
            layout = layout or TableMapping()
            tables = [apply(raw, layout, schema, where) for raw, where in read]
            found[name] = whole(tables, layout, schema, read[0][1])
            rows += sum(raw.rows for raw, _ in read)
    if "events" not in found and "items" not in found:
        raise IngestError(
            f"{path}: no events.csv, events.parquet, items.csv or MovieLens files; "
            "name the file in params.yaml under ingest.mapping.events.path"
        )
    events = found.get("events", EVENT.empty_table())
    items = found.get("items", ITEM.empty_table())
    return Source(
        events=events,
        items=_known_since(items, events),
        users=found.get("users", USER.empty_table()),
        kind=kind,
        dated="received_at" in items.column_names,
        folded=rows - sum(table.num_rows for table in found.values()),
    )


def _raw(
    path: Path | str, name: str, layout: TableMapping | None, mapping: Mapping
) -> list[tuple[Raw, str]]:
    """The files or the query of a table, each with its name for messages."""
    if isinstance(path, Path):
        return _raw_files(_files(path, name, mapping), layout or TableMapping())
    if layout is None:
        alone = name == "events" and mapping.items is None
        layout = TableMapping(path=name) if alone else None
    return [(read_sql(path, layout), f"{name} of the database")] if layout else []


def _raw_files(files: list[Path], layout: TableMapping) -> list[tuple[Raw, str]]:
    """The files that hold rows. Raises NoRows if several files are given and none does."""
    found, without = [], None
    for file in files:
        try:
            found.append((read_file(file, layout), str(file)))
        except NoRows as error:
            without = without or error
    if without and not found:
        raise without
    return found


def _files(path: Path, name: str, mapping: Mapping) -> list[Path]:
    layout = {"events": mapping.events, "items": mapping.items, "users": mapping.users}[name]
    pattern = layout.path if layout else None
    if path.is_file():
        alone = _single(path, mapping)
        if name == alone:
            return [path]
        # Also read the files that the mapping names beside a single file of events.
        return sorted(path.parent.glob(pattern)) if pattern and alone == "events" else []
    if pattern is not None:
        if Path(pattern).is_absolute():
            raise IngestError(f"{path}: '{pattern}' of the mapping: name it relative to the folder")
        files = (file for file in path.glob(pattern) if file.is_file())
        found = sorted(file for file in files if not file.name.startswith("."))
        if not found:
            raise IngestError(f"{path}: no file matches '{pattern}' of the mapping's {name}")
        return found
    return [
        file
        for suffix in SUFFIXES
        for end in ("", ".gz", ".zip")
        for file in sorted(path.glob(f"{name}.{suffix}{end}"))
    ]


def _single(path: Path, mapping: Mapping) -> str:
    """Which table a single file is: events, unless the mapping or the columns say items."""
    events, items = mapping.events, mapping.items
    if events is None:
        return "items" if items is not None or _holds_items(path) else "events"
    if items is None or items.path is None or not path.match(items.path):
        return "events"
    return "events" if events.path is None or path.match(events.path) else "items"


def _holds_items(path: Path) -> bool:
    """Whether a file has our item columns and no users."""
    if kind_of(path) == ".parquet":
        try:
            names = set(pq.read_schema(path).names)
        except (pa.ArrowException, OSError):
            return False
        return "item_id" in names and "user_id" not in names
    with opened(path) as stream:
        head = stream.read(1 << 16).decode("utf-8", "replace").lstrip("\ufeff")
    if head.lstrip().startswith(("{", "[")):
        return '"item_id"' in head and '"user_id"' not in head
    names = {name.strip().strip('"') for name in head.partition("\n")[0].split(",")}
    return "item_id" in names and "user_id" not in names


def _known_since(items: Rows, events: Rows) -> Rows:
    """Fill in a missing `received_at`: the time of creation, else the first event of the source."""
    if items.num_rows == 0:
        return items
    connection = connect()
    register(connection, "items", items)
    first = "NULL::BIGINT"
    if events.num_rows and "timestamp" in events.column_names:
        register(connection, "events", events)
        # Only events that can be used count.
        first = f"(SELECT min(timestamp) FROM events WHERE timestamp >= {EARLIEST})"
    given = [name for name in ("received_at", "created_at") if name in items.column_names]
    kept = "* EXCLUDE (received_at)" if "received_at" in given else "*"
    known = f"coalesce({', '.join([*given, first])}) AS received_at"
    return Spool.of(batches(connection, f"SELECT {kept}, {known} FROM items"))
