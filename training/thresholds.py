"""Thresholds of the gate: section `gate` of `params.yaml`."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from base.params import Float, Int


@dataclass(frozen=True)
class GateParams:
    """Thresholds of the gate. Shares are of the other system's metric unless stated otherwise."""

    delta: Float = 0.02
    """The paired lower bound of a refresh may be this far below the champion."""

    min_users: Int = 100
    """With fewer judged users, the gate holds.

    The same number is needed for the comparison with the champion.
    """

    slice_floor: Float = 0.1
    """A slice fails if it loses more than this share of the reference's metric, beyond chance."""

    min_slice_users: Int = 50
    """Slices with fewer users are too small to judge."""

    min_coverage: Float = 0.02
    """Share of the catalogue that the served lists must reach."""

    coverage_ratio: Float = 0.5
    """Share of the champion's coverage that the served lists must reach."""

    new_items_ratio: Float = 0.1
    """New items' share of the lists must be at least this part of their share in the lists of
    champion and past releases, or of their share in users' choices, whichever is smaller."""

    max_new_items_ratio: Float = 1.5
    """New items' share of the lists may be at most this multiple of their share in users'
    choices."""

    free_new_share: Float = 0.1
    """New items may always have this share of the places, even if users choose them less often."""

    min_full_share: Float = 0.95
    """Share of lists that must have all k places filled."""

    max_common_share: Float = 0.5
    """Share of queries that may get the same list."""

    min_events: Int = 1000
    """With fewer positive events in the log, the gate holds."""

    max_unjoined_share: Float = 0.2
    """Allowed share, since the last retrain, of answered slates whose impressions are missing."""

    max_quarantine_share: Float = 0.5
    """Allowed share, since the last retrain, of event rows that were refused.

    Duplicates do not count as refused.
    """

    parity_requests: Int = 300
    """How many of the newest logged requests are computed again as in training."""

    max_skew_share: Float = 0.1
    """Share of these requests that may differ from what was served, in each part."""

    score_tolerance: Float = 1e-3
    """Allowed difference of a candidate's score from what was served."""

    max_stray_share: Float = 0.05
    """Share of a request's candidates that may differ by more.

    If two code paths sum in another order, a value that differs in its last bit may take another
    branch of a tree. (Seen in 6 % of requests, for one of about 100 candidates each.)
    """

    join_days: Annotated[Int, Field(ge=0)] = 7
    """Days after a slate in which an outcome can arrive and still be joined to it."""

    past_releases: Annotated[Int, Field(ge=1)] = 10
    """Number of past champions that a new release must not be inferior to, so that small losses
    cannot add up.

    Also the number of newest verdicts that are searched for windows to pool.
    """

    max_milliseconds: Float = 100.0
    """Largest median time to rank a request, one at a time."""

    max_megabytes: Float = 500.0
    """Largest size of a release, which every worker has to fetch."""
