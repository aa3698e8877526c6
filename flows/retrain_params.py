"""Section `retrain` of `params.yaml`."""

from dataclasses import dataclass

from base.params import Float, Int


@dataclass(frozen=True)
class RetrainParams:
    """When to retrain and what to keep."""

    feedback: Int = 5_000
    """New events in the feedback log that start a retrain."""

    fresh: Int = 1_000
    """New events since the last retrain without which neither drift nor decay starts another."""

    drift: Float = 0.2
    """Population stability index of item popularity, newest day against the week before it, that
    starts a retrain."""

    decay: Float = 0.3
    """Fall of the click-through rate, last day against the week before, that starts a retrain."""

    min_events: Int = 200
    """Organic events of the last day, and of the week before, without which nothing is said of
    drift."""

    min_impressions: Int = 1_000
    """Impressions of the last day, and of the week before, without which nothing is said of the
    click-through rate."""

    keep: Int = 10
    """Releases kept besides every past champion."""

    trace_days: Float = 30.0
    """How long curves of fits are kept, and checkpoints of fits that were killed and never
    resumed, days."""
