"""Writing the classes of a module: a nested model, and a layer that is left to do, is a class of its own."""

import ast
import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from jaxnets.keras_weights.skeleton import names
from jaxnets.keras_weights.skeleton.activations import Unsupported
from jaxnets.keras_weights.skeleton.graph import Call, Config, Model, Tensor, model_of
from jaxnets.keras_weights.skeleton.layers import LAYERS
from jaxnets.keras_weights.skeleton.masks import UNKNOWN, add_masks
from jaxnets.keras_weights.skeleton.operators import operator_of
from jaxnets.keras_weights.skeleton.settings import Piece, Settings
from jaxnets.keras_weights.skeleton.wrappers import WRAPPERS
from jaxnets.keras_weights.weightless import ODD, is_keras

WIDTH = 110
SCRATCH = ("x", "y", "z")  # variables that are used again and again
MOST_OUTPUTS = 16  # of a layer that is left to do: a file may say anything
SOON = 12  # calls within which such a variable must have served


class Writer:
    """Collects the classes of a file.

    Attributes:
        where: Name of the file, for messages.
        version: The version of Keras that wrote it.
        classes: The code of each class, inner ones first.
        missing: What is left to do, in words.
        rename: Names of layers that Linen does not allow, with those that they got.
    """

    def __init__(self, where: str, version: str) -> None:
        self.where, self.version = where, version
        self.classes: list[str] = []
        self.missing: list[str] = []
        self.rename: dict[str, str] = {}
        self._names: set[str] = set(names.RESERVED)

    def add_class(self, name: str, lines: list[str]) -> None:
        self.classes.append("\n".join([f"class {name}(linen.Module):", *lines]))

    def class_name(self, name: str) -> str:
        made = names.class_name(name, self._names)
        self._names.add(made)
        return made

    def model(self, model: Model, name: str, path: tuple[str, ...] = ()) -> list[int | None]:
        """Adds the class of a model, after those inside it; returns how many axes its outputs have."""
        body = _Body(self, model, path)
        self.add_class(name, body.lines())
        return [body.ranks.get(tensor) for tensor in model.outputs]

    def todo(self, layer: str, config: Config, reason: str) -> str:
        """Adds the class of a layer that is left to do, and returns its name."""
        kind = str(config.get("class_name"))
        made = self.class_name(kind)
        said = f"the layer {names.plain(layer)} ({names.plain(kind)})"
        self.missing.append(f"{said}: {reason}")
        shown = {key: config.get(key) for key in ("module", "class_name", "config") if key in config}
        self.add_class(
            made,
            [
                f'    """TODO: {said}."""',
                "",
                *names.comment(f"Not written because of {names.plain(reason)}. In Keras:", 4),
                *names.comment(names.settings(shown), 4),
                "    @linen.compact",
                "    def __call__(self, *inputs: jax.Array, train: bool = False) -> jax.Array:",
                f'        raise NotImplementedError("write {said}")',
            ],
        )
        return made


class _Body:
    """Writes the method of one model."""

    def __init__(self, writer: Writer, model: Model, path: tuple[str, ...]) -> None:
        self.writer, self.model, self.path = writer, model, path
        add_masks(model)
        self.last = {tensor: place for place, call in enumerate(model.calls) for tensor in call.needs}
        self.last |= dict.fromkeys(model.outputs, len(model.calls))
        self.code: dict[Tensor, str] = {}
        self.holds: dict[str, Tensor] = {}
        self.ranks: dict[Tensor, int | None] = {}
        self.inner_ranks: dict[str, list[int | None]] = {}
        self.masks = {call.mask for call in model.calls if isinstance(call.mask, Tensor)}
        self.made: dict[str, tuple[str, str]] = {}  # layers: the constructor or the variable that holds it
        self.taken, self.layer_names = {*names.RESERVED, *SCRATCH}, set[str]()
        self.body: list[str] = []
        self.calls = Counter(call.layer for call in model.calls)

    def lines(self) -> list[str]:
        """Returns the lines of the class."""
        inputs = []
        for name in self.model.inputs.values():
            variable = "x" if len(self.model.inputs) == 1 else self._own(name)
            inputs.append(variable)
            self.code[Tensor(name)], self.holds[variable] = variable, Tensor(name)
            config = self.model.layers.get(name, {}) or next(iter(self.model.layers.values()))
            self.ranks[Tensor(name)] = _input_rank(config)
        for place, call in enumerate(self.model.calls):
            self._write(place, call)
        outputs = [self.code[tensor] for tensor in self.model.outputs]
        if self.model.output_names:
            pairs = zip(self.model.output_names, outputs, strict=True)
            result = f"{{{', '.join(f'{names.quoted(name)}: {code}' for name, code in pairs)}}}"
        else:
            result = ", ".join(outputs)
        typed = ", ".join(f"{name}: jax.Array" for name in inputs)
        if self.model.takes_dict:
            typed = "inputs: dict[str, jax.Array]"
            given = ", ".join(f"inputs[{names.quoted(key)}]" for key in self.model.inputs)
            self.body.insert(0, f"{', '.join(inputs)} = {given}")
        kind = "jax.Array" if len(outputs) == 1 and not self.model.output_names else "Any"
        return [
            f'    """The Keras model {names.plain(self.model.name)}."""',
            "",
            "    @linen.compact",
            f"    def __call__(self, {typed}, train: bool = False) -> {kind}:",
            *(f"        {line}" for line in [*self.body, f"return {result}"]),
        ]

    def _write(self, place: int, call: Call) -> None:
        layer = self.model.layers[call.layer]
        inputs = [self._input(value) for value in call.inputs]
        inner = model_of(layer, self.writer.where)
        calls = [one for one in self.model.calls if one.layer == call.layer] if inner else []
        if inner is not None and all(one.mask is None for one in calls):
            self._write_model(place, call, inner, inputs)
            return
        piece, reason = self._piece(layer, call) if inner is None else (None, "the mask that Keras gives it")
        self.ranks[Tensor(call.layer, call.node)] = None
        if piece is None:
            if call.layer not in self.made:
                made = self.writer.todo(call.layer, layer, reason)
                self._make(call.layer, f"{made}(")
            code = f"{self.made[call.layer][0]}({', '.join([*inputs, 'train=train'])})"
            used = [one.index for one in self.last if (one.layer, one.node) == (call.layer, call.node)]
            self._emit(place, call, code, 1 + min(max(used, default=0), MOST_OUTPUTS))
            return
        if piece.module is not None:
            self._make(call.layer, piece.module)
        code = piece.call(self.made[call.layer][0] if piece.module else None, *inputs)
        rank = piece.rank or (self._rank(call.tensors[0]) if call.tensors else None)
        for index, one in enumerate((rank, *piece.more)):
            self.ranks[Tensor(call.layer, call.node, index)] = one
        self._emit(place, call, code, 1 + len(piece.more))

    def _piece(self, layer: Config, call: Call) -> tuple[Piece | None, str]:
        """Returns the code of a layer, or why there is none."""
        kind, config = str(layer.get("class_name")), layer.get("config", {})
        function = operator_of(layer) or ((LAYERS | WRAPPERS).get(kind) if is_keras(layer) else None)
        if function is None:
            return None, "a layer of its own kind" if not is_keras(layer) else "its class"
        settings = self._settings(config, call)
        try:
            piece = function(settings)
            if operator_of(layer) is None:
                settings.check()
                if not all(isinstance(value, Tensor) for value in call.inputs):
                    raise Unsupported("what it is called with")
            elif len({*settings.ranks} - {None}) > 1 and "module" not in layer:
                raise Unsupported("its inputs, which have different numbers of axes")
            elif not all(isinstance(value, Tensor) or _is_number(value) for value in call.inputs):
                raise Unsupported("what it is called with")
            piece.call("layer", *("x" for _ in call.inputs))
            if piece.more and self.model.is_chain and kind != "Masking":
                raise Unsupported("what it returns besides its output")
        except Unsupported as error:
            return None, str(error)
        except ODD:
            return None, "its settings"
        return piece, ""

    def _settings(self, config: Any, call: Call) -> Settings:
        more = {key: value for key, value in call.settings.items() if key != "training"}
        ranks = [self._rank(tensor) for tensor in call.tensors]
        train = str(call.settings.get("training"))
        train = train if train in ("True", "False") else "train"
        mask = self.code[call.mask] if isinstance(call.mask, Tensor) else call.mask and UNKNOWN
        return Settings(config, more, ranks, train, self.writer.version, mask)

    def _write_model(self, place: int, call: Call, inner: Model, inputs: list[str]) -> None:
        if call.layer not in self.made:
            name = self.writer.class_name(inner.name)
            self.inner_ranks[call.layer] = self.writer.model(inner, name, (*self.path, call.layer))
            self._make(call.layer, f"{name}(")
        for i, rank in enumerate(self.inner_ranks[call.layer]):
            self.ranks[Tensor(call.layer, call.node, i)] = rank
        if call.names:  # given as a dict, in any order
            given = dict(zip(call.names, inputs, strict=True))
            inputs = [given.get(name, code) for name, code in zip(inner.inputs, inputs, strict=False)]
        if inner.takes_dict:
            pairs = zip(inner.inputs, inputs, strict=False)
            inputs = [f"{{{', '.join(f'{names.quoted(key)}: {code}' for key, code in pairs)}}}"]
        train = str(call.settings.get("training"))
        train = train if train in ("True", "False") else "train"
        code = f"{self.made[call.layer][0]}({', '.join([*inputs, train])})"
        self._emit(place, call, code, len(inner.outputs), inner.output_names)

    def _make(self, layer: str, constructor: str) -> None:
        """Names a layer; one that is called more than once gets a variable first."""
        if layer in self.made:
            return
        name = names.layer_name(layer, self.layer_names)
        self.layer_names.add(name)
        if name != layer:
            self.writer.rename["/".join((*self.path, layer))] = "/".join((*self.path, name))
        code = f"{constructor}{'' if constructor.endswith('(') else ', '}name={names.quoted(name)})"
        if self.calls[layer] > 1:
            variable = self._own(f"{layer}_layer")
            self._assign(variable, code)
            code = variable
        self.made[layer] = code, name

    def _emit(
        self, place: int, call: Call, code: str, several: int = 1, output_names: list[str] | None = None
    ) -> None:
        """Writes an assignment, to one variable or several."""
        first = Tensor(call.layer, call.node)
        if output_names:
            target = self._own(call.layer)
            for i, key in enumerate(sorted(output_names)):  # Keras numbers them by name
                self.code[Tensor(first.layer, first.node, i)] = f"{target}[{names.quoted(key)}]"
            self.body.append(f"{target} = {code}")
            return
        variables = [self._variable(place, Tensor(first.layer, first.node, i)) for i in range(several)]
        target = ", ".join(variables)
        made = self.made.get(call.layer, ("", ""))[0]
        if len(f"        {target} = {code}") > WIDTH and made and code.startswith(made) and "(" in made:
            variable = self._own(f"{call.layer}_layer")
            self._assign(variable, made)
            code = code.replace(made, variable, 1)
        if code != target:
            self.body.append(f"{target} = {code}")

    def _assign(self, variable: str, made: str) -> None:
        """Writes the line that makes a layer, or a line for each of its arguments if it would be too long."""
        line = f"{variable} = {made}"
        call = ast.parse(made, mode="eval").body
        if len(f"        {line}") <= WIDTH or not isinstance(call, ast.Call):
            self.body.append(line)
            return
        given = [*((None, one) for one in call.args), *((one.arg, one.value) for one in call.keywords)]
        parts = [(f"{name}=" if name else "") + str(ast.get_source_segment(made, one)) for name, one in given]
        self.body += [f"{variable} = {ast.unparse(call.func)}(", *(f"    {part}," for part in parts), ")"]

    def _variable(self, place: int, tensor: Tensor) -> str:
        """Returns the variable for a call's result: one of few that is free, or one of its own."""
        if tensor not in self.last:
            return "_"
        free = [one for one in SCRATCH if self._until(one) <= place]
        soon = self.last.get(tensor, place) - place <= SOON and tensor not in self.masks
        own = "mask" if tensor in self.masks else tensor.layer
        self.code[tensor] = variable = free[0] if free and soon else self._own(own)
        self.holds[variable] = tensor
        return variable

    def _until(self, variable: str) -> int:
        """Returns the last call that needs what a variable holds."""
        return self.last.get(self.holds[variable], -1) if variable in self.holds else -1

    def _own(self, name: str) -> str:
        made = names.identifier(name, self.taken)
        self.taken.add(made)
        return made

    def _input(self, value: Any) -> str:
        if isinstance(value, Tensor):
            return self.code[value]
        return repr(value) if _is_number(value) else "None"

    def _rank(self, tensor: Tensor) -> int | None:
        return tensor.rank or self.ranks.get(tensor)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _input_rank(layer: Config) -> int | None:
    config = layer.get("config", {})
    shape = (
        config.get("batch_shape") or config.get("batch_input_shape") if isinstance(config, Mapping) else None
    )
    return len(shape) if isinstance(shape, list) else None


def imports(text: str) -> str:
    """Returns the import lines that a text needs."""
    wanted = {
        "jax": "import jax",
        "jnp": "import jax.numpy as jnp",
        "linen": "from flax import linen",
        "nn": "from jaxnets import nn",
        "Any": "from typing import Any",
    }
    used = {name: line for name, line in wanted.items() if re.search(rf"\b{name}\b", text)}
    groups = [("Any",), ("jax", "jnp", "linen"), ("nn",)]
    blocks = ["\n".join(used[name] for name in group if name in used) for group in groups]
    return "\n\n".join(block for block in blocks if block)
