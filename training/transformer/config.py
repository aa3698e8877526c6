"""What the transformer is (section `fit`) and how a run computes it (environment)."""

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
    """What `size` derives."""

    embedding_size: int
    """Width of every vector in the model."""

    num_layers: int
    """Transformer blocks."""

    num_heads: int
    """Attention heads per block."""

    learning_rate: float
    """Peak of the schedule; falls with width as in Yang et al., 2022 (muP), coarsely."""


SHAPES: Final[dict[Size, Shape]] = {
    "tiny": Shape(64, 2, 2, 5e-3),
    "small": Shape(128, 2, 2, 3e-3),
    "base": Shape(256, 6, 8, 1.5e-3),
    "large": Shape(512, 12, 8, 5e-4),
    "xl": Shape(1024, 24, 16, 2.5e-4),
}


@dataclass(frozen=True)
class TransformerParams:
    """Section `fit`: everything that changes the weights. None: derived (`recipe.Recipe`)."""

    size: Size = "tiny"
    """The one dial: width, depth, heads and learning rate follow from it."""

    seed: Int = 1
    """Initial weights, order of batches, dropout."""

    max_epochs: Count = 5
    """Passes over the fit window; the learning rate falls over this many."""

    patience: Count = 2
    """Epochs without a better tail before stopping."""

    batch_tokens: Count | None = None
    """Token slots in one optimiser step, over all devices together. None: by the log's length."""

    max_length: Count = 128
    """Events of a history that the model looks at, newest kept."""

    time_bias: Bool = True
    """Attention weighs an event by the time from it to what is predicted, learned per head."""

    distance_bias: Bool = True
    """Attention weighs an event by the number of events since, learned per head."""

    dropout: Share | None = None
    """Share of activations zeroed in training. None: more, the fewer events an item has."""

    id_dropout: Share = 0.1
    """Share of items that lose their id in a training step, on input and output alike."""

    weight_decay: Annotated[Float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Decoupled, on matrices and embeddings; scaled by the learning rate. None: more, the fewer
    events an item has."""

    loss: LossName = "softmax"
    """Over the catalogue, exactly or by a sample; `contrastive`: among the targets of a step;
    `bce`, `gbce`, `mse`: each score by itself (training/transformer/pointwise.py)."""

    optimiser: OptimiserName = "adamw"
    """What takes the steps; all keep the average of the weights."""

    learning_rate: Annotated[Float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Peak of the schedule. None: by size, which is right for the kinds of Adam."""

    schedule: ScheduleName = "cosine"
    """How the learning rate falls after its warm-up: to a twentieth, unless `constant`."""

    warmup: Share = 0.05
    """Share of all steps in which the learning rate rises."""

    average: Share = 0.03
    """Share of all steps that the average of the weights looks back; the model is that average."""

    negatives: Annotated[Int, Field(ge=0)] | None = None
    """Items drawn in a step to estimate the softmax from, 0: it is exact. None: exact up to 32,768
    items with an id, where it makes a step three times as long, and 8,192 draws above; 256 for the
    losses of single scores."""

    tail_share: Share = 0.05
    """Newest share of the fit window's events, kept out of training to decide when to stop."""

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
