"""Where records come from: disk, memory, several files, other file systems, damaged ones."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from image_bytes import encoded
from PIL import Image
from source_folders import load, make_folder, numbered, random_image
from streams import Batch, assert_equal, training_batches

from deeplab.data import (
    DATASETS,
    DataConfig,
    NamingBatches,
    PreparedDataset,
    TrainingStream,
    evaluation_batches,
    naming_unreadable,
)
from deeplab.data.files.decode import decode_image, decode_image_part, image_size
from deeplab.data.pipeline.cache import (
    DecodedSamples,
    Pixels,
    StoredSamples,
    available_memory,
)
from deeplab.data.pipeline.order import training_order
from deeplab.data.prepared.dataset import RecordReader
from deeplab.errors import DeepLabError

NUM_TRAIN = 10
CONFIG: dict[str, Any] = {"dataset": "folder", "crop_size": (9, 12)}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    root = tmp_path_factory.mktemp("samples")
    sizes = {f"train/{name}": (8 + k, 20 - k) for k, name in enumerate(numbered(NUM_TRAIN))}
    source = make_folder(root / "source", {**sizes, "val/a": (8, 9), "val/b": (6, 5)})
    return load(source, root / "data")


def records_of(dataset: PreparedDataset) -> list[bytes]:
    """The records of the training split, as they lie in its only file."""
    (path,) = Path(dataset.prepared_dir("train")).glob("*-train.tfrecord*")
    return list(tf.data.TFRecordDataset([str(path)]).as_numpy_iterator())


def with_files(dataset: PreparedDataset, files: dict[str, list[bytes]]) -> PreparedDataset:
    """The same data set with other files for its training split."""
    for path, records in files.items():
        with tf.io.TFRecordWriter(path) as writer:
            for record in records:
                writer.write(record)
    lengths = [len(records) for records in files.values()]
    split = SimpleNamespace(filepaths=list(files), shard_lengths=lengths, num_examples=sum(lengths))
    info = tfds.builder_from_directory(dataset.prepared_dir("train")).info
    builder = SimpleNamespace(
        info=SimpleNamespace(
            splits={"train": split, "val": info.splits["val"]},
            features=info.features,
            metadata=info.metadata,
        ),
        data_path="elsewhere",
    )
    return PreparedDataset(
        DATASETS["folder"], builder, extra={}, source=None, source_dir=None, data_dir="elsewhere"
    )


def batches_of(
    dataset: PreparedDataset, count: int, *, config: dict[str, Any] | None = None, **options: Any
) -> list[Batch]:
    return training_batches(dataset, DataConfig(**CONFIG, **(config or {})), count, **options)


@pytest.mark.slow
@pytest.mark.parametrize("shard", ["position", "file"])
def test_a_cache_changes_no_batch(dataset: PreparedDataset, tmp_path: Path, shard: str) -> None:
    records = records_of(dataset)
    split = with_files(dataset, {f"{tmp_path}/{k}": records[k::3] for k in range(3)})
    options = {"start_step": 3, "worker_index": 1, "num_workers": 2}
    plain, *kept = (
        batches_of(split, 8, config={"shard": shard, "cache": cache}, **options)
        for cache in ("none", "encoded", "decoded")
    )
    for batches in kept:
        assert_equal(batches, plain)


@pytest.mark.slow
def test_a_cached_set_is_read_once(dataset: PreparedDataset, tmp_path: Path) -> None:
    path = tmp_path / "only"
    for cache in ("encoded", "decoded"):
        own = with_files(dataset, {str(path): records_of(dataset)})
        stream = TrainingStream(
            own,
            DataConfig(**CONFIG, cache=cache),
            global_batch_size=4,
            pad_value=(0.0, 0.0, 0.0),
            seed=1,
        ).batches()
        path.unlink()
        assert len(list(stream.take(6).as_numpy_iterator())) == 6


@pytest.mark.parametrize("cache", ["encoded", "decoded"])
def test_a_cache_that_does_not_fit_is_refused(dataset: PreparedDataset, cache: str) -> None:
    config = {"cache": cache, "cache_gigabytes": 1e-6}
    with pytest.raises(DeepLabError) as error:
        batches_of(dataset, 1, config=config)
    assert "the 10 images of the data set 'folder' need more than 1e-06 gigabytes" in str(
        error.value
    )
    assert repr(cache) in str(error.value) and "cache_gigabytes" in str(error.value)


def test_small_sets_are_kept_unasked(
    dataset: PreparedDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def kept(**config: Any) -> type:
        own = with_files(dataset, {f"{tmp_path}/only": records_of(dataset)})
        options = {"global_batch_size": 4, "pad_value": (1.0, 2.0, 3.0), "seed": 5}
        return type(TrainingStream(own, DataConfig(**CONFIG, **config), **options).samples)

    pixels = sum((8 + k) * (20 - k) for k in range(NUM_TRAIN))
    # Files of noise are larger than their pixels.
    monkeypatch.setattr(RecordReader, "stored_bytes", 4 * pixels - 1)
    capsys.readouterr()
    assert kept(cache_gigabytes=4 * pixels / 1e9) is DecodedSamples
    line = capsys.readouterr().out
    assert line.count("\n") == 1 and f"{NUM_TRAIN} images" in line and "GB" in line
    assert kept(cache_gigabytes=(4 * pixels - 1) / 1e9) is StoredSamples
    monkeypatch.setattr("deeplab.data.pipeline.cache.available_memory", lambda: 16 * pixels)
    assert kept() is DecodedSamples
    monkeypatch.setattr("deeplab.data.pipeline.cache.available_memory", lambda: 16 * pixels - 4)
    assert kept() is StoredSamples
    # Of a large set not even the headers are read.
    monkeypatch.setattr(RecordReader, "all", lambda _: pytest.fail("was read"))
    assert kept(cache_gigabytes=(4 * pixels - 2) / 1e9) is StoredSamples


def test_the_memory_of_a_container_is_that_of_its_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit, used = tmp_path / "memory.max", tmp_path / "memory.current"
    monkeypatch.setattr("deeplab.data.pipeline.cache.CONTROL_GROUPS", ((str(limit), str(used)),))
    machine = available_memory()
    assert 2**20 < machine < 2**50
    used.write_text("700\n")
    for text, left in (("1000\n", 300), ("500\n", 0)):
        limit.write_text(text)
        assert available_memory() == left
    limit.write_text("max\n")
    assert available_memory() > 2**20


def test_what_is_kept_lies_in_memory_once() -> None:
    pixels = Pixels(np.uint16, [(2, 3), (1, 70), (4, 1)])
    arrays = [np.arange(np.prod(shape), dtype=np.uint16).reshape(shape) for shape in pixels.shapes]
    read = pixels.readable()
    for number in (2, 0, 1):
        pixels.put(number, arrays[number] + 500)  # afterwards, so that it must be the same memory
    for number, array in enumerate(arrays):
        np.testing.assert_array_equal(read(tf.constant(number), [None, None]), array + 500)


def test_a_stream_does_not_copy_what_is_kept() -> None:
    size = 200_000_000
    pixels = Pixels(np.uint8, [(size // 100, 50), (size // 100, 50)])
    for number in (0, 1):
        pixels.put(number, np.full(pixels.shapes[number], number, np.uint8))
    read = pixels.readable()
    before = psutil.Process().memory_info().rss
    stream = tf.data.Dataset.range(2).map(
        lambda index: read(index, [None, None])[7, 7], num_parallel_calls=2
    )
    assert [int(k) for k in stream.batch(2).prefetch(1).unbatch()] == [0, 1]
    assert psutil.Process().memory_info().rss - before < size // 4


@pytest.mark.slow
def test_what_is_kept_serves_every_strategy(dataset: PreparedDataset) -> None:
    plain = batches_of(dataset, 4, config={"cache": "none"})
    with tf.distribute.OneDeviceStrategy("CPU:0").scope():
        for cache in ("encoded", "decoded"):
            assert_equal(batches_of(dataset, 4, config={"cache": cache}), plain)


@pytest.mark.slow
def test_wide_labels_are_cached(tmp_path: Path) -> None:
    source = make_folder(
        tmp_path / "source",
        {f"{split}/a": (6, 50) for split in ("train", "val")},
        classes=[f"class {k}" for k in range(300)],
    )
    for split in ("train", "val"):
        label = np.arange(300, dtype=np.uint16).reshape(6, 50)
        Image.fromarray(label).save(source / "labels" / split / "a.png")
    wide = load(source, tmp_path / "data")
    plain, *kept = (
        batches_of(wide, 4, config={"cache": cache}) for cache in ("none", "encoded", "decoded")
    )
    for batches in kept:
        assert_equal(batches, plain)
    found = {int(k) for batch in plain for k in np.unique(batch["label"])}
    assert 65535 in found and 250 < max(found - {65535}) < 300


@pytest.mark.slow
def test_workers_may_share_files(dataset: PreparedDataset, tmp_path: Path) -> None:
    records = records_of(dataset)
    files = {f"{tmp_path}/{k}": records[k::5] for k in range(5)}
    split = with_files(dataset, files)
    own = []
    for worker in range(2):
        options = {"config": {"shard": "file"}, "worker_index": worker, "num_workers": 2}
        batches = batches_of(split, 18, **options)
        assert all(len(batch["id"]) == 2 for batch in batches)
        ids = [name for batch in batches for name in batch["id"]]
        own.append(set(ids))
        count = len(own[-1])
        epochs = [tuple(ids[k : k + count]) for k in range(0, 36 - count + 1, count)]
        assert all(set(epoch) == own[-1] for epoch in epochs), "every image once an epoch"
        assert len(set(epochs)) > 1
        assert_equal(batches_of(split, 5, start_step=13, **options), batches[13:])
    assert [len(ids) for ids in own] == [6, 4] and not own[0] & own[1]
    assert len(own[0] | own[1]) == NUM_TRAIN
    one = batches_of(split, 6, config={"shard": "file"})
    assert_equal(one, batches_of(split, 6))


def test_more_workers_than_files(dataset: PreparedDataset) -> None:
    with pytest.raises(DeepLabError, match=r"'train' .* 'folder' has 1 file for 2 workers"):
        batches_of(dataset, 1, config={"shard": "file"}, num_workers=2)


@pytest.mark.slow
def test_records_lie_on_any_file_system(dataset: PreparedDataset) -> None:
    # In memory, as no disk: what TensorFlow reads there it reads from gs:// too.
    folder = "ram://deeplab/records"
    tf.io.gfile.makedirs(folder)
    records = records_of(dataset)
    remote = with_files(dataset, {f"{folder}/first": records[:4], f"{folder}/second": records[4:]})
    local = batches_of(dataset, 5)
    for config in ({"cache": "none"}, {"cache": "encoded"}, {}):
        assert_equal(batches_of(remote, 5, config=config), local)


def damaged(dataset: PreparedDataset, path: Path, damage: str) -> PreparedDataset:
    records = records_of(dataset)
    example = tf.train.Example.FromString(records[3])
    feature = example.features.feature
    if damage == "image":
        feature["image"].bytes_list.value[0] = feature["image"].bytes_list.value[0][:90]
    elif damage == "label":
        feature["label"].bytes_list.value[0] = feature["label"].bytes_list.value[0][:60]
    elif damage == "size":
        feature["image"].bytes_list.value[0] = encoded(random_image(9, 8))
    records[3] = example.SerializeToString()
    split = with_files(dataset, {str(path): records})
    if damage == "bytes":
        data = bytearray(path.read_bytes())
        data[sum(len(record) + 16 for record in records[:3]) + 40] ^= 255
        path.write_bytes(data)
    return split


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("image", "the image of the record '{name}' cannot be decoded"),
        ("label", "the label of the record '{name}' cannot be decoded"),
        ("size", "the image of the record '{name}' has 9x8 pixels and its label"),
        ("bytes", "record number 3 is damaged"),
    ],
)
@pytest.mark.parametrize("cache", ["none", "auto"])
def test_a_damaged_record_is_named(
    dataset: PreparedDataset, tmp_path: Path, damage: str, message: str, cache: str
) -> None:
    name = tf.train.Example.FromString(records_of(dataset)[3]).features.feature["id"]
    expected = message.format(name=name.bytes_list.value[0].decode())
    broken = damaged(dataset, tmp_path / "records", damage)
    with pytest.raises(DeepLabError) as error:
        with naming_unreadable(broken, "val", "train"):
            batches_of(broken, 5, config={"cache": cache})
    assert expected in str(error.value) and "\n" not in str(error.value)
    assert "data set 'folder', split 'train'" in str(error.value)
    if damage != "size":
        with pytest.raises(DeepLabError) as error:
            list(NamingBatches(evaluation_batches(broken, 1, "train"), broken, "train"))
        assert expected in str(error.value)


def test_other_errors_stay_what_they_are(dataset: PreparedDataset) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="mine"):
        with naming_unreadable(dataset, "train", "val"):
            raise tf.errors.InvalidArgumentError(None, None, "mine")
    batches = NamingBatches(evaluation_batches(dataset, 1), dataset, "val")
    assert [len(list(batches)) for _ in range(2)] == [2, 2]


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {})]
    + [
        ("JPEG", {"subsampling": subsampling, "progressive": progressive, "quality": 85})
        for subsampling in (0, 1, 2)
        for progressive in (False, True)
    ],
)
def test_a_part_is_what_the_whole_image_has_there(kind: str, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    for height, width in ((50, 67), (16, 32), (1, 9)):
        data = tf.constant(
            encoded(rng.integers(0, 256, (height, width, 3), np.uint8), kind, **options)
        )
        whole = decode_image(data).numpy()
        assert image_size(data).numpy().tolist() == [height, width]
        parts = [(0, 0, height, width)]
        for _ in range(25):
            top, left = rng.integers(height), rng.integers(width)
            bottom, right = rng.integers(top, height) + 1, rng.integers(left, width) + 1
            parts.append((top, left, bottom, right))
        for top, left, bottom, right in parts:
            part = decode_image_part(
                data,
                tf.constant((height, width)),
                tf.constant((top, left), tf.int32),
                tf.constant((bottom, right), tf.int32),
            )
            np.testing.assert_array_equal(part, whole[top:bottom, left:right])


@pytest.mark.slow
def test_a_mix_sees_batches_with_their_positions(
    dataset: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mix(batch: dict[str, tf.Tensor], positions: tf.Tensor) -> dict[str, tf.Tensor]:
        assert positions.dtype == tf.int64 and positions.shape == [2]
        image = batch["image"] + tf.cast(positions, tf.float32)[:, None, None, None]
        return {**batch, "image": image}

    options = {"start_step": 2, "num_workers": 2, "worker_index": 1}
    plain = batches_of(dataset, 3, **options)
    monkeypatch.setattr("deeplab.data.pipeline.batches.mixing", lambda config, **settings: mix)
    mixed = batches_of(dataset, 3, **options)
    for step, (one, other) in enumerate(zip(plain, mixed, strict=True)):
        first = 4 * (2 + step) + 2
        added = np.array([first, first + 1], np.float32)[:, None, None, None]
        np.testing.assert_array_equal(one["image"] + added, other["image"])
        np.testing.assert_array_equal(one["label"], other["label"])


def test_a_late_start_reads_nothing_of_what_came_before() -> None:
    seed = tf.constant([1, 2])
    start = 3_000
    (position, index), *_ = training_order(7, seed, start_step=start, share=16).take(1)
    assert int(position) == start * 16
    epoch = list(training_order(7, seed).skip(start * 16 - start * 16 % 7).take(7))
    assert [int(i) for _, i in epoch][start * 16 % 7] == int(index)
