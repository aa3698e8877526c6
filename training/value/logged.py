"""Logged slates, with what estimators of another release's value need. n slates of k slots."""

from dataclasses import dataclass

import numpy as np

from base.arrays import Bools, Float64s, Int64s


@dataclass(frozen=True)
class Logged:
    """Slates served by the logging policy, and the target policy's propensities of the same items.

    Absent slots may hold any finite number: they earn nothing and weigh 1. Raises ValueError where
    shapes differ, numbers are not finite or propensities are outside their range.
    """

    users: Int64s
    """[n]."""
    rewards: Float64s
    """By slot [n, k]."""
    present: Bools
    """Whether the slot held an item [n, k]."""
    logging: Float64s
    """Propensity of each shown item given those above, when logged, in (0, 1] [n, k]."""
    target: Float64s
    """The same under the policy to be valued, in [0, 1] [n, k]."""

    def __post_init__(self) -> None:
        if self.rewards.ndim != 2:
            raise ValueError(f"rewards have shape {self.rewards.shape}, not [slates, slots]")
        if not self.rewards.size:
            raise ValueError("no slates")
        if self.users.shape != self.rewards.shape[:1]:
            raise ValueError(f"users have shape {self.users.shape}, not {self.rewards.shape[:1]}")
        if self.present.shape != self.rewards.shape:
            raise ValueError(f"present has shape {self.present.shape}, not {self.rewards.shape}")
        self.check("rewards", self.rewards)
        check_propensities(self, "logging", self.logging, self.target)

    def check(self, name: str, values: Float64s) -> None:
        """Raise ValueError unless `values` are finite and of the shape of the rewards."""
        if values.shape != self.rewards.shape:
            raise ValueError(f"{name} has shape {values.shape}, not {self.rewards.shape}")
        if not np.isfinite(values).all():
            raise ValueError(f"{name} has values that are not finite")

    def earned(self, values: Float64s) -> Float64s:
        """`values` [n, k] with 0 in absent slots."""
        return np.where(self.present, values, 0.0)

    def ratios(self) -> Float64s:
        """Target over logging propensity of each slot, 1 in absent slots [n, k]."""
        return np.divide(
            self.target, self.logging, out=np.ones_like(self.target), where=self.present
        )


def check_each(name: str, values: Float64s, slates: int) -> None:
    """Raise ValueError unless `values` are finite and one for each slate."""
    if values.shape != (slates,):
        raise ValueError(f"{name} has shape {values.shape}, not {(slates,)}")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} has values that are not finite")


def check_propensities(logged: Logged, name: str, logging: Float64s, target: Float64s) -> None:
    """Raise ValueError unless present slots have `logging` in (0, 1] and `target` in [0, 1]."""
    logged.check(name, logging)
    logged.check("target", target)
    seen, wanted = logging[logged.present], target[logged.present]
    if ((seen <= 0) | (seen > 1)).any():
        raise ValueError(f"{name} propensities outside (0, 1]")
    if ((wanted < 0) | (wanted > 1)).any():
        raise ValueError("target propensities outside [0, 1]")
