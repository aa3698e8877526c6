"""What is searched: section `tune` of `params.yaml`, checked against the section that it varies."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Final, Literal

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from pydantic import Field

from base.params import Bool, Float, Int, ParamsError, build
from training.transformer.config import Count, TransformerParams
from training.trees import TreeParams

Section = Literal["fit", "trees"]
Sampler = Literal["tpe", "random", "grid"]
Values = dict[str, Any]

PARAMS: Final[dict[Section, type[Any]]] = {"fit": TransformerParams, "trees": TreeParams}

#: Parameters that are not searched: they choose the moments to measure on, or only change luck or
#: speed.
FIXED: Final[dict[Section, tuple[str, ...]]] = {
    "fit": ("seed", "tail_share", "tail_queries"),
    "trees": ("seed", "tail", "threads"),
}

DIGITS = 4
"""Significant digits of a sampled number, so that values written to params.yaml are easy to
read."""


@dataclass(frozen=True)
class Axis:
    """The values of one parameter: a range, or a list of choices."""

    low: Float | None = None
    """Smallest value of the range."""

    high: Float | None = None
    """Largest value of the range (included)."""

    log: Bool = False
    """Whether to sample evenly in the logarithm, for ranges over orders of magnitude.

    Then `low` must be above 0.
    """

    choices: tuple[Any, ...] | None = None
    """A list of values, instead of a range."""


@dataclass(frozen=True)
class TuneParams:
    """Section `tune`."""

    sampler: Sampler = "tpe"
    """`tpe` learns from earlier trials (Bergstra et al., 2011), `random` does not, `grid` tries
    each combination once."""

    trials: Count = 20
    """Number of finished trials in a study, including failed ones.

    A run continues up to this number.
    """

    jobs: Count = 1
    """Trials run at the same time, each in its own process."""

    seed: Int = 1
    """Seed of the samplers and of the order of a grid."""

    grid_points: Annotated[Int, Field(ge=2)] = 3
    """Values that a grid takes from each range, evenly spaced, including both ends."""

    fit: dict[str, Axis] = field(default_factory=dict)
    """Parameters of section `fit` with their ranges or choices."""

    trees: dict[str, Axis] = field(default_factory=dict)
    """Parameters of section `trees` with their ranges or choices."""


@dataclass(frozen=True)
class Space:
    """What a study varies.

    distributions: by parameter, as Optuna samples them; present: their present values, which lie
    inside the distributions; fixed: the section's other values.
    """

    section: Section
    distributions: dict[str, BaseDistribution]
    present: Values
    fixed: Values

    def params(self, values: Values) -> Any:
        """The section's dataclass with `values`.

        Raises ParamsError or ValueError, which name a key.
        """
        return build(PARAMS[self.section], self.section, self.fixed | self.present | values)

    def tidy(self, sampled: Mapping[str, Any]) -> Values:
        """Round sampled values to few digits within their range. Present values stay exact."""
        return {name: self._tidy(name, value) for name, value in sampled.items()}

    def _tidy(self, name: str, value: Any) -> Any:
        axis = self.distributions[name]
        if not isinstance(axis, FloatDistribution) or value == self.present[name]:
            return value
        return min(max(float(f"{value:.{DIGITS}g}"), axis.low), axis.high)

    def grid(self, points: int, seed: int) -> list[Values]:
        """Every combination once, with `points` values per range.

        The order is shuffled, so that a part of the grid covers all axes.
        """
        axes = [_points(axis, points) for axis in self.distributions.values()]
        rows = [
            self.tidy(dict(zip(self.distributions, row, strict=True)))
            for row in itertools.product(*axes)
        ]
        return [rows[row] for row in np.random.default_rng(seed).permutation(len(rows))]


def space(section: Section, axes: Mapping[str, Axis], content: Mapping[str, Any]) -> Space:
    """The space of `axes` around the present values of a section.

    content: the section as in `params.yaml`. Raises ParamsError, which names the key, if a key is
    unknown or must not be searched, if an axis is neither a range nor a list, if the section
    refuses a value, or if a present value lies outside its axis.
    """
    if not axes:
        raise ParamsError(f"'tune.{section}' is empty: name at least one parameter of '{section}'")
    built = build(PARAMS[section], section, dict(content))
    whole = {f.name: getattr(built, f.name) for f in fields(built)}
    distributions = {}
    for name, axis in axes.items():
        key = f"tune.{section}.{name}"
        if name not in whole:
            raise ParamsError(f"unknown key '{key}'; known: {', '.join(whole)}")
        if name in FIXED[section]:
            raise ParamsError(f"'{key}' is not to be searched: trials would not be comparable")
        distributions[name] = _distribution(axis, whole[name], key)
        for value in _extremes(distributions[name]):
            try:
                build(PARAMS[section], section, whole | {name: value})
            except ValueError as error:
                raise ParamsError(f"'{key}' allows {value!r}: {error}") from None
        if not _inside(whole[name], distributions[name]):
            raise ParamsError(
                f"'{key}' leaves out the present value {whole[name]!r}: widen it, or change "
                f"'{section}.{name}'"
            )
    present = {name: whole.pop(name) for name in distributions}
    return Space(section, distributions, present, whole)


def _distribution(axis: Axis, present: Any, key: str) -> BaseDistribution:
    if axis.choices is not None:
        if axis.low is not None or axis.high is not None or axis.log:
            raise ParamsError(f"'{key}' has a range and choices: keep one of them")
        if not axis.choices or len(set(map(repr, axis.choices))) < len(axis.choices):
            raise ParamsError(f"'{key}.choices' must be different values, at least one")
        for choice in axis.choices:
            if not isinstance(choice, bool | int | float | str | None):
                raise ParamsError(f"'{key}.choices' must be numbers or words, not {choice!r}")
        return CategoricalDistribution(axis.choices)
    if axis.low is None or axis.high is None:
        raise ParamsError(f"'{key}' needs low and high, or choices")
    low, high = axis.low, axis.high
    if present is None:
        raise ParamsError(f"'{key}' is null now: list choices, null among them, or set it first")
    if isinstance(present, bool) or not isinstance(present, int | float):
        raise ParamsError(f"'{key}' is not a number: list its choices")
    if not np.isfinite([low, high]).all() or low > high:
        raise ParamsError(f"'{key}': low {low:g} must not be above high {high:g}")
    if axis.log and low <= 0:
        raise ParamsError(f"'{key}': low must be above 0 where log is true, not {low:g}")
    if isinstance(present, float):
        return FloatDistribution(low, high, log=axis.log)
    if not (low.is_integer() and high.is_integer()):
        raise ParamsError(f"'{key}': low and high must be whole numbers, not {low:g} and {high:g}")
    return IntDistribution(int(low), int(high), log=axis.log)


def _extremes(axis: BaseDistribution) -> list[Any]:
    """All choices, or both ends of a range.

    If the dataclass refuses any value, it refuses one of these.
    """
    if isinstance(axis, CategoricalDistribution):
        return list(axis.choices)
    assert isinstance(axis, IntDistribution | FloatDistribution)
    return [axis.low, axis.high]


def _inside(value: Any, axis: BaseDistribution) -> bool:
    if isinstance(axis, CategoricalDistribution):
        return value in axis.choices
    assert isinstance(axis, IntDistribution | FloatDistribution)
    return bool(axis.low <= value <= axis.high)


def _points(axis: BaseDistribution, count: int) -> list[Any]:
    if isinstance(axis, CategoricalDistribution):
        return list(axis.choices)
    assert isinstance(axis, IntDistribution | FloatDistribution)
    spread = np.geomspace if axis.log else np.linspace
    places = spread(axis.low, axis.high, count)
    if isinstance(axis, IntDistribution):
        return sorted({round(float(place)) for place in places})
    return sorted({float(place) for place in places})
