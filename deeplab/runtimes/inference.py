"""From images to probabilities with an exported network: several scales and mirrored copies.

The probabilities are averaged as with a model folder (`evaluation/inference.py`), with one
difference: an exported network takes whole levels, so that resized copies are rounded to them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deeplab.errors import DeepLabError
from deeplab.runtimes.predictor import Predictor, Probabilities
from deeplab.runtimes.resize import resize_bilinear
from deeplab.runtimes.runtime import ClassIds, Images, Runtime, open_runtime


def check_scales(eval_scales: Sequence[float]) -> None:
    """Raises a DeepLabError unless the scales are one or more positive numbers."""
    if not eval_scales or not all(math.isfinite(scale) and scale > 0 for scale in eval_scales):
        raise DeepLabError(
            f"eval_scales must be one or more numbers above 0, got {list(eval_scales)}"
        )


def open_predictor(
    kind: str, path: str | Path, *, eval_scales: Sequence[float] = (1.0,), flip: bool = False
) -> Predictor:
    """Opens an export.

    Args:
        kind: one of `RUNTIMES`.
        path: of the file, or of the SavedModel's folder.
        eval_scales: sizes at which each image is seen, as factors of its own; above 0.
        flip: whether each of them is seen mirrored as well.

    Raises:
        DeepLabError: as `open_runtime`, or if the scales are not positive numbers, or the network
            has one size.
    """
    check_scales(eval_scales)
    runtime = open_runtime(kind, path)
    if runtime.fixed_size is not None and any(scale != 1 for scale in eval_scales):
        height, width = runtime.fixed_size
        raise DeepLabError(
            f"{runtime.path} sees images of {height}x{width} pixels (height x width) alone: "
            f"eval_scales {list(eval_scales)} need an export of any size"
        )
    copies = list(itertools.product(eval_scales, (False, True) if flip else (False,)))

    def probabilities(images: np.ndarray) -> Probabilities:
        levels = _whole_levels(images)
        total = sum(_probabilities(runtime, levels, *copy) for copy in copies)
        return np.asarray(total / np.float32(len(copies)))

    def labels(images: np.ndarray) -> ClassIds:
        if copies == [(1.0, False)]:
            return runtime.classes(_whole_levels(images))
        return np.argmax(probabilities(images), axis=-1).astype(np.int32)

    return Predictor(labels, probabilities, runtime.fixed_size)


def _whole_levels(images: np.ndarray) -> Images:
    images = np.asarray(images)
    if images.dtype == np.uint8:
        return images
    return np.rint(np.clip(images, 0, 255)).astype(np.uint8)


def _probabilities(runtime: Runtime, images: Images, scale: float, mirrored: bool) -> Probabilities:
    """What the network says of one copy of the images, at their size: float32 [B, H, W, C]."""
    height, width = images.shape[1:3]
    method = runtime.metadata.resize
    if scale != 1:
        # The original's rule for sizes, as everywhere: corner pixels stay corners.
        size = (int((side - 1) * scale + 1) for side in (height, width))
        copy = np.rint(resize_bilinear(images, *size, method=method)).astype(np.uint8)
    else:
        copy = images
    if mirrored:
        copy = np.ascontiguousarray(copy[:, :, ::-1])
    logits = runtime.logits(copy)
    if mirrored:
        logits = logits[:, :, ::-1]
    exponents = resize_bilinear(logits, height, width, method=method)
    exponents = np.exp(exponents - exponents.max(axis=-1, keepdims=True))
    return exponents / exponents.sum(axis=-1, keepdims=True)
