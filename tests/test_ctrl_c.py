"""Ctrl-C in real programs: exit code 130 and one short line, whatever Python is doing when it comes.

Not at a time but at a moment: Python runs `sitecustomize` before a program, and that presses Ctrl-C when a
module is about to be imported, a file to be opened, or the process to end.
"""

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(
    path for path in (ROOT / "experiments").glob("*.py") if "commandline.run(" in path.read_text("utf-8")
)
PRESS = """
import atexit, os, signal, sys
kind, what = os.environ["PRESS_AT"].split(maxsplit=1)

def press():
    os.kill(os.getpid(), signal.SIGINT)

class Finder:
    def find_spec(self, name, *_):
        if (kind, what) == ("import", name):
            press()

sys.meta_path.insert(0, Finder())
if kind == "open":
    sys.addaudithook(lambda event, args: press() if event == "open" and what in str(args[0]) else None)
if kind == "exit":
    atexit.register(press)
"""


@pytest.fixture
def press(tmp_path):
    """Runs a program, presses Ctrl-C at that moment, and returns its exit code, stdout and stderr."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(PRESS)
    path = os.pathsep.join([str(tmp_path / "site"), str(ROOT)])

    def run(moment, *command):
        environment = {**os.environ, "PYTHONPATH": path, "PRESS_AT": moment}
        environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
        call = [sys.executable, *map(str, command)]
        done = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    return run


STOPPED = (130, "", "stopped\n")


@pytest.mark.parametrize("module", ["jaxnets.cli.commands", "tyro", "jax", "jaxlib"])
def test_while_a_command_imports(press, module):
    assert press(f"import {module}", "-m", "jaxnets", "models") == STOPPED


def test_while_the_installed_command_imports(press, tmp_path):
    """The script that pip writes, from what pyproject.toml names."""
    (tmp_path / "jaxnets").write_text("import sys\nfrom jaxnets.cli import main\nsys.exit(main())\n")
    assert press("import tyro", tmp_path / "jaxnets", "models") == STOPPED


@pytest.mark.parametrize(
    "script, module",
    [
        ("train.py", "jaxnets.machine"),
        ("train.py", "sklearn.datasets"),
        ("letters.py", "jax"),
    ],
)
def test_while_an_experiment_imports(press, script, module):
    assert press(f"import {module}", ROOT / "experiments" / script) == STOPPED


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_while_any_experiment_imports(press, script):
    assert press("import jax", script) == STOPPED


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_experiments_import_ours_first(script):
    """Before that, Ctrl-C is Python's own."""
    first = next(
        node
        for node in ast.parse(script.read_text("utf-8")).body
        if isinstance(node, ast.Import | ast.ImportFrom)
    )
    assert isinstance(first, ast.ImportFrom)
    assert (first.module, first.names[0].name) == ("jaxnets.cli", "commandline")


COMMAND = """
from jaxnets.cli import commandline
from pathlib import Path
from jaxnets.files import complete

class Lost:
    def __del__(self):
        Path("in a callback").exists() or open("in a callback", "w").close()

def main():
    Lost()
    with complete(Path("result")) as part:
        part.write_text("done")
    print("said")

commandline.run(main)
"""


@pytest.mark.parametrize(
    "moment, out, files",
    [
        ("open in a callback", "", {"in a callback"}),
        ("open result.", "", {"in a callback"}),
        ("exit now", "said\n", {"in a callback", "result"}),
    ],
)
def test_in_a_command_and_after_it(press, tmp_path, moment, out, files):
    """What was being written is cleaned up, and an exception that gets lost still ends it."""
    (tmp_path / "command.py").write_text(COMMAND)
    assert press(moment, "command.py") == (130, out, "stopped\n")
    assert {path.name for path in tmp_path.iterdir()} - {"site", "command.py", ".cache"} <= files


@pytest.mark.slow
def test_before_and_after_training(press, tmp_path):
    workdir = tmp_path / "run"
    command = (ROOT / "experiments/train.py", "--model", "mlp", "--epochs", "1", "--workdir", workdir)
    code, _, err = press("open config.json.", *command)
    assert (code, err) == (130, "stopped\n")
    assert [path.name for path in workdir.iterdir()] == ["lock"]
    code, out, err = press("open curves.png.", *command)
    assert (code, err.splitlines()[-1]) == (130, "stopped")
    assert "held out: loss" in out
    assert not list(workdir.glob("*.part"))
    code, out, err = press("exit now", *command)
    assert (code, err.splitlines()[-1]) == (130, "stopped")
    assert "try next" in out


def test_what_is_no_program_of_ours_keeps_its_own(press, tmp_path):
    (tmp_path / "theirs.py").write_text("import helper\nimport json.tool\n")
    (tmp_path / "helper.py").write_text("from jaxnets.cli import commandline\n")
    code, _, err = press("import json.tool", tmp_path / "theirs.py")
    assert (code, err.splitlines()[-1]) == (-signal.SIGINT, "KeyboardInterrupt")
