"""The same small networks in Keras and in Linen, chosen for what makes their layers hard to pair."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import keras
import numpy as np
from flax import linen
from keras import layers as kl

from jaxnets import nn
from tests.keras_random import random_weights


@dataclasses.dataclass
class Pair:
    keras_model: Callable[[], keras.Model]
    module: linen.Module
    input_shape: tuple[int, ...]


class Net(linen.Module):
    """A network from a function."""

    body: Callable

    @linen.compact
    def __call__(self, x):
        return self.body(x)


def random_model(make: Callable[[], keras.Model], seed: int = 0) -> keras.Model:
    """A model no two of whose weights are equal: a swap of any two layers shows."""
    with jax.numpy_rank_promotion("allow"), random_weights(seed):
        return make()


def sequential() -> keras.Model:
    second = kl.Conv2D(4, 3, activation="relu")  # made before the first: numbers are no order here
    return keras.Sequential(
        [
            keras.Input((9, 8, 4)),
            kl.Conv2D(4, 3, padding="same"),
            kl.BatchNormalization(),
            kl.ReLU(),
            second,
            kl.MaxPooling2D(),
            kl.Dropout(0.5),
            kl.Flatten(),
            kl.Dense(7, activation="tanh"),
            kl.Dense(7),
        ]
    )


class Sequential(linen.Module):
    @linen.compact
    def __call__(self, x):
        x = nn.Conv(4, 3, padding="same")(x)
        x = linen.relu(nn.BatchNorm()(x, False))
        x = nn.max_pool(linen.relu(nn.Conv(4, 3)(x)), 2)
        return nn.Dense(7)(linen.tanh(nn.Dense(7)(x.reshape(x.shape[0], -1))))


def _keras_conv_bn(x, **options):
    return kl.BatchNormalization()(kl.Conv2D(4, 1, use_bias=False, **options)(x))


def branches() -> keras.Model:
    """Every convolution has the same shape, and the shortcut is made first and called last in the module."""
    x = start = keras.Input((5, 5, 4))
    for _ in range(2):
        shortcut = _keras_conv_bn(x)
        y = kl.ReLU()(_keras_conv_bn(x))
        y = _keras_conv_bn(y)
        x = kl.ReLU()(kl.Add()([shortcut, y]))
    return keras.Model(start, kl.Dense(3)(kl.GlobalAveragePooling2D()(x)))


class Branches(linen.Module):
    @linen.compact
    def __call__(self, x):
        def conv_bn(x):
            return nn.BatchNorm()(nn.Conv(4, 1, use_bias=False)(x), False)

        for _ in range(2):
            y = conv_bn(linen.relu(conv_bn(x)))
            x = linen.relu(y + conv_bn(x))
        return nn.Dense(3)(nn.global_avg_pool(x))


def inception() -> keras.Model:
    """Branches of different depth under a concatenation; Keras lists its layers by depth."""
    x = start = keras.Input((6, 6, 4))
    for _ in range(2):
        one = kl.Conv2D(4, 1)(x)
        three = kl.Conv2D(4, 1)(x)
        three = kl.Conv2D(4, 3, padding="same")(three)
        five = kl.Conv2D(4, 1)(x)
        five = kl.Conv2D(4, 5, padding="same")(five)
        pool = kl.Conv2D(4, 1)(kl.MaxPooling2D(3, strides=1, padding="same")(x))
        x = kl.Concatenate()([one, three, five, pool])
        x = kl.Conv2D(4, 1)(x)
    return keras.Model(start, x)


class Inception(linen.Module):
    @linen.compact
    def __call__(self, x):
        for _ in range(2):
            one = nn.Conv(4, 1)(x)
            three = nn.Conv(4, 3, padding="same")(nn.Conv(4, 1)(x))
            five = nn.Conv(4, 5, padding="same")(nn.Conv(4, 1)(x))
            pool = nn.Conv(4, 1)(nn.max_pool(x, 3, 1, padding="same"))
            x = nn.Conv(4, 1)(jnp.concatenate([one, three, five, pool], -1))
        return x


def nested() -> keras.Model:
    """A model in a model, behind a layer of equal shape; the inner one has names of its own."""
    inside = keras.Input((8, 8, 4))
    x = kl.Conv2D(4, 3, padding="same", name="inner")(inside)
    x = kl.SeparableConv2D(4, 3, padding="same", name="separable")(x)
    x = kl.BatchNormalization(name="norm")(x)
    base = keras.Model(inside, x, name="base")
    start = keras.Input((8, 8, 4))
    x = kl.Conv2D(4, 3, padding="same", name="before")(start)
    x = base(x)
    x = kl.DepthwiseConv2D(3, padding="same", depth_multiplier=1, name="depthwise")(x)
    x = kl.Conv2D(4, 3, padding="same", name="after")(x)
    return keras.Model(start, kl.Dense(2, name="dense_of_mine")(kl.GlobalAveragePooling2D()(x)))


class Nested(linen.Module):
    @linen.compact
    def __call__(self, x):
        x = nn.Conv(4, 3, padding="same")(x)
        x = nn.Conv(4, 3, padding="same")(x)
        x = nn.SeparableConv(4, 3, padding="same")(x)
        x = nn.BatchNorm()(x, False)
        x = nn.DepthwiseConv(3, padding="same")(x)
        x = nn.Conv(4, 3, padding="same")(x)
        return nn.Dense(2)(nn.global_avg_pool(x))


@keras.saving.register_keras_serializable("jaxnets_tests")
class KerasBlock(keras.Model):
    def __init__(self, project=False, **kwargs):
        super().__init__(**kwargs)
        self.c1, self.b1 = kl.Conv2D(4, 3, padding="same"), kl.BatchNormalization()
        self.c2, self.b2 = kl.Conv2D(4, 3, padding="same"), kl.BatchNormalization()
        self.project = project
        if project:
            self.down_conv, self.down_norm = kl.Conv2D(4, 3, padding="same"), kl.BatchNormalization()

    def call(self, x):
        y = self.b2(self.c2(keras.ops.relu(self.b1(self.c1(x)))))
        shortcut = self.down_norm(self.down_conv(x)) if self.project else x
        return keras.ops.relu(shortcut + y)


@keras.saving.register_keras_serializable("jaxnets_tests")
class KerasSubclassed(keras.Model):
    """Attributes whose alphabet is not their order, a list, and models inside."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.stem = kl.Conv2D(4, 3, padding="same")
        self.blocks = keras.Sequential([KerasBlock(), KerasBlock(project=True)])
        self.heads = [kl.Dense(4), kl.Dense(4)]
        self.answer = kl.Dense(4)

    def call(self, x):
        x = keras.ops.mean(self.blocks(self.stem(x)), axis=(1, 2))
        for head in self.heads:
            x = keras.ops.tanh(head(x))
        return self.answer(x)


def subclassed() -> keras.Model:
    model = KerasSubclassed()
    model(np.zeros((1, 6, 6, 4), "float32"))
    return model


class Block(linen.Module):
    project: bool = False

    @linen.compact
    def __call__(self, x):
        y = linen.relu(nn.BatchNorm()(nn.Conv(4, 3, padding="same")(x), False))
        y = nn.BatchNorm()(nn.Conv(4, 3, padding="same")(y), False)
        if self.project:
            x = nn.BatchNorm()(nn.Conv(4, 3, padding="same")(x), False)
        return linen.relu(x + y)


class Subclassed(linen.Module):
    @linen.compact
    def __call__(self, x):
        x = Block(project=True)(Block()(nn.Conv(4, 3, padding="same")(x)))
        x = nn.global_avg_pool(x)
        for _ in range(2):
            x = linen.tanh(nn.Dense(4)(x))
        return nn.Dense(4)(x)


def recurrent() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((5,)),
            kl.Embedding(11, 4),
            kl.LSTM(4, return_sequences=True),
            kl.GRU(4, return_sequences=True),
            kl.GRU(4, return_sequences=True, reset_after=False),
            kl.SimpleRNN(4, return_sequences=True),
            kl.Dropout(0.2),
            kl.SimpleRNN(4),
            kl.Dense(4),
        ]
    )


class RecurrentStack(linen.Module):
    @linen.compact
    def __call__(self, x):
        x = nn.LSTM(4, return_sequences=True)(nn.Embedding(11, 4)(x))
        x = nn.GRU(4, return_sequences=True)(x)
        x = nn.GRU(4, return_sequences=True, reset_after=False)(x)
        x = nn.SimpleRNN(4, return_sequences=True)(x)
        return nn.Dense(4)(nn.SimpleRNN(4)(x))


def partial_norms() -> keras.Model:
    """BatchNorm without gamma, without beta, and without both; a frozen one."""
    return keras.Sequential(
        [
            keras.Input((4,)),
            kl.Dense(4, use_bias=False),
            kl.BatchNormalization(scale=False),
            kl.Dense(4, use_bias=False),
            kl.BatchNormalization(center=False),
            kl.BatchNormalization(scale=False, center=False),
            kl.BatchNormalization(trainable=False),
        ]
    )


class PartialNorms(linen.Module):
    @linen.compact
    def __call__(self, x):
        for _ in range(2):
            x = nn.BatchNorm()(nn.Dense(4, use_bias=False)(x), False)
        return nn.BatchNorm()(nn.BatchNorm()(x, False), False)


PAIRS = {
    "sequential": Pair(sequential, Sequential(), (9, 8, 4)),
    "branches": Pair(branches, Branches(), (5, 5, 4)),
    "inception": Pair(inception, Inception(), (6, 6, 4)),
    "nested": Pair(nested, Nested(), (8, 8, 4)),
    "subclassed": Pair(subclassed, Subclassed(), (6, 6, 4)),
    "recurrent": Pair(recurrent, RecurrentStack(), (5,)),
    "partial_norms": Pair(partial_norms, PartialNorms(), (4,)),
}
