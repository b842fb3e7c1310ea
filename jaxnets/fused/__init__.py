"""Formulations that programs for GPUs and TPUs take: fewer kernels, fewer passes over memory.

Like those of `jaxnets.cpu`, they replace plain operations of layers and steps, and tests compare each with
the plain one. What they save: docs/accelerators.md.
"""

import math

import jax.numpy as jnp

from jaxnets.cpu.pooling import MOST_TAPS
from jaxnets.cpu.stored import suits
from jaxnets.fused import batch_norm, pooling, update
from jaxnets.nn.operation import Formulation, Table

_NORMALIZE = Formulation(
    "normalize_batch",
    lambda x, scale, bias, epsilon, mask, axis_name, shift: (
        axis_name is None
        and (mask is None or mask.ndim == 1)
        and suits(x)
        and jnp.promote_types(x.dtype, jnp.float32) == jnp.float32
        and scale.dtype == bias.dtype == shift.dtype == jnp.float32
    ),
    batch_norm.normalize_batch,
    "statistics in one pass over the activations, gradients in two",
)
_TOTAL = Formulation("total", lambda tree: True, update.total, "a kernel an array, and two for what is left")

TPU: Table = (_NORMALIZE, _TOTAL)
GPU: Table = (
    _NORMALIZE,
    _TOTAL,
    Formulation(
        "max_pool",
        lambda x, window, strides, padding: len(window) == 2 and suits(x) and math.prod(window) <= MOST_TAPS,
        pooling.max_pool,
        "the gradient is elementwise, not a scatter: half of LeNet-5's bytes",
    ),
)
