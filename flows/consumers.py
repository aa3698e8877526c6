"""Names under which flows store how far they have read (`serving.offsets`)."""

from typing import Final

EVENTS: Final = "ingest.events"
ITEMS: Final = "ingest.items"
FILES: Final = "ingest.files"
