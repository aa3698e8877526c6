"""Fencing: refuse a write if the writer's lease has passed to another holder.

Kleppmann, "How to do distributed locking" (2016): each holder gets a larger number, and the store
compares it inside the writing transaction.
"""

from dataclasses import dataclass

import sqlalchemy as sa

from serving import tables
from serving.database import reading


class Fenced(RuntimeError):
    """Another holder has taken over the lease of this writer, which must stop."""


@dataclass(frozen=True)
class Fence:
    """Proof of a lease: its name and the number given to its holder."""

    lease: str
    number: int


def confirm(engine: sa.Engine, fence: Fence | None) -> None:
    """Raise Fenced if the lease has passed on. Call this just before work outside the database."""
    with reading(engine) as connection:
        check(connection, fence)


def check(connection: sa.Connection, fence: Fence | None) -> None:
    """Raise Fenced unless `fence` is the newest of its lease. None (a person) always passes.

    The lease row stays locked until the transaction ends, so that nobody can take over in between.
    """
    if fence is None:
        return
    query = sa.select(tables.leases.c.fence).where(tables.leases.c.name == fence.lease)
    newest = connection.execute(query.with_for_update()).scalar_one_or_none()
    if newest != fence.number:
        raise Fenced(f"lease '{fence.lease}': number {fence.number} is not the newest ({newest})")
