"""Every command of README.md and docs/ works as shown: its program takes the arguments, and it runs.

They are read from the pages and parsed here, and run under `make slow` in a folder that holds what the pages
take for granted. What cannot run is in `NOT_RUN`, each with its reason.
"""

import functools
import gzip
import importlib.util
import os
import pickle
import re
import runpy
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import tomllib
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxnets import data
from jaxnets.cli import commandline
from jaxnets.data.formats.prepare import prepare
from tests.documented import PAGES, ROOT, read, variants
from tests.keras_twins import lenet5

SHOWN = {name: read(page.read_text(encoding="utf-8")) for name, page in PAGES.items()}
NOT_RUN = {
    r"make docs": "needs a package index; test_site.py holds what can be told without building",
    r"make .*": "sets up .venv with a package index, and runs this suite",
    r"(python -m )?pip .*": "needs a package index; test_wheel.py installs a wheel",
    r"git clone .*": "needs a network",
    r"srun .*": "needs Slurm",
    r"(python -m )?jaxnets plan .*": "needs compilers for accelerators; tests/accelerators runs it",
    r"python -m jaxnets": "is the program's name",
    r"python experiments/reproduce.py --only .*": "takes hours",
    r"python experiments/cifar10_speedrun.py --seeds 30": "takes hours without a GPU",
    r"python -m experiments.benchmarks.(suite|data_pipeline|recording|formulations)\b.*": "takes long",
    r"python -m experiments.benchmarks.accelerators\b.*": "needs compilers for accelerators",
    r"python -m experiments.benchmarks.airbench .*": "needs PyTorch, a GPU and what was cloned",
    r"python -m experiments.benchmarks.clock\b.*": "needs an accelerator",
    r"python -m tests.keras_suite": "rewrites its page; tests/test_keras_suite.py runs it",
}
INSTEAD = {"make train": "python experiments/train.py"}  # what that does, once it has installed
NEEDS = {"--format onnx": "jax2onnx"}  # an extra, without which one sentence says so
# What stands for something of the user's own, and what it is here.
PLACEHOLDERS = {
    "WORKDIR": "runs/digits",
    "/usr/share/datasets/fashion-mnist": "fashion-mnist",
    "host0:1234": "localhost:{port}",
}
# Where the pages' Python runs.
PYTHON = {
    ("README.md", "from_keras("): "test_readme.py",
    ("README.md", "train.fit("): "test_readme.py",
    ("README.md", "Path("): "test_pasted.py",
    ("README.zh.md", ""): "test_pasted.py",
    ("docs/keras_weights.md", "load_pretrained("): "test_pretrained.py",  # this downloads
    ("docs/data.md", "data.load("): "test_documented_commands.py",
    ("docs/speed.md", "machine.set_up()"): "test_documented_commands.py",
    ("docs/extending.md", ""): "test_extending.py",
    ("docs/tf_to_jax.md", ""): "test_tf_to_jax.py",
    ("docs/keras_to_jax.md", ""): "test_keras_to_jax.py",
    ("docs/keras_files.md", ""): "test_keras_files_page.py",
}
COMMANDS = [
    pytest.param(command, id=f"{name}: {command}")
    for name, page in SHOWN.items()
    for command in dict.fromkeys(page.commands)
]


def reason_not_to_run(command: str) -> str | None:
    return next((reason for pattern, reason in NOT_RUN.items() if re.fullmatch(pattern, command)), None)


# Parsed: by every program itself, which then does nothing.


@pytest.fixture
def only_parsing(monkeypatch):
    """Makes our programs take their arguments and stop there."""
    run = commandline.run

    def idle(command):
        if isinstance(command, dict):
            return {name: idle(one) for name, one in command.items()}
        return functools.wraps(command)(lambda *_, **__: None)

    monkeypatch.setattr(commandline, "run", lambda command, *rest, **more: run(idle(command), *rest, **more))
    monkeypatch.setattr("jaxnets.cli.arguments._check_use", lambda *_: None)  # the files are not here
    monkeypatch.setattr("jaxnets.cli.settings.file_of", lambda _: None)
    monkeypatch.chdir(ROOT)
    handler = signal.getsignal(signal.SIGINT)
    yield monkeypatch
    signal.signal(signal.SIGINT, handler)


def ours(monkeypatch, *call):
    """Runs a module (-m NAME) or script in this process."""
    by_name = call[0] == "-m"
    name, *arguments = call[1:] if by_name else call
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    code = None
    try:
        if by_name:
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(name, run_name="__main__")
    except SystemExit as stop:
        code = stop.code
    assert not code, f"exit code {code}"


def pips(command, *arguments):
    """Parses by pip's own parser; an extra must be one that pyproject.toml has."""
    pip = pytest.importorskip("pip._internal.commands")
    _, packages = pip.create_command(command).parse_args(list(arguments))
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for asked in re.findall(r"\.\[(\w+)\]", " ".join(arguments)):
        assert asked in extras
    return packages


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")  # of runpy
@pytest.mark.parametrize("command", COMMANDS)
def test_the_program_takes_the_arguments(command, only_parsing, capsys):
    for variant in variants(command):
        program, *arguments = shlex.split(variant.removeprefix("srun "))
        name = re.sub(r"[\d.]*$", "", Path(program).name)
        if variant == "python -m jaxnets":
            assert NOT_RUN[variant]
        elif name == "pip" or arguments[:2] == ["-m", "pip"]:
            pips(*arguments[2 * (name != "pip") :])
        elif name == "python":
            ours(only_parsing, *arguments)
        elif name == "jaxnets":
            ours(only_parsing, "-m", "jaxnets", *arguments)
        elif name == "make":
            subprocess.run(["make", "--dry-run", *arguments], cwd=ROOT, check=True, capture_output=True)
        else:
            assert (name, arguments[0]) == ("git", "clone"), f"nothing here parses {name}"


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")  # of runpy
@pytest.mark.parametrize(
    "call",
    ["-m jaxnets summary lenet5 --jsn", "experiments/train.py --epochs many", "-m jaxnets data shw photos"],
)
def test_other_arguments_are_refused(call, only_parsing):
    with pytest.raises(AssertionError, match="exit code 2"):
        ours(only_parsing, *call.split())


def test_the_lists_are_true():
    """No entry is left of a command that the pages no longer show."""
    commands = [variant for page in SHOWN.values() for one in page.commands for variant in variants(one)]
    for pattern in NOT_RUN:
        assert any(re.fullmatch(pattern, command) for command in commands), pattern
    for text in (*INSTEAD, *NEEDS, *PLACEHOLDERS):
        assert any(text in command for command in commands), text
    for name, page in SHOWN.items():
        for block in page.python:
            (test,) = (test for (where, what), test in PYTHON.items() if where == name and what in block)
            assert (ROOT / "tests" / test).exists()


# Run, in a folder of a user's own.


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def pictures(folder: Path, *classes: str, sizes=((32, 32),), count: int = 12) -> None:
    """Images in folders, one a class, which its brightness tells."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(classes):
        for index in range(count):
            shape = (*sizes[index % len(sizes)], 3)
            pixels = rng.integers(100 * number, 100 * number + 100, shape, np.uint8)
            path = folder / name / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)


def mnist(folder: Path) -> None:
    """IDX files of scikit-learn's digits, some of them."""
    digits = data.load("digits")
    for part, source, count in (("train", digits.train, 120), ("t10k", digits.test, 40)):
        some = source[np.arange(count)]
        for name, array in (("images-idx3", some["x"][..., 0]), ("labels-idx1", some["y"].astype(np.uint8))):
            head = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
            write(folder / f"{part}-{name}-ubyte.gz", gzip.compress(head + array.tobytes()))


def cifar10(folder: Path) -> None:
    """CIFAR's batches for Python, of twelve images each."""
    rng = np.random.default_rng(0)
    labels = [number % 10 for number in range(12)]
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        pixels = rng.integers(0, 256, (12, 3072), np.uint8)
        write(folder / name, pickle.dumps({b"data": pixels, b"labels": labels}))
    names = [f"class {number}".encode() for number in range(10)]
    write(folder / "batches.meta", pickle.dumps({b"label_names": names}))


def pack(folder: Path, into: Path) -> None:
    with tarfile.open(into, "w:gz") as tar:
        tar.add(folder, folder.name)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """TFDS's folder, with small data sets under the names of great ones."""
    root, sources = tmp_path_factory.mktemp("tfds"), tmp_path_factory.mktemp("sources")
    mnist(sources / "mnist")
    cifar10(sources / "cifar10")
    pictures(sources / "tf_flowers", "daisy", "tulip", sizes=((20, 30), (40, 25)))
    for name in ("mnist", "cifar10", "tf_flowers"):
        prepare(sources / name, name, data_dir=root, keep_sizes=name == "tf_flowers")
    # The page asks for a version of CIFAR-10 that TFDS has.
    shutil.move(root / "cifar10" / "1.0.0", root / "cifar10" / "3.0.2")
    info = root / "cifar10" / "3.0.2" / "dataset_info.json"
    info.write_text(info.read_text().replace("1.0.0", "3.0.2"))
    return root


@pytest.fixture
def place(tmp_path, prepared, workdir):
    """A copy of the checkout, and what the pages take to be there: files, a run and prepared data sets."""
    for name in ("jaxnets", "experiments", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / ".venv").symlink_to(sys.prefix)
    shutil.copytree(prepared, tmp_path / "tensorflow_datasets")
    shutil.copytree(workdir, tmp_path / "runs" / "digits")
    Image.open(workdir / "example.png").save(tmp_path / "seven.png")
    Image.open(workdir / "example.png").resize((90, 120)).convert("RGB").save(tmp_path / "photo.jpg")
    lenet5((28, 28, 1), activation="relu", padding="same").save(tmp_path / "lenet5.keras")
    pictures(tmp_path / "photos", "cat", "dog")
    pictures(tmp_path / "shells", "cowrie", "limpet", sizes=((40, 50), (35, 30)))
    mnist(tmp_path / "fashion-mnist")
    cifar10(tmp_path / "cifar-10-batches-py")
    pack(tmp_path / "cifar-10-batches-py", tmp_path / "cifar-10-python.tar.gz")
    pictures(tmp_path / "flower_photos", "daisy", "tulip", sizes=((20, 30), (40, 25)))
    pack(tmp_path / "flower_photos", tmp_path / "flower_photos.tgz")
    return tmp_path


def follow_extending(place: Path) -> None:
    """Puts the page's network where it says."""
    network, lines, *_ = SHOWN["docs/extending.md"].python
    write(place / "jaxnets" / "models" / "all_cnn.py", network.encode())
    table = place / "jaxnets" / "models" / "__init__.py"
    of_tables = "\n".join(line for line in lines.splitlines() if "all_cnn" in line)
    table.write_text(f"{table.read_text()}\nfrom jaxnets.models.all_cnn import AllCNN\n{of_tables}\n")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def start(place: Path, command: str, installed: Path | None = None, **placeholders) -> subprocess.Popen:
    """As a user's shell does: nothing of this suite's own settings, and jaxnets of `place` or `installed`."""
    for text, meant in PLACEHOLDERS.items():
        command = command.replace(text, meant.format(**placeholders))
    ours = ("KERAS_BACKEND", "VIRTUAL_ENV", "TFDS_DATA_DIR", "JAX_", "TF_CPP_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environment |= {"HOME": str(place), "XDG_CACHE_HOME": str(place / ".cache"), "BROWSER": "true"}
    commands = installed / "bin" if installed else place / ".venv" / "bin"
    environment |= {"PYTHONPATH": str(installed or place), "PATH": f"{commands}:{os.environ['PATH']}"}
    return subprocess.Popen(
        ["bash", "-c", command],
        cwd=place,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(command: str, process: subprocess.Popen) -> None:
    said, _ = process.communicate(timeout=3600)
    missing = next((package for option, package in NEEDS.items() if option in command), None)
    if missing is None or importlib.util.find_spec(missing):
        assert process.returncode == 0, f"{command}\n{said}"
        assert "Traceback" not in said
    else:
        assert process.returncode == 2
        assert re.fullmatch(rf"error: .*pip install .*{missing}.*", said.splitlines()[-1])


def visit(command: str, process: subprocess.Popen) -> None:
    """Opens the page at the address that it prints, and stops it by Ctrl-C."""
    said = ""
    while not (address := re.search(r"http://\S+/(?= )", said)):
        said = process.stdout.readline()
        assert said, f"{command} has ended"
    assert b"<canvas" in urllib.request.urlopen(address[0]).read()
    os.killpg(process.pid, signal.SIGINT)
    finish(command, process)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, saving
@pytest.mark.parametrize("name", [name for name, page in SHOWN.items() if page.commands])
def test_the_commands_run_as_shown(name, place):
    """One after the other, as the page has them; those of one run in several processes together."""
    if name == "docs/extending.md":
        follow_extending(place)
    port, together = free_port(), []
    commands = list(dict.fromkeys(SHOWN[name].commands))
    for command, following in zip(commands, (*commands[1:], ""), strict=True):
        command = INSTEAD.get(command, command)
        if reason_not_to_run(command):
            continue
        for variant in variants(command):
            process = start(place, variant, port=port)
            if "jaxnets app" in variant:
                visit(variant, process)
            elif "--distributed" in variant:
                together.append((variant, process))
            else:
                finish(variant, process)
        if "--distributed" not in following:
            while together:
                finish(*together.pop(0))


def test_the_python_of_the_page_on_data(prepared, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
    (code,) = SHOWN["docs/data.md"].python
    exec(code, {})


def test_the_python_of_the_page_on_speed(tmp_path):
    """In a process of its own, which it sets up."""
    (code,) = SHOWN["docs/speed.md"].python
    code += "import jax\nprint(jax.config.jax_compilation_cache_dir, jax.numpy.ones(3).sum())"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    environment |= {"XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    folder, total = done.stdout.split()
    assert folder.startswith(str(tmp_path / "jaxnets" / "programs-"))
    assert total == "3.0"


def test_pages_are_read_as_a_user_reads_them():
    page = read(
        "Try `make it` or `make`:\n\n    python a.py --one  # first\n    python b.py \\\n      [--two 2]\n\n"
        "```bash\n$ c --three\n```\n\n```\nwhat it prints\n  .venv/bin/python d.py\n```\n\n"
        "    import e\n\n    e.f()\n\n```python\ng = 1\n```\n| `pip install h` |"
    )
    assert page.commands == [
        "make it",
        "python a.py --one",
        "python b.py        [--two 2]",
        "c --three",
        ".venv/bin/python d.py",
        "pip install h",
    ]
    assert page.python == ["import e\n\ne.f()\n", "g = 1\n"]
    assert variants("b [--two 2] [--three]") == ["b", "b --two 2 --three"]
