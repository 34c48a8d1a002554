"""The data sets that `DATASET` in a gin file can name."""

from __future__ import annotations

from pathlib import Path

import tensorflow_datasets as tfds

from deeplab.data.builders import camvid, folder, shapes
from deeplab.data.source_folder import LAYOUT, scan_folder
from deeplab.data.source_list import scan_list
from deeplab.data.spec import DatasetSpec
from deeplab.errors import DeepLabError

_LIST_SUFFIXES = (".csv", ".jsonl")


def _make_shapes(data_dir: str, source_dir: str | None) -> tfds.core.DatasetBuilder:
    del source_dir  # it is drawn, there are no raw files
    return shapes.Shapes(data_dir=data_dir)


def _make_folder(data_dir: str, source_dir: str | None) -> tfds.core.DatasetBuilder:
    if source_dir is None:
        raise DeepLabError(f"the data set 'folder' needs --source_dir: a folder with {LAYOUT}")
    path = Path(source_dir)
    scan = scan_list if path.suffix.lower() in _LIST_SUFFIXES else scan_folder
    return folder.Folder(scan(path), data_dir)


def _make_camvid(data_dir: str, source_dir: str | None) -> tfds.core.DatasetBuilder:
    if source_dir is not None:
        return camvid.Camvid(camvid.scan_camvid(Path(source_dir)), data_dir)
    # Without the raw files a prepared copy will do, if there is no doubt which.
    copies = [
        info.parent for info in sorted(Path(data_dir, "camvid").glob("*/*/dataset_info.json"))
    ]
    if not copies:
        raise DeepLabError(f"camvid is not prepared in {data_dir}: {camvid.HOW_TO_GET}")
    if len(copies) > 1:
        raise DeepLabError(
            f"{data_dir}/camvid holds {len(copies)} copies, made from different files: pass "
            "--source_dir to say which"
        )
    return tfds.builder_from_directory(copies[0])


DATASETS: dict[str, DatasetSpec] = {
    spec.name: spec
    for spec in (
        DatasetSpec(
            name="shapes",
            make_builder=_make_shapes,
            class_names=shapes.CLASS_NAMES,
            colors=shapes.COLORS,
            train_split="train",
            eval_split="validation",
            description=shapes.DESCRIPTION,
            license="Apache-2.0, as the program that draws it",
            how_to_get="nothing: it is generated on first use",
            split_sizes=shapes.SPLIT_SIZES,
        ),
        DatasetSpec(
            name="folder",
            make_builder=_make_folder,
            class_names=None,
            colors=None,
            train_split="train",
            eval_split="val",
            description=folder.Folder.description,
            license=folder.Folder.license,
            how_to_get=(
                f"pass --source_dir=DIR with {LAYOUT}; or a .csv or .jsonl list with image, label "
                "and optional split, beside such a class list"
            ),
            needs_source_dir=True,
        ),
        DatasetSpec(
            name="camvid",
            make_builder=_make_camvid,
            class_names=camvid.CLASS_NAMES,
            colors=camvid.COLORS,
            train_split="train",
            eval_split="val",
            description=camvid.DESCRIPTION,
            license=camvid.LICENSE,
            how_to_get=camvid.HOW_TO_GET,
            citation=camvid.CITATION,
            split_sizes=camvid.SPLIT_SIZES,
            needs_source_dir=True,
        ),
    )
}
