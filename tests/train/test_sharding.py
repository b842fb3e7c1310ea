"""Training with the state split over the devices gives what training with a whole state on each gives."""

import os
import subprocess
import sys
from functools import partial

import jax
import numpy as np
import optax
import pytest
from flax import linen
from jax.sharding import Mesh

from jaxnets import data, nn, optim
from jaxnets.errors import UserError
from jaxnets.train import (
    Keep,
    Validation,
    fit,
    make_eval_step,
    make_mesh,
    make_state,
    make_train_step,
)
from jaxnets.train.freeze import freeze
from jaxnets.train.sharding import LEAST, state_sharding
from tests.several_devices import take_devices

STEPS, BATCH = 10, 32


@pytest.fixture(autouse=True)
def eight():
    """What every test here takes."""
    return take_devices(8)


class Net(linen.Module):
    """Split arrays, whole ones, statistics and draws."""

    @linen.compact
    def __call__(self, x, train=False, features=False):
        x = x.reshape(len(x), -1)
        x = nn.Dense(128, name="wide")(x)
        x = nn.BatchNorm(name="norm")(jax.nn.relu(x), train)
        x = linen.Dropout(0.2, deterministic=not train)(x)
        return nn.Dense(3, name="head")(x)


@pytest.fixture(scope="module")
def source():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(STEPS * BATCH, 48)).astype(np.float32)
    return data.ArraySource(x, np.argmax(x[:, :3], axis=1).astype(np.int32))


def train(source, mesh, epochs, workdir=None, frozen=()):
    model, descent = Net(), optim.accumulate(optax.sgd(0.05, momentum=0.9), 2)
    variables = make_state(model, descent, (48,)).variables
    if frozen:
        model, descent = freeze(model, descent, variables["params"], frozen)
    return fit(
        make_state(model, descent, (48,), variables=variables),
        make_train_step(model, descent),
        data.Batches(source, BATCH, seed=1),
        epochs=epochs,
        validation=Validation(make_eval_step(model), data.Batches(source, BATCH)),
        keep=Keep(workdir),
        mesh=mesh,
    )


def losses(history):
    return [[record["loss"], record["val_loss"]] for record in history]


def agree(state, expected):
    close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)
    jax.tree.map(lambda ours, theirs: close(np.asarray(ours), np.asarray(theirs)), state, expected)


@pytest.mark.slow
def test_fifty_steps_are_those_of_a_whole_state(source):
    expected, records = train(source, make_mesh(8), 5)
    state, history = train(source, make_mesh(8, "fsdp"), 5)
    np.testing.assert_allclose(losses(history), losses(records), rtol=1e-5)
    agree(state, expected)


@pytest.mark.parametrize("frozen", ["wide", "head"])
@pytest.mark.slow
def test_frozen_parts_stay_and_the_rest_is_that_of_a_whole_state(source, frozen):
    expected, records = train(source, make_mesh(8), 2, frozen=[frozen])
    state, history = train(source, make_mesh(8, "fsdp"), 2, frozen=[frozen])
    np.testing.assert_allclose(losses(history), losses(records), rtol=1e-5)
    agree(state, expected)
    start = make_state(Net(), optax.sgd(0.05), (48,)).params[frozen]
    jax.tree.map(np.testing.assert_array_equal, state.params[frozen], start)


def test_a_device_keeps_its_part_alone(source):
    state, _ = train(source, make_mesh(8, "fsdp"), 1)
    for leaf in jax.tree.leaves(state):
        kept = leaf.addressable_shards[0].data.size
        assert kept == (leaf.size // 8 if leaf.size >= LEAST else leaf.size)
    assert state.params["wide"]["kernel"].sharding.spec == jax.sharding.PartitionSpec(None, "fsdp")


@pytest.mark.parametrize(
    "mesh",
    [
        ("fsdp", 1),
        ("data", 8),
        ("fsdp", 8),
        pytest.param(("fsdp", 2), marks=pytest.mark.slow),
        pytest.param(("fsdp", 4), marks=pytest.mark.slow),
    ],
)
@pytest.mark.sampled(3)
def test_a_run_goes_on_on_other_devices(source, mesh, tmp_path):
    sharding, devices = mesh
    train(source, make_mesh(8, "fsdp"), 2, tmp_path)
    state, history = train(source, make_mesh(devices, sharding), 4, tmp_path)
    expected, records = train(source, make_mesh(8, "fsdp"), 4)
    np.testing.assert_allclose(losses(history), losses(records), rtol=1e-5)
    agree(state, expected)
    if mesh == ("fsdp", 8):  # on the same ones to the bit
        jax.tree.map(lambda ours, theirs: np.testing.assert_array_equal(ours, theirs), state, expected)


def test_arrays_that_do_not_divide_lie_whole(eight):
    mesh = Mesh(np.array(eight), ("fsdp",))
    shapes = {"odd": (33, 35), "small": (8, 8), "long": (16, 4096), "wide": (4096, 3)}
    found = state_sharding(
        {name: jax.ShapeDtypeStruct(shape, "float32") for name, shape in shapes.items()}, mesh
    )
    specs = {name: tuple(sharding.spec) for name, sharding in found.items()}
    assert specs == {"odd": (), "small": (), "long": (None, "fsdp"), "wide": ("fsdp",)}
    whole = state_sharding(
        {"wide": jax.ShapeDtypeStruct((4096, 3), "float32")}, Mesh(mesh.devices, ("data",))
    )
    assert tuple(whole["wide"].spec) == ()


def test_another_sharding_is_refused():
    with pytest.raises(UserError, match="'data' or 'fsdp'"):
        make_mesh(8, "fdsp")


HELD = """
import ctypes
import os
from pathlib import Path
import jax, jax.numpy as jnp
from jaxnets.train import make_mesh
from jaxnets.train.io.integrity import checksums
from jaxnets.train.sharding import state_sharding

def held():
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)  # what is free is not held
    return os.sysconf("SC_PAGE_SIZE") * int(Path("/proc/self/statm").read_text().split()[1])

arrays = {name: jnp.ones((5000, 2000)) for name in "abcdefghij"}  # 40 MB each
arrays = jax.block_until_ready(jax.device_put(arrays, state_sharding(arrays, make_mesh(8, "fsdp"))))
before = held()
assert len(checksums(arrays)) == 10
print(held() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is read as Linux shows it")
def test_checksums_leave_no_copy_of_the_state():
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "8", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", HELD]
    done = subprocess.run(command, env=environment, capture_output=True, check=True, text=True)
    assert int(done.stdout) < 200e6  # of 400
