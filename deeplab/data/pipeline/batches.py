"""Batches for training and evaluation.

An element is {"image": float32 [B, H, W, C] 0..255 (RGB first), "label": int32 [B, H, W], "id":
string [B]}. The training stream is one global sequence of elements that depends on the seed alone:
the k-th element's image and augmentation are functions of (seed, k), so that neither threads nor
workers nor replicas nor the step at which it starts can change it.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable

import tensorflow as tf

from deeplab import checks
from deeplab.data.augment import distortion, draw, mixing
from deeplab.data.config import DataConfig
from deeplab.data.files.decode import class_ids, decode_image, decode_label, label_size_key
from deeplab.data.pipeline.cache import Samples, open_samples
from deeplab.data.pipeline.order import order_of_own_records, training_order
from deeplab.data.pipeline.transforms import augment_pair, resize_to_range
from deeplab.data.prepared.dataset import PreparedDataset
from deeplab.errors import DeepLabError

MAX_SEED = 2**31 - 1
_CORES = os.cpu_count() or 1
_PREFETCHED = 2  # batches that are ready before they are asked for

# What the uses of the seed are told apart by.
_ORDER, _AUGMENTATION, _MIXING = 0, 1, 2


class TrainingStream:
    """An endless stream of this worker's training batches, one per replica.

    Every epoch has its own permutation of the whole split. Starting at a later step costs
    nothing: records are read by their number.
    """

    def __init__(
        self,
        dataset: PreparedDataset,
        config: DataConfig,
        *,
        global_batch_size: int,
        pad_value: tuple[float, ...],
        seed: int,
        worker_index: int = 0,
        num_workers: int = 1,
        replicas_per_worker: int = 1,
        num_parallel_calls: int | None = None,
    ) -> None:
        """Checks everything and opens the files, but reads no record.

        Args:
            dataset: the prepared data.
            config: split, crop size and augmentation. Mixing pairs the elements 2j and 2j + 1 of
                the stream, so that the batch of a replica must be even.
            global_batch_size: images per step on all replicas of all workers together.
            pad_value: what small images are padded with, 0..255, one value per channel of the data
                set's (the backbone states it).
            seed: 0..2**31-1; with the element's number it alone decides about order and
                augmentation.
            worker_index: 0..num_workers-1.
            num_workers: how many processes share a step.
            replicas_per_worker: consecutive batches go to consecutive replicas of this worker.
            num_parallel_calls: images that are prepared at the same time; None: one per core.

        Raises:
            DeepLabError: if the split is unknown, the batch size is not divisible by the number of
                replicas, a number is out of range, the batches of replicas cannot be mixed, or the
                data has fewer files than workers that share it by files.
        """
        replicas = num_workers * replicas_per_worker
        checks.integer("global_batch_size", global_batch_size, minimum=1)
        if global_batch_size % replicas:
            raise DeepLabError(
                f"the global batch size {global_batch_size} is not divisible by {replicas} replicas"
            )
        if type(seed) is not int or not 0 <= seed <= MAX_SEED:
            raise DeepLabError(f"the seed must be an integer of 0..{MAX_SEED}, not {seed!r}")
        if not 0 <= worker_index < num_workers:
            raise DeepLabError(f"worker_index must be 0..{num_workers - 1}, not {worker_index}")
        by_file = config.shard == "file" and num_workers > 1
        split = dataset.find_split(config.train_split, dataset.train_split)
        self._dataset, self._config, self._pad_value, self._seed = dataset, config, pad_value, seed
        self._reader = dataset.reader(split, *((worker_index, num_workers) if by_file else ()))
        self._batch_size = global_batch_size // replicas
        self._num_parallel_calls = num_parallel_calls or _CORES
        self._distort = distortion(
            config.augment, pad_value=pad_value, ignore_label=dataset.ignore_label
        )
        self._mix = mixing(
            config.augment,
            class_names=dataset.class_names,
            ignore_label=dataset.ignore_label,
            batch_size=self._batch_size,
            seed=_folded(seed, _MIXING),
        )
        self._order = functools.partial(
            order_of_own_records if by_file else training_order,
            len(self._reader),
            share=global_batch_size // num_workers,
            worker_index=worker_index,
            num_workers=num_workers,
        )

    @functools.cached_property
    def samples(self) -> Samples:
        """The images, kept in memory as the configuration says; by who needs them first.

        Raises:
            DeepLabError: if they need more memory than the configuration allows.
        """
        return open_samples(self._dataset, self._reader, self._config)

    def batches(self, start_step: int = 0) -> tf.data.Dataset:
        """The batches after so many steps, of global_batch_size / (all replicas) images each.

        Raises:
            DeepLabError: as `samples`, or if the augmentation is not for such images.
        """
        samples, dataset, config = self.samples, self._dataset, self._config
        augmentation_seed = _folded(self._seed, _AUGMENTATION)
        resize = _resizing(config)

        def make_element(
            position: tf.Tensor, index: tf.Tensor
        ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
            sample = samples(index)
            image, label = sample.read_image, sample.label
            if resize is not None:
                image, label = resize(image([0, 0], tf.shape(label)), label)
            image, label = augment_pair(
                image,
                label,
                draw.fold_in(augmentation_seed, position),
                crop_size=config.crop_height_width,
                scale_range=(config.min_scale, config.max_scale),
                scale_step=config.scale_step,
                flip_probability=config.flip_probability,
                pad_value=self._pad_value,
                ignore_label=dataset.ignore_label,
                distort=self._distort,
            )
            # Of the crop alone, not of the whole label.
            label = class_ids(label, dataset.label_map)
            return {"image": image, "label": label, "id": sample.name}, position

        order = self._order(_folded(self._seed, _ORDER), start_step=start_step)
        batches = order.map(
            make_element, num_parallel_calls=self._num_parallel_calls, deterministic=True
        ).batch(self._batch_size, drop_remainder=True)
        if self._mix is None:
            return _finished(batches.map(lambda batch, positions: batch))
        return _finished(batches.map(self._mix, num_parallel_calls=_CORES, deterministic=True))


def evaluation_batches(
    dataset: PreparedDataset,
    config: DataConfig | int,
    split: str | None = None,
    *,
    worker_index: int = 0,
    num_workers: int = 1,
) -> tf.data.Dataset:
    """Every image of a split once, not augmented; only images of equal size share a batch.

    Args:
        dataset: the prepared data.
        config: gives split, batch size and the range that images and labels are resized to; or the
            batch size itself, and nothing is resized.
        split: the split, if not that of the config or else the data set's.
        worker_index: 0..num_workers-1.
        num_workers: how many processes share the images; each of them is given to one.

    Returns:
        A finite data set. With batches of one image they come in the fixed order of the records;
        larger ones are in the order in which they fill up, and the rest at the end.

    Raises:
        DeepLabError: if the split is unknown or the batch size not positive.
    """
    batch_size = config.eval_batch_size if isinstance(config, DataConfig) else config
    checks.integer("eval_batch_size", batch_size, minimum=1)
    if split is None and isinstance(config, DataConfig):
        split = config.eval_split
    name = dataset.find_split(split, dataset.eval_split)
    share = tf.data.Dataset.range(worker_index, dataset.splits[name], num_workers)
    records = dataset.records(name, share)
    resize = _resizing(config) if isinstance(config, DataConfig) else None

    def decode_record(record: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        image = decode_image(record["image"], dataset.input_channels)
        label = decode_label(record["label"], dataset.label_map)
        if resize is not None:
            image, label = resize(image, label)
        return {"image": tf.cast(image, tf.float32), "label": label, "id": record["id"]}

    def decode_group(group: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        signature = {
            "image": tf.TensorSpec([None, None, dataset.input_channels], tf.float32),
            "label": tf.TensorSpec([None, None], tf.int32),
            "id": tf.TensorSpec([], tf.string),
        }
        return tf.map_fn(decode_record, group, fn_output_signature=signature)

    if batch_size == 1:
        return _finished(_decoded(records, decode_record).batch(1))
    groups = records.group_by_window(
        key_func=lambda record: label_size_key(record["label"]),
        reduce_func=lambda key, same_size: same_size.batch(batch_size),
        window_size=batch_size,
    )
    return _finished(_decoded(groups, decode_group))


def _resizing(
    config: DataConfig,
) -> Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]] | None:
    """What is done to every image and label of a data set before anything else."""
    if config.resize_min_side is None:
        return None
    return functools.partial(
        resize_to_range,
        min_side=config.resize_min_side,
        max_side=config.resize_max_side,
        multiple=config.resize_multiple,
    )


def _decoded(
    records: tf.data.Dataset, decode: Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]
) -> tf.data.Dataset:
    return records.map(decode, num_parallel_calls=_CORES, deterministic=True)


def _finished(batches: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    # tf.data's tuner holds up the end of an iterator, and so of a run, by up to a minute; what it
    # would tune is given.
    options.autotune.enabled = False
    # Every worker makes its own share of the stream; tf.distribute must not split it again.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return batches.prefetch(_PREFETCHED).with_options(options)


def _folded(seed: int, use: int) -> tf.Tensor:
    with tf.device("CPU"):
        return draw.fold_in(tf.constant([seed, 0], tf.int64), use)
