"""Evidence of users that are written out."""

from dataclasses import replace

import numpy as np

from base.arrays import Float64s
from training.canary.evidence import Counts, Evidence, contribution
from training.canary.params import CanaryParams

PARAMS = CanaryParams()

#: Counts with which guards are silent, and may be believed.
ENOUGH = replace(
    Counts.none(),
    requests=np.full(2, float(PARAMS.min_requests)),
    slots=np.full(2, float(PARAMS.min_slots)),
)


def of(raw: Float64s, shares: tuple[float, ...] = (0.5,), counts: Counts | None = None) -> Evidence:
    """Evidence of users with these slates and clicks, float64 [users, strata, 2].

    counts: by default, as many as the guards need.
    """
    found = Evidence.start(shares[0])
    for share in shares[1:]:
        found = found.grown(share)
    after = contribution(raw, PARAMS)
    found = found.with_arrivals((raw[:, :, 0] > 0).argmax(axis=1))
    found = found.with_users(np.zeros_like(after), after)
    return found.with_counts(counts or ENOUGH)


def alike(control: tuple[int, float, float], canary: tuple[int, float, float]) -> Evidence:
    """Evidence of two arms. Of each: users, slates per user, and clicks per slate, for which half
    of the users click twice as often and the others never."""
    raw = np.zeros((control[0] + canary[0], 2, 2))
    start = 0
    for arm, (users, slates, rate) in enumerate((control, canary)):
        rows = slice(start, start + users)
        raw[rows, arm, 0] = slates
        raw[rows, arm, 1] = slates * rate * 2 * (np.arange(users) % 2)
        start += users
    return of(raw)
