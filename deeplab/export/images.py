"""Images that an export is compared on, or whose ranges a quantized one is made for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from deeplab.data import evaluation_batches, load_dataset
from deeplab.data.files.pixels import read_pixels
from deeplab.errors import DeepLabError
from deeplab.evaluation.prediction.inputs import find_images
from deeplab.model_dir import ModelDescription
from deeplab.runtimes.padding import pad

_NUM_SAMPLES = 4
_NUM_CALIBRATED = 64


def sample_images(
    description: ModelDescription, folder: str | Path | None = None
) -> tuple[str, list[np.ndarray]]:
    """A few images of the evaluation split; without a data set of a folder, or drawn ones.

    Args:
        description: of the model.
        folder: of images like those that the network will see, if there is one.

    Returns:
        Where they come from, and images float32 [1,H,W,3] (or the channels of the model), whole
        levels 0..255.
    """
    try:
        return _of_run(description, "eval_split", _NUM_SAMPLES)
    except (DeepLabError, OSError):
        # The data may be gone by the time a model is exported; any images will do.
        if folder is not None:
            origin, photos = calibration_images(description, folder)
            return origin, photos[:_NUM_SAMPLES]
    channels = description.input_channels
    generator = np.random.Generator(np.random.PCG64(0))
    images = []
    for height, width in ((161, 161), (128, 192)):
        coarse = generator.uniform(0, 255, (1, height // 16, width // 16, channels)).astype(
            np.float32
        )
        fine = tf.image.resize(coarse, (height, width), "bicubic").numpy()
        images.append(np.rint(fine).clip(0, 255))
    return "smooth random images", images


def calibration_images(
    description: ModelDescription, folder: str | Path | None
) -> tuple[str, list[np.ndarray]]:
    """Images like those that the network will see, to measure the ranges of its features on.

    Args:
        description: of the model.
        folder: of the images, of which some are taken at even distances; None: the training split.

    Returns:
        Where they come from, and images as `sample_images` gives them.

    Raises:
        DeepLabError: if there are none, or one cannot be read.
    """
    if folder is None:
        return _of_run(description, "train_split", _NUM_CALIBRATED)
    channels = description.input_channels
    found, _ = find_images([folder], channels=channels)
    found = found[:: -(-len(found) // _NUM_CALIBRATED)]
    pixels = [read_pixels(image.path, channels)[np.newaxis] for image in found]
    return str(folder), [image.astype(np.float32) for image in pixels]


def fitted(image: np.ndarray, size: tuple[int, int], pad_value: Sequence[float]) -> np.ndarray:
    """An image [1,H,W,C] cut and padded to one size, as at the bottom and right of a fixed one."""
    height, width = size
    return pad(image[:, :height, :width], size, np.rint(pad_value))


def labeled_images(
    description: ModelDescription, split: str, count: int
) -> tuple[str, tf.data.Dataset]:
    """The first images of a split that the run's settings name, with their labels.

    Args:
        description: of the model.
        split: "train_split" or "eval_split".
        count: how many images, if there are so many.

    Returns:
        Where they come from, and batches of one image, as `evaluate_model` takes them.

    Raises:
        DeepLabError: if the model was not trained here, or the data is not there.
    """
    if description.training is None:
        raise DeepLabError("this model was not trained here and knows no data set")
    data = description.training["data"]
    named = data.get(split)
    dataset = load_dataset(
        data["dataset"],
        data_dir=description.training["data_dir"],
        source_dir=description.training["source_dir"],
        splits=[named] if named else (),
        input_channels=description.input_channels,
        may_prepare=False,
    )
    default = dataset.eval_split if split == "eval_split" else dataset.train_split
    batches = evaluation_batches(dataset, 1, named or default).take(count)
    return f"data set {dataset.name}", batches


def _of_run(description: ModelDescription, split: str, count: int) -> tuple[str, list[np.ndarray]]:
    origin, batches = labeled_images(description, split, count)
    return origin, [np.rint(batch["image"].numpy()) for batch in batches]
