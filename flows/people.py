"""Who was set aside, as the newest verdict says."""

from collections.abc import Iterator

import sqlalchemy as sa

from base.record import RecordError
from features.people.counts import SetAside
from flows import reasons
from serving import verdicts

#: Releases of which the newest with evidence is looked for.
_LOOKED_AT = 10


def set_aside(engine: sa.Engine) -> SetAside | None:
    """The counts of the newest judged release, or None if it has none that can be read."""
    for record in verdicts.latest(engine, _LOOKED_AT):
        if record.evidence:
            found = record.evidence.get("set_aside")
            try:
                return SetAside.stored(found) if found else None
            except RecordError:
                return None
    return None


def lines(engine: sa.Engine) -> Iterator[str]:
    """The counts, and one line per reason. Nothing if they are not known."""
    found = set_aside(engine)
    if found is not None:
        yield f"set aside   {found.told()}"
        yield from reasons.lines(found.reasons)
