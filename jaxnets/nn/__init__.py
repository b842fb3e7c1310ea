"""Layers and plain functions with Keras semantics: the same defaults, layouts and numbers."""

from jaxnets.nn.activations import (
    ACTIVATIONS,
    gelu,
    get_activation,
    hard_shrink,
    leaky_relu,
    linear,
    relu,
    soft_shrink,
    sparsemax,
    tanh_shrink,
)
from jaxnets.nn.bidirectional import Bidirectional
from jaxnets.nn.cells import (
    gru_cell,
    gru_cell_reset_before,
    hard_sigmoid_keras2,
    lstm_cell,
    simple_rnn_cell,
)
from jaxnets.nn.conv import Conv, correlate
from jaxnets.nn.dense import Dense, Embedding, embedding_mask, flatten, masking
from jaxnets.nn.dropout import Dropout
from jaxnets.nn.initializers import INITIALIZERS, Initializer, get_initializer
from jaxnets.nn.norm import BatchNorm, batch_mask, frozen_batch_norm
from jaxnets.nn.operation import plain_operations
from jaxnets.nn.pool import avg_pool, global_avg_pool, global_max_pool, max_pool
from jaxnets.nn.recurrent import GRU, LSTM, SimpleRNN
from jaxnets.nn.separable import DepthwiseConv, SeparableConv, depthwise_correlate
from jaxnets.nn.transposed import (
    ConvTranspose,
    conv_transpose,
    conv_transpose_by_upsampling,
    upsample_with_zeros,
)
from jaxnets.nn.window import Padding

__all__ = [
    "ACTIVATIONS",
    "GRU",
    "INITIALIZERS",
    "LSTM",
    "BatchNorm",
    "Bidirectional",
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
    "embedding_mask",
    "flatten",
    "frozen_batch_norm",
    "gelu",
    "get_activation",
    "get_initializer",
    "global_avg_pool",
    "global_max_pool",
    "gru_cell",
    "gru_cell_reset_before",
    "hard_shrink",
    "hard_sigmoid_keras2",
    "leaky_relu",
    "linear",
    "lstm_cell",
    "masking",
    "max_pool",
    "plain_operations",
    "relu",
    "simple_rnn_cell",
    "soft_shrink",
    "sparsemax",
    "tanh_shrink",
    "upsample_with_zeros",
]
