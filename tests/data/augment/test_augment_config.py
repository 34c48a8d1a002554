"""Augmentation in a run: its settings, the stream of batches, and evaluation without it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from source_folders import load, make_folder, numbered
from streams import Element, assert_equal, elements, training_batches

from deeplab.configuration import read_configuration
from deeplab.data import (
    AugmentConfig,
    DataConfig,
    PreparedDataset,
    TrainingStream,
    evaluation_batches,
)
from deeplab.data.augment import DISTORTIONS, MIXES
from deeplab.data.augment.registry import settings_of
from deeplab.errors import DeepLabError

RUN = "runs/shapes_mobilenet_v2.gin"
EVERYTHING = AugmentConfig(
    distortions=tuple(DISTORTIONS),
    rand_augment_count=1,
    rand_augment_operations=("shear_x", "solarize"),
    mix="class_mix",
    mix_probability=1.0,
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    root = tmp_path_factory.mktemp("augment")
    names = numbered(5)
    sizes = {f"train/{name}": (16 + k, 20 - k) for k, name in enumerate(names)}
    sizes |= {"val/wide": (9, 13), "val/high": (21, 12), "val/wide2": (9, 13)}
    source = make_folder(root / "source", sizes)
    return load(source, root / "data")


def stream(
    dataset: PreparedDataset, config: DataConfig, count: int, **options: Any
) -> list[Element]:
    """The elements of so many batches of 8; a cache would be filled for every stream."""
    config = dataclasses.replace(config, cache="none")
    return elements(training_batches(dataset, config, count, global_batch_size=8, **options))


@pytest.mark.slow
def test_all_of_it_together_is_one_stream(dataset: PreparedDataset) -> None:
    config = DataConfig(dataset="folder", crop_size=(9, 12), augment=EVERYTHING)
    whole = stream(dataset, config, 3)
    assert len(whole) == 24
    assert sum(b"+" in element[0] for element in whole) > 12
    assert stream(dataset, config, 2, start_step=1, num_parallel_calls=1) == whole[8:]
    assert stream(dataset, config, 6, replicas_per_worker=2) == whole
    workers = [stream(dataset, config, 3, num_workers=2, worker_index=k) for k in (0, 1)]
    steps = [part[4 * step : 4 * step + 4] for step in range(3) for part in workers]
    assert [element for step in steps for element in step] == whole


def test_plain_elements_are_those_of_a_run_without_augmentation(dataset: PreparedDataset) -> None:
    plain = DataConfig(dataset="folder", crop_size=(9, 12))
    cut = dataclasses.replace(plain, augment=AugmentConfig(mix="cut_mix", mix_probability=0.3))
    before, after = stream(dataset, plain, 3), stream(dataset, cut, 3)
    for one, other in zip(before, after, strict=True):
        assert (one == other) == (b"+" not in other[0])
        assert other[0].split(b"+")[0] == one[0]
    assert 2 < sum(b"+" in element[0] for element in after) < 15


@pytest.mark.slow
def test_batches_stay_what_they_are(dataset: PreparedDataset) -> None:
    config = DataConfig(dataset="folder", crop_size=(9, 12), augment=EVERYTHING)
    for batch in training_batches(dataset, config, 2, global_batch_size=8):
        assert batch["image"].shape == (8, 9, 12, 3) and batch["image"].dtype == np.float32
        assert batch["label"].shape == (8, 9, 12) and batch["label"].dtype == np.int32
        assert set(np.unique(batch["label"])) <= {0, 1, 2, 255}
        assert batch["image"].min() >= 0 and batch["image"].max() <= 255


@pytest.mark.parametrize("mix", MIXES)
def test_odd_batches_cannot_be_mixed(dataset: PreparedDataset, mix: str) -> None:
    classes = ("cat",) if mix == "copy_paste" else ()
    augment = AugmentConfig(mix=mix, copy_paste_classes=classes)
    config = DataConfig(dataset="folder", crop_size=9, augment=augment)
    options: dict[str, Any] = {"pad_value": (1.0, 2.0, 3.0), "seed": 0}
    with pytest.raises(DeepLabError, match="even number, not 3; change GLOBAL_BATCH_SIZE") as error:
        TrainingStream(dataset, config, global_batch_size=6, replicas_per_worker=2, **options)
    assert "\n" not in str(error.value)
    TrainingStream(dataset, config, global_batch_size=6, **options)


def test_evaluation_is_not_augmented(dataset: PreparedDataset) -> None:
    plain = DataConfig(dataset="folder", crop_size=9)
    augmented = dataclasses.replace(plain, augment=EVERYTHING)
    assert_equal(
        *(
            list(evaluation_batches(dataset, config).as_numpy_iterator())
            for config in (augmented, plain)
        )
    )


@pytest.mark.parametrize("batch_size", [1, 2])
def test_images_and_labels_are_resized_at_evaluation(
    dataset: PreparedDataset, batch_size: int
) -> None:
    config = DataConfig(
        dataset="folder",
        resize_min_side=17,
        resize_max_side=33,
        resize_multiple=8,
        eval_batch_size=batch_size,
    )
    seen = {}
    for batch in evaluation_batches(dataset, config).as_numpy_iterator():
        assert batch["image"].dtype == np.float32 and batch["label"].dtype == np.int32
        assert batch["image"].shape[:-1] == batch["label"].shape
        seen |= dict.fromkeys(batch["id"], batch["label"].shape[1:])
    # 9x13 -> 17x24 -> 17x25; 21x12 -> 29x17 -> 33x17.
    assert seen == {b"val/wide": (17, 25), b"val/wide2": (17, 25), b"val/high": (33, 17)}


@pytest.mark.slow
def test_images_are_resized_before_they_are_scaled(dataset: PreparedDataset) -> None:
    # Every image is 40 pixels high or wide at least, so that nothing of the crop is padding.
    config = DataConfig(
        dataset="folder", crop_size=20, resize_min_side=40, min_scale=0.5, max_scale=0.5
    )
    options: dict[str, Any] = {"global_batch_size": 5, "pad_value": (999.0,) * 3, "seed": 0}
    for batch in training_batches(dataset, config, 2, **options):
        assert batch["image"].max() <= 255
    unresized = dataclasses.replace(config, resize_min_side=None)
    (batch,) = training_batches(dataset, unresized, 1, **options)
    assert batch["image"].max() == 999


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"distortions": "rotation"}, "distortions must be a list of names.*not 'rotation'"),
        ({"distortions": ("rotate",)}, "unknown distortions 'rotate'; did you mean 'rotation'"),
        ({"distortions": (3,)}, "unknown distortions 3"),
        ({"distortions": ("rotation", "rotation")}, "distortions names something twice"),
        ({"brightness": -1}, "brightness must be at least 0, not -1"),
        ({"brightness": 256}, "brightness must be at most 255"),
        ({"contrast": "0.5"}, "contrast must be a number, not '0.5'"),
        ({"saturation": 1.5}, "saturation must be at most 1"),
        ({"hue": 181}, "hue must be at most 180"),
        ({"photometric_probability": 2}, "photometric_probability must be at most 1"),
        ({"rotation_degrees": float("nan")}, "rotation_degrees must be a number"),
        ({"rotation_probability": True}, "rotation_probability must be a number, not True"),
        ({"rand_augment_count": 0}, "rand_augment_count must be at least 1"),
        ({"rand_augment_count": 2.0}, "rand_augment_count must be a whole number"),
        ({"rand_augment_magnitude": 11}, "rand_augment_magnitude must be at most 10"),
        ({"rand_augment_operations": ("shear",)}, "did you mean 'shear_"),
        ({"rand_augment_operations": ()}, "rand_augment_operations is empty"),
        ({"mix": "cutmix"}, "unknown mix 'cutmix'; did you mean 'cut_mix'"),
        ({"mix": True}, "unknown mix True"),
        ({"mix_probability": 1.5}, "mix_probability must be at most 1"),
        ({"mix": "copy_paste"}, "copy_paste_classes = "),
        ({"copy_paste_classes": (1,)}, "copy_paste_classes must be a text, not 1"),
        ({"hue": 9}, "hue is 9, but it has no effect: it is for 'photometric'"),
        (
            {"distortions": ("photometric",), "rotation_degrees": 5},
            "rotation_degrees is 5, .* it is for 'rotation', not for 'photometric'",
        ),
        (
            {"mix": "cut_mix", "copy_paste_classes": ("a",)},
            "copy_paste_classes .* it is for 'copy_paste', not for 'cut_mix'",
        ),
        ({"mix_probability": 1.0}, "mix_probability is 1.0, but .* it is for 'cut_mix'"),
    ],
)
def test_settings_are_checked(values: dict[str, Any], message: str) -> None:
    with pytest.raises(DeepLabError, match=message) as error:
        AugmentConfig(**values)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"resize_min_side": 0}, "resize_min_side must be at least 1"),
        ({"resize_min_side": 9.5}, "resize_min_side must be a whole number"),
        ({"resize_max_side": 9}, "resize_max_side is 9, but resize_min_side is not set"),
        ({"resize_multiple": 8}, "resize_multiple is 8, but resize_min_side is not set"),
        ({"resize_min_side": 9, "resize_max_side": 8}, "resize_max_side must be at least 9"),
        ({"resize_min_side": 9, "resize_multiple": 0}, "resize_multiple must be at least 1"),
        ({"augment": "rotation"}, "augment must be an AugmentConfig, not 'rotation'"),
    ],
)
def test_settings_of_the_data_are_checked(values: dict[str, Any], message: str) -> None:
    with pytest.raises(DeepLabError, match=message):
        DataConfig(**values)


def test_every_setting_is_read_by_something() -> None:
    chosen = {"distortions", "mix", "mix_probability"}
    fields = {field.name for field in dataclasses.fields(AugmentConfig)} - chosen
    read = [setting for row in (*DISTORTIONS, *MIXES) for setting in settings_of(row)]
    assert sorted(read) == sorted(fields)


def test_settings_survive_json() -> None:
    config = DataConfig(augment=EVERYTHING, resize_min_side=513)
    stored = json.loads(json.dumps(dataclasses.asdict(config)))
    assert DataConfig(**stored) == config


def test_gin_reaches_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "mine.gin"
    path.write_text(
        f"include '{RUN}'\n"
        "AugmentConfig.distortions = ('rotation', 'photometric')\n"
        "AugmentConfig.mix = 'cut_mix'\n"
    )
    augment = read_configuration([str(path)], ["AugmentConfig.hue=9"]).train.data.augment
    assert augment.distortions == ("rotation", "photometric")
    assert (augment.mix, augment.hue) == ("cut_mix", 9)
    assert read_configuration([RUN]).train.data.augment == AugmentConfig()
    with pytest.raises(DeepLabError, match="did you mean 'class_mix'"):
        read_configuration([RUN], ["AugmentConfig.mix='classmix'"])
