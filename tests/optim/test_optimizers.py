"""One table: every optimizer x {constant, changing rate}, 50 steps on a quadratic and an MLP, both dialects.

`OPTIMIZERS` runs beside Keras 3, `TEXTBOOK` beside a transcription of the course's formulas in NumPy; both in
float64, where only a different formula can differ by 1e-6.
"""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax
import pytest

from jaxnets import optim, schedules
from jaxnets.errors import UserError

STEPS = 50
RATES = {"sgd": 0.05, "sgdm": 0.02, "nesterov": 0.02, "adadelta": 1.0}  # 0.05 for the others
DECAY = 0.9


@pytest.fixture(autouse=True)
def float64():
    keras.config.set_floatx("float64")
    with jax.enable_x64(True):
        yield
    keras.config.set_floatx("float32")


def start(rng):
    """A quadratic bowl (point) and a 4-6-3 MLP, learnt together: no optimizer here mixes variables."""
    shapes = {"b1": 6, "b2": 3, "point": 5, "w1": (4, 6), "w2": (6, 3)}
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


@jax.jit
def gradient(params, x, y):
    def loss(params):
        bowl = jnp.sum(jnp.geomspace(0.1, 3.0, 5) * jnp.square(params["point"]))  # another slope on each axis
        hidden = jnp.tanh(x @ params["w1"] + params["b1"][None])
        return bowl + jnp.mean(jnp.square(hidden @ params["w2"] + params["b2"][None] - y))

    return jax.grad(loss)(params)


def train(update, params, rng):
    """50 times params = update(params, gradient, i), over four batches of 8."""
    batches = [(rng.normal(size=(8, 4)), rng.normal(size=(8, 3))) for _ in range(4)]
    for i in range(STEPS):
        params = update(params, gradient(params, *batches[i % 4]), i)
    return params


def run(optimizer):
    rng = np.random.default_rng(0)
    params = jax.tree.map(jnp.asarray, start(rng))
    state = optimizer.init(params)

    @jax.jit
    def step(params, state, grads):
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    def update(params, grads, i):
        nonlocal state
        params, state = step(params, state, grads)
        return params

    params = train(update, params, rng)
    assert step._cache_size() == 1, "a second call compiled again"
    return params


def rate_of(name, changing):
    rate = RATES.get(name, 0.05)
    return schedules.exponential_decay(rate, DECAY) if changing else rate


def assert_same(ours, theirs, optimizer=None):
    # Keras takes Adafactor's means in float32, whatever the variables are.
    rtol, atol = (1e-5, 1e-5) if optimizer == "adafactor" else (1e-9, 1e-12)
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=rtol, atol=atol, err_msg=name)


KERAS = {
    "adafactor": keras.optimizers.Adafactor,
    "adamax": keras.optimizers.Adamax,
    "lamb": keras.optimizers.Lamb,
    "lion": keras.optimizers.Lion,
    "sgd": keras.optimizers.SGD,
    "sgdm": lambda rate: keras.optimizers.SGD(rate, momentum=0.9),
    "nesterov": lambda rate: keras.optimizers.SGD(rate, momentum=0.9, nesterov=True),
    "adagrad": keras.optimizers.Adagrad,
    "rmsprop": keras.optimizers.RMSprop,
    "adadelta": keras.optimizers.Adadelta,
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "nadam": keras.optimizers.Nadam,
}


def run_keras(optimizer):
    rng = np.random.default_rng(0)
    params = start(rng)
    optimizer.build([keras.Variable(value, name=name) for name, value in params.items()])
    state, step = [v.value for v in optimizer.variables], jax.jit(optimizer.stateless_apply)

    def update(params, grads, i):
        nonlocal state
        values, state = step(state, list(grads.values()), list(params.values()))
        return dict(zip(params, values, strict=True))

    return train(update, params, rng)


# A changing rate shows all that a constant one does.
CASES = [(name, True) for name in KERAS] + [(name, False) for name in KERAS if name in optim.TEXTBOOK]
SLOW = [name for name in KERAS if name not in ("sgdm", "rmsprop", "adam", "lamb")]


@pytest.mark.parametrize("name, changing", CASES)
@pytest.mark.sampled(3)
def test_keras_dialect(name, changing):
    rate = RATES.get(name, 0.05)
    theirs = keras.optimizers.schedules.ExponentialDecay(rate, 1, DECAY) if changing else rate
    ours = run(optim.OPTIMIZERS[name](rate_of(name, changing)))
    assert_same(ours, run_keras(KERAS[name](theirs)), name)


SETTINGS = {
    "sgdm": {"momentum": 0.8},
    "rmsprop": {"rho": 0.8, "momentum": 0.5, "centered": True},
    "adam": {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3, "amsgrad": True},
    "adamw": {"amsgrad": True},
    "nadam": {"beta_1": 0.8},
    "adafactor": {"beta_2_decay": -0.5, "epsilon_2": 0.1, "clip_threshold": 0.5},
    "lion": {"beta_1": 0.8, "beta_2": 0.9},
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in KERAS]
)
def test_weight_decay_and_the_other_settings_equal_keras(name):
    """With a changing rate, since the decay follows it; decay of SGD's momentum is outside the velocity."""
    settings = SETTINGS.get(name, {}) | {"weight_decay": 0.3}
    rate = RATES.get(name, 0.05)
    theirs = KERAS[name](keras.optimizers.schedules.ExponentialDecay(rate, 1, DECAY))
    theirs = type(theirs).from_config(theirs.get_config() | settings)
    ours = run(optim.OPTIMIZERS[name](rate_of(name, True), **settings))
    assert_same(ours, run_keras(theirs), name)


def test_nadam_with_the_slow_momentum_of_earlier_tensorflow():
    """TensorFlow 2.5's formula in NumPy: momentum .9 (1 - .96^(.004 t) / 2)."""
    rng = np.random.default_rng(0)
    params = start(rng)
    m, v = ({key: np.zeros_like(w) for key, w in params.items()} for _ in range(2))
    schedule = [0.9 * (1 - 0.5 * 0.96 ** (0.004 * t)) for t in range(1, STEPS + 2)]

    def update(params, grads, i):
        so_far, new = np.prod(schedule[: i + 1]), {}
        for key, w in params.items():
            g = np.asarray(grads[key])
            m[key], v[key] = 0.9 * m[key] + 0.1 * g, 0.999 * v[key] + 0.001 * g**2
            mean = schedule[i + 1] * m[key] / (1 - so_far * schedule[i + 1])
            mean = mean + (1 - schedule[i]) * g / (1 - so_far)
            new[key] = w - 0.05 * mean / (np.sqrt(v[key] / (1 - 0.999 ** (i + 1))) + 1e-7)
        return new

    ours = run(optim.nadam(0.05, schedule_decay=0.004))
    assert_same(ours, train(update, params, rng))


def ratio(m, v):
    return np.divide(m, np.sqrt(v), out=np.zeros_like(m), where=v > 0)


class Textbook:
    """Chapter 2 (and the papers, where the course stops) in NumPy, for one array: gradient -> step / lr."""

    def __init__(self, name, w):
        self.name, self.m, self.v = name, np.zeros_like(w), np.zeros_like(w)

    def __call__(self, g, w, t):
        name = self.name
        if name == "sgd":
            return g
        if name in ("sgdm", "nesterov"):
            self.m = 0.9 * self.m + 0.1 * g
            return self.m if name == "sgdm" else 0.9 * self.m + 0.1 * g
        if name == "adagrad":
            self.v = self.v + g**2
            return ratio(g, self.v)
        if name == "rmsprop":
            self.v = 0.9 * self.v + 0.1 * g**2
            return ratio(g, self.v)
        if name == "adadelta":  # m holds the squares of the steps
            self.v = 0.95 * self.v + 0.05 * g**2
            step = np.sqrt(self.m + 1e-6) / np.sqrt(self.v + 1e-6) * g
            self.m = 0.95 * self.m + 0.05 * step**2
            return step
        self.m = 0.9 * self.m + 0.1 * g
        self.v = 0.999 * self.v + 0.001 * g**2
        m_hat, v_hat = self.m / (1 - 0.9**t), self.v / (1 - 0.999**t)
        if name == "nadam":
            m_hat = 0.9 * self.m / (1 - 0.9 ** (t + 1)) + 0.1 * g / (1 - 0.9**t)
        return ratio(m_hat, v_hat) + (0.004 * w if name == "adamw" else 0)


@pytest.mark.parametrize("changing", [False, True], ids=["constant", "changing"])
@pytest.mark.parametrize("name", optim.TEXTBOOK)
@pytest.mark.sampled(3)
def test_textbook_dialect(name, changing):
    rng = np.random.default_rng(0)
    params = start(rng)
    formulas = {key: Textbook(name, value) for key, value in params.items()}

    def update(params, grads, i):
        rate = RATES.get(name, 0.05) * (DECAY**i if changing else 1)
        return {key: w - rate * formulas[key](np.asarray(grads[key]), w, i + 1) for key, w in params.items()}

    ours = run(optim.TEXTBOOK[name](rate_of(name, changing)))
    assert_same(ours, train(update, params, rng))


def test_every_optimizer_is_in_the_table():
    assert set(optim.OPTIMIZERS) - set(KERAS) == {"muon"}
    assert set(optim.TEXTBOOK) <= set(KERAS)


def test_muon_steps_are_orthogonal_for_kernels_and_adam_for_the_rest():
    rng = np.random.default_rng(1)
    params = {"dense": rng.normal(size=(8, 4)), "conv": rng.normal(size=(3, 3, 2, 4)), "bias": np.ones(4)}
    params = jax.tree.map(jnp.asarray, params)
    optimizer = optim.OPTIMIZERS["muon"](1.0)
    updates, _ = optimizer.update(params, optimizer.init(params), params)
    for kernel in (updates["dense"], updates["conv"].reshape(18, 4)):
        # The Newton-Schulz iteration stops with singular values around 1, Keller Jordan's 0.7 to 1.2.
        singular = np.linalg.svd(kernel, compute_uv=False)
        assert singular.min() > 0.65
        assert singular.max() < 1.25
    # Optax gives the rest Adam with Nesterov's momentum; the first step of g = 1 in Dozat's formula:
    step = 0.9 * 0.1 / (1 - 0.9**2) + 0.1 / (1 - 0.9)
    np.testing.assert_allclose(updates["bias"], -step * np.ones(4), rtol=1e-6)


@pytest.mark.parametrize("name", optim.TEXTBOOK)
def test_textbook_stands_still_where_there_is_no_gradient(name):
    """The course's scripts divide 0 by 0 here."""
    optimizer, w = optim.TEXTBOOK[name](0.1), jnp.zeros(3)
    updates, _ = optimizer.update(jnp.zeros(3), optimizer.init(w), w)
    np.testing.assert_array_equal(updates, 0)


EVERY = {f"keras {name}": make for name, make in optim.OPTIMIZERS.items()}
EVERY |= {f"textbook {name}": make for name, make in optim.TEXTBOOK.items()}


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.sampled(4)
def test_state_can_be_donated(name):
    """A train step gives its state's memory away: no two leaves may share theirs."""
    params = {"kernel": jnp.ones((4, 3)), "bias": jnp.ones(3)}
    optimizer = optim.accumulate(optax.chain(EVERY[name](0.1), optim.average_weights()), every=2)
    state = optimizer.init(params)
    step = jax.jit(lambda state, params: optimizer.update(params, state, params)[1], donate_argnums=0)
    assert jax.tree.structure(step(state, params)) == jax.tree.structure(state)


@pytest.mark.parametrize("name", [*EVERY, "spherical muon"])
def test_bfloat16_parameters_keep_their_types_with_float32_gradients(name):
    make = EVERY.get(name, optim.spherical_muon)
    optimizer = make(0.1)
    params = {"kernel": jnp.ones((4, 3), jnp.bfloat16), "other": jnp.ones((3, 3), jnp.bfloat16)}
    state = optimizer.init(params)
    grads = jax.tree.map(lambda w: jnp.full(w.shape, 0.7, jnp.float32), params)
    types = jax.tree.map(jnp.result_type, state)
    updates, new = jax.eval_shape(optimizer.update, grads, state, params)
    assert jax.tree.map(jnp.result_type, new) == types
    assert {str(update.dtype) for update in jax.tree.leaves(updates)} == {"bfloat16"}


def test_weight_decay_of_some_parameters_alone():
    """The textbook formula: what is masked out takes the plain step."""
    params, grads = {"kernel": jnp.ones(2), "bias": jnp.ones(2)}, {"kernel": jnp.ones(2), "bias": jnp.ones(2)}
    optimizer = optim.with_weight_decay(optim.sgd(0.1), 0.1, 0.5, {"kernel": True, "bias": False})
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    np.testing.assert_allclose(updates["kernel"], -0.1 - 0.1 * 0.5, rtol=1e-12)
    np.testing.assert_allclose(updates["bias"], -0.1, rtol=1e-12)


def test_a_negative_weight_decay_is_refused():
    with pytest.raises(UserError, match="0 or more"):
        optim.adam(0.1, weight_decay=-1)


@pytest.mark.parametrize(
    "name", [name for name in optim.OPTIMIZERS if name != "muon"]
)  # Optax's, of any arguments
@pytest.mark.sampled(4)
def test_settings_may_be_changed_during_a_training(name):
    """By optax.inject_hyperparams, which makes numbers of them that are traced."""
    plain, injected = (
        optim.OPTIMIZERS[name](0.1),
        optax.inject_hyperparams(optim.OPTIMIZERS[name])(learning_rate=0.1),
    )
    params = {"kernel": jnp.asarray([[1.0, -2.0], [0.5, 3.0]])}

    def two_steps(optimizer):
        state, found = optimizer.init(params), params
        for _ in range(2):
            updates, state = jax.jit(optimizer.update)(params, state, found)
            found = optax.apply_updates(found, updates)
        return found["kernel"]

    np.testing.assert_allclose(two_steps(injected), two_steps(plain), rtol=1e-6)
