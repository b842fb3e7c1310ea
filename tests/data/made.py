"""Data sets that TFDS makes, of any features and splits."""

from pathlib import Path
from typing import Any


def make(
    root: Path,
    name: str,
    features: dict[str, Any],
    splits: dict[str, list[dict[str, Any]]],
    keys: Any = ("image", "label"),
    file_format: str = "array_record",
) -> Path:
    """Prepares a data set under `root`, as anybody's builder does; returns its folder."""
    import tensorflow_datasets as tfds

    dataset_name = name

    class Made(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        name = dataset_name
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features), supervised_keys=keys
            )

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples(split) for split in splits}

        def _generate_examples(self, split):
            yield from enumerate(splits[split])

    tfds.display_progress_bar(False)
    builder = Made(data_dir=str(root), file_format=file_format)
    builder.download_and_prepare()
    return Path(builder.data_dir)
