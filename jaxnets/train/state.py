"""Everything that a training run carries from one step to the next, as one pytree of arrays."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen, struct
from jax.tree_util import keystr, tree_leaves_with_path

from jaxnets import html
from jaxnets.errors import UserError, expect
from jaxnets.machine.process import xla_accepts

QUICK = ("xla_backend_optimization_level", 1)  # of LLVM's levels, of which 3 is the default


@struct.dataclass
class TrainState:
    """The state of a run; a train step maps one to the next.

    Attributes:
        step: int32 (), the number of steps taken so far.
        params: The model's trainable arrays, float32.
        model_state: Its other collections ({"batch_stats": ...}); {} when it has none.
        opt_state: The optimizer's memory.
        key: uint32 (2,), the run's random key; step n draws from `fold_in(key, n)`.
    """

    step: jax.Array
    params: Any
    model_state: Any
    opt_state: Any
    key: jax.Array

    @property
    def variables(self) -> dict[str, Any]:
        """The variables, as `model.apply` takes them."""
        return {"params": self.params, **self.model_state}

    def __repr__(self) -> str:
        return f"TrainState({_steps(self.step)}: {_size(self.params):,} parameters)"

    def _repr_html_(self) -> str:
        """Returns a table for notebooks: the variables of every layer, and the optimizer's memory."""
        layers: dict[str, list[tuple[str, Any]]] = {}
        for path, leaf in tree_leaves_with_path(self.variables):
            layers.setdefault(_name(path[:-1]), []).append((_name(path[-1:]), leaf))
        rows: list[Any] = [
            (
                layer,
                ", ".join(f"{name} {getattr(leaf, 'shape', '')}" for name, leaf in held),
                _size([leaf for _, leaf in held]),
            )
            for layer, held in layers.items()
        ]
        rows.append(("optimizer", f"{len(jax.tree.leaves(self.opt_state))} arrays", _size(self.opt_state)))
        title = f"training state, {_steps(self.step)}: {_size(self.params):,} parameters"
        return html.table(title, rows, ("layer", "arrays", "numbers"))


def _size(tree: Any) -> int:
    return sum(math.prod(getattr(leaf, "shape", ())) for leaf in jax.tree.leaves(tree))


def _name(path: Any) -> str:
    return keystr(path, simple=True, separator="/")


def _steps(step: Any) -> str:
    """Returns the number of steps in words; it is unknown in a traced state, or one given to a step."""
    try:
        return f"{int(step):,} steps taken"
    except (TypeError, RuntimeError, jax.errors.ConcretizationTypeError):
        return "steps unknown"


def make_state(
    model: linen.Module,
    optimizer: optax.GradientTransformation,
    input_shape: tuple[int, ...],
    seed: int = 0,
    variables: dict[str, Any] | None = None,
) -> TrainState:
    """Returns the state before the first step.

    Args:
        model: The network.
        optimizer: An Optax transformation.
        input_shape: Shape of one example, without the batch axis.
        seed: Seed of the initial parameters and of all later random draws.
        variables: Parameters and statistics to start from. By default drawn from the seed. They are
            copied, so that they stay valid when the state's buffers are donated to a step.

    Raises:
        UserError: If the model cannot take inputs of this shape, or model or optimizer are no such things.
    """
    if isinstance(model, type) or not hasattr(model, "apply"):
        expect("the model", model, linen.Module, "a network, such as MODELS['lenet5']()")
    if isinstance(optimizer, type) or not hasattr(optimizer, "update"):
        right = "an Optax transformation, such as OPTIMIZERS['adam'](1e-3)"
        expect("the optimizer", optimizer, optax.GradientTransformation, right)
    init_key, key = jax.random.split(jax.random.PRNGKey(seed))
    if variables is None:
        check_input(model, input_shape)
        # It runs once: XLA's effort for faster code takes longer than it saves (ResNet-18: 8 seconds to 3).
        runs = not isinstance(init_key, jax.core.Tracer)  # not only traced, as under `jax.eval_shape`
        quick = runs and jax.default_backend() == "cpu" and xla_accepts(*QUICK)
        init = jax.jit(model.init, compiler_options=dict([QUICK]) if quick else {})
        variables = init(init_key, jnp.zeros((1, *input_shape)))
    else:
        variables = jax.tree.map(jnp.array, variables)
    model_state = {name: value for name, value in variables.items() if name != "params"}
    params = variables["params"]
    # Optimizers may start with one array in two places, and a buffer can be donated to a step only once.
    opt_state = jax.tree.map(jnp.copy, optimizer.init(params))
    return TrainState(jnp.int32(0), params, model_state, opt_state, key)


def check_input(model: linen.Module, input_shape: tuple[int, ...]) -> None:
    """Raises UserError if the model cannot take examples of this shape; nothing is computed."""
    try:
        jax.eval_shape(
            model.init, jax.random.PRNGKey(0), jax.ShapeDtypeStruct((1, *input_shape), jnp.float32)
        )
    except (TypeError, ValueError, IndexError, ZeroDivisionError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise UserError(
            f"{type(model).__name__} does not take examples of shape {input_shape}: {reason}"
        ) from error
