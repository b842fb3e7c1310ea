"""The code of every Keras layer that is known: `LAYERS`, a line for each."""

from collections.abc import Callable
from functools import partial

from jaxnets.keras_weights.skeleton.activations import Unsupported
from jaxnets.keras_weights.skeleton.settings import Piece, Settings, arguments, size
from jaxnets.keras_weights.skeleton.weightless import WEIGHTLESS


def _unless(setting: bool, default: bool = True) -> str | None:
    """Returns the code of a setting; None for its default."""
    return None if setting is default else str(setting)


def _dense(s: Settings) -> Piece:
    made = arguments(s.whole("units"), use_bias=_unless(s.flag("use_bias", True)), activation=s.activation())
    return Piece(f"nn.Dense({made}")


def _convolution(s: Settings, rank: int, name: str = "Conv") -> Piece:
    s.one_of("data_format", "channels_last", None)
    transposed, depthwise = name == "ConvTranspose", name == "DepthwiseConv"
    first = [] if depthwise else [s.whole("filters")]
    strides, dilation = s.sides("strides", rank, 1), s.sides("dilation_rate", rank, 1)
    known = ("valid", "same") if transposed or rank > 1 else ("valid", "same", "causal")
    padding, groups = s.one_of("padding", *known), s.whole("groups", 1)
    multiplier = s.whole("depth_multiplier", 1) if name in ("DepthwiseConv", "SeparableConv") else 1
    if name != "Conv" and groups not in (1, *first):  # what they have of their base class says nothing
        raise Unsupported(f"its groups {groups}")
    further = s.sides("output_padding", rank) if transposed and s.get("output_padding") is not None else None
    made = arguments(
        *first,
        size(s.sides("kernel_size", rank), always=rank != 2),
        strides=None if set(strides) == {1} else size(strides),
        padding=None if padding == "valid" else f'"{padding}"',
        output_padding=None if further is None else size(further),
        dilation=None if set(dilation) == {1} else size(dilation),
        groups=None if name != "Conv" or groups == 1 else groups,
        multiplier=None if multiplier == 1 else multiplier,
        use_bias=_unless(s.flag("use_bias", True)),
        activation=s.activation(),
    )
    return Piece(f"nn.{name}({made}")


def _batch_norm(s: Settings) -> Piece:
    momentum, epsilon, axis = s.number("momentum", 0.99), s.number("epsilon", 1e-3), s.axis()
    if axis is not None:
        s.unmasked()  # Keras's mask would mean other axes
    made = arguments(
        momentum=None if momentum == 0.99 else momentum,
        epsilon=None if epsilon == 1e-3 else epsilon,
        axis=axis,
        use_scale=_unless(s.flag("scale", True)),
        use_bias=_unless(s.flag("center", True)),
    )
    frozen = s.config.get("trainable") is False  # with its weights, Keras freezes its statistics
    more = arguments("False" if frozen else s.train, mask=s.mask)
    return Piece(f"nn.BatchNorm({made}", lambda layer, x: f"{layer}({x}, {more})")


def _norm(s: Settings, name: str, **more: str) -> Piece:
    s.last_axis()
    made = arguments(
        epsilon=s.number("epsilon", 1e-3),
        use_scale=_unless(s.flag("scale", True)),
        use_bias=_unless(s.flag("center", True)),
        use_fast_variance=False,
        **more,
    )
    return Piece(f"linen.{name}({made}")


def _group_norm(s: Settings) -> Piece:
    groups = s.whole("groups", 32)
    how = {"num_groups": "None", "group_size": "1"} if groups == -1 else {"num_groups": str(groups)}
    return _norm(s, "GroupNorm", **how)


def _embedding(s: Settings) -> Piece:
    s.flag("mask_zero")  # `masks.add_masks` reads it
    made = arguments(s.whole("input_dim"), s.whole("output_dim"))
    return Piece(f"nn.Embedding({made}", rank=None if s.ranks[0] is None else s.rank + 1)


def _recurrent(s: Settings, name: str) -> Piece:
    for setting in ("stateful", "time_major"):
        s.one_of(setting, False)
    sequences, with_state = s.flag("return_sequences"), s.flag("return_state")
    rates = {rate: s.number(rate, 0.0) or None for rate in ("dropout", "recurrent_dropout")}
    flags = ("go_backwards", "return_state", "zero_output_for_mask", "unroll")
    gates, reset = None, None
    if name != "SimpleRNN":
        gates = s.activation("recurrent_activation", "sigmoid") or '"linear"'
    if name == "GRU":
        reset = _unless(s.flag("reset_after", s.version[:1] == "3"))
    activation = s.activation(default="tanh") or '"linear"'
    made = arguments(
        s.whole("units"),
        return_sequences=_unless(sequences, False),
        reset_after=reset,
        activation=None if activation == '"tanh"' else activation,
        recurrent_activation=None if gates == '"sigmoid"' else gates,
        use_bias=_unless(s.flag("use_bias", True)),
        **rates,
        **{flag: _unless(s.flag(flag), False) for flag in flags},
    )
    states = (2,) * (2 if name == "LSTM" else 1) * with_state
    return Piece(f"nn.{name}({made}", over_time(s, any(rates.values())), 3 if sequences else 2, states)


def over_time(s: Settings, drops: bool) -> Callable[..., str]:
    """Returns what makes the code of a call of a recurrent layer."""
    mask, train = s.mask, s.train if drops else None

    def call(layer: str, x: str, *states: str) -> str:
        start = size(states, always=True) if states else None
        return f"{layer}({arguments(x, mask=mask, initial_state=start, train=train)})"

    return call


def _attention(s: Settings) -> Piece:
    if s.get("attention_axes") not in (None, list(range(1, s.rank - 1))):
        raise Unsupported(f"its attention_axes {s.get('attention_axes')!r:.60}")
    s.unmasked()
    heads, width, rate = s.whole("num_heads"), s.whole("key_dim"), s.number("dropout", 0.0)
    if s.whole("value_dim", width) != width:
        raise Unsupported(f"its value_dim {s.get('value_dim')}")
    output = s.get("output_shape")
    if isinstance(output, list) and len(output) == 1:
        (output,) = output
    s.kwarg("training")
    for name in ("return_attention_scores", "use_causal_mask"):
        if s.kwarg(name):
            raise Unsupported(f"{name}= in its call")
    made = arguments(
        heads,
        qkv_features=heads * width,
        out_features=None if output is None else s.as_whole("output_shape", output),
        use_bias=_unless(s.flag("use_bias", True)),
        dropout_rate=rate or None,
        deterministic=f"not {s.train}" if rate else None,
    )

    def call(layer: str, query: str, value: str, key: str = "") -> str:
        return f"{layer}({query}, {key or value}, {value})"

    return Piece(f"linen.MultiHeadDotProductAttention({made}", call)


# Layers with weights. Each function reads the settings that it knows; others that have an effect are refused.
WEIGHTED: dict[str, Callable[[Settings], Piece]] = {
    "Dense": _dense,
    **{f"Conv{n}D": partial(_convolution, rank=n) for n in (1, 2, 3)},
    **{f"Conv{n}DTranspose": partial(_convolution, rank=n, name="ConvTranspose") for n in (1, 2, 3)},
    **{f"DepthwiseConv{n}D": partial(_convolution, rank=n, name="DepthwiseConv") for n in (1, 2)},
    **{f"SeparableConv{n}D": partial(_convolution, rank=n, name="SeparableConv") for n in (1, 2)},
    "BatchNormalization": _batch_norm,
    "LayerNormalization": partial(_norm, name="LayerNorm"),
    "GroupNormalization": _group_norm,
    "Embedding": _embedding,
    "SimpleRNN": partial(_recurrent, name="SimpleRNN"),
    "LSTM": partial(_recurrent, name="LSTM"),
    "GRU": partial(_recurrent, name="GRU"),
    "MultiHeadAttention": _attention,
}
LAYERS = WEIGHTED | WEIGHTLESS
