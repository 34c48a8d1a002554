"""The data set `oxford_iiit_pet`: TFDS's own builder; pet and background, the border ignored.

Source: O. M. Parkhi et al., Cats and Dogs, CVPR 2012; README of its annotations ("trimaps").
"""

from __future__ import annotations

from deeplab.data.colors import Color, default_colors
from deeplab.data.spec import DatasetSpec, RecordKeys, label_map, of_tfds

_PET, _BACKGROUND = 1, 2  # and 3, the border

CLASS_NAMES = ("background", "pet")
COLORS: tuple[Color, ...] = default_colors(len(CLASS_NAMES))

SPEC = DatasetSpec(
    name="oxford_iiit_pet",
    make_builder=of_tfds("oxford_iiit_pet", ("images.tar.gz", "annotations.tar.gz")),
    class_names=CLASS_NAMES,
    colors=COLORS,
    eval_split="test",
    description="Oxford-IIIT Pet: 7,349 photographs of cats and dogs, pet and background.",
    license="CC BY-SA 4.0; not part of this package",
    how_to_get=(
        "it is downloaded on first use (811 MB); without a network pass --source_dir=DIR with "
        "images.tar.gz and annotations.tar.gz of https://www.robots.ox.ac.uk/~vgg/data/pets/"
    ),
    citation="""\
@inproceedings{parkhi2012cats,
  title={Cats and Dogs},
  author={Parkhi, Omkar M. and Vedaldi, Andrea and Zisserman, Andrew and Jawahar, C. V.},
  booktitle={CVPR}, year={2012}}
""",
    split_sizes={"train": 3680, "test": 3669},
    label_map=label_map({_BACKGROUND: 0, _PET: 1}),
    prepared_by_tfds=True,
    record_keys=RecordKeys("image", "segmentation_mask", "file_name"),
)
