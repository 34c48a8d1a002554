#!/usr/bin/env python3
"""Draws what training sees: a sheet of the first images of a run, augmented as its gin file says.

python tools/show_augmentation.py --gin_file=runs/camvid_mobilenet_v2.gin --source_dir=DIR \
  --gin_bindings="AugmentConfig.distortions=('photometric', 'rotation')" --output=augmentation.png

The first row is what scale, crop and flip alone would make of the images, the second what the run
makes of them. --each adds a row for every augmentation alone, with the settings of the run. Every
image stands beside itself under its mask; ignored pixels are VOC's beige there.
"""

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

from deeplab.cli.quiet import import_tensorflow

_GAP, _CAPTION = 4, 14  # pixels


def main() -> None:
    """Writes the sheet."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--gin_file", action="append", required=True, help="of the run; repeatable")
    parser.add_argument("--gin_bindings", action="append", default=[], help="repeatable")
    parser.add_argument("--data_dir", help="folder of prepared data sets")
    parser.add_argument("--source_dir", help="raw files of the data set")
    parser.add_argument("--output", type=Path, required=True, help="PNG file to write")
    parser.add_argument("--each", action="store_true", help="also every augmentation alone")
    parser.add_argument("--count", type=int, default=4, help="images of a row")
    arguments = parser.parse_args()
    import_tensorflow(verbose=False)
    from deeplab.errors import DeepLabError

    try:
        _write_sheet(arguments)
    except DeepLabError as error:
        sys.exit(f"error: {error}")


def _write_sheet(arguments: argparse.Namespace) -> None:
    from deeplab import checks
    from deeplab.configuration import read_configuration
    from deeplab.data import AugmentConfig, TrainingStream, load_dataset

    checks.integer("--count", arguments.count, minimum=1)
    config = read_configuration(arguments.gin_file, arguments.gin_bindings).train
    dataset = load_dataset(
        config.data.dataset, data_dir=arguments.data_dir, source_dir=arguments.source_dir
    )
    run = config.data.augment
    rows = [("scale, crop, flip", AugmentConfig()), ("this run", run)]
    if arguments.each:
        rows += _each_alone(run, dataset.class_names)
    pictures = []
    for caption, augment in rows:
        batches = TrainingStream(
            dataset,
            dataclasses.replace(config.data, augment=augment),
            # The images do not depend on the size of the batches; mixing needs an even one.
            global_batch_size=arguments.count + arguments.count % 2,
            pad_value=config.model.resolved_backbone.pad_values(dataset.input_channels),
            seed=config.seed,
        ).batches()
        batch = next(batches.take(1).as_numpy_iterator())
        pictures.append((caption, _row(batch, arguments.count, dataset)))
    _sheet(pictures).save(arguments.output)
    print(f"wrote {arguments.output}")


def _each_alone(run: Any, class_names: tuple[str, ...]) -> list[tuple[str, Any]]:
    """Every augmentation of the tables, always applied where it has a probability."""
    from deeplab.data import AugmentConfig
    from deeplab.data.augment import DISTORTIONS, MIXES
    from deeplab.data.augment.rand_augment import OPERATIONS
    from deeplab.data.augment.registry import settings_of

    def alone(name: str, **changes: Any) -> Any:
        settings = {setting: getattr(run, setting) for setting in settings_of(name)}
        return AugmentConfig(**{**settings, **changes})

    always = {"rotation": {"rotation_probability": 1.0}}
    rows = [
        (name, alone(name, distortions=(name,), **always.get(name, {}))) for name in DISTORTIONS
    ]
    one = {"distortions": ("rand_augment",), "rand_augment_count": 1}
    rows += [
        (f"rand_augment: {name}", alone("rand_augment", **one, rand_augment_operations=(name,)))
        for name in OPERATIONS
    ]
    pasted = {"copy_paste": {"copy_paste_classes": run.copy_paste_classes or class_names[-2:]}}
    return rows + [
        (name, alone(name, mix=name, mix_probability=1.0, **pasted.get(name, {}))) for name in MIXES
    ]


def _row(batch: dict[str, Any], count: int, dataset: Any) -> Any:
    """Images and masks side by side, uint8 [H, W, 3]."""
    import numpy as np

    from deeplab.data.colors import IGNORE_COLOR, overlay

    colors = list(dataset.colors) + [IGNORE_COLOR]
    cells = []
    for image, label in zip(batch["image"][:count], batch["label"][:count], strict=True):
        image = np.round(image[..., :3]).astype(np.uint8)
        ids = np.where(label == dataset.ignore_label, len(dataset.colors), label)
        cells += [image, overlay(image, ids, colors)]
    return np.concatenate([np.pad(cell, ((0, 0), (0, _GAP), (0, 0))) for cell in cells], axis=1)


def _sheet(rows: list[tuple[str, Any]]) -> Any:
    """Rows with their captions, a Pillow image."""
    from PIL import Image, ImageDraw

    height, width = rows[0][1].shape[:2]
    sheet = Image.new("RGB", (width, len(rows) * (height + _CAPTION)))
    draw = ImageDraw.Draw(sheet)
    for number, (caption, row) in enumerate(rows):
        top = number * (height + _CAPTION)
        draw.text((2, top + 1), caption, fill=(255, 255, 255))
        sheet.paste(Image.fromarray(row), (0, top + _CAPTION))
    return sheet


if __name__ == "__main__":
    main()
