"""Our optimizers and schedules inside Keras's: state lies in its variables, steps are our chains'."""

import functools
import inspect
from typing import Any

import jax
import jax.numpy as jnp
import keras
from keras.src.optimizers import optimizer as base
from keras.src.optimizers.schedules import learning_rate_schedule as schedule_module

from jaxnets import optim, schedules
from tests.keras_suite.adapter import array, given, refuse, renamed, use

# Keras handles these around the step, by the transformations below; or they change no number.
AROUND = {"name", "learning_rate", "weight_decay", "clipnorm", "global_clipnorm", "clipvalue", "use_ema"}
AROUND |= {"ema_momentum", "ema_overwrite_frequency", "loss_scale_factor", "gradient_accumulation_steps"}
NAMES = {"initial_accumulator_value": "initial"}
INERT = {"relative_step"}  # of Adafactor, whose rate is at most 1 / sqrt(t) in any case
KINDS = (
    "SGD",
    "Adagrad",
    "RMSprop",
    "Adadelta",
    "Adam",
    "AdamW",
    "Adamax",
    "Nadam",
    "Adafactor",
    "Lion",
    "Lamb",
)
SCHEDULES = {
    "ExponentialDecay": lambda c: schedules.exponential_decay(
        c["initial_learning_rate"], c["decay_rate"], c["decay_steps"], c["staircase"]
    ),
    "InverseTimeDecay": lambda c: schedules.time_decay(
        c["initial_learning_rate"], c["decay_rate"], c["decay_steps"], c["staircase"]
    ),
    "PiecewiseConstantDecay": lambda c: schedules.piecewise_constant(c["boundaries"], c["values"]),
    "PolynomialDecay": lambda c: schedules.polynomial(
        c["initial_learning_rate"], c["decay_steps"], c["end_learning_rate"], c["power"], c["cycle"]
    ),
    "CosineDecay": lambda c: schedules.warmup_cosine(
        c["warmup_target"] if c["warmup_target"] is not None else c["initial_learning_rate"],
        c["decay_steps"],
        c["warmup_steps"] if c["warmup_target"] is not None else 0,
        c["initial_learning_rate"],
        c["alpha"],
    ),
    "CosineDecayRestarts": lambda c: schedules.cosine_restarts(
        c["initial_learning_rate"], c["first_decay_steps"], c["t_mul"], c["m_mul"], c["alpha"]
    ),
}


def install() -> None:
    """Puts our chains into Keras's optimizers; those without a counterpart refuse when they are made."""
    for name, kind in vars(keras.optimizers).items():
        if not isinstance(kind, type) or name in ("Optimizer", "LossScaleOptimizer", "MultiOptimizer"):
            continue
        if name in KINDS:
            kind.build, kind._backend_update_step = _build, _step
            kind._apply_weight_decay = _decay_inside
            kind._clip_gradients = _clip
        else:
            kind.__init__ = _refusing(name)
    for name, make in SCHEDULES.items():
        kind = getattr(schedule_module, name)
        kind.__call__ = _scheduled(name, make)


def _refusing(name: str) -> Any:
    def refusing(self: Any, *arguments: Any, **options: Any) -> None:
        refuse(f"optimizer {name}")

    return refusing


def _scheduled(name: str, make: Any) -> Any:
    def call(self: Any, step: Any) -> Any:
        use(name)
        return make(self.get_config())(array(step))

    return call


def _chain(self: Any, rate: Any, decaying: list[bool] | None = None) -> Any:
    make = optim.OPTIMIZERS.get(type(self).__name__.lower()) or refuse(f"optimizer {type(self).__name__}")
    settings = dict(self._settings)
    known = {key: NAMES.get(key, key) for key in settings}
    accepted = inspect.signature(make).parameters
    known = {key: name for key, name in known.items() if name in accepted}
    settings = renamed(settings, known, f"optimizer {type(self).__name__}")
    if type(self).__name__ == "AdamW":  # its own decay is inside; Keras's is the general one
        return optim.adamw(rate, self.weight_decay, mask=decaying, **settings)
    chain = make(rate, **settings)
    return optim.with_weight_decay(chain, rate, self.weight_decay or 0.0, decaying)


def _build(self: Any, variables: list[Any]) -> None:
    if self.built:
        return
    base.Optimizer.build(self, variables)
    self._settings = {key: value for key, value in given(self, AROUND).items() if key not in INERT}
    decaying = [self._use_weight_decay(variable) for variable in variables]
    state = _chain(self, 0.0, decaying).init([array(variable) for variable in variables])
    leaves, self._structure = jax.tree.flatten(state)
    self._leaves = []
    for number, leaf in enumerate(leaves):
        start = functools.partial(_start, leaf)
        name = f"state_{number}"
        self._leaves.append(self.add_variable(leaf.shape, start, str(leaf.dtype), name=name))


def _start(leaf: jax.Array, shape: Any, dtype: Any) -> jax.Array:
    return leaf.astype(dtype).reshape(shape)


def _step(self: Any, grads: Any, variables: Any, learning_rate: Any) -> None:
    use(type(self).__name__)
    if len(variables) != len(self._trainable_variables):
        refuse("step of some of the variables")
    decaying = [self._use_weight_decay(variable) for variable in variables]
    chain = _chain(self, array(learning_rate), decaying)
    state = jax.tree.unflatten(self._structure, [leaf.value for leaf in self._leaves])
    params = [variable.value for variable in variables]
    updates, state = chain.update([array(g) for g in grads], state, params)
    for leaf, new in zip(self._leaves, jax.tree.leaves(state), strict=True):
        leaf.assign(new)
    for variable, update in zip(variables, updates, strict=True):
        variable.assign(variable.value + jnp.asarray(update, variable.value.dtype))


def _decay_inside(self: Any, variables: Any) -> None:
    """The decay is part of the chain."""


def _clip(self: Any, grads: list[Any]) -> list[Any]:
    limits = (
        (self.clipnorm, optim.clip_by_norm),
        (self.global_clipnorm, optim.clip_by_global_norm),
        (self.clipvalue, optim.clip_by_value),
    )
    for limit, make in limits:
        if limit and limit > 0:
            use("clipping")
            present = {number: array(g) for number, g in enumerate(grads) if g is not None}
            clip = make(limit)
            clipped, _ = clip.update(present, clip.init(present))
            return [clipped.get(number) for number in range(len(grads))]
    return grads
