"""The kinds of results that are written of an image."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from deeplab.data import cityscapes
from deeplab.data.colors import Color, color_image, color_table, default_colors, overlay
from deeplab.errors import DeepLabError, unknown_name
from deeplab.extras import needs_extra

# What an input is: an image that Pillow or numpy reads, one that is read by bands, or many frames.
Medium = Literal["picture", "raster", "video"]

# Class ids below it fit into 8 bits, which palettes need.
_BYTE = 256

DEFAULT_SAVES = ("index", "color", "overlay")


class Classes(NamedTuple):
    """What a network tells apart: a name and a color per class id."""

    names: Sequence[str]
    colors: Sequence[Color]


class Result(NamedTuple):
    """What is known of an image, or of a band of one.

    Attributes:
        name: of the image, with its path below the input folder.
        pixels: uint8 [H, W, channels].
        ids: class ids int32 [H, W].
        probabilities: float32 [H, W, C]; None unless a kind of result needs them.
    """

    name: str
    pixels: npt.NDArray[np.uint8]
    ids: npt.NDArray[np.int32]
    probabilities: npt.NDArray[np.float32] | None = None


class Painting(NamedTuple):
    """A result that is an image.

    Attributes:
        values: RGB uint8 [H, W, 3], or numbers uint8 or uint16 [H, W].
        palette: the colors of the numbers, uint8 [N, 3]; None: they have none.
    """

    values: np.ndarray
    palette: npt.NDArray[np.uint8] | None = None

    def upper(self, rows: int) -> Painting:
        """The first rows."""
        return self._replace(values=self.values[:rows])

    def rgb(self) -> np.ndarray:
        """The values, in the colors of the palette if there is one."""
        return self.values if self.palette is None else self.palette[self.values]


@dataclasses.dataclass(frozen=True)
class Save:
    """A kind of result.

    Attributes:
        suffix: what follows the name of the image.
        extensions: of the files that inputs of each medium become; media that do not have this kind
            are missing.
        encode: makes the bytes of the file of a picture.
        paint: makes the image that the file shows, of bands and frames too; None: it shows none.
        check: raises a DeepLabError if a network does not have it.
        needs_probabilities: whether class ids are not enough.
    """

    suffix: str
    extensions: Mapping[Medium, str]
    encode: Callable[[Result, Classes], bytes]
    paint: Callable[[Result, Classes], Painting] | None = None
    check: Callable[[Classes], object] = lambda classes: None
    needs_probabilities: bool = False


def choose_saves(names: Iterable[str], classes: Classes) -> list[Save]:
    """The kinds of that names, each once, in the order of `SAVES`.

    Raises:
        DeepLabError: if there is none of a name, no name, or the network does not have one.
    """
    names = set(names)
    for name in sorted(names - SAVES.keys()):
        raise unknown_name("save", name, tuple(SAVES))
    if not names:
        raise DeepLabError(f"save names no kind of result; choices: {', '.join(SAVES)}")
    saves = [save for name, save in SAVES.items() if name in names]
    for save in saves:
        save.check(classes)
    return saves


def _picture(
    suffix: str,
    paint: Callable[[Result, Classes], Painting],
    check: Callable[[Classes], object] = lambda classes: None,
    *,
    video: str = ".mp4",
) -> Save:
    extensions: dict[Medium, str] = {"picture": ".png", "raster": ".tif", "video": video}

    def encode(result: Result, classes: Classes) -> bytes:
        values, palette = paint(result, classes)
        image = Image.fromarray(values)
        if palette is not None:
            image.putpalette(palette.tobytes())
        file = io.BytesIO()
        image.save(file, "PNG")
        return file.getvalue()

    return Save(suffix, extensions, encode, paint, check)


def _index(result: Result, classes: Classes) -> Painting:
    kind = np.uint8 if len(classes.names) <= _BYTE else np.uint16
    return Painting(result.ids.astype(kind))


def _color(result: Result, classes: Classes) -> Painting:
    if len(classes.names) > _BYTE:
        return Painting(color_image(result.ids, classes.colors))
    return Painting(result.ids.astype(np.uint8), color_table(classes.colors))


def _overlay(result: Result, classes: Classes) -> Painting:
    return Painting(overlay(result.pixels[..., :3], result.ids, classes.colors))


def _cityscapes_ids(result: Result, classes: Classes) -> Painting:
    return Painting(_label_ids(tuple(classes.names))[result.ids])


@functools.lru_cache(maxsize=1)
def _label_ids(names: Sequence[str]) -> npt.NDArray[np.uint8]:
    """The benchmark's ids by class id.

    Raises:
        DeepLabError: if a class is not among those that the benchmark evaluates.
    """
    ids = {row.name: row.label_id for row in cityscapes.CLASSES}
    for name in names:
        if name not in ids:
            raise DeepLabError(
                f"save cityscapes_ids: the model's class {name!r} is none of Cityscapes: "
                f"{', '.join(ids)}"
            )
    return np.array([ids[name] for name in names], np.uint8)


def _voc_palette(result: Result, classes: Classes) -> Painting:
    return Painting(result.ids.astype(np.uint8), color_table(default_colors(_BYTE)))


def _check_voc(classes: Classes) -> None:
    if len(classes.names) > _BYTE - 1:
        raise DeepLabError(
            f"save voc_palette: the model has {len(classes.names)} classes, a palette with an "
            "ignored color at most 255"
        )


def _probabilities(result: Result, classes: Classes) -> bytes:
    assert result.probabilities is not None
    file = io.BytesIO()
    np.savez_compressed(
        file,
        probabilities=result.probabilities.astype(np.float16),
        classes=np.array(classes.names),
    )
    return file.getvalue()


def _coco(result: Result, classes: Classes) -> bytes:
    """A data set of one image, with one segment in run-length encoding for each of its classes."""
    from pycocotools import mask as coco

    height, width = result.ids.shape
    annotations: list[dict[str, object]] = []
    for class_id in np.unique(result.ids).tolist():
        segment = coco.encode(np.asfortranarray(result.ids == class_id, np.uint8))
        annotations.append(
            {
                "id": len(annotations) + 1,
                "image_id": 1,
                "category_id": class_id,
                "segmentation": {
                    "size": [height, width],
                    "counts": segment["counts"].decode("ascii"),
                },
                "area": int(coco.area(segment)),
                "bbox": coco.toBbox(segment).tolist(),
                "iscrowd": 0,  # as in COCO-Stuff
            }
        )
    data = {
        "images": [{"id": 1, "file_name": result.name, "height": height, "width": width}],
        "annotations": annotations,
        "categories": [
            {"id": class_id, "name": name} for class_id, name in enumerate(classes.names)
        ],
    }
    return json.dumps(data, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _check_coco(classes: Classes) -> None:
    with needs_extra("coco", "save coco"):
        import pycocotools.mask  # noqa: F401


# In the order in which they are written. Videos of numbers are lossless (.mkv). VOC's server wants
# files with the names of the images.
SAVES: dict[str, Save] = {
    "index": _picture("_index", _index, video=".mkv"),
    "color": _picture("_color", _color),
    "overlay": _picture("_overlay", _overlay),
    "cityscapes_ids": _picture(
        "_cityscapes_ids",
        _cityscapes_ids,
        lambda classes: _label_ids(tuple(classes.names)),
        video=".mkv",
    ),
    "voc_palette": _picture("", _voc_palette, _check_voc),
    "probabilities": Save(
        "_probabilities", {"picture": ".npz"}, _probabilities, needs_probabilities=True
    ),
    "coco": Save("_coco", {"picture": ".json"}, _coco, check=_check_coco),
}
