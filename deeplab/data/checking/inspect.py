"""Everything that a single image and its mask can tell."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deeplab.data.checking.samples import Sample
from deeplab.data.files.images import sound_picture
from deeplab.data.files.mask_ids import IdRule
from deeplab.data.files.masks import Labels, Mask, examine_mask
from deeplab.data.files.pixels import decode_picture
from deeplab.data.files.problems import FileError, Problem
from deeplab.data.sources.pair_tally import PairTally
from deeplab.data.sources.pairs import check_sizes


@dataclasses.dataclass(frozen=True)
class MaskRule:
    """How the masks of a data set are to be read.

    Attributes:
        ids: which ids are classes, and what colors mean.
        class_names: in order of the ids.
        label_map: what the ids 0..255 of a record become; None: they are class ids.
        stored_ids: class id of each id that a mask of a source may hold; None: class ids.
    """

    ids: IdRule
    class_names: Sequence[str]
    label_map: Sequence[int] | None = None
    stored_ids: Mapping[int, int] | None = None


@dataclasses.dataclass(frozen=True)
class Facts:
    """What was found in a sample.

    Attributes:
        sample: what was read, identified if that was possible.
        problems: what is wrong with it.
        image_hash: of the image file's bytes; None if it could not be read.
        form: of the mask, see `Mask`; None if it could not be read.
        tally: of this pair.
        class_pixels: pixels per class, int64 [C]; None if the mask cannot be used.
        num_pixels: pixels of the mask, ignored ones included; 0 if it cannot be used.
    """

    sample: Sample
    problems: tuple[Problem, ...]
    image_hash: bytes | None = None
    form: str | None = None
    tally: PairTally = PairTally()
    class_pixels: npt.NDArray[np.int64] | None = None
    num_pixels: int = 0


def inspect(sample: Sample, rule: MaskRule) -> Facts:
    """Reads a sample completely and notes all that is wrong with it."""
    problems: list[Problem] = []
    with _noting(sample.pair.image, problems):
        sample = sample.identified()
    pair = sample.pair
    data: bytes | None = None
    image_size: tuple[int, ...] = ()
    is_turned = False
    with _noting(pair.image, problems):
        data = sample.image()
        picture = sound_picture(data, pair.image, sample.channels)
        image_size, is_turned = picture.pixels.shape[:2], picture.is_turned
    mask: Mask | None = None
    labels: Labels | None = None
    ids: frozenset[int] = frozenset()
    with _noting(pair.label, problems):
        mask = read_mask(sample, rule)
        labels, ids = rule.ids.labels(mask.ids, pair.label)
    if mask is not None:
        if image_size:
            with _noting(pair.label, problems):
                check_sizes(pair, image_size, mask.ids.shape)
        problems += _remarks(mask, pair.label, has_colors=bool(rule.ids.colors))
    counts = None
    if labels is not None:
        count = len(rule.class_names)
        counts = np.bincount(labels.ravel(), minlength=count)[:count].astype(np.int64)
        problems += _collapse(counts, labels.size, rule.class_names, pair.label)
    return Facts(
        sample,
        # A damaged record is found whatever is read of it: once is enough.
        tuple(dict.fromkeys(problems)),
        hashlib.blake2b(data, digest_size=16).digest() if data else None,
        mask.form if mask else None,
        PairTally.of(ids, image_is_turned=is_turned, mask_is_turned=bool(mask and mask.is_turned)),
        counts,
        0 if labels is None else labels.size,
    )


def read_mask(sample: Sample, rule: MaskRule) -> Mask:
    """The mask of a sample, its ids mapped if the data set maps them.

    Raises:
        FileError, OSError: if it cannot be used.
    """
    mask = examine_mask(sample.label(), sample.pair.label, rule.ids, rule.stored_ids)
    if rule.label_map is None:
        return mask
    return dataclasses.replace(mask, ids=np.asarray(rule.label_map, np.uint16)[mask.ids])


def read_colors(sample: Sample) -> npt.NDArray[np.uint8]:
    """The first three channels of a sample's image, uint8 [H, W, 3], upright.

    Raises:
        FileError, OSError: if it cannot be used.
    """
    pixels = decode_picture(sample.image(), sample.pair.image, sample.channels).pixels
    return np.ascontiguousarray(pixels[..., :3])


@contextlib.contextmanager
def _noting(file: Path, problems: list[Problem]) -> Iterator[None]:
    """Runs a block that reads a file; an error ends it and becomes a problem."""
    try:
        yield
    except FileError as error:
        problems.append(error.problem)
    except OSError as error:
        problems.append(Problem("unreadable", file, str(error)))


def _remarks(mask: Mask, file: Path, *, has_colors: bool) -> list[Problem]:
    """That a mask is no plain index mask, and what becomes of it."""
    if mask.form == "colour":
        detail = "is an image in colors, all of them of classes: preparing converts it"
        return [Problem("colour_mask", file, detail, is_warning=True)]
    if mask.form != "palette":
        return []
    if mask.recolored is None:
        colors = (
            "some of its colors are no class's in the class list"
            if has_colors
            else 'with "colors" in classes.json its colors would count'
        )
        detail = (
            "has a palette: its indices are the class ids, and preparing stores them as gray "
            f"levels ({colors})"
        )
    elif mask.recolored == 0:
        detail = "has a palette whose colors and indices name the same classes"
    else:
        detail = (
            "has a palette whose colors and indices disagree: all colors are class colors, so "
            f"they count, and {mask.recolored} of {mask.ids.size} pixels get another id than "
            "their index"
        )
    return [Problem("palette_mask", file, detail, is_warning=True)]


def _collapse(
    counts: npt.NDArray[np.int64], num_pixels: int, names: Sequence[str], file: Path
) -> list[Problem]:
    present = np.flatnonzero(counts)
    if len(present) > 1:
        return []
    if len(present) == 0:
        detail = "holds nothing but ignored pixels"
    else:
        rest = "" if counts.sum() == num_pixels else " and ignored pixels"
        detail = f"holds nothing but {names[present[0]]!r} (id {present[0]}){rest}"
    return [Problem("single_class", file, detail, is_warning=True)]
