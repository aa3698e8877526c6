"""Training speed of each size on this device, relative to its best matrix-product rate.

    make bench-sizes                     # small, base and large, on a GPU where there is one
    python -m benchmarks.sizes --sizes tiny small --set batch_tokens=8192 --seconds 20
    RONDO_TRAIN_COMPILE=true make bench-sizes

Uses the product's trainer on a generated log, in bf16 if the hardware supports it (`RONDO_TRAIN_…`
settings apply), with each size in its own process. A token is a real event that a step learns to
predict. The share of the matrix-product rate (model FLOP utilisation, relative to a measured rate,
not an advertised one) counts the operations that such tokens need, forward and backward, without
padding. Results are written to `reports/bench-sizes.json` after each size.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
import torch

from base.errors import InputError
from benchmarks import made_log, matmul
from benchmarks.child import measured
from benchmarks.options import add_set, changes, fit_params, run_options
from benchmarks.progress import peak_bytes
from benchmarks.scale import QUERIES, SEED
from benchmarks.task import WARM
from benchmarks.trained import Watch, needed_flops
from features.items.text import TEXT_SIZE
from training.transformer import trainer
from training.transformer.config import Size, TransformerParams
from training.transformer.data import Tokens
from training.transformer.precision import native
from training.transformer.tail import lazy_candidates

DEFAULTS: Final[dict[str, Any]] = {"batch_tokens": 32_768, "max_length": 200, "max_epochs": 1}
ROW: Final = (
    "{size:<7}{parameters:>13,}{tokens_per_second:>13,.0f}{seconds_per_step:>10.3f}"
    "{tflops_per_second:>10.3f}{share_of_matmul_rate:>9.1%}{peak_mb:>9,.0f}{device_peak_mb:>11,.0f}"
)
HEAD: Final = (
    f"{'size':<7}{'parameters':>13}{'tokens/s':>13}{'s a step':>10}{'TFLOP/s':>10}{'share':>9}"
    f"{'peak MB':>9}{'device MB':>11}"
)


def measure(
    folder: Path, catalogue: int, params: TransformerParams, watch: Watch
) -> dict[str, Any]:
    """Train on the log in `folder`, which `made_log.write` generated with `catalogue` items."""
    options = run_options()
    if options.devices * options.num_nodes > 1:
        raise InputError("use one device: speed is compared with the rate of this device")
    device = torch.device(
        "cuda" if options.accelerator != "cpu" and torch.cuda.is_available() else "cpu"
    )
    if device.type == "cpu":
        torch.set_num_threads(options.threads)
    dtype = torch.float32 if native(options) == "32-true" else torch.bfloat16
    ceiling = matmul.rate(dtype, 8192 if device.type == "cuda" else matmul.SIZE, device=device)
    random = np.random.default_rng(SEED)
    text = random.standard_normal((catalogue, TEXT_SIZE), dtype=np.float32)
    tail = made_log.tail(QUERIES, catalogue, SEED)
    allowed = lazy_candidates(tail, np.zeros(catalogue, dtype=np.int64), repeats=True)
    log = Tokens.open(folder)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    fitted = trainer.fit(
        log, tail, allowed, text, params, options, folder / params.size, False, [watch]
    )
    if watch.counted < 1:
        raise InputError(f"the log ends before {WARM + 1} steps: raise --events")
    needed = needed_flops(fitted, log)
    speed = watch.tokens / watch.elapsed
    return {
        "size": params.size,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "precision": str(dtype).removeprefix("torch."),
        "compiled": options.compile,
        "parameters": fitted.parameters,
        "steps": watch.counted,
        "tokens_per_second": speed,
        "seconds_per_step": watch.elapsed / watch.counted,
        "flops_per_token": needed,
        "tflops_per_second": speed * needed / 1e12,
        "matmul_tflops_per_second": ceiling / 1e12,
        "share_of_matmul_rate": speed * needed / ceiling,
        "peak_mb": peak_bytes() / 2**20,
        "device_peak_mb": torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else 0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sizes")
    add = parser.add_argument
    add("--sizes", nargs="+", choices=get_args(Size), default=["small", "base", "large"])
    add("--events", type=float, default=4e6)
    add("--catalogue", type=float, default=1e4, help="items")
    add("--steps", type=int, default=100)
    add("--seconds", type=float, default=60.0, help="of training at each size")
    add_set(parser)
    add("--reports", type=Path, default=Path("reports"))
    add("--log", type=Path, help=argparse.SUPPRESS)  # set: a process that measures one size
    arguments = parser.parse_args()
    try:
        values = DEFAULTS | {"seed": SEED} | changes(arguments.set)
        if arguments.log:
            params = fit_params(values | {"size": arguments.sizes[0]})
            watch = Watch(arguments.seconds, arguments.steps)
            found = measure(arguments.log, int(arguments.catalogue), params, watch)
            print(json.dumps(found))
            return
        fit_params(values)
        print(HEAD, flush=True)
        with tempfile.TemporaryDirectory(prefix="rondo-sizes-") as name:
            made_log.write(Path(name), int(arguments.events), int(arguments.catalogue), SEED)
            points = []
            for size in arguments.sizes:
                own = [*sys.argv[1:], "--sizes", size, "--log", name]
                points.append(measured(size, "benchmarks.sizes", *own))
                arguments.reports.mkdir(parents=True, exist_ok=True)
                path = arguments.reports / "bench-sizes.json"
                path.write_text(json.dumps({"fit": values, "sizes": points}, indent=2) + "\n")
                print(ROW.format(**points[-1]), flush=True)
    except InputError as error:
        sys.exit(f"bench-sizes: {error}")
    told = f"{points[-1]['precision']}, {points[-1]['device']}"
    print(f"matrix product: {points[-1]['matmul_tflops_per_second']:.3f} TFLOP/s ({told})")


if __name__ == "__main__":
    main()
