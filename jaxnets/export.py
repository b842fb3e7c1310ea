"""Export for other programs: a network's arrays (safetensors, text) or its computation (StableHLO, ONNX).

Every function in `FORMATS` takes (path, module, variables, input_shape) and writes one file, completely or
not at all. StableHLO and ONNX files take preprocessed inputs in batches of any size, and return the module's
output.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxnets import hints
from jaxnets.errors import UserError
from jaxnets.files import complete
from jaxnets.summary import summarize

Variables = dict[str, Any]
Shape = tuple[int, ...]
AT_ONCE = 1 << 16  # numbers that become text in one step


def export_safetensors(
    path: str | Path, module: linen.Module, variables: Variables, input_shape: Shape, dtype: Any = jnp.float32
) -> None:
    """Writes all arrays by path ("params/conv1/kernel") as safetensors; see `load_safetensors`."""
    with _needed("safetensors"):
        from safetensors.numpy import save

    arrays = {"/".join(key): np.asarray(value) for key, value in flatten_dict(variables).items()}
    with complete(Path(path)) as part:
        part.write_bytes(save(arrays, metadata={"model": type(module).__name__}))


def load_safetensors(path: str | Path) -> Variables:
    """Returns the variables that `export_safetensors` wrote, bit for bit.

    Raises:
        UserError: If there is no such file, or it is damaged.
    """
    with _needed("safetensors"):
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

    try:
        arrays = load_file(path)
    except FileNotFoundError as error:
        raise UserError(f"there is no file {str(path)!r} to read weights from") from error
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{str(path)!r} is not a complete safetensors file ({error}): export it again"
        ) from error
    paths = {tuple(name.split("/")): jnp.asarray(array) for name, array in arrays.items()}
    inner = next((path for path in paths if any(path[:end] in paths for end in range(1, len(path)))), None)
    if inner:
        raise UserError(f"{str(path)!r} has an array {'/'.join(inner)} below another: it is no file of ours")
    return unflatten_dict(paths)


def export_stablehlo(
    path: str | Path, module: linen.Module, variables: Variables, input_shape: Shape, dtype: Any = jnp.float32
) -> None:
    """Writes the computation, weights included, for CPU, CUDA and TPU; running it needs only jax.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from jaxnets.models import MODELS
        >>> model, shape = MODELS["perceptron"](), (4,)
        >>> variables = model.init(jax.random.key(0), jnp.zeros((1, *shape)))
        >>> export_stablehlo(Path("iris.stablehlo"), model, variables, shape)

        In any other process, with nothing but jax:

        >>> from jax import export
        >>> run = export.deserialize(bytearray(Path("iris.stablehlo").read_bytes())).call
        >>> run(jnp.ones((7, 4))).shape  # any batch
        (7, 3)
    """
    with _needed("flatbuffers"):
        import flatbuffers  # noqa: F401 (jax.export writes with it and does not require it)
        from jax import export

    (batch,) = export.symbolic_shape("batch")
    x = jax.ShapeDtypeStruct((batch, *input_shape), dtype)
    program = jax.jit(lambda x: module.apply(variables, x))
    exported = export.export(program, platforms=("cpu", "cuda", "tpu"))(x)
    with complete(Path(path)) as part:
        part.write_bytes(exported.serialize())


def export_onnx(
    path: str | Path, module: linen.Module, variables: Variables, input_shape: Shape, dtype: Any = jnp.float32
) -> None:
    """Writes the computation, weights included, for ONNX runtimes; needs the extra `onnx`.

    The input is called "x" and the output "y", further ones "y_1", "y_2" and so on, in the order of
    `jax.tree.leaves`; the batch is the symbolic dimension "B".
    """
    with _needed("onnx"):
        import onnx
        from jax2onnx import to_onnx
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)  # it warns about names that it drops
    x = jax.ShapeDtypeStruct(("B", *input_shape), dtype)
    model = to_onnx(lambda x: module.apply(variables, x), [x], input_names=["x"], return_mode="proto")
    for number, output in enumerate(model.graph.output):  # under names that the converter made up
        name = f"y_{number}" if number else "y"
        model.graph.node.append(onnx.helper.make_node("Identity", [output.name], [name]))
        output.name = name
    with complete(Path(path)) as part:
        onnx.save(model, part)


def export_text(
    path: str | Path, module: linen.Module, variables: Variables, input_shape: Shape, dtype: Any = jnp.float32
) -> None:
    """Writes the name, shape and values of every trainable array as text, layer by layer in call order."""
    rows = [row.variables for row in summarize(module, input_shape, dtype).layers]
    keys = [key for row in rows for key in sorted(row, key=_kernel_first) if key[0] == "params"]
    values = flatten_dict(variables)
    with complete(Path(path)) as part, part.open("w", encoding="utf-8") as file:
        for key in keys:
            array = np.asarray(values[key])
            file.write(f"{'/'.join(key[1:])}\n{array.shape}\n")
            file.writelines(_text(array, "%.17g" if array.dtype == np.float64 else "%.9g"))
            file.write("\n")


def _text(array: np.ndarray, form: str) -> Iterator[str]:
    """Yields an array in brackets, one line for each row; the form is enough to read the same floats back.

    It is filled into templates, many numbers at a time: a number by itself takes ten times as long, and all
    numbers of a large array at once several times its memory.
    """
    if array.size <= AT_ONCE or not array.ndim:
        yield _template(array.shape, form) % tuple(array.ravel().tolist())
        return
    step, between = max(1, AT_ONCE * len(array) // array.size), _between(array.ndim)
    yield "["
    for start in range(0, len(array), step):
        rows = array[start : start + step]
        yield between if start else ""
        if len(rows) > 1:
            yield between.join([_template(rows.shape[1:], form)] * len(rows)) % tuple(rows.ravel().tolist())
        else:
            yield from _text(rows[0], form)
    yield "]"


def _template(shape: Shape, form: str) -> str:
    return f"[{_between(len(shape)).join([_template(shape[1:], form)] * shape[0])}]" if shape else form


def _between(rank: int) -> str:
    return "\n " if rank > 1 else " "


FORMATS: dict[str, Callable[..., None]] = {
    "safetensors": export_safetensors,
    "stablehlo": export_stablehlo,
    "onnx": export_onnx,
    "text": export_text,
}


def _kernel_first(key: tuple[str, ...]) -> tuple[bool, str]:
    return key[-1] == "bias", key[-1]


@contextmanager
def _needed(package: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        needed = hints.install(package)
        raise UserError(f"this format needs a package that is missing: {needed}") from error
