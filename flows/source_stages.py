"""Generate the stages of `dvc.yaml` that fit candidate sources, from `training.sources.all`.

If a source's `stage` has the source's own name, it is fitted by running the source's file. So
adding a source adds a stage and reruns no other source (ADR 22).
"""

import re
from collections.abc import Iterable
from typing import Any, Final

import yaml

from training.sources.all import SOURCES
from training.sources.source import Source

FOLDER: Final = "data/sources"
#: The stage that reads all sources, and creates those that have nothing to learn. Generated stages
#: stand before it.
READER: Final = "candidates"
_READER: Final = re.compile(rf"^  {READER}:\n(?:    .*\n)+", re.MULTILINE)
_COMMAND: Final = "exec python -m base.stage training.sources."
_OURS: Final = re.compile(
    rf"^  \w+:\n    cmd: >-\n      {re.escape(_COMMAND)}.*\n(?:    .*\n)+\n", re.MULTILINE
)


def bring_in(pipeline: str) -> str:
    """The text of `dvc.yaml` with the stages of SOURCES, otherwise unchanged.

    The listed code of existing stages stays; a new stage has none yet.
    """
    known = yaml.safe_load(pipeline)["stages"]
    fitted = [source for source in SOURCES if source.stage == source.name]
    ours = "".join(_stage(source, known.get(source.name, {})) for source in fitted)
    return _READER.sub(lambda found: ours + _reader(found[0], fitted), _OURS.sub("", pipeline))


def _stage(source: type[Source], known: dict[str, Any]) -> str:
    data = ["data/split", *(["data/features"] if source.tuned else [])]
    code = [dep for dep in known.get("deps", []) if not dep.startswith("data/")]
    out = f"{FOLDER}/{source.name}"
    params = f"    params: [{source.name}]\n" if source.params else ""
    return (
        f"  {source.name}:\n"
        "    cmd: >-\n"
        f"      {_COMMAND}{source.name} {' '.join(data)}\n"
        f"      {out}\n"
        f"    deps:\n{_listed([*data, *code])}{params}"
        f"    outs: [{out}]\n\n"
    )


def _reader(block: str, fitted: Iterable[type[Source]]) -> str:
    block = re.sub(rf"      - {FOLDER}/.*\n", "", block)
    folders = _listed(f"{FOLDER}/{source.name}" for source in fitted)
    block = block.replace("      - data/transformer\n", "      - data/transformer\n" + folders)
    made_here = [source.name for source in SOURCES if source.stage is None and source.params]
    sections = ", ".join([READER, *made_here])
    return re.sub(r"    params: \[.*\]\n", f"    params: [{sections}]\n", block)


def _listed(paths: Iterable[str]) -> str:
    return "".join(f"      - {path}\n" for path in paths)
