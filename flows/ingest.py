"""Ingest sources into a version of `data/log`: the feedback log, files, databases, or a ready-made
log.

Rows of all sources are numbered in the order of ingestion. A run reads a range, stores it by day of
arrival, adds the days with `dvc add`, then advances the numbers. It may be killed between any two
of these steps: the next run first removes files of a run that did not advance the numbers.
"""

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa
from prefect import task
from prefect.cache_policies import NO_CACHE

from base.params import load
from features.ingest import (
    DUPLICATE,
    IngestError,
    IngestParams,
    Report,
    Source,
    read_source,
    store_events,
    store_items,
    store_requests,
    store_users,
)
from features.ingest.log_store import part_start
from flows.consumers import EVENTS, ITEMS, LOG_ROWS
from flows.workspace import Workspace
from serving import catalogue_feed, offsets
from serving.feedback_log import FeedbackLog
from serving.fences import Fence
from serving.served import served

BATCH: Final = 200_000


@dataclass(frozen=True)
class Ingested:
    """The result of a run: numbers of rows stored and quarantined, and the new version of the whole
    log.

    reasons: quarantined rows by reason, including those that repeat stored rows (DUPLICATE);
    folded: see `Source`; users: number of stored users.
    """

    events: int
    items: int
    quarantined: int
    version: str
    reasons: Mapping[str, int] = field(default_factory=dict)
    folded: int = 0
    users: int = 0

    @property
    def duplicates(self) -> int:
        """Number of rows that were stored before. They are reported, but are no error."""
        return self.reasons.get(DUPLICATE, 0)

    @property
    def nothing(self) -> bool:
        """Whether there were rows and none of them can be used."""
        return self.events + self.items + self.users == 0 and self.quarantined > self.duplicates


@task(cache_policy=NO_CACHE)
def ingest_feedback(engine: sa.Engine, workspace: Workspace, fence: Fence | None) -> Ingested:
    """Add everything new in the outbox and the catalogue feed to `data/log`, with the requests that
    were served."""
    begin(engine, workspace)
    reports = [_drain_items(engine, workspace, fence)]
    items, events = reports[0].stored, 0
    while True:
        after = offsets.read(engine, EVENTS)
        batch = FeedbackLog(engine).read(after, BATCH)
        if batch.num_rows == 0:
            # Items that came meanwhile: a served request may have them among its candidates.
            reports.append(_drain_items(engine, workspace, fence))
            return _ingested(events, items + reports[-1].stored, reports, workspace)
        first = offsets.read(engine, LOG_ROWS)
        report = store_events(batch.drop_columns("offset"), workspace.log, first, _newest(batch))
        slates = store_requests(served(engine, batch), workspace.log, first, batch.num_rows)
        marks = {EVENTS: batch["offset"][-1].as_py()}
        end(engine, workspace, first, [report, slates], marks, fence)
        reports.append(report)
        events += report.stored


def ingest_source(
    engine: sa.Engine,
    workspace: Workspace,
    source: Path | str | Source,
    now: int,
    fence: Fence | None = None,
) -> Ingested:
    """Add a file, a folder, a database by URL, or a `Source` read from one. now: µs.

    If the same source is added again, its rows are quarantined as duplicates. Raises IngestError if
    the source cannot be read.
    """
    if not isinstance(source, Source):
        params = load(IngestParams, "ingest", workspace.root / "params.yaml")
        source = read_source(source, params.mapping)
    first = begin(engine, workspace)
    events = store_events(source.events, workspace.log, first, now)
    items = store_items(source.items, workspace.log, first, now, source.dated)
    users = store_users(source.users, workspace.log, first)
    reports = [events, items, users]
    end(engine, workspace, first, reports, {}, fence)
    told = _ingested(events.stored, items.stored, reports, workspace)
    return replace(told, folded=source.folded, users=users.stored)


def ingest_log(engine: sa.Engine, workspace: Workspace, folder: Path) -> Ingested:
    """Add a folder that already is a log (`events/dt=…`, `items/dt=…`, `users/`).

    Rows added later are numbered after it.
    """
    begin(engine, workspace)
    parts = sorted(folder.rglob("part-*.parquet"))
    rows = dict.fromkeys(("events", "items", "users", "requests"), 0)
    for part in parts:
        target = workspace.log / part.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copyfile(part, target)
        rows[part.relative_to(folder).parts[0]] += pq.read_metadata(part).num_rows
    workspace.add(sorted({workspace.log / part.parent.relative_to(folder) for part in parts}))
    last = max((int(part.stem.rsplit("-", 1)[1]) for part in parts), default=-1)
    offsets.advance(engine, {LOG_ROWS: last + 1})
    return Ingested(rows["events"], rows["items"], 0, workspace.data_version())


def begin(engine: sa.Engine, workspace: Workspace) -> int:
    """Remove files of a killed run, and return the number of the next row of the log.

    Raises IngestError for a log that was numbered by another database.
    """
    first = offsets.find(engine, LOG_ROWS)
    parts = [(path, part_start(path)) for path in workspace.log.rglob("*.parquet")]
    if first is None:
        if any(number is not None for _, number in parts):
            raise IngestError(
                f"{workspace.log} was filled by another operations database: set "
                "RONDO_DATABASE_URL to that one, or move the folder away to begin a new log"
            )
        first = 0
        offsets.advance(engine, {LOG_ROWS: first})
    left = [path for path, number in parts if number is not None and number >= first]
    for path in [*left, *workspace.log.rglob(".*.tmp")]:
        path.unlink()
    versioned = bool(workspace.data_version())
    # The killed run may have versioned the log already, or damaged its version (`flows.torn`).
    if (left and versioned) or (len(parts) > len(left) and not versioned):
        workspace.add([workspace.log])
    return first


def end(
    engine: sa.Engine,
    workspace: Workspace,
    first: int,
    reports: Iterable[Report],
    marks: dict[str, int],
    fence: Fence | None,
) -> None:
    """Version the files that `reports` wrote from number `first` on, and advance `marks`."""
    reports = list(reports)
    workspace.add(folders(workspace, reports))
    after = first + max(report.rows for report in reports)
    offsets.advance(engine, {LOG_ROWS: after, **marks}, fence)


def folders(workspace: Workspace, reports: Iterable[Report]) -> list[Path]:
    """The folders of the log that `reports` wrote to."""
    found = {
        (workspace.log / partition).parent for report in reports for partition in report.partitions
    }
    if any(report.quarantined for report in reports):
        found.add(workspace.log / "quarantine")
    return sorted(folder for folder in found if folder.exists())


def _ingested(events: int, items: int, reports: Sequence[Report], workspace: Workspace) -> Ingested:
    reasons = sum((Counter(report.reasons) for report in reports), Counter[str]())
    quarantined = sum(report.quarantined for report in reports)
    return Ingested(events, items, quarantined, workspace.data_version(), reasons)


def _drain_items(engine: sa.Engine, workspace: Workspace, fence: Fence | None) -> Report:
    news = catalogue_feed.read(engine, offsets.read(engine, ITEMS))
    if news.num_rows == 0:
        return Report(0, 0, 0, ())
    first = offsets.read(engine, LOG_ROWS)
    report = store_items(news.drop_columns("sequence"), workspace.log, first, _newest(news))
    end(engine, workspace, first, [report], {ITEMS: news["sequence"][-1].as_py()}, fence)
    return report


def _newest(rows: pa.Table) -> int:
    """The time used to judge a range of rows: its last arrival, so that reading it again gives
    the same."""
    newest: int = pc.max(rows["received_at"].cast(pa.int64())).as_py()
    return newest
