"""`split.history_length` decides how much of a user's past is read.

That holds in training, when it is materialised, in live histories, and when a release is served.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from base.settings import Settings
from features.batch.aggregate import aggregate
from features.items.catalogue import Catalogue
from features.online import OnlineStore
from features.requests import context
from features.requests.parity import offline_requests
from features.requests.training_set import load_catalogue
from features.schema import DAY, HOUR, MINUTE
from features.splits.split import split
from features.splits.windowing import SplitParams
from serving import live_history
from serving.engine import Engine
from serving.feedback_log import FeedbackLog
from serving.live import Live, empty, with_release
from serving.metrics import Metrics
from serving.models import RecommendInput
from serving.release import Release
from serving.signing import Signer
from serving.writer import Writer
from tests.features.logs import event, item, write_log
from tests.serving.small import NOW, make_release

LENGTH = 300
EVENTS = 350
START = NOW - 5 * DAY
#: The items of the user's first choices, which nothing later repeats.
OLDEST = [f"i{number}" for number in range(50, 60)]


def choices(user_id: str, count: int) -> list[dict[str, object]]:
    """`count` clicks, one every 18 minutes up to NOW."""
    items = [*OLDEST, *(f"i{4 + number % 45}" for number in range(count - len(OLDEST)))]
    return [
        event(f"{user_id}-{number}", user_id, chosen, NOW - (count - number) * 18 * MINUTE)
        for number, chosen in enumerate(items)
    ]


@dataclass(frozen=True)
class World:
    """One log, as training and the service read it."""

    folder: Path
    online: OnlineStore
    log: FeedbackLog
    live: Live

    @property
    def catalogue(self) -> Catalogue:
        return load_catalogue(self.folder / "split")

    def offline(self, user_id: str) -> list[tuple[str, int]]:
        """What training reads for a request at NOW."""
        requests = offline_requests(
            self.folder / "split", self.folder / "features", [user_id], [NOW]
        )
        ids = self.catalogue.item_ids[requests.histories.items]
        return list(zip(ids.tolist(), requests.histories.timestamps.tolist(), strict=True))

    def served(self, user_id: str) -> context.Context:
        """What the service read for a request at NOW, from its log."""
        metrics = Metrics(CollectorRegistry())
        writer = Writer(self.log, lambda _: None, metrics)
        engine = Engine(
            lambda: self.live, self.online, self.log, writer, Signer(b"k"), str, metrics
        )
        asked = RecommendInput(user_id=user_id, k=10, request_id="r")
        made = engine.decide(self.live, asked, "r", NOW)
        writer.close()
        return context.decode(made.slate.request["context"], self.live.catalogue.item_ids)


@pytest.fixture
def world(tmp_path: Path, sqlite: sa.Engine) -> World:
    rows = choices("heavy", EVENTS)
    rows += [event(f"o{n}", f"u{n % 9}", f"i{4 + n % 45}", START + n * HOUR) for n in range(110)]
    items = [item(f"i{number}", START, created_at=START) for number in range(60)]
    log_folder = write_log(tmp_path / "log", rows, items)
    for name in ("split", "features"):
        (tmp_path / name).mkdir()
    params = SplitParams(min_targets=20, history_length=LENGTH)
    split(log_folder, tmp_path / "split", params, False)
    aggregate(tmp_path / "split", tmp_path / "features")
    online = OnlineStore(Settings(home=tmp_path / "home"))
    online.materialise(tmp_path / "features")
    log = FeedbackLog(sqlite)
    log.append(events=rows)
    make_release(tmp_path / "release", history_length=LENGTH)
    live = with_release(empty(), Release.open(tmp_path / "release"), None)
    live_history.push(log, online, ["heavy"], live.history_length, live.min_rating, NOW)
    return World(tmp_path, online, log, live)


def test_more_than_200_events_are_read_alike_in_training_online_and_served(world: World) -> None:
    expected = [(row["item_id"], row["timestamp"]) for row in choices("heavy", EVENTS)][-LENGTH:]
    assert world.offline("heavy") == expected
    held = world.online.read(["heavy"], world.catalogue, LENGTH).histories
    ids = world.catalogue.item_ids[held.items].tolist()
    assert list(zip(ids, held.timestamps.tolist(), strict=True)) == expected
    logged = world.served("heavy")
    assert list(zip(logged.history_items, logged.history_timestamps, strict=True)) == expected


def test_a_release_keeps_the_length_that_it_was_trained_with(world: World, tmp_path: Path) -> None:
    make_release(tmp_path / "older", history_length=200)
    older = with_release(world.live, Release.open(tmp_path / "older"), None)
    served = World(world.folder, world.online, world.log, older).served("heavy")
    assert len(served.history_items) == 200
    assert len(world.served("heavy").history_items) == LENGTH
