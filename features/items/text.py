"""Item texts as vectors of hashed words and categories, without a fitted state.

Uses feature hashing with signs (Weinberger et al., 2009). Nothing is learned, so an item that
arrives after training is embedded like any other.
"""

import re
import zlib
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import pyarrow as pa

from base.arrays import Float32s

TEXT_SIZE: Final = 256
_WORD: Final = re.compile(r"\w+")


def words(title: str | None, description: str | None, categories: Iterable[str]) -> Iterator[str]:
    """The features of an item to hash: its words in lower case, and each category as a whole."""
    for text in (title, description):
        yield from _WORD.findall((text or "").lower())
    for category in categories:
        yield f"category={category}"


def embed(features: Iterable[str]) -> Float32s:
    """Signed hashed counts, square-root damped, unit length: float32 [TEXT_SIZE]."""
    vector = np.zeros(TEXT_SIZE, dtype=np.float32)
    for feature in features:
        code = zlib.crc32(feature.encode())
        vector[code % TEXT_SIZE] += 1.0 if code & 0x8000_0000 else -1.0
    vector = np.sign(vector) * np.sqrt(np.abs(vector))
    norm = float(np.linalg.norm(vector))
    return vector / norm if norm > 0 else vector


def embed_items(items: pa.Table) -> Float32s:
    """float32 [items, TEXT_SIZE] for rows of `schema.ITEM`."""
    columns = (items[name].to_pylist() for name in ("title", "description", "categories"))
    rows = [embed(words(t, d, c or ())) for t, d, c in zip(*columns, strict=True)]
    return np.stack(rows).astype(np.float32)
