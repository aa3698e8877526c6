"""Logs that are made for measurements."""

from pathlib import Path

from benchmarks import made_source
from benchmarks.made_source import Size
from features.ingest import read_source, store_events, store_items
from features.schema import EventType
from tests.features.ingest.bringing import NOW, stored


def test_every_row_of_a_made_log_is_stored(tmp_path: Path) -> None:
    made_source.write(tmp_path / "source", Size(1_000, 50, 10), seed=1)
    source = read_source(tmp_path / "source")
    events = store_events(source.events, tmp_path / "log", 0, NOW)
    items = store_items(source.items, tmp_path / "log", 0, NOW)
    assert (events.quarantined, items.quarantined) == (0, 0), (events.reasons, items.reasons)
    kinds = {row["event_type"] for row in stored(tmp_path / "log")}
    assert {EventType.IMPRESSION, EventType.CLICK, EventType.VIEW, EventType.PURCHASE} <= kinds
