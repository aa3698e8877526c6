"""Names under which flows store how far they have read (`serving.offsets`)."""

from typing import Final

EVENTS: Final = "ingest.events"
#: How much of the feedback log the last finished retrain learned from.
RETRAINED: Final = "retrain.events"
#: How far the log went (counted as LOG_ROWS) for the last finished retrain, and for the last one
#: before it with other data.
LEARNED: Final = "retrain.log"
LEARNED_BEFORE: Final = "retrain.log.before"
#: How far the log went (counted as LOG_ROWS) for the last finished retrain that found it like the
#: rows before.
TRUSTED: Final = "retrain.log.trusted"
ITEMS: Final = "ingest.items"
#: The number of the next log row. All sources share it, in the order of ingestion.
LOG_ROWS: Final = "ingest.log"
