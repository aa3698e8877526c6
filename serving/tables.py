"""The tables of the feedback log and the operations database: SQLAlchemy Core, three dialects.

All times are integers, UTC microseconds. Numbers called `offset` or `sequence` come from a row of
`counters` that the writing transaction locks, so they have no gaps and follow commit order.
"""

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

#: Raised with every change of a table below; `database.connect` refuses any other.
SCHEMA_VERSION: Final = 1

ID_LENGTH: Final = 200

# MySQL: ids are case-sensitive, and a BLOB or TEXT without a size holds 64 kB only.
_OPTIONS: Final[dict[str, Any]] = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}
_ID: Final = sa.String(ID_LENGTH)
_TIME: Final = sa.BigInteger()
_TEXT: Final = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
_BYTES: Final = sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")
_DOUBLE: Final[sa.Double[float]] = sa.Double()

METADATA: Final = sa.MetaData()

schema_version: Final = sa.Table(
    "schema_version",
    METADATA,
    sa.Column("name", _ID, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    **_OPTIONS,
)

counters: Final = sa.Table(
    "counters",
    METADATA,
    sa.Column("name", _ID, primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
    **_OPTIONS,
)

#: One row per slate shown, with the context (see `serving.context`) that lets any release's
#: propensity of it be computed later.
requests: Final = sa.Table(
    "requests",
    METADATA,
    sa.Column("request_id", _ID, primary_key=True),
    sa.Column("user_id", _ID, nullable=False),
    sa.Column("placement", _ID, nullable=False),
    sa.Column("timestamp", _TIME, nullable=False),
    sa.Column("release", _ID),
    sa.Column("generation", sa.BigInteger),
    sa.Column("source", _ID, nullable=False),
    sa.Column("fallback", _ID),
    sa.Column("digest", _ID, nullable=False),
    sa.Column("context", _BYTES, nullable=False),
    sa.Index("requests_by_time", "timestamp"),
    **_OPTIONS,
)

slots: Final = sa.Table(
    "slots",
    METADATA,
    sa.Column("request_id", _ID, primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("item_id", _ID, nullable=False),
    sa.Column("propensity", _DOUBLE, nullable=False),
    sa.Column("score", _DOUBLE),
    sa.Column("reasons", _TEXT, nullable=False),
    **_OPTIONS,
)

#: The outbox: `schema.EVENT` in commit order.
events: Final = sa.Table(
    "events",
    METADATA,
    sa.Column("offset", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("event_id", _ID, nullable=False, unique=True),
    sa.Column("user_id", _ID, nullable=False),
    sa.Column("item_id", _ID),
    sa.Column("event_type", sa.String(16), nullable=False),
    sa.Column("value", _DOUBLE),
    sa.Column("query", _TEXT),
    sa.Column("timestamp", _TIME, nullable=False),
    sa.Column("received_at", _TIME, nullable=False),
    sa.Column("placement", _ID),
    sa.Column("request_id", _ID),
    sa.Column("position", sa.Integer),
    sa.Column("propensity", _DOUBLE),
    sa.Column("release", _ID),
    sa.Index("events_by_user", "user_id", "timestamp"),
    **_OPTIONS,
)

dead_letters: Final = sa.Table(
    "dead_letters",
    METADATA,
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("event_id", _ID),
    sa.Column("reason", _TEXT, nullable=False),
    sa.Column("payload", _TEXT, nullable=False),
    sa.Column("received_at", _TIME, nullable=False),
    **_OPTIONS,
)

#: How far each consumer of the outbox or the catalogue feed has come.
offsets: Final = sa.Table(
    "offsets",
    METADATA,
    sa.Column("consumer", _ID, primary_key=True),
    sa.Column("offset", sa.BigInteger, nullable=False),
    **_OPTIONS,
)

#: The catalogue feed: versions of items (`schema.ITEM`) in commit order; the latest wins.
items: Final = sa.Table(
    "items",
    METADATA,
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("item_id", _ID, nullable=False),
    sa.Column("title", _TEXT),
    sa.Column("description", _TEXT),
    sa.Column("categories", _TEXT),
    sa.Column("price", _DOUBLE),
    sa.Column("available", sa.Boolean, nullable=False),
    sa.Column("created_at", _TIME),
    sa.Column("image", _TEXT),
    sa.Column("audio", _TEXT),
    sa.Column("attributes", _TEXT),
    sa.Column("received_at", _TIME, nullable=False),
    sa.Index("items_by_id", "item_id", "sequence"),
    **_OPTIONS,
)

releases: Final = sa.Table(
    "releases",
    METADATA,
    sa.Column("release", _ID, primary_key=True),
    sa.Column("created_at", _TIME, nullable=False),
    sa.Column("path", _TEXT, nullable=False),
    sa.Column("lineage", _TEXT, nullable=False),
    sa.Column("decision", sa.String(16)),
    sa.Column("verdict", _TEXT),
    sa.Column("evidence", _TEXT),
    **_OPTIONS,
)

channels: Final = sa.Table(
    "channels",
    METADATA,
    sa.Column("name", _ID, primary_key=True),
    sa.Column("release", _ID, nullable=False),
    sa.Column("generation", sa.BigInteger, nullable=False),
    **_OPTIONS,
)

channel_moves: Final = sa.Table(
    "channel_moves",
    METADATA,
    sa.Column("name", _ID, primary_key=True),
    sa.Column("generation", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("release", _ID, nullable=False),
    sa.Column("previous", _ID),
    sa.Column("moved_at", _TIME, nullable=False),
    sa.Column("reason", _TEXT, nullable=False),
    **_OPTIONS,
)

leases: Final = sa.Table(
    "leases",
    METADATA,
    sa.Column("name", _ID, primary_key=True),
    sa.Column("holder", _ID),
    sa.Column("expires_at", _TIME, nullable=False),
    sa.Column("fence", sa.BigInteger, nullable=False),
    sa.Column("again", sa.Boolean, nullable=False),
    **_OPTIONS,
)
