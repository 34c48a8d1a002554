"""The data set `cityscapes`: TFDS's own builder; its 34 stored ids become 19 classes when read.

The coarsely annotated images are the split train_extra, which another configuration of the builder
holds: `DataConfig.train_split = 'train_extra'` trains on them and still evaluates on the fine masks
of `validation`. (The masks of `test` hold none of the classes: the benchmark's server keeps them.)

The 19 classes are those that are evaluated, of the 34 ids that the masks store. Source: M. Cordts
et al., The Cityscapes Dataset for Semantic Urban Scene Understanding, CVPR 2016, and its class
definitions (https://www.cityscapes-dataset.com/dataset-overview/).
"""

from __future__ import annotations

import dataclasses

from deeplab.data.colors import Color
from deeplab.data.spec import DatasetSpec, RecordKeys, label_map, of_tfds

# Class, id in the masks ("labelId"), color; the position is the class id ("trainId").
_ROWS: tuple[tuple[str, int, Color], ...] = (
    ("road", 7, (128, 64, 128)),
    ("sidewalk", 8, (244, 35, 232)),
    ("building", 11, (70, 70, 70)),
    ("wall", 12, (102, 102, 156)),
    ("fence", 13, (190, 153, 153)),
    ("pole", 17, (153, 153, 153)),
    ("traffic light", 19, (250, 170, 30)),
    ("traffic sign", 20, (220, 220, 0)),
    ("vegetation", 21, (107, 142, 35)),
    ("terrain", 22, (152, 251, 152)),
    ("sky", 23, (70, 130, 180)),
    ("person", 24, (220, 20, 60)),
    ("rider", 25, (255, 0, 0)),
    ("car", 26, (0, 0, 142)),
    ("truck", 27, (0, 0, 70)),
    ("bus", 28, (0, 60, 100)),
    ("train", 31, (0, 80, 100)),
    ("motorcycle", 32, (0, 0, 230)),
    ("bicycle", 33, (119, 11, 32)),
)

CLASS_NAMES = tuple(name for name, _, _ in _ROWS)
COLORS: tuple[Color, ...] = tuple(color for _, _, color in _ROWS)

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
    label_map=label_map({stored: class_id for class_id, (_, stored, _) in enumerate(_ROWS)}),
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
