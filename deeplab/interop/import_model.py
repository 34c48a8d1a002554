"""From somebody's file of weights to a model folder: recognize, build, load, write."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from deeplab import files
from deeplab.data import DATASETS
from deeplab.data.sources.classes import default_colors
from deeplab.errors import DeepLabError, unknown_name
from deeplab.interop import tf1
from deeplab.interop.litert import load_litert, read_litert
from deeplab.interop.loading import Parts, load, numbers
from deeplab.interop.report import ImportReport, Shapes
from deeplab.interop.tf1 import ade20k
from deeplab.interop.tf1.file import open_variables
from deeplab.interop.tf1.network import read_network_flags
from deeplab.interop.tf1.recognize import check_parts, recognize
from deeplab.models import (
    DeepLabModel,
    ModelConfig,
    build_model,
    variables_by_path,
)
from deeplab.run_folder import (
    CHECKPOINT_FOLDER,
    ModelDescription,
    save_checkpoint,
    write_description,
)

REPORT_FILE = "import.json"
_IGNORE_LABEL = 255
_DEFAULT_CLASSES = 21  # as the original's, where nobody says another number
_NORM = ("gamma", "beta", "moving_mean", "moving_variance")
# Name of a part -> the beginning of the paths of its variables.
_PREFIXES = {
    "aspp": "aspp/conv",
    "concat_projection": "aspp/projection/",
    "decoder": "decoder/",
    "image_pooling": "aspp/image_pooling/",
    "logits": "logits/",
    "meta_architecture": "dense_prediction_cell/",
}


class Request(NamedTuple):
    """What is asked of a source.

    Attributes:
        checkpoint: the file.
        original_flags: flags of the original, as typed.
        skip: parts of the network that stay fresh.
        backbone_only: whether all but the backbone stays fresh.
        num_classes: the classes of fresh logits; None: those of the file.
        drop_other: whether output 0 of a model for ADE20K is dropped if it has 151.
        output_stride: the stride to run at; None: whatever is found or assumed.
    """

    checkpoint: str
    original_flags: str
    output_stride: int | None
    skip: tuple[str, ...]
    backbone_only: bool
    num_classes: int | None
    drop_other: bool


class Found(NamedTuple):
    """A network that a source found.

    Attributes:
        config: the network. Its `num_classes` is None where there are none in the file.
        lines: what the user should read of how it was found.
        load: assigns the weights to a model of the network.
    """

    config: ModelConfig
    lines: tuple[str, ...]
    load: Callable[[DeepLabModel], ImportReport]


def _find_tf1(request: Request) -> Found:
    flags = read_network_flags(request.original_flags)
    given = dict(flags.network)
    if request.output_stride is not None:
        # Beside flags with a stride of their own it is another one, at which the rates scale.
        given.setdefault("output_stride", request.output_stride)
    file = open_variables(request.checkpoint)
    dropped: tuple[str, ...] = ()
    if request.drop_other and ade20k.has_other(file):
        file = ade20k.without_other(file)
        if given.get("num_classes") == ade20k.OUTPUTS:
            del given["num_classes"]
        dropped = (
            f"dropped output 0 of {ade20k.OUTPUTS}, which the masks of ADE20K ignore: "
            f"--num_classes={ade20k.OUTPUTS} keeps it",
        )
    found = recognize(
        file,
        given,
        skip=request.skip,
        backbone_only=request.backbone_only,
        num_classes=request.num_classes,
    )
    lines = (*found.lines, *dropped)
    if silent := (*flags.without_effect, *flags.protocol):
        lines += (f"without effect on the network: {', '.join(f'--{name}' for name in silent)}",)
    loader = partial(
        tf1.load_file, file=file, skip=request.skip, backbone_only=request.backbone_only
    )
    return Found(found.config, lines, loader)


def _find_litert(request: Request) -> Found:
    path = request.checkpoint
    if request.original_flags:
        raise DeepLabError("--original_flags are for --source=tf1: a .tflite file says it all")
    config, weights, notes = read_litert(path)
    if config.num_classes is None:
        if request.backbone_only:
            return Found(config, notes, partial(load_litert, path=path))
        raise DeepLabError(f"{path} is a classifier: import its backbone alone, --backbone_only")
    if request.num_classes is not None:
        config = dataclasses.replace(config, num_classes=request.num_classes)
    if not request.skip and not request.backbone_only:
        return Found(config, notes, partial(load_litert, path=path))
    prefixes = tuple(_PREFIXES[part] for part in request.skip)

    def is_fresh(name: str) -> bool:
        outside = request.backbone_only and not name.startswith("backbone/")
        return outside or name.startswith(prefixes)

    def load_parts(model: DeepLabModel) -> ImportReport:
        report = load(
            variables_by_path(model),
            {name: value.shape for name, value in weights.items()},
            weights.__getitem__,
            path=path,
            source=f"litert {path}",
            parts=Parts(fresh=is_fresh, ignored=lambda name: False),
            expected=config.backbone,
        )
        return dataclasses.replace(report, notes=notes, batch_norm_folded=True)

    return Found(config, notes, load_parts)


# Kind of file -> how it is read.
READERS: dict[str, Callable[[Request], Found]] = {"litert": _find_litert, "tf1": _find_tf1}


def import_model(
    *,
    source: str,
    checkpoint: str,
    model_dir: str | Path,
    original_flags: str = "",
    output_stride: int | None = None,
    dataset: str | None = None,
    num_classes: int | None = None,
    skip: Collection[str] = (),
    backbone_only: bool = False,
) -> ImportReport:
    """Makes a model folder of weights that somebody else trained.

    The network is recognized from the file; what it cannot tell is assumed and printed.

    Args:
        source: a key of `READERS`.
        checkpoint: the prefix of a checkpoint or a frozen graph (tf1), or a .tflite file (litert).
        model_dir: folder to make; must not exist, or be empty.
        original_flags: flags of the original as typed; they decide what the file cannot tell.
        output_stride: 8, 16 or 32; None: that of the flags, the file or the assumption. The
            weights are the same at each.
        dataset: a key of `DATASETS` whose class names the model gets; None: class_00 and so on.
        num_classes: number of classes; another one than the file's needs fresh logits. With the
            data set "ade20k" 151 keeps output 0 of the original's models, see `tf1/ade20k.py`.
        skip: parts of the network that stay fresh, of `tf1.findings.PARTS`.
        backbone_only: whether all but the backbone stays fresh, such as for classifiers.

    Returns:
        The report that is also in import.json.

    Raises:
        DeepLabError: if the file cannot be read, holds another network than told, does not fit, or
            the folder is not free. Nothing is left of the folder then.
    """
    if source not in READERS:
        raise unknown_name("source", source, READERS)
    check_parts(skip)
    model_dir = Path(model_dir)
    if model_dir.exists() and (not model_dir.is_dir() or any(model_dir.iterdir())):
        raise DeepLabError(f"{model_dir} exists and is not empty: an import needs a new folder")
    classes, who = _wanted_classes(dataset, num_classes)

    fresh_logits = backbone_only or "logits" in skip
    found = READERS[source](
        Request(
            checkpoint,
            original_flags,
            output_stride=output_stride,
            skip=tuple(skip),
            backbone_only=backbone_only,
            num_classes=classes if fresh_logits else None,
            drop_other=_drops_other(dataset, classes) and not fresh_logits,
        )
    )
    config = found.config
    if config.num_classes is None:
        config = dataclasses.replace(config, num_classes=classes or _DEFAULT_CLASSES)
    if classes not in (None, config.num_classes):
        raise DeepLabError(
            f"{checkpoint} has {config.num_classes} classes, but {who}; "
            + (
                f"--num_classes={ade20k.OUTPUTS} keeps class 0"
                if dataset == ade20k.DATASET and config.num_classes == ade20k.OUTPUTS
                else "--skip=logits leaves its last layer fresh, for another number"
            )
        )
    if output_stride is not None:
        config = config.at_output_stride(output_stride)
    print(f"{source} {checkpoint}")
    given = _classes(config, dataset)
    lines = (*found.lines, *_class_lines(config, given, dataset))
    for line in lines:
        print(line)

    model = build_model(config)
    report = found.load(model)
    # Files that are read without being recognized bring notes of their own.
    notes = (*lines, *(note for note in report.notes if note not in lines))
    fresh = _fresh_parts(model, skip, backbone_only=backbone_only)
    report = dataclasses.replace(report, notes=notes, fresh_parts=fresh)
    _write(model_dir, model, report, given)
    for line in _table(report):
        print(line)
    print(
        f"wrote {model_dir}: {config.backbone}, {config.num_classes} classes, output stride "
        f"{config.output_stride}"
    )
    return report


def _fresh_parts(
    model: DeepLabModel, skip: Collection[str], *, backbone_only: bool
) -> tuple[str, ...]:
    skipped = tuple(_PREFIXES[part] for part in skip)
    parts: dict[str, bool] = {}
    for path in variables_by_path(model):
        part = path.split("/")[0]
        is_fresh = backbone_only and part != "backbone" or path.startswith(skipped)
        parts[part] = parts.get(part, True) and is_fresh
    return tuple(part for part, is_fresh in parts.items() if is_fresh)


def _wanted_classes(dataset: str | None, num_classes: int | None) -> tuple[int | None, str]:
    """How many classes are asked for, None if the file decides, and by whom."""
    if dataset is None:
        return num_classes, f"--num_classes is {num_classes}"
    if dataset not in DATASETS:
        raise unknown_name("data set", dataset, DATASETS)
    names = DATASETS[dataset].class_names
    if names is None:
        raise DeepLabError(
            f"--dataset={dataset} has no class names of its own: its source folder has them"
        )
    if dataset == ade20k.DATASET and num_classes == ade20k.OUTPUTS:
        return num_classes, f"--num_classes is {num_classes}"
    if num_classes not in (None, len(names)):
        raise DeepLabError(
            f"--num_classes is {num_classes}, but --dataset={dataset} has {len(names)} classes"
        )
    return len(names), f"--dataset={dataset} has {len(names)}"


def _drops_other(dataset: str | None, classes: int | None) -> bool:
    return dataset == ade20k.DATASET and classes != ade20k.OUTPUTS


def _class_lines(config: ModelConfig, given: ade20k.Classes, dataset: str | None) -> Iterator[str]:
    if dataset is None:
        yield f"classes are called {given.names[0]} and so on (no --dataset)"
    if config.num_classes == ade20k.OUTPUTS:
        way = "" if dataset else f"; --dataset={ade20k.DATASET} drops it"
        yield (
            "151 outputs, as models for ADE20K have them: class 0 is what its masks ignore, and is "
            f"kept as a class here{way}"
        )


def _classes(config: ModelConfig, dataset: str | None) -> ade20k.Classes:
    """Names and colours of a data set, or numbers."""
    count = config.num_classes or 0
    if dataset == ade20k.DATASET and count == ade20k.OUTPUTS:
        return ade20k.classes_with_other()
    spec = DATASETS[dataset] if dataset else None
    digits = max(2, len(str(count - 1)))
    names = spec.class_names if spec else None
    return ade20k.Classes(
        names or tuple(f"class_{index:0{digits}d}" for index in range(count)),
        (spec.colors if spec else None) or default_colors(count),
        _IGNORE_LABEL,
    )


def _table(report: ImportReport) -> Iterator[str]:
    """What happened to every variable; those of a layer share a line."""
    for what, shapes in (
        ("loaded", report.loaded),
        ("missing (they keep their fresh values)", report.missing),
        ("unused", report.unused),
        ("ignored", report.ignored),
    ):
        colon = ":" if shapes else ""
        yield f"{what}: {len(shapes)} variables, {numbers(shapes.values()):,} numbers{colon}"
        layers: dict[str, Shapes] = {}
        for name, shape in shapes.items():
            layer, _, variable = name.rpartition("/")
            layers.setdefault(layer, {})[variable] = shape
        for layer, variables in layers.items():
            yield f"  {f'{layer}: ' if layer else ''}{_shapes(variables)}"


def _shapes(variables: Shapes) -> str:
    if len(variables) == len(_NORM) and all(name in variables for name in _NORM):
        return f"{', '.join(_NORM)} {list(variables['gamma'])}"
    return ", ".join(f"{name} {list(shape)}" for name, shape in variables.items())


def _write(
    model_dir: Path, model: DeepLabModel, report: ImportReport, classes: ade20k.Classes
) -> None:
    config = model.model_config
    with files.new_directory(model_dir) as folder:
        write_description(
            folder,
            ModelDescription(
                config=config,
                class_names=classes.names,
                colors=classes.colors,
                ignore_label=classes.ignore_label,
                pad_value=config.pad_value,
                weights_source=report.source,
                batch_norm_folded=report.batch_norm_folded,
                training=None,
            ),
        )
        text = json.dumps(dataclasses.asdict(report), indent=2)
        files.write_text(folder / REPORT_FILE, f"{text}\n")
        save_checkpoint(folder / CHECKPOINT_FOLDER, 0, {"model": variables_by_path(model)}, keep=1)
