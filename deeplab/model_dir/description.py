"""`model.json`: all that evaluation, prediction and export need to know of a model."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from deeplab import files
from deeplab.errors import DeepLabError
from deeplab.models import ModelConfig

FORMAT_VERSION = 1
FILE_NAME = "model.json"
WEIGHTS_GROUPS = ("model", "ema")
CLASSIFIER_GROUP = "classifier"

Color = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class ClassifierDescription:
    """The classifier of images that a backbone was trained as, kept beside the model.

    Its variables are the group `CLASSIFIER_GROUP` of the checkpoint that an import wrote.

    Attributes:
        classes: how many; their names are not kept.
        resize: shorter side of images in pixels before the crop.
        crop: height and width of the center that it sees.
        interpolation: "bilinear" or "bicubic".
        hidden_channels: see `build_classifier`.
    """

    classes: int
    resize: int
    crop: int
    interpolation: str
    hidden_channels: int | None = None


@dataclasses.dataclass(frozen=True)
class ModelDescription:
    """The content of `model.json`.

    Attributes:
        config: the network, with its class count.
        class_names: one name per class, in order of class id.
        colors: one color per class, RGB 0..255.
        ignore_label: label id that counts nowhere.
        pad_value: what images are padded with, 0..255, one value per channel.
        weights_source: where the first weights came from.
        batch_norm_folded: whether the weights come from a file that held no statistics, because
            batch norm had been folded into the convolutions. Training must not use batch statistics
            on them then: it would change the function at once.
        weights_group: the group of a checkpoint that holds the weights to use: "model", or "ema",
            their moving average.
        training: what training was told (the resolved settings, folders, determinism); None for
            weights that were imported.
        mask_ignore: the id that means "no class" in masks as they were prepared for training;
            None: `ignore_label`.
        mask_colors: the colors that stand for the classes in such masks, RGB 0..255; None: none
            do.
        classifier: the classifier that was kept with an imported backbone; None for none.
    """

    config: ModelConfig
    class_names: tuple[str, ...]
    colors: tuple[Color, ...]
    ignore_label: int
    pad_value: tuple[float, ...]
    weights_source: str
    batch_norm_folded: bool = False
    weights_group: str = WEIGHTS_GROUPS[0]
    training: Mapping[str, Any] | None = None
    mask_ignore: int | None = None
    mask_colors: tuple[Color, ...] | None = None
    classifier: ClassifierDescription | None = None

    @property
    def input_channels(self) -> int:
        """Channels of the images."""
        return self.config.resolved_input_channels

    def to_json(self) -> str:
        """Text of the file."""
        values = {"format_version": FORMAT_VERSION, **dataclasses.asdict(self)}
        return json.dumps(values, indent=2) + "\n"


def write_description(model_dir: str | Path, description: ModelDescription) -> None:
    """Writes `model.json`, atomically."""
    files.write_text(Path(model_dir) / FILE_NAME, description.to_json())


def has_description(model_dir: str | Path) -> bool:
    """Whether a folder holds a model."""
    return (Path(model_dir) / FILE_NAME).is_file()


def read_description(model_dir: str | Path) -> ModelDescription:
    """Reads `model.json`.

    Raises:
        DeepLabError: if the folder or the file is missing, damaged or of a newer format.
    """
    path = Path(model_dir) / FILE_NAME
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        folder = Path(model_dir)
        what = "is a file" if folder.is_file() else "does not exist"
        what = "has no model.json" if folder.is_dir() else what
        raise DeepLabError(f"{model_dir} is not a model folder: it {what}") from error
    except (OSError, ValueError) as error:
        raise DeepLabError(f"{path} cannot be read: {error}") from error
    version = values.get("format_version") if isinstance(values, dict) else None
    if version != FORMAT_VERSION:
        raise DeepLabError(
            f"{path} has format version {version!r}; this version reads {FORMAT_VERSION}"
        )
    try:
        mask_colors = values.get("mask_colors")
        classifier = values.get("classifier")
        description = ModelDescription(
            config=ModelConfig.from_dict(values["config"]),
            class_names=tuple(values["class_names"]),
            colors=_colors(values["colors"]),
            ignore_label=values["ignore_label"],
            pad_value=tuple(values["pad_value"]),
            weights_source=values["weights_source"],
            batch_norm_folded=values["batch_norm_folded"],
            weights_group=values.get("weights_group", WEIGHTS_GROUPS[0]),
            training=values["training"],
            mask_ignore=values.get("mask_ignore"),
            mask_colors=None if mask_colors is None else _colors(mask_colors),
            classifier=None if classifier is None else ClassifierDescription(**classifier),
        )
    except DeepLabError as error:
        raise DeepLabError(f"{path}: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise DeepLabError(f"{path} is damaged: {error!r}") from error
    _check(description, path)
    return description


def _colors(values: Iterable[Iterable[int]]) -> tuple[Color, ...]:
    return tuple((red, green, blue) for red, green, blue in values)


def _check(description: ModelDescription, path: Path) -> None:
    """Names and colors must be as many as the classes, or they would be those of others."""
    if description.weights_group not in WEIGHTS_GROUPS:
        raise DeepLabError(
            f"{path} is damaged: weights_group is {description.weights_group!r}, not one of "
            f"{', '.join(WEIGHTS_GROUPS)}"
        )
    num_classes = description.config.num_classes
    for name, values in (
        ("class names", description.class_names),
        ("colors", description.colors),
        ("mask_colors", description.mask_colors),
    ):
        if values is not None and len(values) != num_classes:
            raise DeepLabError(
                f"{path} is damaged: it has {len(values)} {name} for {num_classes} classes"
            )
