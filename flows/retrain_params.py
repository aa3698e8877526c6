"""Section `retrain` of `params.yaml`."""

from dataclasses import dataclass

from base.params import Float, Int


@dataclass(frozen=True)
class RetrainParams:
    """When to retrain and what to keep."""

    feedback: Int = 5_000
    """This many new events in the feedback log start a retrain."""

    fresh: Int = 1_000
    """Drift and decay start a retrain only if there are this many new events since the last one."""

    drift: Float = 0.2
    """A retrain starts at this population stability index of item popularity, last day against
    the week before."""

    decay: Float = 0.3
    """A retrain starts at this relative fall of the click-through rate, last day against the
    week before."""

    min_events: Int = 200
    """Drift is measured only with this many organic events both in the last day and in the week
    before."""

    min_impressions: Int = 1_000
    """Decay is measured only with this many impressions both in the last day and in the week
    before."""

    keep: Int = 10
    """Number of releases kept, in addition to every past champion."""

    trace_days: Float = 30.0
    """Days for which learning curves are kept, and checkpoints of killed fits that were not
    resumed."""
