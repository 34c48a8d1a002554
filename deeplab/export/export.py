"""`export`: from a model folder to file formats for serving and for other libraries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from deeplab import files
from deeplab.errors import DeepLabError, unknown_name
from deeplab.evaluation.inference import is_plain
from deeplab.export.formats import FORMATS, Format, is_export
from deeplab.export.source import ANY_SIZE, Source, open_source
from deeplab.export.verify import Verification
from deeplab.model_dir import ModelDescription, read_description
from deeplab.models import float_network
from deeplab.progress import warn
from deeplab.runtimes.inference import check_scales


def export(
    *,
    model_dir: str | Path,
    export_dir: str | Path,
    format: str = "saved_model",
    checkpoint: str = "latest",
    output_stride: int | None = None,
    fixed_size: tuple[int, int] | None = None,
    dynamic_size: bool = False,
    eval_scales: Sequence[float] = (1.0,),
    flip: bool = False,
    web_runtime: str | Path | None = None,
    calibration_images: str | Path | None = None,
    overwrite: bool = False,
) -> Verification:
    """Exports a model and compares the result with it on images before it gets its name.

    Args:
        model_dir: folder of the model.
        export_dir: the folder to make.
        format: a key of `FORMATS`: "saved_model", "onnx", "litert", "litert_float16",
            "litert_dynamic" (8-bit weights), "litert_int8" (integers alone), "keras", "web" (a
            page that segments in the browser), "hugging_face" (a MobileNetV2 without decoder) or
            "timm" (the backbone of an Xception).
        checkpoint: "latest", "best", or the prefix of a checkpoint.
        output_stride: 8, 16 or 32; None: as trained.
        fixed_size: height and width in pixels of the only size that the result takes; None: any;
            of LiteRT files the crop size of training, 513x513 for weights that were imported.
        dynamic_size: whether a LiteRT file takes images of any size and number instead.
        eval_scales: scales of the image whose probabilities the result averages.
        flip: whether it averages with the mirrored image.
        web_runtime: a folder with onnxruntime-web, for "web"; None: npm downloads it.
        calibration_images: folder of images like those that a "litert_int8" file will see, to
            measure the ranges of its features on; None: the training split.
        overwrite: whether an existing export_dir is replaced.

    Returns:
        How the result was compared with the model.

    Raises:
        DeepLabError: if there is no such model, the format has no such network, the folder exists
            or cannot be written, or the result differs from the model.
    """
    return export_formats(
        model_dir=model_dir,
        export_dir=export_dir,
        formats=(format,),
        checkpoint=checkpoint,
        output_stride=output_stride,
        fixed_size=fixed_size,
        dynamic_size=dynamic_size,
        eval_scales=eval_scales,
        flip=flip,
        web_runtime=web_runtime,
        calibration_images=calibration_images,
        overwrite=overwrite,
    )[format]


def export_formats(
    *,
    model_dir: str | Path,
    export_dir: str | Path,
    formats: Sequence[str],
    checkpoint: str = "latest",
    output_stride: int | None = None,
    fixed_size: tuple[int, int] | None = None,
    dynamic_size: bool = False,
    eval_scales: Sequence[float] = (1.0,),
    flip: bool = False,
    web_runtime: str | Path | None = None,
    calibration_images: str | Path | None = None,
    overwrite: bool = False,
) -> dict[str, Verification]:
    """Exports a model in several formats: all of them, or nothing.

    Args:
        model_dir: as of `export`.
        export_dir: the folder to make: the export itself if it is in one format, else the parent of
            a folder for each, which has its name.
        formats: keys of `FORMATS`.
        checkpoint: as of `export`.
        output_stride: as of `export`.
        fixed_size: as of `export`.
        dynamic_size: as of `export`.
        eval_scales: as of `export`.
        flip: as of `export`.
        web_runtime: as of `export`.
        calibration_images: as of `export`.
        overwrite: as of `export`.

    Returns:
        Format -> how the result was compared with the model.

    Raises:
        DeepLabError: as `export`.
    """
    formats = tuple(dict.fromkeys(formats))
    for name in formats:
        if name not in FORMATS:
            raise unknown_name("format", name, FORMATS)
    check_scales(eval_scales)
    averages = not is_plain(eval_scales, flip)
    _refuse(formats, "fixed_size", asked=fixed_size is not None, has=lambda row: row.has_sizes)
    if dynamic_size and not any(FORMATS[name].is_sized for name in formats):
        names = ", ".join(name for name, row in FORMATS.items() if row.is_sized)
        raise DeepLabError(f"dynamic_size is for the formats {names}; others take any size")
    _refuse(formats, "eval_scales or flip", asked=averages, has=lambda row: row.has_averages)
    if fixed_size is not None and dynamic_size:
        raise DeepLabError("fixed_size and dynamic_size exclude each other")
    if web_runtime is not None and "web" not in formats:
        raise DeepLabError(f"web_runtime is for the format web alone, not {', '.join(formats)}")
    target = Path(export_dir).absolute()
    _check_free(target, overwrite=overwrite)
    description = read_description(model_dir)
    _check_calibration(description, calibration_images, formats)
    config = description.config
    if output_stride is not None:
        config = config.at_output_stride(output_stride)
    for name in formats:
        if check := FORMATS[name].check:
            check(config)
    source = open_source(model_dir, checkpoint, output_stride)._replace(
        size=ANY_SIZE if dynamic_size else fixed_size,
        eval_scales=tuple(eval_scales),
        flip=flip,
        calibration_images=calibration_images,
        web_runtime=None if web_runtime is None else Path(web_runtime),
    )
    with files.new_directory(target) as folder:
        places = {name: folder / name if len(formats) > 1 else folder for name in formats}
        for place in places.values():
            place.mkdir(exist_ok=True)
        sources = _of_formats(source, formats)
        return {name: FORMATS[name].write(sources[name], place) for name, place in places.items()}


def _of_formats(source: Source, formats: Sequence[str]) -> dict[str, Source]:
    """What each format is written from: of a quantized network most have the float weights."""
    in_float = [name for name in formats if not FORMATS[name].is_calibrated]
    sources = dict.fromkeys(formats, source)
    if source.model.model_config.quantization is None or not in_float:
        return sources
    warn(
        f"{', '.join(in_float)}: the float weights of a network that was trained quantized, "
        "another function than evaluate measures; litert_int8 has the quantized one"
    )
    return sources | dict.fromkeys(in_float, source._replace(model=float_network(source.model)))


def _refuse(
    formats: Sequence[str], setting: str, *, asked: bool, has: Callable[[Format], bool]
) -> None:
    """Raises a DeepLabError for a format that cannot be what was asked for."""
    for name in formats if asked else ():
        if not has(FORMATS[name]):
            choices = ", ".join(key for key, row in FORMATS.items() if has(row))
            raise DeepLabError(f"format {name} has no {setting}; formats that do: {choices}")


def _check_calibration(
    description: ModelDescription, images: str | Path | None, formats: Sequence[str]
) -> None:
    calibrated = [name for name in formats if FORMATS[name].is_calibrated]
    if calibrated and description.config.quantization is not None:
        if images is not None:
            raise DeepLabError(
                f"calibration_images {images}: the ranges of this network were trained"
            )
        return
    if calibrated and images is None and description.training is None:
        raise DeepLabError(
            f"{calibrated[0]} needs images like those that it will see, and this model knows no "
            "training split: give --calibration_images"
        )
    if images is not None and not calibrated:
        raise DeepLabError(f"calibration_images {images}: {', '.join(formats)} needs none")


def _check_free(target: Path, *, overwrite: bool) -> None:
    if not target.exists():
        return
    if not overwrite:
        raise DeepLabError(f"{target} exists; --overwrite replaces it")
    is_empty = target.is_dir() and not any(target.iterdir())
    if not is_empty and not (target.is_dir() and is_export(target)):
        raise DeepLabError(f"{target} is not an exported model; it is not replaced")
