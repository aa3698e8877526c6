r"""Stage `package`: everything that the service needs, in one immutable folder with a manifest of
hashes.

Reads data/split, data/features, data/transformer, data/candidates, data/trees and data/evaluation.
Writes data/release (see `serving.release`). The same inputs give the same bytes, and so the same
id.

    python -m serving.package data/split data/features data/transformer data/candidates \
        data/trees data/evaluation data/release
"""

import hashlib
import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from base import params
from base.outputs import replace_folder
from features.requests.training_set import load_catalogue, load_queries
from features.splits.placements import PlacementsParams
from features.splits.windowing import Rules
from features.splits.windows import Windows
from serving import golden
from serving.policy import PolicyParams
from serving.release import seal
from training.fingerprint import FEATURES_KEY, feature_fingerprint, fingerprint
from training.recommender import Recommender


def package(
    split: Path,
    features: Path,
    transformer: Path,
    candidates: Path,
    trees: Path,
    evaluation: Path,
    release: Path,
) -> str:
    """Assemble the folder `release` from the stages' outputs and return the release id."""
    content = params.read()
    release.mkdir(parents=True, exist_ok=True)
    for source, name in (
        (transformer, "transformer"),
        (candidates / "sources", "sources"),
        (trees, "trees"),
    ):
        if source.exists():
            shutil.copytree(source, release / name)
    shutil.copyfile(split / "items.parquet", release / "items.parquet")
    rules = Rules.read(split / "rules.json")
    _write(
        release / "policy.json",
        {
            "policy": asdict(params.build(PolicyParams, "policy", content["policy"])),
            "placements": asdict(
                params.build(PlacementsParams, "placements", content["placements"])
            ),
            "history_length": rules.history_length,
            "min_rating": rules.min_rating,
        },
    )
    _write(
        release / "lineage.json",
        {
            "data": hash_folder(split),
            "features": hash_folder(features),
            "evaluation": hash_folder(evaluation),
            "fingerprint": fingerprint(content),
            FEATURES_KEY: feature_fingerprint(content),
            "params": content,
            "windows": Windows.read(split / "windows.json").model_dump(),
        },
    )
    recommender = Recommender.load(release, load_catalogue(split))
    queries = load_queries(split, features, "judge", "organic")
    golden.write(release, recommender, golden.choose(queries.requests))
    return seal(release)


def hash_folder(folder: Path) -> str:
    """SHA-256 of the names and bytes of all files below `folder`."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


def main() -> None:
    *sources, release = (Path(argument) for argument in sys.argv[1:])
    with replace_folder(release) as temporary:
        split, features, transformer, candidates, trees, evaluation = sources
        identity = package(split, features, transformer, candidates, trees, evaluation, temporary)
    print(f"release {identity}")


if __name__ == "__main__":
    main()
