"""Channels: named pointers to a release, changed by compare-and-swap.

Workers poll `read(engine, "champion")`. `move` promotes a release, and `rollback` returns to the
previous champion. The history keeps every move.
"""

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from serving import tables
from serving.database import reading, writing
from serving.fences import Fence, check

#: The start of the reason of a rollback, which distinguishes it from a promotion.
ROLLED_BACK: Final = "rolled back"


class ChannelMoved(RuntimeError):
    """Another process moved the channel since it was read."""


@dataclass(frozen=True)
class Channel:
    """The release that a channel points to. `generation` counts its moves, from 1."""

    release: str
    generation: int


@dataclass(frozen=True)
class Move:
    """One entry of a channel's history. `moved_at` in µs."""

    generation: int
    release: str
    previous: str | None
    moved_at: int
    reason: str


def read(engine: sa.Engine, name: str) -> Channel | None:
    """Where channel `name` points; None if it was never set."""
    with reading(engine) as connection:
        return _read(connection, name)


def move(
    engine: sa.Engine,
    name: str,
    release: str,
    expected_generation: int,
    fence: Fence | None,
    *,
    now: int,
    reason: str = "promoted",
) -> Channel:
    """Point `name` at `release` if its generation is still `expected_generation` (0: never set).

    now: µs. Raises ChannelMoved if the generation differs, and Fenced if the writer has lost its
    lease. Moving to the release that it already points to changes nothing.
    """
    with writing(engine) as connection:
        check(connection, fence)
        current = _read(connection, name)
        generation = current.generation if current else 0
        if generation != expected_generation:
            raise ChannelMoved(
                f"channel '{name}' is at generation {generation}, not {expected_generation}: "
                "read it again and decide again"
            )
        if current and current.release == release:
            return current
        moved = Channel(release, generation + 1)
        _write(connection, name, current, moved)
        connection.execute(
            sa.insert(tables.channel_moves),
            {
                "name": name,
                "generation": moved.generation,
                "release": release,
                "previous": current.release if current else None,
                "moved_at": now,
                "reason": reason,
            },
        )
        return moved


def history(engine: sa.Engine, name: str) -> list[Move]:
    """All moves of `name`, newest first."""
    table = tables.channel_moves
    columns = (
        table.c.generation,
        table.c.release,
        table.c.previous,
        table.c.moved_at,
        table.c.reason,
    )
    query = sa.select(*columns).where(table.c.name == name).order_by(table.c.generation.desc())
    with reading(engine) as connection:
        return [Move(*row) for row in connection.execute(query)]


def rollback(
    engine: sa.Engine,
    name: str,
    *,
    now: int,
    reason: str = "",
    fence: Fence | None = None,
) -> Channel:
    """Point `name` back at the release that was served before the current one was promoted.

    Rolling back twice goes back two promotions. reason: text for the history. Raises LookupError if
    there is no earlier release.
    """
    moves = history(engine, name)
    if not moves:
        raise LookupError(f"channel '{name}' was never set: nothing to roll back")
    previous = previous_release(moves)
    if previous is None:
        raise LookupError(f"channel '{name}' has no release before {moves[0].release}")
    told = f"{ROLLED_BACK}: {reason}" if reason else ROLLED_BACK
    return move(engine, name, previous, moves[0].generation, fence, now=now, reason=told)


def previous_release(moves: list[Move]) -> str | None:
    """The release before the current one. A promotion pushes onto a stack, and a rollback pops.

    moves: newest first, as `history` returns them.
    """
    stack: list[str] = []
    for entry in reversed(moves):
        if len(stack) > 1 and entry.release == stack[-2] and entry.reason.startswith(ROLLED_BACK):
            stack.pop()
        else:
            stack.append(entry.release)
    return stack[-2] if len(stack) > 1 else None


def past(engine: sa.Engine, name: str) -> set[str]:
    """All releases that `name` has pointed to."""
    return {entry.release for entry in history(engine, name)}


def withdrawn(engine: sa.Engine, name: str) -> set[str]:
    """Releases that `name` was rolled back from, or that were as its canary, and that it has not
    been moved to since.

    They served and were rejected, so only a person should promote one of them again.
    """
    table = tables.canaries.c
    tried = sa.select(table.release, table.ended_at).where(table.state == ROLLED_BACK)
    with reading(engine) as connection:
        ended = [(at, release) for release, at in connection.execute(tried)]
    found: set[str] = set()
    moves = history(engine, name)
    for entry in reversed(moves):
        if entry.previous is not None and entry.reason.startswith(ROLLED_BACK):
            found.add(entry.previous)
        found.discard(entry.release)
    last_moved = {entry.release: entry.moved_at for entry in reversed(moves)}
    return found | {release for at, release in ended if at >= last_moved.get(release, at)}


def _read(connection: sa.Connection, name: str) -> Channel | None:
    table = tables.channels
    query = sa.select(table.c.release, table.c.generation).where(table.c.name == name)
    row = connection.execute(query).one_or_none()
    return Channel(row.release, row.generation) if row else None


def _write(connection: sa.Connection, name: str, current: Channel | None, moved: Channel) -> None:
    values = {"release": moved.release, "generation": moved.generation}
    if current is None:
        try:
            connection.execute(sa.insert(tables.channels), {"name": name, **values})
        except sa.exc.IntegrityError:
            raise ChannelMoved(f"channel '{name}' was set by another process just now") from None
        return
    table = tables.channels
    swapped = connection.execute(
        sa.update(table)
        .where(table.c.name == name, table.c.generation == current.generation)
        .values(values)
    )
    if swapped.rowcount != 1:
        raise ChannelMoved(f"channel '{name}' was moved by another process just now")
