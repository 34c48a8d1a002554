#!/usr/bin/env python3
"""What 8 bits cost a trained network, with and without quantization-aware training.

Two folds of the images by sorted name, even and odd: what needs images (ranges, training) has those
of one fold, what is measured has those of the other, then the other way around; the confusion
matrices of both are added up. Fine-tuning in float, by the same images and steps, is beside it.

python tools/exports/quantization_folds.py --model_dir=models/voc --images=voc/images \
  --labels=voc/labels --classes=voc/classes.json --work_dir=/tmp/folds
"""

import argparse
import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import deeplab
from deeplab.data.files.pixels import read_pixels
from deeplab.evaluation import label_function
from deeplab.evaluation.metrics import class_iou, pixel_accuracy
from deeplab.model_dir import load_model, read_description
from deeplab.runtimes.padding import pad
from deeplab.runtimes.runtime import open_runtime


def main() -> None:
    """Prints the table and writes it to WORK_DIR/folds.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--model_dir", required=True, help="the float model")
    parser.add_argument("--images", type=Path, required=True, help="folder of images")
    parser.add_argument("--labels", type=Path, required=True, help="folder of their index masks")
    parser.add_argument("--classes", type=Path, required=True, help="classes.json of the masks")
    parser.add_argument("--work_dir", type=Path, required=True, help="for everything that is made")
    parser.add_argument("--pad_to", type=int, default=513, help="side of measured images, pixels")
    parser.add_argument("--crop_size", type=int, default=513, help="side of training crops, pixels")
    parser.add_argument("--steps", type=int, default=80, help="of each training")
    parser.add_argument("--observe_steps", type=int, default=20, help="QuantConfig.observe_steps")
    parser.add_argument("--batch_size", type=int, default=2)
    parser.add_argument("--learning_rate", type=float, default=3e-5)
    arguments = parser.parse_args()

    names = sorted(path.stem for path in arguments.labels.glob("*.png"))
    folds = [names[0::2], names[1::2]]
    matrices: dict[str, Any] = {}
    agreements = []
    for index, (train, val) in enumerate((folds, folds[::-1])):
        fold = Fold(arguments, arguments.work_dir / f"fold_{index}", train, val)
        for row, matrix in fold.rows().items():
            matrices[row] = matrices.get(row, 0) + matrix
        agreements.append(fold.agreement())
    rows = {row: summary(matrix) for row, matrix in matrices.items()}
    for row, (miou, accuracy) in rows.items():
        print(f"{row:<44}{miou:8.2%}{accuracy:8.2%}")
    print(f"integer file and quantized model agree on {np.mean(agreements):.2%} of the pixels")
    result = {"rows": rows, "agreement": agreements, "settings": vars(arguments)}
    (arguments.work_dir / "folds.json").write_text(json.dumps(result, indent=2, default=str) + "\n")


def summary(matrix: np.ndarray) -> tuple[float, float]:
    """Mean IoU over the classes that occur in the labels, and pixel accuracy."""
    present = matrix.sum(axis=1) > 0
    return float(class_iou(matrix)[present].mean()), float(pixel_accuracy(matrix))


class Fold:
    """Images to train or calibrate on, and those to measure."""

    def __init__(
        self, arguments: argparse.Namespace, folder: Path, train: Sequence[str], val: Sequence[str]
    ) -> None:
        """Makes a folder of links in the layout of the data set `folder`."""
        self.arguments = arguments
        self.folder = folder
        suffixes = {path.stem: path for path in arguments.images.iterdir()}
        for split, names in (("train", train), ("val", val)):
            for kind in ("images", "labels"):
                place = folder / "data" / kind / split
                place.mkdir(parents=True, exist_ok=True)
                for name in names:
                    file = suffixes[name] if kind == "images" else arguments.labels / f"{name}.png"
                    link = place / file.name
                    link.unlink(missing_ok=True)
                    link.symlink_to(file.absolute())
        (folder / "data" / "classes.json").write_text(arguments.classes.read_text())

    def rows(self) -> dict[str, np.ndarray]:
        """The confusion matrix of everything that is compared."""
        model_dir = self.arguments.model_dir
        tuned, quantized = (self.trained(name) for name in ("float", "quantized"))
        calibration = self.folder / "data" / "images" / "train"
        return {
            "float": self.measured("start", model_dir=model_dir),
            "8 bits after training": self.measured(
                "int8", litert=self.exported(model_dir, "int8", calibration_images=calibration)
            ),
            "float, fine-tuned": self.measured("tuned", model_dir=tuned),
            "fine-tuned, 8 bits after training": self.measured(
                "tuned_int8", litert=self.exported(tuned, "tuned_int8")
            ),
            "quantization-aware training, the model": self.measured(
                "quantized", model_dir=quantized
            ),
            "quantization-aware training, 8-bit file": self.measured(
                "quantized_int8", litert=self.exported(quantized, "quantized_int8")
            ),
        }

    def trained(self, name: str) -> Path:
        """The folder of the network after a short training, quantized or not."""
        arguments, model_dir = self.arguments, self.folder / name
        description = read_description(arguments.model_dir)
        quantization = None
        if name == "quantized":
            quantization = deeplab.QuantConfig(observe_steps=arguments.observe_steps)
        model = dataclasses.replace(description.config, quantization=quantization, dropout_rate=0.0)
        config = deeplab.TrainConfig(
            model=model,
            data=deeplab.DataConfig(
                dataset="folder", crop_size=arguments.crop_size, min_scale=1.0, max_scale=1.0
            ),
            optimizer=deeplab.OptimizerConfig(base_learning_rate=arguments.learning_rate),
            train_batch_norm=False,
            train_steps=arguments.steps,
            global_batch_size=arguments.batch_size,
        )
        deeplab.train(
            config,
            model_dir=model_dir,
            init_from=str(arguments.model_dir),
            data_dir=str(self.folder / "prepared"),
            source_dir=str(self.folder / "data"),
        )
        return model_dir

    def exported(self, model_dir: Path, name: str, **settings: Any) -> Path:
        """The integer file of a model folder."""
        folder = self.folder / "exports" / name
        side = self.arguments.pad_to
        deeplab.export(
            model_dir=model_dir,
            export_dir=folder,
            format="litert_int8",
            fixed_size=(side, side),
            overwrite=True,
            **settings,
        )
        return folder / "model.tflite"

    def measured(self, name: str, **subject: Path) -> np.ndarray:
        """The confusion matrix on the images to measure."""
        metrics = deeplab.evaluate(
            images=self.folder / "data" / "images" / "val",
            labels=self.folder / "data" / "labels" / "val",
            pad_to=(self.arguments.pad_to, self.arguments.pad_to),
            output_dir=self.folder / "results" / name,
            progress=False,
            **subject,
        )
        return np.array(metrics["confusion_matrix"])

    def agreement(self) -> float:
        """Share of pixels to which the quantized model and its integer file give one class."""
        model = load_model(self.folder / "quantized")
        runtime = open_runtime(
            "litert", self.folder / "exports" / "quantized_int8" / "model.tflite"
        )
        labels: Callable[[Any], Any] = label_function(model)
        same = total = 0
        side, value = self.arguments.pad_to, np.rint(model.model_config.pad_value)
        for path in sorted((self.folder / "data" / "images" / "val").iterdir()):
            image = read_pixels(path)[np.newaxis]
            height, width = image.shape[1:3]
            padded = pad(image.astype(np.float32), (side, side), value)
            ours = np.asarray(labels(padded))[:, :height, :width]
            same += int((ours == runtime.classes(image)).sum())
            total += ours.size
        return same / total


if __name__ == "__main__":
    main()
