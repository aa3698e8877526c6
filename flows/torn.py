"""Repair files that a kill left half written in a workspace, since DVC rewrites small files in
place.

No later run could read them. All their content can be found again: outputs are identified by their
content, and the log is hashed anew.
"""

import logging
from pathlib import Path
from typing import Any, Final

import yaml

logger = logging.getLogger("rondo.workspace")

#: DVC's list of what each process reads and writes now, by process id.
RUNNING: Final = Path(".dvc/tmp/rwlock")


def mend(root: Path, log: Path) -> None:
    """Remove those of DVC's files in the workspace at `root` that cannot be read.

    log: the versioned folder, below `root`. Only for a process that keeps all others out of the
    workspace.
    """
    # No other process is working here, so its entries belong to ended processes, whose ids may be
    # in use again.
    (root / RUNNING).unlink(missing_ok=True)
    for path, whole in ((root / "dvc.lock", _is_lock), (root / f"{log}.dvc", _is_pointer)):
        if path.exists() and not whole(_parsed(path), log.name):
            logger.warning("%s was left half written by a killed run: it is made again", path)
            path.unlink()


def _is_lock(content: Any, _: str) -> bool:
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from voluptuous import Invalid

    try:
        COMPILED_LOCKFILE_SCHEMA(content)
    except Invalid:
        return False
    stages = content.get("stages", {}).values()
    entries = [entry for s in stages for entry in (*s.get("deps", ()), *s.get("outs", ()))]
    # DVC's schema accepts content that DVC cannot work with: a hash whose name was cut off.
    return all(entry.get("hash") == "md5" and entry.get("md5") for entry in entries)


def _is_pointer(content: Any, name: str) -> bool:
    """Whether the content is complete: its last line is the name of the folder."""
    try:
        (out,) = content["outs"]
        return bool(out["md5"].endswith(".dir") and out["path"] == name)
    except (KeyError, TypeError, ValueError, AttributeError):
        return False


def _parsed(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_bytes())
    except yaml.YAMLError:
        return None
