"""What a file is that is no Keras weight file, in words, and the way out."""

from collections.abc import Iterable
from pathlib import Path

SAVE = "and save its weights with save_weights('model.h5')"
KINDS = "give a .keras, a .weights.h5, a .weights.json or a legacy .h5"
CHECKPOINT = (
    "is a checkpoint of TensorFlow, which only Keras 2 (tf_keras) reads: build the model there, "
    f"call load_weights on it, {SAVE}"
)
BEGINNINGS = {
    b"version https://git-lfs": "is a Git LFS pointer and not the file itself: fetch it with git lfs pull",
    b"<!doctype html": "is a web page and not the file: download the file itself",
    b"<html": "is a web page and not the file: download the file itself",
    b"\x1f\x8b": "is packed with gzip: unpack it first",
}


def foreign(path: Path) -> str:
    """Returns what to say of a path that leads to no Keras file, after its name."""
    if path.is_dir():
        return _folder(path)
    if path.with_name(f"{path.name}.index").is_file() or path.suffix == ".index" or ".data-0" in path.name:
        return CHECKPOINT
    if not path.exists():
        return "is not there: there is no file of that name to read Keras weights from"
    if not path.is_file():
        return f"is neither a file nor a folder: {KINDS}"
    if path.name == "checkpoint":
        return CHECKPOINT
    if path.suffix == ".pb":
        return _saved_model("is part of a SavedModel of TensorFlow")
    with path.open("rb") as file:
        start = file.read(64)
    if start[4:8] == b"TFL3":
        return f"is a model for TensorFlow Lite, whose weights may be rounded: {KINDS} of the original"
    for beginning, answer in BEGINNINGS.items():
        if start.lower().startswith(beginning):
            return answer
    if path.suffix == ".json":
        return "is JSON, which has a model's architecture but no weights: give the file of its weights"
    return f"is not a Keras file: {KINDS}"


def foreign_zip(names: Iterable[str]) -> str:
    """Returns what to say of a zip with these files, which is no Keras file."""
    names = list(names)
    if any(name.endswith("model.weights.npz") for name in names):
        return "has its weights in NumPy's format: load it in Keras and save it as .keras with HDF5"
    if any(name.endswith("data.pkl") for name in names):
        return "is a file of PyTorch: no layer of it is known here; give a Keras file"
    if any(name.endswith(".npy") for name in names):
        return "is a file of NumPy's arrays (.npz), without layers: give a Keras file"
    inner = next((name for name in names if name.endswith("/model.weights.h5")), None)
    if inner:
        return (
            f"is a zip of the folder {inner.rpartition('/')[0]}: zip the files in it, not the folder, or "
            "give its model.weights.h5"
        )
    if any(name.endswith("saved_model.pb") for name in names):
        return f"is a zip without config.json and model.weights.h5; {_saved_model('it has a SavedModel')}"
    return "is a zip without config.json and model.weights.h5: give a .keras file"


def _folder(path: Path) -> str:
    if (path / "saved_model.pb").is_file():
        return _saved_model("is a SavedModel of TensorFlow")
    if (path / "checkpoint").is_file() or any(path.glob("*.index")):
        return CHECKPOINT
    for name in ("model.weights.h5", "model.weights.json"):
        if (path / name).is_file():
            return f"is a folder: give the file {str(path / name)!r}"
    return f"is a folder: {KINDS}"


def _saved_model(beginning: str) -> str:
    return (
        f"{beginning}, which only TensorFlow reads: load it with Keras 2, tf_keras.models.load_model, {SAVE}"
    )
