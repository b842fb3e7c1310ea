"""What a traced program (a jaxpr) tells of the layers whose calls are marked in it.

Whoever traces a network wraps the n-th call of layer i in ``jax.named_scope(Call(i, n).mark)``. Then the
operations of that call carry the mark, also inside of jit, scan or remat, and the program says how often a
layer multiplies and which layers feed it, whoever wrote the layer.
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
    """The innermost call that an operation belongs to."""
    marks = re.findall(r"layer_(\d+)_call_(\d+)_", str(equation.source_info.name_stack))
    return Call(*map(int, marks[-1])) if marks else around


def programs_in(equation: Any) -> list[Any]:
    """The programs inside of jit, scan, while, remat and custom rules."""
    return [value for value in equation.params.values() if hasattr(value, "eqns")]


def multiply_adds(jaxpr: Any, around: Call = Call(0, 0)) -> Iterator[tuple[Call, int]]:
    """The multiply-adds of every matrix product and convolution, times the steps of the scans around it.

    A while loop, whose steps are not known, counts once; a cond counts as its dearest branch.
    """
    for equation in jaxpr.eqns:
        call, name = call_of(equation, around), equation.primitive.name
        if name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            depth = math.prod(left[axis] for axis in contracted)
            yield call, equation.outvars[0].aval.size * depth
        elif name == "conv_general_dilated":
            yield call, _convolution(equation)
        elif name == "cond":
            branches = [list(multiply_adds(branch, call)) for branch in equation.params["branches"]]
            yield from max(branches, key=lambda branch: sum(count for _, count in branch))
        else:
            steps = equation.params["length"] if name == "scan" else 1
            for program in programs_in(equation):
                yield from ((inner, steps * count) for inner, count in multiply_adds(program, call))


def _convolution(equation: Any) -> int:
    """Kernel size times the places it is put on; for a transposed convolution those are the input's."""
    numbers, dilation = equation.params["dimension_numbers"], equation.params["lhs_dilation"]
    image, kernel = (variable.aval for variable in equation.invars)
    output = equation.outvars[0].aval
    places = image.shape[numbers.lhs_spec[0]]
    for i, o, stretch in zip(numbers.lhs_spec[2:], numbers.out_spec[2:], dilation, strict=True):
        places *= image.shape[i] if stretch > 1 else output.shape[o]
    return kernel.size * places


def feeding(jaxpr: Any, layers: Collection[int]) -> dict[int, frozenset[int]]:
    """For every one of `layers` (rows) those of them that feed its first call, with none of them between."""
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
