"""Section `people` of params.yaml: limits beyond which an account is no person."""

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from base.params import Bool, Float, Int

Count = Annotated[Int, Field(ge=1)]
Share = Annotated[Float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class PeopleParams:
    """Limits of the detectors, the caps on what one person adds, and who is never set aside."""

    set_aside: Bool = True
    """Whether accounts are set aside at all."""

    trusted: list[str] = field(default_factory=list)
    """Ids of users who are never set aside, whatever the detectors find."""

    moments_per_hour: Count = 600
    """Different times in one hour at which an account acted."""

    hours_per_day: Count = 22
    """Different hours of one day in which an account acted."""

    fast_share: Share = 0.5
    """Share of steps from one item to another in less than a second."""

    least_steps: Count = 20
    """Steps that the detectors of pace need. Regularity needs three times as many."""

    regular_spread: Float = 0.2
    """Standard deviation of the logarithm of the time between two actions."""

    sweep_share: Share = 0.5
    """Share of the catalogue that an account touched in one day."""

    click_share: Share = 0.5
    """Share of the shown slots that an account clicked."""

    click_ratio: Float = 3.0
    """... and how many times everybody's share that is."""

    least_slots: Count = 30
    """Slots that the detector of clicks needs."""

    blind_deviations: Float = 4.0
    """Standard errors by which clicks lie lower in the slates than everybody's."""

    push_days: Count = 7
    """Days over which accounts that push the same item are looked for."""

    push_share: Share = 0.3
    """Share of an account's positive events on one item that makes it devoted to the item."""

    push_people: Count = 5
    """Devoted accounts that an item needs before chance is asked."""

    push_chance: Annotated[Float, Field(gt=0, le=1)] = 1e-6
    """Largest chance of so many devoted accounts among an item's people."""

    per_day: Count = 500
    """Positive events of a person that count on one day."""

    per_item: Count = 1
    """Positive events of a person with one item that count in one week."""
