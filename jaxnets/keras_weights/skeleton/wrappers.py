"""The code of layers that wrap another, and what a file with them defines for that."""

from collections.abc import Callable, Mapping

from jaxnets.keras_weights.skeleton.activations import Unsupported
from jaxnets.keras_weights.skeleton.layers import LAYERS
from jaxnets.keras_weights.skeleton.settings import Piece, Settings
from jaxnets.keras_weights.weightless import is_keras

POINTWISE = {"Dense", "Activation", "ReLU", "LeakyReLU", "ELU", "Dropout", "Rescaling", "Identity"}

HELPERS = {
    "each_step": '''
def each_step(layer: Any, x: jax.Array) -> jax.Array:
    """Applies a layer to every time step of x (batch, time, ...)."""
    y = layer(x.reshape(-1, *x.shape[2:]))
    return y.reshape(*x.shape[:2], *y.shape[1:])
''',
    "Bidirectional": '''
class Bidirectional(linen.Module):
    """Two recurrent layers of one kind, one of which goes backwards, and their merged outputs."""

    layer: Any
    merge_mode: str = "concat"

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        forward = self.layer.clone(name="forward", parent=self)(x)
        backward = self.layer.clone(name="backward", parent=self)(x[:, ::-1])
        backward = backward[:, ::-1] if backward.ndim == 3 else backward
        if self.merge_mode == "concat":
            return jnp.concatenate([forward, backward], -1)
        if self.merge_mode == "mul":
            return forward * backward
        return (forward + backward) / (2 if self.merge_mode == "ave" else 1)
''',
}


def _inner(s: Settings, name: str, rank: int | None) -> tuple[str, Piece]:
    """Returns the class and the code of a wrapped layer."""
    layer = s.get(name)
    if not isinstance(layer, Mapping) or layer.get("class_name") not in LAYERS or not is_keras(layer):
        raise Unsupported("the layer in it")
    inner = Settings(layer.get("config", {}), {}, [rank], s.train, s.version, s.masked)
    piece = LAYERS[layer["class_name"]](inner)
    inner.check()
    return layer["class_name"], piece


def _time_distributed(s: Settings) -> Piece:
    kind, piece = _inner(s, "layer", None if s.ranks[0] is None else s.ranks[0] - 1)
    rank = None if piece.rank is None else piece.rank + 1
    if kind in POINTWISE:
        return Piece(piece.module, piece.call, piece.activation, rank, piece.note)

    def call(layer: str, x: str) -> str:
        return f"each_step(lambda x: {piece.call(layer, 'x')}, {x})"

    return Piece(piece.module, call, piece.activation, rank, piece.note)


def _bidirectional(s: Settings) -> Piece:
    kind, piece = _inner(s, "layer", s.rank)
    if kind not in ("SimpleRNN", "LSTM", "GRU") or piece.module is None:
        raise Unsupported("the layer in it")
    if s.get("backward_layer") is not None and _inner(s, "backward_layer", s.rank)[1].module != piece.module:
        raise Unsupported("its backward_layer, which is not that of the other direction")
    if piece.call("", "x") != "(x)":
        raise Unsupported("its layer, which goes backwards itself")
    mode = s.one_of("merge_mode", "concat", "sum", "mul", "ave")
    merge = "" if mode == "concat" else f', merge_mode="{mode}"'
    return Piece(f"Bidirectional({piece.module}){merge}", rank=piece.rank, note=piece.note)


WRAPPERS: dict[str, Callable[[Settings], Piece]] = {
    "TimeDistributed": _time_distributed,
    "Bidirectional": _bidirectional,
}
