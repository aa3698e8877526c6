"""Files of `user item` lines, oldest first for each user, and their leave-one-out split.

As in published tables, a user's last item is the test target and the one before it the validation
target. There are no timestamps, so an event's position serves as its time.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv

from base.arrays import Bools, Int32s, Int64s
from base.errors import InputError
from features.ragged import Histories, Ragged, offsets_of, spans
from features.schema import EVENT_CODES, SECOND, EventType
from training.transformer.data import Tokens, tokens_from
from training.transformer.tail import Lazy, Tail

SHORTEST = 3
"""Least number of items in a history to split: one each to learn from, to validate and to test."""


class SequencesError(InputError):
    """The file holds no sequences. The message says why."""


@dataclass(frozen=True)
class Sequences:
    """Histories of users, in the order of their first line in the file.

    offsets: int64 [users + 1]; items: int32 [events], index from 0; catalogue: number of items.
    """

    offsets: Int64s
    items: Int32s
    catalogue: int

    @property
    def lengths(self) -> Int64s:
        return np.diff(self.offsets)


def read(path: Path) -> Sequences:
    """The sequences in `path`.

    Raises SequencesError if the file is missing, empty or in another format, if no user has three
    items, or if there are fewer than two items.
    """
    if not path.is_file():
        raise SequencesError(f"{path}: no such file; it holds one `user item` a line, oldest first")
    try:
        table = csv.read_csv(
            path,
            csv.ReadOptions(column_names=["user", "item"]),
            csv.ParseOptions(delimiter="\t" if "\t" in _first_line(path) else " "),
            csv.ConvertOptions(column_types={"user": pa.string(), "item": pa.string()}),
        )
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise SequencesError(f"{path}: not `user item` lines: {error}") from None
    user, item = (
        table[name].combine_chunks().dictionary_encode().indices.to_numpy()
        for name in ("user", "item")
    )
    order = np.argsort(user, kind="stable")
    found = Sequences(
        offsets_of(np.bincount(user)), item[order].astype(np.int32), int(item.max(initial=-1)) + 1
    )
    if found.catalogue < 2:
        raise SequencesError(f"{path}: {found.catalogue} items: nothing to choose between")
    if not (found.lengths >= SHORTEST).any():
        raise SequencesError(f"{path}: no user has {SHORTEST} items: nothing to test on")
    return found


def leave_out(sequences: Sequences, last: int, shortest: int = SHORTEST) -> tuple[Tokens, Tail]:
    """(everything before each user's `last`-last item, that item as the target of a query).

    last: 1 for test, 2 for validation. The query's history is everything before its target. Users
    with fewer than `shortest` items (which is more than `last`) are only trained on, with all their
    items.
    """
    lengths, starts = sequences.lengths, sequences.offsets[:-1]
    asked = lengths >= shortest
    known = np.where(asked, lengths - last, lengths)
    before = spans(starts, known)
    moments = spans(np.zeros_like(known), known) * SECOND
    view = EVENT_CODES[EventType.VIEW]
    types = np.full(len(before), view, dtype=np.int8)
    users = np.repeat(np.arange(len(known), dtype=np.int32), known)
    tokens = tokens_from(users, sequences.items[before], types, moments, repeats=False)
    events = spans(starts[asked], known[asked])
    histories = Histories(
        offsets_of(known[asked]),
        sequences.items[events],
        np.full(len(events), view, dtype=np.int8),
        spans(np.zeros_like(known[asked]), known[asked]) * SECOND,
    )
    queries = int(asked.sum())
    targets = Ragged(np.arange(queries + 1), sequences.items[(starts + known)[asked]])
    return tokens, Tail(histories, known[asked] * SECOND, np.arange(queries), targets, 0)


def split(sequences: Sequences, rolling: int) -> tuple[Tokens, Tail, list[Tail]]:
    """(training data, queries that stop the training, queries to judge by).

    rolling: 0 for the published protocol. Otherwise the split serves to choose a recipe: test items
    are not used. The `rolling` items before them are targets, each with everything before it as
    history, and are not trained on. The first of them stops the training.
    """
    shortest = max(SHORTEST, rolling + 2)
    train, validation = leave_out(sequences, max(2, rolling + 1), shortest)
    targets = range(2, rolling + 2) if rolling else [1]
    return train, validation, [leave_out(sequences, last, shortest)[1] for last in targets]


def some(tail: Tail, count: int) -> Tail:
    """At most `count` of the queries, evenly spaced."""
    if len(tail) <= count:
        return tail
    rows = np.linspace(0, len(tail) - 1, count).astype(np.int64)
    users = np.arange(len(rows))
    targets = Ragged(np.arange(len(rows) + 1), tail.targets.items[rows])
    return Tail(tail.histories.select(rows), tail.timestamps[rows], users, targets, tail.start)


def unseen(tail: Tail, catalogue: int) -> Bools:
    """bool [queries, catalogue]: items that the user has not had, and always the target."""
    allowed = np.ones((len(tail), catalogue), dtype=np.bool_)
    allowed[tail.histories.rows, tail.histories.items] = False
    allowed[tail.targets.rows, tail.targets.items] = True
    return allowed


def lazy_unseen(tail: Tail, catalogue: int) -> Lazy[Bools]:
    """Like `unseen`, but computed when read, for catalogues too large to hold `len(tail)` times
    in memory."""
    return Lazy(lambda rows: unseen(tail.part(rows), catalogue))


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return file.readline()
