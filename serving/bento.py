"""Package a release as a Bento that serves it on any machine.

    python -m serving.bento                  # the current champion
    python -m serving.bento data/release     # a release folder
    bentoml serve rondo:latest               # starts on that release, then follows the channel

A Bento holds the service's code, the release and exact versions of the packages that the service
needs, but none that only train or orchestrate. It listens on this machine only, even in a
container, unless `--host` or BENTOML_HOST says otherwise: see `docs/guides/settings.md`.
"""

import re
import shutil
import sys
import tempfile
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from base.settings import Settings
from serving import channels
from serving.database import connect
from serving.release import Release, ReleaseError, fetch

PACKAGES: Final = ("base", "features", "training", "serving")
#: Extras with the drivers of databases that a setting may name.
EXTRAS: Final = ("postgres", "mysql")
_CHECKOUT: Final = Path(__file__).resolve().parent.parent


def build(release: Path, checkout: Path = _CHECKOUT) -> str:
    """Build a Bento around a verified release and return its tag. Raises ReleaseError."""
    import bentoml

    opened = Release.open(release)
    with tempfile.TemporaryDirectory(prefix="rondo-bento-") as folder:
        context = Path(folder)
        stage(opened.path, checkout, context)
        bento = bentoml.build(
            "serving.service:Rondo",
            build_ctx=str(context),
            include=["*.txt", "release/**", *(f"{package}/**" for package in PACKAGES)],
            labels={"release": opened.id[:40]},
            python={"requirements_txt": "requirements.txt", "lock_packages": False},
        )
    return str(bento.tag)


def stage(release: Path, checkout: Path, context: Path) -> None:
    """Copy what goes into the Bento to one folder: code, release, requirements, constraints."""
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
    for package in PACKAGES:
        shutil.copytree(checkout / package, context / package, ignore=ignore)
    shutil.copytree(release, context / "release")
    shutil.copyfile(checkout / "constraints.txt", context / "constraints.txt")
    (context / "requirements.txt").write_text("\n".join(requirements(checkout)) + "\n")


def requirements(checkout: Path) -> list[str]:
    """`name==version` of every package the service needs, directly or indirectly, by name.

    The packages come from `pyproject.toml` and the metadata of this environment. The versions come
    from `constraints.txt`, or else from this environment.
    """
    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(line for name in EXTRAS for line in optional[name])]
    pinned = _constraints(checkout / "constraints.txt")
    found: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [Requirement(line) for line in wanted]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        key = (name, frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        try:
            distribution = metadata.distribution(requirement.name)
        except metadata.PackageNotFoundError:
            continue  # for another platform, or of an extra that is not installed here
        found[name] = pinned.get(name, distribution.version)
        for line in distribution.requires or ():
            needed = Requirement(line)
            extras = requirement.extras or {""}
            if needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in extras):
                waiting.append(needed)
    return [f"{name}=={version}" for name, version in sorted(found.items())]


def _constraints(path: Path) -> dict[str, str]:
    lines = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", path.read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in lines}


def champion(settings: Settings) -> Path:
    """The verified local folder of the current champion. Raises ReleaseError if there is none."""
    engine = connect(settings.database)
    try:
        channel = channels.read(engine, settings.channel or "champion")
    finally:
        engine.dispose()
    if channel is None:
        raise ReleaseError("there is no champion yet: train one first, or name a release folder")
    return fetch(channel.release, settings.releases, settings.root / "cache" / "releases").path


def main() -> None:
    try:
        release = Path(sys.argv[1]) if len(sys.argv) > 1 else champion(Settings())
        tag = build(release)
    except ReleaseError as error:
        sys.exit(str(error))
    print(f"built {tag}: bentoml serve {tag}")


if __name__ == "__main__":
    main()
