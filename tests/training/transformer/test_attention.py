"""Attention computed by hand, compared with torch's, and the biases added to its scores."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from features.schema import SECOND
from training.transformer.attention import NEVER, AttentionBias, attend, buckets, window_mask
from training.transformer.data import interval_buckets
from training.transformer.packing import Inputs

WINDOWS = torch.tensor([[1, 1, 1, 2, 2, 0, 0], [1, 1, 1, 1, 1, 1, 1]])


def heads(dtype: torch.dtype) -> list[Tensor]:
    random = torch.Generator().manual_seed(5)
    return [torch.randn(2, 3, 7, 16, generator=random).to(dtype).requires_grad_() for _ in range(3)]


def inputs(positions: Tensor, times: Tensor, nexts: Tensor) -> Inputs:
    empty = torch.zeros_like(positions)
    return Inputs(empty, empty, empty, empty, positions, times, nexts)


def test_a_slot_sees_itself_and_what_came_before_in_its_window() -> None:
    mask = window_mask(WINDOWS)[0, 0]
    assert mask[4].tolist() == [False, False, False, True, True, False, False]
    assert mask[2].tolist() == [True, True, True, False, False, False, False]


@pytest.mark.parametrize(("dtype", "near"), [(torch.bfloat16, 0.02), (torch.float32, 1e-5)])
def test_outputs_and_gradients_are_torch_s(dtype: torch.dtype, near: float) -> None:
    mask = window_mask(WINDOWS)
    bias = torch.randn(2, 3, 7, 7, generator=torch.Generator().manual_seed(7))
    bias = bias.masked_fill(~mask, NEVER)
    ours = [*heads(dtype), bias.to(dtype, copy=True).requires_grad_()]
    exact = [*heads(torch.float32), bias.clone().requires_grad_()]
    outer = torch.randn(2, 3, 7, 16, generator=torch.Generator().manual_seed(6))
    mixed = attend(*ours)
    assert "_Attention" in type(mixed.grad_fn).__name__
    query, key, value, added = exact
    theirs = F.scaled_dot_product_attention(query, key, value, attn_mask=added)
    torch.testing.assert_close(mixed.float(), theirs, rtol=near, atol=near)
    mixed.backward(outer.to(dtype))
    theirs.backward(outer)
    for a, b in zip(ours, exact, strict=True):
        assert a.grad is not None
        assert b.grad is not None
        assert float((a.grad.float() - b.grad).norm() / b.grad.norm()) < near


def test_a_bias_of_all_heads_gets_the_gradient_of_all() -> None:
    query, key, value = heads(torch.float32)
    shared = torch.zeros(1, 1, 7, 7, requires_grad=True)
    own = torch.zeros(2, 3, 7, 7, requires_grad=True)
    attend(query, key, value, shared).square().sum().backward()
    attend(query, key, value, own).square().sum().backward()
    assert shared.grad is not None
    assert own.grad is not None
    torch.testing.assert_close(shared.grad[0, 0], own.grad.sum((0, 1)))


def test_long_rows_and_what_needs_no_care_are_left_to_torch() -> None:
    for length, dtype in ((600, torch.bfloat16), (7, torch.float32)):
        x = torch.zeros(1, 1, length, 16, dtype=dtype, requires_grad=True)
        mixed = attend(x, x, x, torch.zeros(1, 1, length, length))
        assert "_Attention" not in type(mixed.grad_fn).__name__


def test_buckets_are_those_of_the_time_until_the_next_event() -> None:
    random = np.random.default_rng(0)
    times = np.sort(random.integers(0, 10**9, (3, 20)), axis=1)
    nexts = np.c_[times[:, 1:], times[:, -1]]
    positions = np.arange(20) + np.zeros((3, 1), dtype=np.int64)
    found = buckets(inputs(*(torch.from_numpy(x) for x in (positions, times, nexts)))).numpy()
    for row in range(3):
        for query in range(20):
            for key in range(1, query + 1):
                since = np.array([nexts[row, query] - times[row, key]])
                assert found[row, query, key] == interval_buckets(since * SECOND)[0]
    assert (found[:, :, 0] == 0).all()


def test_a_pair_gets_the_value_of_its_bucket_and_of_its_distance() -> None:
    bias = AttentionBias(2, 4, time=True, distance=True)
    assert bias.times is not None
    assert bias.distances is not None
    torch.nn.init.normal_(bias.times)
    torch.nn.init.normal_(bias.distances)
    times, nexts = torch.tensor([[0, 0, 5, 100]]), torch.tensor([[0, 5, 100, 5000]])
    of = inputs(torch.arange(4)[None], times, nexts)
    added = bias(of, window_mask(torch.ones(1, 4, dtype=torch.int64)))
    since = buckets(of)
    for head in range(2):
        for query in range(4):
            for key in range(4):
                value = bias.times[head, since[0, query, key]] + bias.distances[head, query - key]
                expected = value if key <= query else torch.tensor(NEVER)
                torch.testing.assert_close(added[0, head, query, key], expected)
    added[added > NEVER].sum().backward()
    assert bias.times.grad is not None
    counts = torch.bincount(since[0][torch.ones(4, 4).tril() > 0], minlength=32)
    assert torch.equal(bias.times.grad, counts.float().expand(2, -1))
