"""${message}."""

import sqlalchemy as sa

from serving.migrations.steps import add_column, add_index, add_table

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    # Alembic's proposal; take the steps of serving.migrations.steps instead of `op`.
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
