"""A line an epoch stays, whole, whatever it is written to; a bar below it where somebody watches."""

import io
import sys
from types import SimpleNamespace

from jaxnets.train.io import progress
from jaxnets.train.io.progress import make_progress

RECORDS = [
    {
        "epoch": epoch,
        "loss": 0.1 * epoch,
        "accuracy": 0.5,
        "val_loss": 12.3456789,
        "val_accuracy": 0.98765,
        "examples_per_second": 12_345.6,
    }
    for epoch in (98, 99)
]
VALUES = [f"loss {0.1 * epoch:.4f}  accuracy 0.5000" for epoch in (98, 99)]
LINES = [
    f"epoch {epoch}/99  {values}  val_loss 12.3457  val_accuracy 0.9877"
    for epoch, values in zip((98, 99), VALUES, strict=True)
]


class Screen(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True

    def lines(self):
        """What is to be seen in the end: a carriage return goes back, and what follows is written over."""
        shown = []
        for line in self.getvalue().split("\n"):
            cells = ""
            for part in line.split("\r"):
                assert len(part) <= 80  # what is longer would wrap, and stay there
                cells = part + cells[len(part) :]
            shown.append(cells.rstrip())
        return shown


def follow():
    sums = {"count": 50.0, "loss": 10.0, "accuracy": 25.0}
    with make_progress(99, 97, 50) as shown:
        for record in RECORDS:
            shown.update(record["epoch"], 25, sums)
            shown.update(record["epoch"], 25, sums)
            shown.end_epoch(record)


def test_in_a_terminal_of_80_columns_lines_stay_and_the_bar_goes(monkeypatch):
    monkeypatch.setattr(progress, "REFRESH", 0.0)
    monkeypatch.setattr(sys, "stderr", screen := Screen())
    monkeypatch.setenv("COLUMNS", "80")
    follow()
    assert screen.lines() == [*LINES, ""]
    assert "epoch 99/99  loss 0.2000  accuracy 0.5000 █" in screen.getvalue()
    assert "examples/s" in screen.getvalue()


def test_without_one_there_are_only_lines(capsys):
    follow()
    said = capsys.readouterr()
    assert (said.out, said.err.splitlines()) == ("", [f"{line}  12,346 examples/s" for line in LINES])


def test_a_notebook_without_widgets_gets_a_bar_of_characters_and_no_warning(monkeypatch, capsys):
    """Warnings would be errors here. With ipywidgets, tqdm shows one of its own."""
    shell = SimpleNamespace(get_ipython=lambda: SimpleNamespace())
    for name, module in (("ipykernel.zmqshell", shell), ("IPython", shell), ("ipywidgets", None)):
        monkeypatch.setitem(sys.modules, name, module)
    for name in ("auto", "autonotebook", "notebook"):
        monkeypatch.delitem(sys.modules, f"tqdm.{name}", raising=False)
    follow()
    said = capsys.readouterr()
    assert said.err == ""
    assert [line.split("\r")[-1] for line in said.out.split("\n")] == [*LINES, ""]
    assert "█" in said.out


def test_a_reader_that_has_gone_stops_nothing(monkeypatch):
    class Broken(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Broken())
    follow()
