"""The Xceptions of timm: ImageNet classifiers that have the blocks of DeepLab's own.

Numerically they are the backbones of the original under other names, so that an import is a matter
of names and axes. Two of them ("p") have their norms and activations before the convolutions. What
is behind the backbone, a pooling and a dense layer, is no part of DeepLab.

Source of the names: timm/models/xception_aligned.py, version 1.0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from deeplab.errors import DeepLabError
from deeplab.interop.hub import layout
from deeplab.interop.hub.files import HubFiles, open_files
from deeplab.interop.loading import Classifier, Found, Parts, Request, Stored
from deeplab.interop.report import list_of
from deeplab.model_dir import ClassifierDescription
from deeplab.models import DeepLabModel, ModelConfig, variables_by_path

# Our path of a variable behind the backbone -> its name there.
CLASSIFIER = {
    "classifier/logits/kernel": "head.fc.weight",
    "classifier/logits/bias": "head.fc.bias",
}
# Before each name of a file that was saved from a model inside of another.
_PREFIX = "module."


class Architecture(NamedTuple):
    """A row: which of our backbones it is, and what tells it apart in a file.

    Attributes:
        backbone: a key of `BACKBONES`.
        blocks: how many there are in a file.
        pre_activation: whether norms and activations stand before the convolutions.
        epsilon: of every batch norm.
        resize: shorter side of images in pixels before a crop of 299, as timm's own weights are
            tested; those of one architecture may differ, which config.json says.
    """

    backbone: str
    blocks: int
    pre_activation: bool = False
    epsilon: float = 1e-3
    resize: int = 331


ARCHITECTURES: dict[str, Architecture] = {
    "xception41": Architecture("xception_41", 13),
    "xception65": Architecture("xception_65", 21),
    "xception71": Architecture("xception_71", 23),
    "xception41p": Architecture("xception_41p", 13, True, epsilon=1e-5, resize=318),
    "xception65p": Architecture("xception_65p", 21, True, resize=318),
}

# Our path of a layer below "blocks.N" or the stem -> its name there.
_RULES = (
    (r"^backbone/entry_flow/conv1_1/batch_norm$", "stem.0.bn"),
    (r"^backbone/entry_flow/conv1_1$", "stem.0.conv"),
    (r"^backbone/entry_flow/conv1_2/batch_norm$", "stem.1.bn"),
    (r"^(blocks\.\d+)/separable_(conv\d)/depthwise/batch_norm$", r"\1.stack.\2.bn_dw"),
    (r"^(blocks\.\d+)/separable_(conv\d)/pointwise/batch_norm$", r"\1.stack.\2.bn_pw"),
    (r"^(blocks\.\d+)/separable_(conv\d)/depthwise$", r"\1.stack.\2.conv_dw"),
    (r"^(blocks\.\d+)/separable_(conv\d)/pointwise$", r"\1.stack.\2.conv_pw"),
    (r"^(blocks\.\d+)/shortcut/batch_norm$", r"\1.shortcut.bn"),
    (r"^(blocks\.\d+)/separable_(conv\d)/norm/batch_norm$", r"\1.stack.\2.norm"),
    (r"^(blocks\.\d+)/norm/batch_norm$", r"\1.norm"),
)
# Convolutions that a norm follows in the file have their own name inside of a pair.
_WITH_NORM = (
    (r"^backbone/entry_flow/conv1_2$", "stem.1.conv"),
    (r"^(blocks\.\d+)/shortcut$", r"\1.shortcut.conv"),
)
_BARE = (
    (r"^backbone/entry_flow/conv1_2$", "stem.1"),
    (r"^(blocks\.\d+)/shortcut$", r"\1.shortcut"),
)
_UNIT = re.compile(r"^backbone/\w+_flow/block\d+/unit_\d+")


def names(model: DeepLabModel) -> dict[str, str]:
    """Our path of each variable of an Xception's backbone -> its name in a file of timm."""
    paths = [path for path in variables_by_path(model) if path.startswith("backbone/")]
    units = dict.fromkeys(match.group() for path in paths if (match := _UNIT.match(path)))
    numbers = {unit: index for index, unit in enumerate(units)}
    rules = _RULES + (_BARE if model.model_config.backbone.endswith("p") else _WITH_NORM)
    return {path: _name(path, numbers, rules) for path in paths}


def _name(path: str, numbers: Mapping[str, int], rules: tuple[tuple[str, str], ...]) -> str:
    layer, _, leaf = path.rpartition("/")
    layer = _UNIT.sub(lambda match: f"blocks.{numbers[match.group()]}", layer)
    for pattern, replacement in rules:
        name, found = re.subn(pattern, replacement, layer)
        if found:
            return f"{name}.{layout.LEAVES[leaf]}"
    raise AssertionError(f"{path} has no name in timm")


def read(request: Request) -> Found:
    """The backbone in a file of timm.

    Args:
        request: its path is a folder of the hub, or a file of tensors.

    Raises:
        DeepLabError: if it cannot be read, or is no Xception of `ARCHITECTURES`.
    """
    files = open_files(request.path)
    if all(name.startswith(_PREFIX) for name in files.tensors):
        tensors = {name.removeprefix(_PREFIX): t for name, t in files.tensors.items()}
        files = files._replace(tensors=tensors)
    architecture = _architecture(files)
    row = ARCHITECTURES[architecture]
    backbone = row.backbone
    config = request.config or ModelConfig(backbone, output_stride=request.output_stride or 16)
    if config.backbone != backbone:
        raise DeepLabError(f"{files.path} is an {architecture}, not a {config.backbone}")
    lines = (
        f"found {architecture} of timm, an ImageNet classifier without the head of DeepLab",
        *_checked_config(files, architecture),
        *layout.conversion_lines(files.tensors),
    )
    stored = layout.stored(
        files.path,
        files.tensors,
        is_depthwise=lambda name: name.endswith("conv_dw.weight"),
        epsilon=lambda name: row.epsilon,
    )
    classifier = None
    if all(name in stored.shapes for name in CLASSIFIER.values()):
        classifier = Classifier(_description(files, stored, row), CLASSIFIER)
    return Found(config, lines, stored, _parts, classifier=classifier, files=files.read)


def _description(files: HubFiles, stored: Stored, row: Architecture) -> ClassifierDescription:
    """How the classifier was tested, by config.json, else as timm's of the architecture."""
    config: Mapping[str, Any] = (files.config or {}).get("pretrained_cfg") or {}
    crop = int(config.get("input_size", (3, 299, 299))[-1])
    return ClassifierDescription(
        classes=stored.shapes[CLASSIFIER["classifier/logits/bias"]][0],
        resize=int(crop / config["crop_pct"]) if "crop_pct" in config else row.resize,
        crop=crop,
        interpolation=str(config.get("interpolation", "bicubic")),
    )


def _parts(model: DeepLabModel) -> Parts:
    backbone = names(model)
    return Parts(
        names={path: backbone.get(path, path) for path in variables_by_path(model)},
        fresh=lambda name: "/" in name,  # a path of ours
        ignored=lambda name: name in CLASSIFIER.values() or layout.is_counter(name),
    )


def _architecture(files: HubFiles) -> str:
    """The architecture by what is in the file, which config.json must not contradict."""
    blocks = {m.group(1) for name in files.tensors if (m := re.match(r"blocks\.(\d+)\.", name))}
    rows = [
        name
        for name, row in ARCHITECTURES.items()
        if (row.blocks, row.pre_activation) == (len(blocks), "stem.1.weight" in files.tensors)
    ]
    said = (files.config or {}).get("architecture")
    if said is not None and said not in ARCHITECTURES:
        raise DeepLabError(
            f"{files.path}: config.json says architecture {said!r}; of timm are read "
            f"{', '.join(ARCHITECTURES)}"
        )
    if said is not None:
        # Also of a file that was cut short: what is missing is named when it is loaded.
        if rows and said not in rows:
            raise DeepLabError(
                f"{files.path}: config.json says architecture {said!r}, the tensors are those of "
                f"{rows[0]}"
            )
        return said
    if not rows:
        raise DeepLabError(
            f"{files.path} is none of {', '.join(ARCHITECTURES)}: its tensors are "
            f"{list_of(files.tensors) or 'none'}"
        )
    return rows[0]


def _checked_config(files: HubFiles, architecture: str) -> list[str]:
    """What config.json says of the weights."""
    config: Mapping[str, Any] = (files.config or {}).get("pretrained_cfg") or {}
    for name in ("mean", "std"):
        if list(config.get(name, (0.5, 0.5, 0.5))) != [0.5, 0.5, 0.5]:
            raise DeepLabError(
                f"{files.path}: config.json has {name} {config[name]}, but an {architecture} here "
                "sees images scaled to [-1,1], which is 0.5, 0.5, 0.5"
            )
    return [f"license: {config['license']} (config.json)"] if config.get("license") else []
