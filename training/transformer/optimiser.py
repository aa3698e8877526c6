"""AdamW that also keeps an average of the weights, as part of its state.

What is in the state of an optimiser is saved, resumed and sharded with it, on any strategy.
"""

import math
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from training.transformer.config import TransformerParams

FINAL_RATE: Final = 0.05
"""Share of the peak learning rate that is left after the last epoch."""

BETAS: Final = (0.9, 0.98)
AVERAGE: Final = "average"


class AveragingAdamW(torch.optim.AdamW):
    """Fused AdamW. `state[parameter]["average"]` follows the weights exponentially.

    horizon: steps that the average looks back; it starts as the mean of the steps so far.
    """

    def __init__(self, groups: list[dict[str, Any]], rate: float, horizon: float) -> None:
        super().__init__(groups, lr=rate, betas=BETAS, fused=True)
        self.horizon = horizon
        self.steps: int | None = None

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss: float | None = super().step(closure)
        states = {p: self.state[p] for group in self.param_groups for p in group["params"]}
        moved = {p: state for p, state in states.items() if state}
        if self.steps is None:  # at the start, or resumed: asking each time would make a GPU wait
            self.steps = int(max(float(state["step"]) for state in moved.values()))
        else:
            self.steps += 1
        for parameter, state in moved.items():
            if AVERAGE not in state:
                state[AVERAGE] = parameter.detach().clone()
        averages = [_local(state[AVERAGE]) for state in moved.values()]
        share = max(1 / (self.horizon + 1), 1 / self.steps)
        torch._foreach_lerp_(averages, [_local(p) for p in moved], share)
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.steps = None

    def average(self, parameter: nn.Parameter) -> Tensor:
        """The averaged weights of one parameter, whole; itself before the first step.

        Under sharding a collective call: all processes ask for the same ones in the same order.
        """
        found: Tensor = self.state[parameter].get(AVERAGE, parameter.detach())
        return found.full_tensor() if isinstance(found, DTensor) else found


def _local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def optimiser(model: nn.Module, params: TransformerParams, total_steps: int) -> AveragingAdamW:
    """Of all parameters of `model`; weight decay on matrices and embeddings alone."""
    decayed: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        matrix = name.endswith(".weight") and "norm" not in name
        (decayed if matrix else others).append(parameter)
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": params.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return AveragingAdamW(groups, params.shape.learning_rate, params.average * total_steps)


def rate(step: int, total_steps: int, warmup: float) -> float:
    """Share of the peak learning rate: linear warm-up, then a half cosine down to FINAL_RATE."""
    warm = (step + 1) / (warmup * total_steps + 1)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, step / total_steps)))
    return min(1.0, warm) * (FINAL_RATE + (1 - FINAL_RATE) * cosine)
