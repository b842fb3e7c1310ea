"""The documented networks in Keras, written from the documents.

They are the oracle of the parity tests and a contestant of the benchmarks. Layers have the names of ours, so
that weights find their places. Every network returns logits, and has no dropout unless it is asked for.
"""

from collections.abc import Callable
from functools import partial

import keras
from keras import layers


def dense_net(shape, *, widths, classes):
    """Flatten, hidden ReLU layers, head."""
    model = [layers.Flatten()]
    model += [layers.Dense(w, "relu", name=f"dense{n}") for n, w in enumerate(widths, start=1)]
    return keras.Sequential([layers.Input(shape), *model, layers.Dense(classes, name="head")])


def lenet5(shape, *, activation, padding):
    """LeNet-5: E2 with ReLU and "same", C2 with sigmoid and "valid"."""
    return keras.Sequential(
        [
            layers.Input(shape),
            layers.Conv2D(6, (5, 5), padding=padding, activation=activation, name="conv1"),
            layers.MaxPooling2D((2, 2)),
            layers.Conv2D(16, (5, 5), activation=activation, name="conv2"),
            layers.MaxPooling2D((2, 2)),
            layers.Flatten(),
            layers.Dense(120, activation, name="dense1"),
            layers.Dense(84, activation, name="dense2"),
            layers.Dense(10, name="head"),
        ]
    )


def cnn(shape):
    """E4."""
    conv = partial(layers.Conv2D, kernel_size=[5, 5], padding="same", activation="relu")
    return keras.Sequential(
        [
            layers.Input(shape),
            conv(32, name="conv1"),
            layers.MaxPool2D([2, 2], strides=2),
            conv(64, name="conv2"),
            layers.MaxPool2D([2, 2], strides=2),
            layers.Flatten(),
            layers.Dense(1024, "relu", name="dense1"),
            layers.Dense(10, name="head"),
        ]
    )


def cnn8(shape):
    """E5."""
    return keras.Sequential(
        [
            layers.Input(shape),
            layers.Conv2D(8, 3, use_bias=False, name="conv1"),
            layers.MaxPool2D(2),
            layers.Flatten(),
            layers.Dense(10, name="head"),
        ]
    )


def fashion_cnn(shape, *, dropout=0.0):
    """F3."""
    conv = partial(layers.Conv2D, kernel_size=3, activation="relu", padding="SAME")
    return keras.Sequential(
        [
            layers.Input(shape),
            conv(filters=64, kernel_size=7, name="conv1"),
            layers.MaxPooling2D(pool_size=2),
            conv(filters=128, name="conv2"),
            conv(filters=128, name="conv3"),
            layers.MaxPooling2D(pool_size=2),
            conv(filters=256, name="conv4"),
            conv(filters=256, name="conv5"),
            layers.MaxPooling2D(pool_size=2),
            layers.Flatten(),
            layers.Dense(units=128, activation="relu", name="dense1"),
            layers.Dropout(dropout),
            layers.Dense(units=64, activation="relu", name="dense2"),
            layers.Dropout(dropout),
            layers.Dense(units=10, name="head"),
        ]
    )


def baseline(shape, *, dropout=0.0):
    """C1."""
    return keras.Sequential(
        [
            layers.Input(shape),
            layers.Conv2D(filters=6, kernel_size=(5, 5), padding="same", name="conv1"),
            layers.BatchNormalization(name="bn1"),
            layers.Activation("relu"),
            layers.MaxPool2D(pool_size=(2, 2), strides=2, padding="same"),
            layers.Dropout(dropout),
            layers.Flatten(),
            layers.Dense(128, activation="relu", name="dense1"),
            layers.Dropout(dropout),
            layers.Dense(10, name="head"),
        ]
    )


def alexnet8(shape, *, dropout=0.0):
    """C3."""
    return keras.Sequential(
        [
            layers.Input(shape),
            layers.Conv2D(filters=96, kernel_size=(3, 3), name="conv1"),
            layers.BatchNormalization(name="bn1"),
            layers.Activation("relu"),
            layers.MaxPool2D(pool_size=(3, 3), strides=2),
            layers.Conv2D(filters=256, kernel_size=(3, 3), name="conv2"),
            layers.BatchNormalization(name="bn2"),
            layers.Activation("relu"),
            layers.MaxPool2D(pool_size=(3, 3), strides=2),
            layers.Conv2D(filters=384, kernel_size=(3, 3), padding="same", activation="relu", name="conv3"),
            layers.Conv2D(filters=384, kernel_size=(3, 3), padding="same", activation="relu", name="conv4"),
            layers.Conv2D(filters=256, kernel_size=(3, 3), padding="same", activation="relu", name="conv5"),
            layers.MaxPool2D(pool_size=(3, 3), strides=2),
            layers.Flatten(),
            layers.Dense(2048, activation="relu", name="dense1"),
            layers.Dropout(dropout),
            layers.Dense(2048, activation="relu", name="dense2"),
            layers.Dropout(dropout),
            layers.Dense(10, name="head"),
        ]
    )


def vgg16_cifar(shape, *, dropout=0.0):
    """C4."""
    model = [layers.Input(shape)]
    for group, (width, count) in enumerate([(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)], start=1):
        for n in range(1, count + 1):
            model.append(layers.Conv2D(width, (3, 3), padding="same", name=f"block{group}_conv{n}"))
            model.append(layers.BatchNormalization(name=f"block{group}_bn{n}"))
            model.append(layers.Activation("relu"))
        model.append(layers.MaxPool2D(pool_size=(2, 2), strides=2, padding="same"))
        model.append(layers.Dropout(dropout))
    model.append(layers.Flatten())
    for n in (1, 2):
        model += [layers.Dense(512, activation="relu", name=f"fc{n}"), layers.Dropout(dropout)]
    return keras.Sequential([*model, layers.Dense(10, name="predictions")])


class FixedAffine(layers.BatchNormalization):
    """BN that is called with training=False come what may."""

    def call(self, inputs, training=None, mask=None):
        """Use the running statistics."""
        return super().call(inputs, training=False, mask=mask)


def inception10(shape, *, fixed_affine):
    """C5, with BN as documented (training=False) or live."""

    def conv(x, ch, name, kernelsz=3, strides=1):
        x = layers.Conv2D(ch, kernelsz, strides=strides, padding="same", name=f"{name}_conv")(x)
        norm = FixedAffine if fixed_affine else layers.BatchNormalization
        x = norm(name=f"{name}_bn")(x)
        return layers.Activation("relu")(x)

    def unit(x, ch, strides, name):
        x1 = conv(x, ch, f"{name}_1x1", kernelsz=1, strides=strides)
        x2 = conv(x, ch, f"{name}_3x3_reduce", kernelsz=1, strides=strides)
        x2 = conv(x2, ch, f"{name}_3x3", kernelsz=3)
        x3 = conv(x, ch, f"{name}_5x5_reduce", kernelsz=1, strides=strides)
        x3 = conv(x3, ch, f"{name}_5x5", kernelsz=5)
        x4 = layers.MaxPool2D(3, strides=1, padding="same")(x)
        x4 = conv(x4, ch, f"{name}_pool", kernelsz=1, strides=strides)
        return layers.Concatenate(axis=3)([x1, x2, x3, x4])

    inputs = layers.Input(shape)
    x = conv(inputs, 16, "stem")
    for block, ch in ((1, 16), (2, 32)):
        x = unit(x, ch, 2, f"block{block}_unit1")
        x = unit(x, ch, 1, f"block{block}_unit2")
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(10, name="head")(x))


def basic_resnet(shape, *, blocks, stem, classes):
    """C6 with the CIFAR stem, F9 with the ImageNet stem."""
    conv = partial(layers.Conv2D, kernel_size=3, padding="same", use_bias=False)

    def block(x, width, strides, name):
        y = conv(width, strides=strides, name=f"{name}_1_conv")(x)
        y = layers.ReLU()(layers.BatchNormalization(name=f"{name}_1_bn")(y))
        y = conv(width, name=f"{name}_2_conv")(y)
        y = layers.BatchNormalization(name=f"{name}_2_bn")(y)
        if strides > 1:
            x = conv(width, kernel_size=1, strides=strides, name=f"{name}_0_conv")(x)
            x = layers.BatchNormalization(name=f"{name}_0_bn")(x)
        return layers.ReLU()(layers.Add()([y, x]))

    inputs = layers.Input(shape)
    size, strides = (3, 1) if stem == "cifar" else (7, 2)
    x = conv(64, kernel_size=size, strides=strides, name="conv1_conv")(inputs)
    x = layers.ReLU()(layers.BatchNormalization(name="conv1_bn")(x))
    if stem == "imagenet":
        x = layers.MaxPool2D(3, strides=2, padding="same")(x)
    for stage, count in enumerate(blocks):
        for number in range(count):
            strides = 2 if stage > 0 and number == 0 else 1
            x = block(x, 64 * 2**stage, strides, f"conv{stage + 2}_block{number + 1}")
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(classes, name="predictions")(x))


def speednet(shape):
    """Airbench's network."""
    conv = partial(layers.Conv2D, kernel_size=3, padding="same", use_bias=False)
    norm = partial(layers.BatchNormalization, momentum=0.6, epsilon=1e-12)
    model = [layers.Input(shape), layers.Conv2D(24, 2, activation="gelu", name="whiten")]
    for block, width in enumerate((64, 256, 256), start=1):
        model += [conv(width, name=f"block{block}_conv1"), layers.MaxPool2D()]
        model += [norm(name=f"block{block}_bn1"), layers.Activation("gelu")]
        model += [conv(width, name=f"block{block}_conv2"), norm(name=f"block{block}_bn2")]
        model.append(layers.Activation("gelu"))
    model += [layers.GlobalMaxPooling2D(), layers.Rescaling(1 / 256)]
    return keras.Sequential([*model, layers.Dense(10, use_bias=False, name="head")])


def application(shape, *, name):
    """keras.applications with random weights, giving logits."""
    build = getattr(keras.applications, name)
    if name != "Xception":
        return build(weights=None, input_shape=shape, classifier_activation=None)
    return xception(shape, lambda x: layers.Dense(1000, name="predictions")(x))


def xception(shape, head: Callable):
    """Xception without top, its unnamed shortcuts named, then global mean and ``head``."""
    base = keras.applications.Xception(weights=None, input_shape=shape, include_top=False)
    for kind, suffix in ((layers.Conv2D, "conv"), (layers.BatchNormalization, "bn")):
        unnamed = [v for v in base.layers if type(v) is kind and not v.name.startswith("block")]
        for layer, block in zip(unnamed, (2, 3, 4, 13), strict=True):
            layer.name = f"block{block}_shortcut_{suffix}"
    return keras.Model(base.input, head(layers.GlobalAveragePooling2D()(base.output)))


def one_head(x):  # F5
    return layers.Dense(5, name="head")(x)


def two_heads(x):  # F6
    return {"class": layers.Dense(5, name="class_head")(x), "box": layers.Dense(4, name="box_head")(x)}


def recurrent(shape, *, layer=layers.SimpleRNN, units=(3,), classes=5, vocabulary=None, dropout=0.0):
    """D2 to D6."""
    model = [layers.Input(shape)]
    if vocabulary:
        model.append(layers.Embedding(vocabulary, 2, name="embedding"))
    for number, width in enumerate(units, start=1):
        model.append(layer(width, return_sequences=number < len(units), name=f"rnn{number}"))
        model.append(layers.Dropout(dropout))
    return keras.Sequential([*model, layers.Dense(classes, name="head")])


stock = partial(recurrent, units=(80, 100), classes=1)

KERAS_MODELS: dict[str, Callable[..., keras.Model]] = {
    "perceptron": partial(dense_net, widths=(), classes=3),
    "mlp": partial(dense_net, widths=(128,), classes=10),
    "lenet5": partial(lenet5, activation="relu", padding="same"),
    "lenet5_sigmoid": partial(lenet5, activation="sigmoid", padding="valid"),
    "cnn": cnn,
    "cnn8": cnn8,
    "fashion_cnn": fashion_cnn,
    "baseline": baseline,
    "alexnet8": alexnet8,
    "vgg16_cifar": vgg16_cifar,
    "inception10": partial(inception10, fixed_affine=True),
    "inception10_fixed_affine=False": partial(inception10, fixed_affine=False),
    "resnet18": partial(basic_resnet, blocks=(2, 2, 2, 2), stem="cifar", classes=10),
    "resnet34": partial(basic_resnet, blocks=(3, 4, 6, 3), stem="imagenet", classes=1000),
    "resnet50": partial(application, name="ResNet50"),
    "xception": partial(application, name="Xception"),
    "xception_classifier": partial(xception, head=one_head),
    "xception_localizer": partial(xception, head=two_heads),
    "vgg16": partial(application, name="VGG16"),
    "vgg19": partial(application, name="VGG19"),
    "speednet": speednet,
    "letters_1to1": recurrent,
    "letters_4to1": recurrent,
    "letters_1to1_embedding": partial(recurrent, vocabulary=5),
    "letters_4to1_embedding": partial(recurrent, vocabulary=26, units=(10,), classes=26),
    "stock_rnn": stock,
    "stock_lstm": partial(stock, layer=layers.LSTM),
    "stock_gru": partial(stock, layer=layers.GRU),
}
