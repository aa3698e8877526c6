"""Explain failures of training so that the user knows how to continue."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from training.transformer.data import FitError
from training.transformer.recipe import Recipe

#: The name of the CPU allocator in its error message. The GPU allocator has its own exception type.
_FULL = "DefaultCPUAllocator"


@contextmanager
def explained(recipe: Recipe) -> Iterator[None]:
    """Raise FitError with advice if the block runs out of memory."""
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise _too_large(recipe) from error
    except RuntimeError as error:
        if _FULL not in str(error):
            raise
        raise _too_large(recipe) from error


def _too_large(recipe: Recipe) -> FitError:
    draws = f"fit.negatives (now {recipe.negatives}), " if recipe.negatives else ""
    return FitError(
        f"a step does not fit into memory: halve fit.batch_tokens (now {recipe.batch_tokens}), or "
        f"lower {draws}fit.max_length or fit.size; the run goes on from its last epoch only if the "
        "data and section `fit` stay as they are"
    )
