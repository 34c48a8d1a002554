"""Batches: shapes and ranges, one stream whatever reads it, every image evaluated once."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from source_folders import load, make_folder, numbered, random_image, random_mask, save
from streams import Batch, Element, elements, training_batches

from deeplab.data import (
    DataConfig,
    PreparedDataset,
    evaluation_batches,
    folder_pairs,
)
from deeplab.data.pipeline.order import training_order
from deeplab.errors import DeepLabError

NUM_TRAIN = 7
# A cache would be filled for every stream.
CONFIG = DataConfig(dataset="folder", crop_size=(9, 12), cache="none")
SIZES = {
    "val/a": (8, 9),
    "val/b": (6, 5),
    "val/c": (8, 9),
    "val/d": (8, 9),
    "val/e": (5, 6),
    "val/f": (6, 5),
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    root = tmp_path_factory.mktemp("pipeline")
    sizes = {f"train/{name}": (8 + k, 20 - k) for k, name in enumerate(numbered(NUM_TRAIN))}
    source = make_folder(root / "source", {**sizes, **SIZES})
    return load(source, root / "data")


def batches_of(
    dataset: PreparedDataset, count: int, *, config: DataConfig = CONFIG, **options: Any
) -> list[Batch]:
    return training_batches(dataset, config, count, **options)


@pytest.fixture(scope="module")
def stream(dataset: PreparedDataset) -> list[Element]:
    """48 elements of the global sequence."""
    return elements(batches_of(dataset, 12))


def test_training_batches(dataset: PreparedDataset) -> None:
    (batch,) = batches_of(dataset, 1)
    assert batch["image"].shape == (4, 9, 12, 3) and batch["image"].dtype == np.float32
    assert batch["label"].shape == (4, 9, 12) and batch["label"].dtype == np.int32
    assert batch["image"].min() >= 0 and batch["image"].max() <= 255
    assert set(np.unique(batch["label"])) <= {0, 1, 2, 255}


def test_every_epoch_has_every_image_in_an_order_of_its_own(stream: list[Element]) -> None:
    ids = [element[0] for element in stream]
    epochs = [tuple(ids[k : k + NUM_TRAIN]) for k in range(0, 42, NUM_TRAIN)]
    assert all(len(set(epoch)) == NUM_TRAIN for epoch in epochs)
    assert len(set(epochs)) == len(epochs)


def test_augmentation_changes_from_epoch_to_epoch(stream: list[Element]) -> None:
    first = stream[0][0]
    versions = [element[1] for element in stream if element[0] == first]
    assert len(set(versions)) == len(versions) == 7


def test_another_seed_is_another_stream(dataset: PreparedDataset, stream: list[Element]) -> None:
    other = elements(batches_of(dataset, 12, seed=6))
    assert [e[0] for e in other] != [e[0] for e in stream]


def test_the_global_seed_has_no_say(dataset: PreparedDataset, stream: list[Element]) -> None:
    tf.random.set_seed(99)
    assert elements(batches_of(dataset, 12)) == stream


@pytest.mark.parametrize(
    ("workers", "replicas", "threads", "start"),
    [(1, 1, 3, 5), (1, 2, 1, 0), (2, 1, 4, 9), (2, 2, 3, 4), (4, 1, 2, 1), (1, 4, 1, 7)],
)
def test_the_stream_is_the_same_for_all_threads_workers_replicas_and_starts(
    dataset: PreparedDataset,
    stream: list[Element],
    workers: int,
    replicas: int,
    threads: int,
    start: int,
) -> None:
    steps = 2
    shares = [
        batches_of(
            dataset,
            steps * replicas,
            start_step=start,
            worker_index=worker,
            num_workers=workers,
            replicas_per_worker=replicas,
            num_parallel_calls=threads,
        )
        for worker in range(workers)
    ]
    together = itertools.chain.from_iterable(
        share[step * replicas : (step + 1) * replicas] for step in range(steps) for share in shares
    )
    assert elements(list(together)) == stream[4 * start : 4 * (start + steps)]


def test_the_batch_size_has_no_say(dataset: PreparedDataset, stream: list[Element]) -> None:
    assert elements(batches_of(dataset, 4, global_batch_size=10)) == stream[:40]


def test_the_order_is_a_uniform_permutation() -> None:
    order = training_order(3, tf.constant([11, 0])).take(3 * 600)
    indices = np.array([int(index) for _, index in order]).reshape(-1, 3)
    counts = Counter(map(tuple, indices.tolist()))
    assert len(counts) == 6 and min(counts.values()) > 60


def test_small_images_are_padded_with_the_pad_value(dataset: PreparedDataset) -> None:
    config = DataConfig(dataset="folder", crop_size=64, min_scale=1.0, max_scale=1.0)
    (batch,) = batches_of(dataset, 1, config=config)
    np.testing.assert_array_equal(batch["image"][0, -1, -1], [1, 2, 3])
    assert (batch["label"][:, 20:] == 255).all()


def test_without_augmentation_the_image_comes_as_it_is(dataset: PreparedDataset) -> None:
    config = DataConfig(
        dataset="folder", crop_size=20, min_scale=1.0, max_scale=1.0, flip_probability=0.0
    )
    (batch,) = batches_of(dataset, 1, config=config)
    k = int(batch["id"][0][-2:])
    image = random_image(8 + k, 20 - k, k)
    np.testing.assert_array_equal(batch["image"][0, : 8 + k, : 20 - k], image)
    mask = random_mask(8 + k, 20 - k, seed=k)
    np.testing.assert_array_equal(batch["label"][0, : 8 + k, : 20 - k], mask)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"global_batch_size": 5, "replicas_per_worker": 2}, "5 is not divisible by 2 replicas"),
        ({"global_batch_size": 0}, "not 0"),
        ({"seed": -1}, "not -1"),
        ({"seed": 1.5}, "not 1.5"),
        ({"worker_index": 1}, "worker_index must be 0"),
        ({"config": DataConfig(train_split="x")}, "unknown split"),
    ],
)
def test_bad_arguments(dataset: PreparedDataset, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DeepLabError, match=message):
        batches_of(dataset, 1, **options)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 10])
def test_evaluation_has_every_image_once(dataset: PreparedDataset, batch_size: int) -> None:
    seen = []
    for batch in evaluation_batches(dataset, batch_size).as_numpy_iterator():
        assert 1 <= len(batch["id"]) <= batch_size
        assert batch["image"].dtype == np.float32 and batch["label"].dtype == np.int32
        for name, image, label in zip(batch["id"], batch["image"], batch["label"], strict=True):
            seen.append(name.decode())
            height, width = SIZES[seen[-1]]
            index = NUM_TRAIN + list(SIZES).index(seen[-1])
            np.testing.assert_array_equal(image, random_image(height, width, index))
            np.testing.assert_array_equal(label, random_mask(height, width, seed=index))
    assert sorted(seen) == sorted(SIZES)
    if batch_size == 1:
        assert seen == list(SIZES)
    again = evaluation_batches(dataset, batch_size).as_numpy_iterator()
    assert [name.decode() for batch in again for name in batch["id"]] == seen


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("num_workers", [2, 7])  # there are 6 images
def test_workers_share_the_images_of_an_evaluation(
    dataset: PreparedDataset, num_workers: int, batch_size: int
) -> None:
    def names(**share: int) -> list[bytes]:
        batches = evaluation_batches(dataset, batch_size, **share)
        return [name for batch in batches.as_numpy_iterator() for name in batch["id"]]

    shares = [names(worker_index=index, num_workers=num_workers) for index in range(num_workers)]
    together = [name for share in shares for name in share]
    assert sorted(together) == sorted(names()) and len(together) == len(SIZES)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_evaluation_of_a_configured_split(dataset: PreparedDataset) -> None:
    config = DataConfig(dataset="folder", eval_split="train", eval_batch_size=2)
    assert sum(len(batch["id"]) for batch in evaluation_batches(dataset, config)) == NUM_TRAIN
    ids = [batch["id"] for batch in evaluation_batches(dataset, config, "validation")]
    assert sum(len(batch) for batch in ids) == len(SIZES)
    with pytest.raises(DeepLabError, match="choices: train, val"):
        evaluation_batches(dataset, 1, "test")
    with pytest.raises(DeepLabError, match="not 0"):
        evaluation_batches(dataset, 0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dataset": "shape"}, r"'shape'; did you mean 'shapes'"),
        ({"dataset": 3}, "unknown data set 3"),
        ({"crop_size": 0}, "not 0"),
        ({"crop_size": "513"}, "not '513'"),
        ({"crop_size": 513.0}, "not 513.0"),
        ({"crop_size": True}, "not True"),
        ({"crop_size": (1, 2, 3)}, r"not \(1, 2, 3\)"),
        ({"train_split": 1}, "train_split .* not 1"),
        ({"min_scale": 0}, "min_scale must be above 0, not 0"),
        ({"min_scale": 3.0}, "max_scale must be at least 3.0, not 2.0"),
        ({"max_scale": "2"}, "max_scale must be a number, not '2'"),
        ({"max_scale": float("nan")}, "nan"),
        ({"scale_step": -0.1}, "not -0.1"),
        ({"flip_probability": 1.1}, "not 1.1"),
        ({"flip_probability": True}, "not True"),
        ({"eval_batch_size": 0}, "not 0"),
        ({"eval_batch_size": 1.0}, "not 1.0"),
    ],
)
def test_configurations_are_checked(values: dict[str, Any], message: str) -> None:
    with pytest.raises(DeepLabError, match=message):
        DataConfig(**values)


def test_crop_sizes_may_be_even_and_oblong() -> None:
    assert DataConfig(crop_size=64).crop_height_width == (64, 64)
    config = DataConfig(crop_size=[65, 128])  # type: ignore[arg-type]  # as JSON gives it
    assert config.crop_height_width == (65, 128)
    assert config == DataConfig(crop_size=(65, 128))


def test_folder_pairs(tmp_path: Path) -> None:
    root = make_folder(tmp_path, {"b/x": (8, 9), "a": (6, 5), "c": (4, 4)}, classes=None)
    palette = Image.fromarray(random_mask(6, 5, (0, 2)))
    palette.putpalette(list(range(30)))
    palette.save(root / "labels/a.png")
    pairs = folder_pairs(root / "images", root / "labels", num_classes=3)
    assert len(pairs) == 3
    for _ in range(2):
        batches = list(pairs)
        assert [batch["id"].numpy().tolist() for batch in batches] == [[b"a"], [b"b/x"], [b"c"]]
    assert batches[0]["image"].shape == (1, 6, 5, 3)
    assert batches[0]["image"].dtype == tf.float32 and batches[0]["label"].dtype == tf.int32
    np.testing.assert_array_equal(batches[0]["label"][0], random_mask(6, 5, (0, 2)))
    np.testing.assert_array_equal(batches[1]["image"][0], random_image(8, 9, 0))


def test_folder_pairs_say_where_objects_are_not_measured(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = make_folder(tmp_path / "a", numbered(5))
    for number, path in enumerate(sorted((root / "labels").iterdir())):
        mask = np.zeros((12, 16), np.uint8)
        mask[:4] = 1 if number == 0 else 255
        save(path, mask)
    assert len(list(folder_pairs(root / "images", root / "labels", num_classes=3))) == 5
    assert "4 of 5 masks" in capfd.readouterr().err


def test_folder_pairs_name_what_is_wrong(tmp_path: Path) -> None:
    root = make_folder(tmp_path, {"a": (6, 5), "b": (4, 4)})
    images, labels = root / "images", root / "labels"
    with pytest.raises(DeepLabError, match="no folder .*nowhere"):
        folder_pairs(root / "nowhere", labels, num_classes=3)
    with pytest.raises(DeepLabError, match=r"a\.png holds the ids 2"):
        list(folder_pairs(images, labels, num_classes=2))
    save(labels / "a.png", random_mask(5, 6))
    with pytest.raises(DeepLabError, match="they must be equal"):
        list(folder_pairs(images, labels, num_classes=3))
    (labels / "a.png").unlink()
    with pytest.raises(DeepLabError, match=r"images/a\.png has no mask: expected .*labels/a\.png"):
        folder_pairs(images, labels, num_classes=3)
    for image in images.iterdir():
        image.unlink()
    with pytest.raises(DeepLabError, match="no images in"):
        folder_pairs(images, labels, num_classes=3)


def test_folder_pairs_with_another_ignored_id(tmp_path: Path) -> None:
    root = make_folder(tmp_path, {"a": (6, 5)}, ids=(0, 1, 2))
    (batch,) = folder_pairs(root / "images", root / "labels", num_classes=3, ignore_label=0)
    np.testing.assert_array_equal(batch["label"][0], random_mask(6, 5, (0, 1, 2)))
