"""When the champion's recipe is fitted again, and what the verdict says where it cannot be."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from prefect import flow

from base.params_file import edit
from base.settings import Settings
from flows import gating, twin
from flows.gating import Judgement
from flows.rollout import Rollout
from flows.twin import Twin
from flows.workspace import Workspace
from serving import tables, verdicts
from serving.database import connect
from tests.features.logs import at
from tests.flows.rivals import TODAY, YESTERDAY, Rivals, make_rivals
from training.check import Check
from training.evidence import Evidence
from training.fingerprint import fingerprint

pytestmark = [
    pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Artifact creation outside of a flow:FutureWarning"),
]

CODE = ("base", "features", "training", "serving", "simulation", "dvc.yaml")


@dataclass(frozen=True)
class Installation:
    """A champion, and a challenger of a changed recipe with the same models."""

    rollout: Rollout
    champion: str
    challenger: Workspace

    @property
    def folder(self) -> Path:
        return self.rollout.settings.root / "twin"

    def fit(self) -> Twin | None:
        @flow
        def run() -> Twin | None:
            logs = self.rollout.settings.root / "logs"
            return twin.fit(self.challenger, self.rollout.engine, self.rollout, logs)

        return run()

    def missing(self) -> str:
        found = self.fit()
        assert found is not None
        return found.missing

    def judge(self, beside: Twin | None) -> Judgement:
        engine = self.rollout.engine
        release = self.rollout.publish(self.challenger, at(TODAY), None)
        return gating.judge.fn(
            self.challenger, engine, self.rollout, release, None, None, twin=beside
        )

    def recipe(self, recipe: str) -> None:
        """Note another recipe in the challenger's evidence."""
        path = self.challenger.root / "data" / "evaluation" / "evidence.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"fingerprint": recipe}))

    def record(self, **values: Any) -> None:
        """Change the champion's record."""
        with self.rollout.engine.begin() as connection:
            of = tables.releases.c.release == self.champion
            connection.execute(sa.update(tables.releases).where(of).values(**values))

    def champions_recipe(self, recipe: str) -> None:
        """Note another recipe in the champion's evidence."""
        found = verdicts.read(self.rollout.engine, self.champion)
        assert found is not None
        assert found.evidence is not None
        self.record(evidence=json.dumps(found.evidence | {"fingerprint": recipe}))

    @property
    def lineage(self) -> dict[str, Any]:
        found = verdicts.read(self.rollout.engine, self.champion)
        assert found is not None
        return found.lineage


@pytest.fixture(scope="module")
def rivals(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Rivals:
    made = make_rivals(tmp_path_factory.mktemp("rivals"), checkout)
    for name in CODE:
        (made.equal.root / name).symlink_to(checkout / name)
    return made


@pytest.fixture(scope="module")
def served(
    prefect: Callable[[], None], rivals: Rivals, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """A home in which the champion was judged and promoted, and the champion's id."""
    prefect()
    home = tmp_path_factory.mktemp("served") / "home"
    engine = connect(f"sqlite:///{home / 'rondo.db'}")
    rollout = Rollout(Settings(home=home), engine)
    champion = rollout.publish(rivals.champion, at(YESTERDAY), None)
    judgement = gating.judge.fn(rivals.champion, engine, rollout, champion, None)
    rollout.promote(champion, judgement.champion, at(YESTERDAY), None)
    engine.dispose()
    return home, champion


@pytest.fixture
def installation(
    served: tuple[Path, str], rivals: Rivals, tmp_path: Path
) -> Iterator[Installation]:
    kept, champion = served
    home = tmp_path / "home"
    shutil.copytree(kept, home)
    engine = connect(f"sqlite:///{home / 'rondo.db'}")
    rollout = Rollout(Settings(home=home), engine)
    shutil.copytree(rivals.equal.root, tmp_path / "equal", symlinks=True)
    made = Installation(rollout, champion, Workspace(tmp_path / "equal", rivals.equal.checkout))
    made.recipe("changed")
    (made.folder / "data").mkdir(parents=True)
    yield made
    engine.dispose()


def check(judgement: Judgement, name: str) -> Check:
    return next(check for check in judgement.verdict.checks if check.name == name)


def test_a_refresh_needs_none_and_removes_the_last_one(installation: Installation) -> None:
    installation.champions_recipe("changed")
    assert installation.fit() is None
    assert not installation.folder.exists()


def test_a_change_that_makes_the_same_models_is_a_refresh(installation: Installation) -> None:
    found = installation.fit()
    assert found is not None
    assert (found.equal, found.missing, found.seconds) == (True, "", {})
    judgement = installation.judge(found)
    assert judgement.evidence.twin is None
    assert judgement.verdict.decision == "promote", judgement.verdict.reasons


def test_another_policy_alone_makes_a_twin_of_the_same_models(installation: Installation) -> None:
    edit(installation.challenger.root / "params.yaml", {"policy.temperature": 1.0})
    found = installation.fit()
    assert found is not None
    assert (found.equal, found.policy.temperature, found.seconds) == (False, 0.5, {})


def test_a_changed_recipe_must_be_better_than_the_twin(
    installation: Installation, rivals: Rivals
) -> None:
    worse = Path(shutil.copytree(rivals.worse.root / "data", installation.folder / "worse"))
    found = installation.fit()
    assert found is not None
    judgement = installation.judge(replace(found, data=worse, equal=False))
    met = judgement.evidence.twin
    assert met is not None
    assert met.release == found.recipe
    assert met.change > 0.05
    assert check(judgement, "champion").passed is True
    assert check(judgement, "recipe").passed is True
    page = installation.rollout.reports / f"verdict-{judgement.release[:12]}.html"
    assert "the champion&#39;s recipe on the same data" in page.read_text()


def test_switched_off_it_is_not_fitted_and_the_verdict_says_so(installation: Installation) -> None:
    edit(installation.challenger.root / "params.yaml", {"gate.twin": False})
    found = installation.fit()
    assert not installation.folder.exists()
    judgement = installation.judge(found)
    told = check(judgement, "recipe")
    assert told.abstains
    assert "gate.twin is off" in told.reason
    assert "1.0 days earlier" in told.reason
    assert "better (changed code or params)" in check(judgement, "champion").reason


def test_a_champion_without_a_record_of_its_parameters_has_none(installation: Installation) -> None:
    known = installation.lineage
    del known["params"]
    installation.record(lineage=json.dumps(known))
    assert installation.missing() == "the champion has no record of params"


def test_a_champion_whose_code_is_gone_has_none(installation: Installation) -> None:
    installation.champions_recipe("of other code")
    assert installation.missing().startswith("its code cannot be had again: git fetch")


def test_a_recipe_that_cuts_the_log_elsewhere_has_none(installation: Installation) -> None:
    path = installation.challenger.root / "data" / "evaluation" / "evidence.json"
    evidence = Evidence.read(path)
    windows = evidence.windows.model_copy(update={"rank_end": evidence.windows.rank_end + 1})
    path.write_text(evidence.model_copy(update={"windows": windows}).model_dump_json())
    assert installation.missing() == "its parameters cut the log at another moment"


def test_a_stage_that_fails_is_told_and_ends_nothing(installation: Installation) -> None:
    known = installation.lineage
    known["params"]["neighbours"]["count"] = "many"
    installation.record(lineage=json.dumps(known))
    installation.champions_recipe(fingerprint(known["params"]))
    found = installation.fit()
    assert found is not None
    assert found.missing.startswith("stage neighbours failed: ")


def test_a_twin_that_cannot_be_read_is_told(installation: Installation) -> None:
    found = installation.fit()
    assert found is not None
    (found.data / "candidates").unlink()
    judgement = installation.judge(replace(found, equal=False))
    assert "it cannot be judged" in check(judgement, "recipe").reason
