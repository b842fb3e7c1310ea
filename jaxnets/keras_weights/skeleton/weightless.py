"""The code of Keras's layers without weights."""

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from jaxnets.keras_weights.skeleton.activations import Unsupported
from jaxnets.keras_weights.skeleton.settings import Piece, Settings, arguments, size


def expression(form: str, rank: int | None = None) -> Piece:
    """Returns a layer that is one expression, with {0} for its input."""
    return Piece(call=lambda layer, x: form.format(x), rank=rank)


def _activation(s: Settings) -> Piece:
    return expression(s.activated())


def _relu(s: Settings, slope: float = 0.0) -> Piece:
    name = "negative_slope" if "negative_slope" in s.config else "alpha"
    slope, most = s.number(name, slope), s.get("max_value")
    threshold = s.number("theta" if "theta" in s.config else "threshold", 0.0)
    made = arguments(
        "{0}",
        negative_slope=slope or None,
        max_value=None if most is None else s.number("max_value"),
        threshold=threshold or None,
    )
    return expression(f"nn.relu({made})")


def _elu(s: Settings) -> Piece:
    return expression(f"linen.elu({{0}}, {s.number('alpha', 1.0)})")


def _softmax(s: Settings) -> Piece:
    s.unmasked()
    axis = s.whole("axis", -1)
    return expression("linen.softmax({0})" if axis == -1 else f"linen.softmax({{0}}, {axis})")


def _dropout(s: Settings, axes: int = 0) -> Piece:
    rate = s.number("rate", 0.5)
    shape = s.get("noise_shape")
    if shape is not None and (not isinstance(shape, list) or not {*map(str, shape)} <= {"None", "1"}):
        raise Unsupported(f"its noise_shape {shape!r:.60}")
    one = [axis for axis, side in enumerate(shape or ()) if side == 1] or list(range(1, axes + 1))
    s.one_of("data_format", "channels_last", None)
    if not 0 <= rate <= 1:
        raise Unsupported(f"its rate {rate}")
    dims = f", {size(one, always=True)}" if one else ""
    return expression(f"nn.Dropout({rate}{dims})({{0}}, {s.train})")


def _noise(s: Settings, product: bool = False) -> Piece:
    if s.train == "False":
        s.get("rate"), s.get("stddev")
        return expression("{0}")
    rate = s.number("rate", 0.5) if product else 0.0
    deviation = (rate / (1 - rate)) ** 0.5 if product and 0 <= rate < 1 else s.number("stddev", 0.0)
    drawn = f'{deviation} * jax.random.normal(self.make_rng("dropout"), {{0}}.shape)'
    noisy = f"{{0}} * (1 + {drawn})" if product else f"{{0}} + {drawn}"
    return expression(noisy if s.train == "True" else f"{noisy} if train else {{0}}")


def _identity(s: Settings) -> Piece:
    return expression("{0}")


def _flatten(s: Settings) -> Piece:
    s.one_of("data_format", "channels_last", None)
    return expression("nn.flatten({0})", rank=2)


def _reshape(s: Settings) -> Piece:
    shape = s.wholes("target_shape")
    return expression(f"{{0}}.reshape({', '.join(['{0}.shape[0]', *map(str, shape)])})", rank=1 + len(shape))


def _permute(s: Settings) -> Piece:
    return expression(f"{{0}}.transpose({', '.join(map(str, (0, *s.wholes('dims'))))})")


def _repeat(s: Settings) -> Piece:
    return expression(f"jnp.repeat({{0}}[:, None], {s.whole('n')}, 1)", rank=3)


def _rescale(s: Settings) -> Piece:
    scale, offset = s.number("scale"), s.number("offset", 0.0)
    return expression(f"{{0}} * {scale} + {offset}" if offset else f"{{0}} * {scale}")


def _masking(s: Settings) -> Piece:
    value = s.number("mask_value", 0.0)
    return Piece(call=lambda layer, x: f"nn.masking({x}{f', {value}' if value else ''})", more=(2,))


def _merge(s: Settings, operator: str = "", function: str = "", mean: bool = False) -> Piece:
    if len({*s.ranks} - {None}) > 1 or len(s.ranks) < 2:
        raise Unsupported("its inputs, which have different numbers of axes")

    def call(layer: Any, *inputs: str) -> str:
        if not function:
            total = f" {operator} ".join(inputs)
            return f"({total}) / {len(inputs)}" if mean else total
        one, *others = inputs
        for other in others:
            one = f"{function}({one}, {other})"
        return one

    return Piece(call=call)


def _concatenate(s: Settings) -> Piece:
    axis = s.whole("axis", -1)
    return Piece(call=lambda layer, *inputs: f"jnp.concatenate([{', '.join(inputs)}], {axis})")


def _pool(s: Settings, rank: int, name: str) -> Piece:
    s.one_of("data_format", "channels_last", None)
    window, padding = s.sides("pool_size", rank, 2), s.one_of("padding", "valid", "same")
    strides = window if s.get("strides") is None else s.sides("strides", rank)
    made = arguments(
        "{0}",
        size(window, always=rank != 2),
        strides=None if strides == window else size(strides),
        padding=None if padding == "valid" else f'"{padding}"',
    )
    return expression(f"nn.{name}_pool({made})")


def _global_pool(s: Settings, rank: int, name: str) -> Piece:
    s.one_of("data_format", "channels_last", None)
    keep = s.flag("keepdims")
    mask = s.mask if name == "avg" and rank == 1 else None
    made = arguments("{0}", mask=mask, rank=None if rank == 2 else rank, keepdims="True" if keep else None)
    return expression(f"nn.global_{name}_pool({made})", rank=None if keep else 2)


def _pairs(s: Settings, name: str, rank: int) -> list[tuple[int, int]]:
    value = s.get(name)
    sides = [value] * rank if isinstance(value, int) else [value] if rank == 1 else value
    result = []
    for side in sides if isinstance(sides, (list, tuple)) else ():
        pair = [side, side] if isinstance(side, int) else side
        if not isinstance(pair, (list, tuple)) or [type(one) for one in pair] != [int, int]:
            raise Unsupported(f"its {name} {value!r:.60}")
        result.append((pair[0], pair[1]))
    if len(result) != rank or any(not 0 <= one < 2**31 for one in itertools.chain(*result)):
        raise Unsupported(f"its {name} {value!r:.60}")
    return result


def _pad(s: Settings, rank: int) -> Piece:
    s.one_of("data_format", "channels_last", None)
    s.one_of("mode", "constant")
    pads = ", ".join(map(str, [(0, 0), *_pairs(s, "padding", rank), (0, 0)]))
    return expression(f"jnp.pad({{0}}, ({pads}))")


def _crop(s: Settings, rank: int) -> Piece:
    s.one_of("data_format", "channels_last", None)
    cuts = [f"{a or ''}:{-b if b else ''}" for a, b in _pairs(s, "cropping", rank)]
    return expression(f"{{0}}[:, {', '.join(cuts)}]")


def _enlarge(s: Settings, rank: int) -> Piece:
    s.one_of("data_format", "channels_last", None)
    times = s.sides("size", rank, 2)
    if s.one_of("interpolation", "nearest", "bilinear") == "nearest":
        return expression("{0}" + "".join(f".repeat({n}, {i})" for i, n in enumerate(times, start=1)))
    sides: Sequence[str] = [f"{{0}}.shape[{i}] * {n}" for i, n in enumerate(times, start=1)]
    shape = f"({{0}}.shape[0], {', '.join(sides)}, {{0}}.shape[-1])"
    return expression(f'jax.image.resize({{0}}, {shape}, "bilinear", antialias=False)')


WEIGHTLESS: dict[str, Callable[[Settings], Piece]] = {
    "Activation": _activation,
    "ReLU": _relu,
    "LeakyReLU": partial(_relu, slope=0.3),
    "ELU": _elu,
    "Softmax": _softmax,
    "Dropout": _dropout,
    "SpatialDropout1D": partial(_dropout, axes=1),
    "SpatialDropout2D": partial(_dropout, axes=2),
    "SpatialDropout3D": partial(_dropout, axes=3),
    "GaussianNoise": _noise,
    "GaussianDropout": partial(_noise, product=True),
    "Identity": _identity,
    "ActivityRegularization": _identity,
    "Masking": _masking,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Permute": _permute,
    "RepeatVector": _repeat,
    "Rescaling": _rescale,
    "Concatenate": _concatenate,
    "Add": partial(_merge, operator="+"),
    "Subtract": partial(_merge, operator="-"),
    "Multiply": partial(_merge, operator="*"),
    "Average": partial(_merge, operator="+", mean=True),
    "Maximum": partial(_merge, function="jnp.maximum"),
    "Minimum": partial(_merge, function="jnp.minimum"),
    **{f"MaxPooling{n}D": partial(_pool, rank=n, name="max") for n in (1, 2, 3)},
    **{f"AveragePooling{n}D": partial(_pool, rank=n, name="avg") for n in (1, 2, 3)},
    **{f"GlobalMaxPooling{n}D": partial(_global_pool, rank=n, name="max") for n in (1, 2, 3)},
    **{f"GlobalAveragePooling{n}D": partial(_global_pool, rank=n, name="avg") for n in (1, 2, 3)},
    **{f"ZeroPadding{n}D": partial(_pad, rank=n) for n in (1, 2, 3)},
    **{f"Cropping{n}D": partial(_crop, rank=n) for n in (1, 2, 3)},
    **{f"UpSampling{n}D": partial(_enlarge, rank=n) for n in (1, 2, 3)},
}
