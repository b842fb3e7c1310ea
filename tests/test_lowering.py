"""Every train step lowers for CPU, CUDA and TPU, in float32 and bfloat16, on one device and on a mesh.

No TPU is at hand, but `jax.export` runs the platform's own lowering rules: what has none fails here.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxnets import losses, optim
from jaxnets.models import INPUT_SHAPES, MODELS
from jaxnets.train import make_state, make_train_step
from tests.several_devices import take_devices

PLATFORMS = ("cpu", "cuda", "tpu")
LARGE = ("resnet34", "resnet50", "xception", "xception_classifier", "xception_localizer", "vgg16", "vgg19")


def lower(name: str, dtype, mesh: Mesh | None, platforms=PLATFORMS) -> str:
    """Returns the StableHLO of one step on a batch of 8."""
    model, descent = MODELS[name](dtype=dtype), optim.OPTIMIZERS["adam"](1e-3)
    shape = INPUT_SHAPES[name]
    state = jax.eval_shape(lambda: make_state(model, descent, shape))
    out = jax.eval_shape(lambda state, x: model.apply(state.variables, x), state, jnp.zeros((8, *shape)))
    loss, label = target(name, out)
    step = make_train_step(model, descent, loss=loss, metrics={})
    batch = {
        "x": jax.ShapeDtypeStruct((8, *shape), jnp.float32),
        "y": label,
        "mask": jax.ShapeDtypeStruct((8,), jnp.float32),
    }
    if mesh is not None:
        state, batch = placed(state, mesh, PartitionSpec()), placed(batch, mesh, PartitionSpec("data"))
    return jax.export.export(jax.jit(step), platforms=platforms)(state, batch).mlir_module()


def target(name: str, out) -> tuple:
    """The loss of a network and the labels it takes."""
    classes = losses.sparse_categorical_crossentropy, jax.ShapeDtypeStruct((8,), jnp.int32)
    if isinstance(out, dict):  # a class and a box

        def both(heads, y):
            box = losses.mean_squared_error(heads["box"], y["box"])
            values = {"class": classes[0](heads["class"], y["class"]), "box": box}
            return losses.weighted_sum(values, {"class": 1.0, "box": 1.0})

        return both, {"class": classes[1], "box": jax.ShapeDtypeStruct((8, 4), jnp.float32)}
    if name.startswith("stock"):
        return losses.mean_squared_error, jax.ShapeDtypeStruct(out.shape, jnp.float32)
    return classes


def placed(tree, mesh, spec):
    sharding = NamedSharding(mesh, spec)
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree)


def check(name: str, dtype, devices: int) -> None:
    mesh = Mesh(np.array(take_devices(devices)), ("data",)) if devices > 1 else None
    module = lower(name, dtype, mesh)
    assert ("bf16" in module) == (dtype is not None)
    assert ("sdy.mesh" in module or "mhlo.num_partitions = 4" in module) == (devices > 1)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_each_platform_gets_its_own_program_though_all_are_traced_on_a_cpu(platform):
    """Max pooling's gradient is XLA's own on TPUs; off CPUs the guard's sums stand behind a barrier."""
    module = lower("lenet5", None, None, [platform])
    assert ("select_and_scatter" in module) == (platform == "tpu")
    assert ("optimization_barrier" in module) == (platform != "cpu")


FIRST = (jnp.bfloat16, 4)
REST = [(None, 1), (None, 4), (jnp.bfloat16, 1)]


@pytest.mark.parametrize("name", [name for name in MODELS if name not in LARGE])
@pytest.mark.sampled(4)
def test_lowering(name):
    check(name, *FIRST)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, dtype, devices",
    [
        (name, dtype, devices)
        for name in MODELS
        for dtype, devices in ([FIRST, *REST] if name in LARGE else REST)
    ],
)
def test_lowering_of_the_rest(name, dtype, devices):
    check(name, dtype, devices)
