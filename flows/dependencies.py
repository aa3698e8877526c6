"""`make deps`: write the code that each stage depends on into `dvc.yaml`, found by its imports.

    python -m flows.dependencies

DVC does not see imports. Other dependencies (data) stay as they are in the file, except for the
stages of candidate sources, which are generated completely (`flows.source_stages`).
"""

import shutil
from pathlib import Path
from typing import Any, Final

from base import code
from flows import source_stages
from training import fingerprint

#: A stage that imports this module also depends on all code that the fingerprint covers.
NAMING: Final = "training/fingerprint.py"
LAUNCHER: Final = "base.stage"
#: If all files of a folder are needed, and at least this many, the folder is listed instead.
FOLDER: Final = 3


def needed(root: Path = code.SOURCE) -> dict[str, list[str]]:
    """The code that each stage needs: stage name to paths below `root`, sorted."""
    found = {}
    for name, stage in fingerprint.pipeline(root).items():
        files = set(code.files([LAUNCHER, fingerprint.stage_module(stage)], root))
        if NAMING in files:
            files |= set(fingerprint.code_files(root))
        found[name] = _with_folders(files, root)
    return found


def listed(root: Path = code.SOURCE) -> dict[str, list[str]]:
    """The code that `dvc.yaml` lists for each stage."""
    stages = fingerprint.pipeline(root)
    return {name: [dep for dep in stage["deps"] if _is_code(dep)] for name, stage in stages.items()}


def write(root: Path = code.SOURCE) -> bool:
    """Bring `dvc.yaml` up to date, without other changes. Returns whether anything changed."""
    from ruamel.yaml import YAML

    path = root / fingerprint.PIPELINE
    before = path.read_text()
    # Write the stages first: what each of them needs is found by reading the file.
    path.write_text(source_stages.bring_in(before))
    yaml = YAML()
    yaml.width = 100
    yaml.indent(mapping=2, sequence=4, offset=2)
    content = yaml.load(path)
    for name, paths in needed(root).items():
        stage = content["stages"][name]
        stage["deps"][:] = [*(dep for dep in stage["deps"] if not _is_code(dep)), *paths]
        if NAMING in paths:
            _name_sections(stage["params"], fingerprint.sections(root))
    written = path.with_name(f".{path.name}.tmp")
    with written.open("w") as file:
        yaml.dump(content, file)
    shutil.move(written, path)
    return path.read_text() != before


def _name_sections(params: list[Any], sections: list[str]) -> None:
    """Add the missing `sections` to a stage's params, unless it depends on all of `params.yaml`."""
    if all(isinstance(name, str) for name in params):
        params += [name for name in sections if name not in params]


def _is_code(dep: str) -> bool:
    return not dep.startswith(("data/", "${"))


def _with_folders(files: set[str], root: Path) -> list[str]:
    """Replace files by their folder if they are all its files."""
    folders = sorted({Path(name).parent.as_posix() for name in files})
    for folder in folders:
        below = {path.relative_to(root).as_posix() for path in (root / folder).rglob("*.py")}
        holding = {name for name in below if name in files or not name.endswith("__init__.py")}
        if folder != "." and len(holding) >= FOLDER and holding <= files:
            files = {name for name in files if name not in below} | {folder}
    return sorted(files)


def main() -> None:
    print("dvc.yaml was brought up to date" if write() else "dvc.yaml is up to date")


if __name__ == "__main__":
    main()
