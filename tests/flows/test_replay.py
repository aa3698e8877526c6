"""Cutting a source in waves, and the queries of a wave, on a table drawn by hand."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from features.ingest import Source
from features.schema import ITEM, SECOND, USER
from flows.replay import cut
from flows.wave_judging import QUERIES_PER_USER, WaveJudged, evenly, pooled
from training.judging import Judged


def source(times: list[int]) -> Source:
    events = pa.table(
        {
            "user_id": [f"u{n % 3}" for n in range(len(times))],
            "item_id": [f"i{n}" for n in range(len(times))],
            "event_type": ["rating"] * len(times),
            "value": ["4"] * len(times),
            "timestamp": times,
        }
    )
    return Source(events, ITEM.empty_table(), USER.empty_table(), "test")


def test_waves_have_equal_counts_and_come_after_the_history() -> None:
    times = list(np.random.default_rng(1).permutation(1000) * SECOND)
    waves = cut(source(times), waves=4, replayed=0.2)
    assert waves.history.events.num_rows == 800
    assert [wave.num_rows for wave in waves.waves] == [50, 50, 50, 50]
    bounds = [waves.history.events["timestamp"].to_numpy()]
    bounds += [wave["timestamp"].to_numpy() for wave in waves.waves]
    for earlier, later in pairwise(bounds):
        assert earlier.max() < later.min()


def test_a_moment_is_never_cut_in_two() -> None:
    times = [n // 10 * SECOND for n in range(200)]
    waves = cut(source(times), waves=3, replayed=0.2)
    parts = [waves.history.events, *waves.waves]
    assert sum(part.num_rows for part in parts) == 200
    for part in parts:
        _, counts = np.unique(part["timestamp"].to_numpy(), return_counts=True)
        assert set(counts) <= {10}


def test_a_busy_user_has_evenly_spaced_queries() -> None:
    users = np.array([7] * 21 + [8, 8])
    moments = np.array([*range(21), 5, 5])
    chosen = evenly(users, moments)
    assert chosen[chosen[:, 0] == 7, 1].tolist() == [0, 5, 10, 15, 20]
    assert chosen[chosen[:, 0] == 8].tolist() == [[8, 5]]
    assert QUERIES_PER_USER == 5


def test_users_count_once_a_wave_and_are_paired() -> None:
    def judged(values: list[float]) -> Judged:
        empty = np.zeros((len(values), 10), dtype=np.int32)
        codes = np.zeros(len(values), dtype=np.int64)
        return Judged(codes, empty, {"ndcg@10": np.array(values)})

    users = np.array(["a", "a", "b"], dtype=object)
    wave = WaveJudged(
        users,
        {
            "served": judged([1.0, 0.0, 0.2]),
            "transformer": judged([0.0, 0.0, 0.2]),
            "frozen": judged([1.0, 0.0, 0.2]),
            "popularity": judged([0.0, 0.0, 0.0]),
        },
    )
    result = pooled([wave, wave], "ndcg@10", seed=1)
    assert result["served"] == pytest.approx(0.35)
    assert result["served_minus_transformer"]["mean"] == pytest.approx(0.25)
    assert result["served_minus_frozen"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
