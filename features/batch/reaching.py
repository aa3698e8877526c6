"""Aggregates of snapshots from before those that training reads, computed again when needed.

What a request read stays known for as long as the log is: a snapshot is a function of the log.
"""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from base.scratch import scratch
from features.batch.activity import write_activity
from features.batch.snapshots import Snapshots
from features.schema import DAY


def oldest(timestamps: Sequence[int], read: Sequence[int]) -> int:
    """The oldest snapshot that requests at `timestamps` read, or that training would read for
    them, µs.

    read: the snapshot of each request, 0 where it had none.
    """
    asked = [timestamp // DAY * DAY for timestamp in timestamps]
    return min([*asked, *(moment for moment in read if moment)], default=sys.maxsize)


@contextmanager
def features_since(first: int, split: Path, features: Path) -> Iterator[Path]:
    """`data/features`; if its snapshots begin after `first` (µs), the same computed from `first`
    on."""
    snapshots = Snapshots.read(features)
    if first >= snapshots.first:
        yield features
        return
    with tempfile.TemporaryDirectory(dir=scratch()) as folder:
        whole = replace(snapshots, first=first)
        whole.write(Path(folder))
        write_activity(split, Path(folder), whole)
        yield Path(folder)
