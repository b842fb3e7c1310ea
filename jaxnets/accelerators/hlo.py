"""What a compiled program does, read from its text: kernels, bytes of device memory, collectives.

XLA's own cost analysis is missing for CUDA and counts the body of a loop once. Here a loop counts as often as
it runs, a kernel that reads a slice of an array counts the slice, and arrays that a TPU keeps in its vector
memory count nothing. Caches are not modelled.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Iterator, Mapping

WIDTHS = {  # bits of an element
    **{"pred": 8, "s4": 4, "u4": 4, "s8": 8, "u8": 8, "s16": 16, "u16": 16, "s32": 32, "u32": 32, "s64": 64},
    **{
        "u64": 64,
        "f8e4m3fn": 8,
        "f8e5m2": 8,
        "f16": 16,
        "bf16": 16,
        "f32": 32,
        "f64": 64,
        "c64": 64,
        "c128": 128,
    },
}
COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
# What names, waits for or regroups what is there, and what is left to the computations that it calls.
FREE = {
    *("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "opt-barrier"),
    *(
        "partition-id",
        "replica-id",
        "while",
        "conditional",
        "call",
        "async-start",
        "async-update",
        "async-done",
    ),
}
COPIES = ("copy-start", "slice-start")  # by a TPU's DMA engine, beside the kernels
SLICES = ("dynamic-slice", "slice", "gather")  # read a part of their first operand
MAIN_MEMORY = 0  # memory spaces as XLA numbers them; 5 is the host's, others lie on the chip

_ARRAY = re.compile(r"\b([a-z]\w*)\[([\d,]*)\](?:\{([\d,]*)(?::((?:[A-Z]+\([^)]*\)|\([^)]*\))*))?\})?")
_INSTRUCTION = re.compile(r"\s+(ROOT )?%?([\w.\-]+) = (.*?) ([a-z][a-z\-]*)\((.*)")


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a program does in one run.

    Attributes:
        kernels: Kernels that are started, each step of a loop counted.
        bytes: Bytes read from and written to the device's main memory.
        collectives: Bytes that each kind of collective gives a device, by its name.
        counts: How often each kind of collective runs.
    """

    kernels: int = 0
    bytes: int = 0
    collectives: Mapping[str, int] = dataclasses.field(default_factory=dict)
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.kernels + other.kernels,
            self.bytes + other.bytes,
            _add(self.collectives, other.collectives),
            _add(self.counts, other.counts),
        )

    def times(self, count: int) -> "Cost":
        """The cost of `count` runs."""
        return Cost(
            count * self.kernels,
            count * self.bytes,
            {name: count * size for name, size in self.collectives.items()},
            {name: count * number for name, number in self.counts.items()},
        )


def _add(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, int]:
    return {name: first.get(name, 0) + second.get(name, 0) for name in (*first, *second)}


@dataclasses.dataclass(frozen=True)
class Instruction:
    """A line of a program's text.

    Attributes:
        name: Its name.
        shape: What it gives, as text.
        operation: What it does: "fusion", "custom-call", ...
        operands: Names of what it takes.
        rest: The line behind the operands: attributes.
        is_root: Whether its computation gives what it gives.
        number: Which parameter it is; -1 for anything else.
    """

    name: str
    shape: str
    operation: str
    operands: tuple[str, ...]
    rest: str
    is_root: bool
    number: int

    @property
    def called(self) -> list[str]:
        """Names of the computations that it calls, the body of a loop without its condition."""
        names = re.findall(r"(?:calls|body|to_apply|async_computation)=%?([\w.\-]+)", self.rest)
        for group in re.findall(r"branch_computations=\{([^}]*)\}", self.rest):
            names += [name.strip(" %") for name in group.split(",")]
        return names + re.findall(r"(?:true|false)_computation=%?([\w.\-]+)", self.rest)

    @property
    def trips(self) -> int:
        """Steps of a loop; 1 where they are not known."""
        found = re.search(r'known_trip_count"?:\{"?n"?:"?(\d+)', self.rest)
        return int(found[1]) if found else 1

    @property
    def source(self) -> str:
        """Where in the traced program it comes from: "jit(step)/jvp(LeNet5)/conv1/add"."""
        found = re.search(r'op_name="([^"]*)"', self.rest)
        return found[1] if found else ""


Computation = dict[str, Instruction]


class Program:
    """A compiled program.

    Args:
        text: Optimized HLO, as ``jax.stages.Compiled.as_text()`` gives it.
    """

    def __init__(self, text: str):
        self._computations: dict[str, Computation] = {}
        self._entry = ""
        for part in re.split(r"\n(?=(?:ENTRY )?%?[\w.\-]+ \(.*\) -> .* \{)", text):
            head, *lines = part.split("\n")
            found = re.match(r"(ENTRY )?%?([\w.\-]+) \(", head)
            if found is None or " -> " not in head:
                continue
            self._computations[found[2]] = {one.name: one for one in map(_parse, lines) if one is not None}
            if found[1]:
                self._entry = found[2]

    def cost(self) -> Cost:
        """Adds up what all kernels do."""
        return self._cost(self._entry)

    def kernels(self) -> Iterator[tuple[Instruction, Cost, int]]:
        """Yields every kernel with its cost and how often it runs, in the program's order."""
        yield from self._kernels(self._entry, 1)

    def _kernels(self, name: str, times: int) -> Iterator[tuple[Instruction, Cost, int]]:
        computation = self._computations[name]
        for one in computation.values():
            if one.operation in ("while", "call", "async-start"):
                for inner in one.called:
                    yield from self._kernels(inner, times * one.trips)
            elif one.operation == "conditional":
                dearest = max(one.called, key=lambda inner: self._cost(inner).bytes)
                yield from self._kernels(dearest, times)
            elif one.operation not in FREE and not one.operation.endswith("-done") and self._is_kernel(one):
                yield one, self._kernel_cost(computation, one), times

    def _is_kernel(self, one: Instruction) -> bool:
        """A TPU's scalar core computes what lies in its own memory beside the kernels."""
        return any(space in (MAIN_MEMORY, 1) for _, space in _arrays(one.shape))

    def _cost(self, name: str) -> Cost:
        return sum((cost.times(times) for _, cost, times in self._kernels(name, 1)), Cost())

    def _kernel_cost(self, computation: Computation, one: Instruction) -> Cost:
        inner = self._computations.get(next(iter(one.called), "")) if one.operation == "fusion" else None
        if inner is None:
            moved = _moved_alone(computation, one)
        else:
            moved = _written(inner, one) + sum(
                _read(inner, number, computation[name].shape)
                for number, name in enumerate(one.operands)
                if name in computation
            )
        kind = one.operation.removesuffix("-start")
        if kind in COLLECTIVES:
            both = one.operation.endswith("-start") and kind != "all-reduce"  # names what it takes as well
            size = sum(size for size, _ in _arrays(one.shape)) // (2 if both else 1)
            return Cost(1, moved, {kind: size}, {kind: 1})
        return Cost(0 if one.operation in COPIES else 1, moved)


def _parse(line: str) -> Instruction | None:
    found = _INSTRUCTION.match(line)
    if found is None:
        return None
    root, name, shape, operation, rest = found.groups()
    depth, end = 1, 0
    while depth and end < len(rest):
        depth += (rest[end] == "(") - (rest[end] == ")")
        end += 1
    operands = re.findall(r"%([\w.\-]+)", rest[:end])
    number = int(rest[: end - 1]) if operation == "parameter" else -1
    return Instruction(name, shape, operation, tuple(operands), rest[end:], bool(root), number)


def _arrays(shape: str) -> Iterator[tuple[int, int]]:
    """(bytes, memory space) of every array of a shape, with the padding of a TPU's tiles."""
    for kind, sizes, order, layout in _ARRAY.findall(shape):
        if kind not in WIDTHS:
            continue
        dimensions = [int(size) for size in filter(None, sizes.split(","))]
        space = re.search(r"S\((\d+)\)", layout)
        tile = re.search(r"T\(([\d,]+)\)", layout)
        if tile and order:
            minor = [int(axis) for axis in order.split(",")]
            for axis, length in zip(minor, reversed(tile[1].split(",")), strict=False):
                dimensions[axis] = -(-dimensions[axis] // int(length)) * int(length)
        yield -(-math.prod(dimensions) * WIDTHS[kind] // 8), int(space[1]) if space else MAIN_MEMORY


def _size(shape: str) -> int:
    """Bytes in main memory."""
    return sum(size for size, space in _arrays(shape) if space == MAIN_MEMORY)


def _moved_alone(computation: Computation, one: Instruction) -> int:
    """Bytes that an instruction outside a fusion reads and writes."""
    shapes = [computation[name].shape for name in one.operands if name in computation]
    if one.operation in SLICES:
        return 2 * _size(one.shape)
    if one.operation == "dynamic-update-slice":  # in place
        return 2 * _size(shapes[1])
    if one.operation == "copy-start":  # its result names target and source
        return sum(_size(shape) for shape in shapes) + _size(one.shape.removeprefix("(").split(", ")[0])
    if one.operation == "slice-start":  # its result names source and target, as large as what is read
        target = one.shape.split("), ", 1)[-1]
        return sum(size for size, _ in _arrays(target)) + _size(target)
    return _size(one.shape) + sum(_size(shape) for shape in shapes)


def _users(inner: Computation, name: str) -> list[Instruction]:
    """What takes a value, looked for behind what only renames it."""
    found = []
    for one in inner.values():
        if name in one.operands:
            found += _users(inner, one.name) if one.operation == "bitcast" else [one]
    return found


def _origin(inner: Computation, one: Instruction) -> Instruction:
    while one.operation == "bitcast" and one.operands[0] in inner:
        one = inner[one.operands[0]]
    return one


def _read(inner: Computation, number: int, shape: str) -> int:
    """Bytes that a fusion reads of its operand `number`."""
    whole = _size(shape)
    parameter = next((one for one in inner.values() if one.number == number), None)
    if parameter is None or not whole:
        return whole
    total = 0
    for user in _users(inner, parameter.name):
        first = _origin(inner, inner[user.operands[0]]).name if user.operands[0] in inner else ""
        if first == parameter.name and user.operation in SLICES:
            total += _size(user.shape)
        elif first != parameter.name or user.operation != "dynamic-update-slice":
            return whole
    return min(whole, total)


def _written(inner: Computation, one: Instruction) -> int:
    """Bytes that a fusion writes; of an array that is updated in place, the part that changes."""
    root = next(each for each in inner.values() if each.is_root)
    parts = [inner[name] for name in root.operands] if root.operation == "tuple" else [root]
    total = _size(one.shape)
    for part in map(functools.partial(_origin, inner), parts):
        if part.operation == "dynamic-update-slice":
            total += _size(inner[part.operands[1]].shape) - _size(part.shape)
    return max(total, 0)
