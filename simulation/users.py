"""Users: people with drifting tastes, and some bots."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from base.arrays import Bools, Float64s, Int64s, Objects
from base.params import ParamsError
from features.schema import DAY, HOUR, MINUTE
from simulation.behaviour import attraction, turned
from simulation.randomness import Stream, generator, uniforms
from simulation.world_params import WorldParams


@dataclass(frozen=True)
class Users:
    """The accounts. user_ids: object [n]; bot: bool [n]; rate: float64 [n], visits per day."""

    user_ids: Objects
    bot: Bools
    rate: Float64s

    def __len__(self) -> int:
        return len(self.user_ids)

    @cached_property
    def index(self) -> dict[str, int]:
        return {user_id: i for i, user_id in enumerate(self.user_ids)}

    @cached_property
    def humans(self) -> Int64s:
        """Indices of the people."""
        return np.flatnonzero(~self.bot)


def population(params: WorldParams) -> Users:
    """The accounts. People differ in how often they visit (logits of the daily rate ~ N(·, 0.8)).

    The rates are scaled so that `sessions_per_day` people visit on a day of average satisfaction.
    """
    bots = round(params.humans * params.bot_share / (1.0 - params.bot_share))
    count = params.humans + bots
    random = generator(params.seed, Stream.POPULATION)
    bot = np.zeros(count, dtype=bool)
    bot[random.permutation(count)[:bots]] = True
    rate = _scaled(random.normal(0.0, 0.8, size=count), ~bot, params.sessions_per_day)
    rate[bot] = params.bot_sessions
    user_ids = np.array([f"u{i:05d}" for i in range(count)], dtype=object)
    return Users(user_ids, bot, rate)


def initial_tastes(params: WorldParams, users: Users) -> Float64s:
    """Unit vectors, float64 [n, latent_size]."""
    drawn = generator(params.seed, Stream.TASTE).normal(size=(len(users), params.latent_size))
    result: Float64s = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return result


def drifted(params: WorldParams, tastes: Float64s, day: int) -> Float64s:
    """The tastes on `day`, from those of the day before.

    Each turns by `drift` in a random direction.
    """
    if params.control:
        return tastes
    towards = generator(params.seed, Stream.TASTE, day).normal(size=tastes.shape)
    return turned(tastes, towards, params.drift)


def session_starts(params: WorldParams, users: Int64s, day: int) -> Int64s:
    """Start of each session within the day, µs: between 00:30 and 22:30, mostly in the evening."""
    early, late = (uniforms(params.seed, Stream.START, day, draw, users) for draw in (0, 1))
    part_of_day = np.maximum(early, late)
    return (30 * MINUTE + part_of_day * 22 * HOUR).astype(np.int64) % DAY


def _scaled(logits: Float64s, counted: Bools, total: float) -> Float64s:
    if not 0 < total < 0.9 * counted.sum():
        raise ParamsError(
            f"world.sessions_per_day is {total:g}: it must lie between 0 and 90 % of the people"
        )
    low, high = -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        visits = attraction(logits[counted] + middle).sum()
        low, high = (middle, high) if visits < total else (low, middle)
    return attraction(logits + low)
