"""A logged context is small, exact, and readable with every later catalogue."""

import zlib
from typing import Any

import numpy as np
import orjson
import pytest

from base.arrays import Objects
from features.requests.context import Context, ContextError, Reader, Vocabulary, decode, encode
from features.requests.context import seed_of as seed
from features.schema import DAY, USER_FEATURES
from training.rank_features import LOGGED

NOW = 20_000 * DAY + 12_345_678


def ids(count: int) -> Objects:
    """Ids as shops have them: nothing in them can be compressed away."""
    random = np.random.default_rng(7)
    return np.array([random.bytes(16).hex() for _ in range(count)], dtype=object)


def plain(**changes: Any) -> dict[str, Any]:
    return {
        "user_id": "somebody",
        "placement": "home",
        "timestamp": NOW,
        "k": 10,
        "exclude": [],
        "user_feature_names": USER_FEATURES,
        "features_at": NOW // DAY * DAY,
        "eligible": 19_000,
        "catalogue_items": 20_000,
        "catalogue_sequence": 12_345,
        "repeats": False,
        "policy": {"temperature": 0.5, "epsilon": 0.05, "diversity": 0.0},
        "seed": "ab" * 32,
        "feature_names": LOGGED,
        "definition": "0123456789abcdef",
    } | changes


def arrays(events: int = 200, candidates: int = 125, items: int = 20_000) -> dict[str, Any]:
    """A request with features like real ones: some of the user, counts, and the rest continuous."""
    random = np.random.default_rng(3)
    columns = []
    for name in LOGGED:
        values = random.normal(size=candidates).astype(np.float32)
        if name.startswith("user_") or name in ("history_length", "hours_since_last"):
            values[:] = values[0]
        elif name in ("item_unseen", "impressed", "category_last"):
            values = random.poisson(0.2, candidates).astype(np.float32)
        elif name in ("price", "price_to_mean", "price_to_recent", "item_age_days"):
            values = np.round(values, 2).astype(np.float32)
            values[::9] = np.nan
        columns.append(values)
    return {
        "history_items": random.integers(0, items, events).astype(np.int32),
        "history_types": random.integers(1, 5, events).astype(np.int8),
        "history_timestamps": NOW - np.sort(random.integers(0, 60 * DAY, events))[::-1],
        "hidden": np.zeros(0, dtype=np.int32),
        "impressed": random.integers(0, items, 80).astype(np.int32),
        "impressed_counts": random.poisson(1.5, 80).astype(np.float32) + 1,
        "user_features": np.array([1, 5, 9, 80, 3, np.nan], dtype=np.float32),
        "candidates": random.permutation(items)[:candidates].astype(np.int32),
        "scores": random.normal(size=candidates).astype(np.float32),
        "features": np.stack(columns, axis=1),
    }


def test_every_number_is_kept_to_the_last_bit() -> None:
    known, values = ids(20_000), arrays()
    read = decode(encode(plain(), values, known, Vocabulary.of(known[:15_000])), known)
    assert read.history_items == known[values["history_items"]].tolist()
    assert read.history_types == values["history_types"].tolist()
    assert read.history_timestamps == values["history_timestamps"].tolist()
    assert read.candidates == known[values["candidates"]].tolist()
    assert np.float32(read.scores).tobytes() == values["scores"].tobytes()
    assert read.features is not None
    assert read.features.tobytes() == values["features"].tobytes()
    assert tuple(read.feature_names) == LOGGED
    assert (read.user_id, read.timestamp, read.seed) == ("somebody", NOW, "ab" * 32)


def test_a_request_of_125_candidates_and_200_events_takes_less_than_six_kilobytes() -> None:
    """With ids of which each has 16 random bytes. Real requests: see docs/log.md."""
    known = ids(20_000)
    data = encode(plain(), arrays(), known, Vocabulary.of(known))
    assert len(data) < 8_000  # every continuous feature here is noise
    ranked = arrays() | {"features": np.round(arrays()["features"], 1)}
    assert len(encode(plain(), ranked, known, Vocabulary.of(known))) < 6_000


def test_a_catalogue_that_has_grown_reads_it_and_any_other_is_refused() -> None:
    known = ids(30)
    values = arrays(5, 9, 20)
    data = encode(plain(), values, known[:20], Vocabulary.of(known[:12]))
    # What came after the release is stored by id.
    for catalogue in (known, known[:20], known[:12]):
        read = decode(data, catalogue)
        assert read.candidates == known[values["candidates"]].tolist()
        assert read.history_items == known[values["history_items"]].tolist()
    with pytest.raises(ContextError, match="other items"):
        decode(data, known[::-1])
    with pytest.raises(ContextError, match="other items"):
        decode(data, known[:11])


def test_a_context_of_version_2_is_read_without_features() -> None:
    content = plain(history_items=["a"], history_types=[1], history_timestamps=[5]) | {
        "hidden": [],
        "impressed": ["b"],
        "impressed_counts": [2.0],
        "user_features": [1.0, None, 3, 4, 5, 6],
        "candidates": ["b", "c"],
        "scores": [0.5, 0.25],
        "version": 2,
    }
    del content["feature_names"], content["definition"]
    data = zlib.compress(orjson.dumps(content), 1)
    read = decode(data, ids(3))
    assert isinstance(read, Context)
    assert (read.candidates, read.scores, read.history_items) == (["b", "c"], [0.5, 0.25], ["a"])
    assert read.features is None
    assert seed(data) == "ab" * 32


@pytest.mark.parametrize("damage", [b"", b"noise", zlib.compress(b'{"version":9}')])
def test_what_cannot_be_read_is_named(damage: bytes) -> None:
    with pytest.raises(ContextError, match="context"):
        Reader(ids(2)).read(damage)
