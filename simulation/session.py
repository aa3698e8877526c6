"""A session, round by round: the user looks at a slate, then searches and browses.

Vectorised over sessions: the history plays many at once, the client one. Every draw is keyed by
(user, day, round, place), so a session does not depend on other sessions.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from base.arrays import Bools, Float64s, Int64s, Objects
from features.schema import HOUR, SECOND, EventType
from simulation import behaviour
from simulation.item_words import TOPICS
from simulation.items import TOPIC_NAMES
from simulation.market import Market, Visit
from simulation.randomness import Stream, uniforms
from simulation.users import session_starts

#: Seconds between the slates of a session of a person.
ROUND_SECONDS = 300.0

#: Numbers of actions in a round: first clicks by position, then hides, the search, and the rest. An
#: action's number in its session is round · SLOTS + slot. Follow-up actions have slot + FOLLOW.
HIDE_SLOT, SEARCH_SLOT, VIEW_SLOT, FOLLOW, SLOTS = 32, 64, 65, 96, 512


@dataclass(frozen=True)
class Actions:
    """What users did in a round, one row per event, without impressions, which the shop records.

    row: int64 [n], session in the batch; item: int64 [n], −1 for a search; event_type: object;
    number: int64, unique within a session; timestamp, received_at: int64, µs; position: int64, in
    the slate, −1 for organic; value: float64, NaN where none; query: object, None where none.
    """

    row: Int64s
    item: Int64s
    event_type: Objects
    number: Int64s
    timestamp: Int64s
    received_at: Int64s
    position: Int64s
    value: Float64s
    query: Objects


@dataclass
class Sessions:
    """Running sessions. users: int64 [n]; time: int64 [n], µs of the current slate."""

    market: Market
    users: Int64s
    time: Int64s
    satiation: Float64s
    seen: Bools
    round: int = 0
    slates: Int64s = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    clicks: Int64s = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    active: Bools = field(default_factory=lambda: np.zeros(0, dtype=bool))
    consumed: list[list[int]] = field(default_factory=list)
    hidden: list[list[int]] = field(default_factory=list)

    @staticmethod
    def begin(market: Market, users: Int64s) -> "Sessions":
        """Start today's sessions of `users`."""
        count = len(users)
        return Sessions(
            market,
            users,
            market.morning + session_starts(market.params, users, market.day),
            market.satiation[users],
            market.seen[users],
            slates=np.zeros(count, dtype=np.int64),
            clicks=np.zeros(count, dtype=np.int64),
            active=np.ones(count, dtype=bool),
            consumed=[[] for _ in range(count)],
            hidden=[[] for _ in range(count)],
        )

    def visits(self) -> list[Visit]:
        """The effects of the sessions, for `Market.close`."""
        return [
            Visit(int(user), tuple(wanted), tuple(unwanted), int(slates), int(clicks))
            for user, wanted, unwanted, slates, clicks in zip(
                self.users, self.consumed, self.hidden, self.slates, self.clicks, strict=True
            )
        ]

    def play(self, rows: Int64s, slates: Int64s) -> Actions:
        """Play one round of the active sessions `rows`, which are shown `slates` ([n, k], padded
        with −1).

        Afterwards `active` says which sessions continue, at the new `time`.
        """
        turn = _Turn(self, rows)
        clicked = turn.look_at(slates)
        turn.search()
        turn.browse()
        turn.buy()
        actions = turn.actions()
        self.slates[rows] += 1
        self.clicks[rows] += clicked
        self._continue(rows, clicked)
        return actions

    def _continue(self, rows: Int64s, clicked: Int64s) -> None:
        params, users = self.market.params, self.users[rows]
        chance = behaviour.continuation(clicked, params.continuation, params.disappointment)
        drawn = uniforms(params.seed, Stream.CONTINUE, self.market.day, self.round, users)
        bots = self.market.users.bot[users]
        self.active[rows] = (drawn < np.where(bots, 0.9, chance)) & (self.round + 1 < params.rounds)
        pace = np.where(bots, params.bot_haste, 1.0)
        self.time[rows] += (ROUND_SECONDS * SECOND * pace).astype(np.int64)
        self.round += 1


class _Turn:
    """One round of some sessions. Collects its actions in blocks."""

    def __init__(self, sessions: Sessions, rows: Int64s) -> None:
        self.sessions, self.rows = sessions, rows
        self.market, self.params = sessions.market, sessions.market.params
        self.users = sessions.users[rows]
        self.bots = self.market.users.bot[self.users]
        self.logits = self.market.today.current_logits(self.users, sessions.satiation[rows])
        self.blocks: list[dict[str, npt.NDArray[np.generic]]] = []

    def draw(self, stream: Stream, count: int, place: int = 0) -> Float64s:
        """Uniform numbers [sessions, count], keyed by user, day, round and place."""
        places = place + np.arange(count)[None, :]
        users = self.users[:, None]
        return uniforms(
            self.params.seed, stream, self.market.day, self.sessions.round, users, places
        )

    def look_at(self, slates: Int64s) -> Int64s:
        """Click and hide items of the slates. Returns the number of clicks per session."""
        params, (count, size) = self.params, slates.shape
        logits = self.logits[np.arange(count)[:, None], slates]
        wanted = self.draw(Stream.WANT, size) < behaviour.attraction(logits)
        trusting = self.draw(Stream.TRUST, size) < behaviour.trust(size, params.trust)
        looked = self.draw(Stream.EXAMINE, size) < behaviour.examination(size, params.examination)
        bots = self.bots[:, None]
        clicked = np.where(
            bots, self.draw(Stream.BOT, size) < params.bot_clicks, looked & (wanted | trusting)
        )
        clicked &= slates >= 0
        hidden = looked & ~clicked & ~bots & (slates >= 0)
        hidden &= self.draw(Stream.HIDE, size) < params.hide
        for chosen, slot, event_type in (
            (clicked, 0, EventType.CLICK),
            (hidden, HIDE_SLOT, EventType.HIDE),
        ):
            row, position = np.nonzero(chosen)
            item = slates[row, position]
            self._add(row, item, event_type, slot + position, 6.0 + 4.0 * position, position)
            self._mark(row, item, consumed=event_type is EventType.CLICK)
        result: Int64s = clicked.sum(axis=1)
        return result

    def search(self) -> None:
        """Some people search for a topic they like and view some results."""
        interests = self.market.today.interests[self.users]
        topic = _pick(interests, self.draw(Stream.SEARCH, 1))[:, 0]
        searching = (self.draw(Stream.SEARCH, 1, 1)[:, 0] < self.params.searches) & ~self.bots
        row = np.flatnonzero(searching)
        words = (self.draw(Stream.SEARCH, 2, 2) * len(TOPICS[TOPIC_NAMES[0]])).astype(np.int64)
        query = np.full(len(self.rows), None, dtype=object)
        for at in row:
            query[at] = _query(int(topic[at]), words[at])
        nothing = np.full(len(row), -1)
        self._add(
            row, nothing, EventType.SEARCH, np.full(len(row), SEARCH_SLOT), 70.0, query=query[row]
        )
        relevance = np.where(searching[:, None], self.market.items.topics.T[topic], 0.0)
        most = self.params.search_views
        views = 1 + (self.draw(Stream.SEARCH_PICK, 1, 32) * most).astype(np.int64)
        self._view(relevance, Stream.SEARCH_PICK, most, views, VIEW_SLOT, 80.0, query)

    def browse(self) -> None:
        """People browse the shop's shelves; bots choose at random."""
        everything = np.ones((len(self.rows), len(self.market.items)))
        most = self.params.browse_views
        views = (self.draw(Stream.BROWSE_PICK, 1, 32) * (most + 1)).astype(np.int64)
        views = np.where(self.bots[:, None], most, views)
        slot = VIEW_SLOT + self.params.search_views
        nothing = np.full(len(self.rows), None, dtype=object)
        self._view(everything, Stream.BROWSE_PICK, most, views, slot, 140.0, nothing)

    def buy(self) -> None:
        """Some of the items clicked or viewed go into the cart, and half of those are bought."""
        for block in [b for b in self.blocks if set(b["event_type"]) & {"click", "view"}]:
            row, item = block["row"].astype(np.int64), block["item"].astype(np.int64)
            slot = block["slot"].astype(np.int64)
            drawn = uniforms(
                self.params.seed, Stream.PURCHASE, self.market.day, self.sessions.round,
                self.users[row], slot,
            )  # fmt: skip
            chance = self.params.purchase * behaviour.attraction(self.logits[row, item])
            chance[self.bots[row]] = 0.0
            for nth, (event_type, share) in enumerate(
                ((EventType.CART, 1.0), (EventType.PURCHASE, 0.5)), start=1
            ):
                got = np.flatnonzero(drawn < chance * share)
                price = self.market.items.price[item[got]]
                value = price if event_type is EventType.PURCHASE else np.full(len(got), np.nan)
                self._add(
                    row[got], item[got], event_type, slot[got] + nth * FOLLOW,
                    block["seconds"][got].astype(np.float64) + nth * 1.5,
                    block["position"][got].astype(np.int64), value,
                )  # fmt: skip

    def actions(self) -> Actions:
        """All actions of the round, in order of session and time."""
        names = self.blocks[0].keys()
        columns = {name: np.concatenate([b[name] for b in self.blocks]) for name in names}
        row, slot = columns["row"], columns["slot"]
        users, day, turn = self.users[row], self.market.day, self.sessions.round
        seed = self.params.seed
        pace = np.where(self.bots[row], self.params.bot_haste, 1.0)
        seconds = columns["seconds"] + uniforms(seed, Stream.JITTER, day, turn, users, slot)
        timestamp = self.sessions.time[self.rows[row]] + (seconds * SECOND * pace).astype(np.int64)
        late = uniforms(seed, Stream.DELAY, day, turn, users, slot) < self.params.late_share
        wait = uniforms(seed, Stream.DELAY, day, turn, users, slot, 1)
        hours = -np.log(wait) * self.params.late_hours
        delay = np.where(late, hours * HOUR, wait * SECOND).astype(np.int64)
        order = np.lexsort((slot, timestamp, row))
        return Actions(
            row=self.rows[row][order],
            item=columns["item"][order],
            event_type=columns["event_type"][order],
            number=(turn * SLOTS + slot)[order],
            timestamp=timestamp[order],
            received_at=(timestamp + delay)[order],
            position=columns["position"][order],
            value=columns["value"][order],
            query=columns["query"][order],
        )

    def _view(
        self, relevance: Float64s, stream: Stream, most: int, views: Int64s, slot: int,
        seconds: float, query: Objects,
    ) -> None:  # fmt: skip
        """Choose up to `most` unseen items, in proportion to relevance · odds^sharpness ·
        popularity^bias."""
        if not most:
            return
        odds = np.exp(self.params.sharpness * np.where(self.bots[:, None], 0.0, self.logits))
        weights = odds * self.market.today.appeal_weights * relevance
        weights[self.sessions.seen[self.rows]] = 0.0
        picks = _pick(weights, self.draw(stream, most))
        wanted = (np.arange(most) < views) & (weights.sum(axis=1) > 0)[:, None]
        for nth in range(most):
            wanted[:, nth] &= ~(picks[:, :nth] == picks[:, nth : nth + 1]).any(axis=1)
        row, nth_view = np.nonzero(wanted)
        item = picks[row, nth_view]
        self._add(
            row, item, EventType.VIEW, slot + nth_view, seconds + 12.0 * nth_view, query=query[row]
        )
        self._mark(row, item, consumed=True)

    def _mark(self, row: Int64s, item: Int64s, consumed: bool) -> None:
        """Mark items as consumed or hidden.

        Neither kind is chosen again; consumed ones add satiation.
        """
        sessions, rows = self.sessions, self.rows[row]
        sessions.seen[rows, item] = True
        if consumed:
            np.add.at(sessions.satiation, rows, self.market.items.topics[item])
        lists = sessions.consumed if consumed else sessions.hidden
        for at, chosen in zip(rows, item, strict=True):
            lists[at].append(int(chosen))

    def _add(
        self, row: Int64s, item: Int64s, event_type: EventType, slot: Int64s,
        seconds: npt.NDArray[np.floating[Any]] | float,
        position: Int64s | None = None, value: Float64s | None = None,
        query: Objects | None = None,
    ) -> None:  # fmt: skip
        count = len(row)
        none = np.full(count, None, dtype=object)
        self.blocks.append(
            {
                "row": row.astype(np.int64),
                "item": item,
                "event_type": np.full(count, str(event_type), dtype=object),
                "slot": slot,
                "seconds": np.broadcast_to(np.asarray(seconds, dtype=np.float64), count),
                "position": np.full(count, -1) if position is None else position,
                "value": np.full(count, np.nan) if value is None else value,
                "query": none if query is None else query,
            }
        )


def _pick(weights: Float64s, drawn: Float64s) -> Int64s:
    """Draw a column for each uniform number, by the inverse of the row's cumulative weights.
    int64 [n, draws]"""
    cumulated = np.cumsum(weights, axis=1)
    scaled = drawn * cumulated[:, -1:]
    picks = np.stack(
        [
            np.searchsorted(total, wanted, side="right")
            for total, wanted in zip(cumulated, scaled, strict=True)
        ]
    )
    result: Int64s = np.minimum(picks, weights.shape[1] - 1)
    return result


def _query(topic: int, words: Int64s) -> str:
    name = TOPIC_NAMES[topic]
    first, second = (TOPICS[name][word] for word in words)
    return f"{name} {first}" if first == second else f"{first} {second}"
