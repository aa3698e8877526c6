"""The environment of Alembic's commands.

Uses our connection, or opens one if run as `alembic …`.
"""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from alembic import context
from alembic.operations.ops import MigrationScript
from alembic.script import ScriptDirectory

from base.settings import Settings
from serving import migrate, tables
from serving.database import open_engine


def number(_: Any, __: Any, scripts: Iterable[MigrationScript]) -> None:
    """Number the revisions, so that later ones can be recognised."""
    head = ScriptDirectory.from_config(context.config).get_current_head()
    for script in scripts:
        script.rev_id = f"{int(head or 0) + 1:04d}"


def run(connection: sa.Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=tables.METADATA,
        process_revision_directives=number,
    )
    with context.begin_transaction():
        context.run_migrations()


if given := context.config.attributes.get("connection"):
    run(given)
else:
    with migrate.alone(open_engine(Settings().database)) as ours:
        run(ours)
