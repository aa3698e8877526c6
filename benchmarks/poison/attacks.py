"""Fake users who push one item: what they do, by form of attack.

A person's log is known, so a fake can keep a person's pace, do little, or do what people do beside
the push. Fakes act on items directly, not from slates: no service has to show them anything.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa

from features.schema import DAY, EVENT, HOUR, SECOND, TIMESTAMP, EventType

#: Beginning of the ids of fakes.
FAKE: Final = "fake"

#: One act: (item, type of event, time in µs).
Act = tuple[str, str, int]


@dataclass(frozen=True)
class Target:
    """An item that is pushed on the days [first, last), as numbers of days since 1970."""

    item: str
    first: int
    last: int


@dataclass(frozen=True)
class Crowd:
    """What fakes imitate. events: organic events of people on the days of an attack, in order of
    time; items: ids of all items that they know."""

    events: pd.DataFrame
    items: list[str]


def _start(random: np.random.Generator, day: int) -> int:
    return int(day * DAY + random.uniform(8, 20) * HOUR)


def _paced(
    random: np.random.Generator, start: int, items: list[str], seconds: float, spread: float
) -> Iterator[Act]:
    """Clicks with pauses that are log-normal around `seconds`."""
    time = start
    for item in items:
        yield item, EventType.CLICK, time
        time += max(int(random.lognormal(np.log(seconds), spread) * SECOND), 1)


def _bursts(
    random: np.random.Generator, target: Target, crowd: Crowd, seconds: float, spread: float
) -> Iterator[Act]:
    """Twenty clicks on each of the last days, every second one on the target."""
    for day in range(max(target.first, target.last - 3), target.last):
        others = random.choice(crowd.items, 10).tolist()
        items = [item for other in others for item in (target.item, other)]
        yield from _paced(random, _start(random, day), items, seconds, spread)


def fast(random: np.random.Generator, target: Target, crowd: Crowd) -> Iterator[Act]:
    """Several clicks a second."""
    return _bursts(random, target, crowd, 0.4, 0.3)


def slow(random: np.random.Generator, target: Target, crowd: Crowd) -> Iterator[Act]:
    """The same clicks at a person's pace."""
    return _bursts(random, target, crowd, 40.0, 0.8)


def few(random: np.random.Generator, target: Target, _: Crowd) -> Iterator[Act]:
    """A visitor who views the target, puts it into the cart and buys it, and does nothing else."""
    start = _start(random, int(random.integers(max(target.first, target.last - 3), target.last)))
    for step, event_type in enumerate((EventType.VIEW, EventType.CART, EventType.PURCHASE)):
        yield target.item, event_type, start + int((60 * step + random.uniform(0, 30)) * SECOND)


def once(random: np.random.Generator, target: Target, _: Crowd) -> Iterator[Act]:
    """One view of the target on each of two days, and nothing else."""
    days = range(max(target.first, target.last - 3), target.last)
    for day in random.choice(days, min(2, len(days)), replace=False):
        yield target.item, EventType.VIEW, _start(random, int(day))


def cover(random: np.random.Generator, target: Target, crowd: Crowd) -> Iterator[Act]:
    """What some person did on these days, some minutes later, and the target three times."""
    model = random.choice(crowd.events["user_id"].unique())
    later = int(random.uniform(2, 20) * 60 * SECOND)
    events = crowd.events[crowd.events["user_id"] == model]
    for item, event_type, time in zip(
        events["item_id"], events["event_type"], events["timestamp"], strict=True
    ):
        yield item, event_type, time + later
    days = range(max(target.first, target.last - 3), target.last)
    for day in random.choice(days, 3):
        yield target.item, EventType.VIEW, _start(random, int(day))


FORMS: Final[dict[str, Callable[[np.random.Generator, Target, Crowd], Iterator[Act]]]] = {
    "fast": fast,
    "slow": slow,
    "few": few,
    "once": once,
    "cover": cover,
}


def attack(form: str, targets: list[Target], crowd: Crowd, count: int, seed: int) -> pa.Table:
    """The events of `count` fakes for each target, which all have fakes of their own. `EVENT`."""
    random = np.random.default_rng([seed, sorted(FORMS).index(form)])
    rows = [
        (f"{FAKE}{place}-{number:04}", *act)
        for place, target in enumerate(targets)
        for number in range(count)
        for act in FORMS[form](random, target, crowd)
    ]
    users, items, types, times = zip(*rows, strict=True)
    moments = pa.array(times, pa.int64()).cast(TIMESTAMP)
    known = {
        "event_id": pa.array([f"f{number:07}" for number in range(len(rows))]),
        "user_id": pa.array(users),
        "item_id": pa.array(items),
        "event_type": pa.array([str(name) for name in types]),
        "timestamp": moments,
        "received_at": moments,
        "placement": pa.array(["item"] * len(rows)),
    }
    return pa.table([known.get(f.name, pa.nulls(len(rows), f.type)) for f in EVENT], schema=EVENT)
