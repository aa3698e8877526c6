"""Section `canary` of `params.yaml`."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from base.params import Float, Int

Share = Annotated[Float, Field(gt=0, le=1)]


@dataclass(frozen=True)
class CanaryParams:
    """How a canary starts, grows and ends."""

    share: Share = 0.1
    """Share of users with which a canary starts beside a champion. A small shop's is larger
    (`training.canary.start`)."""

    first_share: Share = 0.2
    """Share of users with which a canary starts if there is no champion.

    The others get recency-popularity.
    """

    max_share: Share = 0.5
    """A canary grows up to this share. Equal arms need the fewest users."""

    risk: Share = 0.05
    """The share doubles if then, by the lower bound, no more than this part of the reward of all
    users can be lost."""

    alpha: Annotated[Float, Field(gt=0, lt=1)] = 0.05
    """Probability that a canary as good as the champion is ever rolled back, over all looks."""

    margin: Annotated[Float, Field(gt=0, lt=1)] = 0.05
    """A canary succeeds once its reward is shown to be at most this part below the control's."""

    min_users: Annotated[Int, Field(ge=2)] = 20
    """With fewer users in either arm, its reward is not judged."""

    max_slates: Annotated[Int, Field(ge=1)] = 100
    """A user counts with at most this many slates per arm and share."""

    max_clicks: Annotated[Float, Field(gt=0)] = 5.0
    """... and at most this many clicks per slate."""

    max_failed_share: Share = 0.01
    """A canary that fails to answer more than this share of its requests is rolled back."""

    slow_milliseconds: Float = 200.0
    """A request that takes longer is slow."""

    max_slow_share: Share = 0.05
    """The canary's share of slow requests may be this much above the control's."""

    diversity_ratio: Annotated[Float, Field(ge=0, le=1)] = 0.5
    """The canary must show at least this part of the control's effective number of items."""

    min_slots: Annotated[Int, Field(ge=2)] = 1000
    """With fewer slots shown in either arm, diversity is not judged."""

    min_requests: Annotated[Int, Field(ge=1)] = 100
    """With fewer requests of either arm, a canary does not succeed: errors and slow answers might
    not have shown. `min_slots` and `min_users` hold for its success, too."""

    max_days: Annotated[Float, Field(gt=0)] = 28.0
    """A canary that is undecided for so long is stopped. It may be started again."""
