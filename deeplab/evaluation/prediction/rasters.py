"""Rasters: TIFF files that are read and written by bands of rows, with their place on Earth."""

from __future__ import annotations

import contextlib
import logging
import struct
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import TiffImagePlugin

from deeplab.data.files.opening import MAX_PIXELS
from deeplab.data.files.pixels import RGB
from deeplab.data.files.problems import FileError, Problem
from deeplab.evaluation.prediction.saves import Painting
from deeplab.extras import needs_extra
from deeplab.runtimes.windows import ReadRows

_SUFFIXES = (".tif", ".tiff")
# ModelPixelScale, ModelTiepoint, ModelTransformation and GeoKeyDirectory of GeoTIFF.
_GEO_TAGS = frozenset((33550, 33922, 34264, 34735))
_BIG_TIFF = 43
_DAMAGE = (OSError, SyntaxError, struct.error, KeyError, TypeError, ValueError, OverflowError)
_CACHE_MB = 256  # of decoded blocks
_TILE = 256


class Raster(NamedTuple):
    """A raster that is open.

    Attributes:
        height: in pixels.
        width: in pixels.
        read: gives rows, uint8 [1, rows, W, channels].
        place: where it lies on Earth, as rasterio takes it when a file is made.
    """

    height: int
    width: int
    read: ReadRows
    place: dict[str, Any]


def is_raster(path: Path, *, by_bands: bool) -> bool:
    """Whether an image is read as a raster: a TIFF file that has a place on Earth.

    Args:
        path: of the image.
        by_bands: whether every TIFF file is one, such as those that are too large to be decoded.
    """
    if path.suffix.lower() not in _SUFFIXES:
        return False
    return by_bands or _has_place(path)


def _has_place(path: Path) -> bool:
    # Pillow opens no file of more pixels than it likes.
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is damaged
            header = file.read(8)
            if _BIG_TIFF in header[2:4]:
                header += file.read(8)
            directory = TiffImagePlugin.ImageFileDirectory_v2(header)
            file.seek(directory.next)
            directory.load(file)
            return not _GEO_TAGS.isdisjoint(directory)
    except _DAMAGE:
        return False  # reading it will say why


@contextlib.contextmanager
def open_raster(path: Path, channels: int, *, whole: bool) -> Iterator[Raster]:
    """Opens a TIFF file.

    Args:
        path: the file.
        channels: of the images that the network takes. Of three, it takes the bands that are said
            to be red, green and blue, a band of gray, or of colors of a palette.
        whole: whether it will be read as a whole, so that its size is limited.

    Raises:
        FileError: if it cannot be read, now or later, or does not have such bands of 8 bits.
        DeepLabError: if rasterio is not installed.
    """
    with needs_extra("geo", f"reading {path} by bands or with its place on Earth"):
        import rasterio
        from rasterio.windows import Window
    # GDAL's complaints are raised as well.
    logging.getLogger("rasterio").setLevel(logging.CRITICAL + 1)

    def refused(why: str) -> FileError:
        return FileError(Problem("unreadable", path, why), f"the image {path} {why}")

    @contextlib.contextmanager
    def reading() -> Iterator[None]:
        try:
            yield
        except rasterio.errors.RasterioError as error:
            why = f"the file is damaged ({error})"
            raise FileError(Problem("unreadable", path, why), f"{path}: {why}") from error

    with contextlib.ExitStack() as stack:
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=_CACHE_MB))
        stack.enter_context(warnings.catch_warnings())
        # What has no place gives results without one.
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with reading():
            file = stack.enter_context(rasterio.open(path))
        if whole and file.height * file.width > MAX_PIXELS:
            raise refused(
                f"has {file.width}x{file.height} pixels (width x height), more than the "
                f"{MAX_PIXELS} that are read at once: give a --window"
            )
        bands = _bands(file, channels, refused)
        palette = _palette(file) if channels == RGB and file.count == 1 else None

        def read(top: int, rows: int) -> np.ndarray:
            with reading():
                values = file.read(bands, window=Window(0, top, file.width, rows))
            image = np.ascontiguousarray(np.moveaxis(values, 0, -1))
            return (image if palette is None else palette[image[..., 0]])[np.newaxis]

        points, points_crs = file.gcps
        place = {"crs": file.crs or points_crs, "gcps": points or None, "rpcs": file.rpcs}
        if not file.transform.is_identity:
            place["transform"] = file.transform
        yield Raster(
            file.height,
            file.width,
            read,
            {key: value for key, value in place.items() if value is not None},
        )


def _bands(file: Any, channels: int, refused: Callable[[str], FileError]) -> list[int]:
    """The numbers of the bands that a network sees."""
    if any(kind != "uint8" for kind in file.dtypes):
        raise refused(
            f"has values of {file.dtypes[0]}: convert it to 8 bits (gdal_translate -ot Byte -scale)"
        )
    meanings = [meaning.name for meaning in file.colorinterp]
    if channels == RGB and {"red", "green", "blue"} <= set(meanings):
        return [meanings.index(color) + 1 for color in ("red", "green", "blue")]
    if channels == RGB and [name for name in meanings if name != "alpha"] in (
        ["gray"],
        ["palette"],
    ):
        return [1] * RGB
    if file.count == channels:
        return list(range(1, channels + 1))
    raise refused(
        f"has {file.count} bands ({', '.join(meanings)}), expected {channels}"
        + (" or some that are red, green and blue" if channels == RGB else "")
    )


def _palette(file: Any) -> np.ndarray | None:
    try:
        colors = file.colormap(1)
    except ValueError:
        return None
    table = np.zeros((256, RGB), np.uint8)
    for value, color in colors.items():
        table[value] = color[:RGB]
    return table


@contextlib.contextmanager
def new_raster(
    path: Path, raster: Raster, first: Painting
) -> Iterator[Callable[[int, Painting], None]]:
    """Makes a TIFF file of the size and place of a raster.

    Args:
        path: the file.
        raster: whose place it gets.
        first: the upper rows, for type and colors; they are not written yet.

    Returns:
        A function that writes rows: the first one's number, and the rows.

    Raises:
        OSError: if it cannot be written.
    """
    import rasterio
    from rasterio.windows import Window

    is_color = first.values.ndim == RGB
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=raster.height,
        width=raster.width,
        count=RGB if is_color else 1,
        dtype=first.values.dtype,
        photometric="RGB" if is_color else "MINISBLACK",
        compress="deflate",
        tiled=True,
        blockxsize=_TILE,
        blockysize=_TILE,
        bigtiff="if_safer",
        **raster.place,
    ) as file:
        if first.palette is not None:
            file.write_colormap(1, dict(enumerate(map(tuple, first.palette.tolist()))))

        def write(top: int, rows: Painting) -> None:
            values = np.atleast_3d(rows.values)
            window = Window(0, top, raster.width, len(values))
            file.write(np.moveaxis(values, -1, 0), window=window)

        yield write
