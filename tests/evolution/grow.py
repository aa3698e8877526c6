"""Make a copy of the source as its next version may be: with more event types, features and
columns."""

import re
import shutil
from pathlib import Path

from serving.migrate import head

PACKAGES = ("base", "features", "training", "serving", "tests")

REVISION = '''"""Events carry a duration, items a brand."""

import sqlalchemy as sa

from serving.migrations.steps import add_column
from serving.tables import DOUBLE, ID

revision = "{number}"
down_revision = "{before}"


def upgrade() -> None:
    add_column("events", sa.Column("duration", DOUBLE))
    add_column("items", sa.Column("brand", ID))


def downgrade() -> None:
    raise NotImplementedError
'''


def grow(checkout: Path, tree: Path) -> Path:
    """Make a tree with more event types, features and columns than `checkout`.

    New event types must come last, since their order is their code. Other new things stand first or
    in between, where confused positions would show.
    """
    ignore = shutil.ignore_patterns("__pycache__")
    for package in PACKAGES:
        shutil.copytree(checkout / package, tree / package, ignore=ignore)
    schema = tree / "features" / "schema.py"
    insert(schema, r"class EventType\(StrEnum\):\n(?:.+\n|\n(?=    ))+", '    NOD = "nod"\n')
    insert(schema, r"POSITIVE: Final = \(\n", "    EventType.NOD,\n")
    insert(schema, r'pa\.field\("query", pa\.string\(\)\),\n', FIELD.format("duration", "float64"))
    insert(schema, r'pa\.field\("title", pa\.string\(\)\),\n', FIELD.format("brand", "string"))
    insert(schema, r"ITEM_FEATURES: Final = \(\n", '    "item_nods_7d",\n')
    insert(schema, r"USER_FEATURES: Final = \(\n", '    "user_nods_7d",\n')
    tables = tree / "serving" / "tables.py"
    insert(tables, r'sa\.Column\("query", TEXT\),\n', '    sa.Column("duration", DOUBLE),\n')
    insert(tables, r'sa\.Column\("title", TEXT\),\n', '    sa.Column("brand", ID),\n')
    number = f"{int(head()) + 1:04d}"
    revision = tree / "serving" / "migrations" / "versions" / f"{number}_growth.py"
    revision.write_text(REVISION.format(number=number, before=head()))
    return tree


FIELD = '        pa.field("{}", pa.{}()),\n'


def insert(path: Path, after: str, text: str) -> None:
    """Insert `text` after the only match of the pattern `after`."""
    content = path.read_text()
    (place,) = (match.end() for match in re.finditer(after, content))
    path.write_text(content[:place] + text + content[place:])
