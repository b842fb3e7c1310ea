"""The commands that sentences name are those that work where they are read."""

import os
import platform
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from jaxnets import hints

ROOT = Path(__file__).parents[1]
SAY = (
    "from jaxnets import hints\n"
    "print(hints.program()); print(hints.jaxnets('predict', 'my run')); print(hints.command())"
)


def test_extras_are_those_of_pyproject():
    """By what they stand for: `pip install jaxnets[...]` would install whatever has that name on an index."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for name, packages in hints.EXTRAS.items():
        known = [Requirement(line) for line in extras["optional-dependencies"][name]]
        here = [found for found in known if found.marker is None or found.marker.evaluate()]
        assert [(found.name, found.specifier) for found in here] == [
            (asked.name, asked.specifier) for asked in map(Requirement, packages)
        ]


@pytest.mark.skipif(platform.system() == "Windows", reason="other quotes there")
def test_what_to_install_is_quoted_for_a_shell():
    assert hints.install("onnx").endswith(" -m pip install 'jax2onnx>=0.17.1' 'onnxruntime>=1.24' 'jax<0.12'")
    assert hints.install("tyro", "h5py").endswith(" -m pip install tyro h5py")


@pytest.mark.parametrize(
    "called, program, jaxnets",
    [
        ("env/python script.py", "env/python script.py", "env/python -m jaxnets"),
        ("python script.py", "python script.py", "python -m jaxnets"),
        ("python -m package", "python -m package", "python -m jaxnets"),
        ("env/jaxnets", "env/jaxnets", "env/jaxnets"),
        ("jaxnets", "jaxnets", "jaxnets"),
    ],
)
def test_the_program_has_the_name_by_which_it_was_called(tmp_path, called, program, jaxnets):
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "python").symlink_to(sys.executable)
    (tmp_path / "env" / "jaxnets").write_text(f"#!{sys.executable}\n{SAY}\n")
    (tmp_path / "env" / "jaxnets").chmod(0o755)
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__main__.py").write_text(SAY)
    (tmp_path / "script.py").write_text(SAY)
    path = os.pathsep.join([str(tmp_path / "env"), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    call = ["sh", "-c", f"{called} --title 'my run'"]
    done = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        program,
        f"{jaxnets} predict 'my run'",
        f"{program} --title 'my run'",
    ]


def test_a_session_has_no_command():
    done = subprocess.run([sys.executable, "-"], input=SAY, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "None"
