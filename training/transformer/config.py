"""What the transformer is (section `fit`) and how a run computes it (environment)."""

import math
from dataclasses import dataclass
from typing import Final, Literal

from pydantic_settings import BaseSettings, SettingsConfigDict

Size = Literal["tiny", "small", "base", "large", "xl"]
LoggerName = Literal["tensorboard", "mlflow", "wandb", "none"]


@dataclass(frozen=True)
class Shape:
    """What `size` derives."""

    embedding_size: int
    """Width of every vector in the model."""

    num_layers: int
    """Transformer blocks."""

    num_heads: int
    """Attention heads per block."""

    learning_rate: float
    """Peak of the schedule; falls with width as in Yang et al., 2022 (muP), coarsely."""


STEPS_AN_EPOCH: Final = 120
"""Fewer waste a small log's epochs, more are slow: a short step has the same fixed costs."""

SHAPES: Final[dict[Size, Shape]] = {
    "tiny": Shape(64, 2, 2, 5e-3),
    "small": Shape(128, 2, 2, 2e-3),
    "base": Shape(256, 6, 8, 1.5e-3),
    "large": Shape(512, 12, 8, 5e-4),
    "xl": Shape(1024, 24, 16, 2.5e-4),
}


@dataclass(frozen=True)
class TransformerParams:
    """Section `fit`: everything that changes the weights."""

    size: Size = "tiny"
    """The one dial: width, depth, heads and learning rate follow from it."""

    seed: int = 1
    """Initial weights, order of batches, dropout."""

    max_epochs: int = 6
    """Passes over the fit window; the learning rate falls to a twentieth over this many."""

    patience: int = 2
    """Epochs without a better tail before stopping."""

    batch_tokens: int | None = None
    """Token slots in one optimiser step, over all devices together. None: as many as make about
    STEPS_AN_EPOCH steps an epoch, a power of two from 512 to 8192."""

    max_length: int = 128
    """Events of a history that the model looks at, newest kept."""

    time_bias: bool = True
    """Attention weighs an event by the time from it to what is predicted, learned per head."""

    distance_bias: bool = True
    """Attention weighs an event by the number of events since, learned per head."""

    dropout: float = 0.3
    """Share of activations zeroed in training."""

    id_dropout: float = 0.1
    """Share of items that lose their id in a training step, on input and output alike."""

    weight_decay: float = 0.01
    """Decoupled, on matrices and embeddings."""

    warmup: float = 0.05
    """Share of all steps in which the learning rate rises."""

    average: float = 0.03
    """Share of all steps that the average of the weights looks back; the model is that average."""

    negatives: int | None = None
    """Items drawn in a step to estimate the softmax from, 0: it is exact. None: exact up to 32,768
    items with an id, where it makes a step three times as long, and 8,192 draws above."""

    tail_share: float = 0.05
    """Newest share of the fit window's events, kept out of training to decide when to stop."""

    tail_queries: int = 600
    """At most this many moments of the tail are ranked after each epoch."""

    def __post_init__(self) -> None:
        for name in ("max_epochs", "patience", "batch_tokens", "max_length", "tail_queries"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"'fit.{name}' must be at least 1, not {value}")
        if self.negatives is not None and self.negatives < 0:
            raise ValueError(f"'fit.negatives' must be at least 0, not {self.negatives}")
        for name in ("dropout", "id_dropout", "warmup", "average", "tail_share"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"'fit.{name}' must be in [0, 1), not {getattr(self, name)}")

    @property
    def shape(self) -> Shape:
        return SHAPES[self.size]

    def step_tokens(self, events: int) -> int:
        """`batch_tokens` for a log of so many events."""
        if self.batch_tokens is not None:
            return self.batch_tokens
        exponent = round(math.log2(max(events, 1) / STEPS_AN_EPOCH))
        return int(2 ** min(max(exponent, 9), 13))


class RunOptions(BaseSettings):
    """Where and how fast it is computed, from the environment (prefix `RONDO_TRAIN_`)."""

    model_config = SettingsConfigDict(env_prefix="RONDO_TRAIN_", frozen=True, extra="ignore")

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """Device kind."""

    devices: int = 1
    """Devices per node; on CPU, processes."""

    num_nodes: int = 1
    """Machines, each started with the same command (for example by `torchrun`)."""

    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    """How several devices share the work; `fsdp` also shares the weights."""

    precision: Literal["auto", "32-true", "bf16-mixed"] = "32-true"
    """Number format of the computation; `auto`: bf16-mixed where the hardware multiplies it."""

    compile: bool = False
    """Compile the model with torch.compile: pays on GPUs and long runs."""

    threads: int = 2
    """CPU threads; the same number gives the same bytes."""

    logger: LoggerName = "tensorboard"
    """Where curves go, below RONDO_HOME: tensorboard, mlflow, wandb or none."""
