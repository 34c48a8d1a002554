"""Where a model fails: the results of groups of images and of groups of classes.

All of it follows from the confusion matrices of the images, without looking at any pixel again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from deeplab.errors import DeepLabError
from deeplab.evaluation.bootstrap import intervals
from deeplab.evaluation.metrics import by_class, class_iou, miou, number, pixel_accuracy, rates_of
from deeplab.evaluation.per_image import PerImage

SIZES = ("small", "medium", "large")
OTHER = "other"

MergedClasses = Mapping[str, Sequence[str]]


def by_size(images: PerImage, class_names: Sequence[str]) -> dict[str, Any]:
    """Results of the smallest, middle and largest third of the images, by their number of pixels.

    Images of one size stay together, such as all of a data set, which are one group then.

    Returns:
        {"small": {"pixels": [least, most], ...}, "medium": ..., "large": ...}, each with what
        `_of_group` gives, without those that are empty; or {"all": ...}.
    """
    pixels = images.sizes.astype(np.int64).prod(axis=1)
    thirds = np.quantile(pixels, [1 / 3, 2 / 3], method="inverted_cdf")
    group = np.searchsorted(thirds, pixels)
    names = SIZES if group.any() else ("all",)
    return {
        name: {
            "pixels": [int(pixels[group == index].min()), int(pixels[group == index].max())],
            **_of_group(images, group == index, class_names),
        }
        for index, name in enumerate(names)
        if (group == index).any()
    }


def by_name(images: PerImage, class_names: Sequence[str], pattern: str) -> dict[str, Any]:
    """Results of groups of images of which a part of the name is the same.

    Args:
        images: the counts.
        class_names: one per class id.
        pattern: a regular expression that is searched in the image's id. The text of its first
            group is the name of the image's group, without one that of the whole match. Images
            in whose id it is not found are the group "other".

    Returns:
        {group: what `_of_group` gives}, by name.

    Raises:
        DeepLabError: if it is no regular expression, or found in no id.
    """
    expression = compiled(pattern)
    groups = np.array([_group_of(expression, image_id) for image_id in images.ids], np.str_)
    if (groups == OTHER).all():
        raise DeepLabError(
            f"group_by {pattern!r} is found in no image id, the first is {images.ids[0]}"
        )
    return {str(name): _of_group(images, groups == name, class_names) for name in np.unique(groups)}


def compiled(pattern: str) -> re.Pattern[str]:
    """A regular expression.

    Raises:
        DeepLabError: if it is none.
    """
    try:
        return re.compile(pattern)
    except re.error as error:
        raise DeepLabError(f"group_by {pattern!r} is no regular expression: {error}") from error


def _group_of(expression: re.Pattern[str], image_id: str) -> str:
    match = expression.search(image_id)
    if match is None:
        return OTHER
    return match.group(1 if expression.groups else 0) or OTHER


def _of_group(
    images: PerImage, group: npt.NDArray[np.bool_], class_names: Sequence[str]
) -> dict[str, Any]:
    """{"num_images", "miou", "pixel_accuracy", "per_class_iou": {name: rate}}."""
    matrix = images.total(group)
    return {
        "num_images": int(group.sum()),
        "miou": number(miou(matrix)),
        "pixel_accuracy": number(pixel_accuracy(matrix)),
        "per_class_iou": by_class(class_names, class_iou(matrix)),
    }


def read_merged_classes(texts: Sequence[str]) -> dict[str, list[str]]:
    """Super-categories as the command line has them.

    Args:
        texts: each "name=class,class", or a JSON or YAML file {name: [class, ...]}.

    Raises:
        DeepLabError: if one is neither.
    """
    merged: dict[str, list[str]] = {}
    for text in texts:
        name, equals, classes = text.partition("=")
        listed = {name: classes.split(",")} if equals else _read_file(Path(text))
        for key, members in listed.items():
            if key in merged:
                raise DeepLabError(f"merge_classes: {key!r} is there twice")
            merged[key] = [member.strip() for member in members]
    return merged


def _read_file(path: Path) -> dict[str, list[str]]:
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DeepLabError(
            f"merge_classes {path} is neither name=class,class nor a file that can be read: {error}"
        ) from error
    is_right = isinstance(content, dict) and all(
        isinstance(members, list) and all(isinstance(item, str) for item in [name, *members])
        for name, members in content.items()
    )
    if not is_right:
        raise DeepLabError(f"{path} must hold names of super-categories with lists of class names")
    return dict(content)


def check_merged_classes(merged: MergedClasses, class_names: Sequence[str]) -> None:
    """Makes sure that super-categories fit the classes.

    Raises:
        DeepLabError: if a class is unknown or in two of them, or a name would stand for two.
    """
    left = set(class_names)
    for name, members in merged.items():
        for member in members:
            if member not in class_names:
                raise DeepLabError(
                    f"merge_classes {name}: unknown class {member!r}; "
                    f"choices: {', '.join(class_names)}"
                )
            if member not in left:
                raise DeepLabError(f"merge_classes {name}: {member!r} is in another one, too")
            left.remove(member)
    for name in merged:
        if name in left:
            raise DeepLabError(f"merge_classes: {name!r} is also a class that is not merged")


def of_merged(
    images: PerImage, class_names: Sequence[str], merged: MergedClasses
) -> dict[str, Any]:
    """Results over super-categories, of which a class that is in none is one by itself.

    Args:
        images: the counts.
        class_names: one per class id.
        merged: the classes of each super-category, checked.

    Returns:
        {"classes": {super-category: [class, ...]}, "intervals", and what `rates_of` gives}.
    """
    home = {member: name for name, members in merged.items() for member in members}
    names = list(dict.fromkeys(home.get(name, name) for name in class_names))
    united = images.merged([names.index(home.get(name, name)) for name in class_names])
    return {
        "classes": {name: list(members) for name, members in merged.items()},
        **rates_of(united.total(), names),
        "intervals": intervals(united.sums, names),
    }
