"""The convolutions for CPUs beside the plain ones: values and gradients over shapes, strides, paddings."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import nn
from jaxnets.cpu import columns, convolution, pointwise, winograd
from tests.cpu.plain import PADDINGS, check, for_cpu, random

# To few features (shifts, columns; bands in the gradient), to many (pieces; columns in the gradient), 1x1.
KERNELS = [
    (3, 3, 2, 5),
    (3, 2, 3, 20),
    (5, 5, 1, 6),
    (5, 3, 4, 6),
    (3, 3, 17, 18),
    (3, 3, 18, 32),
    (1, 1, 4, 6),
    (1, 1, 64, 70),
    (1, 1, 70, 64),
]
CONVOLUTIONS = list(itertools.product(KERNELS, [1, 2, (1, 3)], PADDINGS))


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(convolution, "PIECE", 1500)
    monkeypatch.setattr(convolution, "FEW_PIECES", 3)
    monkeypatch.setattr(pointwise, "MANY", 16)


@pytest.mark.parametrize("kernel, strides, padding", CONVOLUTIONS)
@pytest.mark.sampled(4)
def test_convolution(kernel, strides, padding, small_pieces):
    apply = partial(nn.correlate, strides=strides, padding=padding)
    check(apply, random(2, 9, 8, kernel[2]), random(*kernel))


@pytest.fixture
def always_tiles(monkeypatch):
    monkeypatch.setattr(winograd, "PRODUCTS", 0)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("size", [(9, 8), (6, 6), (5, 3)])
@pytest.mark.sampled(4)
def test_convolution_of_tiles(size, padding, always_tiles):
    check(partial(nn.correlate, padding=padding), random(2, *size, 20), random(3, 3, 20, 17))


def test_tiles_are_taken_where_they_pay():
    def pays(batch, side, channels, features, size=3, strides=(1, 1)):
        kernel = jnp.zeros((size, size, channels, features))
        return winograd.pays(jnp.zeros((batch, side, side, channels)), kernel, strides, ((1, 1), (1, 1)))

    assert pays(32, 8, 256, 256)
    assert pays(32, 16, 64, 128)
    assert not pays(32, 32, 64, 64)  # as much work in the tiles as is saved
    assert not pays(1, 4, 512, 512)  # the kernel's tiles for four of the image
    assert not pays(32, 8, 256, 256, size=5)
    assert not pays(32, 8, 256, 256, strides=(2, 2))


COLUMNS = [
    ((5, 5, 3, 6), 6),  # 33 features or more
    ((5, 5, 6, 16), 2),
    ((3, 3, 16, 16), 2),
    ((3, 3, 3, 16), 3),
    ((3, 3, 3, 32), 2),
    ((3, 3, 1, 32), 1),
    ((3, 3, 16, 32), 1),
    ((3, 1, 16, 16), 1),  # a column sees nothing of what its neighbours see
]


@pytest.mark.parametrize("kernel, count", COLUMNS)
def test_columns_are_taken_together_where_features_are_few(kernel, count):
    assert columns.at_once(jnp.zeros(kernel)) == count


FLAT = [(kernel, 48) for kernel, _ in COLUMNS]
FLAT += [((1, 1, 64, 70), 48), ((5, 5, 1, 6), 48), ((3, 3, 3, 64), 48), ((3, 3, 96, 128), 0)]  # 0: by tiles


@pytest.mark.parametrize("kernel, products", FLAT)
@pytest.mark.parametrize("varies", [(1, 1), (14, 1), (1, 13)])
def test_on_flat_ground_all_outputs_are_equal(kernel, products, varies, monkeypatch):
    """To the bit: which of equals max pooling takes must not depend on rounding."""
    monkeypatch.setattr(winograd, "PRODUCTS", products)
    image = random(1, *varies, kernel[2])
    flat = jnp.broadcast_to(image, (4, 14, 13, kernel[2]))
    y = np.asarray(jax.jit(for_cpu(nn.correlate))(flat, random(*kernel)))
    first = y[:1, : y.shape[1] if varies[0] > 1 else 1, : y.shape[2] if varies[1] > 1 else 1]
    np.testing.assert_array_equal(y, np.broadcast_to(first, y.shape))


@pytest.mark.parametrize("strides, padding", [(1, "same"), (2, "same"), ((1, 3), ((2, 1), (0, 3)))])
def test_images_smaller_than_the_kernel(strides, padding):
    apply = partial(nn.correlate, strides=strides, padding=padding)
    check(apply, random(2, 2, 2, 17), random(3, 4, 17, 18))


@pytest.mark.parametrize(
    "kernel, special",
    [
        ((3, 3, 2, 5), "small_pieces"),
        ((1, 1, 64, 70), "small_pieces"),
        ((3, 3, 17, 18), "small_pieces"),
        ((3, 3, 17, 18), "always_tiles"),
    ],
)
@pytest.mark.sampled(2)
def test_derivatives_of_derivatives_and_maps(kernel, special, request):
    request.getfixturevalue(special)

    def norm_of_gradients(x, kernel):
        grads = jax.grad(lambda *a: jnp.sum(jnp.sin(nn.correlate(*a))), (0, 1))(x, kernel)
        return sum(jnp.sum(jnp.square(grad)) for grad in grads).reshape(1)

    check(norm_of_gradients, random(2, 6, 6, kernel[2]), random(*kernel), tolerance=1e-4)
    check(jax.vmap(nn.correlate), random(2, 2, 6, 6, kernel[2]), random(2, *kernel))


DEPTHWISE = list(itertools.product([(3, 3), (2, 5)], [1, 2], PADDINGS))


@pytest.mark.parametrize("kernel, strides, padding", DEPTHWISE)
@pytest.mark.sampled(3)
def test_depthwise_convolution(kernel, strides, padding):
    apply = partial(nn.correlate, strides=strides, padding=padding, groups=4)
    check(apply, random(3, 7, 8, 4), random(*kernel, 1, 4))


def test_bias():
    check(
        nn.Conv(5, 3).apply, {"params": {"kernel": random(3, 3, 2, 5), "bias": random(5)}}, random(2, 6, 6, 2)
    )


def test_other_types_are_left_to_xla():
    for dtype in (jnp.bfloat16, jnp.float16):  # traced: not on every processor can XLA round to float16
        x, kernel = (jax.ShapeDtypeStruct(shape, dtype) for shape in ((1, 5, 5, 2), (3, 3, 2, 3)))
        assert "custom_vjp" not in str(jax.make_jaxpr(for_cpu(nn.correlate))(x, kernel))
        assert jax.eval_shape(for_cpu(nn.correlate), x, kernel).dtype == dtype
    assert "custom_vjp" in str(jax.make_jaxpr(for_cpu(nn.correlate))(random(1, 5, 5, 2), random(3, 3, 2, 3)))
