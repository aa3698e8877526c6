"""Cut a source in time: a history for the first release, and later waves."""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from base.arrays import Int64s
from features.ingest import IngestError, Source, validate_events, validate_items
from features.ingest.raw import ERROR, RAW
from features.ingest.spool import Rows, Spool
from features.ingest.validate import Validated
from features.schema import TIMESTAMP

WAVES: Final = 6
REPLAYED: Final = 0.2


@dataclass(frozen=True)
class Waves:
    """A source cut in time. Each of its rows is in exactly one part.

    history: for ingestion: the data of the first release, and all unusable rows of any time; past:
    the usable events in it; waves: tables of later events, in order of time; items: versions to
    publish before each wave (at its first moment) and after the last wave (at its last moment).
    """

    history: Source
    past: Spool
    waves: list[pa.Table]
    items: list[pa.Table]


def cut(source: Source, now: int, waves: int = WAVES, replayed: float = REPLAYED) -> Waves:
    """Validate a source at `now` (µs) and cut its usable events into parts of equal size.

    Cuts are moved so that events of one moment stay together. In the replay, each event becomes
    known when it happens. Raises IngestError if there are too few events.
    """
    events = validate_events(source.events, now)
    items = validate_items(source.items, now, since=None if source.dated else now)
    moments = events.moments()
    shares = 1.0 - replayed + replayed * np.arange(waves + 1) / waves
    wanted = (shares * len(moments)).round().astype(int)
    bounds = sorted(
        {
            int(np.searchsorted(moments, moments[i])) if i < len(moments) else len(moments)
            for i in wanted
        }
    )
    if len(bounds) < 2 or bounds[0] == 0:
        why = Counter(events.reasons).most_common(1)
        raise IngestError(
            f"{source.kind}: {len(moments)} usable events at {len(np.unique(moments))} different "
            "times are too few to replay in waves"
            + "".join(f"; {count} rows quarantined: {reason}" for reason, count in why)
        )
    past, parts = Spool(), [Spool() for _ in bounds[1:]]
    first = 0
    for rows in events.usable():
        known_then = rows.set_column(
            rows.schema.get_field_index("received_at"), "received_at", rows["timestamp"]
        )
        for part, (start, end) in zip([past, *parts], pairwise([0, *bounds]), strict=True):
            begin, stop = (min(max(place - first, 0), rows.num_rows) for place in (start, end))
            part.add(known_then.slice(begin, stop - begin))
        first += rows.num_rows
    waves_of = [part.whole() for part in parts]
    known, later = _by_wave(items.valid, last_moment(past), waves_of)
    history = Source(
        Spool.joined([past, _refused(events)]),
        Spool.joined([Spool.of([known]), _refused(items)]),
        source.users,
        source.kind,
    )
    return Waves(history, past, waves_of, later)


def first_moment(events: Rows) -> int:
    """The oldest timestamp, µs."""
    return int(moments_of(events, "timestamp").min())


def last_moment(events: Rows) -> int:
    """The newest timestamp, µs."""
    return int(moments_of(events, "timestamp").max())


def moments_of(table: Rows, column: str) -> Int64s:
    """A column of times, in µs."""
    moments: Int64s = table[column].cast(pa.int64()).to_numpy()
    return moments


def _by_wave(
    versions: pa.Table, start: int, waves: list[pa.Table]
) -> tuple[pa.Table, list[pa.Table]]:
    """Item versions known at `start`, and later versions by the wave before which they are
    published.

    A new item is published before the wave in which it becomes known, with a creation time not
    before then, so that it is not shown earlier. A new version of an old item is published before
    the next wave.
    """
    received = moments_of(versions, "received_at")
    ids = np.array(versions["item_id"].to_pylist(), dtype=object).astype(str)
    new = np.zeros(len(ids), dtype=np.bool_)
    new[np.unique(ids, return_index=True)[1]] = True
    begins, ends = [first_moment(w) for w in waves], [last_moment(w) for w in waves]
    place = np.where(new, np.searchsorted(ends, received), np.searchsorted(begins, received))
    early = new & (received > np.array([*begins, ends[-1]])[place])
    column = versions.schema.get_field_index("created_at")
    known_at = np.maximum(versions["created_at"].cast(pa.int64()).fill_null(0).to_numpy(), received)
    created = pc.if_else(
        pa.array(early), pa.array(known_at).cast(TIMESTAMP), versions["created_at"]
    )
    later = versions.set_column(column, versions.schema.field(column), created)
    known = received <= start
    return versions.filter(known), [
        later.filter(~known & (place == wave)) for wave in range(len(waves) + 1)
    ]


def _refused(judged: Validated) -> Spool:
    """The refused rows, for ingestion, which quarantines them for the same reasons."""
    return Spool.of(
        pa.table({ERROR: rows["reason"], RAW: rows["raw"]}) for rows in judged.refused()
    )
