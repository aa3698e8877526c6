"""Canaries and shadows: a second release beside the champion, for a share of the users.

The newest row of a channel (`canary` or `shadow`) says what every worker does. Rows change by
compare-and-swap: a writer names the generation that it read. A row stays after its end, as the
record of what was decided and why.

A canary is compared with the champion of its start. Once the champion's channel points elsewhere,
workers serve the champion alone, and the next look ends the canary (`flows.canary`).
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import sqlalchemy as sa

from serving import tables
from serving.database import reading, writing
from serving.fences import Fence, check
from training.canary.evidence import Evidence

Channel = Literal["canary", "shadow"]
CANARY: Final = "canary"
SHADOW: Final = "shadow"

State = Literal["running", "stopped", "rolled back", "promoted"]

#: Loads of a canary that workers begin before one has ended well. A release that ends the process
#: that loads it would otherwise end every worker again and again.
MOST_LOADING: Final = 3

_table = tables.canaries
_COLUMNS = [column for column in _table.c if column.name != "evidence"]
_NEWEST = (
    sa.select(*_COLUMNS)
    .where(_table.c.channel == sa.bindparam("name"))
    .order_by(_table.c.number.desc())
    .limit(1)
)


class CanaryError(RuntimeError):
    """A canary cannot be started or changed. The message says why."""


@dataclass(frozen=True)
class Canary:
    """A row of `tables.canaries`, without its evidence. Times in µs."""

    channel: str
    number: int
    generation: int
    release: str
    control: str | None
    share: float
    phase: int
    salt: str
    state: str
    reason: str
    started_at: int
    ended_at: int | None
    offset: int
    loading: int
    loading_at: int

    @property
    def running(self) -> bool:
        return self.state == "running"


def newest(engine: sa.Engine, channel: Channel) -> Canary | None:
    """The last canary or shadow, or None if there was none."""
    with reading(engine) as connection:
        row = connection.execute(_NEWEST, {"name": channel}).one_or_none()
    return None if row is None else Canary(*row)


def running(engine: sa.Engine, channel: Channel) -> Canary | None:
    """The canary or shadow that runs now, or None."""
    found = newest(engine, channel)
    return found if found is not None and found.running else None


def evidence(engine: sa.Engine, canary: Canary) -> Evidence:
    """What was counted so far."""
    query = sa.select(_table.c.evidence).where(*_same(canary))
    with reading(engine) as connection:
        return Evidence.stored(json.loads(connection.execute(query).scalar_one()))


def start(
    engine: sa.Engine,
    channel: Channel,
    release: str,
    control: str | None,
    share: float,
    *,
    now: int,
    fence: Fence | None = None,
) -> Canary:
    """Serve `release` to a share of the users, or shadow that share of the requests. now: µs.

    control: the champion, None if there is none. Raises CanaryError if one runs already, or if the
    release is the champion.
    """
    if not 0 < share <= 1:
        raise CanaryError(f"a share of {share:g}: it must be above 0 and at most 1")
    if release == control:
        raise CanaryError(f"release {release[:12]} is the champion: there is nothing to compare")
    last = newest(engine, channel)
    if last is not None and last.running:
        raise CanaryError(f"{channel} {last.release[:12]} is running: stop it first")
    row: dict[str, Any] = {
        "channel": channel,
        "number": 1 if last is None else last.number + 1,
        "generation": 1,
        "release": release,
        "control": control,
        "share": share,
        "phase": 0,
        "salt": secrets.token_hex(16),
        "state": "running",
        "reason": "",
        "started_at": now,
        "ended_at": None,
        "loading": 0,
        "loading_at": 0,
        "evidence": _dump(Evidence.start(share)),
    }
    counter = sa.select(tables.counters.c.value).where(tables.counters.c.name == "events")
    try:
        with writing(engine) as connection:
            check(connection, fence)
            row["offset"] = connection.execute(counter).scalar_one()
            connection.execute(sa.insert(_table), row)
            made = sa.select(*_COLUMNS).where(
                _table.c.channel == channel, _table.c.number == row["number"]
            )
            return Canary(*connection.execute(made).one())
    except sa.exc.IntegrityError:
        raise CanaryError(f"another process started a {channel} just now") from None


def grow(engine: sa.Engine, canary: Canary, share: float, fence: Fence | None) -> Canary:
    """Give the canary a larger share of the users. Those that it has stay with it."""
    grown = evidence(engine, canary).grown(share)
    values = {"share": share, "phase": canary.phase + 1, "evidence": _dump(grown)}
    return _change(engine, canary, values, fence)


def finish(
    engine: sa.Engine, canary: Canary, state: State, reason: str, fence: Fence | None, *, now: int
) -> Canary:
    """End a canary or shadow: everybody gets the champion. now: µs.

    What was kept of each user is deleted; the sums stay. Raises CanaryError if it was changed since
    it was read.
    """
    values = {"state": state, "reason": reason, "ended_at": now}
    counted = (tables.canary_users, tables.canary_items) if canary.channel == CANARY else ()
    return _change(engine, canary, values, fence, forget=counted)


def store(
    connection: sa.Connection,
    canary: Canary,
    before: Evidence,
    after: Evidence,
    offset: int,
    fence: Fence | None,
) -> Canary:
    """Store what was counted up to `offset` of the outbox, within a transaction.

    before: what was counted until now. Returns the row afterwards. Raises CanaryError if another
    process counted, or changed the canary, since it was read.
    """
    check(connection, fence)
    changed = connection.execute(
        sa.update(_table)
        .where(
            *_same(canary),
            _table.c.generation == canary.generation,
            _table.c.offset == canary.offset,
            _table.c.evidence == _dump(before),
        )
        .values(evidence=_dump(after), offset=offset)
    )
    if changed.rowcount != 1:
        raise CanaryError(f"another process looked at {canary.channel} {canary.number} just now")
    return replace(canary, offset=offset)


def begin_loading(engine: sa.Engine, canary: Canary, now: int) -> bool:
    """Note that a worker begins to load the release. Returns False if it must not, because
    MOST_LOADING have begun and none has ended well. now: µs, of the real clock."""
    with writing(engine) as connection:
        changed = connection.execute(
            sa.update(_table)
            .where(*_same(canary), _table.c.loading < MOST_LOADING)
            .values(loading=_table.c.loading + 1, loading_at=now)
        )
        return changed.rowcount == 1


def loaded(engine: sa.Engine, canary: Canary) -> None:
    """Note that a worker has loaded the release."""
    with writing(engine) as connection:
        connection.execute(sa.update(_table).where(*_same(canary)).values(loading=0))


def latest(engine: sa.Engine, channel: Channel, limit: int = 10) -> list[Canary]:
    """The last canaries or shadows, newest first."""
    query = (
        sa.select(*_COLUMNS)
        .where(_table.c.channel == channel)
        .order_by(_table.c.number.desc())
        .limit(limit)
    )
    with reading(engine) as connection:
        return [Canary(*row) for row in connection.execute(query)]


def _change(
    engine: sa.Engine,
    canary: Canary,
    values: Mapping[str, Any],
    fence: Fence | None,
    forget: tuple[sa.Table, ...] = (),
) -> Canary:
    with writing(engine) as connection:
        check(connection, fence)
        changed = connection.execute(
            sa.update(_table)
            .where(
                *_same(canary),
                _table.c.generation == canary.generation,
                _table.c.state == "running",
            )
            .values(generation=canary.generation + 1, **values)
        )
        if changed.rowcount != 1:
            raise CanaryError(f"another process changed {canary.channel} {canary.number} just now")
        for table in forget:
            connection.execute(sa.delete(table).where(table.c.number == canary.number))
        return Canary(*connection.execute(sa.select(*_COLUMNS).where(*_same(canary))).one())


def _same(canary: Canary) -> tuple[sa.ColumnElement[bool], ...]:
    return (_table.c.channel == canary.channel, _table.c.number == canary.number)


def _dump(counted: Evidence) -> str:
    return json.dumps(counted.plain(), allow_nan=False)
