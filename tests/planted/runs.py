"""Runs with a planted fault: real stages on altered data, a real release, the real gate.

The market is that of `tests.flows.rivals`. In a home with its champion, a challenger with the same
models is promoted; in an empty one, a release trained on the market is. A plant alters one thing on
the way there.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from features.batch.aggregate import aggregate
from features.people.params import PeopleParams
from features.splits.split import split
from features.splits.windowing import SplitParams
from flows import gating
from flows.gating import Judgement
from flows.rollout import Rollout
from flows.workspace import Workspace
from serving.fresh_process import FreshProcess
from serving.package import package
from tests.features.logs import at
from tests.flows.rivals import TODAY, parts
from tests.training import market
from training import candidates, evaluate, trees
from training.check import Check

#: BentoML's imports; Prefect's clients, left open, and its artifacts of a task without a flow.
WARNINGS: Final = (
    pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Artifact creation outside of a flow:FutureWarning"),
)

#: The faults that issue 13 names.
PLANTS: Final = (
    "NaN weights",
    "permuted item ids",
    "stale features",
    "train/serve skew in one feature",
    "future leakage",
    "clickbait-trained on a biased slot",
    "popularity collapse",
    "one slice ruined while the mean rises",
    "half the catalogue missing",
    "wrong vocabulary",
    "slow model",
    "huge model",
    "pickle smuggled in",
    "truncated file",
    "bot-inflated item",
    "duplicated feedback",
    "clock skew",
    "empty day",
    "schema change in a source column",
    "labels inverted",
)


@dataclass
class Tally:
    """Which plants were blocked."""

    blocked: set[str] = field(default_factory=set)

    def verdict(self, plant: str, judgement: Judgement, name: str, *words: str) -> Check:
        """Count a plant as blocked: not promoted, and check `name` says why, with these words."""
        verdict = judgement.verdict
        against = {check.name: check for check in verdict.checks if check.against}
        assert verdict.decision in ("hold", "reject"), verdict.reasons
        assert name in against, against
        for word in words:
            assert word in against[name].reason, against[name].reason
        assert against[name].reason in verdict.reasons
        self.count(plant)
        return against[name]

    def count(self, plant: str) -> None:
        """Count a plant that was refused before there was a release, or shown to have no effect."""
        assert plant in PLANTS
        self.blocked.add(plant)

    def write(self, path: Path) -> None:
        """Write the numbers as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        numbers = {"planted": len(PLANTS), "blocked": len(self.blocked)}
        missed = sorted(set(PLANTS) - self.blocked)
        content = {"planted_failures": numbers, "missed": missed}
        path.write_text(json.dumps(content, indent=2) + "\n")


#: Answers each line, the path of a release, with what `serving.check` says of it.
_CHECKER: Final = """
import json, sys
from pathlib import Path
from serving.check import check
from serving.release import ReleaseError
for line in sys.stdin:
    try:
        print(json.dumps(check(Path(line.strip()))), flush=True)
    except ReleaseError:
        print("{}", flush=True)
"""


class Checker(FreshProcess):
    """A process that checks one release after the other. Its imports take seconds."""

    def __init__(self, checkout: Path) -> None:
        super().__init__()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CHECKER],
            cwd=checkout,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __exit__(self, *_: object) -> None:
        """It ends with the tests, not with a judgement."""

    def measure(self, folder: Path, _: float = 0.0) -> dict[str, float]:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{folder.absolute()}\n")
        self._process.stdin.flush()
        numbers: dict[str, float] = json.loads(self._process.stdout.readline())
        return numbers

    def close(self) -> None:
        super().__exit__(None, None, None)


@dataclass(frozen=True)
class Installation:
    """Where releases are published and judged. checker: None uses a fresh process each time."""

    rollout: Rollout
    checker: Checker | None = None

    def judge(self, place: Workspace) -> Judgement:
        """The verdict on the release in `place`."""
        return self.judge_published(self.publish(place), place)

    def publish(self, place: Workspace) -> str:
        """The id of the release in `place`, published."""
        return self.rollout.publish(place, at(TODAY), None)

    def judge_published(self, release: str, place: Workspace) -> Judgement:
        """The verdict on a published release."""
        rollout = self.rollout
        return gating.judge.fn(place, rollout.engine, rollout, release, None, self.checker)


def copy(place: Workspace, root: Path) -> Workspace:
    """A copy of a workspace that a plant may alter."""
    shutil.copytree(place.root, root)
    return Workspace(root, place.checkout)


def prepare(place: Workspace, set_aside: bool = True) -> None:
    """Stages `split` and `features` on the log of `place`.

    set_aside: whether accounts that are no person are set aside and what one person adds is capped.
    """
    data = place.root / "data"
    for name in ("split", "features"):
        shutil.rmtree(data / name, ignore_errors=True)
        (data / name).mkdir()
    people = PeopleParams() if set_aside else PeopleParams(set_aside=False, per_item=10**6)
    split(data / "log", data / "split", SplitParams(min_targets=40), False, people)
    aggregate(data / "split", data / "features")


def train(place: Workspace, alter: Callable[[Path], None] = lambda _: None) -> None:
    """Fit the sources and the trees of `place`. alter: called with data/candidates before the trees
    are trained on it."""
    split_folder, features, transformer, found, ranker = parts(place)
    shutil.rmtree(place.root / "data" / "sources", ignore_errors=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place.root)
        fitted = market.fit_sources(place.root / "data", place.root / "data" / "sources")
        candidates.main(split_folder, features, transformer, fitted, found)
        alter(found)
        trees.main(found, ranker, place.root / "data" / "metrics" / "trees.json")


def judge_stage(place: Workspace) -> None:
    """Stage `evaluate`."""
    data = place.root / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place.root)
        split_folder, features, transformer, found, ranker = parts(place)
        judged = (split_folder, features, transformer, found, ranker, data / "evaluation")
        evaluate.main(*judged, data / "metrics" / "evaluate.json")


def package_stage(place: Workspace) -> None:
    """Stage `package`."""
    data = place.root / "data"
    shutil.rmtree(data / "release", ignore_errors=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place.root)
        split_folder, features, transformer, found, ranker = parts(place)
        package(
            split_folder, features, transformer, found, ranker,
            data / "evaluation", data / "release",
        )  # fmt: skip


def release(place: Workspace) -> None:
    """Stages `evaluate` and `package`."""
    judge_stage(place)
    package_stage(place)


def against(judgement: Judgement) -> Sequence[str]:
    """Names of the checks that stand in the way."""
    return [check.name for check in judgement.verdict.checks if check.against]
