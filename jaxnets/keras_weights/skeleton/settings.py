"""A layer's configuration, read setting by setting: none is overlooked, and none becomes code unchecked."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jaxnets.keras_weights.settings import per_axis
from jaxnets.keras_weights.skeleton.activations import Unsupported, as_argument, as_function, name_of
from jaxnets.keras_weights.skeleton.masks import UNKNOWN

LARGEST = 2**31

# Settings without a meaning for what a layer computes with the weights of a file.
MEANINGLESS = {
    *("name", "trainable", "dtype", "batch_input_shape", "batch_shape", "input_shape", "input_dtype", "seed"),
    *("build_config", "implementation", "unit_forget_bias", "input_dim", "input_length", "sparse"),
    *("renorm_clipping", "renorm_momentum", "virtual_batch_size", "fused", "ragged", "sparse_grad"),
    *("stateful", "time_major", "synchronized", "flash_attention", "autocast", "optional"),
}
ENDINGS = ("_initializer", "_regularizer", "_constraint")


@dataclasses.dataclass
class Piece:
    """The code of a layer."""

    module: str | None = None
    """The Linen layer's constructor, without its last parenthesis; None for a function."""
    call: Callable[..., str] = lambda layer, x: f"{layer}({x})"
    """Makes the code of a call from the layer's and its inputs'."""
    rank: int | None = None
    """Number of the output's axes; None for as many as the input has."""
    more: tuple[int | None, ...] = ()
    """Those of further outputs."""


class Settings:
    """The configuration of a layer with what is known of its call.

    Attributes:
        config: What Keras wrote of the layer.
        call: Settings of this call.
        ranks: Numbers of axes of the inputs; None where unknown.
        train: The code of whether it is training.
        version: The version of Keras.
        mask: The code of the mask that Keras gives it; None for none.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        call: Mapping[str, Any],
        ranks: Sequence[int | None],
        train: str,
        version: str,
        mask: str | None = None,
    ) -> None:
        self.config, self.call, self.ranks, self.train = config, call, ranks, train
        self.version, self._mask = version, mask
        self._read: set[str] = set()

    @property
    def rank(self) -> int:
        if not self.ranks or self.ranks[0] is None:
            raise Unsupported("the number of axes of its input is not known")
        return self.ranks[0]

    @property
    def mask(self) -> str | None:
        if self._mask == UNKNOWN:
            raise Unsupported("the mask that Keras gives it")
        return self._mask

    @property
    def is_masked(self) -> bool:
        return self._mask is not None

    def unmasked(self) -> None:
        """Refuses a mask."""
        if self.is_masked:
            raise Unsupported("the mask that Keras gives it")

    def inside(self, config: Mapping[str, Any], *ranks: int | None, mask: str | None = None) -> "Settings":
        """Returns the settings of a layer inside this one."""
        return Settings(config, {}, ranks, self.train, self.version, mask)

    def get(self, name: str, default: Any = None) -> Any:
        self._read.add(name)
        return self.config.get(name, default)

    def whole(self, name: str, default: int | None = None) -> int:
        return self.as_whole(name, self.get(name, default))

    def as_whole(self, name: str, value: Any) -> int:
        """Returns a value of a setting as a whole number."""
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is not int or abs(value) >= LARGEST:
            raise Unsupported(f"its {name} {value!r:.60}")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        value = self.get(name, default)
        if type(value) not in (int, float) or not math.isfinite(value):
            raise Unsupported(f"its {name} {value!r:.60}")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        return bool(self.get(name, default))

    def sides(self, name: str, rank: int, default: Any = None) -> tuple[int, ...]:
        """Returns a number for each spatial axis."""
        value = self.get(name, default)
        values = per_axis(value, rank) if isinstance(value, (int, list, tuple)) else ()
        if len(values) != rank:
            raise Unsupported(f"its {name} {value!r:.60}")
        return tuple(self.as_whole(name, side) for side in values)

    def wholes(self, name: str) -> tuple[int, ...]:
        value = self.get(name)
        if not isinstance(value, (list, tuple)):
            raise Unsupported(f"its {name} {value!r:.60}")
        return tuple(self.as_whole(name, one) for one in value)

    def one_of(self, name: str, *values: Any) -> Any:
        """Returns a setting that must be one of these values, the first of which is the default."""
        value = self.get(name, values[0])
        if value not in values:
            raise Unsupported(f"its {name} {value!r:.60}")
        return value

    def last_axis(self, name: str = "axis") -> None:
        """Refuses any axis but the last."""
        if (axis := self.axis(name)) is not None:
            raise Unsupported(f"its {name} {axis}, which is not the last")

    def axis(self, name: str = "axis") -> int | None:
        """Returns an axis; None for the last one."""
        axis = self.get(name, -1)
        axis = axis[0] if isinstance(axis, (list, tuple)) and len(axis) == 1 else axis
        last = axis == -1 or (self.ranks[0] is not None and axis == self.ranks[0] - 1)
        return None if last else self.as_whole(name, axis)

    def activation(self, name: str = "activation", default: str = "linear") -> str | None:
        """Returns the code of an activation as an argument of a layer; None for none."""
        value = self.get(name, default)
        if (form := self._layer(value)) is not None:
            return f"lambda x: {form.format('x')}"
        found = name_of(value, self.version)
        return None if found == "linear" else as_argument(found)

    def activated(self) -> str:
        """Returns the code of an activation, with {0} for its argument."""
        value = self.get("activation")
        if (form := self._layer(value)) is not None:
            return form
        name = name_of(value, self.version)
        return "{0}" if name == "linear" else f"{as_function(name)}({{0}})"

    def _layer(self, value: Any) -> str | None:
        """Returns the code of an activation that is a layer; None for one that is not."""
        if not isinstance(value, Mapping) or value.get("class_name") not in (
            "ReLU",
            "LeakyReLU",
            "ELU",
            "Softmax",
        ):
            return None
        from jaxnets.keras_weights.skeleton.layers import LAYERS

        inner = self.inside(value.get("config", {}), *self.ranks)
        piece = LAYERS[value["class_name"]](inner)
        inner.check()
        return piece.call(None, "{0}")

    def kwarg(self, name: str, default: Any = None) -> Any:
        """Returns a setting of the call."""
        self._read.add(f"call {name}")
        return self.call.get(name, default)

    def check(self) -> None:
        """Refuses settings that nothing has read, unless they have no effect.

        Raises:
            Unsupported: If there is one.
        """
        for name, value in self.config.items():
            known = name in self._read or name in MEANINGLESS or name.endswith(ENDINGS)
            if not known and value not in (None, False, [], {}):
                raise Unsupported(f"its {name} {value!r:.60}")
        for name, value in self.call.items():
            if f"call {name}" not in self._read and value not in (None, False):
                raise Unsupported(f"{name}= in its call")


def size(values: Sequence[int] | Sequence[str], always: bool = False) -> str:
    """Returns the code of a size: one number for equal sides unless a tuple is `always` needed."""
    if len(set(values)) == 1 and not always:
        return str(values[0])
    return f"({', '.join(map(str, values))}{',' * (len(values) == 1)})"


def arguments(*positional: Any, **named: Any) -> str:
    """Returns the code of arguments; of those by name, the ones that are not None."""
    by_name = (f"{name}={value}" for name, value in named.items() if value is not None)
    return ", ".join([*map(str, positional), *by_name])
