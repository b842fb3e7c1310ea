"""Other systems, as far as Linux can show: without Unix's modules, and with another encoding than UTF-8."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
UNIX = ("fcntl", "grp", "pwd", "resource", "termios")
OF_BYTES = ("Image.open", "graph.open", "opened.open", "os.open", "self.open", "tarfile.open")

WITHOUT = f"""
import sys, warnings
sys.modules.update(dict.fromkeys({UNIX}))  # importing one raises ImportError
import importlib, pathlib, pkgutil, tempfile
import numpy as np
import jaxnets
for module in pkgutil.walk_packages(jaxnets.__path__, "jaxnets."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
from jaxnets import data, models, optim, train
rows = np.random.default_rng(0).normal(size=(64, 4))
source = data.ArraySource(rows, (rows[:, 0] > 0).astype(int))
model, descent = models.MODELS["perceptron"](num_classes=2), optim.OPTIMIZERS["adam"](0.1)
workdir = pathlib.Path(tempfile.mkdtemp())
for epochs in (1, 2):  # begun, and gone on with
    _, history = train.fit(
        train.make_state(model, descent, (4,)), train.make_train_step(model, descent),
        data.Batches(source, 16, seed=0), epochs=epochs, keep=train.Keep(workdir),
    )
print(len(history))
"""


def test_training_needs_none_of_unixs_modules():
    command = [sys.executable, "-W", "ignore:only soft file lock", "-c", WITHOUT]
    environment = {**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false"}  # it would wait for soft locks
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr
    assert done.stderr.count("is not locked against a second training there (") == 1


def opens_text(call):
    """Whether a call reads or writes text in the system's own encoding, which is not UTF-8 everywhere."""
    function = ast.unparse(call.func)
    if not re.search(r"(^|\.)(open|fdopen|read_text|write_text)$", function) or function in OF_BYTES:
        return False
    said = [*call.args, *(word.value for word in call.keywords)]
    return not any(re.fullmatch(r"'(utf-8.*|[arwx]b\+?)'", ast.unparse(value)) for value in said)


def test_text_is_utf_8_everywhere():
    found = []
    for path in sorted(
        path for folder in ("jaxnets", "experiments") for path in (ROOT / folder).rglob("*.py")
    ):
        calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
        found += [f"{path.relative_to(ROOT)}:{call.lineno}" for call in calls if opens_text(call)]
    assert found == []


@pytest.mark.parametrize(
    "code, expected",
    [
        ("open('x')", True),
        ("path.open('a')", True),
        ("path.read_text()", True),
        ("path.write_text(text, encoding='utf-8')", False),
        ("open('x', 'wb')", False),
        ("Image.open(file)", False),
    ],
)
def test_what_opens_text(code, expected):
    assert opens_text(ast.parse(code, mode="eval").body) is expected
