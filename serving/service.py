"""The HTTP service: `bentoml serve serving.service:Rondo`.

This module only connects the parts. Settings come from the environment (`base.settings`, prefix
RONDO_). Interactive documentation is at `/`, OpenAPI at `/docs.json`, metrics at `/metrics`, health
at `/livez` and `/readyz`.
"""

import gc
import logging
import time
import uuid
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import bentoml
from pydantic import BaseModel
from sqlalchemy.exc import OperationalError
from starlette.responses import Response

from base.settings import CLOCK_HEADER, Settings
from features.online import OnlineStore
from features.schema import MINUTE
from serving import catalogue_feed, client_errors, live_history, orphan
from serving.database import connect
from serving.engine import Conflict, Engine, Unknown
from serving.feedback_log import REMEMBERED, FeedbackLog, Row
from serving.live import Follower
from serving.metrics import Metrics
from serving.models import (
    CatalogueInput,
    CatalogueOutput,
    FeedbackInput,
    FeedbackOutput,
    HistoryInput,
    HistoryOutput,
    Problem,
    RecommendInput,
    RecommendOutput,
    SimilarInput,
    SimilarOutput,
    StatusInput,
    StatusOutput,
)
from serving.release import MANIFEST, Release, fetch
from serving.signing import signer
from serving.writer import Overloaded, Writer

logger = logging.getLogger("rondo.service")

#: Errors after which the client may try again later.
UNAVAILABLE = (Overloaded, OperationalError)
#: A Bento holds its first release here, beside the packages.
BUNDLED = Path(__file__).resolve().parent.parent / "release"


class ClockError(ValueError):
    """`RONDO_CLOCK=request` is set, and the header has no usable time."""


@bentoml.service(
    name="rondo",
    workers=1,
    # Anyone who can reach the service may read any user's history. So other machines can reach it
    # only if `--host` (or BENTOML_HOST) allows it.
    http={"host": "127.0.0.1"},
    traffic={"timeout": 30},
    logging={"access": {"enabled": False}},
    metrics={"enabled": True},
    envs=[
        {"name": "OTEL_SDK_DISABLED", "value": "true"},
        {"name": "BENTOML_DO_NOT_TRACK", "value": "True"},
    ],
)
class Rondo:
    """Recommendations that react to the last click. Every slot is logged with its propensity."""

    def __init__(self) -> None:
        import torch

        torch.set_num_threads(1)
        if bentoml.server_context.service_type is not None:  # else not in a worker
            orphan.end_with_parent()
        client_errors.install()
        self.settings = Settings()
        logging.getLogger("rondo").setLevel(self.settings.log_level)
        self.database = connect(self.settings.database)
        self.log = FeedbackLog(self.database)
        self.metrics = Metrics()
        self.online = OnlineStore(self.settings)
        self.pusher = live_history.Pusher(self.log, self.online)
        self.follower = Follower(
            self.database,
            self.online,
            self._fetch,
            self.settings.channel,
            BUNDLED if (BUNDLED / MANIFEST).is_file() else None,
            self.metrics,
            recovered=lambda: self._push([], time.time_ns() // 1_000),
        )
        self.writer = Writer(self.log, self._committed, self.metrics)
        self.engine = Engine(
            live=lambda: self.follower.live,
            online=self.online,
            log=self.log,
            writer=self.writer,
            signer=signer(self.settings),
            new_id=lambda: uuid.uuid4().hex,
            metrics=self.metrics,
            repeat=int(self.settings.repeat_minutes * MINUTE),
        )
        self.follower.start()
        gc.collect()
        gc.freeze()

    @bentoml.on_shutdown
    def close(self) -> None:
        """Commit waiting writes. Everything acknowledged has been committed already."""
        self.follower.close()
        self.engine.close()
        self.writer.close()
        self.database.dispose()

    @bentoml.api(output_spec=RecommendOutput)
    async def recommend(self, asked: RecommendInput, /, ctx: bentoml.Context) -> Any:
        """A slate for a user, logged with the exact propensity of every slot."""
        try:
            return _answer(ctx, await self.engine.recommend(asked, self._now(ctx)))
        except Conflict as problem:
            return _problem(ctx, HTTPStatus.CONFLICT, problem)
        except ClockError as problem:
            return _problem(ctx, HTTPStatus.BAD_REQUEST, problem)
        except UNAVAILABLE as problem:
            return _unavailable(ctx, problem)

    @bentoml.api(output_spec=FeedbackOutput)
    async def feedback(self, sent: FeedbackInput, /, ctx: bentoml.Context) -> Any:
        """Store outcomes, idempotent by `event_id`. A 2xx answer means that they are durable."""
        try:
            return _answer(ctx, await self.engine.feedback(sent, self._now(ctx)))
        except ClockError as problem:
            return _problem(ctx, HTTPStatus.BAD_REQUEST, problem)
        except UNAVAILABLE as problem:
            return _unavailable(ctx, problem)

    @bentoml.api(output_spec=CatalogueOutput)
    def catalogue(self, sent: CatalogueInput, /, ctx: bentoml.Context) -> Any:
        """Add new items and new versions of items. They are shown within about a second."""
        try:
            now = self._now(ctx)
            rows = [item.model_dump() | {"received_at": now} for item in sent.items]
            return _answer(ctx, CatalogueOutput(changed=catalogue_feed.upsert(self.database, rows)))
        except (ClockError, catalogue_feed.RefusedItems) as problem:
            return _problem(ctx, HTTPStatus.BAD_REQUEST, problem)
        except UNAVAILABLE as problem:
            return _unavailable(ctx, problem)

    @bentoml.api(output_spec=SimilarOutput)
    async def similar(self, asked: SimilarInput, /, ctx: bentoml.Context) -> Any:
        """The items nearest to one."""
        try:
            return _answer(ctx, self.engine.similar(asked))
        except Unknown as problem:
            return _problem(ctx, HTTPStatus.NOT_FOUND, problem)

    @bentoml.api(output_spec=HistoryOutput)
    async def history(self, asked: HistoryInput, /, ctx: bentoml.Context) -> Any:
        """The user's history as the service knows it."""
        try:
            return _answer(ctx, self.engine.history(asked.user_id))
        except UNAVAILABLE as problem:
            return _unavailable(ctx, problem)

    @bentoml.api(output_spec=StatusOutput)
    async def status(self, _: StatusInput, /, ctx: bentoml.Context) -> Any:
        """What this worker serves now."""
        live = self.follower.live
        status = StatusOutput(
            release=live.release_id,
            generation=live.generation,
            items=len(live.catalogue),
            catalogue_sequence=live.sequence,
            features_at=live.features_at,
            canary=None if live.canary is None else live.canary.release_id,
            shadow=None if live.shadow is None else live.shadow.release_id,
        )
        return _answer(ctx, status)

    def _now(self, ctx: bentoml.Context) -> int:
        if self.settings.clock == "system":
            return time.time_ns() // 1_000
        value = ctx.request.headers.get(CLOCK_HEADER, "")
        if not value.isdecimal() or len(value) > 18:
            raise ClockError(f"RONDO_CLOCK=request needs the header {CLOCK_HEADER}: <µs>")
        return int(value)

    def _fetch(self, identity: str) -> Release:
        return fetch(identity, self.settings.releases, self.settings.root / "cache" / "releases")

    def _committed(self, outcomes: Sequence[Row]) -> None:
        for row in outcomes:
            self.metrics.events.labels(row["release"] or "", row["event_type"]).inc()
        users = {row["user_id"] for row in outcomes if row["event_type"] in REMEMBERED}
        self._push(users, max(row["received_at"] for row in outcomes))

    def _push(self, users: Iterable[str], now: int) -> None:
        live = self.follower.live
        self.pusher.push(users, live.history_length, live.min_rating, now)


def _answer(ctx: bentoml.Context, answer: BaseModel) -> Response:
    ctx.response.status_code = HTTPStatus.OK
    return Response(answer.model_dump_json(), media_type="application/json")


def _unavailable(ctx: bentoml.Context, problem: Exception) -> Response:
    if isinstance(problem, OperationalError):  # its text contains the statement and values
        logger.error("the database is not available: %s", problem.orig)
        problem = Overloaded("the database is not available")
    return _problem(ctx, HTTPStatus.SERVICE_UNAVAILABLE, problem)


def _problem(ctx: bentoml.Context, status: HTTPStatus, problem: Exception) -> Response:
    ctx.response.status_code = status
    headers = {"Retry-After": "1"} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    body = Problem(error=str(problem)).model_dump_json()
    return Response(body, status, headers, media_type="application/json")
