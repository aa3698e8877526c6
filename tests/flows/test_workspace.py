"""The workspace: a clone with the checkout's state. Experiments are shown in the checkout."""

import subprocess
from pathlib import Path

import yaml

from flows.workspace import Workspace, prepare
from tests.flows.conftest import git


def open_workspace(checkout: Path, **overrides: object) -> Workspace:
    home = checkout.parent / "home"
    return prepare(home / "workspace", checkout, str(home / "remote"), overrides)


def write_log(workspace: Workspace, day: str, text: str) -> Path:
    folder = workspace.log / "events" / f"dt={day}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "part.parquet").unlink(missing_ok=True)  # it may be a link into the cache
    (folder / "part.parquet").write_text(text)
    return folder


def experiments(checkout: Path) -> set[str]:
    """As DVC lists them in the checkout."""
    command = ["dvc", "exp", "list", "--all-commits", "--name-only"]
    result = subprocess.run(command, cwd=checkout, check=True, capture_output=True, text=True)
    return {line.strip() for line in result.stdout.splitlines() if line.strip()}


def contents(store: Path) -> set[str]:
    """The log's files in a cache or a remote."""
    texts = {path.read_text() for path in store.glob("files/md5/*/*") if path.suffix != ".dir"}
    return texts & {"first", "second", "third"}


def test_data_that_lies_in_the_checkout_stays_out_of_the_workspace(small_checkout: Path) -> None:
    (small_checkout / "ml-100k").mkdir()
    (small_checkout / "ml-100k" / "u.item").write_bytes(b"\xe9")
    (small_checkout / "compose.yaml").write_text("password: sesame\n")
    workspace = open_workspace(small_checkout)
    assert not (workspace.root / "ml-100k").exists()
    assert not (workspace.root / "compose.yaml").exists()
    assert workspace.origin().patch == b""  # which lies beside the releases


def test_its_log_outlives_a_change_of_the_checkout(small_checkout: Path) -> None:
    workspace = open_workspace(small_checkout)
    workspace.add([write_log(workspace, "2024-01-01", "a")])
    version = workspace.data_version()
    (small_checkout / "old.py").write_text("changed = True\n")
    assert open_workspace(small_checkout).data_version() == version != ""
    assert (workspace.root / "old.py").read_text() == "changed = True\n"


def test_it_has_the_checkouts_commit_and_its_uncommitted_edits(small_checkout: Path) -> None:
    (small_checkout / "features").mkdir()
    (small_checkout / "features" / "new.py").write_bytes(b"y = 2  # \xe9 in Latin-1\r\n")
    (small_checkout / "old.py").unlink()
    before = git(small_checkout, "status", "--short")
    workspace = open_workspace(small_checkout, **{"world.seed": 7})
    new = (workspace.root / "features" / "new.py").read_bytes()
    assert new == b"y = 2  # \xe9 in Latin-1\r\n"
    assert not (workspace.root / "old.py").exists()
    text = (workspace.root / "params.yaml").read_text()
    assert yaml.safe_load(text)["input"] == "data/log"
    assert yaml.safe_load(text)["world"] == {"seed": 7}
    assert "# why" in text
    assert git(small_checkout, "status", "--short") == before


def test_it_follows_the_checkout_and_keeps_its_own_data(small_checkout: Path) -> None:
    workspace = open_workspace(small_checkout)
    folder = write_log(workspace, "2024-01-01", "a")
    workspace.add([folder])
    version = workspace.data_version()
    (small_checkout / "old.py").write_text("x = 3\n")
    git(small_checkout, "commit", "-qam", "edit")
    (small_checkout / "params.yaml").write_text("input: data/world\nworld: {seed: 2}\n")
    workspace = open_workspace(small_checkout)
    assert (workspace.root / "old.py").read_text() == "x = 3\n"
    assert yaml.safe_load((workspace.root / "params.yaml").read_text())["world"] == {"seed": 2}
    assert folder.exists()
    assert workspace.data_version() == version != ""


def test_it_follows_a_checkout_that_moved(small_checkout: Path) -> None:
    workspace = open_workspace(small_checkout)
    moved = small_checkout.rename(small_checkout.with_name("moved"))
    (moved / "old.py").write_text("x = 4\n")
    git(moved, "commit", "-qam", "edit")
    assert (open_workspace(moved).root / "old.py").read_text() == "x = 4\n"
    assert workspace.root == open_workspace(moved).root


def test_an_experiment_is_shown_in_the_checkout_that_moved_unchanged(small_checkout: Path) -> None:
    workspace = open_workspace(small_checkout)
    workspace.add([write_log(workspace, "2024-01-01", "first")])
    with workspace.repo() as repo:
        repo.reproduce()
    moved = small_checkout.rename(small_checkout.with_name("moved"))
    open_workspace(moved).save_experiment("first")
    assert experiments(moved) == {"first"}


def test_every_retrain_is_an_experiment_of_the_checkout(small_checkout: Path) -> None:
    workspace = open_workspace(small_checkout)
    for day, name in (("2024-01-01", "first"), ("2024-01-02", "second")):
        workspace.add([write_log(workspace, day, name)])
        with workspace.repo() as repo:
            for stage in ("split", "package"):
                repo.reproduce(stage, single_item=True)
        workspace.save_experiment(name)
    workspace.save_experiment("second")
    assert experiments(small_checkout) == {"first", "second"}
    assert git(small_checkout, "status", "--short") == ""


def test_a_forgotten_experiment_takes_the_data_along_that_only_it_had(
    small_checkout: Path,
) -> None:
    workspace = open_workspace(small_checkout)
    for text in ("first", "third", "second"):
        workspace.add([write_log(workspace, "2024-01-01", text)])
        with workspace.repo() as repo:
            for stage in ("split", "package"):
                repo.reproduce(stage, single_item=True)
        workspace.save_experiment(text)
    for ref in git(workspace.root, "for-each-ref", "--format=%(refname)", "refs/exps").split():
        if ref.endswith("third"):  # as in a workspace that was cloned anew: only the checkout's
            git(workspace.root, "update-ref", "-d", ref)
    stores = [workspace.root / ".dvc" / "cache", small_checkout.parent / "home" / "remote"]
    assert [contents(store) for store in stores] == [{"first", "second", "third"}] * 2
    workspace.forget({"first"}, remote_too=True)
    assert experiments(small_checkout) == {"second", "third"}
    assert [contents(store) for store in stores] == [{"second", "third"}] * 2
    workspace.forget({"first"}, remote_too=True)


def test_a_remote_to_which_the_checkout_may_have_pushed_keeps_everything(
    small_checkout: Path,
) -> None:
    workspace = open_workspace(small_checkout)
    for text in ("first", "second"):
        workspace.add([write_log(workspace, "2024-01-01", text)])
        workspace.save_experiment(text)
    (small_checkout / "dvc.lock").write_text("schema: '2.0'\n")
    workspace.forget({"first"}, remote_too=True)
    assert contents(small_checkout.parent / "home" / "remote") == {"first", "second"}
    assert contents(workspace.root / ".dvc" / "cache") == {"second"}


def test_a_remote_that_others_share_keeps_everything(small_checkout: Path) -> None:
    workspace = open_workspace(small_checkout)
    for text in ("first", "second"):
        workspace.add([write_log(workspace, "2024-01-01", text)])
        workspace.save_experiment(text)
    workspace.forget({"first"}, remote_too=False)
    assert contents(small_checkout.parent / "home" / "remote") == {"first", "second"}


def test_an_experiment_can_be_brought_back_in_the_checkout(small_checkout: Path) -> None:
    workspace = open_workspace(small_checkout)
    workspace.add([write_log(workspace, "2024-01-01", "a")])
    with workspace.repo() as repo:
        for stage in ("split", "package"):
            repo.reproduce(stage, single_item=True)
    workspace.save_experiment("first")
    remote = str(small_checkout.parent / "home" / "remote")
    for command in (
        f"dvc remote add --local -d store {remote}",
        "dvc exp apply -q first || true",  # it complains that the data is not here yet
        "dvc pull -q",
    ):
        subprocess.run(command, cwd=small_checkout, shell=True, check=True)
    released = small_checkout / "data/release/events/dt=2024-01-01/part.parquet"
    assert released.read_text() == "a"
