"""data.at_hand: the embedded set where another cannot be had, at once and in one line."""

import importlib.util
import socket

import numpy as np
import pytest
from PIL import Image

from jaxnets import data, hints
from jaxnets.data.formats.prepare import prepare
from jaxnets.errors import UserError


def test_what_cannot_be_had_is_replaced_at_once_in_one_line(tmp_path, capsys, monkeypatch):
    asked, find = [], importlib.util.find_spec
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: asked.append(address))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "tensorflow" else find(name))
    found = data.at_hand("fashion_mnist", tmp_path)
    assert not asked  # a network that does not answer would take its time
    assert found.name == "digits"
    assert len(found.train) == 1438
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert said.startswith("fashion_mnist is not available, using digits instead: ")
    assert f": {hints.install('tfds')}, or" in said
    assert " and give --dataset my_fashion_mnist: " in said
    where = ("--name", "my_fashion_mnist", "--data-dir", tmp_path)
    assert said.endswith(f": {hints.jaxnets('data', 'prepare', 'SOURCE', *where)}\n")
    assert data.at_hand("cifar10", tmp_path, otherwise="iris").features.shape == (4,)


def test_what_is_embedded_or_prepared_is_taken_in_silence(tmp_path, capsys):
    assert data.at_hand("iris", tmp_path).name == "iris"
    for number, grey in enumerate((10, 250) * 3):
        folder = tmp_path / "photos" / ("dark" if grey < 128 else "light")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((5, 4), grey, np.uint8)).save(folder / f"{number}.png")
    prepare(tmp_path / "photos", "mnist", data_dir=tmp_path / "tfds")
    capsys.readouterr()
    found = data.at_hand("mnist", tmp_path / "tfds")  # the user's own, under a name that TFDS knows too
    assert (found.name, found.features.classes) == ("mnist", ("dark", "light"))
    assert capsys.readouterr().out == ""


def test_a_mistyped_name_is_no_reason_to_take_another_nor_to_ask_the_network(tmp_path, capsys, monkeypatch):
    asked = []
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: asked.append(address))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *where, **_: asked.append(where))
    with pytest.raises(UserError, match=r"unknown data set 'mnits' \(did you mean mnist\?\)"):
        data.at_hand("mnits", tmp_path)
    assert capsys.readouterr().out == ""
    assert not asked


@pytest.mark.parametrize("name", ["cifar10/nosuch", "cifar10:9.9.9"])
def test_a_name_that_tfds_cannot_take_is_refused_in_a_sentence(tmp_path, name):
    with pytest.raises(
        UserError, match=f"TFDS cannot build the data set '{name}' .*NAME/CONFIG or NAME:VERSION"
    ):
        data.load(name, data_dir=tmp_path)
