"""The feedback log: requests with their slots, and the outbox of events that ingestion reads.

All rows of one `append` commit together or not at all. Offsets have no gaps and follow commit
order. So a reader that has seen offset n has seen everything up to n, and reading a range again
gives the same rows.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pyarrow as pa
import sqlalchemy as sa

from features import schema
from features.merge import UserHistory
from features.positive import positive_sql
from serving import tables
from serving.database import advance_counter, lock_counter, reading, writing

#: A row of a table: column name to value, times in µs. Events have the columns of `schema.EVENT`.
Row = Mapping[str, Any]

#: Event types that make up a user's live history.
REMEMBERED = (*schema.POSITIVE, *schema.HIDING)

_T = TypeVar("_T")

#: Ids per SQL statement. All supported engines accept at least this many parameters.
CHUNK = 5_000

OUTBOX = pa.schema([pa.field("offset", pa.int64(), nullable=False), *schema.EVENT])

# Build statements once: building one costs as much as running it.
_IDS: sa.BindParameter[str] = sa.bindparam("ids", expanding=True)
_events, _requests, _slots = tables.events.c, tables.requests.c, tables.slots.c
_KNOWN_REQUESTS = sa.select(_requests.request_id).where(_requests.request_id.in_(_IDS))
_KNOWN_EVENTS = sa.select(_events.event_id).where(_events.event_id.in_(_IDS))
_REQUEST = sa.select(tables.requests).where(_requests.request_id == sa.bindparam("id"))
_SLATE = (
    sa.select(tables.slots).where(_slots.request_id == sa.bindparam("id")).order_by(_slots.position)
)
_SHOWN = (
    sa.select(
        _slots.request_id,
        _slots.item_id,
        _requests.user_id,
        _requests.placement,
        _slots.position,
        _slots.propensity,
        _requests.release,
        sa.func.coalesce(_slots.origin, _slots.request_id),
    )
    .join_from(tables.slots, tables.requests, _requests.request_id == _slots.request_id)
    .where(_slots.request_id.in_(_IDS))
)
_NEWEST = (
    sa.select(_requests.request_id)
    .where(_requests.state == sa.bindparam("state"), _requests.drawn_at > sa.bindparam("since"))
    .order_by(_requests.drawn_at.desc(), _requests.size.desc())
    .limit(1)
)
_INSERT = {
    table: sa.insert(table)
    for table in (tables.requests, tables.slots, tables.events, tables.dead_letters)
}


def _recent() -> sa.Select[Any]:
    """The newest `length` positive events, and all hidden items, of users `ids`.

    Hidden items have no limit, so that they never come back.
    """
    place = sa.func.row_number().over(
        partition_by=(_events.user_id, _events.event_type.in_(schema.HIDING)),
        order_by=(_events.timestamp.desc(), _events.offset.desc()),
    )
    ranked = (
        sa.select(
            _events.user_id,
            _events.item_id,
            _events.event_type,
            _events.timestamp,
            _events.offset,
            place.label("place"),
        )
        .where(
            _events.user_id.in_(_IDS),
            _events.item_id.is_not(None),
            sa.or_(sa.text(positive_sql(":min_rating")), _events.event_type.in_(schema.HIDING)),
        )
        .subquery()
    ).c
    return (
        sa.select(ranked.user_id, ranked.item_id, ranked.event_type, ranked.timestamp)
        .where(sa.or_(ranked.place <= sa.bindparam("length"), ranked.event_type.in_(schema.HIDING)))
        .order_by(ranked.timestamp, ranked.offset)
    )


_RECENT = _recent()
# With DISTINCT, SQLite would walk the whole index of users.
_USERS = (
    sa.select(_events.user_id)
    .where(_events.user_id > sa.bindparam("after"), _events.event_type.in_(REMEMBERED))
    .group_by(_events.user_id)
    .order_by(_events.user_id)
    .limit(sa.bindparam("limit", type_=sa.Integer))
)
_USERS_AFTER = sa.select(_events.user_id).where(
    _events.offset > sa.bindparam("after"), _events.event_type.in_(REMEMBERED)
)


@dataclass(frozen=True)
class Appended:
    """The new event ids and request ids that an `append` stored. All others were known.

    `last_offset` is the offset of the last event in the log.
    """

    events: frozenset[str]
    requests: frozenset[str]
    last_offset: int


@dataclass(frozen=True)
class Slate:
    """A slate to log: a row of `requests`, its rows of `slots`, and an event for each newly shown
    slot.

    follows: the newest request of this state (later than `since`, µs) at the time of the decision,
    or None. The slate is stored only if it is still the newest.
    """

    request: Row
    slots: Sequence[Row] = ()
    impressions: Sequence[Row] = ()
    follows: str | None = None
    since: int = 0

    @property
    def request_id(self) -> str:
        return str(self.request["request_id"])

    def taking(self, seconds: float) -> "Slate":
        """The same slate, with the time that it took to decide on it."""
        return replace(self, request={**self.request, "seconds": seconds})


@dataclass(frozen=True)
class Slot:
    """A slot that was shown, with the values that its outcomes inherit."""

    user_id: str
    placement: str
    position: int
    propensity: float
    release: str | None
    request_id: str
    """The request whose impression it is. An earlier request's, if this one continued its slate."""


class FeedbackLog:
    """Append to the log, read it and look things up. Every write is one durable transaction."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine

    def append(
        self,
        slates: Sequence[Slate] = (),
        events: Sequence[Row] = (),
        dead: Sequence[Row] = (),
    ) -> Appended:
        """Store rows in one transaction, which has committed when this returns.

        slates: the first of each request id is stored, as a whole. A slate is skipped if its
        request id is known, or if it does not follow the newest of its state; it was then never
        shown. events: rows of `schema.EVENT`; known `event_id`s are skipped. dead: `event_id`,
        `reason`, `payload` (any JSON), `received_at`.
        """
        with writing(self.engine) as connection:
            last = lock_counter(connection, "events")
            known = _present(connection, _KNOWN_REQUESTS, [slate.request_id for slate in slates])
            shown = _first_of(slates, lambda slate: slate.request_id, known)
            shown = _following(connection, shown)
            _insert(connection, tables.requests, [slate.request for slate in shown])
            _insert(connection, tables.slots, [slot for slate in shown for slot in slate.slots])
            events = [*(row for slate in shown for row in slate.impressions), *events]
            stored = _present(connection, _KNOWN_EVENTS, [e["event_id"] for e in events])
            new_events = _first_of(events, lambda event: str(event["event_id"]), stored)
            numbered = [
                {name: event.get(name) for name in schema.EVENT.names} | {"offset": last + 1 + i}
                for i, event in enumerate(new_events)
            ]
            _insert(connection, tables.events, numbered)
            _insert(connection, tables.dead_letters, [_dead_row(row) for row in dead])
            last += len(numbered)
            if numbered:
                advance_counter(connection, "events", last)
        return Appended(
            frozenset(str(event["event_id"]) for event in new_events),
            frozenset(slate.request_id for slate in shown),
            last,
        )

    def read(self, after_offset: int, limit: int) -> pa.Table:
        """At most `limit` events after `after_offset`, in order, with the columns of OUTBOX."""
        query = (
            sa.select(*(_events[name] for name in OUTBOX.names))
            .where(tables.events.c.offset > after_offset)
            .order_by(tables.events.c.offset)
            .limit(limit)
        )
        with reading(self.engine) as connection:
            rows = connection.execute(query).all()
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(OUTBOX)
        arrays = [pa.array(c, f.type) for c, f in zip(columns, OUTBOX, strict=True)]
        return pa.table(arrays, schema=OUTBOX)

    def last_offset(self) -> int:
        """The offset of the newest event, or 0 in an empty log."""
        query = sa.select(tables.counters.c.value).where(tables.counters.c.name == "events")
        with reading(self.engine) as connection:
            return int(connection.execute(query).scalar_one())

    def dead_letters(self, limit: int = 1000) -> list[dict[str, Any]]:
        """The newest dead letters, newest first, with `payload` decoded."""
        table = tables.dead_letters
        query = sa.select(table).order_by(table.c.number.desc()).limit(limit)
        with reading(self.engine) as connection:
            rows = connection.execute(query).mappings().all()
        return [dict(row) | {"payload": json.loads(row["payload"])} for row in rows]

    def dead_reasons(self, newest: int = 100_000) -> dict[str, int]:
        """Number of dead letters by reason, among the `newest` ones."""
        table = tables.dead_letters
        recent = sa.select(table.c.reason).order_by(table.c.number.desc()).limit(newest).subquery()
        with reading(self.engine) as connection:
            return dict(Counter(connection.execute(sa.select(recent.c.reason)).scalars()))

    def request(self, request_id: str) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
        """A logged request and its slots in order of position, or None."""
        with reading(self.engine) as connection:
            row = connection.execute(_REQUEST, {"id": request_id}).mappings().one_or_none()
            if row is None:
                return None
            slots = connection.execute(_SLATE, {"id": request_id}).mappings()
            return dict(row), [dict(slot) for slot in slots]

    def newest(self, state: str, since: int) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
        """The longest request of a state's newest draw that began after `since`, µs.

        Returns the same as `request`.
        """
        with reading(self.engine) as connection:
            found = connection.execute(_NEWEST, {"state": state, "since": since})
            request_id = found.scalar_one_or_none()
        return None if request_id is None else self.request(request_id)

    def newest_requests(self, before: int, limit: int) -> list[dict[str, Any]]:
        """The last `limit` logged requests before `before` (µs), newest first."""
        table = tables.requests
        query = (
            sa.select(table)
            .where(table.c.timestamp < before)
            .order_by(table.c.timestamp.desc(), table.c.request_id.desc())
            .limit(limit)
        )
        with reading(self.engine) as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def slots_of(self, request_ids: Sequence[str]) -> dict[str, dict[str, Slot]]:
        """Slots by request id and item id, for those requests that are known."""
        found: dict[str, dict[str, Slot]] = {}
        with reading(self.engine) as connection:
            for chunk in _chunks(request_ids):
                for request_id, item_id, *slot in connection.execute(_SHOWN, {"ids": chunk}):
                    found.setdefault(request_id, {})[item_id] = Slot(*slot)
        return found

    def recent(
        self, user_ids: Sequence[str], length: int, min_rating: float = 0.0
    ) -> dict[str, UserHistory]:
        """Users' newest `length` positive events and hidden items, from the log.

        A rating below `min_rating` is not positive. Every user asked for is a key. The live view of
        the online store holds the same.
        """
        found: dict[str, list[tuple[str, str, int]]] = {user_id: [] for user_id in user_ids}
        with reading(self.engine) as connection:
            for chunk in _chunks(user_ids):
                rows = connection.execute(
                    _RECENT, {"ids": chunk, "length": length, "min_rating": min_rating}
                )
                for user_id, item_id, event_type, timestamp in rows:
                    found[user_id].append((item_id, event_type, timestamp))
        return {user_id: _history(rows) for user_id, rows in found.items()}

    def users(self, after: str, limit: int) -> list[str]:
        """The next `limit` users after `after` who have a history."""
        with reading(self.engine) as connection:
            found = connection.execute(_USERS, {"after": after, "limit": limit}).scalars()
            return [str(user_id) for user_id in found]

    def users_after(self, offset: int) -> set[str]:
        """The users whose history changed by events after `offset`."""
        with reading(self.engine) as connection:
            return set(connection.execute(_USERS_AFTER, {"after": offset}).scalars())


def _history(rows: list[tuple[str, str, int]]) -> UserHistory:
    positive = [row for row in rows if row[1] not in schema.HIDING]
    return UserHistory(
        items=[item_id for item_id, _, _ in positive],
        event_types=[schema.EVENT_CODES[event_type] for _, event_type, _ in positive],
        timestamps=[timestamp for _, _, timestamp in positive],
        hidden=sorted({item_id for item_id, event_type, _ in rows if event_type in schema.HIDING}),
    )


def _present(connection: sa.Connection, query: sa.Select[Any], ids: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for chunk in _chunks(ids):
        found.update(connection.execute(query, {"ids": chunk}).scalars())
    return found


def _chunks(values: Sequence[str]) -> Iterator[list[str]]:
    distinct = list(dict.fromkeys(values))
    for start in range(0, len(distinct), CHUNK):
        yield distinct[start : start + CHUNK]


def _first_of(rows: Sequence[_T], key: Callable[[_T], str], known: set[str]) -> list[_T]:
    """The first row of each key that is not in `known`."""
    fresh: dict[str, _T] = {}
    for row in rows:
        if key(row) not in known:
            fresh.setdefault(key(row), row)
    return list(fresh.values())


def _following(connection: sa.Connection, slates: Sequence[Slate]) -> list[Slate]:
    """The slates that follow the newest of their state. If several do, only the first of them."""
    newest: dict[str, str | None] = {}
    kept = []
    for slate in slates:
        state = slate.request.get("state")
        if state is not None:
            if state not in newest:
                found = connection.execute(_NEWEST, {"state": state, "since": slate.since})
                newest[state] = found.scalar_one_or_none()
            if newest[state] != slate.follows:
                continue
            newest[state] = slate.request_id
        kept.append(slate)
    return kept


def _insert(connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    if rows:
        names = [column.name for column in table.columns if column.name != "number"]
        values = [{name: row.get(name) for name in names} for row in rows]
        connection.execute(_INSERT[table], values)


def _dead_row(row: Row) -> dict[str, Any]:
    event_id = row["event_id"]
    shown = None if event_id is None else str(event_id).encode("ascii", "replace").decode()
    reason = str(row["reason"]).encode("utf-8", "replace").decode()  # it may quote a client
    return {
        "event_id": None if shown is None else shown.replace("\0", "?")[: tables.ID_LENGTH],
        "reason": reason.replace("\0", "?"),
        "payload": json.dumps(row["payload"]),
        "received_at": row["received_at"],
    }
