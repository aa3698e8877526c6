"""Which items may be shown.

This is checked before retrieval, so that each source can fill its places with other items.
"""

import numpy as np

from base.arrays import Bools, Scores
from features.items.catalogue import Catalogue
from features.requests.requests import Requests


def eligible_items(catalogue: Catalogue, requests: Requests, repeats: bool) -> Bools:
    """bool [n, catalogue]: items that may be shown (`allowed_items`) and are not excluded."""
    return without_excluded(allowed_items(catalogue, requests, repeats), requests)


def allowed_items(catalogue: Catalogue, requests: Requests, repeats: bool) -> Bools:
    """bool [n, catalogue]: available and created as known at each request, not hidden by the user
    and, unless `repeats`, not seen.

    This is the only place that decides what may not be shown.
    """
    allowed = catalogue.eligible(requests.timestamps)
    allowed[requests.hidden.rows, requests.hidden.items] = False
    if not repeats:
        allowed[requests.histories.rows, requests.histories.items] = False
    return allowed


def without_excluded(allowed: Bools, requests: Requests) -> Bools:
    """`allowed`, bool [n, catalogue], without the items that each request excludes."""
    excluded = requests.excluded
    if excluded is None or not len(excluded.items):
        return allowed
    eligible = allowed.copy()
    eligible[excluded.rows, excluded.items] = False
    return eligible


def masked(scores: Scores, eligible: Bools) -> Scores:
    """The scores, with -inf for items that may not be shown."""
    return np.where(eligible, scores, np.float32(-np.inf))
