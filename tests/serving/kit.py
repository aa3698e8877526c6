"""An engine with a real release, a real online store and its own log."""

import asyncio

import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from features.online import OnlineStore
from serving.engine import Engine
from serving.feedback_log import FeedbackLog
from serving.live import Live
from serving.metrics import Metrics
from serving.models import RecommendInput
from serving.signing import Signer
from serving.writer import Writer
from tests.serving.small import NOW

SIGNER = Signer(b"key")


class Kit:
    """An engine over its own database; `live` may be replaced."""

    def __init__(self, live: Live, online: OnlineStore, database: sa.Engine) -> None:
        self.live = live
        self.log = FeedbackLog(database)
        self.metrics = metrics = Metrics(CollectorRegistry())
        self.writer = Writer(self.log, lambda _: None, metrics)
        ids = (f"server-{n}" for n in range(1000))
        self.engine = Engine(
            lambda: self.live, online, self.log, self.writer, SIGNER, lambda: next(ids), metrics
        )

    def recommend(self, now: int = NOW, **asked: object) -> dict[str, object]:
        question = RecommendInput.model_validate({"user_id": "u", **asked})
        return asyncio.run(self.engine.recommend(question, now)).model_dump()
