"""A Linen module written from the configuration of a Keras model: where a move to JAX begins.

What a file contains becomes code only through tables of known layers: names become identifiers, numbers are
checked, and strings are escaped. Nothing in the file is executed, Lambda layers least of all.
"""

import dataclasses
from pathlib import Path
from typing import Any

from jaxnets.errors import UserError
from jaxnets.files import parse_json
from jaxnets.keras_weights.containers import checked, open_file
from jaxnets.keras_weights.skeleton.activations import Unsupported
from jaxnets.keras_weights.skeleton.graph import model_of
from jaxnets.keras_weights.skeleton.names import plain, quoted
from jaxnets.keras_weights.skeleton.wrappers import EACH_STEP
from jaxnets.keras_weights.skeleton.writer import Writer, imports
from jaxnets.keras_weights.weightless import ODD

__all__ = ["Skeleton", "make_skeleton"]


@dataclasses.dataclass(frozen=True)
class Skeleton:
    """The code of a module.

    Attributes:
        text: A Python file, which defines the module `Net`.
        missing: Layers that are left to do, and why: their classes raise NotImplementedError.
        rename: Layers that got other names than in Keras, by these, as `from_keras` takes them.
    """

    text: str
    missing: list[str]
    rename: dict[str, str]


def make_skeleton(model_or_path: Any) -> Skeleton:
    """Returns a Linen module that computes what a sequential or functional Keras model does.

    Its layers have the names of Keras's, so that `from_keras(file, Net())` loads the file's weights. Layers
    and settings that are not known become classes to fill in.

    Args:
        model_or_path: The path of a ``.keras`` or a legacy ``.h5`` of a whole model, of a ``.json`` (Keras's
            `model.to_json()`), or a live Keras model.

    Raises:
        UserError: If there is no such file, or it has no configuration of a sequential or functional model.

    Examples:
        >>> import keras
        >>> layers = [keras.Input((4,)), keras.layers.Dense(3, "relu", name="answer")]
        >>> theirs = keras.Sequential(layers, name="iris")
        >>> print(make_skeleton(theirs).text.partition("class ")[2])
        Net(linen.Module):
            \"\"\"The Keras model iris.\"\"\"
        <BLANKLINE>
            @linen.compact
            def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
                x = nn.Dense(3, activation="relu", name="answer")(x)
                return x
        <BLANKLINE>
    """
    config, version, source = _configuration(model_or_path)
    where = repr(source)
    writer = Writer(where, version)
    try:
        model = model_of(config, where) if isinstance(config, dict) else None
        if model is None:
            raise UserError(
                f"{where} has no configuration of a sequential or functional model, as files of weights "
                "alone and of subclassed models: give a .keras or a .h5 of a whole model"
            )
        writer.model(model, "Net")
    except Unsupported as error:
        raise UserError(f"{where} has {error}, for which no code can be written") from None
    except ODD as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{where} has a configuration that is no model's, or nested too deep") from error
    return Skeleton(_text(writer, source), writer.missing, writer.rename)


def _text(writer: Writer, source: str) -> str:
    body = "\n\n\n".join(writer.classes)
    if "each_step(" in body:
        body = f"{EACH_STEP.strip()}\n\n\n{body}"
    renamed = ", ".join(f"{quoted(old)}: {quoted(new)}" for old, new in writer.rename.items())
    how = f"{quoted(source)}, Net()" + (f", rename={{{renamed}}}" if renamed else "")
    head = f'"""{plain(source)} as a Linen module, written by jaxnets: see `Net`."""'
    use = [
        "# Its weights, and what Keras's predict returns:",
        "#",
        "#     from jaxnets.keras_weights import from_keras",
        f"#     variables = from_keras({how})",
        "#     outputs = Net().apply(variables, inputs)",
    ]
    return "\n".join([head, "", *use, "", imports(body), "", "", body, ""])


def _configuration(model_or_path: Any) -> tuple[Any, str, str]:
    """Returns the configuration of a model, the version of Keras, and the name of the source."""
    if not isinstance(model_or_path, (str, Path)):
        if not hasattr(model_or_path, "get_config"):
            raise UserError(f"{model_or_path!r} is neither a Keras model nor the path of a file")
        version = "2." if type(model_or_path).__module__.startswith("tf_keras") else "3."
        try:
            config = parse_json(model_or_path.to_json(), "the configuration of the model")
        except (NotImplementedError, TypeError):  # a subclassed model without one
            config = None
        return config, version, f"the Keras model {model_or_path.name}"
    path = Path(model_or_path)
    if path.suffix == ".json" and path.is_file() and not path.name.endswith(".weights.json"):
        config = checked(parse_json(path.read_bytes(), repr(str(path))), repr(str(path)))
        version = config.get("keras_version", "") if isinstance(config, dict) else ""
    else:
        root, config = open_file(path)
        version = root.attrs.get("keras_version", "")
    version = version.decode(errors="replace") if isinstance(version, bytes) else str(version)
    return config, version or _version_by_layout(config), str(path)


def _version_by_layout(config: Any) -> str:
    return "3." if isinstance(config, dict) and "module" in config else ""
