"""From somebody's file of weights to a model folder: recognize, build, load, write."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import keras

from deeplab import files
from deeplab.errors import DeepLabError
from deeplab.interop.classes import (
    Classes,
    check_number,
    class_lines,
    classes_of,
    wanted_number,
)
from deeplab.interop.fetching import Fetched
from deeplab.interop.loading import Request, load_classifier
from deeplab.interop.report import ImportReport, table
from deeplab.interop.sources import find, load_fetched, locate
from deeplab.model_dir import (
    CHECKPOINT_FOLDER,
    CLASSIFIER_GROUP,
    ClassifierDescription,
    Groups,
    ModelDescription,
    save_checkpoint,
    write_description,
)
from deeplab.models import (
    DeepLabModel,
    build_model,
    variables_by_path,
)

REPORT_FILE = "import.json"
_DEFAULT_CLASSES = 21  # as the original's, where nobody says another number


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
    keep_classifier: bool = False,
    fetched: Fetched | None = None,
    say: Callable[[str], None] = print,
) -> ImportReport:
    """Makes a model folder of weights that somebody else trained.

    The network is recognized from the file; what it cannot tell is assumed and printed.

    Args:
        source: a key of `sources.SOURCES`.
        checkpoint: the prefix of a checkpoint or a frozen graph (tf1), a .tflite file (litert), or
            a model of the zoo: its name, archive or folder (model_zoo). What lies on this machine
            goes before what a name may mean.
        model_dir: folder to make; must not exist, or be empty.
        original_flags: flags of the original as typed; they decide what the file cannot tell.
        output_stride: 8, 16 or 32; None: that of the flags, the file or the assumption. The
            weights are the same at each.
        dataset: a key of `DATASETS` whose class names the model gets; None: those that the
            file is known to have, else class_00 and so on.
        num_classes: number of classes; another one than the file's needs fresh logits. With the
            data set "ade20k" 151 keeps output 0 of the original's models, see `tf1/ade20k.py`.
        skip: parts of the network that stay fresh, of `loading.PARTS`.
        backbone_only: whether all but the backbone stays fresh, such as for classifiers.
        keep_classifier: whether the classifier of images that the backbone was trained as is kept
            beside the model.
        fetched: the files of `checkpoint`, where they have been fetched by now.
        say: what is called with each line for the user.

    Returns:
        The report that is also in import.json.

    Raises:
        DeepLabError: if the file cannot be read, holds another network than told, does not fit, or
            the folder is not free. Nothing is left of the folder then.
    """
    model_dir = Path(model_dir)
    if model_dir.exists() and (not model_dir.is_dir() or any(model_dir.iterdir())):
        raise DeepLabError(f"{model_dir} exists and is not empty: an import needs a new folder")
    wanted = wanted_number(dataset, num_classes)
    fetched = fetched or locate(source, checkpoint)
    request = Request(
        fetched.path,
        skip=tuple(skip),
        backbone_only=backbone_only,
        original_flags=original_flags,
        output_stride=output_stride,
        dataset=dataset,
        num_classes=wanted,
    )
    found = find(source, request)
    config = found.config
    number = config.num_classes or wanted or _DEFAULT_CLASSES
    check_number(number, checkpoint, wanted=wanted, dataset=dataset)
    config = dataclasses.replace(config, num_classes=number)
    if output_stride is not None:
        config = config.at_output_stride(output_stride)
    say(f"{source} {checkpoint}")
    classes = classes_of(dataset or found.dataset, number, names=found.class_names)
    lines = (*fetched.lines, *found.lines, *class_lines(classes))
    for line in lines:
        say(line)

    model = build_model(config)
    report = load_fetched(model, found, fetched, source=source)
    report = dataclasses.replace(report, notes=(*lines, *report.notes))
    groups: dict[str, Mapping[str, keras.Variable]] = {"model": variables_by_path(model)}
    kept = found.classifier if keep_classifier else None
    if keep_classifier:
        groups[CLASSIFIER_GROUP] = load_classifier(found, config)
    if kept:
        report = report.with_loaded(kept.names.values())
    _write(model_dir, model, report, classes, groups, kept and kept.description)
    for line in table(report):
        say(line)
    say(
        f"wrote {model_dir}: {config.backbone}, {config.num_classes} classes, output stride "
        f"{config.output_stride}"
    )
    return report


def _write(
    model_dir: Path,
    model: DeepLabModel,
    report: ImportReport,
    classes: Classes,
    groups: Groups,
    classifier: ClassifierDescription | None,
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
                classifier=classifier,
            ),
        )
        text = json.dumps(dataclasses.asdict(report), indent=2)
        files.write_text(folder / REPORT_FILE, f"{text}\n")
        save_checkpoint(folder / CHECKPOINT_FOLDER, 0, groups, keep=1)
