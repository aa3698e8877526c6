"""A run out of memory, on the real allocator."""

import subprocess
import sys

import pytest
import torch

from training.transformer.config import TransformerParams
from training.transformer.data import FitError
from training.transformer.failures import explained
from training.transformer.recipe import Recipe

RECIPE = Recipe.of(TransformerParams(negatives=100), events=1000, items=1000)
STARVED = """
import resource, torch
from training.transformer.config import TransformerParams
from training.transformer.failures import explained
from training.transformer.recipe import Recipe
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, -1))
with explained(Recipe.of(TransformerParams(batch_tokens=4096), 1, 1)):
    torch.ones(2**29)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="this machine has no Linux limits of memory")
def test_a_batch_that_does_not_fit_names_the_setting_to_lower() -> None:
    ran = subprocess.run([sys.executable, "-c", STARVED], capture_output=True, text=True)
    assert ran.returncode == 1
    assert "FitError: a step does not fit into memory" in ran.stderr
    assert "halve fit.batch_tokens (now 4096)" in ran.stderr


def test_a_full_gpu_is_the_same_error() -> None:
    with (
        pytest.raises(FitError, match=r"batch_tokens \(now 512\).*negatives \(now 100\)"),
        explained(RECIPE),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_another_error_passes() -> None:
    with pytest.raises(RuntimeError, match="shapes"), explained(RECIPE):
        raise RuntimeError("shapes do not match")
