"""Check that the judged requests hold nothing from after their time.

The requests of the judge window are read as stage `evaluate` reads them. Their batch features are
computed again from a log that ends at the midnight at which they were taken, so that neither a
feature that looks ahead nor one of another day can pass.
"""

import tempfile
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from base.arrays import Float32s, Int64s
from base.scratch import scratch
from features.batch.activity import write_activity
from features.batch.snapshots import Snapshots
from features.event_log import connect
from features.requests.columns import matrix
from features.requests.requests import Requests
from features.requests.training_set import load_queries
from features.schema import DAY, ITEM_FEATURES, USER_FEATURES
from training.check import Check, missing

NAME: Final = "data.point_in_time"
#: Relative and absolute difference that rounding may cause.
_TOLERANCE: Final = 1e-5


def point_in_time(split: Path, features: Path) -> Check:
    """The check of the judge window's requests in `data/split` and `data/features`.

    Only the midnight that most requests read is computed again.
    """
    try:
        requests = load_queries(split, features, "judge", "organic").requests
        if not len(requests):
            return missing(NAME, "there is no judged request whose features could be computed")
        midnight, rows = _most_read(requests.timestamps)
        users, items = _again(split, requests.user_ids[rows].tolist(), midnight)
    except Exception as error:  # on any error, it is unknown
        return missing(NAME, f"features could not be computed again: {error}")
    return _judged(requests, midnight, rows, users, items)


def _judged(
    requests: Requests, midnight: int, rows: Int64s, users: Float32s, items: Float32s
) -> Check:
    histories = requests.histories
    ahead = histories.timestamps >= requests.timestamps[histories.rows]
    user_features = requests.user_features[rows]
    item_features = requests.item_features[int(requests.snapshot[rows[0]])]
    wrong = {
        "features of requests": _differing(user_features, users),
        "features of items": _differing(item_features, items),
        "histories": np.unique(histories.rows[ahead]),
    }
    counts = {"features of requests": len(rows), "features of items": len(items)}
    told = [
        f"{part} {len(found)} of {counts.get(part, len(requests))}" for part, found in wrong.items()
    ]
    share = max(
        len(found) / max(counts.get(part, len(requests)), 1) for part, found in wrong.items()
    )
    when = np.datetime64(midnight, "us").astype("datetime64[D]")
    reason = f"unlike a log that ends before {when}: {', '.join(told)}"
    if len(found := wrong["features of requests"]):
        reason += "; such as " + _example(USER_FEATURES, user_features[found[0]], users[found[0]])
    elif len(found := wrong["features of items"]):
        reason += "; such as " + _example(ITEM_FEATURES, item_features[found[0]], items[found[0]])
    return Check(NAME, share == 0.0, share, 0.0, reason)


def _most_read(timestamps: Int64s) -> tuple[int, Int64s]:
    """The midnight before most of the requests, µs, and these requests."""
    midnights, counts = np.unique(timestamps // DAY * DAY, return_counts=True)
    midnight = int(midnights[counts.argmax()])
    return midnight, np.flatnonzero(timestamps // DAY * DAY == midnight)


def _again(split: Path, user_ids: list[str], midnight: int) -> tuple[Float32s, Float32s]:
    """User features of `user_ids`, float32 [n, F], and item features, float32 [catalogue, F], from
    what had happened and was known before `midnight`."""
    with tempfile.TemporaryDirectory(dir=scratch()) as folder:
        past, out = Path(folder) / "split", Path(folder) / "features"
        past.mkdir()
        out.mkdir()
        connection = connect()
        for name in ("events", "impressions", "prices"):
            happened = "" if name == "prices" else f"AND timestamp < {midnight}"
            connection.execute(
                f"COPY (SELECT * FROM read_parquet('{split / name}.parquet') "
                f"WHERE received_at < {midnight} {happened}) "
                f"TO '{past / name}.parquet' (FORMAT parquet)"
            )
        connection.close()
        for name in ("users", "items"):
            (past / f"{name}.parquet").symlink_to((split / f"{name}.parquet").absolute())
        write_activity(past, out, Snapshots(midnight, midnight))
        item_ids = pq.read_table(split / "items.parquet", columns=["item_id"])["item_id"]
        return (
            _values(out / "user_activity.parquet", "user_id", user_ids, USER_FEATURES),
            _values(out / "item_activity.parquet", "item_id", item_ids.to_pylist(), ITEM_FEATURES),
        )


def _values(path: Path, key: str, ids: list[str], names: tuple[str, ...]) -> Float32s:
    """float32 [ids, names], NaN where there is no row."""
    table = pq.read_table(path, columns=[key, *names])
    row = pc.index_in(pa.array(ids, pa.string()), value_set=table[key].combine_chunks())
    found = row.is_valid().to_numpy(zero_copy_only=False)
    values = np.full((len(ids), len(names)), np.nan, dtype=np.float32)
    values[found] = matrix(table, names)[row.drop_null().to_numpy()]
    return values


def _differing(judged: Float32s, again: Float32s) -> Int64s:
    equal = np.isclose(judged, again, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True)
    return np.flatnonzero(~equal.all(axis=1))


def _example(names: tuple[str, ...], judged: Float32s, again: Float32s) -> str:
    equal = np.isclose(judged, again, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True)
    place = int(np.flatnonzero(~equal)[0])
    return f"{names[place]} {judged[place]:.6g}, computed again {again[place]:.6g}"
