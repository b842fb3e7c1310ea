"""The wheel, installed into an empty environment, runs every command outside the repository."""

import email
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from tests.keras_twins import lenet5

pytestmark = [
    pytest.mark.slow,  # minutes, and it needs a package index
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras, saving
]

ROOT = Path(__file__).parents[1]
# Both names, since pip before 25.3 takes the first for what packages are built with, too.
EXACT_VERSIONS = dict.fromkeys(("PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT"), str(ROOT / "constraints.txt"))
# What a user's shell has not: settings of this suite, and paths into the repository.
OURS = ("KERAS_BACKEND", "MPLBACKEND", "PYTHONPATH", "VIRTUAL_ENV", "JAX_", "TF_CPP_")
USERS_SCRIPT = """
import jax
from jaxnets import data, models, optim, train
from jaxnets.keras_weights import from_keras

digits = data.load("digits")
model = models.MODELS["lenet5"](num_classes=10)
state = train.make_state(model, optim.muon(1e-3, ns_steps=3), digits.features.shape)
step = train.make_train_step(model, optim.OPTIMIZERS["adam"](1e-3))
state, history = train.fit(state, step, data.Batches(digits.train, 32, seed=0), epochs=5)
loss: float = history[-1]["loss"]
weights: dict[str, object] = from_keras("lenet5.keras", model)
wrong: int = models.INPUT_SHAPES
"""


def call(*command, where, code=0):
    """What a command prints, or says on stderr where it fails as it should; `where` is its home as well."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    environment |= {"HOME": str(where), "XDG_CACHE_HOME": str(where / ".cache")}
    done = subprocess.run(list(map(str, command)), cwd=where, env=environment, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def pip(python, *arguments):
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *map(str, arguments), "--quiet"]
    subprocess.run(command, check=True, env=os.environ | EXACT_VERSIONS)


def build(source, out):
    """The wheel of a source tree."""
    pip(sys.executable, "wheel", "--no-deps", "--wheel-dir", out, source)
    (wheel,) = out.glob("*.whl")
    return wheel


def metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def user(tmp_path_factory, wheel):
    """A user's folder, with an environment that holds the wheel and what it requires."""
    where = tmp_path_factory.mktemp("user")
    subprocess.run([sys.executable, "-m", "venv", str(where / "venv")], check=True)
    pip(where / "venv/bin/python", "install", wheel)
    return where


@pytest.fixture(scope="module")
def jaxnets(user):
    """Calls the installed command."""
    return lambda *arguments, **options: call("venv/bin/jaxnets", *arguments, where=user, **options)


@pytest.fixture(scope="module")
def imported(user, jaxnets):
    """A run's folder, made of a file that Keras wrote."""
    lenet5((28, 28, 1), activation="relu", padding="same").save(user / "lenet5.keras")
    how = ("--model", "lenet5", "--dataset", "digits", "--workdir", "imported")
    assert "61,706 parameters" in jaxnets("import-keras", "lenet5.keras", *how)
    return "imported"


def test_it_says_what_it_is_and_holds_all_it_needs(wheel):
    said = metadata(wheel)
    assert said["License-Expression"] == "Apache-2.0"
    assert said["Requires-Python"] == ">=3.11"
    assert said.get_all("License-File") == ["LICENSE", "NOTICE"]
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {name.split("/")[0] for name in names} == {"jaxnets", f"jaxnets-{said['Version']}.dist-info"}
    ours = subprocess.run(["git", "ls-files", "jaxnets"], cwd=ROOT, capture_output=True, text=True)
    if ours.returncode == 0:  # not in a source archive
        assert set(ours.stdout.split()) <= names


def relative_links(text):
    """What works in the repository alone."""
    links = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return [link for link in links if not link.startswith(("https://", "#"))]


def test_the_long_description_leads_nowhere_while_the_repository_has_no_address(wheel):
    text = metadata(wheel).get_payload(decode=True).decode()
    assert "*Picture: accuracy and loss over the epochs*" in text
    assert relative_links(text) == []


def test_the_long_description_leads_to_the_repository_once_its_address_is_filled_in(tmp_path):
    """The placeholders of pyproject.toml are right, too."""
    source = tmp_path / "source"
    shutil.copytree(ROOT / "jaxnets", source / "jaxnets", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "docs", source / "docs")
    for path in (*ROOT.glob("*.md"), *ROOT.glob("*.py"), ROOT / "LICENSE", ROOT / "NOTICE"):
        shutil.copy(path, source)
    text = (ROOT / "pyproject.toml").read_text()
    text = re.sub(r"(?m)^# (?=\[project\.urls\]$|Source =|Issues =|Changelog =)", "", text)
    (source / "pyproject.toml").write_text(text)
    said = metadata(build(source, tmp_path))
    assert "Source, https://github.com/OWNER/jaxnets" in said.get_all("Project-URL")
    text = said.get_payload(decode=True).decode()
    assert "over the epochs](https://github.com/OWNER/jaxnets/raw/HEAD/docs/curves.png)" in text
    assert "](https://github.com/OWNER/jaxnets/blob/HEAD/docs/results.md)" in text
    assert relative_links(text) == []


def test_every_module_can_be_imported(user):
    walk = "import importlib, pkgutil, jaxnets\n"
    walk += "for found in pkgutil.walk_packages(jaxnets.__path__, 'jaxnets.'):\n"
    walk += "    if not found.name.endswith('__main__'): importlib.import_module(found.name)\n"
    walk += "print(jaxnets.__file__)"
    assert call("venv/bin/python", "-c", walk, where=user).startswith(str(user))


def test_a_users_script_is_checked_against_our_types(user):
    (user / "script.py").write_text(USERS_SCRIPT)
    command = (sys.executable, "-m", "mypy", "--strict", "--python-executable", user / "venv/bin/python")
    with pytest.raises(AssertionError) as found:
        call(*command, "script.py", where=user)
    line = USERS_SCRIPT.splitlines().index("wrong: int = models.INPUT_SHAPES") + 1
    errors = re.findall(r"^script\.py:(\d+): error: .*\[(.*)\]$", str(found.value), re.M)
    assert errors == [(str(line), "assignment")]


def test_help_models_and_summary(user, jaxnets):
    assert "import-keras" in jaxnets("--help")
    assert "61,706 parameters" in jaxnets("models")
    assert "Total params: 61,706" in jaxnets("summary", "lenet5")
    summary = call("venv/bin/python", "-m", "jaxnets", "summary", "mlp", "--json", where=user)
    assert json.loads(summary)["parameters"] == 101_770


def test_a_folder_of_images_becomes_a_data_set_on_which_a_network_is_trained(user, jaxnets):
    draw = np.random.default_rng(0)
    for part, count in (("train", 30), ("test", 10)):
        for label, shade in (("dark", 40), ("light", 200)):
            folder = user / "pictures" / part / label
            folder.mkdir(parents=True)
            for number in range(count):
                image = draw.integers(shade - 30, shade + 30, (28, 28), np.uint8)
                Image.fromarray(image).save(folder / f"{number}.png")
    assert "60 train, 20 test" in jaxnets("data", "prepare", "pictures", "--name", "shades")
    assert "shades" in jaxnets("data", "list")
    shown = jaxnets("data", "show", "shades", "--augment", "rotation=20", "--picture", "shades.png")
    assert "60 examples to learn from, 20 held out; 28 x 28 x 1" in shown
    assert (user / "shades.png").stat().st_size > 1000
    assert "no data set nothing" in jaxnets("data", "convert", "nothing", code=2)
    how = ("--model", "lenet5", "--dataset", "shades", "--epochs", "10", "--batch-size", "20")
    assert "held out: loss" in jaxnets("train", *how, "--ema", "0.5", "--workdir", "run")
    assert json.loads(jaxnets("evaluate", "run", "--json"))["accuracy"] == 1.0
    assert json.loads(jaxnets("train", *how, "--print-config"))["dataset"] == "shades"


def test_evaluate_and_predict(user, jaxnets, imported):
    assert json.loads(jaxnets("evaluate", imported, "--json"))["examples"] == 359
    assert "359 held-out examples" in jaxnets("evaluate", imported)
    Image.fromarray(np.eye(28, dtype=np.uint8) * 255).save(user / "line.png")
    (answer,) = json.loads(jaxnets("predict", imported, "line.png", "--sheet", "sheet.png", "--json"))
    assert len(answer["guesses"]) == 3
    assert (user / "sheet.png").stat().st_size > 1000


@pytest.mark.parametrize("format", ["safetensors", "stablehlo", "text", "keras"])
def test_export(user, jaxnets, imported, format):
    written = re.match(r"(\S+): [\d,]+ bytes$", jaxnets("export", imported, "--format", format))[1]
    assert (user / written).stat().st_size > 61_706 * 4


def test_export_to_keras_in_a_files_own_layout(user, jaxnets, imported):
    how = ("--format", "keras", "--like", "lenet5.keras", "--out", "back.keras")
    assert "bytes" in jaxnets("export", imported, *how)
    one, other = (keras.models.load_model(user / name) for name in ("lenet5.keras", "back.keras"))
    for before, after in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(after, before)


def test_export_to_onnx_says_what_to_install(jaxnets, imported):
    assert "needs a package that is missing" in jaxnets("export", imported, "--format", "onnx", code=2)


def test_the_page_is_served_and_ends_on_ctrl_c(user, imported):
    command = [str(user / "venv/bin/jaxnets"), "app", imported, "--port", "0"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=user, **pipes) as app:
        try:
            url = re.search(r"http://127\.0\.0\.1:\d+/", app.stdout.readline())[0]
            for name, part in {"": b"<canvas", "page.js": b"", "page.css": b"", "about": b"digits"}.items():
                with urllib.request.urlopen(url + name, timeout=60) as answer:
                    content = answer.read()
                assert len(content) > 100
                assert part in content
            app.send_signal(signal.SIGINT)
            out, err = app.communicate(timeout=60)
        finally:
            app.kill()
    assert (app.returncode, out.strip(), err) == (0, "ended", "")
