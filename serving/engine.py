"""The recommend pipeline: online features, ranking, policy, log, answer. Independent of HTTP."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from features.online import OnlineStore
from features.ragged import Ragged
from features.requests.requests import Requests
from features.requests.user_rows import UserRows
from features.schema import MINUTE, EventType
from serving import arms, fallback, feedback
from serving.arms import Assigned
from serving.feedback_log import FeedbackLog
from serving.live import Live
from serving.metrics import Metrics
from serving.models import (
    FeedbackInput,
    FeedbackOutput,
    HistoryEvent,
    HistoryOutput,
    RecommendInput,
    RecommendOutput,
    Rejected,
    SimilarInput,
    SimilarItem,
    SimilarOutput,
)
from serving.policy import draw, uniforms
from serving.repeats import Shown, find, state_of
from serving.shadow import Shadow
from serving.signing import Signer
from serving.slate import (
    Decision,
    Question,
    Ranking,
    decision,
    digest,
    logged_answer,
    merged_history,
)
from serving.writer import Overloaded, Writer
from training.eligible import allowed_items, without_excluded

logger = logging.getLogger("rondo.engine")

#: Attempts to store a slate for one question. An attempt fails if another worker stored one first.
ATTEMPTS: Final = 8


class Conflict(ValueError):
    """The same request id was used for a different question."""


class Unknown(LookupError):
    """An item is not in the catalogue."""


class Engine:
    """Answers requests with the current result of `live()`.

    new_id: makes request ids for clients that send none; repeat: for how long the same question
    gets the slate shown first, µs.
    """

    def __init__(
        self,
        live: Callable[[], Live],
        online: OnlineStore,
        log: FeedbackLog,
        writer: Writer,
        signer: Signer,
        new_id: Callable[[], str],
        metrics: Metrics,
        repeat: int = 30 * MINUTE,
    ) -> None:
        self._live = live
        self._online = online
        self._log = log
        self._writer = writer
        self._signer = signer
        self._new_id = new_id
        self._metrics = metrics
        self._repeat = repeat
        self._shadow = Shadow(self.decide, log.engine, metrics)

    def close(self) -> None:
        """Finish what waits for the shadow."""
        self._shadow.close()

    async def recommend(self, asked: RecommendInput, now: int) -> RecommendOutput:
        """Decide on a slate, log it durably, then answer. now: µs.

        A repeated question is answered from the log (`serving.repeats`). Raises Conflict for a
        request id that was used for another question, and Overloaded if the log cannot keep up.
        """
        request_id = asked.request_id or self._new_id()
        for _ in range(ATTEMPTS):
            if asked.request_id is not None and (logged := self._log.request(request_id)):
                return self._again(asked, Shown(*logged))
            began, live = time.perf_counter(), self._live()
            made = self._by_arm(live, asked, request_id, now)
            if isinstance(made, Shown):
                self._metrics.repeats.inc()
                return logged_answer(made, asked.k, True, self._signer)
            seconds = time.perf_counter() - began
            slate = made.slate.taking(seconds)
            written = await asyncio.wrap_future(self._writer.write_slate(now, slate))
            if written.new_request:
                self._count(made.answer, asked.placement, seconds)
                if live.shadow is not None:
                    self._shadow.offer(live.shadow, asked, request_id, now, made)
                return made.answer
            # Another worker answered the same question at the same time: look again.
        raise Overloaded("too many clients ask this question at the same time")

    def decide(
        self,
        live: Live,
        asked: RecommendInput,
        request_id: str,
        now: int,
        seed: str | None = None,
    ) -> Decision:
        """Decide on a slate and its rows. seed: of the draw, by default by request and state.

        The result depends only on the arguments, the secret, the online store (the log, if the
        store is lost) and the logged slates of the same draw.
        """
        return self._decide(self._question(live, asked, now), request_id, seed)

    def _by_arm(
        self, live: Live, asked: RecommendInput, request_id: str, now: int
    ) -> Shown | Decision:
        """What the arm of this user answers: a slate shown before, or a new one.

        If the canary fails in any way, the champion answers, and the log says so.
        """
        trial = live.canary
        if trial is None:
            return self._answer(live, asked, request_id, now, None)
        assigned = arms.assign(trial.row, asked.user_id)
        if assigned.arm == arms.CONTROL:
            return self._answer(live, asked, request_id, now, assigned)
        if trial.live is not None:
            try:
                return self._answer(trial.live, asked, request_id, now, assigned)
            except Exception:
                logger.exception("canary %s failed; the champion answers", trial.row.release)
        self._metrics.failures.labels("canary").inc()
        return self._answer(live, asked, request_id, now, replace(assigned, failed=True))

    def _answer(
        self,
        live: Live,
        asked: RecommendInput,
        request_id: str,
        now: int,
        assigned: Assigned | None,
    ) -> Shown | Decision:
        question = replace(self._question(live, asked, now), assigned=assigned)
        return question.answer or self._decide(question, request_id)

    def _question(self, live: Live, asked: RecommendInput, now: int) -> Question:
        began = time.perf_counter()
        user, lost = self._user(live, asked.user_id)
        requests = self._requests(user, live, asked, now)
        repeats = live.placements.rule(asked.placement).repeats
        allowed = allowed_items(live.catalogue, requests, repeats)
        eligible = without_excluded(allowed, requests)
        read = time.perf_counter()
        state = state_of(live, asked.placement, requests, allowed[0], lost)
        roll = find(self._log, live, state, eligible[0], now - self._repeat)
        self._metrics.seconds.labels("features").observe(read - began)
        self._metrics.seconds.labels("repeat").observe(time.perf_counter() - read)
        return Question(live, asked, now, requests, eligible, repeats, lost, roll)

    def _decide(self, question: Question, request_id: str, seed: str | None = None) -> Decision:
        began = time.perf_counter()
        live, asked, roll = question.live, question.asked, question.roll
        ranking = self._rank(question)
        notes = [ranking.fallback] if ranking.fallback else []
        if question.lost:
            notes.append(fallback.NO_ONLINE_STORE)
        if question.assigned is not None and question.assigned.failed:
            notes.append(arms.FAILED)
        ranking = replace(ranking, fallback=", ".join(notes) or None)
        ranked = time.perf_counter()
        seed = seed or roll.seed or self._signer.seed(asked.user_id, request_id, roll.state)
        slates = draw(
            ranking.scores,
            ranking.candidates,
            question.eligible,
            asked.k,
            live.policy,
            uniforms(seed, asked.k)[None],
            live.catalogue.categories,
            roll.items(live)[None],
        )
        drawn = time.perf_counter()
        made = decision(question, request_id, ranking, slates, seed, self._signer)
        for part, seconds in (
            ("rank", ranked - began),
            ("policy", drawn - ranked),
            ("record", time.perf_counter() - drawn),
        ):
            self._metrics.seconds.labels(part).observe(seconds)
        return made

    async def feedback(self, sent: FeedbackInput, now: int) -> FeedbackOutput:
        """Store outcomes durably. Once this returns, the next answer takes them into account."""
        outcomes, rejected = feedback.check(sent.events, self._signer, now)
        written = await asyncio.wrap_future(self._writer.write_outcomes(now, outcomes, rejected))
        self._metrics.duplicates.inc(written.duplicates)
        self._metrics.dead_letters.inc(len(written.rejected))
        return FeedbackOutput(
            accepted=written.accepted,
            duplicates=written.duplicates,
            rejected=[Rejected(event_id=r.event_id, reason=r.reason) for r in written.rejected],
        )

    def similar(self, asked: SimilarInput) -> SimilarOutput:
        """The nearest available items by cosine, of the transformer's vectors or of text vectors.

        Raises Unknown for an item that is not in the catalogue.
        """
        live = self._live()
        item = live.catalogue.index.get(asked.item_id)
        if item is None:
            raise Unknown(f"no item '{asked.item_id}' in the catalogue")
        attached = live.recommender.transformer if live.recommender else None
        vectors = attached.items if attached is not None else live.catalogue.text
        lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(vectors[item])
        cosine = vectors @ vectors[item] / np.where(lengths > 0, lengths, 1.0)
        cosine[~live.catalogue.available] = -np.inf
        cosine[item] = -np.inf
        best = np.argsort(-cosine, kind="stable")[: asked.k]
        return SimilarOutput(
            release=live.release_id,
            source="transformer" if attached is not None else "text",
            items=[
                SimilarItem(item_id=live.catalogue.item_ids[i], similarity=float(cosine[i]))
                for i in best
                if np.isfinite(cosine[i])
            ],
        )

    def history(self, user_id: str) -> HistoryOutput:
        """A user's history from the online store, or from the log if the store is lost."""
        live = self._live()
        user, _ = self._user(live, user_id)
        ids, histories = live.catalogue.item_ids, user.histories
        names = dict(enumerate(EventType))  # a later version may have stored unknown types
        return HistoryOutput(
            user_id=user_id,
            events=[
                HistoryEvent(item_id=ids[i], event_type=names[int(t)], timestamp=int(ts))
                for i, t, ts in zip(
                    histories.items, histories.event_types, histories.timestamps, strict=True
                )
                if int(t) in names
            ],
            hidden=[ids[i] for i in user.hidden.items],
        )

    def _user(self, live: Live, user_id: str) -> tuple[UserRows, bool]:
        """A user's row, and whether the online store is lost.

        If it is, the row holds the log's history and no features.
        """
        if not live.online_lost:
            try:
                return self._online.read([user_id], live.catalogue, live.history_length), False
            except Exception:
                logger.exception("the online store does not answer")
                self._metrics.failures.labels("online").inc()
        found = self._log.recent([user_id], live.history_length, live.min_rating)
        return UserRows.of(list(found.values()), live.catalogue), True

    def _requests(self, user: UserRows, live: Live, asked: RecommendInput, now: int) -> Requests:
        return user.requests(
            [asked.user_id],
            [now],
            live.item_features[None],
            histories=merged_history(user.histories, asked.history, live, now),
            excluded=Ragged.from_lists([live.catalogue.places(asked.exclude)]),
        )

    def _rank(self, question: Question) -> Ranking:
        """Rank by the release, or by recency-popularity. Raises an error of a canary's release."""
        live, requests, eligible = question.live, question.requests, question.eligible
        reason = "no release"
        if live.recommender is not None:
            try:
                ranked = live.recommender.rank(requests, question.repeats)
            except Exception:
                if question.in_canary:
                    raise
                logger.exception("release %s cannot rank", live.release_id)
                self._metrics.failures.labels("rank").inc()
                reason = "the release failed"
            else:
                missing = [
                    name
                    for name, part in (
                        ("no transformer", live.recommender.transformer),
                        ("no trees", live.recommender.ranker),
                    )
                    if part is None
                ]
                return Ranking(
                    ranked.candidates,
                    ranked.scores,
                    ranked.sources,
                    live.recommender.order,
                    ", ".join(missing) or None,
                    ranked.features,
                )
        candidates, scores, source = fallback.rank(requests, eligible, live.catalogue.created_at)
        found_by = np.zeros(candidates.shape, dtype=np.uint8)
        return Ranking(candidates, scores, found_by, source, reason)

    def _again(self, asked: RecommendInput, shown: Shown) -> RecommendOutput:
        if shown.request["digest"] != digest(asked):
            raise Conflict(f"request_id '{shown.request_id}' was used for another question")
        return logged_answer(shown, len(shown.slots), False, self._signer)

    def _count(self, answer: RecommendOutput, placement: str, seconds: float) -> None:
        release, arm, metrics = answer.release or "", answer.arm or "", self._metrics
        metrics.recommends.labels(release, answer.source, placement, arm).inc()
        metrics.answers.labels(arm).observe(seconds)
        if answer.fallback is not None:
            metrics.fallbacks.labels(answer.fallback, arm).inc()
        explored = sum(item.score is None for item in answer.items)
        metrics.slots.labels(release, "yes", arm).inc(explored)
        metrics.slots.labels(release, "no", arm).inc(len(answer.items) - explored)
