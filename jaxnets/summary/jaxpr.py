"""Reading the multiply-adds and connections of layers from a traced program (a jaxpr) that marks their calls.

To trace a network, wrap the n-th call of layer i in ``jax.named_scope(Call(i, n).mark)``. The operations of
that call then carry the mark, even inside jit, scan or remat, and the program shows how often a layer
multiplies and which layers feed it, for any implementation of the layer.
"""

import dataclasses
import math
import re
from collections.abc import Collection, Iterator
from typing import Any


@dataclasses.dataclass(frozen=True)
class Call:
    """The n-th call (from 0) of the layer in row `row`; row 0 is the network itself."""

    row: int
    number: int

    @property
    def mark(self) -> str:
        return f"layer_{self.row}_call_{self.number}_"


def call_of(equation: Any, around: Call) -> Call:
    """Returns the innermost call that an operation belongs to."""
    marks = re.findall(r"layer_(\d+)_call_(\d+)_", str(equation.source_info.name_stack))
    return Call(*map(int, marks[-1])) if marks else around


def programs_in(equation: Any) -> list[Any]:
    """Returns the programs inside jit, scan, while, remat and custom rules."""
    return [value for value in equation.params.values() if hasattr(value, "eqns")]


def multiply_adds(jaxpr: Any, around: Call = Call(0, 0)) -> Iterator[tuple[Call, int]]:
    """Yields the multiply-adds of every matrix product and convolution, times the steps of enclosing scans.

    A while loop, whose number of steps is unknown, counts once; a cond counts as its most expensive branch.
    Where a program differs by platform, the branch for all platforms that are not named counts.
    """
    platforms = set()  # variables that say which platform it is
    for equation in jaxpr.eqns:
        call, name = call_of(equation, around), equation.primitive.name
        if name == "platform_index":
            platforms.update(equation.outvars)
        if name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            depth = math.prod(left[axis] for axis in contracted)
            yield call, equation.outvars[0].aval.size * depth
        elif name == "conv_general_dilated":
            yield call, _convolution(equation)
        elif name == "cond" and not hasattr(equation.invars[0], "val") and equation.invars[0] in platforms:
            yield from multiply_adds(equation.params["branches"][-1], call)
        elif name == "cond":
            branches = [list(multiply_adds(branch, call)) for branch in equation.params["branches"]]
            yield from max(branches, key=lambda branch: sum(count for _, count in branch))
        else:
            steps = equation.params["length"] if name == "scan" else 1
            for program in programs_in(equation):
                yield from ((inner, steps * count) for inner, count in multiply_adds(program, call))


def _convolution(equation: Any) -> int:
    """Returns the kernel's size times the positions it is applied at, the input's if it is transposed."""
    numbers, dilation = equation.params["dimension_numbers"], equation.params["lhs_dilation"]
    image, kernel = (variable.aval for variable in equation.invars)
    output = equation.outvars[0].aval
    places = image.shape[numbers.lhs_spec[0]]
    for i, o, stretch in zip(numbers.lhs_spec[2:], numbers.out_spec[2:], dilation, strict=True):
        places *= image.shape[i] if stretch > 1 else output.shape[o]
    return kernel.size * places


def feeding(jaxpr: Any, layers: Collection[int]) -> dict[int, frozenset[int]]:
    """Returns, for each of `layers` (rows), those of them that directly feed its first call."""
    found: dict[int, set[int]] = {row: set() for row in layers}

    def walk(jaxpr: Any, inputs: list[frozenset[int]], around: Call) -> list[frozenset[int]]:
        origins = dict(zip(jaxpr.invars, inputs, strict=True))

        def origin(variable: Any) -> frozenset[int]:
            return frozenset() if hasattr(variable, "val") else origins.get(variable, frozenset())

        for equation in jaxpr.eqns:
            call = call_of(equation, around)
            sources = [origin(variable) for variable in equation.invars]
            everything = frozenset[int]().union(*sources)
            outputs = [everything] * len(equation.outvars)
            for program in programs_in(equation):
                inner = getattr(program, "jaxpr", program)
                same = len(inner.invars) == len(sources)
                results = walk(inner, sources if same else [everything] * len(inner.invars), call)
                if len(results) == len(outputs):
                    outputs = results
            if call.row in found:
                if call.number == 0:
                    found[call.row] |= everything - {call.row}
                outputs = [frozenset([call.row])] * len(outputs)
            origins.update(zip(equation.outvars, outputs, strict=True))
        return [origin(variable) for variable in jaxpr.outvars]

    walk(jaxpr, [frozenset()] * len(jaxpr.invars), Call(0, 0))
    return {row: frozenset(rows) for row, rows in found.items()}
