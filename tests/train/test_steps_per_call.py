"""Several steps as one program give what they give one by one, unrolled and as a scan."""

import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnets.data import ArraySource, Batches
from jaxnets.data.device import on_device
from jaxnets.machine.process import xla_accepts
from jaxnets.train import fit, make_state, make_train_step
from jaxnets.train.program import make_program
from jaxnets.train.steps_per_call import can_scan, compiler_options, library_options, steps_per_call
from tests.train.test_step import BatchNormNet

DENSE, LARGE, CONVOLUTION = ({"kernel": np.zeros(shape)} for shape in ((9, 9), (1025, 1024), (1, 1, 9, 9)))


@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("unrolled", [True, False])
@pytest.mark.sampled(3)
def test_together_and_one_by_one(resident, unrolled, monkeypatch):
    rng = np.random.default_rng(0)
    source = ArraySource(rng.normal(size=(37, 4)), rng.integers(0, 3, 37))
    model, descent = BatchNormNet(), optax.sgd(0.1, momentum=0.9)

    def train(count):
        return fit(
            make_state(model, descent, (4,)),
            make_train_step(model, descent),
            on_device(Batches(source, 8, seed=3), resident),
            epochs=3,
            steps_per_call=count,
        )

    one, history = train(1)
    monkeypatch.setattr(sys.modules["jaxnets.train.program"], "can_scan", lambda *_: not unrolled)
    other, records = train(3)  # an epoch's five steps: three and two
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), other, one)
    assert [record["loss"] for record in records] == pytest.approx([record["loss"] for record in history])
    assert [record["step"] for record in records] == [5, 10, 15]


@pytest.mark.parametrize("kind", ["ours", "unhashable"])
def test_the_same_step_again_is_not_compiled_again(kind):
    """A second `fit`, as in a notebook; a step that cannot be remembered works too."""
    model, descent = BatchNormNet(), optax.sgd(0.1)
    step = make_train_step(model, descent)
    source = ArraySource(np.eye(4), np.arange(4) % 3)
    given = step if kind == "ours" else Unhashable(step)
    compiled = []
    for _ in range(2):
        state = make_state(model, descent, (4,))
        program = make_program(given, state.params, "cpu")
        state, _ = fit(state, given, Batches(source, 2, seed=0), epochs=1)
        compiled.append((program, state))
    (one, first), (other, second) = compiled
    assert (one is other) == (kind == "ours")
    jax.tree.map(np.testing.assert_array_equal, second.params, first.params)
    assert make_program(given, first.params, "cpu", skip=True) is not other


class Unhashable:
    """A step of the caller's own."""

    __hash__ = None

    def __init__(self, step):
        self.step = step

    def __call__(self, state, batch):
        return self.step(state, batch)


def test_how_many():
    deep, wide = [CONVOLUTION] * 17, {"kernel": np.zeros((3, 3, 512, 512))}
    networks = DENSE, LARGE, CONVOLUTION, deep, wide
    assert [steps_per_call(60, params, "cpu") for params in networks] == [15, 1, 1, 1, 1]
    assert [steps_per_call(1875, params, "cpu") for params in networks] == [15, 1, 5, 1, 1]
    assert [can_scan(params, "cpu") for params in networks] == [True, True, False, False, False]
    assert [steps_per_call(steps, CONVOLUTION, "gpu") for steps in (1875, 782, 60, 7, 1)] == [15, 2, 15, 7, 1]
    assert can_scan(CONVOLUTION, "gpu")


def test_small_networks_get_from_eigen_what_ynnpack_is_slower_for():
    x, kernel = np.ones((32, 99), np.float32), np.ones((3, 3, 16, 32), np.float32)
    images = np.ones((32, 16, 16, 16), np.float32)

    def uses_ynnpack(params, function, *arrays):
        program = jax.jit(function, compiler_options=library_options(params, "cpu")).lower(*arrays).compile()
        return "__ynn_fusion" in program.as_text()

    def convolve(images, kernel):
        return jax.lax.conv_general_dilated(
            images, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    assert not uses_ynnpack(DENSE, jnp.matmul, x, x.T)
    if uses_ynnpack(LARGE, convolve, images, kernel):
        assert uses_ynnpack(CONVOLUTION, convolve, images, kernel) == (jax.__version_info__ < (0, 12))
    assert (
        library_options(LARGE, "cpu") == library_options(DENSE, "gpu") == compiler_options(DENSE, "gpu") == {}
    )


def test_options_that_this_xla_does_not_have_are_left_out(monkeypatch):
    assert not xla_accepts("xla_cpu_never_heard_of", 1)
    monkeypatch.setattr("jaxnets.train.steps_per_call.xla_accepts", lambda option, value: False)
    assert compiler_options(DENSE, "cpu") == {}
