"""What the transformer is (section `fit`), and how a run computes it (environment variables)."""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from base.params import Bool, Float, Int

Size = Literal["tiny", "small", "base", "large", "xl"]
LossName = Literal["softmax", "contrastive", "bce", "gbce", "mse"]
OptimiserName = Literal["adamw", "nadam", "radam", "sgd"]
ScheduleName = Literal["cosine", "linear", "exponential", "constant"]
LoggerName = Literal["tensorboard", "mlflow", "wandb", "none"]

Count = Annotated[Int, Field(ge=1)]
Share = Annotated[Float, Field(ge=0, lt=1)]


@dataclass(frozen=True)
class Shape:
    """The settings that follow from `size`."""

    embedding_size: int
    """Width of every vector in the model."""

    num_layers: int
    """Transformer blocks."""

    num_heads: int
    """Attention heads per block."""

    learning_rate: float
    """Peak of the schedule. Falls with width, roughly as in Yang et al., 2022 (muP)."""


SHAPES: Final[dict[Size, Shape]] = {
    "tiny": Shape(64, 2, 2, 5e-3),
    "small": Shape(128, 2, 2, 3e-3),
    "base": Shape(256, 6, 8, 1.5e-3),
    "large": Shape(512, 12, 8, 5e-4),
    "xl": Shape(1024, 24, 16, 2.5e-4),
}


@dataclass(frozen=True)
class TransformerParams:
    """Section `fit`: everything that changes the weights.

    A field that is None is derived from the data (`recipe.Recipe`).
    """

    size: Size = "tiny"
    """Sets width, depth, heads and learning rate."""

    seed: Int = 1
    """Seed of the initial weights, the order of batches and dropout."""

    max_epochs: Count = 5
    """Passes over the fit window. The learning rate falls over this many epochs."""

    patience: Count = 2
    """Training stops after this many epochs without a better result on the tail."""

    batch_tokens: Count | None = None
    """Token slots per optimiser step, over all devices together. None: by the length of the log."""

    max_length: Count = 128
    """How many of the newest events of a history the model uses."""

    time_bias: Bool = True
    """Whether attention has a learned bias, per head, by the time from an event to the
    prediction."""

    distance_bias: Bool = True
    """Whether attention has a learned bias, per head, by the number of events in between."""

    dropout: Share | None = None
    """Share of activations zeroed in training. None: the fewer events per item, the higher."""

    id_dropout: Share = 0.1
    """Share of items that lose their id in a training step, both as input and as output."""

    weight_decay: Annotated[Float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Decoupled weight decay on matrices and embeddings, scaled by the learning rate.

    None: the fewer events per item, the higher.
    """

    loss: LossName = "softmax"
    """`softmax`: over the catalogue, exact or sampled.

    `contrastive`: among the targets of a step. `bce`, `gbce`, `mse`: each score by itself
    (training/transformer/pointwise.py).
    """

    optimiser: OptimiserName = "adamw"
    """The optimiser. All of them also keep an average of the weights."""

    learning_rate: Annotated[Float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Peak of the schedule. None: by size, with values that suit the variants of Adam."""

    schedule: ScheduleName = "cosine"
    """How the learning rate falls after the warm-up: to a twentieth, except for `constant`."""

    warmup: Share = 0.05
    """Share of all steps during which the learning rate rises."""

    average: Share = 0.03
    """The model is an average of the weights over about this share of all steps."""

    negatives: Annotated[Int, Field(ge=0)] | None = None
    """Items drawn per step to estimate the softmax; 0 makes it exact.

    None: exact up to 32,768 items with an id (where it makes a step three times as long), and 8,192
    draws above; 256 draws for `bce`, `gbce` and `mse`.
    """

    tail_share: Share = 0.05
    """Newest share of the fit window's events. Not trained on, but used to decide when to stop."""

    tail_queries: Count = 600
    """At most this many moments of the tail are ranked after each epoch."""

    def __post_init__(self) -> None:
        if self.negatives is not None and self.loss == "contrastive":
            raise ValueError("'fit.negatives' is not for 'fit.loss' contrastive: the targets of a "
                             "step are its negatives")  # fmt: skip
        if self.negatives == 0 and self.loss != "softmax":
            raise ValueError(f"'fit.negatives' must be at least 1 for 'fit.loss' {self.loss}")
        if self.optimiser == "sgd" and self.learning_rate is None:
            raise ValueError("'fit.optimiser' sgd needs a 'fit.learning_rate' of its own")

    @property
    def shape(self) -> Shape:
        return SHAPES[self.size]


class RunOptions(BaseSettings):
    """Where and how fast the model is computed, from the environment (prefix `RONDO_TRAIN_`)."""

    model_config = SettingsConfigDict(env_prefix="RONDO_TRAIN_", frozen=True, extra="ignore")

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """Kind of device."""

    devices: int = 1
    """Devices per node. On the CPU: processes."""

    num_nodes: int = 1
    """Machines, each started with the same command (for example by `torchrun`)."""

    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    """How several devices share the work; `fsdp` also shares the weights."""

    precision: Literal["auto", "32-true", "bf16-mixed"] = "32-true"
    """Number format of the computation.

    `auto`: bf16-mixed if the hardware supports its products.
    """

    compile: bool = False
    """Compile the model with torch.compile. Worthwhile on GPUs and in long runs."""

    threads: int = 2
    """CPU threads. The same number gives the same bytes."""

    logger: LoggerName = "tensorboard"
    """Where learning curves are written, below RONDO_HOME: tensorboard, mlflow, wandb or none."""
