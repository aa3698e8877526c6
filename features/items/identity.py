"""What identifies a catalogue: the ids of its items, in order.

A catalogue only grows at its end (docs/adr/0002), so whatever was fitted on one fits each that
begins with the same items. A fitted part keeps how many they were and a digest of them.
"""

from hashlib import sha256
from typing import Final

from base.arrays import Objects

#: What stands between two ids in the digest.
BETWEEN: Final = "\0"
#: The same in `sources.json`: releases that were written so must load.
BETWEEN_IN_SOURCES: Final = "\n"


def digest(item_ids: Objects, between: str = BETWEEN) -> str:
    """SHA-256 of item ids in order, as hex."""
    return sha256(between.join(item_ids).encode()).hexdigest()


def begins_with(item_ids: Objects, size: int, known: str, between: str = BETWEEN) -> bool:
    """Are the first `size` of a catalogue's items those of which `known` is the digest?"""
    return digest(item_ids[:size], between) == known
