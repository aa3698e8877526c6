"""The folder of a run's checkpoints.

Only a run with the same data, code and settings uses it again.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

from base import code
from training.transformer.config import RunOptions, TransformerParams
from training.transformer.precision import native


def folder(
    home: Path,
    inputs: Iterable[Path],
    params: TransformerParams,
    options: RunOptions,
    until: int | None = None,
) -> Path:
    """A folder below `home`, named by the bytes of `inputs`, the code, the settings, the number
    format and the cut-off `until`, µs (None: all of `inputs` is learned from).

    The number of devices is not part of the name, since a run may continue with more or fewer. A
    checkpoint of sharded weights has another file name.
    """
    computed = [native(options), options.strategy == "fsdp"]
    digest = sha256(json.dumps([until, asdict(params), computed]).encode())
    for path in inputs:
        digest.update(sha256(path.read_bytes()).digest())
    digest.update(code.digest(code.deciding(["training.fit"])).encode())
    return home / "checkpoints" / digest.hexdigest()
