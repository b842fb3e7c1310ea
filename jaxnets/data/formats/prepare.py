"""Preparing data sets: from the user's own files, without TensorFlow, or downloaded by TFDS."""

import hashlib
import importlib.util
import io
import os
import re
import socket
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from jaxnets import hints
from jaxnets.data.embedded import EMBEDDED
from jaxnets.data.formats.form import Form, Store, find_form
from jaxnets.data.formats.prepared import FORMAT, data_root, find_prepared, import_tfds
from jaxnets.data.formats.readers import Contents, Problems, read_contents
from jaxnets.errors import NotAtHand, UserError
from jaxnets.files import writing

TFDS_HOST = ("storage.googleapis.com", 443)


def prepare(
    source: Path | str,
    name: str,
    *,
    data_dir: Path | str | None = None,
    classes: Sequence[str] | None = None,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    keep_sizes: bool = False,
    store: Store = "auto",
    first_label: int | None = None,
    encoding: str = "utf-8",
    skip_errors: bool = False,
) -> tuple[Any, Problems]:
    """Prepares a TFDS data set from files on disk; needs no TensorFlow.

    It appears under its name only when complete: an interrupted run leaves nothing that looks finished.

    Args:
        source: A folder, tar or zip of IDX files, CIFAR batches, images with a label file, or class folders.
        name: Name for `load` and TFDS, in small letters, digits and underscores.
        data_dir: Folder of prepared data sets. By default that of TFDS.
        classes: Names of the labels if the files have only numbers, or the folders' names in another order.
        size: (height, width) to scale all images to. By default all must have the size of the first.
        channels: Number of channels, 1 or 3, to convert all images to. By default all must be like the first.
        keep_sizes: Whether images may differ in size.
        store: "pixels" is fastest to read; "files" keeps PNG and JPEG as they are, smaller on disk; "auto"
            is pixels up to 64 x 64 in colour.
        first_label: The smallest label, if labels are numbers. By default 0, which must be among them.
        encoding: Encoding of names and label files that are not UTF-8, such as "gbk".
        skip_errors: Whether to leave out faulty examples and report them instead of stopping.

    Returns:
        The TFDS builder, and what was left out or not used.

    Raises:
        UserError: If the name is taken or invalid, or the source is wrong (see `read_contents`).

    Examples:
        prepare(Path("flower_photos.tgz"), "flowers", size=(64, 64))
    """
    root = data_root(data_dir)
    check_free(name, root)
    with writing(root):
        root.mkdir(parents=True, exist_ok=True)
    problems = Problems(skip_errors)
    contents = read_contents(Path(source), problems, classes, first_label=first_label, encoding=encoding)
    form = find_form(contents, problems, size=size, channels=channels, keep_sizes=keep_sizes, store=store)
    description = f"Prepared by jaxnets from {Path(source).name}."
    tfds = import_tfds(f"the data set {name!r}")
    tfds.display_progress_bar(sys.stderr.isatty())
    builder = _builder_class(tfds, name, contents, form, problems, description)(
        data_dir=str(root), file_format=FORMAT
    )
    with writing(root), redirect_stdout(io.StringIO()):  # where TFDS prints about downloading
        builder.download_and_prepare()
    return builder, problems


def check_free(name: str, data_dir: Path | str | None = None) -> None:
    """Raises UserError unless a new data set can have this name: it is well-formed, and no other has it."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,99}", name):
        raise UserError(
            f"the name {name[:120]!r}: use lowercase letters, digits and _, a letter first, 100 at most"
        )
    if name in EMBEDDED:
        raise UserError(f"{name} is the name of an embedded data set: choose another")
    if taken := find_prepared(data_root(data_dir), name):
        raise UserError(f"{name} is already prepared in {taken}: choose another name, or delete that folder")


def _builder_class(
    tfds: Any, name: str, contents: Contents, form: Form, problems: Problems, description: str
) -> Any:
    """Returns the TFDS builder of these contents, not registered, since it is used only here."""
    dataset_name = name
    if form.decoded:
        image = tfds.features.Tensor(shape=form.shape, dtype=np.uint8, encoding="bytes")
    else:
        image = tfds.features.Image(shape=form.shape)

    class FromDisk(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
        name = dataset_name
        VERSION = tfds.core.Version("1.0.0")

        def _info(self) -> Any:
            label = tfds.features.ClassLabel(names=contents.classes)
            return tfds.core.DatasetInfo(
                builder=self,
                description=description,
                features=tfds.features.FeaturesDict({"image": image, "label": label}),
                supervised_keys=("image", "label"),
            )

        def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
            return {split: self._generate_examples(split) for split in contents.splits}

        def _generate_examples(self, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
            seen, kept, lost = Counter[str](), Counter[int](), Counter[int]()
            for where, picture, label in contents.splits[split]():
                try:
                    stored = form.stored(where, picture)
                except UserError as error:
                    problems(error)
                    lost[label] += 1
                else:
                    key = _key(picture, contents.classes[label])
                    seen[key] += 1
                    kept[label] += 1
                    yield f"{key}-{seen[key]}", {"image": stored, "label": label}
            _check_left(split, contents.classes, kept, lost, problems)

    return FromDisk


def _key(picture: np.ndarray | bytes, label: str) -> str:
    """Returns the key of an example, by which TFDS shuffles: from its contents alone, not from where it lies.

    So the same images and classes are in the same order, and the same ones are held out, whether they come
    from a folder or an archive, and whatever their form is.
    """
    content = picture if isinstance(picture, bytes) else picture.tobytes()
    return hashlib.blake2b(content, digest_size=16).hexdigest() + label


def _check_left(
    split: str, classes: Sequence[str], kept: Counter[int], lost: Counter[int], problems: Problems
) -> None:
    """Raises UserError if everything of a split, or of a class to train on, was left out as faulty."""
    gone = [classes[label] for label in sorted(lost) if not kept[label]] if split == "train" else []
    if not kept or gone:
        what = f"{split}, class {gone[0]}," if kept else split
        why = f": {problems.found[-1]}" if problems.found else ""
        raise UserError(f"nothing of {what} is left, since all of it was left out as faulty{why}")


def download(builder: Any) -> None:
    """Downloads and prepares a TFDS data set, or reports at once what is missing.

    Raises:
        NotAtHand: If TensorFlow, which TFDS needs to prepare it, is not installed, or there is no network
            (TFDS itself would keep trying for minutes).
    """
    where = f"or put its prepared files into {builder.data_dir}"
    name = builder.info.name
    if importlib.util.find_spec("tensorflow") is None:
        raise NotAtHand(
            f"the TFDS data set {name!r} is not prepared yet, and that needs TensorFlow once: "
            f"{hints.install('tfds')}, {where}"
        )
    if not _online():
        raise NotAtHand(
            f"the TFDS data set {name!r} is not prepared yet, and there is no network to download it: "
            f"connect and run again, {where}"
        )
    builder.download_and_prepare()


def _online() -> bool:
    if any(os.environ.get(proxy) for proxy in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")):
        return True  # only the proxy knows
    try:
        socket.create_connection(TFDS_HOST, timeout=5).close()
    except OSError:
        return False
    return True
