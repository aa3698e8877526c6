"""The consumer of the feedback log: from its stored offset to a version of `data/log`.

Read a range of the outbox, write it as Parquet by day of arrival, `dvc add` the days, then advance
the offset. A kill between any two of these is harmless: the next run reads the same range again,
writes the same bytes, and removes files that a run which never advanced left behind.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa
from prefect import task
from prefect.cache_policies import NO_CACHE

from features import schema
from flows.workspace import Workspace
from serving import catalogue_feed, offsets
from serving.fences import Fence
from serving.log import FeedbackLog

EVENTS, ITEMS = "ingest.events", "ingest.items"
BATCH = 200_000
PART = re.compile(r"part-(\d+)-(\d+)-feedback\.parquet")


@dataclass(frozen=True)
class Ingested:
    """What a run stored: rows, and the version of the whole log after it."""

    events: int
    items: int
    version: str


@task(cache_policy=NO_CACHE)
def ingest_feedback(engine: sa.Engine, workspace: Workspace, fence: Fence | None) -> Ingested:
    """Bring `data/log` up to the end of the outbox and of the catalogue feed."""
    log = FeedbackLog(engine)
    items = _drain_items(engine, workspace, fence)
    events = 0
    while True:
        after = offsets.read(engine, EVENTS)
        batch = log.read(after, BATCH)
        if batch.num_rows == 0:
            return Ingested(events, items, workspace.data_version())
        forget_after(workspace.log / "events", after)
        touched = write_parts(batch, "offset", schema.EVENT, workspace.log / "events")
        workspace.add(touched)
        offsets.advance(engine, EVENTS, batch["offset"][-1].as_py(), fence)
        events += batch.num_rows


def ingest_folder(workspace: Workspace, folder: Path) -> Ingested:
    """Add a folder that is a log already (`events/dt=…`, `items/dt=…`, `users/`)."""
    parts = sorted(path for path in folder.rglob("part-*.parquet"))
    for part in parts:
        target = workspace.log / part.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copyfile(part, target)
    workspace.add(sorted({workspace.log / part.parent.relative_to(folder) for part in parts}))
    rows = dict.fromkeys(("events", "items", "users"), 0)
    for part in parts:
        rows[part.relative_to(folder).parts[0]] += pq.read_metadata(part).num_rows
    return Ingested(rows["events"], rows["items"], workspace.data_version())


def _drain_items(engine: sa.Engine, workspace: Workspace, fence: Fence | None) -> int:
    after = offsets.read(engine, ITEMS)
    news = catalogue_feed.read(engine, after)
    if news.num_rows == 0:
        return 0
    forget_after(workspace.log / "items", after)
    workspace.add(write_parts(news, "sequence", schema.ITEM, workspace.log / "items"))
    offsets.advance(engine, ITEMS, news["sequence"][-1].as_py(), fence)
    return int(news.num_rows)


def write_parts(rows: pa.Table, number: str, columns: pa.Schema, folder: Path) -> list[Path]:
    """Write rows as `dt=<day of received_at>/part-<first>-<last>-feedback.parquet`, sorted.

    number: the column that numbers the rows. Returns the folders written to. Each file appears
    whole, and the same rows always give the same bytes.
    """
    days = pc.strftime(rows["received_at"], format="%Y-%m-%d")
    keys = ["timestamp", "event_id"] if "event_id" in columns.names else ["received_at", "item_id"]
    touched = []
    for day in sorted(set(days.to_pylist())):
        part = rows.filter(pc.equal(days, day))
        first, last = pc.min(part[number]).as_py(), pc.max(part[number]).as_py()
        target = folder / f"dt={day}"
        target.mkdir(parents=True, exist_ok=True)
        ordered = part.sort_by([(key, "ascending") for key in [*keys, number]])
        temporary = target / f".{first:012d}.tmp"
        pq.write_table(ordered.select(columns.names).cast(columns), temporary)
        temporary.rename(target / f"part-{first:012d}-{last:012d}-feedback.parquet")
        touched.append(target)
    return touched


def forget_after(folder: Path, offset: int) -> None:
    """Remove files of ranges beyond `offset`: a run that was killed before it advanced wrote them,
    and the range may be cut differently now."""
    for path in folder.glob("dt=*/*"):
        match = PART.fullmatch(path.name)
        if path.suffix == ".tmp" or (match and int(match.group(1)) > offset):
            path.unlink()
