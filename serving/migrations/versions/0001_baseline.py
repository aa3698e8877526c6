"""The tables as they were when migrations began (schema version 1).

A database of that time has them already. After an interrupted start a database may have only some
of them. Missing tables are created, existing ones stay.
"""

import sqlalchemy as sa

from serving.migrations.steps import add_table
from serving.tables import BYTES, DOUBLE, ID, OPTIONS, TEXT, TIME

revision = "0001"
down_revision = None

BASELINE = sa.MetaData()

sa.Table(
    "schema_version",
    BASELINE,
    sa.Column("name", ID, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    **OPTIONS,
)

sa.Table(
    "counters",
    BASELINE,
    sa.Column("name", ID, primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
    **OPTIONS,
)

sa.Table(
    "requests",
    BASELINE,
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
    sa.Index("requests_by_time", "timestamp"),
    **OPTIONS,
)

sa.Table(
    "slots",
    BASELINE,
    sa.Column("request_id", ID, primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("item_id", ID, nullable=False),
    sa.Column("propensity", DOUBLE, nullable=False),
    sa.Column("score", DOUBLE),
    sa.Column("reasons", TEXT, nullable=False),
    **OPTIONS,
)

sa.Table(
    "events",
    BASELINE,
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
    **OPTIONS,
)

sa.Table(
    "dead_letters",
    BASELINE,
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("event_id", ID),
    sa.Column("reason", TEXT, nullable=False),
    sa.Column("payload", TEXT, nullable=False),
    sa.Column("received_at", TIME, nullable=False),
    **OPTIONS,
)

sa.Table(
    "offsets",
    BASELINE,
    sa.Column("consumer", ID, primary_key=True),
    sa.Column("offset", sa.BigInteger, nullable=False),
    **OPTIONS,
)

sa.Table(
    "items",
    BASELINE,
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

sa.Table(
    "releases",
    BASELINE,
    sa.Column("release", ID, primary_key=True),
    sa.Column("created_at", TIME, nullable=False),
    sa.Column("path", TEXT, nullable=False),
    sa.Column("lineage", TEXT, nullable=False),
    sa.Column("decision", sa.String(16)),
    sa.Column("verdict", TEXT),
    sa.Column("evidence", TEXT),
    **OPTIONS,
)

sa.Table(
    "channels",
    BASELINE,
    sa.Column("name", ID, primary_key=True),
    sa.Column("release", ID, nullable=False),
    sa.Column("generation", sa.BigInteger, nullable=False),
    **OPTIONS,
)

sa.Table(
    "channel_moves",
    BASELINE,
    sa.Column("name", ID, primary_key=True),
    sa.Column("generation", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("release", ID, nullable=False),
    sa.Column("previous", ID),
    sa.Column("moved_at", TIME, nullable=False),
    sa.Column("reason", TEXT, nullable=False),
    **OPTIONS,
)

sa.Table(
    "leases",
    BASELINE,
    sa.Column("name", ID, primary_key=True),
    sa.Column("holder", ID),
    sa.Column("expires_at", TIME, nullable=False),
    sa.Column("fence", sa.BigInteger, nullable=False),
    sa.Column("again", sa.Boolean, nullable=False),
    **OPTIONS,
)


def upgrade() -> None:
    for table in BASELINE.sorted_tables:
        add_table(table)


def downgrade() -> None:
    raise NotImplementedError("this is the first revision")
