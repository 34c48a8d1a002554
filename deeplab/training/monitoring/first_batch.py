"""What the network is about to learn from: a look at the first batch before the first step."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from deeplab import files
from deeplab.data import PreparedDataset
from deeplab.data.colors import overlay
from deeplab.evaluation.panels import legend, sheet
from deeplab.page import thumbnail
from deeplab.progress import Progress, warn
from deeplab.training.monitoring.run_log import RunLog
from deeplab.training.run import Run

_FILE = "first_batch.png"
_MOST_IMAGES = 8
_MOST_CLASSES = 12
_LONGEST_SIDE = 320


def report_first_batch(run: Run, log: RunLog, batch: Mapping[str, Any], progress: Progress) -> None:
    """Prints the shares of the classes and draws labels over images, to a file and TensorBoard.

    Args:
        run: its model_dir gets train/first_batch.png.
        log: gets the same picture.
        batch: (distributed) "image" float32 [B,H,W,C], 0..255, "label" int32 [B,H,W], "id".
        progress: what lines go through.
    """
    local = {
        name: np.concatenate(
            [part.numpy() for part in run.strategy.experimental_local_results(batch[name])]
        )
        for name in ("image", "label", "id")
    }
    picture = draw_batch(local["image"], local["label"], run.dataset)
    file = run.model_dir / "train" / _FILE
    files.make_directory(file.parent)
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "png")
    files.write_bytes(file, data.getvalue())
    log.picture(0, "first_batch", picture)
    for line in describe_batch(local["label"], run.dataset):
        progress.message(line)
    progress.message(f"  drawn in {file}")
    if complaint := what_is_odd(local["label"], run.dataset):
        warn(f"{complaint}; look at {file}")


def draw_batch(
    images: npt.NDArray[np.floating], labels: npt.NDArray[np.integer], dataset: PreparedDataset
) -> npt.NDArray[np.uint8]:
    """Up to eight images beside their labels, with a legend, uint8 [H, W, 3]."""
    small = [
        thumbnail(_LONGEST_SIDE, _visible(image), label)
        for image, label in zip(images[:_MOST_IMAGES], labels, strict=False)
    ]
    pairs = [
        (image, overlay(image, label, dataset.colors, dataset.ignore_label))
        for image, label in small
    ]
    across = 2 if len(pairs) % 2 == 0 else 1
    return sheet(
        [sum(pairs[index : index + across], ()) for index in range(0, len(pairs), across)],
        ("image", "label") * across,
        legend(
            [label for _, label in small],
            dataset.class_names,
            dataset.colors,
            dataset.ignore_label,
        ),
    )


def describe_batch(labels: npt.NDArray[np.integer], dataset: PreparedDataset) -> Iterator[str]:
    """The label histogram of a batch [B,H,W], one line per class, the largest first."""
    counts = _counts(labels, dataset)
    count, height, width = labels.shape
    yield f"first batch: {count} crops of {height}x{width}"
    found = [index for index in np.argsort(-counts, kind="stable") if counts[index]]
    column = max((len(dataset.class_names[index]) for index in found), default=0)
    for index in found[:_MOST_CLASSES]:
        share = counts[index] / counts.sum()
        yield f"  {dataset.class_names[index]:<{min(column, 60)}.60}  {share:7.2%}"
    if len(found) > _MOST_CLASSES:
        rest = counts[found[_MOST_CLASSES:]].sum() / counts.sum()
        yield f"  {len(found) - _MOST_CLASSES} more classes, {rest:.2%} together"
    ignored = np.mean(labels == dataset.ignore_label)
    yield f"  ignored, padding included: {ignored:.2%} of all pixels"
    absent = [name for name, number in zip(dataset.class_names, counts, strict=True) if not number]
    if absent:
        yield f"  not in this batch: {_some(absent)}"


def what_is_odd(labels: npt.NDArray[np.integer], dataset: PreparedDataset) -> str | None:
    """A complaint about a batch of which little can be learned; None if it is fine."""
    counts = _counts(labels, dataset)
    found = np.flatnonzero(counts)
    if not found.size:
        return (
            f"every pixel of the first batch is ignored (label {dataset.ignore_label}): its loss "
            "is 0 and nothing is learned from it"
        )
    if found.size == 1 and len(dataset.class_names) > 1:
        return (
            f"the first batch holds one class only, {dataset.class_names[found[0]]!r}: if all "
            "are like it, nothing else is learned"
        )
    return None


def _counts(labels: npt.NDArray[np.integer], dataset: PreparedDataset) -> npt.NDArray[np.int64]:
    """Pixels of each class."""
    labeled = labels[labels != dataset.ignore_label]
    return np.bincount(labeled, minlength=len(dataset.class_names))


def _some(names: Sequence[str]) -> str:
    """As many of the names as fit into a line."""
    shown: list[str] = []
    while len(shown) < len(names) and len(", ".join([*shown, names[len(shown)]])) < 45:
        shown.append(names[len(shown)])
    rest = len(names) - len(shown)
    return ", ".join([*shown, f"{rest} more"] if rest else shown)


def _visible(image: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """Something to look at, uint8 RGB: the first three channels, or the first one as gray."""
    channels = image[..., :3] if image.shape[-1] >= 3 else image[..., :1].repeat(3, axis=-1)
    return np.clip(np.rint(channels), 0, 255).astype(np.uint8)
