"""Small source folders, made for tests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from deeplab.data import PreparedDataset, load_dataset
from deeplab.data.files.decode import decode_label
from deeplab.errors import DeepLabError


def random_image(height: int, width: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def random_mask(
    height: int, width: int, ids: Sequence[int] = (0, 1, 2, 255), seed: int = 0
) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).choice(np.array(ids, np.uint8), (height, width))


def save(path: Path, pixels: npt.NDArray[np.generic]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def make_folder(
    root: Path,
    sizes: Mapping[str, tuple[int, int]],
    *,
    classes: Sequence[str] | None = ("background", "cat", "dog"),
    ignore: int | None = None,
    ids: Sequence[int] = (0, 1, 2, 255),
    suffix: str = ".png",
) -> Path:
    """A `folder` source with an image and a mask per name -> (height, width)."""
    for seed, (name, (height, width)) in enumerate(sizes.items()):
        save(root / "images" / f"{name}{suffix}", random_image(height, width, seed))
        save(root / "labels" / f"{name}.png", random_mask(height, width, ids, seed))
    if classes is not None:
        content: dict[str, object] = {"classes": list(classes), "made by": "a test"}
        if ignore is not None:
            content["ignore"] = ignore
        (root / "classes.json").write_text(json.dumps(content))
    return root


def make_channel_folder(
    root: Path, sizes: Mapping[str, tuple[int, int]], channels: int
) -> dict[str, npt.NDArray[np.uint8]]:
    """The same with more channels: RGBA PNG files for four, else .npy. Returns the pixels."""
    make_folder(root, sizes)
    classes = json.loads((root / "classes.json").read_text())
    (root / "classes.json").write_text(json.dumps({**classes, "channels": channels}))
    pixels = {}
    for seed, (name, size) in enumerate(sizes.items()):
        rng = np.random.default_rng(seed)
        pixels[name] = rng.integers(0, 256, (*size, channels), np.uint8)
        file = root / "images" / f"{name}.png"
        if channels == 4:
            save(file, pixels[name])
        else:
            file.unlink()
            np.save(file.with_suffix(".npy"), pixels[name])
    return pixels


def numbered(count: int, size: tuple[int, int] = (12, 16)) -> dict[str, tuple[int, int]]:
    return {f"picture{index:02d}": size for index in range(count)}


def load(source: Path, data_dir: Path) -> PreparedDataset:
    return load_dataset("folder", data_dir=str(data_dir), source_dir=str(source))


def ids_of(dataset: PreparedDataset, split: str) -> list[str]:
    return [record["id"].numpy().decode() for record in dataset.records(split)]


def labels_of(dataset: PreparedDataset, split: str) -> dict[str, npt.NDArray[np.int32]]:
    """The class ids of each image, by its id, in the order of the records."""
    return {
        record["id"].numpy().decode(): decode_label(record["label"], dataset.label_map).numpy()
        for record in dataset.records(split)
    }


def refused(source: Path, tmp_path: Path, message: str) -> None:
    """Preparing fails with the message and leaves nothing, not even the data folder."""
    data_dir = tmp_path / "not" / "yet"
    with pytest.raises(DeepLabError, match=message) as caught:
        load(source, data_dir)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "not").exists()
