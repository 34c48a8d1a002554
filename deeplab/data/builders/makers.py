"""How the builder of a data set is made: from a source folder, or by TFDS's own code."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import tensorflow_datasets as tfds

from deeplab.data.sources.source import MissingFiles, Source
from deeplab.data.sources.source_folder import existing_folder
from deeplab.data.spec import MakeBuilder


@dataclasses.dataclass(frozen=True)
class FromSource:
    """Makes the builder of a source folder.

    Attributes:
        builder: (source, data_dir) -> the builder.
        scan: reads what the folder holds.
    """

    builder: Callable[[Source, str], tfds.core.DatasetBuilder]
    scan: Callable[[Path], Source]

    def __call__(self, data_dir: str, source_dir: str | None) -> tfds.core.DatasetBuilder:
        """The builder of what the folder holds."""
        if source_dir is None:
            raise ValueError("the specification must say that it needs a source folder")
        return self.builder(self.scan(Path(source_dir)), data_dir)


def is_prepared(builder: tfds.core.DatasetBuilder) -> bool:
    """Whether the data set of a builder lies where the builder looks for it."""
    # TFDS's own answer is no wherever the path of the folder is a pattern.
    return (builder.data_path / tfds.core.constants.DATASET_INFO_FILENAME).exists()


def of_tfds(name: str, archives: Sequence[str]) -> MakeBuilder:
    """One of TFDS's own builders.

    Args:
        name: its name, with the configuration.
        archives: the files that it takes from source_dir, if there is one.
    """

    def make(data_dir: str, source_dir: str | None) -> tfds.core.DatasetBuilder:
        builder = tfds.builder(name, data_dir=data_dir)
        if source_dir is not None and not is_prepared(builder):
            folder = existing_folder(Path(source_dir))
            missing = [archive for archive in archives if not (folder / archive).is_file()]
            if missing:
                raise MissingFiles(f"{folder} has no {' and no '.join(missing)}")
        return builder

    return make
