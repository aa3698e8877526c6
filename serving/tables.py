"""The tables of the feedback log and the operations database, in SQLAlchemy Core for three
dialects.

All times are integers, UTC microseconds. Columns named `offset` or `sequence` are numbered by a row
of `counters` that the writing transaction locks, so they have no gaps and follow commit order. A
change here needs a revision: see `serving/migrations/README.md`.
"""

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from features.ingest.refusals import LONGEST_ID

#: Increase this only for a change that older programs cannot work with: they refuse a database with
#: a higher version. For any other change a revision is enough (`serving/migrations/README.md`).
SCHEMA_VERSION: Final = 1

#: Rows of `counters` that every database has.
COUNTERS: Final = ("events", "items")

ID_LENGTH: Final = LONGEST_ID

# MySQL: make ids case-sensitive; a BLOB or TEXT without a size holds only 64 kB.
OPTIONS: Final[dict[str, Any]] = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}
ID: Final = sa.String(ID_LENGTH)
TIME: Final = sa.BigInteger()
TEXT: Final = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
BYTES: Final = sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")
DOUBLE: Final[sa.Double[float]] = sa.Double()

METADATA: Final = sa.MetaData()

schema_version: Final = sa.Table(
    "schema_version",
    METADATA,
    sa.Column("name", ID, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    **OPTIONS,
)

counters: Final = sa.Table(
    "counters",
    METADATA,
    sa.Column("name", ID, primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
    **OPTIONS,
)

#: One row per slate shown, with the context (see `features.requests.context`) from which the
#: propensity of any release can be computed later. A repeat is found by state, drawn_at and size
#: (see `serving.repeats`). arm, canary, phase: of the canary that ran (see `serving.arms`), null
#: without one; seconds: what it took to decide.
requests: Final = sa.Table(
    "requests",
    METADATA,
    sa.Column("request_id", ID, primary_key=True),
    sa.Column("user_id", ID, nullable=False),
    sa.Column("placement", ID, nullable=False),
    sa.Column("timestamp", TIME, nullable=False),
    sa.Column("release", ID),
    sa.Column("generation", sa.BigInteger),
    sa.Column("source", ID, nullable=False),
    sa.Column("fallback", ID),
    sa.Column("digest", ID, nullable=False),
    sa.Column("context", BYTES, nullable=False),
    sa.Column("state", sa.String(64)),
    sa.Column("drawn_at", TIME),
    sa.Column("size", sa.Integer),
    sa.Column("arm", sa.String(16)),
    sa.Column("canary", sa.BigInteger),
    sa.Column("phase", sa.Integer),
    sa.Column("seconds", DOUBLE),
    sa.Index("requests_by_time", "timestamp"),
    sa.Index("requests_by_state", "state", "drawn_at", "size"),
    **OPTIONS,
)

#: origin: the earlier request whose impression this slot is; null for a new impression.
slots: Final = sa.Table(
    "slots",
    METADATA,
    sa.Column("request_id", ID, primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("item_id", ID, nullable=False),
    sa.Column("propensity", DOUBLE, nullable=False),
    sa.Column("score", DOUBLE),
    sa.Column("reasons", TEXT, nullable=False),
    sa.Column("origin", ID),
    **OPTIONS,
)

#: The outbox: `schema.EVENT` in commit order.
events: Final = sa.Table(
    "events",
    METADATA,
    sa.Column("offset", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("event_id", ID, nullable=False, unique=True),
    sa.Column("user_id", ID, nullable=False),
    sa.Column("item_id", ID),
    sa.Column("event_type", sa.String(16), nullable=False),
    sa.Column("value", DOUBLE),
    sa.Column("query", TEXT),
    sa.Column("timestamp", TIME, nullable=False),
    sa.Column("received_at", TIME, nullable=False),
    sa.Column("placement", ID),
    sa.Column("request_id", ID),
    sa.Column("position", sa.Integer),
    sa.Column("propensity", DOUBLE),
    sa.Column("release", ID),
    sa.Index("events_by_user", "user_id", "timestamp"),
    sa.Index("events_by_time", "timestamp"),
    **OPTIONS,
)

dead_letters: Final = sa.Table(
    "dead_letters",
    METADATA,
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("event_id", ID),
    sa.Column("reason", TEXT, nullable=False),
    sa.Column("payload", TEXT, nullable=False),
    sa.Column("received_at", TIME, nullable=False),
    **OPTIONS,
)

#: How far each consumer has read the outbox or the catalogue feed.
offsets: Final = sa.Table(
    "offsets",
    METADATA,
    sa.Column("consumer", ID, primary_key=True),
    sa.Column("offset", sa.BigInteger, nullable=False),
    **OPTIONS,
)

#: The catalogue feed: versions of items (`schema.ITEM`) in commit order. The latest holds.
items: Final = sa.Table(
    "items",
    METADATA,
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("item_id", ID, nullable=False),
    sa.Column("title", TEXT),
    sa.Column("description", TEXT),
    sa.Column("categories", TEXT),
    sa.Column("price", DOUBLE),
    sa.Column("available", sa.Boolean, nullable=False),
    sa.Column("created_at", TIME),
    sa.Column("image", TEXT),
    sa.Column("audio", TEXT),
    sa.Column("attributes", TEXT),
    sa.Column("received_at", TIME, nullable=False),
    sa.Index("items_by_id", "item_id", "sequence"),
    **OPTIONS,
)

releases: Final = sa.Table(
    "releases",
    METADATA,
    sa.Column("release", ID, primary_key=True),
    sa.Column("created_at", TIME, nullable=False),
    sa.Column("path", TEXT, nullable=False),
    sa.Column("lineage", TEXT, nullable=False),
    sa.Column("decision", sa.String(16)),
    sa.Column("verdict", TEXT),
    sa.Column("evidence", TEXT),
    **OPTIONS,
)

channels: Final = sa.Table(
    "channels",
    METADATA,
    sa.Column("name", ID, primary_key=True),
    sa.Column("release", ID, nullable=False),
    sa.Column("generation", sa.BigInteger, nullable=False),
    **OPTIONS,
)

channel_moves: Final = sa.Table(
    "channel_moves",
    METADATA,
    sa.Column("name", ID, primary_key=True),
    sa.Column("generation", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("release", ID, nullable=False),
    sa.Column("previous", ID),
    sa.Column("moved_at", TIME, nullable=False),
    sa.Column("reason", TEXT, nullable=False),
    **OPTIONS,
)

leases: Final = sa.Table(
    "leases",
    METADATA,
    sa.Column("name", ID, primary_key=True),
    sa.Column("holder", ID),
    sa.Column("expires_at", TIME, nullable=False),
    sa.Column("fence", sa.BigInteger, nullable=False),
    sa.Column("again", sa.Boolean, nullable=False),
    **OPTIONS,
)

#: Canaries and shadows, one row each (see `serving.canaries`). generation: counts the changes of a
#: row; control: the champion that it is compared with, null for none; phase: counts its shares;
#: evidence: what was counted of the outbox up to `offset`, as JSON; loading: loads of the release
#: that workers began since the last one that ended well.
canaries: Final = sa.Table(
    "canaries",
    METADATA,
    sa.Column("channel", ID, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("release", ID, nullable=False),
    sa.Column("control", ID),
    sa.Column("share", DOUBLE, nullable=False),
    sa.Column("phase", sa.Integer, nullable=False),
    sa.Column("salt", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("reason", TEXT, nullable=False),
    sa.Column("started_at", TIME, nullable=False),
    sa.Column("ended_at", TIME),
    sa.Column("offset", sa.BigInteger, nullable=False),
    sa.Column("evidence", TEXT, nullable=False),
    sa.Column("loading", sa.Integer, nullable=False),
    sa.Column("loading_at", TIME, nullable=False),
    **OPTIONS,
)

#: What each user of a canary saw and did, by stratum (see `training.canary.evidence`).
canary_users: Final = sa.Table(
    "canary_users",
    METADATA,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("user_id", ID, primary_key=True),
    sa.Column("stratum", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("slates", DOUBLE, nullable=False),
    sa.Column("clicks", DOUBLE, nullable=False),
    **OPTIONS,
)

#: How often each arm of a canary showed an item.
canary_items: Final = sa.Table(
    "canary_items",
    METADATA,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("item_id", ID, primary_key=True),
    sa.Column("arm", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("shown", DOUBLE, nullable=False),
    **OPTIONS,
)

#: What a shadow release would have shown for a request that another one answered. items: ids as
#: JSON, null if it failed with `error`; agreement: share of the slots with an item of the slate
#: that was shown.
shadow_slates: Final = sa.Table(
    "shadow_slates",
    METADATA,
    sa.Column("request_id", ID, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("release", ID, nullable=False),
    sa.Column("timestamp", TIME, nullable=False),
    sa.Column("items", TEXT),
    sa.Column("agreement", DOUBLE),
    sa.Column("seconds", DOUBLE, nullable=False),
    sa.Column("error", TEXT),
    sa.Index("shadow_slates_by_number", "number", "timestamp"),
    **OPTIONS,
)

#: Users who are set aside because they do not act like people (docs/adr/0027), as the last retrain
#: and the looks at a canary since then found them. since: µs, from when they do not count.
set_aside: Final = sa.Table(
    "set_aside",
    METADATA,
    sa.Column("user_id", ID, primary_key=True),
    sa.Column("since", TIME, nullable=False),
    sa.Column("reason", TEXT, nullable=False),
    **OPTIONS,
)
