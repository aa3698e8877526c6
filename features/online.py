"""The online feature store: reads a user's row per request, and all items as one array.

Two views hold a user's history. `user_history` is materialised from the log. `live_history` is
pushed by the service after each feedback (docs/adr/0004). So each view has one writer. Reading
merges both.
"""

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from base.arrays import Float32s
from base.quiet import quiet
from base.settings import Settings
from features.batch.snapshots import Snapshots
from features.items.catalogue import Catalogue
from features.merge import UserHistory, merge
from features.requests.user_rows import Impressed, UserRows
from features.schema import DAY, ITEM_FEATURES, USER_FEATURES

if TYPE_CHECKING:
    from features.feast_api import FeatureStore

#: A special item row, written last. Its time says which snapshot is complete (see `snapshot`).
MARKER: Final = ""
DAILY_VIEWS: Final = ("user_activity", "item_activity")
_CHUNK: Final = 500
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class OnlineStore:
    """Feast's online store, in the engine that `Settings` choose (`features.online_engine`).

    All threads of a process can share one instance.
    """

    def __init__(self, settings: Settings) -> None:
        # Import Feast here, because it takes seconds and is not needed to name this class.
        from features.feast_api import EntityKey, Value
        from features.online_engine import chosen
        from features.repo.definitions import served

        self._key, self._value = EntityKey, Value
        self.root = settings.feast
        self._engine = chosen(settings)
        self._reading, self._writing = threading.Lock(), threading.Lock()
        self._reader, self._writer = self._open(), self._open()
        self._views = {view.name: view for view in self._reader.list_feature_views()}
        self._names = served(self._reader.list_feature_services())
        self._file = self._inode()

    def read(self, user_ids: Sequence[str], catalogue: Catalogue, history_length: int) -> UserRows:
        """The rows of `user_ids`, in that order. Unknown users have empty rows.

        history_length: how many of a user's newest positive events to read. It is the
        `split.history_length` that the served release was trained with.
        """
        activity, batch, live = (
            self._rows(view, "user_id", user_ids)
            for view in ("user_activity", "user_history", "live_history")
        )
        features = np.array(
            [[_number(row.get(name)) for name in USER_FEATURES] for row in activity],
            dtype=np.float32,
        ).reshape(len(user_ids), len(USER_FEATURES))
        merged = [
            merge(_history(b), _history(r), history_length)
            for b, r in zip(batch, live, strict=True)
        ]
        return UserRows.of(merged, catalogue, features, [_impressed(row) for row in activity])

    def read_items(self, catalogue: Catalogue) -> Float32s:
        """float32 [catalogue, ITEM_FEATURES], NaN for items that the snapshot does not know."""
        ids = [str(item_id) for item_id in catalogue.item_ids]
        rows = [
            row
            for start in range(0, len(ids), _CHUNK)
            for row in self._rows("item_activity", "item_id", ids[start : start + _CHUNK])
        ]
        values = [[_number(row.get(name)) for name in ITEM_FEATURES] for row in rows]
        return np.array(values, dtype=np.float32).reshape(len(ids), len(ITEM_FEATURES))

    def snapshot(self) -> int:
        """Time of the last complete materialisation, µs; 0 before the first.

        If the SQLite file was lost or replaced, the present file is opened, or an empty one
        created. Raises the errors of the engine's client if a server cannot be reached.
        """
        self._reopen_if_replaced()
        with self._reading:
            rows = self._read("item_activity", [self._entity("item_id", MARKER)])
        moment = rows[0][0]
        return (moment - _EPOCH) // timedelta(microseconds=1) if moment else 0

    def push_history(self, rows: Mapping[str, UserHistory], now: int) -> None:
        """Replace the live history of each user. Pushing the same again is harmless. now: µs."""
        if not rows:
            return
        moment = _moment(now)
        data: list[Any] = [
            (self._entity("user_id", user_id), self._live_values(row), moment, moment)
            for user_id, row in rows.items()
        ]
        self._reopen_if_replaced()
        # Use the provider's write directly. `push` would make a data frame and take ten times as
        # long.
        view = self._views["live_history"]
        with self._writing:
            self._writer.provider.online_write_batch(self._writer.config, view, data, None)

    def _live_values(self, row: UserHistory) -> dict[str, Any]:
        value: Any = self._value
        return {
            "items": value(string_list_val={"val": row.items}),
            "event_types": value(int64_list_val={"val": row.event_types}),
            "timestamps": value(int64_list_val={"val": row.timestamps}),
            "hidden": value(string_list_val={"val": row.hidden}),
        }

    def materialise(self, features: Path, end: int | None = None) -> int:
        """Load `data/features` at `features`: all histories, and the values of users and items at
        the last snapshot by `end`.

        end: µs; None uses the last snapshot. For serving, pass the present time. Otherwise a
        snapshot at the next midnight would count a day that is not over, which no training request
        sees. Returns the time of the loaded snapshot, µs.
        """
        from features.feast_store import open_store, registry_lock

        snapshots = Snapshots.read(features)
        newest = snapshots.last
        if end is not None:
            newest = min(max(end // DAY * DAY, snapshots.first), newest)
        until = dict.fromkeys(DAILY_VIEWS, newest) | {"user_history": snapshots.last}
        with self._writing, quiet():
            store = open_store(self.root, features, self._engine)
            with registry_lock(self.root):
                for view, moment in until.items():
                    store.materialize(
                        start_date=_moment(snapshots.first) - timedelta(seconds=1),
                        end_date=_moment(moment),
                        feature_views=[view],
                    )
            self._mark(store, _moment(newest))
        return newest

    def _mark(self, store: "FeatureStore", moment: datetime) -> None:
        import pandas as pd

        row: dict[str, Any] = dict.fromkeys(ITEM_FEATURES, 0)
        row |= {"item_id": MARKER, "event_timestamp": moment, "created_timestamp": moment}
        store.write_to_online_store("item_activity", pd.DataFrame([row]))

    def _reopen_if_replaced(self) -> None:
        if self._inode() != self._file:
            with self._reading, self._writing:
                self._reader, self._writer = self._open(), self._open()
                self._file = self._inode()

    def _inode(self) -> int | None:
        """Identifies the store's present file; None for a server, or if there is no file."""
        try:
            return self._engine.file.stat().st_ino if self._engine.file else None
        except FileNotFoundError:
            return None

    def _open(self) -> "FeatureStore":
        from features.feast_store import open_store

        with quiet():
            return open_store(self.root, None, self._engine)

    def _entity(self, key: str, value: str) -> Any:
        return self._key(join_keys=[key], entity_values=[self._value(string_val=value)])

    def _rows(self, view: str, key: str, ids: Sequence[str]) -> list[dict[str, Any]]:
        if len(ids) == 0:
            return []
        with self._reading:
            found = self._read(view, [self._entity(key, value) for value in ids])
        names = self._names.get(view, ())
        return [
            {name: row[name] for name in names if name in row} if row else {} for _, row in found
        ]

    def _read(self, view: str, entities: list[Any]) -> list[tuple[datetime | None, Any]]:
        # Use the provider's read directly. The response object of get_online_features would take a
        # third of a request's time.
        rows: list[tuple[datetime | None, Any]] = self._reader.provider.online_read(
            self._reader.config, self._views[view], entities, list(self._names.get(view, ()))
        )
        return rows


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def _history(row: Mapping[str, Any]) -> UserHistory:
    if not row:
        return UserHistory()
    return UserHistory(
        items=list(row["items"].string_list_val.val),
        event_types=list(row["event_types"].int64_list_val.val),
        timestamps=list(row["timestamps"].int64_list_val.val),
        hidden=list(row["hidden"].string_list_val.val),
    )


def _impressed(row: Mapping[str, Any]) -> Impressed:
    if "impressed_items" not in row:
        return ()
    items, counts = row["impressed_items"].string_list_val.val, row["impressed_counts"]
    return zip(items, counts.int64_list_val.val, strict=True)


def _number(value: Any) -> float:
    kind = value.WhichOneof("val") if value is not None else None
    if kind == "int64_val":
        return float(value.int64_val)
    return float(value.double_val) if kind == "double_val" else float("nan")
