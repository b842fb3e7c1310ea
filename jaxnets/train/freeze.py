"""Freezing: parameters chosen by path do not change, and cost no gradient and no optimizer memory.

Examples:
    >>> import jax.numpy as jnp
    >>> from jaxnets import models, train
    >>> from jaxnets.models.heads import Classifier
    >>> model, optimizer = Classifier(models.MODELS["mlp"](), num_classes=5), optax.sgd(0.2)
    >>> variables = model.init(jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
    >>> frozen, head_only = freeze(model, optimizer, variables["params"], ["backbone"])
    >>> state = train.make_state(frozen, head_only, (28, 28, 1), variables=variables)
    >>> step = train.make_train_step(frozen, head_only)  # the head learns ...
    >>> free, everything = freeze(model, optimizer, variables["params"], [])
    >>> state = state.replace(opt_state=carry_over(state.opt_state, everything.init(state.params)))
    >>> step = train.make_train_step(free, everything)  # ... and then the rest with it
"""

import dataclasses
from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import jax
import optax
from flax import linen
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxnets.errors import UserError
from jaxnets.nn import frozen_batch_norm

Path = tuple[str, ...]


def select(params: Any, patterns: Sequence[str]) -> frozenset[Path]:
    """Returns the paths of the parameters that match any of the patterns.

    A pattern is the path of a layer or a parameter ("backbone/block1_conv1", "head/kernel") and includes
    everything below it; *, ? and [] match as in file names ("backbone/block[12]_*", "*/bias"), but * and ?
    match a / as well: "*/bias" is every bias at any depth.

    Raises:
        UserError: If a pattern matches no parameter.
    """
    paths = list(flatten_dict(params))
    starts = {path[:n] for path in paths for n in range(1, len(path) + 1)}
    chosen: set[Path] = set()
    for pattern in patterns:
        matches = {start for start in starts if fnmatchcase("/".join(start), pattern.strip("/"))}
        if not matches:
            close = get_close_matches(pattern, ["/".join(start) for start in starts], n=1)
            hint = f": did you mean {close[0]!r}?" if close else ": see the layers' names in the summary"
            raise UserError(f"no parameter matches {pattern!r}{hint}")
        chosen |= {path for path in paths if any(path[:n] in matches for n in range(1, len(path) + 1))}
    return frozenset(chosen)


def freeze(
    model: linen.Module, optimizer: optax.GradientTransformation, params: Any, patterns: Sequence[str]
) -> tuple["FrozenModel", optax.GradientTransformationExtraArgs]:
    """Returns the model and the optimizer with some parameters frozen; use both in place of the originals.

    The frozen parameters get no gradient (none is computed), no update, and no memory in the optimizer.
    A BatchNorm all of whose parameters are frozen uses its running statistics, even in training, and does not
    update them; dropout stays active.

    Args:
        model: The network.
        optimizer: Optimizer of the trainable parameters; its weight decay and clipping see no others.
        params: The model's parameters, or their shapes.
        patterns: What to freeze (see `select`); [] freezes nothing, and the optimizer's state still suits
            `carry_over`.

    Raises:
        UserError: If a pattern matches no parameter.
    """
    frozen = select(params, patterns)

    def label(tree: Any) -> Any:
        return unflatten_dict({path: "frozen" if path in frozen else "free" for path in flatten_dict(tree)})

    parts = {"free": optimizer, "frozen": optax.set_to_zero()}
    return FrozenModel(model, frozen), optax.partition(parts, label)


def trainable(model: Any, params: Any) -> Any:
    """Returns the trainable parameters of a model, all but the frozen ones: a penalty is taken over these."""
    if not isinstance(model, FrozenModel):
        return params
    learning = {path: leaf for path, leaf in flatten_dict(params).items() if path not in model.frozen}
    return unflatten_dict(learning)


def carry_over(old: optax.OptState, new: optax.OptState) -> optax.OptState:
    """Returns `new` filled from `old`, for training on with another choice of frozen parameters.

    Parameters that were frozen start with fresh optimizer memory; step counts continue. (Adam's bias
    correction counts from the start of the run, so the first steps of an unfrozen parameter are up to three
    times the learning rate: warm up or use a smaller rate, as is usual anyway.)

    Args:
        old: The state of an optimizer made by `freeze`.
        new: The first state (`init`) of the same optimizer with other parameters frozen.
    """
    remembered = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.leaves_with_path(old)}
    return jax.tree.map_with_path(lambda path, leaf: remembered.get(jax.tree_util.keystr(path), leaf), new)


@dataclasses.dataclass(frozen=True)
class FrozenModel:
    """A model whose `apply` takes no gradients of frozen parameters and does not update frozen statistics."""

    model: linen.Module
    frozen: frozenset[Path]

    @property
    def init(self) -> Any:
        return self.model.init

    def apply(self, variables: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Applies the model, as its own `apply` does."""
        params = flatten_dict(variables["params"])
        for path in self.frozen:
            params[path] = jax.lax.stop_gradient(params[path])

        def is_still(layer: Path) -> bool:
            own = [path in self.frozen for path in params if path[: len(layer)] == layer]
            return bool(own) and all(own)

        with frozen_batch_norm(is_still):
            return self.model.apply({**variables, "params": unflatten_dict(params)}, *args, **kwargs)
