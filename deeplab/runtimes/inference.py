"""From images to class ids with an exported network: several scales and mirrored copies.

The probabilities are averaged as with a model folder (`evaluation/inference.py`), with one
difference: an exported network takes whole levels, so that resized copies are rounded to them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np

from deeplab.errors import DeepLabError
from deeplab.runtimes.resize import Floats, resize_bilinear
from deeplab.runtimes.runtime import ClassIds, Images, Runtime


def check_scales(eval_scales: Sequence[float]) -> None:
    """Raises a DeepLabError unless the scales are one or more positive numbers."""
    if not eval_scales or not all(math.isfinite(scale) and scale > 0 for scale in eval_scales):
        raise DeepLabError(
            f"eval_scales must be one or more numbers above 0, got {list(eval_scales)}"
        )


def label_function(
    runtime: Runtime, *, eval_scales: Sequence[float] = (1.0,), flip: bool = False
) -> Callable[[Images], ClassIds]:
    """Images -> class ids.

    Args:
        runtime: an opened export.
        eval_scales: sizes at which each image is seen, as factors of its own; above 0.
        flip: whether each of them is seen mirrored as well.

    Raises:
        DeepLabError: if the scales are not positive numbers, or the network has one size.
    """
    check_scales(eval_scales)
    if runtime.fixed_size is not None and any(scale != 1 for scale in eval_scales):
        height, width = runtime.fixed_size
        raise DeepLabError(
            f"{runtime.path} sees images of {height}x{width} pixels (height x width) alone: "
            f"eval_scales {list(eval_scales)} need an export of any size"
        )
    if tuple(eval_scales) == (1.0,) and not flip:
        return runtime.classes
    copies = list(itertools.product(eval_scales, (False, True) if flip else (False,)))

    def labels(images: Images) -> ClassIds:
        probabilities = sum(_probabilities(runtime, images, *copy) for copy in copies)
        return np.argmax(probabilities, axis=-1).astype(np.int32)

    return labels


def _probabilities(runtime: Runtime, images: Images, scale: float, mirrored: bool) -> Floats:
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
