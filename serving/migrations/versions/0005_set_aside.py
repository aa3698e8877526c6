"""Users who are set aside have a table, which canaries read."""

from serving import tables
from serving.migrations.steps import add_table

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    add_table(tables.set_aside)


def downgrade() -> None:
    raise NotImplementedError("older programs ignore the table")
