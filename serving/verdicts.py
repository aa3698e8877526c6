"""The record of a release: where it is stored, what it was made from, its verdict and evidence.

Stored by release id beside the release, never inside the hashed folder.
"""

import json
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from serving import tables
from serving.database import insert_missing, reading, writing
from serving.fences import Fence, check


@dataclass(frozen=True)
class ReleaseRecord:
    """A release in the operations database.

    `created_at`: µs; `decision`: promote, canary, hold or reject, None before the gate; `verdict`,
    `evidence`: as stored, None before the gate.
    """

    release: str
    created_at: int
    path: str
    lineage: dict[str, Any]
    decision: str | None
    verdict: dict[str, Any] | None
    evidence: dict[str, Any] | None


def register(
    engine: sa.Engine,
    release: str,
    path: str,
    lineage: dict[str, Any],
    *,
    now: int,
    fence: Fence | None = None,
) -> None:
    """Record that `release` was published to `path`. Doing so again changes nothing. now: µs."""
    with writing(engine) as connection:
        check(connection, fence)
        row = {"release": release, "created_at": now, "path": path, "lineage": _dump(lineage)}
        insert_missing(connection, tables.releases, row)


def record(
    engine: sa.Engine,
    release: str,
    decision: str,
    verdict: dict[str, Any],
    evidence: dict[str, Any],
    fence: Fence | None,
) -> None:
    """Store the verdict and evidence of a registered release, replacing earlier ones.

    Raises LookupError for a release that was never registered, and Fenced for a lost lease.
    """
    with writing(engine) as connection:
        check(connection, fence)
        if _row(connection, release) is None:
            raise LookupError(f"release {release} is not registered: publish it first")
        connection.execute(
            sa.update(tables.releases)
            .where(tables.releases.c.release == release)
            .values(decision=decision, verdict=_dump(verdict), evidence=_dump(evidence))
        )


def read(engine: sa.Engine, release: str) -> ReleaseRecord | None:
    """The record of `release`, or None."""
    with reading(engine) as connection:
        row = _row(connection, release)
    return _record(row) if row is not None else None


def identities(engine: sa.Engine) -> list[str]:
    """Ids of all releases, newest first.

    Only ids, because evidence is long and grows with every release.
    """
    table = tables.releases
    query = sa.select(table.c.release).order_by(table.c.created_at.desc(), table.c.release)
    with reading(engine) as connection:
        return list(connection.execute(query).scalars())


def latest(engine: sa.Engine, limit: int = 10) -> list[ReleaseRecord]:
    """The newest `limit` releases, newest first."""
    table = tables.releases
    query = sa.select(table).order_by(table.c.created_at.desc(), table.c.release).limit(limit)
    with reading(engine) as connection:
        return [_record(row) for row in connection.execute(query)]


def beginning(engine: sa.Engine, prefix: str) -> list[ReleaseRecord]:
    """The releases whose id begins with `prefix`, newest first."""
    table = tables.releases
    query = (
        sa.select(table)
        .where(table.c.release.startswith(prefix, autoescape=True))
        .order_by(table.c.created_at.desc(), table.c.release)
    )
    with reading(engine) as connection:
        return [_record(row) for row in connection.execute(query)]


def _row(connection: sa.Connection, release: str) -> sa.Row[Any] | None:
    query = sa.select(tables.releases).where(tables.releases.c.release == release)
    return connection.execute(query).one_or_none()


def _record(row: sa.Row[Any]) -> ReleaseRecord:
    return ReleaseRecord(
        release=row.release,
        created_at=row.created_at,
        path=row.path,
        lineage=json.loads(row.lineage),
        decision=row.decision,
        verdict=json.loads(row.verdict) if row.verdict else None,
        evidence=json.loads(row.evidence) if row.evidence else None,
    )


def _dump(content: dict[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, allow_nan=False)
