"""From sources to a version of `data/log`: the feedback log, files and databases, a ready-made log.

Each consumer has a stored offset: read a range, store it by day of arrival, `dvc add` the days,
then advance. A kill between any two of these is harmless: the next run reads the range again,
writes the same bytes, and removes what a run that never advanced left behind.
"""

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa
from prefect import task
from prefect.cache_policies import NO_CACHE

from features.ingest import (
    IngestParams,
    Report,
    Source,
    read_source,
    store_events,
    store_items,
    store_users,
)
from features.params import load
from flows.consumers import EVENTS, FILES, ITEMS
from flows.workspace import Workspace
from serving import catalogue_feed, offsets
from serving.fences import Fence
from serving.log import FeedbackLog

BATCH: Final = 200_000

#: Offsets of the feedback log start here in the log, after those of all files.
FEEDBACK_BASE: Final = 100_000_000_000
_PART: Final = re.compile(r"part-(\d{12})-\d{12}\.parquet")


@dataclass(frozen=True)
class Ingested:
    """What a run read: rows stored and quarantined, and the version of the whole log after it."""

    events: int
    items: int
    quarantined: int
    version: str


@task(cache_policy=NO_CACHE)
def ingest_feedback(engine: sa.Engine, workspace: Workspace, fence: Fence | None) -> Ingested:
    """Bring `data/log` up to the end of the outbox and of the catalogue feed."""
    reports = [_drain_items(engine, workspace, fence)]
    events = 0
    while True:
        after = offsets.read(engine, EVENTS)
        batch = FeedbackLog(engine).read(after, BATCH)
        if batch.num_rows == 0:
            quarantined = sum(report.quarantined for report in reports)
            return Ingested(events, reports[0].stored, quarantined, workspace.data_version())
        forget_after(workspace.log, "events", FEEDBACK_BASE + after)
        report = store_events(
            batch.drop_columns("offset"), workspace.log, FEEDBACK_BASE + after + 1, _newest(batch)
        )
        workspace.add(folders(workspace, [report]))
        offsets.advance(engine, EVENTS, batch["offset"][-1].as_py(), fence)
        reports.append(report)
        events += report.stored


def ingest_source(
    engine: sa.Engine,
    workspace: Workspace,
    source: Path | str | Source,
    now: int,
    fence: Fence | None = None,
) -> Ingested:
    """Add a file, a folder, a database by URL, or what was read from one. `now` in µs.

    Bringing the same source again quarantines its rows as duplicates. Raises IngestError for one
    that cannot be read.
    """
    if not isinstance(source, Source):
        params = load(IngestParams, "ingest", workspace.root / "params.yaml")
        source = read_source(source, params.mapping)
    first = offsets.read(engine, FILES)
    for kind in ("events", "items"):
        forget_after(workspace.log, kind, first - 1, below=FEEDBACK_BASE)
    events = store_events(source.events, workspace.log, first, now)
    items = store_items(source.items, workspace.log, first, now)
    users = store_users(source.users, workspace.log, first)
    reports = [events, items, users]
    workspace.add(folders(workspace, reports))
    offsets.advance(engine, FILES, first + max(report.rows for report in reports), fence)
    quarantined = sum(report.quarantined for report in reports)
    return Ingested(events.stored, items.stored, quarantined, workspace.data_version())


def ingest_log(engine: sa.Engine, workspace: Workspace, folder: Path) -> Ingested:
    """Add a folder that is a log already (`events/dt=…`, `items/dt=…`, `users/`). Whatever file
    comes next is numbered after it."""
    parts = sorted(folder.rglob("part-*.parquet"))
    rows = dict.fromkeys(("events", "items", "users"), 0)
    for part in parts:
        target = workspace.log / part.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copyfile(part, target)
        rows[part.relative_to(folder).parts[0]] += pq.read_metadata(part).num_rows
    workspace.add(sorted({workspace.log / part.parent.relative_to(folder) for part in parts}))
    last = max((int(part.stem.rsplit("-", 1)[1]) for part in parts), default=-1)
    offsets.advance(engine, FILES, max(last + 1, offsets.read(engine, FILES)))
    return Ingested(rows["events"], rows["items"], 0, workspace.data_version())


def quarantine_share(workspace: Workspace) -> float:
    """Share of all event rows ever read into the log that were quarantined."""
    stored, bad = (
        sum(pq.read_metadata(path).num_rows for path in workspace.log.glob(pattern))
        for pattern in ("events/dt=*/part-*.parquet", "quarantine/events/part-*.parquet")
    )
    return bad / (stored + bad) if stored + bad else 0.0


def folders(workspace: Workspace, reports: Iterable[Report]) -> list[Path]:
    """The folders of the log that reports have written to."""
    found = {
        (workspace.log / partition).parent for report in reports for partition in report.partitions
    }
    if any(report.quarantined for report in reports):
        found.add(workspace.log / "quarantine")
    return sorted(folder for folder in found if folder.exists())


def forget_after(log: Path, kind: str, offset: int, below: int | None = None) -> None:
    """Remove files of ranges that begin after `offset` (and `below`): a run that was killed before
    it advanced wrote them, and the range may be cut differently now."""
    for pattern in (f"{kind}/dt=*/*", f"quarantine/{kind}/*"):
        for path in log.glob(pattern):
            match = _PART.fullmatch(path.name)
            first = int(match[1]) if match else offset + 1  # a half-written file has no number
            if first > offset and (below is None or first < below):
                path.unlink()


def _drain_items(engine: sa.Engine, workspace: Workspace, fence: Fence | None) -> Report:
    after = offsets.read(engine, ITEMS)
    news = catalogue_feed.read(engine, after)
    if news.num_rows == 0:
        return Report(0, 0, 0, ())
    forget_after(workspace.log, "items", FEEDBACK_BASE + after)
    report = store_items(
        news.drop_columns("sequence"), workspace.log, FEEDBACK_BASE + after + 1, _newest(news)
    )
    workspace.add(folders(workspace, [report]))
    offsets.advance(engine, ITEMS, news["sequence"][-1].as_py(), fence)
    return report


def _newest(rows: pa.Table) -> int:
    """The clock of a range of rows: its last arrival, so that a replay judges it the same."""
    newest: int = pc.max(rows["received_at"].cast(pa.int64())).as_py()
    return newest
