"""Thresholds of the gate: section `gate` of `params.yaml`."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from base.params import Float, Int


@dataclass(frozen=True)
class GateParams:
    """Thresholds of the gate. Shares are of the other system's metric unless said otherwise."""

    delta: Float = 0.02
    """A refresh may be this much worse than the champion at the paired lower bound."""

    min_users: Int = 100
    """Fewer judged users than this: hold; the same of those on whom the champion is compared."""

    slice_floor: Float = 0.1
    """A slice that loses more than this share of the reference's metric on it, and loses it beyond
    chance, fails."""

    min_slice_users: Int = 50
    """Slices with fewer users are too small to judge."""

    min_coverage: Float = 0.02
    """Share of the catalogue that the served lists must reach."""

    coverage_ratio: Float = 0.5
    """The same, against what the champion's lists reach."""

    new_items_ratio: Float = 0.1
    """New items' share of the lists, against what champion and past releases show and what users
    choose: at least this much of the smaller."""

    max_new_items_ratio: Float = 1.5
    """New items' share of the lists, against what users choose: at most this many times as much."""

    free_new_share: Float = 0.1
    """New items may always have this share of the places, however few of them users choose."""

    min_full_share: Float = 0.95
    """Share of lists that must have all k places filled."""

    max_common_share: Float = 0.5
    """Share of queries that may get one and the same list."""

    min_events: Int = 1000
    """Fewer positive events than this in the log: hold."""

    max_unjoined_share: Float = 0.2
    """Share of the answered slates whose impressions are missing, of what came since the last
    retrain."""

    max_quarantine_share: Float = 0.5
    """Share of the event rows that came since the last retrain and were refused; duplicates are
    no fault."""

    parity_requests: Int = 300
    """Newest logged requests that are computed once more as training would."""

    max_skew_share: Float = 0.1
    """Share of them that may differ from what was served, in each part."""

    score_tolerance: Float = 1e-3
    """A candidate's score may differ by this from what was served."""

    max_stray_share: Float = 0.05
    """Share of a request's candidates that may differ by more: where two paths sum in another
    order, a value that differs in its last bit may take another branch of a tree (6 % of requests,
    one of about 100 candidates each)."""

    join_days: Annotated[Int, Field(ge=0)] = 7
    """How long after a slate its outcomes may come to count as joined to it, days."""

    past_releases: Annotated[Int, Field(ge=1)] = 10
    """Promoted releases that a new one must not be inferior to, so that small steps cannot add up;
    also how many of the newest verdicts are looked through for windows to pool."""

    max_milliseconds: Float = 100.0
    """Time in which half of the requests must rank, one at a time."""

    max_megabytes: Float = 500.0
    """Size of a release, which every worker fetches."""
