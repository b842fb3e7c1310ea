"""What TensorBoard itself reads back from a run's event files."""

import itertools

import numpy as np
import optax
import pytest

from jaxnets.data import ArraySource, Batches
from jaxnets.models import MODELS
from jaxnets.summary import summarize
from jaxnets.train import (
    Keep,
    Profile,
    RecordLearningRate,
    TensorBoard,
    fit,
    make_state,
    make_train_step,
)
from jaxnets.train.io.tensorboard import _graph as tensorboard_graph


def run(epochs, callbacks, workdir=None):
    rng = np.random.default_rng(0)
    source = ArraySource(rng.normal(size=(12, 4)), rng.integers(0, 3, 12))
    model, descent = MODELS["mlp"](widths=(5,), num_classes=3), optax.sgd(0.1)
    return fit(
        make_state(model, descent, (4,)),
        make_train_step(model, descent),
        Batches(source, 4, seed=0),
        epochs=epochs,
        keep=Keep(workdir),
        callbacks=[RecordLearningRate(lambda step: 0.1 / (1 + step)), *callbacks],
    )


def read(folder):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = event_accumulator.EventAccumulator(str(folder), size_guidance={"histograms": 0, "scalars": 0})
    return found.Reload()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of TensorBoard's reader
def test_scalars_histograms_images_and_graph(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (6, 5, 3), np.uint8)
    graph = summarize(MODELS["mlp"](widths=(5,), num_classes=3), (4,))
    logged = [TensorBoard(tmp_path / "tb", images=[image], graph=graph)]
    run(2, logged, tmp_path / "run")
    state, history = run(3, [TensorBoard(tmp_path / "tb")], tmp_path / "run")  # continued

    found = read(tmp_path / "tb")
    for name in ("loss", "accuracy", "learning_rate", "examples_per_second"):
        seen = [(event.step, event.value) for event in found.Scalars(name)]
        assert seen == [(record["epoch"], pytest.approx(record[name])) for record in history]
    assert history[1]["learning_rate"] == pytest.approx(0.1 / 7)
    last = found.Histograms("dense1/kernel")[-1]
    kernel = np.asarray(state.params["dense1"]["kernel"])
    assert last.step == 3
    assert last.histogram_value.num == kernel.size
    assert last.histogram_value.min == pytest.approx(kernel.min())
    assert last.histogram_value.sum == pytest.approx(kernel.sum(), abs=1e-5)
    (shown,) = found.Images("examples/0")
    assert (shown.width, shown.height) == (5, 6)
    nodes = {node.name: list(node.input) for node in _graph(found).node}
    assert nodes == {"input": [], "dense1": ["input"], "head": ["dense1"]}


def _graph(found):
    from tensorboardX.proto.graph_pb2 import GraphDef

    return GraphDef.FromString(found._graph)


def test_dropout_stands_in_no_chain_of_the_graph():
    drawn = tensorboard_graph(summarize(MODELS["cnn"](dropout=0.5), (28, 28, 1)))
    nodes = {node.name: list(node.input) for node in drawn.node}
    names = list(nodes)
    assert not [name for name in names if "ropout" in name]
    assert all(nodes[after] == [before] for before, after in itertools.pairwise(names))


def test_a_trace_of_two_steps(tmp_path):
    run(3, [Profile(tmp_path, 2)])
    assert list(tmp_path.rglob("*.xplane.pb"))
    assert list(tmp_path.rglob("perfetto_trace.json.gz"))
