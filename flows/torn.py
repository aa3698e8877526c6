"""What a kill leaves half written in a workspace: DVC rewrites its small files in place.

A run after the kill could not read them, and no later one either. None of them says anything that
cannot be found again: outputs are known by their contents, the log is hashed anew.
"""

import logging
from pathlib import Path
from typing import Any, Final

import yaml

logger = logging.getLogger("rondo.workspace")

#: Who reads and writes what at this moment, by process id.
RUNNING: Final = Path(".dvc/tmp/rwlock")


def mend(root: Path, log: Path) -> None:
    """Remove what cannot be read of DVC's files in the workspace at `root`.

    log: the versioned folder, below `root`. Only for whoever keeps everybody else out of it.
    """
    # Of a process that is gone, as nobody else is here; its id may be another's by now.
    (root / RUNNING).unlink(missing_ok=True)
    for path, whole in ((root / "dvc.lock", _is_lock), (root / f"{log}.dvc", _is_pointer)):
        if path.exists() and not whole(_parsed(path), log.name):
            logger.warning("%s was left half written by a run that was killed: made anew", path)
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
    # DVC's schema lets pass what DVC cannot work with: a hash by a name that was cut.
    return all(entry.get("hash") == "md5" and entry.get("md5") for entry in entries)


def _is_pointer(content: Any, name: str) -> bool:
    """Its last line is the name of the folder."""
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
