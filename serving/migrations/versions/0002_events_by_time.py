"""Add an index of events by time, as the monitor reads only the last days of the log."""

from serving.migrations.steps import add_index, drop_index

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    add_index("events_by_time", "events", ["timestamp"])


def downgrade() -> None:
    drop_index("events_by_time", "events")
