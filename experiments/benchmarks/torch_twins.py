"""The networks of the benchmarks in PyTorch, from NCHW images to logits, with as many parameters as ours.

Lazy layers find their input widths at the first call, so that a network is the list of its layers. Where
Keras pads one end more than the other (an even side at stride 2, an even pooling window), PyTorch's own
symmetric padding is used: the sizes and the work are the same. Initial values are PyTorch's.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

conv, dense = nn.LazyConv2d, nn.LazyLinear
norm = partial(nn.LazyBatchNorm2d, eps=1e-3, momentum=0.01)  # PyTorch's momentum is the new values' share


def dense_relu(*widths: int, dropout: float = 0.0) -> list[nn.Module]:
    """Hidden layers, each with its dropout."""
    return [part for width in widths for part in (dense(width), nn.ReLU(), nn.Dropout(dropout))]


def mlp() -> nn.Module:
    """B2."""
    return nn.Sequential(nn.Flatten(), dense(128), nn.ReLU(), dense(10))


def lenet5(activation: Callable[[], nn.Module], padding: int) -> nn.Module:
    """E2 with ReLU and padding 2, C2 with sigmoid and none."""
    convs = [conv(6, 5, padding=padding), activation(), nn.MaxPool2d(2), conv(16, 5), activation()]
    head = [dense(120), activation(), dense(84), activation(), dense(10)]
    return nn.Sequential(*convs, nn.MaxPool2d(2), nn.Flatten(), *head)


def cnn() -> nn.Module:
    """E4."""
    groups = [part for w in (32, 64) for part in (conv(w, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2))]
    return nn.Sequential(*groups, nn.Flatten(), dense(1024), nn.ReLU(), dense(10))


def fashion_cnn() -> nn.Module:
    """F3."""
    layers: list[nn.Module] = []
    for group in ([(64, 7)], [(128, 3), (128, 3)], [(256, 3), (256, 3)]):
        for width, size in group:
            layers += [conv(width, size, padding=size // 2), nn.ReLU()]
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), *dense_relu(128, 64, dropout=0.5), dense(10))


def baseline() -> nn.Module:
    """C1."""
    first = [conv(6, 5, padding=2), norm(), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.2)]
    return nn.Sequential(*first, nn.Flatten(), *dense_relu(128, dropout=0.2), dense(10))


def alexnet8() -> nn.Module:
    """C3."""
    layers: list[nn.Module] = []
    for width in (96, 256):
        layers += [conv(width, 3), norm(), nn.ReLU(), nn.MaxPool2d(3, 2)]
    for width in (384, 384, 256):
        layers += [conv(width, 3, padding=1), nn.ReLU()]
    layers += [nn.MaxPool2d(3, 2), nn.Flatten(), *dense_relu(2048, 2048, dropout=0.5), dense(10)]
    return nn.Sequential(*layers)


def vgg16_cifar() -> nn.Module:
    """C4."""
    layers: list[nn.Module] = []
    for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        layers += [part for _ in range(count) for part in (conv(width, 3, padding=1), norm(), nn.ReLU())]
        layers += [nn.MaxPool2d(2), nn.Dropout(0.2)]
    return nn.Sequential(*layers, nn.Flatten(), *dense_relu(512, 512, dropout=0.2), dense(10))


class Branches(nn.Module):
    """Several paths from one input, put together by `join`."""

    def __init__(self, join: Callable[[list[torch.Tensor]], torch.Tensor], *paths: nn.Module):
        super().__init__()
        self.join, self.paths = join, nn.ModuleList(paths)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to the same layout."""
        return self.join([path(x) for path in self.paths])


def added(*paths: nn.Module) -> Branches:
    """A residual block."""
    return Branches(lambda outputs: outputs[0] + outputs[1], *paths)


class FixedAffine(nn.BatchNorm2d):
    """BN that uses its running statistics even while training, as C5 has it."""

    def train(self, mode: bool = True) -> "FixedAffine":
        """Stays as for evaluation."""
        return super().train(False)


def inception10() -> nn.Module:
    """C5."""

    def cbr(width: int, size: int, strides: int = 1) -> nn.Module:
        layer = conv(width, size, strides, padding=size // 2)
        return nn.Sequential(layer, FixedAffine(width, eps=1e-3), nn.ReLU())

    def unit(w: int, s: int) -> nn.Module:
        three = nn.Sequential(cbr(w, 1, s), cbr(w, 3))
        five = nn.Sequential(cbr(w, 1, s), cbr(w, 5))
        pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), cbr(w, 1, s))
        return Branches(partial(torch.cat, dim=1), cbr(w, 1, s), three, five, pool)

    units = [unit(width, strides) for width in (16, 32) for strides in (2, 1)]
    return nn.Sequential(cbr(16, 3), *units, *mean_and_head(10))


def mean_and_head(classes: int) -> list[nn.Module]:
    """How residual and Inception networks end."""
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), dense(classes)]


def cbn(width: int, size: int, strides: int = 1, bias: bool = False, eps: float = 1e-3) -> list[nn.Module]:
    """A convolution and its normalization."""
    return [conv(width, size, strides, padding=size // 2, bias=bias), norm(eps=eps)]


def resnet18() -> nn.Module:
    """C6."""
    layers: list[nn.Module] = [*cbn(64, 3), nn.ReLU()]
    for stage in range(4):
        for number in range(2):
            width, strides = 64 * 2**stage, 2 if stage and not number else 1
            block = nn.Sequential(*cbn(width, 3, strides), nn.ReLU(), *cbn(width, 3))
            shortcut = nn.Sequential(*cbn(width, 1, strides)) if strides > 1 else nn.Identity()
            layers += [added(block, shortcut), nn.ReLU()]
    return nn.Sequential(*layers, *mean_and_head(10))


def resnet50() -> nn.Module:
    """F4: v1 as keras.applications has it, biases in the convolutions, the stride in a block's first."""
    cb = partial(cbn, bias=True, eps=1.001e-5)
    layers: list[nn.Module] = [*cb(64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    for stage, size in enumerate((3, 4, 6, 3)):
        for number in range(size):
            width, strides = 64 * 2**stage, 2 if stage and not number else 1
            block = nn.Sequential(
                *cb(width, 1, strides), nn.ReLU(), *cb(width, 3), nn.ReLU(), *cb(4 * width, 1)
            )
            shortcut = nn.Identity() if number else nn.Sequential(*cb(4 * width, 1, strides))
            layers += [added(block, shortcut), nn.ReLU()]
    return nn.Sequential(*layers, *mean_and_head(1000))


def xception() -> nn.Module:
    """F5's backbone with its ImageNet head."""

    def separable(inputs: int, width: int) -> list[nn.Module]:
        depthwise = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
        return [depthwise, nn.Conv2d(inputs, width, 1, bias=False), norm()]

    def shrinking(inputs: int, first: int, width: int, relu_first: bool = True) -> nn.Module:
        start = [nn.ReLU()] if relu_first else []
        body = [*start, *separable(inputs, first), nn.ReLU(), *separable(first, width), nn.MaxPool2d(3, 2, 1)]
        return added(nn.Sequential(*body), nn.Sequential(*cbn(width, 1, 2)))

    def middle() -> nn.Module:
        return added(
            nn.Sequential(*(part for _ in range(3) for part in (nn.ReLU(), *separable(728, 728)))),
            nn.Identity(),
        )

    entry = [conv(32, 3, 2, bias=False), norm(), nn.ReLU(), conv(64, 3, bias=False), norm(), nn.ReLU()]
    shrink = [shrinking(64, 128, 128, relu_first=False), shrinking(128, 256, 256), shrinking(256, 728, 728)]
    leave = [*separable(1024, 1536), nn.ReLU(), *separable(1536, 2048), nn.ReLU()]
    middles = [middle() for _ in range(8)]
    return nn.Sequential(*entry, *shrink, *middles, shrinking(728, 728, 1024), *leave, *mean_and_head(1000))


class Stock(nn.Module):
    """D6: two recurrent layers of 80 and 100 units with dropout, one output."""

    def __init__(self, layer: Callable[..., nn.Module]):
        super().__init__()
        self.first, self.second = layer(1, 80, batch_first=True), layer(80, 100, batch_first=True)
        self.dropout, self.head = nn.Dropout(0.2), nn.Linear(100, 1)
        for name, values in self.named_parameters():
            # Keras's LSTM has one bias where cuDNN's, and so PyTorch's, has two: the second stays 0.
            if layer is nn.LSTM and "bias_hh" in name:
                nn.init.zeros_(values).requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, time, 1) to (N, 1)."""
        x, _ = self.first(x)
        x, _ = self.second(self.dropout(x))
        return self.head(self.dropout(x[:, -1]))


TORCH_MODELS: dict[str, Callable[[], nn.Module]] = {
    "mlp": mlp,
    "lenet5": partial(lenet5, nn.ReLU, 2),
    "lenet5_sigmoid": partial(lenet5, nn.Sigmoid, 0),
    "cnn": cnn,
    "fashion_cnn": fashion_cnn,
    "baseline": baseline,
    "alexnet8": alexnet8,
    "vgg16_cifar": vgg16_cifar,
    "inception10": inception10,
    "resnet18": resnet18,
    "resnet50": resnet50,
    "xception": xception,
    "stock_lstm": partial(Stock, nn.LSTM),
    "stock_gru": partial(Stock, nn.GRU),
}


def make(name: str, example: torch.Tensor) -> nn.Module:
    """The network, its widths found by one call on an example batch."""
    model = TORCH_MODELS[name]()
    with torch.no_grad():
        model.eval()(example)
    return model.train()


def parameters(model: Any) -> int:
    """Trained values, and running statistics as Keras counts them."""
    trained = sum(values.numel() for values in model.parameters() if values.requires_grad)
    running = sum(values.numel() for name, values in model.named_buffers() if "running" in name)
    return trained + running
