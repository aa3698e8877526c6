"""Score requests with a shadow release after they were answered, and log what it would have shown.

A thread of low priority takes requests from a short queue. A request that finds the queue full is
dropped and counted, so that a slow shadow cannot hold up answers. The shadow draws with the same
random numbers as the answer: an equal release would have shown the same slate.
"""

import json
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from features.requests import context
from serving import tables
from serving.arms import place
from serving.canaries import Canary
from serving.database import insert_missing, reading, writing
from serving.live import Live, Trial
from serving.metrics import Metrics
from serving.models import RecommendInput
from serving.slate import Decision

logger = logging.getLogger("rondo.shadow")

QUEUE: Final = 100
#: Slates per transaction.
_BATCH: Final = 50
_NICE: Final = 10

#: Decides with a state: its release, the request with its id and time, and the seed of the draw.
Decide = Callable[[Live, RecommendInput, str, int, str], Decision]


@dataclass(frozen=True)
class _Job:
    row: Canary
    live: Live
    asked: RecommendInput
    request_id: str
    now: int
    shown: list[str]
    seed: str


class Shadow:
    """Scores in the background. The thread starts with the first request."""

    def __init__(
        self, decide: Decide, engine: sa.Engine, metrics: Metrics, size: int = QUEUE
    ) -> None:
        self._decide = decide
        self._engine = engine
        self._metrics = metrics
        self._queue: queue.Queue[_Job | None] = queue.Queue(size)
        self._thread: threading.Thread | None = None

    def offer(
        self, trial: Trial, asked: RecommendInput, request_id: str, now: int, made: Decision
    ) -> None:
        """Score this request later, if it belongs to the shadow's share and there is room."""
        if trial.live is None or place(trial.row.salt, request_id) >= trial.row.share:
            return
        shown = [item.item_id for item in made.answer.items]
        seed = context.seed_of(made.slate.request["context"]) or ""
        job = _Job(trial.row, trial.live, asked, request_id, now, shown, seed)
        try:
            self._queue.put_nowait(job)
        except queue.Full:
            self._metrics.shadows.labels("dropped").inc()
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="rondo-shadow", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Finish what waits, then stop."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        _lower_priority()
        rows: list[dict[str, Any]] = []
        while (job := self._queue.get()) is not None:
            rows.append(self._scored(job))
            if self._queue.empty() or len(rows) >= _BATCH:
                self._store(rows)
                rows = []
        self._store(rows)

    def _scored(self, job: _Job) -> dict[str, Any]:
        began = time.perf_counter()
        row: dict[str, Any] = {
            "request_id": job.request_id,
            "number": job.row.number,
            "release": job.row.release,
            "timestamp": job.now,
        }
        try:
            made = self._decide(job.live, job.asked, job.request_id, job.now, job.seed)
        except Exception as error:
            logger.exception("shadow %s failed", job.row.release)
            self._metrics.shadows.labels("failed").inc()
            told = f"{type(error).__name__}: {error}".replace("\0", "?")
            return row | {"seconds": time.perf_counter() - began, "error": told}
        items = [item.item_id for item in made.answer.items]
        agreement = len(set(items) & set(job.shown)) / max(len(job.shown), 1)
        self._metrics.shadows.labels("scored").inc()
        self._metrics.agreement.observe(agreement)
        row |= {"seconds": time.perf_counter() - began, "agreement": agreement}
        return row | {"items": json.dumps(items), "error": made.answer.fallback}

    def _store(self, rows: list[dict[str, Any]]) -> None:
        if not rows:
            return
        try:
            with writing(self._engine) as connection:
                for row in rows:
                    insert_missing(connection, tables.shadow_slates, row)
        except sa.exc.SQLAlchemyError as error:
            logger.error("%d slates of the shadow are lost: %s", len(rows), error)
            self._metrics.shadows.labels("lost").inc(len(rows))


@dataclass(frozen=True)
class Agreement:
    """What was logged of a shadow: means over its slates. seconds: to decide; None without any."""

    slates: int
    failed: int
    agreement: float | None
    seconds: float | None


def agreement(engine: sa.Engine, shadow: Canary, newest: int = 10_000) -> Agreement:
    """A summary of the `newest` slates of a shadow."""
    table = tables.shadow_slates.c
    rows = (
        sa.select(table.agreement, table.seconds, table.error)
        .where(table.number == shadow.number)
        .order_by(table.timestamp.desc())
        .limit(newest)
        .subquery()
    ).c
    query = sa.select(
        sa.func.count(), sa.func.count(rows.error), sa.func.avg(rows.agreement),
        sa.func.avg(rows.seconds),
    )  # fmt: skip
    with reading(engine) as connection:
        return Agreement(*connection.execute(query).one())


def _lower_priority() -> None:
    """Give answers precedence. Linux has a priority for each thread; elsewhere nothing happens."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
