"""The state that a worker serves now, and how it is kept up to date.

`Live` is an immutable set of release, catalogue and item features that fit together. A `Follower`
thread polls the channel, the catalogue feed and the online store, builds the next `Live` in the
background and then replaces one reference. So no request waits for a new release or fails because
of it. A canary and a shadow are states of their own within it.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from base.arrays import Float32s
from features import schema
from features.items.catalogue import Catalogue
from features.online import OnlineStore
from features.requests.context import Vocabulary
from features.requests.requests import Requests
from features.splits.placements import PlacementsParams
from features.splits.windowing import SplitParams
from serving import canaries, catalogue_feed, channels
from serving.canaries import Canary
from serving.channels import Channel
from serving.metrics import Metrics
from serving.policy import PolicyParams
from serving.release import Release
from training.rank_features import definition
from training.recommender import Recommender

logger = logging.getLogger("rondo.live")

POLL_SECONDS: Final = 0.5
#: Wait this long before retrying a release that could not be fetched or loaded.
RETRY_SECONDS: Final = 15.0


@dataclass(frozen=True)
class Trial:
    """A canary or shadow as this worker knows it. live: None if its release cannot be loaded."""

    row: Canary
    live: "Live | None"

    @property
    def release_id(self) -> str | None:
        """The release, if it is loaded."""
        return None if self.live is None else self.live.release_id


@dataclass(frozen=True)
class Live:
    """One consistent state.

    items: rows of `schema.ITEM` in index order, one per item; sequence: the last version of the
    catalogue feed that is included; item_features: float32 [catalogue, ITEM_FEATURES] of the
    snapshot features_at, µs (0: none); channel: where the release came from, or None; online_lost:
    the online store cannot be reached, or is empty although it was filled, and `rondo
    rebuild-online` should be run; canary, shadow: what else is served or scored; vocabulary: the
    release's own items, which contexts refer to.
    """

    items: pa.Table
    catalogue: Catalogue
    sequence: int
    item_features: Float32s
    features_at: int
    release: Release | None = None
    channel: Channel | None = None
    recommender: Recommender | None = None
    policy: PolicyParams = field(default_factory=PolicyParams)
    placements: PlacementsParams = field(default_factory=PlacementsParams)
    history_length: int = SplitParams.history_length
    min_rating: float = 0.0
    online_lost: bool = False
    canary: Trial | None = None
    shadow: Trial | None = None
    vocabulary: Vocabulary = field(default_factory=lambda: Vocabulary.of(np.zeros(0, object)))

    @property
    def release_id(self) -> str | None:
        return self.release.id if self.release else None

    @property
    def generation(self) -> int | None:
        return self.channel.generation if self.channel else None


def empty() -> Live:
    """The state before anything is known."""
    items = schema.ITEM.empty_table()
    features = np.zeros((0, len(schema.ITEM_FEATURES)), dtype=np.float32)
    return Live(items, Catalogue.from_table(items), 0, features, 0)


class Follower:
    """Keeps `live` up to date.

    fetch: returns the verified local folder of a release id; bundled: the release to start with, if
    any; channel: the channel to follow, or empty to keep the bundled release; recovered: called
    when a lost online store is back.
    """

    def __init__(
        self,
        engine: sa.Engine,
        online: OnlineStore,
        fetch: Callable[[str], Release],
        channel: str,
        bundled: Path | None,
        metrics: Metrics,
        recovered: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine = engine
        self._online = online
        self._fetch = fetch
        self._channel = channel
        self._metrics = metrics
        self._recovered = recovered
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rondo-follower", daemon=True)
        self._broken: Channel | None = None
        self._retry_at = 0.0
        self._trial_retry_at = 0.0
        self.live = empty()
        if bundled is not None:
            self.live = with_release(self.live, Release.open(bundled), None)
            warm_up(self.live)
        self.poll()

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def poll(self) -> None:
        """Check for news once. On any failure, keep the present state."""
        for step in (
            self._follow_channel,
            self._follow_canary,
            self._follow_shadow,
            self._follow_catalogue,
            self._follow_features,
        ):
            try:
                step()
            except Exception:
                logger.exception("%s failed; still serving %s", step.__name__, self.live.release_id)
                self._metrics.failures.labels(step.__name__).inc()
        self._metrics.items.set(len(self.live.catalogue))
        self._metrics.generation.set(self.live.generation or 0)

    def _run(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            self.poll()

    def _follow_channel(self) -> None:
        if not self._channel:
            return
        channel = channels.read(self._engine, self._channel)
        if channel is None or channel == self.live.channel:
            return
        if channel == self._broken and time.monotonic() < self._retry_at:
            return
        try:
            release = (
                self.live.release
                if self.live.release and self.live.release.id == channel.release
                else self._fetch(channel.release)
            )
            live = self._loaded(release, channel)
        except Exception:
            self._broken, self._retry_at = channel, time.monotonic() + RETRY_SECONDS
            raise
        self.live = live
        logger.info("serving %s, generation %d", channel.release, channel.generation)

    def _follow_canary(self) -> None:
        self.live = replace(self.live, canary=self._trial(self.live.canary, canaries.CANARY))

    def _follow_shadow(self) -> None:
        self.live = replace(self.live, shadow=self._trial(self.live.shadow, canaries.SHADOW))

    def _trial(self, known: Trial | None, channel: canaries.Channel) -> Trial | None:
        """The canary or shadow that should run beside the champion, None without one."""
        if not self._channel:
            return None
        row = canaries.running(self._engine, channel)
        if row is None or row.release == self.live.release_id:
            return None
        if channel == canaries.CANARY and row.control != self.live.release_id:
            return None  # its champion is gone, or not here yet
        if known is not None and known.row.number == row.number:
            tried = known.live is not None or time.monotonic() < self._trial_retry_at
            if tried:
                return replace(known, row=row)
        elif row.loading >= canaries.MOST_LOADING:
            return None  # it may end the process that loads it
        if not canaries.begin_loading(self._engine, row, time.time_ns() // 1_000):
            return None if known is None else replace(known, row=row)
        try:
            live = self._loaded(self._fetch(row.release), Channel(row.release, row.number))
        except Exception:
            self._trial_retry_at = time.monotonic() + RETRY_SECONDS
            logger.exception("%s %s cannot be loaded", channel, row.release)
            self._metrics.failures.labels(channel).inc()
            return Trial(row, None)
        canaries.loaded(self._engine, row)
        logger.info("%s %s for %.0f%%", channel, row.release, 100 * row.share)
        return Trial(row, replace(live, canary=None, shadow=None))

    def _loaded(self, release: Release, channel: Channel) -> Live:
        """The present state with another release, ready to serve. Raises any error of it."""
        live = with_release(self.live, release, channel)
        live = with_feed(live, catalogue_feed.read(self._engine, 0))
        live = with_features(live, self._online)
        warm_up(live)
        return live

    def _follow_catalogue(self) -> None:
        if catalogue_feed.last_sequence(self._engine) > self.live.sequence:
            self.live = everywhere(self.live, self._with_news)

    def _with_news(self, live: Live) -> Live:
        news = catalogue_feed.read(self._engine, live.sequence)
        live = with_features(with_feed(live, news), self._online)
        warm_up(live)
        return live

    def _follow_features(self) -> None:
        try:
            snapshot = self._online.snapshot()
        except Exception:
            self._note_online(lost=True)
            raise
        if snapshot not in (0, self.live.features_at):
            self.live = everywhere(self.live, lambda live: with_features(live, self._online))
        # Every promoted release was materialised, so the store must have been filled.
        filled = self.live.features_at > 0 or self.live.channel is not None
        self._note_online(lost=snapshot == 0 and filled)

    def _note_online(self, lost: bool) -> None:
        if lost == self.live.online_lost:
            return
        if lost:
            logger.error(
                "the online store is away or empty: serving item features from memory and "
                "histories from the log; when it is back, run rondo rebuild-online"
            )
        else:
            logger.info("the online store is back")
            self._recovered()
        self.live = everywhere(self.live, lambda live: replace(live, online_lost=lost))


def everywhere(live: Live, change: Callable[[Live], Live]) -> Live:
    """The state with `change` made to it, and to the states of canary and shadow.

    If it fails for one of these, they count as failed. Raises what it raises for `live` itself.
    """

    def changed(trial: Trial | None) -> Trial | None:
        if trial is None or trial.live is None:
            return trial
        try:
            return replace(trial, live=change(trial.live))
        except Exception:
            logger.exception("%s %s failed", trial.row.channel, trial.row.release)
            return replace(trial, live=None)

    return replace(change(live), canary=changed(live.canary), shadow=changed(live.shadow))


def with_release(live: Live, release: Release, channel: Channel | None) -> Live:
    """The state with another release and the release's own items. The feed must be read again.

    Raises ReleaseError if the release does not load.
    """
    catalogue = Catalogue.from_table(release.items)
    return replace(
        live,
        release=release,
        channel=channel,
        items=release.items,
        catalogue=catalogue,
        sequence=0,
        item_features=_unknown(len(catalogue)),
        features_at=0,
        recommender=release.load(catalogue),
        policy=release.policy,
        placements=release.placements,
        history_length=release.history_length,
        min_rating=release.min_rating,
        vocabulary=Vocabulary.of(catalogue.item_ids),
    )


def with_feed(live: Live, news: pa.Table) -> Live:
    """The state with newer versions of items (rows of `catalogue_feed.FEED`).

    New items are appended in the order of their first version, so existing indices stay valid.
    """
    if news.num_rows == 0:
        return live
    rows = {row["item_id"]: row for row in live.items.to_pylist()}
    for row in news.to_pylist():
        known = rows.get(row["item_id"])
        del row["sequence"]
        if known is None or known["received_at"] <= row["received_at"]:
            rows[row["item_id"]] = row
    items = pa.Table.from_pylist(list(rows.values()), schema=schema.ITEM)
    catalogue = Catalogue.from_table(items)
    features = _unknown(len(catalogue))
    features[: len(live.item_features)] = live.item_features
    return replace(
        live,
        items=items,
        catalogue=catalogue,
        sequence=int(news["sequence"][-1].as_py()),
        item_features=features,
        recommender=live.recommender.with_catalogue(catalogue) if live.recommender else None,
    )


def with_features(live: Live, online: OnlineStore) -> Live:
    """The state with the online store's item features, or unchanged if the store has none."""
    try:
        snapshot = online.snapshot()
        if snapshot == 0:
            return live
        features = online.read_items(live.catalogue)
    except Exception:
        logger.exception("the online store is away; item features stay as they are")
        return live
    return replace(live, item_features=features, features_at=snapshot)


def warm_up(live: Live) -> None:
    """Rank one empty request, so that real requests do not pay for initialisation.

    Raises any error of the release, since a release that cannot rank must not be served.
    """
    if live.recommender is None or not len(live.catalogue):
        return
    definition()
    newest = int(live.catalogue.created_at.max())
    live.recommender.rank(Requests.of([""], [newest], live.item_features[None]))


def _unknown(items: int) -> Float32s:
    return np.full((items, len(schema.ITEM_FEATURES)), np.nan, dtype=np.float32)
