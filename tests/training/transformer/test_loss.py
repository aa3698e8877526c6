"""The loss in chunks, compared with torch's on the whole matrix."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from training.transformer import loss
from training.transformer.loss import cross_entropy


def problem(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(3)
    states = torch.randn(700, 32, generator=random).to(dtype).requires_grad_()
    items = torch.randn(90, 32, generator=random).to(dtype).requires_grad_()
    return states, items, torch.randint(0, 90, (700,), generator=random)


def gradients(value: Tensor, *of: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(value / 700, of)


@pytest.mark.parametrize("elements", [90, 9000, 10**6])
def test_value_and_gradients_are_torch_s(monkeypatch: pytest.MonkeyPatch, elements: int) -> None:
    monkeypatch.setattr(loss, "CHUNK_ELEMENTS", elements)
    states, items, targets = problem()
    ours = cross_entropy(states, items, targets)
    theirs = F.cross_entropy(states @ items.T, targets, reduction="sum")
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(
        gradients(ours, states, items), gradients(theirs, states, items), rtol=1e-4, atol=1e-7
    )


def test_in_bf16_it_is_right_to_the_format_s_precision() -> None:
    states, items, targets = problem()
    with torch.autocast("cpu", torch.bfloat16):
        ours = cross_entropy(states, items, targets)
    theirs = F.cross_entropy(states @ items.T, targets, reduction="sum")
    torch.testing.assert_close(ours, theirs, rtol=2e-3, atol=0)
    pairs = zip(gradients(ours, states, items), gradients(theirs, states, items), strict=True)
    assert all(float((a - b).norm() / b.norm()) < 0.01 for a, b in pairs)


def test_an_overflow_is_not_hidden() -> None:
    states, items, targets = problem()
    assert not torch.isfinite(cross_entropy(states * torch.inf, items, targets))
