"""Groups of queries that a mean can hide."""

from typing import Final

import numpy as np

from base.arrays import Bools
from features.requests.requests import Queries

NEW_USER: Final = 5
"""Fewer past events than this make a new user."""

LONG_HISTORY: Final = 50
"""At least this many past events make a long history."""


def slices(queries: Queries, new_items: Bools) -> dict[str, Bools]:
    """bool [n] by name; new_items: bool [catalogue], nobody had chosen it at training.

    The slice `new_items` holds the queries with such a target.
    """
    lengths = queries.requests.histories.lengths
    is_new = np.zeros(len(queries), dtype=np.bool_)
    targets = queries.targets
    is_new[targets.rows[new_items[targets.items]]] = True
    return {
        "new_users": lengths < NEW_USER,
        "short_history": (lengths >= NEW_USER) & (lengths < LONG_HISTORY),
        "long_history": lengths >= LONG_HISTORY,
        "new_items": is_new,
    }
