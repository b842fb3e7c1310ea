"""jaxnets.hub: what is uploaded may be seen by anyone, and what is loaded are the same numbers."""

import json
import shutil
import sys
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file, save_file

from jaxnets import data, hub, models, optim, plots, runs, train
from jaxnets.errors import UserError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Three epochs on irises, of which the best is kept."""
    workdir = tmp_path_factory.mktemp("runs") / "iris"
    iris, model, optimizer = data.load("iris"), models.MODELS["perceptron"](), optim.OPTIMIZERS["adam"](0.1)
    secret = {"data_dir": "/home/me/data", "start": "/home/me/run", "command": "train /home/me", "seed": 0}
    train.write_config(workdir, runs.describe("perceptron", iris) | secret)
    state = train.make_state(model, optimizer, (4,))
    judge = train.Validation(train.make_eval_step(model), data.Batches(iris.test, 30))
    step, batches = train.make_train_step(model, optimizer), data.Batches(iris.train, 32, seed=0)
    keep = train.Keep(workdir, best="val_loss", best_mode="max")  # the worst: not the last
    _, history = train.fit(state, step, batches, epochs=3, validation=judge, keep=keep)
    plots.curves(history, workdir / "curves.png")
    (workdir / "predictions.png").write_bytes(b"somebody's face")
    return workdir


class Hub(SimpleNamespace):
    """huggingface_hub, whose repositories are folders."""

    def __init__(self, root):
        self.root = root
        super().__init__(
            HfApi=lambda token: SimpleNamespace(create_repo=self.create, upload_folder=self.take)
        )

    def create(self, repo, private, exist_ok):
        (self.root / repo).mkdir(parents=True, exist_ok=exist_ok)

    def take(self, repo_id, folder_path, commit_message):
        shutil.copytree(folder_path, self.root / repo_id, dirs_exist_ok=True)

    def snapshot_download(self, repo, revision, token, allow_patterns):
        if not (self.root / repo).is_dir():
            raise OSError("404: no such repository")
        assert all(not name.endswith((".bin", ".pkl", ".pt", "*")) for name in allow_patterns)
        return str(self.root / repo)


@pytest.fixture
def remote(monkeypatch, tmp_path):
    found = Hub(tmp_path / "hub")
    monkeypatch.setitem(sys.modules, "huggingface_hub", found)
    return found


def test_what_comes_back_is_what_was_pushed(run, remote):
    assert hub.push_to_hub(str(run), "me/iris") == "https://huggingface.co/me/iris"
    back, here = hub.load_from_hub("me/iris"), runs.load_run(run)
    jax.tree.map(np.testing.assert_array_equal, back.variables, here.variables)
    x = np.eye(4, dtype=np.float32)
    np.testing.assert_array_equal(back.probabilities(x), here.probabilities(x))
    assert back.history == here.history
    assert [record["epoch"] for record in here.history] == [1]  # the best one, by "max" of the loss
    there = remote.root / "me" / "iris"
    np.testing.assert_array_equal(  # by the format's own library
        load_file(there / "model.safetensors")["params/head/kernel"],
        here.variables["params"]["head"]["kernel"],
    )
    np.testing.assert_array_equal(runs.load_run(there).probabilities(x), here.probabilities(x))


def test_nothing_of_the_machine_and_no_example_is_uploaded(run, remote):
    hub.push_to_hub(run, "me/iris")
    there = remote.root / "me" / "iris"
    names = {path.name for path in there.iterdir()}
    assert names == {"README.md", "config.json", "metrics.jsonl", "model.safetensors", "curves.png"}
    assert "/home/me" not in "".join(
        (there / name).read_text() for name in names if name[-2:] in ("md", "on")
    )
    assert json.loads((there / "config.json").read_text())["seed"] == 0


def test_the_card_states_what_was_measured(run, tmp_path):
    made = hub.save_for_hub(run, tmp_path / "card", "me/iris")
    _, head, text = (tmp_path / "card" / "README.md").read_text().split("---\n", 2)
    about = yaml.safe_load(head)
    (result,) = about["model-index"][0]["results"]
    assert {one["type"]: one["value"] for one in result["metrics"]} == {
        "loss": made.history[-1]["val_loss"],
        "accuracy": made.history[-1]["val_accuracy"],
    }
    assert result["dataset"]["name"] == "iris"
    assert about["library_name"] == "jaxnets"
    assert 'load_from_hub("me/iris")' in text


@pytest.mark.parametrize("wrong", ["another network", "cut off", "no config", "strange model"])
def test_what_does_not_belong_together_is_refused(run, tmp_path, wrong):
    hub.save_for_hub(run, tmp_path)
    weights, config = tmp_path / "model.safetensors", tmp_path / "config.json"
    if wrong == "another network":
        save_file({"params/head/kernel": np.zeros((5, 3), np.float32)}, weights)
    elif wrong == "cut off":
        weights.write_bytes(weights.read_bytes()[:-9])
    elif wrong == "no config":
        config.unlink()
    else:
        config.write_text(json.dumps(json.loads(config.read_text()) | {"model": "os.system"}))
    with pytest.raises(UserError, match=r"is not of the network|not a complete|no config|unknown model"):
        runs.load_exported(tmp_path)


def test_what_the_hub_says_is_one_sentence(run, remote, monkeypatch):
    with pytest.raises(UserError, match=r"asked of 'me/none' \(404: no such repository\): check the name"):
        hub.load_from_hub("me/none")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for call in (lambda: hub.load_from_hub("me/iris"), lambda: hub.push_to_hub(run, "me/iris")):
        with pytest.raises(UserError, match=r"needs huggingface_hub: .* pip install .*huggingface_hub"):
            call()
