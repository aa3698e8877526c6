"""Catalogue coverage: the share of the catalogue that is shown to anyone."""

import numpy as np

from training.metrics.hits import Lists


def coverage(lists: Lists, catalogue_size: int) -> float:
    """Distinct items over all lists, as a share of the catalogue, in [0, 1].

    Raises ValueError for an empty catalogue.
    """
    if catalogue_size < 1:
        raise ValueError("coverage of an empty catalogue is undefined")
    return len(np.unique(lists[lists >= 0])) / catalogue_size
