"""Thresholds of the gate: section `gate` of `params.yaml`."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from base.params import Bool, Float, Int


@dataclass(frozen=True)
class GateParams:
    """Thresholds of the gate. Shares are of the other system's metric unless stated otherwise."""

    delta: Float = 0.03
    """A refresh may be this share worse than the champion, and than the reference."""

    min_users: Int = 100
    """With fewer judged users, the gate holds.

    The same number is needed for the comparison with the champion.
    """

    error_rate: Annotated[Float, Field(gt=0, lt=0.5)] = 0.05
    """Chance that a release that is not better (changed code or params), or worse by `delta`
    (refresh), is promoted by any of the looks at one champion."""

    horizon: Annotated[Int, Field(ge=1)] = 20
    """Looks at one champion over which nearly all of `error_rate` is spent."""

    twin: Bool = True
    """Whether a changed recipe is compared with the champion's recipe fitted on the same data.

    This costs a second fit. Without it, newer data alone can make a changed recipe look better.
    """

    looks: Annotated[Int, Field(ge=1)] = 60
    """Number of newest verdicts that are searched for looks to pool."""

    clip: Annotated[Float, Field(gt=1)] = 20.0
    """Largest weight of a logged click. A model of clicks answers for the rest."""

    max_clipped: Float = 0.7
    """With a larger share of looks for which the model answers, the gate holds."""

    min_effective: Float = 150.0
    """With fewer effective slates, the gate holds."""

    guard: Float = 0.1
    """A release fails if it loses more than this share of the champion's metric on organic choices,
    beyond chance."""

    slice_floor: Float = 0.1
    """A slice fails if it loses more than this share, beyond chance."""

    min_slice_users: Int = 50
    """Slices with fewer users are not judged yet."""

    min_coverage: Float = 0.02
    """Share of the catalogue that the served lists must reach."""

    coverage_ratio: Float = 0.5
    """Share of the champion's coverage that the served lists must reach."""

    new_items_floor: Float = 0.1
    """New items must be shown at least this part as often as if items were drawn evenly, or as
    users choose them, whichever is less."""

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

    max_early_share: Float = 0.1
    """Allowed share, since the last retrain, of answered slates whose first answer has an earlier
    time than the slate. Such clicks are not joined to what was shown."""

    min_quietest_day: Float = 0.01
    """A whole day since the last retrain needs this share of the events of a quiet day (the lower
    quartile of the 28 days before), if that had 100. Otherwise the collection of events has
    failed."""

    max_gone_share: Float = 0.3
    """Share of the items that the champion could show which may have become unavailable."""

    max_lost_share: Float = 0.5
    """Share of known items, or of events, that may lose the value of a column between two exports.
    """

    max_column_ratio: Float = 10.0
    """The median of a numeric column may change by this factor between two exports. More is another
    unit."""

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

    max_milliseconds: Float = 100.0
    """Largest median time to rank a request, one at a time."""

    max_megabytes: Float = 500.0
    """Largest size of a release, which every worker has to fetch."""
