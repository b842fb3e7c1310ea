"""TensorBoard without TensorFlow: scalars, histograms of the weights, images and the network's graph."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from flax import traverse_util

from jaxnets import hints
from jaxnets.errors import UserError
from jaxnets.summary import Summary
from jaxnets.train.distributed import is_writer
from jaxnets.train.fit import Callbacks
from jaxnets.train.monitor import History
from jaxnets.train.state import TrainState


def tensorboard(
    folder: Path,
    *,
    histograms: bool = True,
    images: Sequence[np.ndarray] = (),
    graph: Summary | None = None,
) -> Callbacks:
    """Returns callbacks for `fit` that write what `tensorboard --logdir FOLDER` shows.

    Args:
        folder: where the event files go; a continued run adds another file and hides what it does again.
        histograms: of every parameter, after every epoch.
        images: uint8 (H, W, 1 or 3) to show, at the beginning.
        graph: the network's layers, as `jaxnets.summary.summarize` lists them.

    Raises:
        UserError: tensorboardX is not installed.
    """
    if not is_writer():
        return {}
    try:
        from tensorboardX import SummaryWriter
        from tensorboardX.proto.event_pb2 import Event
    except ImportError as error:
        raise UserError(f"TensorBoard logs need tensorboardX: {hints.install('tensorboardX')}") from error
    writer: Any = None

    def begin(state: TrainState, history: History) -> None:
        nonlocal writer
        if writer is not None:
            return
        writer = SummaryWriter(str(folder), purge_step=len(history) + 1)
        if history:
            return
        for number, image in enumerate(images):
            writer.add_image(f"examples/{number}", image, dataformats="HWC")
        if graph is not None:
            writer.file_writer.add_event(Event(graph_def=_graph(graph).SerializeToString()))

    def epoch_end(state: TrainState, history: History) -> None:
        record = history[-1]
        for name, value in record.items():
            if name != "epoch":
                writer.add_scalar(name, value, record["epoch"])
        if histograms:
            for path, values in traverse_util.flatten_dict(state.params, sep="/").items():
                writer.add_histogram(path, np.asarray(values), record["epoch"])
        writer.flush()  # before the checkpoint that counts this epoch: a killed run leaves no gap

    def end(state: TrainState, history: History) -> None:
        nonlocal writer
        if writer is not None:  # there was an epoch to do
            writer.close()
            writer = None

    return {"epoch_begin": begin, "epoch_end": epoch_end, "train_end": end}


def _graph(summary: Summary) -> Any:
    """The layers and which feeds which, in TensorFlow's GraphDef, which TensorBoard draws."""
    from tensorboardX.proto.graph_pb2 import GraphDef
    from tensorboardX.proto.node_def_pb2 import NodeDef

    nodes = [NodeDef(name="input", op="Placeholder")]
    drawn = [row for row in summary.layers if row.variables]  # the others (dropout) stand in no chain
    known = {row.name for row in drawn}
    for row in drawn:
        feeding = sorted(row.fed_by & known) or ["input"]
        nodes.append(NodeDef(name=row.name or row.type, op=row.type, input=feeding))
    return GraphDef(node=nodes)
