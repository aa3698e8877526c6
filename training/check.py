"""The result of one rule of the gate."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """The result of one rule. `passed` is None if the evidence for it is missing."""

    name: str
    passed: bool | None
    value: int | float | None
    threshold: int | float | None
    reason: str
    harmful: bool = False
    """Clearly worse or broken, which is a reason to reject."""
    abstains: bool = False
    """Not judged, because there are too few data yet. This does not stand in the way."""
    canary: bool = False
    """More data would decide, which a canary can collect."""

    @property
    def against(self) -> bool:
        """Whether this check stands in the way of a promotion."""
        return self.passed is not True and not self.abstains


def missing(name: str, reason: str, canary: bool = False) -> Check:
    """A check without evidence."""
    return Check(name, None, None, None, reason, canary=canary)


def bounded(
    name: str,
    meaning: str,
    value: float | None,
    limit: float,
    at_least: bool,
    harmful: bool = False,
) -> Check:
    """A check of one number. A number or limit that is not finite counts as missing."""
    if value is None or not math.isfinite(value):
        return missing(name, f"{name} is missing")
    if not math.isfinite(limit):
        return missing(name, f"the value to compare {name} with is missing")
    passed = value >= limit if at_least else value <= limit
    reason = f"{meaning}: {plain(value)}, must be {'≥' if at_least else '≤'} {plain(limit)}"
    return Check(name, passed, value, limit, reason, harmful=harmful and not passed)


def plain(value: float) -> str:
    """A number for people: four digits, and no exponent for large numbers."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def not_below(
    name: str, said: str, value: float, high: float, floor: float, form: str = "+.4f"
) -> Check:
    """A guard: fails only if `value` is below `floor`, and its upper bound `high` below 0, so that
    chance does not explain the loss."""
    reason = f"{said}: must not be below {floor:{form}} beyond chance"
    return Check(name, not (value < floor and high < 0), value, floor, reason)
