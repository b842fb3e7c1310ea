"""Folded networks compute what they did, and fold only what nothing else depends on."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.ad_checkpoint import checkpoint_name

from jaxnets import nn
from jaxnets.data import Features
from jaxnets.errors import UserError
from jaxnets.export import export_onnx, export_stablehlo
from jaxnets.folding import Folded, fold_batch_norm
from jaxnets.models import INPUT_SHAPES, MODELS
from jaxnets.runs import Run

NORMALIZED = {  # normalizations of each network, and how many of them follow a layer directly
    "baseline": (1, 1),
    "vgg16_cifar": (13, 13),
    "inception10": (25, 25),
    "resnet18": (20, 20),
    "resnet50": (53, 53),
    "speednet": (6, 3),
    "lenet5": (0, 0),
}


def trained(module, x, momentum=0.99):
    """Variables with the statistics of x and with scales and biases that are not neutral."""
    rng = np.random.default_rng(0)
    variables = jax.jit(module.init)(jax.random.key(0), x)
    rngs = {"dropout": jax.random.key(1)}
    step = partial(module.apply, train=True, mutable=["batch_stats"], rngs=rngs)
    _, moved = jax.jit(step)(variables, x)
    statistics = jax.tree.map(
        lambda old, new: (new - momentum * old) / (1 - momentum),
        variables.get("batch_stats", {}),
        moved.get("batch_stats", {}),
    )
    ranges = {"scale": (0.5, 1.5), "bias": (-0.2, 0.2)}
    params = {
        path: rng.uniform(*ranges[path[-1]], leaf.shape).astype(leaf.dtype) if path[-1] in ranges else leaf
        for path, leaf in flatten_dict(variables["params"]).items()
    }
    return {"params": unflatten_dict(params), "batch_stats": statistics}


def assert_same(module, variables, x, atol=1e-5):
    folded, fewer = fold_batch_norm(module, variables, x.shape[1:], x.dtype)
    wanted, found = jax.jit(module.apply)(variables, x), jax.jit(folded.apply)(fewer, x)
    assert found.dtype == wanted.dtype
    scale = np.abs(np.asarray(wanted, np.float32)).max()
    assert scale > 0
    np.testing.assert_allclose(
        np.asarray(found, np.float32) / scale, np.asarray(wanted, np.float32) / scale, atol=atol, rtol=0
    )
    return folded, fewer


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in ("resnet50", "resnet18", "vgg16_cifar") else ())
        for name in NORMALIZED
    ],
)
@pytest.mark.sampled(4)
def test_networks_compute_the_same(name):
    size = (64, 64, 3) if name == "resnet50" else INPUT_SHAPES[name]
    x = np.random.default_rng(0).uniform(size=(4, *size)).astype(np.float32)
    network = MODELS[name]()
    variables = trained(network, x, momentum=0.6 if name == "speednet" else 0.99)
    folded, fewer = assert_same(network, variables, x)
    norms = sum(path[-1] == "var" for path in flatten_dict(variables))
    left = sum(path[-1] == "var" for path in flatten_dict(fewer))
    assert (norms, norms - left) == NORMALIZED[name]
    assert len(folded.places) == NORMALIZED[name][1]


class One(linen.Module):
    """A layer and a normalization, applied as ``how`` says."""

    layer: linen.Module
    norm: linen.Module
    how: str = "once"

    @linen.compact
    def __call__(self, x, train=False):
        y = self.layer(x)
        if self.how == "activated":
            y = linen.relu(y)
        z = self.norm(y, train)
        if self.how == "layer twice":
            z = z + self.layer(x + 1)
        elif self.how == "norm twice":
            z = z + self.norm(jnp.sin(y), train)
        elif self.how == "output used":
            z = z + y
        elif self.how == "output returned":
            return {"before": y, "after": z}
        elif self.how == "kernel used":
            z = z * jnp.mean(self.layer.get_variable("params", "kernel"))
        elif self.how == "scale used":
            z = z * self.norm.get_variable("params", "scale")[None]
        return z


LAYERS = {
    "conv": (lambda bias: nn.Conv(6, 3, 2, "same", use_bias=bias), (8, 8, 3)),
    "sequences": (lambda bias: nn.Conv(6, (3,), padding="causal", use_bias=bias), (8, 3)),
    "groups": (lambda bias: nn.Conv(6, 3, groups=3, use_bias=bias), (8, 8, 3)),
    "transposed": (lambda bias: nn.ConvTranspose(5, 3, 2, use_bias=bias), (8, 8, 3)),
    "depthwise": (lambda bias: nn.DepthwiseConv(3, multiplier=2, use_bias=bias), (8, 8, 3)),
    "separable": (lambda bias: nn.SeparableConv(6, 3, multiplier=2, use_bias=bias), (8, 8, 3)),
    "dense": (lambda bias: nn.Dense(6, use_bias=bias), (7,)),
    "dense in time": (lambda bias: nn.Dense(6, use_bias=bias, activation="linear"), (5, 7)),
}
NORMS = {
    "whole": nn.BatchNorm(),
    "no scale": nn.BatchNorm(use_scale=False, epsilon=1e-2),
    "no bias": nn.BatchNorm(use_bias=False),
    "neither": nn.BatchNorm(use_scale=False, use_bias=False),
}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.sampled(11)
def test_every_layer_takes_a_normalization(kind, bias, norm):
    make, shape = LAYERS[kind]
    x = np.random.default_rng(1).normal(size=(8, *shape)).astype(np.float32)
    module = One(make(bias), NORMS[norm])
    variables = trained(module, x)
    before = jax.tree.map(np.array, variables)
    folded, fewer = assert_same(module, variables, x)
    assert "batch_stats" not in fewer
    assert list(fewer["params"]) == (["layer"] if bias else ["layer", "norm"])
    jax.tree.map(np.testing.assert_array_equal, before, variables)  # not changed
    assert_same(folded, fewer, x)  # and folding again does nothing


def test_a_folded_layer_by_hand():
    """3x + 1, normalized with mean 2, variance 4 (epsilon 0), scale 6 and bias 5: 9x + 2."""
    module = One(nn.Dense(1), nn.BatchNorm(epsilon=0.0))
    params = {"layer": {"kernel": [[3.0]], "bias": [1.0]}, "norm": {"scale": [6.0], "bias": [5.0]}}
    variables = {"params": params, "batch_stats": {"norm": {"mean": [2.0], "var": [4.0]}}}
    is_list = lambda leaf: isinstance(leaf, list)  # noqa: E731
    variables = jax.tree.map(jnp.array, variables, is_leaf=is_list)
    _, fewer = fold_batch_norm(module, variables, (1,))
    assert jax.tree.map(float, jax.tree.map(jnp.squeeze, fewer)) == {
        "params": {"layer": {"kernel": 9.0, "bias": 2.0}}
    }


@pytest.mark.parametrize(
    "how",
    ["activated", "layer twice", "norm twice", "output used", "output returned", "kernel used", "scale used"],
)
def test_what_something_else_depends_on_stays(how):
    x = np.random.default_rng(2).normal(size=(8, 7)).astype(np.float32)
    module = One(nn.Dense(6), nn.BatchNorm(), how)
    variables = trained(module, x)
    folded, same = fold_batch_norm(module, variables, (7,))
    assert folded.places == ()
    jax.tree.map(np.testing.assert_array_equal, folded.apply(same, x), module.apply(variables, x))


class Ensemble(linen.Module):
    """Several of a kind, whose arrays have one more axis."""

    @linen.compact
    def __call__(self, x, train=False):
        many = linen.vmap(
            One,
            variable_axes={"params": 0, "batch_stats": 0},
            split_rngs={"params": True},
            in_axes=(None, None),
            axis_size=6,
        )
        return many(nn.Dense(6), nn.BatchNorm())(x, train)


class Named(linen.Module):
    """A network that names its values itself."""

    @linen.compact
    def __call__(self, x, train=False):
        y = checkpoint_name(nn.Dense(6, name="dense")(x), "dense")
        return checkpoint_name(nn.BatchNorm(name="norm")(y, train), "norm")


@pytest.mark.parametrize(
    "module, shape",
    [
        (Ensemble(), (7,)),
        (Named(), (7,)),
        (One(nn.Dense(6, activation="relu"), nn.BatchNorm()), (7,)),
        (One(nn.Conv(6, 3), nn.BatchNorm(axis=1)), (8, 8, 3)),
        (linen.remat(One)(nn.Dense(6), nn.BatchNorm()), (7,)),
        (One(linen.Dense(6), nn.BatchNorm()), (7,)),
    ],
)
@pytest.mark.sampled(3)
def test_what_cannot_be_folded_stays(module, shape):
    x = np.random.default_rng(3).normal(size=(8, *shape)).astype(np.float32)
    variables = module.init(jax.random.key(0), x)
    folded, same = fold_batch_norm(module, variables, shape)
    assert folded.places == ()
    np.testing.assert_array_equal(folded.apply(same, x), module.apply(variables, x))


@pytest.mark.slow
def test_bfloat16_is_as_near_the_truth_as_before():
    x = np.random.default_rng(4).uniform(size=(4, 32, 32, 3)).astype(np.float32)
    variables = trained(MODELS["inception10"](), x)
    network = MODELS["inception10"](dtype=jnp.bfloat16)
    truth = np.asarray(MODELS["inception10"]().apply(variables, x))
    folded, fewer = fold_batch_norm(network, variables, (32, 32, 3))
    assert len(folded.places) == 25
    plain = np.abs(np.asarray(network.apply(variables, x), np.float32) - truth).max()
    assert np.abs(np.asarray(folded.apply(fewer, x), np.float32) - truth).max() < 2 * plain


def test_a_folded_network_does_not_train():
    x = np.zeros((1, 7), np.float32)
    module = One(nn.Dense(6), nn.BatchNorm())
    folded, fewer = fold_batch_norm(module, module.init(jax.random.key(0), x), (7,))
    assert isinstance(folded, Folded)
    with pytest.raises(UserError, match="for inference"):
        folded.apply(fewer, x, train=True)
    assert folded.apply(fewer, x, train=False).shape == (1, 6)


def test_a_run_predicts_by_the_folded_network():
    shape = INPUT_SHAPES["baseline"]
    x = np.random.default_rng(6).integers(0, 256, (5, *shape), np.uint8)
    network = MODELS["baseline"]()
    variables = trained(network, x / np.float32(255))
    config = {"model": "baseline", "dataset": None, "input": {}}
    run = Run(config, Features(shape, "uint8", tuple("abcdefghij")), network, variables)
    assert "batch_stats" not in run.folded[1]
    wanted = jax.nn.softmax(network.apply(variables, x / np.float32(255)))
    np.testing.assert_allclose(run.probabilities(x), wanted, atol=1e-5)
    for wrong, said in (
        (x[0], r"examples of shape \(32, 32, 3\): this network takes \(N, 32, 32, 3\)"),
        (x[:0], r"examples of shape \(0, 32, 32, 3\)"),
        (x[:, :28, :28], r"examples of shape \(5, 28, 28, 3\)"),
        (x / np.float32(255), "examples of float32: this network has learned from bytes, 0 to 255"),
    ):
        with pytest.raises(UserError, match=said):
            run.probabilities(wrong)


@pytest.fixture(scope="module")
def inception():
    x = np.random.default_rng(5).uniform(size=(3, 32, 32, 3)).astype(np.float32)
    network = MODELS["inception10"]()
    return network, trained(network, x), x


def test_stablehlo_of_a_folded_network(inception, tmp_path):
    from jax import export

    network, variables, x = inception
    export_stablehlo(tmp_path / "net", *fold_batch_norm(network, variables, (32, 32, 3)), (32, 32, 3))
    found = export.deserialize(bytearray((tmp_path / "net").read_bytes()))
    assert "rsqrt" not in found.mlir_module()
    np.testing.assert_allclose(found.call(x), network.apply(variables, x), atol=1e-5)


@pytest.mark.filterwarnings("ignore")  # the converter's own
def test_onnx_of_a_folded_network(inception, tmp_path):
    pytest.importorskip("jax2onnx", reason="needs the extra jaxnets[onnx]")
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra jaxnets[onnx]")
    network, variables, x = inception
    with jax.numpy_rank_promotion("allow"):
        export_onnx(tmp_path / "net", *fold_batch_norm(network, variables, (32, 32, 3)), (32, 32, 3))
    (found,) = onnxruntime.InferenceSession(tmp_path / "net").run(None, {"x": x})
    np.testing.assert_allclose(found, network.apply(variables, x), atol=1e-5)
