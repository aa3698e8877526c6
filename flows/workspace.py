"""The retraining workspace: a plain clone of the checkout, with its own DVC cache and identity.

It stands at the checkout's HEAD plus the checkout's uncommitted edits as a patch, reads
`data/log`, and never commits: every retrain is saved as a DVC experiment whose ref is pushed to
the checkout, so `dvc exp show -A` there lists it while `git status` stays clean.
"""

import hashlib
import logging
import os
import re
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from base import params
from base.params_file import edit
from flows import torn

logger = logging.getLogger("rondo.workspace")

LOG = Path("data/log")
STATE, PATCH = "rondo-state", "rondo-patch"
LOCK_SECONDS = 60.0
#: Files of the workspace's own that git does not know: they outlive a change of the checkout.
OWN_FILES = (f"{LOG}.dvc", "dvc.lock")
#: Where new files are source. Anything else that lies untracked in a checkout may be data, or
#: somebody's secret, which a patch would carry to where releases are kept.
SOURCE = ("base", "features", "training", "serving", "flows", "simulation", "tests")
CONFIG = """\
[core]
    analytics = false
    remote = store
[cache]
    type = "reflink,hardlink,copy"
['remote "store"']
    url = {remote}
"""


class WorkspaceError(RuntimeError):
    """The checkout cannot be cloned or patched, or somebody else is at it; the message says why."""


@dataclass(frozen=True)
class Origin:
    """What a workspace's code is: a commit of the checkout and edits that it lacks, for git."""

    commit: str
    patch: bytes


@dataclass(frozen=True)
class Workspace:
    """Where stages run. Paths below `root`; `checkout` is where experiments are shown."""

    root: Path
    checkout: Path

    @property
    def log(self) -> Path:
        """The folder that ingestion adds to."""
        return self.root / LOG

    @contextmanager
    def inside(self) -> Iterator[None]:
        """`root` as the working directory of this process; DVC resolves stages against it.

        Not for several threads at once: whoever starts them enters before and leaves after them.
        """
        with chdir(self.root):
            yield

    @contextmanager
    def repo(self) -> Iterator[Any]:
        """The DVC repository, opened anew: its index is cached and must see new files."""
        from dvc.repo import Repo

        logging.getLogger("dvc").setLevel(logging.WARNING)
        # Not put back: stages have their repositories open at the same time, in threads of one
        # process, and what one puts back would be what another had set.
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="pathspec|dvc")
        with self.inside(), Repo() as repo:
            yield repo

    def add(self, folders: Sequence[Path]) -> None:
        """`dvc add` of new or grown folders below `log`; the first time, of `log` itself."""
        pointer = self.root / f"{LOG}.dvc"
        targets = [str(folder) for folder in folders] if pointer.exists() else [str(self.log)]
        if targets:
            with self.repo() as repo:
                repo.add(targets)

    def data_version(self) -> str:
        """The hash of everything in `log` as last added; empty before the first."""
        pointer = self.root / f"{LOG}.dvc"
        if not pointer.exists():
            return ""
        return str(yaml.safe_load(pointer.read_text())["outs"][0]["md5"])

    def origin(self) -> Origin:
        """The commit and the edits that this workspace was made of."""
        git = self.root / ".git"
        commit = _git(self.root, "rev-parse", "HEAD").strip()  # it never commits
        return Origin(commit, (git / PATCH).read_bytes())

    def save_experiment(self, name: str) -> None:
        """Save the present state as experiment `name`, push its data and show it in the checkout.

        Saving the same state again changes nothing. Raises WorkspaceError when the remote does not
        take the data.
        """
        from dvc.repo.experiments.push import push

        untracked = _git(self.root, "ls-files", "--others", "--exclude-standard").split("\n")
        with self.repo() as repo:
            repo.experiments.save(
                name=name,
                force=True,
                # The stages are in dvc.lock since they ran; all targets would want `world`, too.
                targets=[f"{LOG}.dvc"],
                include_untracked=[path for path in untracked if path],
            )
            _push(repo)
            push(repo, "origin", [name], force=True, push_cache=False)

    def forget(self, names: Set[str], remote_too: bool) -> None:
        """Remove experiments here and in the checkout, and the data that only they had.

        What any branch, tag or experiment of the checkout needs stays; where that cannot be told,
        everything does. remote_too: also from the remote, which must be nobody else's; it is left
        alone once somebody runs the pipeline in the checkout itself, which may push there.
        """
        from dvc.exceptions import DvcException

        found = 0
        for folder in (self.root, self.checkout):
            refs = _git(folder, "for-each-ref", "--format=%(refname)", "refs/exps").splitlines()
            doomed = [f"delete {ref}\n" for ref in refs if ref.rpartition("/")[2] in names]
            _git(folder, "update-ref", "--stdin", stdin="".join(doomed).encode())
            found += len(doomed)
        if not found:
            return
        known = [f"+refs/{kind}/*:refs/{kind}/*" for kind in ("exps", "heads", "tags")]
        _git(self.root, "fetch", "-q", "origin", *known)
        cloud = remote_too and not (self.checkout / "dvc.lock").exists()
        try:
            with self.repo() as repo:
                repo.gc(all_branches=True, all_tags=True, all_experiments=True, cloud=cloud)
        except DvcException as error:
            logger.warning("data of forgotten experiments stay: %s", error)


def prepare(
    root: Path, checkout: Path, remote: str, overrides: Mapping[str, Any] | None = None
) -> Workspace:
    """The workspace at `root`, brought to the checkout's present state.

    remote: DVC remote; overrides: dotted keys of `params.yaml` to values, on top of
    `input: data/log`. Outputs and the log stay; calling it twice changes nothing. Raises
    WorkspaceError when the checkout is no git repository or has no commit, ParamsError when its
    `params.yaml` cannot be read.
    """
    with locked(root):
        return _prepare(root, checkout, remote, overrides or {})


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Keep every other process of this machine out of the workspace at `root` for the block.

    The lease says who may retrain; this keeps its next holder waiting for one that lost it without
    noticing. Ends with the process; the same thread may enter again. Raises WorkspaceError after a
    minute.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(root.with_name(f".{root.name}.lock"), is_singleton=True)
    try:
        lock.acquire(timeout=LOCK_SECONDS)
    except Timeout:
        raise WorkspaceError(f"another process is working in {root}") from None
    try:
        if lock.lock_counter == 1:
            torn.mend(root, LOG)
        yield
    finally:
        lock.release()


def _prepare(root: Path, checkout: Path, remote: str, overrides: Mapping[str, Any]) -> Workspace:
    params.read(checkout / "params.yaml")  # what cannot be read is said of this file, not of a copy
    values: dict[str, Any] = {"input": str(LOG), **overrides}
    origin = Origin(_git(checkout, "rev-parse", "HEAD").strip(), uncommitted(checkout))
    text = f"{origin.commit}\n{sorted(values.items())}\n{remote}\n{checkout}\n"
    state = hashlib.sha256(text.encode() + origin.patch)
    marker = root / ".git" / STATE
    known = marker.exists() and (root / ".git" / PATCH).exists()
    if known and marker.read_text() == state.hexdigest():
        return Workspace(root, checkout)
    workspace = stand(root, checkout, remote, origin)
    edit(root / "params.yaml", values)
    marker.write_text(state.hexdigest())
    return workspace


def stand(root: Path, checkout: Path, remote: str, origin: Origin) -> Workspace:
    """A clone of `checkout` at `root` that holds the code of `origin`; made where there is none.

    Raises WorkspaceError where the checkout does not have the commit.
    """
    if not (root / ".git").exists():
        _clone(checkout, root)
    (root / ".git" / STATE).unlink(missing_ok=True)
    _git(root, "remote", "set-url", "origin", str(checkout))  # it may have moved
    _git(root, "fetch", "-q", "origin", origin.commit)
    # Outputs are ignored by git and stay; so do the log's pointer and the lock, by name.
    _git(root, "checkout", "-q", "--force", "--detach", origin.commit)
    _git(root, "clean", "-fdq", *(f"--exclude=/{name}" for name in OWN_FILES))
    if origin.patch:
        _git(root, "apply", "--index", "--binary", "-", stdin=origin.patch)
    (root / ".git" / PATCH).write_bytes(origin.patch)
    (root / ".dvc" / "config.local").write_text(CONFIG.format(remote=remote))
    return Workspace(root, checkout)


def uncommitted(checkout: Path) -> bytes:
    """Edits, removals and new source files of the checkout that HEAD lacks, as a patch for git."""
    folder = Path(tempfile.mkdtemp(prefix="rondo-index-"))
    try:
        index = Path(_git(checkout, "rev-parse", "--git-path", "index").strip())
        source = index if index.is_absolute() else checkout / index
        if source.exists():
            shutil.copyfile(source, folder / "index")
        environment = {"GIT_INDEX_FILE": str(folder / "index")}
        _git(checkout, "add", "-u", environment=environment)
        listed = _run(checkout, "ls-files", "-z", "--others", "--exclude-standard", "--", *SOURCE)
        new = [name for name in os.fsdecode(listed).split("\0") if name and name not in OWN_FILES]
        if new:
            _git(checkout, "add", "--", *new, environment=environment)
        return _run(checkout, "diff", "--cached", "--binary", "HEAD", environment=environment)
    finally:
        shutil.rmtree(folder)


def _clone(checkout: Path, root: Path) -> None:
    """Under a temporary name first: a kill leaves no half clone behind."""
    temporary = root.with_name(f".{root.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.parent.mkdir(parents=True, exist_ok=True)
    _git(checkout, "clone", "-q", "--no-checkout", str(checkout), str(temporary))
    _git(temporary, "config", "user.name", "Rondo")
    _git(temporary, "config", "user.email", "rondo@localhost")
    temporary.rename(root)


def _push(repo: Any) -> None:
    """Data to the remote. Raises WorkspaceError, in one line, when it does not take them."""
    try:
        repo.push()
    except Exception as error:  # each kind of remote has its own
        from serving import release_store

        url = release_store.shown(repo.config["remote"]["store"]["url"])
        raise WorkspaceError(
            f"the DVC remote {url} takes no data: {release_store.reason(error)}; does it exist, "
            "and may we write there?"
        ) from error


def _git(
    folder: Path,
    *arguments: str,
    stdin: bytes | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    return os.fsdecode(_run(folder, *arguments, stdin=stdin, environment=environment))


def _run(
    folder: Path,
    *arguments: str,
    stdin: bytes | None = None,
    environment: Mapping[str, str] | None = None,
) -> bytes:
    """What git prints, as bytes: a patch may hold any encoding and any line ending."""
    result = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        input=stdin,
        env={**os.environ, **(environment or {})},
        capture_output=True,
    )
    if result.returncode != 0:
        reason = re.sub(r"\s+", " ", os.fsdecode(result.stderr)).strip()
        raise WorkspaceError(f"git {arguments[0]} in {folder} failed: {reason}")
    return result.stdout
