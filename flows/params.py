"""Section `retrain` of `params.yaml`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RetrainParams:
    """When to retrain and what to keep."""

    feedback: int = 5_000
    """New events in the feedback log that start a retrain."""

    fresh: int = 1_000
    """New events since the last retrain without which neither drift nor decay starts another."""

    drift: float = 0.2
    """Population stability index of item popularity, newest day against the week before it, that
    starts a retrain."""

    decay: float = 0.3
    """Fall of the click-through rate, last day against the week before, that starts a retrain."""

    keep: int = 10
    """Releases kept besides every past champion."""
