"""`evaluate`: measures the model of a folder and files the result there."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from deeplab.data import DataConfig
from deeplab.errors import DeepLabError
from deeplab.evaluation.comparison import check_classes, compared
from deeplab.evaluation.measure import measure
from deeplab.evaluation.per_image import FILE_NAME as PER_IMAGE
from deeplab.evaluation.plan import Asked, Network, Place, View, result_name
from deeplab.evaluation.report import render_report
from deeplab.evaluation.result_files import (
    METRICS,
    REPORT,
    Result,
    is_result,
    read_result,
    write_result,
)
from deeplab.evaluation.slices import MergedClasses
from deeplab.evaluation.subject import Subject
from deeplab.evaluation.table import render_table
from deeplab.evaluation.watch import TIMEOUT
from deeplab.evaluation.watch import watch as watched
from deeplab.files import check_writable, make_directory, new_directory
from deeplab.model_dir import has_description, read_description


def evaluate(
    *,
    model_dir: str | Path | None = None,
    saved_model: str | Path | None = None,
    litert: str | Path | None = None,
    onnx: str | Path | None = None,
    checkpoint: str = "latest",
    split: str | None = None,
    output_stride: int | None = None,
    eval_scales: Sequence[float] = (1.0,),
    flip: bool = False,
    window: tuple[int, int] | None = None,
    overlap: tuple[int, int] | None = None,
    original_protocol: bool = False,
    images: str | Path | None = None,
    labels: str | Path | None = None,
    classes: str | Path | None = None,
    pad_to: tuple[int, int] | None = None,
    data: DataConfig | None = None,
    name: str | None = None,
    data_dir: str | Path | None = None,
    source_dir: str | Path | None = None,
    output_dir: str | Path | None = None,
    calibration: bool = False,
    group_by: str | None = None,
    merge_classes: MergedClasses | None = None,
    compare: str | Path | None = None,
    watch: bool = False,
    timeout: float = TIMEOUT,
    progress: bool = True,
) -> dict[str, Any]:
    """Measures a model on labeled images; writes metrics.json, per_image.npz and report.html.

    The images are those of a data set, the one the model was trained with unless `data` names
    another, or those of two folders. The result goes to MODEL_DIR/eval/NAME/, where it replaces
    an older one as a whole, or into `output_dir`.

    Args:
        model_dir: folder of the model; this or one of the next three, which need `output_dir`, and
            `images` or `data`.
        saved_model: folder of an exported SavedModel.
        litert: exported `.tflite` file.
        onnx: exported `.onnx` file.
        checkpoint: "latest", "best", or the prefix of a checkpoint.
        split: of the data set; None: its evaluation split.
        output_stride: 8, 16 or 32; None: as trained.
        eval_scales: sizes at which each image is seen, as factors of its own; the probabilities
            are averaged.
        flip: whether each of them is seen mirrored as well.
        window: height and width in pixels of the windows that images are seen by, see
            `runtimes/windows.py`; None: whole.
        overlap: of neighboring windows, vertically and horizontally, in pixels; None: a quarter of
            the window.
        original_protocol: whether several scales are combined exactly as in the original, see
            `original_protocol.py`; a single one is the same in both.
        images: folder of images to measure on instead of a data set; `labels` belongs to it.
        labels: folder of masks, of the same relative names.
        classes: a class list, as data sets have it, that says which id of these masks is ignored
            and what their colors mean; None: as in the masks the model was trained with.
        pad_to: height and width in pixels that every image is padded to, at the bottom and the
            right and with the backbone's pad value, as the original evaluates; None: as it is.
        data: settings of a data set; None: as trained.
        name: the folder of the result in MODEL_DIR/eval; None: made of data set, split and
            settings.
        data_dir: prepared data sets; None: as trained.
        source_dir: raw files of the data set; None: as trained.
        output_dir: folder that gets the three files, such as for a model that is only read; other
            files in it stay. None: MODEL_DIR/eval/NAME.
        calibration: whether to ask how far the probabilities can be trusted, see
            `calibration.py`.
        group_by: a regular expression that groups images by a part of their ids, see
            `slices.by_name`; None: no groups.
        merge_classes: names of super-categories and the classes of each, to be measured as well.
        compare: another evaluation of the same images, to be put beside this one: a metrics.json
            with its per_image.npz, the folder of the two, or the folder of a model, which is
            evaluated in the same way if it was not. None: none.
        watch: whether to evaluate each new checkpoint of a run that is being trained, and to keep
            the best as its "best", until the last one; see `watch.py`.
        timeout: how long to wait for the next checkpoint then, in seconds.
        progress: whether to show how far it is, and the table at the end, on standard output.

    Returns:
        What metrics.json holds; of the best checkpoint with `watch`.

    Raises:
        DeepLabError: if the model, the data or a setting cannot be used, or the folder of the
            result cannot be written, which is tried first.
    """
    network = Network(model_dir, saved_model, litert, onnx, checkpoint)
    view = View(output_stride, eval_scales, flip, window, overlap, original_protocol, pad_to)
    place = Place(images, labels, classes, data, split, data_dir, source_dir)
    asked = Asked(calibration, group_by, merge_classes or {})

    def measured(network: Network, progress: bool) -> dict[str, Any]:
        return _evaluate(network, view, place, asked, name, output_dir, compare, progress)

    if not watch:
        return measured(network, progress)
    if model_dir is None or checkpoint != "latest":
        raise DeepLabError("watch takes each checkpoint of a model_dir as it comes: name none")
    return watched(
        Path(model_dir),
        lambda prefix: measured(Network(model_dir, checkpoint=prefix), False),
        timeout=timeout,
        report=partial(print, flush=True) if progress else lambda line: None,
    )


def _evaluate(
    network: Network,
    view: View,
    place: Place,
    asked: Asked,
    name: str | None,
    output_dir: str | Path | None,
    compare_with: str | Path | None,
    progress: bool,
) -> dict[str, Any]:
    if name is not None and (not name or name.startswith(".") or Path(name).name != name):
        raise DeepLabError(f"name {name!r} must be the name of a folder, without separators")
    if name is not None and output_dir is not None:
        raise DeepLabError(f"name {name!r} is a folder of MODEL_DIR/eval: give no output_dir")
    subject = view.find(network)
    if subject.is_export and output_dir is None:
        raise DeepLabError(f"{subject.name} is an exported file: it needs an output_dir")
    results = Path(network.model_dir or "") / "eval"
    description = subject.description
    asked.check(description.class_names)
    _check_place(results, name, output_dir)
    source = place.find(description)
    if progress and source.mask_ignored:
        print(f"ignored in the masks: {_named(source.mask_ignored, description.class_names)}")
    other = None if compare_with is None else _stored(Path(compare_with), description.class_names)
    predictor = view.open(subject)
    if predictor.fixed_size is not None and view.window is None:
        # Smaller images are padded to it.
        view = dataclasses.replace(view, pad_to=predictor.fixed_size)
    facts = view.facts(subject) | {"dataset": source.dataset, "split": source.split}
    if compare_with is not None and other is None:
        step = network.checkpoint if network.checkpoint in ("latest", "best") else "latest"
        model = Network(compare_with, checkpoint=step)
        other = _of_model(model, view, place, facts, name, progress)
    metrics, counts, examples = measure(
        predictor, source, description.class_names, asked, progress=progress
    )
    metrics |= facts
    title = _name(subject, view, facts) if name is None else name
    if other is not None:
        metrics["comparison"] = compared(metrics, counts, other)
    report = render_report(
        metrics,
        examples,
        title=f"{subject.name}: {title}",
        class_colors=description.colors,
        ignore_label=source.ignore_label,
    )
    if progress:  # before it is written: it may have taken hours, and disks fill up meanwhile
        print(render_table(metrics), flush=True)
    folder = results / title if output_dir is None else Path(output_dir)
    # Only a folder of our own is replaced as a whole.
    opened = new_directory(folder) if output_dir is None else nullcontext(make_directory(folder))
    with opened as temporary:
        write_result(temporary, metrics, counts, report)
    if progress:
        print(f"wrote {folder / METRICS}, {PER_IMAGE} and {REPORT}")
    return metrics


def _name(subject: Subject, view: View, facts: Mapping[str, Any]) -> str:
    name = result_name(facts, trained_stride=subject.trained_stride)
    return f"{name}-original" if view.original_protocol else name


def _stored(path: Path, class_names: Sequence[str]) -> Result | None:
    """The evaluation that a metrics.json or its folder holds; None for a model folder.

    Raises:
        DeepLabError: if it is none of that, or has other classes.
    """
    if has_description(path):
        check_classes(path, read_description(path).class_names, class_names)
        return None
    if path.is_dir() and not (path / METRICS).is_file():
        raise DeepLabError(f"compare {path} is neither a model folder nor has a {METRICS}")
    found = read_result(path / METRICS if path.is_dir() else path)
    check_classes(found.path, list(found.metrics["per_class_iou"]), class_names)
    return found


def _of_model(
    network: Network,
    view: View,
    place: Place,
    facts: Mapping[str, Any],
    name: str | None,
    progress: bool,
) -> Result:
    """The evaluation of a model to compare with, made if it was not, or not in the same way.

    Raises:
        DeepLabError: if it cannot be made.
    """
    subject = view.find(network)
    wanted = {**facts, **view.facts(subject)}
    folder = Path(network.model_dir or "") / "eval" / (name or _name(subject, view, wanted))
    if is_result(folder):
        found = read_result(folder / METRICS)
        if all(found.metrics.get(key) == value for key, value in wanted.items()):
            return found
    if progress:
        print(f"evaluating {network.model_dir} to compare with", flush=True)
    _evaluate(network, view, place, Asked(), name, None, None, progress)
    return read_result(folder / METRICS)


def _check_place(results: Path, name: str | None, output_dir: str | Path | None) -> None:
    """Tries whether the result can be written.

    Raises:
        DeepLabError: if not.
    """
    if output_dir is not None:
        check_writable(output_dir)
        return
    try:
        check_writable(results)
        if name is not None:
            check_writable(results / name)
    except DeepLabError as error:
        raise DeepLabError(f"{error}; --output_dir names another one") from error


def _named(ids: Iterable[int], class_names: Sequence[str]) -> str:
    """Ids for a message, with the classes that they are else."""
    names = dict(enumerate(class_names))
    return ", ".join(f"{id_} ({names[id_]})" if id_ in names else str(id_) for id_ in ids)
