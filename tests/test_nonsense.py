"""Nonsense on the command line is one sentence before any work: drawn for every option from its type.

Commands, scripts and their options are found by their signatures, so that new ones are covered, too.
"""

import functools
import importlib
import inspect
import subprocess
import sys
import typing
import zlib
from pathlib import Path

import numpy as np
import pytest

from jaxnets import data, runs
from jaxnets.cli import commandline, commands
from jaxnets.data.augment import parse
from jaxnets.errors import UserError

ROOT = Path(__file__).parents[1]
SCRIPTS = [
    path.stem
    for path in sorted((ROOT / "experiments").glob("*.py"))
    if "commandline.run(main)" in path.read_text("utf-8")
]
LONG = "a" * 300
NONSENSE: dict[type, list[str]] = {
    bool: ["maybe"],
    int: ["0", "-1", "2000000", "1000000000000", "9" * 31, "9" * 5000, "nan", "1.5", "", "one"],
    float: ["nan", "inf", "-inf", "1e999", "", "one"],
    str: ["", LONG, "a\nb", "\x1b[31m", "a\udc80"],
    Path: [LONG, f"nowhere/{LONG}", "a-file/below", "loop"],
}


def flatten(name, command):
    """Commands by their full names ("data prepare")."""
    if not isinstance(command, dict):
        return {name: command}
    return {
        key: one for more, inner in command.items() for key, one in flatten(f"{name} {more}", inner).items()
    }


@functools.cache
def programs():
    scripts = {name: importlib.import_module(f"experiments.{name}").main for name in SCRIPTS}
    return {name.strip(): command for name, command in flatten("", commands.COMMANDS).items()} | scripts


def plain(annotation):
    """The types of nonsense for an annotation: int for int | None, tuple[int, int] or Annotated[int, ...]."""
    if annotation in NONSENSE:
        return {annotation}
    return set().union(*map(plain, typing.get_args(annotation)), set())


def options():
    """Every option: its program, its name, its types, and how many values it takes."""
    for program, function in programs().items():
        hints = typing.get_type_hints(function)
        for name, parameter in inspect.signature(function).parameters.items():
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                values = typing.get_args(hints[name]) if typing.get_origin(hints[name]) is tuple else ()
                yield program, name, plain(hints[name]), 1 if ... in values else max(1, len(values))


def needed(function):
    """What a command needs besides: something for its positional arguments, and options without defaults."""
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.default is inspect.Parameter.empty:
            named = parameter.kind is inspect.Parameter.KEYWORD_ONLY
            yield from [f"--{name.replace('_', '-')}", "x"] if named else ["x"]


def is_sane(value):
    """Whether a command can do with this, whatever it is for."""
    if isinstance(value, bool | None):
        return True
    if isinstance(value, int | float):
        return bool(np.isfinite(value)) and abs(value) < 2**32
    if isinstance(value, str):
        return 0 < len(value) <= 200 and value.isprintable()
    if isinstance(value, Path):
        return str(value) not in NONSENSE[Path]
    return all(map(is_sane, value))


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Calls a command that does nothing: what it is given is sane, or it is refused in one sentence."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-file").touch()
    (tmp_path / "loop").symlink_to("loop")

    def call(function, *given):
        ran = []
        idle = functools.wraps(function)(lambda *args, **kwargs: ran.append([*args, *kwargs.values()]))
        code = 0
        try:
            commandline.run(idle, "x", given)
        except SystemExit as stop:
            code = stop.code
        out, err = capsys.readouterr()
        if ran:
            assert (code, is_sane(ran[0])) == (0, True), given
        else:
            assert (code, out, err.count("\n")) == (2, "", 1), (given, err)
            assert err.startswith("error: "), (given, err)

    return call


def check(call, program, option, values, count):
    function, name = programs()[program], f"--{option.replace('_', '-')}"
    rest = [word for word in needed(function) if word != name]
    for value in values:
        call(function, *rest, *[f"{name}={value}"] if count == 1 else [name, *[value] * count])


def test_no_option_takes_nonsense(call):
    """One value each, drawn by the option's name; the slow test tries all."""
    for program, option, types, count in options():
        for kind in sorted(types, key=str):
            draw = np.random.default_rng(zlib.crc32(f"{program} {option}".encode()))
            check(call, program, option, [draw.choice(NONSENSE[kind])], count)


@pytest.mark.slow
@pytest.mark.parametrize("program", [*programs()])
def test_no_option_takes_any_of_the_nonsense(call, program):
    for name, option, types, count in options():
        if name == program:
            check(call, program, option, [value for kind in types for value in NONSENSE[kind]], count)


def test_every_option_has_a_type_that_is_covered():
    """Or is one of a few words."""
    for program, option, types, _ in options():
        hint = typing.get_type_hints(programs()[program])[option]
        assert types or typing.get_origin(hint) is typing.Literal or "Literal" in str(hint), (program, option)


@pytest.mark.parametrize("name", ["../x", "/etc", "a/../b", "a:b:c", "C:\\x", ".", "two words"])
def test_no_data_set_is_looked_for_outside_of_their_folder(run, name):
    for command in ("show", "convert"):
        code, out, err = run("data", command, name)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "give a NAME, NAME/CONFIG or NAME:VERSION" in err


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["data", "show", "digits", "--count", "65"], "--count 65: a row of more than 64 images"),
        (
            ["data", "show", "digits", "--size", "8", "8"],
            "digits comes with scikit-learn as it is: leave out its size",
        ),
        (["export", "nowhere", "--out", "/"], "--out / is a folder: name a file in it"),
        (["import-keras", "x.h5", "--model", "mlp", "--workdir", "a-file/run"], "Not a directory"),
    ],
)
def test_what_only_its_command_can_judge_is_a_sentence_too(run, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-file").touch()
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert [path.name for path in tmp_path.iterdir()] == ["a-file"]


def test_a_batch_far_larger_than_its_data_is_refused():
    source = data.load("iris").train
    assert next(data.Batches(source, 4096).epoch())["x"].shape == (4096, 4)
    with pytest.raises(UserError, match="batch size 4,097: there are only 120 examples"):
        data.Batches(source, 4097)


def test_an_augmentation_by_infinity_is_refused():
    with pytest.raises(UserError, match="its numbers must be finite"):
        parse(["rotation=inf"])


@pytest.mark.parametrize("command", ["-m jaxnets --help", "-u -m jaxnets summary mlp"])
@pytest.mark.parametrize(
    "where, why", [("/dev/full", "No space left on device"), ("&-", "Bad file descriptor")]
)
def test_output_that_cannot_be_written_is_one_line(command, where, why):
    shell = f"{sys.executable} {command} >{where}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (
        2,
        f"error: cannot write the output ({why}): send it elsewhere\n",
    )


def test_messages_that_cannot_be_written_stop_nothing():
    shell = f"{sys.executable} -m jaxnets summary mlp 2>/dev/full; {sys.executable} -m jaxnets nothing 2>&-"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (2, "")
    assert "Total params: 101,770" in done.stdout


def test_a_default_folder_has_a_name_that_every_system_allows():
    assert runs.default_folder("mnist-mnist:3.0.1") == Path("runs/mnist-mnist-3.0.1")
    assert runs.default_folder('cifar10/a<b>"c|d?*') == Path("runs/cifar10/a-b--c-d--")
