"""The documented networks in plain Flax Linen, and a training step, both as Flax's own examples have them.

Nothing of jaxnets is in here: beside these one sees what its layers, step and settings gain over the same
network, compiled by the same XLA. `FLAX_MODELS[name](num_classes=..., dtype=...)` takes images (batch,
height, width, c), sequences (batch, time, c) or ids (batch, time), and gives logits (batch, num_classes).
`dtype` is that of the arithmetic; parameters and statistics are float32. Initial values are Flax's.

They have as many parameters as ours, but for `stock_gru`: Flax's `GRUCell` has a recurrent bias for the
candidate alone, ours, like Keras's and cuDNN's, one for each gate, too. As a gate's two biases are added up,
both compute the same functions; 2 numbers a unit are missing, 360 in all. `xception_localizer`, which has two
heads, has no twin.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax.training import train_state

BatchNorm = partial(nn.BatchNorm, momentum=0.99, epsilon=1e-3)  # Keras's constants


class MLP(nn.Module):
    """B1 and B2, and how many others end: hidden layers with dropout and a head on the flattened input."""

    widths: tuple[int, ...] = ()
    num_classes: int = 10
    act: Callable = nn.relu
    dropout: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = x.reshape((x.shape[0], -1))
        for width in self.widths:
            x = self.act(nn.Dense(width, dtype=self.dtype)(x))
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(self.num_classes, dtype=self.dtype)(x)


class ConvNet(nn.Module):
    """From LeNet-5 to VGG-19: groups of convolutions, max pooling of 2 after each group, an MLP.

    Attributes:
      groups: Channels, kernel size and padding of every convolution.
      widths: Hidden layers of the MLP.
      conv_act: Activation of the convolutions; `act` is that of the MLP.
      conv_dropout: Dropout rate after every group; `dropout` is that of the MLP.
    """

    groups: tuple[tuple[tuple[int, int, str], ...], ...]
    widths: tuple[int, ...] = ()
    batch_norm: bool = False
    use_bias: bool = True
    conv_act: Callable = nn.relu
    act: Callable = nn.relu
    conv_dropout: float = 0.0
    dropout: float = 0.0
    num_classes: int = 10
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        conv = partial(nn.Conv, use_bias=self.use_bias, dtype=self.dtype)
        for group in self.groups:
            for channels, size, padding in group:
                x = conv(channels, (size, size), padding=padding)(x)
                if self.batch_norm:
                    x = BatchNorm(use_running_average=not train, dtype=self.dtype)(x)
                x = self.conv_act(x)
            # C1 and C4 pool with "same" padding, which is none at their even sides.
            x = nn.max_pool(x, (2, 2), (2, 2))
            x = nn.Dropout(self.conv_dropout, deterministic=not train)(x)
        return MLP(self.widths, self.num_classes, self.act, self.dropout, self.dtype)(x, train)


def lenet5(first_padding: str, act: Callable) -> Callable[..., nn.Module]:
    """E2 and C2."""
    groups = ((6, 5, first_padding),), ((16, 5, "VALID"),)
    return partial(ConvNet, groups, (120, 84), conv_act=act, act=act)


def vgg(*counts: int, **options: Any) -> Callable[..., nn.Module]:
    """C4 and the ImageNet networks, by how many convolutions the five groups have."""
    channels = (64, 128, 256, 512, 512)
    groups = tuple(((width, 3, "SAME"),) * count for width, count in zip(channels, counts, strict=True))
    return partial(ConvNet, groups, **options)


class AlexNet8(nn.Module):
    """C3."""

    num_classes: int = 10
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        conv = partial(nn.Conv, kernel_size=(3, 3), dtype=self.dtype)
        pool = partial(nn.max_pool, window_shape=(3, 3), strides=(2, 2))
        for width in (96, 256):
            x = conv(width, padding="VALID")(x)
            x = BatchNorm(use_running_average=not train, dtype=self.dtype)(x)
            x = pool(nn.relu(x))
        for width in (384, 384, 256):
            x = nn.relu(conv(width)(x))
        return MLP((2048, 2048), self.num_classes, dropout=0.5, dtype=self.dtype)(pool(x), train)


class Inception10(nn.Module):
    """C5, whose BN uses its running statistics in training, too."""

    num_classes: int = 10
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        def conv(x: jax.Array, width: int, size: int, strides: int = 1) -> jax.Array:
            x = nn.Conv(width, (size, size), strides, dtype=self.dtype)(x)
            return nn.relu(BatchNorm(use_running_average=True, dtype=self.dtype)(x))

        def unit(x: jax.Array, width: int, strides: int) -> jax.Array:
            one = conv(x, width, 1, strides)
            three = conv(conv(x, width, 1, strides), width, 3)
            five = conv(conv(x, width, 1, strides), width, 5)
            pool = conv(nn.max_pool(x, (3, 3), padding="SAME"), width, 1, strides)
            return jnp.concatenate([one, three, five, pool], axis=-1)

        x = conv(x, 16, 3)
        for width in (16, 32):
            x = unit(unit(x, width, 2), width, 1)
        return nn.Dense(self.num_classes, dtype=self.dtype)(jnp.mean(x, axis=(1, 2)))


class ResidualBlock(nn.Module):
    """Convolutions with BN beside a shortcut, which is projected where the shape changes.

    `layers` has channels and kernel size of every convolution, of which the first has the strides.
    """

    layers: tuple[tuple[int, int], ...]
    conv: Callable
    norm: Callable
    strides: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = x
        for number, (channels, size) in enumerate(self.layers):
            y = nn.relu(y) if number else y
            y = self.norm()(self.conv(channels, (size, size), 1 if number else self.strides)(y))
        if x.shape != y.shape:
            x = self.conv(y.shape[-1], (1, 1), self.strides, name="conv_proj")(x)
            x = self.norm(name="norm_proj")(x)
        return nn.relu(x + y)


def basic(width: int) -> tuple[tuple[int, int], ...]:
    """Layers of a block of ResNet-18 and ResNet-34."""
    return (width, 3), (width, 3)


def bottleneck(width: int) -> tuple[tuple[int, int], ...]:
    """Layers of a block of ResNet-50."""
    return (width, 1), (width, 3), (4 * width, 1)


class ResNet(nn.Module):
    """C6, F9 and F4.

    Attributes:
      stage_sizes: Blocks of every stage.
      block: `basic` or `bottleneck`.
      stem_paddings: Those of the 7x7 convolution and the pooling in front; None: one 3x3 convolution instead.
    """

    stage_sizes: tuple[int, ...]
    block: Callable = basic
    stem_paddings: tuple[Any, Any] | None = ("SAME", "SAME")
    use_bias: bool = False
    epsilon: float = 1e-3
    num_classes: int = 1000
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        conv = partial(nn.Conv, use_bias=self.use_bias, dtype=self.dtype)
        norm = partial(BatchNorm, use_running_average=not train, epsilon=self.epsilon, dtype=self.dtype)
        if self.stem_paddings is None:
            x = nn.relu(norm()(conv(64, (3, 3))(x)))
        else:
            x = nn.relu(norm()(conv(64, (7, 7), 2, padding=self.stem_paddings[0])(x)))
            x = nn.max_pool(x, (3, 3), (2, 2), padding=self.stem_paddings[1])
        for stage, size in enumerate(self.stage_sizes):
            for number in range(size):
                strides = 2 if stage > 0 and number == 0 else 1
                x = ResidualBlock(self.block(64 * 2**stage), conv, norm, strides)(x)
        return nn.Dense(self.num_classes, dtype=self.dtype)(jnp.mean(x, axis=(1, 2)))


class Xception(nn.Module):
    """F5 and its backbone with the head of ImageNet."""

    num_classes: int = 1000
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        conv = partial(nn.Conv, use_bias=False, dtype=self.dtype)
        norm = partial(BatchNorm, use_running_average=not train, dtype=self.dtype)

        def separable(x: jax.Array, width: int) -> jax.Array:
            x = conv(x.shape[-1], (3, 3), feature_group_count=x.shape[-1])(x)
            return norm()(conv(width, (1, 1))(x))

        def shrink(x: jax.Array, first: int, second: int, start: Callable = nn.relu) -> jax.Array:
            shortcut = norm()(conv(second, (1, 1), 2)(x))
            x = separable(nn.relu(separable(start(x), first)), second)
            return nn.max_pool(x, (3, 3), (2, 2), padding="SAME") + shortcut

        x = nn.relu(norm()(conv(32, (3, 3), 2, padding="VALID")(x)))
        x = nn.relu(norm()(conv(64, (3, 3), padding="VALID")(x)))
        x = shrink(x, 128, 128, start=lambda x: x)
        x = shrink(shrink(x, 256, 256), 728, 728)
        for _ in range(8):
            shortcut = x
            for _ in range(3):
                x = separable(nn.relu(x), 728)
            x = x + shortcut
        x = shrink(x, 728, 1024)
        for width in (1536, 2048):
            x = nn.relu(separable(x, width))
        return nn.Dense(self.num_classes, dtype=self.dtype)(jnp.mean(x, axis=(1, 2)))


class SpeedNet(nn.Module):
    """Airbench's network."""

    num_classes: int = 10
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        conv = partial(nn.Conv, kernel_size=(3, 3), use_bias=False, dtype=self.dtype)
        norm = partial(BatchNorm, not train, momentum=0.6, epsilon=1e-12, dtype=self.dtype)
        gelu = partial(nn.gelu, approximate=False)
        x = gelu(nn.Conv(8 * x.shape[-1], (2, 2), padding="VALID", dtype=self.dtype)(x))
        for width in (64, 256, 256):
            x = nn.max_pool(conv(width)(x), (2, 2), (2, 2))
            x = gelu(norm()(x))
            x = gelu(norm()(conv(width)(x)))
        x = jnp.max(x, axis=(1, 2)) / 256
        return nn.Dense(self.num_classes, use_bias=False, dtype=self.dtype)(x)


class RecurrentNet(nn.Module):
    """D2 to D6: perhaps an Embed, recurrent layers with dropout, a head on the last output."""

    cell: Callable = nn.SimpleCell
    units: tuple[int, ...] = (3,)
    vocabulary: int | None = None
    dropout: float = 0.0
    num_classes: int = 5
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        if self.vocabulary is not None:
            x = nn.Embed(self.vocabulary, 2, dtype=self.dtype)(x.astype(jnp.int32))

        def zeros(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
            return jnp.zeros(shape, self.dtype)  # a state of float32 stops SimpleCell in bfloat16

        for units in self.units:
            rnn: Any = nn.RNN(self.cell(units, dtype=self.dtype, carry_init=zeros))
            x = nn.Dropout(self.dropout, deterministic=not train)(rnn(x))
        return nn.Dense(self.num_classes, dtype=self.dtype)(x[:, -1])


FASHION = ((64, 7, "SAME"),), ((128, 3, "SAME"),) * 2, ((256, 3, "SAME"),) * 2
stock = partial(RecurrentNet, units=(80, 100), dropout=0.2, num_classes=1)
imagenet_vgg = partial(vgg, widths=(4096, 4096), num_classes=1000)

FLAX_MODELS: dict[str, Callable[..., nn.Module]] = {
    "perceptron": partial(MLP, num_classes=3),
    "mlp": partial(MLP, (128,)),
    "lenet5": lenet5("SAME", nn.relu),
    "lenet5_sigmoid": lenet5("VALID", nn.sigmoid),
    "cnn": partial(ConvNet, (((32, 5, "SAME"),), ((64, 5, "SAME"),)), (1024,)),
    "cnn8": partial(ConvNet, (((8, 3, "VALID"),),), use_bias=False, conv_act=lambda x: x),
    "fashion_cnn": partial(ConvNet, FASHION, (128, 64), dropout=0.5),
    "baseline": partial(ConvNet, (((6, 5, "SAME"),),), (128,), True, conv_dropout=0.2, dropout=0.2),
    "alexnet8": AlexNet8,
    "vgg16_cifar": vgg(2, 2, 3, 3, 3, widths=(512, 512), batch_norm=True, conv_dropout=0.2, dropout=0.2),
    "inception10": Inception10,
    "resnet18": partial(ResNet, (2, 2, 2, 2), stem_paddings=None, num_classes=10),
    "resnet34": partial(ResNet, (3, 4, 6, 3)),
    "resnet50": partial(ResNet, (3, 4, 6, 3), bottleneck, (3, ((1, 1), (1, 1))), True, 1.001e-5),
    "xception": Xception,
    "xception_classifier": partial(Xception, num_classes=5),
    "vgg16": imagenet_vgg(2, 2, 3, 3, 3),
    "vgg19": imagenet_vgg(2, 2, 4, 4, 4),
    "speednet": SpeedNet,
    "letters_1to1": RecurrentNet,
    "letters_4to1": RecurrentNet,
    "letters_1to1_embedding": partial(RecurrentNet, vocabulary=5),
    "letters_4to1_embedding": partial(RecurrentNet, vocabulary=26, units=(10,), num_classes=26),
    "stock_rnn": stock,
    "stock_lstm": partial(stock, nn.OptimizedLSTMCell),
    "stock_gru": partial(stock, nn.GRUCell),
}


class TrainState(train_state.TrainState):
    """Flax's, with running statistics and the key that dropout draws from."""

    batch_stats: Any
    key: jax.Array


def make_state(
    model: nn.Module, optimizer: optax.GradientTransformation, shape: tuple[int, ...], seed: int = 0
) -> TrainState:
    """Returns the state before the first step; shape is that of one example."""
    init_key, key = jax.random.split(jax.random.key(seed))
    variables = jax.jit(model.init)(init_key, jnp.zeros((1, *shape)))
    stats = variables.get("batch_stats", {})
    return TrainState.create(
        apply_fn=model.apply, params=variables["params"], tx=optimizer, batch_stats=stats, key=key
    )


def abstract_state(
    model: nn.Module, optimizer: optax.GradientTransformation, shape: tuple[int, ...]
) -> TrainState:
    """Returns the shapes and types of `make_state`, without its numbers."""
    return jax.eval_shape(lambda: make_state(model, optimizer, shape))


def make_step(
    model: nn.Module, optimizer: optax.GradientTransformation, regression: bool = False
) -> Callable[[TrainState, dict[str, jax.Array]], tuple[TrainState, dict[str, jax.Array]]]:
    """Returns `(state, {"x", "y"}) -> (state, metrics)`, to be jitted.

    Args:
        model: The network.
        optimizer: An Optax transformation, that of the state.
        regression: Whether `y` are numbers like the outputs and the loss the squared error. By default they
            are labels (batch,) and the loss is the cross-entropy.
    """

    def step(state: TrainState, batch: dict[str, jax.Array]) -> tuple[TrainState, dict[str, jax.Array]]:
        x, y = batch["x"], batch["y"]
        if x.dtype == jnp.uint8:  # images as they are stored
            x = x.astype(jnp.float32) / 255
        rngs = {"dropout": jax.random.fold_in(state.key, state.step)}

        def loss_fn(params: Any) -> tuple[jax.Array, tuple[jax.Array, Any]]:
            variables = {"params": params, "batch_stats": state.batch_stats}
            outputs, new = model.apply(variables, x, train=True, rngs=rngs, mutable=["batch_stats"])
            outputs = outputs.astype(jnp.float32)  # bfloat16 has three digits, too few for a loss
            if regression:
                return optax.squared_error(outputs, y).mean(), (outputs, new)
            loss = optax.softmax_cross_entropy_with_integer_labels(outputs, y).mean()
            return loss, (outputs, new)

        (loss, (outputs, new)), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        metrics = {"loss": loss}
        if not regression:
            metrics["accuracy"] = jnp.mean(jnp.argmax(outputs, -1) == y)
        state = state.replace(
            step=state.step + 1,
            params=optax.apply_updates(state.params, updates),
            opt_state=opt_state,
            batch_stats=new.get("batch_stats", {}),
        )
        return state, metrics

    return step
