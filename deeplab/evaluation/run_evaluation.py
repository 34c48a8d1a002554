"""`evaluate`: measures the model of a folder and files the result there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from deeplab.data import DataConfig
from deeplab.errors import DeepLabError
from deeplab.evaluation.examples import ExampleCollector
from deeplab.evaluation.labeled_images import from_data_set, from_folders
from deeplab.evaluation.model_evaluation import evaluate_model
from deeplab.evaluation.report import render_report
from deeplab.evaluation.subject import find_subject
from deeplab.evaluation.table import render_table
from deeplab.files import check_writable, make_directory, new_directory, write_text
from deeplab.runtimes.predictor import with_padding
from deeplab.runtimes.windows import make_windows, windowed


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
    progress: bool = True,
) -> dict[str, Any]:
    """Measures a model on labeled images; writes metrics.json and report.html.

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
        output_dir: folder that gets the two files, such as for a model that is only read; other
            files in it stay. None: MODEL_DIR/eval/NAME.
        progress: whether to show how far it is, and the table at the end, on standard output.

    Returns:
        What metrics.json holds.

    Raises:
        DeepLabError: if the model, the data or a setting cannot be used, or the folder of the
            result cannot be written, which is tried first.
    """
    if name is not None and (not name or name.startswith(".") or Path(name).name != name):
        raise DeepLabError(f"name {name!r} must be the name of a folder, without separators")
    if name is not None and output_dir is not None:
        raise DeepLabError(f"name {name!r} is a folder of MODEL_DIR/eval: give no output_dir")
    subject = find_subject(
        model_dir=model_dir,
        saved_model=saved_model,
        litert=litert,
        onnx=onnx,
        checkpoint=checkpoint,
        output_stride=output_stride,
        eval_scales=eval_scales,
        flip=flip,
        original_protocol=original_protocol,
    )
    windows = make_windows(window, overlap, output_stride=subject.output_stride)
    if subject.is_export and output_dir is None:
        raise DeepLabError(f"{subject.name} is an exported file: it needs an output_dir")
    results = Path(model_dir or "") / "eval"
    description = subject.description
    _check_place(results, name, output_dir)
    _check_source(images, labels, classes, names_data=split is not None or data is not None)
    if images is not None and labels is not None:
        source = from_folders(description, images, labels, classes)
    else:
        source = from_data_set(description, data, split, data_dir=data_dir, source_dir=source_dir)
    if progress and source.mask_ignored:
        print(f"ignored in the masks: {_named(source.mask_ignored, description.class_names)}")
    predictor = subject.load()
    if windows is not None:
        predictor = windowed(predictor, windows)
    if pad_to is not None:
        predictor = with_padding(predictor, pad_to, description.pad_value)
    examples = ExampleCollector()
    metrics = evaluate_model(
        predictor.labels,
        source.batches,
        class_names=description.class_names,
        ignore_label=source.ignore_label,
        num_images=source.num_images,
        progress=progress,
        on_image=examples.add,
    )
    metrics |= {
        "checkpoint_step": subject.step,
        "output_stride": subject.output_stride,
        "eval_scales": [float(scale) for scale in eval_scales],
        "flip": flip,
        "dataset": source.dataset,
        "split": source.split,
        "window": None if windows is None else list(windows.size),
        "overlap": None if windows is None else list(windows.overlap),
    }
    if name is None:
        name = result_name(metrics, trained_stride=subject.trained_stride)
        name += "-original" if original_protocol else ""
    report = render_report(
        metrics,
        examples,
        title=f"{subject.name}: {name}",
        class_colors=description.colors,
        ignore_label=source.ignore_label,
    )
    if progress:  # before it is written: it may have taken hours, and disks fill up meanwhile
        print(render_table(metrics), flush=True)
    folder = results / name if output_dir is None else Path(output_dir)
    # Only a folder of our own is replaced as a whole.
    opened = new_directory(folder) if output_dir is None else nullcontext(make_directory(folder))
    with opened as place:
        write_text(place / "metrics.json", metrics_json(metrics))
        write_text(place / "report.html", report)
    if progress:
        print(f"wrote {folder / 'metrics.json'} and report.html")
    return metrics


def _check_source(
    images: str | Path | None,
    labels: str | Path | None,
    classes: str | Path | None,
    *,
    names_data: bool,
) -> None:
    """Images come from two folders or from a data set."""
    if (images is None) != (labels is None):
        raise DeepLabError("images and labels are two folders that belong together; one is missing")
    if images is not None and names_data:
        raise DeepLabError("images and labels take the place of a data set: give no split of one")
    if images is None and classes is not None:
        raise DeepLabError(f"classes {classes} says what masks mean: give images and labels too")


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


def result_name(metrics: Mapping[str, Any], *, trained_stride: int | None) -> str:
    """The folder of a result: dataset-split[-osN][-ms][-flip][-windowHxW].

    Of two folders of images: images[...].
    """
    data = "images" if metrics["dataset"] is None else f"{metrics['dataset']}-{metrics['split']}"
    parts = [data]
    if metrics["output_stride"] != trained_stride:
        parts.append(f"os{metrics['output_stride']}")
    if metrics["eval_scales"] != [1.0]:
        parts.append("ms")
    if metrics["flip"]:
        parts.append("flip")
    if metrics["window"] is not None:
        parts.append("window" + "x".join(map(str, metrics["window"])))
    return "-".join(parts)


def _named(ids: Iterable[int], class_names: Sequence[str]) -> str:
    """Ids for a message, with the classes that they are else."""
    names = dict(enumerate(class_names))
    return ", ".join(f"{id_} ({names[id_]})" if id_ in names else str(id_) for id_ in ids)


def metrics_json(metrics: Mapping[str, Any]) -> str:
    """The text of metrics.json: a line per entry, and one per row of the confusion matrix."""
    entries = []
    for key, value in metrics.items():
        if key == "confusion_matrix":
            rows = ",\n    ".join(json.dumps(row) for row in value)
            text = f"[\n    {rows}\n  ]"
        else:
            text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        entries.append(f"  {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(entries) + "\n}\n"
