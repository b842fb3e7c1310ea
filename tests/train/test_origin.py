"""What a run came from is noted in its config.json, and never keeps it from going on elsewhere."""

import json
import platform
import re
from datetime import UTC, datetime, timedelta
from importlib import metadata

import pytest

from jaxnets import hints
from jaxnets.machine import devices
from jaxnets.train import read_config, write_config
from jaxnets.train.io import origin
from jaxnets.train.io.workdir import check_config

CONFIG = {"model": "lenet5", "epochs": 3}


def test_versions_device_command_and_date_of_the_beginning(tmp_path):
    write_config(tmp_path, CONFIG)
    found = read_config(tmp_path)
    packages = {name: metadata.version(name) for name in ("jax", "flax", "optax")}
    ours = found["versions"].pop("jaxnets")
    assert re.fullmatch(r"\d+\.\d+.*", ours)
    assert found["versions"] == {"python": platform.python_version(), **packages}
    assert found["device"] == devices()
    assert found["command"] == hints.command()  # test_hints.py
    age = datetime.now(UTC) - datetime.fromisoformat(found["date"])
    assert timedelta(0) <= age < timedelta(minutes=10)
    assert found | CONFIG == found


def test_the_same_again_writes_nothing_and_another_machine_is_noted(tmp_path, monkeypatch):
    write_config(tmp_path, CONFIG)
    path = tmp_path / "config.json"
    began = read_config(tmp_path)
    before = path.read_bytes(), path.stat().st_mtime_ns
    write_config(tmp_path, CONFIG)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before

    monkeypatch.setattr(origin, "devices", lambda: "8 x TPU v9")
    monkeypatch.setattr(hints, "command", lambda: "jaxnets train --epochs 9")
    for _ in range(2):
        write_config(tmp_path, CONFIG | {"epochs": 9})
    found = read_config(tmp_path)
    (once,) = found.pop("continued")
    assert found == began | {"epochs": 9}
    assert once.pop("date") >= began["date"]
    assert once == {"device": "8 x TPU v9", "command": "jaxnets train --epochs 9"}

    monkeypatch.undo()
    write_config(tmp_path, CONFIG | {"epochs": 9})
    found = read_config(tmp_path)
    assert found["continued"][1] | {"date": ""} == {
        "device": began["device"],
        "command": began["command"],
        "date": "",
    }
    check_config(tmp_path, found, began)  # as a checkpoint has it


@pytest.mark.parametrize("continued", ["here", 3, [None, 4], {"device": 1}])
def test_a_run_of_an_earlier_version_and_a_damaged_note_go_on(tmp_path, continued):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | {"continued": continued}))
    write_config(tmp_path, CONFIG)
    found = read_config(tmp_path)
    assert found.keys() == {*CONFIG, "continued"}
    command = {"command"} if hints.command() else set()  # none where tests run in several processes
    assert found["continued"][0].keys() == {"versions", "device", "date"} | command


def test_settings_of_the_same_name_are_the_users(tmp_path):
    write_config(tmp_path, CONFIG | {"device": "the old one"})
    assert read_config(tmp_path)["device"] == "the old one"
