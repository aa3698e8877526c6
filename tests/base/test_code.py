"""Which files a module runs, and which changes count as changed code."""

import subprocess
import sys
from pathlib import Path

import pytest

from base.code import TELLING, deciding, digest, files

TREE = {
    "a/__init__.py": '"""Nothing but words."""\n',
    "a/one.py": "import json\nfrom a import two\nfrom . import three\n",
    "a/two.py": "def f():\n    from b.deep import leaf\n    return leaf\n",
    "a/three.py": "from .four import x\n",
    "a/four.py": (
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import a.words\nelse:\n    import a.fallback\nx = 1\n"
    ),
    "a/fallback.py": "",
    "a/words.py": "",
    "a/alone.py": "",
    "b/__init__.py": "import b.side\n",
    "b/side.py": "",
    "b/deep/__init__.py": "",
    "b/deep/leaf.py": "import a.one\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in TREE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_all_that_is_imported_however_far_and_wherever_is_found(tree: Path) -> None:
    assert files(["a.one"], tree) == [
        "a/fallback.py",
        "a/four.py",
        "a/one.py",
        "a/three.py",
        "a/two.py",
        "b/__init__.py",
        "b/deep/leaf.py",
        "b/side.py",
    ]


def test_what_is_left_out_takes_along_what_only_it_imports(tree: Path) -> None:
    assert files(["a.one"], tree, {"a/three.py", "b/__init__.py"}) == [
        "a/one.py",
        "a/two.py",
        "b/deep/leaf.py",
    ]


def test_a_module_that_is_not_there_is_an_error(tree: Path) -> None:
    with pytest.raises(LookupError, match=r"no module a\.gone"):
        files(["a.gone"], tree)


def test_python_imports_no_file_of_ours_that_was_not_found(checkout: Path) -> None:
    code = (
        "import sys, runpy, training.evaluate, training.fit, features.batch.aggregate; "
        "print(*[m.__file__ for m in list(sys.modules.values()) if getattr(m, '__file__', None)])"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True)
    loaded = {Path(name) for name in result.stdout.split()}
    below = [p.relative_to(checkout).as_posix() for p in loaded if checkout in p.parents]
    ours = {name for name in below if not name.startswith(".")}
    modules = ["training.evaluate", "training.fit", "features.batch.aggregate"]
    assert len(ours) > 40
    words_only = {name for name in ours if name.endswith("__init__.py")}
    assert ours - words_only <= set(files(modules, checkout))


FUNCTION = '''\
"""What it is."""

LIMIT = 3  # why


class Row:
    """A row."""

    size: int = 1
    """How large."""


def f(x: int) -> int:
    """Twice."""
    return x * LIMIT
'''


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("What it is.", "What it was.", True),
        ("  # why", "  # because", True),
        ("How large.", "How small.", True),
        ("Twice.", "Three times.", True),
        ("    return x * LIMIT", "\n    return (\n        x * LIMIT\n    )", True),
        ("LIMIT = 3", "LIMIT = 4", False),
        ("LIMIT = 3", "LIMIT = 3.0", False),
        ("size: int = 1", "size: int = 2", False),
        ("x * LIMIT", "LIMIT * x", False),
        ("def f", "def g", False),
        ("return x * LIMIT", "return 'Twice.'", False),
    ],
)
def test_only_what_python_runs_makes_another_program(
    tmp_path: Path, before: str, after: str, same: bool
) -> None:
    assert before in FUNCTION
    (tmp_path / "m.py").write_text(FUNCTION)
    first = digest(["m.py"], tmp_path)
    (tmp_path / "m.py").write_text(FUNCTION.replace(before, after))
    assert (digest(["m.py"], tmp_path) == first) is same


def test_the_same_code_under_another_name_is_another_program(tmp_path: Path) -> None:
    for name in ("m.py", "n.py"):
        (tmp_path / name).write_text(FUNCTION)
    assert digest(["m.py"], tmp_path) != digest(["n.py"], tmp_path)


def test_what_only_tells_exists_and_decides_nothing(checkout: Path) -> None:
    assert all((checkout / name).exists() for name in TELLING)
    assert not set(TELLING) & set(deciding(["training.fit"], checkout))
    assert set(TELLING) & set(files(["training.fit"], checkout))
