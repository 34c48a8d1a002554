"""The TFDS builders of the data sets, and all that `DATASET` in a gin file can name."""

from __future__ import annotations

from deeplab.data.builders import (
    ade20k,
    camvid,
    cityscapes,
    coco_stuff,
    folder,
    oxford_iiit_pet,
    shapes,
    voc_2012,
)
from deeplab.data.spec import DatasetSpec

DATASETS: dict[str, DatasetSpec] = {
    spec.name: spec
    for spec in (
        shapes.SPEC,
        folder.SPEC,
        camvid.SPEC,
        voc_2012.SPEC,
        cityscapes.SPEC,
        ade20k.SPEC,
        oxford_iiit_pet.SPEC,
        coco_stuff.SPEC,
    )
}
