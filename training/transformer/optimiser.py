"""Optimisers that also keep an average of the weights, as part of their state.

An optimiser's state is saved, resumed and sharded with every strategy. Lightning's WeightAveraging
gives the same weights but copies the module, which FSDP2 does not allow.
"""

import math
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from training.transformer.config import OptimiserName, ScheduleName
from training.transformer.recipe import Recipe

FINAL_RATE: Final = 0.05
"""Share of the peak learning rate left after the last epoch."""

BETAS: Final = (0.9, 0.98)
MOMENTUM: Final = 0.9
AVERAGE: Final = "average"
STEPS: Final = "steps"
DECAY: Final = "decay"


class Averaging(torch.optim.Optimizer):
    """Mixin for an optimiser: `state[parameter]["average"]` is an exponential average of the
    weights.

    horizon: number of steps in the average. It starts as the plain mean of the steps so far.
    """

    horizon: float = 0.0

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss: float | None = super().step(closure)
        # Count in the first group's settings, which are saved too: reading the count from the state
        # would make a GPU wait at every step.
        first = self.param_groups[0]
        first[STEPS] = first.get(STEPS, 0) + 1
        states = {p: self.state[p] for group in self.param_groups for p in group["params"]}
        moved = {p: state for p, state in states.items() if state}
        for parameter, state in moved.items():
            if AVERAGE not in state:
                state[AVERAGE] = parameter.detach().clone()
        averages = [_local(state[AVERAGE]) for state in moved.values()]
        share = max(1 / (self.horizon + 1), 1 / first[STEPS])
        torch._foreach_lerp_(averages, [_local(p) for p in moved], share)
        return loss

    def average(self, parameter: nn.Parameter) -> Tensor:
        """The averaged weights of one parameter, complete. Before the first step, the parameter
        itself.

        With sharding this is a collective call: all processes must ask for the same parameters in
        the same order.
        """
        found: Tensor = self.state[parameter].get(AVERAGE, parameter.detach())
        return found.full_tensor() if isinstance(found, DTensor) else found


class AveragingAdamW(Averaging, torch.optim.AdamW):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019)."""


class AveragingNAdam(Averaging, torch.optim.NAdam):
    """Adam with Nesterov momentum (Dozat, 2016)."""


class AveragingRAdam(Averaging, torch.optim.RAdam):
    """Adam whose first steps are rectified (Liu et al., 2020)."""


class AveragingSGD(Averaging, torch.optim.SGD):
    """Stochastic gradient descent with Nesterov momentum. Needs an explicit learning rate.

    Its weight decay is decoupled as well; torch's would go through the momentum.
    """

    def __init__(self, groups: list[dict[str, Any]], rate: float) -> None:
        apart = [{**g, "weight_decay": 0.0, DECAY: g["weight_decay"]} for g in groups]
        super().__init__(apart, lr=rate, momentum=MOMENTUM, nesterov=True)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.mul_(1 - group["lr"] * group[DECAY])
        return super().step(closure)


def _local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


BUILD: Final[dict[OptimiserName, Callable[[list[dict[str, Any]], float], Averaging]]] = {
    "adamw": lambda groups, lr: AveragingAdamW(groups, lr=lr, betas=BETAS, fused=True),
    "nadam": lambda groups, lr: AveragingNAdam(
        groups, lr=lr, betas=BETAS, decoupled_weight_decay=True
    ),
    "radam": lambda groups, lr: AveragingRAdam(
        groups, lr=lr, betas=BETAS, decoupled_weight_decay=True
    ),
    "sgd": AveragingSGD,
}


def optimiser(model: nn.Module, recipe: Recipe, total_steps: int) -> Averaging:
    """An optimiser of all parameters of `model`, with weight decay only on matrices and
    embeddings."""
    decayed: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        matrix = name.endswith(".weight") and "norm" not in name
        (decayed if matrix else others).append(parameter)
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    chosen = BUILD[recipe.optimiser](groups, recipe.learning_rate)
    chosen.horizon = recipe.average * total_steps
    return chosen


SCHEDULES: Final[dict[ScheduleName, Callable[[float], float]]] = {
    "cosine": lambda done: FINAL_RATE + (1 - FINAL_RATE) * (1 + math.cos(math.pi * done)) / 2,
    "linear": lambda done: FINAL_RATE + (1 - FINAL_RATE) * (1 - done),
    "exponential": lambda done: float(FINAL_RATE**done),
    "constant": lambda _: 1.0,
}
"""Share of the peak left, as a function of the share of steps done since the warm-up."""


def rate(step: int, total_steps: int, recipe: Recipe) -> float:
    """Share of the peak learning rate at a step: linear warm-up to 1, then `fit.schedule`."""
    warm = recipe.warmup * total_steps
    if step < warm:
        return (step + 1) / (warm + 1)
    return SCHEDULES[recipe.schedule](min(1.0, (step - warm) / (total_steps - warm)))
