"""A trained network from its workdir alone: for predicting, evaluating and exporting."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen

from jaxnets import html
from jaxnets.data import Features
from jaxnets.data.standardize import Moments, standardize
from jaxnets.errors import UserError, lookup
from jaxnets.export import load_safetensors
from jaxnets.folding import fold_batch_norm
from jaxnets.platforms import by_platform
from jaxnets.pretrained import caffe_inputs, tf_inputs
from jaxnets.runs.config import DTYPES, make_model, with_outputs
from jaxnets.runs.loss import DEFAULT, LOSSES, make_loss
from jaxnets.train import Checkpoints, normalize, read_config, read_metrics
from jaxnets.train.io.integrity import shapes
from jaxnets.train.io.workdir import BEST, CHECKPOINTS, METRICS, check_config, check_records
from jaxnets.train.steps_per_call import library_options

Preprocess = Callable[[jax.Array], jax.Array]

WEIGHTS = "model.safetensors"  # instead of checkpoints, in a folder that was exported
AT_ONCE = 64  # examples in a batch to predict

# How images of bytes become inputs: 0 to 1; as in the official ResNet and VGG, or in Xception; unchanged.
INPUTS: dict[str, Preprocess] = {
    "unit": normalize,
    "caffe": caffe_inputs,
    "tf": tf_inputs,
    "bytes": lambda x: x.astype(jnp.float32),
}
STANDARDIZE = "standardize"  # by the moments of the training set, which config.json holds as well


@dataclass(frozen=True)
class Run:
    """A trained network and what it was trained on.

    Attributes:
        config: The contents of the workdir's config.json.
        features: The features of an example.
        model: The network.
        variables: Its parameters and statistics.
        history: The records up to the epoch that these are of; empty if they are not known.
    """

    config: dict[str, Any]
    features: Features
    model: linen.Module
    variables: dict[str, Any]
    history: Sequence[Mapping[str, Any]] = ()

    def __repr__(self) -> str:
        of = f"{self.config['model']} on {self.config['dataset'] or 'an unknown data set'}"
        return f"Run({of}: {self.features}, {self._parameters:,} parameters)"

    def _repr_html_(self) -> str:
        """Returns a table of its settings for notebooks."""
        known = {
            "one example": f"{self.features.dtype} {self.features.shape}",
            "classes": len(self.features.classes),
            "parameters": self._parameters,
        }
        last = {} if not self.history else self.history[-1]
        told = {name: value for name, value in self.config.items() if name not in ("input", "classes")}
        return html.table(f"run of {self.config['model']}", {**known, **last, **told}.items())

    @property
    def _parameters(self) -> int:
        return sum(np.size(leaf) for leaf in jax.tree.leaves(self.variables["params"]))

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """Returns this network's `probabilities` for stored inputs.

        Raises:
            UserError: If they are none, or of another shape or type than the examples that it learned from.
        """
        x, wanted = np.asarray(x), self.features
        if x.shape[1:] != wanted.shape or not len(x):
            shape = ", ".join(map(str, ("N", *wanted.shape)))
            raise UserError(f"examples of shape {x.shape}: this network takes ({shape})")
        if (x.dtype == np.uint8) != (wanted.dtype == "uint8"):
            right = "bytes, 0 to 255" if wanted.dtype == "uint8" else f"{wanted.dtype}, not bytes"
            raise UserError(f"examples of {x.dtype}: this network has learned from {right}")
        return probabilities(*self.folded, x, self.preprocess)

    @cached_property
    def folded(self) -> tuple[linen.Module, dict[str, Any]]:
        """The network and its variables for inference, after `fold_batch_norm`."""
        return fold_batch_norm(self.model, self.variables, self.features.shape)

    @cached_property
    def preprocess(self) -> Preprocess:
        """The function that turns its images into inputs, on the device."""
        if self.config["input"].get("prepare") == STANDARDIZE:
            return standardize(*_moments(self.config["input"]))
        return lookup(INPUTS, self.config["input"].get("prepare", "unit"), "kind of inputs")

    @property
    def loss(self) -> Any:
        """The loss that its training evaluated, (logits, labels) -> (batch,)."""
        return make_loss(self.config.get("loss", DEFAULT), len(self.features.classes))


def probabilities(
    model: linen.Module, variables: Any, x: np.ndarray, preprocess: Preprocess = normalize
) -> np.ndarray:
    """Returns probabilities, float32 (N, classes), for inputs (N, ...) as stored, `AT_ONCE` at a time."""
    size = min(AT_ONCE, len(x))
    rows = np.resize(np.arange(len(x)), (-(-len(x) // size), size))  # one shape: the last batch wraps around
    options = library_options(variables.get("params", {}), jax.default_backend())
    forward = _forward(tuple(options.items()))
    found = [np.asarray(forward(model, variables, x[some], preprocess)) for some in rows]
    return np.concatenate(found)[: len(x)]


@cache  # there are few different options; programs by network are in the cache of `jax.jit`
def _forward(options: tuple[tuple[str, Any], ...]) -> Any:
    @partial(jax.jit, static_argnums=(0, 3), compiler_options=dict(options))
    def forward(model: linen.Module, variables: Any, x: jax.Array, preprocess: Preprocess) -> jax.Array:
        @by_platform
        def compute(variables: Any, x: jax.Array) -> jax.Array:
            logits: Any = model.apply(variables, preprocess(x))
            return jax.nn.softmax(logits.astype(jnp.promote_types(logits.dtype, jnp.float32)))

        return compute(variables, x)

    return forward


def load_run(workdir: Path | str) -> Run:
    """Returns a run with its best parameters if it kept them, else the newest.

    They are the ones that its training evaluated: the averaged weights, if it evaluated those. The network
    computes in the type that it was trained in. A folder with neither is read by `load_exported`.

    Raises:
        UserError: If the folder is not a run's, nothing has been saved yet, or the checkpoint is damaged.
    """
    workdir = Path(workdir)
    config = read_config(workdir)
    features, name = _described(config, workdir / "config.json")
    folder = workdir / (BEST if (workdir / BEST).is_dir() else CHECKPOINTS)
    if not folder.is_dir() and (workdir / WEIGHTS).is_file():
        return load_exported(workdir)
    variables, history = None, []
    if folder.is_dir():
        with Checkpoints(folder) as checkpoints:
            variables = checkpoints.restore_variables()
            check_config(workdir, config, checkpoints.meta.get("config"))
            history = check_records(checkpoints.meta.get("history", []), folder)
    if variables is None:
        raise UserError(f"{workdir} holds no checkpoint yet: let its training run for an epoch first")
    return Run(config, features, _network(config, name, features), variables, history)


def load_exported(folder: Path | str) -> Run:
    """Returns a run from a folder with config.json and `WEIGHTS`, such as `jaxnets.hub` makes them.

    Nothing else is read of it but metrics.jsonl, and no file can make this program do anything: the network
    is one of ours, by its name.

    Raises:
        UserError: If a file is missing or damaged, or the arrays are not those of the network.
    """
    folder = Path(folder)
    config = read_config(folder)
    features, name = _described(config, folder / "config.json")
    model, variables = _network(config, name, features), load_safetensors(folder / WEIGHTS)
    one = jax.ShapeDtypeStruct((1, *features.shape), jnp.float32)
    wanted = shapes(jax.eval_shape(model.init, jax.random.key(0), one))
    for path in sorted(wanted.keys() | (found := shapes(variables)).keys()):
        there, here = found.get(path, "missing"), wanted.get(path, "missing")
        if there != here:
            raise UserError(
                f"{folder / WEIGHTS} is not of the network {name} that config.json names: {path} is {there} "
                f"there and {here} here"
            )
    return Run(config, features, model, variables, read_metrics(folder / METRICS))


def _network(config: dict[str, Any], name: str, features: Features) -> linen.Module:
    """Returns the network of a run, in the type that it was trained in."""
    return make_model(name, features, **DTYPES[config.get("dtype", "float32")])


def describe_moments(moments: Moments, epsilon: float) -> dict[str, Any]:
    """Returns the part of config.json's "input" from which `Run.preprocess` rebuilds `standardize`."""
    known = {name: values.tolist() for name, values in moments._asdict().items()}
    return {"prepare": STANDARDIZE, "moments": known | {"epsilon": epsilon}}


def _moments(inputs: Mapping[str, Any]) -> tuple[Moments, float]:
    known = inputs["moments"]
    return Moments(*(np.asarray(known[name], np.float32) for name in Moments._fields)), float(
        known["epsilon"]
    )


def _is_prepared(inputs: Mapping[str, Any], shape: Any) -> bool:
    """Returns whether a config.json states how images become inputs."""
    if inputs.get("prepare", "unit") != STANDARDIZE:
        return inputs.get("prepare", "unit") in list(INPUTS)
    try:
        (mean, std), epsilon = _moments(inputs)
        whole = np.broadcast_shapes(mean.shape, std.shape, tuple(shape)) == tuple(shape)
    except (KeyError, TypeError, ValueError):
        return False
    return whole and bool(np.all(np.isfinite(mean)) and np.all(std + epsilon > 0))


def _described(config: dict[str, Any], path: Path) -> tuple[Features, str]:
    """Returns the features and the network's name that a config.json states."""
    try:
        inputs, classes, name = config["input"], config["classes"], config["model"]
        shape, dtype, dataset = inputs["shape"], inputs["dtype"], config["dataset"]
    except (KeyError, TypeError) as error:
        if isinstance(config, dict) and "experiment" in config:
            raise UserError(
                f"{path} is of experiments/{config['experiment']}.py, whose network only that script can "
                "make: use what it has printed and drawn, or run it again"
            ) from error
        raise UserError(f"{path} lacks {error}: it is not from a jaxnets run") from error
    outputs = config.get("outputs", len(classes) if isinstance(classes, list) else 0)
    sound = {
        "model": isinstance(name, str),
        "classes": isinstance(classes, list) and all(isinstance(label, str) for label in classes),
        "shape": isinstance(shape, list) and all(isinstance(size, int) and size > 0 for size in shape),
        "dtype": dtype in ("uint8", "int32", "float32"),
        "prepare": _is_prepared(inputs, shape),
        "dataset": isinstance(dataset, str | None),
        "data_dir": isinstance(config.get("data_dir"), str | None),
        "dtype of the arithmetic": config.get("dtype", "float32") in list(DTYPES),
        "loss": config.get("loss", DEFAULT) in list(LOSSES),
        "outputs": isinstance(outputs, int) and outputs >= len(classes),
    }
    if wrong := [key for key, is_sound in sound.items() if not is_sound]:
        raise UserError(f"{path} is damaged: its {' and '.join(wrong)} cannot be read; restore it")
    return with_outputs(Features(tuple(shape), dtype, tuple(classes)), outputs), name
