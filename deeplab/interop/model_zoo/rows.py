"""The table of the original's model zoo: what was published, and the flags that it was made with.

Source: g3doc/model_zoo.md of research/deeplab. Flags give what the files cannot tell, and the
network where the page does; none stands where the page is silent, so that the file decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple


class Result(NamedTuple):
    """A published number and its protocol.

    Attributes:
        miou: in percent, as printed.
        split: of the data set.
        output_stride: at which the network ran.
        scales: of the images whose probabilities were averaged, first:step:last; "": the image's
            own.
        flip: whether each was seen mirrored as well.
        pixel_accuracy: in percent; None: not published.
    """

    miou: str
    split: str
    output_stride: int
    scales: str = ""
    flip: bool = False
    pixel_accuracy: str | None = None

    def __str__(self) -> str:
        """One number in words."""
        protocol = [f"output stride {self.output_stride}"]
        protocol += [f"scales {self.scales}"] if self.scales else []
        protocol += ["flip"] if self.flip else []
        accuracy = self.pixel_accuracy
        more = "" if accuracy is None else f", pixel accuracy {accuracy} %"
        return f"{self.miou} % mIoU on {self.split} ({', '.join(protocol)}){more}"


class Row(NamedTuple):
    """A model of the zoo.

    Attributes:
        name: as the page calls it.
        archive: its file on the server.
        backbone: in words, with the head where it has one.
        flags: of the original's programs, as text.
        dataset: a key of `DATASETS` whose classes it has; None: a classifier of ImageNet.
        results: as published, the one that decides the output stride first.
        megabytes: size of the archive as the page of 2018 says it; None: it is not on it.
        folder: name of the folder in the archive where it is not made of the archive's.
    """

    name: str
    archive: str
    backbone: str
    flags: str
    dataset: str | None = None
    results: tuple[Result, ...] = ()
    megabytes: int | None = None
    folder: str | None = None

    @property
    def backbone_only(self) -> bool:
        """Whether there is no head in the file."""
        return self.dataset is None

    @property
    def published(self) -> str:
        """The published numbers in words."""
        return "; ".join(map(str, self.results)) or "no mIoU was published"

    @property
    def folders(self) -> Iterator[str]:
        """Names of folders that mean this model: its archive's with and without date, its own."""
        stem = self.archive.removesuffix(SUFFIX)
        yield from (stem, re.sub(r"_\d{4}_\d\d_\d\d$", "", stem), self.name)
        if self.folder:
            yield self.folder


SUFFIX = ".tar.gz"

_VOC = "voc_2012"
_VOC_SCALES = "0.5:0.25:1.75"
_CITYSCAPES_SCALES = "0.75:0.25:1.25"

_RATES_16 = "--output_stride=16 --atrous_rates=6 --atrous_rates=12 --atrous_rates=18"
_RATES_8 = "--output_stride=8 --atrous_rates=12 --atrous_rates=24 --atrous_rates=36"
_DECODER = "--decoder_output_stride=4"

_MOBILENET_V2 = "--model_variant=mobilenet_v2"
_MOBILENET_V2_HALF = f"{_MOBILENET_V2} --depth_multiplier=0.5"
_XCEPTION_65 = "--model_variant=xception_65"
_CELL = "dense_prediction_cell_branch5_top1_cityscapes.json"
_XCEPTION_71_CELL = f"--model_variant=xception_71 {_DECODER} --dense_prediction_cell_json={_CELL}"
_MOBILENET_V3_HEAD = (
    "--output_stride=32 --dataset=cityscapes --aspp_convs_filters=128 "
    "--aspp_with_concat_projection=0 --aspp_with_squeeze_and_excitation=1 "
    "--decoder_use_sum_merge=1 --decoder_filters=19 --decoder_output_is_logits=1 "
    "--image_se_uses_qsigmoid=1 --decoder_output_stride=8 --image_pooling_crop_size=769,769 "
    "--image_pooling_stride=4,5"
)
# A classifier gets the head that DeepLabv3+ is trained with.
_IMAGENET = f"{_RATES_16} {_DECODER}"

_ROWS = (
    Row(
        "mobilenetv2_dm05_coco_voc_trainaug",
        "deeplabv3_mnv2_dm05_pascal_trainaug_2018_10_01.tar.gz",
        "MobileNetV2 x0.5",
        f"{_MOBILENET_V2_HALF} --output_stride=16 --dataset=pascal_voc_seg",
        _VOC,
        (Result("70.19", "val", 16),),
    ),
    Row(
        "mobilenetv2_dm05_coco_voc_trainval",
        "deeplabv3_mnv2_dm05_pascal_trainval_2018_10_01.tar.gz",
        "MobileNetV2 x0.5",
        f"{_MOBILENET_V2_HALF} --output_stride=8 --dataset=pascal_voc_seg",
        _VOC,
        (Result("71.83", "test", 8),),
    ),
    Row(
        "mobilenetv2_coco_voc_trainaug",
        "deeplabv3_mnv2_pascal_train_aug_2018_01_29.tar.gz",
        "MobileNetV2",
        f"{_MOBILENET_V2} --output_stride=16 --dataset=pascal_voc_seg",
        _VOC,
        (Result("75.32", "val", 16), Result("77.33", "val", 8, _VOC_SCALES, flip=True)),
        23,
    ),
    Row(
        "mobilenetv2_coco_voc_trainval",
        "deeplabv3_mnv2_pascal_trainval_2018_01_29.tar.gz",
        "MobileNetV2",
        f"{_MOBILENET_V2} --output_stride=8 --dataset=pascal_voc_seg",
        _VOC,
        (Result("80.25", "test", 8, _VOC_SCALES, flip=True),),
        23,
    ),
    Row(
        "xception65_coco_voc_trainaug",
        "deeplabv3_pascal_train_aug_2018_01_04.tar.gz",
        "Xception-65, ASPP, decoder",
        f"{_XCEPTION_65} {_RATES_16} {_DECODER} --dataset=pascal_voc_seg",
        _VOC,
        (Result("82.20", "val", 16), Result("83.58", "val", 8, _VOC_SCALES, flip=True)),
        439,
    ),
    Row(
        "xception65_coco_voc_trainval",
        "deeplabv3_pascal_trainval_2018_01_04.tar.gz",
        "Xception-65, ASPP, decoder",
        f"{_XCEPTION_65} {_RATES_8} {_DECODER} --dataset=pascal_voc_seg",
        _VOC,
        (Result("87.80", "test", 8, _VOC_SCALES, flip=True),),
        439,
    ),
    Row(
        "mobilenetv2_coco_cityscapes_trainfine",
        "deeplabv3_mnv2_cityscapes_train_2018_02_05.tar.gz",
        "MobileNetV2",
        f"{_MOBILENET_V2} --output_stride=16 --dataset=cityscapes",
        "cityscapes",
        (Result("70.71", "val", 16), Result("73.57", "val", 8, _CITYSCAPES_SCALES, flip=True)),
        23,
    ),
    Row(
        "mobilenetv3_large_cityscapes_trainfine",
        "deeplab_mnv3_large_cityscapes_trainfine_2019_11_15.tar.gz",
        "MobileNetV3 large, lite head",
        f"--model_variant=mobilenet_v3_large_seg {_MOBILENET_V3_HEAD}",
        "cityscapes",
        (Result("72.41", "val", 32),),
    ),
    Row(
        "mobilenetv3_small_cityscapes_trainfine",
        "deeplab_mnv3_small_cityscapes_trainfine_2019_11_15.tar.gz",
        "MobileNetV3 small, lite head",
        f"--model_variant=mobilenet_v3_small_seg {_MOBILENET_V3_HEAD}",
        "cityscapes",
        (Result("68.99", "val", 32),),
    ),
    Row(
        "xception65_cityscapes_trainfine",
        "deeplabv3_cityscapes_train_2018_02_06.tar.gz",
        "Xception-65, ASPP, decoder",
        f"{_XCEPTION_65} {_RATES_16} {_DECODER} --dataset=cityscapes",
        "cityscapes",
        (Result("78.79", "val", 16), Result("80.42", "val", 8, _CITYSCAPES_SCALES, flip=True)),
        439,
    ),
    Row(
        "xception71_dpc_cityscapes_trainfine",
        "deeplab_cityscapes_xception71_trainfine_2018_09_08.tar.gz",
        "Xception-71, dense prediction cell, decoder",
        f"{_XCEPTION_71_CELL} --output_stride=16 --dataset=cityscapes",
        "cityscapes",
        (Result("80.31", "val", 16),),
        folder="train_fine",
    ),
    Row(
        "xception71_dpc_cityscapes_trainval",
        "deeplab_cityscapes_xception71_trainvalfine_2018_09_08.tar.gz",
        "Xception-71, dense prediction cell, decoder",
        f"{_XCEPTION_71_CELL} --output_stride=8 --dataset=cityscapes",
        "cityscapes",
        (Result("82.66", "test", 8, "0.75:0.25:2", flip=True),),
    ),
    Row(
        "edgetpu_deeplab",
        "edgetpu-deeplab_2020_03_09.tar.gz",
        "MobileNet EdgeTPU",
        "--model_variant=mobilenet_edgetpu --aspp_convs_filters=256 --output_stride=32 "
        "--dataset=cityscapes",
        "cityscapes",
        (Result("70.6", "val", 32), Result("74.1", "val", 16)),
    ),
    Row(
        "edgetpu_deeplab_slim",
        "edgetpu-deeplab-slim_2020_03_09.tar.gz",
        "MobileNet EdgeTPU x0.75",
        "--model_variant=mobilenet_edgetpu --depth_multiplier=0.75 --aspp_convs_filters=128 "
        "--output_stride=32 --dataset=cityscapes",
        "cityscapes",
        (Result("70.0", "val", 32), Result("73.2", "val", 16)),
    ),
    Row(
        "mobilenetv2_ade20k_train",
        "deeplabv3_mnv2_ade20k_train_2018_12_03.tar.gz",
        "MobileNetV2, decoder",
        f"{_MOBILENET_V2} {_DECODER} --output_stride=16 --dataset=ade20k",
        "ade20k",
        (Result("32.04", "val", 16, pixel_accuracy="75.41"),),
    ),
    Row(
        "xception65_ade20k_train",
        "deeplabv3_xception_ade20k_train_2018_05_29.tar.gz",
        "Xception-65, ASPP, decoder",
        f"{_XCEPTION_65} {_RATES_8} {_DECODER} --dataset=ade20k",
        "ade20k",
        (Result("45.65", "val", 8, _VOC_SCALES, flip=True, pixel_accuracy="82.52"),),
        439,
    ),
    Row(
        "xception_41_imagenet",
        "xception_41_2018_05_09.tar.gz",
        "Xception-41 alone",
        f"--model_variant=xception_41 {_IMAGENET}",
        megabytes=288,
    ),
    Row(
        "xception_65_imagenet",
        "deeplabv3_xception_2018_01_04.tar.gz",
        "Xception-65 alone",
        f"{_XCEPTION_65} {_IMAGENET}",
        megabytes=447,
    ),
    Row(
        "xception_65_imagenet_coco",
        "xception_65_coco_pretrained_2018_10_02.tar.gz",
        "Xception-65, with the head that is in the file",
        # The page does not say which head it has.
        f"{_XCEPTION_65} {_RATES_16}",
        _VOC,  # the classes of COCO that VOC has
    ),
    Row(
        "xception_71_imagenet",
        "xception_71_2018_05_09.tar.gz",
        "Xception-71 alone",
        f"--model_variant=xception_71 {_IMAGENET}",
        megabytes=474,
    ),
    Row(
        "resnet_v1_50_beta_imagenet",
        "resnet_v1_50_2018_05_04.tar.gz",
        "ResNet-50 beta alone",
        f"--model_variant=resnet_v1_50_beta {_IMAGENET}",
        megabytes=274,
    ),
    Row(
        "resnet_v1_101_beta_imagenet",
        "resnet_v1_101_2018_05_04.tar.gz",
        "ResNet-101 beta alone",
        f"--model_variant=resnet_v1_101_beta {_IMAGENET}",
        megabytes=477,
    ),
)
ROWS: dict[str, Row] = {row.name: row for row in _ROWS}


def listing() -> Iterator[str]:
    """The table for a terminal: name, size, data set, first published number, backbone."""
    width = max(map(len, ROWS))
    yield f"{'name':<{width}}  {'MB':>5}  {'data set':<10}  {'mIoU':<23}  backbone and head"
    for row in ROWS.values():
        first = row.results[0] if row.results else None
        miou = f"{first.miou} {first.split}, stride {first.output_stride}" if first else ""
        size = "" if row.megabytes is None else str(row.megabytes)
        yield (
            f"{row.name:<{width}}  {size:>5}  {row.dataset or 'ImageNet':<10}  {miou:<23}  "
            f"{row.backbone}"
        )
    yield (
        "Published numbers in percent, by the authors' own evaluation; an import prints all of a "
        "model, with their protocol."
    )
