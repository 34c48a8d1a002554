"""The README of an export: a model card, filled from what the folder of the model says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import deeplab
from deeplab.export.source import Source

FILE_NAME = "README.md"

# An absolute path, up to its last part: a card is published.
_FOLDER = re.compile(r"(?<!\S)/.*/")


def card(
    source: Source,
    *,
    library: str,
    task: str,
    title: str,
    code: str,
    remarks: Sequence[str],
    whole: bool,
) -> str:
    """The text of the card.

    Args:
        source: the model.
        library: the library that loads the export.
        task: what hubs file it under, a `pipeline_tag`.
        title: of the page.
        code: a program in Python that loads the export.
        remarks: what else a user should know, a sentence or two each.
        whole: whether it is the whole network, with its classes and results; else its backbone.
    """
    lines = [
        "---",
        f"library_name: {library}",
        f"pipeline_tag: {task}",
        "tags:",
        "- deeplab",
        "- semantic-segmentation",
        "---",
        "",
        f"# {title}",
        "",
        f"Written by `deeplab export` (deeplab {deeplab.__version__}) and compared with the model "
        "that it was made of.",
        "",
        "No license is stated here: that is for the author of the weights to do, as `license:` in "
        "the block above.",
        "",
        "```python",
        code.strip("\n"),
        "```",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {text} |" for name, text in _facts(source, whole=whole)),
        "",
        *(f"- {remark}" for remark in remarks),
    ]
    return "\n".join(lines) + "\n"


def _facts(source: Source, *, whole: bool) -> Iterator[tuple[str, str]]:
    description, config = source.description, source.model.model_config
    yield "images", "RGB of any size, 0..255, scaled to x / 127.5 - 1"
    yield "output stride", str(config.output_stride)
    yield "weights", _in_a_cell(_FOLDER.sub("", description.weights_source))
    yield "checkpoint", f"{Path(source.checkpoint.prefix).name}, step {source.checkpoint.step:,}"
    if description.training is not None:
        yield "trained on", _in_a_cell(str(description.training["data"]["dataset"]))
    if not whole:
        return
    yield "classes", _in_a_cell(", ".join(description.class_names))
    yield "ignored label", str(description.ignore_label)
    metrics = source.metrics()
    if metrics is None:
        yield "measured", "not with these weights at this output stride"
        return
    yield (
        "measured",
        f"mIoU {metrics['miou']:.4f}, pixel accuracy {metrics['pixel_accuracy']:.4f} on "
        f"{metrics['num_images']} images of {metrics['dataset']} {metrics['split']}, whole images "
        "at one scale",
    )


def _in_a_cell(text: str) -> str:
    """Text of others, which must not end a cell or a table."""
    return " ".join(text.replace("|", "\\|").split())
