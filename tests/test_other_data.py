"""A run knows the data set that it was trained on: the same data, or a sentence, but no figures of others."""

import json
import shutil
import tarfile

import numpy as np
import pytest

from experiments.train import main as train
from jaxnets import data
from jaxnets.data.formats.prepare import prepare
from jaxnets.errors import UserError
from jaxnets.optim import OPTIMIZERS
from jaxnets.runs import describe, make_model
from jaxnets.train import Checkpoints, make_state, write_config
from jaxnets.train.io.workdir import CHECKPOINTS
from tests.data.folders import all_of, save


@pytest.fixture
def photos(tmp_path):
    """Noise in two classes, with a picture that is there twice."""
    random = np.random.RandomState(0)
    for number in range(40):
        pixels = random.randint(0, 256, (6, 5, 3), np.uint8)
        save(tmp_path, f"photos/{'ab'[number % 2]}/{number}.png", pixels)
        if number == 7:
            save(tmp_path, "photos/b/again.png", pixels)
    return tmp_path / "photos"


def test_the_same_images_are_held_out_wherever_they_lie(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(photos, tmp_path / "elsewhere" / "under another name")
    with tarfile.open(tmp_path / "photos.tar", "w") as packed:
        for file in sorted(photos.rglob("*.png"), reverse=True):
            packed.add(file, file.relative_to(tmp_path).as_posix())
    sources = {
        "absolute": photos,
        "relative": photos.relative_to(tmp_path),
        "copied": tmp_path / "elsewhere" / "under another name",
        "packed": tmp_path / "photos.tar",
    }
    found = {}
    for name, source in sources.items():
        prepare(source, name, data_dir=tmp_path / "root")
        found[name] = data.load(name, data_dir=tmp_path / "root")
        assert data.fingerprint(found[name]) == data.fingerprint(found["absolute"])
        for part in ("train", "test"):
            here, there = all_of(getattr(found[name], part)), all_of(getattr(found["absolute"], part))
            np.testing.assert_array_equal(here["x"], there["x"])
            np.testing.assert_array_equal(here["y"], there["y"])
    prepare(photos, "scaled", data_dir=tmp_path / "root", size=(12, 10), store="files")
    scaled = data.load("scaled", data_dir=tmp_path / "root")
    assert scaled.test.labels().tolist() == found["absolute"].test.labels().tolist()


def test_a_fingerprint_tells_any_change_of_the_examples(photos, tmp_path):
    random = np.random.RandomState(1)
    x, y = random.randint(0, 256, (30, 4, 4, 1), np.uint8), np.arange(30) % 3

    def of(x, y, held_out=10):
        return data.fingerprint(data.Dataset("it", *data.split(data.ArraySource(x, y), held_out)))

    other, labels = x.copy(), y.copy()
    other[17, 3, 2] ^= 1
    labels[[4, 5]] = labels[[5, 4]]
    prints = {of(x, y), of(other, y), of(x, labels), of(x[::-1], y), of(x[:-1], y[:-1]), of(x, y, 11)}
    assert len(prints) == 6
    assert of(x.copy(), y.copy()) in prints
    subset = (
        data.Subset(data.ArraySource(x, y), np.arange(20)),
        data.Subset(data.ArraySource(x, y), np.arange(20, 30)),
    )
    assert data.fingerprint(data.Dataset("it", *subset)) == of(x, y)


def leave_run(workdir, dataset):
    """What a training leaves, with the network as it began."""
    config = describe("mlp", dataset)
    write_config(workdir, config)
    sgd = OPTIMIZERS["sgd"](0.1)
    state = make_state(make_model("mlp", dataset.features), sgd, dataset.features.shape)
    with Checkpoints(workdir / CHECKPOINTS) as checkpoints:
        checkpoints.save(0, {"state": state, "sums": {}})
    return workdir


@pytest.fixture
def trained(photos, tmp_path, monkeypatch):
    """A run on photographs, which were found by the environment variable."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "root"))
    prepare(photos, "photos")
    return leave_run(tmp_path / "run", data.load("photos"))


def test_other_data_are_not_evaluated(trained, photos, tmp_path, run, monkeypatch):
    code, out, _ = run("evaluate", trained, "--json")
    assert code == 0
    assert json.loads(out)["examples"] == 8

    def prepared_anew(change=lambda: None, **options):
        shutil.rmtree(tmp_path / "root" / "photos")
        shutil.rmtree(tmp_path / "changed", ignore_errors=True)
        shutil.copytree(photos, tmp_path / "changed")
        change()
        prepare(tmp_path / "changed", "photos", **options)
        code, out, err = run("evaluate", trained)
        assert out == "" if code else err == ""
        return code, err

    def add(name):
        return lambda: save(tmp_path, f"changed/{name}.png", np.zeros((6, 5, 3), np.uint8))

    assert prepared_anew() == (0, "")
    for change, options, message in (
        (
            lambda: (tmp_path / "changed/b").rename(tmp_path / "changed/z"),
            {},
            "it has the classes a, z, not a, b",
        ),
        (add("c/1"), {}, "it has the classes a, b, c, not a, b"),
        (lambda: None, {"size": (12, 10)}, "its examples are 12 x 10 x 3 (uint8), not 6 x 5 x 3 (uint8)"),
        (lambda: None, {"channels": 1}, "its examples are 6 x 5 x 1 (uint8), not 6 x 5 x 3 (uint8)"),
        (add("a/more"), {}, "its examples or their order are others"),
        (lambda: (tmp_path / "changed/a/0.png").rename(tmp_path / "changed/b/0.png"), {}, "its examples or"),
        (lambda: (tmp_path / "changed/a/0.png").unlink(), {}, "its examples or their order are others"),
    ):
        code, err = prepared_anew(change, **options)
        assert code == 2
        assert f"the data set photos is not the one that {trained} was trained on: {message}" in err
        assert err.count("\n") == 1
    with pytest.raises(
        UserError, match="holds a run with other examples of 'photos' than there are now: give"
    ):
        write_config(trained, describe("mlp", data.load("photos")))


def test_the_folder_in_which_the_data_were_found_is_remembered(trained, tmp_path, run, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "another"))
    code, out, _ = run("evaluate", trained)
    assert code == 0
    assert "on 8 held-out examples" in out
    (tmp_path / "root").rename(tmp_path / "moved")
    code, _, err = run("evaluate", trained)
    assert code == 2
    assert f"it is not prepared in {tmp_path / 'another'}" in err
    assert f"when {trained} was trained, it was in {tmp_path / 'root'}" in err
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "moved"))
    assert run("evaluate", trained)[0] == 0
    write_config(trained, describe("mlp", data.load("photos")))  # goes on where they are now
    assert json.loads((trained / "config.json").read_text())["data_dir"] == str(tmp_path / "moved")


def test_a_run_of_an_earlier_version_is_evaluated_and_goes_on(trained, run):
    config = json.loads((trained / "config.json").read_text())
    del config["fingerprint"]
    (trained / "config.json").write_text(json.dumps({**config, "data_dir": None}))
    code, out, err = run("evaluate", trained)
    assert code == 0
    assert "on 8 held-out examples" in out
    assert "which did not note a fingerprint of photos: it may hold other examples today" in err
    write_config(trained, describe("mlp", data.load("photos")))
    assert "fingerprint" in json.loads((trained / "config.json").read_text())


def test_a_run_remembers_how_its_data_were_opened(photos, tmp_path, run, monkeypatch):
    prepare(photos, "kept", data_dir=tmp_path / "root", keep_sizes=True)
    with pytest.raises(UserError, match="with --size HEIGHT WIDTH"):
        train(model="mlp", dataset="kept", data_dir=tmp_path / "root", workdir=tmp_path / "run")
    monkeypatch.setattr("jaxnets.train.fit", stop)
    asked = {"dataset": "kept", "data_dir": tmp_path / "root", "size": (7, 8), "keys": ("image", "label")}
    with pytest.raises(Stopped):
        train(model="mlp", **asked, workdir=tmp_path / "run", devices=1)
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert config["data_options"] == {"keys": ["image", "label"], "size": [7, 8]}
    assert config["input"]["shape"] == [7, 8, 3]
    with pytest.raises(UserError, match="holds a run with data_options"):
        train(model="mlp", **asked | {"size": (8, 8)}, workdir=tmp_path / "run", devices=1)
    leave_run(tmp_path / "left", data.load("kept", data_dir=tmp_path / "root", size=(7, 8)))
    code, out, _ = run("evaluate", tmp_path / "left")
    assert code == 0
    assert "on 8 held-out examples" in out


class Stopped(Exception):
    """Raised where a training would begin."""


def stop(*_, **__):
    raise Stopped


def test_a_folder_is_not_claimed_again_for_other_examples(tmp_path):
    digits = data.load("digits")
    less = data.Dataset("digits", data.Subset(digits.train, np.arange(9)), digits.test)
    write_config(tmp_path / "run", describe("mlp", digits))
    with pytest.raises(UserError, match="other examples of 'digits' than there are now"):
        write_config(tmp_path / "run", describe("mlp", less))
