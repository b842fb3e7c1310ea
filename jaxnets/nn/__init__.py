"""Layers and plain functions with Keras semantics: the same defaults, layouts and numbers.

Where Keras keeps something inside a layer, here it is an argument or a result:

- **Dimensions.** The length of a kernel's or window's size says what it goes over: ``Conv(8, (3,))`` is
  Conv1D, ``Conv(8, 3)`` or ``Conv(8, (3, 3))`` Conv2D, ``Conv(8, (3, 3, 3))`` Conv3D, and
  ``max_pool(x, (2,))`` MaxPooling1D.
- **Masks** are made by `embedding_mask` or `masking` and given to each layer that is to heed them
  (``mask=``): recurrent layers, `BatchNorm`, `global_avg_pool`.
- **States** of recurrent layers are given (``initial_state=``) and returned (``return_state=True``).
- **Regularizers** are functions of the parameters, given to `jaxnets.train.make_train_step` as ``penalty``:
  ``lambda params: l1_l2_penalty(params["conv1"], l2=1e-4) + l1_l2_penalty(params["head"], l1=1e-5)``
  (`jaxnets.losses.l1_l2_penalty`). For a regularizer of activities, a network returns these beside its
  logits, and the loss adds the sum of their squares, one number per example as any loss.
"""

from jaxnets.nn.activations import (
    ACTIVATIONS,
    gelu,
    get_activation,
    hard_shrink,
    leaky_relu,
    linear,
    relu,
    soft_shrink,
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
    "tanh_shrink",
    "upsample_with_zeros",
]
