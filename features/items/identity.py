"""A catalogue is identified by the ids of its items, in order.

It only grows at its end (docs/adr/0002), so a model fitted on one catalogue fits every catalogue
that begins with the same items. A fitted model stores the number of these items and a digest of
their ids.
"""

from hashlib import sha256
from typing import Final

from base.arrays import Objects

#: The separator of ids in the digest.
BETWEEN: Final = "\0"
#: The separator in `sources.json`. It differs so that older releases can still be loaded.
BETWEEN_IN_SOURCES: Final = "\n"


def digest(item_ids: Objects, between: str = BETWEEN) -> str:
    """SHA-256 of item ids in order, as hex."""
    return sha256(between.join(item_ids).encode()).hexdigest()


def begins_with(item_ids: Objects, size: int, known: str, between: str = BETWEEN) -> bool:
    """Whether the first `size` items of a catalogue have the digest `known`."""
    return digest(item_ids[:size], between) == known
