"""Recurrent classifiers and regressors over sequences: letters, stock prices."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from flax import linen

from jaxnets import nn


class RecurrentNet(linen.Module):
    """An optional Embedding, then recurrent layers with dropout, then a dense head on the last output.

    Input (batch, time, channels), or ids (batch, time) if ``vocabulary`` is given. Source: docs/results.md,
    rows D2 to D6.

    Attributes:
      units: Width of each recurrent layer; all but the last return their whole sequence.
      layer: `nn.SimpleRNN`, `nn.LSTM` or `nn.GRU`, or one of these with options set by ``partial``.
      num_classes: Width of the head; 1 for a regressor.
      vocabulary: Number of ids of the Embedding; None if the input is one-hot or real-valued.
      embedding: Width of the Embedding.
      dropout: Dropout rate after every recurrent layer.
      dtype: Type of the arithmetic.
    """

    units: tuple[int, ...] = (3,)
    layer: Callable[..., linen.Module] = nn.SimpleRNN
    num_classes: int = 5
    vocabulary: int | None = None
    embedding: int = 2
    dropout: float = 0.0
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False, features: bool = False) -> jax.Array:
        """Returns logits or values (batch, num_classes), or the last recurrent output if ``features``."""
        if self.vocabulary is not None:
            x = nn.Embedding(self.vocabulary, self.embedding, dtype=self.dtype, name="embedding")(x)
        for number, units in enumerate(self.units, start=1):
            sequences = number < len(self.units)
            x = self.layer(units, return_sequences=sequences, dtype=self.dtype, name=f"rnn{number}")(x)
            x = nn.Dropout(self.dropout)(x, train)
        if features:
            return x
        return nn.Dense(self.num_classes, dtype=self.dtype, name="head")(x)


# 60 opening prices to the next one.
StockRNN = partial(RecurrentNet, units=(80, 100), dropout=0.2, num_classes=1)
