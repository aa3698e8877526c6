"""A decided slate: its rows in the log, its answer, and what is needed to judge it later."""

import hashlib
from dataclasses import asdict, dataclass
from itertools import chain
from math import isfinite

import numpy as np
import numpy.typing as npt

from base.arrays import Bools, Float32s, Int32s
from features.merge import newest
from features.ragged import Histories
from features.requests import context
from features.requests.requests import Requests
from features.schema import EVENT_CODES, USER_FEATURES, EventType
from serving.arms import CANARY, Assigned
from serving.feedback_log import Row, Slate
from serving.live import Live
from serving.models import IMPRESSION, HistoryEntry, Item, RecommendInput, RecommendOutput
from serving.policy import Slates
from serving.repeats import Roll, Shown
from serving.signing import Signer
from training.rank_features import LOGGED, LOGGED_COLUMNS, definition
from training.sources.all import SOURCES

EXPLORATION = "exploration"


@dataclass(frozen=True)
class Decision:
    """A slate that was decided but not logged yet: rows of the tables, and the answer."""

    slate: Slate
    answer: RecommendOutput


@dataclass(frozen=True)
class Ranking:
    """What the policy drew from.

    candidates: int32 [1, C]; scores: float32 [1, C]; found_by: uint8 [1, C] (bits of `SOURCES`);
    features: float32 [1, C, len(FEATURES)], or None if nothing ranked; and what made them.
    """

    candidates: Int32s
    scores: Float32s
    found_by: npt.NDArray[np.uint8]
    source: str
    fallback: str | None
    features: Float32s | None = None


@dataclass(frozen=True)
class Question:
    """One request with everything known about it.

    requests: holds one row; eligible: bool [1, catalogue]; repeats: the placement's rule; lost:
    whether the online store is lost; roll: the draw that the request belongs to; assigned: the arm
    of the user while a canary runs.
    """

    live: Live
    asked: RecommendInput
    now: int
    requests: Requests
    eligible: Bools
    repeats: bool
    lost: bool
    roll: Roll
    assigned: Assigned | None = None

    @property
    def in_canary(self) -> bool:
        """Whether the canary answers. An error of its release then is the champion's to answer."""
        return (
            self.assigned is not None and self.assigned.arm == CANARY and not self.assigned.failed
        )

    @property
    def answer(self) -> Shown | None:
        """The slate of an earlier request of the draw, if it is long enough, else None."""
        return self.roll.answer(self.asked.k, int(self.eligible.sum()))


def decision(
    question: Question,
    request_id: str,
    ranking: Ranking,
    slates: Slates,
    seed: str,
    signer: Signer,
) -> Decision:
    """The rows and the answer of one drawn slate. Empty slots are dropped.

    The first slots are kept as an earlier request of the same draw logged them.
    """
    live, asked, now, roll = question.live, question.asked, question.now, question.roll
    assigned = question.assigned
    kept = slates.items[0] >= 0
    chosen = slates.items[0][kept]
    ids = live.catalogue.item_ids
    place = {item: i for i, item in enumerate(ranking.candidates[0].tolist()) if item >= 0}
    scores = ranking.scores[0].tolist()
    before = roll.slots
    items = [_logged_item(slot) for slot in before]
    for position, (item, p) in enumerate(
        zip(chosen.tolist(), slates.propensities[0][kept].tolist(), strict=True)
    ):
        if position < len(before):
            continue
        at = place.get(item)
        known = at is not None and isfinite(scores[at])
        items.append(
            Item(
                item_id=ids[item],
                position=position,
                propensity=p,
                score=scores[at] if known else None,
                reasons=_reasons(int(ranking.found_by[0, at]), ranking.source)
                if known
                else [EXPLORATION],
            )
        )
    answer = RecommendOutput(
        request_id=signer.sign(request_id),
        release=live.release_id,
        generation=live.generation,
        source=ranking.source,
        fallback=ranking.fallback,
        arm=None if assigned is None else assigned.arm,
        items=items,
    )
    origins = [slot["origin"] or slot["request_id"] for slot in before]
    shared = {
        "user_id": asked.user_id,
        "placement": asked.placement,
        "timestamp": now,
        "release": live.release_id,
    }
    request = shared | {
        "request_id": request_id,
        "generation": live.generation,
        "source": ranking.source,
        "fallback": ranking.fallback,
        "digest": digest(asked),
        "context": _context(question, ranking, seed, len(before)),
        "state": roll.state,
        "drawn_at": now if roll.shown is None else roll.shown.request["drawn_at"],
        "size": len(items),
    }
    if assigned is not None:
        named = {"arm": assigned.arm, "canary": assigned.number, "phase": assigned.phase}
        request = request | named
    slots = [
        {
            "request_id": request_id,
            "position": item.position,
            "item_id": item.item_id,
            "propensity": item.propensity,
            "score": item.score,
            "reasons": ",".join(item.reasons),
            "origin": origins[item.position] if item.position < len(before) else None,
        }
        for item in items
    ]
    impressions = [
        shared
        | {
            "event_id": f"{IMPRESSION}{request_id}:{item.position}",
            "item_id": item.item_id,
            "event_type": EventType.IMPRESSION.value,
            "received_at": now,
            "request_id": request_id,
            "position": item.position,
            "propensity": item.propensity,
        }
        for item in items[len(before) :]
    ]
    follows = None if roll.shown is None else roll.shown.request_id
    return Decision(Slate(request, slots, impressions, follows, roll.since), answer)


def logged_answer(shown: Shown, k: int, repeat: bool, signer: Signer) -> RecommendOutput:
    """The first `k` slots of a logged slate, answered as before."""
    request = shown.request
    return RecommendOutput(
        request_id=signer.sign(shown.request_id),
        release=request["release"],
        generation=request["generation"],
        source=request["source"],
        fallback=request["fallback"],
        arm=request["arm"],
        repeat=repeat,
        items=[_logged_item(slot) for slot in shown.slots[:k]],
    )


def _logged_item(slot: Row) -> Item:
    return Item(
        item_id=slot["item_id"],
        position=slot["position"],
        propensity=slot["propensity"],
        score=slot["score"],
        reasons=slot["reasons"].split(",") if slot["reasons"] else [],
    )


def merged_history(stored: Histories, sent: list[HistoryEntry], live: Live, now: int) -> Histories:
    """Stored and sent entries strictly before `now`, merged by `features.merge.newest`."""
    index = live.catalogue.index
    times, items, types = stored.timestamps, stored.items, stored.event_types
    known = zip(times.tolist(), items.tolist(), types.tolist(), strict=True)
    said = (
        (entry.timestamp, index[entry.item_id], EVENT_CODES[entry.event_type])
        for entry in sent
        if entry.item_id in index
    )
    return Histories.from_rows([newest(chain(known, said), live.history_length, before=now)])


def digest(asked: RecommendInput) -> str:
    """A digest of everything in the question except the request id."""
    content = asked.model_dump_json(exclude={"request_id"})
    return hashlib.sha256(content.encode()).hexdigest()


def _reasons(bits: int, source: str) -> list[str]:
    """Names of the sources that found an item, or of what ranked it if there was no retrieval."""
    return [s.name for i, s in enumerate(SOURCES) if bits >> i & 1] or [source]


def _context(question: Question, ranking: Ranking, seed: str, shown: int) -> bytes:
    live, asked, requests = question.live, question.asked, question.requests
    candidates = ranking.candidates[0]
    usable = (candidates >= 0) & np.isfinite(ranking.scores[0])
    usable &= question.eligible[0, np.maximum(candidates, 0)]
    histories = requests.histories
    plain = {
        "user_id": asked.user_id,
        "placement": asked.placement,
        "timestamp": question.now,
        "k": asked.k,
        "exclude": asked.exclude,
        "sent": len(asked.history),
        "user_feature_names": USER_FEATURES,
        "features_at": live.features_at,
        "eligible": int(question.eligible[0].sum()),
        "catalogue_items": len(live.catalogue),
        "catalogue_sequence": live.sequence,
        "repeats": question.repeats,
        "policy": asdict(live.policy),
        "seed": seed,
        "shown": shown,
    }
    arrays = {
        "history_items": histories.items,
        "history_types": histories.event_types,
        "history_timestamps": histories.timestamps,
        "hidden": requests.hidden.items,
        "impressed": requests.impressed.items,
        "impressed_counts": requests.impressed_counts,
        "user_features": requests.user_features[0],
        "candidates": candidates[usable],
        "scores": ranking.scores[0, usable],
    }
    if ranking.features is not None:
        plain |= {"feature_names": LOGGED, "definition": definition()}
        arrays["features"] = ranking.features[0, usable][:, LOGGED_COLUMNS]
    return context.encode(plain, arrays, live.catalogue.item_ids, live.vocabulary)
