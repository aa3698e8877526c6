"""One day on which a release serves: real sessions, slates drawn by the real policy."""

from dataclasses import dataclass, replace

import numpy as np

from base.arrays import Float32s, Float64s, Int32s, Int64s
from benchmarks.gate.blend import mixed
from benchmarks.gate.morning import Morning
from features.ragged import Histories, Ragged
from features.requests.requests import Requests
from features.schema import EVENT_CODES, POSITIVE
from serving.policy import PolicyParams, draw
from simulation import behaviour
from simulation.randomness import Stream, uniforms
from simulation.session import Actions, Sessions
from training.recommender import Ranked, Recommender


@dataclass(frozen=True)
class Served:
    """The slates of a day, n of k slots.

    people: int64 [n], the row of `Morning.accounts`; requests: n rows; eligible: int64 [n], number
    of eligible items; ranked: what the release that served made of them; slates: int32 [n, k],
    indices of the catalogue, −1 where empty; clicks: float64 [n, k]; attraction: float32
    [n, catalogue], the true probability that the user wants an item that is looked at; appeal:
    float64 [n], its sum over all eligible items; organic: what users then found without the slate.
    """

    people: Int64s
    requests: Requests
    eligible: Int64s
    ranked: Ranked
    slates: Int32s
    clicks: Float64s
    attraction: Float32s
    appeal: Float64s
    organic: Ragged

    @property
    def reward(self) -> float:
        """True expected reward per slate, as the world counts it."""
        rows = np.arange(len(self.slates))[:, None]
        wanted = np.where(self.slates >= 0, self.attraction[rows, self.slates], 0.0)
        return float(behaviour.expected_reward(wanted, EXAMINATION).mean())


EXAMINATION = 0.6


def play(
    morning: Morning,
    recommender: Recommender,
    policy: PolicyParams,
    seed: int,
    first: Ranked | None = None,
    weight: float = 0.0,
) -> list[Served]:
    """Let `recommender` serve all sessions of a day: one `Served` for each round of sessions.

    first: what it makes of everybody's first request (`first_requests`), which saves time;
    weight: of the truth in its scores (`blend`).
    """
    market = morning.again(seed)
    people = morning.visitors(seed)
    sessions = Sessions.begin(market, morning.accounts[people])
    sessions.time[:] = morning.starts[people]
    done: list[list[tuple[int, int, int]]] = [[] for _ in people]
    hidden: list[list[int]] = [[] for _ in people]
    column = np.full(len(morning.catalogue) + 1, -1)
    column[morning.item_of] = np.arange(len(morning.item_of))
    rounds = []
    while sessions.active.any():
        rows = np.flatnonzero(sessions.active)
        requests = _requests(morning, people[rows], sessions.time[rows], rows, done, hidden)
        if first is not None and sessions.round == 0:
            ranked = taken(first, people[rows])
        else:
            ranked = recommender.rank(requests)
        eligible = recommender.eligible(requests)
        k = market.params.slate_size
        numbers = uniforms(
            seed, Stream.POLICY, market.day, sessions.round, sessions.users[rows][:, None],
            np.arange(k)[None, :],
        )  # fmt: skip
        logits = market.today.current_logits(sessions.users[rows], sessions.satiation[rows])
        attraction = np.zeros((len(rows), len(morning.catalogue)), dtype=np.float32)
        attraction[:, morning.item_of] = behaviour.attraction(logits)
        scores = mixed(ranked, attraction, weight)
        slates = draw(scores, ranked.candidates, eligible, k, policy, numbers).items
        shown = column[slates]
        actions = sessions.play(rows, shown)
        clicks = np.zeros(slates.shape)
        clicked = actions.event_type == "click"
        place = np.searchsorted(rows, actions.row[clicked])
        clicks[place, actions.position[clicked]] = 1.0
        rounds.append(
            Served(
                people[rows],
                requests,
                eligible.sum(axis=1),
                slim(ranked),
                slates,
                clicks,
                attraction,
                (attraction * eligible).sum(axis=1, dtype=np.float64),
                _organic(morning, actions, rows),
            )
        )
        _remember(morning, actions, done, hidden)
    return rounds


def first_requests(morning: Morning) -> Requests:
    """The first request of everybody on the day, which does not depend on who serves."""
    return replace(morning.requests, timestamps=morning.starts)


def slim(ranked: Ranked) -> Ranked:
    """Without features, which are large."""
    return replace(ranked, features=ranked.features[:, :, :0].copy())


def taken(ranked: Ranked, rows: Int64s) -> Ranked:
    """The requests of `rows`, in that order."""
    return Ranked(
        ranked.candidates[rows], ranked.scores[rows], ranked.features[rows], ranked.sources[rows]
    )


def _requests(
    morning: Morning,
    people: Int64s,
    times: Int64s,
    rows: Int64s,
    done: list[list[tuple[int, int, int]]],
    hidden: list[list[int]],
) -> Requests:
    known = morning.requests.select(people)
    return replace(
        known,
        timestamps=times,
        histories=_appended(known.histories, [done[row] for row in rows], times),
        hidden=_joined(known.hidden, [hidden[row] for row in rows]),
    )


def _appended(
    known: Histories, added: list[list[tuple[int, int, int]]], times: Int64s
) -> Histories:
    if not any(added):
        return known
    entries = []
    for row, (new, now) in enumerate(zip(added, times.tolist(), strict=True)):
        part = slice(known.offsets[row], known.offsets[row + 1])
        old = zip(
            known.timestamps[part].tolist(),
            known.items[part].tolist(),
            known.event_types[part].tolist(),
            strict=True,
        )
        entries.append([*old, *sorted(entry for entry in new if entry[0] < now)])
    return Histories.from_rows(entries)


def _joined(known: Ragged, added: list[list[int]]) -> Ragged:
    if not any(added):
        return known
    return Ragged.from_lists([[*known[row].tolist(), *new] for row, new in enumerate(added)])


def _remember(
    morning: Morning,
    actions: Actions,
    done: list[list[tuple[int, int, int]]],
    hidden: list[list[int]],
) -> None:
    kinds = actions.event_type.tolist()
    for row, item, kind, moment in zip(
        actions.row.tolist(), actions.item.tolist(), kinds, actions.timestamp.tolist(), strict=True
    ):
        if kind in POSITIVE:
            done[row].append((moment, int(morning.item_of[item]), EVENT_CODES[kind]))
        elif kind == "hide":
            hidden[row].append(int(morning.item_of[item]))


def _organic(morning: Morning, actions: Actions, rows: Int64s) -> Ragged:
    """What the users of `rows` chose elsewhere than from the slate, without repetition."""
    chosen = np.isin(actions.event_type, POSITIVE) & (actions.position < 0)
    found: list[set[int]] = [set() for _ in rows]
    for row, item in zip(actions.row[chosen].tolist(), actions.item[chosen].tolist(), strict=True):
        found[int(np.searchsorted(rows, row))].add(int(morning.item_of[item]))
    return Ragged.from_lists([sorted(items) for items in found])
