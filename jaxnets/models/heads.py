"""New heads on any backbone, for transfer learning and for classification with localization.

The backbone is a model of this package; only its features are used, so its own head has no parameters here.
Its weights are under ``backbone`` in the variables, where a pretrained tree can be inserted.
"""

from typing import Any

import jax
from flax import linen

from jaxnets import nn


class Classifier(linen.Module):
    """Backbone features, then ``num_classes`` logits.

    Source: docs/results.md, row F5, on Xception with 5 classes.

    Examples:
      >>> from jaxnets.models.xception import Xception
      >>> Classifier(backbone=Xception(), num_classes=5).num_classes
      5
    """

    backbone: linen.Module
    num_classes: int = 5
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False, features: bool = False) -> jax.Array:
        """Returns logits (batch, num_classes) for the backbone's inputs, or the backbone's features."""
        x = self.backbone(x, train=train, features=True)
        if features:
            return x
        return nn.Dense(self.num_classes, dtype=self.dtype, name="head")(x)


class Localizer(linen.Module):
    """Backbone features, then two heads: class logits and a box of four numbers.

    Source: docs/results.md, row F6.
    """

    backbone: linen.Module
    num_classes: int = 5
    dtype: Any = None

    @linen.compact
    def __call__(
        self, x: jax.Array, train: bool = False, features: bool = False
    ) -> jax.Array | dict[str, jax.Array]:
        """Returns {"class": logits (batch, num_classes), "box": (batch, 4)}, or the backbone's features."""
        x = self.backbone(x, train=train, features=True)
        if features:
            return x
        return {
            "class": nn.Dense(self.num_classes, dtype=self.dtype, name="class_head")(x),
            "box": nn.Dense(4, dtype=self.dtype, name="box_head")(x),
        }
