"""The DVC stage of a source: fit it on what was known before the rank window, and save it.

The file of each source ends in `run(Source)`, so that its stage depends on that file and on no
other source. The command is `python -m training.sources.NAME data/split [data/features]
data/sources/NAME`, with data/features for a source that is `tuned`. `make deps` writes these stages
into `dvc.yaml`.
"""

import sys
from pathlib import Path
from typing import Any

from base.outputs import replace_folder
from base.params import load
from training.sources.log import Log
from training.sources.source import Source


def section(source: type[Source]) -> Any:
    """The dataclass of the source's section in `params.yaml`, or None if it has none."""
    return None if source.params is None else load(source.params, section_name(source))


def section_name(source: type[Source]) -> str:
    """The source's section in `params.yaml`: the name of its stage, or of the source if it has
    none."""
    return source.stage or source.name


def fit_into(source: type[Source], log: Log, out: Path) -> None:
    """Fit `source` on what was known before the rank window of `log`, and save it to `out`."""
    fitted = source.fit(log, log.windows().fit_end, section(source))
    with replace_folder(out) as folder:
        fitted.save(folder)
    print(f"source {source.name}: {sum(path.stat().st_size for path in out.iterdir())} bytes")


def run(source: type[Source]) -> None:
    """Run a source's stage with the arguments of this process."""
    split, *features, out = (Path(argument) for argument in sys.argv[1:])
    fit_into(source, Log(split, *features), out)
