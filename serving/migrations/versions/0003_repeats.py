"""Add columns to requests, by which repeats are found, and to slots, for the request that first
showed them."""

import sqlalchemy as sa

from serving.migrations.steps import add_column, add_index
from serving.tables import ID, TIME

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    add_column("requests", sa.Column("state", sa.String(64)))
    add_column("requests", sa.Column("drawn_at", TIME))
    add_column("requests", sa.Column("size", sa.Integer))
    add_column("slots", sa.Column("origin", ID))
    add_index("requests_by_state", "requests", ["state", "drawn_at", "size"])


def downgrade() -> None:
    raise NotImplementedError("older programs ignore the columns")
