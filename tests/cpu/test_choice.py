"""Who takes the formulations for CPUs: a program that opts in, where it is compiled for a CPU."""

import jax
import jax.numpy as jnp
import pytest

from jaxnets import nn
from jaxnets.platforms import by_platform
from tests.cpu.plain import random

LAYER = nn.Conv(4, 3)
X = jnp.ones((2, 9, 9, 3))
PARAMS = {"params": {"kernel": random(3, 3, 3, 4), "bias": random(4)}}


def program(function, platform="cpu"):
    return jax.export.export(jax.jit(function), platforms=[platform])(PARAMS, X).mlir_module()


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_a_program_that_opts_in_has_them_by_platforms_alone(platform):
    plain, chosen = program(LAYER.apply, platform), program(by_platform(LAYER.apply), platform)
    assert ("stablehlo.convolution" in chosen) == (platform != "cpu")  # shifted images instead
    assert "stablehlo.convolution" in plain


def test_inside_plain_operations_nobody_has_them_whatever_was_traced_before():
    apply = jax.jit(by_platform(LAYER.apply))

    def convolves():
        module = apply.trace(PARAMS, X).lower(lowering_platforms=("cpu",)).as_text()
        return "stablehlo.convolution" in module

    assert not convolves()
    with nn.plain_operations():
        assert convolves()
        jax.jvp(apply, (PARAMS, X), (PARAMS, X))
    assert not convolves()
