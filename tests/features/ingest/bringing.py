"""Helpers for tests of sources: store a source in a log, and look at the result."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from base import params
from features.ingest import (
    IngestError,
    IngestParams,
    Report,
    read_source,
    store_events,
    store_items,
)

NOW = 1_800_000_000_000_000
S = 1735689600

#: A mapping of events.
EVENTS = {
    "columns": {"user_id": "uid", "item_id": "iid", "event_type": "action", "timestamp": "at"}
}


def bring(
    path: Path, log: Path, mapping: dict[str, Any] | None = None, first: int = 0
) -> tuple[Report, Report]:
    """Store the events and items of a source, and return the reports."""
    built = params.build(IngestParams, "ingest", {"mapping": mapping or {}}).mapping
    source = read_source(path, built)
    return (
        store_events(source.events, log, first, NOW),
        store_items(source.items, log, first, NOW, source.dated),
    )


def refused(path: Path, mapping: dict[str, Any] | None = None) -> str:
    """The one-line message with which a source is refused."""
    with pytest.raises(IngestError) as error:
        bring(path, path.parent / "no-log", mapping)
    assert "\n" not in str(error.value)
    assert not (path.parent / "no-log").exists()
    return str(error.value)


def stored(log: Path, kind: str = "events") -> list[dict[str, Any]]:
    parts = sorted(log.glob(f"{kind}/dt=*/part-*.parquet"))
    return [row for part in parts for row in pq.read_table(part).to_pylist()]


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path
