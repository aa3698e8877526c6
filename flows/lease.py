"""Allow one retrain at a time, by a lease in the operations database.

A row stores the holder, when the lease expires and a fencing number that grows with every holder.
Every write of an offset, channel or verdict checks the number (`serving.fences`). A process that
finds the lease taken sets `again`, and the holder then runs once more, so several late requests
become one run. Times are of the real clock, since a lease is about processes, not data.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psutil  # type: ignore[import-untyped]
import sqlalchemy as sa

from serving import tables
from serving.database import insert_missing, reading, writing
from serving.fences import Fence

SECONDS: Final = 1_000_000
EXPIRES_AFTER: Final = 30 * SECONDS

Clock = Callable[[], int]

logger = logging.getLogger("rondo.lease")


class Busy(RuntimeError):
    """Another process holds the lease. It was asked to run once more."""


@dataclass(frozen=True)
class Held:
    """A lease as stored in the database."""

    holder: str | None
    expires_at: int
    fence: int
    again: bool


def wall_clock() -> int:
    """The present time, in µs."""
    return time.time_ns() // 1000


@dataclass
class Lease:
    """A lease that this process holds. `again`: after it is given back, whether another run was
    requested.

    After a failure the request stays in the database, for the monitor to see (`wanted`).
    """

    fence: Fence
    again: bool = False


@contextmanager
def lease(
    engine: sa.Engine, name: str, clock: Clock = wall_clock, ask_again: bool = True
) -> Iterator[Lease]:
    """Hold the lease `name` during the block, and renew it in the background.

    Raises Busy if it is taken. With `ask_again` its holder will then run once more.
    """
    holder = this_process()
    fence = acquire(engine, name, holder, clock(), ask_again)
    if fence is None:
        found = read(engine, name)
        then = ", which will run once more" if ask_again else ""
        raise Busy(f"a {name} is running in {found.holder if found else 'another process'}{then}")
    done = threading.Event()
    beat = threading.Thread(target=_heartbeat, args=(engine, fence, clock, done), daemon=True)
    beat.start()
    held, failed = Lease(fence), True
    try:
        yield held
        failed = False
    finally:
        done.set()
        beat.join()
        held.again = release(engine, fence, forget=not failed)


def acquire(
    engine: sa.Engine, name: str, holder: str, now: int, ask_again: bool = True
) -> Fence | None:
    """Take the lease with a new number. Returns None if a living holder has it, which is asked to
    run `again`.

    Without `ask_again`, the caller does not run again itself, so an open request stays open.
    """
    table = tables.leases
    with writing(engine) as connection:
        query = sa.select(table).where(table.c.name == name).with_for_update()
        row = connection.execute(query).one_or_none()
        if row is None:
            free = {"name": name, "holder": None, "expires_at": 0, "fence": 0, "again": False}
            insert_missing(connection, table, free)
            row = connection.execute(query).one()
        change = sa.update(table).where(table.c.name == name)
        if living(Held(row.holder, row.expires_at, row.fence, row.again), now):
            if ask_again:
                connection.execute(change.values(again=True))
            return None
        number = row.fence + 1
        connection.execute(
            change.values(
                holder=holder,
                expires_at=now + EXPIRES_AFTER,
                fence=number,
                again=row.again and not ask_again,
            )
        )
        return Fence(name, number)


def renew(engine: sa.Engine, fence: Fence, now: int) -> bool:
    """Extend the lease. Returns False if another process has taken over."""
    table = tables.leases
    with writing(engine) as connection:
        changed = connection.execute(
            sa.update(table)
            .where(table.c.name == fence.lease, table.c.fence == fence.number)
            .values(expires_at=now + EXPIRES_AFTER)
        )
        return changed.rowcount == 1


def release(engine: sa.Engine, fence: Fence, forget: bool = True) -> bool:
    """Give the lease back if it is still ours. Returns whether another run was requested meanwhile.

    forget: the caller will do that run; otherwise the request stays open.
    """
    table = tables.leases
    ours = (table.c.name == fence.lease) & (table.c.fence == fence.number)
    with writing(engine) as connection:
        again = connection.execute(sa.select(table.c.again).where(ours).with_for_update())
        asked = bool(again.scalar_one_or_none())
        connection.execute(
            sa.update(table)
            .where(ours)
            .values(holder=None, expires_at=0, again=asked and not forget)
        )
        return asked


def read(engine: sa.Engine, name: str) -> Held | None:
    """The lease as it is now, or None if nobody ever held it."""
    table = tables.leases
    columns = (table.c.holder, table.c.expires_at, table.c.fence, table.c.again)
    with reading(engine) as connection:
        row = connection.execute(sa.select(*columns).where(table.c.name == name)).one_or_none()
    return Held(*row) if row else None


def wanted(engine: sa.Engine, name: str, clock: Clock = wall_clock) -> bool:
    """Whether a run was requested that nobody will do, because its holder failed or was killed."""
    held = read(engine, name)
    return held is not None and held.again and not living(held, clock())


def living(held: Held, now: int) -> bool:
    """Whether a living process holds this lease, as far as can be known."""
    return held.holder is not None and held.expires_at > now and not gone(held.holder)


def this_process() -> str:
    """`host/pid/start`. On the same machine this is enough to tell whether the holder is alive."""
    process = psutil.Process()
    return f"{socket.gethostname()}/{process.pid}/{process.create_time():.2f}"


def gone(holder: str) -> bool:
    """Whether `holder` is a process of this machine that has ended. False if unknown."""
    host, _, rest = holder.rpartition("/")[0].partition("/")
    started = holder.rpartition("/")[2]
    if host != socket.gethostname():
        return False
    try:
        process = psutil.Process(int(rest))
        dead: bool = process.status() == psutil.STATUS_ZOMBIE
        return dead or f"{process.create_time():.2f}" != started
    except psutil.NoSuchProcess:
        return True


def _heartbeat(engine: sa.Engine, fence: Fence, clock: Clock, done: threading.Event) -> None:
    while not done.wait(EXPIRES_AFTER / SECONDS / 3):
        try:
            if not renew(engine, fence, clock()):
                return
        except (
            sa.exc.SQLAlchemyError
        ) as error:  # a busy or restarting database: the next beat counts
            logger.warning("the lease %s could not be renewed yet: %s", fence.lease, error)
