"""A run's records are as safe as its parameters: what changes on the disk is mended or refused."""

import json
import re
import shutil
import sys
import time

import numpy as np
import pytest

from jaxnets import runs
from jaxnets.data import ArraySource, Features
from jaxnets.errors import UserError
from jaxnets.train import Checkpoints, read_config, read_metrics, write_config
from jaxnets.train.io import checkpoint
from jaxnets.train.io.workdir import METRICS, write_metrics
from tests.train.test_fit import run, same_bits

MEASURED = ("epoch", "step", "loss", "accuracy", "val_loss", "val_accuracy")


def flip(data: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    changed[rng.integers(len(changed))] ^= 1 << rng.integers(8)
    return bytes(changed)


def edited(lines: list[bytes]) -> dict[str, bytes | None]:
    """What may become of three lines; None is no file at all."""
    one, two, three = lines
    return {
        "a digit": b"".join(lines).replace(b'"loss": 0', b'"loss": 1').replace(b'"loss": 1.', b'"loss": 2.'),
        "lost": one + three,
        "lost at the end": one + two,
        "doubled": one + two + two + three,
        "swapped": two + one + three,
        "cut": one + two[:20],
        "null": one + b"null\n" + three,
        "a list": one + b"[]\n" + three,
        "no epoch": one + b'{"loss": 1.0}\n' + three,
        "not UTF-8": one + b"\xff\xfe\n" + three,
        "empty": b"",
        "missing": None,
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of three epochs, which keeps its best state: its folder, and what four epochs would be."""
    x = np.random.default_rng(0).normal(size=(21, 4)).astype(np.float32)
    source = ArraySource(x, x[:, :3].argmax(-1), ("a", "b", "c"))
    folder = tmp_path_factory.mktemp("trained")
    run(source, 2, folder, best="val_loss")
    run(source, 3, folder, best="val_loss")
    return source, folder, *run(source, 4)


def measured(records):
    return [[record[name] for name in MEASURED] for record in records]


def continued(trained, tmp_path):
    """Whether a fourth epoch after this ends as if nothing had happened."""
    source, _, state, history = trained
    found, records = run(source, 4, tmp_path, best="val_loss")
    assert same_bits(found, state)
    assert measured(records) == measured(history) == measured(read_metrics(tmp_path / METRICS))


@pytest.mark.parametrize("how", edited([b"", b"", b""]))
def test_whatever_becomes_of_the_records_they_are_written_again(trained, tmp_path, capsys, how):
    whole = (trained[1] / METRICS).read_bytes()
    log, records = tmp_path / METRICS, read_metrics(trained[1] / METRICS)
    changed = edited(whole.splitlines(keepends=True))[how]
    if changed is not None:
        log.write_bytes(changed)
    write_metrics(log, records, known=True)
    assert log.read_bytes() == whole
    assert capsys.readouterr().err.startswith(
        f"{log} was not what the checkpoint says: written again from there"
    )
    aside = tmp_path / "metrics-damaged.jsonl"
    assert (aside.read_bytes() if aside.exists() else None) == changed


@pytest.mark.parametrize("how", ["a digit", "a folder"])
def test_a_run_with_changed_records_goes_on_as_if_they_had_not_been(trained, tmp_path, capfd, how):
    shutil.copytree(trained[1], tmp_path, dirs_exist_ok=True)
    log = tmp_path / METRICS
    changed = edited(log.read_bytes().splitlines(keepends=True)).get(how)
    log.unlink()
    log.mkdir() if changed is None else log.write_bytes(changed)
    continued(trained, tmp_path)
    said = [line for line in capfd.readouterr().err.splitlines() if not line.startswith("epoch")]
    assert len(said) == 1


def newest_meta(folder):
    return max((folder / "checkpoints").glob("*/meta/metadata"), key=lambda path: int(path.parts[-3]))


def as_before_format_4(folder):
    """Takes from the checkpoints what earlier versions did not note down."""
    for path in (folder / "checkpoints").glob("*/meta/metadata"):
        meta = json.loads(path.read_text())
        epochs = len(meta.pop("history"))
        del meta["digest"]
        path.write_text(json.dumps({**meta, "epochs": epochs, "format": 3}))


def test_a_run_of_an_earlier_version_goes_on_with_the_records_it_has(trained, tmp_path):
    shutil.copytree(trained[1], tmp_path, dirs_exist_ok=True)
    as_before_format_4(tmp_path)
    continued(trained, tmp_path)


@pytest.mark.parametrize("how", ["null", "a list", "no epoch", "not UTF-8", "a folder"])
def test_records_of_an_earlier_version_that_cannot_be_read_are_refused_in_a_sentence(trained, tmp_path, how):
    shutil.copytree(trained[1], tmp_path, dirs_exist_ok=True)
    as_before_format_4(tmp_path)
    log = tmp_path / METRICS
    changed = edited(log.read_bytes().splitlines(keepends=True)).get(how)
    log.unlink()
    log.mkdir() if changed is None else log.write_bytes(changed)
    with pytest.raises(UserError, match=rf"{re.escape(str(log))} .*: restore or remove it$"):
        run(trained[0], 4, tmp_path, best="val_loss")


METAS = {
    "null": b"null",
    "a list": b"[]",
    "empty": b"",
    "nothing": b"{}",
    "not UTF-8": b"\xff\xfe",
    "not JSON": b"{",
    "deep": b"[" * 100_000,
    "no digest": None,
    "another history": None,
}


def restored(folder):
    """The step that a run would go on from, with the records up to it."""
    with Checkpoints(folder / "checkpoints") as checkpoints:
        checkpoints.restore_variables()
        return [record["epoch"] for record in checkpoints.meta["history"]]


@pytest.mark.parametrize("how", METAS)
@pytest.mark.sampled(3)
def test_a_checkpoint_whose_meta_file_changed_is_passed_over_in_one_line(trained, tmp_path, capfd, how):
    shutil.copytree(trained[1] / "checkpoints", tmp_path / "checkpoints")
    path = newest_meta(tmp_path)
    meta = json.loads(path.read_text())
    if how == "no digest":
        del meta["digest"]
    elif how == "another history":
        meta["history"][0]["val_loss"] = 0.0
    path.write_bytes(json.dumps(meta).encode() if METAS[how] is None else METAS[how])
    assert restored(tmp_path) == [1, 2]
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 1
    assert "passed over: step 9: " in said[0]


@pytest.mark.parametrize("count", [2, 200])
@pytest.mark.slow
def test_every_changed_bit_of_what_a_checkpoint_notes_down_is_noticed(trained, tmp_path, count):
    rng = np.random.default_rng(0)
    shutil.copytree(trained[1] / "checkpoints", tmp_path / "checkpoints")
    path = newest_meta(tmp_path)
    whole = path.read_bytes()
    for _ in range(count):
        path.write_bytes(flip(whole, rng))
        assert restored(tmp_path) == [1, 2]


@pytest.mark.parametrize("how", ["truncated", pytest.param("any", marks=pytest.mark.slow)])
def test_a_damaged_array_is_one_line_on_the_screen(trained, tmp_path, capfd, how):
    """However Orbax's and TensorStore's threads stumble over it."""
    rng = np.random.default_rng(0)
    files = [path for path in (trained[1] / "checkpoints" / "9").rglob("*") if path.is_file()]
    for number, file in enumerate(
        files if how == "any" else [path for path in files if "d" in path.parts][:1]
    ):
        folder = tmp_path / str(number)
        shutil.copytree(trained[1] / "checkpoints", folder / "checkpoints")
        damaged = folder / file.relative_to(trained[1])
        for content in (damaged.read_bytes()[:7], b"null", b"", flip(damaged.read_bytes() or b"0", rng)):
            damaged.write_bytes(content)
            assert restored(folder) in ([1, 2], [1, 2, 3])
            assert len(capfd.readouterr().err.splitlines()) <= 1


@pytest.mark.parametrize("size", [2000, 200])
def test_a_disk_that_fills_up_while_a_checkpoint_is_written_is_one_line(
    trained, tmp_path, capfd, monkeypatch, size
):
    resource = pytest.importorskip("resource")
    late: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", late.append)
    monkeypatch.setattr(checkpoint, "ABANDONED", 1.0)  # enough on a busy machine
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        with pytest.raises(UserError, match=r"cannot save a checkpoint in .* \(File too large\): make room"):
            run(trained[0], 1, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    time.sleep(0.5)  # what other writes have to say must have been said before
    assert late == []
    assert [line for line in capfd.readouterr().err.splitlines() if not line.startswith("epoch")] == []


CONFIG = runs.describe_features("mlp", Features((8, 8, 1), "uint8", ("cat", "dog")), "dark", "unit")


@pytest.mark.parametrize(
    "content",
    [b"null", b"[]", b'"x"', b"\xff\xfe", b"{", b"[" * 100_000, None],
    ids=lambda text: str(text)[:9],
)
def test_a_damaged_config_is_one_sentence(tmp_path, content):
    path = tmp_path / "config.json"
    path.mkdir() if content is None else path.write_bytes(content)
    for read in (lambda: read_config(tmp_path), lambda: write_config(tmp_path, CONFIG)):
        with pytest.raises(UserError, match=rf"{re.escape(str(path))} (cannot be read|does not hold)"):
            read()


@pytest.mark.parametrize(
    "changed",
    [
        {"model": ["mlp"]},
        {"model": None},
        {"classes": "cat"},
        {"classes": [1, 2]},
        {"dataset": 3},
        {"input": {**CONFIG["input"], "shape": [8, -8, 1]}},
        {"input": {**CONFIG["input"], "shape": "888"}},
        {"input": {**CONFIG["input"], "dtype": "uint9"}},
        {"input": {**CONFIG["input"], "prepare": []}},
        {"input": []},
        {"input": None},
    ],
    ids=str,
)
def test_a_config_with_other_types_is_one_sentence(tmp_path, changed):
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, **changed}))
    with pytest.raises(
        UserError, match=r"config\.json (is damaged: its .* cannot be read; restore it|lacks)"
    ):
        runs.load_run(tmp_path)


def test_a_class_that_is_called_otherwise_than_when_it_was_trained_is_refused(workdir, tmp_path):
    shutil.copytree(workdir, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace('"7"', '"?"'))
    with pytest.raises(UserError, match=r"config\.json says classes .*\?.*, and the checkpoint beside it"):
        runs.load_run(tmp_path)
