"""The code of every Keras layer that is known: `LAYERS`, a line for each."""

from collections.abc import Callable
from functools import partial

from jaxnets.keras_weights.skeleton.activations import Unsupported, as_function
from jaxnets.keras_weights.skeleton.settings import Piece, Settings, arguments, size
from jaxnets.keras_weights.skeleton.weightless import WEIGHTLESS


def _unless(setting: bool, default: bool = True) -> str | None:
    return None if setting is default else str(setting)


def _channels_last(s: Settings) -> None:
    s.one_of("data_format", "channels_last", None)


def _dense(s: Settings) -> Piece:
    made = arguments(s.whole("units"), use_bias=_unless(s.flag("use_bias", True)))
    return Piece(f"nn.Dense({made}", activation=s.activation())


def _convolution(s: Settings, rank: int) -> Piece:
    """nn.Conv where it is enough, else linen.Conv, which has other ranks and dilation."""
    _channels_last(s)
    features, kernel = s.whole("filters"), s.sides("kernel_size", rank)
    strides, dilation = s.sides("strides", rank, 1), s.sides("dilation_rate", rank, 1)
    groups, padding = s.whole("groups", 1), s.one_of("padding", "valid", "same", "causal")
    bias, activation = _unless(s.flag("use_bias", True)), s.activation()
    if rank == 2 and set(dilation) == {1}:
        made = arguments(
            features,
            size(kernel),
            strides=None if set(strides) == {1} else size(strides),
            padding=None if padding == "valid" else f'"{padding}"',
            groups=None if groups == 1 else groups,
            use_bias=bias,
        )
        return Piece(f"nn.Conv({made}", activation=activation)
    made = arguments(
        features,
        size(kernel, always=True),
        strides=None if set(strides) == {1} else size(strides, always=True),
        padding=f'"{padding.upper()}"',
        kernel_dilation=None if set(dilation) == {1} else size(dilation, always=True),
        feature_group_count=None if groups == 1 else groups,
        use_bias=bias,
    )
    return Piece(f"linen.Conv({made}", activation=activation)


def _other_convolution(s: Settings, name: str) -> Piece:
    """Transposed, depthwise and separable ones."""
    _channels_last(s)
    s.one_of("output_padding", None)
    if set(s.sides("dilation_rate", 2, 1)) != {1}:
        raise Unsupported(f"its dilation_rate {s.get('dilation_rate')}")
    first = [] if name == "DepthwiseConv" else [s.whole("filters")]
    multiplier = 1 if name == "ConvTranspose" else s.whole("depth_multiplier", 1)
    strides, padding = s.sides("strides", 2, 1), s.one_of("padding", "valid", "same")
    if s.whole("groups", 1) not in (1, *first):  # what a depthwise one has of its base class says nothing
        raise Unsupported(f"its groups {s.get('groups')}")
    made = arguments(
        *first,
        size(s.sides("kernel_size", 2)),
        strides=None if set(strides) == {1} else size(strides),
        padding=None if padding == "valid" else f'"{padding}"',
        multiplier=None if multiplier == 1 else multiplier,
        use_bias=_unless(s.flag("use_bias", True)),
    )
    return Piece(f"nn.{name}({made}", activation=s.activation())


def _batch_norm(s: Settings) -> Piece:
    s.last_axis()
    momentum, epsilon = s.number("momentum", 0.99), s.number("epsilon", 1e-3)
    scale, center = s.flag("scale", True), s.flag("center", True)
    train = (
        "False" if s.config.get("trainable") is False else s.train
    )  # Keras's are frozen with their weights
    if scale and center:
        made = arguments(
            momentum=None if momentum == 0.99 else momentum, epsilon=None if epsilon == 1e-3 else epsilon
        )
        return Piece(f"nn.BatchNorm({made}", lambda layer, x: f"{layer}({x}, {train})")
    made = arguments(
        momentum=momentum,
        epsilon=epsilon,
        use_scale=_unless(scale),
        use_bias=_unless(center),
        use_fast_variance=False,
    )
    running = "not train" if train == "train" else str(train == "False")
    return Piece(f"linen.BatchNorm({made}", lambda layer, x: f"{layer}({x}, use_running_average={running})")


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
    s.flag("mask_zero")  # whoever takes a mask is not written
    made = arguments(s.whole("input_dim"), s.whole("output_dim"))
    return Piece(f"nn.Embedding({made}", rank=None if s.ranks[0] is None else s.rank + 1)


def _recurrent(s: Settings, name: str) -> Piece:
    if s.masked:
        raise Unsupported("the mask that Keras gives it")
    for setting in ("return_state", "stateful", "time_major"):
        s.one_of(setting, False)
    s.flag("zero_output_for_mask")  # there is no mask
    s.one_of("use_bias", True)
    sequences, back = s.flag("return_sequences"), s.flag("go_backwards")
    functions = {"activation": as_function(s.activation(default="tanh"))}
    if name != "SimpleRNN":
        functions["recurrent_activation"] = as_function(s.activation("recurrent_activation", "sigmoid"))
    default = {"activation": "linen.tanh", "recurrent_activation": "linen.sigmoid"}
    changed = {key: code for key, code in functions.items() if code != default[key]}
    reset = _unless(s.flag("reset_after", s.version[:1] == "3")) if name == "GRU" else None
    made = arguments(
        s.whole("units"), return_sequences="True" if sequences else None, reset_after=reset, **changed
    )
    dropped = [one for one in ("dropout", "recurrent_dropout") if s.number(one, 0.0)]
    return Piece(
        f"nn.{name}({made}",
        lambda layer, x: f"{layer}({x}[:, ::-1])" if back else f"{layer}({x})",
        rank=3 if sequences else 2,
        note=f"Keras has {' and '.join(dropped)} here in training" if dropped else "",
    )


def _attention(s: Settings) -> Piece:
    if s.get("attention_axes") not in (None, list(range(1, s.rank - 1))):
        raise Unsupported(f"its attention_axes {s.get('attention_axes')!r:.60}")
    if s.masked:
        raise Unsupported("the mask that Keras gives it")
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
    "Conv1D": partial(_convolution, rank=1),
    "Conv2D": partial(_convolution, rank=2),
    "Conv3D": partial(_convolution, rank=3),
    "Conv2DTranspose": partial(_other_convolution, name="ConvTranspose"),
    "DepthwiseConv2D": partial(_other_convolution, name="DepthwiseConv"),
    "SeparableConv2D": partial(_other_convolution, name="SeparableConv"),
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
