"""Live histories when several services serve the same users."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from base.settings import Settings
from features.items.catalogue import Catalogue
from features.merge import UserHistory
from features.online import OnlineStore
from serving import live_history
from serving.feedback_log import FeedbackLog
from tests.serving.small import items
from tests.serving.test_feedback_log import T0, event

REDIS = "RONDO_TEST_REDIS_URL"
STORES = [pytest.param(None, id="sqlite"), pytest.param(REDIS, marks=pytest.mark.servers)]


class Held(OnlineStore):
    """A store in which something happens before a push arrives, as in a slow network."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.before: list[Callable[[], None]] = []
        self.pushes = 0

    def push_history(self, rows: Mapping[str, UserHistory], now: int) -> None:
        self.pushes += 1
        if self.before:
            self.before.pop()()
        super().push_history(rows, now)


@pytest.fixture(params=STORES)
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    if request.param is None:
        yield Settings(home=tmp_path)
        return
    url = os.environ.get(request.param)
    if not url:
        pytest.skip(f"{request.param} is not set")
    yield Settings(home=tmp_path, redis_url=SecretStr(url))


def test_a_push_that_arrives_late_does_not_undo_a_newer_one(
    sqlite: sa.Engine, settings: Settings, tmp_path: Path
) -> None:
    user = f"late-{tmp_path}"
    log, catalogue = FeedbackLog(sqlite), Catalogue.from_table(items())
    slow, quick = Held(settings), Held(settings)

    def click(event_id: str, item_id: str, online: OnlineStore, now: int) -> None:
        log.append(events=[event(event_id, user_id=user, item_id=item_id, timestamp=now)])
        live_history.push(log, online, [user], 200, 0.0, now)

    slow.before.append(lambda: click("second", "i2", quick, T0 + 1))
    click("first", "i1", slow, T0 + 2)
    history = quick.read([user], catalogue, 200).histories
    assert catalogue.item_ids[history.items].tolist() == ["i2", "i1"]
    assert (slow.pushes, quick.pushes) == (2, 1)


def test_nobody_is_pushed_for_nothing(sqlite: sa.Engine, tmp_path: Path) -> None:
    online = Held(Settings(home=tmp_path))
    live_history.push(FeedbackLog(sqlite), online, [], 200, 0.0, T0)
    assert online.pushes == 0
