"""The code of layers that wrap another, and the function that a file with them may define for that."""

from collections.abc import Callable, Mapping
from typing import Any

from jaxnets.keras_weights.skeleton.activations import Unsupported
from jaxnets.keras_weights.skeleton.layers import LAYERS, over_time
from jaxnets.keras_weights.skeleton.masks import UNKNOWN
from jaxnets.keras_weights.skeleton.settings import Piece, Settings, arguments
from jaxnets.keras_weights.weightless import is_keras

POINTWISE = {"Dense", "Activation", "ReLU", "LeakyReLU", "ELU", "Dropout", "Rescaling", "Identity"}

EACH_STEP = '''
def each_step(layer: Any, x: jax.Array) -> jax.Array:
    """Applies a layer to every time step of x (batch, time, ...)."""
    y = layer(x.reshape(-1, *x.shape[2:]))
    return y.reshape(*x.shape[:2], *y.shape[1:])
'''


def _inner(s: Settings, layer: Any, *ranks: int | None, mask: str | None = None) -> tuple[str, Piece]:
    """Returns the class and the code of a wrapped layer."""
    if not isinstance(layer, Mapping) or layer.get("class_name") not in LAYERS or not is_keras(layer):
        raise Unsupported("the layer in it")
    inner = s.inside(layer.get("config", {}), *ranks, mask=mask)
    piece = LAYERS[layer["class_name"]](inner)
    inner.check()
    return layer["class_name"], piece


def _time_distributed(s: Settings) -> Piece:
    rank = None if s.ranks[0] is None else s.ranks[0] - 1
    kind, piece = _inner(s, s.get("layer"), rank, mask=UNKNOWN if s.is_masked else None)
    rank = None if piece.rank is None else piece.rank + 1
    if piece.more:
        raise Unsupported("the layer in it, which returns more than one array")
    if kind in POINTWISE:
        return Piece(piece.module, piece.call, rank)

    def call(layer: str, x: str) -> str:
        return f"each_step(lambda x: {piece.call(layer, 'x')}, {x})"

    return Piece(piece.module, call, rank)


def _bidirectional(s: Settings) -> Piece:
    layer, back = s.get("layer"), s.get("backward_layer")
    piece = _direction(s, layer)
    mirrored = _direction(s, layer, mirrored=True).module
    backward = mirrored if back is None else _direction(s, back).module
    mode = s.one_of("merge_mode", "concat", "sum", "mul", "ave", None)
    made = arguments(
        f"{piece.module})",
        merge_mode=None if mode == "concat" else f'"{mode}"' if mode else "None",
        backward_layer=None if backward == mirrored else f"{backward})",
    )
    both = (piece.rank,) * (mode is None)
    call = over_time(s, "dropout=" in f"{piece.module} {backward}")
    return Piece(f"nn.Bidirectional({made}", call, piece.rank, (*both, *piece.more, *piece.more))


def _direction(s: Settings, layer: Any, mirrored: bool = False) -> Piece:
    """Returns the code of the layer of one direction, or of one in the other direction, set as it is."""
    if not isinstance(layer, Mapping) or layer.get("class_name") not in ("SimpleRNN", "LSTM", "GRU"):
        raise Unsupported("the layer in it")
    config = {**layer.get("config", {}), "zero_output_for_mask": False}  # it follows from return_sequences
    config["go_backwards"] = bool(config.get("go_backwards")) != mirrored
    return _inner(s, {**layer, "config": config}, *s.ranks[:1], mask=s.mask)[1]


WRAPPERS: dict[str, Callable[[Settings], Piece]] = {
    "TimeDistributed": _time_distributed,
    "Bidirectional": _bidirectional,
}
