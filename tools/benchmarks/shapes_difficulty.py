"""How far color alone gets on the built-in data set `shapes`, and where its pixels lie.

    python tools/benchmarks/shapes_difficulty.py

Every RGB color, quantized to `--bins` steps per channel, is given the class that most training
pixels of that color have; a color that no training image has is background. The mIoU of this on
the validation split must stay below 0.5: whoever does better has used more than a pixel's color.
The scenes are drawn here; nothing is prepared, read or written.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from deeplab.data.builders import shapes_scene
from deeplab.data.builders.shapes_scene import CLASS_NAMES, IGNORE_LABEL, Scene, draw_scene

Counts = npt.NDArray[np.int64]


def color_counts(scenes: Iterable[Scene], bins: int) -> Counts:
    """How often each quantized color has each class, ignored pixels left out.

    Args:
        scenes: what is counted.
        bins: steps per channel, 1..256.

    Returns:
        int64 [bins^3, classes].
    """
    counts = np.zeros((bins**3, len(CLASS_NAMES)), np.int64)
    for scene in scenes:
        valid = scene.label != IGNORE_LABEL
        r, g, b = (scene.image[valid].astype(np.int64) * bins // 256).T
        color = (r * bins + g) * bins + b
        both = color * len(CLASS_NAMES) + scene.label[valid]
        counts += np.bincount(both, minlength=counts.size).reshape(counts.shape)
    return counts


def color_ious(train: Counts, validation: Counts) -> npt.NDArray[np.float64]:
    """IoU of each class when every color is given its most frequent class.

    Args:
        train: colors and classes to learn from, as of `color_counts`.
        validation: those to classify.

    Returns:
        float64 [classes], 0..1.
    """
    predicted = train.argmax(axis=1)
    classes = len(CLASS_NAMES)
    confusion = np.zeros((classes, classes), np.int64)  # [predicted, true]
    np.add.at(confusion, predicted, validation)
    hits = confusion.diagonal()
    return hits / (confusion.sum(axis=0) + confusion.sum(axis=1) - hits)


def near_boundary(label: npt.NDArray[np.uint8], width: int) -> npt.NDArray[np.bool_]:
    """The pixels of a square of 2 * width + 1 around which not all labels are equal. [h, w]"""
    size = 2 * width + 1
    padded = np.pad(label, width, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size))
    return windows.min(axis=(2, 3)) != windows.max(axis=(2, 3))


def _scenes(split: str, number: int) -> list[Scene]:
    return [draw_scene(split, index) for index in range(number)]


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--train", type=int, default=shapes_scene.SPLIT_SIZES["train"])
    parser.add_argument("--validation", type=int, default=shapes_scene.SPLIT_SIZES["validation"])
    parser.add_argument("--bins", type=int, default=32, help="steps per color channel (32)")
    arguments = parser.parse_args()

    validation = _scenes("validation", arguments.validation)
    train = color_counts(
        (draw_scene("train", index) for index in range(arguments.train)), arguments.bins
    )
    ious = color_ious(train, color_counts(validation, arguments.bins))

    labels = np.stack([scene.label for scene in validation])
    near = np.stack([near_boundary(label, 3) for label in labels])
    valid = labels != IGNORE_LABEL
    print(f"{arguments.train} training and {arguments.validation} validation scenes")
    print(f"{'class':<12}{'pixels':>8}{'images':>8}{'IoU by color':>15}")
    for class_id, name in enumerate(CLASS_NAMES):
        here = labels == class_id
        images = here.any(axis=(1, 2)).mean()
        print(f"{name:<12}{here.mean():>8.1%}{images:>8.1%}{ious[class_id]:>15.3f}")
    print(f"{'ignored':<12}{1 - valid.mean():>8.1%}")
    print(f"valid pixels within 3 pixels of a boundary: {near[valid].mean():.1%}")
    print(f"mIoU by color alone: {ious.mean():.3f} (must stay below 0.5)")


if __name__ == "__main__":
    main()
