"""The retrain flow with real parts: after a kill at any point, a second run ends in the same
state."""

import json
import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from base.processes import api_url, free_port, prefect_server, wait_for_prefect
from features.schema import DAY, TIMESTAMP
from flows import environment, monitor
from flows.retrain_params import RetrainParams
from flows.workspace import prepare, uncommitted
from serving import catalogue_feed, channels, set_aside, tables, verdicts
from serving.feedback_log import FeedbackLog
from tests.flows.conftest import git
from tests.flows.homes import Home, HomeMaker
from tests.flows.killed import NOW, OVERRIDES
from tests.flows.moving import move
from tests.serving.conftest import empty_database

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

#: Days of the world in the log at the first retrain, and those whose feedback the second one meets.
FIRST_DAYS, LATER_DAYS = 6, 2
LATER = NOW + LATER_DAYS * DAY
#: The steps of a retrain at which the incumbent, the feedback and the records of two releases meet,
#: and the others.
MEETING = ("ingest", "publish", "gate", "promote")
STEPS = ("workspace", "stages", "save", "materialise", "retain")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One Prefect server for all runs."""
    port = free_port()
    with prefect_server(tmp_path_factory.mktemp("prefect"), port) as running:
        wait_for_prefect(running, port)
        yield api_url(port)
    os.environ.pop("PREFECT_API_URL", None)


@pytest.fixture(scope="module")
def frozen_checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout that nobody edits meanwhile, because the code is part of a release.

    It has an uncommitted edit.
    """
    folder = tmp_path_factory.mktemp("frozen") / "checkout"
    subprocess.run(["git", "clone", "-q", environment.CHECKOUT, folder], check=True)
    patch = uncommitted(environment.CHECKOUT)
    if patch:
        command = ["git", "apply", "--index", "--binary", "-"]
        subprocess.run(command, cwd=folder, input=patch, check=True)
    with (folder / "training" / "trees.py").open("a") as file:
        file.write("\nEDITED = True\n")
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, frozen_checkout: Path) -> Path:
    """A small world, all its days."""
    home = tmp_path_factory.mktemp("world")
    days = {"world.history_days": FIRST_DAYS + LATER_DAYS}
    place = prepare(home / "workspace", frozen_checkout, str(home / "remote"), OVERRIDES | days)
    with place.repo() as repo:
        repo.reproduce("world", single_item=True)
    return place.root / "data" / "world"


def days_of(world: Path, kind: str) -> list[Path]:
    return sorted((world / kind).glob("dt=*"))


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory, world: Path) -> Path:
    """Its first days."""
    folder = tmp_path_factory.mktemp("history")
    shutil.copytree(world / "users", folder / "users")
    for kind in ("events", "items"):
        for day in days_of(world, kind)[:FIRST_DAYS]:
            shutil.copytree(day, folder / kind / day.name)
    return folder


def rows(days: list[Path]) -> list[dict[str, Any]]:
    """All rows of those days, times in µs."""
    table = pa.concat_tables(pq.read_table(part) for day in days for part in day.glob("*.parquet"))
    for place, column in enumerate(table.schema):
        if column.type == TIMESTAMP:
            table = table.set_column(place, column.name, table[column.name].cast(pa.int64()))
    found: list[dict[str, Any]] = table.to_pylist()
    return found


@pytest.fixture(scope="module")
def new_home(
    tmp_path_factory: pytest.TempPathFactory, history: Path, frozen_checkout: Path, server: str
) -> Iterator[HomeMaker]:
    maker = HomeMaker(tmp_path_factory, history, frozen_checkout, server)
    yield maker
    for home in maker.homes:
        home.engine.dispose()


@pytest.fixture(scope="module")
def undisturbed(new_home: HomeMaker) -> Home:
    """A home whose first retrain was not killed."""
    home = new_home("undisturbed")
    home.finish()
    return home


@pytest.fixture(scope="module")
def first(undisturbed: Home) -> dict[str, Any]:
    """The state of that home after the retrain."""
    return undisturbed.state()


def test_a_retrain_ends_with_one_release_and_its_verdict(
    undisturbed: Home, first: dict[str, Any]
) -> None:
    (release,) = first["releases"]
    assert first["records"] == [(release, "promote")]
    assert first["moves"] == [(1, release)]
    query = sa.select(tables.set_aside.c["user_id", "since", "reason"])
    with undisturbed.engine.connect() as connection:
        aside = sorted(map(tuple, connection.execute(query)))
    assert aside
    assert aside == sorted(set_aside.found(undisturbed.root / "workspace/data/split"))


def test_a_release_is_made_again_from_its_lineage_in_a_fresh_clone(
    undisturbed: Home, first: dict[str, Any], frozen_checkout: Path
) -> None:
    (made,) = first["releases"]
    told = json.loads(undisturbed.command("lineage", made[:8], "--json"))
    assert told["commit"] == git(frozen_checkout, "rev-parse", "HEAD").strip()
    assert told["patch"]
    assert told["params"]["input"] == "data/log"
    windows = first["evidence"][made]["windows"]
    assert told["ranges"]["fit"] == [windows["start"], windows["fit_end"]]
    assert undisturbed.command("rebuild", made[:8]).startswith(f"identical: {made}")
    clone = undisturbed.root / "rebuilds" / made[:12]
    assert "EDITED = True" in (clone / "training" / "trees.py").read_text()
    assert (clone / "data" / "metrics" / "fit.json").exists()
    assert undisturbed.state() == first
    shutil.rmtree(clone)


def test_killed_at_the_end_of_each_step_it_resumes_to_the_same_result(
    new_home: HomeMaker, first: dict[str, Any]
) -> None:
    """All steps but those that the second retrain is killed at, below."""
    home = new_home("boundaries")
    for step in STEPS:
        assert home.die_after(step) == step
    assert [home.finish()] == first["releases"]
    assert home.state() == first
    assert {*STEPS, *MEETING} == set(home.steps)


def test_killed_at_random_moments_it_leaves_no_orphan_and_resumes(
    new_home: HomeMaker, first: dict[str, Any]
) -> None:
    home = new_home("moments")
    seed = int(os.environ.get("RONDO_TEST_SEED", "1"))
    draw = random.Random(seed)
    for _ in range(4):
        process = home.retrain()
        time.sleep(draw.uniform(4.0, 30.0))
        process.kill()
        process.communicate()
        home.wait_for_the_end_of_all()
    assert [home.finish()] == first["releases"], json.dumps({"seed": seed})
    assert home.state() == first


@pytest.fixture(scope="module")
def fed(undisturbed: Home, first: dict[str, Any], world: Path) -> Path:
    """A copy of the undisturbed home, with a champion and two days of feedback to learn from."""
    assert first["champion"] is not None
    events = rows(days_of(world, "events")[FIRST_DAYS:])
    FeedbackLog(undisturbed.engine).append(events=events)
    catalogue_feed.upsert(undisturbed.engine, rows(days_of(world, "items")[FIRST_DAYS:]))
    undisturbed.now = LATER
    undisturbed.engine.dispose()
    copy = undisturbed.root.with_name("fed")
    shutil.copytree(undisturbed.root, copy, symlinks=True)
    return copy


@pytest.fixture(scope="module")
def second(undisturbed: Home, fed: Path) -> dict[str, Any]:
    """The state after a second retrain that was not killed. The home is then as before it."""
    undisturbed.finish()
    state = undisturbed.state()
    undisturbed.engine.dispose()
    shutil.rmtree(undisturbed.root)
    fed.rename(undisturbed.root)
    return state


def test_a_second_retrain_is_judged_against_the_first_release(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    (old,) = first["releases"]
    new = second["champion"].release
    against = [c for told in second["checks"].values() for c in told if not c["passed"]]
    assert second["records"] == [(new, "promote"), (old, "promote")], against
    assert second["moves"] == [(2, new), (1, old)]
    assert second["evidence"][new]["champion"]["release"] == old
    assert second["evidence"][old] == first["evidence"][old]


@pytest.fixture
def untouched(undisturbed: Home, second: dict[str, Any]) -> Iterator[Home]:
    """The home before its second retrain, and again after the test."""
    assert len(second["releases"]) == 2
    undisturbed.engine.dispose()
    copy = undisturbed.root.with_name("untouched")
    shutil.copytree(undisturbed.root, copy, symlinks=True)
    yield undisturbed
    undisturbed.engine.dispose()  # an open connection would go on reading the deleted file
    shutil.rmtree(undisturbed.root)
    copy.rename(undisturbed.root)


def test_a_changed_recipe_is_judged_against_the_champions_own_on_the_same_data(
    untouched: Home, first: dict[str, Any]
) -> None:
    """Killed while the twin is fitted, and once more after that."""
    (old,), twin = first["releases"], untouched.root / "twin"
    home = replace(untouched, overrides={"fit.seed": 2})
    process = home.retrain()
    log = home.root / "logs" / "twin-fit.log"
    deadline = time.monotonic() + 300
    while not log.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.2)
    process.kill()
    output, _ = process.communicate()
    assert log.exists(), output[-3000:]
    assert json.loads((twin / "done.json").read_text()) == {}
    home.wait_for_the_end_of_all()
    assert home.die_after("twin") == "twin"
    fitted = (twin / "data" / "transformer").stat().st_mtime_ns
    release = home.finish()
    assert (twin / "data" / "transformer").stat().st_mtime_ns == fitted
    split = home.root / "workspace" / "data" / "split"
    assert (twin / "data" / "split").resolve() == split.resolve()
    evidence = home.state()["evidence"][release]
    assert evidence["twin_missing"] == ""
    assert evidence["twin"]["release"] == first["evidence"][old]["fingerprint"]
    assert evidence["twin"]["counted"] == evidence["champion"]["contest"]["counted"] > 0
    assert evidence["twin"]["change"] != evidence["champion"]["contest"]["change"]
    told = {check["name"] for check in home.state()["checks"][release]}
    assert {"champion", "recipe", "recipe.support"} <= told
    home.engine.dispose()


def test_the_twin_of_a_champion_of_other_code_is_fitted_with_that_code(
    untouched: Home, tmp_path: Path
) -> None:
    edited = tmp_path / "edited"
    shutil.copytree(untouched.checkout, edited, symlinks=True)
    with (edited / "training" / "trees.py").open("a") as file:
        file.write("\nEDITED_AGAIN = True\n")
    home = replace(untouched, checkout=edited)
    release = home.finish()
    evidence = home.state()["evidence"][release]
    assert evidence["twin_missing"] == ""
    assert evidence["fingerprint"] != evidence["champion"]["fingerprint"]
    # What differs in the code decides nothing, so the two recipes make the same trees.
    assert evidence["twin_equal"]
    twin = home.root / "twin"
    assert list(json.loads((twin / "done.json").read_text())) == ["trees"]
    assert "EDITED_AGAIN" not in (twin / "code" / "training" / "trees.py").read_text()
    home.engine.dispose()


@pytest.mark.servers
@pytest.mark.parametrize("variable", ["RONDO_TEST_POSTGRES_URL", "RONDO_TEST_MYSQL_URL"])
def test_moved_to_a_server_it_ingests_retrains_promotes_and_rolls_back_as_on_sqlite(
    untouched: Home, first: dict[str, Any], second: dict[str, Any], variable: str
) -> None:
    (old,), new = first["releases"], second["champion"].release
    with empty_database(variable) as url:
        variables = untouched.variables | {"RONDO_DATABASE_URL": url}
        home = Home(untouched.root, untouched.checkout, variables, LATER)
        signs = monitor.look(untouched.engine, RetrainParams())
        move(untouched.engine, home.engine)
        (home.root / "rondo.db").unlink()
        assert monitor.look(home.engine, RetrainParams()) == signs
        looked = f"import flows.monitor as m; print(m.monitor() == m.{signs!r})"
        assert home.python("-c", looked).splitlines()[-1] == "True"
        assert home.finish() == new
        assert home.state() == second
        assert monitor.look(home.engine, RetrainParams()).new_events == 0 < signs.new_events
        assert f"champion    {old} (generation 3)" in home.command("rollback")
        assert f"champion    {old} (generation 3)" in home.command("status")
        home.engine.dispose()
    # Feast's online store and registry are the home's own; nothing else is SQLite.
    files = [path for path in home.root.rglob("*.db") if "dvc" not in str(path)]
    assert {path.name for path in files} <= {"online.db", "registry.db"}


def test_a_second_retrain_that_is_killed_leaves_the_champion_as_it_was_until_it_promotes_once(
    undisturbed: Home, first: dict[str, Any], second: dict[str, Any]
) -> None:
    home, new = undisturbed, second["champion"].release
    *before, last = MEETING
    for step in before:
        assert home.die_after(step) == step
        assert channels.read(home.engine, "champion") == first["champion"]
    judged = verdicts.read(home.engine, new)
    assert judged is not None
    assert judged.evidence == second["evidence"][new]
    assert home.die_after(last) == last
    promoted = verdicts.read(home.engine, new)
    assert channels.read(home.engine, "champion") == second["champion"]
    assert home.finish() == new
    # Promoted, it is its own champion: judged again, it would have nobody to be compared with.
    assert verdicts.read(home.engine, new) == promoted
    assert home.state() == second
