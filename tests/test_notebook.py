"""docs/first_network.ipynb runs in a kernel of its own, and shows every picture and table once."""

import io
import os
from base64 import b64decode
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs" / "first_network.ipynb"
# What a user may do besides, in the same kernel: the source, and whether it raises.
MORE = {
    "kept": "figure = plots.curves(history)",
    "pyplot": "import matplotlib.pyplot as plt\nplt.plot([1, 2])",
    "after pyplot": "plots.curves(history)",
    "in a file": "plots.curves(history, 'curves.png')",
    "left behind": "print(plt.get_fignums())",
    "a run": """
from jaxnets import runs
train.write_config("run", runs.describe("mlp", digits))
keep = train.Keep("run")
_ = train.fit(train.make_state(model, optimizer, (28, 28, 1)), step, batches, epochs=1, keep=keep)
runs.load_run("run")
""",
    "interrupted": """
import os, signal
class Stop(train.Callback):
    def on_step_end(self, state, sums):
        os.kill(os.getpid(), signal.SIGINT)
fresh = train.make_state(model, optimizer, (28, 28, 1))
train.fit(fresh, step, batches, epochs=3, callbacks=[Stop()], steps_per_call=1)
""",
    "interrupted twice": """
class Twice(train.Callback):
    def on_step_end(self, state, sums):
        os.kill(os.getpid(), signal.SIGINT)
        import time
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
train.fit(fresh, step, batches, epochs=3, callbacks=[Twice()], steps_per_call=1)
""",
    "alive": "print('alive')",
}
RAISES = {"interrupted", "interrupted twice"}
LEARNED = "import sys\nprint(int(sys.last_value.state.step), len(sys.last_value.history))"


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """The cells after they were run: the notebook's by their number, the others by name."""
    book = nbformat.read(NOTEBOOK, as_version=4)
    own = [cell for cell in book.cells if cell.cell_type == "code"]
    more = {}
    for name, source in MORE.items():
        more[name] = nbformat.v4.new_code_cell(source)
        more[name].metadata["tags"] = ["raises-exception"] if name in RAISES else []
        if name == "interrupted":
            more["learned"] = nbformat.v4.new_code_cell(LEARNED)
    book.cells += more.values()
    place = tmp_path_factory.mktemp("notebook")
    here = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    client = NotebookClient(book, timeout=600, resources={"metadata": {"path": str(place)}})
    client.execute(env=environment | {"PYTHONPATH": os.pathsep.join(here)})
    return dict(enumerate(own)) | more


def shown(cell, kind):
    """What a cell shows of a kind, such as image/png: its value and what it displayed."""
    return [output.data[kind] for output in cell.outputs if kind in output.get("data", {})]


def printed(cell):
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def test_every_picture_is_shown_once_and_is_one(cells):
    drawn = [cell for cell in cells.values() if cell.source.splitlines()[-1].startswith("plots.")]
    assert len(drawn) == 6
    for cell in drawn:
        (png,) = shown(cell, "image/png")
        picture = np.asarray(Image.open(io.BytesIO(b64decode(png))).convert("RGB"))
        assert picture.shape[0] > 200
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50  # something is drawn
    assert not cells["kept"].outputs
    assert printed(cells["left behind"]) == "[]\n"  # pyplot's own was shown and closed


def test_data_networks_states_and_runs_are_tables(cells):
    values = [shown(cells[number], "text/html") for number in (0, 2, 3)] + [
        shown(cells["a run"], "text/html")
    ]
    for (table,), expected in zip(
        values, ("data set digits", "MLP, input", "training state", "run of mlp"), strict=True
    ):
        assert table.startswith("<table>")
        assert expected in table


def test_an_interrupted_cell_keeps_what_was_learned_and_the_kernel_lives(cells):
    (error,) = [output for output in cells["interrupted"].outputs if output.output_type == "error"]
    assert error.ename == "Interrupted"
    assert "sys.last_value.state" in error.evalue
    assert printed(cells["learned"]) == "1 0\n"
    (error,) = [output for output in cells["interrupted twice"].outputs if output.output_type == "error"]
    assert error.ename == "KeyboardInterrupt"
    assert printed(cells["alive"]) == "alive\n"


def test_the_notebook_is_kept_without_what_it_shows():
    book = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(book)
    assert not [cell for cell in book.cells if cell.get("outputs") or cell.get("execution_count")]
