"""Real releases that compete: yesterday's champion, and challengers on today's window."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from base.params_file import edit
from features.batch.aggregate import aggregate
from features.splits.split import split
from features.splits.windowing import SplitParams
from flows.workspace import PATCH, Workspace
from serving.package import package
from tests.features import logs
from tests.training import market
from training import candidates, evaluate, trees

YESTERDAY, TODAY = 6, 7
PER_DAY, USERS, ITEMS, TOPICS = 400, 100, 160, 4


@dataclass(frozen=True)
class Rivals:
    """Workspaces, each with its release: `champion` judged on yesterday's window, `equal` (the same
    models) and `worse` (recency-popularity) on today's."""

    champion: Workspace
    equal: Workspace
    worse: Workspace


def make_rivals(root: Path, checkout: Path) -> Rivals:
    """Workspaces below `root`, in a few seconds."""
    champion = workspace(root / "champion", checkout, YESTERDAY)
    split_folder, features, transformer, sources, ranker = parts(champion)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(champion.root)
        fitted = market.fit_sources(champion.root / "data", champion.root / "data" / "sources")
        candidates.main(split_folder, features, transformer, fitted, sources)
        trees.main(sources, ranker, champion.root / "data" / "metrics" / "trees.json")
    release(champion)
    equal, worse = (workspace(root / name, checkout, TODAY) for name in ("equal", "worse"))
    for place in (equal, worse):
        shutil.copytree(sources, parts(place)[3])
    shutil.copytree(ranker, parts(equal)[4])
    release(equal)
    release(worse)
    return Rivals(champion, equal, worse)


def workspace(
    root: Path, checkout: Path, days: float, news: Sequence[dict[str, Any]] = ()
) -> Workspace:
    """A workspace with `days` days of the market, split, and their features; news: later versions
    of items."""
    data = root / "data"
    for name in ("split", "features", "release"):
        (data / name).mkdir(parents=True)
    shutil.copy(checkout / "params.yaml", root)
    edit(root / "params.yaml", {"gate.min_users": 20})
    split(
        write_market(data / "log", days, news), data / "split", SplitParams(min_targets=40), False
    )
    aggregate(data / "split", data / "features")
    for command in (
        "init -q",
        "-c user.name=r -c user.email=r@localhost commit -q --allow-empty -m first",
    ):
        subprocess.run(["git", *command.split()], cwd=root, check=True)
    (root / ".git" / PATCH).write_bytes(b"")
    return Workspace(root, checkout)


def parts(place: Workspace) -> tuple[Path, ...]:
    """What stages read; there is no transformer, and need not be trees."""
    names = ("split", "features", "transformer", "candidates", "trees")
    return tuple(place.root / "data" / name for name in names)


def release(place: Workspace) -> None:
    """Judge and package what lies in the workspace."""
    data = place.root / "data"
    split_folder, features, transformer, sources, ranker = parts(place)
    judged = (split_folder, features, transformer, sources, ranker, data / "evaluation")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place.root)
        evaluate.main(*judged, data / "metrics" / "evaluate.json")
        package(*judged, data / "release")


def market_events(days: float) -> list[dict[str, Any]]:
    """Of a market in which everybody has a topic, so that neighbours beat popularity."""
    random = np.random.default_rng(1)
    events = []
    for number in range(round(days * PER_DAY)):
        user, place = int(random.integers(USERS)), int(random.integers(ITEMS // TOPICS))
        strays, elsewhere = random.random() < 0.1, int(random.integers(TOPICS))
        item = place * TOPICS + (elsewhere if strays else user % TOPICS)
        time = logs.at(0, 24 * number / PER_DAY)
        events.append(logs.event(f"e{number}", f"u{user}", f"i{item}", time))
    return events


def write_market(folder: Path, days: float, news: Sequence[dict[str, Any]] = ()) -> Path:
    """The log of `market_events`."""
    items = [logs.item(f"i{n}", created_at=logs.START) for n in range(ITEMS)]
    return logs.write_log(folder, market_events(days), [*items, *news])
