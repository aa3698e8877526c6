"""What goes wrong while training, said so that somebody can go on from there."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from training.transformer.config import TransformerParams
from training.transformer.data import FitError

#: The name of the allocator for CPUs, in its only error; that for GPUs has a type of its own.
_FULL = "DefaultCPUAllocator"


@contextmanager
def explained(params: TransformerParams) -> Iterator[None]:
    """Raises FitError where the block runs out of memory."""
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise _too_large(params) from error
    except RuntimeError as error:
        if _FULL not in str(error):
            raise
        raise _too_large(params) from error


def _too_large(params: TransformerParams) -> FitError:
    tokens = params.batch_tokens or "by the length of the log"
    return FitError(
        f"a step does not fit into memory: halve fit.batch_tokens (now {tokens}), "
        "or lower fit.max_length or fit.size; the run goes on from its last epoch only if the data "
        "and section `fit` stay as they are"
    )
