"""What XLA compiles badly on CPUs, written so that it does not; chosen here alone, by backend and shape.

Each function has the plain formulation beside it, which other backends take and which the tests hold it
against. Numbers: docs/speed.md.
"""

from jaxnets.nn.cpu.batch_norm import normalize_batch, scale_and_shift
from jaxnets.nn.cpu.choice import for_cpu, plain_operations
from jaxnets.nn.cpu.convolution import convolve
from jaxnets.nn.cpu.dense import multiply
from jaxnets.nn.cpu.masks import bernoulli
from jaxnets.nn.cpu.pooling import max_pool
from jaxnets.nn.cpu.recurrence import Cell, gru, lstm, recur
from jaxnets.nn.cpu.rows import channelwise

__all__ = [
    "Cell",
    "bernoulli",
    "channelwise",
    "convolve",
    "for_cpu",
    "gru",
    "lstm",
    "max_pool",
    "multiply",
    "normalize_batch",
    "plain_operations",
    "recur",
    "scale_and_shift",
]
