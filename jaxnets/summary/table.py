"""The layers of a network in call order, with shapes, parameter counts and multiply-adds.

The network is traced with abstract arrays, so that no parameters are allocated, and its layers need no code
for it: parameters are found under the layer's path, and the rest is read from the traced program
(`jaxnets.summary.jaxpr`).
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.traverse_util import flatten_dict

from jaxnets import html
from jaxnets.summary.inputs import Shapes, arguments, with_batch
from jaxnets.summary.jaxpr import Call, feeding, multiply_adds

HEADER = ("Layer (type)", "Output Shape", "Param #", "Multiply-adds")

Path = tuple[str, ...]
Shape = tuple[int | None, ...]


@dataclasses.dataclass
class LayerRow:
    """One row of the table; shapes have None for the batch, and there is one per output of the layer."""

    name: str
    type: str
    output_shapes: list[Shape]
    variables: dict[Path, jax.ShapeDtypeStruct] = dataclasses.field(default_factory=dict)
    """The layer's own variables, by full path, e.g. ("params", "conv1", "kernel")."""
    multiply_adds: int = 0
    """For one example and all calls of the layer; elementwise operations and pooling are not counted."""
    fed_by: frozenset[str] = frozenset()
    """Names of the layers with variables that directly feed its first call."""
    calls: int = 0

    @property
    def trainable(self) -> int:
        return sum(array.size for path, array in self.variables.items() if path[0] == "params")

    @property
    def non_trainable(self) -> int:
        return sum(array.size for path, array in self.variables.items() if path[0] != "params")

    @property
    def parameters(self) -> int:
        return self.trainable + self.non_trainable

    @property
    def title(self) -> str:
        """Its name and type."""
        return f"{self.name} ({self.type})" if self.name else f"({self.type})"

    @property
    def shapes(self) -> str:
        """Its output shapes as text."""
        return ", ".join(map(str, self.output_shapes))

    def to_json(self) -> dict[str, Any]:
        shapes: list[Any] = [list(shape) for shape in self.output_shapes]
        return {
            "name": self.name,
            "type": self.type,
            "output_shape": shapes[0] if len(shapes) == 1 else shapes,
            "parameters": self.parameters,
            "trainable_parameters": self.trainable,
            "non_trainable_parameters": self.non_trainable,
            "multiply_adds": self.multiply_adds,
        }


@dataclasses.dataclass(frozen=True)
class Summary:
    """The layers of a network in call order, and their totals."""

    model: str
    input_shape: Any
    """(None, ...); of several inputs, a list or dict of such shapes."""
    layers: list[LayerRow]

    @property
    def parameters(self) -> int:
        return self.trainable + self.non_trainable

    @property
    def trainable(self) -> int:
        return sum(row.trainable for row in self.layers)

    @property
    def non_trainable(self) -> int:
        return sum(row.non_trainable for row in self.layers)

    @property
    def multiply_adds(self) -> int:
        return sum(row.multiply_adds for row in self.layers)

    def to_json(self) -> dict[str, Any]:
        """Returns the summary as a dict of plain values, ready for `json.dumps` (the batch is null)."""
        return {
            "model": self.model,
            "input_shape": self.input_shape if isinstance(self.input_shape, dict) else list(self.input_shape),
            "layers": [row.to_json() for row in self.layers],
            "parameters": self.parameters,
            "trainable_parameters": self.trainable,
            "non_trainable_parameters": self.non_trainable,
            "multiply_adds": self.multiply_adds,
        }

    def __repr__(self) -> str:
        layers = f"{len(self.layers)} layers, {self.parameters:,} parameters"
        return f"Summary({self.model}, input {self.input_shape}: {layers})"

    def _repr_html_(self) -> str:
        """Returns the table of `to_text` for notebooks."""
        rows: list[Any] = [(row.title, row.shapes, row.parameters, row.multiply_adds) for row in self.layers]
        rows += [
            ("total", "", self.parameters, self.multiply_adds),
            ("trainable", "", self.trainable, ""),
            ("non-trainable", "", self.non_trainable, ""),
        ]
        return html.table(f"{self.model}, input {self.input_shape}", rows, HEADER)

    def to_text(self) -> str:
        """Returns a table like Keras's `model.summary()`, with the multiply-adds of one example."""
        cells = [
            (row.title, row.shapes, f"{row.parameters:,}", f"{row.multiply_adds:,}") for row in self.layers
        ]
        widths = [max(len(line[i]) for line in [HEADER, *cells]) for i in range(4)]

        def line(texts: tuple[str, str, str, str]) -> str:
            left = [text.ljust(width) for text, width in zip(texts[:2], widths[:2], strict=True)]
            right = [text.rjust(width) for text, width in zip(texts[2:], widths[2:], strict=True)]
            return "  ".join(left + right)

        rule = "=" * (sum(widths) + 6)
        return "\n".join(
            [
                f'Model: "{self.model}", input {self.input_shape}',
                rule,
                line(HEADER),
                rule,
                *map(line, cells),
                rule,
                f"Total params: {self.parameters:,}",
                f"Trainable params: {self.trainable:,}",
                f"Non-trainable params: {self.non_trainable:,}",
                f"Multiply-adds: {self.multiply_adds:,}",
            ]
        )


def summarize(module: nn.Module, input_shape: Shapes, dtype: Any = jnp.float32) -> Summary:
    """Returns the layers of `module` for one example of shape `input_shape` (without the batch axis).

    A layer is listed if it owns parameters, multiplies, or calls no other layer; blocks that only arrange
    others are not. `params` count as trainable, all other collections (BatchNorm's statistics) do not.

    Args:
        module: Any Linen module that `module.init(key, x)` and `module.apply(variables, x)` accept.
        input_shape: Shape of one example, e.g. (32, 32, 3). Of several inputs a tuple of shapes for a module
            that is called with several arrays, a list for one that is called with a list of them, and a dict
            for one that is called with a dict.
        dtype: Dtype of the input; networks that begin with Linen's embedding need an integer dtype. For
            several inputs also a tuple, list or dict of dtypes.

    Examples:
        >>> from flax import linen as nn
        >>> print(summarize(nn.Dense(10), (784,)).layers[0].parameters)
        7850
    """
    inputs = arguments(input_shape, dtype)
    variables = jax.eval_shape(module.init, jax.random.key(0), *inputs)
    trace = _Trace()
    with nn.intercept_methods(trace.record):
        program = jax.make_jaxpr(module.apply)(variables, *inputs)
    for call, count in multiply_adds(program.jaxpr):
        trace.rows[call.row].multiply_adds += count
    for path, array in flatten_dict(variables).items():
        trace.owner(path[1:-1]).variables[path] = array
    weighted = [i for i, row in enumerate(trace.rows) if row.variables]
    for row, sources in feeding(program.jaxpr, weighted).items():
        trace.rows[row].fed_by = frozenset(trace.rows[i].name for i in sources)
    rows = [
        row for i, row in enumerate(trace.rows) if i in trace.leaves or row.variables or row.multiply_adds
    ]
    return Summary(type(module).__name__, with_batch(input_shape), rows)


class _Trace:
    """Records every module that is called and marks its operations with the number of its row."""

    def __init__(self) -> None:
        self.rows: list[LayerRow] = []
        self.leaves: set[int] = set()  # rows of modules that have called no other module
        self._callers: list[int] = []
        self._row_of: dict[Path, int] = {}
        self._folded: int | None = None  # the row of the layer whose inner modules are not listed

    def record(self, next_method: Any, args: Any, kwargs: Any, context: Any) -> Any:
        module, path = context.module, tuple(context.module.path)
        if context.method_name == "setup":
            return next_method(*args, **kwargs)
        if self._folded is not None:
            self._row_of.setdefault(path, self._folded)
            return next_method(*args, **kwargs)
        first = path not in self._row_of
        if first:
            self._row_of[path] = len(self.rows)
            self.leaves.add(len(self.rows))
            self.rows.append(LayerRow("/".join(path), type(module).__name__, []))
        row = self._row_of[path]
        # A recurrent layer of Flax wraps a cell that may be elsewhere in the tree: they are one layer.
        self._folded = row if isinstance(module, nn.RNN) else None
        self.leaves.difference_update(caller for caller in self._callers if caller != row)
        self._callers.append(row)
        try:
            with jax.named_scope(Call(row, self.rows[row].calls).mark):
                self.rows[row].calls += 1
                output = next_method(*args, **kwargs)
        finally:
            self._folded = None
            self._callers.pop()
        if first or not self.rows[row].output_shapes:
            self.rows[row].output_shapes = [
                (None, *leaf.shape[1:]) for leaf in jax.tree.leaves(output) if getattr(leaf, "ndim", 0)
            ]
        return output

    def owner(self, path: Path) -> LayerRow:
        """Returns the row of the module at `path`, or of the nearest enclosing one that was called."""
        while path not in self._row_of:
            path = path[:-1]
        return self.rows[self._row_of[path]]
