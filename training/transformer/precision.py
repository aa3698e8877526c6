"""Number formats: which one this machine computes fast, and which one a computation uses."""

from typing import Literal

import torch
from torch import Tensor

from training.transformer.config import RunOptions


def native(options: RunOptions) -> Literal["32-true", "bf16-mixed"]:
    """Lightning's name of the number format. "auto" becomes bf16 if the hardware supports its
    products."""
    if options.precision != "auto":
        return options.precision
    if options.accelerator != "cpu" and torch.cuda.is_available():
        able = torch.cuda.is_bf16_supported()
    else:
        found = torch.cpu.get_capabilities()
        able = any(found.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return "bf16-mixed" if able else "32-true"


def computing(x: Tensor) -> Tensor:
    """`x` in the type that autocast uses for products. Unchanged without autocast."""
    device = x.device.type
    return x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else x
