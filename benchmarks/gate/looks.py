"""A look: a day that one release serves, and what its slates say of others."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from base.arrays import Bools, Float32s, Float64s, Int8s
from base.params import load
from benchmarks.gate.bank import Bank
from benchmarks.gate.blend import blended
from benchmarks.gate.day import Served, first_requests, play, slim, taken
from benchmarks.gate.morning import Morning
from benchmarks.gate.truth import true_rewards
from features.ragged import Ragged
from serving.policy import PolicyParams
from training.recommender import Ranked, Recommender
from training.slices import request_slices
from training.value.exposures import Policy
from training.value.ordering import Ordering
from training.value.paired import Shown


@dataclass(frozen=True)
class Look:
    """n slates of a day. part: int8 [n], the slice by its place in `request_slices`; attraction,
    appeal, organic: as in `day.Served`, of all slates."""

    shown: Shown
    part: Int8s
    attraction: Float32s
    appeal: Float64s
    organic: Ragged
    rounds: tuple[Served, ...]

    def __len__(self) -> int:
        return len(self.shown)


class Stage:
    """A world on which releases of its bank serve. Rankings of first requests are kept."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        self.morning = Morning.read(bank.data, bank.params)
        self.drawn = load(PolicyParams, "policy", bank.params)
        self.policy = Policy(self.drawn.temperature, self.drawn.epsilon)
        self.release = lru_cache(maxsize=64)(self._release)
        self.first = lru_cache(maxsize=64)(self._first)

    def _release(self, name: str) -> Recommender:
        return self.bank.load(name, self.morning.catalogue)

    def _first(self, name: str) -> Ranked:
        return slim(self.release(name).rank(first_requests(self.morning)))

    def look(self, server: str, seed: int, weight: float = 0.0) -> Look:
        """A day on which release `server` serves, blended with the truth."""
        rounds = play(
            self.morning, self.release(server), self.drawn, seed, self.first(server), weight
        )
        shown = Shown(
            np.concatenate([each.people for each in rounds]),
            np.concatenate([each.slates for each in rounds]),
            np.concatenate([each.clicks for each in rounds]),
            np.concatenate([each.eligible for each in rounds]),
            joined([blended(each.ranked, each.attraction, weight) for each in rounds]),
            self.policy,
        )
        return Look(
            shown,
            np.concatenate([_part(list(request_slices(r.requests).values())) for r in rounds]),
            np.concatenate([each.attraction for each in rounds]),
            np.concatenate([each.appeal for each in rounds]),
            _joined([each.organic for each in rounds]),
            tuple(rounds),
        )

    def rankings(self, name: str, look: Look) -> list[Ranked]:
        """What a release makes of each round's requests."""
        start, *later = look.rounds
        release = self.release(name)
        return [
            taken(self.first(name), start.people),
            *(slim(release.rank(each.requests)) for each in later),
        ]

    def ordering(self, rankings: list[Ranked], look: Look, weight: float = 0.0) -> Ordering:
        """Candidates of a release whose scores are blended with the truth."""
        return joined(
            [
                blended(ranked, each.attraction, weight)
                for ranked, each in zip(rankings, look.rounds, strict=True)
            ]
        )

    def truth(self, ordering: Ordering, look: Look) -> tuple[Float64s, Float64s]:
        """True clicks and wanted items of each slate, float64 [n] each."""
        return true_rewards(
            ordering,
            look.shown.eligible,
            look.attraction,
            look.appeal,
            self.policy,
            self.morning.market.params,
        )


def joined(parts: list[Ordering]) -> Ordering:
    """Orderings one below the other."""
    width = max(part.items.shape[1] for part in parts)
    return Ordering(
        np.concatenate(
            [
                np.pad(part.items, ((0, 0), (0, width - part.items.shape[1])), constant_values=-1)
                for part in parts
            ]
        )
    )


def _joined(parts: list[Ragged]) -> Ragged:
    lists = [part[row].tolist() for part in parts for row in range(len(part))]
    return Ragged.from_lists(lists)


def _part(slices: list[Bools]) -> Int8s:
    """The place of the slice that holds each request. Slices do not overlap."""
    places: Int8s = np.argmax(np.stack(slices), axis=0).astype(np.int8)
    return places
