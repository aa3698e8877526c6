"""The speed of matrix products on this machine, to which training speed is compared.

python -m benchmarks.matmul 2      # threads
"""

import json
import sys
import time
from typing import Final

import torch

SIZE: Final = 2048
SECONDS: Final = 2.0
PRECISIONS: Final = (torch.float32, torch.bfloat16)


def rate(
    dtype: torch.dtype,
    size: int = SIZE,
    seconds: float = SECONDS,
    device: torch.device | None = None,
) -> float:
    """Best rate, in floating-point operations per second, of a square matrix product within
    `seconds`."""
    left, right = torch.randn(2, size, size, device=device).to(dtype)
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:  # the first one also builds the kernel
        began = time.perf_counter()
        torch.mm(left, right)
        if left.is_cuda:
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    print(json.dumps({str(dtype).removeprefix("torch."): rate(dtype) for dtype in PRECISIONS}))
