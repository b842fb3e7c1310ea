"""Every layer and every small network under every transformation of JAX, as it is, on this backend.

Derivatives are held against one another: <u, J v> forward is <J' u, v> backward, and so are second
derivatives taken in either order. Programs on several devices are held against the same program on one.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from jaxnets import nn
from jaxnets.models import INPUT_SHAPES, MODELS
from tests.several_devices import take_devices


class Optional(linen.Module):
    """A recurrent layer of four units that is given all it can be given."""

    layer: linen.Module

    @linen.compact
    def __call__(self, x):
        start = jnp.ones((x.shape[0], 4))
        y, h = self.layer(x, mask=x[..., 0] > -0.5, initial_state=[start], train=True)
        return jnp.concatenate([y, h[:, None]], 1)


# Sizes at which the formulations for CPUs would apply, if layers took them by default.
IMAGE = (9, 8, 4)
LAYERS = {
    "Conv": (nn.Conv(6, 3, padding="same"), IMAGE),
    "Conv, strides": (nn.Conv(6, (5, 3), strides=2), IMAGE),
    "Conv 1x1": (nn.Conv(64, 1), (5, 6, 64)),
    "Conv, many channels": (nn.Conv(128, 3, padding="same"), (6, 6, 128)),
    "Conv, groups": (nn.Conv(6, 3, groups=2), IMAGE),
    "Conv of a small image": (nn.Conv(6, 5, padding="same"), (3, 2, 4)),
    "DepthwiseConv": (nn.DepthwiseConv(3), IMAGE),
    "SeparableConv": (nn.SeparableConv(6, 3), IMAGE),
    "ConvTranspose": (nn.ConvTranspose(4, 3, strides=2), IMAGE),
    "Dense": (nn.Dense(5), (6,)),
    "Dense of sequences": (nn.Dense(5), (4, 6)),
    "Dense, large": (nn.Dense(600), (2048,)),
    "SimpleRNN": (nn.SimpleRNN(4), (5, 3)),
    "LSTM": (nn.LSTM(4, return_sequences=True), (5, 3)),
    "GRU": (nn.GRU(4), (5, 3)),
    "GRU, reset before": (nn.GRU(4, reset_after=False), (5, 3)),
    "BatchNorm": (nn.BatchNorm(), IMAGE),
    "BatchNorm, training": (nn.BatchNorm(), IMAGE),
    "Dropout": (nn.Dropout(0.5), IMAGE),
    "Conv, dilation": (nn.Conv(6, 3, groups=2, dilation=2, activation="gelu"), IMAGE),
    "Conv of sequences": (nn.Conv(6, (3,), padding="causal"), (9, 4)),
    "Conv of volumes": (nn.Conv(4, (2, 2, 2), strides=2, padding="same"), (4, 5, 3, 2)),
    "Conv, cropping": (nn.Conv(4, 3, padding=((-1, 2), (1, -2))), IMAGE),
    "ConvTranspose of sequences": (nn.ConvTranspose(4, (3,), 2, "same", output_padding=1), (5, 3)),
    "LSTM, backwards": (nn.LSTM(4, True, use_bias=False, go_backwards=True), (5, 3)),
    "GRU, all options": (
        Optional(nn.GRU(4, True, dropout=0.3, recurrent_dropout=0.3, return_state=True)),
        (5, 3),
    ),
    "Bidirectional": (nn.Bidirectional(nn.GRU(4, unroll=True), "mul"), (5, 3)),
    "BatchNorm, another axis, training": (nn.BatchNorm(axis=1, use_scale=False), IMAGE),
}
FUNCTIONS = {
    "max_pool": (partial(nn.max_pool, window=3, strides=2, padding="same"), IMAGE),
    "avg_pool": (partial(nn.avg_pool, window=3, strides=2, padding="same"), IMAGE),
    "global_avg_pool": (nn.global_avg_pool, IMAGE),
    "global_max_pool": (nn.global_max_pool, IMAGE),
    "max_pool of sequences": (partial(nn.max_pool, window=(3,), strides=2, padding="same"), (9, 4)),
    "avg_pool of volumes": (partial(nn.avg_pool, window=(2, 3, 2), padding="same"), (4, 5, 3, 2)),
}
NETWORKS = ["mlp", "letters_4to1"]
# Kin of layers in this table: run with the slow tests, as longer networks are.
KIN = ["Conv, strides", "Conv of a small image", "Conv, many channels", "Dense of sequences", "Dense, large"]
KIN += ["GRU", "GRU, reset before", "BatchNorm", *list(LAYERS)[19:], *list(FUNCTIONS)[4:]]
LONGER = ["lenet5", "baseline", "inception10", "stock_lstm", "stock_gru"]


def subject(name):
    """A function (parameters, x) -> array, random parameters, and the shape of one example."""
    if name in FUNCTIONS:
        function, shape = FUNCTIONS[name]
        return (lambda params, x: function(x)), {}, shape
    if name in MODELS:
        module, shape, more = MODELS[name](), INPUT_SHAPES[name], ()
        module = module.clone(dropout=0.0) if hasattr(module, "dropout") else module
    else:
        module, shape = LAYERS[name]
        more = (name.endswith("training"),) if "BatchNorm" in name else (True,) if name == "Dropout" else ()
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    variables = jax.eval_shape(lambda: module.init(keys, jnp.zeros((1, *shape)), *more))
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        width = leaf.shape[-1] if leaf.ndim > 1 else 1
        values = rng.normal(0, (2 / (leaf.size / width + width)) ** 0.5, leaf.shape)
        return jnp.asarray(np.abs(values) + 0.5 if path[-1].key in ("var", "scale") else values, jnp.float32)

    variables = jax.tree_util.tree_map_with_path(draw, variables)
    rest = {kind: tree for kind, tree in variables.items() if kind != "params"}

    def apply(params, x):
        rngs = {"dropout": jax.random.key(1)}
        return module.apply({"params": params, **rest}, x, *more, rngs=rngs, mutable=list(rest))[0]

    return apply, variables.get("params", {}), shape


def batch(shape, size=4):
    return jnp.asarray(np.random.default_rng(1).normal(size=(size, *shape)), jnp.float32)


def loss(apply, params, x):
    return jnp.sum(jnp.sin(apply(params, x)))


def dot(a, b):
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return sum(float(np.vdot(np.asarray(x, np.float64), np.asarray(y, np.float64))) for x, y in pairs)


def close(got, expected, tolerance=1e-4):
    """Relative to the largest number, to what sums of some thousand float32 products may differ by."""
    jax.tree.map(np.testing.assert_array_equal, *(jax.tree.map(np.shape, tree) for tree in (got, expected)))
    for ours, theirs in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
        assert ours.size == 0 or np.max(np.abs(ours - theirs)) <= tolerance * max(np.max(np.abs(theirs)), 1)


def forward_mode(apply, params, shape):
    x = batch(shape)
    directions = jax.tree.map(jnp.cos, (params, x))

    @jax.jit
    def derivatives(params, x):
        out, push = jax.linearize(apply, params, x)
        _, pull = jax.vjp(apply, params, x)
        slope = jax.jacfwd(lambda t: apply(params, x + t * directions[1]))(0.0)
        along_x = jax.jvp(partial(apply, params), (x,), (directions[1],))[1]
        pushed = jax.jvp(apply, (params, x), directions)[1]
        return out, pushed, push(*directions), pull(jnp.cos(out)), slope, along_x

    out, pushed, linearly, pulled, slope, along_x = derivatives(params, x)
    close(linearly, pushed)
    there, back = dot(jnp.cos(out), pushed), dot(pulled, directions)
    size = np.sqrt(dot(jnp.cos(out), jnp.cos(out)) * dot(pushed, pushed))  # the product's, but for cancelling
    assert abs(there - back) <= 1e-4 * max(size, 1e-3)
    close(slope, along_x)


def second_derivatives(apply, params, shape):
    x = batch(shape, 2)
    direction = jnp.cos(x)
    of_x = partial(loss, apply, params)

    @jax.jit
    def derivatives(x):
        forward_over_reverse = jax.jvp(jax.grad(of_x), (x,), (direction,))[1]
        reverse_over_forward = jax.grad(lambda x: jax.jvp(of_x, (x,), (direction,))[1])(x)
        reverse_over_reverse = jax.grad(lambda x: jnp.vdot(jax.grad(of_x)(x), direction))(x)
        return forward_over_reverse, reverse_over_forward, reverse_over_reverse

    forward_over_reverse, *others = derivatives(x)
    for other in others:
        close(forward_over_reverse, other)


def empty_batches(apply, params, shape):
    x = jnp.zeros((0, *shape))
    assert apply(params, x).shape[0] == 0
    grads, of_x = jax.grad(partial(loss, apply), (0, 1))(params, x)
    assert of_x.shape == x.shape
    assert all(np.all(np.asarray(leaf) == 0) for leaf in jax.tree.leaves(grads))


def mapped_parameters(apply, params, shape):
    x, several = batch(shape, 2), jax.tree.map(lambda leaf: jnp.stack([leaf, leaf * 1.5]), params)
    gradient = jax.jit(jax.grad(partial(loss, apply)))
    mapped = jax.jit(jax.vmap(gradient, (0, None), axis_size=2))(several, x)
    for number, scale in enumerate((1, 1.5)):
        one = gradient(jax.tree.map(lambda leaf, scale=scale: leaf * scale, params), x)
        close(jax.tree.map(lambda leaf, number=number: leaf[number], mapped), one)


def scanned_and_rematerialized(apply, params, shape):
    x = batch(shape, 2)
    gradient = jax.grad(partial(loss, jax.checkpoint(apply)), (0, 1))
    expected = jax.jit(jax.grad(partial(loss, apply), (0, 1)))(params, x)
    (_, found), _ = jax.lax.scan(
        lambda carry, _: ((carry[0] + 1, gradient(params, x)), None),
        (0, jax.tree.map(jnp.zeros_like, expected)),
        length=2,
    )
    close(found, expected)


def symbolic_batch(apply, params, shape):
    def both(params, x):
        return apply(params, x), jax.grad(partial(loss, apply), (0, 1))(params, x)

    (size,) = jax.export.symbolic_shape("b")
    x = jax.ShapeDtypeStruct((size, *shape), jnp.float32)
    exported = jax.export.export(jax.jit(both))(params, x)
    close(exported.call(params, batch(shape, 3)), jax.jit(both)(params, batch(shape, 3)))


def two_devices(kind):
    return jax.make_mesh((2,), ("devices",), axis_types=(kind,), devices=take_devices(2))


def explicit_mesh(apply, params, shape):
    mesh = two_devices(jax.sharding.AxisType.Explicit)
    both = jax.jit(lambda *a: (apply(*a), jax.grad(partial(loss, apply), (0, 1))(*a)))
    expected = both(params, batch(shape))
    x = jax.device_put(batch(shape), NamedSharding(mesh, P("devices")))
    close(both(jax.device_put(params, NamedSharding(mesh, P())), x), expected)
    with jax.set_mesh(mesh):
        close(both(jax.device_put(params, NamedSharding(mesh, P())), x), expected)


def mapped_over_devices(apply, params, shape):
    mesh = two_devices(jax.sharding.AxisType.Auto)
    x = batch(shape)
    shared = jax.shard_map(
        lambda params, x: jax.lax.psum(loss(apply, params, x), "devices"),
        mesh=mesh,
        in_specs=(P(), P("devices")),
        out_specs=P(),
    )
    halves = jnp.split(x, 2)
    expected = jax.jit(jax.grad(lambda params: sum(loss(apply, params, half) for half in halves)))(params)
    close(jax.jit(jax.grad(shared))(params, x), expected)


TRANSFORMATIONS = [
    forward_mode,
    second_derivatives,
    empty_batches,
    mapped_parameters,
    scanned_and_rematerialized,
    symbolic_batch,
    explicit_mesh,
    mapped_over_devices,
]


@pytest.mark.parametrize("transformation", TRANSFORMATIONS, ids=lambda function: function.__name__)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in (*KIN, *LONGER) else ())
        for name in (*LAYERS, *FUNCTIONS, *NETWORKS, *LONGER)
    ],
)
@pytest.mark.sampled(7)
def test_transformation(name, transformation):
    transformation(*subject(name))


@pytest.mark.parametrize(
    "name", ["Conv", "Conv 1x1", "Conv, groups", "DepthwiseConv", "ConvTranspose", "Dense"]
)
@pytest.mark.sampled(3)
def test_what_is_linear_has_a_transpose(name):
    apply, params, shape = subject(name)
    x = batch(shape)
    params = {key: jnp.zeros_like(leaf) if key == "bias" else leaf for key, leaf in params.items()}
    y = apply(params, x)
    (transposed,) = jax.linear_transpose(lambda x: apply(params, x) - apply(params, jnp.zeros_like(x)), x)(y)
    (pulled,) = jax.vjp(partial(apply, params), x)[1](y)
    close(transposed, pulled)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_pools_keep_their_type(dtype):
    for function, shape in FUNCTIONS.values():
        x = jax.ShapeDtypeStruct((2, *shape), dtype)  # traced: XLA cannot round to float16 on every processor
        assert jax.eval_shape(function, x).dtype == dtype


def test_gradients_have_the_types_of_their_parameters():
    apply, params, shape = subject("BatchNorm, training")
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
    gradient = jax.grad(partial(loss, apply))
    jax.lax.scan(lambda params, _: (gradient(params, batch(shape)), None), params, length=2)
