"""Networks trained elsewhere: a Keras file as a run, and a run or Keras file as the start of a new run."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxnets import data, runs
from jaxnets.data import Features
from jaxnets.errors import UserError, lookup
from jaxnets.keras_weights import Pairing, from_keras, load_pairs, pair_layers
from jaxnets.models import INPUT_SHAPES, MODELS
from jaxnets.pretrained import PRETRAINED, class_index
from jaxnets.train import Checkpoints, TrainState, read_config, write_config
from jaxnets.train.io.workdir import CHECKPOINTS

HEADS = ("head", "predictions")  # layers that are replaced for another number of classes


def import_keras(
    file: Path | str,
    model: str,
    workdir: Path | str,
    *,
    dataset: str | None = None,
    classes: int | None = None,
    inputs: str | None = None,
    ignore: Collection[str] = (),
    rename: Mapping[str, str] | None = None,
    partial: bool = False,
    unchecked: bool = False,
) -> tuple[int, Pairing]:
    """Creates a run's folder from a Keras file, and returns the number of its parameters and what was paired.

    Args:
        file: Path of a `.keras`, `.weights.h5` or legacy `.h5` file.
        model: Name of the registered network with this architecture.
        workdir: Folder to create.
        dataset: Name of the data set it was trained on, which gives the input shape, the classes, and the
            examples to evaluate on.
        classes: Number of classes, if no data set is named. By default the documented number.
        inputs: How images become inputs, a key of `runs.INPUTS`. By default as for the official ImageNet file
            of that name, else 0 to 1.
        ignore: Layers in the file that the network does not have; see `from_keras`.
        rename: The network's layers by the names of layers in the file; see `from_keras`.
        partial: Whether to take what the two have in common; the rest of the network is drawn with seed 0.
        unchecked: Whether to take the weights even if the file says that its network computes something else.

    Raises:
        UserError: If the file cannot be read or is of another network, or the folder is taken.
    """
    file = Path(file)
    make = lookup(MODELS, model, "model")
    inputs = inputs or inputs_of(file, model)
    if dataset is not None:
        examples = data.load(dataset)
        features = examples.features
        config = runs.describe(model, examples, inputs=inputs)
    else:
        count = classes or make().num_classes
        names = [str(label) for label in range(count)]
        names = [name for _, name in class_index()] if count == 1000 else names
        shape = INPUT_SHAPES[model]
        features = Features(shape, "uint8" if len(shape) == 3 else "float32", tuple(names))
        config = runs.describe_features(model, features, "light" if shape[-1] == 1 else None, inputs)
    module = runs.make_model(model, features)
    how: dict[str, Any] = {"ignore": ignore, "rename": rename, "unchecked": unchecked}
    x = jnp.zeros((1, *features.shape))
    initial = jax.jit(module.init)(jax.random.PRNGKey(0), x) if partial else None
    pairing = pair_layers(file, module, features.shape, partial=partial, **how)
    variables = load_pairs(pairing, initial)
    config["imported"] = file.name
    write_config(workdir, config)
    model_state = {name: value for name, value in variables.items() if name != "params"}
    state = TrainState(jnp.int32(0), variables["params"], model_state, {}, jax.random.PRNGKey(0))
    with Checkpoints(Path(workdir) / CHECKPOINTS) as checkpoints:
        checkpoints.save(0, {"state": state, "sums": {}}, {"config": config})
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"])), pairing


def inputs_of(source: Path | str, model: str) -> str:
    """Returns how a network's images become inputs, a key of `runs.INPUTS`, from its run or official file."""
    if Path(source).is_dir():
        return read_config(source)["input"].get("prepare", "unit")
    official = PRETRAINED[model].inputs if model in PRETRAINED else None
    return next((name for name, function in runs.INPUTS.items() if function is official), "unit")


def start_from(source: Path | str, name: str, model: linen.Module, features: Features, fresh: Any) -> Any:
    """Returns variables for `model` taken from a run's folder or a Keras file.

    A head for another number of classes keeps its values in `fresh`.

    Args:
        source: The folder or the file.
        name: Name of the model.
        model: The network to start.
        features: Features of the examples it will see.
        fresh: Its variables as `init` draws them.

    Raises:
        UserError: If `source` holds another network.
    """
    if Path(source).is_dir():
        run = runs.load_run(source)
        if run.config["model"] != name:
            raise UserError(f"{source} holds a {run.config['model']}, not a {name}: give its --model")
        found = run.variables
    else:
        try:
            found = from_keras(source, model, features.shape)
        except UserError:
            if model.num_classes == (documented := MODELS[name]()).num_classes:
                raise
            found = from_keras(source, documented, features.shape)
    old, new = flatten_dict(found), flatten_dict(fresh)
    for path in sorted(old.keys() | new.keys()):
        there, here = (None if path not in tree else jnp.shape(tree[path]) for tree in (old, new))
        if there == here:
            new[path] = old[path]
        elif path[1] not in HEADS or here is None:
            raise UserError(
                f"{source} does not fit {name}: {'/'.join(path)} is {there} there and {here} here"
            )
    return unflatten_dict(new)
