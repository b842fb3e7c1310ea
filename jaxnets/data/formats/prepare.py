"""Preparing data sets: from the user's own files, without TensorFlow, or downloaded by TFDS."""

import importlib.util
import io
import os
import re
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from jaxnets import hints
from jaxnets.data.formats.form import Form, Store, find_form
from jaxnets.data.formats.prepared import FORMAT, data_root, find_prepared, import_tfds
from jaxnets.data.formats.readers import Contents, Problems, read_contents
from jaxnets.errors import NotAtHand, UserError

TFDS_HOST = ("storage.googleapis.com", 443)


def prepare(
    source: Path,
    name: str,
    *,
    data_dir: Path | None = None,
    classes: Sequence[str] | None = None,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    keep_sizes: bool = False,
    store: Store = "auto",
    skip_errors: bool = False,
) -> tuple[Any, list[str]]:
    """Prepares a TFDS data set from files on disk; needs no TensorFlow.

    It appears under its name only when complete: an interrupted run leaves nothing that looks finished.

    Args:
        source: A folder or tar of IDX files, CIFAR batches, images with a label file, or class folders.
        name: Name for `load` and TFDS, in small letters, digits and underscores.
        data_dir: Folder of prepared data sets. By default that of TFDS.
        classes: Names of the labels if the files have only numbers, or the folders' names in another order.
        size: (height, width) to scale all images to. By default all must have the size of the first.
        channels: Number of channels, 1 or 3, to convert all images to. By default all must be like the first.
        keep_sizes: Whether images may differ in size.
        store: "pixels" is fastest to read; "files" keeps PNG and JPEG as they are, smaller on disk; "auto"
            is pixels up to 64 x 64 in colour.
        skip_errors: Whether to leave out faulty examples and report them instead of stopping.

    Returns:
        The TFDS builder, and the messages on what was left out.

    Raises:
        UserError: If the name is taken or invalid, or the source is wrong (see `read_contents`).

    Examples:
        prepare(Path("flower_photos.tgz"), "flowers", size=(64, 64))
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise UserError(f"the name {name!r}: use lowercase letters, digits and _, a letter first")
    root = data_root(data_dir)
    if taken := find_prepared(root, name):
        raise UserError(f"{name} is already prepared in {taken}: choose another name, or delete that folder")
    problems = Problems(skip_errors)
    contents = read_contents(Path(source), problems, classes)
    form = find_form(contents, problems, size=size, channels=channels, keep_sizes=keep_sizes, store=store)
    description = f"Prepared by jaxnets from {Path(source).name}."
    tfds = import_tfds(f"the data set {name!r}")
    tfds.display_progress_bar(sys.stderr.isatty())
    builder = _builder_class(tfds, name, contents, form, problems, description)(
        data_dir=str(root), file_format=FORMAT
    )
    with redirect_stdout(io.StringIO()):  # where TFDS prints about downloading
        builder.download_and_prepare()
    return builder, problems.found


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
            for where, picture, label in contents.splits[split]():
                try:
                    stored = form.stored(where, picture)
                except UserError as error:
                    problems(error)
                else:
                    yield where, {"image": stored, "label": label}

    return FromDisk


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
