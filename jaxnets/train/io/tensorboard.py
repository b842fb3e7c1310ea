"""TensorBoard without TensorFlow: scalars, histograms of the weights, images and the network's graph."""

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from flax import traverse_util

from jaxnets import hints
from jaxnets.errors import UserError
from jaxnets.machine.distributed import is_writer, to_host
from jaxnets.summary import Summary
from jaxnets.train.callback import Callback
from jaxnets.train.monitor import History
from jaxnets.train.state import TrainState


class TensorBoard(Callback):
    """Writes what `tensorboard --logdir FOLDER` shows.

    Args:
        folder: Folder for the event files; a resumed run adds another file, which hides the steps it repeats.
        histograms: Whether to write a histogram of every parameter after every epoch. Default: True.
        images: Images, uint8 (H, W, 1 or 3), to show at the beginning. Default: none.
        graph: The network's layers, as `jaxnets.summary.summarize` lists them. Default: no graph.

    Raises:
        UserError: If tensorboardX is not installed.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        histograms: bool = True,
        images: Sequence[np.ndarray] = (),
        graph: Summary | None = None,
    ):
        if not importlib.util.find_spec("tensorboardX"):
            raise UserError(f"TensorBoard logs need tensorboardX: {hints.install('tensorboardX')}")
        self.folder, self.histograms, self.images, self.graph = Path(folder), histograms, images, graph
        self._writer: Any = None

    def on_epoch_begin(self, state: TrainState, history: History) -> None:
        """Opens the file before the first epoch; a run with no epoch to do leaves no file."""
        if self._writer is not None or not is_writer():
            return
        from tensorboardX import SummaryWriter
        from tensorboardX.proto.event_pb2 import Event

        suffix = f".{os.getpid()}.{len(history)}"  # a run that goes on within a second gets a file of its own
        self._writer = SummaryWriter(str(self.folder), purge_step=len(history) + 1, filename_suffix=suffix)
        if history:
            return
        for number, image in enumerate(self.images):
            self._writer.add_image(f"examples/{number}", image, dataformats="HWC")
        if self.graph is not None:
            self._writer.file_writer.add_event(Event(graph_def=_graph(self.graph).SerializeToString()))

    def on_epoch_end(self, state: TrainState, history: History) -> None:
        """Adds the epoch's record and histograms."""
        params = to_host(state.params) if self.histograms else {}  # by all processes
        if self._writer is None:
            return
        record = history[-1]
        for name, value in record.items():
            if name != "epoch":
                self._writer.add_scalar(name, value, record["epoch"])
        for path, values in traverse_util.flatten_dict(params, sep="/").items():
            self._writer.add_histogram(path, values, record["epoch"])
        self._writer.flush()  # before the checkpoint that counts this epoch: a killed run leaves no gap

    def on_train_end(self, state: TrainState, history: History) -> None:
        """Closes the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _graph(summary: Summary) -> Any:
    """Returns the layers and their connections as a TensorFlow GraphDef, which TensorBoard draws."""
    from tensorboardX.proto.graph_pb2 import GraphDef
    from tensorboardX.proto.node_def_pb2 import NodeDef

    nodes = [NodeDef(name="input", op="Placeholder")]
    drawn = [row for row in summary.layers if row.variables]  # the others (dropout) stand in no chain
    known = {row.name for row in drawn}
    for row in drawn:
        feeding = sorted(row.fed_by & known) or ["input"]
        nodes.append(NodeDef(name=row.name or row.type, op=row.type, input=feeding))
    return GraphDef(node=nodes)
