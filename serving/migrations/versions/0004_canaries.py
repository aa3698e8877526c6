"""Requests name the arm that served them, and canaries and shadows have tables."""

import sqlalchemy as sa

from serving import tables
from serving.migrations.steps import add_column, add_table
from serving.tables import DOUBLE

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    add_column("requests", sa.Column("arm", sa.String(16)))
    add_column("requests", sa.Column("canary", sa.BigInteger))
    add_column("requests", sa.Column("phase", sa.Integer))
    add_column("requests", sa.Column("seconds", DOUBLE))
    for table in (
        tables.canaries,
        tables.canary_users,
        tables.canary_items,
        tables.shadow_slates,
    ):
        add_table(table)


def downgrade() -> None:
    raise NotImplementedError("older programs ignore the columns and tables")
