"""A warm process runs a stage just as a separate process would, but faster."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from base import warm_client
from tests.base.test_stage import alive, wait_for, written

#: Says what it was given; imports something that notes each import.
TOLD = """
import os, sys, noted
from pathlib import Path
if __name__ == "__main__":
    print(__name__, sys.argv[1:], Path.cwd().name, os.environ["TOLD"], __spec__.name)
    print("to stderr", file=sys.stderr)
"""
NOTED = "open('imports', 'a').write('x')\n"
SLOW = """
import os, sys, time
from pathlib import Path
if __name__ == "__main__":
    Path("pid").write_text(str(os.getpid()))
    time.sleep(60)
"""
#: Ends in the way that its argument names.
ENDS = """
import atexit, os, signal, sys
from base.errors import InputError
if __name__ == "__main__":
    atexit.register(print, "at exit")
    how = sys.argv[1]
    if how == "input":
        raise InputError("no such column")
    if how == "raise":
        raise ValueError("a fault")
    if how == "exit":
        sys.exit(7)
    if how == "words":
        sys.exit("in words")
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
"""
BROKEN = "raise RuntimeError('at import')\n"
FILES = {"told": TOLD, "noted": NOTED, "slow": SLOW, "ends": ENDS, "broken": BROKEN}


@pytest.fixture
def folder(tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with stages of its own."""
    for name, text in FILES.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(checkout))
    monkeypatch.setenv("TOLD", "inherited")
    return tmp_path


@contextmanager
def listening() -> Iterator[int]:
    """The descriptor of a socket at `warm`, which the warm process inherits."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind("warm")
        listener.listen()
        yield listener.fileno()


def start(*modules: str, **options: Any) -> "subprocess.Popen[str]":
    """A warm process at `warm`."""
    with listening() as descriptor:
        command = [sys.executable, "-m", "base.warm", str(descriptor), *modules]
        return subprocess.Popen(command, pass_fds=[descriptor], text=True, **options)


@contextmanager
def started(*modules: str, **options: Any) -> Iterator["subprocess.Popen[str]"]:
    """A warm process at `warm` for the block."""
    with start(*modules, **options) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def server(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """A warm process at `warm`."""
    modules = ["told", "slow", "ends", "broken"]
    with start(*modules, cwd=folder, stderr=subprocess.PIPE) as process:
        yield process
        process.kill()


def stage(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "base.stage", *arguments]


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        stage(*arguments),
        env=os.environ | {warm_client.VARIABLE: "warm"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.usefixtures("server")
def test_a_stage_is_the_main_module_with_the_callers_arguments_folder_and_environment(
    folder: Path,
) -> None:
    for told in ("one", "two"):
        result = run("told", "a", "b", TOLD=told)
        assert result.returncode == 0, result.stderr
        assert result.stdout == f"__main__ ['a', 'b'] {folder.name} {told} told\n"
        assert result.stderr == "to stderr\n"
    assert written(folder / "imports") == "x", "what it imports was imported once, for both"


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("how", ["well", "input", "raise", "exit", "words"])
def test_a_stage_ends_as_it_would_in_a_process_of_its_own(how: str) -> None:
    warmed, cold = run("ends", how), run("ends", how, RONDO_STAGE_WARM="nowhere")
    assert warmed.returncode == cold.returncode
    assert warmed.stdout == cold.stdout == "at exit\n"
    last = (result.stderr.strip().splitlines()[-1:] for result in (warmed, cold))
    assert next(last) == next(last)


@pytest.mark.usefixtures("server")
def test_a_stage_that_is_killed_is_told_with_the_signal() -> None:
    result = run("ends", "killed")
    assert result.returncode != 0
    assert "ends: ended by SIGKILL" in result.stderr


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_stage_ends_with_the_process_that_asked_for_it(
    folder: Path, number: signal.Signals
) -> None:
    asking = subprocess.Popen(stage("slow"), env=os.environ | {warm_client.VARIABLE: "warm"})
    assert wait_for(lambda: written(folder / "pid"), 20)
    running = int(written(folder / "pid"))
    assert running != asking.pid
    asking.send_signal(number)
    asking.wait()
    assert wait_for(lambda: not alive(running), 2)
    assert run("told").returncode == 0, "the warm process goes on"


def test_a_stage_ends_with_the_warm_process(folder: Path, server: "subprocess.Popen[str]") -> None:
    asking = subprocess.Popen(
        stage("slow"),
        env=os.environ | {warm_client.VARIABLE: "warm"},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert wait_for(lambda: written(folder / "pid"), 20)
    server.kill()
    assert "the warm process that ran it has ended" in asking.communicate(timeout=20)[1]
    assert asking.returncode == 1
    assert wait_for(lambda: not alive(int(written(folder / "pid"))), 2)


@pytest.mark.usefixtures("server")
def test_a_stage_stops_at_its_time_limit() -> None:
    result = run("slow", RONDO_STAGE_TIME_LIMIT="0.5")
    assert result.returncode == 1
    assert "over its time limit" in result.stderr


@pytest.mark.usefixtures("server")
def test_a_stage_whose_code_changed_runs_in_a_process_of_its_own(folder: Path) -> None:
    assert run("told").returncode == 0
    (folder / "noted.py").write_text(NOTED + "print('changed')\n")
    assert run("told").stdout.startswith("changed\n")


@pytest.mark.usefixtures("server")
def test_a_stage_that_cannot_be_imported_says_so_itself() -> None:
    result = run("broken")
    assert result.returncode == 1
    assert "RuntimeError: at import" in result.stderr


@pytest.mark.usefixtures("server")
def test_a_stage_that_was_not_imported_runs_all_the_same(folder: Path) -> None:
    (folder / "late.py").write_text("print('late')\n")
    assert run("late").stdout == "late\n"


@pytest.mark.usefixtures("server")
def test_a_stage_that_runs_by_itself_wakes_it_and_is_not_run_by_it(folder: Path) -> None:
    result = run("told", RONDO_STAGE_WARM="", RONDO_STAGE_WAKE="warm")
    assert result.stdout.startswith("__main__")
    assert run("told").returncode == 0
    assert written(folder / "imports") == "xx"


@pytest.mark.usefixtures("folder")
def test_a_stage_runs_without_a_warm_process() -> None:
    assert run("told").stdout.startswith("__main__")


@pytest.mark.usefixtures("folder")
def test_the_warm_process_ends_with_who_started_it() -> None:
    parent = (
        "import subprocess, sys\n"
        "subprocess.run([sys.executable, '-m', *sys.argv[1:]], pass_fds=[int(sys.argv[2])])"
    )
    with listening() as descriptor:
        command = [sys.executable, "-c", parent, "base.warm", str(descriptor), "told"]
        starter = subprocess.Popen(command, pass_fds=[descriptor])
    assert run("told").returncode == 0
    asking = subprocess.Popen(stage("slow"), env=os.environ | {warm_client.VARIABLE: "warm"})
    starter.kill()
    starter.wait()
    asking.kill()
    asking.wait()

    def refused() -> bool:
        return warm_client.ask("warm", "told", []) is None

    assert wait_for(refused, 2)


def test_a_warm_process_whose_flow_died_before_it_began_does_not_begin(folder: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    begun = start("told", env=os.environ | {"RONDO_STAGE_PARENT": str(gone.pid)})
    assert begun.wait(60) == 1
    assert not (folder / "imports").exists()


@pytest.mark.usefixtures("folder")
def test_the_first_stage_does_not_wait_for_the_last_ones_imports(folder: Path) -> None:
    (folder / "long.py").write_text("import time; time.sleep(8)\n")
    with start("told", "long") as process:
        asking = [
            subprocess.Popen(
                stage("told", str(i)),
                env=os.environ | {warm_client.VARIABLE: "warm"},
                stdout=subprocess.PIPE,
                text=True,
            )
            for i in range(2)
        ]
        began = time.monotonic()
        outputs = [each.communicate(timeout=60)[0] for each in asking]
        assert all(output.startswith("__main__") for output in outputs)
        assert written(folder / "imports") == "x", time.monotonic() - began
        process.kill()


def test_a_file_that_changes_while_others_are_imported_is_not_run_as_it_was(folder: Path) -> None:
    (folder / "long.py").write_text("import noted, time\nif 'long' in noted.BY: time.sleep(2)\n")
    (folder / "noted.py").write_text("import sys\nBY = sys.argv\nopen('imports', 'a').write('x')\n")
    with started("long"):
        asking = subprocess.Popen(
            stage("long"), env=os.environ | {warm_client.VARIABLE: "warm"}, stdout=subprocess.PIPE
        )
        assert wait_for(lambda: written(folder / "imports"), 20)
        (folder / "noted.py").write_text("BY = []\nprint('changed')\n")
        assert asking.communicate(timeout=60)[0] == b"changed\n"


def test_what_modules_begin_and_print_when_imported_is_no_stages(folder: Path) -> None:
    """A library may start a process that ends while a stage runs, and greet whoever imports it."""
    (folder / "greets.py").write_text(
        "import subprocess\nBEGUN = subprocess.Popen(['sleep', '1'])\nprint('greeting')\n"
    )
    (folder / "leaves.py").write_text("raise SystemExit('at import')\n")
    (folder / "waits.py").write_text(
        "import greets, time\nif __name__ == '__main__':\n    time.sleep(2)\n    print('done')\n"
    )
    with started("waits", "leaves", "told", stdout=subprocess.PIPE) as process:
        assert run("waits").stdout == "done\n"
        assert run("leaves").stderr == "at import\n"
        assert run("told").returncode == 0
        assert process.poll() is None


def test_a_stage_is_run_by_itself_where_no_process_can_be_forked(folder: Path) -> None:
    limited = (
        "import os, runpy, sys\n"
        "def fork(): raise OSError('no more processes')\n"
        "os.fork = fork\n"
        "runpy.run_module('base.warm', run_name='__main__', alter_sys=True)"
    )
    with listening() as descriptor:
        command = [sys.executable, "-c", limited, str(descriptor), "told"]
        process = subprocess.Popen(command, pass_fds=[descriptor])
    assert run("told").returncode == 0
    assert written(folder / "imports") == "xx"
    assert process.poll() is None
    process.kill()
    process.wait()


def test_a_stage_whose_warm_process_ends_before_it_begins_does_not_begin(folder: Path) -> None:
    killed = (
        "import os, signal, socket, sys, time\n"
        "from base import stage, warm\n"
        "def run(module):\n"
        "    time.sleep(1)\n"
        "    parent = os.getppid()\n"
        "    os.kill(parent, signal.SIGKILL)\n"
        "    while os.getppid() == parent: time.sleep(0.01)\n"
        "    stage.run(module)\n"
        "listener = socket.socket(fileno=int(sys.argv[1]))\n"
        "warm.Server(listener, ['slow'], run).serve(os.getppid())"
    )
    with listening() as descriptor:
        command = [sys.executable, "-c", killed, str(descriptor)]
        process = subprocess.Popen(command, pass_fds=[descriptor])
    result = run("slow")
    assert result.returncode == 1
    assert "the warm process that ran it has ended" in result.stderr
    process.wait()
    assert not wait_for(lambda: written(folder / "pid"), 2)


def test_imports_count_towards_the_time_limit(folder: Path) -> None:
    (folder / "stuck.py").write_text("import time\ntime.sleep(60)\n")
    with started("stuck"):
        limited = os.environ | {warm_client.VARIABLE: "warm", "RONDO_STAGE_TIME_LIMIT": "1"}
        with (folder / "log").open("w") as log:
            asking = subprocess.Popen(stage("stuck"), env=limited, stderr=log)
        assert asking.wait(20) == 1
        assert "over its time limit" in written(folder / "log")
