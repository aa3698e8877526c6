"""Which arm of a canary a user is in: a function of the canary's salt and the user's id.

So all workers agree without asking each other, also after a restart. A user is in the canary if
the place that the hash gives is below the canary's share, so a larger share only moves users from
the control into the canary.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from serving import tables
from serving.canaries import Canary
from serving.database import reading

#: How requests name the arms in the log. The control is the champion, or what is served without
#: one.
CONTROL: Final = "champion"
CANARY: Final = "canary"

#: Requests that are read to count users.
READ: Final = 50_000

#: The value of `fallback` of a request that the canary should have answered.
FAILED: Final = "the canary failed"


@dataclass(frozen=True)
class Assigned:
    """The arm of a request, and the canary's number and phase, which count its share.

    failed: the canary could not answer, so the champion did.
    """

    arm: str
    number: int
    phase: int
    failed: bool = False


def assign(canary: Canary, user_id: str) -> Assigned:
    """The arm of a user."""
    inside = place(canary.salt, user_id) < canary.share
    return Assigned(CANARY if inside else CONTROL, canary.number, canary.phase)


def place(salt: str, user_id: str) -> float:
    """A number in [0, 1), evenly spread over user ids and independent between salts."""
    digest = hashlib.sha256(f"{salt}:{user_id}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def users_since(engine: sa.Engine, since: int, limit: int) -> int:
    """How many users asked for recommendations after `since`, µs, but at most `limit`.

    Reads at most the newest `READ` requests.
    """
    asked = tables.requests.c
    newest = (
        sa.select(asked.user_id)
        .where(asked.timestamp > since)
        .order_by(asked.timestamp.desc())
        .limit(READ)
        .subquery()
    )
    found = sa.select(newest.c.user_id).distinct().limit(limit).subquery()
    with reading(engine) as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(found)).scalar_one())
