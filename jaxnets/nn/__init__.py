"""Layers and plain functions with Keras semantics: the same defaults, layouts and numbers."""

from jaxnets.nn.conv import Conv, DepthwiseConv, SeparableConv, correlate, depthwise_correlate
from jaxnets.nn.dense import Dense, Embedding, flatten
from jaxnets.nn.dropout import Dropout
from jaxnets.nn.initializers import INITIALIZERS, Initializer, get_initializer
from jaxnets.nn.norm import BatchNorm, batch_mask, frozen_batch_norm
from jaxnets.nn.operation import plain_operations
from jaxnets.nn.pool import avg_pool, global_avg_pool, global_max_pool, max_pool
from jaxnets.nn.recurrent import (
    GRU,
    LSTM,
    SimpleRNN,
    gru_cell,
    gru_cell_reset_before,
    hard_sigmoid_keras2,
    lstm_cell,
    simple_rnn_cell,
)
from jaxnets.nn.transposed import (
    ConvTranspose,
    conv_transpose,
    conv_transpose_by_upsampling,
    upsample_with_zeros,
)
from jaxnets.nn.window import Padding

__all__ = [
    "GRU",
    "INITIALIZERS",
    "LSTM",
    "BatchNorm",
    "Conv",
    "ConvTranspose",
    "Dense",
    "DepthwiseConv",
    "Dropout",
    "Embedding",
    "Initializer",
    "Padding",
    "SeparableConv",
    "SimpleRNN",
    "avg_pool",
    "batch_mask",
    "conv_transpose",
    "conv_transpose_by_upsampling",
    "correlate",
    "depthwise_correlate",
    "flatten",
    "frozen_batch_norm",
    "get_initializer",
    "global_avg_pool",
    "global_max_pool",
    "gru_cell",
    "gru_cell_reset_before",
    "hard_sigmoid_keras2",
    "lstm_cell",
    "max_pool",
    "plain_operations",
    "simple_rnn_cell",
    "upsample_with_zeros",
]
