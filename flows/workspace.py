"""The retraining workspace: a plain clone of the checkout, with its own DVC cache and git identity.

It contains the checkout's HEAD plus its uncommitted edits as a patch, reads `data/log`, and never
commits. Every retrain is saved as a DVC experiment whose ref is pushed to the checkout. There `dvc
exp show -A` lists it, while `git status` stays clean.
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
#: The workspace's own files, unknown to git, which stay when the checkout changes.
OWN_FILES = (f"{LOG}.dvc", "dvc.lock")
#: Folders in which new files count as source. Other untracked files of a checkout may be data or
#: secrets, which a patch would copy to the store of releases.
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
    """The checkout cannot be cloned or patched, or another process uses the workspace.

    The message says why.
    """


@dataclass(frozen=True)
class Origin:
    """The code of a workspace: a commit of the checkout, and edits as a patch for git."""

    commit: str
    patch: bytes


@dataclass(frozen=True)
class Workspace:
    """Where stages run. Paths are relative to `root`; experiments are shown in `checkout`."""

    root: Path
    checkout: Path

    @property
    def log(self) -> Path:
        """The folder to which ingestion adds files."""
        return self.root / LOG

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Make `root` the working directory of this process; DVC resolves stages against it.

        Not for several threads at once: enter before starting threads, and leave after they end.
        """
        with chdir(self.root):
            yield

    @contextmanager
    def repo(self) -> Iterator[Any]:
        """The DVC repository, opened anew, because a cached index would not see new files."""
        from dvc.repo import Repo

        logging.getLogger("dvc").setLevel(logging.WARNING)
        # This filter stays: stages have repositories open at the same time, in threads of one
        # process, and restoring filters in one thread would undo those of another.
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="pathspec|dvc")
        with self.inside(), Repo() as repo:
            yield repo

    def add(self, folders: Sequence[Path]) -> None:
        """`dvc add` new or changed folders below `log`; the first time, `log` itself."""
        pointer = self.root / f"{LOG}.dvc"
        targets = [str(folder) for folder in folders] if pointer.exists() else [str(self.log)]
        if targets:
            with self.repo() as repo:
                repo.add(targets)

    def data_version(self) -> str:
        """The hash of everything in `log` as last added; empty before the first time."""
        pointer = self.root / f"{LOG}.dvc"
        if not pointer.exists():
            return ""
        return str(yaml.safe_load(pointer.read_text())["outs"][0]["md5"])

    def origin(self) -> Origin:
        """The commit and the edits from which this workspace was made."""
        git = self.root / ".git"
        commit = _git(self.root, "rev-parse", "HEAD").strip()  # the workspace never commits
        return Origin(commit, (git / PATCH).read_bytes())

    def save_experiment(self, name: str) -> None:
        """Save the present state as experiment `name`, push its data and show it in the checkout.

        Saving the same state again changes nothing. Raises WorkspaceError if the remote does not
        accept the data.
        """
        from dvc.repo.experiments.push import push

        untracked = _git(self.root, "ls-files", "--others", "--exclude-standard").split("\n")
        with self.repo() as repo:
            repo.experiments.save(
                name=name,
                force=True,
                # Stages are in dvc.lock since they ran. Naming all targets would include `world`.
                targets=[f"{LOG}.dvc"],
                include_untracked=[path for path in untracked if path],
            )
            _push(repo)
            push(repo, "origin", [name], force=True, push_cache=False)

    def forget(self, names: Set[str], remote_too: bool) -> None:
        """Remove experiments here and in the checkout, and the data that only they needed.

        Data needed by any branch, tag or experiment of the checkout stays; if that is unknown, all
        data stays. remote_too: also delete from the remote, which must not be shared. The remote is
        left alone once the pipeline was run in the checkout itself, which may push to it.
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
    """Create the workspace at `root`, or update it to the checkout's present state.

    remote: DVC remote; overrides: values by dotted key of `params.yaml`, in addition to `input:
    data/log`. Outputs and the log stay, and calling it twice changes nothing. Raises WorkspaceError
    if the checkout is not a git repository or has no commit, and ParamsError if its `params.yaml`
    cannot be read.
    """
    with locked(root):
        return _prepare(root, checkout, remote, overrides or {})


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Keep all other processes of this machine out of the workspace at `root` during the block.

    The lease decides who may retrain. This lock also makes its next holder wait for a process that
    lost the lease without noticing. The lock ends with the process, and the same thread may take it
    again. Raises WorkspaceError after a minute.
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
    params.read(checkout / "params.yaml")  # an error should name this file, not a copy
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
    """Create or update a clone of `checkout` at `root` that holds the code of `origin`.

    Raises WorkspaceError if the checkout does not have the commit.
    """
    if not (root / ".git").exists():
        _clone(checkout, root)
    (root / ".git" / STATE).unlink(missing_ok=True)
    _git(root, "remote", "set-url", "origin", str(checkout))  # it may have moved
    _git(root, "fetch", "-q", "origin", origin.commit)
    # Outputs are ignored by git and stay. So do the log's pointer and dvc.lock, which are named in
    # OWN_FILES.
    _git(root, "checkout", "-q", "--force", "--detach", origin.commit)
    _git(root, "clean", "-fdq", *(f"--exclude=/{name}" for name in OWN_FILES))
    if origin.patch:
        _git(root, "apply", "--index", "--binary", "-", stdin=origin.patch)
    (root / ".git" / PATCH).write_bytes(origin.patch)
    (root / ".dvc" / "config.local").write_text(CONFIG.format(remote=remote))
    return Workspace(root, checkout)


def uncommitted(checkout: Path) -> bytes:
    """Edits, removals and new source files of the checkout since HEAD, as a patch for git."""
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
    """Clone under a temporary name and rename it, so that a kill leaves no half clone."""
    temporary = root.with_name(f".{root.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.parent.mkdir(parents=True, exist_ok=True)
    _git(checkout, "clone", "-q", "--no-checkout", str(checkout), str(temporary))
    _git(temporary, "config", "user.name", "Rondo")
    _git(temporary, "config", "user.email", "rondo@localhost")
    temporary.rename(root)


def _push(repo: Any) -> None:
    """Push data to the remote.

    Raises WorkspaceError, in one line, if the remote does not accept them.
    """
    try:
        repo.push()
    except Exception as error:  # each kind of remote raises its own errors
        from serving import release_store

        url = release_store.shown(repo.config["remote"]["store"]["url"])
        raise WorkspaceError(
            f"the DVC remote {url} refuses data: {release_store.reason(error)}; does it exist, "
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
    """The output of git as bytes, since a patch may hold any encoding and line ending."""
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
