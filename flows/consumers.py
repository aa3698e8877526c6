"""Names under which flows store how far they have read (`serving.offsets`)."""

from typing import Final

EVENTS: Final = "ingest.events"
#: How much of the feedback log the last finished retrain had learned from.
RETRAINED: Final = "retrain.events"
ITEMS: Final = "ingest.items"
#: The number that the next row of the log gets, whatever its source: the order of ingestion.
LOG_ROWS: Final = "ingest.log"
