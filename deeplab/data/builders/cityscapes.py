"""The data set `cityscapes`: TFDS's own builder; its 34 stored ids become 19 classes when read.

The coarsely annotated images are the split train_extra, which another configuration of the builder
holds: `DataConfig.train_split = 'train_extra'` trains on them and still evaluates on the fine masks
of `validation`. (The masks of `test` hold none of the classes: the benchmark's server keeps them.)
"""

from __future__ import annotations

import dataclasses

from deeplab.data.cityscapes import CLASSES
from deeplab.data.colors import Color
from deeplab.data.spec import DatasetSpec, RecordKeys, label_map, of_tfds

CLASS_NAMES = tuple(row.name for row in CLASSES)
COLORS: tuple[Color, ...] = tuple(row.color for row in CLASSES)

_SITE = "https://www.cityscapes-dataset.com (registration)"
_FINE = ("leftImg8bit_trainvaltest.zip", "gtFine_trainvaltest.zip")
_COARSE = ("leftImg8bit_trainvaltest.zip", "leftImg8bit_trainextra.zip", "gtCoarse.zip")

_FINE_SPEC = DatasetSpec(
    name="cityscapes",
    make_builder=of_tfds("cityscapes/semantic_segmentation", _FINE),
    class_names=CLASS_NAMES,
    colors=COLORS,
    eval_split="validation",
    description=(
        "Cityscapes: 5,000 finely annotated street scenes of 50 cities, 2048x1024, 19 classes; "
        "19,998 coarsely annotated ones as train_extra."
    ),
    license="non-commercial research and education only; not part of this package",
    how_to_get=f"pass --source_dir=DIR with {' and '.join(_FINE)} of {_SITE}, as downloaded",
    citation="""\
@inproceedings{cordts2016cityscapes,
  title={The Cityscapes Dataset for Semantic Urban Scene Understanding},
  author={Cordts, Marius and Omran, Mohamed and Ramos, Sebastian and Rehfeld, Timo and Enzweiler,
    Markus and Benenson, Rodrigo and Franke, Uwe and Roth, Stefan and Schiele, Bernt},
  booktitle={CVPR}, year={2016}}
""",
    split_sizes={"train": 2975, "validation": 500, "test": 1525},
    label_map=label_map({row.label_id: class_id for class_id, row in enumerate(CLASSES)}),
    prepared_by_tfds=True,
    needs_source_dir=True,
    record_keys=RecordKeys("image_left", "segmentation_label", "image_id"),
    copies="cityscapes/semantic_segmentation/*",
)

SPEC = dataclasses.replace(
    _FINE_SPEC,
    extra_splits={
        "train_extra": dataclasses.replace(
            _FINE_SPEC,
            make_builder=of_tfds("cityscapes/semantic_segmentation_extra", _COARSE),
            how_to_get=(
                f"pass --source_dir=DIR with {', '.join(_COARSE)} of {_SITE}, as downloaded"
            ),
            split_sizes={"train_extra": 19998},
            copies="cityscapes/semantic_segmentation_extra/*",
        )
    },
)
