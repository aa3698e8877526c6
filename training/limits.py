"""Numbers that must stay within a limit for a release to be promoted, one entry each.

An entry says what the number is (in words), which threshold limits it, and from which side. Entries
of LISTS also say how stage `evaluate` measures the number. To add a check, add an entry here and
its threshold (`training.thresholds`, and section `gate` of `params.yaml`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from base.arrays import Int32s
from features.items.catalogue import Catalogue
from training.metrics.coverage import coverage
from training.thresholds import GateParams

#: A function of lists (int32 [n, k] with n > 0, -1 in empty places) and the catalogue of their
#: items.
Measure = Callable[[Int32s, Catalogue], float]


@dataclass(frozen=True)
class Limit:
    """A limited number.

    name: key of the number in the evidence; meaning: the number in words; threshold: gives the
    limit; at_least: whether the limit is a minimum (true) or a maximum.
    """

    name: str
    meaning: str
    threshold: Callable[[GateParams], float]
    at_least: bool


def full_share(lists: Int32s) -> float:
    """Share of lists without an empty place."""
    return float((lists >= 0).all(axis=1).mean())


def common_share(lists: Int32s) -> float:
    """Share of lists that are equal to the most frequent one."""
    _, counts = np.unique(lists, axis=0, return_counts=True)
    return float(counts.max() / len(lists))


#: Numbers about the log. Stage `evaluate` counts all events; `flows.arrivals` measures recent ones.
DATA: Final = (
    Limit("events", "positive events in the log", lambda gate: gate.min_events, True),
    Limit(
        "unjoined_share",
        "share of answered slates whose impressions are missing",
        lambda gate: gate.max_unjoined_share,
        False,
    ),
    Limit(
        "quarantine_share",
        "share of new event rows that were refused",
        lambda gate: gate.max_quarantine_share,
        False,
    ),
    Limit(
        "early_share",
        "share of answered slates that were answered before they were shown (a clock is wrong)",
        lambda gate: gate.max_early_share,
        False,
    ),
    Limit(
        "quietest_day",
        "events on the quietest new day, as a share of a quiet one of the 28 days before",
        lambda gate: gate.min_quietest_day,
        True,
    ),
)

#: Numbers about the served lists. Outside a limit the model is degenerate and the release broken.
LISTS: Final[tuple[tuple[Limit, Measure], ...]] = (
    (
        Limit(
            "coverage",
            "share of the catalogue that is in any list",
            lambda gate: gate.min_coverage,
            True,
        ),
        lambda lists, catalogue: coverage(lists, len(catalogue)),
    ),
    (
        Limit(
            "full_share",
            "share of lists with every place filled",
            lambda gate: gate.min_full_share,
            True,
        ),
        lambda lists, _: full_share(lists),
    ),
    (
        Limit(
            "common_share",
            "share of queries that get the most frequent list",
            lambda gate: gate.max_common_share,
            False,
        ),
        lambda lists, _: common_share(lists),
    ),
)
