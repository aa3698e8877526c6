"""Attention by hand against torch's."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from training.transformer.attention import attend, window_mask

WINDOWS = torch.tensor([[1, 1, 1, 2, 2, 0, 0], [1, 1, 1, 1, 1, 1, 1]])


def heads(dtype: torch.dtype) -> list[Tensor]:
    random = torch.Generator().manual_seed(5)
    return [torch.randn(2, 3, 7, 16, generator=random).to(dtype).requires_grad_() for _ in range(3)]


def test_a_slot_sees_itself_and_what_came_before_in_its_window() -> None:
    mask = window_mask(WINDOWS)[0, 0]
    assert mask[4].tolist() == [False, False, False, True, True, False, False]
    assert mask[2].tolist() == [True, True, True, False, False, False, False]


def test_in_bf16_on_cpu_outputs_and_gradients_are_torch_s() -> None:
    mask = window_mask(WINDOWS)
    ours, exact = heads(torch.bfloat16), heads(torch.float32)
    outer = torch.randn(2, 3, 7, 16, generator=torch.Generator().manual_seed(6))
    mixed = attend(*ours, mask)
    theirs = F.scaled_dot_product_attention(*exact, attn_mask=mask)
    assert mixed.grad_fn is not None
    assert "_Attention" in type(mixed.grad_fn).__name__
    torch.testing.assert_close(mixed.float(), theirs, rtol=0.02, atol=0.02)
    mixed.backward(outer.bfloat16())
    theirs.backward(outer)
    for a, b in zip(ours, exact, strict=True):
        assert a.grad is not None
        assert b.grad is not None
        assert float((a.grad.float() - b.grad).norm() / b.grad.norm()) < 0.02


def test_long_rows_and_single_precision_are_left_to_torch() -> None:
    query, key, value = heads(torch.float32)
    mixed = attend(query, key, value, window_mask(WINDOWS))
    assert mixed.grad_fn is not None
    assert "_Attention" not in type(mixed.grad_fn).__name__
    long = torch.zeros(1, 1, 600, 16, dtype=torch.bfloat16, requires_grad=True)
    mask = window_mask(torch.ones(1, 600, dtype=torch.int64))
    assert "_Attention" not in type(attend(long, long, long, mask).grad_fn).__name__
