"""Which of our files a module runs, and a digest of what they say.

Found by reading imports, never by importing: nothing is listed by hand, so nothing is forgotten.
`dvc.yaml`'s dependencies, fingerprints, studies and checkpoints all ask here.
"""

import ast
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

#: The folder of the code that is running.
SOURCE: Final = Path(__file__).resolve().parents[1]
#: These tell people what happens or say where things run. Whatever is not named here may decide
#: what a release shows, and counts as changed code when it changes.
TELLING: Final = (
    "base/errors.py",
    "base/quiet.py",
    "base/scratch.py",
    "base/settings.py",
    "base/stage.py",
    "base/warm.py",
    "training/transformer/checkpoints.py",
    "training/transformer/failures.py",
    "training/transformer/loggers.py",
)


def deciding(modules: Iterable[str], root: Path = SOURCE) -> list[str]:
    """`files` without TELLING and what only that imports."""
    return files(modules, root, TELLING)


def files(modules: Iterable[str], root: Path = SOURCE, without: Collection[str] = ()) -> list[str]:
    """Paths below `root`, sorted, of `modules` and of all of ours that they import, however far.

    without: paths left out, together with what only they import. Imports for type checking alone
    do not count, nor do packages whose `__init__` holds no code. Raises LookupError for one of
    `modules` that is not below `root`.
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
    """SHA-256 of the names of `paths` below `root` and of what each says as a program.

    Comments, docstrings and layout say nothing; the version of Python that reads it does not
    matter either.
    """
    whole = sha256()
    for name in paths:
        whole.update(name.encode() + b"\0" + _program((root / name).read_bytes()))
    return whole.hexdigest()


@cache
def _read(source: bytes, package: str) -> tuple[bool, list[str]]:
    """Does a file of `package` hold code, and what may it import."""
    body = ast.parse(source).body
    return bool(_without_docstring(body)), list(_imports(body, package))


@cache
def _program(source: bytes) -> bytes:
    return sha256(repr(_plain(ast.parse(source))).encode()).digest()


def _plain(node: Any) -> Any:
    """A syntax tree as tuples. Empty fields are left out: later Pythons know more of them."""
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
    """`body` without strings that stand alone: of a module, a function, a class or its field."""
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
    """Names that may be modules: `from a import b` names `a` and `a.b`."""
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
