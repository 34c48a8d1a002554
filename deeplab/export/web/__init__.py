"""A folder that segments photographs in a browser: a page, the ONNX file, and what runs it.

Nothing is asked of any other server, and no photograph leaves the browser.
"""

from __future__ import annotations

import importlib.resources
import json
from pathlib import Path

from deeplab import files
from deeplab.errors import DeepLabError
from deeplab.export import onnx, record
from deeplab.export.metadata import metadata
from deeplab.export.source import Source
from deeplab.export.verify import Verification
from deeplab.export.web.runtime import FILES, VERSION, copy_runtime
from deeplab.models import ModelConfig

_PAGE = ("index.html", "page.js", "style.css")
_MODEL = "model.json"
CONTENTS = ("index.html", *_PAGE[1:], _MODEL, *onnx.CONTENTS, *FILES)


def check(config: ModelConfig) -> None:
    """Makes sure that the packages are there, and that photographs have the channels.

    Raises:
        DeepLabError: if not.
    """
    onnx.check(config)
    if config.resolved_input_channels != 3:
        raise DeepLabError(
            f"format web is for photographs of 3 channels; the model has input_channels "
            f"{config.resolved_input_channels}"
        )


def write(source: Source, folder: Path) -> Verification:
    """Writes the page into an empty folder and compares its ONNX file with the model.

    Raises:
        DeepLabError: if they differ, or what runs the file in a browser cannot be had.
    """
    copy_runtime(folder, source.web_runtime)
    verification = onnx.write(source, folder)
    stated = metadata(source)
    page = {
        "title": f"{source.model.model_config.backbone}, {len(stated['classes'])} classes",
        "classes": stated["classes"],
        "colors": stated["colors"],
        "ignore_label": stated["ignore_label"],
    }
    files.write_text(folder / _MODEL, json.dumps(page) + "\n")
    for name in _PAGE:
        text = importlib.resources.files(__name__).joinpath("page", name).read_text("utf-8")
        files.write_text(folder / name, text)
    values = json.loads((folder / record.FILE).read_text(encoding="utf-8"))
    values |= {"format": "web", "onnxruntime_web": VERSION}
    files.write_text(folder / record.FILE, json.dumps(values, indent=2) + "\n")
    return verification
