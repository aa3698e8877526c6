"""Find which of our files a module runs, and compute a digest of their code.

The files are found by reading import statements, without importing, so that no list has to be kept
by hand. `dvc.yaml`'s dependencies, fingerprints, tuning studies and checkpoints all use this
module.
"""

import ast
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

#: The folder of the code that is running.
SOURCE: Final = Path(__file__).resolve().parents[1]
#: Files that only print messages or decide where things run. They cannot change what a release
#: shows, so a change in them does not count as changed code. A change in any other file does.
TELLING: Final = (
    "base/errors.py",
    "base/quiet.py",
    "base/scratch.py",
    "base/settings.py",
    "base/stage.py",
    "base/warm_client.py",
    "training/transformer/checkpoints.py",
    "training/transformer/failures.py",
    "training/transformer/loggers.py",
)


def deciding(modules: Iterable[str], root: Path = SOURCE) -> list[str]:
    """Like `files`, but without the files of TELLING and those that only TELLING imports."""
    return files(modules, root, TELLING)


def files(modules: Iterable[str], root: Path = SOURCE, without: Collection[str] = ()) -> list[str]:
    """Paths below `root`, sorted, of `modules` and of all our modules that they import, directly or
    indirectly.

    without: paths to leave out, together with those that only they import. Imports under
    TYPE_CHECKING are not followed, and an `__init__` without code is not listed. Raises LookupError
    if one of `modules` is not below `root`.
    """
    found: dict[str, bool] = {}
    waiting = [(module, True) for module in modules]
    while waiting:
        module, asked = waiting.pop()
        path = _path(root, module)
        if path is None:
            if asked:
                raise LookupError(f"no module {module} in {root}")
            continue
        name = path.relative_to(root).as_posix()
        if name in found or name in without:
            continue
        above = module.rpartition(".")[0]
        package = module if path.name == "__init__.py" else above
        holds_code, imported = _read(path.read_bytes(), package)
        found[name] = holds_code or path.name != "__init__.py"
        waiting += [(other, False) for other in (above, *imported)]
    return sorted(name for name, holds_code in found.items() if holds_code)


def digest(paths: Iterable[str], root: Path = SOURCE) -> str:
    """SHA-256 of the names and the code of `paths` (relative to `root`).

    Comments, docstrings, layout and the running version of Python do not change it.
    """
    whole = sha256()
    for name in paths:
        whole.update(name.encode() + b"\0" + _program((root / name).read_bytes()))
    return whole.hexdigest()


@cache
def _read(source: bytes, package: str) -> tuple[bool, list[str]]:
    """Whether a file of `package` holds code, and which modules it may import."""
    body = ast.parse(source).body
    return bool(_without_docstring(body)), list(_imports(body, package))


@cache
def _program(source: bytes) -> bytes:
    return sha256(repr(_plain(ast.parse(source))).encode()).digest()


def _plain(node: Any) -> Any:
    """A syntax tree as tuples.

    Empty fields are left out, because newer Pythons have more of them.
    """
    if isinstance(node, list):
        return [_plain(entry) for entry in node]
    if not isinstance(node, ast.AST):
        return type(node).__name__, repr(node)
    fields = dict(ast.iter_fields(node))
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        fields["body"] = _without_docstring(node.body)
    kept = {name: value for name, value in fields.items() if value is not None and value != []}
    return type(node).__name__, [(name, _plain(kept[name])) for name in sorted(kept)]


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    """`body` without docstrings: of a module, a function, a class or a field."""
    return [
        statement
        for statement in body
        if not (
            isinstance(statement, ast.Expr)
            and isinstance(statement.value, ast.Constant)
            and isinstance(statement.value.value, str)
        )
    ]


def _imports(body: Iterable[ast.AST], package: str) -> Iterator[str]:
    """Names that may be modules.

    `from a import b` gives `a` and `a.b`, since `b` may be a module.
    """
    for node in body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            parts = [*(above if node.level else []), *([node.module] if node.module else [])]
            base = ".".join(parts)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and _is_for_types(node.test):
            yield from _imports(node.orelse, package)
        else:
            yield from _imports(ast.iter_child_nodes(node), package)


def _is_for_types(test: ast.expr) -> bool:
    return ast.unparse(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _path(root: Path, module: str) -> Path | None:
    if not module:
        return None
    base = root.joinpath(*module.split("."))
    found = [path for path in (base / "__init__.py", base.with_suffix(".py")) if path.is_file()]
    return found[0] if found else None
