"""Putting the weights of somebody's file into a model: all of them, or none."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import keras
import numpy as np

from deeplab.errors import DeepLabError, unknown_name
from deeplab.interop.report import ImportReport, Shapes, list_of
from deeplab.model_dir import ClassifierDescription
from deeplab.models import (
    DeepLabModel,
    ModelConfig,
    build_classifier,
    classifier_variables,
    inflated,
    is_inflatable,
    variables_by_path,
)

# Parts of a network that can be left out -> the beginnings of the paths of their variables.
PARTS = {
    "aspp": "aspp/conv",
    "concat_projection": "aspp/projection/",
    "decoder": "decoder/",
    "image_pooling": "aspp/image_pooling/",
    "logits": "logits/",
    "meta_architecture": "dense_prediction_cell/",
}


def check_parts(skip: Collection[str]) -> None:
    """Checks names of parts to skip."""
    for part in skip:
        if part not in PARTS:
            raise unknown_name("part to skip", part, PARTS)


class Request(NamedTuple):
    """What is asked of a source.

    Attributes:
        path: the file.
        config: the network that the weights are for; None: it is to be recognized.
        skip: parts of the network that stay fresh, of `PARTS`.
        backbone_only: whether all but the backbone stays fresh.
        original_flags: flags of the original, as typed.
        output_stride: the stride to run at; None: whatever is found or assumed.
        dataset: a key of `DATASETS` whose classes are asked for.
        num_classes: how many classes are asked for; None: those of the file.
    """

    path: str
    config: ModelConfig | None = None
    skip: tuple[str, ...] = ()
    backbone_only: bool = False
    original_flags: str = ""
    output_stride: int | None = None
    dataset: str | None = None
    num_classes: int | None = None

    @property
    def fresh_classes(self) -> int | None:
        """How many classes fresh logits are to have; None if they are the file's."""
        return self.num_classes if self.backbone_only or "logits" in self.skip else None

    def leaves_fresh(self, path: str) -> bool:
        """Whether a variable of the model, by our path of it, is to keep its value."""
        if self.backbone_only and not path.startswith("backbone/"):
            return True
        return path.startswith(tuple(PARTS[part] for part in self.skip))


class Stored(NamedTuple):
    """The variables in a file, by the names that they have there.

    Attributes:
        path: the file, for messages.
        shapes: by name.
        read: name -> value; raises a `DeepLabError` if it cannot be read.
    """

    path: str
    shapes: Shapes
    read: Callable[[str], np.ndarray]


class Parts(NamedTuple):
    """Which variables of a model and of a file belong together, and which are left alone.

    Attributes:
        names: our path of each variable of the model -> its name in the file.
        fresh: whether a variable of the model, by its name in the file, keeps the value it has.
        ignored: whether a variable of the file is of no network, or not asked for.
        folded: variables of the file that have no counterpart here and go into others, such as the
            bias of a convolution before batch norm: its name -> the name of the one that `read`
            gives it with.
    """

    names: Mapping[str, str]
    fresh: Callable[[str], bool]
    ignored: Callable[[str], bool]
    folded: Mapping[str, str] = {}


class Classifier(NamedTuple):
    """The classifier of images in a file.

    Attributes:
        description: what is known of it.
        names: our path of each variable behind the backbone -> its name in the file.
    """

    description: ClassifierDescription
    names: Mapping[str, str]


class Found(NamedTuple):
    """What a source found in a file.

    Attributes:
        config: the network. Its `num_classes` is None where there are none in the file.
        lines: what the user should read of it, a sentence each.
        stored: the weights.
        parts: for a model of the network.
        batch_norm_folded: see `ImportReport`.
        dataset: a key of `DATASETS` whose classes the file has; None: it does not say.
        class_names: names of the classes where the file has them, in order of the ids.
        classifier: the classifier that the backbone was trained as, if the file has it.
        files: those that it was read from; (): those of `stored.path`.
    """

    config: ModelConfig
    lines: tuple[str, ...]
    stored: Stored
    parts: Callable[[DeepLabModel], Parts]
    batch_norm_folded: bool = False
    dataset: str | None = None
    class_names: tuple[str, ...] | None = None
    classifier: Classifier | None = None
    files: tuple[str, ...] = ()


def load(model: DeepLabModel, found: Found, *, source: str) -> ImportReport:
    """Assigns the weights of a file to a model.

    A first convolution of three inputs is inflated for a model of more (`models.inflated`).

    Args:
        model: of the network that was found, maybe with other fresh parts.
        found: the weights.
        source: their kind, for the report.

    Returns:
        The report. Variables that stay fresh are missing in it; stored ones of the same names
        unused.

    Raises:
        DeepLabError: if anything else is missing or left over, a shape differs or a value cannot be
            read or is not finite. Nothing is assigned then.
    """
    stored, parts = found.stored, found.parts(model)
    variables = {parts.names[path]: value for path, value in variables_by_path(model).items()}
    wanted = {name: tuple(v.shape) for name, v in variables.items() if not parts.fresh(name)}
    folded = {name: into for name, into in parts.folded.items() if into in wanted}
    ignored = {name: shape for name, shape in stored.shapes.items() if parts.ignored(name)}
    kept = {name: shape for name, shape in stored.shapes.items() if name not in ignored}
    missing = {name: shape for name, shape in wanted.items() if name not in kept}
    missing |= {name: wanted[into] for name, into in folded.items() if name not in kept}
    known = {*wanted, *folded}
    unused = {name: s for name, s in kept.items() if name not in known and not parts.fresh(name)}
    for kind, names in (("missing", missing), ("unused", unused)):
        if names:
            listed = list_of(f"{name} {list(shape)}" for name, shape in names.items())
            raise DeepLabError(
                f"{stored.path}: {len(names)} {kind} variables, {listed}: this is not a file of "
                f"{_summary(model.model_config)}"
            )
    inflate = [name for name, shape in wanted.items() if is_inflatable(kept[name], shape)]
    for name, shape in wanted.items():
        if kept[name] != shape and name not in inflate:
            raise DeepLabError(
                f"{stored.path}: {name} has the shape {list(kept[name])}, "
                f"the model needs {list(shape)}"
            )
    values = {name: _finite(stored.read(name), name, stored.path) for name in wanted}
    for name in inflate:
        values[name] = inflated(values[name], wanted[name][2])
    for name, value in values.items():
        variables[name].assign(value)
    loaded_parts = {path.split("/")[0] for path, name in parts.names.items() if name in wanted}
    all_parts = dict.fromkeys(path.split("/")[0] for path in parts.names)
    return ImportReport(
        source=f"{source} {stored.path}",
        loaded={**wanted, **{name: kept[name] for name in folded}},
        missing={n: tuple(v.shape) for n, v in variables.items() if n not in wanted},
        unused={name: shape for name, shape in kept.items() if name not in known},
        ignored=ignored,
        fresh_parts=tuple(part for part in all_parts if part not in loaded_parts),
        notes=tuple(
            f"{name} has 3 inputs, and was inflated to the {wanted[name][2]} channels of the model"
            for name in inflate
        ),
        batch_norm_folded=found.batch_norm_folded,
    )


def load_classifier(found: Found, config: ModelConfig) -> dict[str, keras.Variable]:
    """The variables of the classifier in a file, behind the backbone, by our paths.

    Raises:
        DeepLabError: if there is none, a shape differs or a value cannot be read.
    """
    if found.classifier is None:
        raise DeepLabError(f"{found.stored.path} holds no classifier that could be kept")
    description, names = found.classifier
    model = build_classifier(
        config,
        num_classes=description.classes,
        hidden_channels=description.hidden_channels,
    )
    _, variables = classifier_variables(model)
    for path, variable in variables.items():
        value = _finite(found.stored.read(names[path]), names[path], found.stored.path)
        if value.shape != tuple(variable.shape):
            raise DeepLabError(
                f"{found.stored.path}: {names[path]} has the shape {list(value.shape)}, a "
                f"classifier of {config.backbone} needs {list(variable.shape)}"
            )
        variable.assign(value)
    return dict(variables)


def _summary(config: ModelConfig) -> str:
    """The backbone, and what is not as usual."""
    different = [
        f"{field.name}={getattr(config, field.name)}"
        for field in dataclasses.fields(config)
        if field.name != "backbone"
        and field.default is not dataclasses.MISSING
        and getattr(config, field.name) != field.default
    ]
    return f"{config.backbone} with {', '.join(different)}"


def _finite(value: np.ndarray, name: str, path: str) -> np.ndarray:
    if not np.issubdtype(value.dtype, np.floating):
        raise DeepLabError(f"{path}: {name} holds {value.dtype} instead of float32")
    if not np.isfinite(value).all():
        raise DeepLabError(f"{path}: {name} holds values that are no finite numbers")
    return value
