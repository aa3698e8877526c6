import dataclasses

import numpy as np
import pytest
import torch

from features.ragged import offsets_of
from features.schema import SECOND
from tests.training.transformer.synthetic import CLICK, START, events
from training.transformer.data import FitError, Tokens, interval_buckets, tokens_from
from training.transformer.model import ModelConfig, Transformer
from training.transformer.packing import BOS, CUT, Batch, Epoch, cut_windows, pack


def tokens(users: int = 40, items: int = 30, length: int = 50) -> Tokens:
    return tokens_from(**_renamed(events(users, items, length)), repeats=True)


def _renamed(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    names = {"user": "users", "item": "items", "event_type": "event_types"}
    return {names.get(name, "timestamps"): values for name, values in columns.items()}


def one_user(items: list[int], seconds: list[int], repeats: bool = True) -> Tokens:
    return tokens_from(
        np.zeros(len(items), dtype=np.int32),
        np.array(items, dtype=np.int32),
        np.full(len(items), CLICK, dtype=np.int8),
        START + np.array(seconds, dtype=np.int64) * SECOND,
        repeats,
    )


def pairs(epoch: Epoch) -> list[tuple[int, int]]:
    """(item read last, target) of every target of an epoch."""
    found = []
    for batch in epoch:
        read = batch.inputs.items.flatten()[batch.contexts]
        found += list(zip(read.tolist(), batch.targets.tolist(), strict=True))
    return found


def test_every_event_is_read_exactly_once_in_an_epoch() -> None:
    log = tokens()
    read = torch.cat(
        [batch.inputs.items[batch.inputs.positions > 0] for batch in Epoch(log, 16, 256, 1, 0)]
    )
    assert np.array_equal(np.sort(read.numpy()), np.sort(log.items))


def test_rows_are_nearly_full() -> None:
    batches = list(Epoch(tokens(users=300), 16, 256, 1, 0))
    used = sum(int((batch.windows > 0).sum()) for batch in batches)
    assert used / sum(batch.windows.numel() for batch in batches) > 0.95


def test_no_two_pieces_overlap() -> None:
    sizes = np.random.default_rng(0).integers(1, 18, size=500)
    rows, slots = pack(sizes, 17)
    taken = np.zeros((rows.max() + 1, 17), dtype=int)
    for size, row, slot in zip(sizes, rows, slots, strict=True):
        taken[row, slot : slot + size] += 1
    assert taken.max() == 1
    assert taken.sum() == sizes.sum()


@pytest.mark.parametrize("row_length", [1, 5, 17, 60])
def test_pieces_are_placed_as_they_are_one_by_one_in_the_tightest_row(row_length: int) -> None:
    sizes = np.random.default_rng(row_length).integers(1, row_length + 1, size=700)
    free: list[int] = []
    latest: list[int] = []  # of rows with the same free space, the last one changed is taken
    for turn, size in enumerate(sorted(sizes.tolist(), reverse=True)):
        fitting = [row for row, space in enumerate(free) if space >= size]
        if not fitting:
            fitting, free, latest = [len(free)], [*free, row_length], [*latest, 0]
        row = min(fitting, key=lambda row: (free[row], -latest[row]))
        free[row] -= size
        latest[row] = turn
    rows, slots = pack(sizes, row_length)
    assert np.array_equal(row_length - np.bincount(rows, weights=sizes), free)
    assert (slots + sizes <= row_length).all()


def test_long_histories_are_cut_into_windows_that_cover_them() -> None:
    offsets = offsets_of([3, 40, 16, 0])
    windows = cut_windows(offsets, 16, np.random.default_rng(0))
    covered = np.concatenate(
        [np.arange(s, s + n) for s, n in zip(windows.starts, windows.lengths, strict=True)]
    )
    assert np.array_equal(np.sort(covered), np.arange(59))
    assert windows.lengths.max() <= 16
    assert windows.whole.sum() == 3


def test_events_of_one_moment_are_predicted_from_what_came_before_it() -> None:
    log = one_user([1, 2, 3, 4], [0, 5, 5, 9])
    assert sorted(pairs(Epoch(log, 8, 64, 1, 0))) == [(BOS, 1), (1, 2), (1, 3), (3, 4)]


def test_an_item_already_chosen_is_no_target_when_repeats_are_forbidden() -> None:
    log = one_user([1, 2, 1], [0, 5, 9], repeats=False)
    assert sorted(pairs(Epoch(log, 8, 64, 1, 0))) == [(BOS, 1), (1, 2)]


def test_the_first_event_after_a_cut_is_no_target() -> None:
    log = one_user(list(range(10)), list(range(10)))
    found = pairs(Epoch(log, 4, 8, 1, 0))
    assert all(context != CUT for context, _ in found)
    assert len(found) == 10 - (
        len(cut_windows(log.offsets, 4, np.random.default_rng((1, 0))).starts) - 1
    )


def test_devices_share_the_rows_of_each_step() -> None:
    log = tokens(users=100)
    whole = list(Epoch(log, 16, 256, 1, 0))
    halves = [list(Epoch(log, 16, 256, 1, 0, rank, 2)) for rank in (0, 1)]
    assert len(whole) > 3
    for step, batch in enumerate(whole):
        parts = [half[step] for half in halves]
        joined = torch.cat([part.targets for part in parts])
        assert sorted(joined.tolist()) == sorted(batch.targets.tolist())
        assert all(np.array_equal(part.all_targets, batch.targets) for part in parts)


def test_packed_attention_equals_attention_over_each_history_alone() -> None:
    log = tokens(users=20, length=12)
    torch.manual_seed(0)
    model = Transformer(ModelConfig(30, 64, 2, 2, 16)).eval()
    content = torch.randn(30, 256), torch.arange(30)
    table = model.table(*content)
    for batch in Epoch(log, 16, 128, 1, 0):
        packed, _ = model(batch, *content)
        for target in range(len(batch.targets)):
            row, slot = divmod(int(batch.contexts[target]), batch.windows.shape[1])
            inside = (batch.windows[row] == batch.windows[row, slot]).nonzero().flatten()
            alone = type(batch.inputs)(
                *(part[row, inside][None, : slot - inside[0] + 1] for part in batch.inputs)
            )
            single = model.last_states(alone, table, torch.tensor([slot - int(inside[0])]))
            torch.testing.assert_close(packed[target], single[0], atol=1e-5, rtol=1e-5)


def test_a_later_event_does_not_change_an_earlier_state() -> None:
    log = one_user([1, 2, 3, 4, 5], [0, 10, 20, 30, 40])
    changed = dataclasses.replace(log, items=np.array([1, 2, 3, 9, 8], dtype=np.int32))
    torch.manual_seed(0)
    model = Transformer(ModelConfig(10, 64, 2, 2, 16)).eval()
    content = torch.randn(10, 256), torch.arange(10)
    first, second = (
        model(_ordered(next(iter(Epoch(version, 16, 64, 1, 0)))), *content)[0]
        for version in (log, changed)
    )
    assert torch.equal(first[:4], second[:4])
    assert not torch.allclose(first[4], second[4])


def _ordered(batch: Batch) -> Batch:
    order = batch.contexts.argsort()
    return batch._replace(contexts=batch.contexts[order], targets=batch.targets[order])


def test_time_intervals_fall_into_logarithmic_buckets() -> None:
    seconds = np.array([0, 1, 2, 3, 4, 60, 10**12])
    assert interval_buckets(seconds * SECOND).tolist() == [1, 2, 3, 3, 4, 7, 31]


def test_unsorted_or_missing_events_are_refused() -> None:
    with pytest.raises(FitError, match="no events"):
        one_user([], [])
    with pytest.raises(FitError, match="not sorted"):
        one_user([1, 2], [5, 0])
