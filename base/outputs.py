"""Replace a stage's outputs as a whole, so that a killed stage leaves the old output or the new
one."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replace_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`. It replaces `path` when the block succeeds."""
    temporary = path.with_name(f".{path.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    yield temporary
    shutil.rmtree(path, ignore_errors=True)
    temporary.rename(path)
