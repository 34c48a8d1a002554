"""The built-in data set `shapes` as a TFDS builder: generated on first use, nothing is downloaded.

What the scenes look like, and the constants that make them harder or easier, is in
`shapes_scene.py`.
"""

from __future__ import annotations

import concurrent.futures
import io
import itertools
import os
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import tensorflow_datasets as tfds
from PIL import Image

from deeplab.data.builders.shapes_scene import (
    CLASS_NAMES,
    COLORS,
    IGNORE_LABEL,
    IMAGE_SIZE,
    SPLIT_SIZES,
    draw_scene,
)
from deeplab.data.files.images import png
from deeplab.data.spec import DatasetSpec
from deeplab.errors import DeepLabError

__all__ = ["CLASS_NAMES", "COLORS", "IGNORE_LABEL", "SPLIT_SIZES", "Shapes"]

DESCRIPTION = """\
Drawn scenes for semantic segmentation: discs, squares, triangles, stars and thin wires that hide
parts of one another, over a mottled background. Classes differ in hue and in texture, the hues
overlap; light, blur and noise vary. Pixels along the outline of an object are ignored (255)."""

LICENSE = "Apache-2.0, as the program that draws it"

# Of 100. Artifacts of compression are part of a photograph; less would wash the wires out.
_JPEG_QUALITY = 92
# Scenes that are being drawn or wait to be written, per thread.
_AHEAD = 32


class Shapes(tfds.core.GeneratorBasedBuilder):
    """Builder of `shapes`. Records are in the order of their numbers, the same on every machine.

    Features: "image" JPEG 160x160x3 RGB, "label" PNG 160x160x1 of class ids and 255 (ignore),
    "id" such as "train/000123".

    Attributes:
        split_sizes: number of scenes per split; fewer are the first ones.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First version."}

    split_sizes: ClassVar[Mapping[str, int]] = SPLIT_SIZES

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=DESCRIPTION,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=(IMAGE_SIZE, IMAGE_SIZE, 3), encoding_format="jpeg"
                    ),
                    "label": tfds.features.LabeledImage(
                        labels=list(CLASS_NAMES),
                        shape=(IMAGE_SIZE, IMAGE_SIZE, 1),
                        encoding_format="png",
                    ),
                    "id": tfds.features.Text(),
                }
            ),
            supervised_keys=("image", "label"),
            license=LICENSE,
            # The scenes are independent of one another already; kept in order they are easy to
            # find again by their id.
            disable_shuffling=True,
        )

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        return {split: self._generate_examples(split) for split in self.split_sizes}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields the number of each scene of a split and its features, in order."""
        # Threads, not processes: NumPy and the encoders release the interpreter lock for most of
        # the time, and a child process would import TensorFlow and need a guarded main module.
        threads = os.cpu_count() or 1
        indices = iter(range(self.split_sizes[split]))
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            while batch := list(itertools.islice(indices, threads * _AHEAD)):
                records = pool.map(encoded_scene, itertools.repeat(split), batch)
                yield from zip(batch, records, strict=True)


def encoded_scene(split: str, index: int) -> dict[str, Any]:
    """Draws a scene and encodes it.

    Args:
        split: "train" or "validation".
        index: number of the scene, 0 or greater.

    Returns:
        "image": bytes of a JPEG file, "label": bytes of a PNG file with class ids, "id": str.
    """
    scene = draw_scene(split, index)
    jpeg = io.BytesIO()
    # Without chroma subsampling: the hue of a wire is not mixed with its surroundings.
    Image.fromarray(scene.image).save(jpeg, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return {"image": jpeg.getvalue(), "label": png(scene.label), "id": f"{split}/{index:06d}"}


def _make(data_dir: str, source_dir: str | None) -> Shapes:
    if source_dir is not None:
        raise DeepLabError(
            f"the data set 'shapes' is drawn: it takes no source folder ({source_dir})"
        )
    return Shapes(data_dir=data_dir)


SPEC = DatasetSpec(
    name=Shapes.name,
    make_builder=_make,
    class_names=CLASS_NAMES,
    colors=COLORS,
    eval_split="validation",
    description=DESCRIPTION,
    license=LICENSE,
    how_to_get="nothing: it is generated on first use",
    split_sizes=SPLIT_SIZES,
)
