"""Layers and plain functions with Keras semantics: same defaults, same layouts, same numbers."""

from jaxnets.nn.conv import Conv, correlate
from jaxnets.nn.dense import Dense
from jaxnets.nn.dropout import Dropout
from jaxnets.nn.initializers import INITIALIZERS, Initializer, get_initializer
from jaxnets.nn.norm import BatchNorm, batch_mask, frozen_batch_norm
from jaxnets.nn.pool import avg_pool, global_avg_pool, global_max_pool, max_pool

__all__ = [
    "INITIALIZERS",
    "BatchNorm",
    "Conv",
    "Dense",
    "Dropout",
    "Initializer",
    "avg_pool",
    "batch_mask",
    "correlate",
    "frozen_batch_norm",
    "get_initializer",
    "global_avg_pool",
    "global_max_pool",
    "max_pool",
]
