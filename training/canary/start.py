"""The share of the users with which a canary starts."""

from typing import Final

from training.canary.params import CanaryParams

#: Users that a canary should have: a tenth of 1,000 users, half of 200.
ENOUGH: Final = 100


def users_asked(params: CanaryParams, first: bool) -> int:
    """From how many users on the share does not depend on their number."""
    return round(ENOUGH / _usual(params, first))


def share(users: int, params: CanaryParams, first: bool) -> float:
    """The share for a shop that saw `users` of late, 0 if unknown. first: there is no champion.

    A tenth of a small shop is so few users that its canary would never be decided, so the share is
    larger there, but never above `max_share`.
    """
    usual = _usual(params, first)
    if users <= 0 or usual >= params.max_share:
        return usual
    return min(max(usual, ENOUGH / users), params.max_share)


def _usual(params: CanaryParams, first: bool) -> float:
    return params.first_share if first else params.share
