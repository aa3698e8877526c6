"""The monitor flow: look at new data and emit the events that start retrains.

    prefect deployment run 'monitor/every-minute'

It looks at the canary first (`flows.canary`). It also marks retrains as Crashed if their process is
gone, because Prefect leaves a killed run Running.
"""

from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event
from prefect.logging import get_run_logger

from base.arrays import Float64s
from base.params import load
from base.settings import Settings
from features.positive import positive_sql
from features.schema import DAY, EventType
from features.splits.windowing import SplitParams
from flows import canary, environment, people
from flows.consumers import RETRAINED
from flows.environment import CHECKOUT
from flows.lease import living, read, wall_clock, wanted
from flows.retrain_params import RetrainParams
from flows.retrain_runs import bury_dead, failed_lately, on_their_way
from flows.rollout import CHANNEL, installation
from serving import channels, offsets, tables
from serving.database import reading
from serving.feedback_log import FeedbackLog

RESOURCE = "rondo.feedback-log"
FEEDBACK, DRIFT, DECAY = "rondo.feedback", "rondo.drift", "rondo.decay"
#: The event for a run requested while another retrain, which then failed, held the lease.
ASKED = "rondo.asked"


@dataclass(frozen=True)
class Signs:
    """What the monitor measured.

    new_events: since the last retrain; drift: population stability index of item popularity, last
    day against the days before; decay: relative fall of the click-through rate. None: too few data.
    """

    new_events: int
    drift: float | None
    decay: float | None

    def events(self, params: RetrainParams) -> dict[str, float]:
        """The events to emit, each with the value that caused it.

        Drift and decay are only emitted if there is feedback that no retrain has seen, since a
        retrain on the same data would change nothing.
        """
        limits = {
            FEEDBACK: (float(self.new_events), float(params.feedback)),
            DRIFT: (self.drift, params.drift),
            DECAY: (self.decay, params.decay),
        }
        return {
            name: value
            for name, (value, limit) in limits.items()
            if value is not None
            and value >= limit
            and (name == FEEDBACK or self.new_events >= params.fresh)
        }


@flow(name="monitor")
def monitor() -> Signs:
    """Look once."""
    environment.prepare(Settings())
    engine = installation().engine
    look_at_canary(engine)
    params = load(RetrainParams, "retrain", CHECKOUT / "params.yaml")
    min_rating = load(SplitParams, "split", CHECKOUT / "params.yaml").min_rating
    signs = look(engine, params, min_rating)
    get_run_logger().info("%s", signs)
    for line in people.lines(engine):
        get_run_logger().info("%s", line)
    champion = channels.read(engine, CHANNEL)
    if retraining(engine) or on_their_way():
        return signs  # the running retrain includes the new data
    events = {} if failed_lately() else signs.events(params)
    if wanted(engine, "retrain"):
        events[ASKED] = 1.0
    if events:
        name, value = next(iter(events.items()))  # one retrain is enough for all events
        emit_event(
            name,
            resource={"prefect.resource.id": RESOURCE},
            payload={
                "value": value,
                "signs": events,
                "champion": champion.release if champion else None,
            },
        )
    bury_dead()
    return signs


@task(name="canary", cache_policy=NO_CACHE)
def look_at_canary(engine: sa.Engine) -> None:
    """Look at the canary. A look that fails must not keep retrains from starting: the next one is
    a minute away."""
    try:
        looked = canary.check(engine)
    except Exception:
        get_run_logger().exception("the canary could not be looked at")
        return
    if looked is not None:
        said = looked.look.reason if looked.look else looked.canary.reason
        get_run_logger().info("canary %s: %s", looked.canary.state, said)


def look(engine: sa.Engine, params: RetrainParams, min_rating: float = 0.0) -> Signs:
    """Read the last days of the outbox, whatever its length, and how much of it was ingested."""
    last = FeedbackLog(engine).last_offset()
    table = tables.events
    with reading(engine) as connection:
        newest = connection.execute(sa.select(sa.func.max(table.c.timestamp))).scalar_one()
        if newest is None:
            return Signs(0, None, None)
        day, week = newest - DAY, newest - 8 * DAY
        # Do not group by the comparison: PostgreSQL treats the repeated parameter as two values.
        of_today = sa.func.sum(sa.case((table.c.timestamp > day, 1), else_=0))
        query = (
            sa.select(table.c.item_id, sa.func.count(), of_today)
            .where(
                table.c.timestamp > week,
                sa.text(positive_sql(":min_rating")).bindparams(min_rating=min_rating),
                table.c.request_id.is_(None),
            )
            .group_by(table.c.item_id)
        )
        counts = {item: (n, int(new)) for item, n, new in connection.execute(query)}
        query = (
            sa.select(table.c.event_type, sa.func.count(), of_today)
            .where(
                table.c.timestamp > week,
                table.c.request_id.is_not(None),
                table.c.event_type.in_([EventType.IMPRESSION, EventType.CLICK]),
            )
            .group_by(table.c.event_type)
        )
        slots: dict[tuple[str, bool], int] = {}
        for kind, n, new in connection.execute(query):
            slots |= {(kind, False): n - int(new), (kind, True): int(new)}
    both, recent = np.array([*counts.values()], dtype=np.float64).reshape(-1, 2).T
    return Signs(
        new_events=last - offsets.read(engine, RETRAINED),
        drift=stability_index(both - recent, recent, params.min_events),
        decay=fall(slots, params.min_impressions),
    )


def stability_index(before: Float64s, now: Float64s, least: int, bins: int = 10) -> float | None:
    """Population stability index of items, binned by their old popularity: Σ (q − p) ln(q / p).

    before, now: events per item, float64 [items]. None if either side has fewer than `least`
    events.
    """
    if before.sum() < least or now.sum() < least:
        return None
    order = np.argsort(-before, kind="stable")
    above = (np.cumsum(before[order]) - before[order]) / before.sum()
    place = np.minimum((above * bins).astype(int), bins - 1)
    p = np.bincount(place, before[order], minlength=bins) / before.sum()
    q = np.bincount(place, now[order], minlength=bins) / now.sum()
    p, q = np.maximum(p, 1e-4), np.maximum(q, 1e-4)
    return float(((q - p) * np.log(q / p)).sum())


def fall(slots: dict[tuple[str, bool], int], least: int) -> float | None:
    """1 − CTR of the last day / CTR before.

    slots: (event type, is new) to count. None if either side has fewer than `least` impressions, or
    if there was no click before.
    """
    shown = {new: slots.get((EventType.IMPRESSION, new), 0) for new in (False, True)}
    clicked = {new: slots.get((EventType.CLICK, new), 0) for new in (False, True)}
    if min(shown.values()) < least or not clicked[False]:
        return None
    return 1.0 - (clicked[True] / shown[True]) / (clicked[False] / shown[False])


def retraining(engine: sa.Engine) -> bool:
    """Whether a living process holds the lease."""
    held = read(engine, "retrain")
    return held is not None and living(held, wall_clock())
