"""The input pipelines that `input_pipeline.py` compares: each an endless stream of batch sizes.

All of them read the same files and do the same: one of seven scales of 0.5..2, padding at the
bottom and right to the crop size, random crop, flip, images as float32 of -1..1. Imports are inside
the functions: a process loads only what it measures.
"""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)
GRAY, IGNORE = 127.5, 255


def ours(folder: Path, crop: int, batch: int, *, cache: str, end: str) -> Iterator[int]:
    """This package.

    Args:
        folder: with images/ and labels/.
        crop: height and width of a training image.
        batch: images of a batch.
        cache: `DataConfig.cache`.
        end: "decode": records read and decoded, no more; "batch": as the pipeline gives it,
            0..255; "step": consumed and normalized by a compiled function, as in a training step;
            "normalize": the same batch over and over.
    """
    import tensorflow as tf

    from deeplab.data import DataConfig, TrainingStream, load_dataset
    from deeplab.data.files.decode import decode_image, decode_label

    dataset = load_dataset("folder", data_dir=str(folder / "prepared"), source_dir=str(folder))
    config = DataConfig(dataset="folder", crop_size=crop, train_split="train", cache=cache)
    batches = TrainingStream(
        dataset, config, global_batch_size=batch, pad_value=(GRAY,) * 3, seed=0
    ).batches()

    @tf.function
    def step(images: tf.Tensor) -> tf.Tensor:
        return images / 127.5 - 1.0

    if end == "decode":
        decoded = (
            dataset.records("train")
            .repeat()
            .map(
                lambda record: (decode_image(record["image"]), decode_label(record["label"])),
                num_parallel_calls=2,
            )
        )
        for _ in decoded:
            yield 1
    if end == "normalize":
        images = next(iter(batches))["image"]
        while True:
            yield len(step(images))
    for element in batches:
        yield len(element["image"] if end == "batch" else step(element["image"]))


def plain_tf_data(folder: Path, crop: int, batch: int) -> Iterator[int]:
    """The original's preprocessing, operation by operation, in TensorFlow 2 and tf.data."""
    import tensorflow as tf

    def load(image_path: tf.Tensor, label_path: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image = tf.io.decode_jpeg(tf.io.read_file(image_path), channels=3)
        label = tf.io.decode_png(tf.io.read_file(label_path), channels=1)
        scale = tf.random.shuffle(tf.constant(SCALES))[0]
        size = tf.cast(tf.cast(tf.shape(image)[:2], tf.float32) * scale, tf.int32)
        image = tf.compat.v1.image.resize_bilinear(
            tf.cast(image, tf.float32)[None], size, align_corners=True
        )[0]
        label = tf.compat.v1.image.resize_nearest_neighbor(label[None], size, align_corners=True)[0]
        height, width = (tf.maximum(size[axis], crop) for axis in (0, 1))
        image = tf.image.pad_to_bounding_box(image - GRAY, 0, 0, height, width) + GRAY
        label = tf.cast(label, tf.int32) - IGNORE
        label = tf.image.pad_to_bounding_box(label, 0, 0, height, width) + IGNORE
        top = tf.random.uniform([], maxval=height - crop + 1, dtype=tf.int32)
        left = tf.random.uniform([], maxval=width - crop + 1, dtype=tf.int32)
        image = tf.slice(image, [top, left, 0], [crop, crop, 3])
        label = tf.slice(label, [top, left, 0], [crop, crop, 1])
        image, label = tf.cond(
            tf.random.uniform([]) < 0.5,
            lambda: (tf.reverse(image, [1]), tf.reverse(label, [1])),
            lambda: (image, label),
        )
        return image / 127.5 - 1.0, label

    images, labels = _files(folder)
    pairs = tf.data.Dataset.from_tensor_slices((images, labels))
    pairs = pairs.shuffle(len(images)).repeat().map(load, num_parallel_calls=tf.data.AUTOTUNE)
    for image, _ in pairs.batch(batch).prefetch(tf.data.AUTOTUNE):
        yield len(image)


def torchvision(folder: Path, crop: int, batch: int, *, workers: int) -> Iterator[int]:
    """`torchvision.transforms.v2` on uint8 tensors, in a DataLoader."""
    from torch import uint8
    from torchvision.io import ImageReadMode, decode_image
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2 import functional as transform

    images, labels = _files(folder)

    def load(index: int) -> tuple[Any, Any]:
        image = decode_image(images[index], ImageReadMode.RGB)
        label = decode_image(labels[index], ImageReadMode.GRAY)
        scale = random.choice(SCALES)
        size = [int(side * scale) for side in image.shape[1:]]
        if scale != 1:
            image = transform.resize(image, size, antialias=False)
            label = transform.resize(label, size, interpolation=InterpolationMode.NEAREST)
        top = random.randint(0, max(size[0] - crop, 0))
        left = random.randint(0, max(size[1] - crop, 0))
        extent = [min(side, crop) for side in size]
        image = transform.crop(image, top, left, *extent)
        label = transform.crop(label, top, left, *extent)
        missing = [0, 0, crop - extent[1], crop - extent[0]]
        if any(missing):
            image = transform.pad(image, missing, fill=int(GRAY))
            label = transform.pad(label, missing, fill=IGNORE)
        if random.random() < 0.5:
            image, label = (transform.horizontal_flip(tensor) for tensor in (image, label))
        assert image.dtype == label.dtype == uint8
        return image, label

    yield from _torch_batches(load, len(images), batch, workers)


def albumentations(folder: Path, crop: int, batch: int, *, workers: int) -> Iterator[int]:
    """albumentations on OpenCV arrays, in a DataLoader."""
    import albumentations as transforms
    import cv2

    images, labels = _files(folder)
    augment = transforms.Compose(
        [
            transforms.OneOf(
                [transforms.RandomScale((s - 1, s - 1), p=1) for s in SCALES if s != 1]
                + [transforms.NoOp()],
                p=1,
            ),
            transforms.PadIfNeeded(
                crop, crop, position="top_left", fill=int(GRAY), fill_mask=IGNORE, p=1
            ),
            transforms.RandomCrop(crop, crop, p=1),
            transforms.HorizontalFlip(p=0.5),
        ]
    )

    def load(index: int) -> tuple[Any, Any]:
        image = cv2.cvtColor(cv2.imread(images[index]), cv2.COLOR_BGR2RGB)
        label = cv2.imread(labels[index], cv2.IMREAD_GRAYSCALE)
        pair = augment(image=image, mask=label)
        return pair["image"], pair["mask"]

    yield from _torch_batches(load, len(images), batch, workers)


def _torch_batches(load: Any, count: int, batch: int, workers: int) -> Iterator[int]:
    """Batches of uint8 from the workers, normalized by all cores where they are used.

    That is the fastest of the usual ways: a fourth of the bytes goes from process to process.
    """
    import torch

    class Pairs(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return 10**9  # the stream must not end while it is measured

        def __getitem__(self, index: int) -> tuple[Any, Any]:
            return load(index % count)

    loader = torch.utils.data.DataLoader(
        Pairs(),
        batch,
        sampler=iter(lambda: random.randrange(count), None),
        num_workers=workers,
        worker_init_fn=_one_thread,
        persistent_workers=True,
        drop_last=True,
    )
    for images, labels in loader:
        pixels = images.float().div_(127.5).sub_(1.0)
        labels.int()
        yield len(pixels)


def _one_thread(worker: int) -> None:
    import contextlib

    import torch

    torch.set_num_threads(1)
    with contextlib.suppress(ModuleNotFoundError):
        import cv2

        cv2.setNumThreads(0)


def _files(folder: Path) -> tuple[list[str], list[str]]:
    return tuple(
        [str(path) for path in sorted((folder / kind / "train").iterdir())]
        for kind in ("images", "labels")
    )
