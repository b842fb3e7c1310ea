"""A run's folder belongs to one run, and refuses others without changing."""

import errno
import signal
import subprocess
import sys

import pytest

from jaxnets.errors import UserError
from jaxnets.train import read_config, write_config
from jaxnets.train.io.workdir import locked

CONFIG = {"model": "lenet5", "dataset": "digits", "seed": 0, "epochs": 3, "input": {"shape": (28, 28, 1)}}


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_same_run_may_ask_for_more_epochs(tmp_path):
    write_config(tmp_path / "run", CONFIG)
    write_config(tmp_path / "run", CONFIG | {"epochs": 9})
    assert read_config(tmp_path / "run")["epochs"] == 9
    assert read_config(tmp_path / "run")["input"]["shape"] == [28, 28, 1]


def test_a_run_from_before_its_ink_was_measured_goes_on(tmp_path):
    write_config(tmp_path, CONFIG)
    write_config(tmp_path, CONFIG | {"ink_span": 0.714})
    assert read_config(tmp_path)["ink_span"] == 0.714
    photographs = CONFIG | {"input": CONFIG["input"] | {"ink": None}}  # taken for drawings, before
    write_config(tmp_path, photographs)
    assert read_config(tmp_path)["input"]["ink"] is None


@pytest.mark.parametrize("key, value", [("model", "mlp"), ("dataset", "mnist"), ("seed", 1)])
def test_another_run_is_refused_and_nothing_changes(tmp_path, key, value):
    write_config(tmp_path, CONFIG)
    before = contents(tmp_path)
    with pytest.raises(UserError, match=f"holds a run with {key} {CONFIG[key]!r}, not {value!r}"):
        write_config(tmp_path, CONFIG | {key: value})
    assert contents(tmp_path) == before


def test_a_run_that_was_killed_before_it_was_noted_down_can_start(tmp_path):
    (tmp_path / "lock").touch()
    (tmp_path / "config.json.part").write_text('{"mod')
    write_config(tmp_path, CONFIG)
    assert read_config(tmp_path)["model"] == "lenet5"


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match="is not the folder of a run"):
        write_config(tmp_path, CONFIG)
    assert list(contents(tmp_path)) == ["thesis.tex"]


def test_a_folder_without_or_with_a_broken_config_says_so(tmp_path):
    with pytest.raises(UserError, match=r"has no config\.json"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text('{"model": ')
    with pytest.raises(UserError, match="cannot be read as JSON"):
        read_config(tmp_path)


def test_a_folder_is_held_by_one_process_until_it_ends_however_it_ends(tmp_path):
    """Killed, it has no turn to let go; the file stays, and says nothing."""
    holder = f"""
import pathlib, time
from jaxnets.train.io.workdir import locked
with locked(pathlib.Path({str(tmp_path)!r})):
    print("held", flush=True)
    time.sleep(600)
"""
    process = subprocess.Popen([sys.executable, "-c", holder], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    with pytest.raises(UserError, match="another process is training in"), locked(tmp_path):
        pass
    process.kill()
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    assert (tmp_path / "lock").exists()
    for _ in range(2):
        with locked(tmp_path):
            pass


@pytest.mark.parametrize("missing", ["locks", "package"])
def test_where_there_are_no_locks_a_run_goes_on_with_a_word(tmp_path, monkeypatch, capsys, missing):
    def none(*_, **__):
        raise OSError(errno.ENOLCK, "No locks available")

    if missing == "locks":
        monkeypatch.setattr("filelock.lock_descriptor", none)
    else:
        monkeypatch.setitem(sys.modules, "filelock", None)
    for _ in range(2):
        write_config(tmp_path / "run", CONFIG)
    said = capsys.readouterr().err
    assert said.startswith(f"{tmp_path / 'run'} is not locked against a second training there (")
    assert said.count("\n") == 1


def test_a_folder_that_cannot_be_made_is_said_in_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write .*lock \(Not a directory\): make room, or choose"):
        write_config(tmp_path / "file" / "run", CONFIG)
