"""Names under which flows store how far they have read (`serving.offsets`)."""

from typing import Final

EVENTS: Final = "ingest.events"
#: How much of the feedback log the last finished retrain had learned from.
RETRAINED: Final = "retrain.events"
#: How far the log went that the last finished retrain had learned from, and the one before whose
#: data were others; as LOG_ROWS.
LEARNED: Final = "retrain.log"
LEARNED_BEFORE: Final = "retrain.log.before"
ITEMS: Final = "ingest.items"
#: The number that the next row of the log gets, whatever its source: the order of ingestion.
LOG_ROWS: Final = "ingest.log"
