"""Read files, databases and batches of feedback into the day-partitioned log."""

from features.ingest.ingest_error import IngestError
from features.ingest.log_store import (
    Report,
    store_events,
    store_items,
    store_requests,
    store_users,
)
from features.ingest.mapping import IngestParams, Mapping, TableMapping
from features.ingest.refusals import DUPLICATE
from features.ingest.source import Source, read_source
from features.ingest.validate import validate_events, validate_items

__all__ = [
    "DUPLICATE",
    "IngestError",
    "IngestParams",
    "Mapping",
    "Report",
    "Source",
    "TableMapping",
    "read_source",
    "store_events",
    "store_items",
    "store_requests",
    "store_users",
    "validate_events",
    "validate_items",
]
