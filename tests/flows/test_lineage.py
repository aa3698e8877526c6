"""The recorded lineage of a release, found by its id or by a request that it answered."""

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from base.errors import InputError
from base.settings import Settings
from features.schema import DAY
from flows import cli, lineage, rollout
from flows.consumers import EVENTS
from flows.lineage import content, find, keep_patch, read_patch, recorded, told
from flows.rebuild import rebuild
from flows.workspace import Workspace, prepare
from serving import offsets, verdicts
from serving.feedback_log import FeedbackLog
from serving.signing import Signer
from tests.flows.conftest import git
from tests.serving import conftest
from tests.serving.test_feedback_log import slate

#: On every database.
database_url, engine = conftest.database_url, conftest.engine

NOW = 1_705_000_000_000_000
WINDOWS = {"start": 0, "fit_end": DAY, "rank_end": 2 * DAY, "judge_end": 3 * DAY}
RELEASE = "abcd" + "1" * 60


def register(engine: sa.Engine, release: str = RELEASE, **known: Any) -> None:
    verdicts.register(engine, release, f"releases/{release}", known, now=NOW)


def test_the_commit_the_edits_and_the_data_are_recorded(
    workspace: Workspace,
    engine: sa.Engine,
    tmp_path: Path,
) -> None:
    url = str(tmp_path / "releases")
    offsets.advance(engine, {EVENTS: 7})
    (workspace.log / "events").mkdir(parents=True)
    (workspace.log / "events" / "part").write_text("1")
    workspace.add([])
    clean = recorded(workspace, engine, url)
    assert clean["commit"] == git(workspace.checkout, "rev-parse", "HEAD").strip()
    assert clean["patch"] == ""
    assert clean["data_version"] == workspace.data_version() != ""
    assert clean["offsets"] == {"ingest.events": 7, "ingest.items": 0}
    assert clean["training"]["threads"] >= 1
    assert {"torch", "lightgbm"} <= set(clean["libraries"])
    (workspace.checkout / "old.py").write_text("x = 2\n")
    home = workspace.root.parent
    again = prepare(workspace.root, workspace.checkout, str(home / "remote"))
    dirty = recorded(again, engine, url)
    assert dirty["commit"] == clean["commit"]
    patch = read_patch(dirty["patch"], url)
    assert b"+x = 2" in patch
    assert dirty["patch"] == sha256(patch).hexdigest()
    json.dumps(dirty)  # it is stored as JSON


def test_the_options_of_training_are_those_of_the_fit_not_of_who_publishes_it(
    workspace: Workspace, sqlite: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retrain with new parameters of the trees reuses the trained transformer."""
    metrics = workspace.root / "data" / "metrics" / "fit.json"
    metrics.parent.mkdir(parents=True)
    metrics.write_text('{"options": {"threads": 7}}')
    monkeypatch.setenv("RONDO_TRAIN_THREADS", "3")
    assert recorded(workspace, sqlite, str(tmp_path))["training"] == {"threads": 7}


def test_a_patch_that_was_changed_or_removed_is_an_error(tmp_path: Path) -> None:
    url = str(tmp_path / "releases")
    identity = keep_patch(b"\xff\r\n+1\n", url)
    assert read_patch(identity, url) == b"\xff\r\n+1\n"
    (path,) = (tmp_path / "releases" / "patches").iterdir()
    path.write_bytes(b"half")
    with pytest.raises(InputError, match="was changed"):
        read_patch(identity, url)
    assert keep_patch(b"\xff\r\n+1\n", url) == identity  # a kill left half of it: written again
    assert read_patch(identity, url) == b"\xff\r\n+1\n"
    path.unlink()
    with pytest.raises(InputError, match="not kept any more"):
        read_patch(identity, url)


def test_a_release_is_found_by_the_beginning_of_its_id(engine: sa.Engine) -> None:
    register(engine)
    register(engine, "abcd" + "2" * 60)
    assert find(engine, RELEASE).record.release == RELEASE
    assert find(engine, "abcd1").record.release == RELEASE
    with pytest.raises(LookupError, match="2 release ids begin with abcd"):
        find(engine, "abcd")
    for nothing in ("abce", "abc", "%bcd1", ""):
        with pytest.raises(LookupError, match="no release begins with"):
            find(engine, nothing)


def test_a_release_is_found_by_a_request_that_it_answered(engine: sa.Engine) -> None:
    register(engine, windows=WINDOWS)
    log = FeedbackLog(engine)
    for name, release in (("r-1", RELEASE), ("r-2", None), ("r-3", "0" * 64)):
        shown = slate(name, "i1")
        log.append(slates=[replace(shown, request=shown.request | {"release": release})])
    for name in ("r-1", Signer(b"ours").sign("r-1")):
        found = find(engine, name)
        assert found.record.release == RELEASE
        assert found.request is not None
        assert (found.request.request_id, found.request.user_id) == ("r-1", "u1")
        assert content(found)["request"]["generation"] == 1
    with pytest.raises(LookupError, match="without a release"):
        find(engine, "r-2")
    with pytest.raises(LookupError, match="has no record: it came with a Bento"):
        find(engine, "r-3")


def test_people_are_told_every_training_range_and_parameter(
    engine: sa.Engine,
) -> None:
    known = {
        "commit": "c" * 40,
        "patch": "",
        "data_version": "d.dir",
        "offsets": {"ingest.events": 5},
        "checkout": "somewhere",
        "params": {"fit": {"size": "tiny"}, "input": "data/log", "world": {"seed": 1}},
        "training": {"threads": 2},
        "python": "3.11",
        "machine": "Linux x86_64",
        "libraries": {"torch": "2"},
        "windows": WINDOWS,
    }
    register(engine, **known)
    text = "\n".join(told(find(engine, RELEASE)))
    assert "fit                 1970-01-01 00:00:00+00:00 to 1970-01-02 00:00:00+00:00" in text
    assert "rank                1970-01-02 00:00:00+00:00 to 1970-01-03 00:00:00+00:00" in text
    assert "judge               1970-01-03 00:00:00+00:00 to 1970-01-04 00:00:00+00:00" in text
    assert f"commit              {'c' * 40} and no edits" in text
    assert "data                d.dir, read up to 5 of ingest.events" in text
    assert "params.fit          size=tiny" in text
    assert "params.world" not in text
    assert content(find(engine, RELEASE))["ranges"]["rank"] == [DAY, 2 * DAY]


def test_a_release_from_before_lineage_says_so(engine: sa.Engine) -> None:
    register(engine, checkout="somewhere")
    assert "not recorded" in "\n".join(told(find(engine, RELEASE)))


def test_what_cannot_be_rebuilt_says_why(engine: sa.Engine, tmp_path: Path) -> None:
    here = rollout.Rollout(Settings(home=tmp_path / "home"), engine)
    register(engine, commit="c" * 40)
    with pytest.raises(InputError, match="no record of patch, data_version, params"):
        rebuild(here, find(engine, RELEASE).record, tmp_path / "new")
    other = "f" * 64
    register(engine, other, commit="c" * 40, patch="", data_version="d", params={}, checkout="")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("1")
    with pytest.raises(InputError, match="is not empty"):
        rebuild(here, find(engine, other).record, tmp_path / "full")


def test_the_command_prints_lines_or_json(
    engine: sa.Engine,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    register(engine, windows=WINDOWS)
    installed = rollout.Rollout(Settings(home=tmp_path), engine)
    monkeypatch.setattr(rollout, "installation", lambda: installed)
    printed = CliRunner().invoke(cli.app, ["lineage", "abcd1", "--json"]).output
    assert json.loads(printed)["release"] == RELEASE
    assert json.loads(printed)["ranges"]["judge"] == [2 * DAY, 3 * DAY]
    printed = CliRunner().invoke(cli.app, ["lineage", "abcd1"]).output
    assert printed.splitlines() == lineage.told(find(engine, RELEASE))
